//! Who has a token that an issuer has signed.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use aqueduct::actors::Actors;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::support::{client::Response, origin::Origin, proxy::TestProxy, wire::patiently};

/// Signs tokens, and publishes the keys for them.
struct Issuer {
    keys: Arc<Mutex<Vec<Value>>>,
    origin: Origin,
}

/// One key of an issuer.
pub struct Key {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    pub public: Value,
}

impl Key {
    pub fn new(id: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &PKCS_ED25519,
            _ => &PKCS_RSA_SHA256,
        };
        let pair = KeyPair::generate_for(kind).expect("a key");
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        }
        .expect("a key that can sign");
        let mut public = match algorithm {
            Algorithm::EdDSA => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) })
            }
            _ => serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).expect("a public key")).expect("json"),
        };
        public["kid"] = json!(id);
        Self { id: id.into(), algorithm, key, public }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).expect("a token")
    }

    /// With a head of one's own.
    fn sign_as(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).expect("a signature");
        format!("{message}.{signature}")
    }
}

impl Issuer {
    async fn with(keys: &[&Key]) -> Self {
        let published = Arc::new(Mutex::new(keys.iter().map(|key| key.public.clone()).collect::<Vec<_>>()));
        let shown = Arc::clone(&published);
        let origin = Origin::serving(move |_, _| {
            let body = json!({ "keys": *shown.lock().expect("no test panics with it") }).to_string();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        });
        Self { keys: published, origin: origin.start().await }
    }

    fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().expect("no test panics with it") = keys.iter().map(|key| key.public.clone()).collect();
    }
}

/// A proxy with such a filter, whose keys are fetched.
struct House {
    origin: Origin,
    proxy: TestProxy,
    _actors: Actors,
}

impl House {
    async fn with(jwt: &str) -> Self {
        let origin = Origin::echo().start().await;
        let proxy = TestProxy::with(&settings(&origin, jwt)).with_underscores().start().await;
        let actors = Actors::start();
        actors.do_chores(&proxy.proxy);
        Self { origin, proxy, _actors: actors }
    }

    async fn of(issuer: &Issuer, more: &str) -> Self {
        let url = issuer.origin.url();
        let house =
            Self::with(&format!("jwks = \"{url}/keys\", issuer = \"https://id\", audience = \"api\"{more}")).await;
        house.wait_for("fetched", 1).await;
        house
    }

    async fn wait_for(&self, event: &str, count: u64) {
        let happened = async {
            while self.count(event) < count {
                tokio::task::yield_now().await;
            }
        };
        patiently(&format!("{count} times {event}"), happened).await;
    }

    fn count(&self, event: &str) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|((_, name), _)| *name == event).map_or(0, |(_, count)| *count)
    }

    async fn ask(&self, fields: &str) -> Response {
        self.proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await
    }

    async fn come(&self, token: &str) -> Response {
        self.ask(&bearer(token)).await
    }
}

