//! Who of those that share a task was woken: all of them are polled in one, and each costs something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The bells of one connection: one for its socket, and one for each place where something is answered.
pub struct Bells {
    rung: Arc<Rung>,
    socket: Waker,
    places: Vec<Waker>,
}

struct Rung {
    socket: AtomicBool,
    /// A bit for each place; where there are more of them than bits, some share one.
    places: Box<[AtomicU64]>,
    /// The task is at work, and looks before it rests.
    is_heard: AtomicBool,
    task: AtomicWaker,
}

/// So many places have a bit of their own.
const MOST: usize = 4096;
const BITS: usize = 64;

impl Bells {
    /// For so many places, or a few more. That of the socket has been rung: nobody has looked there yet.
    pub fn of(places: usize) -> Self {
        let words = places.clamp(1, MOST).div_ceil(BITS);
        let rung = Arc::new(Rung {
            socket: AtomicBool::new(true),
            places: (0..words).map(|_| AtomicU64::new(0)).collect(),
            is_heard: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        let socket = Waker::from(Arc::new(Socket(Arc::clone(&rung))));
        Self { rung, socket, places: Vec::new() }
    }

    /// What rings that of the socket.
    pub fn socket(&self) -> &Waker {
        &self.socket
    }

    /// What rings that of a place.
    pub fn place(&mut self, index: usize) -> &Waker {
        while self.places.len() <= index {
            let place = Place { rung: Arc::clone(&self.rung), index: self.places.len() };
            self.places.push(Waker::from(Arc::new(place)));
        }
        &self.places[index]
    }

    /// Rings that of the socket.
    pub fn ring_socket(&self) {
        self.rung.socket.store(true, SeqCst);
    }

    /// Rings that of a place.
    pub fn ring(&self, index: usize) {
        self.rung.ring(index);
    }

    /// One of them was rung, and has not been looked at.
    pub fn are_rung(&self) -> bool {
        self.rung.is_rung()
    }

    /// Whether that of the socket was rung since this was last asked.
    pub fn take_socket(&self) -> bool {
        self.rung.socket.load(SeqCst) && self.rung.socket.swap(false, SeqCst)
    }

    /// The places, below so many, that were rung since this was last asked.
    pub fn take_places(&self, count: usize) -> impl Iterator<Item = usize> {
        let all = self.rung.places.len() * BITS;
        self.rung.places.iter().enumerate().flat_map(move |(word, places)| {
            let bits = if places.load(SeqCst) == 0 { 0 } else { places.swap(0, SeqCst) };
            Bits(bits).flat_map(move |bit| (word * BITS + bit..count).step_by(all))
        })
    }

    /// The task is at work.
    pub fn hear(&self) {
        self.rung.is_heard.store(true, SeqCst);
    }

    /// The task rests: from now on the bells wake it.
    pub fn rest(&self, task: &Waker) {
        self.rung.task.register(task);
        self.rung.is_heard.store(false, SeqCst);
        if self.are_rung() {
            self.rung.task.wake();
        }
    }

    /// Gives back what many places at once have needed, now that there is none.
    pub fn shrink(&mut self) {
        if self.places.len() > FEW {
            self.places = Vec::new();
        }
    }
}

/// So many bells cost next to nothing.
const FEW: usize = 2;

impl Rung {
    fn is_rung(&self) -> bool {
        self.socket.load(SeqCst) || self.places.iter().any(|places| places.load(SeqCst) != 0)
    }

    fn ring(&self, index: usize) {
        let word = &self.places[index / BITS % self.places.len()];
        word.fetch_or(1 << (index % BITS), SeqCst);
    }

    fn wake(&self) {
        if !self.is_heard.load(SeqCst) {
            self.task.wake();
        }
    }
}

/// The numbers of the bits that are set.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

struct Socket(Arc<Rung>);

impl Wake for Socket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.socket.store(true, SeqCst);
        self.0.wake();
    }
}

struct Place {
    rung: Arc<Rung>,
    index: usize,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.ring(self.index);
        self.rung.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that is woken or not.
    fn task() -> Bells {
        let bells = Bells::of(1);
        assert!(bells.take_socket());
        bells
    }

    #[test]
    fn they_wake_a_task_that_rests_and_no_other() {
        for index in [None, Some(5)] {
            let (task, mut bells) = (task(), task());
            let ring = index.map_or(bells.socket().clone(), |index| bells.place(index).clone());

            ring.wake_by_ref();
            assert!(!task.are_rung());
            assert_eq!((bells.take_socket(), bells.take_places(10).next()), (index.is_none(), index));
            assert!(!bells.are_rung());
            bells.rest(task.socket());
            assert!(!task.are_rung());
            ring.wake_by_ref();

            assert!(task.are_rung() && bells.are_rung());
        }
    }

    #[test]
    fn places_that_share_a_bit_are_all_looked_at() {
        let mut bells = Bells::of(1);
        bells.place(70).wake_by_ref();
        assert_eq!(bells.take_places(100).collect::<Vec<_>>(), [6, 70]);
    }

    #[test]
    fn a_task_does_not_rest_while_one_is_rung() {
        let (task, mut bells) = (task(), task());

        bells.place(3).wake_by_ref();
        bells.rest(task.socket());

        assert!(task.are_rung());
    }

    #[test]
    fn every_place_that_was_rung_is_found_once() {
        let mut bells = Bells::of(200);
        for index in [0, 63, 64, 199] {
            bells.place(index).wake_by_ref();
            bells.ring(index);
        }
        assert_eq!(bells.take_places(200).collect::<Vec<_>>(), [0, 63, 64, 199]);
        assert_eq!(bells.take_places(200).count(), 0);
    }
}
