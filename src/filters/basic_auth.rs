//! Basic authentication (RFC 7617): who knows a name and a password of a file.
//!
//! ```toml
//! "/internal" = { to = "app", basic_auth = { users = "users.htpasswd", realm = "internal" } }
//! ```

mod guesses;
mod hash;
mod htpasswd;
mod queue;
mod verifier;

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use indexmap::IndexMap;
use serde::Deserialize;

use self::{
    guesses::{Guesser, Guesses},
    htpasswd::{LONGEST, Users},
    verifier::{Credentials, Verifier},
};
use super::{
    JsonSchema, Kind, Schema, Site, Step,
    authenticator::{self, Authenticator, Examination, Finding, Proofs, Terms},
    schemars,
};
use crate::{
    exchange::Exchange,
    http::{HeaderValue, header},
    settings::{OrOff, Problem, Problems, Rate},
};

const ABOUT: &str = r#"
```toml
[routes]
"/internal" = { to = "http://127.0.0.1:8000", basic_auth = { users = "settings/recipes/users.htpasswd", realm = "internal" } }
```

The file is Apache's: `NAME:HASH` on each line, `htpasswd -B FILE NAME` writes it. Hashes are bcrypt (`$2y$`, `$2b$`, `$2a$`), argon2
(`$argon2id$` and its kin) or sha-crypt (`$5$`, `$6$`); what can be found out within hours (`{SHA}`, `$apr1$`, DES crypt, a password
as it is) is refused when settings are read, by file and line. The file is read again when it changes.

Passwords are verified away from the workers, as many at once as there are cores; up to 256 requests wait for their turn, and who comes
then is answered 503. What was right is remembered, as a keyed hash, until the file changes. An unknown name takes as long as a known one.

**Who guesses has to wait**: after `failures` wrong passwords of one address, of IPv6 of one network of 64 bits, none of it is hashed until it may be
wrong once more; meanwhile it is answered 429 with `Retry-After`, whether the password is right or not. Who was right before stays in. As many more
as there are cores may be under way when the last one is used up. The address is the client's own: that of the connection, or what a proxy tells that is
one of `trusted_proxies`; all at unix sockets are one. What is counted takes half a megabyte and goes on over a reload. How often one *name* is
guessed from many addresses is not limited, or anybody could lock out everybody.

`Authorization` is for this proxy and does not go on unless `pass_on` says so (nginx and Caddy pass it on: say so where the endpoint
reads it itself). The name can go on in a field: `forward = { x-user = "sub" }`; what a client itself sends there never does.

Events: `verified`, `wrong` (of passwords that were hashed), `held_off` (of those that were not, because of too many before).
"#;

/// RFC 7617 asks for padding; not all clients write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Lets in who knows a name and its password.
pub struct BasicAuth {
    verifier: Arc<Verifier>,
    passes_on: bool,
}

/// What is written under `basic_auth`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuthSettings {
    /// The file of names and hashes, as `htpasswd -B` writes it.
    pub users: PathBuf,
    /// What browsers call the place when they ask for a password.
    #[serde(default = "authenticator::realm")]
    pub realm: String,
    /// So many wrong passwords may come from one address in so much time, as a rate; `false` is any number.
    #[serde(default = "ten_a_minute")]
    pub failures: OrOff<Rate>,
    /// The endpoint gets `Authorization`, too.
    #[serde(default)]
    pub pass_on: bool,
    /// Fields that tell the endpoint who it is: `{ x-user = "sub" }`.
    #[serde(default)]
    pub forward: IndexMap<String, String>,
    /// What must be so of who is known, such as `claim('sub') in ['alice', 'bob']`; else 403.
    #[serde(default)]
    pub require: Option<String>,
}

fn ten_a_minute() -> OrOff<Rate> {
    OrOff(Rate::new(NonZeroU32::MIN.saturating_add(9), Duration::from_secs(60)))
}

impl Kind for BasicAuth {
    const NAME: &'static str = "basic_auth";
    const SUMMARY: &'static str = "lets in who knows a name and its password (RFC 7617)";
    const ABOUT: &'static str = ABOUT;
    type Settings = BasicAuthSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(BasicAuthSettings))
    }

    fn build(settings: BasicAuthSettings, site: &Site<'_>) -> Result<Step, Problems> {
        Ok(Step::Gate(Arc::new(Proofs::one(Self::NAME, Self::new(&settings, site)?))))
    }

    fn files(settings: &BasicAuthSettings) -> Vec<PathBuf> {
        vec![settings.users.clone()]
    }
}

