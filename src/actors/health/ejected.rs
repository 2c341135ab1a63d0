//! Endpoints that are left alone are asked for a connection. Who gives none is dead, and may get requests as soon as it does
//! again. Who gives one fails in another way: a request must show whether it has recovered.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    select,
    time::{sleep, timeout},
};

use super::{Aborting, supervise};
use crate::{
    chance, clock,
    proxy::Proxy,
    transport::dial,
    upstream::{Endpoint, health, outlier::Outlier},
};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two questions; half of it more or less, so that not all who fell at once are asked at once.
const PAUSE: Duration = Duration::from_millis(700);
/// So long after a question without an answer a request shows whether it has recovered: unless there is another question.
const HOLD: Duration = Duration::from_secs(3);

/// An endpoint that is left alone.
#[derive(Clone)]
struct Ejected {
    upstream: Arc<str>,
    endpoint: Arc<Endpoint>,
    /// After so long it is found out with a request, whatever is known of it here.
    longest: Duration,
    /// Which of its ejections this is.
    number: u64,
}

/// Asks those of whichever plan is in force.
pub async fn ask_all(proxy: Proxy) {
    let (mut plans, mut news) = (proxy.plans(), health::ejected());
    let mut asked: Vec<(Ejected, Aborting)> = Vec::new();
    loop {
        plans.mark_unchanged();
        news.mark_unchanged();
        let ejected = ejected(&proxy);
        // Who gave a connection is asked again once it is ejected again.
        asked.retain(|(known, asking)| {
            ejected.iter().any(|one| one.is(known) && (one.number == known.number || !asking.0.is_finished()))
        });
        for one in ejected {
            if !asked.iter().any(|(known, _)| one.is(known)) {
                asked.push((one.clone(), ask(one)));
            }
        }
        let go_on = select! {
            changed = plans.changed() => changed,
            changed = news.changed() => changed,
        };
        if go_on.is_err() {
            return;
        }
    }
}

fn ejected(proxy: &Proxy) -> Vec<Ejected> {
    let plan = proxy.plan();
    let mut ejected = Vec::new();
    for upstream in plan.upstreams.values() {
        let Some(Outlier { longest, .. }) = upstream.outlier else { continue };
        for endpoint in &upstream.members().endpoints {
            if endpoint.health.ejected_until().is_some() {
                let (upstream, endpoint) = (Arc::clone(&upstream.name), Arc::clone(endpoint));
                ejected.push(Ejected { number: endpoint.health.ejections(), upstream, endpoint, longest });
            }
        }
    }
    ejected
}

fn ask(ejected: Ejected) -> Aborting {
    let begin = move || ejected.clone().until_it_is_there();
    Aborting(actix_rt::spawn(supervise("asking an endpoint for a connection", begin)))
}

impl Ejected {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoint.health, &other.endpoint.health)
    }

    async fn until_it_is_there(mut self) {
        let (name, upstream, health) = (&self.endpoint.name, &self.upstream, &self.endpoint.health);
        // It may give one by now: those that it gave none may have waited.
        let (mut is_dead, mut is_told) = (health.take_unreached(), false);
        let mut latest = clock::coarse().saturating_add(self.longest);
        while let Err(why) = knock(&self.endpoint).await {
            if self.number != health.ejections() {
                (self.number, latest) = (health.ejections(), clock::coarse().saturating_add(self.longest));
            }
            health.stays_ejected(latest.min(clock::coarse() + HOLD));
            if !is_told {
                log::info!("{name} of {upstream} takes no connections, and is asked for one until it does: {why}");
            }
            (is_dead, is_told) = (true, true);
            sleep(PAUSE.mul_f64(0.5 + chance::part())).await;
            if health.ejected_until().is_none() {
                return;
            }
        }
        if is_dead && health.may_be_tried(clock::coarse()) {
            log::info!("{name} of {upstream} takes connections again: a request shows whether it has recovered");
        }
    }
}

async fn knock(endpoint: &Endpoint) -> io::Result<()> {
    timeout(PATIENCE, dial::knock(&endpoint.target.address)).await.unwrap_or_else(|late| Err(late.into()))
}
