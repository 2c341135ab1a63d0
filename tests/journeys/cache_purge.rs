//! What is stored, and is to go.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{
    binary::{Binary, write},
    client::{self, Response},
    origin::{Origin, Script},
};

/// Whatever is asked for is for a minute, and says which language was wished for. It has a tag by its path.
fn pages() -> Script {
    Origin::serving(|head, _| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let tag = path.trim_matches('/').replace('/', "-");
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\nSurrogate-Key: all {tag}\r\n\
             Cache-Tag: some page,c-{tag}\r\nCache-Groups: \"g-{tag}\"\r\nContent-Length: 4\r\n\r\npage"
        )
        .into_bytes()
    })
}

struct Site {
    _folder: TempDir,
    origin: Origin,
    server: Binary,
    admin: SocketAddr,
}

async fn site(script: Script, cache: &str) -> Site {
    site_with(script, cache, "").await
}

async fn site_with(script: Script, cache: &str, more: &str) -> Site {
    let (folder, origin) = (tempfile::tempdir().expect("a folder"), script.start().await);
    let (server, admin) = serve(folder.path(), &origin, cache, more).await;
    Site { _folder: folder, origin, server, admin }
}

async fn serve(folder: &Path, origin: &Origin, cache: &str, more: &str) -> (Binary, SocketAddr) {
    let settings = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\nserver.http.methods = [\"*\"]\n{more}\
         routes.\"/\" = {{ to = {:?}, cache = {cache} }}\n",
        origin.url()
    );
    write(folder, "edge.toml", settings);
    Binary::with_operators(folder).await
}

impl Site {
    async fn ask(&self, path: &str, fields: &str) -> Response {
        let mut client = self.server.connect().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")).await;
        client.read_response().await
    }

    /// It is there, from now on if it was not.
    async fn is_stored(&self, path: &str) -> bool {
        self.ask(path, "").await.header("cache-status").is_some_and(|status| status.contains("; hit"))
    }

    async fn purge(&self, order: &str) -> Response {
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
        let length = order.len();
        let request = format!("POST /cache/purge HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{order}");
        client::request(self.admin, request).await
    }

    /// How many answers went.
    async fn purged(&self, order: &str) -> u64 {
        let answer = self.purge(order).await;
        assert_eq!(answer.status, 200, "{order}: {}", answer.text());
        let told: Value = serde_json::from_str(&answer.text()).expect("JSON");
        assert_eq!(told["stores"][0]["store"], "built_in", "{told}");
        assert_eq!(told["stores"][0]["purged"], told["purged"], "{told}");
        told["purged"].as_u64().expect("a number")
    }
}

