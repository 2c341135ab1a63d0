//! What passes through, and what ends at the proxy.

use std::sync::atomic::Ordering;

use super::support::{client::Client, origin::Origin, proxy::TestProxy, scripts};

/// The value of a field in what an echoing origin told.
fn told<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let prefix = format!("{name}:");
    let lines = text.lines().take_while(|line| !line.is_empty());
    let values = lines.filter(|line| line.to_ascii_lowercase().starts_with(&prefix));
    values.map(|line| line[prefix.len()..].trim()).collect()
}

#[actix_rt::test]
async fn a_request_arrives_as_it_was_sent() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy
        .send("POST /a/b?x=1&y=%20 HTTP/1.1\r\nHost: shop.example\r\nX-Own: 1\r\nX-Own: 2\r\nContent-Length: 5\r\n\r\nhello")
        .await;

    let text = response.text();
    assert_eq!(response.status, 200);
    assert!(text.starts_with("POST /a/b?x=1&y=%20 HTTP/1.1\n"), "{text}");
    assert!(text.ends_with("\nhello"), "{text}");
    assert_eq!(told(&text, "host"), ["shop.example"]);
    assert_eq!(told(&text, "x-own"), ["1", "2"]);
    assert_eq!(told(&text, "content-length"), ["5"]);
}

#[actix_rt::test]
async fn fields_keep_their_order_in_both_directions() {
    const FIELDS: [&str; 7] = ["x-b: 1", "accept: 2", "x-a: 3", "x-b: 4", "cookie: 5", "x-c: 6", "x-a: 7"];
    let lines = FIELDS.map(|field| format!("{field}\r\n")).concat();
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
    let origin = Origin::replying(answer).start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = Client::connect(proxy.address).await;

    client.send(format!("GET / HTTP/1.1\r\n{lines}Host: a\r\n\r\n")).await;
    let head = client.read_head().await;

    let of =
        |head: &str| -> Vec<String> { head.lines().filter(|line| FIELDS.contains(line)).map(str::to_owned).collect() };
    assert_eq!(of(&origin.request(0)), FIELDS);
    assert_eq!(of(&head), FIELDS);
}

