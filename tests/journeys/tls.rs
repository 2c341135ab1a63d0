//! TLS with clients and with endpoints.

use std::{
    io,
    sync::Arc,
    task::{Context, Waker},
};

use aqueduct::{
    edge::{Outcome, tls::ReloadError},
    settings::upstream::EndpointTls,
    transport::{
        dial::{Offer, Stream},
        tls::{
            client::{ClientTls, Profile},
            identity::FileError,
        },
    },
};
use rustls::{
    AlertDescription, HandshakeKind, SignatureScheme,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs::default_provider},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{
    client::{self, Client},
    origin::{Origin, Script},
    proxy::TestProxy,
    tls::{Authority, connect, over, shake_hands, shown},
    wire::patiently,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A proxy for `shop.example` in front of this origin.
async fn shop(authority: &Authority, origin: &Origin) -> TestProxy {
    authority.issue("shop", &["shop.example"]);
    TestProxy::with(&format!("{}[routes]\n\"/\" = {:?}\n", authority.listener(&["shop"]), origin.url())).start().await
}

/// Settings of a route to this origin, with what its upstream says of TLS.
fn upstream(origin: &Origin, tls: &str) -> String {
    format!("[routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [{:?}]\ntls = {{ {tls} }}\n", origin.url())
}

/// An origin that is 127.0.0.1 to whoever believes the authority.
async fn secured(authority: &Authority, script: Script) -> Origin {
    authority.issue("origin", &["127.0.0.1", "origin.example"]);
    script.start_tls(authority.origin("origin")).await
}

// -- clients ------------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn https_ends_at_the_proxy_and_the_origin_is_told() {
    let (authority, origin) = (Authority::new(), Origin::echo().start().await);
    let proxy = shop(&authority, &origin).await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    client.send(GET).await;
    let first = client.read_response().await;
    client.send(GET).await;
    let second = client.read_response().await;

    assert_eq!((first.status, second.status), (200, 200));
    let told = first.text().to_ascii_lowercase();
    assert!(told.contains("\nx-forwarded-proto: https\n"), "{told}");
    assert!(told.contains("proto=https"), "{told}");
}

