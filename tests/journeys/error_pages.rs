//! Errors in the words of the house.

use std::fs;

use super::support::{
    client::{Response, refusing},
    origin::Origin,
    proxy::TestProxy,
};

/// Files of this content, as settings name them.
fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let paths = files.iter().map(write).collect();
    (folder, paths)
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

fn failing(status: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Encoding: x\r\nETag: \"a\"\r\nRetry-After: 7\r\nSet-Cookie: a=b\r\n\
         Content-Length: 6\r\n\r\nsecret"
    )
    .into_bytes()
}

#[actix_rt::test]
async fn the_proxys_own_errors_have_the_pages_of_the_house() {
    let (_folder, paths) = files(&[("a.html", "<p>${status} ${title} ${id} ${x}</p>"), ("b.txt", "gone")]);
    let text = format!(
        "[defaults.error_pages]\n5xx = {:?}\n504 = {:?}\n[routes]\n\"/\" = \"http://{}\"\n",
        paths[0],
        paths[1],
        refusing()
    );
    let proxy = TestProxy::with(&text).start().await;

    let answer = ask(&proxy, "GET /", "").await;

    let id = answer.header("x-request-id").expect("an id").to_owned();
    assert_eq!((answer.status, answer.text()), (502, format!("<p>502 Bad Gateway {id} ${{x}}</p>")));
    assert_eq!(answer.headers("content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("proxy-status").is_some_and(|status| status.contains("connection_refused")));
}

#[actix_rt::test]
async fn what_an_endpoint_says_of_its_errors_is_replaced_where_it_is_asked_for() {
    let origin = Origin::serving(|head, _| match head.split(' ').nth(1) {
        Some("/503") => failing("503 Service Unavailable"),
        Some("/404") => failing("404 Not Found"),
        _ => failing("200 OK"),
    });
    let origin = origin.start().await;
    let (_folder, paths) = files(&[("5xx.html", "<p>sorry</p>")]);
    let route = |name: &str, intercept: bool| {
        format!(
            "\"{name}\" = {{ to = {:?}, strip = true, error_pages = {{ 5xx = {:?}, intercept = {intercept} }} }}\n",
            origin.url(),
            paths[0]
        )
    };
    let text = format!("[routes]\n{}{}", route("/in", true), route("/out", false));
    let proxy = TestProxy::with(&text).start().await;

    let replaced = ask(&proxy, "GET /in/503", "").await;

    assert_eq!((replaced.status, replaced.text()), (503, "<p>sorry</p>".into()));
    for (name, value) in [
        ("content-type", Some("text/html; charset=utf-8")),
        ("content-length", Some("12")),
        ("retry-after", Some("7")),
        ("set-cookie", Some("a=b")),
        ("cache-control", Some("no-store")),
        ("content-encoding", None),
        ("etag", None),
    ] {
        assert_eq!(replaced.header(name), value, "{name}");
    }
    for path in ["/in/200", "/in/404", "/out/503"] {
        assert_eq!(ask(&proxy, &format!("GET {path}"), "").await.text(), "secret", "{path}");
    }
}

#[actix_rt::test]
async fn each_client_gets_what_it_can_read() {
    let (_folder, paths) = files(&[("a.html", "<p>${title}</p>"), ("a.json", "{\"title\": \"${title}\"}")]);
    let text = format!(
        "[routes]\n\"/\" = {{ to = \"http://{}\", error_pages = {{ 502 = {{ html = {:?}, json = {:?} }} }} }}\n",
        refusing(),
        paths[0],
        paths[1]
    );
    let proxy = TestProxy::with(&text).start().await;
    for (accept, body, kind) in [
        ("text/html,*/*;q=0.8", "<p>Bad Gateway</p>", "text/html; charset=utf-8"),
        ("application/json", "{\"title\": \"Bad Gateway\"}", "application/json"),
        ("*/*", "{\"title\": \"Bad Gateway\"}", "application/json"),
        ("image/png", "{\"title\": \"Bad Gateway\"}", "application/json"),
    ] {
        let answer = ask(&proxy, "GET /", &format!("Accept: {accept}\r\n")).await;

        assert_eq!((answer.text().as_str(), answer.header("content-type")), (body, Some(kind)), "{accept}");
        assert!(answer.headers("vary").iter().any(|vary| vary.eq_ignore_ascii_case("accept")));
    }
}

#[actix_rt::test]
async fn a_head_has_the_fields_of_the_page_and_grpc_has_none() {
    let (_folder, paths) = files(&[("a.html", "<p>sorry</p>")]);
    let text =
        format!("[routes]\n\"/\" = {{ to = \"http://{}\", error_pages = {{ 5xx = {:?} }} }}\n", refusing(), paths[0]);
    let proxy = TestProxy::with(&text).start().await;

    let head = ask(&proxy, "HEAD /", "").await;
    let grpc = ask(&proxy, "POST /", "Content-Type: application/grpc\r\nContent-Length: 0\r\n").await;

    assert_eq!((head.status, head.header("content-length"), head.body.len()), (502, Some("12"), 0));
    assert_eq!((grpc.status, grpc.header("grpc-status"), grpc.body.len()), (200, Some("14"), 0));
}

#[actix_rt::test]
async fn refusals_of_filters_further_in_have_pages_and_keep_their_fields() {
    let (_folder, paths) = files(&[("a.txt", "not you")]);
    let text = format!(
        "[routes]\n\"/\" = {{ respond = {{}}, error_pages = {{ 4xx = {:?} }}, cors = {{ origins = \"https://shop.example\" }} }}\n",
        paths[0]
    );
    let proxy = TestProxy::with(&text).start().await;

    let fields = "Origin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = ask(&proxy, "OPTIONS /", fields).await;

    assert_eq!((answer.status, answer.text()), (403, "not you".into()));
    assert!(answer.headers("vary").iter().any(|vary| vary.contains("Origin")));
}
