//! Answers made smaller.

use std::{fs, io::Read};

use super::support::{
    binary::{Binary, write},
    client::{Client, Response},
    origin::{Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

const TEXT: &str = "The quick brown fox jumps over the lazy dog, again and again.\n";

fn page() -> String {
    TEXT.repeat(200)
}

/// Answers with these lines of fields, and the page.
fn answering(fields: &str) -> Script {
    let page = page();
    let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n{page}", page.len());
    Origin::replying(bytes)
}

async fn proxy(origin: &Origin, compress: &str) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, compress = {compress} }}\n", origin.url())).start().await
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

fn plain(answer: &Response) -> Vec<u8> {
    let (mut plain, coded) = (Vec::new(), &answer.body[..]);
    let read = match answer.header("content-encoding") {
        Some("zstd") => zstd::stream::read::Decoder::new(coded).expect("memory").read_to_end(&mut plain),
        Some("br") => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
        Some("gzip") => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
        Some(other) => panic!("{other} is not known"),
        None => return answer.body.clone(),
    };
    read.expect("it is whole");
    plain
}

#[actix_rt::test]
async fn a_page_is_compressed_as_the_client_likes_it() {
    let origin = answering(
        "Content-Type: text/html; charset=utf-8\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\n",
    );
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    for (accept, coding) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("*;q=0.1", "zstd"),
    ] {
        let answer = ask(&proxy, "GET /", &format!("Accept-Encoding: {accept}\r\n")).await;

        assert_eq!(answer.header("content-encoding"), Some(coding), "{accept}");
        assert!(answer.body.len() < page().len() / 10 && answer.complete, "{}", answer.body.len());
        assert!(plain(&answer) == page().as_bytes(), "{accept}");
        assert_eq!(answer.header("etag"), Some("W/\"a\""));
        assert_eq!(answer.headers("vary"), ["Accept-Encoding"]);
        for gone in ["accept-ranges", "content-md5"] {
            assert_eq!(answer.header(gone), None, "{gone}");
        }
    }
}

#[actix_rt::test]
async fn who_does_not_want_it_gets_it_plain_and_caches_know_why() {
    let origin = answering("Content-Type: text/plain\r\nETag: \"a\"\r\nVary: Accept\r\n").start().await;
    let proxy = proxy(&origin, "true").await;
    for fields in
        ["", "Accept-Encoding: \r\n", "Accept-Encoding: deflate\r\n", "Accept-Encoding: gzip;q=0, identity\r\n"]
    {
        let answer = ask(&proxy, "GET /", fields).await;

        assert_eq!((answer.header("content-encoding"), answer.text()), (None, page()), "{fields:?}");
        assert_eq!(answer.header("etag"), Some("\"a\""));
        assert_eq!(answer.headers("vary"), ["Accept", "Accept-Encoding"]);
    }
}

#[actix_rt::test]
async fn what_must_stay_as_it_is_does() {
    for (fields, line, more) in [
        ("Content-Type: text/plain\r\nContent-Encoding: br\r\n", "GET /", ""),
        ("Content-Type: text/plain\r\nContent-Encoding: unknown\r\n", "GET /", ""),
        ("Content-Type: text/plain\r\nCache-Control: public, No-Transform\r\n", "GET /", ""),
        ("Content-Type: text/plain\r\n", "GET /", "Cache-Control: no-transform\r\n"),
        ("Content-Type: text/plain\r\nContent-Range: bytes 0-1/2\r\n", "GET /", ""),
        ("Content-Type: image/png\r\n", "GET /", ""),
        ("Content-Type: text/plain\r\nContent-Type: text/html\r\n", "GET /", ""),
        ("", "GET /", ""),
        ("Content-Type: application/grpc+json\r\n", "GET /", ""),
        ("Content-Type: text/plain\r\n", "POST /", "Content-Type: application/grpc\r\nContent-Length: 0\r\n"),
    ] {
        let origin = answering(fields).start().await;
        let proxy = proxy(&origin, "{ types = [\"text/*\", \"application/*\"] }").await;

        let answer = ask(&proxy, line, &format!("{more}Accept-Encoding: gzip, br, zstd\r\n")).await;

        assert_eq!(answer.text(), page(), "{fields:?} {more:?}");
        assert_eq!(answer.headers("content-length").len(), 1);
    }
}