#[actix_rt::test]
async fn the_newest_protocol_is_agreed_on_that_both_speak() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("shop", &["shop.example"]);
    let (h2, http1) = (&b"h2"[..], &b"http/1.1"[..]);
    for (listener, client, agreed) in [
        ("", &[http1, h2][..], Some(h2)),
        ("", &[http1], Some(http1)),
        ("", &[], None),
        (", h2 = false", &[h2, http1], Some(http1)),
    ] {
        let settings = authority.listener(&["shop"]).replace("\"main\" }]", &format!("\"main\"{listener} }}]"));
        let proxy = TestProxy::with(&format!("{settings}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;
        let mut config = authority.client();
        config.alpn_protocols = client.iter().map(|name| name.to_vec()).collect();

        let stream = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");

        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{listener} {client:?}");
    }
}

#[actix_rt::test]
async fn the_certificate_is_the_one_for_the_name_asked_for() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("first", &["first.example"]);
    authority.issue("exact", &["a.shop.example"]);
    authority.issue("wildcard", &["*.shop.example"]);
    let listener = authority.listener(&["first", "exact", "wildcard"]);
    let proxy = TestProxy::with(&format!("{listener}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;

    for (name, file) in [("a.shop.example", "exact"), ("b.shop.example", "wildcard"), ("first.example", "first")] {
        let stream = shake_hands(proxy.address, name, authority.client()).await.expect("they agree");

        assert_eq!(shown(&stream), authority.certificate(file), "{name}");
    }
    // Two labels are not one, and whoever names nobody, or somebody else, is shown the first.
    for name in ["a.b.shop.example", "shop.example", "127.0.0.1"] {
        let refused = shake_hands(proxy.address, name, authority.client()).await.expect_err("it is for another name");

        assert!(refused.to_string().contains("first.example"), "{name}: {refused}");
    }
}

#[actix_rt::test]
async fn a_client_that_knows_no_ecdsa_is_shown_the_rsa_certificate_of_the_same_name() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("ecdsa", &["shop.example"]);
    authority.issue_rsa("rsa", &["shop.example"]);
    let listener = authority.listener(&["ecdsa", "rsa"]);
    let proxy = TestProxy::with(&format!("{listener}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;

    for version in [&TLS12, &TLS13] {
        let any = shake_hands(proxy.address, "shop.example", authority.client_of(version)).await.expect("they agree");
        let config = authority.client_with(rsa_alone(), &[version]);
        let rsa = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");

        assert_eq!(shown(&any), authority.certificate("ecdsa"), "{version:?}");
        assert_eq!(shown(&rsa), authority.certificate("rsa"), "{version:?}");
    }
}

/// Asks for RSA alone in handshakes; under a certificate it takes the authority's ECDSA.
fn rsa_alone() -> CryptoProvider {
    let provider = default_provider();
    let all = provider.signature_verification_algorithms;
    let is_rsa = |scheme: SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    let mapping: Vec<_> = all.mapping.iter().filter(|(scheme, _)| is_rsa(*scheme)).copied().collect();
    let algorithms = WebPkiSupportedAlgorithms { all: all.all, mapping: Box::leak(mapping.into_boxed_slice()) };
    CryptoProvider { signature_verification_algorithms: algorithms, ..provider }
}

#[actix_rt::test]
async fn a_listener_speaks_tls_1_2_unless_it_is_told_not_to() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("shop", &["shop.example"]);
    for (version, agrees) in [("1.2", true), ("1.3", false)] {
        let text = format!(
            "{}tls.main.min_version = {version:?}\n[routes]\n\"/\" = {:?}\n",
            authority.listener(&["shop"]),
            origin.url()
        );
        let proxy = TestProxy::with(&text).start().await;

        let old = shake_hands(proxy.address, "shop.example", authority.client_of(&TLS12)).await;
        let new = shake_hands(proxy.address, "shop.example", authority.client_of(&TLS13)).await;

        assert_eq!((old.is_ok(), new.is_ok()), (agrees, true), "{version}");
    }
}

#[actix_rt::test]
async fn a_client_with_whom_nothing_is_in_common_is_told_so() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("shop", &["shop.example"]);
    let routes = format!("tls.main.min_version = \"1.3\"\n[routes]\n\"/\" = {:?}\n", origin.url());
    let proxy = TestProxy::with(&(authority.listener(&["shop"]) + &routes)).start().await;

    let refused = shake_hands(proxy.address, "shop.example", authority.client_of(&TLS12)).await;

    let error = refused.expect_err("they do not agree");
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    assert_eq!(cause, Some(&rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)), "{error}");
}

#[actix_rt::test]
async fn a_client_may_change_its_keys_between_requests() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    let proxy = shop(&authority, &origin).await;
    let mut stream = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");
    for round in 0..3 {
        stream.get_mut().1.refresh_traffic_keys().expect("it is TLS 1.3");
        let answer = patiently("an answer", async {
            stream.write_all(GET.as_bytes()).await.expect("it is taken");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\na") {
                assert_ne!(stream.read_buf(&mut answer).await.expect("it is understood"), 0, "round {round}");
            }
            answer
        });

        assert!(answer.await.starts_with(b"HTTP/1.1 200 "), "round {round}");
    }
}

