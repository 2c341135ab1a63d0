//! HPACK (RFC 7541): the lists of fields that HTTP/2 carries, read straight into the types the house has and written straight
//! out of them. What a connection's table remembers is remembered as what was made of it: a field that comes again is
//! neither copied nor looked at letter by letter.

use std::mem;

use bytes::Bytes;

use super::{HeaderName, HeaderValue, Marks, headers};

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod remembered;
mod table;

pub use self::{
    decoder::{Decoder, Undecodable},
    encoder::Encoder,
    remembered::Remembered,
};

/// What a table holds, in bytes as RFC 7541, 4.1 counts them, unless the other side says otherwise.
pub const TABLE: usize = 4096;

/// What each field counts for beyond its bytes (RFC 7541, 4.1; RFC 9113, 6.5.2).
pub const OVERHEAD: usize = 32;

/// A field as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// One of those that stand for a first line (RFC 9113, 8.3).
    Pseudo(Pseudo, Bytes),
    /// A field of HTTP, and what its name tells.
    Plain(HeaderName, Marks, HeaderValue),
    /// Its name is none in HTTP/2 (RFC 9113, 8.2.1).
    BadName,
    /// It has a control character.
    BadValue(HeaderName, Marks),
}

/// A pseudo-field (RFC 9113, 8.3; RFC 8441, 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Pseudo {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
    /// None of these.
    Unknown,
}

/// The name of a field that is still to be read.
#[derive(Debug, Clone)]
enum Name {
    Pseudo(Pseudo),
    Plain(HeaderName, Marks),
    Bad,
}

impl Name {
    fn read(text: &[u8]) -> Self {
        if let Some(pseudo) = text.strip_prefix(b":") {
            return Self::Pseudo(match pseudo {
                b"authority" => Pseudo::Authority,
                b"method" => Pseudo::Method,
                b"path" => Pseudo::Path,
                b"protocol" => Pseudo::Protocol,
                b"scheme" => Pseudo::Scheme,
                b"status" => Pseudo::Status,
                _ => Pseudo::Unknown,
            });
        }
        // The type lets a quotation mark through, which is no part of a token.
        match (headers::marks_of_token(text), HeaderName::from_lowercase(text)) {
            (Some(letters), Ok(name)) => {
                let marks = Marks::of_name(&name).and(letters);
                Self::Plain(name, marks)
            }
            _ => Self::Bad,
        }
    }

    fn of(field: &Field) -> Self {
        match field {
            Field::Pseudo(pseudo, _) => Self::Pseudo(*pseudo),
            Field::Plain(name, marks, _) | Field::BadValue(name, marks) => Self::Plain(name.clone(), *marks),
            Field::BadName => Self::Bad,
        }
    }

    fn with(self, value: Bytes) -> Field {
        match self {
            Self::Pseudo(pseudo) => Field::Pseudo(pseudo, value),
            Self::Plain(name, marks) => match HeaderValue::from_maybe_shared(value) {
                Ok(value) => Field::Plain(name, marks, value),
                Err(_) => Field::BadValue(name, marks),
            },
            Self::Bad => Field::BadName,
        }
    }
}

/// A field that a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    field: Field,
    name_length: u32,
    /// What it counts for.
    size: u32,
}

impl Line {
    fn new(name: Name, name_length: usize, value: Bytes) -> Self {
        let size = name_length + value.len() + OVERHEAD;
        let field = name.with(value);
        // No block is as long as that.
        Self { field, name_length: name_length as u32, size: size as u32 }
    }
}

// A connection that is idle keeps its lines.
const _: () = assert!(mem::size_of::<Line>() <= 96);
