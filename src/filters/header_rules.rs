//! Header rules: fields set, added and removed, on the way in and on the way out.
//!
//! ```toml
//! "/api" = { to = "api", header_rules = { request = { set = { x-tier = "gold" } }, response = { remove = ["server"] } } }
//! ```
//!
//! A value may hold what the request tells: `${client.ip}`, `${claim.sub}`, `${client_cert.subject}` (docs/conditions.md has
//! all of them). Where one of them is missing such a field is not written, and with `set` what was there is removed: nobody
//! can say of himself what only a proof can.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Filter, JsonSchema, Kind, Schema, Site, Step, schemars};
use crate::{
    exchange::{Exchange, REQUEST_ID},
    http::{HeaderMap, HeaderName, HeaderValue, Response, header, headers},
    language::{Fault, Template},
    settings::{Problem, Problems},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", header_rules = { request = { set = { x-tier = "gold" } }, response = { remove = ["server"] } } }
```

Fields are removed first, then set, then added. What is removed or set in a request is so with `_` for `-`, too: endpoints behind gateway interfaces read both as one. What frames a message, belongs to one connection or is written by the proxy itself
(`Host`, `Via`, `Forwarded`, `X-Forwarded-*`, `X-Request-Id`) is not for a rule.

A value may hold what the request tells: `${client.ip}`, `${claim.sub}`, `${client_cert.subject}`, `${host.0}` and
[more](../conditions.md#templates). Where one of them is missing the field is not written, and with `set` what was there is removed: nobody
can say of himself what only a proof can. What a client sends cannot add a line.

Events: `cleared`, of a request that came with a field that is removed or set here; `missing`, of a request or an answer with a field that was not written because something
in its value is missing.
"#;

/// Sets, adds and removes header fields.
pub struct HeaderRules {
    request: Rules,
    response: Rules,
    cleared: Event,
    missing: Event,
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
    way: Way,
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Template)>,
    add: Vec<(HeaderName, Template)>,
}

impl Kind for HeaderRules {
    const NAME: &'static str = "header_rules";
    const SUMMARY: &'static str = "sets, adds and removes header fields of requests and responses";
    const ABOUT: &'static str = ABOUT;
    type Settings = HeaderRulesSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(HeaderRulesSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let request = Rules::new(&settings.request, Way::In, &mut problems);
        let response = Rules::new(&settings.response, Way::Out, &mut problems);
        if !response.is_empty() {
            site.makes_by(response.set.iter().chain(&response.add).flat_map(|(_, value)| value.differences()));
        }
        let (cleared, missing) = (site.event("cleared"), site.event("missing"));
        problems.none_or(Step::Plain(Arc::new(Self { request, response, cleared, missing })))
    }
}

impl Filter for HeaderRules {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        // What is written is made of the request as it came to this filter, whatever the other rules do to it.
        let made = self.made(&self.request, exchange);
        if self.request.apply(&mut exchange.headers, made) {
            self.cleared.happened();
        }
        None
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let made = self.made(&self.response, exchange);
        self.response.apply(&mut response.headers, made);
    }
}

/// The values of the fields of a message.
type Values = SmallVec<[Option<HeaderValue>; 8]>;

impl HeaderRules {
    fn made(&self, rules: &Rules, exchange: &Exchange) -> Values {
        let made = rules.make(exchange);
        if made.iter().any(Option::is_none) {
            self.missing.happened();
        }
        made
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
        Self { way, remove, set, add }
    }

    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The values to set and to add, in their order.
    fn make(&self, exchange: &Exchange) -> Values {
        self.set.iter().chain(&self.add).map(|(_, value)| value.field(exchange)).collect()
    }

    /// Whether something is gone that was there.
    fn apply(&self, headers: &mut HeaderMap, made: Values) -> bool {
        let mut is_gone = false;
        for name in &self.remove {
            is_gone |= self.clear(headers, name);
        }
        let mut made = made.into_iter();
        for ((name, _), value) in self.set.iter().zip(made.by_ref()) {
            is_gone |= self.clear(headers, name);
            if let Some(value) = value {
                headers.append(name.clone(), value);
            }
        }
        for ((name, _), value) in self.add.iter().zip(made) {
            if let Some(value) = value {
                headers.append(name.clone(), value);
            }
        }
        is_gone
    }

    /// Of what a client has sent no spelling is left that an endpoint could take for the field. Whether there was any.
    fn clear(&self, headers: &mut HeaderMap, name: &HeaderName) -> bool {
        let before = headers.len();
        match self.way {
            Way::In => headers::remove_spellings(headers, std::iter::once(name)),
            Way::Out => drop(headers.remove(name)),
        }
        headers.len() < before
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
) -> Vec<(HeaderName, Template)> {
    let mut fields = Vec::with_capacity(written.len());
    for (key, text) in written {
        let at = [way.key(), verb, key].map(String::from);
        match (name(key, way), value(text, way)) {
            (Ok(name), Ok(value)) => fields.push((name, value)),
            (Err(why), _) => problems.push(why.of(key, at)),
            // The value is not told: it may be a secret, whatever the field is called.
            (_, Err(Fault { what, help, .. })) => {
                let what = format!("the value for `{}` {what}", key.escape_debug());
                problems.push(Problem::at(at, what).hint(help).hide_value());
            }
        }
    }
    fields
}

/// What a field is to hold. Why it cannot is told of a variable alone, if that looks like one.
fn value(text: &str, way: Way) -> Result<Template, Fault> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let wrong = |what: &str, help: &str| Fault { at: 0..0, what: what.into(), help: Some(help.into()) };
    if HeaderValue::from_str(text).is_err() {
        return Err(wrong("is not a header field value", "visible characters, without line breaks"));
    }
    let template = Template::parse(text).map_err(|fault| match text.get(fault.at.clone()) {
        Some(name) if is_name(name) => Fault { what: format!("has a variable that is none: {}", fault.what), ..fault },
        _ => wrong("has a variable that is none", "`${` begins a variable, such as `${client.ip}`; `$${` writes `${`"),
    })?;
    if way == Way::Out && template.asks_for_body() {
        let what = "has the variable `content_length`: the request's body is gone when there is an answer";
        return Err(wrong(what, "`request` can tell it to the endpoint"));
    }
    Ok(template)
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

/// A field of a request that a filter may set to something; else what is wrong with it, and what to do instead.
pub(super) fn settable(text: &str) -> Result<HeaderName, (&'static str, &'static str)> {
    name(text, Way::In).map_err(|Refusal { what, help }| (what, help))
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
    use crate::{exchange::Identity, filters::testing};

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

        rules.apply(&mut headers, rules.make(&testing::request("GET /", &[])));

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
    fn what_is_proved_replaces_what_a_client_says() {
        let settings = RuleSettings {
            remove: vec!["x-claim".into()],
            set: IndexMap::from([("x-client".into(), "${claim.sub}; from=${header.x-claim}".into())]),
            add: IndexMap::from([("x-names".into(), "${claim.names}".into())]),
        };
        let rules = HeaderRules {
            request: Rules::new(&settings, Way::In, &mut Problems::default()),
            response: Rules::new(&RuleSettings::default(), Way::Out, &mut Problems::default()),
            cleared: Event::default(),
            missing: Event::default(),
        };
        let claims = serde_json::json!({ "names": ["a", "b"] }).as_object().cloned().unwrap_or_default();
        let alice = Identity { scheme: "jwt", subject: Some("alice".into()), claims };
        for (identities, expected) in [(vec![alice], (Some("alice; from=root"), Some("a,b"))), (vec![], (None, None))] {
            let forged = [("x-client", "root"), ("x-claim", "root")];
            let mut exchange = testing::request("GET /", &forged);
            exchange.identities = identities.into();

            rules.on_request(&mut exchange);

            let value = |name: &str| exchange.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!((value("x-client"), value("x-names"), value("x-claim")), (expected.0, expected.1, None));
        }
        assert_eq!(
            (rules.cleared.count(), rules.missing.count()),
            (2, 1),
            "nobody could say of himself what he wanted"
        );
        rules.on_request(&mut testing::request("GET /", &[("x-other", "1")]));
        assert_eq!((rules.cleared.count(), rules.missing.count()), (2, 2));
    }

    #[test]
    fn a_variable_that_is_none_is_told_and_what_may_be_a_secret_is_not() {
        for (value, expected, help) in [
            (
                "${client_cert.subjec}",
                "there is no variable `client_cert.subjec`",
                "did you mean `client_cert.subject`?",
            ),
            ("${client_cert.subject", "has a variable that is none", "`$${` writes"),
            ("hunter2 ${hunter2 }", "has a variable that is none", "`$${` writes"),
            ("${}", "there is no variable ``", "one of client.ip"),
        ] {
            let told = testing::problems::<HeaderRules>(serde_json::json!({ "request": { "set": { "x-a": value } } }));

            assert_eq!(told.len(), 1, "{value}");
            assert!(told[0].what.contains(expected), "{}", told[0].what);
            assert!(told[0].help.as_deref().unwrap_or_default().contains(help), "{:?}", told[0].help);
            assert!(!told[0].what.contains("hunter2") && told[0].hides_value);
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
