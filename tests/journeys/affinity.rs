//! Clients that stay with their endpoint.

use std::time::{Duration, SystemTime};

use aqueduct::{
    http::{HeaderMap, cookies::OwnCookie, header},
    settings::server::Workers,
    upstream::affinity::Affinity,
};

use super::support::{
    browser::Browser,
    h2::{H2, request_with},
    origin::Origin,
    proxy::{Setup, TestProxy},
    tls::{Authority, connect},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Endpoints that answer with their names.
async fn endpoints<const N: usize>() -> [Origin; N] {
    let mut started = Vec::new();
    for name in ["one", "two", "three", "four"].into_iter().take(N) {
        started.push(Origin::answering(name).start().await);
    }
    started.try_into().unwrap_or_else(|_| unreachable!("there are as many"))
}

/// A proxy that keeps clients with one of these, and otherwise asks them in turn.
fn shop<'o>(endpoints: impl IntoIterator<Item = &'o Origin>, more: &str) -> Setup {
    let urls: Vec<_> = endpoints.into_iter().map(Origin::url).collect();
    TestProxy::with(&format!(
        "routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = {urls:?}\nbalance = \"round_robin\"\n\
         sticky = {{ cookie = \"srv\", secret = {SECRET:?} }}\n{more}\n"
    ))
}

#[actix_rt::test]
async fn a_client_stays_with_its_endpoint_and_is_told_once() {
    let endpoints = endpoints::<3>().await;
    let proxy = shop(&endpoints, "").start().await;
    let mut client = Browser::at(proxy.address);

    let first = client.get("/").await;
    for _ in 0..50 {
        let response = client.get("/").await;
        assert_eq!((response.text(), response.header("set-cookie")), (first.text(), None));
    }

    let cookie = first.header("set-cookie").expect("a cookie");
    assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(first.headers("cache-control"), ["private"], "nobody else is to have it from a cache");
    assert!(!cookie.contains("127.0.0.1"), "{cookie}");
}

#[actix_rt::test]
async fn clients_are_spread_over_the_endpoints() {
    let endpoints = endpoints::<3>().await;
    let proxy = shop(&endpoints, "").start().await;

    let mut homes = Vec::new();
    for _ in 0..6 {
        let mut client = Browser::at(proxy.address);
        homes.push(client.read("/").await);
        assert_eq!(client.read("/").await, homes[homes.len() - 1]);
    }

    homes.sort();
    assert_eq!(homes, ["one", "one", "three", "three", "two", "two"]);
}

#[actix_rt::test]
async fn an_endpoint_sees_the_cookies_of_others_only() {
    let endpoint = Origin::echo().start().await;
    let proxy = shop([&endpoint], "").start().await;
    let mut client = Browser::at(proxy.address).with("cart", "17").with("zone", "b");

    client.read("/").await;
    let told = client.read("/").await;

    assert!(told.to_ascii_lowercase().contains("\ncookie: cart=17; zone=b\n"), "{told}");
    assert!(!told.contains("srv="), "{told}");
}

#[actix_rt::test]
async fn what_is_no_cookie_of_ours_is_replaced() {
    let endpoints = endpoints::<2>().await;
    let proxy = shop(&endpoints, "").start().await;
    let mut known = Browser::at(proxy.address);
    known.read("/").await;
    let good = known.cookies["srv"].clone();
    let changed = if good.starts_with('0') { good.replacen('0', "1", 1) } else { format!("0{}", &good[1..]) };
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    let made = |secret: &str, at: Duration| {
        let cookie = OwnCookie { name: "srv".into(), ttl: Duration::from_secs(3600) };
        let affinity = Affinity::new("shop", cookie, Some(secret.as_bytes()));
        let mut answer = HeaderMap::new();
        let token = affinity.token(&endpoints[0].address().to_string());
        affinity.remind(None, token, at, false, &mut answer);
        let cookie =
            answer.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok()).expect("a cookie").to_owned();
        cookie.strip_prefix("srv=").and_then(|cookie| cookie.split(';').next()).expect("its value").to_owned()
    };
    assert_eq!(
        Browser::at(proxy.address).with("srv", &made(SECRET, since_1970)).read("/").await,
        "one",
        "it is how they are made"
    );

    for (what, value) in [
        ("nothing", String::new()),
        ("a name", "one".into()),
        ("an address", endpoints[1].url()),
        ("forged", changed),
        ("longer", format!("{good}0")),
        ("endless", good.repeat(100)),
        ("in other letters", good.to_uppercase()),
        ("signed by another", made("another secret of many bytes", since_1970)),
        ("expired", made(SECRET, since_1970 - Duration::from_secs(3600))),
    ] {
        let mut client = Browser::at(proxy.address).with("srv", &value);
        let response = client.get("/").await;

        assert_eq!((response.status, response.headers("set-cookie").len()), (200, 1), "{what}");
        let home = response.text();
        assert_eq!([client.read("/").await, client.read("/").await], [home.clone(), home], "{what}");
    }
}