#[actix_rt::test]
async fn a_second_handshake_is_resumed() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    let proxy = shop(&authority, &origin).await;
    for version in [&TLS12, &TLS13] {
        let config = authority.client_of(version);
        let first = shake_hands(proxy.address, "shop.example", config.clone()).await.expect("they agree");
        assert_ne!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        // In TLS 1.3 the ticket comes behind the handshake: it has been read when an answer was.
        let mut client = over(first);
        client.send(GET).await;
        client.read_response().await;

        let second = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");

        assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[actix_rt::test]
async fn a_handshake_that_takes_too_long_is_cut_and_keeps_nobody_waiting() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("shop", &["shop.example"]);
    let text = format!(
        "{}server.timeouts.tls_handshake = \"1s\"\n[routes]\n\"/\" = {:?}\n",
        authority.listener(&["shop"]),
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let (mut silent, mut slow) = (proxy.connect().await, proxy.connect().await);
    slow.send([0x16, 3]).await;

    let mut other = connect(proxy.address, "shop.example", authority.client()).await;
    other.send(GET).await;
    let answer = other.read_response().await;
    silent.wait_closed().await;
    slow.wait_closed().await;

    assert_eq!(answer.status, 200);
}

#[actix_rt::test]
async fn a_client_that_speaks_in_the_clear_is_told_so() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    let proxy = shop(&authority, &origin).await;

    let response = proxy.send(GET).await;

    assert_eq!(response.status, 400);
    assert!(response.text().contains("https://"), "{}", response.text());
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_host_that_no_certificate_covers_is_misdirected() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("a", &["a.example", "*.a.example"]);
    authority.issue("b", &["b.example"]);
    let listener = authority.listener(&["a", "b"]);
    let proxy = TestProxy::with(&format!("{listener}[routes]\n\"/\" = {:?}\n", origin.url())).start().await;
    let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");

    // What browsers do: one connection for all that its certificate covers.
    let mut client = connect(proxy.address, "a.example", authority.client()).await;
    for host in ["a.example", "A.Example:443", "x.a.example", "b.example"] {
        client.send(get(host)).await;
        assert_eq!(client.read_response().await.status, 200, "{host}");
    }
    client.send(get("c.example")).await;
    let misdirected = client.read_response().await;
    // Who asks for no name cannot have asked for the wrong one.
    let mut config = authority.client();
    config.enable_sni = false;
    let mut nameless = connect(proxy.address, "a.example", config).await;
    nameless.send(get("c.example")).await;
    let nameless = nameless.read_response().await;

    assert_eq!((misdirected.status, nameless.status), (421, 200));
    assert!(misdirected.header("proxy-status").is_some_and(|status| status.contains("http_request_error")));
}

#[actix_rt::test]
async fn large_bodies_go_both_ways_encrypted_on_both_sides() {
    let body: Vec<u8> = (0..6_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    let authority = Authority::new();
    let script = Origin::serving(|_, body| {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    });
    let origin = secured(&authority, script).await;
    authority.issue("shop", &["shop.example"]);
    let upstream = upstream(&origin, &format!("ca = {:?}", authority.path("ca.pem")));
    let proxy = TestProxy::with(&format!("{}{upstream}", authority.listener(&["shop"]))).start().await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    client.send(format!("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    client.send(&body).await;
    let response = client.read_response().await;

    assert_eq!(response.status, 200);
    assert!(response.complete && response.body == body, "{} bytes came back", response.body.len());
}

#[actix_rt::test]
async fn the_end_of_a_connection_is_announced() {
    let (authority, origin) = (
        Authority::new(),
        Origin::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
    );
    let origin = origin.start().await;
    let proxy = shop(&authority, &origin).await;
    let mut stream = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");

    // HTTP/1.0 knows no chunks: where the connection ends, the body does.
    let get = b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n";
    let mut seen = Vec::new();
    let read = patiently("the end", async {
        stream.write_all(get).await?;
        stream.read_to_end(&mut seen).await
    });

    assert!(read.await.is_ok(), "without close_notify it would be an error");
    assert!(seen.ends_with(b"\r\n\r\na"), "{}", String::from_utf8_lossy(&seen));
}

#[actix_rt::test]
async fn a_websocket_is_bytes_both_ways_over_tls() {
    let authority = Authority::new();
    let script = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi ").await;
        let seen = conn.read_exact(5).await;
        conn.write(seen).await;
        let rest = conn.read_to_end().await;
        conn.write(format!(" then {}", String::from_utf8_lossy(&rest))).await;
        conn.half_close().await;
    });
    let origin = secured(&authority, script).await;
    authority.issue("shop", &["shop.example"]);
    let upstream = upstream(&origin, &format!("ca = {:?}", authority.path("ca.pem")));
    let proxy = TestProxy::with(&format!("{}{upstream}", authority.listener(&["shop"]))).start().await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    client
        .send(
            "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nhello",
        )
        .await;
    let head = client.read_head().await;
    let echoed = client.read_exact(8).await;
    client.send("bye").await;
    client.half_close().await;
    let rest = client.read_to_end().await;

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((&echoed[..], &rest[..]), (&b"hi hello"[..], &b" then bye"[..]));
}

#[actix_rt::test]
async fn a_client_that_is_turned_back_while_it_sends_reads_why() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("shop", &["shop.example"]);
    let text = format!(
        "{}defaults.max_body = \"1KiB\"\n[routes]\n\"/\" = {:?}\n",
        authority.listener(&["shop"]),
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9000000\r\n\r\n").await;
    client.send(vec![b'.'; 100_000]).await;
    let response = client.read_response().await;

    assert_eq!((response.status, response.complete), (413, true));
}

#[actix_rt::test]
async fn what_is_under_way_is_finished_when_the_server_stops() {
    let authority = Authority::new();
    let script = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_for("leave to answer").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await;
    });
    let origin = script.start().await;
    let proxy = shop(&authority, &origin).await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    client.send(GET).await;
    origin.wait_for_requests(1).await;
    proxy.drain();
    origin.tell("leave to answer");
    let response = client.read_response().await;
    client.wait_closed().await;

    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(proxy.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn curl_is_content() {
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    let proxy = shop(&authority, &origin).await;
    let port = proxy.address.port();

    let curl = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert", &authority.path("ca.pem")])
        .args(["--resolve", &format!("shop.example:{port}:127.0.0.1"), &format!("https://shop.example:{port}/")])
        .kill_on_drop(true)
        .output();
    let output = patiently("curl", curl).await.expect("curl is there");

    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{}", String::from_utf8_lossy(&output.stderr));
}

// -- other certificates -------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn new_certificates_are_for_new_connections_and_old_ones_go_on() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    let proxy = shop(&authority, &origin).await;
    let certificates = proxy.certificates.clone().expect("it speaks TLS");
    let mut old = connect(proxy.address, "shop.example", authority.client()).await;
    let before = authority.certificate("shop");

    authority.issue("shop", &["shop.example"]);
    certificates.reload().expect("a new pair");
    old.send(GET).await;
    let answer = old.read_response().await;
    let new = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");

    assert_eq!(answer.status, 200);
    assert_ne!(authority.certificate("shop"), before);
    assert_eq!(shown(&new), authority.certificate("shop"));
}

