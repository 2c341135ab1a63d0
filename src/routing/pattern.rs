//! A route's condition as it is written: `[METHOD ][host]path`.
//!
//! | written | takes |
//! |---|---|
//! | `/api` | `/api`, `/api/`, `/api/x`; never `/apix` |
//! | `/api/` | `/api/`, `/api/x`; not `/api` |
//! | `/` | everything |
//! | `=/health` | `/health` alone |
//! | `~^/v(?<major>[0-9]+)/` | what the regular expression finds in the path; anchored only where it says so |
//! | `GET /api` | the same for GET, and for HEAD, which asks for what GET would give |
//! | `shop.example/api` | the same on that host |
//! | `*.shop.example/` | any number of labels below that host, the host itself not |
//! | `GET api.example~^/v[0-9]+/` | all of it together |
//!
//! Hosts are compared without case and without the port: which port a client came to is a listener's business, so a
//! port in a pattern is refused. Paths are compared with the case, in the normal form requests have by then.

use std::{fmt, str::FromStr};

use regex::Regex;

use crate::http::{
    Method,
    path::{EmptySegments, Policy, normalize},
};

/// What a route asks of a request.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    pub(super) method: Option<Method>,
    pub(super) host: Host,
    pub(super) path: Path,
}

/// The hosts a pattern takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// Every host.
    Any,
    /// Every host that ends in a dot and this.
    Below(Box<str>),
    /// This host.
    Exactly(Box<str>),
}

/// The paths a pattern takes.
#[derive(Debug, Clone)]
pub(super) enum Path {
    /// This path and what lies below it.
    Prefix(Box<str>),
    /// This path.
    Exactly(Box<str>),
    /// Where this is found.
    Regex(Regex),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing that could be a path.
    #[error("`{0}` has no path: a pattern is `[METHOD ][host]path`, such as `{0}/`")]
    NoPath(String),
    /// The word before the space is no method.
    #[error("`{0}` is not a method: methods are written in capitals, such as GET")]
    Method(String),
    /// The host has a port.
    #[error("the host `{0}` has a port: routes do not see ports, leave it out")]
    Port(String),
    /// The host is no host name.
    #[error("`{0}` is not a host: write a name, `*.` and a name, or leave it out for every host")]
    Host(String),
    /// A `*` or `{}` in the path.
    #[error("the path `{0}` has a placeholder: a path is a prefix already, for more use a regular expression: `~^/..`")]
    Placeholder(String),
    /// The path after `=` does not begin with a slash.
    #[error("the path `{0}` does not begin with `/`")]
    Relative(String),
    /// A path no request can have by the time it is routed.
    #[error("no request has the path `{path}`: {why}")]
    Unreachable {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The regular expression does not compile.
    #[error("the regular expression `{text}` is wrong: {why}")]
    Regex {
        /// The expression.
        text: String,
        /// What the compiler says of it, on one line.
        why: String,
    },
}

impl Pattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The method, if it asks for one.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// True if it is a regular expression: `priority` counts only there.
    pub fn is_regex(&self) -> bool {
        matches!(self.path, Path::Regex(_))
    }

    /// The names that `${name}` may use with this pattern, besides `${rest}`.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        let regex = match &self.path {
            Path::Regex(regex) => Some(regex),
            Path::Prefix(_) | Path::Exactly(_) => None,
        };
        regex.into_iter().flat_map(|regex| regex.capture_names().flatten())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (method, rest) = split_method(text)?;
        let Some(at) = rest.find(['/', '=', '~']) else { return Err(PatternError::NoPath(rest.to_owned())) };
        let (host, path) = rest.split_at(at);
        Ok(Self { text: text.into(), method, host: parse_host(host)?, path: parse_path(path)? })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `GET /a` has a method; `~^/a b` has none, although it has a space.
fn split_method(text: &str) -> Result<(Option<Method>, &str), PatternError> {
    let Some((word, rest)) = text.split_once(' ') else { return Ok((None, text)) };
    if word.contains(['/', '=', '~']) {
        return Ok((None, text));
    }
    let in_capitals = !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_lowercase());
    match Method::from_bytes(word.as_bytes()) {
        Ok(method) if in_capitals => Ok((Some(method), rest.trim_start_matches(' '))),
        _ => Err(PatternError::Method(word.to_owned())),
    }
}

fn parse_host(text: &str) -> Result<Host, PatternError> {
    if text.is_empty() {
        return Ok(Host::Any);
    }
    let lower = text.to_ascii_lowercase();
    if let Some(name) = lower.strip_prefix("*.") {
        return Ok(Host::Below(host_name(name, text)?.into()));
    }
    if lower.starts_with('[') && lower.ends_with(']') {
        let address = lower[1..lower.len() - 1].parse::<std::net::Ipv6Addr>();
        return match address {
            Ok(_) => Ok(Host::Exactly(lower.into())),
            Err(_) => Err(PatternError::Host(text.to_owned())),
        };
    }
    Ok(Host::Exactly(host_name(&lower, text)?.into()))
}

