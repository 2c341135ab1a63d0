//! Forward authentication: somebody else is asked whether a request may pass.
//!
//! ```toml
//! "/app" = { to = "app", forward_auth = { url = "http://auth:9000/verify", copy = ["x-user"] } }
//! ```

use std::{
    collections::HashMap,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use serde::Deserialize;

use super::{
    JsonSchema, Kind, Schema, Site, Step,
    authenticator::{self, Authenticator, Examination, Finding, Proof, Proofs, Terms},
    errand::{Answer, Errand},
    header_rules,
    per_worker::PerWorker,
    schemars,
};
use crate::{
    clock,
    exchange::{Exchange, Identity},
    http::{HeaderMap, HeaderName, HeaderValue, Refusal, Response, ResponseBody, StatusCode, header, headers},
    settings::{Problem, Problems, Time},
    telemetry::metrics::Event,
    transport::own::Own,
};

const ABOUT: &str = r#"
```toml
[routes]
"/app" = { to = "http://127.0.0.1:8000", forward_auth = { url = "http://127.0.0.1:9000/verify", copy = ["x-user", "x-groups"] } }
```

For each request the URL is asked with a GET that has the client's `Authorization`, `Cookie` and the fields of `send`, and
`X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`, which are the proxy's own and tell of the request; its path is the one that endpoints
get. A 2xx lets it pass, and the fields of `copy` go on as they were answered; what the client itself sends there, in any spelling, never does.
All else that it sends goes on, `Authorization` and `Cookie` too. Any other answer below 500 (401, 403, a redirect to a page to log in) is the
client's, with its body. When the service answers 5xx, more than 64 KiB, not in time or not at all, nobody is let in: 503.

With `cache` a 2xx counts for that long for requests that are the same in all that is sent: credentials, path, client and the rest. No other
answer is kept, and none to a question of more than 8 KiB.

The identity is called by the first field of `copy`; all of them are claims by their names (`claim('x-user')`). In `auth` it is the last way of
`any`: it has an answer for everybody, so that nobody behind it would be asked.

Events: `asked`, `remembered`, `turned_away`, `failed`.
"#;

/// An answer with more bytes is none.
const LARGEST: usize = 64 * 1024;
/// So many verdicts of a worker are kept: with their questions 8 MiB.
const MOST: usize = 1024;
const LONGEST_QUESTION: usize = 8 * 1024;
/// What only we tell, besides what no settings can name.
const OURS: [&str; 2] = ["x-forwarded-method", "x-forwarded-uri"];

thread_local! {
    /// Connections of this worker to whoever is asked.
    static TRANSPORT: Rc<Own> = Rc::new(Own::new());
}

/// Lets in whom somebody else lets in.
pub struct ForwardAuth {
    asking: Arc<Asking>,
    terms: Terms,
}

struct Asking {
    errand: Errand,
    send: Vec<HeaderName>,
    copy: Vec<HeaderName>,
    kept: Option<Kept>,
    /// The last question had no answer.
    is_in_doubt: AtomicBool,
    asked: Event,
    remembered: Event,
    turned_away: Event,
    failed: Event,
}

/// Verdicts of the last while.
struct Kept {
    lasting: Duration,
    /// By the whole question: a hash alone could be made to fit.
    known: PerWorker<HashMap<Box<[u8]>, Verdict, RandomState>>,
}

struct Verdict {
    until: Duration,
    proof: Arc<Proof>,
}

/// What is written under `forward_auth`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthSettings {
    /// Whom to ask: `http://HOST[:PORT]/PATH`, https or `http+unix:`.
    pub url: String,
    /// Whom to believe to be that server instead of the machine's roots, as a PEM file.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Fields of the client that are sent besides `Authorization` and `Cookie`.
    #[serde(default)]
    pub send: Vec<String>,
    /// Fields of the answer that go on to the endpoint.
    #[serde(default)]
    pub copy: Vec<String>,
    /// So long a 2xx counts for the same question.
    #[serde(default = "off")]
    #[schemars(with = "String")]
    pub cache: Time,
    /// The answer must be there within this time.
    #[serde(default = "two_seconds")]
    #[schemars(with = "String")]
    pub timeout: Time,
    /// What must be so of who is known; else 403.
    #[serde(default)]
    pub require: Option<String>,
}

