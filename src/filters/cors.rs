//! Which pages of other origins may read answers (the CORS protocol of the Fetch standard).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::origin::{Origin, Pattern};
use super::{Filter, JsonSchema, Kind, Schema, Site, Step, schemars};
use crate::{
    exchange::Exchange,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Refusal, Response, StatusCode, header, headers},
    settings::{Names, Problem, Problems, Time},
};

mod origin;

const ABOUT: &str = r#"
```toml
[routes."/api"]
to = "http://127.0.0.1:8000"
cors = { origins = ["https://shop.example", "https://*.shop.example"], methods = ["PUT", "DELETE"], headers = ["content-type"], credentials = true }

[routes."/public"]
to = "http://127.0.0.1:8000"
cors = { origins = "*" }
```

A browser that asks first (a preflight) is answered here: no endpoint and no filter further in, such as authentication, sees it. From an origin
that is not listed, for a method or with a field that is not, it gets 403. Any other request goes on whatever its origin is, as the standard
has it: without these fields on its answer the browser keeps the answer from the page, but what the request does is done.
This decides who may read, not who may ask.

Origins are compared as what they are, a scheme, a host and a port. `*.` stands for one label or more, never for none. `null` is what
any page can make itself, and is let in only where it is listed; `"*"` with `credentials` would let every page on the web act for its visitor,
and is refused as a setting. What an endpoint says of CORS itself is removed: there is one place that decides.

A preflight comes with the method OPTIONS: a route for another method alone (`"POST /orders"`) never sees it, and needs its `cors` in a route for
all. WebSockets are no part of this: browsers open them to whomever a page names.

`Vary` names `Origin` on every answer of the route, unless all origins are let in.
"#;

const REQUEST_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What endpoints have no say in.
const OURS: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE,
];

/// Answers preflights, and tells browsers which pages may read an answer.
pub struct Cors {
    origins: Origins,
    methods: Listed,
    headers: Listed,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    private_network: bool,
}

/// What is written under `cors`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Whose pages may read answers: `"*"`, or a list such as `["https://shop.example", "https://*.shop.example"]`.
    pub origins: Names,
    /// Methods beside GET, HEAD and POST, which need no leave; or `"*"`.
    #[serde(default)]
    pub methods: Names,
    /// Fields of requests that pages may set, such as `content-type` of JSON; or `"*"`.
    #[serde(default)]
    pub headers: Names,
    /// Fields of answers that pages may read beside the plain ones; or `"*"`.
    #[serde(default)]
    pub expose: Names,
    /// Cookies and other credentials may be sent along.
    #[serde(default)]
    pub credentials: bool,
    /// For how long a browser need not ask again.
    #[serde(default = "ten_minutes")]
    pub max_age: Time,
    /// Public pages may reach this though it is in a private network.
    #[serde(default)]
    pub private_network: bool,
}

fn ten_minutes() -> Time {
    Time::secs(600)
}

enum Origins {
    All,
    Listed(Vec<Pattern>),
}

/// Names that are let through, and the field that says so.
struct Listed {
    /// `None` is any.
    names: Option<Vec<String>>,
    field: Option<HeaderValue>,
}

impl Kind for Cors {
    const NAME: &'static str = "cors";
    const SUMMARY: &'static str = "lets pages of other origins read answers, and answers browsers that ask first";
    const ABOUT: &'static str = ABOUT;
    type Settings = CorsSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(CorsSettings))
    }

    fn build(settings: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let origins = origins(&settings, &mut problems);
        let mut listed = |key, names: &Names| listed(key, names, settings.credentials, &mut problems);
        let methods = listed("methods", &settings.methods);
        let headers = listed("headers", &settings.headers);
        let expose = listed("expose", &settings.expose).field;
        let max_age = settings.max_age.0.map(|time| HeaderValue::from(time.as_secs()));
        let CorsSettings { credentials, private_network, .. } = settings;
        problems.none_or(Step::Plain(Arc::new(Self {
            origins,
            methods,
            headers,
            expose,
            credentials,
            max_age,
            private_network,
        })))
    }
}

