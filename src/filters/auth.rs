//! Several ways to prove who one is, of which one will do, or all are needed.
//!
//! ```toml
//! "/api" = { to = "api", auth = { any = [{ jwt = { .. } }, { api_key = { .. } }] } }
//! ```

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;

use super::{
    JsonSchema, Kind, Schema, Site, Step,
    api_key::{ApiKey, ApiKeySettings},
    authenticator::{Authenticator, Need, Proofs},
    basic_auth::{BasicAuth, BasicAuthSettings},
    client_cert::{ClientCert, ClientCertSettings},
    forward_auth::{ForwardAuth, ForwardAuthSettings},
    jwt::{Jwt, JwtSettings},
    schemars,
};
use crate::{
    language::Condition,
    settings::{Problem, Problems},
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", auth = { any = [
    { api_key = { keys = "settings/recipes/shop.keys" } },
    { basic_auth = { users = "settings/recipes/users.htpasswd" } },
] } }
```

With `any` the first proof that is there lets in, in the order in which they are written. What is there and bad is refused and not made good
by another: a forged token stays forged next to a good key. What is for another scheme (`Authorization: Basic` where a `jwt` is looked
for) is as if it was not there, and so is a certificate of somebody else. With `all` each of them must be there; the client is everything
that was proved.

Who presents nothing is answered 401 with the challenges of all of them; where none has one (certificates alone), 403.
"#;

/// Lets in who can prove to be somebody in one of several ways, or in all.
pub struct Auth;

/// What is written under `auth`: one of the two.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// One of these is enough.
    #[serde(default)]
    pub any: Option<Vec<Way>>,
    /// All of these are needed.
    #[serde(default)]
    pub all: Option<Vec<Way>>,
    /// What must be so of who is known, whichever way; else 403.
    #[serde(default)]
    pub require: Option<String>,
}

/// A way to prove who one is, by its name: `{ jwt = { .. } }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "table")]
pub enum Way {
    /// Name and password.
    BasicAuth(BasicAuthSettings),
    /// A key.
    ApiKey(ApiKeySettings),
    /// A token.
    Jwt(Box<JwtSettings>),
    /// A certificate.
    ClientCert(ClientCertSettings),
    /// What a service of yours says.
    ForwardAuth(ForwardAuthSettings),
}

impl Kind for Auth {
    const NAME: &'static str = "auth";
    const SUMMARY: &'static str = "lets in who can prove to be somebody in one of several ways, or in all of them";
    const ABOUT: &'static str = ABOUT;
    type Settings = AuthSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(AuthSettings))
    }

    fn build(settings: AuthSettings, site: &Site<'_>) -> Result<Step, Problems> {
        let requirement = settings.require.as_deref().map(Condition::parse).transpose();
        let (key, need, written) = match settings {
            AuthSettings { any: Some(ways), all: None, .. } => ("any", Need::Any, ways),
            AuthSettings { any: None, all: Some(ways), .. } => ("all", Need::All, ways),
            AuthSettings { .. } => {
                let problem = Problem::at(Vec::<String>::new(), "needs either `any` or `all`");
                return Err(problem.help("any = [{ api_key = { .. } }, { basic_auth = { .. } }]").into());
            }
        };
        if written.is_empty() {
            return Err(Problem::at([key], "nobody could prove anything").help("{ api_key = { .. } }").into());
        }
        let (mut ways, mut problems) = (Vec::new(), Problems::default());
        for (index, way) in written.iter().enumerate() {
            if need == Need::Any && index + 1 < written.len() && matches!(way, Way::ForwardAuth(_)) {
                let what = "has an answer for everybody: nobody behind it would be asked";
                problems.push(Problem::at([key, &index.to_string()], what).help("make it the last one"));
            }
            match way.build(site) {
                Ok(way) => ways.push(way),
                Err(Problems(wrong)) => {
                    let at = [key, &index.to_string(), way.name()].map(String::from);
                    problems.0.extend(wrong.into_iter().map(|problem| problem.inside(&at)));
                }
            }
        }
        match requirement {
            Ok(requirement) => {
                problems.none_or(Step::Gate(Arc::new(Proofs { by: Self::NAME, ways, need, requirement })))
            }
            Err(fault) => {
                problems.push(fault.problem(["require"]));
                Err(problems)
            }
        }
    }

    fn files(settings: &AuthSettings) -> Vec<PathBuf> {
        settings.any.iter().chain(&settings.all).flatten().flat_map(Way::files).collect()
    }
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::BasicAuth(_) => BasicAuth::NAME,
            Self::ApiKey(_) => ApiKey::NAME,
            Self::Jwt(_) => Jwt::NAME,
            Self::ClientCert(_) => ClientCert::NAME,
            Self::ForwardAuth(_) => ForwardAuth::NAME,
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::BasicAuth(settings) => BasicAuth::files(settings),
            Self::ApiKey(settings) => ApiKey::files(settings),
            Self::Jwt(settings) => Jwt::files(settings),
            Self::ClientCert(settings) => ClientCert::files(settings),
            Self::ForwardAuth(settings) => ForwardAuth::files(settings),
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Authenticator>, Problems> {
        Ok(match self {
            Self::BasicAuth(settings) => Box::new(BasicAuth::new(settings, site)?),
            Self::ApiKey(settings) => Box::new(ApiKey::new(settings)?),
            Self::Jwt(settings) => Box::new(Jwt::new(settings, site)?),
            Self::ClientCert(settings) => Box::new(ClientCert::new(settings)?),
            Self::ForwardAuth(settings) => Box::new(ForwardAuth::new(settings, site)?),
        })
    }
}
