//! What an origin has seen so far, for whoever waits for it.

use std::{any::Any, collections::HashSet, panic};

use tokio::{sync::watch, time::timeout};

use super::wire::PATIENCE;

/// What has happened so far; watched by whoever waits.
pub type Log = watch::Sender<Seen>;

#[derive(Debug, Default)]
pub struct Seen {
    pub requests: Vec<String>,
    pub opened: usize,
    /// The name that each connection asked for in TLS, if it asked for one.
    pub server_names: Vec<Option<String>>,
    /// Ended by the other side.
    pub ended: usize,
    /// Ended by whichever side.
    pub over: usize,
    told: HashSet<String>,
    pub failures: Vec<String>,
    /// Scripts that wanted to read when the other side had ended in order.
    left: Vec<String>,
}

/// The other side ended where the script wanted more.
struct Left(&'static str);

impl Seen {
    /// What was said behind these words.
    pub fn said(&self, words: &str) -> Option<String> {
        self.told.iter().find_map(|told| told.strip_prefix(words)).map(str::to_owned)
    }

    /// A script panicked.
    pub fn fail(&mut self, number: usize, cause: &(dyn Any + Send)) {
        if let Some(Left(wanted)) = cause.downcast_ref() {
            return self.left.push(format!("connection {number} was ended, its script wanted {wanted}"));
        }
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        self.failures.push(format!("connection {number}: {text}"));
    }
}

pub fn tell(log: &Log, name: &str) {
    log.send_modify(|seen| {
        seen.told.insert(name.to_owned());
    });
}

pub async fn wait_for(log: &Log, name: &str) {
    wait(log, &format!("{name:?}"), |seen| seen.told.contains(name)).await;
}

pub async fn wait(log: &Log, what: &str, happened: impl Fn(&Seen) -> bool) {
    let mut watched = log.subscribe();
    let waiting = watched.wait_for(|seen| happened(seen) || !seen.failures.is_empty());
    if let Ok(seen) = timeout(PATIENCE, waiting).await {
        let seen = seen.expect("the log outlives who waits");
        assert!(happened(&seen), "a script failed: {:?}", seen.failures);
        return;
    }
    panic!("waited {PATIENCE:?} in vain for {what}; the origin saw {:?}", *log.borrow());
}

/// Ends a script whose other side is gone. It is told to a test that waits for more, and is no failure of its own: a
/// test may be done before its scripts are.
pub fn leave(wanted: &'static str) -> ! {
    panic::resume_unwind(Box::new(Left(wanted)))
}
