//! What rules say of answers, without a socket; tests/journeys/response_rules.rs has what endpoints send and clients try.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    filters::{
        End, pass,
        testing::{built, problems, request},
    },
    http::{HeaderName, HeaderValue},
};

/// An endpoint that answers with this, once.
struct Saying(std::cell::RefCell<Option<Response>>);

impl End for Saying {
    async fn send(&self, _: &mut Exchange) -> Response {
        self.0.take().expect("it is asked once")
    }

    fn show(&self, _: &mut Exchange, mut refused: Response) -> Response {
        refused.status = refused.cause.as_ref().map_or(refused.status, |cause| cause.status());
        refused.is_shown = true;
        refused
    }
}

fn answer(status: u16, fields: &[(&'static str, &'static str)], body: ResponseBody) -> Response {
    let mut response = Response::new(StatusCode::from_u16(status).expect("a status"));
    for &(name, value) in fields {
        response.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.body = body;
    response
}

fn content() -> ResponseBody {
    ResponseBody::Bytes(Bytes::from_static(b"hello"))
}

/// The answer gets out.
async fn gets_out(settings: &Value, line: &str, response: Response) -> bool {
    let steps = [built::<ResponseRules>(settings.clone())];
    let end = Saying(Some(response).into());
    let response = pass(&steps, &mut request(line, &[("x-a", "1")]), &end).await;
    assert_eq!(response.cause.is_some(), response.status == StatusCode::BAD_GATEWAY && response.headers.is_empty());
    response.cause.is_none()
}

#[actix_rt::test]
async fn a_rule_is_against_an_answer_of_which_all_of_it_holds() {
    let settings = json!({ "deny": [
        { "status": [500, "4xx"], "content_types": "text/html" },
        { "headers": { "x-debug": "*", "server": "php/*" } },
        { "content_types": ["application/x-sql"], "when": "path == '/a'" },
    ] });
    for (line, status, fields, expected) in [
        ("GET /", 500, &[("content-type", "text/html; charset=x")][..], false),
        ("GET /", 404, &[("content-type", "Text/HTML")], false),
        ("GET /", 500, &[("content-type", "text/plain")], true),
        ("GET /", 502, &[("content-type", "text/html")], true),
        ("GET /", 500, &[], true),
        ("GET /", 200, &[("x-debug", ""), ("server", "PHP/5")], false),
        ("GET /", 200, &[("x-debug", "1"), ("server", "nginx"), ("server", "php/5")], false),
        ("GET /", 200, &[("x-debug", "1"), ("server", "nginx php/5")], true),
        ("GET /", 200, &[("server", "php/5")], true),
        ("GET /a", 200, &[("content-type", "application/x-sql")], false),
        ("GET /a", 200, &[("content-type", "text/html"), ("content-type", "application/x-sql")], false),
        ("GET /a", 200, &[("content-type", "application/x-sql, text/html")], false),
        ("GET /a", 206, &[("content-type", "multipart/byteranges; boundary=b")], false),
        ("GET /b", 200, &[("content-type", "application/x-sql")], true),
        ("HEAD /a", 200, &[("content-type", "application/x-sql")], false),
    ] {
        assert_eq!(gets_out(&settings, line, answer(status, fields, content())).await, expected, "{line} {fields:?}");
    }
}

#[actix_rt::test]
async fn content_is_of_a_listed_type_or_there_is_none() {
    let settings = json!({ "content_types": ["text/*", "application/json"] });
    for (line, status, fields, body, expected) in [
        ("GET /", 200, &[("content-type", "text/html")][..], content(), true),
        ("GET /", 200, &[("content-type", "APPLICATION/json ;a=b")], content(), true),
        ("GET /", 200, &[("content-type", "image/png")], content(), false),
        ("GET /", 404, &[("content-type", "image/png")], content(), false),
        ("GET /", 200, &[], content(), false),
        ("GET /", 200, &[("content-type", "text/html"), ("content-type", "text/html")], content(), false),
        ("GET /", 200, &[("content-type", "text/html, image/png")], content(), false),
        ("GET /", 204, &[], ResponseBody::Empty, true),
        ("GET /", 200, &[("content-type", "image/png")], ResponseBody::Empty, true),
        ("GET /", 304, &[], ResponseBody::Announced(5), true),
        ("HEAD /", 200, &[("content-type", "image/png")], ResponseBody::Announced(5), false),
        ("HEAD /", 200, &[("content-type", "text/html")], ResponseBody::Announced(5), true),
        ("HEAD /", 200, &[], ResponseBody::Empty, true),
    ] {
        assert_eq!(
            gets_out(&settings, line, answer(status, fields, body)).await,
            expected,
            "{line} {status} {fields:?}"
        );
    }
}

#[actix_rt::test]
async fn no_more_is_announced_than_may_get_out() {
    let settings = json!({ "max_body": "4B" });
    for (line, status, body, expected) in [
        ("GET /", 200, content(), false),
        ("GET /", 200, ResponseBody::Bytes(Bytes::from_static(b"four")), true),
        ("HEAD /", 200, ResponseBody::Announced(5), false),
        ("GET /", 304, ResponseBody::Announced(5), true),
        ("GET /", 200, ResponseBody::Empty, true),
    ] {
        assert_eq!(gets_out(&settings, line, answer(status, &[], body)).await, expected, "{line} {status}");
    }
}

#[actix_rt::test]
async fn what_the_proxy_says_itself_is_not_looked_at() {
    let settings = json!({ "content_types": "text/html", "deny": [{ "status": "5xx" }] });
    let steps = [built::<ResponseRules>(settings)];
    let own = Response { cause: Some(crate::http::Error::NoEndpoint), is_shown: true, ..answer(503, &[], content()) };

    let response = pass(&steps, &mut request("GET /", &[]), &Saying(Some(own).into())).await;

    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[actix_rt::test]
async fn who_asks_for_several_parts_gets_the_whole_where_types_are_asked_for() {
    let (by_type, by_size) = (json!({ "deny": [{ "content_types": "a/b" }] }), json!({ "max_body": "1KiB" }));
    for (settings, ranges, expected) in [
        (&by_type, &["bytes=0-1,3-4"][..], false),
        (&by_type, &["bytes=0-1", "bytes=3-4"], false),
        (&by_type, &["bytes=0-1"], true),
        (&by_size, &["bytes=0-1,3-4"], true),
    ] {
        let steps = [built::<ResponseRules>(settings.clone())];
        let fields: Vec<_> = ranges.iter().map(|range| ("range", *range)).chain([("if-range", "\"a\"")]).collect();
        let mut exchange = request("GET /", &fields);

        pass(&steps, &mut exchange, &Saying(Some(answer(204, &[], ResponseBody::Empty)).into())).await;

        let left = [header::RANGE, header::IF_RANGE].map(|name| exchange.headers.contains_key(name));
        assert_eq!(left, [expected; 2], "{ranges:?}");
    }
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let told = problems::<ResponseRules>(json!({ "content_types": ["json"], "deny": [
        { "when": "path == '/a'" },
        { "when": "pth == '/a'", "status": 500 },
        { "content_types": ["text"], "headers": { "a b": "*" } },
    ] }));

    let told: Vec<_> = told.iter().map(|problem| (problem.key.join("."), problem.help.is_some())).collect();
    let expected = ["content_types.0", "deny.0", "deny.1.when", "deny.2.content_types.0", "deny.2.headers.a b"];
    assert_eq!(told, expected.map(|key| (key.to_owned(), true)));
    assert_eq!(problems::<ResponseRules>(json!({})).len(), 1);
    assert_eq!(problems::<ResponseRules>(json!({ "deny": vec![json!({ "status": 500 }); 65] })).len(), 1);
}
