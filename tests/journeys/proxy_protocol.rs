//! The PROXY protocol: whose connection it is, where others connect for clients.

use std::net::SocketAddr;

use aqueduct::edge::Outcome;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream, UnixStream},
    process::Command,
};

use super::{
    access_log::lines,
    support::{
        binary::Binary,
        client::{self, Client},
        h2::H2,
        origin::Origin,
        peers,
        proxy::{Setup, TestProxy},
        tls::{Authority, shake_hands_on},
        wire::{Socket, patiently},
    },
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Version 2, from `2001:db8::7` port 4711, with something said besides.
fn v2() -> Vec<u8> {
    let mut client = [0; 16];
    (client[0], client[1], client[2], client[3], client[15]) = (0x20, 0x01, 0x0d, 0xb8, 7);
    let mut server = client;
    server[15] = 9;
    let more = [0xe0, 0, 3, b'a', b'b', b'c'];
    [SIGNATURE, &[0x21, 0x21, 0, 42], &client, &server, &[0x12, 0x67, 0x01, 0xbb], &more].concat()
}

/// Version 2, of a connection of the sender's own.
fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// A proxy in front of this origin, that is told so by whoever is in `from`.
fn told_by(from: &str, origin: &Origin) -> Setup {
    listening(&format!("proxy_protocol = {{ from = [{from}] }}"), origin)
}

fn listening(how: &str, origin: &Origin) -> Setup {
    TestProxy::with(&format!(
        "listen = [{{ addr = \"127.0.0.1:0\", {how} }}]\n[routes]\n\"/\" = \"{}\"\n",
        origin.url()
    ))
}

/// What the origin was told of the client, line by line.
fn told(request: &str, name: &str) -> Option<String> {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// The whole of what comes back for these bytes.
async fn answer(proxy: &TestProxy, bytes: &[u8]) -> String {
    let mut client = proxy.connect().await;
    client.try_send(bytes).await;
    String::from_utf8_lossy(&client.read_to_end().await).into_owned()
}

#[actix_rt::test]
async fn an_endpoint_is_told_of_the_client_and_not_of_who_connected_for_him() {
    let origin = Origin::answering("hello").start().await;
    let proxy = told_by("\"127.0.0.0/8\"", &origin).start().await;
    for (header, address, node) in [
        (V1.to_vec(), "192.0.2.7", "for=192.0.2.7;"),
        (v2(), "2001:db8::7", "for=\"[2001:db8::7]\";"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), "2001:db8::7", "for=\"[2001:db8::7]\";"),
        (b"PROXY UNKNOWN whatever\r\n".to_vec(), "127.0.0.1", "for=127.0.0.1;"),
        (local(), "127.0.0.1", "for=127.0.0.1;"),
    ] {
        let seen = origin.requests_seen();
        let mut client = proxy.connect().await;

        // Two requests in one segment with the header, and one more.
        client.send([&header, GET, GET].concat()).await;
        for _ in 0..2 {
            assert_eq!(client.read_response().await.text(), "hello");
        }
        client.send(GET).await;
        assert_eq!(client.read_response().await.text(), "hello");

        for number in seen..seen + 3 {
            let request = origin.request(number);
            assert_eq!(told(&request, "x-forwarded-for").as_deref(), Some(address), "{request}");
            assert!(told(&request, "forwarded").is_some_and(|forwarded| forwarded.starts_with(node)), "{request}");
        }
    }
}

#[actix_rt::test]
async fn a_header_may_come_byte_by_byte_and_takes_nothing_of_what_is_behind_it() {
    let origin = Origin::answering("hello").start().await;
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;
    for header in [V1.to_vec(), v2(), local()] {
        let mut client = proxy.connect().await;

        client.dribble([&header, GET].concat(), 1).await;

        assert_eq!(client.read_response().await.text(), "hello");
    }
}

#[actix_rt::test]
async fn the_access_log_knows_the_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let log = path.display().to_string();
    let proxy = told_by("\"127.0.0.1\"", &origin)
        .change(move |settings| {
            settings.log.access.path = log;
            settings.log.access.format = "${client} ${peer} ${status}".into();
        })
        .start()
        .await;
    let mut client = proxy.connect().await;

    client.send([&v2(), GET].concat()).await;
    client.read_response().await;

    assert_eq!(lines(&proxy, &path, 1).await, ["2001:db8::7 2001:db8::7 200"]);
}

