//! Answers made smaller for clients that can read them so.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use self::{
    body::Compressed,
    encoder::Encoder,
    negotiate::{Choice, choose},
};
use super::{Around, JsonSchema, Kind, Next, Schema, Site, Step, media_types::MediaTypes, schemars, validators};
use crate::{
    exchange::Exchange,
    http::{Body, BodySize, HeaderMap, HeaderValue, Method, Response, ResponseBody, StatusCode, grpc, header, headers},
    settings::{Names, Problem, Problems, Size},
    telemetry::metrics::Event,
};

mod body;
mod encoder;
mod kept;
mod negotiate;

const ABOUT: &str = r#"
```toml
[defaults]
compress = true

[routes]
"/" = "http://127.0.0.1:8000"
"/reports" = { to = "http://127.0.0.1:8000", compress = { algorithms = ["zstd", "gzip"], min_size = "4KiB", types = ["text/*", "application/json"], level = "small" } }
# What its endpoint does itself.
"/assets" = { to = "http://127.0.0.1:8000", compress = false }
```

The algorithm is the client's choice by `Accept-Encoding` and its weights; between those that it likes alike, the first in `algorithms`. Never touched are
answers that are coded already, partial (206) or answers to a part (`Content-Range`), without content, marked `no-transform` by either side, and gRPC.

What was compressed has another `ETag`, a weak one; no `Content-Length`, no `Accept-Ranges`, and no digest of what it was. `Vary` names `Accept-Encoding`
also where this client got it plain. Trailers stay. It streams: whenever the endpoint pauses, what has come so far is sent in full, so that events
(`text/event-stream`) and progress arrive when they happen; a stream takes about 1 MiB of memory with `fast`, at most 6 MiB with
`small`, and gives way to others every 16 KiB.

Where a page shows a secret (a token against CSRF, say) beside what somebody else can have put there, the size of the compressed page tells of the secret
(BREACH). Give such routes `compress = false`, or mask the secret anew in every answer.

What is made of an answer that `cache` keeps is kept with it, from the second time on that it is sent from there: after that it costs nothing.

Events counted: `compressed`, `reused`.
"#;

/// Compresses answers on their way.
pub struct Compress {
    algorithms: Vec<Coding>,
    min_size: u64,
    types: MediaTypes,
    level: Level,
    compressed: Event,
    reused: Event,
}

/// What is written under `compress`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompressSettings {
    /// Which may be used; between those that a client likes alike the first one is taken.
    pub algorithms: Vec<Coding>,
    /// What is shorter is not worth it. What is of unknown length is.
    pub min_size: Size,
    /// Types of content; `text/*` and `application/*+json` stand for many.
    pub types: Names,
    /// How much work is put into it.
    pub level: Level,
}

/// Ways to compress (RFC 9110, 8.4.1; RFC 7932; RFC 9659).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Zstandard.
    Zstd,
    /// Brotli.
    Br,
    /// What every client knows.
    Gzip,
}

/// How much work is put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Little.
    #[default]
    Fast,
    /// Two to three times that.
    Balanced,
    /// Much: for answers that are kept somewhere.
    Small,
}

impl Coding {
    /// As fields name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// Types that become smaller.
const TYPES: [&str; 12] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/x-ndjson",
    "application/wasm",
    "application/yaml",
    "image/svg+xml",
    "font/ttf",
    "font/otf",
];

impl Default for CompressSettings {
    fn default() -> Self {
        Self {
            algorithms: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            min_size: Size::kib(1),
            types: TYPES.into(),
            level: Level::default(),
        }
    }
}

impl Kind for Compress {
    const NAME: &'static str = "compress";
    const SUMMARY: &'static str = "compresses answers with zstd, brotli or gzip, as the client can read them";
    const ABOUT: &'static str = ABOUT;
    type Settings = CompressSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(CompressSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        if settings.algorithms.is_empty() {
            problems.push(Problem::at(["algorithms"], "nothing to compress with").help("compress = false is without"));
        }
        let types = MediaTypes::of(&settings.types, "types", &mut problems);
        problems.none_or(Step::Around(Arc::new(Self {
            algorithms: settings.algorithms,
            min_size: settings.min_size.0,
            types,
            level: settings.level,
            compressed: site.event("compressed"),
            reused: site.event("reused"),
        })))
    }
}

