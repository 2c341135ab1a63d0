//! One pattern against one request, and which of two patterns is the more specific.

use std::cmp::Reverse;

use super::pattern::{Host, Path, Pattern};
use crate::http::Method;

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host asked for: lower case, no port.
    pub host: &'a str,
    /// The normalised path, without the query.
    pub path: &'a str,
}

/// Why a pattern does not take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// It is for another host.
    OtherHost,
    /// It is for another method.
    OtherMethod,
    /// The path begins otherwise, or is not the exact one.
    OtherPath,
    /// The path begins like that but goes on in the middle of a segment: `/apix` is not below `/api`.
    NotAtSegmentBoundary,
    /// The path goes on, and the pattern is an exact one.
    PathGoesOn,
    /// The regular expression is not found in the path.
    NotFound,
}

/// What beats what, the greater wins: the host first, then how the path is matched, then the method.
///
/// 1. A host written out beats a longer wildcard, which beats a shorter one, which beats no host. A host whose routes
///    take nothing of the request is passed over: the next less specific one is asked.
/// 2. Within a host an exact path beats regular expressions, the one with the higher `priority` first, and these beat
///    prefixes, the longest first (docs/adr/0004-route-precedence.md).
/// 3. At the same path a method beats none, and HEAD beats GET, which takes HEAD requests too. A route for another
///    method is as if it were not there.
///
/// The order routes are written in has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    pub(super) host: HostRank,
    pub(super) path: PathRank,
    pub(super) method: MethodRank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    Any,
    Below { labels: usize },
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    Prefix { length: usize },
    Regex { priority: i64 },
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MethodRank {
    Any,
    Get,
    Named,
}

impl Pattern {
    /// How much of the path it takes, or why none of it. A prefix's own trailing slash is not counted, so that what
    /// follows begins with a slash or is empty.
    pub fn matches(&self, lookup: &Lookup<'_>) -> Result<usize, Miss> {
        if !self.takes_host(lookup.host) {
            return Err(Miss::OtherHost);
        }
        self.matches_on_its_host(lookup)
    }

    /// The same for a request that is known to be for the pattern's host.
    pub(super) fn matches_on_its_host(&self, lookup: &Lookup<'_>) -> Result<usize, Miss> {
        let taken = self.takes_path(lookup.path)?;
        if self.takes_method(lookup.method) { Ok(taken) } else { Err(Miss::OtherMethod) }
    }

    /// Its place among the patterns that take the same request.
    pub fn precedence(&self, priority: i64) -> Precedence {
        let host = match &self.host {
            Host::Any => HostRank::Any,
            Host::Below(name) => HostRank::Below { labels: name.split('.').count() },
            Host::Exactly(_) => HostRank::Exact,
        };
        let path = match &self.path {
            Path::Prefix(prefix) => PathRank::Prefix { length: prefix.len() },
            Path::Regex(_) => PathRank::Regex { priority },
            Path::Exactly(_) => PathRank::Exact,
        };
        Precedence { host, path, method: MethodRank::of(self.method.as_ref()) }
    }

    fn takes_host(&self, host: &str) -> bool {
        let host = without_root(host);
        match &self.host {
            Host::Any => true,
            Host::Exactly(name) => **name == *host,
            Host::Below(name) => host.strip_suffix(&**name).is_some_and(|below| below.ends_with('.')),
        }
    }

    fn takes_path(&self, path: &str) -> Result<usize, Miss> {
        match &self.path {
            Path::Exactly(exact) if **exact == *path => Ok(path.len()),
            Path::Exactly(exact) if path.starts_with(&**exact) => Err(Miss::PathGoesOn),
            Path::Exactly(_) => Err(Miss::OtherPath),
            Path::Regex(regex) => regex.find(path).map(|found| found.end()).ok_or(Miss::NotFound),
            Path::Prefix(prefix) => takes_prefix(prefix, path),
        }
    }

    fn takes_method(&self, method: &Method) -> bool {
        match &self.method {
            None => true,
            Some(own) => own == method || (*own == Method::GET && *method == Method::HEAD),
        }
    }
}

impl MethodRank {
    pub(super) fn of(method: Option<&Method>) -> Self {
        match method {
            None => Self::Any,
            Some(method) if *method == Method::GET => Self::Get,
            Some(_) => Self::Named,
        }
    }
}