fn off() -> Time {
    Time::OFF
}

fn two_seconds() -> Time {
    Time::secs(2)
}

impl Kind for ForwardAuth {
    const NAME: &'static str = "forward_auth";
    const SUMMARY: &'static str = "lets in whom a service of yours lets in";
    const ABOUT: &'static str = ABOUT;
    type Settings = ForwardAuthSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ForwardAuthSettings))
    }

    fn build(settings: ForwardAuthSettings, site: &Site<'_>) -> Result<Step, Problems> {
        Ok(Step::Gate(Arc::new(Proofs::one(Self::NAME, Self::new(&settings, site)?))))
    }

    fn files(settings: &ForwardAuthSettings) -> Vec<PathBuf> {
        settings.ca.iter().cloned().collect()
    }
}

impl ForwardAuth {
    /// The authenticator alone.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &ForwardAuthSettings, site: &Site<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let terms = Terms::read(&IndexMap::new(), settings.require.as_deref(), &mut problems);
        let mut send = vec![header::AUTHORIZATION, header::COOKIE];
        for name in names("send", &settings.send, &mut problems) {
            if !send.contains(&name) {
                send.push(name);
            }
        }
        let copy = names("copy", &settings.copy, &mut problems);
        if settings.timeout.0.is_none_or(|time| time.is_zero()) {
            problems.push(
                Problem::at(["timeout"], "would have clients wait for ever, or not at all").help("timeout = \"2s\""),
            );
        }
        let limit = settings.timeout.0.unwrap_or_default();
        let errand = Errand::to(&settings.url, settings.ca.as_deref(), limit, LARGEST);
        let errand = errand.map_err(|(key, what)| {
            let help = if key == "ca" { "a file of certificates in PEM" } else { "http://HOST[:PORT]/PATH" };
            problems.push(Problem::at([key], what).help(help));
        });
        let (Ok(errand), true) = (errand, problems.is_empty()) else { return Err(problems) };
        if errand.can_be_forged() {
            site.warn("verdicts that come without TLS may be anybody's: whoever is on their way can let himself in");
        }
        let asking = Asking {
            errand,
            send,
            copy,
            kept: settings.cache.0.filter(|time| !time.is_zero()).map(Kept::new),
            is_in_doubt: AtomicBool::new(false),
            asked: site.event("asked"),
            remembered: site.event("remembered"),
            turned_away: site.event("turned_away"),
            failed: site.event("failed"),
        };
        Ok(Self { asking: Arc::new(asking), terms })
    }
}

fn names(key: &str, written: &[String], problems: &mut Problems) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(written.len());
    for (index, name) in written.iter().enumerate() {
        let wrong = match header_rules::settable(name) {
            // Services behind gateway interfaces read both letters as one.
            Ok(name) if OURS.contains(&name.as_str().replace('_', "-").as_str()) => {
                ("is written by the proxy itself", "no client can say it")
            }
            Ok(name) => {
                names.push(name);
                continue;
            }
            Err(wrong) => wrong,
        };
        let (what, help) = (format!("`{}` {}", name.escape_debug(), wrong.0), wrong.1);
        problems.push(Problem::at([key, &index.to_string()], what).help(help));
    }
    names
}

