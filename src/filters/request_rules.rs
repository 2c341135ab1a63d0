//! What requests may look like.

mod agents;
mod methods;

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use self::{agents::Agents, methods::Methods};
use super::{
    Filter, JsonSchema, Kind, Schema, Site, Step,
    conditions::{Asks, Conditions},
    schemars,
};
use crate::{
    exchange::Exchange,
    http::{HeaderValue, Refusal, Response, StatusCode, body::Length, header},
    language::view,
    settings::{Problem, Problems, values::Size},
};

const ABOUT: &str = r#"
```toml
[policies.public_api]
request_rules = { methods = ["GET", "POST"], content_types = ["application/json"], max_query = "2KiB", query_names = ["page", "sort"] }

[routes."/api"]
to = "http://127.0.0.1:8000"
use = "public_api"

[routes."/"]
to = "http://127.0.0.1:8000"
[routes."/".request_rules]
deny = [
  "path starts_with '/internal' and not client.ip in cidr('10.0.0.0/8')",
  "header('x-role') == 'guest' and method != 'GET'",
]
user_agents = { deny = ["*bot*", "curl/*"] }
```

`deny` and `allow` are [conditions](../conditions.md), asked before anything is proved of the client: who may do what is for [`authorize`](authorize.md). A request is refused (403) if one of `deny` holds, or if there is an `allow` and none of it does. What came
twice may be read either way: it is enough for `deny` if one of them is meant, and not for `allow`.

A method that is not in `methods` is refused with 405 and `Allow`; who may GET may HEAD. So is one that is asked for by
`X-HTTP-Method-Override` and its like, which endpoints may follow. A request with a body whose `Content-Type` is not in `content_types`, or that has none,
is refused with 415 and `Accept`; parameters and case do not matter, `text/*` is any text. A query longer than `max_query` is refused with
414. With `query_names` a query has these names and no other, each once at most, whether `&` or `;` stands between them; else it is refused with 400.

`user_agents` are compared whole and without case, `*` is anything; one that came twice is refused if one of them is in `deny`. With `allow` nobody else may come, also nobody
without a name. It is what clients say of themselves: it keeps out the polite ones. A file of `deny_files` or `allow_files` has one name a line, lines that begin with `#` are for people; it
is read again when it changes. 100,000 names cost a request what ten cost, where `*` stands at their ends alone.
"#;

/// Refuses requests that are not as they should be.
pub struct RequestRules {
    methods: Option<Methods>,
    content_types: Option<ContentTypes>,
    max_query: Option<usize>,
    query_names: Option<Vec<String>>,
    agents: Option<Agents>,
    conditions: Conditions,
}

/// What is written under `request_rules`.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestRulesSettings {
    /// Methods that may come; all, if this is not said.
    pub methods: Option<Vec<String>>,
    /// Media types that bodies may have, such as `"application/json"` or `"text/*"`; all, if this is not said.
    pub content_types: Option<Vec<String>>,
    /// Bytes of a query; there is `server.http.max_uri` in any case.
    #[schemars(with = "Option<String>")]
    pub max_query: Option<Size>,
    /// Names that a query may have, each once; any, if this is not said.
    pub query_names: Option<Vec<String>>,
    /// Names of clients, as they tell them.
    pub user_agents: AgentSettings,
    /// Conditions of which none may hold.
    pub deny: Vec<String>,
    /// Conditions of which one must hold, if there are any.
    pub allow: Vec<String>,
}

/// What is written under `user_agents`.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Who may not come; `*` is anything.
    pub deny: Vec<String>,
    /// Who alone may come, if there are any.
    pub allow: Vec<String>,
    /// Files of names that may not come.
    pub deny_files: Vec<PathBuf>,
    /// Files of names that alone may come.
    pub allow_files: Vec<PathBuf>,
}

impl Kind for RequestRules {
    const NAME: &'static str = "request_rules";
    const SUMMARY: &'static str =
        "refuses requests by method, path, query, fields, type of content and who the client says he is";
    const ABOUT: &'static str = ABOUT;
    type Settings = RequestRulesSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(RequestRulesSettings))
    }

    fn files(settings: &Self::Settings) -> Vec<PathBuf> {
        let AgentSettings { deny_files, allow_files, .. } = &settings.user_agents;
        [deny_files, allow_files].into_iter().flatten().cloned().collect()
    }

    fn build(settings: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        Self::read(settings).map(|rules| Step::Plain(Arc::new(rules)))
    }
}

impl Filter for RequestRules {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        self.check(exchange).err().map(Response::from)
    }
}

