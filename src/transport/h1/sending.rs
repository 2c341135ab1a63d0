//! A request on its way out: head, body, trailers; one frame of the body in memory at a time.

use std::{
    io::{self, Write},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::{
    http::{
        Body, BodyError, Downstream, Frame, HeaderMap, Piece, RequestBody, body::Length, chunked, shortcut::is_refusal,
    },
    transport::{dial::Stream, outbox::Outbox},
};

/// Pieces of a body sent in one turn: an upload without a pause may not keep its answer from being read.
const PIECES: usize = 16;
/// What is in a pipe counts for as many of them as it would have come in through our memory. Otherwise it would use up the turn
/// that the runtime gives, and nothing would be left of that to read an answer in.
const FRAME: usize = 64 * 1024;

/// A request while it is sent.
pub struct Sending {
    /// The head, then a frame at a time.
    out: Outbox,
    /// Behind it a piece of the body that is not in our memory.
    piece: Option<Piece>,
    /// The endpoint's socket takes none.
    refuses_pieces: bool,
    /// What has not been read yet.
    pub body: RequestBody,
    left: Left,
    downstream: Option<Rc<dyn Downstream>>,
    /// The body was asked for its first frame.
    asked: bool,
    /// At least one byte went out.
    pub started: bool,
}

/// What is still to come of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Exactly(u64),
    Chunks,
    Nothing,
}

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub enum SendError {
    /// The endpoint does not take it.
    Endpoint(io::Error),
    /// The client does not give it.
    Client(BodyError),
}

impl Sending {
    /// A head that is written already, and the body that belongs behind it.
    pub fn new(head: Vec<u8>, body: RequestBody, downstream: Option<Rc<dyn Downstream>>) -> Self {
        let left = match body.length() {
            Length::None | Length::Exact(0) => Left::Nothing,
            Length::Exact(length) => Left::Exactly(length),
            Length::Chunked => Left::Chunks,
        };
        Self {
            out: Outbox::of(head),
            piece: None,
            refuses_pieces: false,
            body,
            left,
            downstream,
            asked: false,
            started: false,
        }
    }

    /// All of it went out.
    pub fn is_done(&self) -> bool {
        self.left == Left::Nothing && !self.has_bytes()
    }

    /// There are bytes that the endpoint has not taken.
    pub fn has_bytes(&self) -> bool {
        !self.out.is_empty() || self.piece.is_some()
    }

