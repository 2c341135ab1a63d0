//! Memory that goes from connection to connection of a worker: one that waits needs none.

use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// So many are kept: few are in use at once.
const MOST: usize = 16;
/// One that has grown larger is not kept.
const LARGEST: usize = 64 * 1024;

/// An empty one.
pub fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back one that nobody needs any more.
pub fn give_back(mut buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        buffer.clear();
        // At the end of a thread there is nobody to take it.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST {
                spare.push(buffer);
            }
        });
    }
}
