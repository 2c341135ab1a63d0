//! Deadlines that cost nothing while they are met.
//!
//! A [`Deadline`] belongs to a connection and is moved with every event; moving it writes two numbers. One task per
//! worker sleeps until the earliest of them. A deadline that was moved on is put back when its old time comes, so a
//! request costs no timer and no task. Deadlines come up to 40 ms late, never early: a [`TICK`], and twice what the cheap time
//! may be old; those of connections that are parked, of which only a [`Due`] is kept, a quarter of a second more.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// The grain of all deadlines.
pub const TICK: Duration = Duration::from_millis(16);

/// How old the cheap time may be: the kernel moves it on with its own ticks, 10 ms apart at most.
const COARSE: Duration = Duration::from_millis(10);

/// So many of those that nobody needs are kept for later.
const MOST_SPARE: usize = 4096;
/// And so many of them while there is little to do.
const SPARE_AT_REST: usize = 16;

const NEVER: u64 = u64::MAX;

/// Time since some moment; a few milliseconds old, and had for a quarter of what `Instant::now` costs.
pub fn coarse() -> Duration {
    read(ClockId::MonotonicCoarse)
}

/// The same time, exact, in nanoseconds: for what is told apart within milliseconds, on whichever thread.
pub fn nanoseconds() -> u64 {
    let now = read(ClockId::Monotonic);
    now.as_secs() * 1_000_000_000 + u64::from(now.subsec_nanos())
}

/// Time since 1970, as cheap.
pub fn unix_coarse() -> Duration {
    read(ClockId::RealtimeCoarse)
}

/// Lets go of what is kept for later beyond a few.
pub fn tidy() {
    let mut spare = SPARE.take();
    // Those that the wheel remembers take their memory anyway.
    let mut kept = 0..SPARE_AT_REST;
    spare.retain(|state| state.queued.get() != NEVER || kept.next().is_some());
    spare.shrink_to(SPARE_AT_REST);
    SPARE.replace(spare);
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

/// When a deadline comes, by its worker's clock, to a quarter of a second: all that has to be kept of one that nobody waits for yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due(u32);

/// Ticks that a [`Due`] counts as one: so that four bytes are enough for a worker of 34 years.
const COUNTED_AS_ONE: u64 = 16;

impl Due {
    /// It does not come. Nor does what is 34 years from the worker's start.
    pub const NEVER: Self = Self(u32::MAX);

    /// In so long; without a limit never.
    pub fn within(limit: Option<Duration>) -> Self {
        limit.map_or(Self::NEVER, |limit| Self::at(WHEEL.with(|wheel| wheel.tick_in(limit))))
    }

    /// It has come.
    pub fn has_passed(self) -> bool {
        self != Self::NEVER && self.tick() <= WHEEL.with(Wheel::now)
    }

    /// It, to be waited for.
    pub fn deadline(self) -> Deadline {
        let deadline = Deadline::new();
        deadline.arm_at(self);
        deadline
    }

    /// Not before that tick.
    fn at(tick: u64) -> Self {
        u32::try_from(tick.div_ceil(COUNTED_AS_ONE)).map_or(Self::NEVER, Self)
    }

    fn tick(self) -> u64 {
        u64::from(self.0) * COUNTED_AS_ONE
    }
}

/// A point in time that can be moved, and waited for by one task.
#[derive(Clone)]
pub struct Deadline(Rc<State>);

struct State {
    due: Cell<u64>,
    queued: Cell<u64>,
    passed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Deadline {
    /// A deadline that never comes until it is armed.
    pub fn new() -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        Self(spare.ok().flatten().unwrap_or_default())
    }

    /// Moves it to `after` from now.
    pub fn arm(&self, after: Duration) {
        WHEEL.with(|wheel| self.move_to(wheel.tick_in(after), wheel));
    }

    /// Moves it there.
    pub fn arm_at(&self, due: Due) {
        match due {
            Due::NEVER => self.disarm(),
            due => WHEEL.with(|wheel| self.move_to(due.tick(), wheel)),
        }
    }

    fn move_to(&self, due: u64, wheel: &Wheel) {
        self.0.passed.set(false);
        self.0.due.set(due);
        if due < self.0.queued.get() {
            self.0.queued.set(due);
            wheel.queue(due, Rc::downgrade(&self.0));
        }
    }

    /// Arms it, or disarms it where there is no limit.
    pub fn arm_or_disarm(&self, after: Option<Duration>) {
        match after {
            Some(after) => self.arm(after),
            None => self.disarm(),
        }
    }

    /// It does not come any more.
    pub fn disarm(&self) {
        self.0.passed.set(false);
        self.0.due.set(NEVER);
    }

    /// It does not come any more, and nobody waits for it: the memory of a task that has ended is kept as long as it could be woken.
    pub fn rest(&self) {
        self.disarm();
        drop(self.0.waker.take());
    }

    /// When it comes.
    pub fn due(&self) -> Due {
        Due::at(self.0.due.get())
    }

    /// It is to come.
    pub fn is_armed(&self) -> bool {
        self.0.due.get() != NEVER
    }

    /// It has come.
    pub fn has_passed(&self) -> bool {
        self.0.passed.get()
    }

    /// Ready once it has come; the task is woken then. Only the last task that polled is woken.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.passed.get() {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// The wheel may have to remember it for long after that: whoever needs another one takes it over, so that there are no more
/// of them than were needed at once.
impl Drop for Deadline {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) > 1 {
            return;
        }
        self.rest();
        // At the end of a thread there is nobody to take it over.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_SPARE {
                spare.push(Rc::clone(&self.0));
            }
        });
    }
}

