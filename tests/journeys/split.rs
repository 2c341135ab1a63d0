//! One route, several upstreams: each gets its share of the requests.

use aqueduct::settings::Settings;

use super::support::{
    origin::Origin,
    proxy::{Setup, TestProxy},
};

async fn origins() -> [Origin; 2] {
    [Origin::answering("old").start().await, Origin::answering("new").start().await]
}

/// Two upstreams, and a route that says this.
fn split([old, new]: &[Origin; 2], route: &str) -> Setup {
    TestProxy::with(&format!(
        "{route}\n[upstreams.web]\nservers = [{:?}]\n[upstreams.web_next]\nservers = [{:?}]\n",
        old.url(),
        new.url()
    ))
}

/// This many requests on one connection.
async fn ask(proxy: &TestProxy, times: usize) {
    let mut client = proxy.connect().await;
    for _ in 0..times {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[actix_rt::test]
async fn each_upstream_gets_its_share_of_the_requests() {
    let origins = origins().await;
    let proxy = split(&origins, "routes.\"/\".to = { web = 90, web_next = 10 }").start().await;

    ask(&proxy, 2000).await;

    // 200 of 2,000 within five standard deviations of 13.4: it is otherwise once in 1,700,000 runs.
    let [old, new] = origins.each_ref().map(Origin::requests_seen);
    assert!((133..=267).contains(&new) && old + new == 2000, "{old} and {new}");
}

#[actix_rt::test]
async fn an_upstream_without_weight_gets_nothing() {
    let origins = origins().await;
    let proxy = split(&origins, "routes.\"/\".to = { web = 1, web_next = 0 }").start().await;

    ask(&proxy, 200).await;

    assert_eq!(origins.map(|origin| origin.requests_seen()), [200, 0]);
}

#[actix_rt::test]
async fn the_sides_may_be_urls_each_with_a_path_of_its_own() {
    let [old, new] = [Origin::echo().start().await, Origin::echo().start().await];
    let text =
        format!("routes.\"/api\" = {{ to = {{ \"{}/v1\" = 1, \"{}/v2\" = 1 }}, strip = true }}", old.url(), new.url());
    let proxy = TestProxy::with(&text).start().await;

    // None of sixty comes to one of them once in 2^59 runs.
    let (mut first, mut second) = (0, 0);
    for _ in 0..60 {
        match proxy.get("/api/x").await.text().lines().next() {
            Some("GET /v1/x HTTP/1.1") => first += 1,
            Some("GET /v2/x HTTP/1.1") => second += 1,
            other => panic!("{other:?}"),
        }
    }

    assert_eq!((old.requests_seen(), new.requests_seen()), (first, second));
    assert!(first > 0 && second > 0, "{first} and {second}");
}

#[actix_rt::test]
async fn a_canary_that_is_taken_back_gets_nothing_from_the_reload_on() {
    let origins = origins().await;
    let proxy = split(&origins, "routes.\"/\".to = { web = 1, web_next = 1 }").start().await;
    ask(&proxy, 60).await;
    let seen = origins[1].requests_seen();
    assert!(seen > 0, "none of sixty once in 2^60 runs");

    let mut settings: Settings = proxy.proxy.plan().settings.clone();
    settings.routes.insert("/".into(), aqueduct::settings::Destination::from([("web", 1), ("web_next", 0)]).into());
    proxy.proxy.reload(settings).expect("they are good");
    ask(&proxy, 60).await;

    assert_eq!(origins[1].requests_seen(), seen);
}

#[actix_rt::test]
async fn the_access_log_says_which_side_a_request_took() {
    let origins = origins().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let route = format!(
        "routes.\"/\".to = {{ web = 0, web_next = 1 }}\nlog.access = {{ path = {log:?}, format = \"${{route}} ${{upstream}}\" }}"
    );
    let proxy = split(&origins, &route).start().await;

    ask(&proxy, 1).await;
    proxy.stop();
    proxy.outcome();

    assert_eq!(std::fs::read_to_string(log).expect("it was written"), "/ web_next\n");
}
