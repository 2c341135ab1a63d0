//! Frames on their way out: those of a turn go out together. Small content is copied behind what goes before it, large is
//! written from where it is.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::edge::h2::buffers;

/// As much as a record of TLS holds: no more is gathered before it is written.
const MOST: usize = 16 * 1024;
/// What is smaller than this is copied: that costs less than a part of a write.
const SMALL: usize = 2048;

/// As much as is written and still kept, before it is thrown away: moving what is behind costs something.
const STALE: usize = 4096;

/// What is to be written.
#[derive(Debug, Default)]
pub struct Output {
    lines: Vec<u8>,
    written: usize,
    /// A piece of content behind that,
    data: Bytes,
    /// and what was written while it was still there.
    behind: Vec<u8>,
    /// What encrypts may hold something back.
    is_kept_back: bool,
    /// The socket has taken no more when it was last tried.
    is_stuck: bool,
}

impl Output {
    /// There is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.is_kept_back
    }

    fn is_written(&self) -> bool {
        self.written == self.lines.len() && self.data.is_empty() && self.behind.is_empty()
    }

    /// No more of answers is to be added before this is written.
    pub fn is_full(&self) -> bool {
        self.is_stuck || !self.data.is_empty() || self.lines.len() >= MOST
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.lines.len() - self.written + self.data.len() + self.behind.len()
    }

    /// What to write frames behind.
    pub fn end(&mut self) -> &mut Vec<u8> {
        // A client that reads as slowly as it has frames answered never takes all of them.
        if self.written >= STALE.max(self.lines.len() - self.written) {
            self.lines.drain(..mem::take(&mut self.written));
        }
        let end = if self.data.is_empty() { &mut self.lines } else { &mut self.behind };
        if end.capacity() == 0 {
            *end = buffers::take();
        }
        end
    }

    /// Adds content behind the head of its frame.
    pub fn put(&mut self, content: Bytes) {
        if content.len() <= SMALL || !self.data.is_empty() {
            self.end().extend_from_slice(&content);
        } else {
            self.data = content;
        }
    }

    /// Writes all of it, and has it sent. `moved` is set when a byte went out.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        let wrote = self.poll_all(cx, to, moved);
        self.is_stuck = wrote.is_pending();
        wrote
    }

    fn poll_all<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let lines = &self.lines[self.written..];
            let wrote = if self.data.is_empty() {
                ready!(Pin::new(&mut *to).poll_write(cx, lines))?
            } else {
                let parts = [lines, &self.data, &self.behind].map(IoSlice::new);
                ready!(Pin::new(&mut *to).poll_write_vectored(cx, &parts))?
            };
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *moved = true;
            self.is_kept_back = true;
            self.advance(wrote);
        }
        buffers::give_back(mem::take(&mut self.lines));
        self.written = 0;
        if self.is_kept_back {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.is_kept_back = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut wrote: usize) {
        let lines = wrote.min(self.lines.len() - self.written);
        self.written += lines;
        wrote -= lines;
        let data = wrote.min(self.data.len());
        self.data.advance(data);
        wrote -= data;
        if self.data.is_empty() && self.written == self.lines.len() {
            // Empty, it would still hold the memory that it came in.
            self.data = Bytes::new();
            buffers::give_back(mem::replace(&mut self.lines, mem::take(&mut self.behind)));
            self.written = wrote;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[actix_rt::test]
    async fn all_of_it_comes_in_its_order_however_little_is_taken_at_once() {
        for room in [1, 7, 3000, 1 << 20] {
            let (mut near, mut far) = duplex(room);
            let mut output = Output::default();
            output.end().extend_from_slice(b"head");
            output.put(Bytes::from_static(b"small"));
            output.put(Bytes::from(vec![b'x'; 3000]));
            output.end().extend_from_slice(b"behind");
            output.put(Bytes::from(vec![b'y'; 3000]));
            assert!(output.is_full());
            let expected = output.waiting();

            let (mut came, mut moved) = (Vec::new(), false);
            let write = async {
                let wrote = poll_fn(|cx| output.poll_write(cx, &mut near, &mut moved)).await;
                drop(near);
                wrote
            };
            let (wrote, read) = tokio::join!(write, far.read_to_end(&mut came));
            assert!(wrote.is_ok() && read.is_ok());

            assert!(output.is_empty() && !output.is_full() && moved);
            let whole = [&b"headsmall"[..], &[b'x'; 3000], b"behind", &[b'y'; 3000]].concat();
            assert!(came == whole && expected == whole.len(), "{room}");
        }
    }

    /// Takes so many bytes each time it is asked, and then no more.
    struct Slow(usize, Vec<u8>);

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = mem::take(&mut self.0).min(bytes.len());
            self.1.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_never_written_to_its_end_takes_no_more_memory_than_what_waits() {
        let (mut to, mut output) = (Slow(0, Vec::new()), Output::default());
        output.end().push(0xff);
        for round in 0..100_000_u32 {
            output.end().extend_from_slice(&round.to_be_bytes());
            // A byte stays behind each time.
            to.0 = 4;
            assert!(output.poll_write(&mut Context::from_waker(Waker::noop()), &mut to, &mut false).is_pending());
        }

        assert_eq!(output.waiting(), 1);
        assert!(output.lines.capacity() <= 4 * STALE, "{} bytes", output.lines.capacity());
        assert!(to.1[1..].chunks_exact(4).zip(0_u32..).all(|(line, round)| *line == round.to_be_bytes()));
    }

    #[test]
    fn as_long_as_nobody_takes_what_was_written_there_is_no_room_for_more() {
        let (mut near, _far) = duplex(2);
        let (mut output, mut moved) = (Output::default(), false);
        output.end().extend_from_slice(b"abc");
        assert!(!output.is_full());

        assert!(output.poll_write(&mut Context::from_waker(Waker::noop()), &mut near, &mut moved).is_pending());

        assert!(output.is_full() && moved);
        assert_eq!(output.waiting(), 1);
    }
}
