//! What those filters have in common that find out who a client is.
//!
//! An [`Authenticator`] looks at what a client presents; [`Proofs`] is the step made of one or several of them. Fields that
//! only a proof may set are taken out of every request before any is set, in all spellings that an endpoint could read as one.

use std::{future::pending, sync::Arc};

use futures_util::future::LocalBoxFuture;
use indexmap::IndexMap;
use serde_json::Value;
use smallvec::SmallVec;

use super::{Admission, Gate, header_rules};
use crate::{
    exchange::{Claim, Exchange, Identity},
    http::{HeaderMap, HeaderName, HeaderValue, Refusal, Response, StatusCode, header, headers},
    language::Condition,
    settings::{Problem, Problems},
};

/// A way for clients to prove who they are.
pub trait Authenticator: Send + Sync {
    /// Looks at what the client presents; changes nothing.
    fn examine(&self, exchange: &Exchange) -> Examination;

    /// Takes what was presented out of a request that goes on, unless it is to be passed on.
    fn conceal(&self, exchange: &mut Exchange);

    /// How a client is told to prove itself, if it can be told (RFC 9110, 11.6.1).
    fn challenge(&self) -> Option<&HeaderValue>;

    /// What holds for who has.
    fn terms(&self) -> &Terms;
}

/// What an [`Authenticator`] says, now or when it has asked somebody.
pub enum Examination {
    /// It knows.
    Done(Finding),
    /// It has to wait.
    Pending(LocalBoxFuture<'static, Finding>),
}

/// What came of what the client has presented.
pub enum Finding {
    /// It has presented nothing.
    Nothing,
    /// It is who it says.
    Proved(Arc<Proof>),
    /// It is turned away, with this.
    Bad(Response),
    /// It is somebody who may not, by something that comes with its connection: this is the answer unless another proof will
    /// do.
    Unwelcome(Response),
}

/// Who the client is, and what the endpoint is told of that.
#[derive(Debug, Default)]
pub struct Proof {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Fields to set.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

/// How many of several proofs are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Each of them.
    All,
    /// One of them, the first that is there. One that is there and bad is not made good by another.
    Any,
    /// None: who presents nothing goes on as nobody.
    Optional,
}

/// The step that lets in who can prove to be somebody.
pub struct Proofs {
    /// As settings name it.
    pub by: &'static str,
    /// The ways to do so, in the order in which they are looked at.
    pub ways: Vec<Box<dyn Authenticator>>,
    /// How many of them are needed.
    pub need: Need,
    /// What must be so of the client in the end.
    pub requirement: Option<Condition>,
}

/// Where a request stands after one of the ways.
enum Verdict {
    /// The next one is asked.
    Open,
    In,
    Out(Response),
}

/// Where the proofs of one request stand.
#[derive(Default)]
struct Standing {
    next: usize,
    /// By which way, and what.
    proofs: SmallVec<[(usize, Arc<Proof>); 1]>,
    unwelcome: Option<Response>,
}

impl Proofs {
    /// Of one way.
    pub fn one(by: &'static str, way: impl Authenticator + 'static) -> Self {
        Self { by, ways: vec![Box::new(way)], need: Need::All, requirement: None }
    }

    /// What one way has found is in.
    fn weigh(&self, finding: Finding, standing: &mut Standing) -> Verdict {
        let way = standing.next;
        standing.next += 1;
        match (finding, self.need) {
            (Finding::Bad(response), _) | (Finding::Unwelcome(response), Need::All | Need::Optional) => {
                return Verdict::Out(response);
            }
            (Finding::Nothing, Need::All) => return Verdict::Out(self.ask()),
            (Finding::Unwelcome(response), Need::Any) => standing.unwelcome = Some(response),
            (Finding::Nothing, Need::Any | Need::Optional) => {}
            (Finding::Proved(proof), need) => {
                standing.proofs.push((way, proof));
                if need == Need::Any {
                    return Verdict::In;
                }
            }
        }
        match self.need {
            _ if standing.next < self.ways.len() => Verdict::Open,
            Need::All | Need::Optional => Verdict::In,
            Need::Any => Verdict::Out(standing.unwelcome.take().unwrap_or_else(|| self.ask())),
        }
    }

    /// 401 asks for a proof, and must say which (RFC 9110, 15.5.2). Where no field could be one it is 403.
    fn ask(&self) -> Response {
        let challenges: Vec<_> = self.ways.iter().filter_map(|way| way.challenge()).collect();
        let status = if challenges.is_empty() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let refusal = Refusal::new(self.by, status, "nothing was presented that says who asks");
        challenges.into_iter().fold(refusal, |refusal, way| refusal.with(header::WWW_AUTHENTICATE, way.clone())).into()
    }

