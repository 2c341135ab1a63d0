//! A line is made: values, how they are written, and nothing that must not be.

use std::{
    borrow::Cow,
    io::Write,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{
    escape::Style,
    field::{FIELDS, Field, Named},
    format::{Format, Piece},
    redact::{HIDDEN, Redaction},
};
use crate::{
    exchange::Exchange,
    http::{HeaderName, HeaderValue, StatusCode, Version, client_certificate::Part, downstream::Peer, header, scratch},
    telemetry::time::Utc,
};

/// An exchange that is over.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The request and what became of it.
    pub exchange: &'a Exchange,
    /// What the client was told.
    pub status: StatusCode,
    /// Bytes of content that went to the client.
    pub bytes_out: u64,
}

/// What a field holds.
enum Value<'a> {
    Missing,
    /// One of few words, or made of letters that mean the same everywhere.
    Word(&'a str),
    /// Chosen by anyone.
    Text(Cow<'a, [u8]>),
    /// The same, and may hold a query.
    Url(&'a [u8]),
    /// Several of them: each has a query of its own.
    Urls(Vec<&'a [u8]>),
    Address(IpAddr),
    Number(u64),
    Millis(Duration),
    Flag(bool),
    Time,
    TimeClf,
}

/// Appends the line with its end.
pub(super) fn push(line: &mut Vec<u8>, format: &Format, redaction: &Redaction, record: &Record<'_>) {
    match format {
        Format::Json => push_object(line, redaction, record),
        Format::Template(pieces) => {
            for piece in pieces {
                match piece {
                    Piece::Text(text) => line.extend_from_slice(text.as_bytes()),
                    Piece::Field(field) => value(field, redaction, record).push(line, Style::Plain, redaction),
                }
            }
        }
    }
    line.push(b'\n');
}

fn push_object(line: &mut Vec<u8>, redaction: &Redaction, record: &Record<'_>) {
    let start = line.len();
    // The time is in it once.
    let members = FIELDS.iter().filter(|known| !matches!(known.field, Field::TimeClf));
    for Named { label, field, .. } in members {
        line.extend_from_slice(label.as_bytes());
        value(field, redaction, record).push_json(line, redaction);
    }
    // Where the others have a comma.
    line[start] = b'{';
    // Most sites have no such clients, and their lines no such fields.
    let parts = Part::ALL.into_iter().filter(|_| record.exchange.facts.client_certificate.is_some());
    for part in parts {
        line.extend_from_slice(b",\"");
        line.extend_from_slice(part.name().as_bytes());
        line.extend_from_slice(b"\":");
        value(&Field::Certificate(part), redaction, record).push_json(line, redaction);
    }
    line.push(b'}');
}

fn value<'a>(field: &Field, redaction: &Redaction, record: &Record<'a>) -> Value<'a> {
    let Record { exchange, status, bytes_out } = *record;
    let facts = &exchange.facts;
    match field {
        Field::Time => Value::Time,
        Field::TimeClf => Value::TimeClf,
        Field::Client => Value::address(exchange.client.address, redaction),
        Field::Peer => Value::address(peer(exchange), redaction),
        // A token (RFC 9110, 9.1).
        Field::Method => Value::Word(exchange.method.as_str()),
        Field::Path => {
            exchange.uri.path_and_query().map_or(Value::Missing, |target| Value::Url(target.as_str().as_bytes()))
        }
        Field::Protocol => Value::Word(protocol(exchange.version)),
        Field::Host if redaction.hides(&header::HOST) => Value::Word(HIDDEN),
        Field::Host => Value::text(exchange.authority.as_str()),
        Field::Status => Value::Number(status.as_u16().into()),
        Field::BytesOut => Value::Number(bytes_out),
        Field::Duration => Value::Millis(facts.started.elapsed()),
        Field::FirstByte => facts.first_byte.map_or(Value::Missing, Value::Millis),
        Field::Route => Value::maybe(facts.route.as_deref()),
        Field::Upstream => Value::maybe(facts.upstream.as_deref()),
        Field::Endpoint => Value::maybe(facts.endpoint.as_deref()),
        Field::Attempts => Value::Number(facts.attempts.into()),
        Field::Hedged => Value::Flag(facts.hedged),
        Field::Reused => Value::Flag(facts.reused),
        Field::Error => Value::maybe(facts.error),
        Field::Detail => Value::maybe(facts.detail.as_deref()),
        Field::RequestId => Value::text(exchange.id().as_str()),
        Field::Referer => Value::header(exchange, &header::REFERER, redaction),
        Field::UserAgent => Value::header(exchange, &header::USER_AGENT, redaction),
        Field::Header(name) => Value::header(exchange, name, redaction),
        Field::Certificate(part) => match facts.client_certificate.as_deref().map(|known| part.of(known)) {
            None => Value::Missing,
            Some(Cow::Borrowed(text)) => Value::text(text),
            Some(Cow::Owned(text)) if text.is_empty() => Value::Missing,
            Some(Cow::Owned(text)) => Value::Text(text.into_bytes().into()),
        },
    }
}

/// As a request line has it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn peer(exchange: &Exchange) -> Option<IpAddr> {
    match exchange.client.peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        Peer::Unix => None,
    }
}

