//! Which requests an answer is for (RFC 9111, 4.1).

use smallvec::SmallVec;

use crate::{
    cache::key::sha256,
    http::{HeaderMap, HeaderName, HeaderValue, header, headers},
};

/// The fields of requests that an answer depends on, with what they were in the request that it was given to.
#[derive(Debug, Clone, Default)]
pub struct Vary {
    pub(super) fields: SmallVec<[Selecting; 1]>,
}

#[derive(Debug, Clone)]
pub(super) struct Selecting {
    pub(super) name: HeaderName,
    /// `None`: it was not there.
    pub(super) value: Option<Value>,
}

/// What a field says: its members between commas; lines between line feeds if there are quotes in them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Plain(Box<[u8]>),
    /// SHA-256, with its name: what is kept outside of this process tells nobody what clients have said.
    Digest([u8; 32]),
}

/// More fields, or members of one of those whose order does not matter, are not looked at one by one.
const MOST: usize = 32;

impl Vary {
    /// What the answer to a request depends on; `None` if on more than can be told: it says `*`, or cannot be read.
    pub(super) fn of(answer: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut fields: SmallVec<[Selecting; 1]> = SmallVec::new();
        for name in headers::list(answer, &header::VARY) {
            // An asterisk is a token.
            let name = HeaderName::from_bytes(name).ok().filter(|name| name != "*")?;
            if fields.iter().any(|field| field.name == name) {
                continue;
            }
            if fields.len() == MOST {
                return None;
            }
            let value = normal(request, &name).map(Value::Plain);
            fields.push(Selecting { name, value });
        }
        Some(Self { fields })
    }

    /// It is for this request, too.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.fields.iter().all(|field| field.matches(request))
    }

    /// Both answers are for the same requests: the newer one takes the place of the older.
    pub fn is_same(&self, other: &Self) -> bool {
        let has = |field: &Selecting| {
            other.fields.iter().any(|theirs| theirs.name == field.name && theirs.has_same_value(field))
        };
        self.fields.len() == other.fields.len() && self.fields.iter().all(has)
    }

    /// What it depends on is as this request says it, for which it is: then nobody has to work out digests any more.
    pub fn is_seen_in(&mut self, request: &HeaderMap) {
        for Selecting { name, value } in &mut self.fields {
            if matches!(value, Some(Value::Digest(_))) {
                *value = normal(request, name).map(Value::Plain);
            }
        }
    }

    /// The names of these fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The names of those of which there is a value.
    pub fn given(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|field| field.value.is_some()).map(|field| field.name.as_str())
    }

    pub(super) fn weight(&self) -> usize {
        let field = |field: &Selecting| size_of::<Selecting>() + field.value.as_ref().map_or(0, Value::weight);
        self.fields.iter().map(field).sum()
    }
}

impl Selecting {
    fn matches(&self, request: &HeaderMap) -> bool {
        let mut lines = request.get_all(&self.name).peekable();
        let (Some(known), Some(_)) = (&self.value, lines.peek()) else {
            return self.value.is_none() && lines.peek().is_none();
        };
        let known = match known {
            Value::Plain(known) => known,
            Value::Digest(known) => {
                return normal(request, &self.name).is_some_and(|said| digest(&self.name, &said) == *known);
            }
        };
        let is_quoted = lines.clone().any(is_quoted);
        let asked = pieces(lines, is_quoted);
        let known = known.split(|byte| *byte == separator(is_quoted));
        // Clients of one kind write it alike.
        if known.clone().eq(asked.clone()) {
            return true;
        }
        is_set(&self.name) && !is_quoted && is_same_set(known, asked)
    }

    fn has_same_value(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (None, None) => true,
            (Some(Value::Plain(one)), Some(Value::Plain(other))) => one == other,
            (Some(one), Some(other)) => one.digest(&self.name) == other.digest(&self.name),
            _ => false,
        }
    }

    /// As it is kept outside of this process. What is compared member by member is no secret of anybody.
    pub(super) fn sealed(&self) -> Option<Value> {
        self.value.as_ref().map(|value| match is_set(&self.name) {
            true => value.clone(),
            false => Value::Digest(value.digest(&self.name)),
        })
    }
}

impl Value {
    fn digest(&self, name: &HeaderName) -> [u8; 32] {
        match self {
            Self::Plain(said) => digest(name, said),
            Self::Digest(digest) => *digest,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Plain(said) => said.len(),
            Self::Digest(_) => 0,
        }
    }
}

/// The order of its members makes no difference.
fn is_set(name: &HeaderName) -> bool {
    *name == header::ACCEPT_LANGUAGE || *name == header::ACCEPT_ENCODING
}

fn digest(name: &HeaderName, said: &[u8]) -> [u8; 32] {
    sha256(&[name.as_str().as_bytes(), b":", said])
}

/// What a field says, without what makes no difference: spaces around commas, and how many lines it has.
fn normal(request: &HeaderMap, name: &HeaderName) -> Option<Box<[u8]>> {
    request.get(name)?;
    let is_quoted = request.get_all(name).any(is_quoted);
    let pieces: Vec<_> = pieces(request.get_all(name), is_quoted).collect();
    Some(pieces.join(&separator(is_quoted)).into_boxed_slice())
}

/// Commas in quotes separate nothing, and spaces around those make a difference: such lines are compared as they are.
fn is_quoted(line: &HeaderValue) -> bool {
    memchr::memchr(b'"', line.as_bytes()).is_some()
}

fn separator(is_quoted: bool) -> u8 {
    if is_quoted { b'\n' } else { b',' }
}

fn pieces<'h>(
    lines: impl Iterator<Item = &'h HeaderValue> + Clone,
    is_quoted: bool,
) -> impl Iterator<Item = &'h [u8]> + Clone {
    let separator = separator(is_quoted);
    lines.flat_map(move |line| line.as_bytes().split(move |byte| *byte == separator)).map(<[u8]>::trim_ascii)
}

/// Neither order nor case matter (RFC 9110, 12.5.3 and 12.5.4).
fn is_same_set<'h>(one: impl Iterator<Item = &'h [u8]> + Clone, other: impl Iterator<Item = &'h [u8]> + Clone) -> bool {
    let length = one.clone().count();
    let count = |piece: &[u8], pieces: &mut dyn Iterator<Item = &'h [u8]>| {
        pieces.filter(|other| other.eq_ignore_ascii_case(piece)).count()
    };
    length <= MOST
        && length == other.clone().count()
        && one.clone().all(|piece| count(piece, &mut one.clone()) == count(piece, &mut other.clone()))
}
