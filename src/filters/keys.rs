//! What tells requests apart: limits count by it.

use std::{
    borrow::Cow,
    fmt,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
};

use aws_lc_rs::digest;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor, value::SeqAccessDeserializer},
};

use super::{JsonSchema, Schema, schemars};
use crate::{
    exchange::{Claim, Exchange},
    http::{HeaderName, cookies, header},
    language,
    settings::{Problem, Problems},
};

/// One thing that requests differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The client's address; of IPv6 the network.
    Ip,
    /// The value of a field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The name asked for.
    Host,
    /// The route.
    Route,
    /// The path, in one spelling.
    Path,
    /// The method.
    Method,
    /// What is proved of the client under a name.
    Claim(String),
    /// Who the client has proved to be.
    Identity,
}

/// What is written as a `key`: one part, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings(pub Vec<Part>);

/// How requests are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    parts: Vec<Part>,
    ipv6_prefix: u8,
}

/// Where a key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has proved yet who he is.
    BeforeAuthentication,
    /// Who has not is refused by now.
    BehindAuthentication,
}

const A_KEY: &str = "\"ip\", \"host\", \"route\", \"path\", \"method\", \"header:NAME\", \"cookie:NAME\", \"claim:NAME\" or \"identity\"";

/// Of IPv6 a client has a whole network of this many bits.
const A_CLIENTS_NETWORK: u8 = 64;

/// The same, where settings do not say.
pub fn a_clients_network() -> u8 {
    A_CLIENTS_NETWORK
}

impl Key {
    /// As it is written, or what is wrong with that: an address of IPv6 counts as its network of so many bits.
    pub fn new(written: KeySettings, ipv6_prefix: u8, stage: Stage) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let proof = written.0.iter().find(|part| part.is_proved());
        if let (Some(part), Stage::BeforeAuthentication) = (proof, stage) {
            let what = format!("`{part}` is not known before the client has proved who it is");
            let help = "`quota` limits how often, and stands behind authentication";
            problems.push(Problem::at(["key"], what).help(help));
        }
        if !(16..=128).contains(&ipv6_prefix) {
            let what = format!("{ipv6_prefix} bits are no network of clients");
            let help = "16 to 128; 64 is what one client has, 128 each address";
            problems.push(Problem::at(["ipv6_prefix"], what).help(help));
        }
        problems.none_or(Self { parts: written.0, ipv6_prefix })
    }

    /// The hash of what this request has. What it has not, or has several times, is one and the same for all requests: nobody
    /// is told apart by leaving something out, or by saying two things.
    pub fn of(&self, exchange: &Exchange, seed: &impl BuildHasher) -> u64 {
        let mut hasher = seed.build_hasher();
        for part in &self.parts {
            self.feed(part, exchange, &mut hasher);
        }
        hasher.finish()
    }

    /// The same for other processes: a digest, so that nobody who sees it sees what a client has shown.
    pub fn digest(&self, exchange: &Exchange) -> [u8; 16] {
        let mut text = Text(Vec::new());
        for part in &self.parts {
            self.feed(part, exchange, &mut text);
        }
        let digest = digest::digest(&digest::SHA256, &text.0);
        let (first, _) = digest.as_ref().split_first_chunk().expect("it has 32 bytes");
        *first
    }

    /// What of it is known before anything is proved of a client, and what is proved, if it has any of that.
    pub fn parted(&self) -> (Self, Option<Self>) {
        let (proved, known): (Vec<_>, Vec<_>) = self.parts.iter().cloned().partition(Part::is_proved);
        let of = |parts| Self { parts, ..*self };
        (of(known), Some(proved).filter(|parts| !parts.is_empty()).map(of))
    }

    /// Routes are told apart by numbers that only this process has.
    pub fn is_of_this_process(&self) -> bool {
        self.parts.contains(&Part::Route)
    }

    fn feed(&self, part: &Part, exchange: &Exchange, hasher: &mut impl Hasher) {
        match part {
            Part::Ip => match exchange.client.address {
                Some(IpAddr::V4(address)) => hasher.write_u32(address.to_bits()),
                Some(IpAddr::V6(address)) => hasher.write_u128(address.to_bits() >> (128 - self.ipv6_prefix)),
                None => feed(hasher, None),
            },
            Part::Header(name) => {
                feed(hasher, only(exchange.headers.get_all(name).map(|value| value.as_bytes().trim_ascii())))
            }
            Part::Cookie(name) => feed(hasher, only(cookies::values(&exchange.headers, name))),
            Part::Host => feed(hasher, Some(language::host(exchange).as_bytes())),
            Part::Route => hasher.write_u32(exchange.facts.subject.0),
            Part::Path => feed(hasher, Some(&language::path(&exchange.path))),
            Part::Method => feed(hasher, Some(exchange.method.as_str().as_bytes())),
            Part::Claim(name) => feed(hasher, exchange.claim(name).map(written).as_deref().map(str::as_bytes)),
            Part::Identity => {
                let known = exchange.identities.iter().find_map(|one| Some((one.scheme, one.subject.as_ref()?)));
                feed(hasher, known.map(|(scheme, _)| scheme.as_bytes()));
                feed(hasher, known.map(|(_, subject)| subject.as_bytes()));
            }
        }
    }
}

