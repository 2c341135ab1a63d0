//! Who may come in by his address, and what does not help those who may not.

use super::support::{
    binary::{Binary, write},
    origin::Origin,
    proxy::TestProxy,
};

/// A proxy whose clients, this test, come from 127.0.0.1.
async fn proxy(trusted: &str, rule: &str, origin: &Origin) -> TestProxy {
    let url = origin.url();
    let text = format!("trusted_proxies = [{trusted}]\n[routes]\n\"/\" = {{ to = \"{url}\", ip_access = {rule} }}\n");
    TestProxy::with(&text).start().await
}

async fn status(proxy: &TestProxy, target: &str, fields: &str) -> u16 {
    proxy.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")).await.status
}

#[actix_rt::test]
async fn who_is_refused_is_so_whatever_he_says_of_himself() {
    let origin = Origin::answering("in").start().await;
    let proxy = proxy("", "{ allow = [\"10.0.0.0/8\", \"::1\"] }", &origin).await;

    for fields in [
        "",
        "X-Forwarded-For: 10.0.0.1\r\n",
        "x-forwarded-for: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
        "X_Forwarded_For: 10.0.0.1\r\n",
        "Forwarded: for=10.0.0.1\r\n",
        "Forwarded: for=\"[::1]\"\r\n",
        "X-Real-IP: 10.0.0.1\r\n",
        "True-Client-IP: 10.0.0.1\r\n",
        "CF-Connecting-IP: 10.0.0.1\r\n",
        "Via: 1.1 10.0.0.1\r\n",
    ] {
        assert_eq!(status(&proxy, "/", fields).await, 403, "{fields}");
    }
    for target in ["//", "/.", "/%2e", "/x/../", "http://10.0.0.1/"] {
        assert_eq!(status(&proxy, target, "").await, 403, "{target}");
    }
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_trusted_proxy_is_believed_about_its_clients_and_only_the_last_hop() {
    let origin = Origin::answering("in").start().await;
    let proxy = proxy("\"127.0.0.1\"", "{ allow = [\"10.0.0.0/8\"], deny = [\"10.66.0.0/16\"] }", &origin).await;

    for (fields, expected) in [
        ("X-Forwarded-For: 10.0.0.1\r\n", 200),
        ("X-Forwarded-For: ::ffff:10.0.0.1\r\n", 200),
        ("Forwarded: for=\"[::ffff:10.0.0.1]:4711\"\r\n", 200),
        ("X-Forwarded-For: 10.66.0.1\r\n", 403),
        ("X-Forwarded-For: ::ffff:10.66.0.1\r\n", 403),
        ("X-Forwarded-For: ::ffff:0a42:0001\r\n", 403),
        ("X-Forwarded-For: 10.0.0.1, 203.0.113.9\r\n", 403),
        ("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n", 403),
        ("Forwarded: for=unknown\r\n", 403),
        ("Forwarded: for=_hidden\r\n", 403),
        ("X-Forwarded-For: 10.0.0.1\r\nForwarded: for=203.0.113.9\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(status(&proxy, "/", fields).await, expected, "{fields}");
    }
}

#[actix_rt::test]
async fn who_is_not_named_is_not_the_proxy_that_asks_for_him() {
    let origin = Origin::answering("in").start().await;
    let proxy = proxy("\"127.0.0.1\", \"10.0.0.5\"", "{ allow = [\"127.0.0.1\", \"10.0.0.0/8\"] }", &origin).await;

    for (fields, expected) in [
        ("", 200),
        ("X-Forwarded-For: 10.0.0.7\r\n", 200),
        ("X-Forwarded-For: 10.0.0.7, 10.0.0.5\r\n", 200),
        ("Forwarded: for=unknown\r\n", 403),
        ("Forwarded: for=_hidden\r\n", 403),
        ("Forwarded: proto=https\r\n", 403),
        ("Forwarded: for=\"10.0.0.7\r\n", 403),
        ("X-Forwarded-For: unknown\r\n", 403),
        ("X-Forwarded-For: unknown, 10.0.0.5\r\n", 403),
        ("X-Forwarded-For: 10.0.0.7,, nonsense\r\n", 403),
        ("X-Forwarded-For: 203.0.113.9\r\nForwarded: for=10.0.0.7\r\n", 403),
        ("X-Forwarded-For: 10.0.0.7\r\nForwarded: for=unknown\r\n", 403),
    ] {
        assert_eq!(status(&proxy, "/", fields).await, expected, "{fields}");
    }
}

#[actix_rt::test]
async fn a_refusal_says_who_and_why() {
    let origin = Origin::answering("in").start().await;
    let proxy = proxy("", "{ deny = [\"127.0.0.0/8\"] }", &origin).await;

    let answer = proxy.get("/").await;

    assert_eq!(answer.status, 403);
    let expected = "aqueduct; error=http_request_denied; details=\"ip_access: this address may not come in here\"";
    assert_eq!(answer.header("proxy-status"), Some(expected));
    assert!(answer.text().contains("urn:aqueduct:refused:ip_access"), "{}", answer.text());
}

#[actix_rt::test]
async fn a_list_is_read_again_when_it_changes_and_one_that_is_wrong_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("list.txt");
    write(folder.path(), "list.txt", "127.0.0.1 # this test\n");
    write(
        folder.path(),
        "settings.toml",
        format!(
            "listen = [\"127.0.0.1:0\"]\n[routes]\n\"/\" = {{ respond = {{}}, ip_access = {{ deny_files = [{list:?}] }} }}\n"
        ),
    );
    let mut server = Binary::run(folder.path(), &["--settings", "settings.toml"]).await;
    assert_eq!(server.get("/").await.status, 403);

    write(folder.path(), "list.txt", "127.0.0.300\n");
    server.says("line 1: `127.0.0.300` is not a network").await;
    assert_eq!(server.get("/").await.status, 403);

    write(folder.path(), "list.txt", "192.0.2.1\n");
    server.says("generation 2 is in force").await;
    assert_eq!(server.get("/").await.status, 200);
}
