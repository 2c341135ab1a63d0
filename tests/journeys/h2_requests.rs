//! HTTP/2 with clients: requests and answers, as endpoints and clients see them.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;

use super::support::{
    client::Client,
    edge::{MOMENT, TestEdge},
    frames::{self, Frames, Outcome},
    h2::{H2, read, reason, refusal, request, request_with, whole},
    origin::Origin,
    proxy::TestProxy,
    scripts,
    wire::patiently,
};

#[actix_rt::test]
async fn an_endpoint_sees_a_request_of_http_1_1() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;
    let fields = [("cookie", "a=1"), ("x-own", "yes"), ("cookie", "b=2"), ("te", "trailers"), ("user-agent", "test")];

    let answer = client.ask(request_with("GET", "/a?b", &fields), b"").await;

    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")));
    let told = answer.text();
    assert!(told.starts_with("GET /a?b HTTP/1.1\n"), "{told}");
    let told = told.to_ascii_lowercase();
    for line in
        ["\nhost: a.example\n", "\ncookie: a=1; b=2\n", "\nx-own: yes\n", "\nvia: 2.0 aqueduct", "\nte: trailers\n"]
    {
        assert!(told.contains(line), "{line:?}: {told}");
    }
    assert!(!told.contains("transfer-encoding") && !told.contains("content-length"), "{told}");
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert!(answer.headers.contains_key("date"));
}

#[actix_rt::test]
async fn content_goes_on_by_its_length_or_in_chunks() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let sized = client.ask(request_with("POST", "/", &[("content-length", "5")]), b"hello").await;
    let open = client.ask(request("POST", "/"), b"hello").await;
    let empty = client.ask(request("POST", "/"), b"").await;

    assert!(sized.text().to_ascii_lowercase().contains("\ncontent-length: 5\n"), "{}", sized.text());
    assert!(open.text().to_ascii_lowercase().contains("\ntransfer-encoding: chunked\n"), "{}", open.text());
    for told in [sized.text(), open.text()] {
        assert!(told.ends_with("\n\nhello"), "{told}");
    }
    assert!(empty.text().ends_with("\n\n"), "{}", empty.text());
}

#[actix_rt::test]
async fn trailers_go_both_ways() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        let mut came = Vec::new();
        while !came.ends_with(b"\r\n\r\n") {
            came.extend(conn.read_some().await);
        }
        assert_eq!(String::from_utf8_lossy(&came), "5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (answer, mut stream) = client.begin(request_with("POST", "/", &[("te", "trailers")]), false).await;
    stream.send_data(Bytes::from_static(b"hello"), false).expect("it takes content");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("7"));
    stream.send_trailers(trailers).expect("it takes trailers");
    let answer = whole(answer).await;

    assert_eq!((answer.status, answer.text().as_str(), answer.trailer("grpc-status")), (200, "hi", Some("0")));
}

#[actix_rt::test]
async fn an_app_has_trailers_too() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let (answer, mut stream) = client.begin(request("POST", "/trailers"), false).await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-own", http::HeaderValue::from_static("1"));
    stream.send_trailers(trailers).expect("it takes trailers");
    let answer = whole(answer).await;

    assert_eq!(answer.text(), "x-own=\"1\";");
    assert_eq!((answer.trailer("x-sum"), answer.trailer("x-end")), (Some("1"), Some("2")));
    assert_eq!(answer.trailer("content-length"), None);
}

