//! One client that asks for more than it may have, on many connections and without waiting for answers; in a thread of its own that lets all others
//! go first, so that what it costs the machine itself is not what is measured.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::polite::connect;

const ADDRESS: [u8; 4] = [127, 0, 2, 1];
const CONNECTIONS: u32 = 32;
const PIPELINED: usize = 8;
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: flood\r\n\r\n";

/// How often it asks.
#[derive(Clone, Copy)]
pub enum Pace {
    PerSecond(u32),
    Full,
}

/// It asks until it is told to stop.
pub struct Abuser {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<[usize; 2]>,
}

impl Abuser {
    pub fn start(proxy: SocketAddr, pace: Pace) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let _may_be_forbidden = rustix::process::nice(39);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let all = runtime.block_on(join_all((0..CONNECTIONS).map(|number| ask(proxy, number, pace, &until))));
            all.into_iter().fold([0, 0], |[passed, refused], one| [passed + one[0], refused + one[1]])
        });
        Self { is_over, thread }
    }

    /// How many of its requests passed, and how many did not.
    pub fn end(self) -> [usize; 2] {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it is answered as long as it asks")
    }
}

async fn ask(proxy: SocketAddr, number: u32, pace: Pace, is_over: &AtomicBool) -> [usize; 2] {
    let mut stream = connect(ADDRESS, proxy).await;
    let mut clock = match pace {
        Pace::Full => None,
        Pace::PerSecond(count) => {
            let every = Duration::from_secs(1) * CONNECTIONS * PIPELINED as u32 / count;
            // One connection after the other.
            let mut clock = interval_at(Instant::now() + every / CONNECTIONS * number, every);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Some(clock)
        }
    };
    let (requests, mut counts, mut answers) = (REQUEST.repeat(PIPELINED), [0, 0], Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        if let Some(clock) = &mut clock {
            clock.tick().await;
        }
        stream.write_all(requests.as_bytes()).await.expect("it is taken");
        answers.clear();
        loop {
            assert!(stream.read_buf(&mut answers).await.expect("answers") > 0, "it is not sent away");
            let [passed, refused] = [" 200 ", " 429 "].map(|status| count(&answers, &format!("HTTP/1.1{status}")));
            if passed + refused == PIPELINED && is_whole(&answers) {
                counts = [counts[0] + passed, counts[1] + refused];
                break;
            }
        }
    }
    counts
}

fn count(text: &[u8], word: &str) -> usize {
    text.windows(word.len()).filter(|window| *window == word.as_bytes()).count()
}

/// The last of these answers is there to its last byte.
fn is_whole(answers: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answers);
    let Some((_, last)) = text.rsplit_once("HTTP/1.1 ") else { return false };
    let Some((head, body)) = last.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}
