//! One route, several upstreams: each gets its share of the requests.

use aqueduct::settings::{Destination, Settings};

use super::{
    access_log,
    support::{
        browser::Browser,
        origin::Origin,
        proxy::{Setup, TestProxy},
    },
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

    reweighed(&proxy, 1, 0);
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

    assert_eq!(access_log::lines(&proxy, &log, 1).await, ["/ web_next"]);
}

const COHORT: &str = "sticky = { cookie = \"cohort\", ttl = \"7d\" }";

/// So many clients who have been here once, and the side each of them came to.
async fn clients(proxy: &TestProxy, count: usize) -> Vec<(Browser, String)> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Browser::at(proxy.address);
        let side = client.read("/").await;
        clients.push((client, side));
    }
    clients
}

fn reweighed(proxy: &TestProxy, old: u32, new: u32) {
    let mut settings: Settings = proxy.proxy.plan().settings.clone();
    settings.routes["/"].to = Some(Destination::from([("web", old), ("web_next", new)]));
    proxy.proxy.reload(settings).expect("they are good");
}

#[actix_rt::test]
async fn a_client_keeps_its_side_and_is_told_once() {
    let origins = [Origin::echo().start().await, Origin::echo().start().await];
    let proxy =
        split(&origins, &format!("routes.\"/\" = {{ to = {{ web = 1, web_next = 1 }}, {COHORT} }}")).start().await;
    let mut client = Browser::at(proxy.address).with("cart", "17");

    let first = client.get("/").await;
    for _ in 0..40 {
        let response = client.get("/").await;
        assert_eq!((response.status, response.header("set-cookie")), (200, None));
        let told = response.text().to_ascii_lowercase();
        assert!(told.contains("\ncookie: cart=17\n"), "it is none of the endpoint's business: {told}");
    }

    let cookie = first.header("set-cookie").expect("a cookie");
    assert!(cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(first.headers("cache-control"), ["private"]);
    let mut seen = origins.map(|origin| origin.requests_seen());
    seen.sort_unstable();
    assert_eq!(seen, [0, 41]);
}

#[actix_rt::test]
async fn when_more_clients_get_the_canary_none_that_had_it_loses_it() {
    let origins = origins().await;
    let proxy =
        split(&origins, &format!("routes.\"/\" = {{ to = {{ web = 75, web_next = 25 }}, {COHORT} }}")).start().await;
    let mut clients = clients(&proxy, 300).await;
    // Within five standard deviations of 7.5.
    let before = clients.iter().filter(|(_, side)| side == "new").count();
    assert!((38..=112).contains(&before), "{before} of 300");

    reweighed(&proxy, 50, 50);

    let mut after = 0;
    for (client, before) in &mut clients {
        let side = client.read("/").await;
        assert!(side == *before || side == "new", "from {before} to {side}");
        after += usize::from(side == "new");
    }
    // Within five standard deviations of 8.7.
    assert!((107..=193).contains(&after), "{after} of 300");
}

#[actix_rt::test]
async fn a_canary_that_is_taken_back_keeps_nobody_and_gives_all_back_who_had_it() {
    let origins = origins().await;
    let proxy =
        split(&origins, &format!("routes.\"/\" = {{ to = {{ web = 1, web_next = 1 }}, {COHORT} }}")).start().await;
    let mut clients = clients(&proxy, 20).await;

    reweighed(&proxy, 1, 0);
    for (client, _) in &mut clients {
        assert_eq!(client.read("/").await, "old");
    }

    reweighed(&proxy, 1, 1);
    for (client, before) in &mut clients {
        assert_eq!(client.read("/").await, *before);
    }
}

#[actix_rt::test]
async fn what_is_no_number_of_ours_is_replaced() {
    let origins = origins().await;
    let proxy =
        split(&origins, &format!("routes.\"/\" = {{ to = {{ web = 1, web_next = 1 }}, {COHORT} }}")).start().await;
    let mut known = Browser::at(proxy.address);
    known.read("/").await;
    let good = known.cookies["cohort"].clone();

    for value in [
        "",
        "new",
        "web_next",
        "0123456789abcdef",
        &good.to_uppercase().replace(char::is_numeric, "A"),
        &good.repeat(50),
    ] {
        let mut client = Browser::at(proxy.address).with("cohort", value);
        let response = client.get("/").await;

        assert_eq!((response.status, response.headers("set-cookie").len()), (200, 1), "{value}");
        let side = response.text();
        assert_eq!([client.read("/").await, client.read("/").await], [side.clone(), side], "{value}");
    }
}

#[actix_rt::test]
async fn a_client_keeps_its_side_and_its_endpoint_there() {
    let origins = [Origin::answering("one").start().await, Origin::answering("two").start().await];
    let text = format!(
        "routes.\"/\" = {{ to = {{ web = 1, \"http://127.0.0.1:9\" = 0 }}, {COHORT} }}\n[upstreams.web]\n\
         servers = [{:?}, {:?}]\nsticky = {{ cookie = \"web_at\" }}\n",
        origins[0].url(),
        origins[1].url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut client = Browser::at(proxy.address);

    let first = client.get("/").await;
    for _ in 0..20 {
        assert_eq!(client.read("/").await, first.text());
    }

    assert_eq!(first.headers("set-cookie").len(), 2);
    assert_eq!(first.headers("cache-control"), ["private"]);
}
