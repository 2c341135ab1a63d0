//! What `explain` tells of the cache: what a request's answer would be kept under, and by which rules.

use std::fmt::Write;

use super::{Desk, Forward, asked};
use crate::{
    cache::key::QueryRule,
    exchange::Exchange,
    settings::{Size, Time},
};

impl Desk {
    /// Line by line.
    pub fn explain(&self, exchange: &Exchange) -> Vec<String> {
        match self.bars(exchange) {
            Some(Forward::Method) => return vec!["passes by: answers to this method are not kept".into()],
            Some(Forward::Request) => return vec!["passes by: only the endpoint can judge its condition".into()],
            Some(_) => return vec!["passes by: no key has what is in its body".into()],
            None => {}
        }
        let mut lines = vec![self.explain_key(exchange)];
        let mut place = format!("in the store `{}`, no larger than {}", self.shelf.name, Size(self.max_object));
        if let Some(slice) = self.slice {
            // To a text nothing can be lost.
            let _ = write!(place, ", or in pieces of {}", Size(slice));
        }
        lines.push(place);
        lines.extend(self.explain_times());
        lines
    }

    fn explain_key(&self, exchange: &Exchange) -> String {
        let key = asked::key(exchange, &self.keys);
        let mut text = format!("kept under {}", String::from_utf8_lossy(key.target()));
        if asked::ask(exchange, &self.rules).is_stored_query(&self.rules) {
            text.push_str(", with what its body asks");
        }
        let fields = self.keys.headers.iter().map(|name| format!("the field {name}"));
        // Their values may be secrets.
        for part in fields.chain(self.keys.cookies.iter().map(|name| format!("the cookie {name}"))) {
            let _ = write!(text, ", with {part}");
        }
        if !matches!(self.keys.query, QueryRule::Whole) {
            text.push_str(" (not all of the query counts)");
        }
        text
    }

    /// Where the settings say more than the protocol.
    fn explain_times(&self) -> Option<String> {
        let rules = &self.rules;
        let time = |time| Time(Some(time)).to_string();
        let by_status =
            rules.status_ttl.iter().map(|(status, ttl)| format!("{} if it is {}", time(*ttl), status.as_u16()));
        let mut parts: Vec<_> = by_status.collect();
        parts.extend(rules.default_ttl.map(|ttl| format!("{} if it does not say", time(ttl))));
        parts.extend(rules.max_ttl.map(|ttl| format!("{} at most", time(ttl))));
        (!parts.is_empty()).then(|| format!("fresh for {}", parts.join(", ")))
    }
}