/// The order in which a host's regular expressions are tried.
pub(super) fn regex_order(pattern: &Pattern, priority: i64) -> impl Ord + use<> {
    Reverse((priority, MethodRank::of(pattern.method.as_ref())))
}

/// The name without the dot of the root: `example.com.` is `example.com`.
pub(super) fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// The prefix without its trailing slash: what counts as taken.
pub(super) fn stem(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

fn takes_prefix(prefix: &str, path: &str) -> Result<usize, Miss> {
    // `/` takes all, the `*` of `OPTIONS *` too.
    if prefix == "/" {
        return Ok(0);
    }
    let Some(rest) = path.strip_prefix(prefix) else { return Err(Miss::OtherPath) };
    let at_boundary = prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/');
    if at_boundary { Ok(stem(prefix).len()) } else { Err(Miss::NotAtSegmentBoundary) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pattern: &str, method: &str, host: &str, path: &str) -> Result<usize, Miss> {
        let pattern: Pattern = pattern.parse().expect(pattern);
        pattern.matches(&Lookup { method: &method.parse().expect(method), host, path })
    }

    #[test]
    fn a_prefix_takes_whole_segments_only() {
        for (pattern, path, expected) in [
            ("/api", "/api", Ok(4)),
            ("/api", "/api/", Ok(4)),
            ("/api", "/api/x", Ok(4)),
            ("/api", "/apix", Err(Miss::NotAtSegmentBoundary)),
            ("/api", "/api%2Fx", Err(Miss::NotAtSegmentBoundary)),
            ("/api", "/API", Err(Miss::OtherPath)),
            ("/api", "/", Err(Miss::OtherPath)),
            ("/api/", "/api", Err(Miss::OtherPath)),
            ("/api/", "/api/", Ok(4)),
            ("/api/", "/api/x", Ok(4)),
            ("/a/b", "/a", Err(Miss::OtherPath)),
            ("/", "/", Ok(0)),
            ("/", "/anything", Ok(0)),
            ("/", "*", Ok(0)),
        ] {
            assert_eq!(verdict(pattern, "GET", "a.example", path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn an_exact_path_takes_nothing_else() {
        for (pattern, path, expected) in [
            ("=/health", "/health", Ok(7)),
            ("=/health", "/health/", Err(Miss::PathGoesOn)),
            ("=/health", "/healthy", Err(Miss::PathGoesOn)),
            ("=/health", "/", Err(Miss::OtherPath)),
            ("=/", "/", Ok(1)),
            ("=/", "/x", Err(Miss::PathGoesOn)),
        ] {
            assert_eq!(verdict(pattern, "GET", "a.example", path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_regex_is_anchored_only_where_it_says_so() {
        for (pattern, path, expected) in [
            ("~^/v[0-9]+/", "/v12/users", Ok(5)),
            ("~^/v[0-9]+/", "/api/v12/users", Err(Miss::NotFound)),
            ("~[.]php$", "/a/index.php", Ok(12)),
            ("~[.]php$", "/a/index.php/x", Err(Miss::NotFound)),
        ] {
            assert_eq!(verdict(pattern, "GET", "a.example", path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_wildcard_takes_any_number_of_labels_below_but_not_the_host_itself() {
        for (pattern, host, takes) in [
            ("*.a.example/", "x.a.example", true),
            ("*.a.example/", "x.y.a.example", true),
            ("*.a.example/", "x.a.example.", true),
            ("*.a.example/", "a.example", false),
            ("*.a.example/", "xa.example", false),
            ("*.a.example/", "x.a.example.evil", false),
            ("A.Example/", "a.example", true),
            ("a.example./", "a.example", true),
            ("a.example/", "a.example.", true),
            ("a.example/", "x.a.example", false),
            ("[::1]/", "[::1]", true),
            ("/", "", true),
        ] {
            assert_eq!(verdict(pattern, "GET", host, "/").is_ok(), takes, "{pattern} {host}");
        }
    }

    #[test]
    fn get_takes_head_requests_too_and_nothing_else_does() {
        for (pattern, method, takes) in [
            ("GET /", "GET", true),
            ("GET /", "HEAD", true),
            ("GET /", "POST", false),
            ("HEAD /", "GET", false),
            ("POST /", "HEAD", false),
            ("/", "BREW", true),
            ("BREW /", "BREW", true),
        ] {
            assert_eq!(verdict(pattern, method, "a.example", "/").is_ok(), takes, "{pattern} {method}");
        }
    }
}