#[actix_rt::test]
async fn what_a_trusted_proxy_says_is_believed_of_whom_the_header_names() {
    let origin = Origin::answering("hello").start().await;
    let trusting = "proxy_protocol = { from = [\"127.0.0.1\"] }";
    let proxy = listening(trusting, &origin)
        .change(|settings| settings.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")])
        .start()
        .await;
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    for (header, list) in [(V1.to_vec(), "203.0.113.9, 192.0.2.7"), (v2(), "2001:db8::7"), (local(), "127.0.0.1")] {
        let mut client = proxy.connect().await;

        client.send([&header[..], request].concat()).await;
        client.read_response().await;

        let seen = origin.request(origin.requests_seen() - 1);
        assert_eq!(told(&seen, "x-forwarded-for").as_deref(), Some(list), "{seen}");
    }
}

#[actix_rt::test]
async fn whoever_may_not_send_a_header_is_refused_with_one_and_served_without() {
    let origin = Origin::answering("hello").start().await;
    for proxy in [told_by("\"192.0.2.0/24\", \"unix\"", &origin).start().await, TestProxy::to(&origin).start().await] {
        for header in [V1.to_vec(), v2(), local(), b"PROXY UNKNOWN\r\n".to_vec()] {
            let answer = answer(&proxy, &[&header, GET].concat()).await;

            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(answer.contains("a PROXY header from whom none is expected"), "{answer}");
        }
        assert_eq!(origin.requests_seen(), 0, "nobody is asked");
    }
    let proxy = told_by("\"192.0.2.0/24\"", &origin).start().await;

    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(told(&origin.request(0), "x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[actix_rt::test]
async fn whoever_must_send_a_header_is_cut_off_without_a_word_if_it_is_none() {
    let origin = Origin::answering("hello").start().await;
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'f'; 200], b"\r\n".to_vec()].concat();
    for header in [
        b"".to_vec(),
        b"\x16\x03\x01".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 65536\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.07 198.51.100.2 4711 443\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\n".to_vec(),
        b"proxy TCP4 192.0.2.7 198.51.100.2 4711 443\r\n".to_vec(),
        long,
        [SIGNATURE, &[0x31, 0x11, 0, 12], &[0; 12]].concat(),
        [SIGNATURE, &[0x21, 0x11, 0, 4], &[0; 4]].concat(),
        [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
    ] {
        let answer = answer(&proxy, &[&header, GET].concat()).await;
        assert_eq!(answer, "", "{}", header.escape_ascii());
    }
    assert_eq!(origin.requests_seen(), 0, "nobody is asked");
}

#[actix_rt::test]
async fn a_second_header_is_no_request() {
    let origin = Origin::answering("hello").start().await;
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;
    for [first, second] in [[V1, V1], [V1, &v2()], [&local(), V1], [&v2(), &v2()]] {
        let answer = answer(&proxy, &[first, second, GET].concat()).await;

        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(origin.requests_seen(), 0, "nobody is asked");
}

#[actix_rt::test]
async fn a_header_has_a_deadline() {
    let origin = Origin::answering("hello").start().await;
    let how = "proxy_protocol = { from = [\"127.0.0.1\"], timeout = \"50ms\" }";
    let proxy = listening(how, &origin).start().await;
    for begun in [&b""[..], &V1[..V1.len() - 1], &v2()[..20]] {
        let mut client = proxy.connect().await;

        client.send(begun).await;

        assert_eq!(client.read_to_end().await, b"");
    }
}

#[actix_rt::test]
async fn a_drain_does_not_wait_for_a_header_that_does_not_come() {
    let origin = Origin::answering("hello").start().await;
    let how = "proxy_protocol = { from = [\"127.0.0.1\"], timeout = \"off\" }";
    let proxy = listening(how, &origin).start().await;
    let (mut silent, mut begun) = (proxy.connect().await, proxy.connect().await);
    begun.send(V1).await;

    proxy.drain();
    begun.send(GET).await;

    assert_eq!(begun.read_response().await.text(), "hello");
    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(proxy.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn connections_are_counted_for_the_client() {
    let origin = Origin::answering("hello").start().await;
    let proxy =
        told_by("\"127.0.0.1\"", &origin).change(|settings| settings.server.max_connections_per_ip = 1).start().await;
    let ask = async |header: &[u8]| {
        let mut client = proxy.connect().await;
        client.send([header, GET].concat()).await;
        let status = client.read_response().await.status;
        (client, status)
    };

    let (first, served) = ask(V1).await;
    let (_refused, full) = ask(V1).await;
    let (_other, other) = ask(&v2()).await;
    let own = [ask(&local()).await, ask(&local()).await].map(|(_, status)| status);
    assert_eq!((served, full, other, own), (200, 503, 200, [200, 200]));

    drop(first);
    patiently("the place to be free", async { while ask(V1).await.1 != 200 {} }).await;
}

#[actix_rt::test]
async fn a_header_comes_before_the_handshake() {
    let (authority, origin) = (Authority::new(), Origin::echo().start().await);
    authority.issue("shop", &["a.example"]);
    let listener = authority.listener(&["shop"]).replace("tls =", "proxy_protocol = { from = [\"127.0.0.1\"] }, tls =");
    let proxy = TestProxy::with(&format!("{listener}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let mut socket = TcpStream::connect(proxy.address).await.expect("it listens");
        socket.write_all(V1).await.expect("it reads");
        let mut config = authority.client();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = shake_hands_on(socket, "a.example", config).await.expect("they agree");

        let told_text = if protocol == b"h2" {
            H2::over(stream).await.get("/").await.text()
        } else {
            let mut client = Client::over(Socket::Tls(Box::new(stream.into())));
            client.send(GET).await;
            client.read_response().await.text()
        };

        assert_eq!(told(&told_text, "x-forwarded-for").as_deref(), Some("192.0.2.7"), "{told_text}");
        assert_eq!(told(&told_text, "x-forwarded-proto").as_deref(), Some("https"), "{told_text}");
    }
}

#[actix_rt::test]
async fn a_stranger_with_a_header_is_not_spoken_with_where_tls_is_spoken() {
    let (authority, origin) = (Authority::new(), Origin::echo().start().await);
    authority.issue("shop", &["shop.example"]);
    let proxy = TestProxy::with(&format!("{}[routes]\n\"/\" = {:?}\n", authority.listener(&["shop"]), origin.url()));
    let proxy = proxy.start().await;

    assert_eq!(answer(&proxy, &[V1, GET].concat()).await, "");
    assert_eq!(answer(&proxy, &v2()).await, "");
}

#[actix_rt::test]
async fn http_2_in_the_clear_comes_behind_a_header_too() {
    let origin = Origin::echo().start().await;
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;
    let mut socket = TcpStream::connect(proxy.address).await.expect("it listens");
    socket.write_all(&v2()).await.expect("it reads");

    let text = H2::over(socket).await.get("/").await.text();

    assert_eq!(told(&text, "x-forwarded-for").as_deref(), Some("2001:db8::7"), "{text}");
}

#[actix_rt::test]
async fn a_unix_socket_has_clients_with_addresses_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    let origin = Origin::echo().start().await;
    let proxy = told_by("\"192.0.2.0/24\", \"unix\"", &origin).also_on(&path).start().await;
    for (header, address) in [(V1.to_vec(), Some("192.0.2.7")), (v2(), Some("2001:db8::7")), (local(), None)] {
        let mut client = Client::connect_unix(&path).await;
        client.send([&header, GET].concat()).await;
        let text = client.read_response().await.text();
        assert_eq!(told(&text, "x-forwarded-for").as_deref(), address, "{text}");

        let mut socket = UnixStream::connect(&path).await.expect("it listens");
        socket.write_all(&header).await.expect("it reads");
        let text = H2::over(socket).await.get("/").await.text();
        assert_eq!(told(&text, "x-forwarded-for").as_deref(), address, "{text}");
    }

    let mut client = Client::connect_unix(&path).await;
    client.try_send(GET).await;
    assert_eq!(client.read_to_end().await, b"", "whoever comes in there must say it");
    assert_eq!(proxy.get("/").await.status, 200);
}

#[actix_rt::test]
async fn a_reload_changes_who_may_send_one_and_closes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::echo().start().await;
    let write = |how: &str| {
        let text = format!(
            "listen = [{{ addr = \"127.0.0.1:0\"{how} }}]\nserver.watch = false\n[routes]\n\"/\" = {:?}\n",
            origin.url()
        );
        std::fs::write(folder.path().join("a.toml"), text).expect("a file");
    };
    write("");
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let mut before = Client::connect(server.address).await;
    before.send(GET).await;
    before.read_response().await;

    write(", proxy_protocol = { from = [\"127.0.0.1\"] }");
    server.reload().await;
    let mut behind = Client::connect(server.address).await;
    behind.send([V1, GET].concat()).await;
    let told_then = behind.read_response().await.text();
    let mut without = Client::connect(server.address).await;
    without.try_send(GET).await;
    assert_eq!(without.read_to_end().await, b"");
    let said = server.says("a connection from 127.0.0.1:").await;
    assert!(said.contains("no PROXY header"), "{said}");

    write("");
    server.reload().await;
    let told_after = client::get(server.address, "/").await.text();
    for client in [&mut before, &mut behind] {
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
    }

    assert_eq!(told(&told_then, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
    assert_eq!(told(&told_after, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

// -- with programs that are not ours ------------------------------------------------------------------------------

#[actix_rt::test]
async fn haproxy_says_whose_connection_it_is() {
    let (folder, origin) = (tempfile::tempdir().expect("a folder"), Origin::echo().start().await);
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;
    for word in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let address = SocketAddr::new(client::loopback().into(), 5003);
        let section = format!("bind {address}\n server a {} {word}", proxy.address);
        let _running = peers::haproxy(folder.path(), &section, address).await;
        let own = client::loopback();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((own, 0).into()).expect("a free port");
        let socket = patiently("a connection", socket.connect(address)).await.expect("it listens");
        let mut client = Client::over(Socket::Tcp(socket));

        client.send(GET).await;
        let text = client.read_response().await.text();

        assert_eq!(told(&text, "x-forwarded-for"), Some(own.to_string()), "{word}: {text}");
    }
}

#[actix_rt::test]
async fn curl_says_whose_connection_it_is() {
    let origin = Origin::echo().start().await;
    let proxy = told_by("\"127.0.0.1\"", &origin).start().await;

    let curl = Command::new("curl")
        .args(["--silent", "--max-time", "10", "--haproxy-protocol"])
        .arg(format!("http://{}/", proxy.address))
        .kill_on_drop(true)
        .output();
    let output = patiently("curl", curl).await.expect("scripts/test installs it");

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told(&text, "x-forwarded-for").as_deref(), Some("127.0.0.1"), "{text}");
}
