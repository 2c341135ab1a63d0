//! What holds for every condition and every request.

use proptest::prelude::*;

use super::{Condition, condition, request, verdicts};
use crate::{
    exchange::{Exchange, Identity},
    http::{HeaderValue, header},
};

/// A comparison that is right by its types.
fn comparison() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "method",
        "host",
        "header('x')",
        "header('y')",
        "any(header('x'))",
        "query('x')",
        "cookie('x')",
        "claim('x')",
        "content_type",
        "client_cert.subject",
        "any(client_cert.names)",
    ]);
    let string = prop::sample::select(vec!["'a'", "'b'", "\"a\"", "''", "'it\\'s'", "'a\\\\'"]);
    let operator = prop::sample::select(vec!["==", "!=", "contains", "ends_with", "matches"]);
    prop_oneof![
        // What no method can be, and no expression, is refused.
        (text.clone(), operator, string.clone())
            .prop_filter("an expression", |(_, operator, string)| {
                *operator != "matches" || !string.ends_with("\\\\'")
            })
            .prop_map(|(value, operator, string)| format!("{value} {operator} {string}")),
        (text, string.clone(), string).prop_map(|(value, one, other)| format!("{value} in [{one}, {other}]")),
        prop::sample::select(vec![
            "has(header('x'))",
            "has(claim('x'))",
            "'a' in claim('x')",
            "claim('x') == true",
            "claim('x') > 3",
            "content_length <= 10",
            "client.ip in cidr('10.0.0.0/8', 'fd00::/8')",
            "client.ip != '192.0.2.1'",
            "path starts_with '/a'",
            "path == '/a b'",
            "path matches '^/[ab]\\\\.?$'",
        ])
        .prop_map(str::to_owned),
    ]
    .prop_filter("methods are in capitals", |text| Condition::parse(text).is_ok())
}

fn text_of_a_condition() -> impl Strategy<Value = String> {
    comparison().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("not ({inner})")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}) and {other}")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("{one} || ({other})")),
        ]
    })
}

/// What a request is made of.
#[derive(Debug)]
struct Sketch {
    target: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    cookie: &'static str,
    from: &'static str,
    claim: Option<serde_json::Value>,
}

impl Sketch {
    fn exchange(&self) -> Exchange {
        let mut exchange = request(&format!("GET {}", self.target), &self.fields, self.from);
        exchange.headers.append(header::COOKIE, HeaderValue::from_static(self.cookie));
        if let Some(claim) = &self.claim {
            let claims = [("x".to_owned(), claim.clone())].into_iter().collect();
            exchange.identities.push(Identity { claims, ..Identity::default() });
        }
        exchange
    }
}

prop_compose! {
    fn any_request()(
        target in prop::sample::select(vec!["/a", "/a%20b", "/b.?x=a", "/?x=a&x=b", "//a?%78=ab", "/c?x"]),
        fields in prop::collection::vec((
            prop::sample::select(vec!["x", "y", "content-type", "x_"]),
            prop::sample::select(vec!["", "a", "b", "ab", "it's", "a\\"]),
        ), 0..4),
        cookie in prop::sample::select(vec!["", "x=a", "x=a; x=b"]),
        from in prop::sample::select(vec!["10.1.1.1", "192.0.2.1", "::ffff:10.0.0.1", "fd00::1"]),
        claim in prop::option::of(prop::sample::select(vec![
            serde_json::json!("a"), serde_json::json!(["a", "b"]), serde_json::json!(4), serde_json::json!(true),
        ])),
    ) -> Sketch {
        Sketch { target, fields, cookie, from, claim }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(text in text_of_a_condition(), sketch in any_request()) {
        let exchange = sketch.exchange();
        let first = condition(&text);
        let again = condition(&first.to_string());

        prop_assert_eq!(again.to_string(), first.to_string());
        prop_assert_eq!(again.holds(&exchange), first.holds(&exchange));
        prop_assert_eq!(again.may_hold(&exchange), first.may_hold(&exchange));
    }

    #[test]
    fn what_surely_holds_may_hold_and_not_turns_one_into_the_other(text in text_of_a_condition(), sketch in any_request()) {
        let exchange = sketch.exchange();
        let (holds, may_hold) = verdicts(&text, &exchange);
        let negated = verdicts(&format!("not ({text})"), &exchange);

        prop_assert!(may_hold || !holds);
        prop_assert_eq!(negated, (!may_hold, !holds));
    }

    #[test]
    fn de_morgan_was_right(one in text_of_a_condition(), other in text_of_a_condition(), sketch in any_request()) {
        let exchange = sketch.exchange();
        for (left, right) in [
            (format!("not (({one}) and ({other}))"), format!("not ({one}) or not ({other})")),
            (format!("not (({one}) or ({other}))"), format!("not ({one}) and not ({other})")),
        ] {
            prop_assert_eq!(verdicts(&left, &exchange), verdicts(&right, &exchange));
        }
    }

    #[test]
    fn no_text_at_all_breaks_the_reader(text in "[a-z_.()\\[\\]'\"=!<>&|, 0-9\\\\\u{e9}-]{0,60}") {
        if let Err(fault) = Condition::parse(&text) {
            prop_assert!(text.get(fault.at.clone()).is_some(), "{:?}", fault);
        }
    }
}
