//! A request's content on its way out, as the endpoint makes room for it; one frame of it in memory at a time.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;

use super::head;
use crate::http::{Body, BodyError, Downstream, Frame, RequestBody, body::Length};

/// Pieces of a body sent in one turn: an upload without a pause may not keep its answer from being read.
const PIECES: usize = 16;

/// Content while it is sent.
pub struct Sending {
    stream: SendStream<Bytes>,
    /// What has not been read yet.
    pub body: RequestBody,
    left: Left,
    /// What the body gave and the endpoint has no room for yet.
    piece: Bytes,
    downstream: Option<Rc<dyn Downstream>>,
}

/// What is still to come of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Exactly(u64),
    Unknown,
    Nothing,
}

/// Why content could not be sent to its end.
#[derive(Debug)]
pub enum SendError {
    /// The endpoint does not take it.
    Endpoint,
    /// The client does not give it.
    Client(BodyError),
}

impl Sending {
    /// The content behind a head that is sent; none, if that was the end.
    pub fn new(stream: SendStream<Bytes>, body: RequestBody, downstream: Option<Rc<dyn Downstream>>) -> Self {
        let left = match body.length() {
            Length::None | Length::Exact(0) => Left::Nothing,
            Length::Exact(length) => Left::Exactly(length),
            Length::Chunked => Left::Unknown,
        };
        Self { stream, body, left, piece: Bytes::new(), downstream }
    }

    /// The stream, for something else than content.
    pub fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// The request's number on its connection.
    pub fn stream_id(&self) -> u32 {
        self.stream.stream_id().as_u32()
    }

    /// All of it was sent.
    pub fn is_done(&self) -> bool {
        self.left == Left::Nothing && self.piece.is_empty()
    }

    /// There are bytes that the endpoint has no room for.
    pub fn has_bytes(&self) -> bool {
        !self.piece.is_empty()
    }

    /// Sends what can be sent. Ready when all of it was; `moved` is set when a byte went.
    pub fn poll(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Result<(), SendError>> {
        for _ in 0..PIECES {
            if !self.piece.is_empty() {
                ready!(self.poll_piece(cx))?;
                *moved = true;
            } else if self.left == Left::Nothing {
                return Poll::Ready(Ok(()));
            } else {
                ready!(self.poll_body(cx))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends as much of the piece as there is room for.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.stream.reserve_capacity(self.piece.len());
        if self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(SendError::Endpoint)),
            }
        }
        let part = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let ends = self.is_done();
        Poll::Ready(self.stream.send_data(part, ends).map_err(|_| SendError::Endpoint))
    }

    /// The next piece, or the end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        match ready!(self.body.poll_frame(cx)) {
            Some(Ok(Frame::Data(data))) => {
                let length = data.len() as u64;
                match &mut self.left {
                    Left::Exactly(left) if length == *left => self.left = Left::Nothing,
                    Left::Exactly(left) if length < *left => *left -= length,
                    Left::Unknown => {}
                    // More than was announced.
                    Left::Exactly(_) | Left::Nothing => {
                        return Poll::Ready(Err(SendError::Client(BodyError::Malformed)));
                    }
                }
                self.piece = data;
            }
            Some(Ok(Frame::Trailers(trailers))) => self.finish(Some(trailers))?,
            None => {
                let trailers = self.downstream.as_ref().and_then(|downstream| downstream.request_trailers());
                if trailers.is_some() {
                    self.body.keep_no_more();
                }
                self.finish(trailers)?;
            }
            Some(Err(error)) => return Poll::Ready(Err(SendError::Client(error))),
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: Option<crate::http::HeaderMap>) -> Result<(), SendError> {
        if let Left::Exactly(_) = std::mem::replace(&mut self.left, Left::Nothing) {
            return Err(SendError::Client(BodyError::Incomplete));
        }
        let trailers = trailers.map(|trailers| head::to_trailers(&trailers)).filter(|trailers| !trailers.is_empty());
        let sent = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        sent.map_err(|_| SendError::Endpoint)
    }
}
