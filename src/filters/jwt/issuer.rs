//! Keys of an issuer: fetched on no request's way, kept while he is down, and fetched anew when a token names one that is
//! not known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::keys::Keys;
use crate::{
    clock,
    filters::{Chore, errand::Errand},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    telemetry::metrics::Event,
    transport::awc::AwcTransport,
};

/// Unknown names make for one question in this time at most.
const SELDOM: Duration = Duration::from_secs(10);
/// After a failure it is asked again after this time, then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A request waits so long for new keys.
const PATIENCE: Duration = Duration::from_secs(3);

/// One issuer, and what is known of his keys.
pub struct Issuer {
    /// Where they are.
    pub url: String,
    errand: Errand,
    refresh: Duration,
    known: ArcSwapOption<Set>,
    wanted: Notify,
    /// How often he was asked. Whoever waits for an answer waits for it to grow.
    asked: watch::Sender<u64>,
    /// When somebody last wanted other keys, in milliseconds of the coarse clock; 0 before that.
    wanted_at: AtomicU64,
    fetched: Event,
    failed: Event,
}

/// Keys with a number of their own: what was verified with others must be verified again.
pub struct Set {
    pub keys: Keys,
    pub number: u64,
    text: Vec<u8>,
}

impl Set {
    /// Of keys that never change.
    pub fn of(keys: Keys) -> Self {
        Self { keys, number: next(), text: Vec::new() }
    }
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Issuer {
    /// Nothing is known of his keys yet.
    pub fn new(url: &str, errand: Errand, refresh: Duration, [fetched, failed]: [Event; 2]) -> Self {
        Self {
            url: url.to_owned(),
            errand,
            refresh,
            known: ArcSwapOption::empty(),
            wanted: Notify::new(),
            asked: watch::Sender::new(0),
            wanted_at: AtomicU64::new(0),
            fetched,
            failed,
        }
    }

    /// The keys, as far as they are known.
    pub fn set(&self) -> Option<Arc<Set>> {
        self.known.load_full()
    }

    /// Others may be asked for: that was not done a moment ago. Who is told so should.
    pub fn may_have_others(&self) -> bool {
        let now = milliseconds(clock::coarse());
        let is_long_ago =
            |wanted: u64| (wanted == 0 || now.saturating_sub(wanted) >= milliseconds(SELDOM)).then_some(now);
        self.wanted_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_long_ago).is_ok()
    }

    /// Has him asked, and waits a while for what he says.
    pub async fn ask_again(&self) {
        let mut asked = self.asked.subscribe();
        asked.mark_unchanged();
        self.wanted.notify_one();
        // Gone or late: what is known then is what there is.
        let _ = timeout(PATIENCE, asked.changed()).await;
    }

    async fn fetch(&self) -> Result<(), String> {
        let mut fields = HeaderMap::new();
        fields.insert(header::ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
        let answer = self.errand.ask(&AwcTransport::new(), fields).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("the answer is {}", answer.status));
        }
        if self.known.load().as_ref().is_some_and(|known| known.text == *answer.body) {
            return Ok(());
        }
        let keys = Keys::set(&answer.body)?;
        self.known.store(Some(Arc::new(Set { keys, number: next(), text: answer.body.to_vec() })));
        Ok(())
    }
}

impl Chore for Issuer {
    fn name(&self) -> &'static str {
        "fetching the keys of an issuer"
    }

    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let until_next = match self.fetch().await {
                    Ok(()) => {
                        self.fetched.happened();
                        pause = FIRST_PAUSE;
                        self.refresh
                    }
                    Err(why) => {
                        self.failed.happened();
                        let kept = if self.known.load().is_some() { "; those that are known are kept" } else { "" };
                        log::warn!("no keys from {}: {why}{kept}", self.url);
                        let now = pause;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        now
                    }
                };
                self.asked.send_modify(|count| *count += 1);
                tokio::select! {
                    () = sleep(until_next) => {}
                    () = self.wanted.notified() => {}
                }
            }
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
