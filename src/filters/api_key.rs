//! API keys: who has one of those whose hashes a file holds.
//!
//! ```toml
//! "/api" = { to = "api", api_key = { keys = "keys.toml", header = "x-api-key" } }
//! ```

mod keys;

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use serde::Deserialize;

use self::keys::Keys;
use super::{
    JsonSchema, Kind, Schema, Site, Step,
    authenticator::{self, Authenticator, Examination, Finding, Proofs, Terms},
    header_rules, schemars,
};
use crate::{
    exchange::Exchange,
    http::{HeaderName, HeaderValue, Refusal, StatusCode, cookies, header, headers, query},
    settings::{Problem, Problems},
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", api_key = { keys = "settings/recipes/shop.keys", header = "x-api-key" } }
```

The file has a table for each key, called by whom it is for; what is written there besides the hash is known of the client as claims:

```text
[billing]
sha256 = "9b2f..."
roles = ["invoices"]
```

`openssl rand -hex 32` makes a key, `printf %s KEY | sha256sum` its hash. A hash of one round will do, for nobody guesses 256 random
bits; for what people make up themselves there is `basic_auth`. Keys are found by their hashes, so that no comparison tells anything by
the time it takes. The file is read again when it changes.

A key stands in one place: in several fields, or in a field and the query, is a refusal (400). It does not go on unless `pass_on` says so.
With `header = "authorization"` it is the token behind `Bearer`. A query is a poor place: it ends up in the logs of those who ask.

Who presents no key, or one that is none, is answered 401.
"#;

/// Longer ones are none.
const LONGEST: usize = 1024;
const SCHEME: &str = "bearer";

/// Lets in who has a key.
pub struct ApiKey {
    places: Vec<Place>,
    keys: Keys,
    terms: Terms,
    challenge: HeaderValue,
    passes_on: bool,
}

/// What is written under `api_key`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeySettings {
    /// The file of hashes.
    pub keys: PathBuf,
    /// The field that holds the key; `x-api-key` where no other place is named either.
    #[serde(default)]
    pub header: Option<String>,
    /// The name in the query.
    #[serde(default)]
    pub query: Option<String>,
    /// The cookie that holds it.
    #[serde(default)]
    pub cookie: Option<String>,
    /// What the place is called in the challenge of a 401.
    #[serde(default = "authenticator::realm")]
    pub realm: String,
    /// The endpoint gets the key, too.
    #[serde(default)]
    pub pass_on: bool,
    /// Fields that tell the endpoint who it is: `{ x-user = "sub", x-roles = "roles" }`.
    #[serde(default)]
    pub forward: IndexMap<String, String>,
    /// What must be so of who is known, such as `claim('sub') in ['alice', 'bob']`; else 403.
    #[serde(default)]
    pub require: Option<String>,
}

/// Where a key can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Header(HeaderName),
    Bearer,
    Query(String),
    Cookie(String),
}

impl Kind for ApiKey {
    const NAME: &'static str = "api_key";
    const SUMMARY: &'static str = "lets in who has a key";
    const ABOUT: &'static str = ABOUT;
    type Settings = ApiKeySettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ApiKeySettings))
    }

    fn build(settings: ApiKeySettings, _: &Site<'_>) -> Result<Step, Problems> {
        Ok(Step::Gate(Arc::new(Proofs::one(Self::NAME, Self::new(&settings)?))))
    }

    fn files(settings: &ApiKeySettings) -> Vec<PathBuf> {
        vec![settings.keys.clone()]
    }
}

impl ApiKey {
    /// The authenticator alone.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &ApiKeySettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let terms = Terms::read(&settings.forward, settings.require.as_deref(), &mut problems);
        let places = places(settings, &mut problems);
        let scheme = if places.contains(&Place::Bearer) { "Bearer" } else { "ApiKey" };
        let challenge = authenticator::challenge(scheme, &settings.realm, "");
        let challenge = challenge.map_err(|Problems(wrong)| problems.0.extend(wrong));
        let keys = Keys::read(&settings.keys, &terms).map_err(|Problems(wrong)| problems.0.extend(wrong));
        match (challenge, keys) {
            (Ok(challenge), Ok(keys)) if problems.is_empty() => {
                Ok(Self { places, keys, terms, challenge, passes_on: settings.pass_on })
            }
            _ => Err(problems),
        }
    }

    /// The only key that the client presents.
    fn presented<'e>(&self, exchange: &'e Exchange) -> Result<Option<Cow<'e, [u8]>>, Refusal> {
        let mut found = None;
        for place in &self.places {
            let mut values: Vec<Cow<'e, [u8]>> = match place {
                Place::Header(name) => exchange.headers.get_all(name).map(|value| value.as_bytes().into()).collect(),
                Place::Bearer => {
                    let token = authenticator::authorization(&exchange.headers, SCHEME, Self::NAME)?;
                    token.map(Cow::from).into_iter().collect()
                }
                Place::Query(name) => query::values(exchange.query(), name).collect(),
                Place::Cookie(name) => {
                    cookies::values(&exchange.headers, name).map(|value| value.to_vec().into()).collect()
                }
            };
            let value = values.pop();
            if !values.is_empty() || (value.is_some() && found.is_some()) {
                return Err(authenticator::twice(Self::NAME));
            }
            found = found.or(value);
        }
        Ok(found)
    }
}

impl Authenticator for ApiKey {
    fn examine(&self, exchange: &Exchange) -> Examination {
        let finding = match self.presented(exchange) {
            Ok(None) => Finding::Nothing,
            Ok(Some(key)) => match self.keys.find(&key).filter(|_| key.len() <= LONGEST) {
                Some(proof) => Finding::Proved(Arc::clone(proof)),
                None => {
                    let refusal = Refusal::new(Self::NAME, StatusCode::UNAUTHORIZED, "no such key");
                    Finding::Bad(refusal.with(header::WWW_AUTHENTICATE, self.challenge.clone()).into())
                }
            },
            Err(refused) => Finding::Bad(refused.into()),
        };
        Examination::Done(finding)
    }

    fn conceal(&self, exchange: &mut Exchange) {
        if self.passes_on {
            return;
        }
        for place in &self.places {
            match place {
                Place::Header(name) => headers::remove_spellings(&mut exchange.headers, std::iter::once(name)),
                Place::Bearer => {
                    if matches!(authenticator::authorization(&exchange.headers, SCHEME, Self::NAME), Ok(Some(_))) {
                        exchange.headers.remove(header::AUTHORIZATION);
                    }
                }
                Place::Query(name) => {
                    if let Some(uri) = query::without(&exchange.uri, name) {
                        exchange.uri = uri;
                    }
                }
                Place::Cookie(name) => cookies::remove(&mut exchange.headers, name),
            }
        }
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn challenge(&self) -> Option<&HeaderValue> {
        Some(&self.challenge)
    }
}

fn places(settings: &ApiKeySettings, problems: &mut Problems) -> Vec<Place> {
    let ApiKeySettings { header, query, cookie, .. } = settings;
    let mut places = Vec::new();
    let header = header.as_deref().or_else(|| (query.is_none() && cookie.is_none()).then_some("x-api-key"));
    match header.map(header_rules::settable) {
        Some(Ok(header::AUTHORIZATION)) => places.push(Place::Bearer),
        Some(Ok(name)) => places.push(Place::Header(name)),
        Some(Err((what, help))) => {
            let what = format!("`{}` {what}", header.unwrap_or_default().escape_debug());
            problems.push(Problem::at(["header"], what).help(help));
        }
        None => {}
    }
    let mut named = |key: &str, name: &Option<String>, place: fn(String) -> Place| {
        let is_token = |name: &str| HeaderName::try_from(name).is_ok();
        match name {
            Some(name) if is_token(name) => places.push(place(name.clone())),
            Some(_) => problems.push(Problem::at([key], "not a name").help("letters, digits, `-` and `_`")),
            None => {}
        }
    };
    named("query", query, Place::Query);
    named("cookie", cookie, Place::Cookie);
    places
}
