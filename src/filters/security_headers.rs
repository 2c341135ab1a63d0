//! Fields that tell browsers to be careful, and none that tell attackers what to try.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Filter, JsonSchema, Kind, Schema, Site, Step, schemars};
use crate::{
    exchange::Exchange,
    http::{HeaderName, HeaderValue, NameSieve, Response, header, headers},
    settings::{OrOff, Problem, Problems, Time},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[defaults]
security_headers = true

[routes]
"/" = "http://127.0.0.1:8000"
# Another site may show this one in a frame, and has its pictures.
"/widget" = { to = "http://127.0.0.1:8000", security_headers = { frame = false, corp = "cross-origin", csp = "default-src 'self'" } }
# What was tried out may be made to last.
"/shop" = { to = "http://127.0.0.1:8000", security_headers = { hsts = { max_age = "730d", subdomains = true, preload = true } } }
```

They stand on every answer of the route, errors of the proxy's own among them. With nothing said but `true` the Mozilla HTTP Observatory gives
A+ for them (a test counts the points), if plain HTTP is not served or sends to https (`redirect_http`): otherwise that costs 20.

What an endpoint says of itself stays, because it knows its pages: `overrule = true` puts these in its place. Two do not stay:
`X-Content-Type-Options` has one value only, and `Strict-Transport-Security` is for who speaks TLS with the client; it is never sent, nor
let through, in the clear.

The policy that is sent where `csp` says nothing lets a page load from its own origin and nowhere else, and run no inline script. Try it with
`csp = false` and a `Content-Security-Policy-Report-Only` of `header_rules` where pages are not known to bear it. Nonces are for who makes the page.

Events: `hidden`, of an answer that told of the endpoint's software.
"#;

/// Sets what is not there yet, sets some in any case, removes others.
pub struct SecurityHeaders {
    hsts: Option<HeaderValue>,
    nosniff: bool,
    overrule: bool,
    set: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
    /// Of the names that it has something to say about.
    names: NameSieve,
    /// What it says where the endpoint has said nothing: in the clear, and where the client came by https.
    all: [Box<[(HeaderName, HeaderValue)]>; 2],
    hidden: Event,
}

/// What is written under `security_headers`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHeadersSettings {
    /// `Strict-Transport-Security`: browsers that were here once come back by https only. Where the client came by https.
    pub hsts: OrOff<Hsts>,
    /// `Content-Security-Policy`; without it one for pages that load from their own origin, with `false` none.
    pub csp: Option<OrOff<String>>,
    /// `X-Frame-Options`, and `frame-ancestors` of the policy that is sent where `csp` says nothing: who may show the page in a frame.
    pub frame: OrOff<Frame>,
    /// `Referrer-Policy`: what other sites are told of where a visitor comes from.
    pub referrer: OrOff<Referrer>,
    /// `Permissions-Policy`: what pages may ask of a browser.
    pub permissions: OrOff<String>,
    /// `Cross-Origin-Opener-Policy`.
    pub coop: OrOff<Coop>,
    /// `Cross-Origin-Resource-Policy`: who may load this as a part of his page.
    pub corp: OrOff<Corp>,
    /// `X-Content-Type-Options: nosniff`.
    pub nosniff: bool,
    /// What endpoints say about these is replaced.
    pub overrule: bool,
    /// Fields that no client needs.
    pub remove: Vec<String>,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hsts {
    /// For so long.
    pub max_age: Time,
    /// Hosts below this one, too.
    pub subdomains: bool,
    /// Browsers may know of it before they were here: it cannot be taken back within months.
    pub preload: bool,
}

/// Who may show a page in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// Nobody.
    #[default]
    Deny,
    /// Pages of the same origin.
    SameOrigin,
}

/// Values of `Referrer-Policy` that tell others no more than the origin, and nothing in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Referrer {
    /// Nobody is told.
    NoReferrer,
    /// The same origin is told.
    SameOrigin,
    /// All are told the origin.
    StrictOrigin,
    /// The same origin is told the whole address, others the origin.
    #[default]
    StrictOriginWhenCrossOrigin,
}

/// Values of `Cross-Origin-Opener-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coop {
    /// Windows of other origins have no hold on this one.
    #[default]
    SameOrigin,
    /// But for those that it opens itself.
    SameOriginAllowPopups,
    /// As without it.
    UnsafeNone,
}

/// Values of `Cross-Origin-Resource-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Corp {
    /// Pages of the same origin.
    #[default]
    SameOrigin,
    /// Pages of the same site.
    SameSite,
    /// Everybody.
    CrossOrigin,
}

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a page is seldom given on purpose.
const NO_PERMISSIONS: &str =
    "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()";