/// A name of labels, without the dot of the root.
fn host_name<'a>(name: &'a str, written: &str) -> Result<&'a str, PatternError> {
    if name.contains(':') {
        return Err(PatternError::Port(written.to_owned()));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.split('.').all(is_label) { Ok(name) } else { Err(PatternError::Host(written.to_owned())) }
}

fn parse_path(text: &str) -> Result<Path, PatternError> {
    if let Some(regex) = text.strip_prefix('~') {
        return parse_regex(regex);
    }
    if let Some(path) = text.strip_prefix('=') {
        return reachable(path).map(Path::Exactly);
    }
    reachable(text).map(Path::Prefix)
}

fn parse_regex(text: &str) -> Result<Path, PatternError> {
    let wrong = |why: String| PatternError::Regex { text: text.to_owned(), why };
    if text.is_empty() {
        return Err(wrong("it is empty; `/` takes every path".to_owned()));
    }
    match Regex::new(text) {
        Ok(regex) => Ok(Path::Regex(regex)),
        Err(error) => Err(wrong(last_line(&error.to_string()))),
    }
}

/// The compiler's messages draw the expression over several lines; the last says what is wrong.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The path as requests have it by the time they are routed. Refuses what none has: the route would be dead and its
/// author would wonder.
fn reachable(path: &str) -> Result<Box<str>, PatternError> {
    if !path.starts_with('/') {
        return Err(PatternError::Relative(path.to_owned()));
    }
    if path.contains(['*', '{', '}']) {
        return Err(PatternError::Placeholder(path.to_owned()));
    }
    let unreachable = |why| PatternError::Unreachable { path: path.escape_debug().to_string(), why };
    if path.contains(['?', '#']) {
        return Err(unreachable("patterns see neither the query nor the fragment"));
    }
    normalize(path, &AS_REQUESTS).map(Box::from).map_err(unreachable)
}

/// Dots are not resolved but refused: whoever writes them in a pattern means something else. Encoded slashes are for the
/// policy on requests to refuse.
const AS_REQUESTS: Policy =
    Policy { resolve_dots: false, keep_encoded_slash: true, empty_segments: EmptySegments::Keep };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_printed_as_it_was_written() {
        for text in ["/", "/api", "GET /api/", "=/health", "*.Shop.example/", "GET api.example~^/v(?<major>[0-9]+)/"] {
            assert_eq!(text.parse::<Pattern>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_regex_may_hold_spaces_slashes_and_equals() {
        let pattern: Pattern = r"~^/a b=(?<c>.*)/$".parse().expect("a regex");

        assert_eq!(pattern.method(), None);
        assert!(pattern.is_regex());
        assert_eq!(pattern.group_names().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn methods_may_be_ones_we_never_heard_of() {
        let pattern: Pattern = "VERSION-CONTROL /repo".parse().expect("a method");

        assert_eq!(pattern.method().map(Method::as_str), Some("VERSION-CONTROL"));
    }

    #[test]
    fn what_could_never_match_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "`` has no path"),
            ("api", "such as `api/`"),
            ("example.com", "such as `example.com/`"),
            ("get /api", "`get` is not a method: methods are written in capitals"),
            ("G@T /api", "`G@T` is not a method"),
            (" /api", "`` is not a method"),
            ("example.com:8080/", "the host `example.com:8080` has a port"),
            ("[::1]:80/", "the host `[::1]:80` has a port"),
            ("[::zz]/", "is not a host"),
            ("a..example/", "is not a host"),
            ("*/api", "`*` is not a host"),
            ("*.*.example/", "is not a host"),
            ("ex ample/", "`ex` is not a method"),
            ("bücher.example/", "is not a host"),
            ("=health", "the path `health` does not begin with `/`"),
            ("/api/*", "the path `/api/*` has a placeholder"),
            ("/users/{id}", "use a regular expression"),
            ("/api?x=1", "patterns see neither the query nor the fragment"),
            ("=/api#x", "patterns see neither the query nor the fragment"),
            ("/a/../b", "a dot segment"),
            ("/a/%2E", "a dot segment"),
            ("/a b", "a character that must be encoded"),
            ("/ü", "a character that must be encoded"),
            ("/a\n", "`/a\\n`: a character that must be encoded"),
            ("/a\\b", "a backslash"),
            ("/%0A", "an encoded control character"),
            ("/%4", "an incomplete percent-encoding"),
            ("~", "it is empty"),
            ("~(", "the regular expression `(` is wrong: unclosed group"),
            (r"~(?=x)", "look-around"),
        ] {
            let error = text.parse::<Pattern>().expect_err(text).to_string();

            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }

    #[test]
    fn paths_are_brought_into_the_form_requests_have() {
        for (text, expected) in [
            ("/%c3%bc", "/%C3%BC"),
            ("/%7Euser", "/~user"),
            ("/a%2Fb", "/a%2Fb"),
            ("/grpc.health.v1.Health", "/grpc.health.v1.Health"),
            ("/a/..b/.well-known", "/a/..b/.well-known"),
            ("/a//b", "/a//b"),
            ("[::1]/x", "/x"),
        ] {
            let pattern: Pattern = text.parse().expect(text);

            assert!(matches!(&pattern.path, Path::Prefix(path) if **path == *expected), "{text}: {pattern:?}");
        }
    }
}
