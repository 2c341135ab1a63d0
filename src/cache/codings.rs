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
use crate::http::{Body, BodyError, BodySize, Codings, Frame, Making, ResponseBody};

/// How much all of them may take, of one store.
pub struct Room {
    most: u64,
    taken: AtomicU64,
}

/// Those of one body.
pub struct Beside {
    room: Arc<Room>,
    /// By name.
    all: Mutex<Named>,
}

type Named = SmallVec<[(&'static str, State); 1]>;

/// What there is of a coding.
enum State {
    /// It was asked for.
    Asked,
    /// Somebody is making it.
    Making,
    Made(Bytes),
}

/// Who makes one, and has taken so much room for it.
struct Maker {
    kept: Kept,
    coding: &'static str,
    taken: u64,
    is_kept: bool,
}

/// A body that is kept, for one client, with what is beside it for whoever codes it.
pub struct Lent {
    body: ResponseBody,
    content: Option<Kept>,
}

#[derive(Clone)]
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
        self.lock().iter().filter(|(_, state)| state.bytes().is_some()).map(|(name, _)| *name).collect()
    }

    fn find(&self, coding: &str) -> Option<Bytes> {
        self.lock().iter().find(|(name, _)| *name == coding)?.1.bytes().cloned()
    }

    /// Who asks now is to make it.
    fn is_wanted(&self, coding: &'static str) -> bool {
        let mut all = self.lock();
        let known = all.iter_mut().find(|(name, _)| *name == coding);
        match known {
            Some((_, state @ State::Asked)) if self.room.taken() < self.room.most => {
                *state = State::Making;
                true
            }
            Some(_) => false,
            None => {
                if all.len() < MOST {
                    all.push((coding, State::Asked));
                }
                false
            }
        }
    }

    /// What has become of one that was being made.
    fn made(&self, coding: &'static str, now: State) {
        if let Some((_, state)) = self.lock().iter_mut().find(|(name, _)| *name == coding) {
            *state = now;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Named> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let taken = self.lock().iter().filter_map(|(_, state)| state.bytes()).map(|bytes| bytes.len() as u64).sum();
        self.room.give_back(taken);
    }
}

impl State {
    fn bytes(&self) -> Option<&Bytes> {
        if let Self::Made(bytes) = self { Some(bytes) } else { None }
    }
}

impl Making for Maker {
    fn grows(&mut self, bytes: usize) -> bool {
        let has_room = self.kept.room.take(bytes as u64);
        if has_room {
            self.taken += bytes as u64;
        }
        has_room
    }

    fn keep(mut self: Box<Self>, coded: &[u8]) {
        if coded.len() as u64 == self.taken {
            // A copy: what it was made in may be larger. Its room goes with it from now on.
            self.kept.beside().made(self.coding, State::Made(Bytes::copy_from_slice(coded)));
            self.is_kept = true;
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        if !self.is_kept {
            self.kept.room.give_back(self.taken);
            self.kept.beside().made(self.coding, State::Asked);
        }
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

    fn wanted(&self, coding: &'static str) -> Option<Box<dyn Making>> {
        let maker = || Box::new(Maker { kept: self.clone(), coding, taken: 0, is_kept: false });
        self.beside().is_wanted(coding).then(|| maker() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(room: &Arc<Room>) -> Kept {
        let (content, writer) = Content::begin(None);
        writer.finish(None);
        Kept { content, room: Arc::clone(room) }
    }

    /// Whether it was kept by who was to make it.
    fn make(of: &Kept, coding: &'static str, coded: &[u8]) -> Option<bool> {
        let mut making = of.wanted(coding)?;
        let has_room = making.grows(coded.len());
        if has_room {
            making.keep(coded);
        }
        Some(has_room)
    }

    #[test]
    fn what_is_asked_for_twice_is_kept_as_long_as_there_is_room_and_gone_with_its_body() {
        let room = Room::new(10);
        let (one, other) = (kept(&room), kept(&room));
        for of in [&one, &other] {
            assert_eq!([make(of, "a", b""), make(of, "b", b"")], [None, None], "nobody has asked");
        }

        assert_eq!(
            [
                make(&one, "a", b"123456"),
                make(&one, "a", b"once"),
                make(&other, "a", b"12345"),
                make(&other, "c", b"1")
            ],
            [Some(true), None, Some(false), None]
        );

        assert_eq!((one.find("a").as_deref(), one.find("b")), (Some(&b"123456"[..]), None));
        assert_eq!((other.find("a"), other.find("c"), room.taken()), (None, None, 6));
        drop(one);
        assert_eq!(room.taken(), 0);
        assert_eq!(make(&other, "a", b"1234567890"), Some(true));
        assert!(other.beside().names() == ["a"] && make(&other, "b", b"").is_none(), "there is no more room");
    }

    #[test]
    fn one_makes_it_at_a_time_and_what_it_collects_takes_room() {
        let room = Room::new(10);
        let of = kept(&room);
        assert!(of.wanted("a").is_none());
        let mut making = of.wanted("a").expect("it is the second one");

        assert!(of.wanted("a").is_none(), "somebody is making it");
        assert!(making.grows(4) && making.grows(6) && !making.grows(1));
        assert_eq!(room.taken(), 10);
        drop(making);

        assert_eq!(room.taken(), 0);
        assert!(of.wanted("a").is_some(), "nobody is any more");
    }
}
