//! HTTP/2 with clients: how connections begin, what ends them, and real clients.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use aqueduct::edge::Outcome as End;
use bytes::Bytes;
use h2::Reason;
use tokio::{net::TcpStream, process::Command};

use super::support::{
    binary::{Binary, write},
    edge::{COUNTED, TestEdge},
    frames::{self, Frame, Frames, Outcome},
    h2::{H2, read, request, whole},
    origin::Origin,
    proxy::TestProxy,
    tls::{Authority, shake_hands},
    wire::{Socket, patiently},
};

fn time(text: &str) -> aqueduct::settings::Time {
    text.parse().expect("a time")
}

/// The connection's last frames, up to its end.
async fn goaways(client: &mut Frames) -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == frames::GOAWAY {
            all.push((frame.code(0), frame.code(4)));
        }
    }
    all
}

// -- ends ---------------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_server_that_stops_finishes_what_is_under_way_and_takes_nothing_new() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::get(1, "/held")).await;
    edge.wait_for("asked").await;

    edge.drain();
    let warning = client.next_of(frames::GOAWAY).await;
    let ping = client.next_of(frames::PING).await;
    client.send(frames::frame(frames::PING, frames::ACK, 0, ping.payload)).await;
    let last = client.next_of(frames::GOAWAY).await;
    client.send(frames::get(3, "/")).await;
    edge.tell("go on");
    let held = client.outcome(1).await;
    let mut content = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == frames::DATA {
            assert_eq!(frame.stream, 1, "nothing new is answered");
            content.extend(frame.payload);
        }
    }

    assert_eq!((warning.code(0), warning.code(4)), (0x7fff_ffff, frames::NO_ERROR));
    assert_eq!((last.code(0), last.code(4)), (1, frames::NO_ERROR));
    assert_eq!((held, &*content), (Outcome::Answer(200), &b"done"[..]));
    assert_eq!(edge.outcome(), End::Drained);
}

#[actix_rt::test]
async fn a_server_that_stops_ends_idle_connections_at_once() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    client.next_of(frames::DATA).await;

    edge.drain();

    // It may not have seen yet that the answer is out; then there is a warning before the last word.
    assert_eq!(goaways(&mut client).await.last(), Some(&(1, frames::NO_ERROR)));
    assert_eq!(edge.outcome(), End::Drained);
}

#[actix_rt::test]
async fn who_has_connected_when_the_server_stops_may_still_ask() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    assert!(client.is_alive().await);

    edge.drain();
    client.send(frames::get(1, "/")).await;

    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    client.wait_closed().await;
    assert_eq!(edge.outcome(), End::Drained);
}

#[actix_rt::test]
async fn an_answer_that_is_not_taken_yet_is_not_cut_by_the_servers_end() {
    let edge = TestEdge::start().await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(1, 0), (4, 2)]).await;
    client.send(frames::get(1, "/")).await;
    client.next_of(frames::DATA).await;

    edge.drain();
    client.next_of(frames::GOAWAY).await;
    client.send(frames::window_update(1, 3)).await;
    let rest = client.next_of(frames::DATA).await;

    assert_eq!((&*rest.payload, rest.ends_stream()), (&b"llo"[..], true));
    client.wait_closed().await;
    assert_eq!(edge.outcome(), End::Drained);
}

#[actix_rt::test]
async fn an_idle_connection_ends_in_order() {
    let edge = TestEdge::with(|settings| settings.timeouts.keep_alive = time("100ms")).await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));

    assert_eq!(goaways(&mut client).await, [(1, frames::NO_ERROR)]);
}

#[actix_rt::test]
async fn a_connection_on_which_something_is_asked_again_and_again_is_not_idle() {
    let keep_alive = Duration::from_millis(300);
    let edge = TestEdge::with(|settings| settings.timeouts.keep_alive = time("300ms")).await;
    let mut client = Frames::connect(edge.address).await;
    // A fast machine answers more often than there is room for to begin with.
    client.send(frames::window_update(0, 1 << 30)).await;

    let (begun, mut stream) = (Instant::now(), 1);
    while begun.elapsed() < keep_alive * 3 {
        client.send(frames::get(stream, "/")).await;
        assert_eq!(client.outcome(stream).await, Outcome::Answer(200), "after {:?}", begun.elapsed());
        client.next_of(frames::DATA).await;
        stream += 2;
    }
}

