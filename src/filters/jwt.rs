//! JSON Web Tokens: who has one that an issuer has signed for us (RFC 7519, RFC 6750, RFC 8725).
//!
//! ```toml
//! "/api" = { to = "api", jwt = { jwks = "https://id.example/keys", issuer = "https://id.example", audience = "api" } }
//! ```

mod algorithm;
mod issuer;
mod keys;
mod remembered;
mod token;

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use indexmap::IndexMap;
use jsonwebtoken::{Algorithm as Known, AlgorithmFamily};
use serde::Deserialize;

use self::{
    algorithm::Algorithm,
    issuer::{Issuer, Set},
    keys::Keys,
    remembered::Remembered,
    token::{Flaw, Rules},
};
use super::{
    JsonSchema, Kind, Schema, Site, Step,
    authenticator::{self, Authenticator, Examination, Finding, Need, Proof, Proofs, Terms},
    errand::Errand,
    schemars,
};
use crate::{
    clock,
    exchange::{Exchange, Identity},
    http::{HeaderName, HeaderValue, Refusal, StatusCode, cookies, header},
    settings::{Names, Problem, Problems, Secret, Time},
    telemetry::metrics::Event,
};

const ABOUT: &str = r#"
```toml
[routes]
"/api" = { to = "http://127.0.0.1:8000", jwt = { jwks = "https://id.example/.well-known/jwks.json", issuer = "https://id.example", audience = "api", forward = { x-user = "sub", x-roles = "roles" } } }
```

Keys come from one place: `jwks`, an issuer's set that is fetched on no request's way, again every `refresh`, and when a token names a key that is not
known (every 10 s at most; the request waits for it up to 3 s); while the issuer is down those that are known are kept. Or `keys`, a file
that holds a set or public keys in PEM and is read again when it changes. Or `secret`, that of HS256 and its kin, as long as what it makes.
Before keys were fetched for the first time requests are answered 503. In an application of one's own they are fetched by
`Actors::do_chores`.

Settings say how a token is verified, never the token (RFC 8725): `algorithms` are those that are taken (RS, PS and ES with 256, 384 and 512, EdDSA; with a secret HS), each key only for what it is made for;
`none` is no algorithm; `jku`, `x5u` and `jwk` are not looked at; `crit`, `b64` and unknown kinds (`typ`) are refused. `exp` must be there;
`aud` must name one of `audience`, and a token that names anybody is refused where there is no `audience` (RFC 7519, 4.1.3).

The token is that of `Authorization: Bearer`, or of a cookie; in two places it is a refusal (400). It does not go on unless `pass_on` says so.
Claims are known as `claim('roles')` to conditions and as `${claim.roles}` to templates, and go on in the fields of `forward`; what a client
itself sends there never does, also where a token is `optional` (but requests that a policy's `when` leaves out are not looked at). `require = "claim('role') == 'admin'"` asks for more than a token: who has
one that is not so is answered 403.

A token that comes again is known by its worker until it expires or the keys change, and costs a look.

Events: `verified`, `fetched`, `fetch_failed`.
"#;

const SCHEME: &str = "bearer";
/// A set of keys has no more bytes.
const LARGEST_SET: usize = 512 * 1024;
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// Lets in who has a token.
pub struct Jwt(Arc<Verifier>);

struct Verifier {
    source: Source,
    rules: Rules,
    cookie: Option<String>,
    passes_on: bool,
    terms: Terms,
    realm: String,
    challenge: HeaderValue,
    remembered: Remembered,
    verified: Event,
}

/// Where keys come from.
enum Source {
    Fixed(Arc<Set>),
    Issuer(Arc<Issuer>),
}

/// What is written under `jwt`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// Where the issuer's set of keys is.
    #[serde(default)]
    pub jwks: Option<String>,
    /// A file with a set of keys, or with public keys in PEM.
    #[serde(default)]
    pub keys: Option<PathBuf>,
    /// What tokens are signed with, where signing and verifying are one: `{ file = ".." }`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub secret: Option<Secret>,
    /// Whom to believe to be the issuer's server instead of the machine's roots, as a PEM file.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How often the set is fetched.
    #[serde(default = "refresh")]
    #[schemars(with = "String")]
    pub refresh: Time,
    /// Who must have issued the token (`iss`): one or several.
    #[serde(default)]
    pub issuer: Names,
    /// Whom it must be for (`aud`): one or several, of which one is enough.
    #[serde(default)]
    pub audience: Names,
    /// How it may be signed; without it, HS256 with a secret, else whatever a public key is made for.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// What kind it must say it is: `"at+jwt"`. Without it `JWT`, `at+jwt` or nothing.
    #[serde(default)]
    pub typ: Option<String>,
    /// So much may clocks differ.
    #[serde(default = "leeway")]
    #[schemars(with = "String")]
    pub leeway: Time,
    /// A cookie that may hold the token, besides `Authorization`.
    #[serde(default)]
    pub cookie: Option<String>,
    /// Who presents none goes on as nobody.
    #[serde(default)]
    pub optional: bool,
    /// The endpoint gets the token, too.
    #[serde(default)]
    pub pass_on: bool,
    /// What the place is called in the challenge of a 401.
    #[serde(default = "authenticator::realm")]
    pub realm: String,
    /// Fields that tell the endpoint who it is, each with its claim: `{ x-user = "sub" }`.
    #[serde(default)]
    pub forward: IndexMap<String, String>,
    /// What must be so of who is known; else 403.
    #[serde(default)]
    pub require: Option<String>,
}

