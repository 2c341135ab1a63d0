//! Bytes on their way out: lines that were written here, data that came from elsewhere, and what closes it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// What is smaller than this is copied behind what goes before it: a copy costs less than a part of a write.
const SMALL: usize = 2048;

/// At most one piece of data, with what goes before and behind it, in one vectored write. It is empty once it is flushed:
/// what encrypts may keep something back.
#[derive(Default)]
pub struct Outbox {
    /// Heads and the lines of chunks; more may be added as long as there is no data behind them.
    pub lines: Vec<u8>,
    written: usize,
    data: Bytes,
    end: &'static [u8],
    is_kept_back: bool,
}

impl Outbox {
    /// These lines first.
    pub fn of(lines: Vec<u8>) -> Self {
        Self { lines, ..Self::default() }
    }

    /// There is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.is_kept_back
    }

    fn is_written(&self) -> bool {
        self.written == self.lines.len() && self.data.is_empty() && self.end.is_empty()
    }

    /// Nothing may be added before all of this is written.
    pub fn is_closed(&self) -> bool {
        !self.data.is_empty() || !self.end.is_empty()
    }

    /// Bytes of lines that wait.
    pub fn waiting(&self) -> usize {
        self.lines.len() - self.written
    }

    /// Adds data, and what goes behind it.
    pub fn put(&mut self, data: Bytes, end: &'static [u8]) {
        debug_assert!(!self.is_closed(), "one piece of data at a time");
        if data.len() <= SMALL {
            self.lines.extend_from_slice(&data);
            self.lines.extend_from_slice(end);
        } else {
            (self.data, self.end) = (data, end);
        }
    }

    /// Writes all of it. `moved` is set when a byte went out.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let lines = &self.lines[self.written..];
            let wrote = if lines.is_empty() && self.end.is_empty() {
                ready!(Pin::new(&mut *to).poll_write(cx, &self.data))?
            } else if self.is_closed() {
                let parts = [lines, &self.data, self.end].map(IoSlice::new);
                // Most often nothing goes behind.
                let parts = if self.end.is_empty() { &parts[..2] } else { &parts };
                ready!(Pin::new(&mut *to).poll_write_vectored(cx, parts))?
            } else {
                ready!(Pin::new(&mut *to).poll_write(cx, lines))?
            };
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *moved = true;
            self.is_kept_back = true;
            self.advance(wrote);
        }
        self.lines.clear();
        self.written = 0;
        // Empty, it would still hold the memory that it came in.
        self.data = Bytes::new();
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
        self.end = &self.end[wrote - data..];
    }
}
