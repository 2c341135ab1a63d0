//! Limits, without sockets.

use serde_json::{Value, json};

use super::*;
use crate::{
    filters::testing::{self, passed, request},
    telemetry::metrics::Ledger,
};

fn limited(written: Value) -> [Step; 1] {
    [testing::built::<RateLimit>(written)]
}

/// The status and what is told of the limit, for one request.
async fn answer(steps: &[Step], fields: &[(&str, &str)]) -> (u16, String) {
    let response = passed(steps, &mut request("GET /", fields)).await;
    let told = response.headers.get(RATE_LIMIT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    (response.status.as_u16(), told.to_owned())
}

#[actix_rt::test]
async fn each_key_has_its_burst_and_is_told_what_is_left() {
    let steps = limited(json!({ "rate": "1/1h", "burst": 2, "key": "header:x-key", "name": "hourly" }));
    let alice = [("x-key", "alice")];

    assert_eq!(answer(&steps, &alice).await, (200, "\"hourly\";r=1;t=3600".into()));
    assert_eq!(answer(&steps, &alice).await, (200, "\"hourly\";r=0;t=7200".into()));
    assert_eq!(answer(&steps, &alice).await, (429, "\"hourly\";r=0;t=3600".into()));
    assert_eq!(answer(&steps, &[("x-key", "bob")]).await.0, 200);
}

#[actix_rt::test]
async fn a_refusal_says_when_to_come_back_and_which_limit_it_was() {
    let steps = limited(json!({ "rate": "60/1h", "burst": 1 }));
    answer(&steps, &[]).await;

    let refused = passed(&steps, &mut request("GET /", &[])).await;

    let Some(crate::http::Error::Refused(refusal)) = &refused.cause else { panic!("it is a refusal") };
    assert_eq!((refusal.status.as_u16(), refusal.problem_type()), (429, QUOTA_EXCEEDED.into()));
    assert_eq!(refusal.members, [("violated-policies", json!(["rate_limit"]))]);
    assert!(refusal.retry_after.is_some_and(|wait| wait > Duration::from_secs(58) && wait <= Duration::from_secs(60)));
    assert_eq!(refused.headers.get(RATE_LIMIT_POLICY).expect("it is told"), "\"rate_limit\";q=60;w=3600");
}

#[actix_rt::test]
async fn where_one_of_several_refuses_nothing_is_taken_of_the_others() {
    let steps = limited(json!([
        { "rate": "10/1h", "key": "ip" },
        { "rate": "1/1h", "key": "header:x-key" },
    ]));

    assert_eq!(answer(&steps, &[("x-key", "a")]).await.0, 200);
    for _ in 0..20 {
        assert_eq!(answer(&steps, &[("x-key", "a")]).await, (429, "\"rate_limit-2\";r=0;t=3600".into()));
    }

    let (status, told) = answer(&steps, &[("x-key", "b")]).await;
    assert_eq!(status, 200);
    assert!(told.starts_with("\"rate_limit-1\";r=8;"), "{told}");
}

#[actix_rt::test]
async fn of_two_filters_each_tells_of_its_own_limits() {
    let two = json!([{ "rate": "10/1h", "burst": 5, "name": "a" }, { "rate": "10/1h", "burst": 6, "name": "b" }]);
    let one = json!({ "rate": "10/1h", "burst": 7, "name": "c" });
    let steps = [testing::built::<RateLimit>(two), testing::built::<RateLimit>(one)];

    let response = passed(&steps, &mut request("GET /", &[])).await;

    let told: Vec<_> = response.headers.get_all(RATE_LIMIT).map(|value| value.to_str().expect("text")).collect();
    assert_eq!(told, ["\"c\";r=6;t=360", "\"a\";r=4;t=360, \"b\";r=5;t=360"]);
}

#[actix_rt::test]
async fn a_dry_run_refuses_nobody_and_counts_whom_it_would_have() {
    let ledger = Ledger::default();
    let settings =
        serde_json::from_value(json!([{ "rate": "1/1h", "dry_run": true }, { "rate": "3/1h" }])).expect("settings");
    let steps = [RateLimit::build(settings, &Site::new("rate_limit", &[], None, &ledger)).expect("good settings")];

    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(answer(&steps, &[]).await.0);
    }

    assert_eq!(told, [200, 200, 200, 429]);
    let would_refuse = ledger.events().into_iter().find(|((_, event), _)| *event == "would_refuse");
    assert_eq!(would_refuse.map(|(_, count)| count), Some(3));
}

