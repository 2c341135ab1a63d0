//! Bodies that are kept in another place than memory, and are read there by each who wants them.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use super::{Content, Growing};
use crate::http::{Body, ResponseBody};

/// A whole body in another place.
pub trait Elsewhere: Send + Sync {
    /// The bytes from the first to before the end. What is harmed there breaks off, and never ends well.
    fn read(self: Arc<Self>, first: u64, end: u64) -> Box<dyn Body>;

    /// All of it, piece by piece, by who may wait.
    ///
    /// # Errors
    /// It is harmed, or it is not taken.
    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

impl Content {
    /// So many bytes that are there.
    pub fn elsewhere(length: u64, place: Arc<dyn Elsewhere>) -> Arc<Self> {
        let growing = Mutex::new(Growing::default());
        let (whole, beside) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { announced: Some(length), whole, growing, elsewhere: Some(place), beside })
    }

    /// It is in memory, or will be.
    pub fn is_in_memory(&self) -> bool {
        self.elsewhere.is_none()
    }

    /// All of a whole body, piece by piece, by who may wait.
    ///
    /// # Errors
    /// It is not whole, or it is not taken.
    pub fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match (&self.elsewhere, self.whole.get()) {
            (Some(place), _) => place.each(take),
            (None, Some(whole)) if whole.pieces.start() == 0 => {
                whole.pieces.all.iter().try_for_each(|(_, bytes)| take(bytes))
            }
            (None, _) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// It is whole, and nothing comes behind it.
    pub fn is_plain(&self) -> bool {
        self.elsewhere.is_some() || self.whole.get().is_some_and(|whole| whole.trailers.is_none())
    }

    pub(super) fn read_there(&self, place: &Arc<dyn Elsewhere>, at: u64, end: Option<u64>) -> ResponseBody {
        let until = end.or(self.announced).unwrap_or(at);
        if until <= at { ResponseBody::Empty } else { ResponseBody::Stream(Arc::clone(place).read(at, until)) }
    }
}