impl Authenticator for ForwardAuth {
    fn examine(&self, exchange: &Exchange) -> Examination {
        let fields = match self.asking.fields(exchange) {
            Ok(fields) => fields,
            Err(refused) => return Examination::Done(Finding::Bad(refused.into())),
        };
        let question = self.asking.kept.as_ref().and_then(|_| in_bytes(&fields));
        if let (Some(kept), Some(question)) = (&self.asking.kept, &question)
            && let Some(proof) = kept.get(question)
        {
            self.asking.remembered.happened();
            return Examination::Done(Finding::Proved(proof));
        }
        Examination::Pending(Box::pin(Arc::clone(&self.asking).ask(fields, question)))
    }

    fn conceal(&self, exchange: &mut Exchange) {
        headers::remove_spellings(&mut exchange.headers, self.asking.copy.iter());
    }

    fn challenge(&self) -> Option<&HeaderValue> {
        None
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Asking {
    /// What is sent.
    fn fields(&self, exchange: &Exchange) -> Result<HeaderMap, Refusal> {
        if exchange.headers.get_all(header::AUTHORIZATION).count() > 1 {
            return Err(authenticator::twice(ForwardAuth::NAME));
        }
        let mut fields = HeaderMap::new();
        for name in &self.send {
            for value in exchange.headers.get_all(name) {
                fields.append(name.clone(), value.clone());
            }
        }
        let uri = match exchange.uri.query() {
            Some(query) => format!("{}?{query}", exchange.path),
            None => exchange.path.clone(),
        };
        let address = exchange.client.address.map(|address| address.to_string());
        let told = [
            ("x-forwarded-method", Some(exchange.method.as_str())),
            ("x-forwarded-proto", Some(if exchange.client.secure { "https" } else { "http" })),
            ("x-forwarded-host", Some(exchange.authority.as_str())),
            ("x-forwarded-uri", Some(&*uri)),
            ("x-forwarded-for", address.as_deref()),
        ];
        for (name, value) in told {
            let Some(value) = value else { continue };
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                Refusal::new(ForwardAuth::NAME, StatusCode::BAD_REQUEST, "nobody can be told what it asks for")
            })?;
            fields.insert(HeaderName::from_static(name), value);
        }
        Ok(fields)
    }

    async fn ask(self: Arc<Self>, fields: HeaderMap, question: Option<Box<[u8]>>) -> Finding {
        self.asked.happened();
        let transport = TRANSPORT.with(Rc::clone);
        let answer = match self.errand.ask(&*transport, fields).await {
            Ok(answer) if !answer.status.is_server_error() && !answer.status.is_informational() => answer,
            Ok(answer) => return self.failure(&format!("the answer is {}", answer.status)),
            Err(why) => return self.failure(&why),
        };
        self.is_in_doubt.store(false, Ordering::Relaxed);
        if !answer.status.is_success() {
            self.turned_away.happened();
            let Answer { status, headers, body } = answer;
            return Finding::Bad(Response { status, headers, body: ResponseBody::Bytes(body), ..Response::default() });
        }
        let proof = Arc::new(self.proof(&answer));
        if let (Some(kept), Some(question)) = (&self.kept, question) {
            kept.put(question, &proof);
        }
        Finding::Proved(proof)
    }

    fn failure(&self, why: &str) -> Finding {
        self.failed.happened();
        // Each request has a line of its own elsewhere.
        if !self.is_in_doubt.swap(true, Ordering::Relaxed) {
            log::warn!("nobody can say whether requests may pass, and none does: {why}");
        }
        let reason = "nobody can say whether it may pass";
        Finding::Bad(Refusal::new(ForwardAuth::NAME, StatusCode::SERVICE_UNAVAILABLE, reason).into())
    }

    fn proof(&self, answer: &Answer) -> Proof {
        let (mut identity, mut fields) = (Identity { scheme: "forward_auth", ..Identity::default() }, Vec::new());
        for name in &self.copy {
            for value in answer.headers.get_all(name) {
                fields.push((name.clone(), value.clone()));
                let Ok(text) = value.to_str() else { continue };
                identity.subject.get_or_insert_with(|| text.to_owned());
                identity.claims.entry(name.as_str()).or_insert_with(|| text.into());
            }
        }
        Proof { identity: Arc::new(identity), fields }
    }
}

