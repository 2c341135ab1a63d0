//! `sticky` of upstreams: how clients are kept with endpoints.

use indexmap::IndexMap;

use crate::{
    http::{cookies::OwnCookie, headers},
    settings::{Problem, Settings, StickySettings, Time},
    upstream::affinity::Affinity,
};

/// A secret that could be guessed protects nothing.
const SHORTEST_SECRET: usize = 16;

/// What was written, if there is nothing wrong with it.
pub fn of(upstream: &str, written: &StickySettings) -> Option<Affinity> {
    let secret = written.secret.as_ref().map(|secret| secret.expose().as_bytes());
    let cookie = OwnCookie { name: written.cookie.clone(), ttl: written.ttl.0? };
    Some(Affinity::new(upstream, cookie, secret))
}

/// What is wrong with it.
pub fn problems(upstream: &str, written: &StickySettings, problems: &mut Vec<Problem>) {
    let at = ["upstreams", upstream, "sticky"];
    check_cookie(&at, &written.cookie, written.ttl, problems);
    if written.secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST_SECRET) {
        let problem = Problem::at(at.into_iter().chain(["secret"]), "a secret that can be guessed");
        problems.push(problem.help(format!("{SHORTEST_SECRET} bytes or more, such as `openssl rand -hex 32` prints")));
    }
}

/// What is wrong with a cookie of this name that lasts so long.
pub fn check_cookie(at: &[&str], name: &str, ttl: Time, problems: &mut Vec<Problem>) {
    let problem = |key, what: String| Problem::at(at.iter().copied().chain([key]), what);
    if !headers::is_token(name.as_bytes()) {
        problems.push(
            problem("cookie", format!("`{}` cannot be the name of a cookie", name.escape_debug()))
                .help("letters, digits, `-` and `_`"),
        );
    }
    if ttl.0.is_none_or(|ttl| ttl.as_secs() == 0) {
        problems.push(
            problem("ttl", "a client must be forgotten some time, and not at once".into()).help("such as \"1h\""),
        );
    }
}

/// What can be done and will disappoint. Routes may share a cookie: a number is good for all of them.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let mut by_cookie = IndexMap::<&str, Vec<&str>>::new();
    for (name, upstream) in &settings.upstreams {
        if let Some(sticky) = &upstream.sticky {
            by_cookie.entry(&sticky.cookie).or_default().push(name);
        }
    }
    for (pattern, route) in &settings.routes {
        if let Some(upstreams) = route.sticky.as_ref().and_then(|sticky| by_cookie.get_mut(&*sticky.cookie)) {
            upstreams.push(pattern);
        }
    }
    by_cookie.retain(|_, names| names.len() > 1);
    let told = |(cookie, names): (&str, Vec<&str>)| {
        let names = names.join("` and `");
        format!(
            "`{names}` call their cookies alike, `{cookie}`: a client that comes to both at one host stays with neither"
        )
    };
    by_cookie.into_iter().map(told).collect()
}