impl Around for Compress {
    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
        // Before filters further in make the endpoint answer in the plain.
        let choice = choose(&exchange.headers, &self.algorithms);
        let may_transform = !forbids(&exchange.headers) && !grpc::is_called(&exchange.headers);
        exchange.wants_codings = may_transform && choice.coding.is_some();
        Box::pin(async move {
            let mut response = next.run(exchange).await;
            if may_transform {
                self.finish(choice, exchange, &mut response);
            }
            response
        })
    }
}

impl Compress {
    fn finish(&self, choice: Choice, exchange: &Exchange, response: &mut Response) {
        if response.status == StatusCode::NOT_MODIFIED {
            if validators::stay_weak(&exchange.headers, &mut response.headers) {
                vary(&mut response.headers);
            }
            return;
        }
        if !self.could(response) {
            return;
        }
        vary(&mut response.headers);
        let Some(coding) = choice.coding else { return };
        let is_head = exchange.method == Method::HEAD;
        if !choice.plain_is_refused && !self.is_worth_it(&response.body, is_head) {
            return;
        }
        let body = match std::mem::take(&mut response.body) {
            // Of a HEAD nobody knows how long its content would be.
            _ if is_head => ResponseBody::Empty,
            body => match self.coded(body, coding) {
                Ok(body) => body,
                Err(plain) => {
                    response.body = plain;
                    return;
                }
            },
        };
        response.body = body;
        mark(&mut response.headers, coding);
    }

    fn coded(&self, mut body: ResponseBody, coding: Coding) -> Result<ResponseBody, ResponseBody> {
        let (coded, was_kept) = match body.codings() {
            Some(codings) => kept::coded(body, codings, coding, self.level)?,
            None => (coded(body, coding, self.level)?, false),
        };
        if was_kept { &self.reused } else { &self.compressed }.happened();
        Ok(coded)
    }

    /// It could be compressed for some client.
    fn could(&self, response: &Response) -> bool {
        let (status, fields) = (response.status, &response.headers);
        let is_whole = !status.is_informational()
            && ![StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT].contains(&status)
            && !fields.contains_key(header::CONTENT_RANGE);
        let is_plain =
            headers::list(fields, &header::CONTENT_ENCODING).all(|coding| coding.eq_ignore_ascii_case(b"identity"));
        response.takeover.is_none()
            && is_whole
            && is_plain
            && !forbids(fields)
            && !grpc::is_called(fields)
            && self.types.has(fields)
    }

    fn is_worth_it(&self, body: &ResponseBody, is_head: bool) -> bool {
        match body.size() {
            // What a GET would bring is not known.
            BodySize::None => is_head,
            BodySize::Sized(length) => length > 0 && length >= self.min_size,
            BodySize::Stream => true,
        }
    }
}

/// What is in memory stays there.
fn coded(body: ResponseBody, coding: Coding, level: Level) -> Result<ResponseBody, ResponseBody> {
    let Ok(encoder) = Encoder::new(coding, level) else { return Err(body) };
    match body {
        ResponseBody::Bytes(bytes) if bytes.len() <= AT_ONCE => match encoder.whole(&bytes) {
            Ok(coded) => Ok(ResponseBody::Bytes(Bytes::from(coded))),
            Err(_) => Err(ResponseBody::Bytes(bytes)),
        },
        ResponseBody::Empty | ResponseBody::Announced(_) => Err(body),
        body => Ok(ResponseBody::Stream(Box::new(Compressed::new(body, encoder)))),
    }
}

/// So much is compressed without giving way.
const AT_ONCE: usize = 32 * 1024;

/// Says that it must stay as it is (RFC 9111, 5.2.1.6 and 5.2.2.6).
fn forbids(fields: &HeaderMap) -> bool {
    headers::has_token(fields, &header::CACHE_CONTROL, "no-transform")
}

fn vary(fields: &mut HeaderMap) {
    if !headers::has_token(fields, &header::VARY, "accept-encoding") && !headers::has_token(fields, &header::VARY, "*")
    {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Says what it is now.
fn mark(fields: &mut HeaderMap, coding: Coding) {
    fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    validators::weaken(fields);
    validators::forget_bytes(fields);
}
