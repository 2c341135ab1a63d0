//! Who the client has proved to be.

use std::{ops::Deref, sync::Arc};

use serde_json::{Map, Value};
use smallvec::SmallVec;

/// What one proof says of the client. A filter that has verified it adds it to [`super::Exchange::identities`]; what a client only
/// says of itself is never one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// How it was proved: `basic`, `api_key`, `jwt`, `forward_auth`, `client_certificate`.
    pub scheme: &'static str,
    /// Whom it names.
    pub subject: Option<String>,
    /// What else it says.
    pub claims: Map<String, Value>,
}

/// All that is proved of a client. They are shared: one that was proved before is not copied.
#[derive(Debug, Clone, Default)]
pub struct Identities(SmallVec<[Arc<Identity>; 1]>);

impl Identities {
    /// Adds one.
    pub fn push(&mut self, identity: impl Into<Arc<Identity>>) {
        self.0.push(identity.into());
    }
}

impl Deref for Identities {
    type Target = [Arc<Identity>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<Vec<Identity>> for Identities {
    fn from(identities: Vec<Identity>) -> Self {
        Self(identities.into_iter().map(Arc::new).collect())
    }
}

impl Identity {
    /// What it says of this: `sub`, or with dots what lies within: `realm_access.roles`. A name that has dots itself is
    /// found, too. `sub` is the subject where no claim of that name says otherwise; null says nothing.
    pub fn claim(&self, name: &str) -> Option<Claim<'_>> {
        let claim = within(&self.claims, name).map(Claim::Json);
        claim.or_else(|| self.subject.as_deref().filter(|_| name == "sub").map(Claim::Subject))
    }
}

/// One thing an identity says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Claim<'i> {
    /// Whom it names.
    Subject(&'i str),
    /// Anything else.
    Json(&'i Value),
}

impl<'i> Claim<'i> {
    /// The text it is, if it is one.
    pub fn as_str(self) -> Option<&'i str> {
        match self {
            Self::Subject(text) => Some(text),
            Self::Json(value) => value.as_str(),
        }
    }
}

fn within<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let whole = claims.get(name).filter(|value| !value.is_null());
    let mut dots = name.match_indices('.').map(|(dot, _)| (&name[..dot], &name[dot + 1..]));
    whole.or_else(|| dots.find_map(|(outer, inner)| within(claims.get(outer)?.as_object()?, inner)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_name_or_within_others() {
        let Value::Object(claims) = json!({
            "sub": null, "realm": { "roles": ["a"], "x.y": 1 }, "https://a.example/roles": "b", "z": { "": 2 },
        }) else {
            unreachable!("an object")
        };
        let identity = Identity { scheme: "jwt", subject: Some("alice".into()), claims };

        for (name, expected) in [
            ("realm.roles", Some(json!(["a"]))),
            ("realm.x.y", Some(json!(1))),
            ("https://a.example/roles", Some(json!("b"))),
            ("z.", Some(json!(2))),
            ("realm.role", None),
            ("roles", None),
            ("", None),
        ] {
            assert_eq!(identity.claim(name), expected.as_ref().map(Claim::Json), "{name}");
        }
        assert_eq!(identity.claim("sub"), Some(Claim::Subject("alice")));
    }
}
