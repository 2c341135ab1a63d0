//! What operators have a running proxy do.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, Response},
    origin::Origin,
    wire::patiently,
};

async fn proxy(folder: &Path, more: &str) -> (Binary, SocketAddr) {
    settings(folder, more);
    Binary::with_operators(folder).await
}

fn settings(folder: &Path, more: &str) {
    let common = "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\n";
    write(folder, "edge.toml", format!("{common}{more}"));
}

/// A proxy in front of these.
async fn shop(folder: &Path, origins: &[&Origin]) -> (Binary, SocketAddr) {
    let servers: Vec<String> = origins.iter().map(|origin| origin.url()).collect();
    proxy(folder, &format!("routes.\"/\" = \"shop\"\nupstreams.shop.servers = {servers:?}\n")).await
}

async fn post(admin: SocketAddr, path: &str, body: &str) -> Response {
    post_with(admin, path, body, "Content-Type: application/json\r\n").await
}

async fn post_with(admin: SocketAddr, path: &str, body: &str, fields: &str) -> Response {
    let length = body.len();
    client::request(
        admin,
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"),
    )
    .await
}

fn json(answer: &Response) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// What is told of an endpoint at its upstream.
fn endpoint<'a>(upstream: &'a Value, origin: &Origin) -> &'a Value {
    let address = origin.address().to_string();
    let all = upstream["endpoints"].as_array().expect("endpoints");
    all.iter().find(|one| one["address"] == address).unwrap_or_else(|| panic!("no {address}: {upstream}"))
}

fn order(origin: &Origin) -> String {
    format!("{{\"endpoint\":\"{}\"}}", origin.address())
}

#[actix_rt::test]
async fn a_drained_endpoint_finishes_what_it_has_and_gets_nothing_more_until_it_is_revived() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = Origin::script(|mut conn, _| async move {
        while conn.next_head().await.is_some() {
            conn.tell("asked");
            conn.wait_for("go on").await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
        }
    });
    let (slow, other) = (slow.start().await, Origin::answering("other").start().await);
    let (mut server, admin) = shop(folder.path(), &[&slow, &other]).await;
    let mut waits: Client = server.connect().await;
    // Nobody knows which of them gets the first request: the one that is let go has it.
    let mut asked = false;
    while !asked {
        waits.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        asked = slow.requests_seen() > 0 || {
            tokio::select! {
                () = slow.wait_for("asked") => true,
                _ = waits.read_response() => false,
            }
        };
    }

    let drained = json(&post(admin, "/upstreams/shop/drain", &order(&slow)).await);
    let before = slow.requests_seen();
    for _ in 0..40 {
        assert_eq!(server.get("/").await.text(), "other");
    }
    settings(
        folder.path(),
        &format!(
            "routes.\"/\" = \"shop\"\nupstreams.shop.servers = [{:?}, {:?}]\nupstreams.shop.pool.max_idle = 7\n",
            slow.url(),
            other.url()
        ),
    );
    server.reload().await;
    let after_reload = json(&client::get(admin, "/upstreams/shop").await);
    slow.tell("go on");
    let finished = waits.read_response().await;
    let revived = json(&post(admin, "/upstreams/shop/revive", &order(&slow)).await);

    assert_eq!(endpoint(&drained, &slow)["health"], "drained");
    assert_eq!(endpoint(&drained, &slow)["in_flight"], 1);
    assert_eq!(slow.requests_seen(), before);
    assert_eq!(endpoint(&after_reload, &slow)["health"], "drained", "other words for it do not revive it");
    assert_eq!((finished.status, finished.text().as_str()), (200, "slow"));
    assert_eq!(endpoint(&revived, &slow)["health"], "well");
}

#[actix_rt::test]
async fn with_the_last_endpoint_drained_there_is_nobody_to_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (Origin::answering("one").start().await, Origin::answering("other").start().await);
    let (server, admin) = shop(folder.path(), &[&one, &other]).await;

    for origin in [&one, &other] {
        assert_eq!(post(admin, "/upstreams/shop/drain", &order(origin)).await.status, 200);
    }
    let drained = server.get("/").await;
    post(admin, "/upstreams/shop/revive", &order(&other)).await;
    let revived = server.get("/").await;

    assert_eq!((drained.status, one.requests_seen()), (503, 0));
    assert_eq!((revived.status, revived.text().as_str()), (200, "other"));
}

