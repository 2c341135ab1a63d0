//! What a task is about to touch is asked for before it is needed, so that its lines come from memory together and not one after
//! the other (docs/adr/0050-lines-that-come-together.md).

use std::{
    future::{Future, poll_fn},
    ops::DerefMut,
    pin::Pin,
    ptr,
};

/// What processors fetch at once.
const LINE: usize = 64;

/// Where a value is, for whoever may not hold on to it. If it is not there any more nothing is lost.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    first: *const u8,
    size: usize,
}

impl Place {
    /// Of this one.
    pub fn of<T: ?Sized>(value: &T) -> Self {
        Self { first: ptr::from_ref(value).cast(), size: size_of_val(value) }
    }

    /// See [`value`].
    #[inline]
    pub fn fetch(self) {
        self.each_line(ask_for);
    }

    #[inline]
    fn each_line(self, mut ask: impl FnMut(*const u8)) {
        let mut line = self.first;
        for _ in 0..self.size / (4 * LINE) {
            (0..4).for_each(|number| ask(line.wrapping_add(number * LINE)));
            line = line.wrapping_add(4 * LINE);
        }
        for _ in 0..(self.size % (4 * LINE)).div_ceil(LINE) {
            ask(line);
            line = line.wrapping_add(LINE);
        }
        // It need not begin where a line does.
        ask(self.first.wrapping_add(self.size.saturating_sub(1)));
    }
}

/// Has the processor fetch all of a value, and does not wait for it.
#[inline]
pub fn value<T: ?Sized>(value: &T) {
    Place::of(value).fetch();
}

/// The same future; all of it is fetched whenever it goes on, and what lies at that place.
pub fn with_each_poll<F: Future>(
    mut future: Pin<impl DerefMut<Target = F>>,
    beside: Option<Place>,
) -> impl Future<Output = F::Output> {
    poll_fn(move |cx| {
        value(&*future);
        beside.iter().for_each(|place| place.fetch());
        future.as_mut().poll(cx)
    })
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "there is no safe way to say it; this is the one place (docs/adr/0050)")]
fn ask_for(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: it is a hint. The program reads nothing, and wherever it points, nothing fails.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

/// On other processors stable Rust has no way to say it.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ask_for(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_value_is_asked_for_and_no_other() {
        let bytes = [0_u8; 1024];
        for (start, size) in (0..LINE).flat_map(|start| [1, 63, 64, 65, 255, 256, 257, 700].map(|size| (start, size))) {
            let place = Place::of(&bytes[start..start + size]);
            let (first, last) = (place.first.addr(), place.first.addr() + size - 1);
            let mut asked = Vec::new();

            place.each_line(|line| asked.push(line.addr() / LINE));

            asked.sort_unstable();
            asked.dedup();
            assert_eq!(asked, (first / LINE..=last / LINE).collect::<Vec<_>>(), "{size} bytes from {first}");
        }
    }

    #[test]
    fn where_nothing_is_any_more_nothing_fails() {
        let value = Box::new([7_u8; 4096]);
        let place = Place::of(&*value);
        drop(value);
        place.fetch();

        Place { first: ptr::null(), size: 4096 }.fetch();
        Place { first: ptr::without_provenance(usize::MAX), size: 4096 }.fetch();
    }

    #[test]
    fn a_future_goes_on_as_it_would() {
        let twice = Box::pin(async {
            tokio::task::yield_now().await;
            7
        });
        let beside = Box::new(3_u64);

        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(with_each_poll(twice, Some(Place::of(&*beside)))), 7);
    }
}
