//! Which keys are taken, and what for.

use serde_json::json;

use super::*;

const RSA: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAye0sh4VE0bBbzm6WRjYR\n\
EJB4paa05yIt8x3ovcDsYjlULNvPJ72jnEXub8wBwSWEq4DJkwgkGxfs1WviMqad\n\
A+ZjjzA18zmObxycYyUFt2hlXOiRe+6MvVaAP39ZvO4btSv+GPKB6vopDatWp9HX\n\
WVwoSFIfspoNilQuputDp5aUUVdI6OHPRx7Go7/iaJF3L2NKV0CCuqJJONxk4y1w\n\
3nPN9Utee3lNQCJMESSIHST/zzBs1lXTlIFamwXRkIo1iVQwuRe4dh+5D4BNp4V6\n\
K7gIty5pDy6FQJgePdQztGuNMbXOYWWXJzlveH6i/bn6ux7fBFFRd7p7Tlx0B+RU\n\
OQIDAQAB\n\
-----END PUBLIC KEY-----\n\
";
const EC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmvwBbqeELJ92HwxohiRhi1u0exJ9\n\
tkV7ATaNH9heWPMmM8xtY7BRgItgGdOoK40qANvsqeZu311jCps8ez9yeQ==\n\
-----END PUBLIC KEY-----\n\
";
const ED: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEA+bnfaF+5d0SSPA7J0Bym4vR5u2WeRDeSTQXwFnU739w=\n\
-----END PUBLIC KEY-----\n\
";

/// RFC 7517, A.1, and RFC 8037, A.2.
fn ec() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}

/// RFC 7520, 3.1.
fn p521() -> Value {
    json!({
        "kty": "EC", "crv": "P-521", "use": "sig",
        "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
        "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
    })
}

fn ed() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn of(keys: &[Value]) -> Result<Keys, String> {
    Keys::set(json!({ "keys": keys }).to_string().as_bytes())
}

/// How many may have signed a token with this head.
fn count(keys: &Keys, id: Option<&str>, algorithm: impl Into<Algorithm>) -> usize {
    keys.candidates(id, algorithm.into()).count()
}

#[test]
fn public_keys_in_pem_are_each_for_the_algorithms_of_their_kind() {
    let keys = Keys::file(format!("# of the issuer\n{RSA}{EC}\n\n{ED}").as_bytes()).expect("three keys");

    for (algorithm, expected) in
        [(Known::RS256, 1), (Known::PS512, 1), (Known::ES256, 1), (Known::EdDSA, 1), (Known::HS256, 0)]
    {
        assert_eq!(count(&keys, None, algorithm), expected, "{algorithm:?}");
        assert_eq!(count(&keys, Some("any"), algorithm), expected, "a key without a name may be any: {algorithm:?}");
    }
}

#[test]
fn a_file_that_is_no_set_and_no_pem_is_refused_and_nothing_of_it_is_shown() {
    for (text, expected) in [
        (&b"hunter2"[..], "no public key"),
        (b"", "no public key"),
        (b"\xff\xfe", "neither"),
        (b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "private key"),
        (b"-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----\n", "private key"),
        (b"-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----\n", "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA", "no public key"),
        (b"{ \"keys\": hunter2 }", "not JSON"),
        (b"{}", "not a set"),
        (b"{ \"keys\": \"hunter2\" }", "not a set"),
        (b"{ \"keys\": [] }", "no key that can verify"),
        (b"{ \"keys\": [\"hunter2\"] }", "no key that can verify"),
    ] {
        let what = Keys::file(text).err().unwrap_or_else(|| panic!("{} is taken", text.escape_ascii()));
        assert!(what.contains(expected) && !what.contains("hunter2"), "{}: {what}", text.escape_ascii());
    }
    let one_is_broken = format!("{EC}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    assert!(Keys::file(one_is_broken.as_bytes()).is_err(), "one that is not understood is not passed over");
}

#[test]
fn of_a_set_those_are_taken_that_verify_signatures() {
    for (what, key, is_taken) in [
        ("of the largest curve", p521(), true),
        ("of the largest curve, for another's algorithm", with(p521(), "alg", json!("ES256")), false),
        ("beside the largest curve", with(p521(), "x", p521()["y"].clone()), false),
        ("of the largest curve, a byte short", with(p521(), "x", json!("AA")), false),
        ("as it is", ec(), true),
        ("for signatures", with(ec(), "use", json!("sig")), true),
        ("for encryption", with(ec(), "use", json!("enc")), false),
        ("to verify", with(ec(), "key_ops", json!(["verify"])), true),
        ("to sign", with(ec(), "key_ops", json!(["sign"])), false),
        ("for its algorithm", with(ec(), "alg", json!("ES256")), true),
        ("for another one", with(ec(), "alg", json!("ES384")), false),
        ("for one of another kind", with(ec(), "alg", json!("RS256")), false),
        ("for a secret's", with(ec(), "alg", json!("HS256")), false),
        ("for none that is known", with(ec(), "alg", json!("ES256K")), false),
        ("of a curve that is not known", with(ec(), "crv", json!("secp256k1")), false),
        ("of another point", with(ec(), "x", json!("!")), false),
        ("without its half", with(ec(), "y", Value::Null), false),
        ("a secret", json!({ "kty": "oct", "k": "aHVudGVyMg", "alg": "HS256" }), false),
        ("of Edwards' curve", ed(), true),
        ("of the other one of his", with(ed(), "crv", json!("X25519")), false),
        ("of no kind", json!({}), false),
    ] {
        // What is not understood does not keep others from being taken.
        let beside = of(&[key.clone(), with(ed(), "kid", json!("beside"))]);
        assert!(beside.is_ok_and(|keys| count(&keys, Some("beside"), Known::EdDSA) > 0), "{what}");
        assert_eq!(of(&[key]).is_ok(), is_taken, "{what}");
    }
}

#[test]
fn a_key_is_found_by_its_name_and_one_without_may_be_any() {
    let keys = of(&[with(ec(), "kid", json!("a")), with(ec(), "kid", json!("b")), ed()]).expect("three keys");

    for (id, algorithm, expected) in [
        (Some("a"), Known::ES256, 1),
        (Some("A"), Known::ES256, 0),
        (Some(""), Known::ES256, 0),
        (None, Known::ES256, 2),
        (Some("a"), Known::EdDSA, 1),
        (Some("a"), Known::ES384, 0),
        (Some("a"), Known::RS256, 0),
    ] {
        assert_eq!(count(&keys, id, algorithm), expected, "{id:?} {algorithm:?}");
    }
}

#[test]
fn an_issuer_has_no_more_keys_than_anybody_needs() {
    assert!(of(&vec![ec(); MOST]).is_ok());
    assert!(of(&vec![ec(); MOST + 1]).is_err());
}

#[test]
fn a_secret_is_for_secrets_alone() {
    let keys = Keys::secret(b"0123456789abcdef0123456789abcdef");

    assert_eq!(count(&keys, Some("any"), Known::HS512), 1);
    assert_eq!(count(&keys, None, Known::RS256), 0);
}
