//! The thread that writes lines: as many at once as there are.

use std::{io, sync::Arc};

use super::{
    Output,
    waiting::{Batch, Shared},
};

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer<O> {
    output: O,
    shared: Arc<Shared>,
    /// Writing failed: said once, until it works again.
    failing: bool,
    /// Dropped lines that were told of.
    told: u64,
}

impl<O: Output> Writer<O> {
    pub(super) fn new(output: O, shared: Arc<Shared>) -> Self {
        Self { output, shared, failing: false, told: 0 }
    }

    /// Writes until nobody is left who could send a line.
    pub(super) fn run(mut self) {
        let mut empty = Batch::default();
        while let Some((mut batch, asked)) = self.shared.take(empty) {
            self.write(&batch);
            // Who waits for it may end the process.
            self.tell_dropped();
            self.shared.answer(asked);
            batch.clear();
            empty = batch;
            self.shared.gather();
        }
    }

    fn write(&mut self, batch: &Batch) {
        let Some((bytes, lines)) = batch.reopen else { return self.write_out(&batch.bytes, batch.lines) };
        let (before, after) = batch.bytes.split_at(bytes);
        self.write_out(before, lines);
        self.output.reopen();
        self.write_out(after, batch.lines - lines);
    }

    fn write_out(&mut self, bytes: &[u8], lines: u64) {
        if bytes.is_empty() {
            return;
        }
        match self.write_whole(bytes) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.drop_lines(lines);
                if !self.failing {
                    self.output.tell_failure(&error);
                }
                self.failing = true;
            }
        }
    }

    fn write_whole(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.failing {
            // What failed may have ended within a line.
            self.output.write_all(b"\n")?;
        }
        self.output.write_all(lines)
    }

    /// Tells how many lines were dropped since this was last told.
    fn tell_dropped(&mut self) {
        let all = self.shared.dropped();
        if all > self.told {
            self.output.tell_dropped(all - self.told);
            self.told = all;
        }
    }
}
