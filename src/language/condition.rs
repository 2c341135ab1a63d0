//! A condition: what was read, and how a request is asked.

use std::fmt;

use super::{
    check::Check,
    fault::Fault,
    parser,
    value::{Item, Value},
};
use crate::exchange::Exchange;

/// A question about a request, read from text such as `method == 'POST' and not has(header('x-token'))`.
#[derive(Debug, Clone)]
pub struct Condition {
    root: Node,
}

/// One part of a condition.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// All of these.
    And(Vec<Node>),
    /// One of these.
    Or(Vec<Node>),
    Not(Box<Node>),
    /// The value is there.
    Has(Value),
    /// The value is like this.
    Test(Test),
}

#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) value: Value,
    /// One is enough, where there are several.
    pub(super) any: bool,
    pub(super) check: Check,
}

/// What of a value that can be read in several ways must be like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All.
    Every,
    /// One.
    Some,
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parser::parse(text).map(|root| Self { root })
    }

    /// It asks what is proved of the client, which somebody must have done before.
    pub fn asks_for_claims(&self) -> bool {
        let mut asks = false;
        self.visit(&mut |value| asks |= matches!(value, Value::Claim(_)));
        asks
    }

    /// All values that it asks for.
    pub(super) fn visit(&self, see: &mut dyn FnMut(&Value)) {
        self.root.visit(see);
    }

    /// It holds for this request, whichever of several values of one name somebody takes: what lets a request in must.
    pub fn holds(&self, exchange: &Exchange) -> bool {
        self.root.holds(exchange, Reading::Every)
    }

    /// It holds, or would if the right one of several values of one name were taken: what refuses a request, or protects
    /// from it, asks this.
    pub fn may_hold(&self, exchange: &Exchange) -> bool {
        self.root.holds(exchange, Reading::Some)
    }
}

impl Node {
    fn holds(&self, exchange: &Exchange, reading: Reading) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(exchange, reading)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(exchange, reading)),
            // What may be so is not surely otherwise.
            Self::Not(part) => !part.holds(exchange, reading.other()),
            Self::Has(value) => {
                let mut found = false;
                value.visit(exchange, &mut |_| found = true);
                found
            }
            Self::Test(test) => test.holds(exchange, reading),
        }
    }
}

impl Node {
    fn visit(&self, see: &mut dyn FnMut(&Value)) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Not(part) => part.visit(see),
            Self::Has(value) | Self::Test(Test { value, .. }) => see(value),
        }
    }
}

impl Test {
    fn holds(&self, exchange: &Exchange, reading: Reading) -> bool {
        let (mut hit, mut missed) = (false, false);
        self.value.visit(exchange, &mut |item| {
            let holds = match &item {
                Item::Unknown => reading == Reading::Some,
                item => self.check.holds(item),
            };
            hit |= holds;
            missed |= !holds;
        });
        hit && (self.any || reading == Reading::Some || !missed)
    }
}

impl Reading {
    fn other(self) -> Self {
        match self {
            Self::Every => Self::Some,
            Self::Some => Self::Every,
        }
    }
}

/// In a spelling of ours, from which it can be read again.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => f.write_str(&joined(parts, " and ")),
            Self::Or(parts) => f.write_str(&joined(parts, " or ")),
            Self::Not(part) => write!(f, "not {}", part.enclosed()),
            Self::Has(value) => write!(f, "has({value})"),
            Self::Test(Test { value, any: true, check }) => write!(f, "any({value}) {check}"),
            Self::Test(Test { value, any: false, check }) => write!(f, "{value} {check}"),
        }
    }
}

impl Node {
    fn enclosed(&self) -> String {
        match self {
            Self::And(_) | Self::Or(_) => format!("({self})"),
            Self::Not(_) | Self::Has(_) | Self::Test(_) => self.to_string(),
        }
    }
}

fn joined(parts: &[Node], word: &str) -> String {
    parts.iter().map(Node::enclosed).collect::<Vec<_>>().join(word)
}