/// What a hasher is fed.
struct Text(Vec<u8>);

impl Hasher for Text {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Such that no two lists of parts are written alike.
fn feed(hasher: &mut impl Hasher, value: Option<&[u8]>) {
    hasher.write_usize(value.map_or(0, |value| value.len() + 1));
    hasher.write(value.unwrap_or_default());
}

fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    values.next().filter(|_| values.next().is_none())
}

fn written(claim: Claim<'_>) -> Cow<'_, str> {
    match claim {
        Claim::Subject(text) => text.into(),
        Claim::Json(value) => value.as_str().map_or_else(|| value.to_string().into(), Cow::Borrowed),
    }
}

impl KeySettings {
    /// Whether part of it is known only when a client has proved who it is.
    pub fn is_proved(&self) -> bool {
        self.0.iter().any(Part::is_proved)
    }
}

impl Part {
    fn is_proved(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::Identity)
    }

    fn read(text: &str) -> Option<Self> {
        let known = match text {
            "ip" => Self::Ip,
            "host" => Self::Host,
            "route" => Self::Route,
            "path" => Self::Path,
            "method" => Self::Method,
            "identity" => Self::Identity,
            other => match other.split_once(':')? {
                // What it means is a part of its own.
                ("header", name) => Self::Header(HeaderName::try_from(name).ok().filter(|name| *name != header::HOST)?),
                ("cookie", name) if !name.is_empty() => Self::Cookie(name.into()),
                ("claim", name) if !name.is_empty() => Self::Claim(name.into()),
                _ => return None,
            },
        };
        Some(known)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Host => f.write_str("host"),
            Self::Route => f.write_str("route"),
            Self::Path => f.write_str("path"),
            Self::Method => f.write_str("method"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Identity => f.write_str("identity"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { "" } else { "+" })?;
        }
        write!(f, "/{}", self.ipv6_prefix)
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self(vec![Part::Ip])
    }
}

impl Serialize for KeySettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [only] => serializer.collect_str(only),
            parts => serializer.collect_seq(parts.iter().map(ToString::to_string)),
        }
    }
}

impl JsonSchema for KeySettings {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "one of the keys above, or an array of them" })
    }
}

