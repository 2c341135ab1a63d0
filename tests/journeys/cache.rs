//! Answers that are kept, and given to others.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    api_key::KEYS,
    support::{
        client::Response,
        origin::{Origin, Script},
        proxy::TestProxy,
    },
};

/// 200 with these lines of fields and this text.
fn answer(fields: &str, text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n{text}", text.len())
}

/// Answers the first request with `answer 1`, the next with `answer 2` and so on, and these lines of fields.
fn counting(fields: &'static str) -> Script {
    let count = AtomicUsize::new(1);
    Origin::serving(move |_, _| {
        answer(fields, &format!("answer {}", count.fetch_add(1, Ordering::Relaxed))).into_bytes()
    })
}

async fn proxy(origin: &Origin, cache: &str) -> TestProxy {
    TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, cache = {cache} }}\n", origin.url())).start().await
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

fn said(answer: &Response) -> &str {
    answer.header("cache-status").expect("it says what was done")
}

const MINUTE: &str = "Cache-Control: max-age=60\r\n";

#[actix_rt::test]
async fn what_is_fresh_is_asked_for_once() {
    let origin = counting("Cache-Control: max-age=60\r\nX-Own: 1\r\nETag: \"a\"\r\n").start().await;
    let proxy = proxy(&origin, "true").await;

    let (first, second) = (ask(&proxy, "GET /a?b", "").await, ask(&proxy, "GET /a?b", "").await);

    assert_eq!((first.text(), second.text(), origin.requests_seen()), ("answer 1".into(), "answer 1".into(), 1));
    assert!(said(&first).starts_with("aqueduct; fwd=uri-miss") && said(&first).contains("stored"), "{}", first.head);
    assert!(said(&second).starts_with("aqueduct; hit; ttl="), "{}", second.head);
    assert!(second.header("age").is_some_and(|age| age.parse::<u32>().is_ok()) && second.header("date").is_some());
    assert_eq!((second.header("x-own"), second.header("etag")), (Some("1"), Some("\"a\"")));
    assert_eq!(second.header("content-length"), Some("8"));
    assert_eq!(ask(&proxy, "GET /a?c", "").await.text(), "answer 2", "another query is another thing");
}

#[actix_rt::test]
async fn what_is_not_for_everybody_is_never_kept_and_the_answer_says_why() {
    for (fields, asked, why) in [
        ("", "", "no-freshness"),
        ("Cache-Control: private, max-age=60\r\n", "", "private"),
        ("Cache-Control: no-store\r\n", "", "no-store"),
        ("Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n", "", "set-cookie"),
        ("Cache-Control: max-age=60\r\nVary: *\r\n", "", "vary"),
        (MINUTE, "Authorization: Basic YTpi\r\n", "personal"),
        (MINUTE, "Cache-Control: no-store\r\n", "request-no-store"),
    ] {
        let origin = counting(fields).start().await;
        let proxy = proxy(&origin, "true").await;

        let first = ask(&proxy, "GET /", asked).await;
        let second = ask(&proxy, "GET /", asked).await;

        assert_eq!((first.text(), second.text()), ("answer 1".into(), "answer 2".into()), "{fields:?} {asked:?}");
        assert_eq!(said(&first), format!("aqueduct; fwd=uri-miss; detail=\"{why}\""));
        assert_eq!(ask(&proxy, "GET /", "").await.text(), "answer 3", "nor is it given to others: {fields:?}");
    }
}

