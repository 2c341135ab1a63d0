//! What is compressed of what is kept is compressed once.

use std::{io::Read, net::SocketAddr};

use aqueduct::cache::purge::What;

use super::support::{
    binary::Binary,
    client::Response,
    metrics::{CLEAR, proxy, says},
    origin::Origin,
    proxy::TestProxy,
};

fn page(length: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(length).collect()
}

fn origin_of(text: &str) -> Origin {
    let fields = "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n";
    let script = Origin::replying(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len()));
    script.start_on(std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
}

fn settings(origin: &Origin) -> String {
    format!("[routes]\n\"/\" = {{ to = {:?}, compress = true, cache = true }}\n", origin.url())
}

async fn server(folder: &std::path::Path, origin: &Origin) -> (Binary, SocketAddr) {
    proxy(folder, &format!("{CLEAR}{}", settings(origin))).await
}

const GZIP: &str = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";

async fn ask(server: &Binary, request: &str) -> Response {
    let mut client = server.connect().await;
    client.send(request).await;
    client.read_response().await
}

fn plain(answer: &Response) -> String {
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "{}", answer.head);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

#[actix_rt::test]
async fn the_second_hit_makes_it_and_all_others_get_that() {
    // In one piece that is compressed at once, in one that is not, and in several.
    for length in [10_000, 200_000, 3 << 20] {
        let (text, folder) = (page(length), tempfile::tempdir().expect("a folder"));
        let origin = origin_of(&text);
        let (server, admin) = server(folder.path(), &origin).await;

        for _ in 0..6 {
            let answer = ask(&server, GZIP).await;
            assert!(plain(&answer) == text && answer.complete, "{length}");
            assert_eq!(answer.header("etag"), Some("W/\"a\""));
        }
        let last = ask(&server, GZIP).await;

        assert_eq!(last.header("content-length"), Some(&*last.body.len().to_string()), "{}", last.head);
        assert!(plain(&last) == text);
        let event = |event: &str| format!("aqueduct_filter_events_total{{filter=\"compress\",event=\"{event}\"}}");
        says(admin, &event("compressed"), 3.0).await;
        says(admin, &event("reused"), 4.0).await;
        says(admin, "aqueduct_cache_coded_bytes{store=\"built_in\"}", last.body.len() as f64).await;
        let in_the_plain = ask(&server, &GZIP.replace("Accept-Encoding: gzip\r\n", "")).await;
        assert!(in_the_plain.text() == text && in_the_plain.header("content-encoding").is_none());
        assert_eq!(origin.requests_seen(), 1);
    }
}

#[actix_rt::test]
async fn with_what_it_was_made_of_it_goes() {
    let origin = origin_of(&page(10_000));
    let proxy = TestProxy::with(&settings(&origin)).start().await;
    let shelf = proxy.proxy.plan().shelves().remove(0);
    for _ in 0..3 {
        proxy.send(GZIP).await;
    }
    assert!(shelf.room.taken() > 0);

    shelf.purge(&What::Everything, false);

    assert_eq!(shelf.room.taken(), 0);
}

#[actix_rt::test]
async fn a_page_that_stands_in_for_what_is_kept_is_not_taken_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = page(5_000).replace("fox", "cat");
    super::support::binary::write(folder.path(), "404.html", &own);
    let fields = "Cache-Control: max-age=60\r\nContent-Type: text/html\r\n";
    let text = page(10_000);
    let origin = Origin::replying(format!("HTTP/1.1 404 X\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len()));
    let origin = origin.start().await;
    let pages = format!("{{ 404 = {:?}, intercept = true }}", folder.path().join("404.html"));
    let settings = format!(
        "[routes]\n\"/\" = {{ to = {:?}, compress = true, error_pages = {pages}, cache = true }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&settings).start().await;

    for _ in 0..4 {
        let answer = proxy.send(GZIP.replace("gzip\r\n", "gzip\r\nAccept: text/html\r\n")).await;
        assert_eq!((answer.status, plain(&answer)), (404, own.clone()));
    }
}
