//! Another path and another query for endpoints than the client has asked for.

use std::{borrow::Cow, sync::Arc};

use regex::Regex;
use serde::{Deserialize, Serialize};

use self::query::{QueryRules, QuerySettings};
use super::{Filter, JsonSchema, Kind, Schema, Site, Step, schemars};
use crate::{
    exchange::{Exchange, Rewritten},
    http::{
        Refusal, Response, StatusCode,
        path::{EmptySegments, Policy, normalize},
    },
    language::Template,
    settings::{Problem, Problems},
};

mod query;

const ABOUT: &str = r#"
```toml
[routes]
"~^/v(?<major>[0-9]+)/" = { to = "http://127.0.0.1:8000", rewrite = { path = "/compat/${group.major}/${rest}" } }
"/shop" = { to = "http://127.0.0.1:8000", rewrite = { strip_prefix = "/shop", query = { remove = ["utm_*"], set = { v = "2" } } } }
"/pictures" = { to = "http://127.0.0.1:8000", rewrite = { regex = { find = "\\.jpe?g$", with = ".webp" } } }

[[tests]]
request = "GET /v2/users?a=b"
expect = { path = "/compat/2/users?a=b" }
```

Routes are found by the path that the client has asked for; what is made here goes to endpoints only, behind the path of the URL in `to`, and instead of what
`strip` would leave. `explain` and `[[tests]]` show it. Redirects and answers of a route have templates of their own.

In `path` stand `${rest}`, what the route's pattern has left of the path; `${group.NAME}`, a group of its regular expression, if the filter is written in the route itself;
and what all templates know, such as `${host.0}` or `${query.id}`. In `with` stand `${1}` or `${NAME}`, groups of `find`. What a client has sent is encoded, but for what
has been a part of the path.

The result must be a path that stays below what is written here: where a client's part makes it climb (`..`), or hides a slash in it, the request gets
400. The host and the query cannot be reached from here. Names in `query` are compared as forms are read, so that `%75tm_source` is `utm_source`.
"#;

/// Makes another target of it.
pub struct Rewrite {
    path: Option<PathRule>,
    query: QueryRules,
}

/// What is written under `rewrite`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewriteSettings {
    /// The path, as a template.
    pub path: Option<String>,
    /// What is taken off the beginning of the path, if it stands there.
    pub strip_prefix: Option<String>,
    /// What of the path becomes something else.
    pub regex: Option<RegexSettings>,
    /// What becomes of the query.
    pub query: QuerySettings,
}

/// One change of a path.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexSettings {
    /// A regular expression; where it first fits in the path, that is replaced.
    pub find: String,
    /// By this, a template.
    pub with: String,
}

enum PathRule {
    /// All of it.
    Made { template: Template, groups: Option<Regex> },
    /// Without this.
    Without(String),
    /// One part.
    Part { find: Regex, with: Template },
}

impl Kind for Rewrite {
    const NAME: &'static str = "rewrite";
    const SUMMARY: &'static str = "asks endpoints for another path or query";
    const ABOUT: &'static str = ABOUT;
    type Settings = RewriteSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(RewriteSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let path = path_rule(&settings, site.key(), &mut problems);
        let query = QueryRules::new(&settings.query, &mut problems);
        if path.is_none() && query.is_empty() && problems.is_empty() {
            problems.push(Problem::at([""; 0], "nothing to rewrite").help("path = \"/new/${rest}\""));
        }
        let of_path = path.as_ref().and_then(PathRule::template).into_iter();
        site.makes_by(of_path.chain(query.templates()).flat_map(Template::differences));
        problems.none_or(Step::Plain(Arc::new(Self { path, query })))
    }
}

impl PathRule {
    fn template(&self) -> Option<&Template> {
        match self {
            Self::Made { template, .. } | Self::Part { with: template, .. } => Some(template),
            Self::Without(_) => None,
        }
    }
}