fn refresh() -> Time {
    Time::secs(600)
}

fn leeway() -> Time {
    Time::secs(30)
}

impl Kind for Jwt {
    const NAME: &'static str = "jwt";
    const SUMMARY: &'static str = "lets in who has a token that an issuer has signed (JWT)";
    const ABOUT: &'static str = ABOUT;
    type Settings = JwtSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(JwtSettings))
    }

    fn build(settings: JwtSettings, site: &Site<'_>) -> Result<Step, Problems> {
        let need = if settings.optional { Need::Optional } else { Need::All };
        let proofs = Proofs::one(Self::NAME, Self::new(&settings, site)?);
        Ok(Step::Gate(Arc::new(Proofs { need, ..proofs })))
    }

    fn files(settings: &JwtSettings) -> Vec<PathBuf> {
        settings.keys.iter().chain(&settings.ca).cloned().collect()
    }
}

impl Jwt {
    /// The authenticator alone.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &JwtSettings, site: &Site<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let terms = Terms::read(&settings.forward, settings.require.as_deref(), &mut problems);
        let challenge = authenticator::challenge("Bearer", &settings.realm, "");
        let challenge = challenge.map_err(|Problems(wrong)| problems.0.extend(wrong));
        let algorithms = algorithms(settings, &mut problems);
        if settings.cookie.as_ref().is_some_and(|name| HeaderName::try_from(name.as_str()).is_err()) {
            problems.push(Problem::at(["cookie"], "not the name of a cookie").help("cookie = \"session\""));
        }
        let source = source(settings, &algorithms, site).map_err(|Problems(wrong)| problems.0.extend(wrong));
        let (Ok(challenge), Ok(source), true) = (challenge, source, problems.is_empty()) else { return Err(problems) };
        let kind =
            settings.typ.as_ref().map(|kind| kind.to_ascii_lowercase().trim_start_matches("application/").to_owned());
        let rules = Rules {
            algorithms,
            issuers: settings.issuer.0.clone(),
            audiences: settings.audience.0.clone(),
            kind,
            leeway: settings.leeway.0.unwrap_or_default().as_secs(),
        };
        Ok(Self(Arc::new(Verifier {
            source,
            rules,
            cookie: settings.cookie.clone(),
            passes_on: settings.pass_on,
            terms,
            realm: settings.realm.clone(),
            challenge,
            remembered: Remembered::default(),
            verified: site.event("verified"),
        })))
    }
}

impl Authenticator for Jwt {
    fn examine(&self, exchange: &Exchange) -> Examination {
        let Self(verifier) = self;
        let token = match verifier.presented(exchange) {
            Ok(Some(token)) => token,
            Ok(None) => return Examination::Done(Finding::Nothing),
            Err(refused) => return Examination::Done(Finding::Bad(refused.into())),
        };
        let now = clock::unix_coarse().as_secs();
        match verifier.examine(token, now) {
            Ok(proof) => Examination::Done(Finding::Proved(proof)),
            Err(Some(Flaw::UnknownKey)) if verifier.source.may_have_others() => {
                Examination::Pending(Box::pin(Arc::clone(verifier).examine_again(token.to_owned())))
            }
            Err(flaw) => Examination::Done(Finding::Bad(verifier.refusal(flaw).into())),
        }
    }