#[actix_rt::test]
async fn interim_responses_come_before_the_answer() {
    let origin = scripts::interim_apart().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (mut answer, _) = client.begin(request("GET", "/"), true).await;
    let hints = patiently("hints", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    origin.tell("the hints were read");
    let answer = whole(answer).await;

    let hints = hints.expect("hints").expect("a response");
    assert_eq!((hints.status().as_u16(), hints.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
    assert_eq!(answer.text(), "hello");
}

#[actix_rt::test]
async fn a_client_that_waits_for_leave_gets_it_when_somebody_reads() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;
    let expecting = |path| request_with("POST", path, &[("expect", "100-continue")]);

    let (mut answer, mut stream) = client.begin(expecting("/echo"), false).await;
    let leave = patiently("leave", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    stream.send_data(Bytes::from_static(b"hello"), true).expect("it takes content");
    let read = whole(answer).await;
    let (mut answer, _stream) = client.begin(expecting("/unread"), false).await;
    let no_leave = patiently("no leave", std::future::poll_fn(|cx| answer.poll_informational(cx))).await;

    assert_eq!(leave.expect("leave").expect("a response").status().as_u16(), 100);
    assert_eq!(read.text(), "hello");
    assert!(no_leave.is_none(), "nobody reads it");
}

#[actix_rt::test]
async fn what_a_client_resets_is_dropped_at_once() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_closed().await;
        conn.tell("dropped");
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (_answer, mut stream) = client.begin(request("GET", "/"), true).await;
    origin.wait_for("asked").await;
    stream.send_reset(Reason::CANCEL);

    origin.wait_for("dropped").await;
}

#[actix_rt::test]
async fn what_is_asked_on_a_lost_connection_is_dropped_at_once() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        conn.tell(&format!("asked {number}"));
        conn.wait_closed().await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let first = client.begin(request("GET", "/"), true).await;
    let second = client.begin(request("POST", "/"), false).await;
    for asked in ["asked 0", "asked 1"] {
        origin.wait_for(asked).await;
    }
    client.abort();

    origin.wait_for_closed(2).await;
    drop((first, second));
}

#[actix_rt::test]
async fn a_reset_in_the_middle_of_an_answer_stops_its_body() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let (answer, mut stream) = client.begin(request("GET", "/waits"), true).await;
    let mut body = patiently("an answer", answer).await.expect("an answer").into_body();
    patiently("content", body.data()).await.expect("content").expect("content");
    stream.send_reset(Reason::CANCEL);

    edge.wait_for("dropped").await;
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

#[actix_rt::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    let cut =
        [scripts::cut_length(), scripts::cut_chunk(), scripts::cut_between_chunks(), scripts::cut_before_last_line()];
    for script in cut {
        let origin = script.start().await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = H2::connect(proxy.address).await;

        let (answer, _) = client.begin(request("GET", "/"), true).await;
        let broken = match patiently("an answer", answer).await {
            Ok(answer) => read(answer.into_body()).await.expect_err("it breaks off"),
            Err(error) => error,
        };

        assert_eq!(reason(&broken), Reason::INTERNAL_ERROR);
    }
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;
    for path in ["/breaks", "/short", "/long"] {
        let (answer, _) = client.begin(request("GET", path), true).await;
        let broken = match patiently("an answer", answer).await {
            Ok(answer) => read(answer.into_body()).await.expect_err("it breaks off"),
            Err(error) => error,
        };

        assert_eq!(reason(&broken), Reason::INTERNAL_ERROR, "{path}");
    }
    // What had come by then goes out first.
    let mut frames = Frames::connect(edge.address).await;
    frames.send(frames::get(1, "/breaks")).await;
    let half = frames.next_of(frames::DATA).await;
    assert_eq!((&*half.payload, half.ends_stream()), (&b"half"[..], false));
    assert_eq!(frames.outcome(1).await, Outcome::Reset(frames::INTERNAL_ERROR));
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

#[actix_rt::test]
async fn an_early_answer_ends_the_upload_without_an_error() {
    let origin = scripts::early_refusal("HTTP/1.1 403 Forbidden").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = Frames::connect(proxy.address).await;

    client.send([frames::post(1, "/"), frames::frame(frames::DATA, 0, 1, b"begun")].concat()).await;
    let answer = client.outcome(1).await;
    origin.tell("answer 0 was read");
    let mut ended = false;
    let reset = loop {
        let frame = client.next().await.expect("it goes on");
        match frame.kind {
            frames::RST_STREAM => break frame.code(0),
            _ => ended |= frame.stream == 1 && frame.ends_stream(),
        }
    };

    assert_eq!((answer, ended, reset), (Outcome::Answer(403), true, frames::NO_ERROR));
    client.send(frames::get(3, "/")).await;
    assert!(matches!(client.outcome(3).await, Outcome::Answer(_)), "the connection goes on");
}

#[actix_rt::test]
async fn an_answer_may_come_while_the_request_is_sent() {
    let origin = scripts::duplex_echo().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (answer, mut stream) = client.begin(request("POST", "/"), false).await;
    stream.send_data(Bytes::from_static(b"one"), false).expect("it takes content");
    let mut body = patiently("an answer", answer).await.expect("an answer").into_body();
    let mut came = patiently("content", body.data()).await.expect("content").expect("content").to_vec();
    stream.send_data(Bytes::from_static(b"two"), true).expect("it takes content");
    let (rest, _) = read(body).await.expect("the rest");
    came.extend(rest);

    assert_eq!(came, b"onetwo");
}

#[actix_rt::test]
async fn a_client_that_is_answered_may_be_silent_for_as_long_as_its_route_says() {
    let origin = scripts::duplex_echo().start().await;
    let text = |idle: &str| {
        format!(
            "[server.timeouts]\nrequest_body = \"100ms\"\n[routes]\n\
             \"/\" = {{ to = \"{}\", timeout = {{ idle = \"{idle}\" }} }}\n",
            origin.url()
        )
    };
    for (idle, is_cut) in [("1m", false), ("200ms", true)] {
        let proxy = TestProxy::with(&text(idle)).start().await;
        let mut client = H2::connect(proxy.address).await;

        let (answer, mut stream) = client.begin(request("POST", "/"), false).await;
        stream.send_data(Bytes::from_static(b"one"), false).expect("it takes content");
        let mut body = patiently("an answer", answer).await.expect("an answer").into_body();
        patiently("content", body.data()).await.expect("content").expect("content");
        // That nothing happens can only be waited for.
        let silence = tokio::time::timeout(Duration::from_millis(400), body.data()).await;
        assert_eq!(silence.is_ok(), is_cut, "{idle}: {silence:?}");
        if !is_cut {
            stream.send_data(Bytes::from_static(b"two"), true).expect("it takes content");
            assert_eq!(read(body).await.expect("the rest").0, b"two");
        }
    }
}

#[actix_rt::test]
async fn many_requests_share_a_connection_and_none_waits_for_another() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let (held, _) = client.begin(request("GET", "/held"), true).await;
    let mut large = Vec::new();
    for _ in 0..5 {
        let (answer, _) = client.begin(request("GET", "/large"), true).await;
        // They share one window with all others: somebody has to read them.
        large.push(actix_rt::spawn(whole(answer)));
    }
    let mut small = Vec::new();
    for _ in 0..100 {
        small.push(client.begin(request("GET", "/"), true).await.0);
    }
    for answer in small {
        assert_eq!(whole(answer).await.text(), "hello");
    }
    for answer in large {
        assert_eq!(answer.await.expect("no panic").body.len(), 8 << 20);
    }
    edge.tell("go on");

    assert_eq!(whole(held).await.text(), "done");
}

