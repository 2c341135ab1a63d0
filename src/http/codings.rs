//! What a body that is kept is in other codings, where these are kept, too.

use bytes::Bytes;

/// What is beside a body that somebody keeps. A coding is named by whoever makes it, with all that it depends on.
pub trait Codings {
    /// All of the body in the plain, if it is in one piece.
    fn plain(&self) -> Option<Bytes>;

    /// It in this coding, if that was made before.
    fn find(&self, coding: &str) -> Option<Bytes>;

    /// Somebody has asked for it in this coding before, so it is worth keeping, and there is room. Counts who asks.
    fn is_wanted(&self, coding: &'static str) -> bool;

    /// Keeps it, if there is room.
    fn keep(&self, coding: &'static str, coded: &[u8]);
}