#[actix_rt::test]
async fn answers_of_other_kinds_have_no_coding() {
    for (answer, status) in [
        ("206 Partial Content\r\nContent-Range: bytes 0-1999/4000\r\nContent-Length: 2000", 206),
        ("204 No Content", 204),
        ("304 Not Modified\r\nETag: \"a\"", 304),
    ] {
        let body = if status == 206 { "a".repeat(2000) } else { String::new() };
        let origin =
            Origin::replying(format!("HTTP/1.1 {answer}\r\nContent-Type: text/plain\r\n\r\n{body}")).start().await;
        let proxy = proxy(&origin, "{ min_size = \"0B\" }").await;

        let answer = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\nRange: bytes=0-1999\r\n").await;

        assert_eq!((answer.status, answer.header("content-encoding"), answer.text()), (status, None, body));
    }
}

#[actix_rt::test]
async fn what_is_short_is_not_worth_it() {
    let origin =
        Origin::replying("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nshort").start().await;
    let proxy = proxy(&origin, "true").await;

    let worth_nothing = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\n").await;
    let at_any_price = ask(&proxy, "GET /", "Accept-Encoding: gzip, identity;q=0\r\n").await;

    assert_eq!((worth_nothing.header("content-encoding"), worth_nothing.text()), (None, "short".into()));
    assert_eq!((at_any_price.header("content-encoding"), plain(&at_any_price)), (Some("gzip"), b"short".to_vec()));
}

#[actix_rt::test]
async fn a_head_tells_what_a_get_would() {
    let origin = Origin::serving(|head, _| {
        let fields = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n",
            page().len()
        );
        if head.starts_with("HEAD") { fields.into_bytes() } else { (fields + &page()).into_bytes() }
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;

    let [head, get] = ["HEAD /", "GET /"].map(|line| ask(&proxy, line, "Accept-Encoding: br\r\n"));
    let (head, get) = (head.await, get.await);

    for name in ["content-encoding", "etag", "vary", "content-type"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), None, "nobody knows yet how long it would be");
}

#[actix_rt::test]
async fn who_asks_with_the_weak_tag_is_told_of_the_weak_tag() {
    let origin = Origin::replying("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n").start().await;
    let proxy = proxy(&origin, "true").await;
    for (known, told) in [("W/\"a\"", "W/\"a\""), ("\"a\"", "\"a\""), ("\"b\", W/\"a\"", "W/\"a\"")] {
        let answer = ask(&proxy, "GET /", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {known}\r\n")).await;

        assert_eq!((answer.status, answer.header("etag")), (304, Some(told)), "{known}");
    }
}

#[actix_rt::test]
async fn events_arrive_when_they_happen() {
    for coding in ["gzip", "br", "zstd"] {
        let origin = Origin::script(|mut conn, _| async move {
            conn.any_request().await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            conn.write(head).await;
            conn.write("9\r\ndata: a\n\n\r\n").await;
            conn.wait_for("seen").await;
            conn.write("9\r\ndata: b\n\n\r\n0\r\nx-end: yes\r\n\r\n").await;
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;
        let mut client = Client::connect(proxy.address).await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nAccept-Encoding: {coding}\r\n\r\n"
            ))
            .await;
        let head = client.read_head().await;
        let mut seen = client.read_some().await;
        // The first event is out while the second one has not happened.
        while !has_event(coding, &seen) {
            seen.extend(patiently("the event", client.read_some()).await);
        }
        origin.tell("seen");
        while !seen.ends_with(b"0\r\nx-end: yes\r\n\r\n") {
            seen.extend(patiently("the end", client.read_some()).await);
        }

        assert!(head.to_lowercase().contains(&format!("content-encoding: {coding}")), "{head}");
    }
}

/// The first event can be read of these chunks.
fn has_event(coding: &str, seen: &[u8]) -> bool {
    let mut content = Vec::new();
    let mut rest = seen;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).expect("digits"), 16).expect("a size");
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        content.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    let mut plain = Vec::new();
    let _ = match coding {
        "zstd" => zstd::stream::read::Decoder::new(&content[..]).expect("memory").read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(&content[..], 4096).read_to_end(&mut plain),
        _ => flate2::read::GzDecoder::new(&content[..]).read_to_end(&mut plain),
    };
    plain == b"data: a\n\n"
}

