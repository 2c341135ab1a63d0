//! Who of those that share a task was woken: all of them are polled in one, and each costs something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The bell of one part of a task.
pub struct Bell {
    rung: Arc<Rung>,
    waker: Waker,
}

struct Rung {
    is_rung: AtomicBool,
    /// The task is at work, and looks before it rests.
    is_heard: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// One that has been rung: whoever has it was never looked at.
    pub fn rung() -> Self {
        let (is_rung, is_heard) = (AtomicBool::new(true), AtomicBool::new(true));
        let rung = Arc::new(Rung { is_rung, is_heard, task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&rung)), rung }
    }

    /// What rings it.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Rings it.
    pub fn ring(&self) {
        self.rung.is_rung.store(true, SeqCst);
    }

    /// It was rung, and has not been looked at.
    pub fn is_rung(&self) -> bool {
        self.rung.is_rung.load(SeqCst)
    }

    /// Whether it was rung since this was last asked.
    pub fn take(&self) -> bool {
        self.is_rung() && self.rung.is_rung.swap(false, SeqCst)
    }

    /// The task is at work.
    pub fn hear(&self) {
        self.rung.is_heard.store(true, SeqCst);
    }

    /// The task rests: from now on the bell wakes it.
    pub fn rest(&self, task: &Waker) {
        self.rung.task.register(task);
        self.rung.is_heard.store(false, SeqCst);
        if self.is_rung() {
            self.rung.task.wake();
        }
    }
}

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_rung.store(true, SeqCst);
        if !self.is_heard.load(SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that is woken or not.
    fn task() -> (Bell, Waker) {
        let bell = Bell::rung();
        let waker = bell.waker().clone();
        assert!(bell.take());
        (bell, waker)
    }

    #[test]
    fn it_wakes_a_task_that_rests_and_no_other() {
        let ((task, waker), (bell, ring)) = (task(), task());

        ring.wake_by_ref();
        assert!(!task.is_rung());
        assert!(bell.take() && !bell.take());
        bell.rest(&waker);
        assert!(!task.is_rung());
        ring.wake_by_ref();

        assert!(task.is_rung() && bell.is_rung());
    }

    #[test]
    fn a_task_does_not_rest_while_it_is_rung() {
        let ((task, waker), (bell, ring)) = (task(), task());

        ring.wake_by_ref();
        bell.rest(&waker);

        assert!(task.is_rung());
    }
}