    /// What only a proof may say is taken out of every request, also where nothing is proved.
    fn let_in(&self, exchange: &mut Exchange, standing: &Standing) -> Verdict {
        for way in &self.ways {
            way.conceal(exchange);
            way.terms().conceal(&mut exchange.headers);
        }
        for (_, proof) in &standing.proofs {
            for (name, value) in &proof.fields {
                exchange.headers.append(name.clone(), value.clone());
            }
            exchange.identities.push(Arc::clone(&proof.identity));
        }
        let required = standing.proofs.iter().filter_map(|(way, _)| self.ways[*way].terms().requirement.as_ref());
        if required.chain(&self.requirement).all(|requirement| requirement.holds(exchange)) {
            return Verdict::In;
        }
        let reason = "it is known who asks, and he may not";
        Verdict::Out(Refusal::new(self.by, StatusCode::FORBIDDEN, reason).into())
    }

    /// The same, and who is in then is what he has proved to be.
    fn settle(&self, finding: Finding, standing: &mut Standing, exchange: &mut Exchange) -> Verdict {
        match self.weigh(finding, standing) {
            Verdict::In => self.let_in(exchange, standing),
            other => other,
        }
    }

    async fn wait(
        &self,
        exchange: &mut Exchange,
        mut standing: Standing,
        mut finding: LocalBoxFuture<'static, Finding>,
    ) -> Option<Response> {
        loop {
            let mut found = finding.await;
            finding = loop {
                match self.settle(found, &mut standing, exchange) {
                    Verdict::Open => {}
                    Verdict::In => return None,
                    Verdict::Out(response) => return Some(response),
                }
                match self.ways[standing.next].examine(exchange) {
                    Examination::Done(next) => found = next,
                    Examination::Pending(pending) => break pending,
                }
            };
        }
    }
}

impl Gate for Proofs {
    fn admit<'e>(&'e self, exchange: &'e mut Exchange) -> Admission<'e> {
        let mut standing = Standing::default();
        loop {
            let finding = match self.ways[standing.next].examine(exchange) {
                Examination::Done(finding) => finding,
                // Nobody is asked about a request that is not sent.
                Examination::Pending(_) if exchange.is_rehearsal => return Admission::Undecided(Box::pin(pending())),
                Examination::Pending(finding) => {
                    return Admission::Undecided(Box::pin(self.wait(exchange, standing, finding)));
                }
            };
            match self.settle(finding, &mut standing, exchange) {
                Verdict::Open => {}
                Verdict::In => return Admission::Granted,
                Verdict::Out(response) => return Admission::Denied(response),
            }
        }
    }
}

/// What holds for whoever has proved who he is.
#[derive(Debug, Default)]
pub struct Terms {
    fields: Vec<(HeaderName, String)>,
    requirement: Option<Condition>,
}

impl Terms {
    /// What is written under `forward`, fields that tell the endpoint who the client is (`{ x-user = "sub" }`), and under
    /// `require`, what must be so of him.
    pub fn read(forward: &IndexMap<String, String>, require: Option<&str>, problems: &mut Problems) -> Self {
        let mut fields = Vec::with_capacity(forward.len());
        for (name, claim) in forward {
            match header_rules::settable(name) {
                Ok(name) => fields.push((name, claim.clone())),
                Err((what, help)) => {
                    let what = format!("`{}` {what}", name.escape_debug());
                    problems.push(Problem::at_key(["forward", name], what).help(help));
                }
            }
        }
        let requirement = require.map(Condition::parse).transpose();
        let requirement = requirement.unwrap_or_else(|fault| {
            problems.push(fault.problem(["require"]));
            None
        });
        Self { fields, requirement }
    }

    /// With what is proved of a client.
    pub fn proof(&self, identity: Identity) -> Arc<Proof> {
        let value = |claim: &str| HeaderValue::from_bytes(in_words(identity.claim(claim)?)?.as_bytes()).ok();
        let fields = self.fields.iter().filter_map(|(name, claim)| Some((name.clone(), value(claim)?))).collect();
        Arc::new(Proof { identity: Arc::new(identity), fields })
    }

