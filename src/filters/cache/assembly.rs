//! The body of an answer that is kept in pieces: one after the other, the next one asked for while this one is read, and no more than that.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use super::way::{Coming, Way};
use crate::http::{Body, BodyError, BodySize, Frame, ResponseBody};

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
    next: Option<Coming>,
}

impl Assembly {
    /// From one of these bytes to the other, of which the first piece has come.
    pub fn new(way: Rc<Way>, (first, last): (u64, u64), piece: ResponseBody) -> Self {
        let mut assembly = Self { way, begin: first, at: first, end: last + 1, piece: None, next: None };
        assembly.open(piece);
        assembly
    }

    /// Begins to read a piece, and asks for the one behind it.
    fn open(&mut self, body: ResponseBody) {
        let number = self.way.sliced.piece_at(self.at);
        let end = self.end.min(self.way.sliced.bounds(number).1 + 1);
        self.piece = Some((body, end));
        self.next = (end < self.end).then(|| self.way.piece(number + 1, (end, self.end - 1)));
    }

    /// The next piece, once it is there.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(coming) = &mut self.next else { return Poll::Ready(Err(BodyError::Incomplete)) };
        match ready!(coming.poll(cx)) {
            Ok(body) => {
                self.open(body);
                Poll::Ready(Ok(()))
            }
            Err(_) => {
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