#[actix_rt::test]
async fn what_has_no_content_by_its_kind_has_none() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let head = client.ask(request("HEAD", "/"), b"").await;
    let [none, unmodified] = [client.get("/status/204").await, client.get("/status/304").await];

    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("5"), 0));
    assert_eq!((none.status, none.header("content-length"), none.body.len()), (204, None, 0));
    assert_eq!((unmodified.status, unmodified.body.len()), (304, 0));
}

#[actix_rt::test]
async fn framing_and_connection_are_never_the_apps() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let answer = client.get("/fields").await;

    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("five!", Some("5")));
    for name in ["connection", "transfer-encoding", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
}

#[actix_rt::test]
async fn a_switch_of_protocols_that_http_2_does_not_know_is_refused() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    assert_eq!(client.get("/switch").await.status, 502);
    assert_eq!(client.get("/status/103").await.status, 500);
}

#[actix_rt::test]
async fn limits_hold_as_for_http_1_1() {
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::with(&format!(
        "[server.http]\nmax_uri = \"100B\"\nmax_headers = 10\nmax_head = \"1KiB\"\n\
         [routes]\n\"/\" = {:?}\n\"/small\" = {{ to = {0:?}, max_body = \"10B\" }}\n",
        origin.url()
    ));
    let proxy = proxy.start().await;
    let mut client = H2::connect(proxy.address).await;
    let long = "x".repeat(200);
    let many: Vec<(&str, &str)> = vec![("x", "y"); 11];
    let large = "x".repeat(1100);

    let answers = [
        client.get(&format!("/{long}")).await,
        client.ask(request_with("GET", "/", &many), b"").await,
        client.ask(request_with("GET", "/", &[("x", &large)]), b"").await,
        client.ask(request_with("POST", "/small", &[("content-length", "11")]), b"12345678901").await,
        client.ask(request("POST", "/small"), b"12345678901").await,
        client.ask(request("BREW", "/"), b"").await,
        client.ask(request("TRACE", "/"), b"").await,
    ];

    assert_eq!(answers.each_ref().map(|answer| answer.status), [414, 431, 431, 413, 413, 501, 405]);
    assert!(answers.iter().all(|answer| answer.headers.contains_key("x-request-id")), "{answers:?}");
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
    // What is larger by far is not kept until it is refused, and is all the same.
    let large = client.ask(request_with("GET", "/", &[("x", &"x".repeat(8000))]), b"").await;
    assert_eq!(large.status, 431);
}