#[actix_rt::test]
async fn what_is_only_rehearsed_takes_nothing() {
    let steps = limited(json!({ "rate": "1/1h" }));
    for _ in 0..5 {
        let mut exchange = request("GET /", &[]);
        exchange.is_rehearsal = true;
        assert_eq!(passed(&steps, &mut exchange).await.status, 200);
    }

    assert_eq!(answer(&steps, &[]).await.0, 200);
}

#[actix_rt::test]
async fn a_limit_that_is_not_told_is_still_held() {
    let steps = limited(json!({ "rate": "1/1h", "fields": false }));
    passed(&steps, &mut request("GET /", &[])).await;

    let refused = passed(&steps, &mut request("GET /", &[])).await;

    assert_eq!(refused.status, 429);
    assert!(!refused.headers.contains_key(RATE_LIMIT) && !refused.headers.contains_key(RATE_LIMIT_POLICY));
}

/// A million keys where 100,000 have room: those who have used up theirs stay refused, and what is set aside does not grow.
#[actix_rt::test]
async fn a_flood_of_new_keys_makes_it_forget_nobody() {
    let limit = testing::built::<RateLimit>(json!({ "rate": "1/1h", "burst": 1, "key": "header:x-key" }));
    let Step::Plain(limit) = limit else { panic!("it does not wait") };
    let mut exchange = request("GET /", &[("x-key", "")]);
    let mut ask = |key: &str| {
        exchange.headers.insert(HeaderName::from_static("x-key"), HeaderValue::from_str(key).expect("a value"));
        exchange.notes.clear();
        limit.on_request(&mut exchange).is_none()
    };
    let early: Vec<_> = (0..1000).map(|number| format!("early-{number}")).collect();
    let passed = early.iter().filter(|key| ask(key)).count();
    assert_eq!(passed, 1000);

    let flood = (0..1_000_000).filter(|number| ask(&format!("flood-{number}"))).count();

    assert_eq!(early.iter().filter(|key| ask(key)).count(), 0, "each of them has used up its own");
    // One for each of 200,010 places, and one for each of 13,334 sets that they share.
    assert!(flood < 200_010 + 13_334, "{flood} passed");
    assert!(flood > 190_000, "{flood} passed");
}

#[test]
fn what_is_wrong_is_told_at_its_key() {
    for (written, keys) in [
        (json!({}), &[""][..]),
        (
            json!({ "rate": "1/s", "burst": 0, "max_keys": 0, "name": "a\"b", "ipv6_prefix": 0 }),
            &["ipv6_prefix", "burst", "max_keys", "name"],
        ),
        (json!([{ "rate": "1/s", "name": "a" }, { "rate": "x" }]), &["1.rate"]),
        (json!([{ "rate": "1/s", "name": "a" }, { "rate": "2/s", "name": "a" }]), &["1.name"]),
        (json!({ "rate": "1/s", "key": "claim:sub" }), &["key"]),
        (json!({ "rate": "1/s", "key": ["ip", "identity"] }), &["key"]),
        (json!({ "rate": "1/s", "key": ["ip", "x"] }), &["key.1"]),
        (json!({ "rate": "1/365d", "burst": 4_000_000_000_u32 }), &["burst"]),
        (json!([]), &[""]),
        (json!("100/1m"), &[""]),
    ] {
        let told: Vec<_> =
            testing::problems::<RateLimit>(written.clone()).iter().map(|problem| problem.key.join(".")).collect();
        assert_eq!(told, keys, "{written}");
    }
    assert_eq!(testing::problems::<Quota>(json!({ "rate": "1/s", "key": ["claim:sub", "identity"] })), []);
}
