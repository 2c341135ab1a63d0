//! Certificates that end soon are told of, each step once.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::plan::Plan;

/// However far away the next step is, clocks are looked at this often: they may be set.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Whatever clocks say, they are not looked at more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// What was told, and when there may be more to tell.
#[derive(Debug, Clone)]
pub struct Expiry {
    told: Vec<String>,
    due: Instant,
}

impl Expiry {
    /// What a plan tells when it is drawn.
    pub fn told(plan: &Plan) -> Self {
        Self { told: plan.expiring(SystemTime::now()), due: due(plan) }
    }

    /// Ready when there may be something to tell.
    pub async fn due(&self) {
        sleep_until(self.due).await;
    }

    /// Tells what was not told.
    pub fn tell(&mut self, plan: &Plan) {
        let now = plan.expiring(SystemTime::now());
        for notice in now.iter().filter(|notice| !self.told.contains(notice)) {
            log::warn!("{notice}");
        }
        (self.told, self.due) = (now, due(plan));
    }
}

fn due(plan: &Plan) -> Instant {
    let next = plan.next_notice(SystemTime::now()).unwrap_or(LONGEST);
    Instant::now() + next.clamp(SHORTEST, LONGEST)
}
