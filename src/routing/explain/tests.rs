use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::http::Method;

/// A pattern in parts, to be matched by a second, slower hand.
#[derive(Debug, Clone)]
struct Parts {
    method: Option<&'static str>,
    host: &'static str,
    kind: &'static str,
    path: String,
    priority: i64,
}

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    host: &'static str,
    path: String,
}

impl Parts {
    fn text(&self) -> String {
        let method = self.method.map(|method| format!("{method} ")).unwrap_or_default();
        format!("{method}{}{}{}", self.host, self.kind, self.path)
    }

    fn takes(&self, request: &Request) -> bool {
        let host = match self.host.strip_prefix('*') {
            Some(end) => request.host.ends_with(end),
            None => self.host.is_empty() || self.host == request.host,
        };
        let path = match self.kind {
            "~" => Regex::new(&self.path).expect("a regex").is_match(&request.path),
            "=" => self.path == request.path,
            _ if self.path.ends_with('/') => request.path.starts_with(&self.path),
            _ => format!("{}/", request.path).starts_with(&format!("{}/", self.path)),
        };
        let method = self.method.is_none_or(|own| own == request.method || (own == "GET" && request.method == "HEAD"));
        host && path && method
    }

    /// Host, kind, length or priority, method: the greater wins.
    fn weight(&self) -> (usize, usize, i64, usize) {
        let host = if self.host.starts_with('*') { self.host.len() } else { self.host.len() * 1_000 };
        let (kind, within) = match self.kind {
            "=" => (2, 0),
            "~" => (1, self.priority),
            _ => (0, self.path.len() as i64),
        };
        let method = match self.method {
            None => 0,
            Some("GET") => 1,
            Some(_) => 2,
        };
        (host, kind, within, method)
    }
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", ""]);
    (prop::collection::vec(segment, 0..4)).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn parts() -> impl Strategy<Value = Parts> {
    let method = prop::sample::select(vec![None, None, Some("GET"), Some("HEAD"), Some("POST")]);
    let hosts = vec!["", "", "a.example", "b.a.example", "*.example", "*.a.example", "*.b.a.example"];
    let regex = prop::sample::select(vec!["^/a", "b$", "^/(?<x>a+)/", ".", "^/b|^/ab", "^/ab?/"]);
    let path = prop_oneof![
        3 => path().prop_map(|path| ("", path)),
        1 => path().prop_map(|path| ("=", path)),
        2 => regex.prop_map(|regex| ("~", regex.to_owned())),
    ];
    (method, prop::sample::select(hosts), path, -1..3_i64).prop_map(|(method, host, (kind, path), priority)| Parts {
        method,
        host,
        kind,
        path,
        priority,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "BREW"]);
    let hosts = vec!["", "a.example", "b.a.example", "c.b.a.example", "x.example", "example", "xexample"];
    (method, prop::sample::select(hosts), path()).prop_map(|(method, host, path)| Request { method, host, path })
}

fn entry(parts: &Parts) -> Entry<Parts> {
    let pattern = parts.text().parse().expect("a pattern");
    Entry { pattern, priority: parts.priority, value: parts.clone() }
}

/// A table of all that can be ordered: what ties with one before it is left out.
fn table(parts: &[Parts]) -> Table<Parts> {
    let mut ordered: Vec<Entry<Parts>> = Vec::new();
    for parts in parts {
        ordered.push(entry(parts));
        if Table::build(ordered.clone()).is_err() {
            ordered.pop();
        }
    }
    Table::build(ordered).expect("no ties are left")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_the_explanation_and_a_naive_search_agree(
        parts in prop::collection::vec(parts(), 0..14),
        requests in prop::collection::vec(request(), 1..8),
    ) {
        let table = table(&parts);
        for request in requests {
            let method: Method = request.method.parse().expect("a method");
            let lookup = Lookup { method: &method, host: request.host, path: &request.path };
            let taking = table.entries().iter().filter(|entry| entry.value.takes(&request));
            let naive = taking.max_by_key(|entry| entry.value.weight()).map(|entry| entry.pattern.to_string());

            let found = table.find(&lookup);
            let explanation = explain(&table, &lookup);

            prop_assert_eq!(found.as_ref().map(|found| found.entry.pattern.to_string()), naive.clone());
            prop_assert_eq!(&explanation.winner, &naive);
            if let Some(found) = found {
                prop_assert_eq!(found.entry.pattern.matches(&lookup), Ok(found.prefix_len));
            }
            let won = table.find(&lookup).map(|found| found.index);
            let losers = table.entries().iter().enumerate().filter(|(index, _)| Some(*index) != won).map(|(_, entry)| entry);
            for (loser, (text, reason)) in losers.zip(&explanation.losers) {
                prop_assert_eq!(loser.pattern.as_str(), text);
                prop_assert_eq!(loser.value.takes(&request), !matches!(reason, Reason::Miss(_)), "{} {:?}", text, reason);
            }
        }
    }
}

#[test]
fn each_loser_is_told_why() {
    let patterns = [
        ("/", 0),
        ("/api", 0),
        ("GET /api", 0),
        ("/ap", 0),
        ("=/api/orders", 0),
        ("~^/api/", 1),
        ("~orders", 2),
        ("POST /api", 0),
        ("shop.example/api/x", 0),
        ("shop.example/api", 0),
        ("other.example/api", 0),
        ("=/api", 0),
        ("~^/img/", 3),
    ];
    let entry =
        |(pattern, priority): (&str, i64)| Entry { pattern: pattern.parse().expect("a pattern"), priority, value: () };
    let table = Table::build(patterns.into_iter().map(entry).collect()).expect("no ties");
    let reason = |host: &str, path: &str, pattern: &str| {
        let explanation = explain(&table, &Lookup { method: &Method::GET, host, path });
        explanation.losers.into_iter().find(|(text, _)| text == pattern).map(|(_, reason)| reason)
    };

    for (host, path, pattern, expected) in [
        ("shop.example", "/api/orders", "=/api/orders", Reason::LessSpecificHost),
        ("shop.example", "/api/orders", "shop.example/api/x", Reason::Miss(Miss::OtherPath)),
        ("", "/api/orders", "other.example/api", Reason::Miss(Miss::OtherHost)),
        ("", "/api/orders", "~orders", Reason::ExactPathFirst),
        ("", "/api/orders", "/", Reason::ExactPathFirst),
        ("", "/api/orders/7", "=/api/orders", Reason::Miss(Miss::PathGoesOn)),
        ("", "/api/orders/7", "~^/api/", Reason::LowerPriority),
        ("", "/api/orders/7", "/api", Reason::RegexFirst),
        ("", "/api/orders/7", "~^/img/", Reason::Miss(Miss::NotFound)),
        ("", "/api/orders/7", "/ap", Reason::Miss(Miss::NotAtSegmentBoundary)),
        ("", "/api/orders/7", "POST /api", Reason::Miss(Miss::OtherMethod)),
        ("", "/ap/x", "/", Reason::ShorterPrefix),
        ("", "/api", "GET /api", Reason::ExactPathFirst),
    ] {
        assert_eq!(reason(host, path, pattern), Some(expected), "{pattern} for {host}{path}");
    }
}

#[test]
fn an_explanation_reads_as_text() {
    let entry = |pattern: &str| Entry { pattern: pattern.parse().expect("a pattern"), priority: 0, value: () };
    let table = Table::build(["/", "/api", "GET /api"].map(entry).into()).expect("no ties");

    let text = |path| explain(&table, &Lookup { method: &Method::GET, host: "", path }).to_string();

    assert_eq!(
        text("/api/x"),
        "route `GET /api`\n  \
           not `/`     matches, but a longer prefix goes first\n  \
           not `/api`  matches, but a route for this very method goes first\n"
    );
    assert_eq!(
        text("/apix"),
        "route `/`\n  \
           not `/api`      ends in the middle of a path segment: prefixes take whole segments\n  \
           not `GET /api`  ends in the middle of a path segment: prefixes take whole segments\n"
    );
}