#[actix_rt::test]
async fn what_an_endpoint_cuts_short_arrives_cut_short() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.any_request().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9000\r\n\r\nhalf").await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;

    let answer = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\n").await;

    assert!(!answer.complete);
}

#[actix_rt::test]
async fn that_rules_make_an_endpoint_answer_plain_does_not_matter() {
    let origin = answering("Content-Type: text/plain\r\n").start().await;
    let text = format!(
        "[routes]\n\"/\" = {{ to = {:?}, compress = true, header_rules = {{ request = {{ remove = [\"accept-encoding\"] }} }} }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    let answer = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\n").await;

    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(!origin.request(0).to_lowercase().contains("accept-encoding"));
}

#[actix_rt::test]
async fn the_proxys_own_answers_are_compressed_too() {
    let text = format!("[routes]\n\"/\" = {{ respond = {{ body = {:?} }}, compress = true }}\n", page());
    let proxy = TestProxy::with(&text).start().await;

    let answer = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\n").await;

    assert!(plain(&answer) == page().as_bytes());
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.header("content-length").is_some(), "what is in memory has a length");
}

/// What the docs say of a stream's memory, of the real program: as many as are open at once, each with more behind it than any window holds.
#[actix_rt::test]
async fn a_stream_takes_no_more_memory_than_the_docs_say() {
    const STREAMS: usize = 8;
    const MIB: usize = 1 << 20;
    // Not the same again and again: what is remembered of it fills every table there is.
    let text: String = (0..45_000_u32).map(|number| format!("{:x} ", number.wrapping_mul(2_654_435_761))).collect();
    let length = text.len();
    assert!(length > 5 * MIB / 16, "more than the window of 256 KiB");
    let begun = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{text}\r\n"
    );
    let origin = Origin::script(move |mut conn, _| {
        let begun = begun.clone();
        async move {
            conn.read_head().await;
            conn.write(begun).await;
            std::future::pending::<()>().await;
        }
    });
    let origin = origin.start().await;
    for (level, most) in [("fast", 5 * MIB / 4), ("small", 6 * MIB)] {
        for coding in ["zstd", "br", "gzip"] {
            let folder = tempfile::tempdir().expect("a folder");
            let to = origin.url();
            let text = format!(
                "listen = [\"127.0.0.1:0\"]\nserver.workers = 1\n[routes]\n\"/\" = {{ to = {to:?}, compress = {{ level = {level:?} }} }}\n"
            );
            write(folder.path(), "edge.toml", text);
            let server = Binary::run(folder.path(), &["--settings", "edge.toml"]).await;
            let mut streams = vec![begun_stream(&server, coding, length).await];
            let before = resident(&server);

            for _ in 0..STREAMS {
                streams.push(begun_stream(&server, coding, length).await);
            }

            let each = resident(&server).saturating_sub(before) / STREAMS;
            println!("{coding}, {level}: {} KiB", each >> 10);
            assert!(each < most, "{coding}, {level}: {} KiB", each >> 10);
        }
    }
}

/// A stream of which all has come that the origin has sent so far.
async fn begun_stream(server: &Binary, coding: &str, length: usize) -> Client {
    let mut client = server.connect().await;
    // HTTP/1.0 has no chunks: what comes is what was compressed.
    client.send(format!("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")).await;
    let head = client.read_head().await;
    assert!(head.contains(&format!("content-encoding: {coding}")), "{head}");
    let mut came = Vec::new();
    while begun(coding, &came) < length {
        came.extend(client.read_some().await);
    }
    client
}

/// How much can be read of a text whose end has not come.
fn begun(coding: &str, coded: &[u8]) -> usize {
    let mut plain = Vec::new();
    // That the rest is missing is no news.
    let _cut_short = match coding {
        "zstd" => zstd::stream::read::Decoder::new(coded).expect("memory").read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
        _ => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
    };
    plain.len()
}

/// Bytes of memory that the program has.
fn resident(server: &Binary) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.processes()[0])).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a kernel that tells");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}