#[actix_rt::test]
async fn what_is_stale_is_validated_and_what_has_changed_takes_its_place() {
    let count = AtomicUsize::new(1);
    let origin = Origin::serving(move |head, _| match count.fetch_add(1, Ordering::Relaxed) {
        1 => answer("Cache-Control: max-age=0\r\nETag: \"a\"\r\nX-Old: 1\r\n", "first").into_bytes(),
        2 => {
            assert!(head.contains("if-none-match: \"a\""), "{head}");
            b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=0\r\nX-Old: 2\r\n\r\n".to_vec()
        }
        _ => answer("Cache-Control: max-age=60\r\nETag: \"b\"\r\n", "second").into_bytes(),
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    assert_eq!(ask(&proxy, "GET /", "").await.text(), "first");

    let validated = ask(&proxy, "GET /", "").await;
    let changed = ask(&proxy, "GET /", "").await;
    let hit = ask(&proxy, "GET /", "").await;

    assert_eq!((validated.status, validated.text(), validated.header("x-old")), (200, "first".into(), Some("2")));
    assert!(said(&validated).starts_with("aqueduct; fwd=stale; fwd-status=304"), "{}", validated.head);
    assert_eq!((changed.text(), hit.text(), origin.requests_seen()), ("second".into(), "second".into(), 3));
    assert!(said(&changed).starts_with("aqueduct; fwd=stale;") && said(&changed).contains("stored"));
}

#[actix_rt::test]
async fn a_clients_conditions_and_ranges_are_answered_from_what_is_kept() {
    let origin = Origin::replying(answer("Cache-Control: max-age=60\r\nETag: \"a\"\r\n", "0123456789"));
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    for (fields, status, text, range) in [
        // The first one is asked for whole, whatever the client wants of it.
        ("Range: bytes=2-4\r\n", 206, "234", Some("bytes 2-4/10")),
        ("If-None-Match: W/\"a\"\r\n", 304, "", None),
        ("If-None-Match: \"b\"\r\n", 200, "0123456789", None),
        ("Range: bytes=-3\r\n", 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=20-\r\n", 416, "", Some("bytes */10")),
        ("Range: bytes=0-1\r\nIf-Range: \"b\"\r\n", 200, "0123456789", None),
    ] {
        let answer = ask(&proxy, "GET /", fields).await;

        assert_eq!(
            (answer.status, answer.text(), answer.header("content-range")),
            (status, text.into(), range),
            "{fields}"
        );
    }
    let head = ask(&proxy, "HEAD /", "").await;

    assert_eq!((head.status, head.header("content-length"), head.text()), (200, Some("10"), String::new()));
    assert_eq!(origin.requests_seen(), 1);
    let asked = origin.request(0).to_ascii_lowercase();
    assert!(!asked.contains("range") && !asked.contains("if-none-match"), "{asked}");
}

#[actix_rt::test]
async fn answers_that_vary_are_kept_side_by_side() {
    let origin = Origin::serving(|head, _| {
        let language = head.lines().find_map(|line| line.strip_prefix("accept-language: ")).unwrap_or("none");
        answer("Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", language).into_bytes()
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;

    for _ in 0..2 {
        for language in ["de", "en"] {
            let answer = ask(&proxy, "GET /", &format!("accept-language: {language}\r\n")).await;
            assert_eq!(answer.text(), language);
        }
        assert_eq!(ask(&proxy, "GET /", "").await.text(), "none");
    }

    assert_eq!(origin.requests_seen(), 3);
}

#[actix_rt::test]
async fn what_was_changed_is_asked_for_again() {
    for (method, status, changes) in
        [("POST", 201, true), ("DELETE", 204, true), ("PUT", 302, true), ("POST", 500, false), ("OPTIONS", 200, false)]
    {
        let origin = Origin::serving(move |head, _| match head.starts_with("GET ") {
            true => answer(MINUTE, "kept").into_bytes(),
            false => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: /made\r\n\r\n").into_bytes(),
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;
        for path in ["/a", "/made", "/other"] {
            assert_eq!(ask(&proxy, &format!("GET {path}"), "").await.text(), "kept");
        }

        let changed = ask(&proxy, &format!("{method} /a"), "").await;

        assert_eq!(said(&changed), "aqueduct; fwd=method");
        for (path, is_asked_for) in [("/a", changes), ("/made", changes), ("/other", false)] {
            let again = ask(&proxy, &format!("GET {path}"), "").await;
            assert_eq!(!said(&again).contains("hit"), is_asked_for, "{method} {status} {path}");
        }
    }
}

#[actix_rt::test]
async fn an_answer_to_post_is_kept_that_says_it_is_what_is_there() {
    for (named, is_kept) in [("/a?b", true), ("http://A:80/a?b", true), ("/a", false), ("http://evil/a?b", false)] {
        let origin = Origin::serving(move |head, _| match head.starts_with("POST ") {
            true => answer(&format!("{MINUTE}Content-Location: {named}\r\nETag: \"a\"\r\n"), "posted").into_bytes(),
            false => answer(MINUTE, "got").into_bytes(),
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;
        assert_eq!(ask(&proxy, "GET /a?b", "").await.text(), "got");

        let posted = ask(&proxy, "POST /a?b", "Content-Length: 0\r\nIf-None-Match: *\r\n").await;
        let got = ask(&proxy, "GET /a?b", "").await;

        assert_eq!((posted.status, posted.text()), (200, "posted".into()), "{named}");
        assert_eq!(said(&posted).ends_with("; stored"), is_kept, "{named}: {}", said(&posted));
        assert_eq!(got.text(), if is_kept { "posted" } else { "got" }, "{named}");
        assert_eq!(said(&got).contains("; hit"), is_kept, "{named}");
    }
}

#[actix_rt::test]
async fn who_wants_only_what_is_kept_gets_that_or_504() {
    let origin = counting(MINUTE).start().await;
    let proxy = proxy(&origin, "true").await;
    let only = "Cache-Control: only-if-cached\r\n";

    let before = ask(&proxy, "GET /", only).await;
    assert_eq!(ask(&proxy, "GET /", "").await.text(), "answer 1");
    let after = ask(&proxy, "GET /", only).await;

    assert_eq!((before.status, after.status, after.text()), (504, 200, "answer 1".into()));
    assert_eq!(said(&before), "aqueduct; detail=\"only-if-cached\"");
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn a_client_can_ask_for_what_is_newer_unless_settings_say_no() {
    for (cache, expected) in [("true", "answer 2"), ("{ obey_clients = false }", "answer 1")] {
        let origin = counting(MINUTE).start().await;
        let proxy = proxy(&origin, cache).await;
        assert_eq!(ask(&proxy, "GET /", "").await.text(), "answer 1");

        assert_eq!(ask(&proxy, "GET /", "Cache-Control: no-cache\r\n").await.text(), expected);
        assert_eq!(ask(&proxy, "GET /", "").await.text(), expected, "and it is kept");
    }
}

#[actix_rt::test]
async fn what_is_old_stands_in_where_it_may_when_endpoints_fail() {
    for (told, failure, text) in [
        ("stale-if-error=60", "HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nfail", "first"),
        ("stale-if-error=60", "", "first"),
        ("stale-if-error=60", "HTTP/1.1 404 X\r\nContent-Length: 4\r\n\r\nnone", "none"),
        ("must-revalidate, stale-if-error=60", "HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nfail", "fail"),
        ("public", "HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nfail", "fail"),
    ] {
        let origin = Origin::script(move |mut conn, number| async move {
            conn.read_head().await;
            if number > 0 {
                return;
            }
            let fields = format!("Cache-Control: max-age=0, {told}\r\nETag: \"a\"\r\n");
            conn.write(answer(&fields, "first")).await;
            while conn.next_head().await.is_some() {
                if failure.is_empty() {
                    return;
                }
                conn.write(failure).await;
            }
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;
        assert_eq!(ask(&proxy, "GET /", "").await.text(), "first");

        let answer = ask(&proxy, "GET /", "").await;

        assert_eq!(answer.text(), text, "{told} {failure:?}");
        assert_eq!(said(&answer).contains("stale-if-error"), text == "first", "{}", answer.head);
    }
}

#[actix_rt::test]
async fn what_is_old_is_used_where_it_may_be_while_a_newer_one_is_asked_for() {
    let origin = Origin::script(|mut conn, _| async move {
        let fields = "Cache-Control: max-age=0, stale-while-revalidate=60\r\nETag: \"a\"\r\n";
        conn.read_head().await;
        conn.write(answer(fields, "first")).await;
        let head = conn.read_head().await;
        assert!(head.contains("if-none-match: \"a\"") && head.contains("x-forwarded-proto: http\r\n"), "{head}");
        // The client does not wait for this.
        conn.wait_for("go on").await;
        conn.write(answer(MINUTE, "second")).await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    assert_eq!(ask(&proxy, "GET /", "").await.text(), "first");

    let stale = ask(&proxy, "GET /", "").await;
    origin.wait_for_requests(2).await;
    let meanwhile = ask(&proxy, "GET /", "").await;
    origin.tell("go on");

    assert_eq!((stale.text(), meanwhile.text()), ("first".into(), "first".into()));
    assert!(said(&stale).starts_with("aqueduct; hit; ttl="), "{}", stale.head);
    loop {
        let newer = ask(&proxy, "GET /", "").await;
        if newer.text() == "second" {
            break;
        }
    }
    assert_eq!(origin.requests_seen(), 2, "one asks, however many come");
}

#[actix_rt::test]
async fn what_breaks_off_is_whole_for_nobody_and_is_not_kept() {
    for broken in [
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let origin = Origin::script(move |mut conn, number| async move {
            conn.read_head().await;
            if number == 0 {
                conn.write(broken).await;
            } else {
                conn.write(answer(MINUTE, "all of it")).await;
                conn.wait_closed().await;
            }
        });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;

        let first = ask(&proxy, "GET /", "").await;
        let second = ask(&proxy, "GET /", "").await;

        assert_eq!((first.text(), first.complete), ("half".into(), false), "{broken}");
        assert_eq!((second.text(), second.complete), ("all of it".into(), true));
    }
}

#[actix_rt::test]
async fn the_answer_to_head_tells_whether_what_is_kept_is_still_good() {
    for (tag, expected) in [("\"a\"", "first"), ("\"b\"", "second")] {
        let count = AtomicUsize::new(0);
        let origin =
            Origin::serving(move |head, _| match (head.starts_with("HEAD "), count.fetch_add(1, Ordering::Relaxed)) {
                (true, _) => {
                    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: {tag}\r\n\r\n").into_bytes()
                }
                (_, 0) => answer("Cache-Control: max-age=60\r\nETag: \"a\"\r\n", "first").into_bytes(),
                _ => answer("Cache-Control: max-age=60\r\nETag: \"b\"\r\n", "second").into_bytes(),
            });
        let origin = origin.start().await;
        let proxy = proxy(&origin, "true").await;
        assert_eq!(ask(&proxy, "GET /", "").await.text(), "first");

        ask(&proxy, "HEAD /", "Cache-Control: no-cache\r\n").await;

        assert_eq!(ask(&proxy, "GET /", "").await.text(), expected, "{tag}");
    }
}

#[actix_rt::test]
async fn a_group_is_invalidated_by_its_name() {
    let origin = Origin::serving(|head, _| match head.starts_with("POST ") {
        true => b"HTTP/1.1 204 No Content\r\nCache-Group-Invalidation: \"eg-1\"\r\n\r\n".to_vec(),
        false if head.starts_with("GET /in") => {
            answer("Cache-Control: max-age=60\r\nCache-Groups: \"eg-1\"\r\n", "a").into_bytes()
        }
        false => answer("Cache-Control: max-age=60\r\nCache-Groups: \"eg-2\"\r\n", "b").into_bytes(),
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    for path in ["/in", "/out"] {
        ask(&proxy, &format!("GET {path}"), "").await;
    }

    ask(&proxy, "POST /elsewhere", "Content-Length: 0\r\n").await;

    for (path, is_kept) in [("/in", false), ("/in", true), ("/out", true)] {
        assert_eq!(said(&ask(&proxy, &format!("GET {path}"), "").await).contains("hit"), is_kept, "{path}");
    }
}

#[actix_rt::test]
async fn trailers_are_kept_too() {
    let chunks = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\nhalf\r\n5\r\nwhole\r\n0\r\nX-Sum: 9\r\n\r\n";
    let origin = Origin::replying(chunks).start().await;
    let proxy = proxy(&origin, "true").await;

    for _ in 0..2 {
        let answer = ask(&proxy, "GET /", "").await;
        assert_eq!((answer.text(), answer.trailer("x-sum")), ("halfwhole".into(), Some("9")));
    }

    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn what_was_made_for_one_request_is_given_to_no_other_that_could_mean_something_else() {
    let origin = Origin::serving(|head, body| {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ").or(line.strip_prefix("Host: ")));
        let told = ["x-forwarded-host: evil", "x-host: evil", "x-original-url: /evil"]
            .iter()
            .any(|field| head.contains(field));
        let line = head.lines().next().unwrap_or_default();
        let text = format!("{line} {} {told} {}", host.unwrap_or("-"), String::from_utf8_lossy(body));
        answer(MINUTE, &text).into_bytes()
    });
    let origin = origin.start().await;
    let proxy = proxy(&origin, "true").await;
    let plain = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    let evil = [
        // Another host, in each place where one can be named.
        "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.example:81\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
        // What a client says of itself: endpoints are not told.
        "GET / HTTP/1.1\r\nHost: shop.example\r\nx-forwarded-host: evil\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.example\r\nForwarded: host=evil\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n",
        // A body where nobody looks for one.
        "GET / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nevil",
        // Other paths, however they are written.
        "GET /%2e%2e/evil HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
        "GET /?evil HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
        "GET /? HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nevil",
    ];
    for request in evil {
        proxy.send(request).await;

        let answer = proxy.send(plain).await;

        assert_eq!(answer.text(), "GET / HTTP/1.1 shop.example false ", "{request:?}");
    }
}

#[actix_rt::test]
async fn nobody_gets_from_here_what_a_filter_would_have_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    fs::write(&keys, KEYS).expect("a file");
    let count = AtomicUsize::new(1);
    let origin = Origin::serving(move |head, _| {
        let fields = if head.starts_with("GET /public") { "Cache-Control: public, max-age=60\r\n" } else { MINUTE };
        answer(fields, &format!("answer {}", count.fetch_add(1, Ordering::Relaxed))).into_bytes()
    });
    let origin = origin.start().await;
    let text =
        format!("[routes]\n\"/\" = {{ to = {:?}, api_key = {{ keys = {keys:?} }}, cache = true }}\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let (shop, bill) = ("X-API-Key: secret-of-shop\r\n", "X-API-Key: secret-of-bill\r\n");

    assert_eq!(ask(&proxy, "GET /public", shop).await.text(), "answer 1");
    assert_eq!(ask(&proxy, "GET /public", "").await.status, 401);
    assert_eq!(ask(&proxy, "GET /public", bill).await.text(), "answer 1", "it says that it is for all who may come in");
    assert_eq!(ask(&proxy, "GET /own", shop).await.text(), "answer 2");
    assert_eq!(
        ask(&proxy, "GET /own", bill).await.text(),
        "answer 3",
        "it is for who asked, and does not say otherwise"
    );
}

#[actix_rt::test]
async fn one_answer_is_kept_for_clients_that_are_sent_it_compressed_and_in_the_plain() {
    let text = "The quick brown fox. ".repeat(200);
    let origin =
        Origin::replying(answer("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n", &text));
    let origin = origin.start().await;
    let settings = format!("[routes]\n\"/\" = {{ to = {:?}, compress = true, cache = true }}\n", origin.url());
    let proxy = TestProxy::with(&settings).start().await;

    let plain = ask(&proxy, "GET /", "").await;
    let coded = ask(&proxy, "GET /", "Accept-Encoding: gzip\r\n").await;

    assert!(plain.text() == text && plain.header("content-encoding").is_none());
    assert_eq!((coded.header("content-encoding"), coded.header("etag")), (Some("gzip"), Some("W/\"a\"")));
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn what_settings_say_of_keys_and_times_holds() {
    for (cache, fields, pairs) in [
        (
            "{ key = { ignore = [\"utm_*\"], sort = true } }",
            MINUTE,
            [("/?a=1&b=2", "/?b=2&utm_x=3&a=1"), ("/", "/?utm_x=1")],
        ),
        ("{ key = { query = false } }", MINUTE, [("/?a=1", "/?a=2"), ("/b", "/b?")]),
        ("{ default_ttl = \"1m\" }", "", [("/", "/"), ("/a", "/a")]),
        ("{ set_cookie = \"drop\" }", "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n", [("/", "/"), ("/a", "/a")]),
    ] {
        let origin = counting(fields).start().await;
        let proxy = proxy(&origin, cache).await;
        for (first, second) in pairs {
            let first = ask(&proxy, &format!("GET {first}"), "").await;
            let second = ask(&proxy, &format!("GET {second}"), "").await;

            assert_eq!(first.text(), second.text(), "{cache}");
            assert_eq!((first.header("set-cookie"), second.header("set-cookie")), (None, None), "{cache}");
        }
        assert_eq!(origin.requests_seen(), 2, "{cache}");
    }
}

#[actix_rt::test]
async fn a_store_is_one_for_the_routes_that_name_it_and_keeps_to_its_size() {
    let origin = Origin::serving(|_, _| answer(MINUTE, &"x".repeat(100_000)).into_bytes()).start().await;
    let url = origin.url();
    let proxy = TestProxy::with(&format!(
        "[stores.pages]\nmemory = {{ size = \"1MiB\" }}\n[defaults]\ncache = {{ store = \"pages\", max_object = \"256KiB\" }}\n\
         [routes]\n\"/\" = {url:?}\n\"/b\" = {{ to = {url:?}, cache = {{ store = \"pages\", max_object = \"200KiB\" }} }}\n"
    ));
    let proxy = proxy.start().await;

    for number in 0..30 {
        for path in ["a", "b"] {
            ask(&proxy, &format!("GET /{path}/{number}"), "").await;
        }
    }

    let shelves = proxy.proxy.plan().shelves();
    let [pages] = &shelves[..] else { panic!("{} stores", shelves.len()) };
    let usage = pages.memory.usage();
    assert_eq!(pages.name, "pages");
    assert!(usage.bytes <= 1 << 20 && usage.targets >= 8, "{usage:?}");
}

#[actix_rt::test]
async fn a_reload_keeps_what_is_kept() {
    let origin = counting(MINUTE).start().await;
    let text = |cache: &str| format!("[routes]\n\"/\" = {{ to = {:?}, cache = {cache} }}\n", origin.url());
    let proxy = TestProxy::with(&text("true")).start().await;
    assert_eq!(ask(&proxy, "GET /", "").await.text(), "answer 1");

    let changed = aqueduct::settings::Layers::new().text("test.toml", text("{ max_object = \"1MiB\" }")).load();
    proxy.proxy.reload(changed.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings).expect("good");

    assert_eq!(ask(&proxy, "GET /", "").await.text(), "answer 1");
}
