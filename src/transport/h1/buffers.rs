//! Buffers that go from exchange to exchange within a worker, so that waiting costs no memory and starting none.

use std::cell::RefCell;

use bytes::BytesMut;

/// How much is read at once: enough for most answers.
pub const PORTION: usize = 16 * 1024;
/// How much is read at once when a body turned out to be large.
pub const LARGE_PORTION: usize = 64 * 1024;
/// How many are kept of each kind.
const KEPT: usize = 8;
/// A head longer than this was an exception.
const MAX_HEAD: usize = 16 * 1024;

/// The worker's buffers.
#[derive(Default)]
pub struct Buffers {
    inputs: RefCell<Vec<BytesMut>>,
    lines: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Makes sure that there is room for about `wanted` bytes: three quarters will do, so that a buffer serves several
    /// small answers before it is asked for again.
    pub fn make_room(&self, input: &mut BytesMut, wanted: usize) {
        if input.capacity() == 0
            && let Some(kept) = self.inputs.borrow_mut().pop()
        {
            *input = kept;
        }
        if input.capacity() - input.len() < wanted - wanted / 4 {
            // Takes the same memory again if what was split off it is gone.
            input.reserve(wanted);
        }
    }

    /// Keeps a buffer whose content nobody needs.
    pub fn take_back(&self, mut input: BytesMut) {
        let mut inputs = self.inputs.borrow_mut();
        if input.capacity() > 0 && inputs.len() < KEPT {
            input.clear();
            inputs.push(input);
        }
    }

    /// An empty buffer for the head of a request.
    pub fn lend_lines(&self) -> Vec<u8> {
        self.lines.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// Keeps the buffer of a head that was sent.
    pub fn take_lines_back(&self, mut used: Vec<u8>) {
        let mut lines = self.lines.borrow_mut();
        if (1..=MAX_HEAD).contains(&used.capacity()) && lines.len() < KEPT {
            used.clear();
            lines.push(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_memory_is_used_again_once_what_was_split_off_it_is_gone() {
        let buffers = Buffers::default();
        let mut input = BytesMut::new();
        buffers.make_room(&mut input, PORTION);
        let memory = input.as_ptr() as usize;
        let memory = memory..memory + input.capacity();

        for _ in 0..100 {
            input.extend_from_slice(&[7; 1000]);
            drop(input.split().freeze());
            buffers.take_back(input);
            input = BytesMut::new();
            buffers.make_room(&mut input, PORTION);
            assert!(memory.contains(&(input.as_ptr() as usize)));
        }
    }

    #[test]
    fn what_is_still_read_is_not_written_over() {
        let buffers = Buffers::default();
        let mut input = BytesMut::new();
        let mut pieces = Vec::new();
        for number in 0..50 {
            buffers.make_room(&mut input, PORTION);
            input.extend_from_slice(&[number; 1000]);
            pieces.push(input.split().freeze());
        }

        assert!(pieces.iter().zip(0..).all(|(piece, number)| piece[..] == [number; 1000]));
    }

    #[test]
    fn no_more_is_kept_than_a_few() {
        let buffers = Buffers::default();
        for _ in 0..2 * KEPT {
            buffers.take_back(BytesMut::with_capacity(10));
            buffers.take_lines_back(Vec::with_capacity(10));
        }
        buffers.take_lines_back(Vec::with_capacity(2 * MAX_HEAD));

        assert_eq!((buffers.inputs.borrow().len(), buffers.lines.borrow().len()), (KEPT, KEPT));
    }
}
