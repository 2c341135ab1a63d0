//! What templates write, and what is told of those that are wrong.

use super::*;
use crate::{
    exchange::Identity,
    language::tests::{Shown, request},
};

fn asked(fields: &[(&str, &str)]) -> Exchange {
    request("GET /a%20b?x=1&y=%0d%0aset-cookie:%20a&z=1&z=2&u=a/b%3f%C3%A9", fields, "::ffff:192.0.2.1")
}

fn field(text: &str, exchange: &Exchange) -> Option<String> {
    let template = Template::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    template.field(exchange).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[test]
fn a_text_is_made_of_what_the_request_tells() {
    let mut exchange = asked(&[("X-Tier", "gold"), ("x", "1"), ("x", "2"), ("cookie", "a=1; b=2"), ("cookie", "b=3")]);
    let serde_json::Value::Object(claims) = serde_json::json!({ "roles": ["a", 2, true], "deep": { "n": 0.5 } }) else {
        unreachable!("an object")
    };
    exchange.identities.push(Identity { scheme: "jwt", subject: Some("alice".into()), claims });
    exchange.downstream = Some(Shown::certificate());
    for (text, expected) in [
        ("plain", Some("plain")),
        ("", Some("")),
        ("<${client.ip}>", Some("<192.0.2.1>")),
        ("${method} ${scheme}://${host}${path}?${query.x}", Some("GET http://shop.example/a%20b?1")),
        ("${host.0}|${host.1}", Some("shop|example")),
        ("${header.x-tier}${header.X-TIER}", Some("goldgold")),
        ("${header.x}", Some("1, 2")),
        ("${header.cookie}", Some("a=1; b=2; b=3")),
        ("${cookie.a}", Some("1")),
        ("${query.u}", Some("a/b?\u{e9}")),
        ("${claim.sub} ${claim.roles} ${claim.deep.n}", Some("alice a,2,true 0.5")),
        ("${client_cert.subject}; ${client_cert.names}", Some("CN=alice; DNS:a,DNS:b")),
        ("${content_length}", Some("0")),
        ("$${path} $$ ${host}$ $", Some("${path} $$ shop.example$ $")),
        // Missing, or nobody knows which is meant.
        ("a ${header.y}", None),
        ("a ${query.w}", None),
        ("a ${query.z}", None),
        ("a ${cookie.b}", None),
        ("a ${claim.nobody}", None),
        ("a ${claim.deep}", None),
        ("a ${host.2}", None),
        ("a ${content_type}", None),
    ] {
        assert_eq!(field(text, &exchange).as_deref(), expected, "{text}");
    }
    assert_eq!(field("${request_id}", &exchange).as_deref(), Some(exchange.id().as_str()));
}

#[test]
fn no_value_of_a_client_brings_a_line_or_a_control_byte() {
    let exchange = asked(&[("x-tab", "a\tb")]);

    for text in ["${query.y}", "a${query.y}b", "${header.x-tab}"] {
        assert_eq!(field(text, &exchange), None, "{text}");
    }
    let url = Template::parse("/to?y=${query.y}").expect("a template").url(&exchange, |_| "".into());
    assert_eq!(url, "/to?y=");
}

#[test]
fn an_address_has_no_labels() {
    for host in ["192.0.2.1", "[2001:db8::1]", ""] {
        let mut exchange = asked(&[]);
        exchange.authority = crate::exchange::Authority::new(host.into(), host.len());

        assert_eq!(field("${host.0}", &exchange), None, "{host}");
    }
}

#[test]
fn in_a_url_values_are_encoded_and_what_is_missing_is_empty() {
    let template = Template::parse_with("https://${host.0}.new${path}${rest}?u=${query.u}&w=${query.w}", &["rest"]);
    let template = template.expect("a template");

    let url = template.url(&asked(&[]), |name| format!("/{name}").into());

    assert_eq!(url, "https://shop.new/a%20b/rest?u=a%2Fb%3F%C3%A9&w=");
    assert_eq!(template.beginning(), "https://");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_a_way_out() {
    for (text, at, what, help) in [
        ("a ${pth}", "pth", "no variable `pth`", "did you mean `path`?"),
        ("${client_cert.subjec}", "client_cert.subjec", "no variable", "did you mean `client_cert.subject`?"),
        ("${headers.x-a}", "headers.x-a", "no variable", "did you mean `header.x-a`?"),
        ("${header}", "header", "no variable", "did you mean `header.NAME`?"),
        ("${header.a b}", "header.a b", "not a header field name", "such as"),
        ("${header.host}", "header.host", "is settled", "`host`"),
        ("${host.x}", "host.x", "no variable", ""),
        ("${}", "", "no variable ``", "one of client.ip, "),
        ("a ${path", "${path", "does not end", "} is missing"),
        ("${rst}", "rst", "no variable", "did you mean `rest`?"),
        ("a\r\nb", "\r", "a control character", "line breaks"),
    ] {
        let fault = Template::parse_with(text, &["rest"]).expect_err(text);

        assert!(fault.what.contains(what), "{text}: {}", fault.what);
        assert!(fault.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", fault.help);
        assert_eq!(&text[fault.at.clone()], at, "{text}");
    }
}