#[actix_rt::test]
async fn a_client_that_does_not_say_that_it_has_read_that_the_server_stops_is_told_the_last_word_all_the_same() {
    let edge = TestEdge::with(|settings| settings.http.h2.ping = time("300ms")).await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::get(1, "/hang")).await;
    edge.wait_for("asked").await;

    edge.drain();
    let warning = client.next_of(frames::GOAWAY).await;
    // It is there, and asks more.
    let (mut last, mut stream) = (None, 3);
    while last.is_none() {
        client.send(frames::get(stream, "/")).await;
        client.send(frames::frame(frames::PING, 0, 0, [0; 8])).await;
        stream += 2;
        loop {
            let frame = client.next().await.expect("it goes on");
            match frame.kind {
                frames::GOAWAY => last = Some((frame.code(0), frame.code(4))),
                frames::PING if frame.flags == frames::ACK => break,
                frames::PING if &*frame.payload == b"are you?" => {
                    client.send(frames::frame(frames::PING, frames::ACK, 0, frame.payload)).await;
                }
                _ => {}
            }
        }
    }

    assert_eq!((warning.code(0), warning.code(4)), (0x7fff_ffff, frames::NO_ERROR));
    let (known, code) = last.expect("it was said");
    assert!(known < stream && code == frames::NO_ERROR);
}

#[actix_rt::test]
async fn who_says_no_more_still_reads_what_was_said_to_it() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    assert!(client.is_alive().await);

    client.send(frames::frame(frames::PING, 0, 0, b"the last").repeat(3)).await;
    client.finish().await;

    for _ in 0..3 {
        assert_eq!(&*client.next_of(frames::PING).await.payload, b"the last");
    }
}

#[actix_rt::test]
async fn pings_do_not_keep_an_idle_connection() {
    let edge = TestEdge::with(|settings| settings.timeouts.keep_alive = time("300ms")).await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));

    let mut pings = 0;
    while client.try_send(frames::frame(frames::PING, 0, 0, [0; 8])).await {
        match client.next().await {
            Some(Frame { kind: frames::GOAWAY, .. }) | None => break,
            Some(_) => pings += 1,
        }
        actix_rt::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    assert!((1..500).contains(&pings), "{pings}");
}

#[actix_rt::test]
async fn a_connection_on_which_nothing_is_asked_ends() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_head = time("100ms")).await;
    let mut client = Frames::connect(edge.address).await;
    // Half a preface is no beginning either.
    let mut half = Frames::silent(edge.address).await;
    half.send(&frames::PREFACE[..20]).await;

    assert_eq!(goaways(&mut client).await, [(0, frames::NO_ERROR)]);
    half.wait_closed().await;
}

#[actix_rt::test]
async fn a_silent_client_is_asked_whether_it_is_there_while_something_is_under_way() {
    let edge = TestEdge::with(|settings| settings.http.h2.ping = time("100ms")).await;
    let mut client = Frames::connect(edge.address).await;

    client.send(frames::get(1, "/held")).await;
    for _ in 0..2 {
        let ping = client.next_of(frames::PING).await;
        assert_eq!(ping.flags, 0);
        client.send(frames::frame(frames::PING, frames::ACK, 0, ping.payload)).await;
    }
    edge.tell("go on");

    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
}

#[actix_rt::test]
async fn a_client_that_is_not_there_any_more_is_given_up() {
    let edge = TestEdge::with(|settings| settings.http.h2.ping = time("100ms")).await;
    let mut client = Frames::connect(edge.address).await;

    client.send(frames::get(1, "/hang")).await;
    client.next_of(frames::PING).await;

    edge.wait_for("dropped").await;
    client.wait_closed().await;
}