#[actix_rt::test]
async fn a_pair_that_does_not_fit_changes_nothing_and_is_named() {
    let (authority, origin) = (Authority::new(), Origin::answering("a").start().await);
    authority.issue("other", &["other.example"]);
    let proxy = shop(&authority, &origin).await;
    let certificates = proxy.certificates.clone().expect("it speaks TLS");
    let before = authority.certificate("shop");
    let other_key = std::fs::read_to_string(authority.path("other.key")).expect("a key");

    authority.write("shop.key", &other_key);
    let mismatched = certificates.reload().expect_err("it is another certificate's key");
    std::fs::remove_file(authority.path("shop.pem")).expect("it was there");
    let unreadable = certificates.reload().expect_err("it is gone");
    let stream = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");

    assert!(matches!(mismatched, ReloadError::File(FileError::Mismatch { .. })), "{mismatched}");
    assert!(mismatched.to_string().contains(&authority.path("shop.key")), "{mismatched}");
    assert!(unreadable.to_string().contains(&authority.path("shop.pem")), "{unreadable}");
    assert_eq!(shown(&stream), before);
}

// -- endpoints ----------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn an_endpoint_is_believed_by_an_authority_of_its_own_and_its_connection_is_kept() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello")).await;
    let text = upstream(&origin, &format!("ca = {:?}", authority.path("ca.pem")));
    let proxy = TestProxy::with(&text).start().await;

    let (first, second) = (proxy.get("/").await, proxy.get("/").await);

    assert_eq!((first.text().as_str(), second.text().as_str()), ("hello", "hello"));
    assert_eq!((origin.connections_seen(), origin.requests_seen()), (1, 2));
}

#[actix_rt::test]
async fn awc_speaks_tls_as_well() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello")).await;
    let text = upstream(&origin, &format!("ca = {:?}", authority.path("ca.pem")));
    let proxy = TestProxy::with(&format!("{text}transport = \"awc\"\n")).start().await;

    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[actix_rt::test]
