//! How fields get past an `App` that nobody but the proxy is in.

use std::cell::Cell;

use super::HeaderMap;

/// Actix keeps fields in a map of its own, and has to where an `App` has handlers and middleware that read it. Where there are none the
/// edge leaves a request's fields here, and the proxy those of its answer: nobody makes one map of another and back.
#[derive(Default)]
pub struct Crossing {
    asked: Cell<Option<HeaderMap>>,
    answered: Cell<Option<HeaderMap>>,
}

impl Crossing {
    /// Leaves those of a request.
    pub fn ask(&self, fields: HeaderMap) {
        self.asked.set(Some(fields));
    }

    /// Takes those of the request, which are here once.
    pub fn asked(&self) -> Option<HeaderMap> {
        self.asked.take()
    }

    /// Leaves those of the answer.
    pub fn answer(&self, fields: HeaderMap) {
        self.answered.set(Some(fields));
    }

    /// Takes those of the answer, if whoever made it has left them.
    pub fn answered(&self) -> Option<HeaderMap> {
        self.answered.take()
    }
}