impl BasicAuth {
    /// The authenticator alone.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &BasicAuthSettings, site: &Site<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let terms = Terms::read(&settings.forward, settings.require.as_deref(), &mut problems);
        let challenge = authenticator::challenge("Basic", &settings.realm, ", charset=\"UTF-8\"");
        let challenge = challenge.map_err(|Problems(wrong)| problems.0.extend(wrong));
        let users = Users::read(&settings.users).map_err(|Problems(wrong)| problems.0.extend(wrong));
        let (Ok(challenge), Ok(users), true) = (challenge, users, problems.is_empty()) else { return Err(problems) };
        let guesses = settings.failures.as_ref().map(|most| Guesses::new(*most, site));
        let events = [site.event("verified"), site.event("wrong")];
        let verifier = Verifier::new(users, terms, challenge, guesses, events)
            .ok_or_else(|| Problem::at(["users"], "this machine has no randomness to protect passwords with"))?;
        Ok(Self { verifier: Arc::new(verifier), passes_on: settings.pass_on })
    }
}

impl Authenticator for BasicAuth {
    fn examine(&self, exchange: &Exchange) -> Examination {
        let presented = match authenticator::authorization(&exchange.headers, "basic", Self::NAME) {
            Ok(None) => return Examination::Done(Finding::Nothing),
            Ok(Some(presented)) => presented,
            Err(refused) => return Examination::Done(Finding::Bad(refused.into())),
        };
        let Some(credentials) = read(presented) else {
            return Examination::Done(Finding::Bad(verifier::wrong(self.verifier.challenge())));
        };
        if let Some(proof) = self.verifier.known(&credentials) {
            return Examination::Done(Finding::Proved(proof));
        }
        let guesser = self.verifier.guesser(exchange);
        match guesser.as_ref().and_then(Guesser::has_to_wait) {
            Some(wait) => Examination::Done(Finding::Bad(verifier::too_often(wait))),
            None => Examination::Pending(Box::pin(Arc::clone(&self.verifier).verify(credentials, guesser))),
        }
    }

    fn conceal(&self, exchange: &mut Exchange) {
        let is_ours = authenticator::authorization(&exchange.headers, "basic", Self::NAME);
        if !self.passes_on && matches!(is_ours, Ok(Some(_))) {
            exchange.headers.remove(header::AUTHORIZATION);
        }
    }

    fn challenge(&self) -> Option<&HeaderValue> {
        Some(self.verifier.challenge())
    }

    fn terms(&self) -> &Terms {
        self.verifier.terms()
    }
}

/// Name and password (RFC 7617, 2): no control characters, and the name has no colon.
fn read(presented: &[u8]) -> Option<Credentials> {
    if presented.len() > 4 * LONGEST {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(presented).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    let is_fit = name.len() <= LONGEST && password.len() <= LONGEST && !text.contains(char::is_control);
    is_fit.then(|| Credentials { name: name.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_none_are_not_read() {
        for (presented, expected) in [
            ("YWxpY2U6aHVudGVyMg==", Some(("alice", "hunter2"))),
            ("YWxpY2U6aHVudGVyMg", Some(("alice", "hunter2"))),
            ("YWxpY2U6YTpi", Some(("alice", "a:b"))),
            ("Og==", Some(("", ""))),
            ("YWxpY2U=", None),
            ("YWxpY2U6aHVudGVyMg== x", None),
            ("YWxpY2U6AA==", None),
            ("YWxpY2U6/w==", None),
            ("", None),
        ] {
            let read = read(presented.as_bytes());
            let read = read.as_ref().map(|Credentials { name, password }| (name.as_str(), password.as_slice()));
            assert_eq!(read, expected.map(|(name, password)| (name, password.as_bytes())), "{presented}");
        }
        assert!(read(BASE64.encode("a:".to_owned() + &"x".repeat(LONGEST + 1)).as_bytes()).is_none());
    }
}