async fn an_endpoint_that_proves_nothing_is_a_502_that_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = secured(&authority, Origin::answering("secret")).await;
    let clear = Origin::script(|mut conn, _| async move {
        conn.read_some().await;
        conn.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let clear = clear.start().await;
    let for_known = Origin::answering("secret").start_tls(authority.origin_for_known("origin")).await;
    let (own, other) = (authority.path("ca.pem"), stranger.path("ca.pem"));
    let https = |origin: &Origin, tls: String| upstream(origin, &tls).replace("http://", "https://");

    for (text, token) in [
        (https(&origin, format!("ca = {other:?}")), "tls_certificate_error"),
        (https(&origin, format!("ca = {own:?}, server_name = \"shop.example\"")), "tls_certificate_error"),
        (https(&for_known, format!("ca = {own:?}")), "tls_alert_received"),
        (https(&clear, format!("ca = {own:?}")), "tls_protocol_error"),
    ] {
        let proxy = TestProxy::with(&text).start().await;

        let response = proxy.get("/").await;

        let status = response.header("proxy-status").unwrap_or_default();
        assert_eq!(response.status, 502, "{text}");
        assert!(status.contains(&format!("error={token}")), "{text}: {status}");
    }
    assert_eq!(origin.requests_seen() + for_known.requests_seen(), 0);
}

#[actix_rt::test]
async fn an_upstream_says_whom_to_believe_and_who_we_are() {
    let authority = Authority::new();
    let origin = secured(&authority, Origin::answering("hello")).await;
    let for_known = Origin::answering("hello").start_tls(authority.origin_for_known("origin")).await;
    authority.issue("edge", &["edge.example"]);
    let (ca, cert, key) = (authority.path("ca.pem"), authority.path("edge.pem"), authority.path("edge.key"));

    for (origin, tls) in [
        (&origin, format!("ca = {ca:?}, server_name = \"origin.example\"")),
        (&origin, "insecure = true".to_owned()),
        (&for_known, format!("ca = {ca:?}, cert = {cert:?}, key = {key:?}")),
    ] {
        let proxy = TestProxy::with(&upstream(origin, &tls)).start().await;

        assert_eq!(proxy.get("/").await.text(), "hello", "{tls}");
    }
}

#[actix_rt::test]
async fn the_name_asked_for_in_tls_and_the_host_are_set_apart() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    for (server_name, asked_for) in [
        (", server_name = \"origin.example\"", Some("origin.example")),
        // An address is no name (RFC 6066, 3).
        ("", None),
    ] {
        let origin = secured(&authority, Origin::answering("hello")).await;
        let text = upstream(&origin, &format!("ca = {ca:?}{server_name}"));
        let text = text.replace("\"/\" = \"a\"", "\"/\" = { to = \"a\", host = \"inner.example\" }");
        let proxy = TestProxy::with(&text).start().await;

        assert_eq!(proxy.get("/").await.text(), "hello", "{text}");

        assert_eq!(origin.server_names(), [asked_for.map(str::to_owned)]);
        assert!(origin.request(0).contains("\r\nhost: inner.example\r\n"), "{}", origin.request(0));
    }
}

#[actix_rt::test]
async fn a_handshake_that_failed_is_followed_by_another_endpoint() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let impostor = secured(&stranger, Origin::answering("secret")).await;
    let origin = secured(&authority, Origin::answering("hello")).await;
    let text = format!(
        "[routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [{:?}, {:?}]\ntls.ca = {:?}\n",
        impostor.url(),
        origin.url(),
        authority.path("ca.pem")
    );
    let proxy = TestProxy::with(&text).start().await;

    for _ in 0..4 {
        // Nothing was sent to the first one, so that even a POST may go to the second.
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n.";
        assert_eq!(proxy.send(post).await.text(), "hello");
    }
    assert_eq!(impostor.requests_seen(), 0);
}

#[actix_rt::test]
async fn a_handshake_counts_against_the_limit_on_connecting() {
    let authority = Authority::new();
    let silent = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let tls = format!("ca = {:?}", authority.path("ca.pem"));
    let text = upstream(&silent, &tls).replace("http://", "https://");
    let proxy = TestProxy::with(&format!("defaults.timeout.connect = \"200ms\"\n{text}")).start().await;

    let response = proxy.get("/").await;

    assert_eq!(response.status, 504);
    assert!(response.header("proxy-status").is_some_and(|status| status.contains("connection_timeout")));
}

