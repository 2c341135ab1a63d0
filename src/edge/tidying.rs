//! Memory that nobody needs any more goes back to the system, also after the last connection of many has ended.

use std::{cell::Cell, hint::black_box, rc::Rc, time::Duration};

use super::h1;
use crate::{clock, http::scratch, transport::tls::served};

/// How long after something has ended there is a look around.
const AFTER: Duration = Duration::from_millis(1200);
/// More than any system has addresses for. The allocator gives back nothing as long as nobody asks it for memory, and there is
/// no safe way to tell it to; before it says no to this, it looks through all that it keeps for this thread, and lets go of what is free.
const IMPOSSIBLE: usize = isize::MAX as usize >> 15;

/// One worker's.
#[derive(Default)]
pub struct Tidying {
    is_due: Cell<bool>,
    is_under_way: Cell<bool>,
}

impl Tidying {
    /// Something has ended: there may be memory that nobody needs.
    pub fn soon(self: &Rc<Self>) {
        self.is_due.set(true);
        if self.is_under_way.replace(true) {
            return;
        }
        let tidying = Rc::clone(self);
        actix_rt::spawn(async move {
            // Once more after the last that has ended: what comes free with this is looked for by the next.
            let mut is_last = false;
            while !is_last {
                is_last = !tidying.is_due.take();
                tokio::time::sleep(AFTER).await;
                h1::tidy();
                scratch::tidy();
                clock::tidy();
                served::tidy();
                let _refused = black_box(Vec::<u8>::new().try_reserve_exact(black_box(IMPOSSIBLE)));
            }
            tidying.is_under_way.set(false);
        });
    }
}