    /// The buffer of lines, once all of it went out, for the next request.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out.lines)
    }

    /// Sends what can be sent. Ready when all of it went out; `moved` is set when a byte did.
    pub fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream, moved: &mut bool) -> Poll<Result<(), SendError>> {
        let mut count = 0;
        while count < PIECES {
            // One frame at a time; the first goes out together with the head if it is there.
            let asks = self.left != Left::Nothing && (!self.has_bytes() || !self.asked);
            let more = if asks { self.poll_body(cx, stream)? } else { Poll::Pending };
            count += self.piece.as_ref().map_or(1, |piece| piece.len().div_ceil(FRAME).max(1));
            if self.has_bytes() {
                let wrote = self.poll_write(cx, stream, moved);
                self.started |= *moved;
                ready!(wrote).map_err(SendError::Endpoint)?;
            } else if self.left == Left::Nothing {
                return Poll::Ready(Ok(()));
            } else if more.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes all that is there.
    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut Stream, moved: &mut bool) -> Poll<io::Result<()>> {
        loop {
            ready!(self.out.poll_write(cx, stream, moved))?;
            let Some(piece) = self.piece.take() else { return Poll::Ready(Ok(())) };
            ready!(self.poll_pour(cx, stream, piece, moved))?;
        }
    }

    /// Writes what is in a pipe. What the socket does not take from there is read into memory, and what follows comes that way
    /// from the start.
    #[inline(never)]
    fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        mut piece: Piece,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        match stream.poll_pour(cx, &mut piece, moved) {
            Poll::Pending => {
                self.piece = Some(piece);
                Poll::Pending
            }
            Poll::Ready(Err(error)) if is_refusal(&error) => {
                self.refuses_pieces = true;
                self.out.put(piece.read_out()?, b"");
                Poll::Ready(Ok(()))
            }
            poured => poured,
        }
    }

    /// What is next of the body: a piece of it, or a frame, framed.
    fn poll_body(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Result<Poll<()>, SendError> {
        self.asked = true;
        if matches!(self.left, Left::Exactly(_)) && stream.is_clear() && !self.refuses_pieces {
            match self.body.poll_piece(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Ok(piece))) => {
                    self.announced(piece.len())?;
                    self.piece = Some(piece);
                    return Ok(Poll::Ready(()));
                }
                Poll::Ready(Some(Err(error))) => return Err(SendError::Client(error)),
                Poll::Ready(None) => {}
            }
        }
        match self.body.poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => self.frame(data)?,
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => self.finish(Some(&trailers))?,
            Poll::Ready(None) => {
                let trailers = self.downstream.as_ref().and_then(|downstream| downstream.request_trailers());
                if trailers.is_some() {
                    self.body.keep_no_more();
                }
                self.finish(trailers.as_ref())?;
            }
            Poll::Ready(Some(Err(error))) => return Err(SendError::Client(error)),
        }
        Ok(Poll::Ready(()))
    }

    fn frame(&mut self, data: Bytes) -> Result<(), SendError> {
        if data.is_empty() {
            // As a chunk it would be the last one, and what follows it the next request.
            return Ok(());
        }
        if self.left == Left::Chunks {
            write!(self.out.lines, "{:x}\r\n", data.len()).expect("memory takes what is written");
            self.out.put(data, b"\r\n");
            return Ok(());
        }
        self.announced(data.len())?;
        self.out.put(data, b"");
        Ok(())
    }

    /// So much of what was announced has come.
    fn announced(&mut self, length: usize) -> Result<(), SendError> {
        match &mut self.left {
            Left::Exactly(left) if length as u64 <= *left => *left -= length as u64,
            // More than was announced would be the next request to the endpoint.
            _ => return Err(SendError::Client(BodyError::Malformed)),
        }
        if self.left == Left::Exactly(0) {
            self.left = Left::Nothing;
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), SendError> {
        match std::mem::replace(&mut self.left, Left::Nothing) {
            Left::Exactly(_) => return Err(SendError::Client(BodyError::Incomplete)),
            Left::Nothing => {}
            Left::Chunks => {
                self.out.lines.extend_from_slice(b"0\r\n");
                let passed = trailers.into_iter().flatten().filter(|(name, _)| chunked::may_trail(name));
                for (name, value) in passed {
                    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                        self.out.lines.extend_from_slice(part);
                    }
                }
                self.out.lines.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Waker};

    use tokio::net::UnixStream;

    use super::*;
    use crate::http::BodySize;

    /// A body that always has more; it counts what was taken.
    struct Endless(Rc<Cell<usize>>);

    impl Body for Endless {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            self.0.set(self.0.get() + 1);
            Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(b"x")))))
        }

        fn size(&self) -> BodySize {
            BodySize::Stream
        }
    }

    #[actix_rt::test]
    async fn an_upload_without_a_pause_leaves_the_answer_its_turn() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let taken = Rc::new(Cell::new(0));
        let body = RequestBody::stream(Box::new(Endless(Rc::clone(&taken))), Length::Chunked);
        let mut sending = Sending::new(b"head".to_vec(), body, None);
        ours.writable().await.expect("it is open");
        let mut stream = Stream::Unix(ours);

        let sent = sending.poll(&mut Context::from_waker(Waker::noop()), &mut stream, &mut false);

        assert!(sent.is_pending());
        assert!((1..=PIECES).contains(&taken.get()), "{} pieces", taken.get());
    }

    /// A body that is in a pipe, and behind that in memory.
    #[cfg(target_os = "linux")]
    struct Spliced(Option<Piece>);

    #[cfg(target_os = "linux")]
    impl Body for Spliced {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            assert!(self.0.is_none(), "first comes what is in the pipe");
            Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(b", the rest")))))
        }

        fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
            Poll::Ready(Some(Ok(self.0.take().expect("it is asked for one piece and no more"))))
        }

        fn size(&self) -> BodySize {
            BodySize::Stream
        }
    }

    /// A body that always has another piece, as soon as the endpoint has read the last one.
    #[cfg(target_os = "linux")]
    struct Pieces {
        endpoint: std::os::unix::net::UnixStream,
        given: Rc<Cell<usize>>,
        unread: usize,
    }

    #[cfg(target_os = "linux")]
    const LARGE: usize = 128 * 1024;

    #[cfg(target_os = "linux")]
    impl Body for Pieces {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            panic!("all of it can be had in pieces")
        }

        fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
            use std::{io::Read, os::fd::AsFd, os::unix::net::UnixStream};

            self.endpoint.read_exact(&mut vec![0; self.unread]).expect("it was written");
            let (mut from, to) = UnixStream::pair().expect("a pair");
            from.write_all(&[b'x'; LARGE]).expect("there is room");
            let mut piece = Piece::empty().expect("a pipe");
            piece.fill(to.as_fd(), LARGE as u64).expect("it has come");
            self.unread = piece.len();
            self.given.set(self.given.get() + piece.len());
            Poll::Ready(Some(Ok(piece)))
        }

        fn size(&self) -> BodySize {
            BodySize::Stream
        }
    }

    #[cfg(target_os = "linux")]
    #[actix_rt::test]
    async fn an_upload_past_memory_leaves_the_answer_its_turn_after_as_many_bytes() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("it can be");
        let ours = UnixStream::from_std(ours).expect("it is open");
        let given = Rc::new(Cell::new(0));
        let body = Pieces { endpoint: theirs, given: Rc::clone(&given), unread: "head".len() };
        let mut sending = Sending::new(b"head".to_vec(), RequestBody::empty(), None);
        ours.writable().await.expect("it is open");
        let mut stream = Stream::Unix(ours);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sending.poll(&mut cx, &mut stream, &mut false).is_ready());
        sending.body = RequestBody::stream(Box::new(body), Length::Exact(u64::MAX));
        sending.left = Left::Exactly(u64::MAX);

        let sent = sending.poll(&mut cx, &mut stream, &mut false);

        assert!(sent.is_pending());
        assert!((1..=PIECES * FRAME).contains(&given.get()), "{} bytes", given.get());
    }

    #[cfg(target_os = "linux")]
    #[actix_rt::test]
    async fn what_an_endpoint_does_not_take_from_a_pipe_is_read_and_written() {
        use std::{future::poll_fn, os::fd::AsFd};

        use rustix::fs::{OFlags, fcntl_setfl};
        use tokio::io::AsyncReadExt;

        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (mut from, to) = std::os::unix::net::UnixStream::pair().expect("a pair");
        from.write_all(b"a piece").expect("there is room");
        let mut piece = Piece::empty().expect("a pipe");
        piece.fill(to.as_fd(), 100).expect("it has come");
        // Nothing is spliced into what is appended to (splice(2), EINVAL).
        fcntl_setfl(&ours, OFlags::APPEND | OFlags::NONBLOCK).expect("it may be changed");
        let body = RequestBody::stream(Box::new(Spliced(Some(piece))), Length::Exact(17));
        let mut sending = Sending::new(b"head, ".to_vec(), body, None);
        let mut stream = Stream::Unix(ours);

        let sent = poll_fn(|cx| sending.poll(cx, &mut stream, &mut false)).await;

        assert!(sent.is_ok() && sending.is_done());
        drop(stream);
        let mut came = String::new();
        theirs.read_to_string(&mut came).await.expect("text");
        assert_eq!(came, "head, a piece, the rest");
    }
}
