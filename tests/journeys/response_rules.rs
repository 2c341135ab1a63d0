//! What answers may look like, and what does not help those that may not get out.

use super::support::{
    client::{Client, Response},
    h2::{H2, read, request, request_with},
    origin::{Origin, Script},
    proxy::TestProxy,
    wire::patiently,
};

const SECRET: &str = "INSERT INTO users VALUES ('root')";

async fn proxy(origin: &Origin, rules: &str) -> TestProxy {
    proxy_with(origin, rules, "").await
}

async fn proxy_with(origin: &Origin, rules: &str, more: &str) -> TestProxy {
    let text = format!("[routes]\n\"/\" = {{ to = {:?}, response_rules = {rules}{more} }}\n", origin.url());
    TestProxy::with(&text).start().await
}

async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    proxy.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")).await
}

/// Answers with these fields and the secret, to HEAD without it.
fn telling(head: &str) -> Script {
    let head = format!("HTTP/1.1 {head}\r\nX-Inside: {SECRET}\r\nContent-Length: {}\r\n\r\n", SECRET.len());
    Origin::serving(move |asked, _| {
        let body = if asked.starts_with("HEAD ") { "" } else { SECRET };
        format!("{head}{body}").into_bytes()
    })
}

fn is_told(answer: &Response) -> bool {
    answer.head.contains(SECRET) || answer.text().contains(SECRET)
}

#[actix_rt::test]
async fn an_answer_that_is_refused_is_a_502_that_tells_nothing_of_it() {
    let origin = telling("200 OK\r\nContent-Type: application/x-sql\r\nSet-Cookie: a=1").start().await;
    let proxy = proxy(&origin, "{ deny = [{ content_types = \"application/x-sql\" }] }").await;

    let answer = ask(&proxy, "GET /", "").await;
    let mut h2 = H2::connect(proxy.address).await;
    let in_h2 = h2.get("/").await;
    let call =
        h2.ask(request_with("POST", "/", &[("content-type", "application/grpc"), ("te", "trailers")]), b"").await;

    assert_eq!((answer.status, in_h2.status), (502, 502));
    let told = "aqueduct; error=http_request_denied; details=\"response_rules: a rule is against the answer\"";
    assert_eq!((answer.header("proxy-status"), in_h2.header("proxy-status")), (Some(told), Some(told)));
    assert!(answer.text().contains("\"urn:aqueduct:refused:response_rules\""), "{}", answer.text());
    assert!(!is_told(&answer) && !in_h2.text().contains(SECRET) && answer.header("set-cookie").is_none());
    assert_eq!((call.status, call.header("grpc-status")), (200, Some("14")));
    assert_eq!(origin.requests_seen(), 3);
}

#[actix_rt::test]
async fn no_way_to_say_its_type_gets_an_answer_out() {
    let (deny, allow) = ("{ deny = [{ content_types = \"application/x-sql\" }] }", "{ content_types = \"text/*\" }");
    for (fields, denied, allowed) in [
        ("Content-Type: text/plain", false, true),
        ("Content-Type: TEXT/csv; charset=\"x\"", false, true),
        ("Content-Type: application/x-sql", true, false),
        ("content-type:Application/X-SQL", true, false),
        ("Content-Type: application/x-sql; charset=utf-8", true, false),
        ("Content-Type: application/x-sql;", true, false),
        ("Content-Type: \tapplication/x-sql\t", true, false),
        ("Content-Type: text/plain\r\nContent-Type: application/x-sql", true, false),
        ("Content-Type: application/x-sql\r\nContent-Type: text/plain", true, false),
        ("Content-Type: text/plain, application/x-sql", true, false),
        ("Content-Type: application/x-sql,text/plain", true, false),
        ("Content-Type: text/plain;a=\", application/x-sql;\"", true, false),
        ("Content-Type: text/plain;a=b,application/x-sql", true, false),
        // What says nothing may be anything, but is not one of those.
        ("X-None: 1", false, false),
        ("Content-Type:", false, false),
        ("Content-Type: application/json", false, false),
        ("Content-Type: application", false, false),
        ("Content-Type: text/", false, false),
        ("Content_Type: text/plain", false, false),
    ] {
        for (rules, gets_out) in [(deny, !denied), (allow, allowed)] {
            let origin = telling(&format!("200 OK\r\n{fields}")).start().await;
            let proxy = proxy(&origin, rules).await;

            for method in ["GET", "HEAD"] {
                let answer = ask(&proxy, &format!("{method} /"), "").await;

                // To HEAD nothing that has no type could get out.
                let gets_out = gets_out || method == "HEAD" && !fields.to_lowercase().contains("content-type");
                assert_eq!(answer.status, if gets_out { 200 } else { 502 }, "{method} {rules} {fields:?}");
                assert_eq!(is_told(&answer), gets_out, "{method} {rules} {fields:?}");
            }
        }
    }
}