#[actix_rt::test]
async fn what_belongs_to_one_connection_does_not_go_on_in_either_direction() {
    let origin = Origin::serving(|head, _| {
        let seen = head.to_ascii_lowercase();
        let hop = ["connection", "keep-alive", "te", "x-named", "proxy-connection", "upgrade", "expect"];
        let passed: Vec<_> = hop.iter().filter(|name| seen.contains(&format!("\r\n{name}:"))).collect();
        let body = format!("{passed:?}");
        format!(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=9\r\nX-Mine: 1\r\n\
             Proxy-Connection: keep-alive\r\nX-End: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Named\r\nX-Named: 1\r\nKeep-Alive: 1\r\n\
             Proxy-Connection: close\r\nTE: gzip\r\nUpgrade: h2c\r\n\r\n",
        )
        .await;

    assert_eq!(response.text(), "[]");
    for name in ["keep-alive", "x-mine", "proxy-connection"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-end"), Some("1"));
}

#[actix_rt::test]
async fn an_untrusted_client_cannot_say_who_it_is() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).with_underscores().start().await;

    let response = proxy
        .send(
            "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n\
             X-Forwarded-Ssl: evil\r\nX-Forwarded-Scheme: evil\r\nX-Forwarded: for=6.6.6.6\r\n\
             X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6;proto=https\r\nX-Real-IP: 6.6.6.6\r\n\
             X-Request-Id: mine\r\nConnection: close\r\n\r\n",
        )
        .await;

    let text = response.text();
    assert!(!text.contains("6.6.6.6") && !text.contains("evil"), "{text}");
    assert_eq!(told(&text, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told(&text, "x-forwarded-proto"), ["http"]);
    assert_eq!(told(&text, "x-forwarded-host"), ["shop.example"]);
    assert_eq!(told(&text, "forwarded").len(), 1);
    assert!(told(&text, "forwarded")[0].contains("for=127.0.0.1"), "{text}");
    assert_ne!(told(&text, "x-request-id"), ["mine"]);
    assert_eq!(told(&text, "x-request-id").len(), 1);
}

#[actix_rt::test]
async fn what_a_rule_sets_arrives_whatever_the_client_nominates_or_claims() {
    let origin = Origin::echo().start().await;
    let text = format!(
        "[routes]\n\"/\" = {{ to = \"{0}\", header_rules = {{ request = {{ set = {{ x-internal-auth = \"s3cret\", \
         x-forwarded-prefix = \"/shop\", x-forwarded-port = \"443\" }} }} }} }}\n\"/plain\" = \"{0}\"\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let ask = async |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Internal-Auth: forged\r\nX-Forwarded-Prefix: /evil\r\n\
             X-Forwarded-Port: 6\r\nConnection: close, x-internal-auth, X-Forwarded-Port\r\n\r\n"
        );
        proxy.send(request).await.text()
    };

    let (ruled, plain) = (ask("/").await, ask("/plain").await);

    for (name, expected) in
        [("x-internal-auth", "s3cret"), ("x-forwarded-prefix", "/shop"), ("x-forwarded-port", "443")]
    {
        assert_eq!(told(&ruled, name), [expected], "{ruled}");
        assert!(told(&plain, name).is_empty(), "{plain}");
    }
}

#[actix_rt::test]
async fn a_trusted_proxy_hides_nobody_by_nominating_what_it_says_of_him() {
    let origin = Origin::echo().start().await;
    let text = format!("trusted_proxies = [\"127.0.0.0/8\"]\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    let response = proxy
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Request-Id: from-the-front\r\n\
             Connection: close, x-forwarded-for, x-request-id\r\n\r\n",
        )
        .await;

    let text = response.text();
    assert_eq!(told(&text, "x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(told(&text, "x-request-id"), ["from-the-front"]);
}

#[actix_rt::test]
async fn a_trusted_proxy_in_front_is_believed_and_the_list_goes_on() {
    let origin = Origin::echo().start().await;
    let text = format!("trusted_proxies = [\"127.0.0.0/8\"]\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    let response = proxy
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: shop.example\r\nX-Request-Id: from-the-front\r\nConnection: close\r\n\r\n",
        )
        .await;

    let text = response.text();
    assert_eq!(told(&text, "x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(told(&text, "x-forwarded-proto"), ["https"]);
    assert_eq!(told(&text, "x-forwarded-host"), ["shop.example"]);
    assert_eq!(told(&text, "x-request-id"), ["from-the-front"]);
}

#[actix_rt::test]
async fn a_client_cannot_speak_past_a_proxy_that_writes_one_kind_of_fields_only() {
    let origin = Origin::echo().start().await;
    let text = format!("trusted_proxies = [\"127.0.0.0/8\"]\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    for claim in ["for=6.6.6.6", "for=\"6.6.6.6"] {
        let response = proxy
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nForwarded: {claim}\r\nX-Forwarded-For: 203.0.113.9\r\n\
                 Connection: close\r\n\r\n"
            ))
            .await;

        let text = response.text();
        assert_eq!(told(&text, "forwarded"), ["for=127.0.0.1;host=a;proto=http"], "{claim}");
        assert_eq!(told(&text, "x-forwarded-for"), ["127.0.0.1"], "{claim}");
    }
}

#[actix_rt::test]
async fn via_names_us_behind_whoever_was_before() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 front\r\nConnection: close\r\n\r\n").await;

    let via = told(&response.text(), "via").join(", ");
    assert!(via.starts_with("1.0 front, 1.1 aqueduct"), "{via}");
}

#[actix_rt::test]
async fn a_proxy_that_leads_to_itself_is_found_out() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let text = proxy.get("/").await.text();
    let via = told(&text, "via")[0].to_owned();

    let response = proxy.send(format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\nConnection: close\r\n\r\n")).await;

    assert_eq!(response.status, 508);
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn trace_context_passes_untouched() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    let response = proxy
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {parent}\r\ntracestate: a=1\r\nConnection: close\r\n\r\n"
        ))
        .await;

    assert_eq!(told(&response.text(), "traceparent"), [parent]);
    assert_eq!(told(&response.text(), "tracestate"), ["a=1"]);
}

