//! The body of an answer that is kept. It may still be growing while it is read, by many at once and on any worker.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;

pub use self::elsewhere::Elsewhere;
use super::codings::{Beside, Room};
use crate::http::{Body, BodyError, BodySize, Frame, HeaderMap, ResponseBody};

mod elsewhere;

/// A body: growing, whole, broken off, or in another place.
pub struct Content {
    /// The length that its head has announced.
    announced: Option<u64>,
    /// Set once. Who reads a whole body takes no lock.
    whole: OnceLock<Whole>,
    growing: Mutex<Growing>,
    /// It is not in memory.
    elsewhere: Option<Arc<dyn Elsewhere>>,
    /// What it is in other codings.
    beside: OnceLock<Box<Beside>>,
}

struct Whole {
    pieces: Pieces,
    trailers: Option<HeaderMap>,
}

#[derive(Default)]
struct Growing {
    pieces: Pieces,
    is_broken: bool,
    /// It is not to be kept: what all readers have had is given up.
    is_forgotten: bool,
    readers: HashMap<u64, Place>,
    /// The next reader's number.
    next: u64,
    writer: Option<Waker>,
}

/// How far a reader is.
struct Place {
    at: u64,
    waker: Option<Waker>,
}

/// Bytes in a row, each piece with its distance from the beginning.
#[derive(Default)]
struct Pieces {
    all: VecDeque<(u64, Bytes)>,
    end: u64,
}

/// So much of a body that is not kept may wait for its slowest reader.
const WINDOW: u64 = 256 * 1024;

/// A whole body is in pieces of this size, that many small ones cost no more than their bytes.
const BLOCK: usize = 1 << 20;

/// What a piece costs beside its bytes.
const PER_PIECE: u64 = 64;

impl Content {
    /// Nothing of it yet, and who writes it.
    pub fn begin(announced: Option<u64>) -> (Arc<Self>, Writer) {
        let (whole, growing) = (OnceLock::new(), Mutex::default());
        let content = Arc::new(Self { announced, whole, growing, elsewhere: None, beside: OnceLock::new() });
        (Arc::clone(&content), Writer { content, is_done: false })
    }

    /// Its length, if it is known yet.
    pub fn length(&self) -> Option<u64> {
        self.whole.get().map(|whole| whole.pieces.end).or(self.announced)
    }

    /// All of it, where it is in one piece and has no trailers.
    pub fn plain(&self) -> Option<Bytes> {
        let whole = self.whole.get().filter(|whole| whole.trailers.is_none() && whole.pieces.all.len() == 1)?;
        whole.pieces.at(0)
    }

    /// It is all there, from its beginning.
    pub fn is_whole(&self) -> bool {
        self.whole.get().is_some_and(|whole| whole.pieces.start() == 0)
    }

    /// What it is in other codings.
    pub fn beside(&self, room: &Arc<Room>) -> &Beside {
        self.beside.get_or_init(|| Box::new(Beside::new(room)))
    }

