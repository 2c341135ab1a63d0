//! What can be asked of a request, by name: two tables.

use std::{fmt, net::IpAddr};

use serde_json::Value as Json;

use super::{
    token::quoted,
    view::{self, Bytes},
};
use crate::{
    exchange::{Claim, Exchange},
    http::{HeaderName, body::Length, client_certificate::Part, header},
    settings::problem::did_you_mean,
};

/// One thing that a request tells, or that is known of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Method,
    Scheme,
    Host,
    Path,
    ContentType,
    ContentLength,
    ClientAddress,
    Certificate(Part),
    Query(Box<str>),
    Header(HeaderName),
    Cookie(Box<str>),
    Claim(Box<str>),
}

/// What kind of thing a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Address,
    Number,
    /// Only the request tells.
    Any,
}

/// What a value is in one request; there may be several, or none.
#[derive(Debug)]
pub(super) enum Item<'e> {
    Text(Bytes<'e>),
    Address(IpAddr),
    Whole(i128),
    Real(f64),
    Truth(bool),
    /// Something that is none of these.
    Other,
    /// It is there, and nobody knows yet what it is.
    Unknown,
}

/// How much of a value a text is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    Beginning,
    Part,
}

/// Values that are a name alone; those of certificates are a table of their own.
const NAMES: [(&str, Value); 7] = [
    ("method", Value::Method),
    ("scheme", Value::Scheme),
    ("host", Value::Host),
    ("path", Value::Path),
    ("content_type", Value::ContentType),
    ("content_length", Value::ContentLength),
    ("client.ip", Value::ClientAddress),
];

type Function = fn(&str) -> Result<Value, Refusal>;

/// Values that are a name with a string behind it.
const FUNCTIONS: [(&str, Function); 4] = [
    ("query", |name| Ok(Value::Query(name.into()))),
    ("header", header_named),
    ("cookie", cookie_named),
    ("claim", |name| Ok(Value::Claim(name.into()))),
];

/// The names of the functions.
pub(super) fn families() -> impl Iterator<Item = &'static str> + Clone {
    FUNCTIONS.iter().map(|(known, _)| *known)
}

/// What is wrong, and what to do about it.
pub(super) struct Refusal(pub(super) String, pub(super) String);

fn refused<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(what.into(), help.into()))
}

fn header_named(name: &str) -> Result<Value, Refusal> {
    let Ok(name) = HeaderName::try_from(name) else {
        return refused(format!("`{}` is not a header field name", name.escape_debug()), "such as `header('x-tier')`");
    };
    let instead = match name {
        header::HOST => "host",
        header::CONTENT_LENGTH => "content_length",
        _ => return Ok(Value::Header(name)),
    };
    refused(
        format!("the field `{name}` is settled before conditions are asked"),
        format!("`{instead}` is what it means"),
    )
}

fn cookie_named(name: &str) -> Result<Value, Refusal> {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"=;,\"\\".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return refused(
            format!("`{}` is not the name of a cookie", name.escape_debug()),
            "such as `cookie('session')`",
        );
    }
    Ok(Value::Cookie(name.into()))
}

