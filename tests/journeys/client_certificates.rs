//! Clients that show certificates.

use std::{fs, io, time::Duration};

use rustls::{ClientConfig, HandshakeKind};
use tempfile::TempDir;

use super::{
    access_log::lines,
    support::{
        binary::{Binary, write},
        client::Response,
        origin::Origin,
        proxy::TestProxy,
        tls::{Authority, over, shake_hands},
        wire::patiently,
    },
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const HOUR: Duration = Duration::from_secs(3600);

/// Settings of a listener for `shop.example` that asks for certificates of this authority.
fn listener(authority: &Authority, client: &str) -> String {
    authority.issue("shop", &["shop.example"]);
    let ca = authority.path("ca.pem");
    format!("{}tls.main.client = {{ ca = {ca:?}{client} }}\n", authority.listener(&["shop"]))
}

fn to(origin: &Origin) -> String {
    format!("[routes]\n\"/\" = {:?}\n", origin.url())
}

/// One request, if the server lets the client in.
async fn get(address: std::net::SocketAddr, config: &ClientConfig) -> io::Result<Response> {
    ask(address, config, GET).await.map(|(response, _)| response)
}

async fn ask(
    address: std::net::SocketAddr,
    config: &ClientConfig,
    request: &str,
) -> io::Result<(Response, Option<HandshakeKind>)> {
    let stream = shake_hands(address, "shop.example", config.clone()).await?;
    let kind = stream.get_ref().1.handshake_kind();
    let mut client = over(stream);
    client.try_send(request.as_bytes()).await;
    // In TLS 1.3 a client believes that all is well before the server has seen its certificate.
    let response = client.next_response_to("GET").await.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((response, kind))
}

/// `mallory` believes this authority, and has the name of somebody from another one, which nobody believes here.
fn introduce_mallory(authority: &Authority) {
    let stranger = Authority::new();
    stranger.introduce("alice", "alice");
    fs::copy(stranger.path("alice.pem"), authority.path("mallory.pem")).expect("a file");
    fs::copy(stranger.path("alice.key"), authority.path("mallory.key")).expect("a file");
}

#[actix_rt::test]
async fn only_who_shows_a_certificate_of_the_authority_is_let_in() {
    let authority = Authority::new();
    let origin = Origin::answering("hello").start().await;
    authority.introduce("alice", "alice");
    introduce_mallory(&authority);
    let proxy = TestProxy::with(&format!("{}{}", listener(&authority, ""), to(&origin))).start().await;

    let known = get(proxy.address, &authority.client_as("alice")).await.expect("she is let in");
    let unknown = get(proxy.address, &authority.client_as("mallory")).await;
    let nobody = get(proxy.address, &authority.client()).await;

    assert_eq!(known.text(), "hello");
    assert!(unknown.is_err() && nobody.is_err());
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn where_it_is_optional_who_shows_none_is_let_in_and_who_shows_a_wrong_one_is_not() {
    let authority = Authority::new();
    let origin = Origin::answering("hello").start().await;
    authority.introduce("alice", "alice");
    introduce_mallory(&authority);
    let text = format!("{}{}", listener(&authority, ", mode = \"optional\""), to(&origin));
    let proxy = TestProxy::with(&text).start().await;

    let known = get(proxy.address, &authority.client_as("alice")).await.expect("she is let in");
    let nobody = get(proxy.address, &authority.client()).await.expect("anybody is let in");
    let unknown = get(proxy.address, &authority.client_as("mallory")).await;

    assert_eq!((known.status, nobody.status), (200, 200));
    assert!(unknown.is_err());
}

#[actix_rt::test]
async fn an_endpoint_and_the_log_are_told_who_it_is_and_no_client_can_say_so_himself() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (origin, log) = (Origin::echo().start().await, folder.path().join("access.log"));
    authority.introduce("alice", "alice, O=Ops");
    let rules = "{ request.set = { x-client = \"${client_cert.subject}\", x-names = \"${client_cert.names}\" } }";
    let text = format!(
        "{}[routes]\n\"/\" = {{ to = {:?}, header_rules = {rules} }}\n[log.access]\npath = {log:?}\n\
         format = \"<${{client_cert.subject}}|${{client_cert.issuer}}|${{client_cert.serial}}|${{client_cert.fingerprint}}>\"\n",
        listener(&authority, ", mode = \"optional\""),
        origin.url()
    );
    let proxy = TestProxy::with(&text).with_underscores().start().await;
    let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Client: CN=root\r\nClient-Cert: :AAAA:\r\n\
        X_SSL_Client_S_DN: CN=root\r\nX-Client-Cert-Subject: CN=root\r\nX-Forwarded-Client-Cert: Hash=1\r\n\r\n";

    let (known, _) = ask(proxy.address, &authority.client_as("alice"), request).await.expect("she is let in");
    let (nobody, _) = ask(proxy.address, &authority.client(), request).await.expect("anybody is let in");

    let (known, nobody) = (known.text().to_ascii_lowercase(), nobody.text().to_ascii_lowercase());
    assert!(known.contains("\nx-client: cn=alice\\, o=ops\n"), "{known}");
    assert!(known.contains("\nx-names: dns:alice.example\n"), "{known}");
    for told in [&known, &nobody] {
        assert!(!told.contains("root") && !told.contains("aaaa") && !told.contains("hash=1"), "{told}");
    }
    assert!(!nobody.contains("x-client"), "{nobody}");
    let lines = lines(&proxy, &log, 2).await;
    // The log escapes what it writes once more.
    assert!(lines[0].starts_with("<CN=alice\\x5C, O=Ops|CN=authority|"), "{}", lines[0]);
    assert_eq!(lines[0].rsplit('|').next().map(str::len), Some(65), "{}", lines[0]);
    assert_eq!(lines[1], "<-|-|-|->");
}

#[actix_rt::test]
async fn it_is_the_same_over_http_2() {
    let (authority, origin) = (Authority::new(), Origin::echo().start().await);
    authority.introduce("alice", "alice");
    let rules = "{ request.set = { x-client = \"${client_cert.subject}\" } }";
    let route = format!("[routes]\n\"/\" = {{ to = {:?}, header_rules = {rules} }}\n", origin.url());
    let proxy = TestProxy::with(&format!("{}{route}", listener(&authority, ""))).start().await;
    let port = proxy.address.port();

    let curl = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--http2", "--cacert", &authority.path("ca.pem")])
        .args(["--cert", &authority.path("alice.pem"), "--key", &authority.path("alice.key")])
        .args(["--resolve", &format!("shop.example:{port}:127.0.0.1"), &format!("https://shop.example:{port}/")])
        .kill_on_drop(true)
        .output();
    let output = patiently("curl", curl).await.expect("scripts/test installs it");

    let answer = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
    assert!(answer.starts_with("http/2 200") && answer.contains("\nx-client: cn=alice\n"), "{answer}");
}

#[actix_rt::test]
async fn json_lines_tell_of_a_certificate_where_there_is_one() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (origin, log) = (Origin::answering("a").start().await, folder.path().join("access.log"));
    authority.introduce("alice", "alice");
    let text = format!(
        "{}{}[log.access]\npath = {log:?}\nformat = \"json\"\n",
        listener(&authority, ", mode = \"optional\""),
        to(&origin)
    );
    let proxy = TestProxy::with(&text).start().await;

    get(proxy.address, &authority.client_as("alice")).await.expect("she is let in");
    get(proxy.address, &authority.client()).await.expect("anybody is let in");

    let lines = lines(&proxy, &log, 2).await;
    let lines: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["client_cert.subject"], "CN=alice");
    assert_eq!(lines[0]["client_cert.names"], "DNS:alice.example");
    assert_eq!(lines[1].get("client_cert.subject"), None);
}