    fn conceal(&self, exchange: &mut Exchange) {
        let Self(verifier) = self;
        if verifier.passes_on {
            return;
        }
        authenticator::remove_authorization(&mut exchange.headers, SCHEME);
        if let Some(name) = &verifier.cookie {
            cookies::remove(&mut exchange.headers, name);
        }
    }

    fn challenge(&self) -> Option<&HeaderValue> {
        Some(&self.0.challenge)
    }

    fn terms(&self) -> &Terms {
        &self.0.terms
    }
}

impl Verifier {
    /// The only token that the client presents.
    fn presented<'e>(&'e self, exchange: &'e Exchange) -> Result<Option<&'e [u8]>, Refusal> {
        let bearer = authenticator::authorization(&exchange.headers, SCHEME, Jwt::NAME)?;
        let Some(name) = &self.cookie else { return Ok(bearer) };
        let mut cookies = cookies::values(&exchange.headers, name);
        match (bearer, cookies.next(), cookies.next()) {
            (None, None, _) => Ok(None),
            (Some(token), None, _) | (None, Some(token), None) => Ok(Some(token)),
            (Some(_), Some(_), _) | (None, Some(_), Some(_)) => Err(authenticator::twice(Jwt::NAME)),
        }
    }

    /// `Err(None)` if no keys are known yet.
    fn examine(&self, token: &[u8], now: u64) -> Result<Arc<Proof>, Option<Flaw>> {
        let set = self.source.set().ok_or(None)?;
        if let Some(proof) = self.remembered.get(token, set.number, now) {
            return Ok(proof);
        }
        let text = str::from_utf8(token).map_err(|_| Flaw::Malformed)?;
        let verified = token::verify(text, &self.rules, &set.keys, now)?;
        self.verified.happened();
        let subject = verified.claims.get("sub").and_then(|subject| subject.as_str()).map(str::to_owned);
        let proof = self.terms.proof(Identity { scheme: "jwt", subject, claims: verified.claims });
        self.remembered.put(token, &proof, set.number, verified.until, now);
        Ok(proof)
    }

    async fn examine_again(self: Arc<Self>, token: Vec<u8>) -> Finding {
        if let Source::Issuer(issuer) = &self.source {
            issuer.ask_again().await;
        }
        match self.examine(&token, clock::unix_coarse().as_secs()) {
            Ok(proof) => Finding::Proved(proof),
            Err(flaw) => Finding::Bad(self.refusal(flaw).into()),
        }
    }

    fn refusal(&self, flaw: Option<Flaw>) -> Refusal {
        let Some(flaw) = flaw else {
            let reason = "the keys of the issuer are not known yet";
            return Refusal::new(Jwt::NAME, StatusCode::SERVICE_UNAVAILABLE, reason).after(Duration::from_secs(5));
        };
        let (reason, refusal) = (flaw.reason(), Refusal::new(Jwt::NAME, StatusCode::UNAUTHORIZED, flaw.reason()));
        let more = format!(", error=\"invalid_token\", error_description=\"{reason}\"");
        let challenge =
            authenticator::challenge("Bearer", &self.realm, &more).unwrap_or_else(|_| self.challenge.clone());
        refusal.with(header::WWW_AUTHENTICATE, challenge)
    }
}

impl Source {
    fn set(&self) -> Option<Arc<Set>> {
        match self {
            Self::Fixed(set) => Some(Arc::clone(set)),
            Self::Issuer(issuer) => issuer.set(),
        }
    }

    fn may_have_others(&self) -> bool {
        matches!(self, Self::Issuer(issuer) if issuer.may_have_others())
    }
}

/// Issuers by what is written of them: under other settings they go on with the keys that they know.
#[derive(Default)]
struct Issuers(Mutex<HashMap<Wanted, Weak<Issuer>>>);

/// Where, how often, and whom to believe.
type Wanted = (String, Time, Option<Vec<u8>>);

impl Issuers {
    fn of(&self, wanted: Wanted, make: impl FnOnce() -> Issuer) -> Arc<Issuer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, issuer| issuer.strong_count() > 0);
        if let Some(issuer) = known.get(&wanted).and_then(Weak::upgrade) {
            return issuer;
        }
        let issuer = Arc::new(make());
        known.insert(wanted, Arc::downgrade(&issuer));
        issuer
    }
}

