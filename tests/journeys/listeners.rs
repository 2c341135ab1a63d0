//! Where clients come in: addresses of every kind, each with settings of its own.

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use aqueduct::plan::ListenAddress;

use super::{
    access_log::lines,
    support::{
        binary::Binary,
        client::{self, Client},
        edge::TestEdge,
        h2::H2,
        origin::Origin,
        proxy::TestProxy,
        tls::Authority,
    },
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[actix_rt::test]
async fn a_unix_socket_has_the_mode_it_was_given_and_another_after_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    let write = |mode: &str| {
        let text = format!(
            "listen = [\"127.0.0.1:0\", {{ addr = \"unix:{}\"{mode} }}]\nserver.watch = false\n\
             routes.\"/\".respond.body = \"hello\"\n",
            path.display()
        );
        fs::write(folder.path().join("a.toml"), text).expect("a file");
    };
    write(", mode = \"0606\"");
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    server.says("listening on unix:").await;
    assert_eq!(mode(&path), 0o606);
    let mut client = Client::connect_unix(&path).await;

    write(", mode = \"600\"");
    server.reload().await;
    assert_eq!(mode(&path), 0o600);

    // What nothing is said of stays.
    write("");
    server.reload().await;
    assert_eq!(mode(&path), 0o600);
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn each_listener_speaks_what_it_was_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::echo().start().await;
    let text = format!(
        "listen = [\n\
         {{ addr = \"127.0.0.1:0\", h2 = false }},\n\
         {{ addr = \"127.0.0.1:0\", proxy_protocol = {{ from = [\"127.0.0.1\"] }} }},\n\
         {{ addr = \"unix:a.sock\", mode = \"0600\" }}]\n[routes]\n\"/\" = {:?}\n",
        origin.url()
    );
    fs::write(folder.path().join("a.toml"), text).expect("a file");
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = server.says_address("listening on ").await;
    server.says("listening on unix:a.sock").await;

    assert_eq!(client::request(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.status, 505);
    assert_eq!(client::request(server.address, GET).await.status, 200);
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\r\n".as_slice();
    assert_eq!(client::request(server.address, [header, GET].concat()).await.status, 400);
    let behind = client::request(second, [header, GET].concat()).await.text();
    assert!(behind.contains("\nx-forwarded-for: 192.0.2.7\n"), "{behind}");
    let mut unix = H2::connect_unix(&folder.path().join("a.sock")).await;
    assert_eq!(unix.get("/").await.status, 200);
}

#[actix_rt::test]
async fn a_listener_may_wait_longer_or_shorter_than_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |timeouts: &str| {
        let text = format!(
            "listen = [{{ addr = \"127.0.0.1:0\", timeouts = {{ {timeouts} }} }}, \"127.0.0.1:0\"]\n\
             server.watch = false\nserver.timeouts.keep_alive = \"1h\"\nroutes.\"/\".respond.body = \"hello\"\n"
        );
        fs::write(folder.path().join("a.toml"), text).expect("a file");
    };
    write("keep_alive = \"50ms\"");
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = server.says_address("listening on ").await;
    let mut patient = Client::connect(second).await;
    let mut short = Client::connect(server.address).await;
    for client in [&mut patient, &mut short] {
        client.send(GET).await;
        assert_eq!(client.read_response().await.text(), "hello");
    }

    short.wait_closed().await;
    assert!(!patient.is_closed());

    write("request_head = \"50ms\"");
    server.reload().await;
    let mut short = Client::connect(server.address).await;
    short.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(short.read_response().await.status, 408);
}

