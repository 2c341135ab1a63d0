//! The PROXY protocol with endpoints: they are told first whose connection it is.

use std::{net::SocketAddr, sync::Arc};

use aqueduct::{http::proxy_protocol::Version, settings::upstream::ProxyHeader, transport::h1::H1};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::support::{
    client::{self, Client},
    exchange,
    h2::H2,
    origin::Origin,
    peers,
    proxy::{Setup, TestProxy},
    tls::Authority,
    wire::{Socket, patiently},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Every path goes to this URL by an upstream that says more.
fn telling(url: &str, more: &str) -> Setup {
    TestProxy::with(&format!(
        "listen = [{{ addr = \"127.0.0.1:0\", proxy_protocol = {{ from = [\"127.0.0.2\", \"unix\"] }} }}]\n\
         [routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [{url:?}]\n{more}\n"
    ))
}

/// A client, and the port it has.
async fn connect(proxy: &TestProxy) -> (Client, u16) {
    let socket = patiently("a connection", TcpStream::connect(proxy.address)).await.expect("it listens");
    let port = socket.local_addr().expect("it is connected").port();
    (Client::over(Socket::Tcp(socket)), port)
}

async fn ask(client: &mut Client) -> String {
    client.send(GET).await;
    client.read_response().await.text()
}

/// What came on a connection before its first request.
fn before(request: &str) -> &str {
    request.split_once("GET ").expect("a request").0
}

#[actix_rt::test]
async fn a_connection_is_one_clients_and_begins_with_who_that_is() {
    let origin = Origin::answering("hello").start().await;
    for transport in ["own", "awc"] {
        let more = format!("proxy_protocol = \"v1\"\ntransport = {transport:?}");
        let proxy = telling(&origin.url(), &more).start().await;
        let (seen, opened) = (origin.requests_seen(), origin.connections_seen());
        let [(first, one), (second, other)] = [connect(&proxy).await, connect(&proxy).await];
        let mut clients = [first, second];

        for turn in 0..4 {
            assert_eq!(ask(&mut clients[turn % 2]).await, "hello");
        }

        let of = |port| format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", proxy.address.port());
        let told: Vec<_> = (seen..seen + 4).map(|number| before(&origin.request(number)).to_owned()).collect();
        if transport == "awc" {
            assert_eq!(told, [of(one), of(other), of(one), of(other)]);
        } else {
            assert_eq!(told, [of(one), of(other), String::new(), String::new()], "both are used again");
            assert_eq!(origin.connections_seen() - opened, 2);
        }
    }
}

#[actix_rt::test]
async fn version_2_says_the_same_in_bytes() {
    let origin = Origin::script(|mut conn, _| async move {
        let header = conn.read_exact(28).await;
        while conn.next_head().await.is_some() {
            let told = header.escape_ascii().to_string();
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len())).await;
        }
    })
    .start()
    .await;
    let proxy = telling(&origin.url(), "proxy_protocol = \"v2\"").start().await;
    let (mut client, port) = connect(&proxy).await;

    let told = ask(&mut client).await;

    let ports = [port, proxy.address.port()].map(u16::to_be_bytes).concat();
    let expected = [SIGNATURE, &[0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1], &ports].concat();
    assert_eq!(told, expected.escape_ascii().to_string());
    assert_eq!(ask(&mut client).await, told, "on the same connection");
}

#[actix_rt::test]
async fn who_is_known_only_by_name_or_not_at_all_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, socket) = (folder.path().join("a.sock"), folder.path().join("origin.sock"));
    let origin = Origin::answering("hello").start_unix(&socket).await;
    let proxy = telling(&origin.url(), "proxy_protocol = \"v1\"")
        .change(|settings| settings.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")])
        .also_on(&path)
        .start()
        .await;
    let forwarded = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::7\r\n\r\n".as_slice();
    let announced = b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n".as_slice();
    let own = b"PROXY UNKNOWN\r\n".as_slice();
    for (is_unix, bytes, expected) in [
        // A trusted proxy has named him; whatever port he has, nobody knows it.
        (false, forwarded.to_vec(), format!("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 {}\r\n", proxy.address.port())),
        (true, [announced, GET].concat(), String::from_utf8_lossy(announced).into_owned()),
        (true, [own, GET].concat(), "PROXY UNKNOWN\r\n".into()),
    ] {
        let mut client = if is_unix { Client::connect_unix(&path).await } else { proxy.connect().await };

        client.send(bytes).await;
        assert_eq!(client.read_response().await.text(), "hello");

        assert_eq!(before(&origin.request(origin.requests_seen() - 1)), expected);
    }
}