#[actix_rt::test]
async fn the_host_is_the_clients_the_endpoints_or_what_the_route_says() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let text = format!(
        "[routes]\n\"/keep\" = \"{url}\"\n\"/own\" = {{ to = \"{url}\", host = \"upstream\" }}\n\
         \"/fixed\" = {{ to = \"{url}\", host = \"inner.example\" }}\n"
    );
    let proxy = TestProxy::with(&text).start().await;
    let own = origin.address().to_string();

    for (path, expected) in [("/keep", "Client.Example"), ("/own", own.as_str()), ("/fixed", "inner.example")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: Client.Example\r\nConnection: close\r\n\r\n");
        assert_eq!(told(&proxy.send(request).await.text(), "host"), [expected], "{path}");
    }
}

#[actix_rt::test]
async fn an_absolute_target_is_what_the_endpoint_sees_as_host() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;

    let response =
        proxy.send("GET http://good.example/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;

    assert!(response.text().starts_with("GET /x HTTP/1.1\n"), "{}", response.text());
    assert_eq!(told(&response.text(), "host"), ["good.example"]);
}

#[actix_rt::test]
async fn an_answer_arrives_as_it_was_given() {
    let origin = Origin::replying(
        "HTTP/1.1 404 Nowhere\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: origin\r\nETag: \"x\"\r\n\
         Content-Length: 4\r\n\r\nnone",
    )
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy.get("/").await;

    assert_eq!((response.status, response.text().as_str()), (404, "none"));
    assert_eq!(response.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.headers("server"), ["origin"]);
    assert_eq!(response.headers("etag"), ["\"x\""]);
    assert_eq!(response.headers("content-length"), ["4"]);
    assert_eq!(response.headers("date").len(), 1);
}

#[actix_rt::test]
async fn the_answer_to_a_head_says_the_length_it_was_told_and_no_other() {
    for (field, length) in [
        ("Content-Length: 5\r\n", Some("5")),
        ("Content-Length: 0\r\n", Some("0")),
        ("Transfer-Encoding: chunked\r\n", None),
        ("", None),
    ] {
        let origin = Origin::replying(format!("HTTP/1.1 200 OK\r\n{field}X-End: 1\r\n\r\n")).start().await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = proxy.connect().await;

        // The second answer shows that nothing came behind the first.
        for _ in 0..2 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let response = client.read_response_to("HEAD").await;

            assert_eq!((response.status, response.header("x-end")), (200, Some("1")), "{field:?}");
            assert_eq!(response.header("content-length"), length, "{field:?}: {}", response.head);
        }
    }
}

#[actix_rt::test]
async fn a_client_of_http_1_0_gets_what_it_can_read() {
    let origin =
        Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = Client::connect(proxy.address).await;

    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(client.read_to_end().await).expect("text");

    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(body, "hello");
}

#[actix_rt::test]
async fn trailers_pass_in_both_directions() {
    let origin = Origin::script(|mut conn, _| async move {
        let head = conn.read_head().await;
        assert!(head.to_ascii_lowercase().contains("te: trailers"), "{head}");
        let mut seen = Vec::new();
        while !seen.ends_with(b"x-sum: 1\r\n\r\n") {
            seen.extend(conn.read_some().await);
        }
        assert!(seen.ends_with(b"\r\n0\r\nx-sum: 1\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n").await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;

    let response = proxy
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nVia: x\r\nX-Sum: 1\r\n\r\n",
        )
        .await;

    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailer("x-sum"), Some("2"));
}

#[actix_rt::test]
async fn early_hints_reach_the_client_before_the_answer() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
        conn.wait_for("hints were seen").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let hints = client.read_head().await;
    origin.tell("hints were seen");
    let response = client.read_response().await;

    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    assert!(hints.to_ascii_lowercase().contains("link: </a.css>"), "{hints}");
    assert_eq!(response.text(), "ok");
}