// -- revocation ---------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn who_was_revoked_is_refused() {
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    authority.introduce("alice", "alice");
    authority.introduce("bob", "bob");
    authority.revoke(&["bob"], HOUR);
    let crl = format!(", crl = {:?}", authority.path("crl.pem"));
    let proxy = TestProxy::with(&format!("{}{}", listener(&authority, &crl), to(&origin))).start().await;

    let alice = get(proxy.address, &authority.client_as("alice")).await;
    let bob = get(proxy.address, &authority.client_as("bob")).await;

    assert_eq!(alice.expect("she is let in").text(), "hello");
    assert!(bob.is_err());
}

#[actix_rt::test]
async fn a_list_that_is_too_old_lets_nobody_in_and_is_told_of() {
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    authority.introduce("alice", "alice");
    authority.revoke(&[], Duration::ZERO);
    let crl = format!(", crl = {:?}", authority.path("crl.pem"));
    let proxy = TestProxy::with(&format!("{}{}", listener(&authority, &crl), to(&origin))).start().await;

    let alice = get(proxy.address, &authority.client_as("alice")).await;

    assert!(alice.is_err());
    let told = proxy.proxy.plan().expiring(std::time::SystemTime::now());
    let expected = format!("tls.main: the list of revoked certificates in `{}` expired on", authority.path("crl.pem"));
    assert!(told.iter().any(|notice| notice.starts_with(&expected)), "{told:?}");
}