#[actix_rt::test]
async fn a_client_that_reads_nothing_at_all_costs_little_and_is_given_up() {
    let edge = TestEdge::with(|settings| settings.timeouts.response_write = time("1s")).await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    // What the kernel holds for it does not count.
    socket.set_recv_buffer_size(4096).expect("a socket takes options");
    socket.connect(&edge.address.into()).expect("somebody listens there");
    socket.set_nonblocking(true).expect("a socket takes options");
    let mut client = Frames::over(Socket::Tcp(TcpStream::from_std(socket.into()).expect("it is connected")));
    client.greet(&[(1, 0), (4, 0x7fff_ffff)]).await;
    client.send(frames::window_update(0, 0x7fff_0000 - 1)).await;

    let all: Vec<u8> = (0..100).flat_map(|stream| frames::get(stream * 2 + 1, "/counted")).collect();
    client.send(all).await;
    edge.wait_for("dropped").await;
    let asked_for = COUNTED.load(Ordering::Relaxed);
    client.wait_closed().await;

    assert!((64 * 1024..6 << 20).contains(&asked_for), "{asked_for} bytes of 100 answers");
}

#[actix_rt::test]
async fn uploads_of_one_connection_are_bounded_together() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;

    // Nobody reads them: twenty of them fill the connection's window, whatever there is in theirs.
    let piece = vec![b'x'; 16384];
    let upload =
        |stream: u32| [frames::post(stream, "/hang-unread"), frames::frame(frames::DATA, 0, stream, &piece).repeat(4)];
    let most = (1 << 20) / (4 * 16384);
    for stream in 0..most {
        client.send(upload(stream * 2 + 1).concat()).await;
    }
    assert!(client.is_alive().await, "a window is what may be sent");
    client.try_send(upload(most * 2 + 1).concat()).await;

    assert_eq!(client.outcome(1).await, Outcome::GoAway(frames::FLOW_CONTROL_ERROR));
}

#[actix_rt::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_body = time("100ms")).await;
    let mut client = H2::connect(edge.address).await;

    let (answer, mut stream) = client.begin(request("POST", "/echo"), false).await;
    stream.send_data(Bytes::from_static(b"half"), false).expect("it takes content");
    let answer = whole(answer).await;

    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("TimedOut"), "{}", answer.text());
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

#[actix_rt::test]
async fn a_client_that_does_not_read_an_answer_loses_it_and_no_other() {
    let edge = TestEdge::with(|settings| settings.timeouts.response_write = time("100ms")).await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(1, 0), (4, 10)]).await;

    client.send(frames::get(1, "/endless")).await;
    edge.wait_for("dropped").await;
    // Answers that are small enough to be kept in memory are not kept for ever, either.
    client.send(frames::get(3, "/trailers")).await;
    client.send(frames::get(5, "/stream")).await;

    let mut reset = None;
    while reset.is_none() {
        let frame = client.next().await.expect("it goes on");
        if frame.kind == frames::RST_STREAM && frame.stream == 1 {
            reset = Some(frame.code(0));
        }
    }
    assert_eq!(reset, Some(frames::CANCEL));
    assert!(client.is_alive().await);
}

#[actix_rt::test]
async fn what_was_answered_and_never_taken_is_given_up() {
    let edge = TestEdge::with(|settings| settings.timeouts.response_write = time("100ms")).await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(1, 0), (4, 0)]).await;

    client.send(frames::get(1, "/")).await;
    let mut kinds = Vec::new();
    let code = loop {
        let frame = client.next().await.expect("it goes on");
        if frame.kind == frames::RST_STREAM {
            break frame.code(0);
        }
        kinds.push(frame.kind);
    };

    assert_eq!(code, frames::CANCEL);
    assert!(kinds.contains(&frames::HEADERS) && !kinds.contains(&frames::DATA), "{kinds:?}");
}

