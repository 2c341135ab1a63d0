//! What a task is about to touch is asked for before it is needed, so that its lines come from memory together and not one after
//! the other (docs/adr/0050-lines-that-come-together.md).

use std::{
    array,
    cell::Cell,
    future::Future,
    ops::DerefMut,
    pin::Pin,
    ptr,
    task::{Context, Poll},
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
    const NOWHERE: Self = Self { first: ptr::null(), size: 0 };

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

/// So many places are remembered. Whoever waits within a task notes fewer, also where two endpoints are asked at once.
const MOST: usize = 8;

thread_local! {
    static NOTED: Noted = const { Noted { places: [const { Cell::new(Place::NOWHERE) }; MOST], count: Cell::new(0) } };
}

/// What was noted since a task has gone on.
struct Noted {
    places: [Cell<Place>; MOST],
    count: Cell<usize>,
}

/// Whoever waits for something says what he touches when he goes on. It is fetched as soon as the task does, together with the task,
/// and not only when he is reached.
#[inline]
pub fn when_it_goes_on<T: ?Sized>(value: &T) {
    when_it_goes_on_at(Place::of(value));
}

/// The same, of a place.
#[inline]
pub fn when_it_goes_on_at(place: Place) {
    NOTED.with(|noted| {
        let count = noted.count.get();
        if let Some(next) = noted.places.get(count) {
            next.set(place);
            noted.count.set(count + 1);
        }
    });
}

/// The same future. All of it is fetched whenever it goes on, and what those within it have named when they began to wait.
pub fn with_each_poll<P: DerefMut<Target: Future> + Unpin>(future: Pin<P>) -> WithEachPoll<P> {
    WithEachPoll { places: [Place::NOWHERE; MOST], count: 0, future }
}

/// See [`with_each_poll`].
pub struct WithEachPoll<P> {
    places: [Place; MOST],
    count: usize,
    future: Pin<P>,
}

impl<P: DerefMut<Target: Future> + Unpin> Future for WithEachPoll<P> {
    type Output = <P::Target as Future>::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        value(&*this.future);
        this.places.iter().take(this.count).for_each(|place| place.fetch());
        NOTED.with(|noted| noted.count.set(0));
        let polled = this.future.as_mut().poll(cx);
        NOTED.with(|noted| {
            this.count = noted.count.replace(0);
            this.places = array::from_fn(|number| noted.places[number].get());
        });
        polled
    }
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
    use std::{future::poll_fn, pin::pin, task::Waker};

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
        let twice = async {
            for number in 0..2 * MOST as u64 {
                when_it_goes_on(&*Box::new(number));
            }
            tokio::task::yield_now().await;
            7
        };

        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(with_each_poll(pin!(twice))), 7);
    }

    #[test]
    fn what_is_noted_is_of_the_last_time_and_of_nobody_else() {
        let named = [Box::new([0_u8; 100]), Box::new([0_u8; 100])];
        when_it_goes_on(&0_u8);
        let mut turn = 0;
        let waits = pin!(poll_fn(|_| {
            turn += 1;
            when_it_goes_on(&*named[0]);
            if turn == 2 {
                when_it_goes_on(&*named[1]);
            }
            Poll::<()>::Pending
        }));
        let mut waits = with_each_poll(waits);
        let mut noted = || {
            assert!(Pin::new(&mut waits).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            waits.places[..waits.count].iter().map(|place| (place.first.addr(), place.size)).collect::<Vec<_>>()
        };

        let [first, second] = named.each_ref().map(|one| ((&raw const **one).addr(), 100));
        assert_eq!([noted(), noted(), noted()], [vec![first], vec![first, second], vec![first]]);
    }
}