impl Kept {
    fn new(lasting: Duration) -> Self {
        Self { lasting, known: PerWorker::default() }
    }

    fn get(&self, question: &[u8]) -> Option<Arc<Proof>> {
        let now = clock::coarse();
        let look = |known: &mut HashMap<Box<[u8]>, Verdict, RandomState>| {
            known.get(question).filter(|verdict| verdict.until > now).map(|verdict| Arc::clone(&verdict.proof))
        };
        self.known.with(look).flatten()
    }

    fn put(&self, question: Box<[u8]>, proof: &Arc<Proof>) {
        let now = clock::coarse();
        self.known.with(|known| {
            if known.len() >= MOST {
                known.retain(|_, verdict| verdict.until > now);
            }
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(question, Verdict { until: now.saturating_add(self.lasting), proof: Arc::clone(proof) });
        });
    }
}

/// All that is sent, so that two questions are one only if nothing differs: no name has a colon, and no value a line end.
/// `None` if it is too long to be kept.
fn in_bytes(fields: &HeaderMap) -> Option<Box<[u8]>> {
    let mut fields: Vec<_> = fields.iter().collect();
    // A map has no order, but the values of one name do.
    fields.sort_by_key(|(name, _)| name.as_str());
    let lines = fields.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
    let question = lines.collect::<Vec<_>>().concat();
    (question.len() <= LONGEST_QUESTION).then(|| question.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filters::testing;

    fn question(fields: &[(&str, &str)]) -> Option<Box<[u8]>> {
        in_bytes(&testing::request("GET /", fields).headers)
    }

    #[test]
    fn two_questions_are_one_only_if_nothing_differs() {
        let all = [
            question(&[("cookie", "a"), ("authorization", "b")]),
            question(&[("cookie", "b"), ("authorization", "a")]),
            question(&[("cookie", "a")]),
            question(&[("cookie", "a"), ("cookie", "b")]),
            question(&[("cookie", "b"), ("cookie", "a")]),
            question(&[("cookie", "ab")]),
            question(&[("cookie", "a;b")]),
            question(&[]),
        ];

        for (number, one) in all.iter().enumerate() {
            assert!(one.is_some() && !all[..number].contains(one), "{number}");
        }
        assert_eq!(all[0], question(&[("authorization", "b"), ("cookie", "a")]));
        assert_eq!(question(&[("cookie", &"a".repeat(LONGEST_QUESTION))]), None, "too long");
    }

    #[test]
    fn a_verdict_counts_for_a_while_and_there_is_room_for_some() {
        let (kept, proof) = (Kept::new(Duration::from_secs(60)), Arc::<Proof>::default());

        for number in 0..=2 * MOST {
            kept.put(number.to_string().into_bytes().into(), &proof);
        }

        assert!(kept.get((2 * MOST).to_string().as_bytes()).is_some());
        assert!(kept.get(b"another").is_none());
        assert!(kept.known.with(|known| known.len()).is_some_and(|count| count <= MOST));
        let over = Kept::new(Duration::ZERO);
        over.put(b"a".as_slice().into(), &proof);
        assert!(over.get(b"a").is_none(), "its time is over");
    }

    #[test]
    fn no_client_says_what_only_we_tell() {
        for name in ["x-forwarded-uri", "X_Forwarded_Method", "x-forwarded_for", "Host", "connection"] {
            let written = json!({ "url": "http://127.0.0.1:9", "send": [name] });
            assert_eq!(testing::problems::<ForwardAuth>(written).len(), 1, "{name}");
        }
        let written = json!({ "url": "http://127.0.0.1:9", "send": ["Cookie", "x-device"] });
        assert!(testing::problems::<ForwardAuth>(written).is_empty());
    }
}