impl RequestRules {
    fn read(settings: RequestRulesSettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if settings == RequestRulesSettings::default() {
            problems.push(
                Problem::at([] as [&str; 0], "there is no rule")
                    .help("deny = [..], allow, methods, content_types, ..."),
            );
        }
        let most = u128::BITS as usize;
        if settings.query_names.as_ref().is_some_and(|names| names.len() > most) {
            problems.push(
                Problem::at(["query_names"], format!("more than {most} names")).help("a condition can ask for more"),
            );
        }
        let rules = Self {
            methods: settings.methods.as_deref().and_then(|written| Methods::new(written, &mut problems)),
            content_types: settings.content_types.as_deref().and_then(|all| ContentTypes::new(all, &mut problems)),
            max_query: settings.max_query.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX)),
            query_names: settings.query_names,
            agents: Agents::new(&settings.user_agents, &mut problems),
            conditions: Conditions::read(&settings.deny, &settings.allow, Asks::Requests, &mut problems),
        };
        problems.none_or(rules)
    }

    /// The first rule that is broken; what costs least is asked first.
    fn check(&self, exchange: &Exchange) -> Result<(), Refusal> {
        if let Some(methods) = &self.methods {
            methods.check(exchange)?;
        }
        if let Some(types) = &self.content_types {
            types.check(exchange)?;
        }
        self.check_query(exchange)?;
        if self.agents.as_ref().is_some_and(|agents| !agents.may_come(exchange)) {
            return Err(refusal(StatusCode::FORBIDDEN, "clients of this name may not come in here"));
        }
        self.conditions.check(exchange).map_err(|against| refusal(StatusCode::FORBIDDEN, against))
    }

    fn check_query(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let query = exchange.query();
        // Without its question mark.
        if self.max_query.is_some_and(|limit| query.len().saturating_sub(1) > limit) {
            return Err(refusal(StatusCode::URI_TOO_LONG, "the query is too long"));
        }
        let Some(known) = &self.query_names else { return Ok(()) };
        let mut seen = 0_u128;
        for name in view::query_names(query) {
            let Some(place) = known.iter().position(|known| known.as_bytes() == &*name) else {
                return Err(refusal(StatusCode::BAD_REQUEST, "the query has a name that it may not have"));
            };
            let mark = 1 << place;
            if seen & mark != 0 {
                return Err(refusal(StatusCode::BAD_REQUEST, "the query has a name twice"));
            }
            seen |= mark;
        }
        Ok(())
    }
}

/// The types that bodies may have.
struct ContentTypes {
    listed: Vec<Box<str>>,
    accept: HeaderValue,
}

impl ContentTypes {
    fn new(written: &[String], problems: &mut Problems) -> Option<Self> {
        for (index, text) in written.iter().enumerate() {
            if !is_media_type(text) {
                let what = format!("`{}` is not a media type", text.escape_debug());
                let help = "lower case and without parameters, such as \"application/json\" or \"text/*\"";
                problems.push(Problem::at(["content_types", &index.to_string()], what).help(help));
            }
        }
        let accept = HeaderValue::from_str(&written.join(", ")).ok()?;
        Some(Self { listed: written.iter().map(|text| text.as_str().into()).collect(), accept })
    }

    fn check(&self, exchange: &Exchange) -> Result<(), Refusal> {
        if matches!(exchange.body.length(), Length::None | Length::Exact(0)) {
            return Ok(());
        }
        let mut lines = exchange.headers.get_all(header::CONTENT_TYPE).map(|line| view::media_type(line.as_bytes()));
        // Of two, nobody knows which is meant.
        let takes = match (lines.next(), lines.next()) {
            (Some(only), None) => self.listed.iter().any(|listed| takes(listed.as_bytes(), &only)),
            _ => false,
        };
        if takes {
            return Ok(());
        }
        let refusal = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content of this type is not taken");
        Err(refusal.with(header::ACCEPT, self.accept.clone()))
    }
}

/// `text/*` takes `text/plain`, and not `text/` or `text/a/b`.
fn takes(listed: &[u8], found: &[u8]) -> bool {
    match listed.strip_suffix(b"*") {
        None => listed == found,
        Some(family) => found.strip_prefix(family).is_some_and(|rest| !rest.is_empty() && rest.iter().all(is_of_token)),
    }
}

fn is_media_type(text: &str) -> bool {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| is_of_token(&byte) && !byte.is_ascii_uppercase());
    text.split_once('/').is_some_and(|(family, kind)| {
        is_token(family) && !family.contains('*') && (kind == "*" || (is_token(kind) && !kind.contains('*')))
    })
}

/// A byte of a token (RFC 9110, 5.6.2).
fn is_of_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn refusal(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal::new(RequestRules::NAME, status, reason)
}

#[cfg(test)]
mod tests;
