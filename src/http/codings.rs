//! What a body that is kept is in other codings, where these are kept, too.

use bytes::Bytes;

/// What is beside a body that somebody keeps. A coding is named by whoever makes it, with all that it depends on.
pub trait Codings {
    /// All of the body in the plain, if it is in one piece.
    fn plain(&self) -> Option<Bytes>;

    /// It in this coding, if that was made before.
    fn find(&self, coding: &str) -> Option<Bytes>;

    /// Somebody has asked for it in this coding before, so it is worth keeping, and nobody is making it now. Counts who asks.
    fn wanted(&self, coding: &'static str) -> Option<Box<dyn Making>>;
}

/// A coding that one is making for all. Dropped before it is kept, it is for another one to make.
pub trait Making {
    /// Takes room for so many bytes more; `false`: there is none, and it cannot be kept.
    fn grows(&mut self, bytes: usize) -> bool;

    /// Keeps it: these are all bytes that room was taken for.
    fn keep(self: Box<Self>, coded: &[u8]);
}