/// What tells which holes to try.
const FINGERPRINTS: [&str; 6] =
    ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator", "x-runtime"];

impl Default for SecurityHeadersSettings {
    fn default() -> Self {
        Self {
            hsts: OrOff::default(),
            csp: None,
            frame: OrOff::default(),
            referrer: OrOff::default(),
            permissions: NO_PERMISSIONS.to_owned().into(),
            coop: OrOff::default(),
            corp: OrOff::default(),
            nosniff: true,
            overrule: false,
            remove: FINGERPRINTS.map(String::from).to_vec(),
        }
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: Time::secs(365 * 86_400), subdomains: false, preload: false }
    }
}

impl Frame {
    fn field(self) -> &'static str {
        match self {
            Self::Deny => "DENY",
            Self::SameOrigin => "SAMEORIGIN",
        }
    }

    fn ancestors(self) -> &'static str {
        match self {
            Self::Deny => "; frame-ancestors 'none'",
            Self::SameOrigin => "; frame-ancestors 'self'",
        }
    }
}

impl Referrer {
    fn field(self) -> &'static str {
        match self {
            Self::NoReferrer => "no-referrer",
            Self::SameOrigin => "same-origin",
            Self::StrictOrigin => "strict-origin",
            Self::StrictOriginWhenCrossOrigin => "strict-origin-when-cross-origin",
        }
    }
}

impl Coop {
    fn field(self) -> &'static str {
        match self {
            Self::SameOrigin => "same-origin",
            Self::SameOriginAllowPopups => "same-origin-allow-popups",
            Self::UnsafeNone => "unsafe-none",
        }
    }
}

impl Corp {
    fn field(self) -> &'static str {
        match self {
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossOrigin => "cross-origin",
        }
    }
}

impl Kind for SecurityHeaders {
    const NAME: &'static str = "security_headers";
    const SUMMARY: &'static str = "tells browsers to be careful, and nobody what the endpoint runs on";
    const ABOUT: &'static str = ABOUT;
    type Settings = SecurityHeadersSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(SecurityHeadersSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let hsts = settings.hsts.as_ref().and_then(|hsts| hsts.value(&mut problems));
        let set = set(&settings, &mut problems);
        let remove = removed(&settings.remove, &mut problems);
        let (nosniff, overrule) = (settings.nosniff, settings.overrule);
        let names = names(&set, &remove);
        let all = [false, true].map(|secure| all(hsts.as_ref().filter(|_| secure), nosniff, &set));
        problems.none_or(Step::Plain(Arc::new(Self {
            hsts,
            nosniff,
            overrule,
            set,
            remove,
            names,
            all,
            hidden: site.event("hidden"),
        })))
    }
}

