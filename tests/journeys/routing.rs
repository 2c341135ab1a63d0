//! Which route takes a request: what `explain` says is what happens.

use aqueduct::{
    Proxy,
    http::StatusCode,
    proxy::rehearsal,
    settings::{RouteDefaults, RouteSettings, Settings, route::RespondSettings, test::TestRequest},
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
    let text = "server.http.path.empty_segments = \"keep\"\n[routes]\n\"/go\" = { redirect = \"${rest}\" }\n";
    let proxy = TestProxy::with(text).start().await;

    let response = proxy.get("/go//evil.example/x").await;

    assert_eq!(response.header("location"), Some("/evil.example/x"));
}

/// What a route does: it leads to one of two origins, under a base or stripped, or elsewhere, or answers with its name.
#[derive(Debug, Clone)]
enum Does {
    Forward { origin: usize, base: &'static str, strip: bool },
    Redirect { to: &'static str },
    Respond,
}

fn settings(routes: &[(String, Does)], origins: &[Origin; 2]) -> Settings {
    let mut settings = Settings::default();
    for (pattern, does) in routes {
        let route = match does {
            Does::Forward { origin, base, strip } => {
                let to = format!("{}{base}", origins[*origin].url());
                // The endpoint tells who it is.
                let overrides = RouteDefaults { host: Some("upstream".into()), ..RouteDefaults::default() };
                RouteSettings { strip: *strip, overrides: overrides.into(), ..to.into() }
            }
            Does::Redirect { to } => RouteSettings { redirect: Some((*to).into()), ..RouteSettings::default() },
            Does::Respond => {
                let respond = RespondSettings { body: pattern.clone(), ..RespondSettings::default() };
                RouteSettings { respond: Some(Box::new(respond)), ..RouteSettings::default() }
            }
        };
        settings.routes.insert(pattern.clone(), route);
    }
    settings
}

fn route() -> impl Strategy<Value = (String, Does)> {
    let path = prop_oneof![
        4 => "(/[ab]{1,2}){1,2}/?",
        2 => Just("/".to_owned()),
        2 => "=(/[ab]{1,2}){1,3}",
        1 => "[ab]".prop_map(|letter| format!("~^/{letter}/(?<more>[a-c]+)")),
        1 => "[ab]".prop_map(|letter| format!("~^/{letter}")),
    ];
    let pattern = ("(GET |POST |)", "(a[.]test|[*][.]test|||)", path)
        .prop_map(|(method, host, path)| format!("{method}{host}{path}"));
    let does = prop_oneof![
        4 => (0..2_usize, prop_oneof![Just(""), Just("/base")], any::<bool>())
            .prop_map(|(origin, base, strip)| Does::Forward { origin, base, strip }),
        2 => prop_oneof![Just("https://new.example${rest}"), Just("${rest}"), Just("/moved?to=1")]
            .prop_map(|to| Does::Redirect { to }),
        2 => Just(Does::Respond),
    ];
    (pattern, does)
}

/// Method, target, and fields beside those that every request has.
fn request() -> impl Strategy<Value = (String, String, Vec<(&'static str, String)>)> {
    let method = prop_oneof![20 => "(GET|GET|POST|HEAD|OPTIONS)", 2 => "(BREW|CONNECT|TRACE)", 1 => "A{64,65}"];
    let target = prop_oneof![
        20 => "(/[ab]{1,2}|/[ab]/[|]a|/%61/[ab]){1,3}/?([?]q|[?]a\\[=[|]%20)?",
        4 => "(/[ab]{1,2}|/[.]{1,2}|/%2f|/[|]a|/){1,4}([?]100%)?",
        1 => "(http|https)://(a[.]test|b[.]test:80|x@a)(/[ab]){0,2}",
        1 => "http://a[.]test/(a{8160}|a{8180})",
        1 => "([*]|/a#b|a|//a|/a<b)",
    ];
    let host = || "(a[.]test|b[.]test|test|A[.]TEST:80)".prop_map(|host| vec![("host", host)]);
    let fields = prop_oneof![
        20 => host(),
        1 => (host(), host()).prop_map(|(one, other)| [one, other].concat()),
        1 => host().prop_map(|host| [host, vec![("transfer-encoding", "gzip".into())]].concat()),
        1 => host().prop_map(|host| [host, vec![("expect", "100-continue".into()), ("expect", "tea".into())]].concat()),
    ];
    (method, target, fields)
}

#[actix_rt::test]
async fn explain_and_the_live_request_always_agree() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let origins = [Origin::echo().start().await, Origin::echo().start().await];
    let tables = proptest::collection::vec(route(), 1..12);
    let requests = proptest::collection::vec(request(), 40);
    let mut agreed = 0;

    while agreed < 1200 {
        let routes = tables.new_tree(&mut runner).expect("a table").current();
        let settings = settings(&routes, &origins);
        // Two patterns may tie: then there is no plan, and nothing to compare.
        let Ok(proxy) = Proxy::from_settings(settings.clone()) else { continue };
        let plan = proxy.plan();
        let server = proxy::serve(proxy, settings, None);
        for (method, url, fields) in requests.new_tree(&mut runner).expect("requests").current() {
            let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let headers = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let request = TestRequest { method: method.clone(), url: url.clone(), headers, from: None };
            let told = rehearsal::rehearse(&plan, &request).expect("a request");

            let response = server.send(format!("{method} {url} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")).await;

            let shown = url.get(..60).unwrap_or(&url);
            let case = format!("{method} {shown} {fields:?} with {routes:?}:\n{told}\n{}", response.text());
            assert_eq!(response.status, told.status.unwrap_or(StatusCode::OK).as_u16(), "{case}");
            assert_eq!(response.header("location"), told.location.as_deref(), "{case}");
            if response.status == 200 && method != "HEAD" {
                let (text, route) = (response.text(), told.route.expect("one that took it"));
                match (told.path, told.upstream) {
                    (Some(path), Some(upstream)) => {
                        assert!(text.starts_with(&format!("{method} {path} HTTP/1.1\n")), "{case}");
                        let authority = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
                        assert!(upstream.starts_with(&format!("http://{authority}")), "{case}");
                    }
                    _ => assert_eq!(text, *route, "{case}"),
                }
            }
            agreed += 1;
        }
    }
}