#[actix_rt::test]
async fn a_list_of_fields_that_is_too_large_is_in_the_access_log_and_costs_nobody_else_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let origin = Origin::echo().start().await;
    let proxy = TestProxy::with(&format!(
        "[log.access]\npath = {log:?}\nformat = \"json\"\n[routes]\n\"/\" = {:?}\n",
        origin.url()
    ));
    let proxy = proxy.start().await;
    let mut client = Frames::connect(proxy.address).await;

    // A small block that stands for a large list: one field that is remembered, and referred to ever again.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
    let list = [frames::block(&frames::request("GET", "/large")), entry, vec![0xbe; 10_000]].concat();
    client.send(frames::frame(frames::HEADERS, 5, 1, list)).await;
    let refused = client.outcome(1).await;
    // What it has said is known.
    let again = [frames::block(&frames::request("GET", "/small")), vec![0xbe]].concat();
    client.send(frames::frame(frames::HEADERS, 5, 3, again)).await;
    let answered = client.outcome(3).await;
    let written = proxy.proxy.access_log().expect("a log");
    proxy.drain();
    proxy.outcome();
    written.flush();

    assert_eq!((refused, answered), (Outcome::Answer(431), Outcome::Answer(200)));
    let lines = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let paths: Vec<_> = lines.iter().map(|line| (&line["path"], &line["status"])).collect();
    assert_eq!(paths, [(&"/large".into(), &431.into()), (&"/small".into(), &200.into())]);
}

#[actix_rt::test]
async fn a_body_is_no_larger_than_the_edge_allows() {
    let edge = TestEdge::with(|settings| settings.http.max_body = "10B".parse().expect("a size")).await;
    let mut client = H2::connect(edge.address).await;

    let announced = client.ask(request_with("POST", "/echo", &[("content-length", "11")]), b"12345678901").await;
    let open = client.ask(request("POST", "/echo"), b"12345678901").await;
    let fits = client.ask(request("POST", "/echo"), b"1234567890").await;

    assert_eq!((announced.status, open.status, fits.status), (413, 400, 200));
    assert!(open.text().contains("Overflow"), "{}", open.text());
}

#[actix_rt::test]
async fn requests_are_in_the_access_log_with_their_protocol() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let proxy = TestProxy::with(&format!(
        "[log.access]\npath = {log:?}\nformat = \"json\"\n[server.http]\nmax_uri = \"100B\"\n[routes]\n\"/\" = {:?}\n",
        origin.url()
    ));
    let proxy = proxy.start().await;
    let mut client = H2::connect(proxy.address).await;

    client.get("/fine").await;
    client.get(&format!("/{}", "x".repeat(200))).await;
    let written = proxy.proxy.access_log().expect("a log");
    proxy.drain();
    proxy.outcome();
    written.flush();

    let lines = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [fine, refused] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&fine["protocol"], &fine["path"], &fine["status"]), (&"HTTP/2.0".into(), &"/fine".into(), &200.into()));
    assert_eq!(fine["bytes_out"], 5);
    assert_eq!((&refused["protocol"], &refused["status"]), (&"HTTP/2.0".into(), &414.into()));
}

