//! Reads a condition: types are checked as it is read, so that what was read can be asked.
//!
//! ```text
//! condition = all *( ("or" / "||") all )
//! all       = one *( ("and" / "&&") one )
//! one       = ("not" / "!") one / "(" condition ")" / "has" "(" value ")" / string "in" value / tested check
//! tested    = value / "any" "(" value ")"
//! value     = name / function "(" string ")"
//! check     = ("==" / "!=" / "<" / "<=" / ">" / ">=") literal / "in" "[" literal *( "," literal ) "]"
//!           / "in" "cidr" "(" string *( "," string ) ")" / ("contains" / "starts_with" / "ends_with" / "matches") string
//! literal   = string / number / "true" / "false"
//! ```

use std::ops::Range;

use super::{
    check::{Check, Literal, Order},
    condition::{Node, Test},
    fault::Fault,
    operand,
    token::{self, Kind, Sign, Token},
    value::{Refusal, Value},
};
use crate::settings::problem::did_you_mean;

/// Parentheses and `not` within each other.
const MAX_DEPTH: usize = 32;

/// Words that follow a value.
const OPERATORS: [&str; 5] = ["in", "contains", "starts_with", "ends_with", "matches"];

/// Reads all of a text.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut parser = Parser { text, tokens: token::tokens(text)?, next: 0, depth: 0 };
    let node = parser.condition()?;
    let left = parser.peek();
    if left.kind == Kind::End {
        return Ok(node);
    }
    let what = format!("`{}` is not expected here", parser.written(&left.at));
    let help = match &left.kind {
        Kind::Word(word) if ["AND", "OR"].contains(&&*word.to_uppercase()) => "`and` and `or` are in lower case",
        _ => "`and` or `or` between two conditions",
    };
    Err(Fault::new(left.at.clone(), what).help(help))
}

/// A text while it is read.
pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn condition(&mut self) -> Result<Node, Fault> {
        let mut parts = vec![self.all()?];
        while self.eat(Sign::Or, "or") {
            parts.push(self.all()?);
        }
        Ok(only_or(parts, Node::Or))
    }

    fn all(&mut self) -> Result<Node, Fault> {
        let mut parts = vec![self.one()?];
        while self.eat(Sign::And, "and") {
            parts.push(self.one()?);
        }
        Ok(only_or(parts, Node::And))
    }

    fn one(&mut self) -> Result<Node, Fault> {
        let start = self.peek().at.clone();
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(start, format!("more than {MAX_DEPTH} conditions within each other")));
        }
        self.depth += 1;
        let node = if self.eat(Sign::Not, "not") {
            Node::Not(Box::new(self.one()?))
        } else if self.eat(Sign::Open, "") {
            let inner = self.condition()?;
            self.expect(Sign::Close, ")")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, Fault> {
        if let Some(literal) = self.literal() {
            return self.element(literal);
        }
        if self.eat_call("has") {
            let (value, _) = self.value()?;
            self.expect(Sign::Close, ")")?;
            return Ok(Node::Has(value));
        }
        let any = self.eat_call("any");
        let (value, at) = self.value()?;
        if any {
            self.expect(Sign::Close, ")")?;
        }
        let (check, negated) = self.check(&value, &at)?;
        let test = Node::Test(Test { value, any, check });
        Ok(if negated { Node::Not(Box::new(test)) } else { test })
    }

    /// `'admin' in claim('roles')`
    fn element(&mut self, (literal, at): (Literal, Range<usize>)) -> Result<Node, Fault> {
        if !self.eat_word("in") {
            let fault = Fault::new(at, "a comparison begins with a value of the request");
            return Err(fault.help("such as `method == 'GET'`, or `'admin' in claim('roles')`"));
        }
        let (value, _) = self.value()?;
        let literal = operand::equal(&value, literal, &at)?;
        Ok(Node::Test(Test { value, any: true, check: Check::OneOf(vec![literal]) }))
    }

    /// What stands behind a value, and whether it is meant the other way round.
    fn check(&mut self, value: &Value, value_at: &Range<usize>) -> Result<(Check, bool), Fault> {
        let operator = self.take();
        let check = match &operator.kind {
            Kind::Sign(sign @ (Sign::Equal | Sign::Unequal)) => {
                let (literal, at) = self.needed_literal()?;
                let literal = operand::equal(value, literal, &at)?;
                return Ok((Check::OneOf(vec![literal]), *sign == Sign::Unequal));
            }
            Kind::Sign(sign) if let Some(order) = Order::of(*sign) => self.ordered(value, order, &operator.at)?,
            Kind::Word(word) if word == "in" => self.membership(value)?,
            Kind::Word(word) if let Some(make) = operand::of_text(word) => {
                let (text, at) = self.string()?;
                make(value, text, &operator.at, &at)?
            }
            _ => return Err(self.no_operator(value, value_at, &operator)),
        };
        Ok((check, false))
    }

    fn ordered(&mut self, value: &Value, order: Order, operator: &Range<usize>) -> Result<Check, Fault> {
        operand::needs_number(value, operator)?;
        match self.needed_literal()? {
            (Literal::Number(number), _) => Ok(Check::Ordered(order, number)),
            (_, at) => Err(Fault::new(at, "not a number").help("digits, such as 1_048_576")),
        }
    }

    fn membership(&mut self, value: &Value) -> Result<Check, Fault> {
        if self.eat_call("cidr") {
            let mut networks = Vec::new();
            loop {
                let (text, at) = self.string()?;
                networks.push(operand::network(value, &text, &at)?);
                if !self.eat(Sign::Comma, "") {
                    self.expect(Sign::Close, ")")?;
                    return Ok(Check::Within(networks));
                }
            }
        }
        self.expect(Sign::OpenList, "[")
            .map_err(|fault| fault.help("a list `['a', 'b']`, or networks `cidr('10.0.0.0/8')`"))?;
        let mut literals = Vec::new();
        loop {
            let (literal, at) = self.needed_literal()?;
            literals.push(operand::equal(value, literal, &at)?);
            if !self.eat(Sign::Comma, "") {
                self.expect(Sign::CloseList, "]")?;
                return Ok(Check::OneOf(literals));
            }
        }
    }

    fn value(&mut self) -> Result<(Value, Range<usize>), Fault> {
        let token = self.take();
        let Kind::Word(name) = &token.kind else {
            let what = format!("{} where a value of the request is expected", self.named(&token));
            return Err(Fault::new(token.at, what).help("such as `path`, `client.ip` or `header('x-tier')`"));
        };
        if self.peek().kind != Kind::Sign(Sign::Open) {
            let value = Value::named(name).ok_or_else(|| unknown(name, &token.at))?;
            return Ok((value, token.at));
        }
        let Some(function) = Value::function(name) else {
            return Err(if Value::named(name).is_some() {
                Fault::new(token.at, format!("`{name}` takes nothing in parentheses"))
            } else {
                unknown(name, &token.at)
            });
        };
        self.expect(Sign::Open, "(")?;
        let (argument, at) = self.string()?;
        let value = function(&argument).map_err(|refusal| refusal.at(&at))?;
        let end = self.expect(Sign::Close, ")")?;
        Ok((value, token.at.start..end))
    }

    fn no_operator(&self, value: &Value, value_at: &Range<usize>, found: &Token) -> Fault {
        let help = match &found.kind {
            Kind::Word(word) if word == "not" => Some("`not` comes first: `not client.ip in cidr(..)`".into()),
            Kind::Word(word) if word == "cidr" => Some("`in` comes before it: `in cidr(..)`".into()),
            Kind::Word(word) => did_you_mean(word, OPERATORS),
            _ => None,
        };
        let help = help
            .unwrap_or_else(|| format!("`has({value})` if it is to be there; else ==, !=, {}", OPERATORS.join(", ")));
        match found.kind {
            Kind::Word(_) => Fault::new(found.at.clone(), format!("`{}` compares nothing", self.written(&found.at))),
            _ => Fault::new(value_at.clone(), format!("`{value}` alone is not a condition")),
        }
        .help(help)
    }
}

