//! What makes a token one, and what does not.

use jsonwebtoken::{Algorithm as Known, EncodingKey, crypto};
use serde_json::json;

use super::*;

const NOW: u64 = 1_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn rules() -> Rules {
    Rules {
        algorithms: vec![Known::HS256.into()],
        issuers: vec!["https://id".into(), "https://id.old".into()],
        audiences: vec!["api".into(), "web".into()],
        kind: None,
        leeway: 30,
    }
}

fn head() -> Value {
    json!({ "alg": "HS256" })
}

fn claims() -> Value {
    json!({ "iss": "https://id", "aud": "api", "sub": "alice", "exp": NOW + 100 })
}

/// The same with this; null takes it out.
fn with(object: Value, name: &str, value: Value) -> Value {
    let Value::Object(mut object) = object else { panic!("an object") };
    match value {
        Value::Null => drop(object.remove(name)),
        value => drop(object.insert(name.into(), value)),
    }
    Value::Object(object)
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn signed(message: &str) -> String {
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Known::HS256);
    format!("{message}.{}", signature.expect("a signature"))
}

fn token(head: &Value, claims: &Value) -> String {
    signed(&format!("{}.{}", part(head.to_string()), part(claims.to_string())))
}

fn found(token: &str, rules: &Rules) -> Result<u64, Flaw> {
    verify(token, rules, &Keys::secret(SECRET), NOW).map(|verified| verified.until)
}

#[test]
fn a_token_that_is_right_tells_its_claims_and_until_when_it_holds() {
    let verified = verify(&token(&head(), &claims()), &rules(), &Keys::secret(SECRET), NOW).expect("a token");

    assert_eq!(verified.until, NOW + 130);
    assert_eq!(Value::Object(verified.claims), claims());
}

#[test]
fn what_has_not_three_parts_of_json_is_malformed() {
    let (head, claims) = (part(head().to_string()), part(claims().to_string()));
    let good = signed(&format!("{head}.{claims}"));
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        head.clone(),
        format!("{head}.{claims}"),
        format!(".{good}"),
        format!("{good}.x"),
        signed(&format!("{head}=.{claims}")),
        signed(&format!("{head} .{claims}")),
        signed(&format!("{}.{claims}", part("[]"))),
        signed(&format!("{}.{claims}", part("{\"alg\":\"HS256\""))),
        signed(&format!("{}.{claims}", part([b'{', 0xff, b'}']))),
        signed(&format!("{head}.")),
        signed(&format!("{head}.{}", part("\"exp\""))),
        signed(&format!("{head}.{}=", claims)),
    ] {
        assert_eq!(found(&text, &rules()), Err(Flaw::Malformed), "{text}");
    }
}

#[test]
fn one_that_is_too_long_is_none_whoever_has_signed_it() {
    let long = |length: usize| token(&head(), &with(claims(), "x", json!("x".repeat(length))));

    assert_eq!(found(&long(4000), &rules()), Ok(NOW + 130));
    assert_eq!(found(&long(LONGEST), &rules()), Err(Flaw::Malformed));
}

#[test]
fn nothing_in_its_head_decides_how_it_is_verified() {
    for (name, value, expected) in [
        ("alg", json!("none"), Flaw::Algorithm),
        ("alg", json!("None"), Flaw::Algorithm),
        ("alg", json!("hs256"), Flaw::Algorithm),
        ("alg", json!("HS512"), Flaw::Algorithm),
        ("alg", json!("RS256"), Flaw::Algorithm),
        ("alg", json!(""), Flaw::Algorithm),
        ("alg", json!(["HS256"]), Flaw::Malformed),
        ("alg", Value::Null, Flaw::Malformed),
        ("crit", json!(["exp"]), Flaw::Kind),
        ("crit", json!([]), Flaw::Kind),
        ("b64", json!(true), Flaw::Kind),
        ("b64", json!(false), Flaw::Kind),
        ("zip", json!("DEF"), Flaw::Kind),
        ("enc", json!("A128GCM"), Flaw::Kind),
        ("kid", json!(1), Flaw::Malformed),
        ("kid", json!(["1"]), Flaw::Malformed),
        ("typ", json!(1), Flaw::Malformed),
    ] {
        let token = token(&with(head(), name, value.clone()), &claims());
        assert_eq!(found(&token, &rules()), Err(expected), "{name} {value}");
    }
    for name in ["jku", "x5u", "x5c", "jwk"] {
        let token = token(&with(head(), name, json!("https://id.evil/keys")), &claims());
        assert_eq!(found(&token, &rules()), Ok(NOW + 130), "{name} is not looked at");
    }
}