impl Filter for SecurityHeaders {
    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let (fields, secure) = (&mut response.headers, exchange.client.secure);
        let is_switched = response.takeover.is_some();
        let (mut hides, mut said) = (false, 0_u8);
        // All that is to be known of the endpoint's fields in one look at each.
        fields.retain(|name, value| {
            if !self.names.may_have(name) {
                return true;
            }
            if self.remove.contains(name) {
                hides = true;
                return false;
            }
            if *name == header::STRICT_TRANSPORT_SECURITY {
                // RFC 6797, 7.2: never in the clear.
                return secure && self.hsts.is_none();
            }
            if is_switched {
                return true;
            }
            if self.nosniff && *name == header::X_CONTENT_TYPE_OPTIONS {
                return false;
            }
            let Some(place) = self.set.iter().position(|(known, _)| known == name) else { return true };
            let stays = !self.overrule && !value.as_bytes().trim_ascii().is_empty();
            said |= u8::from(stays) << place;
            stays
        });
        if hides {
            self.hidden.happened();
        }
        if said == 0 && !is_switched {
            return fields.append_all(&self.all[usize::from(secure)]);
        }
        if let (Some(hsts), true) = (&self.hsts, secure) {
            fields.append(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if is_switched {
            return;
        }
        if self.nosniff {
            fields.append(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
        for (place, (name, value)) in self.set.iter().enumerate() {
            if said & 1 << place == 0 {
                fields.append(name.clone(), value.clone());
            }
        }
    }
}

fn names(set: &[(HeaderName, HeaderValue)], remove: &[HeaderName]) -> NameSieve {
    let own = [header::STRICT_TRANSPORT_SECURITY, header::X_CONTENT_TYPE_OPTIONS];
    NameSieve::of(set.iter().map(|(name, _)| name).chain(remove).chain(&own))
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

fn all(
    hsts: Option<&HeaderValue>,
    nosniff: bool,
    set: &[(HeaderName, HeaderValue)],
) -> Box<[(HeaderName, HeaderValue)]> {
    let hsts = hsts.map(|hsts| (header::STRICT_TRANSPORT_SECURITY, hsts.clone()));
    let nosniff = nosniff.then_some((header::X_CONTENT_TYPE_OPTIONS, NOSNIFF));
    hsts.into_iter().chain(nosniff).chain(set.iter().cloned()).collect()
}

impl Hsts {
    fn value(&self, problems: &mut Problems) -> Option<HeaderValue> {
        let Some(max_age) = self.max_age.0 else {
            problems.push(Problem::at(["hsts", "max_age"], "it must end some time").help("hsts = false is none"));
            return None;
        };
        if self.preload && (!self.subdomains || max_age.as_secs() < PRELOADED) {
            let what = "lists of browsers take only who says it for subdomains and a year";
            problems.push(Problem::at(["hsts", "preload"], what).help("subdomains = true, max_age = \"365d\" or more"));
        }
        let mut value = format!("max-age={}", max_age.as_secs());
        if self.subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        HeaderValue::try_from(value).ok()
    }
}

/// A year.
const PRELOADED: u64 = 31_536_000;

fn set(settings: &SecurityHeadersSettings, problems: &mut Problems) -> Vec<(HeaderName, HeaderValue)> {
    let mut set = Vec::new();
    let mut text = |key: &str, name: HeaderName, text: &str| match HeaderValue::from_str(text) {
        Ok(value) if !text.trim().is_empty() => set.push((name, value)),
        _ => problems.push(
            Problem::at([key], format!("the value for `{name}` is not a header field value"))
                .help(format!("visible characters, without line breaks; {key} = false is none")),
        ),
    };
    let frame = settings.frame.as_ref().copied();
    let own = own_policy(frame);
    let csp = settings.csp.as_ref().map_or(Some(&own), OrOff::as_ref);
    if let Some(csp) = csp {
        text("csp", header::CONTENT_SECURITY_POLICY, csp);
    }
    if let Some(permissions) = settings.permissions.as_ref() {
        text("permissions", PERMISSIONS, permissions);
    }
    let words = [
        (header::X_FRAME_OPTIONS, frame.map(Frame::field)),
        (header::REFERRER_POLICY, settings.referrer.as_ref().map(|referrer| referrer.field())),
        (COOP, settings.coop.as_ref().map(|coop| coop.field())),
        (CORP, settings.corp.as_ref().map(|corp| corp.field())),
    ];
    set.extend(words.into_iter().filter_map(|(name, word)| Some((name, HeaderValue::from_static(word?)))));
    set
}

/// A policy for pages of which nothing is known: no origin but their own, no inline script. Inline styles are let through: most
/// pages have some, the proxy's own errors among them.
fn own_policy(frame: Option<Frame>) -> String {
    let ancestors = frame.map_or("", Frame::ancestors);
    format!(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; \
         form-action 'self'{ancestors}"
    )
}

fn removed(names: &[String], problems: &mut Problems) -> Vec<HeaderName> {
    let mut removed = Vec::new();
    for (index, text) in names.iter().enumerate() {
        match HeaderName::try_from(text.as_str()) {
            Ok(name) if !headers::is_hop_by_hop(&name) && name != header::CONTENT_LENGTH => removed.push(name),
            _ => {
                let what = format!("`{}` is not a field that can be removed", text.escape_debug());
                problems.push(Problem::at(["remove", &index.to_string()], what).help("such as \"x-powered-by\""));
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        filters::testing,
        http::{HeaderMap, StatusCode},
    };

    /// The fields of an answer that came with these.
    fn sent(written: Value, secure: bool, came: &[(&'static str, &'static str)]) -> HeaderMap {
        let Step::Plain(filter) = testing::built::<SecurityHeaders>(written) else { panic!("it never waits") };
        let mut exchange = testing::request("GET /", &[]);
        exchange.client.secure = secure;
        let mut response = Response::new(StatusCode::OK);
        for (name, value) in came {
            response.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        filter.on_response(&exchange, &mut response);
        response.headers
    }

    fn values<'h>(fields: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        fields.get_all(name).map(|value| value.to_str().expect("text")).collect()
    }

    #[test]
    fn only_who_came_by_https_is_told_to_come_back_by_it() {
        let hsts = "strict-transport-security";
        let endpoints_own = [(hsts, "max-age=0")];

        assert_eq!(values(&sent(json!({}), true, &endpoints_own), hsts), ["max-age=31536000"]);
        assert!(!sent(json!({}), false, &endpoints_own).contains_key(hsts));
        assert_eq!(values(&sent(json!({ "hsts": false }), true, &endpoints_own), hsts), ["max-age=0"]);
        assert!(!sent(json!({ "hsts": false }), false, &endpoints_own).contains_key(hsts));
        let preloaded = json!({ "hsts": { "max_age": "730d", "subdomains": true, "preload": true } });
        assert_eq!(values(&sent(preloaded, true, &[]), hsts), ["max-age=63072000; includeSubDomains; preload"]);
    }

    #[test]
    fn what_an_endpoint_says_of_its_pages_stays_unless_it_is_overruled() {
        let (csp, frame) = ("content-security-policy", "x-frame-options");
        let came = [(csp, "default-src https:"), (csp, "object-src 'none'"), (frame, "")];

        let kept = sent(json!({}), false, &came);
        let overruled = sent(json!({ "csp": "default-src 'none'", "overrule": true }), false, &came);

        assert_eq!(values(&kept, csp), ["default-src https:", "object-src 'none'"]);
        assert_eq!(values(&kept, frame), ["DENY"], "an empty one says nothing");
        assert_eq!(values(&overruled, csp), ["default-src 'none'"]);
    }

    #[test]
    fn what_most_endpoints_say_is_not_looked_at_any_further() {
        let (settings, mut problems) = (SecurityHeadersSettings::default(), Problems::default());
        let (set, remove) = (set(&settings, &mut problems), removed(&settings.remove, &mut problems));
        let names = names(&set, &remove);
        let usual = [
            "date",
            "content-type",
            "content-length",
            "etag",
            "last-modified",
            "cache-control",
            "vary",
            "set-cookie",
            "content-encoding",
            "accept-ranges",
            "expires",
            "age",
            "location",
            "link",
            "via",
            "x-request-id",
        ];

        for name in usual {
            assert!(!names.may_have(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn what_can_be_turned_off_is() {
        let off = json!({ "hsts": false, "csp": false, "frame": false, "referrer": false, "permissions": false,
            "coop": false, "corp": false, "nosniff": false, "remove": [] });

        let fields = sent(off, true, &[("server", "a"), ("x-content-type-options", "")]);

        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn who_may_frame_it_is_said_alike_in_both_places() {
        for (frame, field, policy) in [
            (json!("deny"), &["DENY"][..], "frame-ancestors 'none'"),
            (json!("same_origin"), &["SAMEORIGIN"], "frame-ancestors 'self'"),
            (json!(false), &[], "form-action 'self'"),
        ] {
            let fields = sent(json!({ "frame": frame }), false, &[]);

            assert_eq!(values(&fields, "x-frame-options"), field);
            assert!(values(&fields, "content-security-policy")[0].ends_with(policy));
        }
    }

    #[test]
    fn nobody_is_told_what_the_endpoint_runs_on() {
        let came =
            [("server", "nginx/1.18"), ("x-powered-by", "PHP/5"), ("x-powered-by", "b"), ("x-aspnet-version", "4")];

        let fields = sent(json!({}), false, &came);

        for (name, _) in came {
            assert!(!fields.contains_key(name), "{name}");
        }
        assert!(sent(json!({ "remove": ["X-Inside"] }), false, &came).contains_key("server"));
    }

    #[test]
    fn what_cannot_be_said_is_a_problem() {
        for (written, key) in [
            (json!({ "hsts": { "max_age": "off" } }), "hsts.max_age"),
            (json!({ "hsts": { "preload": true } }), "hsts.preload"),
            (json!({ "hsts": { "preload": true, "subdomains": true, "max_age": "30d" } }), "hsts.preload"),
            (json!({ "csp": "default-src 'self'\nx: y" }), "csp"),
            (json!({ "csp": " " }), "csp"),
            (json!({ "permissions": "\u{7f}" }), "permissions"),
            (json!({ "remove": ["server", "a b"] }), "remove.1"),
            (json!({ "remove": ["Content-Length"] }), "remove.0"),
            (json!({ "remove": ["connection"] }), "remove.0"),
            (json!({ "frame": "allow" }), "frame"),
            (json!({ "referrer": "unsafe-url" }), "referrer"),
        ] {
            let told = testing::problems::<SecurityHeaders>(written);
            assert_eq!(told.iter().map(|problem| problem.key.join(".")).collect::<Vec<_>>(), [key]);
        }
    }
}