#[actix_rt::test]
async fn server_sent_events_flow_one_by_one() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for event in ["first", "second", "third"] {
            conn.write(format!("{:x}\r\ndata: {event}\n\n\r\n", event.len() + 8)).await;
            conn.wait_for(event).await;
        }
        conn.write("0\r\n\r\n").await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_head().await;
    for event in ["first", "second", "third"] {
        let mut seen = String::new();
        while !seen.contains(event) {
            seen.push_str(&String::from_utf8_lossy(&client.read_some().await));
        }
        origin.tell(event);
    }
}

#[actix_rt::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_closed().await;
        conn.tell("cancelled");
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;
    drop(client);

    origin.wait_for("cancelled").await;
}

#[actix_rt::test]
async fn an_endpoint_that_dies_mid_body_cuts_the_client_visibly() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            conn.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n")).await;
        })
        .start()
        .await;
        let proxy = TestProxy::to(&origin).start().await;

        let response = proxy.get("/").await;

        assert_eq!(response.status, 200, "{head}");
        assert!(!response.complete, "{head}");
    }
}

#[actix_rt::test]
async fn an_early_refusal_reaches_the_client_while_it_uploads() {
    for (status, reason) in [(413, "Too Large"), (401, "Unauthorized")] {
        let origin = Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            conn.write(format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")).await;
        })
        .start()
        .await;
        let proxy = TestProxy::to(&origin).start().await;

        for _ in 0..10 {
            let mut client = proxy.connect().await;
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").await;
            for _ in 0..100 {
                if !client.try_send(vec![b'x'; 65536]).await {
                    break;
                }
            }
            let response = client.read_response().await;
            assert_eq!((response.status, response.text().as_str()), (status, "no"));
        }
    }
}

#[actix_rt::test]
async fn many_requests_share_few_connections() {
    let origin = Origin::answering("hello").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    for _ in 0..50 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.text(), "hello");
    }

    assert_eq!((origin.requests_seen(), origin.connections_seen()), (50, 1));
}

#[actix_rt::test]
async fn a_connection_is_kept_also_behind_an_answer_that_did_not_come_at_once() {
    let origin = Origin::answering(&"x".repeat(1 << 20)).start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = proxy.connect().await;

    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.body.len(), 1 << 20);
    }

    assert_eq!((origin.requests_seen(), origin.connections_seen()), (5, 1));
}

#[actix_rt::test]
async fn a_refused_connection_is_tried_at_the_next_endpoint() {
    let alive = Origin::answering("hello").start().await;
    let text = format!(
        "[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [\"http://{}\", \"{}\"]\n",
        super::support::client::refusing(),
        alive.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.status, 200);
    }

    assert_eq!(alive.requests_seen(), 4);
}

#[actix_rt::test]
async fn a_get_on_a_stale_connection_is_sent_again_and_a_post_is_not() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_request().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        if number == 0 || number == 2 {
            // The second request is read, and the connection closed without an answer.
            conn.read_request().await;
        } else {
            conn.read_request().await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = proxy.connect().await;

    let mut statuses = Vec::new();
    // Connection 0: get, then a get that is dropped and sent again on connection 1, which answers one more and closes.
    // Connection 2: get, then a post that is dropped, and stays dropped.
    for request in [get, get, get, get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
        client.send(request).await;
        statuses.push(client.read_response().await.status);
    }

    assert_eq!(statuses, [200, 200, 200, 200, 502]);
    assert_eq!(origin.requests().iter().filter(|request| request.starts_with("POST")).count(), 1);
}

#[actix_rt::test]
async fn a_small_body_is_sent_again_with_its_idempotent_request_and_a_large_one_is_not() {
    for (length, again) in [(1, true), (16 * 1024, true), (16 * 1024 + 1, false)] {
        let origin = Origin::script(|mut conn, number| async move {
            let (_, body) = conn.read_request().await;
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {0}\r\n\r\n", body.len())).await;
            conn.write(body).await;
            // The second request on the first connection is read whole, and the connection closed without an answer.
            if number == 0 {
                let (_, body) = conn.read_request().await;
                conn.tell(&format!("first {}", body.len()));
            } else {
                conn.wait_closed().await;
            }
        })
        .start()
        .await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_response().await;

        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
        client.send("x".repeat(length)).await;

        let response = client.read_response().await;
        origin.wait_for(&format!("first {length}")).await;
        let times = origin.requests().iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!((response.status, times), if again { (200, 2) } else { (502, 1) }, "{length}");
        assert!(!again || response.text() == "x".repeat(length), "{length}");
    }
}