fn path_rule(settings: &RewriteSettings, site: &[String], problems: &mut Problems) -> Option<PathRule> {
    let RewriteSettings { path, strip_prefix, regex, .. } = settings;
    let rules = [("path", path.is_some()), ("strip_prefix", strip_prefix.is_some()), ("regex", regex.is_some())];
    let written: Vec<_> = rules.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect();
    if written.len() > 1 {
        let what = format!("`{}` and `{}` both make the path", written[0], written[1]);
        problems.push(Problem::at([written[1]], what).help("one of them"));
    }
    if let Some(path) = path {
        return made(path, site, problems);
    }
    if let Some(prefix) = strip_prefix {
        let is_path = prefix.len() > 1 && normalize(prefix, &STRICT).is_ok_and(|path| path == prefix.as_str());
        if !is_path {
            let what = format!("`{}` is not the beginning of a path", prefix.escape_debug());
            problems.push(Problem::at(["strip_prefix"], what).help("such as \"/shop\""));
        }
        return Some(PathRule::Without(prefix.trim_end_matches('/').to_owned()));
    }
    part(regex.as_ref()?, problems)
}

fn made(path: &str, site: &[String], problems: &mut Problems) -> Option<PathRule> {
    let groups = match site {
        [routes, pattern, ..] if routes == "routes" => regex_of(pattern),
        _ => None,
    };
    let named = groups.iter().flat_map(|regex| regex.capture_names().flatten()).map(|name| format!("group.{name}"));
    let local: Vec<String> = [REST.to_owned(), SLASH_REST.to_owned()].into_iter().chain(named).collect();
    let local: Vec<&str> = local.iter().map(String::as_str).collect();
    check_text(path, "path", &[], problems);
    if !path.starts_with(['/', '$']) {
        problems.push(Problem::at(["path"], "a path begins with a slash").help(format!("\"/{path}\"")));
    }
    // As long, so that what is wrong is where it is told.
    let text = path.replace("/${rest}", "${/rest}");
    let template = Template::parse_with(&text, &local).map_err(|fault| problems.push(fault.problem(["path"]))).ok()?;
    let groups = groups.filter(|_| path.contains("${group."));
    Some(PathRule::Made { template, groups })
}

/// The variable for what the route's pattern left, and the same with the one slash before it.
const REST: &str = "rest";
const SLASH_REST: &str = "/rest";

/// The regular expression of a route's pattern. Neither a method nor a host has one of these letters.
fn regex_of(pattern: &str) -> Option<Regex> {
    let path = &pattern[pattern.find(['/', '=', '~'])?..];
    path.strip_prefix('~').and_then(|text| Regex::new(text).ok())
}

fn part(settings: &RegexSettings, problems: &mut Problems) -> Option<PathRule> {
    let find = match Regex::new(&settings.find) {
        Ok(find) => find,
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            problems.push(
                Problem::at(["regex", "find"], format!("not a regular expression: {why}"))
                    .help("such as \"^/old/(.*)$\""),
            );
            return None;
        }
    };
    check_text(&settings.with, "with", &["regex"], problems);
    let names = find.capture_names().enumerate().map(|(index, name)| name.map_or(index.to_string(), str::to_owned));
    let names: Vec<String> = names.chain((0..find.captures_len()).map(|index| index.to_string())).collect();
    let local: Vec<&str> = names.iter().map(String::as_str).collect();
    match Template::parse_with(&settings.with, &local) {
        Ok(with) => Some(PathRule::Part { find, with }),
        Err(fault) => {
            problems.push(fault.problem(["regex", "with"]));
            None
        }
    }
}

fn check_text(text: &str, key: &str, within: &[&str], problems: &mut Problems) {
    // Of variables too: none has such a letter in its name.
    if let Some(letter) = text.chars().find(|letter| "?#".contains(*letter)) {
        let at = within.iter().copied().chain([key]);
        let what = format!("`{letter}` ends a path");
        problems.push(Problem::at(at, what).help("the query has rules of its own: query = { set = { a = \"b\" } }"));
    }
}