#[actix_rt::test]
async fn both_protocols_are_spoken_on_one_address_and_on_unix_sockets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    let edge = TestEdge::also_on(path.clone()).await;

    let mut plain = H2::connect(edge.address).await;
    let mut unix = H2::connect_unix(&path).await;
    let old = edge.get("/").await;

    assert_eq!(
        (plain.get("/").await.text(), unix.get("/").await.text(), old.text()),
        ("hello".into(), "hello".into(), "hello".into())
    );
}

#[actix_rt::test]
async fn an_upgrade_to_http_2_is_not_one() {
    let edge = TestEdge::start().await;

    let answer = edge
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        )
        .await;

    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

#[actix_rt::test]
async fn http_2_can_be_turned_off() {
    let origin = Origin::answering("hello").start().await;
    let listen = "listen = [{ addr = \"127.0.0.1:0\", h2 = false }]\n";
    let proxy = TestProxy::with(&format!("{listen}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;
    let mut client = Client::connect(proxy.address).await;

    client.send(frames::PREFACE).await;

    assert_eq!(client.read_response().await.status, 505);
}

#[actix_rt::test]
async fn a_preface_behind_a_request_is_none() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    client.send([&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], frames::PREFACE].concat()).await;

    assert_eq!((client.read_response().await.status, client.read_response().await.status), (200, 505));
}

#[actix_rt::test]
async fn an_upload_stands_still_while_nobody_takes_it() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::post(1, "/late")).await;
    edge.wait_for("asked").await;

    // As much as a stream's window holds, and the client is not told that it may send more.
    let piece = frames::frame(frames::DATA, 0, 1, vec![b'x'; 16384]);
    for _ in 0..4 {
        client.send(&piece).await;
    }
    client.send(frames::frame(frames::PING, 0, 0, [0; 8])).await;
    let mut opened = 0;
    loop {
        let frame = client.next().await.expect("it goes on");
        match frame.kind {
            frames::WINDOW_UPDATE if frame.stream == 1 => opened += frame.code(0),
            frames::PING => break,
            _ => {}
        }
    }
    edge.tell("go on");
    client.next_of(frames::WINDOW_UPDATE).await;

    assert_eq!(opened, 0, "nobody has taken a byte");
}

#[actix_rt::test]
async fn more_than_a_window_holds_costs_the_stream() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    let piece = frames::frame(frames::DATA, 0, 1, vec![b'x'; 16384]);

    client.send([&frames::post(1, "/hang-unread")[..], &piece.repeat(5)].concat()).await;

    let came = client.outcome(1).await;
    assert!(
        matches!(came, Outcome::Reset(frames::FLOW_CONTROL_ERROR) | Outcome::GoAway(frames::FLOW_CONTROL_ERROR)),
        "{came:?}"
    );
}

#[actix_rt::test]
async fn uploads_that_nobody_reads_do_not_hold_up_the_others() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    // Together they would fill the connection's window many times over.
    for _ in 0..60 {
        let (answer, mut stream) = client.begin(request("POST", "/unread"), false).await;
        stream.send_data(Bytes::from(vec![b'x'; 60_000]), false).expect("it takes content");
        patiently("an answer", answer).await.expect("an answer");
    }
    let read = client.ask(request("POST", "/echo"), &[b'x'; 100_000]).await;

    assert_eq!(read.body.len(), 100_000);
}

#[actix_rt::test]
async fn a_download_stands_still_while_the_client_reads_none_of_it() {
    let edge = TestEdge::start().await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(1, 0), (4, 65_535)]).await;

    client.send(frames::get(1, "/endless")).await;
    let mut came = 0;
    while came < 65_535 {
        came += client.next_of(frames::DATA).await.payload.len();
    }
    actix_rt::time::sleep(MOMENT).await;
    assert!(client.is_alive().await);
    client.send(frames::reset(1, frames::CANCEL)).await;

    edge.wait_for("dropped").await;
    assert_eq!(came, 65_535);
}

#[actix_rt::test]
async fn a_request_whose_client_leaves_before_its_end_is_refused_to_nobody() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;

    let (answer, mut stream) = client.begin(request("POST", "/echo"), false).await;
    stream.send_data(Bytes::from_static(b"half"), false).expect("it takes content");
    stream.send_reset(Reason::CANCEL);

    assert_eq!(refusal(answer).await, Reason::CANCEL);
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}
