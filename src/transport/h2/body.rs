//! A response's content as it comes.

use std::{
    io,
    task::{Context, Poll, ready},
};

use h2::RecvStream;

use super::{exchange::Flow, head};
use crate::http::{Body, BodyError, BodySize, Frame};

/// An open body. While it is read the rest of the request is sent. Dropped before its end, the stream is reset.
pub struct OpenBody {
    /// Gone once all of it has come.
    flow: Option<Flow>,
    frames: RecvStream,
    size: BodySize,
}

impl OpenBody {
    /// The body behind a head that was read.
    pub fn new(flow: Flow, frames: RecvStream, length: Option<u64>) -> Self {
        let size = length.map_or(BodySize::Stream, BodySize::Sized);
        Self { flow: Some(flow), frames, size }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(flow) = &mut self.flow else { return Poll::Ready(None) };
        if flow.poll_send(cx).is_err() {
            // Whatever became of the request, this is an answer to it.
            flow.give_up_sending();
        }
        loop {
            match self.frames.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    flow.pause();
                    // Whoever asks takes it: the endpoint may send as much more.
                    if let Err(error) = self.frames.flow_control().release_capacity(bytes.len()) {
                        log::debug!("a window was not opened again: {error}");
                    }
                    if !bytes.is_empty() {
                        if self.frames.is_end_stream() {
                            self.flow = None;
                        }
                        return Poll::Ready(Some(Ok(Frame::Data(bytes))));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(broken(error)))),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    ready!(flow.poll_stalled(cx));
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
            }
        }
        let Poll::Ready(trailers) = self.frames.poll_trailers(cx) else {
            ready!(flow.poll_stalled(cx));
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        };
        self.flow = None;
        let trailers = trailers.map_err(broken);
        Poll::Ready(match trailers {
            Ok(trailers) => {
                trailers.and_then(|trailers| head::trailers(&trailers)).map(|found| Ok(Frame::Trailers(found)))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

impl Body for OpenBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        if matches!(next, Some(Err(_))) {
            self.flow = None;
        }
        Poll::Ready(next)
    }

    fn size(&self) -> BodySize {
        self.size
    }
}

/// The endpoint has reset the stream, or is gone, or what it sent is not what it has announced.
fn broken(error: h2::Error) -> BodyError {
    BodyError::Io(error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()))
}