fn source(settings: &JwtSettings, algorithms: &[Algorithm], site: &Site<'_>) -> Result<Source, Problems> {
    match (&settings.jwks, &settings.keys, &settings.secret) {
        (Some(url), None, None) => of_issuer(url, settings, site),
        (None, Some(file), None) => {
            let read = fs::read(file).map_err(|error| error.to_string()).and_then(|text| Keys::file(&text));
            let problem = |what| Problem::at(["keys"], format!("cannot use {}: {what}", file.display()));
            let help = "a set of keys in JSON (RFC 7517), or public keys in PEM";
            read.map(|keys| Source::Fixed(Arc::new(Set::of(keys)))).map_err(|what| problem(what).help(help).into())
        }
        (None, None, Some(secret)) => {
            let secret = secret.expose().as_bytes();
            let least = algorithms.iter().map(|algorithm| output(*algorithm)).max().unwrap_or_default();
            if secret.len() < least {
                let what = format!("a secret of fewer than {least} bytes can be found out by trying");
                return Err(Problem::at(["secret"], what)
                    .help("`openssl rand -base64 48`, in a file: { file = \"..\" }")
                    .hide_value()
                    .into());
            }
            Ok(Source::Fixed(Arc::new(Set::of(Keys::secret(secret)))))
        }
        _ => Err(Problem::at(Vec::<String>::new(), "needs one of `jwks`, `keys` and `secret`")
            .help("jwks = \"https://id.example/.well-known/jwks.json\"")
            .into()),
    }
}

fn of_issuer(url: &str, settings: &JwtSettings, site: &Site<'_>) -> Result<Source, Problems> {
    let Some(refresh) = settings.refresh.0.filter(|time| *time >= Duration::from_secs(1)) else {
        return Err(Problem::at(["refresh"], "must be a second or longer").help("refresh = \"10m\"").into());
    };
    let errand = Errand::to(url, settings.ca.as_deref(), FETCH_LIMIT, LARGEST_SET).map_err(|(key, what)| {
        let (key, help) =
            if key == "ca" { ("ca", "a file of certificates in PEM") } else { ("jwks", "https://HOST[:PORT]/PATH") };
        Problems::from(Problem::at([key], what).help(help))
    })?;
    if errand.can_be_forged() {
        site.warn("keys that come without TLS may be anybody's: whoever is on their way can let himself in");
    }
    let believed = settings.ca.as_ref().and_then(|file| fs::read(file).ok());
    let events = [site.event("fetched"), site.event("fetch_failed")];
    let issuers = site.keep("issuers", |_| true, Issuers::default);
    let make = || Issuer::new(url, errand, refresh, events);
    let issuer = issuers.of((url.to_owned(), settings.refresh, believed), make);
    site.chore(Arc::clone(&issuer) as _);
    Ok(Source::Issuer(issuer))
}

/// Those that are named, if they fit the keys; those that do, if none is.
fn algorithms(settings: &JwtSettings, problems: &mut Problems) -> Vec<Algorithm> {
    let is_secret = settings.secret.is_some();
    if settings.algorithms.is_empty() {
        let public = [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
        let all = public.into_iter().flat_map(Algorithm::of);
        return if is_secret { vec![Known::HS256.into()] } else { all.collect() };
    }
    let mut algorithms = Vec::new();
    for (index, name) in settings.algorithms.iter().enumerate() {
        let at = ["algorithms".to_owned(), index.to_string()];
        match name.parse::<Algorithm>() {
            Ok(algorithm) if (algorithm.family() == AlgorithmFamily::Hmac) == is_secret => algorithms.push(algorithm),
            Ok(_) if is_secret => {
                problems.push(Problem::at(at, "is not made with a secret").help("HS256, HS384 or HS512"));
            }
            Ok(_) => {
                let what = "would make a secret of a public key: anybody could sign";
                problems.push(Problem::at(at, what).help("RS256, PS256, ES256, EdDSA, ..; or `secret`"));
            }
            Err(_) => {
                problems.push(Problem::at(at, format!("`{}` is no algorithm that is taken", name.escape_debug())).help(
                    "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA; with a secret HS256, HS384, HS512",
                ))
            }
        }
    }
    algorithms
}

/// Bytes of a signature; a secret must not be shorter (RFC 7518, 3.2).
fn output(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Known(Known::HS384) => 48,
        Algorithm::Known(Known::HS512) => 64,
        _ => 32,
    }
}
