//! Where a request goes: pure, and the only place that says so. The live request, `check` and `explain` all ask here.

use std::sync::Arc;

use crate::{
    exchange::{Exchange, Rewritten},
    http::{StatusCode, scratch},
    plan::{
        FixedAnswer, Plan, Route, Split, Target,
        https::{ACME_CHALLENGES, Entrance},
    },
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
    /// It goes to one side of this; [`target`] is what the endpoint gets.
    Split(&'p Split),
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

/// Where plain HTTP for this host is sent, before any route is asked; `None` if it may go on. What validates a
/// certificate must be asked in the clear.
pub fn to_https<'p>(plan: &'p Plan, exchange: &Exchange) -> Option<(&'p Entrance, String)> {
    let https = plan.https.as_ref()?;
    if exchange.client.secure || exchange.path.starts_with(ACME_CHALLENGES) {
        return None;
    }
    let host = exchange.authority.host();
    let entrance = https.find(host)?;
    Some((entrance, entrance.location(host, &exchange.path, exchange.query())))
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
        Target::Upstream { upstream, base } => Verdict::Forward { upstream, target: target(matched, base, exchange) },
        Target::Split(split) => Verdict::Split(split),
        Target::Redirect(redirect) => {
            // The whole server, `*`, has no path.
            let [slash, below] = if path == "*" { ["", ""] } else { below(matched.rest(path)) };
            let rest = [slash, below, query].concat();
            let mut location = redirect.location(exchange, &rest, |name| matched.group(path, name).map(str::to_owned));
            if location.is_empty() || location == query {
                // Nothing is left of the path: that is the root, where no path at all would be this one again.
                location.insert(0, '/');
            }
            Verdict::Redirect { status: redirect.status, location }
        }
        Target::Respond(answer) => Verdict::Respond(answer),
    }
}

/// The target an endpoint gets where the route puts this in front of paths: path and query.
pub fn target(matched: &Match<'_, Route>, base: &str, exchange: &Exchange) -> String {
    let path = exchange.path.as_str();
    let kept = match path {
        // `OPTIONS *` has no path that something could be taken off or put in front of.
        "*" if base.is_empty() => ["", "*"],
        "*" => ["", ""],
        _ if matched.entry.value.strip => below(matched.rest(path)),
        _ => ["", path],
    };
    match exchange.rewritten.as_deref() {
        None => joined(base, kept, exchange.query()),
        Some(Rewritten { path, query }) => {
            let kept = path.as_deref().map_or(kept, |path| ["", path]);
            joined(base, kept, query.as_deref().unwrap_or_else(|| exchange.query()))
        }
    }
}

/// What a pattern left of the path, behind the slash it lacks: a regular expression may end where no segment does, and
/// what stands behind a host or a base must not become a part of it.
fn below(rest: &str) -> [&str; 2] {
    let slash = if rest.is_empty() || rest.starts_with('/') { "" } else { "/" };
    [slash, rest]
}

/// `base` has no slash at its end; the path has one at its beginning, or nothing is left of it.
fn joined(base: &str, [slash, path]: [&str; 2], query: &str) -> String {
    let mut target = scratch::text();
    for part in [base, slash, path] {
        target.push_str(part);
    }
    if target.is_empty() {
        target.push('/');
    }
    target.push_str(query);
    target
}

#[cfg(test)]
mod tests {
    use crate::{
        kinds::Kinds,
        plan::Plan,
        proxy::rehearsal::{Outcome, rehearse},
        settings::{RouteSettings, Settings, server::EmptySegments, test::TestRequest},
    };

    fn verdict(pattern: &str, route: RouteSettings, method: &str, url: &str) -> Outcome {
        let mut settings = Settings::default();
        // What is left of a path must not become a host, whatever its slashes.
        settings.server.http.path.empty_segments = EmptySegments::Keep;
        settings.routes.insert(pattern.into(), route);
        let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));
        let request = TestRequest { method: method.into(), url: url.into(), headers: Vec::new(), from: None };
        rehearse(&plan, &request).expect("a request")
    }

    #[test]
    fn a_target_is_base_path_and_query_and_begins_with_a_slash() {
        for (pattern, base, strip, request, expected) in [
            ("/", "", false, "GET /a?x=1", "/a?x=1"),
            ("/", "", false, "GET /", "/"),
            ("/", "/v2", false, "GET /a", "/v2/a"),
            ("/", "", false, "OPTIONS *", "*"),
            ("/", "", true, "OPTIONS *", "*"),
            ("/", "/v2", false, "OPTIONS *", "/v2"),
            ("/api", "", true, "GET /api", "/"),
            ("/api", "", true, "GET /api?x", "/?x"),
            ("/api", "", true, "GET /api/a", "/a"),
            ("/api", "/v2", true, "GET /api?x", "/v2?x"),
            ("~^/p", "", true, "GET /pxyz", "/xyz"),
            ("~^/p", "", true, "GET /p", "/"),
            ("~^/p", "", true, "GET /p*", "/*"),
            ("~^/p", "", true, "GET /p/x", "/x"),
            ("~^/p", "", true, "GET /phttp://evil.example/x", "/http://evil.example/x"),
            ("~^/v[0-9]+/", "/base", true, "GET /v1/users?x", "/base/users?x"),
        ] {
            let (method, url) = request.split_once(' ').expect("a request");
            let route = RouteSettings { strip, ..format!("http://origin{base}").into() };
            assert_eq!(verdict(pattern, route, method, url).path.as_deref(), Some(expected), "{pattern} {request}");
        }
    }

    #[test]
    fn a_location_is_never_empty_and_what_is_left_of_the_path_stays_a_path() {
        for (pattern, to, request, expected) in [
            ("/go", "${rest}", "GET /go", "/"),
            ("/go", "${rest}", "GET /go?x", "/?x"),
            ("/go", "${rest}", "GET /go/a?x", "/a?x"),
            ("/", "https://new.example${rest}", "GET /a?x", "https://new.example/a?x"),
            ("/", "https://new.example${rest}", "OPTIONS *", "https://new.example"),
            ("~^/rx", "https://new.example${rest}", "GET /rx.evil.example/", "https://new.example/.evil.example/"),
            ("~^/rx", "https://new.example${rest}", "GET /rx?q", "https://new.example?q"),
        ] {
            let (method, url) = request.split_once(' ').expect("a request");
            let route = RouteSettings { redirect: Some(to.into()), ..RouteSettings::default() };
            let outcome = verdict(pattern, route, method, url);
            assert_eq!(outcome.location.as_deref(), Some(expected), "{pattern} {to} {request}");
        }
    }
}
