//! What stored bodies are in other codings: made for the second one who asks, kept beside them, and gone with them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::content::Content;
use crate::http::{Body, BodyError, BodySize, Codings, Frame, ResponseBody};

/// How much all of them may take, of one store.
pub struct Room {
    most: u64,
    taken: AtomicU64,
}

/// Those of one body.
pub struct Beside {
    room: Arc<Room>,
    /// By name; without bytes they were asked for once.
    all: Mutex<Named>,
}

type Named = SmallVec<[(&'static str, Option<Bytes>); 1]>;

/// A body that is kept, for one client, with what is beside it for whoever codes it.
pub struct Lent {
    body: ResponseBody,
    content: Option<Kept>,
}

struct Kept {
    content: Arc<Content>,
    room: Arc<Room>,
}

/// More codings of one body are not remembered.
const MOST: usize = 16;

impl Room {
    /// For so many bytes.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicU64::new(0) })
    }

    /// So many are there.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let has_room = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.most;
        if !has_room {
            self.give_back(bytes);
        }
        has_room
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Beside {
    /// Nothing yet.
    pub fn new(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), all: Mutex::default() }
    }

    /// Those that are kept.
    pub fn names(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, bytes)| bytes.is_some()).map(|(name, _)| *name).collect()
    }

    fn find(&self, coding: &str) -> Option<Bytes> {
        self.lock().iter().find(|(name, _)| *name == coding)?.1.clone()
    }

    fn is_wanted(&self, coding: &'static str) -> bool {
        let mut all = self.lock();
        let is_known = all.iter().any(|(name, _)| *name == coding);
        if !is_known && all.len() < MOST {
            all.push((coding, None));
        }
        is_known && self.room.taken() < self.room.most
    }

    fn keep(&self, coding: &'static str, coded: &[u8]) {
        let mut all = self.lock();
        let place = all.iter_mut().find(|(name, bytes)| *name == coding && bytes.is_none());
        if let Some((_, bytes)) = place
            && self.room.take(coded.len() as u64)
        {
            // A copy: what it was made in may be larger.
            *bytes = Some(Bytes::copy_from_slice(coded));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Named> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let taken = self.lock().iter().filter_map(|(_, bytes)| bytes.as_ref()).map(|bytes| bytes.len() as u64).sum();
        self.room.give_back(taken);
    }
}

impl Lent {
    /// This body, which is all of that content.
    pub fn body(body: ResponseBody, content: &Arc<Content>, room: &Arc<Room>) -> ResponseBody {
        let content = Some(Kept { content: Arc::clone(content), room: Arc::clone(room) });
        ResponseBody::Stream(Box::new(Self { body, content }))
    }
}

impl Body for Lent {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.body.poll_frame(cx)
    }

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn codings(&mut self) -> Option<Box<dyn Codings>> {
        self.content.take().map(|content| Box::new(content) as _)
    }
}

impl Kept {
    fn beside(&self) -> &Beside {
        self.content.beside(&self.room)
    }
}

impl Codings for Kept {
    fn plain(&self) -> Option<Bytes> {
        self.content.plain()
    }

    fn find(&self, coding: &str) -> Option<Bytes> {
        self.beside().find(coding)
    }

    fn is_wanted(&self, coding: &'static str) -> bool {
        self.beside().is_wanted(coding)
    }

    fn keep(&self, coding: &'static str, coded: &[u8]) {
        self.beside().keep(coding, coded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_is_kept_as_long_as_there_is_room_and_gone_with_its_body() {
        let room = Room::new(10);
        let (one, other) = (Beside::new(&room), Beside::new(&room));
        for beside in [&one, &other] {
            assert_eq!([beside.is_wanted("a"), beside.is_wanted("a"), beside.is_wanted("b")], [false, true, false]);
        }

        one.keep("a", b"123456");
        one.keep("a", b"once is enough");
        other.keep("a", b"12345");
        other.keep("c", b"1");

        assert_eq!((one.find("a").as_deref(), one.find("b")), (Some(&b"123456"[..]), None));
        assert_eq!(
            (other.find("a"), other.find("c"), room.taken()),
            (None, None, 6),
            "there is no room, and nobody has asked"
        );
        drop(one);
        assert_eq!(room.taken(), 0);
        other.keep("a", b"1234567890");
        assert!(other.names() == ["a"] && !other.is_wanted("b") && !other.is_wanted("b"), "there is no more room");
    }
}