#[actix_rt::test]
async fn connections_of_http_2_count_like_all_others() {
    let edge = TestEdge::with(|settings| settings.max_connections = 1).await;
    let mut first = H2::connect(edge.address).await;
    assert_eq!(first.get("/").await.status, 200);

    let mut second = Frames::silent(edge.address).await;
    second.try_send(frames::PREFACE).await;
    second.wait_closed().await;
    drop(first);

    // Its place is free once the server has seen its end.
    let patience = patiently("a free place", async {
        loop {
            let mut third = Frames::silent(edge.address).await;
            third.try_send([frames::PREFACE, &frames::settings(&[(1, 0)]), &frames::get(1, "/")].concat()).await;
            // Who is turned away hears so in the words of HTTP/1.1, which are no frame of ours.
            if let Some(Frame { kind: frames::SETTINGS, stream: 0, .. }) = third.next().await {
                return third.outcome(1).await;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(patience.await, Outcome::Answer(200));
}

#[actix_rt::test]
async fn a_handler_that_panics_costs_its_connection_and_no_other() {
    let edge = TestEdge::start().await;
    let (mut unlucky, mut other) = (H2::connect(edge.address).await, H2::connect(edge.address).await);

    let (answer, _) = unlucky.begin(request("GET", "/panic"), true).await;

    patiently("the end", answer).await.expect_err("nobody answers");
    assert_eq!(other.get("/").await.status, 200);
}

// -- TLS ----------------------------------------------------------------------------------------------------------

/// A proxy for `shop.example` in front of this origin, and a client of HTTP/2 that believes it.
async fn shop(origin: &Origin) -> (Authority, TestProxy, rustls::ClientConfig) {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let listener = authority.listener(&["shop"]);
    let proxy = TestProxy::with(&format!("{listener}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;
    let mut config = authority.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (authority, proxy, config)
}

fn https(path: &str) -> http::Request<()> {
    http::Request::builder().uri(format!("https://shop.example{path}")).body(()).expect("a request")
}

#[actix_rt::test]
async fn http_2_over_tls_is_the_same_and_encrypted() {
    let origin = Origin::echo().start().await;
    let (_authority, proxy, config) = shop(&origin).await;
    let socket = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");
    let mut client = H2::over(socket).await;

    let first = client.ask(https("/a"), b"").await;
    let large = client.ask(https("/b"), &[b'x'; 300_000]).await;

    let told = first.text().to_ascii_lowercase();
    assert!(told.contains("\nhost: shop.example\n") && told.contains("\nx-forwarded-proto: https\n"), "{told}");
    assert!(large.body.len() > 300_000);
}

#[actix_rt::test]
async fn a_host_that_no_certificate_covers_is_misdirected() {
    let origin = Origin::answering("hello").start().await;
    let (_authority, proxy, config) = shop(&origin).await;
    let socket = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");
    let mut client = H2::over(socket).await;

    let other = http::Request::builder().uri("https://other.example/").body(()).expect("a request");
    let misdirected = client.ask(other, b"").await;

    assert_eq!(misdirected.status, 421);
    assert_eq!(client.ask(https("/"), b"").await.status, 200, "the connection goes on");
}

#[actix_rt::test]
async fn tls_without_an_agreement_is_http_1_1_whatever_comes() {
    let origin = Origin::answering("hello").start().await;
    let (authority, proxy, _) = shop(&origin).await;
    let socket = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");
    let mut client = super::support::tls::over(socket);

    client.send(frames::PREFACE).await;

    assert_eq!(client.read_response().await.status, 505);
}

// -- real clients -------------------------------------------------------------------------------------------------

/// What a program prints, and whether it was content.
async fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = patiently(program, command.output()).await.unwrap_or_else(|error| panic!("{program}: {error}"));
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

async fn curl(address: SocketAddr, arguments: &[&str], path: &str) -> (bool, String) {
    let own = ["--silent", "--show-error", "--max-time", "8", "--http2-prior-knowledge", "--include"];
    let url = format!("http://{address}{path}");
    run("curl", &[&own, arguments, &[&url]].concat()).await
}

#[actix_rt::test]
async fn curl_is_content() {
    let edge = TestEdge::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let upload = folder.path().join("upload");
    std::fs::write(&upload, vec![b'x'; 300_000]).expect("a file");
    let upload = format!("@{}", upload.display());

    let (fine, get) = curl(edge.address, &[], "/").await;
    assert!(fine && get.starts_with("HTTP/2 200") && get.ends_with("hello"), "{get}");
    let (fine, post) = curl(edge.address, &["--data-binary", &upload], "/echo").await;
    assert!(fine && post.len() > 300_000, "{}", &post[..post.len().min(500)]);
    let (fine, waits) = curl(edge.address, &["-H", "Expect: 100-continue", "--data-binary", &upload], "/echo").await;
    assert!(fine && waits.len() > 300_000, "{}", &waits[..waits.len().min(500)]);
    let (fine, head) = curl(edge.address, &["--head"], "/").await;
    assert!(fine && head.contains("content-length: 5"), "{head}");
    let (fine, hints) = curl(edge.address, &[], "/hints").await;
    assert!(fine && hints.contains("HTTP/2 103") && hints.ends_with("hello"), "{hints}");
    let (fine, trailers) = curl(edge.address, &["--data", "x"], "/trailers").await;
    assert!(fine && trailers.contains("x-sum: 1"), "{trailers}");
    let (fine, broken) = curl(edge.address, &[], "/breaks").await;
    assert!(!fine && broken.contains("INTERNAL_ERROR"), "{broken}");
    // An upgrade is not taken, and the request is answered all the same.
    let (fine, upgrade) =
        run("curl", &["--silent", "--http2", "--include", "--max-time", "8", &format!("http://{}/", edge.address)])
            .await;
    assert!(fine && upgrade.starts_with("HTTP/1.1 200") && upgrade.ends_with("hello"), "{upgrade}");
}

#[actix_rt::test]
async fn curl_agrees_on_http_2_in_tls() {
    let origin = Origin::answering("hello").start().await;
    let (authority, proxy, _) = shop(&origin).await;
    let port = proxy.address.port();
    let (url, to) = (format!("https://shop.example:{port}/"), format!("shop.example:{port}:127.0.0.1"));
    let own = ["--silent", "--show-error", "--max-time", "8", "--include", "--cacert"];

    let (fine, answer) = run("curl", &[&own[..], &[&authority.path("ca.pem"), "--resolve", &to, &url]].concat()).await;

    assert!(fine && answer.starts_with("HTTP/2 200") && answer.ends_with("hello"), "{answer}");
}

#[actix_rt::test]
async fn h2load_is_content() {
    let edge = TestEdge::start().await;
    let url = format!("http://{}/", edge.address);
    for (path, streams) in [("", "1"), ("stream", "10"), ("", "100")] {
        let url = format!("{url}{path}");
        let (fine, report) = run("h2load", &["-n", "3000", "-c", "10", "-m", streams, &url]).await;
        assert!(fine && report.contains("3000 succeeded, 0 failed, 0 errored"), "{streams} streams: {report}");
    }
}

// -- WebSocket (RFC 8441) -----------------------------------------------------------------------------------------

/// Asks for a WebSocket over HTTP/2.
fn websocket(path: &str) -> http::Request<()> {
    let mut request = http::Request::connect(format!("http://a.example{path}"));
    request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    request.extension(h2::ext::Protocol::from_static("websocket")).body(()).expect("a request")
}

/// What the key of an upgrade is to be answered with (RFC 6455, 4.2.2).
fn accept(head: &str) -> String {
    let key = super::support::wire::value_of(head, "sec-websocket-key").expect("a key").to_owned();
    String::from_utf8(actix_http::ws::hash_key(key.as_bytes()).to_vec()).expect("text")
}

const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

#[actix_rt::test]
async fn a_websocket_is_an_upgrade_to_the_endpoint_and_bytes_both_ways() {
    let origin = Origin::script(|mut conn, _| async move {
        let head = conn.read_head().await;
        let lower = head.to_ascii_lowercase();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        for line in
            ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n", "\r\nsec-websocket-protocol: chat\r\n"]
        {
            assert!(lower.contains(line), "{head}");
        }
        let accept = accept(&head);
        conn.write(format!("{AGREES}Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhi ")).await;
        let seen = conn.read_exact(5).await;
        conn.write(seen).await;
        // Half-close goes through: we see the client's end and can still answer.
        let rest = conn.read_to_end().await;
        conn.write(format!(" then {}", String::from_utf8_lossy(&rest))).await;
    })
    .start()
    .await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (answer, mut stream) = client.begin(websocket("/chat"), false).await;
    let answer = patiently("an answer", answer).await.expect("an answer");
    let (head, mut body) = answer.into_parts();
    stream.send_data(Bytes::from_static(b"hello"), false).expect("it takes bytes");
    let mut came = Vec::new();
    while came.len() < 8 {
        came.extend(patiently("bytes", body.data()).await.expect("bytes").expect("bytes"));
    }
    stream.send_data(Bytes::from_static(b"bye"), true).expect("it takes bytes");
    let (rest, _) = read(body).await.expect("an end in order");

    assert_eq!((head.status.as_u16(), &head.headers["sec-websocket-protocol"].as_bytes()), (200, &&b"chat"[..]));
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    assert_eq!((&came[..], &rest[..]), (&b"hi hello"[..], &b" then bye"[..]));
    assert!(client.takes_extended_connect());
}

#[actix_rt::test]
async fn an_endpoint_that_has_not_read_the_key_is_not_believed() {
    for accept in ["", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"] {
        let origin = Origin::replying(format!("{AGREES}{accept}\r\n")).start().await;
        let proxy = TestProxy::to(&origin).start().await;
        let mut client = H2::connect(proxy.address).await;

        let (answer, _stream) = client.begin(websocket("/"), false).await;

        assert_eq!(whole(answer).await.status, 502, "{accept:?}");
    }
}

#[actix_rt::test]
async fn an_endpoint_that_does_not_switch_just_answers() {
    let origin = Origin::replying("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (answer, _stream) = client.begin(websocket("/"), false).await;
    let answer = whole(answer).await;

    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
}

/// Switches, and waits for the end.
fn switching() -> super::support::origin::Script {
    Origin::script(|mut conn, _| async move {
        let head = conn.read_head().await;
        conn.write(format!("{AGREES}Sec-WebSocket-Accept: {}\r\n\r\n", accept(&head))).await;
        let bytes = conn.read_to_end().await;
        conn.tell(&format!("ended after {bytes:02x?}"));
    })
}

#[actix_rt::test]
async fn a_websocket_that_is_idle_ends_and_so_does_one_whose_client_leaves() {
    let origin = switching().start().await;
    let text = format!("[server.timeouts]\nidle_tunnel = \"100ms\"\n[routes]\n\"/\" = \"{}\"\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = H2::connect(proxy.address).await;

    let (answer, _stream) = client.begin(websocket("/"), false).await;
    let body = patiently("an answer", answer).await.expect("an answer").into_body();
    let ended = read(body).await;
    origin.wait_for_closed(1).await;
    assert!(ended.is_err() || ended.is_ok_and(|(bytes, _)| bytes.is_empty()));

    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;
    let (answer, mut stream) = client.begin(websocket("/"), false).await;
    patiently("an answer", answer).await.expect("an answer");
    stream.send_reset(Reason::CANCEL);
    origin.wait_for_closed(2).await;
}

#[actix_rt::test]
async fn a_websocket_is_told_that_the_server_stops() {
    let origin = switching().start().await;
    let proxy = TestProxy::to(&origin).start().await;
    let mut client = H2::connect(proxy.address).await;
    let (answer, _stream) = client.begin(websocket("/"), false).await;
    let body = patiently("an answer", answer).await.expect("an answer").into_body();

    proxy.drain();
    let (said, _) = read(body).await.expect("an end in order");

    assert_eq!(said, [0x88, 2, 0x03, 0xe9], "1001, going away");
    origin.wait_for("ended after [88, 82, 00, 00, 00, 00, 03, e9]").await;
    drop(_stream);
    assert_eq!(proxy.outcome(), End::Drained);
}

#[actix_rt::test]
async fn an_extended_connect_to_something_else_is_not_implemented() {
    let edge = TestEdge::start().await;
    let mut client = H2::connect(edge.address).await;
    let request = http::Request::connect("http://a.example/").extension(h2::ext::Protocol::from_static("connect-udp"));

    let (answer, _stream) = client.begin(request.body(()).expect("a request"), false).await;

    assert_eq!(whole(answer).await.status, 501);
}

#[actix_rt::test]
async fn the_binary_heeds_what_a_listener_says_also_once_it_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::answering("hello").start().await;
    let settings = |h2: bool| {
        let listen = format!("listen = [{{ addr = \"127.0.0.1:0\", h2 = {h2} }}]\n");
        format!("{listen}server.watch = false\n[routes]\n\"/\" = {:?}\n", origin.url())
    };
    write(folder.path(), "a.toml", settings(true));
    let mut binary = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    let (fine, answer) = curl(binary.address, &[], "/").await;
    write(folder.path(), "a.toml", settings(false));
    binary.reload().await;
    let (later, _) = curl(binary.address, &[], "/").await;

    assert!(fine && answer.starts_with("HTTP/2 200") && answer.ends_with("hello"), "{answer}");
    assert!(!later, "it speaks HTTP/2 still");
    assert_eq!(binary.get("/").await.text(), "hello");
}
