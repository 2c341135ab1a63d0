//! A text with variables in it: `user=${claim.sub}`.
//!
//! `${` begins a variable, `$${` writes `${`. What a client has sent cannot add a line, or any other control byte.

use std::borrow::Cow;

use super::{fault::Fault, token::MAX_LENGTH, value::Value, variable::Variable};
use crate::{exchange::Exchange, http::HeaderValue};

/// A text that is made of a request.
#[derive(Debug, Clone)]
pub struct Template {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Always the same.
    Fixed(HeaderValue),
    Made(Vec<Piece>),
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse_with(text, &[])
    }

    /// The same, with variables that only the place knows where it stands: see [`Self::url`].
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse_with(text: &str, local: &[&str]) -> Result<Self, Fault> {
        if text.len() > MAX_LENGTH {
            return Err(Fault::new(0..text.len(), format!("it is longer than {MAX_LENGTH} bytes")));
        }
        if let Some((at, letter)) = text.char_indices().find(|(_, letter)| letter.is_control()) {
            let fault = Fault::new(at..at + letter.len_utf8(), "a control character");
            return Err(fault.help("visible characters, without line breaks"));
        }
        let mut pieces = pieces(text, local)?;
        let kind = match &mut pieces[..] {
            [] => Kind::Fixed(HeaderValue::from_static("")),
            [Piece::Text(fixed)] => match HeaderValue::from_bytes(fixed.as_bytes()) {
                Ok(value) => Kind::Fixed(value),
                Err(_) => Kind::Made(pieces),
            },
            _ => Kind::Made(pieces),
        };
        Ok(Self { kind })
    }

    /// It is the same for every request.
    pub fn is_fixed(&self) -> bool {
        matches!(self.kind, Kind::Fixed(_))
    }

    /// It tells how long the request's body is, which nobody knows any more once that was sent on.
    pub fn asks_for_body(&self) -> bool {
        self.variables().any(|variable| *variable == Variable::Value(Value::ContentLength))
    }

    /// What it is made of.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let pieces: &[Piece] = match &self.kind {
            Kind::Fixed(_) => &[],
            Kind::Made(pieces) => pieces,
        };
        pieces.iter().filter_map(|piece| if let Piece::Variable(variable) = piece { Some(variable) } else { None })
    }

    /// For this request; `None` where one of its values is missing.
    pub fn bytes<'t>(&'t self, exchange: &Exchange) -> Option<Cow<'t, [u8]>> {
        let pieces = match &self.kind {
            Kind::Fixed(value) => return Some(value.as_bytes().into()),
            Kind::Made(pieces) => pieces,
        };
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => bytes.extend_from_slice(&variable.of(exchange)?),
            }
        }
        Some(bytes.into())
    }

    /// The same as the value of a header field.
    pub fn field(&self, exchange: &Exchange) -> Option<HeaderValue> {
        match &self.kind {
            Kind::Fixed(value) => Some(value.clone()),
            Kind::Made(_) => HeaderValue::from_bytes(&self.bytes(exchange)?).ok(),
        }
    }

    /// As a URL, or a part of one: what a value may not be in one is encoded, and what is missing is empty. `local` tells
    /// what the variables of the place are, which are taken as they are.
    pub fn url<'l>(&self, exchange: &Exchange, local: impl Fn(&str) -> Cow<'l, str>) -> String {
        let pieces = match &self.kind {
            Kind::Fixed(value) => return String::from_utf8_lossy(value.as_bytes()).into_owned(),
            Kind::Made(pieces) => pieces,
        };
        let mut url = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Variable(Variable::Local(name)) => url.push_str(&local(name)),
                Piece::Variable(variable) => {
                    let value = variable.of(exchange).unwrap_or_default();
                    encode(&value, variable.is_of_urls(), &mut url);
                }
            }
        }
        url
    }

    /// The text before its first variable.
    pub fn beginning(&self) -> &str {
        match &self.kind {
            Kind::Fixed(value) => value.to_str().unwrap_or_default(),
            Kind::Made(pieces) => match pieces.first() {
                Some(Piece::Text(text)) => text,
                _ => "",
            },
        }
    }
}

fn pieces(text: &str, local: &[&str]) -> Result<Vec<Piece>, Fault> {
    let (mut pieces, mut plain, mut at) = (Vec::new(), String::new(), 0);
    while let Some(found) = text[at..].find("${").map(|found| at + found) {
        if text[at..found].ends_with('$') {
            plain.push_str(&text[at..found]);
            plain.push('{');
            at = found + 2;
            continue;
        }
        plain.push_str(&text[at..found]);
        let Some(length) = text[found..].find('}') else {
            return Err(
                Fault::new(found..text.len(), "a variable that does not end").help("a } is missing; `$${` writes `${`")
            );
        };
        let end = found + length;
        let name = found + 2..end;
        let variable = Variable::named(&text[name.clone()], local);
        let variable = variable.map_err(|refusal| refusal.at(&name))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
        }
        pieces.push(Piece::Variable(variable));
        at = end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    Ok(pieces)
}

/// What is not unreserved (RFC 3986, 2.3) is encoded, unless it is of URLs already.
fn encode(value: &[u8], is_of_urls: bool, url: &mut String) {
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || (is_of_urls && byte.is_ascii_graphic()) {
            url.push(char::from(*byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests;
