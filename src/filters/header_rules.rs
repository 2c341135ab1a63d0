//! Header rules: fields set, added and removed, on the way in and on the way out.
//!
//! ```toml
//! "/api" = { to = "api", header_rules = { request = { set = { x-tier = "gold" } }, response = { remove = ["server"] } } }
//! ```

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use super::{Filter, Kind, Step};
use crate::{
    exchange::Exchange,
    http::{HeaderMap, HeaderName, HeaderValue, Response},
};

/// Sets, adds and removes header fields.
pub struct HeaderRules {
    request: Rules,
    response: Rules,
}

/// What is written under `header_rules`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderRulesSettings {
    /// For the request, before it is sent on.
    pub request: RuleSettings,
    /// For the response, whoever made it.
    pub response: RuleSettings,
}

/// Rules for one direction; removed first, then set, then added.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// Fields to remove.
    pub remove: Vec<String>,
    /// Fields to set, whatever was there.
    pub set: IndexMap<String, String>,
    /// Fields to add beside what is there.
    pub add: IndexMap<String, String>,
}

struct Rules {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Kind for HeaderRules {
    const NAME: &'static str = "header_rules";
    const SUMMARY: &'static str = "sets, adds and removes header fields of requests and responses";
    type Settings = HeaderRulesSettings;

    fn build(settings: Self::Settings) -> Result<Step, String> {
        let rules = Self { request: Rules::new(settings.request)?, response: Rules::new(settings.response)? };
        Ok(Step::Plain(Arc::new(rules)))
    }
}

impl Filter for HeaderRules {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        self.request.apply(&mut exchange.headers);
        None
    }

    fn on_response(&self, _exchange: &Exchange, response: &mut Response) {
        self.response.apply(&mut response.headers);
    }
}

impl Rules {
    fn new(settings: RuleSettings) -> Result<Self, String> {
        Ok(Self {
            remove: settings.remove.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
            set: fields(&settings.set)?,
            add: fields(&settings.add)?,
        })
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
    }
}

fn fields(written: &IndexMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    written.iter().map(|(key, text)| Ok((name(key)?, value(text)?))).collect()
}

/// Framing and connection fields belong to the proxy: a rule for them would break messages apart.
fn name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header field name"))?;
    if FRAMING.contains(&name.as_str()) {
        return Err(format!("`{text}` frames the message; it cannot be changed by a rule"));
    }
    Ok(name)
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("`{}` is not a header field value", text.escape_debug()))
}

/// Fields that frame a message or belong to one connection.
const FRAMING: [&str; 8] =
    ["content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: serde_json::Value) -> Result<Step, String> {
        HeaderRules::build(serde_json::from_value(json).expect("well-formed settings"))
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let rules = Rules::new(RuleSettings {
            remove: vec!["X-Old".into()],
            set: IndexMap::from([("x-one".into(), "new".into())]),
            add: IndexMap::from([("x-one".into(), "more".into())]),
        })
        .expect("valid rules");
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("x-old"), HeaderValue::from_static("1"));
        headers.append(HeaderName::from_static("x-one"), HeaderValue::from_static("old"));

        rules.apply(&mut headers);

        assert!(!headers.contains_key("x-old"));
        assert_eq!(headers.get_all("x-one").collect::<Vec<_>>(), ["new", "more"]);
    }

    #[test]
    fn a_rule_cannot_touch_framing_or_hold_a_line_break() {
        for (json, expected) in [
            (serde_json::json!({ "request": { "set": { "Content-Length": "0" } } }), "frames the message"),
            (serde_json::json!({ "response": { "remove": ["Transfer-Encoding"] } }), "frames the message"),
            (serde_json::json!({ "request": { "set": { "x": "a\r\nb: c" } } }), "not a header field value"),
            (serde_json::json!({ "request": { "add": { "a b": "c" } } }), "not a header field name"),
        ] {
            let Err(problem) = step(json) else { panic!("accepted, but expected: {expected}") };
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
