//! The body of an answer that is kept in pieces: one after the other, the next one asked for while this one is read, and no more than that.

use std::{
    mem,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::pieces::{Coming, Way};
use crate::{
    cache::entry::Entry,
    http::{Body, BodyError, BodySize, Frame, ResponseBody},
};

/// Some bytes of it.
pub struct Assembly {
    way: Rc<Way>,
    begin: u64,
    at: u64,
    /// Behind the last one.
    end: u64,
    /// What is read now, and where that ends.
    piece: Option<(ResponseBody, u64)>,
    /// What comes then.
    next: Option<(u64, Coming)>,
    /// A piece that had come was gone again.
    has_asked_again: bool,
}

impl Assembly {
    /// From one of these bytes to the other; the first piece of them has come, or is about to.
    pub fn new(way: Rc<Way>, (first, last): (u64, u64), piece: Coming) -> Self {
        let next = Some((way.sliced.piece_at(first), piece));
        let mut assembly =
            Self { way, begin: first, at: first, end: last + 1, piece: None, next, has_asked_again: false };
        // Who reads it keeps it there, also where there is no room for it.
        if let Some((number, Coming::Here(entry))) = &assembly.next {
            let (number, entry) = (*number, Arc::clone(entry));
            assembly.open(number, &entry);
        }
        assembly
    }

    /// Begins to read a piece, and asks for the one behind it.
    fn open(&mut self, number: u64, entry: &Arc<Entry>) {
        let (start, last) = self.way.sliced.bounds(number);
        let end = self.end.min(last + 1);
        let Some(body) = entry.content.read(Some((self.at - start, end - 1 - start))) else { return };
        self.piece = Some((body, end));
        self.next = (end < self.end).then(|| (number + 1, self.way.piece(number + 1)));
    }

    /// The next piece, once it is there.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let number = self.way.sliced.piece_at(self.at);
        let mut coming = match self.next.take() {
            Some((next, coming)) if next == number => coming,
            _ => self.way.piece(number),
        };
        match coming.poll(cx) {
            Poll::Pending => {
                self.next = Some((number, coming));
                Poll::Pending
            }
            Poll::Ready(Ok(entry)) => {
                self.open(number, &entry);
                // It was too large for the room there was, and nobody has read it from its beginning.
                let is_gone = self.piece.is_none() && mem::replace(&mut self.has_asked_again, true);
                Poll::Ready(if is_gone { Err(BodyError::Incomplete) } else { Ok(()) })
            }
            Poll::Ready(Err(_)) => {
                log::debug!("an answer in pieces broke off: there is no next piece of it");
                Poll::Ready(Err(BodyError::Incomplete))
            }
        }
    }
}

impl Body for Assembly {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        while self.at < self.end {
            let Some((piece, end)) = &mut self.piece else {
                if let Err(error) = ready!(self.poll_next(cx)) {
                    return Poll::Ready(Some(Err(error)));
                }
                continue;
            };
            match ready!(piece.poll_frame(cx)) {
                Some(Ok(Frame::Data(bytes))) => {
                    self.at += bytes.len() as u64;
                    if self.at >= *end {
                        self.piece = None;
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(bytes))));
                }
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err(BodyError::Incomplete))),
            }
        }
        Poll::Ready(None)
    }

    fn size(&self) -> BodySize {
        BodySize::Sized(self.end - self.begin)
    }
}