/// A proxy that has read that nobody is revoked, and a client with a ticket of it.
async fn with_ticket(authority: &Authority, folder: &TempDir) -> (Binary, ClientConfig) {
    authority.introduce("alice", "alice");
    authority.revoke(&[], HOUR);
    let crl = format!(", crl = {:?}", authority.path("crl.pem"));
    let respond = "[routes]\n\"/\" = { respond = { body = \"here\" } }\n";
    write(folder.path(), "a.toml", format!("{}{respond}", listener(authority, &crl)));
    let server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    let config = authority.client_as("alice");
    let (_, first) = ask(server.address, &config, GET).await.expect("she is let in");
    assert_ne!(first, Some(HandshakeKind::Resumed));
    let (answer, second) = ask(server.address, &config, GET).await.expect("she is let in");
    assert_eq!((answer.text().as_str(), second), ("here", Some(HandshakeKind::Resumed)));
    (server, config)
}

#[actix_rt::test]
async fn a_ticket_does_not_help_whoever_is_revoked_later() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (mut server, config) = with_ticket(&authority, &folder).await;

    authority.revoke(&["alice"], HOUR);
    server.says("was read again").await;

    for _ in 0..3 {
        assert!(get(server.address, &config).await.is_err());
    }
}

#[actix_rt::test]
async fn a_ticket_does_not_help_once_another_authority_is_believed() {
    let (folder, authority, other) = (tempfile::tempdir().expect("a folder"), Authority::new(), Authority::new());
    let (mut server, config) = with_ticket(&authority, &folder).await;

    fs::copy(other.path("ca.pem"), authority.path("ca.pem")).expect("a file");
    server.says("was read again").await;

    for _ in 0..3 {
        assert!(get(server.address, &config).await.is_err());
    }
}

#[actix_rt::test]
async fn a_ticket_goes_on_with_another_certificate_of_the_server() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (mut server, config) = with_ticket(&authority, &folder).await;

    authority.issue("shop", &["shop.example"]);
    server.says("was read again").await;
    let (answer, kind) = ask(server.address, &config, GET).await.expect("she is let in");

    assert_eq!((answer.text().as_str(), kind), ("here", Some(HandshakeKind::Resumed)));
}

#[actix_rt::test]
async fn a_ticket_does_not_outlive_the_certificate_it_was_given_for() {
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    authority.issue_for("alice", &["alice.example"], HOUR, Duration::from_secs(3));
    let proxy = TestProxy::with(&format!("{}{}", listener(&authority, ""), to(&origin))).start().await;
    let config = authority.client_as("alice");
    get(proxy.address, &config).await.expect("she is let in");

    let mut resumed = 0;
    patiently("a refusal", async {
        while let Ok((_, kind)) = ask(proxy.address, &config, GET).await {
            resumed += usize::from(kind == Some(HandshakeKind::Resumed));
        }
    })
    .await;

    assert!(resumed > 0, "there was no ticket to refuse");
}

#[actix_rt::test]
async fn whoever_was_let_in_without_a_certificate_needs_one_once_it_is_asked_for() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let settings = |mode: &str| {
        let client = format!(", mode = \"{mode}\"");
        format!("{}[routes]\n\"/\" = {{ respond = {{ body = \"here\" }} }}\n", listener(&authority, &client))
    };
    write(folder.path(), "a.toml", settings("off"));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    authority.introduce("alice", "alice");
    let config = authority.client();
    get(server.address, &config).await.expect("anybody is let in");

    write(folder.path(), "a.toml", settings("required"));
    server.reload().await;

    assert!(get(server.address, &config).await.is_err());
    assert_eq!(get(server.address, &authority.client_as("alice")).await.expect("she is let in").text(), "here");
}