#[actix_rt::test]
async fn parts_do_not_get_out_what_the_whole_may_not() {
    // A server that answers several ranges with parts, which say themselves what they are.
    let origin = Origin::serving(|head, _| {
        let asked = head.to_ascii_lowercase();
        if asked.contains("range: bytes=0-1,3-4") {
            let part = "--b\r\nContent-Type: application/x-sql\r\nContent-Range: bytes 0-1/5\r\n\r\nIN\r\n--b--\r\n";
            let head = "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=b";
            return format!("{head}\r\nContent-Length: {}\r\n\r\n{part}", part.len()).into_bytes();
        }
        let status =
            if asked.contains("range: ") { "206 Partial Content\r\nContent-Range: bytes 0-1/5" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Type: application/x-sql\r\nContent-Length: 2\r\n\r\nIN").into_bytes()
    });
    let origin = origin.start().await;
    for rules in
        ["{ deny = [{ content_types = \"application/x-sql\" }] }", "{ content_types = [\"text/*\", \"multipart/*\"] }"]
    {
        let proxy = proxy(&origin, rules).await;
        for range in
            ["", "Range: bytes=0-1\r\n", "Range: bytes=0-1,3-4\r\n", "Range: bytes=0-1,3-4\r\nIf-Range: \"a\"\r\n"]
        {
            let answer = ask(&proxy, "GET /", range).await;

            assert_eq!(answer.status, 502, "{rules} {range}: {}", answer.text());
        }
    }
}

#[actix_rt::test]
async fn an_answer_is_as_long_as_it_may_be_or_it_is_not_whole() {
    let sized = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let chunked = |chunks: &[usize]| {
        let chunks: String = chunks.iter().map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(*size))).collect();
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    let part = |range: &str| {
        format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {range}\r\nContent-Length: 5\r\n\r\nxxxxx")
    };
    for (answer, status, length, complete) in [
        (sized(10), 200, Some(10), true),
        (sized(11), 502, None, true),
        (chunked(&[10]), 200, Some(10), true),
        (chunked(&[5, 5]), 200, Some(10), true),
        (chunked(&[11]), 200, None, false),
        (chunked(&[5, 5, 1]), 200, None, false),
        (chunked(&[5, 5, 100_000]), 200, None, false),
        // A part is as long as the whole of it.
        (part("0-4/10"), 206, Some(5), true),
        (part("0-4/11"), 502, None, true),
        (part("0-4/*"), 206, Some(5), true),
        // It says less than it has, or more.
        (format!("{}more", sized(10)), 200, Some(10), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 100\r\n\r\nxxxxxxxxxx".into(), 502, None, true),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nx", u64::MAX), 502, None, true),
    ] {
        let origin = Origin::replying(answer.clone()).start().await;
        let proxy = proxy(&origin, "{ max_body = \"10B\" }").await;

        let got = ask(&proxy, "GET /", "").await;

        let case = &answer[..answer.len().min(90)];
        assert_eq!((got.status, got.complete), (status, complete), "{case:?}");
        assert!(length.is_none_or(|length| got.body.len() == length), "{case:?}: {}", got.body.len());
        assert!(got.status != 200 || got.body.len() <= 10, "{case:?}: {}", got.body.len());
        if status == 502 && got.text().contains("response_rules") {
            assert!(
                got.header("proxy-status").is_some_and(|told| told.contains("http_response_body_size")),
                "{case:?}"
            );
        }
    }
}

