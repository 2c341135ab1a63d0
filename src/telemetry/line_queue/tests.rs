use std::sync::{
    Mutex,
    mpsc::{self, Receiver, Sender},
};

use super::*;

/// An hour is longer than any test waits: what is written before was not left to the pause.
const SLOW: Pace = Pace { pause: Duration::from_secs(3600), batch: 100 };
const ROOM: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what it is asked to do.
struct Told {
    to: Sender<String>,
    fails: bool,
    /// Held by who wants it to be stuck.
    gate: Arc<Mutex<()>>,
}

impl Output for Told {
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::other("full"));
        }
        self.tell(String::from_utf8(lines.to_vec()).expect("text"));
        drop(self.gate.lock());
        Ok(())
    }

    fn tell_failure(&mut self, error: &io::Error) {
        self.tell(format!("failed: {error}"));
    }

    fn tell_dropped(&mut self, lines: u64) {
        self.tell(format!("dropped: {lines}"));
    }

    fn reopen(&mut self) {
        self.fails = false;
        self.tell("reopened".into());
    }
}

impl Told {
    fn tell(&self, what: String) {
        // A test may have seen enough.
        let _ = self.to.send(what);
    }
}

struct Setup {
    queue: LineQueue,
    told: Receiver<String>,
    gate: Arc<Mutex<()>>,
}

impl Setup {
    fn new(pace: Pace, fails: bool) -> Self {
        let (to, told) = mpsc::channel();
        let gate = Arc::default();
        let output = Told { to, fails, gate: Arc::clone(&gate) };
        let queue = LineQueue::start_at(pace, "lines", ROOM, output).expect("a thread");
        Self { queue, told, gate }
    }

    /// It has written a line, and lets others gather.
    fn after_a_line() -> Self {
        let setup = Self::new(SLOW, false);
        setup.queue.write(b"first\n");
        assert_eq!(setup.next(), "first\n");
        setup
    }

    fn next(&self) -> String {
        self.told.recv_timeout(PATIENCE).expect("something told")
    }

    /// What is told to the end, when nobody has the queue any more.
    fn rest(self) -> Vec<String> {
        let Self { queue, told, .. } = self;
        drop(queue);
        told.into_iter().collect()
    }
}

#[test]
fn the_first_line_is_written_at_once_and_what_comes_soon_after_waits_for_more() {
    let setup = Setup::after_a_line();

    setup.queue.write(b"second\n");
    setup.queue.write(b"third\n");

    assert_eq!(setup.rest(), ["second\nthird\n"]);
}

#[test]
fn lines_that_wait_are_written_when_the_pause_is_over() {
    let setup = Setup::new(Pace { pause: Duration::from_millis(1), ..SLOW }, false);

    for line in 0..20 {
        setup.queue.write(format!("{line}\n").as_bytes());
        assert_eq!(setup.next(), format!("{line}\n"));
    }
}

#[test]
fn a_batch_that_is_full_is_written_at_once() {
    let setup = Setup::after_a_line();

    // The writer may be slow to begin its pause, but not each time.
    for _ in 0..200 {
        for _ in 0..10 {
            setup.queue.write(b"ten bytes\n");
        }
        assert_eq!(setup.next(), "ten bytes\n".repeat(10));
    }
}

#[test]
fn who_waits_for_what_was_queued_does_not_wait_for_the_pause() {
    let setup = Setup::after_a_line();
    setup.queue.write(b"second\n");

    setup.queue.flush(PATIENCE);

    assert_eq!(setup.told.try_recv().as_deref(), Ok("second\n"));
}

#[test]
fn reopening_does_not_wait_for_the_pause_and_keeps_its_place() {
    let setup = Setup::new(SLOW, false);
    let stuck = setup.gate.lock().expect("nobody fails with it");
    setup.queue.write(b"stuck\n");
    assert_eq!(setup.next(), "stuck\n");
    setup.queue.write(b"before\n");

    setup.queue.reopen();
    setup.queue.write(b"after\n");
    setup.queue.reopen();
    drop(stuck);

    assert_eq!([setup.next(), setup.next(), setup.next()], ["before\n", "reopened", "after\n"]);
}

#[test]
fn lines_without_room_are_dropped_and_told_of_once_when_there_is_room_again() {
    let setup = Setup::new(SLOW, false);
    let stuck = setup.gate.lock().expect("nobody fails with it");
    setup.queue.write(b"stuck\n");
    assert_eq!(setup.next(), "stuck\n");
    let line = [&[b'x'; 499][..], b"\n"].concat();

    for _ in 0..5 {
        setup.queue.write(&line);
    }
    assert_eq!(setup.queue.dropped(), 3);
    drop(stuck);

    assert_eq!(setup.rest(), ["dropped: 3".into(), String::from_utf8(line.repeat(2)).expect("text")]);
}

#[test]
fn who_waits_for_what_was_queued_waits_for_the_count_of_what_was_not_too() {
    let setup = Setup::after_a_line();
    setup.queue.write(&[b'x'; ROOM + 1]);

    setup.queue.flush(PATIENCE);

    assert_eq!(setup.told.try_recv().as_deref(), Ok("dropped: 1"));
}

#[test]
fn who_waits_for_a_writer_that_is_stuck_gives_up() {
    let setup = Setup::new(SLOW, false);
    let _stuck = setup.gate.lock().expect("nobody fails with it");
    setup.queue.write(b"stuck\n");

    // Hangs, if it does not end.
    setup.queue.flush(Duration::from_millis(1));
}

#[test]
fn lines_that_cannot_be_written_count_as_dropped_and_what_follows_begins_on_its_own_line() {
    let setup = Setup::new(SLOW, true);

    for line in ["one\n", "two\n"] {
        setup.queue.write(line.as_bytes());
        setup.queue.flush(PATIENCE);
    }
    assert_eq!(setup.queue.dropped(), 2);
    setup.queue.reopen();
    setup.queue.write(b"three\n");

    assert_eq!(setup.rest(), ["failed: full", "dropped: 1", "dropped: 1", "reopened", "\n", "three\n"]);
}