#[actix_rt::test]
async fn a_cookie_past_half_of_its_time_is_renewed() {
    let endpoints = endpoints::<2>().await;
    let proxy = shop(&endpoints, "").start().await;
    let mut client = Browser::at(proxy.address);
    let home = client.read("/").await;
    let mut settings = proxy.proxy.plan().settings.clone();
    let sticky = settings.upstreams["shop"].sticky.as_mut().expect("it is sticky");
    sticky.ttl = aqueduct::settings::Time::secs(3 * 3600);

    // An hour is less than half of three.
    proxy.proxy.reload(settings).expect("they are good");
    let renewed = client.get("/").await;

    assert_eq!(renewed.text(), home);
    assert!(renewed.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=10800")), "{}", renewed.head);
    assert_eq!(client.get("/").await.header("set-cookie"), None);
}

#[actix_rt::test]
async fn a_client_whose_endpoint_is_gone_has_another_and_keeps_it() {
    let [one, two] = endpoints::<2>().await;
    let address = one.address();
    let proxy = shop([&one, &two], "").start().await;
    let mut client = Browser::at(proxy.address);
    while client.read("/").await != "one" {
        client.cookies.clear();
    }
    let before = client.cookies.clone();

    drop(one);
    let moved = client.get("/").await;
    assert_eq!((moved.status, moved.text().as_str()), (200, "two"));
    assert_ne!(client.cookies, before);

    let back = Origin::answering("one").start_at(address).await;
    for _ in 0..20 {
        assert_eq!(client.read("/").await, "two");
    }
    assert_eq!(back.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_client_stays_with_an_endpoint_that_is_drained_as_long_as_its_cookie_lasts() {
    let [one, two] = endpoints::<2>().await;
    let proxy = shop([&one, &two], "").start().await;
    let mut client = Browser::at(proxy.address);
    while client.read("/").await != "one" {
        client.cookies.clear();
    }
    let plan = proxy.proxy.plan();
    let members = plan.upstreams["shop"].members();
    let named = one.address().to_string();
    let home = members.endpoints.iter().find(|endpoint| *endpoint.name == *named).expect("it is there");

    home.health.drain(true);
    for _ in 0..5 {
        let answer = client.get("/").await;
        assert_eq!((answer.text().as_str(), answer.header("set-cookie")), ("one", None));
        assert_eq!(Browser::at(proxy.address).read("/").await, "two", "nobody else");
    }
    drop(one);
    let moved = client.get("/").await;

    assert_eq!((moved.text().as_str(), moved.header("set-cookie").is_some()), ("two", true));
}

#[actix_rt::test]
async fn a_client_whose_endpoint_carries_all_it_may_goes_to_another() {
    let holding = |name: &'static str| {
        Origin::script(move |mut conn, _| async move {
            while let Some(head) = conn.next_head().await {
                if head.starts_with("GET /held ") {
                    conn.tell("held");
                    conn.wait_for("go on").await;
                }
                conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await;
            }
        })
    };
    let endpoints = [holding("one").start().await, holding("two").start().await];
    let proxy = shop(&endpoints, "limit = { per_endpoint = 1 }").start().await;
    let mut client = Browser::at(proxy.address);
    let home = client.read("/").await;
    let [home_is, other_is] = if home == "one" { [0, 1] } else { [1, 0] };

    let mut tab = client.clone();
    let held = actix_rt::spawn(async move { tab.read("/held").await });
    endpoints[home_is].wait_for("held").await;
    let moved = client.get("/").await;

    assert_eq!((moved.text(), moved.headers("set-cookie").len()), (["one", "two"][other_is].to_owned(), 1));
    endpoints[home_is].tell("go on");
    assert_eq!(held.await.expect("no panic"), home);
    assert_eq!(client.read("/").await, moved.text(), "it stays there");
}

#[actix_rt::test]
async fn a_client_is_told_of_the_endpoint_that_answered_in_the_end() {
    let [well] = endpoints::<1>().await;
    let ill = Origin::replying("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").start().await;
    let more = "retry.on = [\"503\"]\noutlier.eject = \"off\"";
    let proxy = shop([&ill, &well], more).start().await;

    // Each new client's first request goes to one of them in turn.
    for _ in 0..4 {
        let mut client = Browser::at(proxy.address);
        assert_eq!(client.read("/").await, "one");
        let seen = ill.requests_seen();
        assert_eq!(client.read("/").await, "one");
        assert_eq!(ill.requests_seen(), seen, "its home is where it was answered");
    }
    assert!(ill.requests_seen() > 0);
}

#[actix_rt::test]
async fn a_client_stays_over_workers_and_reloads() {
    let endpoints = endpoints::<4>().await;
    let proxy = shop(&endpoints, "").change(|settings| settings.server.workers = Workers::Exactly(3)).start().await;
    let mut client = Browser::at(proxy.address);
    let home = client.read("/").await;
    for _ in 0..12 {
        assert_eq!(client.read("/").await, home);
    }

    // Another order, another weight, and one less.
    let mut settings = proxy.proxy.plan().settings.clone();
    let servers = &mut settings.upstreams["shop"].servers;
    servers.reverse();
    servers[0].weight = 3;
    let mine = ["one", "two", "three", "four"].iter().position(|name| *name == home).expect("one of them");
    let kept = endpoints[mine].url();
    let other = servers.iter().position(|server| server.url != kept).expect("there are others");
    servers.remove(other);
    proxy.proxy.reload(settings).expect("they are good");

    for _ in 0..12 {
        assert_eq!(client.read("/").await, home);
    }
}

#[actix_rt::test]
async fn a_secret_that_is_made_up_stays_over_reloads() {
    let endpoints = endpoints::<4>().await;
    let urls: Vec<_> = endpoints.iter().map(Origin::url).collect();
    let sticky = "sticky = { cookie = \"id\", ttl = \"1d\" }";
    let text = format!("routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = {urls:?}\n{sticky}\n");
    let proxy = TestProxy::with(&text).start().await;
    let mut client = Browser::at(proxy.address);
    let home = client.read("/").await;

    let mut settings = proxy.proxy.plan().settings.clone();
    settings.upstreams["shop"].retry.attempts = 3;
    proxy.proxy.reload(settings).expect("they are good");

    for _ in 0..10 {
        assert_eq!(client.read("/").await, home);
    }
}

#[actix_rt::test]
async fn a_client_of_http_2_stays_with_its_endpoint() {
    let endpoints = endpoints::<3>().await;
    let proxy = shop(&endpoints, "").start().await;
    let mut client = H2::connect(proxy.address).await;

    let first = client.get("/").await;
    let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    // Cookies may come one by one there (RFC 9113, 8.2.3).
    for _ in 0..12 {
        let fields = [("cookie", "a=1"), ("cookie", &cookie), ("cookie", "b=2")];
        let answer = client.ask(request_with("GET", "/", &fields), b"").await;
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), None));
    }
}