/// What is written here is meant; dots that come of it are not.
const STRICT: Policy = Policy { resolve_dots: false, keep_encoded_slash: false, empty_segments: EmptySegments::Keep };

impl Filter for Rewrite {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let path = match &self.path {
            // The whole server has no path.
            Some(rule) if exchange.path != "*" => match rule.apply(exchange) {
                Ok(path) => path,
                Err(refusal) => return Some(refusal.into()),
            },
            _ => None,
        };
        let query = self.query.apply(exchange);
        if path.is_some() || query.is_some() {
            exchange.rewritten = Some(Box::new(Rewritten { path, query }));
        }
        None
    }
}

impl PathRule {
    /// What the path becomes, if it does.
    fn apply(&self, exchange: &Exchange) -> Result<Option<String>, Refusal> {
        let path = exchange.path.as_str();
        let result = match self {
            Self::Made { template, groups } => {
                let groups = groups.as_ref().and_then(|regex| regex.captures(path));
                let rest = path.get(exchange.taken..).unwrap_or_default();
                template.url(exchange, |name| match name {
                    REST => rest.into(),
                    SLASH_REST => Cow::Owned(format!("/{}", rest.strip_prefix('/').unwrap_or(rest))),
                    name => {
                        let group = name.strip_prefix("group.").and_then(|name| groups.as_ref()?.name(name));
                        group.map_or("", |group| group.as_str()).into()
                    }
                })
            }
            Self::Without(prefix) => match path.strip_prefix(prefix.as_str()) {
                Some("") => "/".to_owned(),
                Some(rest) if rest.starts_with('/') => rest.to_owned(),
                _ => return Ok(None),
            },
            Self::Part { find, with } => {
                let Some(groups) = find.captures(path) else { return Ok(None) };
                let all = groups.get(0).map_or(0..0, |all| all.range());
                let made = with.url(exchange, |name| {
                    let group = groups.name(name).or_else(|| groups.get(name.parse().ok()?));
                    group.map_or("", |group| group.as_str()).into()
                });
                [&path[..all.start], &made, &path[all.end..]].concat()
            }
        };
        // Who hides slashes in a path is let in by the server's policy or not; here he comes in by no other way.
        let policy = Policy { keep_encoded_slash: path.contains("%2F") || path.contains("%5C"), ..STRICT };
        match normalize(&result, &policy) {
            Ok(path) => Ok(Some(path.into_owned())),
            Err(_) => Err(Refusal::new(
                Rewrite::NAME,
                StatusCode::BAD_REQUEST,
                "what is asked for makes no path for who would answer it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::filters::testing;

    /// Path and query that come of it; what it is refused with.
    fn rewritten(written: Value, target: &str, fields: &[(&str, &str)], taken: usize) -> String {
        let Step::Plain(filter) = testing::built::<Rewrite>(written) else { panic!("it never waits") };
        let mut exchange = testing::request(&format!("GET {target}"), fields);
        exchange.taken = taken;
        if let Some(refused) = filter.on_request(&mut exchange) {
            return refused.cause.expect("a cause").status().to_string();
        }
        let Some(rewritten) = exchange.rewritten.take() else { return "unchanged".into() };
        let path = rewritten.path.unwrap_or_else(|| exchange.path.clone());
        path + &rewritten.query.unwrap_or_else(|| exchange.query().to_owned())
    }

    #[test]
    fn a_path_is_made_of_what_is_known() {
        for (written, target, taken, expected) in [
            (json!({ "path": "/new/${rest}" }), "/old/a/b?q=1", 4, "/new/a/b?q=1"),
            (json!({ "path": "/new/${rest}" }), "/old", 4, "/new/"),
            (json!({ "path": "/new${rest}" }), "/old", 4, "/new"),
            (json!({ "path": "/new${rest}" }), "/old/a", 4, "/new/a"),
            (json!({ "path": "/new/${rest}" }), "/v1/a", 4, "/new/a"),
            (json!({ "path": "${path}/x" }), "/a%20b", 0, "/a%20b/x"),
            (json!({ "path": "/${query.id}/x" }), "/a?id=a%2520b", 0, "/a%2520b/x?id=a%2520b"),
            (json!({ "strip_prefix": "/shop" }), "/shop/a", 0, "/a"),
            (json!({ "strip_prefix": "/shop" }), "/shop", 0, "/"),
            (json!({ "strip_prefix": "/shop" }), "/shopping", 0, "unchanged"),
            (json!({ "regex": { "find": "\\.jpe?g$", "with": ".webp" } }), "/a.jpg", 0, "/a.webp"),
            (json!({ "regex": { "find": "^/(\\w+)/(?<b>\\w+)", "with": "/${b}/${1}" } }), "/a/b/c", 0, "/b/a/c"),
            (json!({ "regex": { "find": "^/x", "with": "/y" } }), "/a", 0, "unchanged"),
        ] {
            assert_eq!(rewritten(written.clone(), target, &[], taken), expected, "{written} {target}");
        }
    }

    #[test]
    fn what_a_client_sends_can_neither_climb_nor_hide() {
        for (written, target, field) in [
            (json!({ "path": "/in/${header.x}/b" }), "/", ".."),
            (json!({ "path": "/in/${header.x}/b" }), "/", "."),
            (json!({ "path": "/in/${header.x}" }), "/", "../../etc"),
            (json!({ "path": "/in/${header.x}" }), "/", "a\\b"),
            (json!({ "path": "/in/.${header.x}/b" }), "/", "."),
            (json!({ "path": "/in/${query.x}" }), "/?x=%2e%2e%2fb", ""),
            (json!({ "path": "/in/.${rest}" }), "/.", ""),
            (json!({ "regex": { "find": "^/a", "with": "/.." } }), "/a/b", ""),
        ] {
            assert_eq!(rewritten(written.clone(), target, &[("x", field)], 1), "400 Bad Request", "{written} {field}");
        }
        for (written, field, expected) in [
            (json!({ "path": "/in/${header.x}" }), "a?b#c d", "/in/a%3Fb%23c%20d"),
            (json!({ "path": "/in/${header.x}" }), "http://evil", "400 Bad Request"),
        ] {
            assert_eq!(rewritten(written, "/", &[("x", field)], 0), expected);
        }
    }

    #[test]
    fn the_whole_server_has_no_path_to_rewrite() {
        let Step::Plain(filter) = testing::built::<Rewrite>(json!({ "path": "/a" })) else { panic!("it never waits") };
        let mut exchange = testing::request("OPTIONS *", &[]);
        exchange.path = "*".into();

        assert!(filter.on_request(&mut exchange).is_none() && exchange.rewritten.is_none());
    }

    #[test]
    fn what_makes_no_path_is_a_problem() {
        for (written, key) in [
            (json!({}), ""),
            (json!({ "path": "new" }), "path"),
            (json!({ "path": "/a?b=c" }), "path"),
            (json!({ "path": "/${rst}" }), "path"),
            (json!({ "path": "/${group.major}" }), "path"),
            (json!({ "path": "/a", "strip_prefix": "/b" }), "strip_prefix"),
            (json!({ "strip_prefix": "shop" }), "strip_prefix"),
            (json!({ "strip_prefix": "/a/../b" }), "strip_prefix"),
            (json!({ "strip_prefix": "/" }), "strip_prefix"),
            (json!({ "regex": { "find": "(", "with": "" } }), "regex.find"),
            (json!({ "regex": { "find": "a", "with": "${1}" } }), "regex.with"),
            (json!({ "regex": { "find": "a", "with": "#" } }), "regex.with"),
            (json!({ "query": { "remove": ["*a"] } }), "query.remove.0"),
            (json!({ "query": { "set": { "a": "${nothing}" } } }), "query.set.a"),
        ] {
            let told = testing::problems::<Rewrite>(written.clone());
            assert_eq!(told.iter().map(|problem| problem.key.join(".")).collect::<Vec<_>>(), [key], "{written}");
        }
    }
}