fn settings(origin: &Origin, jwt: &str) -> String {
    format!("[routes]\n\"/\" = {{ to = {:?}, jwt = {{ {jwt} }} }}\n", origin.url())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

pub fn claims() -> Value {
    json!({ "iss": "https://id", "aud": ["web", "api"], "sub": "alice", "roles": ["admin", "dev"], "exp": now() + 600 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[actix_rt::test]
async fn who_has_a_token_of_the_issuer_is_let_in_and_the_token_stays_here() {
    let keys = [
        ("RS256", Algorithm::RS256),
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
        ("ES256", Algorithm::ES256),
        ("ES384", Algorithm::ES384),
        ("EdDSA", Algorithm::EdDSA),
    ]
    .map(|(name, algorithm)| Key::new(name, algorithm));
    let issuer = Issuer::with(&keys.iter().collect::<Vec<_>>()).await;
    let house = House::of(&issuer, "").await;

    for key in &keys {
        let answer = house.come(&key.sign(&claims())).await;
        assert_eq!(answer.status, 200, "{}: {:?}", key.id, answer.header("proxy-status"));
        assert!(!answer.text().to_lowercase().contains("authorization"), "{}", answer.text());
    }
}

#[actix_rt::test]
async fn a_token_that_comes_again_is_verified_once() {
    let key = Key::new("1", Algorithm::ES256);
    let issuer = Issuer::with(&[&key]).await;
    let house = House::of(&issuer, "").await;
    let token = key.sign(&claims());

    for _ in 0..3 {
        assert_eq!(house.come(&token).await.status, 200);
    }

    assert_eq!(house.count("verified"), 1);
}

#[actix_rt::test]
async fn what_the_endpoint_is_told_comes_from_the_token_alone() {
    let key = Key::new("1", Algorithm::ES256);
    let issuer = Issuer::with(&[&key]).await;
    let more =
        ", forward = { x-user = \"sub\", x-roles = \"roles\", x-team = \"team\" }, optional = true, pass_on = true";
    let house = House::of(&issuer, more).await;
    let forged = "X-User: root\r\nx_user: root\r\nX-Roles: root\r\nX-Team: root\r\nx-team: root\r\nX_TEAM: root\r\n";

    let known = house.ask(&(bearer(&key.sign(&claims())) + forged)).await.text();
    let nobody = house.ask(forged).await;

    assert!(known.contains("x-user: alice\n") && known.contains("x-roles: admin,dev\n"), "{known}");
    assert!(known.contains("authorization: Bearer"), "{known}");
    assert_eq!(nobody.status, 200, "a token is optional");
    assert!(!known.contains("root") && !nobody.text().contains("root"), "{known} {}", nobody.text());
    assert_eq!(house.come("forged.forged.forged").await.status, 401, "but not a bad one");
}

#[actix_rt::test]
async fn before_keys_are_known_nobody_is_let_in() {
    let key = Key::new("1", Algorithm::ES256);
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::with(&settings(&origin, "jwks = \"http://127.0.0.1:9/keys\"")).start().await;

    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", bearer(&key.sign(&claims())));
    let answer = proxy.send(request).await;

    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(proxy.get("/").await.status, 401);
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_new_key_of_the_issuer_is_fetched_when_a_token_names_it_and_not_for_every_name() {
    let (old, new) = (Key::new("1", Algorithm::ES256), Key::new("2", Algorithm::ES256));
    let issuer = Issuer::with(&[&old]).await;
    let house = House::of(&issuer, "").await;
    issuer.publish(&[&new]);

    assert_eq!(house.come(&new.sign(&claims())).await.status, 200);
    assert_eq!(house.come(&old.sign(&claims())).await.status, 401, "it is withdrawn");
    for number in 0..5 {
        let made_up = Key { id: format!("made up {number}"), ..Key::new("x", Algorithm::ES256) };
        assert_eq!(house.come(&made_up.sign(&claims())).await.status, 401);
    }

    assert_eq!(issuer.origin.requests_seen(), 2);
}

#[actix_rt::test]
async fn keys_are_kept_while_the_issuer_is_down_also_over_a_reload() {
    let key = Key::new("1", Algorithm::ES256);
    let issuer = Issuer::with(&[&key]).await;
    let url = issuer.origin.url();
    let house = House::of(&issuer, ", refresh = \"1s\"").await;
    drop(issuer);
    house.wait_for("fetch_failed", 1).await;
    assert_eq!(house.come(&key.sign(&claims())).await.status, 200);

    let other = settings(&house.origin, &format!("jwks = \"{url}/keys\", audience = \"web\", refresh = \"1s\""));
    let loaded =
        aqueduct::settings::Layers::new().text("test.toml", other).load().unwrap_or_else(|wrong| panic!("{wrong}"));
    house.proxy.proxy.reload(loaded.settings).expect("good settings");

    assert_eq!(house.come(&key.sign(&claims())).await.status, 200);
    assert_eq!(house.come(&key.sign(&with("aud", json!("api")))).await.status, 401, "the rules are the new ones");
}

#[actix_rt::test]
async fn no_forged_or_foreign_token_is_taken() {
    let (key, other) = (Key::new("1", Algorithm::ES256), Key::new("1", Algorithm::ES256));
    let rsa = Key::new("rsa", Algorithm::RS256);
    let issuer = Issuer::with(&[&key, &rsa]).await;
    let house = House::of(&issuer, "").await;
    let good = key.sign(&claims());
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let unsigned = |head: Value, signature: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&head), part(&claims()))
    };
    let hmac = |head: Value, secret: &str| {
        let key = Key {
            id: String::new(),
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret.as_bytes()),
            public: Value::Null,
        };
        key.sign_as(&head, &claims())
    };
    let modulus = rsa.public["n"].as_str().expect("a modulus");
    let head = |more: Value| {
        let mut head = json!({ "alg": "ES256", "kid": "1" });
        head.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        head
    };
    let cases = [
        ("no algorithm", unsigned(json!({ "alg": "none" }), "")),
        ("none in other letters", unsigned(json!({ "alg": "nOnE", "kid": "1" }), "")),
        ("none with a signature", unsigned(json!({ "alg": "none", "kid": "1" }), signature)),
        ("a public key as a secret", hmac(json!({ "alg": "HS256", "kid": "rsa" }), modulus)),
        ("an empty secret", hmac(json!({ "alg": "HS256" }), "")),
        ("another's key", other.sign(&claims())),
        ("the key of another algorithm", key.sign_as(&json!({ "alg": "RS256", "kid": "rsa" }), &claims())),
        ("a key of its own", other.sign_as(&head(json!({ "jwk": other.public })), &claims())),
        ("other claims", {
            let claims = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
            format!("{}.{claims}.{signature}", message.split_once('.').expect("two parts").0)
        }),
        ("no signature", format!("{message}.")),
        ("a shorter signature", good[..good.len() - 2].to_owned()),
        ("a fourth part", format!("{good}.{signature}")),
        ("two parts", message.to_owned()),
        ("padding", format!("{good}=")),
        ("spaces", good.replacen('.', ". ", 1)),
        ("a critical extension", key.sign_as(&head(json!({ "crit": ["exp"] })), &claims())),
        ("a payload that is not encoded", key.sign_as(&head(json!({ "b64": false })), &claims())),
        ("another kind", key.sign_as(&head(json!({ "typ": "logout+jwt" })), &claims())),
        ("a key that is no text", key.sign_as(&json!({ "alg": "ES256", "kid": 1 }), &claims())),
        ("expired", key.sign(&with("exp", json!(now() - 31)))),
        ("for ever", key.sign(&with("exp", Value::Null))),
        ("until a text", key.sign(&with("exp", json!("9999999999")))),
        ("until before 1970", key.sign(&with("exp", json!(-1)))),
        ("not valid yet", key.sign(&with("nbf", json!(now() + 60)))),
        ("another issuer", key.sign(&with("iss", json!("https://id.evil")))),
        ("several issuers", key.sign(&with("iss", json!(["https://id"])))),
        ("no issuer", key.sign(&with("iss", Value::Null))),
        ("another audience", key.sign(&with("aud", json!(["web"])))),
        ("an audience that begins like ours", key.sign(&with("aud", json!("api.evil")))),
        ("no audience", key.sign(&with("aud", Value::Null))),
        ("too long", key.sign(&with("x", json!("x".repeat(9000))))),
        ("nothing", String::new()),
    ];

    for (what, token) in cases {
        let answer = house.come(&token).await;
        assert_eq!(answer.status, 401, "{what}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer realm=\"restricted\", error=\"invalid_token\""), "{what}: {challenge}");
    }
    for (what, fields, status) in [
        ("twice", bearer(&good) + &bearer(&good), 400),
        ("with Basic", bearer(&good) + "Authorization: Basic YTpi\r\n", 400),
        ("two in one", format!("Authorization: Bearer {good}, Bearer {good}\r\n"), 401),
        ("as Basic", format!("Authorization: Basic {good}\r\n"), 401),
        ("elsewhere", format!("X-Authorization: Bearer {good}\r\n"), 401),
        ("as a cookie", format!("Cookie: token={good}\r\n"), 401),
    ] {
        assert_eq!(house.ask(&fields).await.status, status, "{what}");
    }
    assert_eq!(house.origin.requests_seen(), 0);
    assert_eq!(house.come(&key.sign(&with("exp", json!(now() - 5)))).await.status, 200, "clocks may differ a little");
}

