//! What is to be sealed, in as many pieces as it comes in.

use std::io::IoSlice;

/// The pieces, from the front to the back.
pub struct Parts<'p> {
    parts: &'p [IoSlice<'p>],
    /// Of the first part.
    skipped: usize,
    left: usize,
}

impl<'p> Parts<'p> {
    pub fn of(parts: &'p [IoSlice<'p>]) -> Self {
        Self { parts, skipped: 0, left: parts.iter().map(|part| part.len()).sum() }
    }

    pub const fn left(&self) -> usize {
        self.left
    }

    /// The next bytes, where they are one piece; otherwise nothing is taken.
    pub fn take_whole(&mut self, size: usize) -> Option<&'p [u8]> {
        let whole = self.parts.first()?.get(self.skipped..self.skipped + size)?;
        self.skip(size);
        Some(whole)
    }

    /// Fills this with the next bytes; it is no longer than what is left.
    pub fn take_into(&mut self, mut into: &mut [u8]) {
        while let Some(part) = self.parts.first()
            && !into.is_empty()
        {
            let part = &part[self.skipped..];
            let count = part.len().min(into.len());
            let (now, later) = into.split_at_mut(count);
            now.copy_from_slice(&part[..count]);
            into = later;
            self.skip(count);
        }
    }

    /// So much of the first part is done with.
    fn skip(&mut self, count: usize) {
        self.left -= count;
        self.skipped += count;
        if let Some((first, behind)) = self.parts.split_first()
            && self.skipped == first.len()
        {
            (self.parts, self.skipped) = (behind, 0);
        }
    }
}
