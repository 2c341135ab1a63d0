//! Which route takes a request: what `explain` says is what happens.

use aqueduct::{
    Proxy,
    http::StatusCode,
    plan::Plan,
    proxy::rehearsal,
    settings::{
        RouteSettings, Settings,
        route::{RespondSettings, TestRequest},
    },
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::support::{
    origin::Origin,
    proxy::{self, TestProxy},
};

#[actix_rt::test]
async fn a_route_takes_whole_segments_strips_and_puts_in_front() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let text = format!(
        "[routes]\n\"/api\" = \"{url}\"\n\"/shop\" = {{ to = \"{url}\", strip = true }}\n\
         \"/v2\" = {{ to = \"{url}/base\", strip = true }}\n\"/old\" = {{ redirect = \"/new${{rest}}\" }}\n\
         \"~^/u/(?<name>[a-z]+)$\" = {{ redirect = \"/users/${{name}}\", status = 302 }}\n\
         \"=/ping\" = {{ respond = {{ body = \"pong\" }} }}\n"
    );
    let proxy = TestProxy::with(&text).start().await;

    for (path, status, expected) in [
        ("/api/x?y=1", 200, "GET /api/x?y=1 "),
        ("/apix", 404, ""),
        ("/shop", 200, "GET / "),
        ("/shop/a%20b/../c", 200, "GET /c "),
        ("/v2", 200, "GET /base "),
        ("/v2/a?b", 200, "GET /base/a?b "),
        ("/old/a?b=1", 308, "/new/a?b=1"),
        ("/u/ada", 302, "/users/ada"),
        ("/ping", 200, "pong"),
        ("/ping/", 404, ""),
    ] {
        let response = proxy.get(path).await;
        let seen = response.header("location").map_or_else(|| response.text(), str::to_owned);
        assert_eq!(response.status, status, "{path}");
        assert!(status == 404 || seen.starts_with(expected), "{path}: {seen}");
    }
}

#[actix_rt::test]
async fn a_redirect_cannot_be_turned_to_another_host() {
    let text = "[routes]\n\"/go\" = { redirect = \"${rest}\" }\n";
    let proxy = TestProxy::with(text).start().await;

    let response = proxy.get("/go//evil.example/x").await;

    assert_eq!(response.header("location"), Some("/evil.example/x"));
}

/// Routes that answer with their own names.
fn settings(patterns: &[String]) -> Settings {
    let mut settings = Settings::default();
    for pattern in patterns {
        let respond = RespondSettings { body: pattern.clone(), ..RespondSettings::default() };
        settings.routes.insert(pattern.clone(), RouteSettings { respond: Some(respond), ..RouteSettings::default() });
    }
    settings
}

fn pattern() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        4 => "(/[ab]{1,2}){1,3}/?",
        1 => Just("/".to_owned()),
        2 => "=(/[ab]{1,2}){1,3}",
        1 => "[ab]".prop_map(|letter| format!("~^/{letter}/(?<more>[a-c]+)")),
    ];
    ("(GET |POST |)", "(a[.]test|[*][.]test|)", path).prop_map(|(method, host, path)| format!("{method}{host}{path}"))
}

#[actix_rt::test]
async fn explain_and_the_live_request_always_agree() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let tables = proptest::collection::btree_set(pattern(), 1..8);
    let requests = proptest::collection::vec(
        (
            "(GET|POST|HEAD|BREW)",
            "(a[.]test|b[.]test|test|A[.]TEST:80)",
            "(/[ab]{1,2}|/[.]{1,2}|/%61|/%2f){1,4}/?([?]q)?",
        ),
        40,
    );
    let mut agreed = 0;

    while agreed < 400 {
        let patterns: Vec<String> = tables.new_tree(&mut runner).expect("a table").current().into_iter().collect();
        // Two patterns may tie: then there is no plan, and nothing to compare.
        let Ok(proxy) = Proxy::from_settings(settings(&patterns)) else { continue };
        let plan = proxy.plan();
        let server = proxy::serve(proxy, settings(&patterns), None);
        for (method, host, path) in requests.new_tree(&mut runner).expect("requests").current() {
            let headers = vec![("host".to_owned(), host.clone())];
            let told = rehearsed(&plan, TestRequest { method: method.clone(), url: path.clone(), headers, from: None });

            let response =
                server.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;

            let body = if method == "HEAD" { None } else { Some(response.text()) };
            let seen = (response.status, body.filter(|_| response.status == 200));
            let expected = (told.0, told.1.filter(|_| method != "HEAD"));
            assert_eq!(seen, expected, "{method} {host} {path} with {patterns:?}");
            agreed += 1;
        }
    }
}

fn rehearsed(plan: &Plan, request: TestRequest) -> (u16, Option<String>) {
    let outcome = rehearsal::rehearse(plan, &request).expect("a request");
    let status = outcome.status.unwrap_or(StatusCode::OK).as_u16();
    (status, outcome.route.map(|route| route.to_string()))
}