#[actix_rt::test]
async fn an_upstream_of_one_endpoint_can_be_drained_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (server, admin) = shop(folder.path(), &[&origin]).await;

    post(admin, "/upstreams/shop/drain", &order(&origin)).await;

    assert_eq!((server.get("/").await.status, origin.requests_seen()), (503, 0));
}

#[actix_rt::test]
async fn who_fails_while_the_other_is_drained_is_told_of_as_it_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let drained = Origin::answering("hello").start().await;
    let more = format!(
        "routes.\"/\" = \"shop\"\nupstreams.shop.servers = [{:?}, \"http://{}\"]\n",
        drained.url(),
        client::refusing()
    );
    let (server, admin) = proxy(folder.path(), &more).await;
    post(admin, "/upstreams/shop/drain", &order(&drained)).await;

    let answer = server.get("/").await;

    let status = answer.header("proxy-status").unwrap_or_default();
    assert!(answer.status == 502 && status.contains("connection_refused"), "{} {status}", answer.status);
    assert_eq!(drained.requests_seen(), 0);
}

#[actix_rt::test]
async fn what_is_not_there_is_told_with_what_may_be_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (_server, admin) = shop(folder.path(), &[&origin]).await;
    let almost = order(&origin).replace("127.0.0.1", "127.0.0.2");

    for (path, body, status, told) in [
        ("/upstreams/shopp/drain", "{}", 404, "did you mean `shop`?"),
        ("/upstreams/shop/drain", &*almost, 404, "did you mean `127.0.0.1:"),
        ("/upstreams/shop/drain", "{}", 400, "missing field `endpoint`"),
        ("/upstreams/shop/drain", "nonsense", 400, "endpoint"),
        ("/upstreams/shop/drop", "{}", 404, "/upstreams"),
        ("/status", "{}", 405, "GET"),
    ] {
        let answer = post(admin, path, body).await;

        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/problem+json")),
            "{path}"
        );
        let detail = json(&answer)["detail"].to_string();
        assert!(detail.contains(told), "{path} {body}: {detail}");
    }
}

#[actix_rt::test]
async fn pages_of_other_sites_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (server, admin) = shop(folder.path(), &[&origin]).await;
    let json = "Content-Type: application/json\r\n";

    for (fields, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("", 415),
        (&*format!("{json}Origin: https://evil.example\r\n"), 403),
        (&*format!("{json}Origin: null\r\n"), 403),
        (&*format!("{json}Sec-Fetch-Site: cross-site\r\n"), 403),
    ] {
        let answer = post_with(admin, "/upstreams/shop/drain", &order(&origin), fields).await;
        assert_eq!(answer.status, status, "{fields}");
    }
    let rebound =
        "POST /reload HTTP/1.1\r\nHost: rebound.example\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client::request(admin, rebound).await.status, 421);
    let huge = post(admin, "/upstreams/shop/drain", &" ".repeat(100_000)).await;
    assert_eq!(huge.status, 413);
    assert_eq!(server.get("/").await.status, 200);
}

#[actix_rt::test]
async fn a_reload_says_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin) = proxy(folder.path(), "").await;

    settings(folder.path(), "routes.\"/\".respond = { status = 204 }\n");
    let good = post(admin, "/reload", "").await;
    let answered = server.get("/").await.status;
    settings(folder.path(), "server.backlgo = 5\nlog.level = \"loud\"\n");
    let bad = post(admin, "/reload", "").await;

    assert_eq!((good.status, json(&good)["generation"].as_u64(), answered), (200, Some(2), 204));
    let told = json(&bad);
    assert_eq!((bad.status, server.get("/").await.status), (422, 204));
    let first = &told["problems"][0];
    assert_eq!(first["key"], serde_json::json!(["server", "backlgo"]), "{told}");
    assert_eq!(first["line"], 4);
    assert!(first["file"].as_str().is_some_and(|file| file.ends_with("edge.toml")), "{told}");
    assert!(first["help"].as_str().is_some_and(|help| help.contains("backlog")), "{told}");
}