#[actix_rt::test]
async fn requests_of_http_2_name_their_client_too() {
    let origin = Origin::answering("hello").start().await;
    let proxy = telling(&origin.url(), "proxy_protocol = \"v1\"").start().await;
    let socket = TcpStream::connect(proxy.address).await.expect("it listens");
    let port = socket.local_addr().expect("it is connected").port();

    assert_eq!(H2::over(socket).await.get("/").await.text(), "hello");

    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", proxy.address.port());
    assert_eq!(before(&origin.request(0)), line);
}

#[actix_rt::test]
async fn a_connection_of_our_own_says_so() {
    let origin = Origin::answering("hello").start().await;
    let target = exchange::endpoint(&origin).announcing(Some(Version::V1)).target;

    let outcome = H1::new().exchange(&target, &mut exchange::get("/")).await;

    assert!(outcome.is_ok());
    assert_eq!(before(&origin.request(0)), "PROXY UNKNOWN\r\n");
}

#[actix_rt::test]
async fn a_header_comes_before_the_handshake_with_an_endpoint() {
    let authority = Authority::new();
    authority.issue("origin", &["127.0.0.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound"));
    let acceptor = TlsAcceptor::from(Arc::new(authority.origin("origin")));
    let served = actix_rt::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("somebody comes");
        let mut header = [0; 28];
        socket.read_exact(&mut header).await.expect("a header");
        let mut stream = acceptor.accept(socket).await.expect("a handshake");
        stream.read_buf(&mut Vec::with_capacity(4096)).await.expect("a request");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("it reads");
        header
    });
    let more = format!("proxy_protocol = \"v2\"\ntls.ca = {:?}", authority.path("ca.pem"));
    let proxy = telling(&url, &more).start().await;

    assert_eq!(proxy.get("/").await.status, 204);

    assert!(patiently("the origin", served).await.expect("no panic").starts_with(SIGNATURE));
}

#[actix_rt::test]
async fn clients_take_turns_where_there_is_one_connection_for_all() {
    let origin = Origin::answering("hello").start().await;
    let proxy = telling(&origin.url(), "proxy_protocol = \"v1\"\npool.max_total = 1").start().await;
    let mut clients = [connect(&proxy).await.0, connect(&proxy).await.0];

    for turn in 0..4 {
        assert_eq!(ask(&mut clients[turn % 2]).await, "hello");
    }
    let at_once = futures_util::future::join_all(clients.iter_mut().map(ask)).await;

    assert_eq!(at_once, ["hello", "hello"]);
    // The origin may hear of the next connection before it hears of the end of the one before.
    let one_is_left = async {
        while origin.connections_open() > 1 {
            tokio::task::yield_now().await;
        }
    };
    patiently("one is left", one_is_left).await;
    let ports: Vec<_> = origin.requests().iter().map(|request| before(request).to_owned()).collect();
    assert!(ports[..4].windows(2).all(|two| !two[1].is_empty() && two[0] != two[1]), "{ports:?}");
}

#[actix_rt::test]
async fn a_reload_that_changes_what_is_said_first_uses_no_connection_of_before() {
    let origin = Origin::answering("hello").start().await;
    let proxy = telling(&origin.url(), "").start().await;
    let mut client = proxy.connect().await;
    assert_eq!(ask(&mut client).await, "hello");

    let mut settings = proxy.proxy.plan().settings.clone();
    settings.upstreams["a"].proxy_protocol = ProxyHeader::V1;
    proxy.proxy.reload(settings).expect("it is good");
    assert_eq!(ask(&mut client).await, "hello");

    let told: Vec<_> = origin.requests().iter().map(|request| !before(request).is_empty()).collect();
    assert_eq!(told, [false, true]);
}

// -- with programs that are not ours ------------------------------------------------------------------------------

#[actix_rt::test]
async fn nginx_and_haproxy_understand_who_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = || SocketAddr::new(client::loopback().into(), 5004);
    let (nginx_at, haproxy_at) = (at(), at());
    let server = format!(
        "listen {nginx_at} proxy_protocol; location / {{ default_type text/plain; return 200 \
         \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port\"; }}"
    );
    let section = format!(
        "bind {haproxy_at} accept-proxy\n http-request return status 200 content-type text/plain \
         lf-string \"%[src] %[src_port] %[dst] %[dst_port]\""
    );
    let _nginx = peers::nginx(folder.path(), &server, nginx_at).await;
    let _haproxy = peers::haproxy(folder.path(), &section, haproxy_at).await;
    for address in [nginx_at, haproxy_at] {
        for version in ["v1", "v2"] {
            let more = format!("proxy_protocol = {version:?}");
            let proxy = telling(&format!("http://{address}"), &more).start().await;
            let mut clients = [connect(&proxy).await, connect(&proxy).await];

            for turn in 0..4 {
                let (client, port) = &mut clients[turn % 2];
                let expected = format!("127.0.0.1 {port} 127.0.0.1 {}", proxy.address.port());
                assert_eq!(ask(client).await, expected, "{address} {version}");
            }
        }
    }
}
