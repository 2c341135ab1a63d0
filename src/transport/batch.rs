//! Writes gathered until a turn ends: each would be a system call of its own, and a record of TLS.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::http::scratch;

/// As much as a record of TLS holds; what is larger goes out at once.
const MOST: usize = 16 * 1024;

/// What was taken from whoever writes, and has not gone out. Empty, it holds no memory.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    written: usize,
    /// What encrypts may hold something back.
    is_kept_back: bool,
    /// Nothing more was taken when it was last tried.
    is_stuck: bool,
}

impl Batch {
    /// There is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_kept_back
    }

    /// Takes these parts, or as much of them as there is room for at once; `went` sees what goes out.
    pub fn poll_take<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        parts: &[IoSlice<'_>],
        went: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let size = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.is_stuck {
            ready!(self.poll_flush(cx, to, went))?;
        } else if self.bytes.len() + size > MOST {
            ready!(self.poll_write(cx, to, went))?;
        }
        if size > MOST {
            let wrote = ready!(Pin::new(to).poll_write_vectored(cx, parts))?;
            self.is_kept_back = true;
            each(parts, wrote, went);
            return Poll::Ready(Ok(wrote));
        }
        if self.bytes.capacity() == 0 {
            self.bytes = scratch::lines();
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        Poll::Ready(Ok(size))
    }

    /// Writes all of it, and has it sent.
    pub fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        went: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        let flushed = self.poll_all(cx, to, went);
        self.is_stuck = flushed.is_pending();
        flushed
    }

    fn poll_all<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        went: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx, to, went))?;
        if self.is_kept_back {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.is_kept_back = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        went: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let left = &self.bytes[self.written..];
            let wrote = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            went(&left[..wrote]);
            self.written += wrote;
            self.is_kept_back = true;
        }
        self.written = 0;
        scratch::give_back_lines(std::mem::take(&mut self.bytes));
        Poll::Ready(Ok(()))
    }
}

/// The first so many bytes of all parts.
fn each(parts: &[IoSlice<'_>], mut count: usize, went: &mut dyn FnMut(&[u8])) {
    for part in parts {
        let passed = part.len().min(count);
        went(&part[..passed]);
        count -= passed;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn take(batch: &mut Batch, to: &mut (impl AsyncWrite + Unpin), parts: &[&[u8]], went: &mut usize) -> Poll<usize> {
        let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let took = batch.poll_take(&mut context(), to, &parts, &mut |bytes| *went += bytes.len());
        took.map(|took| took.expect("the other side is there"))
    }

    #[actix_rt::test]
    async fn what_is_small_goes_out_together_when_it_is_flushed() {
        let (mut near, mut far) = duplex(1024);
        let (mut batch, mut went) = (Batch::default(), 0);

        for piece in ["ab", "cd"] {
            let took = take(&mut batch, &mut near, &[piece.as_bytes(), b"-"], &mut went);
            assert_eq!(took, Poll::Ready(3));
        }
        assert_eq!(went, 0);
        let flushed = batch.poll_flush(&mut context(), &mut near, &mut |bytes| went += bytes.len());

        assert!(matches!(flushed, Poll::Ready(Ok(()))) && batch.is_empty());
        let mut came = [0; 6];
        far.read_exact(&mut came).await.expect("all of it");
        assert_eq!((&came, went), (b"ab-cd-", 6));
    }

    #[actix_rt::test]
    async fn what_is_large_goes_out_at_once_and_behind_what_came_before() {
        let (mut near, mut far) = duplex(4 * MOST);
        let (mut batch, mut went, large) = (Batch::default(), 0, vec![b'x'; MOST]);

        let small = take(&mut batch, &mut near, &[b"ab"], &mut went);
        let took = take(&mut batch, &mut near, &[b"c", &large], &mut went);

        let Poll::Ready(took) = took else { panic!("there is room") };
        assert_eq!((small, went), (Poll::Ready(2), 2 + took));
        let mut came = [0; 3];
        far.read_exact(&mut came).await.expect("the first of it");
        assert_eq!(&came, b"abc");
    }

    #[actix_rt::test]
    async fn as_long_as_nobody_takes_what_was_written_nothing_more_is_taken() {
        let (mut near, mut far) = duplex(2);
        let (mut batch, mut went) = (Batch::default(), 0);
        assert!(take(&mut batch, &mut near, &[b"abc"], &mut went).is_ready());

        let flushed = batch.poll_flush(&mut context(), &mut near, &mut |bytes| went += bytes.len());
        assert!(flushed.is_pending());
        assert!(take(&mut batch, &mut near, &[b"d"], &mut went).is_pending());
        assert_eq!(went, 2);

        far.read_exact(&mut [0; 2]).await.expect("what went");
        assert!(take(&mut batch, &mut near, &[b"d"], &mut went).is_ready());
    }
}