#[actix_rt::test]
async fn who_is_known_and_may_not_is_told_so() {
    let key = Key::new("1", Algorithm::ES256);
    let issuer = Issuer::with(&[&key]).await;
    let house = House::of(&issuer, ", cookie = \"token\", require = \"any(claim('roles')) == 'admin'\"").await;
    let cookie = |token: &str| format!("Cookie: a=1; token={token}\r\n");

    let admin = house.ask(&cookie(&key.sign(&claims()))).await;
    let other = house.ask(&cookie(&key.sign(&with("roles", json!(["dev"]))))).await;

    assert_eq!(admin.status, 200);
    assert!(admin.text().contains("cookie: a=1\n"), "{}", admin.text());
    assert_eq!((other.status, other.header("www-authenticate")), (403, None));
    let both = cookie(&key.sign(&claims())) + &bearer(&key.sign(&claims()));
    assert_eq!(house.ask(&both).await.status, 400);
    assert_eq!(house.origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn a_secret_verifies_by_the_algorithm_that_settings_name() {
    let secret = "0123456789abcdef".repeat(4);
    let all = [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)];
    for (name, _) in all {
        let house = House::with(&format!("secret = \"{secret}\", algorithms = [\"{name}\"]")).await;
        for (other, algorithm) in all {
            let claims = json!({ "sub": "alice", "exp": now() + 600 });
            let token = encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes()));
            let status = house.come(&token.expect("a token")).await.status;
            assert_eq!(status, if name == other { 200 } else { 401 }, "{other} where {name} is taken");
        }
    }
}