fn origins(settings: &CorsSettings, problems: &mut Problems) -> Origins {
    let names = &settings.origins;
    if names.is_any() {
        if settings.credentials {
            let what = "every page on the web could act for its visitor: `*` and `credentials` exclude each other";
            problems.push(Problem::at(["origins"], what).help("list the origins, or credentials = false"));
        }
        return Origins::All;
    }
    if names.0.is_empty() {
        problems.push(Problem::at(["origins"], "nobody is let in").help("such as \"https://shop.example\""));
    }
    let mut patterns = Vec::new();
    for (index, text) in names.iter().enumerate() {
        match Pattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let what = format!("`{}` is not an origin", text.escape_debug());
                let help = "a scheme, a host and perhaps a port, without a path: \"https://shop.example\", \
                            \"https://*.shop.example\", \"null\"; or \"*\" alone";
                let at: &[&str] = if names.0.len() == 1 { &["origins"] } else { &["origins", &index.to_string()] };
                problems.push(Problem::at(at.iter().copied(), what).help(help));
            }
        }
    }
    Origins::Listed(patterns)
}

fn listed(key: &str, names: &Names, credentials: bool, problems: &mut Problems) -> Listed {
    if names.is_any() {
        if credentials {
            // Fetch, 3.2.4: with credentials an asterisk is a name like any other.
            let what = format!("with `credentials` browsers take `*` for a name, not for any of the {key}");
            problems.push(Problem::at([key], what).help("list them"));
        }
        return Listed { names: None, field: Some(HeaderValue::from_static("*")) };
    }
    for (index, name) in names.iter().enumerate() {
        if !headers::is_token(name.as_bytes()) || name == "*" {
            let what = format!("`{}` is not a name of one of the {key}", name.escape_debug());
            problems.push(Problem::at([key, &index.to_string()], what).help("a token, or \"*\" alone"));
        }
    }
    let field = HeaderValue::try_from(names.0.join(", ")).ok().filter(|_| !names.0.is_empty());
    Listed { names: Some(names.0.clone()), field }
}

impl Filter for Cors {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let method = preflight(exchange)?;
        Some(match self.leave(&exchange.headers, method) {
            Ok(response) => response,
            Err(refusal) => refusal.with(header::VARY, HeaderValue::from_static(PREFLIGHT_VARIES)).into(),
        })
    }

    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        if preflight(exchange).is_some() {
            return;
        }
        let fields = &mut response.headers;
        for name in OURS {
            fields.remove(name);
        }
        if let Origins::Listed(_) = self.origins
            && !headers::has_token(fields, &header::VARY, "origin")
        {
            fields.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.origin(&exchange.headers) {
            self.let_read(origin, fields);
            if let Some(expose) = &self.expose {
                fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
            }
        }
    }
}

