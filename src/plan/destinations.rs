//! What `to` of a route says becomes upstreams.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    Target, affinity,
    cohort::Cohort,
    routes::Drawing,
    split::{Side, Split},
    upstreams, url,
};
use crate::{
    http::cookies::OwnCookie,
    settings::{CohortSettings, Destination, Problem, RouteSettings, problem::did_you_mean},
    upstream::Upstream,
};

/// Why a destination is none, and the likely fix.
pub type Cause = (String, String);

/// The same; nothing where it has been told already.
pub type Wrong = Option<Cause>;

impl Drawing<'_> {
    /// Where the route leads.
    pub fn destination(&mut self, route: &str, written: &RouteSettings) -> Option<Target> {
        let cohort = self.cohort(route, written);
        match written.to.as_ref()? {
            Destination::One(to) => match self.upstream(to) {
                Ok((upstream, base)) => Some(Target::Upstream { upstream, base }),
                Err(wrong) => {
                    let problem = |(what, help): Cause| Problem::at(["routes", route, "to"], what).help(help);
                    self.problems.extend(wrong.map(problem));
                    None
                }
            },
            Destination::Split(sides) => self.split(route, sides, cohort).map(Target::Split),
        }
    }

    fn cohort(&mut self, route: &str, written: &RouteSettings) -> Option<Cohort> {
        let CohortSettings { cookie, ttl } = written.sticky.as_deref()?;
        affinity::check_cookie(&["routes", route, "sticky"], cookie, *ttl, &mut self.problems);
        Some(Cohort::new(OwnCookie { name: cookie.clone(), ttl: ttl.0? }))
    }

    fn split(&mut self, route: &str, written: &IndexMap<String, u32>, cohort: Option<Cohort>) -> Option<Split> {
        let mut sides = Vec::with_capacity(written.len());
        for (to, weight) in written {
            match self.upstream(to) {
                Ok((upstream, base)) => sides.push(Side::new(to, upstream, base, *weight)),
                Err(wrong) => {
                    let problem = |(what, help): Cause| Problem::at_key(["routes", route, "to", to], what).help(help);
                    self.problems.extend(wrong.map(problem));
                }
            }
        }
        if written.values().all(|weight| *weight == 0) {
            let problem = Problem::at(["routes", route, "to"], "nobody would get a request");
            self.problems.push(problem.help("an upstream or URL with a weight above 0: { shop = 90, shop_next = 10 }"));
        }
        if sides.len() == written.len() { Split::of(sides, cohort) } else { None }
    }

    /// The upstream that is named, or is made of a URL, and what goes in front of paths there.
    pub fn upstream(&mut self, to: &str) -> Result<(Arc<Upstream>, String), Wrong> {
        if !url::is_url(to) {
            return self.named(to).map(|upstream| (upstream, String::new()));
        }
        let url = url::parse(to).map_err(|what| {
            let help = "http://HOST[:PORT][/path], https://.., http+unix:/path/to/socket, or an upstream's name";
            (what, help.to_owned())
        })?;
        let name = to.trim_end_matches('/');
        if let Some(upstream) = self.upstreams.get(name) {
            return Ok((Arc::clone(upstream), url.base));
        }
        let made = upstreams::unnamed(&url, name, self.before).map_err(|(what, help)| (what, help.to_owned()))?;
        self.upstreams.insert(name.into(), Arc::clone(&made));
        Ok((made, url.base))
    }

    fn named(&self, name: &str) -> Result<Arc<Upstream>, Wrong> {
        if let Some(upstream) = self.upstreams.get(name) {
            return Ok(Arc::clone(upstream));
        }
        // An upstream that is there but wrong has its own problem already.
        if self.settings.upstreams.contains_key(name) {
            return Err(None);
        }
        let names = self.settings.upstreams.keys().map(String::as_str);
        let help =
            did_you_mean(name, names).unwrap_or_else(|| format!("no [upstreams.{name}]; a URL starts with http://"));
        Err(Some((format!("unknown upstream `{name}`"), help)))
    }
}