#[test]
fn its_kind_is_one_that_is_taken() {
    let of_kind = |kind: Option<&str>| Rules { kind: kind.map(str::to_owned), ..rules() };
    for (typ, wanted, is_taken) in [
        (Value::Null, None, true),
        (json!("JWT"), None, true),
        (json!("at+jwt"), None, true),
        (json!("application/AT+JWT"), None, true),
        (json!("logout+jwt"), None, false),
        (json!(""), None, false),
        (json!("at+jwt"), Some("at+jwt"), true),
        (json!("Application/at+jwt"), Some("at+jwt"), true),
        (json!("JWT"), Some("at+jwt"), false),
        (Value::Null, Some("at+jwt"), false),
    ] {
        let expected = if is_taken { Ok(NOW + 130) } else { Err(Flaw::Kind) };
        let token = token(&with(head(), "typ", typ.clone()), &claims());
        assert_eq!(found(&token, &of_kind(wanted)), expected, "{typ} {wanted:?}");
    }
}

#[test]
fn a_signature_is_looked_at_before_what_it_signs() {
    let expired = token(&head(), &with(claims(), "exp", json!(1)));
    let (message, _) = expired.rsplit_once('.').expect("a signature");

    assert_eq!(found(&expired, &rules()), Err(Flaw::Expired));
    for signature in ["", "AAAA", "!", &part([0; 32])] {
        assert_eq!(found(&format!("{message}.{signature}"), &rules()), Err(Flaw::Signature), "{signature}");
    }
    let unknown = verify(&expired, &rules(), &Keys::default(), NOW).map(|verified| verified.until);
    assert_eq!(unknown, Err(Flaw::UnknownKey));
}

#[test]
fn it_holds_in_its_time_and_so_much_longer_as_clocks_may_differ() {
    for (name, value, expected) in [
        ("exp", json!(NOW - 29), Ok(NOW + 1)),
        ("exp", json!(NOW - 30), Err(Flaw::Expired)),
        ("exp", json!(0), Err(Flaw::Expired)),
        ("exp", json!(NOW as f64 + 0.5), Ok(NOW + 30)),
        ("exp", json!(1e300), Ok(u64::MAX)),
        ("exp", json!(u64::MAX), Ok(u64::MAX)),
        ("exp", json!(-1), Err(Flaw::Malformed)),
        ("exp", json!("1000100"), Err(Flaw::Malformed)),
        ("exp", json!(true), Err(Flaw::Malformed)),
        ("exp", Value::Null, Err(Flaw::Malformed)),
        ("nbf", json!(NOW + 30), Ok(NOW + 130)),
        ("nbf", json!(NOW + 31), Err(Flaw::Early)),
        ("nbf", json!("soon"), Err(Flaw::Malformed)),
        ("iat", json!(NOW + 1000), Ok(NOW + 130)),
    ] {
        let token = token(&head(), &with(claims(), name, value.clone()));
        assert_eq!(found(&token, &rules()), expected, "{name} {value}");
    }
}

#[test]
fn it_is_of_an_issuer_that_is_meant() {
    let nobody = Rules { issuers: Vec::new(), ..rules() };
    for (issuer, is_meant) in [
        (json!("https://id"), true),
        (json!("https://id.old"), true),
        (json!("https://id/"), false),
        (json!("HTTPS://ID"), false),
        (json!(["https://id"]), false),
        (json!(""), false),
        (Value::Null, false),
    ] {
        let expected = if is_meant { Ok(NOW + 130) } else { Err(Flaw::Issuer) };
        let token = token(&head(), &with(claims(), "iss", issuer.clone()));
        assert_eq!(found(&token, &rules()), expected, "{issuer}");
        assert_eq!(found(&token, &nobody), Ok(NOW + 130), "{issuer}");
    }
}

#[test]
fn it_is_for_us_and_not_for_somebody_else() {
    let nobody = Rules { audiences: Vec::new(), ..rules() };
    for (audience, is_ours, is_for_anybody) in [
        (json!("api"), true, false),
        (json!(["x", "web"]), true, false),
        (json!("apis"), false, false),
        (json!("API"), false, false),
        (json!(["x"]), false, false),
        (json!([]), false, false),
        (json!([["api"]]), false, false),
        (json!({ "api": true }), false, false),
        (Value::Null, false, true),
    ] {
        let expected = |is_meant| if is_meant { Ok(NOW + 130) } else { Err(Flaw::Audience) };
        let token = token(&head(), &with(claims(), "aud", audience.clone()));
        assert_eq!(found(&token, &rules()), expected(is_ours), "{audience}");
        assert_eq!(found(&token, &nobody), expected(is_for_anybody), "{audience} where nobody is named");
    }
}