#[actix_rt::test]
async fn a_listener_that_is_full_takes_no_place_from_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |most: usize| {
        let text = format!(
            "listen = [{{ addr = \"127.0.0.1:0\", max_connections = {most} }}, \"127.0.0.1:0\"]\n\
             server.watch = false\nroutes.\"/\".respond.body = \"hello\"\n"
        );
        fs::write(folder.path().join("a.toml"), text).expect("a file");
    };
    write(1);
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let second = server.says_address("listening on ").await;
    let mut first = Client::connect(server.address).await;
    first.send(GET).await;
    assert_eq!(first.read_response().await.status, 200);

    assert_eq!(client::request(server.address, GET).await.status, 503);
    assert_eq!(client::request(second, GET).await.status, 200);

    write(2);
    server.reload().await;
    let mut other = Client::connect(server.address).await;
    other.send(GET).await;
    assert_eq!(other.read_response().await.status, 200);
    assert_eq!(client::request(server.address, GET).await.status, 503, "who was there is still counted");
}

#[actix_rt::test]
async fn a_trusted_proxy_at_a_unix_socket_speaks_for_its_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    let origin = Origin::echo().start().await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    for (trusted, list, proto) in [("\"unix\"", Some("203.0.113.9"), "https"), ("\"0.0.0.0/0\"", None, "http")] {
        let log = folder.path().join(format!("{proto}.log"));
        let text = format!(
            "trusted_proxies = [{trusted}]\n[log.access]\npath = {:?}\nformat = \"${{client}}\"\n\
             [routes]\n\"/\" = {:?}\n",
            log.display().to_string(),
            origin.url()
        );
        let proxy = TestProxy::with(&text).also_on(&path).start().await;
        let mut client = Client::connect_unix(&path).await;

        client.send(request).await;
        let told = client.read_response().await.text();

        let listed = told.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
        assert_eq!(listed, list, "{told}");
        assert!(told.contains(&format!("\nx-forwarded-proto: {proto}\n")), "{told}");
        assert_eq!(lines(&proxy, &log, 1).await, [list.unwrap_or("-")]);
    }
}

#[actix_rt::test]
async fn a_client_of_ipv6_is_told_of_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::echo().start_at(LOOPBACK).await;
    let text = format!(
        "listen = [\"[::1]:0\"]\n[log.access]\npath = {:?}\nformat = \"${{client}} ${{endpoint}}\"\n[routes]\n\"/\" = {:?}\n",
        path.display().to_string(),
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    let told = proxy.get("/").await.text();

    assert!(told.contains("\nx-forwarded-for: ::1\n"), "{told}");
    assert!(told.contains("\nforwarded: for=\"[::1]\";host=\"[::1]:"), "{told}");
    assert_eq!(lines(&proxy, &path, 1).await, [format!("::1 {}", origin.address())]);
}

#[actix_rt::test]
async fn an_endpoint_of_ipv6_is_named_by_its_url() {
    let authority = Authority::new();
    authority.issue("origin", &["::1"]);
    let plain = Origin::echo().start_at(LOOPBACK).await;
    let secured = Origin::echo().start_tls_at(LOOPBACK, authority.origin("origin")).await;
    let ca = format!("tls.ca = {:?}", authority.path("ca.pem"));
    for (origin, tls) in [(plain, ""), (secured, &ca)] {
        assert!(origin.url().contains("://[::1]:"), "{}", origin.url());
        let text = format!(
            "[defaults]\nhost = \"upstream\"\n[routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [{:?}]\n{tls}\n",
            origin.url()
        );

        let told = TestProxy::with(&text).start().await.get("/").await.text();

        assert!(told.contains(&format!("\nhost: {}\n", origin.address())), "{told}");
    }
}

#[actix_rt::test]
async fn all_addresses_of_ipv6_are_none_of_ipv4() {
    let edge = TestEdge::start().await;
    let everywhere = ListenAddress::Tcp((Ipv6Addr::UNSPECIFIED, 0).into());
    edge.listen_also(&[everywhere], &Default::default()).await;
    let Some(ListenAddress::Tcp(address)) = edge.addresses().pop() else { panic!("it was added") };

    assert_eq!(client::get((Ipv6Addr::LOCALHOST, address.port()).into(), "/").await.text(), "hello");
    let own = TcpListener::bind((client::loopback(), address.port()));

    assert!(own.is_ok(), "the port is free at the addresses of IPv4: {own:?}");
}
