//! A response's content as it comes.

use std::{
    io,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::RecvStream;

use super::{exchange::Flow, head};
use crate::http::{Body, BodyError, BodySize, Frame, ResponseBody};

/// An open body. While it is read the rest of the request is sent. Dropped before its end, the stream is reset.
pub struct OpenBody {
    /// Gone once all of it has come.
    open: Option<(Flow, RecvStream)>,
    size: BodySize,
    /// What is still to come, if it is known.
    left: Option<u64>,
    /// What came together with the head.
    ahead: Bytes,
}

impl OpenBody {
    /// The body behind a head that was read.
    pub fn new(flow: Flow, frames: RecvStream, length: Option<u64>) -> Self {
        let size = length.map_or(BodySize::Stream, BodySize::Sized);
        Self { open: Some((flow, frames)), size, left: length, ahead: Bytes::new() }
    }

    /// As a response has it: in one piece, if all of it is there already.
    pub fn into_response(mut self) -> ResponseBody {
        match self.peek() {
            Some(whole) => ResponseBody::Bytes(whole),
            None => ResponseBody::Stream(Box::new(self)),
        }
    }

    /// Looks at what came with the head: all of a body whose length is known, or what it begins with.
    fn peek(&mut self) -> Option<Bytes> {
        self.left?;
        // What is not there yet is waited for by whoever reads.
        let first = self.open.as_mut()?.1.poll_data(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(first))) = first else { return None };
        if self.take(&first) && self.left == Some(0) {
            return Some(first);
        }
        self.ahead = first;
        None
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some((flow, frames)) = &mut self.open else { return Poll::Ready(None) };
        if flow.poll_send(cx).is_err() {
            // Whatever became of the request, this is an answer to it.
            flow.give_up_sending();
        }
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(std::mem::take(&mut self.ahead)))));
        }
        let bytes = loop {
            match frames.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => {}
                Poll::Ready(Some(Ok(bytes))) => break bytes,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(broken(error)))),
                Poll::Ready(None) => return self.poll_end(cx),
                Poll::Pending => {
                    ready!(flow.poll_stalled(cx));
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
            }
        };
        flow.pause();
        self.take(&bytes);
        Poll::Ready(Some(Ok(Frame::Data(bytes))))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some((flow, frames)) = &mut self.open else { return Poll::Ready(None) };
        let Poll::Ready(trailers) = frames.poll_trailers(cx) else {
            ready!(flow.poll_stalled(cx));
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        };
        self.finish();
        Poll::Ready(match trailers {
            Ok(trailers) => {
                trailers.and_then(|trailers| head::trailers(&trailers)).map(|found| Ok(Frame::Trailers(found)))
            }
            Err(error) => Some(Err(broken(error))),
        })
    }

    /// Whoever asks for content takes it: the endpoint may send as much more. `true` if nothing will come.
    fn take(&mut self, bytes: &Bytes) -> bool {
        let Some((_, frames)) = &mut self.open else { return true };
        if let Err(error) = frames.flow_control().release_capacity(bytes.len()) {
            log::debug!("a window was not opened again: {error}");
        }
        // The h2 crate lets no more through than was announced.
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        let is_last = frames.is_end_stream();
        if is_last {
            self.finish();
        }
        is_last
    }

    /// All of it has come.
    fn finish(&mut self) {
        if let Some((flow, frames)) = self.open.take() {
            flow.finish(frames);
        }
    }
}

impl Body for OpenBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        if matches!(next, Some(Err(_))) {
            self.open = None;
        }
        Poll::Ready(next)
    }

    fn size(&self) -> BodySize {
        self.size
    }
}

impl Drop for OpenBody {
    /// Who knows the length does not ask again once he has all of it.
    fn drop(&mut self) {
        if self.left == Some(0) {
            self.finish();
        }
    }
}

/// The endpoint has reset the stream, or is gone, or what it sent is not what it has announced.
fn broken(error: h2::Error) -> BodyError {
    BodyError::Io(error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()))
}
