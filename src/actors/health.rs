//! Endpoints are asked whether they are well, as often as their upstreams say.

mod ejected;
mod question;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::time::{sleep, timeout};

pub use self::ejected::ask_all as ask_for_connections;
use self::question::Why;
use super::{Aborting, supervise};
use crate::{
    clock,
    proxy::Proxy,
    upstream::{
        Endpoint,
        check::{Check, Tally},
    },
};

/// An endpoint that is asked, as long as this lives.
struct Asked {
    endpoint: Arc<Endpoint>,
    check: Arc<Check>,
    _asking: Aborting,
}

/// Asks the endpoints of whichever plan is in force. What is not checked any more counts as well.
pub async fn check_all(proxy: Proxy) {
    let mut plans = proxy.plans();
    let mut asked: HashMap<usize, Asked> = HashMap::new();
    loop {
        plans.mark_unchanged();
        let wanted = wanted(&proxy);
        let checked: HashSet<_> =
            wanted.values().map(|(_, endpoint, _)| Arc::as_ptr(&endpoint.health).addr()).collect();
        let is_not_wanted =
            |at: &usize, asked: &mut Asked| wanted.get(at).is_none_or(|(.., check)| *check != asked.check);
        for (_, gone) in asked.extract_if(is_not_wanted) {
            if !checked.contains(&Arc::as_ptr(&gone.endpoint.health).addr()) {
                gone.endpoint.health.checked(true, clock::coarse());
            }
        }
        for (at, (upstream, endpoint, check)) in wanted {
            asked.entry(at).or_insert_with(|| ask(upstream, endpoint, check));
        }
        if plans.changed().await.is_err() {
            return;
        }
    }
}

type Wanted = (Arc<str>, Arc<Endpoint>, Arc<Check>);

/// By where it lies in memory: there may be ten thousand, and whoever is asked is not looked for among all of them.
fn wanted(proxy: &Proxy) -> HashMap<usize, Wanted> {
    let plan = proxy.plan();
    let mut wanted = HashMap::new();
    for upstream in plan.upstreams.values() {
        let Some(check) = &upstream.check else { continue };
        let members = upstream.members();
        let each = members.endpoints.iter();
        wanted.extend(each.map(|endpoint| {
            let asked = (Arc::clone(&upstream.name), Arc::clone(endpoint), Arc::clone(check));
            (Arc::as_ptr(endpoint).addr(), asked)
        }));
    }
    wanted
}

fn ask(upstream: Arc<str>, endpoint: Arc<Endpoint>, check: Arc<Check>) -> Asked {
    let (of, by) = (Arc::clone(&endpoint), Arc::clone(&check));
    let begin = move || again_and_again(Arc::clone(&upstream), Arc::clone(&of), Arc::clone(&by));
    let asking = actix_rt::spawn(supervise("checking an endpoint", begin));
    Asked { endpoint, check, _asking: Aborting(asking) }
}

async fn again_and_again(upstream: Arc<str>, endpoint: Arc<Endpoint>, check: Arc<Check>) {
    let mut tally = Tally::default();
    let mut pause = check.first_pause();
    loop {
        sleep(pause).await;
        let answer = timeout(check.timeout, question::put(&endpoint, &check)).await;
        let answer = answer.unwrap_or_else(|_| Err(Why::Wrong(format!("no answer within {:?}", check.timeout))));
        let answer = match answer {
            Err(Why::NotAsked) => {
                log::warn!(
                    "{} of {upstream} was not checked: this proxy can make no more connections now",
                    endpoint.name
                );
                pause = check.pause();
                continue;
            }
            Err(Why::Wrong(why)) => Err(why),
            Ok(()) => Ok(()),
        };
        if let Some(well) = tally.count(answer.is_ok(), &check)
            && endpoint.health.checked(well, clock::coarse())
        {
            let name = &endpoint.name;
            match &answer {
                Ok(()) => log::info!("{name} of {upstream} passes its checks again"),
                Err(why) => log::warn!("{name} of {upstream} gets no requests, for it fails its checks: {why}"),
            }
        }
        pause = check.pause();
    }
}
