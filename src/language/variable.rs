//! What a template can name: the values that conditions know, and some that only make sense in a text.

use std::{borrow::Cow, fmt::Write, net::IpAddr};

use super::{
    value::{self, Item, Refusal, Value},
    view::Bytes,
};
use crate::{
    exchange::Exchange,
    http::{client_certificate::Part, header},
    settings::problem::did_you_mean,
};

/// One thing that a template writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Value(Value),
    /// The path as endpoints get it.
    Path,
    /// The query without its question mark.
    Query,
    /// A part of the host between dots, 0 the first.
    Label(usize),
    RequestId,
    /// What only the place knows where the template stands.
    Local(Box<str>),
}

/// Names alone. `path` is here as it is sent, where conditions see it decoded.
const NAMES: [(&str, Variable); 9] = [
    ("client.ip", Variable::Value(Value::ClientAddress)),
    ("method", Variable::Value(Value::Method)),
    ("scheme", Variable::Value(Value::Scheme)),
    ("host", Variable::Value(Value::Host)),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("content_type", Variable::Value(Value::ContentType)),
    ("content_length", Variable::Value(Value::ContentLength)),
    ("request_id", Variable::RequestId),
];

impl Variable {
    /// The one that is called so, be it one of those that the place knows.
    pub(super) fn named(name: &str, local: &[&str]) -> Result<Self, Refusal> {
        if local.contains(&name) {
            return Ok(Self::Local(name.into()));
        }
        if let Some((_, variable)) = NAMES.into_iter().find(|(known, _)| *known == name) {
            return Ok(variable);
        }
        if let Some(part) = Part::named(name) {
            return Ok(Self::Value(Value::Certificate(part)));
        }
        if let Some((family, rest)) = name.split_once('.') {
            if family == "host"
                && let Ok(label) = rest.parse()
            {
                return Ok(Self::Label(label));
            }
            if let Some(function) = Value::function(family) {
                return function(rest).map(Self::Value);
            }
        }
        Err(Refusal(format!("there is no variable `{}`", name.escape_debug()), hint(name, local)))
    }

    /// What it is in this request; `None` where it is missing, or has a byte that no field can hold. Of what came twice
    /// and should not, nobody knows which is meant: it is missing as well.
    pub(super) fn of<'e>(&self, exchange: &'e Exchange) -> Option<Bytes<'e>> {
        let bytes: Bytes<'e> = match self {
            Self::Value(value) => written(value, exchange)?,
            Self::Path => exchange.path.as_bytes().into(),
            Self::Query => exchange.query().strip_prefix('?').filter(|query| !query.is_empty())?.as_bytes().into(),
            Self::Label(number) => label(exchange, *number)?.as_bytes().into(),
            Self::RequestId => exchange.id().as_str().as_bytes().into(),
            Self::Local(_) => return None,
        };
        let is_control = |byte: &u8| byte.is_ascii_control();
        (!bytes.iter().any(is_control)).then_some(bytes)
    }

    /// It may stand in a URL as it is.
    pub(super) fn is_of_urls(&self) -> bool {
        matches!(self, Self::Path | Self::Query | Self::Label(_) | Self::Value(Value::Host | Value::Scheme))
    }
}

fn hint(name: &str, local: &[&str]) -> String {
    let rest = name.split_once('.').map_or("NAME", |(_, rest)| rest);
    let families = value::families().map(|family| format!("{family}.{rest}"));
    let names = NAMES.iter().map(|(known, _)| *known).chain(Part::ALL.map(Part::name)).chain(local.iter().copied());
    let names = names.map(str::to_owned);
    did_you_mean(name, names.clone().chain(families)).unwrap_or_else(|| {
        let families = value::families().map(|family| format!("{family}.NAME"));
        let all: Vec<_> = names.chain(["host.0".to_owned()]).chain(families).collect();
        format!("one of {}; `$${{` writes `${{`", all.join(", "))
    })
}

/// A field or a list as one line; of anything else, the only one there is.
fn written(value: &Value, exchange: &Exchange) -> Option<Bytes<'static>> {
    match value {
        Value::Header(name) if *name == header::COOKIE => joined(value, exchange, b"; "),
        Value::Header(_) => joined(value, exchange, b", "),
        Value::Certificate(Part::Names) | Value::Claim(_) => joined(value, exchange, b","),
        _ => {
            let (mut only, mut count) = (None, 0);
            value.visit(exchange, &mut |item| {
                only = text(item);
                count += 1;
            });
            only.filter(|_| count == 1)
        }
    }
}

fn joined(value: &Value, exchange: &Exchange, comma: &[u8]) -> Option<Bytes<'static>> {
    let mut all: Option<Vec<u8>> = None;
    value.visit(exchange, &mut |item| {
        let Some(text) = text(item) else { return };
        match &mut all {
            Some(all) => all.extend_from_slice(&[comma, &text].concat()),
            None => all = Some(text.into_owned()),
        }
    });
    all.map(Cow::Owned)
}

fn text(item: Item<'_>) -> Option<Bytes<'static>> {
    let mut written = String::new();
    let done = match item {
        Item::Text(text) => return Some(Cow::Owned(text.into_owned())),
        Item::Address(address) => write!(written, "{address}"),
        Item::Whole(number) => write!(written, "{number}"),
        Item::Real(number) => write!(written, "{number}"),
        Item::Truth(truth) => write!(written, "{truth}"),
        Item::Other | Item::Unknown => return None,
    };
    done.ok().map(|()| Cow::Owned(written.into_bytes()))
}

fn label(exchange: &Exchange, number: usize) -> Option<&str> {
    let host = value::host(exchange);
    let is_name = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    host.split('.').nth(number).filter(|_| is_name)
}