impl<'a> Value<'a> {
    fn text(text: &'a str) -> Self {
        // An empty word would move the columns after it.
        if text.is_empty() { Self::Missing } else { Self::Text(text.as_bytes().into()) }
    }

    fn maybe(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, Self::text)
    }

    fn address(address: Option<IpAddr>, redaction: &Redaction) -> Self {
        address.and_then(|address| redaction.address(address)).map_or(Self::Missing, Self::Address)
    }

    fn header(exchange: &'a Exchange, name: &HeaderName, redaction: &Redaction) -> Self {
        let mut values = exchange.facts.fields.get_all(name).map(HeaderValue::as_bytes);
        match (values.next(), values.next()) {
            (None, _) => Self::Missing,
            (Some(_), _) if redaction.hides(name) => Self::Word(HIDDEN),
            (Some([]), None) => Self::Missing,
            (Some(only), None) if *name == header::REFERER => Self::Url(only),
            (Some(only), None) => Self::Text(only.into()),
            (Some(first), Some(second)) => {
                let all: Vec<_> = [first, second].into_iter().chain(values).collect();
                if *name == header::REFERER { Self::Urls(all) } else { Self::Text(all.join(&b", "[..]).into()) }
            }
        }
    }

    fn push_json(&self, line: &mut Vec<u8>, redaction: &Redaction) {
        match self {
            Self::Missing => line.extend_from_slice(b"null"),
            Self::Number(_) | Self::Millis(_) | Self::Flag(_) => self.push(line, Style::Json, redaction),
            _ => {
                line.push(b'"');
                self.push(line, Style::Json, redaction);
                line.push(b'"');
            }
        }
    }

    fn push(&self, line: &mut Vec<u8>, style: Style, redaction: &Redaction) {
        match self {
            Self::Missing => line.push(b'-'),
            Self::Word(word) => line.extend_from_slice(word.as_bytes()),
            Self::Text(text) => style.push(line, text),
            Self::Url(url) => redaction.url(url, |piece| style.push(line, piece)),
            Self::Urls(urls) => {
                for (index, url) in urls.iter().enumerate() {
                    line.extend_from_slice(if index == 0 { b"" } else { b", " });
                    redaction.url(url, |piece| style.push(line, piece));
                }
            }
            Self::Number(number) => scratch::write_decimal(*number, line),
            Self::Address(IpAddr::V4(address)) => push_octets(line, address.octets()),
            Self::Address(address) => write!(line, "{address}").expect("memory takes everything"),
            Self::Millis(time) => push_millis(line, *time),
            Self::Flag(flag) => line.extend_from_slice(if *flag { &b"true"[..] } else { b"false" }),
            Self::Time => line.extend_from_slice(Utc::from(SystemTime::now()).rfc3339().as_bytes()),
            Self::TimeClf => line.extend_from_slice(Utc::clf_now().as_bytes()),
        }
    }
}

/// An address as nearly each line has one: what writes anything takes ten times as long.
fn push_octets(line: &mut Vec<u8>, octets: [u8; 4]) {
    let (mut text, mut length) = ([b'.'; 16], 0);
    for octet in octets {
        let number = u32::from(octet);
        for (place, is_there) in [(100, number >= 100), (10, number >= 10), (1, true)] {
            text[length] = digit(number / place);
            length += usize::from(is_there);
        }
        text[length] = b'.';
        length += 1;
    }
    line.extend_from_slice(&text[..length - 1]);
}

/// Milliseconds with three decimals, as each line has two of them.
fn push_millis(line: &mut Vec<u8>, time: Duration) {
    scratch::write_decimal(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), line);
    let micros = time.subsec_micros() % 1000;
    line.extend_from_slice(&[b'.', digit(micros / 100), digit(micros / 10), digit(micros)]);
}

/// The last of a number.
fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}