#[actix_rt::test]
async fn other_rules_for_the_same_endpoint_are_other_connections() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = secured(&authority, Origin::answering("hello")).await;
    let url = origin.url();
    let text = |ca: &str| {
        format!(
            "[routes]\n\"/lax\" = \"lax\"\n\"/strict\" = \"strict\"\n\
             [upstreams.lax]\nservers = [{url:?}]\ntls.insecure = true\n\
             [upstreams.strict]\nservers = [{url:?}]\ntls.ca = {ca:?}\n"
        )
    };
    let proxy = TestProxy::with(&text(&stranger.path("ca.pem"))).start().await;

    let lax = proxy.get("/lax").await.status;
    let strict = proxy.get("/strict").await.status;
    // The same words, and another authority behind them: what was agreed on before does not go on.
    std::fs::copy(authority.path("ca.pem"), stranger.path("ca.pem")).expect("a file");
    let loaded = aqueduct::settings::Layers::new().text("a", text(&stranger.path("ca.pem"))).load();
    proxy.proxy.reload(loaded.expect("it is good").settings).expect("it can be done");
    let believed = proxy.get("/strict").await.status;

    assert_eq!((lax, strict, believed), (200, 502, 200));
}

#[actix_rt::test]
async fn a_body_that_is_cut_off_is_seen_whatever_its_framing() {
    let authority = Authority::new();
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked", "Connection: close"] {
        let script = Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            let start = if head.contains("chunked") { "5\r\nhello\r\n" } else { "hello" };
            conn.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{start}")).await;
            // The end of TCP alone: nobody who could not read along can have said it.
            conn.close();
        });
        let origin = secured(&authority, script).await;
        let text = upstream(&origin, &format!("ca = {:?}", authority.path("ca.pem")));
        let proxy = TestProxy::with(&text).start().await;

        let mut client: Client = proxy.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.address)).await;
        let response = client.read_response().await;

        assert_eq!(response.body, b"hello", "{head}");
        assert!(!response.complete, "{head}: it looks whole");
    }
}

#[actix_rt::test]
async fn what_was_decrypted_and_not_read_counts_as_there() {
    let authority = Authority::new();
    let script = Origin::script(|mut conn, _| async move {
        conn.write("ab").await;
        conn.wait_for("the end").await;
        conn.half_close().await;
        conn.wait_closed().await;
    });
    let origin = secured(&authority, script).await;
    let written = EndpointTls { ca: Some(authority.path("ca.pem").into()), ..EndpointTls::default() };
    let tls = Arc::new(ClientTls::of(&written).expect("it is good"));
    let profile = Profile::named(tls, "origin.example").expect("a name");
    let socket = patiently("a connection", TcpStream::connect(origin.address())).await.expect("it listens");
    let mut stream = patiently("a handshake", profile.shake_hands(socket, Offer::Http1)).await.expect("they agree");
    let is_ready = |stream: &Stream| stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready();

    let first = patiently("a byte", stream.read_u8()).await.expect("a byte");
    // The kernel has nothing more, and still there is more.
    let there = (is_ready(&stream), stream.has_unread());
    let mut rest = [0; 9];
    let second = stream.try_read(&mut rest).map(|count| rest[..count].to_vec());
    let nothing = stream.try_read(&mut rest).expect_err("nothing has come").kind();
    origin.tell("the end");
    let end = patiently("the end", stream.read(&mut rest)).await;

    assert_eq!((first, second.expect("a byte")), (b'a', b"b".to_vec()));
    assert_eq!((there, nothing), ((true, true), io::ErrorKind::WouldBlock));
    assert_eq!(end.expect("it was announced"), 0);
}

#[actix_rt::test]
async fn nobody_listening_is_no_matter_of_tls() {
    let authority = Authority::new();
    let text = format!(
        "[routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [\"https://{}\"]\ntls.ca = {:?}\n",
        client::refusing(),
        authority.path("ca.pem")
    );
    let proxy = TestProxy::with(&text).start().await;

    let response = proxy.get("/").await;

    assert!(response.header("proxy-status").is_some_and(|status| status.contains("connection_refused")));
}