/// Tokens, one by one.
impl Parser<'_> {
    fn peek(&self) -> &Token {
        // Nothing goes beyond the last one, which is the end.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn eat(&mut self, sign: Sign, word: &str) -> bool {
        let found = self.peek().kind == Kind::Sign(sign);
        if found {
            self.next += 1;
        }
        found || self.eat_word(word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(&self.peek().kind, Kind::Word(next) if next == word);
        self.next += usize::from(found);
        found
    }

    /// A word with an opening parenthesis behind it.
    fn eat_call(&mut self, word: &str) -> bool {
        let called = matches!(self.tokens.get(self.next + 1), Some(Token { kind: Kind::Sign(Sign::Open), .. }));
        let found = called && self.eat_word(word);
        self.next += usize::from(found);
        found
    }

    /// Where the sign ends.
    fn expect(&mut self, sign: Sign, written: &str) -> Result<usize, Fault> {
        let token = self.take();
        if token.kind == Kind::Sign(sign) {
            return Ok(token.at.end);
        }
        Err(Fault::new(token.at.clone(), format!("{} where `{written}` is expected", self.named(&token))))
    }

    fn string(&mut self) -> Result<(String, Range<usize>), Fault> {
        let token = self.take();
        match token.kind {
            Kind::Text(text) => Ok((text, token.at)),
            _ => {
                let what = format!("{} where a string is expected", self.named(&token));
                Err(Fault::new(token.at, what).help("in single or double quotes"))
            }
        }
    }

    fn literal(&mut self) -> Option<(Literal, Range<usize>)> {
        let token = self.peek();
        let literal = match &token.kind {
            Kind::Text(text) => Literal::Text(text.as_str().into()),
            Kind::Number(number) => Literal::Number(*number),
            Kind::Word(word) if word == "true" => Literal::Truth(true),
            Kind::Word(word) if word == "false" => Literal::Truth(false),
            _ => return None,
        };
        let at = token.at.clone();
        self.next += 1;
        Some((literal, at))
    }

    fn needed_literal(&mut self) -> Result<(Literal, Range<usize>), Fault> {
        self.literal().ok_or_else(|| {
            let token = self.peek();
            let what = format!("{} where something to compare with is expected", self.named(token));
            Fault::new(token.at.clone(), what).help("a string in quotes, or a number")
        })
    }

    fn written(&self, at: &Range<usize>) -> String {
        self.text[at.clone()].escape_debug().to_string()
    }

    /// A token in a message.
    fn named(&self, token: &Token) -> String {
        match token.kind {
            Kind::End => "it ends".into(),
            _ => format!("`{}`", self.written(&token.at)),
        }
    }
}

impl Refusal {
    pub(super) fn at(self, at: &Range<usize>) -> Fault {
        Fault::new(at.clone(), self.0).help(self.1)
    }
}

fn unknown(name: &str, at: &Range<usize>) -> Fault {
    Fault::new(at.clone(), format!("there is no value `{name}`")).help(Value::hint(name))
}

fn only_or(mut parts: Vec<Node>, make: fn(Vec<Node>) -> Node) -> Node {
    if parts.len() > 1 { make(parts) } else { parts.remove(0) }
}