#[actix_rt::test]
async fn a_secret_of_ones_own_verifies_too() {
    let secret = "0123456789abcdef0123456789abcdef";
    let house = House::with(&format!("secret = \"{secret}\", leeway = \"0s\"")).await;
    let signed = |algorithm, secret: &str| {
        let claims = json!({ "sub": "alice", "exp": now() + 600 });
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
    };

    assert_eq!(house.come(&signed(Algorithm::HS256, secret)).await.status, 200);
    assert_eq!(house.come(&signed(Algorithm::HS512, secret)).await.status, 401, "the algorithm is said by settings");
    assert_eq!(house.come(&signed(Algorithm::HS256, "another")).await.status, 401);
}

#[actix_rt::test]
async fn keys_are_kept_while_the_issuer_answers_with_an_error_or_with_what_is_no_key() {
    let (key, next) = (Key::new("1", Algorithm::ES256), Key::new("2", Algorithm::ES256));
    let good = |key: &Key| (200, json!({ "keys": [key.public] }).to_string());
    let answer = Arc::new(Mutex::new(good(&key)));
    let said = Arc::clone(&answer);
    let issuer = Origin::serving(move |_, _| {
        let (status, body) = said.lock().expect("no test panics with it").clone();
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let issuer = issuer.start().await;
    let say = |other| *answer.lock().expect("no test panics with it") = other;
    let house = House::with(&format!("jwks = \"{}/keys\", audience = \"api\", refresh = \"1s\"", issuer.url())).await;
    house.wait_for("fetched", 1).await;

    for (status, junk) in [(503, good(&next).1), (200, "<html>".to_owned()), (200, "{\"keys\":[]}".to_owned())] {
        let before = house.count("fetch_failed");
        say((status, junk));
        house.wait_for("fetch_failed", before + 1).await;

        assert_eq!(house.come(&key.sign(&claims())).await.status, 200, "the last good ones are kept");
        assert_eq!(house.come(&next.sign(&claims())).await.status, 401, "what came with an error is not believed");
    }

    say(good(&next));
    house.wait_for("fetched", house.count("fetched") + 1).await;
    assert_eq!(house.come(&next.sign(&claims())).await.status, 200);
    assert_eq!(house.come(&key.sign(&claims())).await.status, 401);
}

#[actix_rt::test]
async fn a_token_that_is_signed_on_the_largest_curve_is_taken() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(66);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let public = json!({ "kty": "EC", "crv": "P-521", "kid": "5", "alg": "ES512", "x": x, "y": y });
    // It publishes what only the test can sign with.
    let key = Key { public, ..Key::new("5", Algorithm::ES256) };
    let issuer = Issuer::with(&[&key]).await;
    let house = House::of(&issuer, "").await;
    let sign = |algorithm: &str, claims: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": algorithm, "kid": "5" })), part(claims));
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };

    let good = sign("ES512", &claims());
    assert_eq!(house.come(&good).await.status, 200);
    assert_eq!(house.come(&sign("ES256", &claims())).await.status, 401, "the key is for one algorithm");
    assert_eq!(house.come(&key.sign_as(&json!({ "alg": "ES512", "kid": "5" }), &claims())).await.status, 401);
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let root = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    let forged = format!("{}.{root}.{signature}", message.split_once('.').expect("two parts").0);
    assert_eq!(house.come(&forged).await.status, 401);
}
