//! Texts in answers that become others, wherever the pieces of the answer are cut.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::{Deserialize, Serialize};

use self::body::Substituted;
use super::{Filter, JsonSchema, Kind, Schema, Site, Step, media_types::MediaTypes, schemars, validators};
use crate::{
    exchange::Exchange,
    http::{HeaderMap, HeaderValue, Method, Response, ResponseBody, StatusCode, grpc, header, headers},
    settings::{Names, Problem, Problems},
    telemetry::metrics::Event,
};

mod body;

const ABOUT: &str = r#"
```toml
[routes."/"]
to = "http://127.0.0.1:8000"
substitute = [
  { find = "http://internal.example", with = "https://shop.example" },
  { find = "<!-- banner -->", with = "<p>Closed on Sunday</p>", types = ["text/html"] },
]
```

Texts are looked for as they are, byte by byte, from the beginning; where several could begin at one place, the first rule that fits is taken. What a rule has put in
is not looked at by others for the same types. An answer streams: what could be the beginning of a text is kept back until it is known, never more than the longest text is long.

Only what is not coded can be looked at, so the endpoint is asked for plain answers (`Accept-Encoding: identity`); what it codes all the same passes as it is and is
counted (`coded`). Parts of an answer (`Range`) are not asked for, because a text may lie across their borders. `compress` stands further out, and sees the
result. What was changed has a weak `ETag` and no `Content-Length`. `no-transform` is heeded.

Events counted: `coded`.
"#;

/// Replaces texts in answers.
pub struct Substitute {
    /// Rules by the types they are for, in the order of the first of each.
    groups: Vec<Arc<Group>>,
    coded: Event,
}

/// Rules for the same types.
struct Group {
    types: MediaTypes,
    rules: Rules,
}

/// Texts, and what they become.
pub struct Rules {
    finder: AhoCorasick,
    find: Vec<Vec<u8>>,
    with: Vec<Vec<u8>>,
}

/// One of the rules under `substitute`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// The text to look for, in this case of letters.
    pub find: String,
    /// What stands there instead.
    pub with: String,
    /// In answers of these types.
    #[serde(default = "html")]
    pub types: Names,
}

fn html() -> Names {
    ["text/html"].into()
}

/// No text is longer.
const LONGEST: usize = 4096;

impl Kind for Substitute {
    const NAME: &'static str = "substitute";
    const SUMMARY: &'static str = "replaces texts in answers as they stream";
    const ABOUT: &'static str = ABOUT;
    type Settings = Vec<RuleSettings>;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(Vec<RuleSettings>))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        if settings.is_empty() {
            problems.push(Problem::at([""; 0], "no rule").help("such as { find = \"a\", with = \"b\" }"));
        }
        let mut grouped: Vec<(Vec<String>, MediaTypes, Vec<RuleSettings>)> = Vec::new();
        for (index, rule) in settings.into_iter().enumerate() {
            let index = index.to_string();
            check(&rule, &index, &mut problems);
            let mut wrong = Problems::default();
            let types = MediaTypes::of(&rule.types, "types", &mut wrong);
            wrong.0.into_iter().for_each(|problem| problems.push(problem.inside(std::slice::from_ref(&index))));
            match grouped.iter_mut().find(|(known, ..)| *known == rule.types.0) {
                Some((.., rules)) => rules.push(rule),
                None => grouped.push((rule.types.0.clone(), types, vec![rule])),
            }
        }
        let groups = grouped.into_iter().filter_map(|(_, types, rules)| {
            let rules = Rules::new(rules).map_err(|what| problems.push(Problem::at([""; 0], what))).ok()?;
            Some(Arc::new(Group { types, rules }))
        });
        let groups = groups.collect();
        site.makes_by([]);
        problems.none_or(Step::Plain(Arc::new(Self { groups, coded: site.event("coded") })))
    }
}

fn check(rule: &RuleSettings, index: &str, problems: &mut Problems) {
    if rule.find.is_empty() {
        problems.push(Problem::at([index, "find"], "an empty text is everywhere").help("a text of 1 to 4096 bytes"));
    }
    for (key, text) in [("find", &rule.find), ("with", &rule.with)] {
        if text.len() > LONGEST {
            problems.push(Problem::at([index, key], "it is too long").help("4096 bytes at most"));
        }
    }
}

impl Rules {
    fn new(rules: Vec<RuleSettings>) -> Result<Self, String> {
        let find: Vec<Vec<u8>> = rules.iter().map(|rule| rule.find.clone().into_bytes()).collect();
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&find);
        let finder = finder.map_err(|error| format!("the texts cannot be looked for: {error}"))?;
        Ok(Self { finder, find, with: rules.into_iter().map(|rule| rule.with.into_bytes()).collect() })
    }
}

impl Filter for Substitute {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let fields = &mut exchange.headers;
        if !grpc::is_called(fields) {
            fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            fields.remove(header::RANGE);
            fields.remove(header::IF_RANGE);
        }
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        if response.status == StatusCode::NOT_MODIFIED {
            validators::stay_weak(&exchange.headers, &mut response.headers);
            return;
        }
        if !could_be_read(response) {
            return;
        }
        for group in &self.groups {
            if !group.types.has(&response.headers) {
                continue;
            }
            if is_coded(&response.headers) {
                self.coded.happened();
                return;
            }
            validators::weaken(&mut response.headers);
            validators::forget_bytes(&mut response.headers);
            response.body = match std::mem::take(&mut response.body) {
                ResponseBody::Empty => ResponseBody::Empty,
                // Of a HEAD nobody knows how long its content would be.
                ResponseBody::Announced(_) => ResponseBody::Empty,
                _ if exchange.method == Method::HEAD => ResponseBody::Empty,
                body => ResponseBody::Stream(Box::new(Substituted::new(body, Arc::clone(group)))),
            };
        }
    }
}

/// It is whole, may be changed, and is no error of the proxy's own.
fn could_be_read(response: &Response) -> bool {
    response.takeover.is_none()
        && response.cause.is_none()
        && response.status != StatusCode::PARTIAL_CONTENT
        && !response.headers.contains_key(header::CONTENT_RANGE)
        && !headers::has_token(&response.headers, &header::CACHE_CONTROL, "no-transform")
}

fn is_coded(fields: &HeaderMap) -> bool {
    headers::list(fields, &header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}