#[actix_rt::test]
async fn what_a_stale_connection_did_not_answer_is_sent_again_once_on_a_new_one() {
    let script = || {
        Origin::script(|mut conn, number| async move {
            conn.read_request().await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            if number == 0 {
                // The second request is read, and the connection closed without an answer.
                conn.read_request().await;
            } else {
                conn.wait_closed().await;
            }
        })
    };
    let (one, other) = (script().start().await, script().start().await);
    let servers = format!("servers = [\"{}\", \"{}\"]", one.url(), other.url());
    let text = format!("[routes]\n\"/\" = \"pair\"\n[upstreams.pair]\n{servers}\nbalance = \"round_robin\"\n");
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;

    // One each, and both connections are kept; the third finds one of them stale.
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }

    assert_eq!(one.requests_seen() + other.requests_seen(), 4);
    assert_eq!(one.connections_seen() + other.connections_seen(), 3);
}

#[actix_rt::test]
async fn a_unix_socket_serves_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let (behind, before) = (folder.path().join("app.sock"), folder.path().join("edge.sock"));
    let _origin = Origin::echo().start_unix(&behind).await;
    let text = format!("[routes]\n\"/\" = \"http+unix:{}\"\n", behind.display());
    let proxy = TestProxy::with(&text).also_on(&before).start().await;
    let mut client = Client::connect_unix(&before).await;

    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = client.read_response().await;

    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().starts_with("GET /x HTTP/1.1\n"));
    drop(proxy);
}

#[actix_rt::test]
async fn a_reload_changes_routes_and_a_bad_one_changes_nothing() {
    let (old, new) = (Origin::answering("old").start().await, Origin::answering("new").start().await);
    let proxy = TestProxy::to(&old).start().await;
    let mut client = proxy.connect().await;
    let mut ask = async || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_response().await.text()
    };
    let mut settings = proxy.proxy.plan().settings.clone();
    assert_eq!(ask().await, "old");

    settings.routes.insert("/".into(), new.url().as_str().into());
    proxy.proxy.reload(settings.clone()).expect("it is good");
    assert_eq!(ask().await, "new");

    settings.routes.insert("/".into(), "nobody".into());
    assert!(proxy.proxy.reload(settings).is_err());
    assert_eq!(ask().await, "new");
}

#[actix_rt::test]
async fn an_upstream_may_be_carried_by_awc_which_never_reuses_a_connection() {
    let origin = Origin::echo().start().await;
    let text =
        format!("[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\ntransport = \"awc\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;

    for _ in 0..3 {
        let response =
            proxy.send("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
        assert!(response.text().starts_with("POST /a?b HTTP/1.1\n"), "{}", response.text());
        assert!(response.text().ends_with("hello"), "{}", response.text());
        assert_eq!(told(&response.text(), "x-forwarded-for"), ["127.0.0.1"]);
    }

    assert_eq!((origin.requests_seen(), origin.connections_seen()), (3, 3));
}

#[actix_rt::test]
async fn a_download_that_its_client_does_not_read_is_not_held_for_it() {
    const LENGTH: usize = 100_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let (script, written) = scripts::floods(LENGTH);
    let origin = script.start_unix(folder.path().join("origin")).await;
    let edge = folder.path().join("edge");
    let _proxy = TestProxy::to(&origin).also_on(&edge).start().await;
    let mut client = Client::connect_unix(&edge).await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("nobody reads").await;
    let held = written.load(Ordering::Relaxed);
    let response = client.read_response().await;

    assert!(held < scripts::MOST_AHEAD, "{held} bytes went out");
    assert_eq!((response.body.len(), response.complete), (LENGTH, true));
}
