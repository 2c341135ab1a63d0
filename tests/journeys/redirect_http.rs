//! Plain HTTP for hosts that have a certificate is sent to https.

use std::net::SocketAddr;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, Response, loopback},
    tls::{Authority, connect},
};

async fn ask(client: &mut Client, request: &str, host: &str) -> Response {
    client.send(format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.read_response().await
}

/// One plain listener, one with TLS for the shop, and a route that answers for itself.
fn settings(authority: &Authority, secure: SocketAddr, more: &str) -> String {
    authority.issue("shop", &["shop.example", "*.shop.example", "127.0.0.1"]);
    let (listen, rest) =
        authority.listener(&["shop"]).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
    let listen = listen.replace("127.0.0.1:0", &secure.to_string()).replace("[{", "[\"127.0.0.1:0\", {");
    format!(
        "{listen}\n{rest}tls.main.redirect_http = true\n{more}[routes]\n\"/\" = {{ respond = {{ body = \"here\" }} }}\n"
    )
}

#[actix_rt::test]
async fn plain_http_for_a_host_with_a_certificate_is_sent_to_https() {
    let (folder, authority, secure) =
        (tempfile::tempdir().expect("a folder"), Authority::new(), SocketAddr::from((loopback(), 8443)));
    write(folder.path(), "a.toml", settings(&authority, secure, ""));
    let server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let mut client = server.connect().await;

    for (request, host, location) in [
        ("GET /a/b?c=d&e", "shop.example", "https://shop.example:8443/a/b?c=d&e"),
        ("GET //evil.example/", "SHOP.example:80", "https://shop.example:8443/evil.example/"),
        ("POST /", "a.shop.example", "https://a.shop.example:8443/"),
        ("OPTIONS *", "shop.example", "https://shop.example:8443"),
        ("GET http://shop.example/x", "shop.example", "https://shop.example:8443/x"),
        ("GET /", "127.0.0.1", "https://127.0.0.1:8443/"),
    ] {
        let answer = ask(&mut client, request, host).await;

        assert_eq!((answer.status, answer.header("location")), (308, Some(location)), "{request} {host}");
    }
    for (request, host) in [
        ("GET /", "other.example"),
        ("GET /", "a.b.shop.example"),
        ("GET /", "127.0.0.2"),
        ("GET /.well-known/acme-challenge/abc", "shop.example"),
    ] {
        assert_eq!(ask(&mut client, request, host).await.text(), "here", "{request} {host}");
    }
    let mut secured = connect(secure, "shop.example", authority.client()).await;
    assert_eq!(ask(&mut secured, "GET /", "shop.example").await.text(), "here");
}

#[actix_rt::test]
async fn who_came_encrypted_to_a_trusted_proxy_is_not_sent_round_in_circles() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    write(
        folder.path(),
        "a.toml",
        format!("{trusted}{}", settings(&authority, SocketAddr::from((loopback(), 8443)), "")),
    );
    let server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let get = |proto: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        )
    };

    let encrypted = client::request(server.address, get("https")).await;
    let plain = client::request(server.address, get("http")).await;

    assert_eq!((encrypted.status, plain.status), (200, 308));
}

#[actix_rt::test]
async fn the_usual_port_is_not_written() {
    let authority = Authority::new();
    let text = settings(&authority, SocketAddr::from((loopback(), 443)), "");
    let loaded = aqueduct::settings::Layers::new().text("a.toml", &text).load().expect("it is good");
    let plan = aqueduct::plan::Plan::draw(loaded.settings, &aqueduct::kinds::Kinds::built_in(), None).expect("a plan");
    let https = plan.https.as_ref().expect("it redirects");

    let location = https.find("shop.example").expect("it is covered").location("shop.example", "/a", "?b");

    assert_eq!(location, "https://shop.example/a?b");
}

#[actix_rt::test]
async fn explain_says_that_no_route_is_asked() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    write(folder.path(), "a.toml", settings(&authority, SocketAddr::from((loopback(), 8443)), ""));
    let explain = |url: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aqueduct"));
        command.args(["explain", "GET", url, "--settings", "a.toml"]).current_dir(folder.path()).env_clear();
        String::from_utf8(command.output().expect("it runs").stdout).expect("text")
    };

    let (plain, secure) = (explain("http://shop.example/a"), explain("https://shop.example/a"));

    assert_eq!(
        plain,
        "no route is asked: `tls.main.redirect_http` sends this host to https\n\
         answered here: 308 Permanent Redirect to https://shop.example:8443/a\n"
    );
    assert!(secure.starts_with("route `/`\n"), "{secure}");
}