#[actix_rt::test]
async fn the_plan_is_shown_with_where_it_was_written_and_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let more = format!(
        "routes.\"/\" = \"shop\"\nupstreams.shop.servers = [{:?}]\n\
         upstreams.shop.sticky = {{ cookie = \"srv\", secret = \"hunter2-hunter2-hunter2\" }}\n",
        origin.url()
    );
    let (_server, admin) = proxy(folder.path(), &more).await;

    let answer = client::get(admin, "/plan").await;

    let plan = json(&answer);
    assert_eq!(plan["generation"], 1);
    assert_eq!(plan["settings"]["server"]["watch"], false);
    assert_eq!(plan["settings"]["upstreams"]["shop"]["sticky"]["secret"], "***");
    assert!(!answer.text().contains("hunter2"));
    let origins = plan["origins"].as_array().expect("a list");
    let watch =
        origins.iter().find(|one| one["key"] == serde_json::json!(["server", "watch"])).expect("it was written");
    assert!(watch["origin"].as_str().is_some_and(|origin| origin.ends_with("edge.toml:3")), "{watch}");
}

#[actix_rt::test]
async fn who_has_no_token_learns_only_that_somebody_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = "0123456789abcdef0123456789abcdef";
    let (_server, admin) = proxy(folder.path(), &format!("admin.token = \"{token}\"\n")).await;
    let ask = async |path: &str, field: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n{field}\r\n");
        client::request(admin, head).await
    };

    for field in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer \r\n",
        &*format!("Authorization: Basic {token}\r\n"),
    ] {
        for path in ["/status", "/metrics", "/plan", "/upstreams", "/elsewhere"] {
            let answer = ask(path, field).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path} {field}");
        }
    }
    let shown = ask("/status", &format!("Authorization: Bearer {token}\r\n")).await;
    let plan = ask("/plan", &format!("Authorization: bearer {token}\r\n")).await;

    assert_eq!((shown.status, plan.status), (200, 200));
    assert!(!plan.text().contains(token));
    assert_eq!(client::get(admin, "/health").await.status, 200);
    let unsigned = post(admin, "/reload", "").await;
    assert_eq!(unsigned.status, 401);
}

#[actix_rt::test]
async fn who_drains_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    });
    let origin = origin.start().await;
    let (server, admin) = shop(folder.path(), &[&origin]).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;
    let before = client::get(admin, "/ready").await;

    server.signal(libc::SIGTERM);
    patiently("it drains", async { while client::get(admin, "/ready").await.status != 503 {} }).await;
    let health = client::get(admin, "/health").await;
    origin.tell("go on");

    assert_eq!((before.status, json(&before)["status"].as_str()), (200, Some("ready")));
    assert_eq!((health.status, client.read_response().await.status), (200, 200));
}

#[actix_rt::test]
async fn every_field_is_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let (_server, admin) = shop(folder.path(), &[&origin]).await;
    let told = include_str!("../../docs/admin.md");
    let keys = |value: &Value| value.as_object().expect("a table").keys().cloned().collect::<Vec<_>>();

    let upstream = json(&client::get(admin, "/upstreams/shop").await);
    let (status, plan) = (json(&client::get(admin, "/status").await), json(&client::get(admin, "/plan").await));

    for key in keys(&upstream)
        .into_iter()
        .chain(keys(&upstream["endpoints"][0]).iter().map(|key| format!("endpoints[].{key}")))
    {
        assert!(told.contains(&format!("| `{key}` |")), "docs/admin.md has no row for {key}");
    }
    for key in
        keys(&status).into_iter().chain(keys(&status["settings"])).chain(keys(&plan)).chain(keys(&plan["origins"][0]))
    {
        assert!(told.contains(&format!("`{key}`")), "docs/admin.md does not tell of {key}");
    }
}