impl Value {
    /// The value that is called so.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = NAMES.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value).or_else(|| Part::named(name).map(Self::Certificate))
    }

    /// The function that is called so.
    pub(super) fn function(name: &str) -> Option<Function> {
        FUNCTIONS.into_iter().find(|(known, _)| *known == name).map(|(_, function)| function)
    }

    /// What was likely meant by a name that is none.
    pub(super) fn hint(name: &str) -> String {
        let functions = FUNCTIONS.map(|(known, _)| format!("{known}('..')"));
        if let Some((known, rest)) = name.split_once('.')
            && Self::function(known).is_some()
        {
            return format!("did you mean `{known}({})`?", quoted(rest));
        }
        let names = NAMES.iter().map(|(known, _)| *known).chain(Part::ALL.map(Part::name));
        let words = names.chain(FUNCTIONS.iter().map(|(known, _)| *known));
        did_you_mean(name, words.clone()).unwrap_or_else(|| {
            let names = NAMES.iter().map(|(known, _)| *known).chain(["client_cert.subject"]);
            let all: Vec<_> = names.map(str::to_owned).chain(functions).collect();
            format!("one of {}", all.join(", "))
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::ClientAddress => Kind::Address,
            Self::ContentLength => Kind::Number,
            Self::Claim(_) => Kind::Any,
            _ => Kind::Text,
        }
    }

    /// Shows everything it is in this request.
    pub(super) fn visit(&self, exchange: &Exchange, see: &mut impl FnMut(Item<'_>)) {
        let mut text = |text: &[u8]| see(Item::Text(text.into()));
        match self {
            Self::Method => text(exchange.method.as_str().as_bytes()),
            Self::Scheme => text(if exchange.client.secure { b"https" } else { b"http" }),
            Self::Host => match host(exchange) {
                "" => {}
                host => text(host.as_bytes()),
            },
            Self::Path => see(Item::Text(view::path(&exchange.path))),
            Self::ContentType => {
                fields(exchange, &header::CONTENT_TYPE).for_each(|line| see(Item::Text(view::media_type(line))))
            }
            Self::ContentLength => see(match exchange.body.length() {
                Length::None => Item::Whole(0),
                Length::Exact(length) => Item::Whole(length.into()),
                Length::Chunked => Item::Unknown,
            }),
            Self::ClientAddress if exchange.client.is_hidden => see(Item::Unknown),
            Self::ClientAddress => exchange.client.address.into_iter().for_each(|address| see(Item::Address(address))),
            Self::Certificate(Part::Names) => {
                let names = exchange.client_certificate().into_iter().flat_map(|known| &known.names);
                names.for_each(|name| text(name.as_bytes()));
            }
            Self::Certificate(part) => {
                exchange.client_certificate().into_iter().for_each(|known| text(part.of(known).as_bytes()));
            }
            Self::Query(name) => view::query(exchange.query(), name).for_each(|value| see(Item::Text(value))),
            Self::Header(name) => fields(exchange, name).for_each(text),
            Self::Cookie(name) => {
                let values = fields(exchange, &header::COOKIE).flat_map(|line| view::cookie(line, name));
                values.for_each(|value| {
                    text(value);
                    // Some endpoints take quotes for a part of it, others do not (RFC 6265, 4.1.1).
                    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                    inner.into_iter().for_each(&mut text);
                });
            }
            Self::Claim(name) => match exchange.claim(name) {
                None => {}
                Some(Claim::Subject(subject)) => text(subject.as_bytes()),
                Some(Claim::Json(Json::Array(elements))) => elements.iter().for_each(|element| see(item(element))),
                Some(Claim::Json(value)) => see(item(value)),
            },
        }
    }

    /// A text that it is to be compared with is one that it can be.
    pub(super) fn check(&self, text: &str, share: Share) -> Result<(), Refusal> {
        let whole = share == Share::Whole;
        let is_lower = text.to_lowercase() == text;
        match self {
            Self::Method if whole && text.chars().any(|letter| letter.is_ascii_lowercase()) => {
                refused("methods are written in capitals", format!("did you mean '{}'?", text.to_ascii_uppercase()))
            }
            Self::Scheme if whole && !["http", "https"].contains(&text) => {
                refused("there is no such scheme", "'http' or 'https'")
            }
            Self::Host if !is_lower => refused("hosts are compared in lower case", quoted(&text.to_lowercase())),
            Self::Host if text.contains('/') || (whole && (text.ends_with('.') || has_port(text))) => {
                refused("no request has such a host", "a name without its port and the dot of the root")
            }
            Self::ContentType if !is_lower || text.contains(';') => {
                refused("media types are compared in lower case and without parameters", "such as 'application/json'")
            }
            Self::Path => check_path(text, share),
            _ => Ok(()),
        }
    }
}

/// The name asked for, without the dot of the root; empty if there is none.
pub fn host(exchange: &Exchange) -> &str {
    let host = exchange.authority.host();
    host.strip_suffix('.').unwrap_or(host)
}

fn has_port(host: &str) -> bool {
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    behind.contains(':')
}

fn fields<'e>(exchange: &'e Exchange, name: &HeaderName) -> impl Iterator<Item = &'e [u8]> {
    exchange.headers.get_all(name).map(|value| value.as_bytes())
}

fn item(value: &Json) -> Item<'_> {
    match value {
        Json::String(text) => Item::Text(text.as_bytes().into()),
        Json::Bool(truth) => Item::Truth(*truth),
        Json::Number(number) => {
            let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            whole.map_or_else(|| number.as_f64().map_or(Item::Other, Item::Real), Item::Whole)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => Item::Other,
    }
}

fn check_path(text: &str, share: Share) -> Result<(), Refusal> {
    if share != Share::Part && !text.starts_with('/') && text != "*" {
        return refused("a path begins with a slash", format!("did you mean {}?", quoted(&format!("/{text}"))));
    }
    let seen = view::path(text);
    if seen != text.as_bytes() {
        let help = format!("did you mean {}?", quoted(&String::from_utf8_lossy(&seen)));
        return refused("no request has such a path: it is compared decoded, and with one slash for many", help);
    }
    // Where more may follow, the last segment is only a beginning.
    let whole_segments = text.split('/').skip(1).count().saturating_sub(usize::from(share != Share::Whole));
    let mut segments = text.split('/').skip(1).take(whole_segments);
    if text.contains(['?', '#']) || segments.any(|segment| matches!(segment, "." | "..")) {
        return refused("no request has such a path", "dots are resolved, and there is no query in it: `query('..')`");
    }
    Ok(())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = |name: &str, argument: &str| format!("{name}({})", quoted(argument));
        match self {
            Self::Certificate(part) => part.fmt(f),
            Self::Query(name) => f.write_str(&function("query", name)),
            Self::Header(name) => f.write_str(&function("header", name.as_str())),
            Self::Cookie(name) => f.write_str(&function("cookie", name)),
            Self::Claim(name) => f.write_str(&function("claim", name)),
            _ => {
                let named = NAMES.iter().find(|(_, value)| value == self);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }
    }
}