#[actix_rt::test]
async fn a_tunnel_leads_to_the_endpoint_of_its_client() {
    let switching = || {
        Origin::script(|mut conn, _| async move {
            while let Some(head) = conn.next_head().await {
                if head.starts_with("GET /chat ") {
                    conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
                        .await;
                    conn.wait_closed().await;
                    return;
                }
                conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
    };
    let endpoints = [switching().start().await, switching().start().await, switching().start().await];
    let proxy = shop(&endpoints, "").start().await;
    let mut browser = Browser::at(proxy.address);
    browser.read("/").await;
    let home = endpoints.iter().position(|endpoint| endpoint.requests_seen() == 1).expect("one was asked");
    let upgrade =
        |cookie: &str| format!("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n{cookie}\r\n");

    for _ in 0..6 {
        let mut client = proxy.connect().await;
        client.send(upgrade(&format!("Cookie: srv={}\r\n", browser.cookies["srv"]))).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.header("set-cookie")), (101, None));
    }
    assert_eq!(endpoints[home].requests_seen(), 7);

    let mut client = proxy.connect().await;
    client.send(upgrade("")).await;
    let response = client.read_response().await;
    assert!(response.status == 101 && response.header("set-cookie").is_some(), "{}", response.head);
}

#[actix_rt::test]
async fn two_proxies_with_one_secret_send_a_client_to_the_same_endpoint() {
    let endpoints = endpoints::<4>().await;
    let one = shop(&endpoints, "").start().await;
    let other = shop(endpoints.iter().rev(), "").start().await;
    let mut client = Browser::at(one.address);
    let home = client.read("/").await;

    let mut client = Browser::at(other.address).with("srv", &client.cookies["srv"]);
    for _ in 0..12 {
        let response = client.get("/").await;
        assert_eq!((response.text(), response.header("set-cookie")), (home.clone(), None));
    }
}

#[actix_rt::test]
async fn over_tls_the_cookie_is_for_tls_only() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let [endpoint] = endpoints::<1>().await;
    let text = format!(
        "{}routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{:?}]\nsticky = {{ cookie = \"srv\" }}\n",
        authority.listener(&["shop"]),
        endpoint.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    let mut client = connect(proxy.address, "shop.example", authority.client()).await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let response = client.read_response().await;

    assert!(response.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")), "{}", response.head);
}

#[actix_rt::test]
async fn requests_that_have_a_field_in_common_go_to_one_endpoint_and_others_elsewhere() {
    let origins = [Origin::echo().start().await, Origin::echo().start().await];
    let text = format!(
        "routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{:?}, {:?}]\n\
         balance = {{ policy = \"consistent_hash\", key = \"header:x-tenant\" }}\n",
        origins[0].url(),
        origins[1].url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for tenant in 0..40 {
        let before = origins.each_ref().map(Origin::requests_seen);
        for _ in 0..3 {
            let ask = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nConnection: close\r\n\r\n");
            assert_eq!(proxy.send(ask).await.status, 200);
        }
        let after = origins.each_ref().map(Origin::requests_seen);
        assert!(before[0] == after[0] || before[1] == after[1], "tenant {tenant} went to both");
    }

    assert!(origins.iter().all(|origin| origin.requests_seen() > 0), "all tenants went to one");
}