impl Default for State {
    fn default() -> Self {
        Self { due: Cell::new(NEVER), queued: Cell::new(NEVER), passed: Cell::new(false), waker: RefCell::new(None) }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    static WHEEL: Wheel = Wheel::new();
    /// What deadlines were made of that nobody needs any more.
    static SPARE: RefCell<Vec<Rc<State>>> = const { RefCell::new(Vec::new()) };
}

struct Wheel {
    origin: Instant,
    coarse_origin: Duration,
    entries: RefCell<BTreeMap<u64, Vec<Weak<State>>>>,
    /// What the ticker sleeps until; `NEVER` when it does not run.
    sleeping_until: Cell<u64>,
    running: Cell<bool>,
    earlier: Rc<Notify>,
}

impl Wheel {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            coarse_origin: coarse(),
            entries: RefCell::default(),
            sleeping_until: Cell::new(NEVER),
            running: Cell::new(false),
            earlier: Rc::new(Notify::new()),
        }
    }

    fn now(&self) -> u64 {
        ticks(self.origin.elapsed())
    }

    fn tick_in(&self, after: Duration) -> u64 {
        let now = coarse().saturating_sub(self.coarse_origin) + COARSE;
        ticks(now.saturating_add(after)) + 1
    }

    fn at(&self, tick: u64) -> Instant {
        self.origin + Duration::from_nanos(TICK.as_nanos() as u64 * tick)
    }

    fn queue(&self, due: u64, state: Weak<State>) {
        self.entries.borrow_mut().entry(due).or_default().push(state);
        if !self.running.replace(true) {
            actix_rt::spawn(run());
        } else if due < self.sleeping_until.get() {
            self.earlier.notify_one();
        }
    }

    fn first(&self) -> Option<u64> {
        self.entries.borrow().first_key_value().map(|(tick, _)| *tick)
    }

    /// Wakes what is due; puts back what was moved.
    fn turn(&self) {
        let now = self.now();
        while self.first().is_some_and(|tick| tick <= now) {
            let Some((tick, entries)) = self.entries.borrow_mut().pop_first() else { return };
            for state in entries.iter().filter_map(Weak::upgrade) {
                if state.queued.get() != tick {
                    continue;
                }
                state.queued.set(NEVER);
                match state.due.get() {
                    NEVER => {}
                    due if due <= now => {
                        state.passed.set(true);
                        if let Some(waker) = state.waker.borrow_mut().take() {
                            waker.wake();
                        }
                    }
                    due => {
                        state.queued.set(due);
                        self.entries.borrow_mut().entry(due).or_default().push(Rc::downgrade(&state));
                    }
                }
            }
        }
    }
}

/// The ticker: one task per worker, there only while there is something to wait for.
async fn run() {
    let _running = Running;
    let earlier = WHEEL.with(|wheel| Rc::clone(&wheel.earlier));
    while let Some(next) = WHEEL.with(Wheel::first) {
        let until = WHEEL.with(|wheel| {
            wheel.sleeping_until.set(next);
            wheel.at(next)
        });
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => WHEEL.with(Wheel::turn),
            () = earlier.notified() => {}
        }
    }
}

