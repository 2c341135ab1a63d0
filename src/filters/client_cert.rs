//! Client certificates: who has shown one that names him among those who may.
//!
//! ```toml
//! "/ops" = { to = "app", client_cert = { names = ["DNS:*.ops.example"] } }
//! ```

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    JsonSchema, Kind, Schema, Site, Step,
    authenticator::{Authenticator, Examination, Finding, Proofs, Terms},
    schemars,
};
use crate::{
    exchange::{Exchange, Identity},
    http::{ClientCertificate, HeaderValue, Refusal, StatusCode},
    settings::{Problem, Problems},
};

const ABOUT: &str = r#"
```toml
[routes]
"/ops" = { to = "http://127.0.0.1:8000", client_cert = { names = ["DNS:*.ops.example"], issuers = ["CN=Ops CA,O=Example"] } }
```

The listener asks for certificates and verifies them (`tls.NAME.client`); here it is said which of them may pass. What is written under
several keys must all be so, and of each key one value is enough. Nothing at all (`client_cert = true`) is any certificate that the
listener believes. Subjects and issuers are written as RFC 4514 has it, the most specific first, and compared as a whole; a name is `DNS:`,
`IP:`, `URI:` or `email:` and what follows, where `DNS:*.` is one label, as in certificates; fingerprints are of SHA-256.

Only what was verified with the connection counts, never a field of the request. Who has shown none, or that of somebody else, is answered
403: no field could make it good. Within `auth = { any = [..] }` another proof may do.

A request over a connection that began with a certificate is known by `claim('sub')`, the subject, and the claims `issuer`, `serial`,
`names` and `fingerprint`.
"#;

/// Lets in who has shown one of these certificates.
pub struct ClientCert {
    subjects: Vec<String>,
    issuers: Vec<String>,
    fingerprints: Vec<String>,
    names: Vec<String>,
    terms: Terms,
}

/// What is written under `client_cert`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertSettings {
    /// Whom it must name: `"CN=alice,O=Shop"`.
    pub subjects: Vec<String>,
    /// Other names that it must have: `"DNS:*.ops.example"`, `"URI:spiffe://shop/web"`.
    pub names: Vec<String>,
    /// Who must have issued it.
    pub issuers: Vec<String>,
    /// Its SHA-256, in hexadecimal, with or without colons.
    pub fingerprints: Vec<String>,
    /// Fields that tell the endpoint who it is: `{ x-user = "sub" }`.
    pub forward: IndexMap<String, String>,
    /// What must be so of who is known, such as `claim('sub') in ['alice', 'bob']`; else 403.
    pub require: Option<String>,
}

impl Kind for ClientCert {
    const NAME: &'static str = "client_cert";
    const SUMMARY: &'static str = "lets in who has shown one of these certificates";
    const ABOUT: &'static str = ABOUT;
    type Settings = ClientCertSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ClientCertSettings))
    }

    fn build(settings: ClientCertSettings, _: &Site<'_>) -> Result<Step, Problems> {
        Ok(Step::Gate(Arc::new(Proofs::one(Self::NAME, Self::new(&settings)?))))
    }
}

impl ClientCert {
    /// The authenticator alone.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &ClientCertSettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let terms = Terms::read(&settings.forward, settings.require.as_deref(), &mut problems);
        let mut wrong = |key: &str, index: usize, what: &str, help: &str| {
            problems.push(Problem::at([key, &index.to_string()], what).help(help));
        };
        for (index, name) in settings.names.iter().enumerate() {
            let is_name = ["DNS:", "IP:", "URI:", "email:"]
                .iter()
                .any(|kind| name.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
            let stars = name.matches('*').count();
            if !is_name {
                wrong(
                    "names",
                    index,
                    "not a name that a certificate has",
                    "\"DNS:a.example\", \"IP:192.0.2.1\", \"URI:spiffe://a/b\" or \"email:a@b.example\"",
                );
            } else if stars > 1 || (stars == 1 && !name.starts_with("DNS:*.")) {
                wrong("names", index, "a star stands for the first label of a DNS name only", "\"DNS:*.ops.example\"");
            }
        }
        let mut fingerprints = Vec::new();
        for (index, written) in settings.fingerprints.iter().enumerate() {
            let digits = written.replace(':', "").to_ascii_lowercase();
            if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                wrong(
                    "fingerprints",
                    index,
                    "not a SHA-256",
                    "64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` shows them",
                );
            }
            fingerprints.push(digits);
        }
        let ClientCertSettings { subjects, issuers, names, .. } = settings.clone();
        problems.none_or(Self { subjects, issuers, fingerprints, names, terms })
    }

    fn is_meant(&self, shown: &ClientCertificate) -> bool {
        let one_of = |wanted: &[String], shown: &String| wanted.is_empty() || wanted.contains(shown);
        one_of(&self.subjects, &shown.subject)
            && one_of(&self.issuers, &shown.issuer)
            && one_of(&self.fingerprints, &shown.fingerprint)
            && (self.names.is_empty()
                || shown.names.iter().any(|name| self.names.iter().any(|wanted| is_for(wanted, name))))
    }
}