#[actix_rt::test]
async fn what_is_purged_is_asked_for_again_and_all_else_stays() {
    let paths = ["/pictures/1", "/pictures/1?a", "/pictures", "/picturesque", "/other"];
    for (order, gone) in [
        (r#"{"url":"http://shop.example/pictures/1"}"#, &paths[..1]),
        (r#"{"url":"HTTP://SHOP.example:80/x/../pictures/%31?a"}"#, &paths[1..2]),
        (r#"{"prefix":"http://shop.example/pictures/"}"#, &paths[..2]),
        (r#"{"prefix":"http://shop.example/pictures"}"#, &paths[..3]),
        (r#"{"prefix":"http://shop.example"}"#, &paths[..]),
        (r#"{"tag":"other"}"#, &paths[4..]),
        (r#"{"tag":"c-picturesque"}"#, &paths[3..4]),
        (r#"{"tag":"some page"}"#, &paths[..]),
        (r#"{"tag":"all"}"#, &paths[..]),
        (r#"{"group":"g-other"}"#, &paths[4..]),
        (r#"{"everything":true}"#, &paths[..]),
        (r#"{"url":"https://shop.example/other"}"#, &[]),
        (r#"{"url":"http://other.example/other"}"#, &[]),
        (r#"{"tag":"pag"}"#, &[]),
    ] {
        let site = site(pages(), "true").await;
        for path in paths {
            assert!(!site.is_stored(path).await);
        }

        let purged = site.purged(order).await;

        assert_eq!(purged, gone.len() as u64, "{order}");
        for path in paths {
            assert_eq!(site.is_stored(path).await, !gone.contains(&path), "{order} {path}");
        }
    }
}

#[actix_rt::test]
async fn all_variants_of_a_url_go_at_once() {
    let site = site(pages(), "{ key.headers = [\"x-shop\"] }").await;
    let variants = ["", "Accept-Language: de\r\n", "X-Shop: 1\r\n"];
    for fields in variants {
        site.ask("/a", fields).await;
    }

    let purged = site.purged(r#"{"url":"http://shop.example/a"}"#).await;

    for fields in variants {
        site.ask("/a", fields).await;
    }
    assert_eq!((purged, site.origin.requests_seen()), (3, 6));
    assert_eq!(site.purged(r#"{"tag":"a"}"#).await, 3);
    let metrics = client::get(site.admin, "/metrics").await.text();
    assert!(metrics.contains("aqueduct_cache_purged_total{store=\"built_in\"} 6"), "{metrics}");
}

#[actix_rt::test]
async fn what_is_purged_softly_is_stale_and_stands_in_where_it_may() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        if number == 0 {
            conn.write(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst",
            )
            .await;
        }
    });
    let site = site(origin, "{ stale_if_error = \"1h\" }").await;
    assert!(!site.is_stored("/a").await && site.is_stored("/a").await);

    let purged = site.purged(r#"{"url":"http://shop.example/a","soft":true}"#).await;
    let stale = site.ask("/a", "").await;

    assert_eq!((purged, stale.status, stale.text()), (1, 200, "first".into()));
    assert!(stale.header("cache-status").is_some_and(|status| status.contains("stale-if-error")), "{}", stale.head);
    assert!(site.origin.requests_seen() > 1, "its endpoint was asked");
    assert_eq!(site.purged(r#"{"everything":true}"#).await, 1);
    assert_eq!(site.ask("/a", "").await.status, 502, "and what is gone cannot stand in");
}

#[actix_rt::test]
async fn what_was_asked_for_before_a_purge_and_comes_after_it_is_not_kept() {
    for order in [
        r#"{"url":"http://shop.example/a"}"#,
        r#"{"prefix":"http://shop.example/"}"#,
        r#"{"tag":"t"}"#,
        r#"{"everything":true}"#,
        r#"{"tag":"t","soft":true}"#,
    ] {
        for is_begun in [false, true] {
            let origin = Origin::script(move |mut conn, number| async move {
                conn.read_head().await;
                let (head, body) = (
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nSurrogate-Key: t\r\nConnection: close\r\nContent-Length: 3\r\n\r\n",
                    if number == 0 { "old" } else { "new" },
                );
                if number == 0 && !is_begun {
                    conn.tell("asked");
                    conn.wait_for("go on").await;
                }
                conn.write(head).await;
                if number == 0 && is_begun {
                    conn.tell("asked");
                    conn.wait_for("go on").await;
                }
                conn.write(body).await;
            });
            let site = site(origin, "true").await;
            let (first, ()) = tokio::join!(site.ask("/a", ""), async {
                site.origin.wait_for("asked").await;
                assert_eq!(site.purged(order).await, 0, "nothing is stored yet");
                site.origin.tell("go on");
            });

            assert_eq!(first.text(), "old", "{order}: who has asked before gets what there was");
            assert_eq!(site.ask("/a", "").await.text(), "new", "{order}");
            assert!(site.is_stored("/a").await, "{order}: what was asked for after it is kept");
        }
    }
}

#[actix_rt::test]
async fn what_names_nothing_purges_nothing() {
    let site = site(pages(), "true").await;
    site.ask("/a", "").await;
    for order in [
        "",
        "{",
        "{}",
        r#"{"soft":true}"#,
        r#"{"everything":false}"#,
        r#"{"url":"/a"}"#,
        r#"{"url":"ftp://shop.example/a"}"#,
        r#"{"url":"http://shop.example/%"}"#,
        r#"{"prefix":"http://shop.example/a?b"}"#,
        r#"{"url":"http://shop.example/a","tag":"a"}"#,
        r#"{"url":"http://shop.example/a","everything":true}"#,
        r#"{"tag":""}"#,
        r#"{"tags":"a"}"#,
    ] {
        let answer = site.purge(order).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")), "{order}");
    }
    assert!(site.is_stored("/a").await);
    assert_eq!(client::get(site.admin, "/cache/purge").await.status, 405);
}

async fn purge_on_the_route(site: &Site, path: &str, fields: &str) -> Response {
    let mut client = site.server.connect().await;
    client.send(format!("PURGE {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")).await;
    client.read_response().await
}

#[actix_rt::test]
async fn who_may_purge_does_so_on_the_route_itself_by_its_own_keys() {
    let site = site(pages(), "{ purge = [\"127.0.0.0/8\"], key.ignore = [\"utm_*\"] }").await;
    for path in ["/a?utm_x=1", "/b"] {
        site.ask(path, "").await;
    }

    let answer = purge_on_the_route(&site, "/a?utm_y=2", "").await;

    assert_eq!((answer.status, answer.text()), (200, "{\"purged\":1}\n".into()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!((site.is_stored("/a").await, site.is_stored("/b").await), (false, true));
    assert_eq!(purge_on_the_route(&site, "/nothing", "").await.text(), "{\"purged\":0}\n");
    assert!(site.origin.requests().iter().all(|request| request.starts_with("GET ")), "no endpoint hears of it");
    let metrics = client::get(site.admin, "/metrics").await.text();
    assert!(metrics.contains("aqueduct_filter_events_total{filter=\"cache\",event=\"purged\"} 2"), "{metrics}");
}

#[actix_rt::test]
async fn a_purge_on_the_route_can_be_soft() {
    let site = site(pages(), "{ purge = [\"127.0.0.1\"] }").await;
    site.ask("/a", "").await;

    assert_eq!(purge_on_the_route(&site, "/a", "Fastly-Soft-Purge: 1\r\n").await.text(), "{\"purged\":1}\n");

    let again = site.ask("/a", "").await;
    assert!(again.header("cache-status").is_some_and(|status| status.contains("fwd=stale")), "{}", again.head);
}

#[actix_rt::test]
async fn who_may_not_purge_is_refused_whatever_he_says_of_himself() {
    for (purge, trusted, fields, status) in [
        ("192.0.2.0/24", "", "", 403),
        ("192.0.2.0/24", "", "X-Forwarded-For: 192.0.2.1\r\n", 403),
        ("127.0.0.1", "", "X-Forwarded-For: 192.0.2.1\r\n", 200),
        ("192.0.2.0/24", "127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n", 200),
        ("192.0.2.0/24", "127.0.0.1", "X-Forwarded-For: 192.0.2.1, 198.51.100.1\r\n", 403),
        ("127.0.0.1", "127.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", 403),
        // A proxy that asks for nobody in particular: he may be anybody.
        ("127.0.0.1", "127.0.0.1", "X-Forwarded-For: nonsense\r\n", 403),
    ] {
        let trusted: Vec<&str> = Some(trusted).filter(|trusted| !trusted.is_empty()).into_iter().collect();
        let more = format!("trusted_proxies = {trusted:?}\n");
        let site = site_with(pages(), &format!("{{ purge = [{purge:?}] }}"), &more).await;
        site.ask("/a", "").await;

        let answer = purge_on_the_route(&site, "/a", fields).await;

        assert_eq!(answer.status, status, "{purge} {trusted:?} {fields}");
        assert_eq!(site.is_stored("/a").await, status == 403, "{purge} {trusted:?} {fields}");
        assert_eq!(site.origin.requests().iter().filter(|request| request.starts_with("PURGE")).count(), 0);
    }
}

#[actix_rt::test]
async fn without_a_word_purge_is_a_method_like_others() {
    let site = site(pages(), "true").await;

    assert_eq!(purge_on_the_route(&site, "/a", "").await.text(), "page");

    assert!(site.origin.request(0).starts_with("PURGE /a "));
}

#[actix_rt::test]
async fn clients_do_not_see_tags_unless_the_settings_say_so() {
    for (cache, are_shown) in [("true", false), ("{ show_tags = true }", true)] {
        let site = site(pages(), cache).await;
        // The first one comes from the endpoint, the second is stored, and the third asks for both to be validated.
        for fields in ["", "", "Cache-Control: no-cache\r\n"] {
            let answer = site.ask("/a", fields).await;
            let seen = [answer.header("surrogate-key").is_some(), answer.header("cache-tag").is_some()];
            assert_eq!(seen, [are_shown; 2], "{cache}: {}", answer.head);
        }
        assert_eq!(site.purged(r#"{"tag":"c-a"}"#).await, 1);
    }
}
