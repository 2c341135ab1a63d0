//! Memory that goes from message to message on one worker.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{HeaderMap, body::Came};

thread_local! {
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
    static LINES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static TEXTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static COUNTS: RefCell<Vec<Rc<Cell<Came>>>> = const { RefCell::new(Vec::new()) };
}

/// What is kept for later: as much as so many requests have that wait for their answers at once. What is needed beyond that is had from
/// the allocator, and grows anew each time, which is several allocations for a map or a line.
const MAX_KEPT: usize = 1024;
/// A request has a path, an authority, and a target at its endpoint.
const TEXTS_EACH: usize = 3;
/// A text longer than this is an exception.
const MAX_TEXT: usize = 1024;
/// A map that has grown larger than this is not kept.
const MAX_FIELDS: usize = 64;
/// Nor are lines that have.
const MAX_LINES: usize = 8 * 1024;

/// What is kept while there is little to do.
const KEPT_AT_REST: usize = 16;

/// Lets go of what is kept beyond a few of each.
pub fn tidy() {
    fn tidy<T>(kept: &mut Vec<T>) {
        kept.truncate(KEPT_AT_REST);
        kept.shrink_to(KEPT_AT_REST);
    }
    MAPS.with_borrow_mut(tidy);
    LINES.with_borrow_mut(tidy);
    TEXTS.with_borrow_mut(tidy);
    COUNTS.with_borrow_mut(tidy);
}

/// An empty map.
pub fn map() -> HeaderMap {
    MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back a map that nobody needs any more.
pub fn give_back(mut map: HeaderMap) {
    if (1..=MAX_FIELDS).contains(&map.capacity()) {
        map.clear();
        MAPS.with_borrow_mut(|kept| {
            if kept.len() < MAX_KEPT {
                kept.push(map)
            }
        });
    }
}

/// An empty buffer to write field lines in.
pub fn lines() -> Vec<u8> {
    LINES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back a buffer that nobody needs any more.
pub fn give_back_lines(mut lines: Vec<u8>) {
    if (1..=MAX_LINES).contains(&lines.capacity()) {
        lines.clear();
        LINES.with_borrow_mut(|kept| {
            if kept.len() < MAX_KEPT {
                kept.push(lines)
            }
        });
    }
}

/// An empty text.
pub fn text() -> String {
    TEXTS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back a text that nobody needs any more.
pub fn give_back_text(mut text: String) {
    if (1..=MAX_TEXT).contains(&text.capacity()) {
        text.clear();
        TEXTS.with_borrow_mut(|kept| {
            if kept.len() < TEXTS_EACH * MAX_KEPT {
                kept.push(text)
            }
        });
    }
}

/// A count of nothing yet, to be shared.
pub fn count() -> Rc<Cell<Came>> {
    COUNTS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back a count that nobody needs any more; if somebody else still does, it is his.
pub fn give_back_count(mut count: Rc<Cell<Came>>) {
    if let Some(only) = Rc::get_mut(&mut count) {
        only.set(Came::default());
        COUNTS.with_borrow_mut(|kept| {
            if kept.len() < MAX_KEPT {
                kept.push(count)
            }
        });
    }
}

/// Writes a number in decimal.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_somebody_still_has_is_not_given_to_another() {
        let (shared, own) = (count(), count());
        let body = Rc::clone(&shared);
        body.set(Came { bytes: 7, spliced: 0 });
        own.set(Came { bytes: 3, spliced: 2 });

        give_back_count(shared);
        give_back_count(own);

        assert_eq!((count().get(), count().get(), body.get().bytes), (Came::default(), Came::default(), 7));
        assert_eq!(Rc::strong_count(&body), 1);
    }
}
