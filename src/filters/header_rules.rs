//! Header rules: fields set, added and removed, on the way in and on the way out.
//!
//! ```toml
//! "/api" = { to = "api", header_rules = { request = { set = { x-tier = "gold" } }, response = { remove = ["server"] } } }
//! ```
//!
//! A value may hold what the client's certificate tells: `${client_cert.subject}`, also `issuer`, `serial`, `names` and
//! `fingerprint`. Of a client without one such a field is not written, and with `set` what was there is removed: nobody
//! can say of himself what only a certificate can.

use std::{borrow::Cow, sync::Arc};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Filter, JsonSchema, Kind, Schema, Site, Step, schemars};
use crate::{
    exchange::{Exchange, REQUEST_ID},
    http::{
        ClientCertificate, HeaderMap, HeaderName, HeaderValue, Response, client_certificate::Part, header, headers,
    },
    settings::{Problem, Problems},
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", header_rules = { request = { set = { x-tier = "gold" } }, response = { remove = ["server"] } } }
```

Fields are removed first, then set, then added. What frames a message, belongs to one connection or is written by the proxy itself
(`Host`, `Via`, `Forwarded`, `X-Forwarded-*`, `X-Request-Id`) is not for a rule.

A value may hold what the client's certificate tells: `${client_cert.subject}`, also `issuer`, `serial`, `names` and `fingerprint`. Of a
client without one such a field is not written, and with `set` what was there is removed: nobody can say of himself what only a
certificate can.
"#;

/// Sets, adds and removes header fields.
pub struct HeaderRules {
    request: Rules,
    response: Rules,
}

/// What is written under `header_rules`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderRulesSettings {
    /// For the request, before it is sent on.
    pub request: RuleSettings,
    /// For the response, whoever made it.
    pub response: RuleSettings,
}

/// Rules for one direction; removed first, then set, then added.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
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
    set: Vec<(HeaderName, Value)>,
    add: Vec<(HeaderName, Value)>,
    /// One of the values is made of the client's certificate.
    tell_of_clients: bool,
}

/// What a field is to hold.
enum Value {
    /// This.
    Fixed(HeaderValue),
    /// This, with what the client's certificate tells in between.
    Made(Vec<Piece>),
}

enum Piece {
    Text(String),
    Part(Part),
}

impl Value {
    /// `None` if it is not one, be it for a variable that is none.
    fn parse(mut text: &str) -> Option<Self> {
        let fixed = HeaderValue::from_str(text).ok()?;
        let mut pieces = Vec::new();
        while let Some((before, rest)) = text.split_once("${") {
            let (name, rest) = rest.split_once('}')?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Part(Part::named(name)?)]);
            text = rest;
        }
        if pieces.is_empty() {
            return Some(Self::Fixed(fixed));
        }
        pieces.push(Piece::Text(text.to_owned()));
        Some(Self::Made(pieces))
    }

    /// For this client; `None` where it has no certificate to be made of.
    fn of(&self, client: Option<&ClientCertificate>) -> Option<HeaderValue> {
        let pieces = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Made(pieces) => pieces,
        };
        let client = client?;
        let pieces = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Cow::from(text),
            Piece::Part(part) => part.of(client),
        });
        HeaderValue::from_str(&pieces.collect::<String>()).ok()
    }
}

impl Kind for HeaderRules {
    const NAME: &'static str = "header_rules";
    const SUMMARY: &'static str = "sets, adds and removes header fields of requests and responses";
    const ABOUT: &'static str = ABOUT;
    type Settings = HeaderRulesSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(HeaderRulesSettings))
    }

    fn build(settings: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let request = Rules::new(&settings.request, Way::In, &mut problems);
        let response = Rules::new(&settings.response, Way::Out, &mut problems);
        problems.none_or(Step::Plain(Arc::new(Self { request, response })))
    }
}

impl Filter for HeaderRules {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let client = if self.request.tell_of_clients { exchange.client_certificate().cloned() } else { None };
        self.request.apply(&mut exchange.headers, client.as_deref());
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let client = if self.response.tell_of_clients { exchange.client_certificate() } else { None };
        self.response.apply(&mut response.headers, client.map(|client| &**client));
    }
}

impl Rules {
    fn new(settings: &RuleSettings, way: Way, problems: &mut Problems) -> Self {
        let remove = settings.remove.iter().enumerate().filter_map(|(index, text)| {
            let at = [way.key(), "remove", &index.to_string()].map(String::from);
            name(text, way).map_err(|why| problems.push(why.of(text, at))).ok()
        });
        let remove = remove.collect();
        let set = fields(&settings.set, way, "set", problems);
        let add = fields(&settings.add, way, "add", problems);
        let tell_of_clients = set.iter().chain(&add).any(|(_, value)| matches!(value, Value::Made(_)));
        Self { remove, set, add, tell_of_clients }
    }

    fn apply(&self, headers: &mut HeaderMap, client: Option<&ClientCertificate>) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            match value.of(client) {
                Some(value) => drop(headers.insert(name.clone(), value)),
                None => drop(headers.remove(name)),
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.of(client) {
                headers.append(name.clone(), value);
            }
        }
    }
}

/// Which message the rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The request.
    In,
    /// The response.
    Out,
}

impl Way {
    fn key(self) -> &'static str {
        match self {
            Self::In => "request",
            Self::Out => "response",
        }
    }
}

fn fields(
    written: &IndexMap<String, String>,
    way: Way,
    verb: &str,
    problems: &mut Problems,
) -> Vec<(HeaderName, Value)> {
    let mut fields = Vec::with_capacity(written.len());
    for (key, text) in written {
        let at = [way.key(), verb, key].map(String::from);
        match (name(key, way), Value::parse(text)) {
            (Ok(name), Some(value)) => fields.push((name, value)),
            (Err(why), _) => problems.push(why.of(key, at)),
            // The value is not told: it may be a secret, whatever the field is called.
            (_, None) if text.contains("${") => problems.push(
                Problem::at(at, format!("the value for `{}` has a variable that is none", key.escape_debug()))
                    .help(format!("one of {}", Part::ALL.map(|part| format!("${{{part}}}")).join(", ")))
                    .hide_value(),
            ),
            (_, None) => problems.push(
                Problem::at(at, format!("the value for `{}` is not a header field value", key.escape_debug()))
                    .help("visible characters, without line breaks")
                    .hide_value(),
            ),
        }
    }
    fields
}

/// Why a rule may not touch a field, and what to do instead.
struct Refusal {
    what: &'static str,
    help: &'static str,
}

impl Refusal {
    fn of(&self, field: &str, at: [String; 3]) -> Problem {
        Problem::at_key(at, format!("`{}` {}", field.escape_debug(), self.what)).help(self.help)
    }
}

/// A field that a rule may touch.
fn name(text: &str, way: Way) -> Result<HeaderName, Refusal> {
    let wrong = |what, help| Err(Refusal { what, help });
    let Ok(name) = HeaderName::try_from(text) else {
        return wrong("is not a header field name", "a token such as \"x-tier\"");
    };
    if headers::is_hop_by_hop(&name) || [header::CONTENT_LENGTH, header::EXPECT].contains(&name) {
        return wrong("frames the message or belongs to one connection", "no rule can change it");
    }
    if name == REQUEST_ID {
        return wrong("is written by the proxy itself", "no rule can change it");
    }
    if way == Way::Out {
        return Ok(name);
    }
    // Endpoints behind gateway interfaces read both letters as one.
    match name.as_str().replace('_', "-").as_str() {
        "host" => wrong("is not for a rule", "the route's own key: host = \"app.internal\""),
        "via" => wrong("is written by the proxy itself", "no rule can change it"),
        "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => wrong(
            "is written by the proxy itself",
            "the route's own key: forwarded = \"both\", \"standard\", \"x\" or \"off\"",
        ),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::testing;

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let settings = RuleSettings {
            remove: vec!["X-Old".into()],
            set: IndexMap::from([("x-one".into(), "new".into())]),
            add: IndexMap::from([("x-one".into(), "more".into())]),
        };
        let rules = Rules::new(&settings, Way::In, &mut Problems::default());
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("x-old"), HeaderValue::from_static("1"));
        headers.append(HeaderName::from_static("x-one"), HeaderValue::from_static("old"));

        rules.apply(&mut headers, None);

        assert!(!headers.contains_key("x-old"));
        assert_eq!(headers.get_all("x-one").collect::<Vec<_>>(), ["new", "more"]);
    }

    #[test]
    fn a_rule_cannot_touch_what_is_the_proxys_own_or_hold_a_line_break() {
        for (json, expected) in [
            (serde_json::json!({ "request": { "set": { "Content-Length": "0" } } }), "frames the message"),
            (serde_json::json!({ "request": { "set": { "expect": "100-continue" } } }), "frames the message"),
            (serde_json::json!({ "response": { "remove": ["Transfer-Encoding"] } }), "frames the message"),
            (serde_json::json!({ "response": { "add": { "connection": "x" } } }), "one connection"),
            (serde_json::json!({ "request": { "set": { "Host": "a b" } } }), "`Host` is not for a rule"),
            (serde_json::json!({ "request": { "remove": ["host"] } }), "is not for a rule"),
            (serde_json::json!({ "request": { "add": { "Forwarded": "for=a" } } }), "by the proxy itself"),
            (serde_json::json!({ "request": { "set": { "X-Forwarded-For": "a" } } }), "by the proxy itself"),
            (serde_json::json!({ "request": { "set": { "x_forwarded_host": "a" } } }), "by the proxy itself"),
            (serde_json::json!({ "request": { "add": { "x-forwarded-proto": "a" } } }), "by the proxy itself"),
            (serde_json::json!({ "request": { "remove": ["via"] } }), "by the proxy itself"),
            (serde_json::json!({ "response": { "set": { "x-request-id": "a" } } }), "by the proxy itself"),
            (serde_json::json!({ "request": { "set": { "x": "a\r\nb: c" } } }), "not a header field value"),
            (serde_json::json!({ "request": { "add": { "a b": "c" } } }), "not a header field name"),
        ] {
            let told = testing::problems::<HeaderRules>(json);
            assert_eq!(told.len(), 1, "expected: {expected}");
            assert!(told[0].what.contains(expected), "{}", told[0].what);
        }
    }

    #[test]
    fn what_a_certificate_tells_replaces_what_a_client_says() {
        let alice = ClientCertificate {
            subject: "CN=alice".into(),
            issuer: "CN=ca".into(),
            serial: "0a".into(),
            names: vec!["DNS:a".into(), "DNS:b".into()],
            fingerprint: "ff".into(),
        };
        let settings = RuleSettings {
            remove: Vec::new(),
            set: IndexMap::from([("x-client".into(), "${client_cert.subject}; by=${client_cert.issuer}!".into())]),
            add: IndexMap::from([("x-names".into(), "${client_cert.names}".into())]),
        };
        let rules = Rules::new(&settings, Way::In, &mut Problems::default());
        for (client, expected) in
            [(Some(&alice), (Some("CN=alice; by=CN=ca!"), Some("DNS:a,DNS:b"))), (None, (None, None))]
        {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static("x-client"), HeaderValue::from_static("CN=root"));

            rules.apply(&mut headers, client);

            let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!((value("x-client"), value("x-names")), expected);
        }
    }

    #[test]
    fn a_variable_that_is_none_is_told() {
        for value in ["${client_cert.subjec}", "${client_cert.subject", "${}"] {
            let told = testing::problems::<HeaderRules>(serde_json::json!({ "request": { "set": { "x-a": value } } }));

            assert_eq!(told.len(), 1, "{value}");
            assert!(told[0].what.contains("a variable that is none"), "{}", told[0].what);
        }
    }

    #[test]
    fn a_rule_may_touch_everything_else() {
        let told = testing::problems::<HeaderRules>(serde_json::json!({
            "request": { "set": { "x-forwarded-prefix": "/api", "x-forwarded-port": "443" }, "remove": ["cookie"] },
            "response": { "remove": ["via", "server"], "set": { "cache-control": "no-store" } },
        }));

        assert_eq!(told, []);
    }

    #[test]
    fn every_bad_rule_is_told_at_its_key_and_no_value_is() {
        let told = testing::problems::<HeaderRules>(serde_json::json!({
            "request": { "set": { "authorization": "Bearer hunter2\n", "host": "a" }, "remove": ["x", "te"] },
            "response": { "add": { "x-token": "hunter2\n" } },
        }));

        let keys: Vec<_> = told.iter().map(|problem| problem.key.join(".")).collect();
        let expected = ["request.remove.1", "request.set.authorization", "request.set.host", "response.add.x-token"];
        assert_eq!(keys, expected);
        assert!(!Problems(told).to_string().contains("hunter2"));
    }
}