#[actix_rt::test]
async fn one_that_ends_with_its_connection_or_in_http_2_is_cut_off_as_visibly() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5))).await;
        conn.wait_for("more").await;
        let _ = conn.try_write("x".repeat(100_000)).await;
        conn.wait_closed().await;
        conn.tell("left");
    })
    .start()
    .await;
    let proxy = proxy(&origin, "{ max_body = \"10B\" }").await;
    let mut client = Client::connect(proxy.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut h2 = H2::connect(proxy.address).await;
    let (answer, _stream) = h2.begin(request("GET", "/"), true).await;
    let answer = patiently("an answer", answer).await.expect("an answer");
    origin.tell("more");

    let rest = client.read_to_end().await;
    let cut = read(answer.into_body()).await;

    assert_eq!(String::from_utf8_lossy(&rest), "5\r\nxxxxx\r\n", "no last chunk");
    assert!(cut.is_err(), "{cut:?}");
    // The endpoint is let go, too.
    origin.wait_for("left").await;
    let events = proxy.proxy.plan().ledger.events();
    assert!(events.contains(&(("response_rules", "cut_off"), 2)), "{events:?}");
}

#[actix_rt::test]
async fn a_rule_is_for_the_requests_that_it_names() {
    let origin = telling("500 Oops\r\nContent-Type: text/html\r\nX-Debug-Token: a").start().await;
    let rules = "{ deny = [{ status = \"5xx\", headers = { X-Debug-Token = \"*\" }, when = \"not header('x-staff') == 'yes'\" }] }";
    let proxy = proxy_with(&origin, rules, ", header_rules = { request.set = { x-staff = \"no\" } }").await;

    for (fields, gets_out) in [
        ("", false),
        ("X-Staff: yes\r\n", true),
        ("X-Staff: no\r\n", false),
        // Of two, the wrong one may be meant.
        ("X-Staff: yes\r\nX-Staff: no\r\n", false),
        ("X_Staff: yes\r\n", false),
    ] {
        let answer = ask(&proxy, "GET /", fields).await;

        assert_eq!((answer.status, is_told(&answer)), (if gets_out { 500 } else { 502 }, gets_out), "{fields:?}");
    }
}

#[actix_rt::test]
async fn what_is_stored_is_held_against_the_rules_of_today() {
    let origin = telling("200 OK\r\nContent-Type: application/x-sql\r\nCache-Control: max-age=600").start().await;
    let text = |rules: &str| format!("[routes]\n\"/\" = {{ to = {:?}, cache = true{rules} }}\n", origin.url());
    let proxy = TestProxy::with(&text("")).start().await;
    assert!(is_told(&ask(&proxy, "GET /", "").await) && is_told(&ask(&proxy, "GET /", "").await));
    assert_eq!(origin.requests_seen(), 1, "it is stored");

    let rules = ", response_rules = { deny = [{ content_types = \"application/x-sql\" }] }";
    let loaded = aqueduct::settings::Layers::new().text("test.toml", text(rules)).load().expect("good settings");
    proxy.proxy.reload(loaded.settings).expect("good settings");
    let answer = ask(&proxy, "GET /", "").await;

    assert_eq!((answer.status, is_told(&answer), origin.requests_seen()), (502, false, 1));
}

#[actix_rt::test]
async fn a_page_of_the_house_can_stand_in_its_place() {
    let origin = telling("200 OK\r\nContent-Type: application/x-sql").start().await;
    let more = ", error_pages = { 5xx = \"settings/errors/5xx.html\" }";
    let proxy = proxy_with(&origin, "{ deny = [{ content_types = \"application/x-sql\" }] }", more).await;

    let answer = ask(&proxy, "GET /", "Accept: text/html\r\n").await;

    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html; charset=utf-8")));
    assert!(answer.text().contains("<html") && !is_told(&answer), "{}", answer.text());
}
