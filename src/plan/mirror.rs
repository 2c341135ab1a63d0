//! Who gets copies of a route's requests.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::routes::{Drawing, HostRule};
use crate::{
    chance,
    settings::{Problem, RouteSettings},
    upstream::Upstream,
};

/// Where copies go, and how many.
pub struct Mirror {
    /// Who gets them.
    pub upstream: Arc<Upstream>,
    /// What goes in front of the path there.
    pub base: String,
    /// Of this part of all requests.
    pub sample: f64,
    /// With bodies up to so many bytes.
    pub max_body: usize,
    /// What an endpoint sees as `Host`.
    pub host: HostRule,
    most: u32,
    at_once: AtomicU32,
    dropped: AtomicU64,
}

/// A copy on its way, counted until this falls.
pub struct Copy(Arc<Mirror>);

impl Mirror {
    /// Whether there is to be a copy of the next request.
    pub fn takes_one(&self) -> bool {
        chance::happens(self.sample)
    }

    /// One copy more, if there are not too many at once; else it is counted as dropped.
    pub fn begin(self: &Arc<Self>) -> Option<Copy> {
        let one_more = |count: u32| (count < self.most).then_some(count + 1);
        if self.at_once.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
            return Some(Copy(Arc::clone(self)));
        }
        self.upstream.counts.copies_dropped.one();
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        // The more there were the less often it is told.
        if dropped.is_power_of_two() {
            let (name, most) = (&self.upstream.name, self.most);
            log::warn!("{dropped} copies for {name} were not sent so far: {most} were on their way");
        }
        None
    }
}

impl Copy {
    /// Of what it is.
    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drawing<'_> {
    /// The mirror of a route.
    pub fn mirror(&mut self, route: &str, written: &RouteSettings, host: &HostRule) -> Option<Arc<Mirror>> {
        let mirror = written.mirror.as_ref()?;
        let at = |keys: &[&str], what: &str| Problem::at(["routes", route, "mirror"].iter().chain(keys).copied(), what);
        if written.to.is_none() {
            let problem = at(&[], "there is nothing to mirror: no endpoint gets these requests");
            self.problems.push(problem.help("mirror goes with `to`"));
        }
        if mirror.sample.fraction() == 0.0 {
            self.problems.push(at(&["sample"], "no request would be mirrored").help("above 0%, such as \"1%\""));
        }
        if mirror.requests == 0 {
            self.problems.push(at(&["requests"], "no copy would ever be sent").help("1 or more"));
        }
        match self.upstream(&mirror.to) {
            Ok((upstream, base)) => Some(Arc::new(Mirror {
                upstream,
                base,
                sample: mirror.sample.fraction(),
                max_body: usize::try_from(mirror.max_body.0).unwrap_or(usize::MAX),
                host: host.clone(),
                most: mirror.requests,
                at_once: AtomicU32::new(0),
                dropped: AtomicU64::new(0),
            })),
            Err(wrong) => {
                // In the short form there is no key of its own.
                let problem = |(what, help): (String, String)| at(&[], &what).help(help);
                self.problems.extend(wrong.map(problem));
                None
            }
        }
    }
}