    /// The codings that are kept beside it.
    pub fn codings(&self) -> Vec<&'static str> {
        self.beside.get().map(|beside| beside.names()).unwrap_or_default()
    }

    /// What it takes in memory.
    pub fn weight(&self) -> u64 {
        let of = |pieces: &Pieces| pieces.end + pieces.all.len() as u64 * PER_PIECE;
        self.whole.get().map_or_else(|| of(&self.lock().pieces), |whole| of(&whole.pieces))
    }

    /// All of it, or from the first to the last of these bytes; `None` if it cannot be had from its beginning any more.
    pub fn read(self: &Arc<Self>, part: Option<(u64, u64)>) -> Option<ResponseBody> {
        let (at, end) = part.map_or((0, None), |(first, last)| (first, Some(last + 1)));
        if let Some(place) = &self.elsewhere {
            return Some(self.read_there(place, at, end));
        }
        if let Some(whole) = self.whole.get() {
            return self.read_whole(whole, at, end);
        }
        let mut growing = self.lock();
        if let Some(whole) = self.whole.get() {
            return self.read_whole(whole, at, end);
        }
        if growing.is_broken || growing.pieces.start() > 0 {
            return None;
        }
        let id = growing.next;
        growing.next += 1;
        growing.readers.insert(id, Place { at, waker: None });
        let end = end.or(self.announced);
        Some(ResponseBody::Stream(Box::new(Reader {
            content: Arc::clone(self),
            id: Some(id),
            at,
            begin: at,
            end,
            is_over: false,
        })))
    }

    fn read_whole(self: &Arc<Self>, whole: &Whole, at: u64, end: Option<u64>) -> Option<ResponseBody> {
        if whole.pieces.start() > 0 {
            return None;
        }
        let has_trailers = whole.trailers.is_some() && end.is_none();
        let until = end.unwrap_or(whole.pieces.end);
        if !has_trailers && until <= at {
            return Some(ResponseBody::Empty);
        }
        match whole.pieces.at(at) {
            Some(mut bytes) if !has_trailers && bytes.len() as u64 >= until - at => {
                bytes.truncate((until - at) as usize);
                Some(ResponseBody::Bytes(bytes))
            }
            _ => {
                let end = if has_trailers { None } else { Some(until) };
                let reader = Reader { content: Arc::clone(self), id: None, at, begin: at, end, is_over: false };
                Some(ResponseBody::Stream(Box::new(reader)))
            }
        }
    }

    /// What comes next for a reader.
    fn poll_at(&self, id: Option<u64>, at: u64, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if let Some(whole) = self.whole.get() {
            return Poll::Ready(whole.next(at));
        }
        let mut growing = self.lock();
        // Who makes it whole wakes readers with the lock: it was before, and is seen now, or they are woken.
        if let Some(whole) = self.whole.get() {
            return Poll::Ready(whole.next(at));
        }
        if let Some(bytes) = growing.pieces.at(at) {
            growing.moved(id, at + bytes.len() as u64);
            return Poll::Ready(Ok(Some(bytes)));
        }
        if growing.is_broken || at < growing.pieces.start() {
            return Poll::Ready(Err(BodyError::Incomplete));
        }
        if let Some(place) = id.and_then(|id| growing.readers.get_mut(&id)) {
            place.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn trailers(&self) -> Option<HeaderMap> {
        self.whole.get()?.trailers.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Whole {
    fn next(&self, at: u64) -> Result<Option<Bytes>, BodyError> {
        match self.pieces.at(at) {
            None if at < self.pieces.start() => Err(BodyError::Incomplete),
            next => Ok(next),
        }
    }
}

impl Growing {
    /// A reader has had what is before.
    fn moved(&mut self, id: Option<u64>, at: u64) {
        if let Some(place) = id.and_then(|id| self.readers.get_mut(&id)) {
            place.at = at;
        }
        self.give_up();
    }

    /// What all readers have had, if it is not to be kept.
    fn give_up(&mut self) {
        if self.is_forgotten {
            let slowest = self.readers.values().map(|place| place.at).min();
            self.pieces.give_up_before(slowest.unwrap_or(self.pieces.end));
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.values_mut().filter_map(|place| place.waker.take()).collect()
    }
}

impl Pieces {
    fn start(&self) -> u64 {
        self.all.front().map_or(self.end, |(start, _)| *start)
    }

    fn push(&mut self, bytes: Bytes) {
        let start = self.end;
        self.end += bytes.len() as u64;
        self.all.push_back((start, bytes));
    }

    /// From this byte to the end of its piece.
    fn at(&self, at: u64) -> Option<Bytes> {
        let index = self.all.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, bytes) = &self.all[index];
        let offset = usize::try_from(at - start).ok()?;
        (offset < bytes.len()).then(|| bytes.slice(offset..))
    }

    fn give_up_before(&mut self, at: u64) {
        while self.all.front().is_some_and(|(start, bytes)| start + bytes.len() as u64 <= at) {
            self.all.pop_front();
        }
    }

    fn joined(mut self) -> Self {
        if self.all.len() <= 1 {
            self.all.shrink_to_fit();
            return self;
        }
        let (mut joined, mut left) = (Self::default(), usize::try_from(self.end).unwrap_or(usize::MAX));
        let mut block = Vec::with_capacity(left.min(BLOCK));
        for (_, mut bytes) in self.all {
            while !bytes.is_empty() {
                let taken = bytes.split_to(bytes.len().min(BLOCK - block.len()));
                block.extend_from_slice(&taken);
                if block.len() == BLOCK {
                    left -= BLOCK;
                    joined.push(mem::replace(&mut block, Vec::with_capacity(left.min(BLOCK))).into());
                }
            }
        }
        if !block.is_empty() {
            joined.push(block.into());
        }
        joined.all.shrink_to_fit();
        joined
    }
}

/// Who fills it. Dropped before it is finished, the body is broken off, and every reader learns that.
pub struct Writer {
    content: Arc<Content>,
    is_done: bool,
}

impl Writer {
    /// More of it. It is copied: what it came in is larger, and would be kept with it.
    pub fn push(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let wakers = {
            let mut growing = self.content.lock();
            if growing.is_forgotten && growing.readers.is_empty() {
                growing.pieces.end += bytes.len() as u64;
                return;
            }
            growing.pieces.push(Bytes::copy_from_slice(bytes));
            growing.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// So many bytes were written.
    pub fn written(&self) -> u64 {
        self.content.lock().pieces.end
    }

    /// They themselves.
    pub fn so_far(&self) -> Vec<Bytes> {
        self.content.lock().pieces.all.iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// It turned out that it is not to be kept: those who read it already get it, at the pace of the slowest, and nobody else does.
    pub fn forget(&self) {
        let mut growing = self.content.lock();
        growing.is_forgotten = true;
        growing.give_up();
    }

    /// Until there is room for more of what is not kept; `false` when nobody reads it any more.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut growing = self.content.lock();
        if growing.readers.is_empty() {
            return Poll::Ready(false);
        }
        if growing.pieces.end - growing.pieces.start() <= WINDOW {
            return Poll::Ready(true);
        }
        growing.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// That was all; `false` if it is not what was announced, and then it is broken off.
    pub fn finish(mut self, trailers: Option<HeaderMap>) -> bool {
        let (pieces, is_forgotten) = {
            let mut growing = self.content.lock();
            if self.content.announced.is_some_and(|length| length != growing.pieces.end) {
                return false;
            }
            (mem::take(&mut growing.pieces), growing.is_forgotten)
        };
        let pieces = if is_forgotten { pieces } else { pieces.joined() };
        self.is_done = self.content.whole.set(Whole { pieces, trailers }).is_ok();
        // Where they are counts no more, and what they were noted in would stay as long as the body does.
        let readers = mem::take(&mut self.content.lock().readers);
        readers.into_values().filter_map(|place| place.waker).for_each(Waker::wake);
        self.is_done
    }

    fn wake_all(&self) {
        let wakers = self.content.lock().wakers();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_done {
            self.content.lock().is_broken = true;
            self.wake_all();
        }
    }
}

/// One client's way through a body.
struct Reader {
    content: Arc<Content>,
    /// Its number among those of a body that was still growing.
    id: Option<u64>,
    at: u64,
    begin: u64,
    /// Where it ends, if that is known.
    end: Option<u64>,
    is_over: bool,
}

impl Reader {
    /// Behind all of it, and not behind a part, come trailers.
    fn ended(&mut self) -> Poll<Option<Result<Frame, BodyError>>> {
        let is_part = self.begin > 0 || self.end.is_some_and(|end| Some(end) != self.content.length());
        if mem::replace(&mut self.is_over, true) || is_part {
            return Poll::Ready(None);
        }
        Poll::Ready(self.content.trailers().map(|trailers| Ok(Frame::Trailers(trailers))))
    }
}

impl Body for Reader {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.is_over || self.end.is_some_and(|end| self.at >= end) {
            return self.ended();
        }
        match ready!(self.content.poll_at(self.id, self.at, cx)) {
            Ok(Some(mut bytes)) => {
                if let Some(end) = self.end {
                    bytes.truncate(usize::try_from(end - self.at).unwrap_or(usize::MAX).min(bytes.len()));
                }
                self.at += bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::Data(bytes))))
            }
            Ok(None) => self.ended(),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn size(&self) -> BodySize {
        self.end.map_or(BodySize::Stream, |end| BodySize::Sized(end - self.begin))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut growing = self.content.lock();
            growing.readers.remove(&id);
            growing.give_up();
        }
    }
}

#[cfg(test)]
mod tests;
