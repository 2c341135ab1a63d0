//! Which endpoints of an upstream are candidates, as long as nothing changes.

use std::{sync::Arc, time::Duration};

use super::{
    Endpoint,
    candidates::Places,
    health::{self, Standing},
};

/// Which endpoints may be picked. Drawn up when the health of one has changed, by whoever asks first; read without a lock.
#[derive(Debug)]
pub struct Lineup {
    /// Of all changes, those that it knows of.
    changes: u64,
    /// When it is out of date in any case, by the coarse clock.
    until: Duration,
    /// Who may be picked; `None` if all may, or nobody, for all are [drained](Self::drained).
    pub places: Option<Places>,
    /// Who may be tried with one request.
    pub on_trial: Vec<usize>,
    /// Whom an operator wants left alone; `None` if nobody.
    drained: Option<Places>,
    /// Some have not been well for long, and are to get less than their share.
    pub is_warming: bool,
}

/// What decides besides their health.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// With less than this part of a tier well it is used no more, and with no tier left everyone is.
    pub panic: f64,
    /// How long one that is new or has recovered gets less than its share.
    pub slow_start: Option<Duration>,
}

impl Lineup {
    /// Of these endpoints, now.
    pub fn of(endpoints: &[Arc<Endpoint>], rules: &Rules, now: Duration) -> Self {
        // Before they are looked at: a change in between is one that it does not know of.
        let changes = health::changes();
        let standing: Vec<Standing> = endpoints.iter().map(|endpoint| endpoint.health.standing(now)).collect();
        let picked = best_tier(endpoints, &standing, rules.panic);
        let places = if picked.len() == endpoints.len() { None } else { Places::these(picked) };
        let drained = Places::these(all_that_are(Standing::Drained, &standing));
        let on_trial = all_that_are(Standing::OnTrial, &standing).collect();
        let warm = |endpoint: &Arc<Endpoint>| endpoint.warm_at(rules.slow_start?).filter(|warm| now < *warm);
        let is_warming = endpoints.iter().any(|endpoint| warm(endpoint).is_some());
        let freed =
            endpoints.iter().filter_map(|endpoint| endpoint.health.ejected_until().filter(|until| now < *until));
        let until = freed.chain(endpoints.iter().filter_map(warm)).min().unwrap_or(Duration::MAX);
        Self { changes, until, places, on_trial, drained, is_warming }
    }

    /// This one may be picked.
    pub fn has(&self, place: usize) -> bool {
        self.places.as_ref().map_or(!self.is_drained(place), |places| places.has(place))
    }

    /// An operator wants this one left alone.
    pub fn is_drained(&self, place: usize) -> bool {
        self.drained.as_ref().is_some_and(|drained| drained.has(place))
    }

    /// How many an operator wants left alone.
    pub fn drained(&self) -> usize {
        self.drained.as_ref().map_or(0, |drained| drained.as_slice().len())
    }

    /// Nothing has changed since. The time is asked for only where it matters.
    pub fn is_current(&self, now: impl FnOnce() -> Duration) -> bool {
        self.changes == health::changes() && (self.until == Duration::MAX || now() < self.until)
    }
}

fn all_that_are(wanted: Standing, standing: &[Standing]) -> impl Iterator<Item = usize> {
    (0..standing.len()).filter(move |place| standing[*place] == wanted)
}

/// Those of the first tier of which enough are well; backups are a tier behind the others. If there is none, everyone
/// that is no backup: a request that may fail is better than one that must. Who is drained is in none.
fn best_tier(endpoints: &[Arc<Endpoint>], standing: &[Standing], panic: f64) -> Vec<usize> {
    let tier = |backup: bool| {
        let all = (0..endpoints.len()).filter(|place| standing[*place] != Standing::Drained);
        all.filter(move |place| endpoints[*place].is_backup == backup)
    };
    for backup in [false, true] {
        let well: Vec<usize> = tier(backup).filter(|place| standing[*place] == Standing::Well).collect();
        if !well.is_empty() && well.len() as f64 >= panic * tier(backup).count() as f64 {
            return well;
        }
    }
    let first: Vec<usize> = tier(false).collect();
    if first.is_empty() { tier(true).collect() } else { first }
}