const PREFLIGHT_VARIES: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// What a browser asks leave for.
fn preflight(exchange: &Exchange) -> Option<&HeaderValue> {
    if exchange.method != Method::OPTIONS || !exchange.headers.contains_key(header::ORIGIN) {
        return None;
    }
    exchange.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// The answer to a preflight, if all that it asks for may be.
    fn leave(&self, asked: &HeaderMap, method: &HeaderValue) -> Result<Response, Refusal> {
        let no = |reason| Refusal::new(Self::NAME, StatusCode::FORBIDDEN, reason);
        let origin = self.origin(asked).ok_or_else(|| no("pages of this origin may not"))?;
        let may_use = |method: &str| ["GET", "HEAD", "POST"].contains(&method) || self.methods.has(method, str::eq);
        if !method.to_str().is_ok_and(may_use) || asked.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).count() > 1 {
            return Err(no("pages may not use this method"));
        }
        let may_set =
            |name: &[u8]| str::from_utf8(name).is_ok_and(|name| self.headers.has(name, str::eq_ignore_ascii_case));
        if !headers::list(asked, &header::ACCESS_CONTROL_REQUEST_HEADERS).all(may_set) {
            return Err(no("pages may not set one of these fields"));
        }
        let mut response = Response::new(StatusCode::NO_CONTENT);
        let fields = &mut response.headers;
        self.let_read(origin, fields);
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods.field),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.field),
            (header::ACCESS_CONTROL_MAX_AGE, &self.max_age),
        ] {
            if let Some(value) = value {
                fields.insert(name, value.clone());
            }
        }
        if self.private_network && asked.get(REQUEST_PRIVATE).is_some_and(|asked| asked == "true") {
            fields.insert(ALLOW_PRIVATE, HeaderValue::from_static("true"));
        }
        fields.insert(header::VARY, HeaderValue::from_static(PREFLIGHT_VARIES));
        Ok(response)
    }

    /// Whom to name to the browser: the one origin that asks, if it is let in.
    fn origin(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let patterns = match &self.origins {
            Origins::All => return Some(HeaderValue::from_static("*")),
            Origins::Listed(patterns) => patterns,
        };
        let mut values = asked.get_all(header::ORIGIN);
        let (value, None) = (values.next()?, values.next()) else { return None };
        let origin = Origin::parse(value.to_str().ok()?)?;
        patterns.iter().any(|pattern| pattern.takes(origin)).then(|| value.clone())
    }

    fn let_read(&self, origin: HeaderValue, fields: &mut HeaderMap) {
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            fields.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

impl Listed {
    fn has(&self, name: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|known| same(known, name)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filters::testing;

    #[test]
    fn what_would_let_in_everybody_or_nobody_is_a_problem() {
        for (written, key) in [
            (json!({ "origins": "*", "credentials": true }), "origins"),
            (json!({ "origins": [] }), "origins"),
            (json!({ "origins": ["*", "https://a.example"] }), "origins.0"),
            (json!({ "origins": "https://a.example/" }), "origins"),
            (json!({ "origins": ["https://a.example", "a.example"] }), "origins.1"),
            (json!({ "origins": "null", "credentials": true, "headers": "*" }), "headers"),
            (json!({ "origins": "null", "credentials": true, "methods": ["*"] }), "methods"),
            (json!({ "origins": "null", "credentials": true, "expose": "*" }), "expose"),
            (json!({ "origins": "null", "methods": ["PU T"] }), "methods.0"),
            (json!({ "origins": "null", "headers": ["a", "*"] }), "headers.1"),
            (json!({ "origins": "null", "expose": ["a\nb"] }), "expose.0"),
        ] {
            let told = testing::problems::<Cors>(written);
            assert_eq!(told.iter().map(|problem| problem.key.join(".")).collect::<Vec<_>>(), [key]);
        }
        assert!(testing::problems::<Cors>(json!({}))[0].what.contains("needs the key `origins`"));
    }

    #[actix_rt::test]
    async fn an_answer_is_for_the_origin_that_asked_and_what_an_endpoint_says_of_it_is_not() {
        let Step::Plain(filter) =
            testing::built::<Cors>(json!({ "origins": ["https://shop.example"], "expose": ["x-total"] }))
        else {
            panic!("it never waits")
        };
        for (asked, expected) in [
            (&[("origin", "https://shop.example")][..], Some("https://shop.example")),
            (&[("origin", "HTTPS://shop.example:443")], Some("HTTPS://shop.example:443")),
            (&[("origin", "https://evil.example")], None),
            (&[("origin", "https://shop.example"), ("origin", "https://evil.example")], None),
            (&[("origin", "https://shop.example\u{e9}")], None),
            (&[], None),
        ] {
            let exchange = testing::request("GET /", asked);
            let mut response = Response::new(StatusCode::OK);
            for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
                response.headers.append(HeaderName::from_static(name), HeaderValue::from_static("true"));
            }

            filter.on_response(&exchange, &mut response);

            let value = |name: &str| response.headers.get(name).map(|value| value.to_str().expect("text"));
            assert_eq!(value("access-control-allow-origin"), expected, "{asked:?}");
            assert_eq!(value("access-control-expose-headers"), expected.map(|_| "x-total"));
            assert_eq!((value("vary"), value("access-control-allow-credentials")), (Some("Origin"), None));
        }
    }
}