    /// Takes out what a client says of itself.
    fn conceal(&self, headers: &mut HeaderMap) {
        if !self.fields.is_empty() {
            headers::remove_spellings(headers, self.fields.iter().map(|(name, _)| name));
        }
    }
}

/// A claim as the value of a field: elements of an array with commas between them, but for those that hold one, which would
/// be read as two; what has parts as JSON.
fn in_words(claim: Claim<'_>) -> Option<String> {
    match claim {
        Claim::Subject(text) => Some(text.to_owned()),
        Claim::Json(Value::Null) => None,
        Claim::Json(Value::String(text)) => Some(text.clone()),
        Claim::Json(Value::Array(elements)) => {
            let words = elements.iter().filter_map(|element| match element {
                Value::String(text) => Some(text.clone()),
                Value::Number(_) | Value::Bool(_) => Some(element.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            });
            Some(words.filter(|word| !word.contains(',')).collect::<Vec<_>>().join(","))
        }
        Claim::Json(other) => Some(other.to_string()),
    }
}

/// What `Authorization` holds for this scheme: `Ok(None)` if it is for another one, or not there.
///
/// # Errors
/// There are two of them: an endpoint might believe the one that was not looked at.
pub fn authorization<'h>(headers: &'h HeaderMap, scheme: &str, by: &'static str) -> Result<Option<&'h [u8]>, Refusal> {
    let mut lines = headers.get_all(header::AUTHORIZATION);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(twice(by));
    }
    Ok(credentials(line, scheme))
}

/// Takes out what `Authorization` holds for this scheme.
pub fn remove_authorization(headers: &mut HeaderMap, scheme: &str) {
    headers.retain(|name, value| *name != header::AUTHORIZATION || credentials(value, scheme).is_none());
}

fn credentials<'l>(line: &'l HeaderValue, scheme: &str) -> Option<&'l [u8]> {
    let (named, rest) = line.as_bytes().split_at_checked(scheme.len())?;
    let is_meant = named.eq_ignore_ascii_case(scheme.as_bytes()) && rest.first().is_none_or(|byte| *byte == b' ');
    is_meant.then(|| rest.trim_ascii())
}

/// No to credentials that are there twice.
pub fn twice(by: &'static str) -> Refusal {
    Refusal::new(by, StatusCode::BAD_REQUEST, "credentials in more than one place")
}

/// What a place is called that says no more.
pub fn realm() -> String {
    "restricted".into()
}

/// The challenge of a scheme (RFC 9110, 11.6.1).
///
/// # Errors
/// The realm cannot stand in a field.
pub fn challenge(scheme: &str, realm: &str, more: &str) -> Result<HeaderValue, Problems> {
    let quoted = realm.replace('\\', r"\\").replace('"', "\\\"");
    let is_text = realm.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let value = HeaderValue::try_from(format!("{scheme} realm=\"{quoted}\"{more}")).ok().filter(|_| is_text);
    value.ok_or_else(|| Problem::at(["realm"], "a realm is printable ASCII").help("realm = \"internal\"").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse().expect("a name"), value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn credentials_are_read_for_their_scheme_alone() {
        for (line, expected) in [
            ("Basic abc", Some("abc")),
            ("bAsIc   abc", Some("abc")),
            ("Basic", Some("")),
            ("Basic\tabc", None),
            ("Basical abc", None),
            ("Bearer abc", None),
            ("", None),
        ] {
            let headers = headers(&[("authorization", line)]);
            let found = authorization(&headers, "basic", "x").unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(found, expected.map(str::as_bytes), "{line}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Basic b")]);
        assert!(authorization(&twice, "basic", "x").is_err());
    }

    #[test]
    fn credentials_are_taken_out_for_their_scheme_alone() {
        let mut headers = headers(&[("authorization", "Bearer a"), ("authorization", "Basic b"), ("x-a", "Bearer c")]);

        remove_authorization(&mut headers, "bearer");

        let left: Vec<_> = headers.iter().map(|(_, value)| value.as_bytes()).collect();
        assert_eq!(left, [b"Basic b", &b"Bearer c"[..]]);
    }

    #[test]
    fn a_claim_can_inject_neither_a_line_nor_an_element() {
        let claims = json!({
            "roles": ["a", "b,admin", 7, null, { "x": 1 }], "line": "a\r\nx-admin: 1", "name": "Zoë",
            "number": 1.5, "deep": { "x": ["y"] }, "none": null,
        });
        let Value::Object(claims) = claims else { unreachable!("an object") };
        let names = ["roles", "line", "name", "number", "deep", "none", "missing", "sub"];
        let written = names.iter().map(|name| (format!("x-{name}"), (*name).to_owned())).collect();
        let mut problems = Problems::default();
        let terms = Terms::read(&written, None, &mut problems);

        let proof = terms.proof(Identity { scheme: "jwt", subject: Some("alice".into()), claims });

        let told: Vec<_> = proof.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(_, &[u8]); 5] = [
            ("x-roles", b"a,7"),
            ("x-name", "Zoë".as_bytes()),
            ("x-number", b"1.5"),
            ("x-deep", br#"{"x":["y"]}"#),
            ("x-sub", b"alice"),
        ];
        assert!(problems.is_empty());
        assert_eq!(told, expected);
    }

    #[test]
    fn a_realm_is_quoted() {
        let value = challenge("Basic", r#"a "b" \c"#, ", charset=\"UTF-8\"").expect("a realm");

        assert_eq!(value, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#);
        assert!(challenge("Basic", "a\nb", "").is_err());
    }
}