impl Authenticator for ClientCert {
    fn examine(&self, exchange: &Exchange) -> Examination {
        let finding = match exchange.client_certificate() {
            None => Finding::Nothing,
            Some(shown) if self.is_meant(shown) => Finding::Proved(self.terms.proof(identity(shown))),
            Some(_) => {
                let reason = "the certificate is of somebody who may not";
                Finding::Unwelcome(Refusal::new(Self::NAME, StatusCode::FORBIDDEN, reason).into())
            }
        };
        Examination::Done(finding)
    }

    fn conceal(&self, _: &mut Exchange) {}

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn challenge(&self) -> Option<&HeaderValue> {
        None
    }
}

fn identity(shown: &ClientCertificate) -> Identity {
    let text = |text: &String| Value::from(text.as_str());
    let mut claims = Map::new();
    for (name, value) in [("issuer", &shown.issuer), ("serial", &shown.serial), ("fingerprint", &shown.fingerprint)] {
        claims.insert(name.to_owned(), text(value));
    }
    claims.insert("names".to_owned(), shown.names.iter().map(text).collect());
    Identity { scheme: "client_certificate", subject: Some(shown.subject.clone()), claims }
}

/// DNS knows no case; a star is one label and no more.
fn is_for(wanted: &str, shown: &str) -> bool {
    let (Some(wanted_name), Some(name)) = (wanted.strip_prefix("DNS:"), shown.strip_prefix("DNS:")) else {
        return wanted == shown;
    };
    match wanted_name.strip_prefix('*') {
        None => name.eq_ignore_ascii_case(wanted_name),
        Some(parent) => name
            .find('.')
            .is_some_and(|dot| dot > 0 && !name.starts_with('*') && name[dot..].eq_ignore_ascii_case(parent)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filters::testing;

    fn shown() -> ClientCertificate {
        ClientCertificate {
            subject: "CN=alice,O=Shop".into(),
            issuer: "CN=ca".into(),
            serial: "0a".into(),
            names: vec!["DNS:Web.Ops.example".into(), "URI:spiffe://a/b".into()],
            fingerprint: "ab".repeat(32),
        }
    }

    #[test]
    fn all_that_is_said_must_be_so_and_of_each_key_one_value() {
        for (settings, expected) in [
            (json!({}), true),
            (json!({ "subjects": ["CN=bob", "CN=alice,O=Shop"] }), true),
            (json!({ "subjects": ["CN=alice"] }), false),
            (json!({ "subjects": ["cn=alice,o=shop"] }), false),
            (json!({ "subjects": ["CN=alice,O=Shop"], "issuers": ["CN=other"] }), false),
            (json!({ "subjects": ["CN=alice,O=Shop"], "issuers": ["CN=ca"] }), true),
            (json!({ "names": ["DNS:*.ops.example"] }), true),
            (json!({ "names": ["DNS:web.ops.EXAMPLE"] }), true),
            (json!({ "names": ["DNS:*.example"] }), false),
            (json!({ "names": ["DNS:*.web.ops.example"] }), false),
            (json!({ "names": ["URI:spiffe://a/b"] }), true),
            (json!({ "names": ["URI:spiffe://a/B"] }), false),
            (json!({ "fingerprints": [vec!["AB"; 32].join(":")] }), true),
            (json!({ "fingerprints": ["cd".repeat(32)] }), false),
        ] {
            let filter = ClientCert::new(&serde_json::from_value(settings.clone()).expect("settings"));
            let filter = filter.unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(filter.is_meant(&shown()), expected, "{settings}");
        }
    }

    #[test]
    fn what_no_certificate_has_is_told() {
        let told = testing::problems::<ClientCert>(json!({
            "names": ["ops.example", "DNS:", "DNS:a*.example", "DNS:*.*.example", "URI:*"], "fingerprints": ["abc"],
        }));

        let keys: Vec<_> = told.iter().map(|problem| problem.key.join(".")).collect();
        assert_eq!(keys, ["names.0", "names.1", "names.2", "names.3", "names.4", "fingerprints.0"]);
    }
}
