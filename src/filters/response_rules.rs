//! What answers may look like.

mod body;
mod deny;

use std::{mem, sync::Arc};

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

pub use self::deny::DenySettings;
use self::{body::Bounded, deny::Rule};
use super::{Around, JsonSchema, Kind, Next, Schema, Site, Step, media_types::MediaTypes, schemars};
use crate::{
    cache::policy::Part,
    exchange::Exchange,
    http::{Body, BodySize, HeaderMap, Method, Refusal, Response, ResponseBody, StatusCode, header},
    settings::{Names, Problem, Problems, Size},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", response_rules = { content_types = "application/json", max_body = "10MiB" } }

[routes."/"]
to = "http://127.0.0.1:8001"
[routes."/".response_rules]
deny = [
  { content_types = ["application/x-sql", "application/x-httpd-*"] },
  { status = "5xx", content_types = "text/html" },
  { headers = { x-debug-token = "*" }, when = "not client.ip in cidr('10.0.0.0/8')" },
]
```

An answer that a rule is against does not get out: the client gets 502 in its place, a problem of the type `urn:aqueduct:refused:response_rules`, and nothing of
what the endpoint has said, neither fields nor content. [`error_pages`](error_pages.md) make a page of that.

A rule of `deny` is against an answer of which all holds that it says: the request is one of those of [`when`](../conditions.md), the status is one of `status`, the type one of
`content_types`, and each of `headers` is there with such a value (whole, without case, `*` is anything). Where a type or a field came twice, or a line names
several types, one is enough. With `content_types` beside `deny` no content of another type gets out, also none of errors, none without a type, and none that says
it in two ways; that is safer than a list of what may not, for browsers guess. `text/*` is any text, parameters and case do not matter.

An answer with a `Content-Length` of more than `max_body` does not get out at all. One that does not say how long it is breaks off before the first byte that is
too much, so that nobody takes it for whole. Of a part (206) the length of the whole counts, if it says that, and else its own. It is counted as it comes here: compressed, if the endpoint has done that,
and as filters further in have changed it.

Rules stand further out than [`cache`](cache.md): what is stored is held against the rules of today. What `header_rules` and `substitute` make of an answer, they have made before.
Where rules ask for types, a `Range` of several parts is not sent on, because the parts name their types themselves. Errors of the proxy itself are not looked at, and neither are interim
responses (103), trailers, and what goes through a WebSocket or another tunnel.

Events counted: `refused`, `cut_off`.
"#;

/// Lets out only answers that are as they should be.
pub struct ResponseRules {
    types: Option<MediaTypes>,
    max_body: Option<u64>,
    deny: Vec<Rule>,
    cut_off: Event,
}

/// What is written under `response_rules`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRulesSettings {
    /// Types of content that may get out; all, if this is not said.
    pub content_types: Option<Names>,
    /// Bytes of content that may get out; any number, if this is not said.
    #[schemars(with = "Option<String>")]
    pub max_body: Option<Size>,
    /// Answers that may not get out.
    pub deny: Vec<DenySettings>,
}

impl Kind for ResponseRules {
    const NAME: &'static str = "response_rules";
    const SUMMARY: &'static str =
        "lets out no answers but those that are as they should be, by status, type, fields and size";
    const ABOUT: &'static str = ABOUT;
    type Settings = ResponseRulesSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ResponseRulesSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let ResponseRulesSettings { content_types, max_body, deny } = settings;
        if content_types.is_none() && max_body.is_none() && deny.is_empty() {
            let help = "deny = [..], content_types or max_body";
            problems.push(Problem::at([] as [&str; 0], "there is no rule").help(help));
        }
        if deny.len() > deny::MOST {
            problems.push(
                Problem::at(["deny"], format!("more than {} rules", deny::MOST))
                    .help("one rule may name several types and statuses"),
            );
        }
        let types = content_types.map(|names| MediaTypes::of(&names, "content_types", &mut problems));
        let deny = deny.into_iter().enumerate();
        let deny = deny.map(|(index, rule)| Rule::new(rule, &index.to_string(), &mut problems)).collect();
        let max_body = max_body.map(|size| size.0);
        problems.none_or(Step::Around(Arc::new(Self { types, max_body, deny, cut_off: site.event("cut_off") })))
    }
}

impl Around for ResponseRules {
    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
        // Before filters further in make another request of it.
        let meant = deny::meant(&self.deny, exchange);
        if self.types.is_some() || self.deny.iter().any(Rule::asks_for_types) {
            ask_for_one_range(&mut exchange.headers);
        }
        Box::pin(async move {
            let response = next.run(exchange).await;
            if exchange.is_rehearsal || response.cause.is_some() || response.takeover.is_some() {
                return response;
            }
            match self.check(meant, &exchange.method, &response) {
                Ok(()) => self.bounded(response),
                Err(flaw) => flaw.refused(),
            }
        })
    }
}

impl ResponseRules {
    /// The first rule that is against it; `meant` are those of `deny` that are about the request.
    fn check(&self, meant: u64, method: &Method, response: &Response) -> Result<(), Flaw> {
        if deny::is_denied(&self.deny, meant, response) {
            return Err(Flaw::Denied);
        }
        let holds_content = holds_content(method, response);
        if self.types.as_ref().is_some_and(|types| holds_content && !types.has_surely(&response.headers)) {
            return Err(Flaw::Type);
        }
        match self.max_body {
            Some(limit) if announced(response).is_some_and(|length| length > limit) => Err(Flaw::Length),
            _ => Ok(()),
        }
    }

    /// What does not say how long it is gets no longer than it may.
    fn bounded(&self, mut response: Response) -> Response {
        if let (Some(limit), BodySize::Stream) = (self.max_body, response.body.size()) {
            let body = Bounded::new(mem::take(&mut response.body), limit, self.cut_off.clone());
            response.body = ResponseBody::Stream(Box::new(body));
        }
        response
    }
}

/// What is against an answer.
enum Flaw {
    Denied,
    Type,
    Length,
}

impl Flaw {
    fn refused(self) -> Response {
        let (reason, token) = match self {
            Self::Denied => ("a rule is against the answer", "http_request_denied"),
            Self::Type => ("an answer of this type is not let out", "http_request_denied"),
            Self::Length => ("the answer is too large", "http_response_body_size"),
        };
        Refusal::new(ResponseRules::NAME, StatusCode::BAD_GATEWAY, reason).of_answer(token)
    }
}

/// How long it says that it is, or that of which it is a part.
fn announced(response: &Response) -> Option<u64> {
    let whole = (response.status == StatusCode::PARTIAL_CONTENT).then(|| Part::of(&response.headers)).flatten();
    match (whole, response.body.size()) {
        _ if response.status == StatusCode::NOT_MODIFIED => None,
        (Some(part), _) => Some(part.total),
        (None, BodySize::Sized(length)) => Some(length),
        _ => None,
    }
}

/// It has content, or tells of what a GET would bring.
fn holds_content(method: &Method, response: &Response) -> bool {
    if *method == Method::HEAD {
        return response.headers.contains_key(header::CONTENT_TYPE);
    }
    let is_empty = matches!(response.body.size(), BodySize::None | BodySize::Sized(0));
    !is_empty && response.status != StatusCode::NOT_MODIFIED
}

/// A server may always answer with the whole (RFC 9110, 14.2).
fn ask_for_one_range(fields: &mut HeaderMap) {
    let mut ranges = fields.get_all(header::RANGE);
    let first_is_many = ranges.next().is_some_and(|range| range.as_bytes().contains(&b','));
    if first_is_many || ranges.next().is_some() {
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
    }
}

#[cfg(test)]
mod tests;