/// Says that no ticker runs, also when its runtime is dropped under it.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let _ = WHEEL.try_with(|wheel| {
            wheel.running.set(false);
            wheel.sleeping_until.set(NEVER);
        });
    }
}

fn ticks(time: Duration) -> u64 {
    // In milliseconds, because division of what takes 128 bits is a loop.
    let milliseconds = time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()));
    milliseconds / TICK.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn passes(deadline: &Deadline) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed()
    }

    #[actix_rt::test]
    async fn it_comes_no_earlier_than_asked() {
        let deadline = Deadline::new();
        deadline.arm(Duration::from_millis(40));
        assert!(passes(&deadline).await >= Duration::from_millis(40));
        assert!(deadline.has_passed());
    }

    /// What a machine that has no time adds comes on top.
    #[test]
    fn it_is_due_up_to_40_milliseconds_late_and_never_early() {
        let wheel = Wheel::new();
        for after in (0..1000).map(Duration::from_millis) {
            let before = Instant::now();
            let due = wheel.at(wheel.tick_in(after));
            let asked = Instant::now();

            assert!(due >= before + after, "{after:?}");
            assert!(due <= asked + after + Duration::from_millis(40), "{after:?}");
        }
    }

    #[actix_rt::test]
    async fn moving_it_on_keeps_it_from_coming_at_its_first_time() {
        let deadline = Deadline::new();
        deadline.arm(Duration::from_millis(20));
        deadline.arm(Duration::from_millis(120));
        assert!(passes(&deadline).await >= Duration::from_millis(120));
    }

    #[actix_rt::test]
    async fn one_armed_earlier_than_the_ticker_sleeps_wakes_it() {
        let (late, early) = (Deadline::new(), Deadline::new());
        late.arm(Duration::from_secs(3600));
        actix_rt::task::yield_now().await;
        early.arm(Duration::from_millis(20));
        assert!(passes(&early).await < Duration::from_secs(60));
        assert!(!late.has_passed());
    }

    #[actix_rt::test]
    async fn those_that_nobody_needs_any_more_are_not_remembered_one_by_one() {
        for _ in 0..1000 {
            Deadline::new().arm(Duration::from_secs(3600));
        }
        let (one, other) = (Deadline::new(), Deadline::new());
        one.arm(Duration::from_secs(3600));
        assert!(one.is_armed() && !other.is_armed() && !other.has_passed());

        let remembered: usize = WHEEL.with(|wheel| wheel.entries.borrow().values().map(Vec::len).sum());
        assert!(remembered < 10, "{remembered} of them");
    }

    #[test]
    fn one_that_rests_holds_no_task_that_waited_for_it() {
        struct Nobody;
        impl std::task::Wake for Nobody {
            fn wake(self: std::sync::Arc<Self>) {}
        }
        let (task, deadline) = (std::sync::Arc::new(Nobody), Deadline::new());
        let waker = Waker::from(std::sync::Arc::clone(&task));
        assert!(deadline.poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(std::sync::Arc::strong_count(&task), 2);

        deadline.rest();

        assert_eq!(std::sync::Arc::strong_count(&task), 1);
    }

    #[test]
    fn what_is_kept_of_a_deadline_comes_no_earlier_and_is_enough_for_a_worker_that_never_ends() {
        let ten_years = ticks(Duration::from_secs(10 * 366 * 24 * 3600));
        for tick in [0, 1, 15, 16, 17, ten_years, ten_years + 1] {
            let due = Due::at(tick);
            assert!((tick..tick + COUNTED_AS_ONE).contains(&due.tick()), "{tick}: {due:?}");
        }
        assert_eq!(Due::at(NEVER), Due::NEVER);
    }

    #[actix_rt::test]
    async fn a_disarmed_one_can_be_armed_again() {
        let deadline = Deadline::new();
        deadline.arm(Duration::from_millis(20));
        deadline.disarm();
        let other = Deadline::new();
        other.arm(Duration::from_millis(60));
        passes(&other).await;
        assert!(!deadline.has_passed());
        deadline.arm(Duration::from_millis(1));
        passes(&deadline).await;
    }
}
