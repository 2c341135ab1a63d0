//! Changes of a query. Names are compared as forms are read; what is not meant stays as it was written.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    exchange::Exchange,
    filters::{JsonSchema, schemars},
    language::Template,
    settings::{Problem, Problems},
};

/// What is written under `query`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Names to remove; `utm_*` is all that begin so.
    pub remove: Vec<String>,
    /// Names with the one value that they have then, a template; without a value none.
    pub set: IndexMap<String, String>,
    /// Names with a value beside those that are there, a template.
    pub add: IndexMap<String, String>,
}

/// What becomes of queries.
pub struct QueryRules {
    remove: Vec<Name>,
    set: Vec<(String, Template)>,
    add: Vec<(String, Template)>,
}

enum Name {
    Exactly(String),
    Beginning(String),
}

impl QueryRules {
    /// What is written, with what is wrong about it.
    pub fn new(settings: &QuerySettings, problems: &mut Problems) -> Self {
        let mut remove = Vec::new();
        for (index, text) in settings.remove.iter().enumerate() {
            match text.strip_suffix('*') {
                Some(beginning) if !beginning.contains('*') => remove.push(Name::Beginning(beginning.to_owned())),
                None if !text.contains('*') => remove.push(Name::Exactly(text.clone())),
                _ => {
                    let what = format!("`{}` is not a name in a query", text.escape_debug());
                    problems.push(
                        Problem::at(["query", "remove", &index.to_string()], what).help("such as \"id\" or \"utm_*\""),
                    );
                }
            }
        }
        let mut templates = |key: &str, written: &IndexMap<String, String>| {
            let mut templates = Vec::new();
            for (name, text) in written {
                match Template::parse(text) {
                    Ok(template) => templates.push((name.clone(), template)),
                    Err(fault) => problems.push(fault.problem(["query", key, name])),
                }
            }
            templates
        };
        let (set, add) = (templates("set", &settings.set), templates("add", &settings.add));
        Self { remove, set, add }
    }

    /// Nothing becomes of any.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// What values are made of.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.set.iter().chain(&self.add).map(|(_, template)| template)
    }

    /// The query with its question mark; `None` if it stays.
    pub fn apply(&self, exchange: &Exchange) -> Option<String> {
        let written = exchange.query();
        if self.is_empty() || (written.is_empty() && self.set.is_empty() && self.add.is_empty()) {
            return None;
        }
        let pairs = written.strip_prefix('?').unwrap_or_default();
        let mut kept = String::new();
        for pair in pairs.split('&').filter(|pair| !pair.is_empty() && !self.drops(pair)) {
            push(&mut kept, pair);
        }
        for (name, template) in self.set.iter().chain(&self.add) {
            if let Some(value) = template.bytes(exchange) {
                push(&mut kept, &encoded(name.as_bytes()));
                kept.push('=');
                kept.push_str(&encoded(&value));
            }
        }
        Some(kept)
    }

    fn drops(&self, pair: &str) -> bool {
        let name = form_text(pair.split('=').next().unwrap_or_default());
        self.set.iter().any(|(set, _)| set.as_bytes() == name)
            || self.remove.iter().any(|removed| match removed {
                Name::Exactly(text) => text.as_bytes() == name,
                Name::Beginning(text) => name.starts_with(text.as_bytes()),
            })
    }
}

fn push(query: &mut String, pair: &str) {
    query.push(if query.is_empty() { '?' } else { '&' });
    query.push_str(pair);
}

/// What is not unreserved (RFC 3986, 2.3) is encoded.
fn encoded(text: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in text {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(*byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What a form writes: plus signs are spaces, and what can be decoded is.
fn form_text(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{filters::testing, settings};

    #[test]
    fn a_query_loses_and_gets_what_is_said() {
        let settings = json!({ "remove": ["utm_*", "a b"], "set": { "v": "2", "ip": "${client.ip}", "no": "${header.none}" }, "add": { "x&y": "${header.x}" } });
        let settings = settings::read::<QuerySettings>(&settings, &[]).expect("they are right");
        let rules = QueryRules::new(&settings, &mut Problems::default());
        for (target, expected) in [
            ("/", "?v=2&ip=192.0.2.1&x%26y=1%26v%3D3"),
            ("/?", "?v=2&ip=192.0.2.1&x%26y=1%26v%3D3"),
            (
                "/?q=a%2Fb&utm_source=a&%75tm_x=1&UTM_y=2&a+b=3&a%20b&v=1&%76=9&no=1&&q",
                "?q=a%2Fb&UTM_y=2&q&v=2&ip=192.0.2.1&x%26y=1%26v%3D3",
            ),
        ] {
            let exchange = testing::request(&format!("GET {target}"), &[("x", "1&v=3")]);

            assert_eq!(rules.apply(&exchange).as_deref(), Some(expected), "{target}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let settings = QuerySettings { remove: vec!["a".into()], ..QuerySettings::default() };
        let rules = QueryRules::new(&settings, &mut Problems::default());

        assert_eq!(rules.apply(&testing::request("GET /", &[])), None);
        assert_eq!(rules.apply(&testing::request("GET /?a=1", &[])).as_deref(), Some(""));
    }
}
