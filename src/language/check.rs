//! What a value is compared with.

use std::{cmp::Ordering, fmt, net::IpAddr};

use ipnet::IpNet;
use memchr::memmem;
use regex::bytes::Regex;

use super::{
    token::{Sign, quoted},
    value::Item,
};

/// One comparison.
#[derive(Debug, Clone)]
pub(super) enum Check {
    /// It is one of these.
    OneOf(Vec<Literal>),
    /// It is an address in one of these networks.
    Within(Vec<IpNet>),
    Contains(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Matches(Regex),
    /// It is a number that is less, or more.
    Ordered(Order, i64),
}

/// What can be written for a value to be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Text(Box<str>),
    Number(i64),
    Truth(bool),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Check {
    /// It holds for this.
    pub(super) fn holds(&self, item: &Item<'_>) -> bool {
        match (self, item) {
            (Self::OneOf(literals), item) => literals.iter().any(|literal| literal.is(item)),
            (Self::Within(networks), Item::Address(address)) => networks.iter().any(|net| net.contains(address)),
            (Self::Contains(part), Item::Text(text)) => memmem::find(text, part.as_bytes()).is_some(),
            (Self::StartsWith(part), Item::Text(text)) => text.starts_with(part.as_bytes()),
            (Self::EndsWith(part), Item::Text(text)) => text.ends_with(part.as_bytes()),
            (Self::Matches(regex), Item::Text(text)) => regex.is_match(text),
            (Self::Ordered(order, limit), item) => compare(item, *limit).is_some_and(|found| order.takes(found)),
            _ => false,
        }
    }
}

impl Literal {
    fn is(&self, item: &Item<'_>) -> bool {
        match (self, item) {
            (Self::Text(own), Item::Text(text)) => own.as_bytes() == &**text,
            (Self::Truth(own), Item::Truth(truth)) => own == truth,
            (Self::Address(own), Item::Address(address)) => own == address,
            (Self::Number(own), item) => compare(item, *own) == Some(Ordering::Equal),
            _ => false,
        }
    }
}

/// Of a number, how it compares.
fn compare(item: &Item<'_>, other: i64) -> Option<Ordering> {
    match item {
        Item::Whole(number) => Some(number.cmp(&other.into())),
        #[expect(clippy::cast_precision_loss, reason = "as precise as the other side")]
        Item::Real(number) => number.partial_cmp(&(other as f64)),
        _ => None,
    }
}

impl Order {
    pub(super) fn of(sign: Sign) -> Option<Self> {
        Some(match sign {
            Sign::Less => Self::Less,
            Sign::LessOrEqual => Self::LessOrEqual,
            Sign::Greater => Self::Greater,
            Sign::GreaterOrEqual => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn takes(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// As it is written behind a value.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(literals) => match &literals[..] {
                [only] => write!(f, "== {only}"),
                all => write!(f, "in [{}]", listed(all)),
            },
            Self::Within(networks) => {
                let networks: Vec<_> = networks.iter().map(|net| quoted(&net.to_string())).collect();
                write!(f, "in cidr({})", networks.join(", "))
            }
            Self::Contains(text) => write!(f, "contains {}", quoted(text)),
            Self::StartsWith(text) => write!(f, "starts_with {}", quoted(text)),
            Self::EndsWith(text) => write!(f, "ends_with {}", quoted(text)),
            Self::Matches(regex) => write!(f, "matches {}", quoted(regex.as_str())),
            Self::Ordered(order, limit) => write!(f, "{} {limit}", order.sign()),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
            Self::Address(address) => f.write_str(&quoted(&address.to_string())),
        }
    }
}

fn listed(literals: &[Literal]) -> String {
    literals.iter().map(Literal::to_string).collect::<Vec<_>>().join(", ")
}
