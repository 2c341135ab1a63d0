//! Where a request goes: pure, and the only place that says so. The live request, `check` and `explain` all ask here.

use std::sync::Arc;

use crate::{
    exchange::Exchange,
    http::{StatusCode, scratch},
    plan::{FixedAnswer, Plan, Route, Target},
    routing::{Lookup, Match},
    upstream::Upstream,
};

/// What a request comes to before anything is sent.
pub enum Verdict<'p> {
    /// It goes to an endpoint of this upstream.
    Forward {
        /// The upstream.
        upstream: &'p Arc<Upstream>,
        /// The target the endpoint gets: path and query.
        target: String,
    },
    /// It is sent elsewhere.
    Redirect {
        /// The status.
        status: StatusCode,
        /// The `Location`.
        location: String,
    },
    /// The route answers.
    Respond(&'p FixedAnswer),
}

/// What routing looks at in an exchange that intake has let through.
pub fn lookup(exchange: &Exchange) -> Lookup<'_> {
    Lookup { method: &exchange.method, host: exchange.authority.host(), path: &exchange.path }
}

/// The route that takes the exchange.
pub fn route<'p>(plan: &'p Plan, exchange: &Exchange) -> Option<Match<'p, Route>> {
    plan.routes.find(&lookup(exchange))
}

/// What the route makes of the exchange.
pub fn verdict<'p>(matched: &Match<'p, Route>, exchange: &Exchange) -> Verdict<'p> {
    let (path, query) = (exchange.path.as_str(), exchange.query());
    let route = &matched.entry.value;
    match &route.target {
        Target::Upstream { upstream, base } => {
            let kept = if route.strip { matched.rest(path) } else { path };
            Verdict::Forward { upstream, target: target(base, kept, query) }
        }
        Target::Redirect(redirect) => {
            let rest = [matched.rest(path), query].concat();
            let location = redirect.location(&rest, |name| matched.group(path, name).map(str::to_owned));
            Verdict::Redirect { status: redirect.status, location }
        }
        Target::Respond(answer) => Verdict::Respond(answer),
    }
}

/// `base` has no slash at its end, `path` has one at its beginning, or nothing is left of it.
fn target(base: &str, path: &str, query: &str) -> String {
    let mut target = scratch::text();
    target.push_str(base);
    // `OPTIONS *` has no path that something could be put in front of.
    if path != "*" || base.is_empty() {
        target.push_str(path);
    }
    if target.is_empty() {
        target.push('/');
    }
    target.push_str(query);
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_base_path_and_query_and_never_empty() {
        for (base, path, query, expected) in [
            ("", "/a", "?x=1", "/a?x=1"),
            ("", "", "", "/"),
            ("", "", "?x", "/?x"),
            ("/v2", "/a", "", "/v2/a"),
            ("/v2", "", "?x", "/v2?x"),
            ("", "*", "", "*"),
            ("/v2", "*", "", "/v2"),
        ] {
            assert_eq!(target(base, path, query), expected, "{base} {path} {query}");
        }
    }
}