impl<'de> Deserialize<'de> for KeySettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Parts)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnePart)
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = KeySettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{A_KEY}, or an array of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<KeySettings, E> {
        OnePart.visit_str(text).map(|part| KeySettings(vec![part]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, array: A) -> Result<KeySettings, A::Error> {
        let parts = Vec::deserialize(SeqAccessDeserializer::new(array))?;
        if parts.is_empty() {
            return Err(de::Error::invalid_length(0, &"at least one part: without it all requests are one"));
        }
        Ok(KeySettings(parts))
    }
}

struct OnePart;

impl Visitor<'_> for OnePart {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_KEY)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Part, E> {
        Part::read(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use serde_json::{Map, json};

    use super::*;
    use crate::{exchange::Identity, filters::testing::request};

    fn key(written: serde_json::Value) -> Key {
        let parts = serde_json::from_value(written).expect("a key");
        Key::new(parts, A_CLIENTS_NETWORK, Stage::BehindAuthentication).expect("a key for here")
    }

    /// Whether these two are one to a key.
    fn are_one(written: serde_json::Value, one: &Exchange, other: &Exchange) -> bool {
        let (key, seed) = (key(written), RandomState::new());
        key.of(one, &seed) == key.of(other, &seed)
    }

    fn from(address: &str) -> Exchange {
        let mut exchange = request("GET /", &[]);
        exchange.client.address = Some(address.parse().expect("an address"));
        exchange
    }

    #[test]
    fn an_address_is_one_in_its_network() {
        for (one, other, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(are_one(json!("ip"), &from(one), &from(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn nobody_is_told_apart_by_leaving_out_or_by_saying_two_things() {
        let with = |fields: &[(&str, &str)]| request("GET /", fields);
        for (key, one, other, expected) in [
            ("header:x-key", with(&[("x-key", "a")]), with(&[("X-KEY", "a")]), true),
            ("header:x-key", with(&[("x-key", "a")]), with(&[("x-key", "b")]), false),
            ("header:x-key", with(&[]), with(&[("x-key", "a"), ("x-key", "b")]), true),
            ("header:x-key", with(&[("x-key", "a"), ("x-key", "b")]), with(&[("x-key", "a"), ("x-key", "c")]), true),
            ("header:x-key", with(&[]), with(&[("x_key", "a")]), true),
            ("header:x-key", with(&[]), with(&[("x-key", "")]), false),
            ("cookie:s", with(&[("cookie", "s=1; t=2")]), with(&[("cookie", "t=3; s=1")]), true),
            ("cookie:s", with(&[("cookie", "s=1; s=2")]), with(&[]), true),
            ("cookie:s", with(&[("cookie", "s=1"), ("cookie", "s=2")]), with(&[("cookie", "S=1")]), true),
        ] {
            assert_eq!(are_one(json!(key), &one, &other), expected, "{key} {:?} {:?}", one.headers, other.headers);
        }
    }

    #[test]
    fn a_path_is_one_however_it_is_written() {
        for (one, other, expected) in [
            ("GET /a!?x=1", "GET /a%21?x=2", true),
            ("GET /a%c3%a9", "GET /a%C3%A9", true),
            ("GET /a//b", "GET /a/b", true),
            ("GET /a/b", "GET /a%2Fb", false),
            ("GET /a", "GET /A", false),
        ] {
            assert_eq!(are_one(json!("path"), &request(one, &[]), &request(other, &[])), expected, "{one} {other}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let with = |a: &str, b: &str| request("GET /", &[("x-a", a), ("x-b", b)]);
        let both = || json!(["header:x-a", "header:x-b"]);

        assert!(!are_one(both(), &with("ab", "c"), &with("a", "bc")));
        assert!(are_one(both(), &with("ab", "c"), &with("ab", "c")));
    }

    #[test]
    fn who_has_proved_who_it_is_is_known_by_it() {
        let known = |scheme, subject: &str, tier: serde_json::Value| {
            let mut exchange = request("GET /", &[]);
            let claims = Map::from_iter([("tier".to_owned(), tier)]);
            exchange.identities.push(Identity { scheme, subject: Some(subject.into()), claims });
            exchange
        };
        let alice = || known("jwt", "alice", json!(1));

        assert!(are_one(json!("identity"), &alice(), &known("jwt", "alice", json!(2))));
        assert!(!are_one(json!("identity"), &alice(), &known("basic", "alice", json!(1))));
        assert!(!are_one(json!("identity"), &alice(), &request("GET /", &[])));
        assert!(are_one(json!("claim:tier"), &alice(), &known("jwt", "bob", json!(1))));
        assert!(!are_one(json!("claim:tier"), &alice(), &known("jwt", "alice", json!("2"))));
        assert!(are_one(json!("claim:no"), &alice(), &request("GET /", &[])));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for written in [
            json!(""),
            json!("IP"),
            json!("header:"),
            json!("header:a b"),
            json!("header:host"),
            json!("cookie:"),
            json!([]),
            json!(["ip", "x"]),
            json!(7),
            json!("claim"),
        ] {
            assert!(serde_json::from_value::<KeySettings>(written.clone()).is_err(), "{written}");
        }
        for prefix in [0, 15, 129] {
            assert!(Key::new(KeySettings::default(), prefix, Stage::BeforeAuthentication).is_err());
        }
    }
}
