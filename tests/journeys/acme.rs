//! Certificates that a directory gives us.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::SystemTime};

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::support::{
    binary::{Binary, write},
    client::{self, Client, loopback},
    pebble::{self, Setup},
    tls::{Authority, over, shake_hands, shown},
    wire::patiently,
};

const GIVEN: &str = "was given; it is renewed on";

/// A plain listener and one with TLS where the directory looks for us, and a route that answers for itself.
fn settings(directory: &Setup, acme: &str, more: &str) -> String {
    let at = |port| SocketAddr::from((directory.address, port));
    format!(
        "listen = [\"{}\", {{ addr = \"{}\", tls = \"main\" }}]\n{more}\n[tls.main]\n{acme}\n\
         [routes]\n\"/\" = {{ respond = {{ body = \"here\" }} }}\n",
        at(pebble::HTTP),
        at(pebble::TLS)
    )
}

async fn run(folder: &TempDir, text: &str) -> Binary {
    write(folder.path(), "a.toml", text);
    Binary::run(folder.path(), &["--settings", "a.toml"]).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What is shown to a client that believes the directory.
async fn shown_by(directory: &Setup, name: &str) -> CertificateDer<'static> {
    let address = (directory.address, pebble::TLS).into();
    shown(&shake_hands(address, name, directory.client().await).await.expect("it is believed"))
}

/// A directory whose certificates hold long enough for a slow machine, and end within a test's patience.
fn short_lived() -> Setup {
    let mut directory = Setup::new();
    directory.life = 12;
    directory
}

/// Renewed with half of that to go.
fn renewed_early(directory: &Setup) -> String {
    directory.settings("\"shop.example\"", ", renew_before = \"6s\"")
}

fn end_of(certificate: &CertificateDer<'_>) -> SystemTime {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).expect("a certificate");
    parsed.validity().not_after.to_datetime().into()
}

/// The file of this name below the store's one folder.
fn stored(folder: &TempDir, name: &str) -> std::path::PathBuf {
    let mut folders = fs::read_dir(folder.path().join("store")).expect("a store");
    folders.next().expect("a directory").expect("a folder").path().join(name)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[actix_rt::test]
async fn a_certificate_is_got_by_tls_alpn_01_while_the_server_serves_everything_else() {
    let (folder, directory) = (folder(), Setup::new());
    let _pebble = directory.start().await;
    let text = settings(&directory, &directory.settings("\"shop.example\", \"www.shop.example\"", ""), "");
    let mut server = run(&folder, &text).await;
    assert_eq!(server.get("/").await.text(), "here");

    server.says(GIVEN).await;
    server.says("was read again").await;

    for name in ["shop.example", "www.shop.example"] {
        let address = (directory.address, pebble::TLS).into();
        let stream = shake_hands(address, name, directory.client().await).await.expect("it is believed");
        let mut client = over(stream);
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).await;
        assert_eq!(client.read_response().await.text(), "here");
    }
    for file in ["main.pem", "account.json"] {
        assert_eq!(mode(&stored(&folder, file)), 0o600, "{file}");
    }
    assert_eq!(mode(stored(&folder, "").as_path()), 0o700);
}

#[actix_rt::test]
async fn nobody_but_a_directory_gets_through_the_door_that_is_open_to_it() {
    let (folder, directory, authority) = (folder(), Setup::new(), Authority::new());
    let _pebble = directory.start().await;
    // Who comes to be served shows a certificate; the directory has none.
    let clients = format!("client = {{ ca = {:?} }}", authority.path("ca.pem"));
    let acme = format!("{}{clients}", directory.settings("\"shop.example\"", ""));
    let mut server = run(&folder, &settings(&directory, &acme, "")).await;
    server.says("was read again").await;

    let mut config = directory.client().await;
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let address = (directory.address, pebble::TLS).into();
    let as_directory = shake_hands(address, "shop.example", config).await;
    let mut as_nobody = over(shake_hands(address, "shop.example", directory.client().await).await.expect("they agree"));
    as_nobody.try_send(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;

    assert!(as_directory.is_err());
    assert!(as_nobody.next_response_to("GET").await.is_none());
}

#[actix_rt::test]
async fn a_certificate_is_got_by_http_01_before_any_route_or_redirect_is_asked() {
    let (folder, directory) = (folder(), Setup::new());
    let _pebble = directory.start().await;
    let acme = directory.settings("\"shop.example\"", ", challenge = \"http-01\"");
    let text = settings(&directory, &format!("redirect_http = true\n{acme}"), "");
    let mut server = run(&folder, &text).await;

    server.says(GIVEN).await;
    server.says("was read again").await;

    shown_by(&directory, "shop.example").await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    let unknown = client::request(server.address, get("/.well-known/acme-challenge/unknown")).await;
    let plain = client::request(server.address, get("/a")).await;
    assert_eq!((unknown.status, unknown.text().as_str(), plain.status), (200, "here", 308));
}

#[actix_rt::test]
async fn a_certificate_is_renewed_before_it_ends_and_open_connections_go_on() {
    let (folder, directory) = (folder(), short_lived());
    let _pebble = directory.start().await;
    let mut server = run(&folder, &settings(&directory, &renewed_early(&directory), "")).await;
    server.says("was read again").await;
    let address = (directory.address, pebble::TLS).into();
    let stream = shake_hands(address, "shop.example", directory.client().await).await.expect("it is believed");
    let (first, mut client): (_, Client) = (shown(&stream), over(stream));

    server.says(GIVEN).await;
    server.says("was read again").await;

    assert_ne!(shown_by(&directory, "shop.example").await, first);
    assert!(SystemTime::now() < end_of(&first), "it had ended by then");
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert_eq!(client.read_response().await.text(), "here");
}

#[actix_rt::test]
async fn where_no_new_one_is_given_the_old_certificate_is_shown() {
    let (folder, directory) = (folder(), short_lived());
    let pebble = directory.start().await;
    let mut server = run(&folder, &settings(&directory, &renewed_early(&directory), "")).await;
    server.says("was read again").await;
    let (first, config) = (shown_by(&directory, "shop.example").await, directory.client().await);

    drop(pebble);
    server.says("the next try is in").await;

    let address = (directory.address, pebble::TLS).into();
    let stream = shake_hands(address, "shop.example", config).await.expect("it is believed as long as it holds");
    assert_eq!(shown(&stream), first);
}

#[actix_rt::test]
async fn a_refusal_is_told_in_the_directorys_words_and_everything_else_is_served() {
    let (folder, directory, authority) = (folder(), Setup::new(), Authority::new());
    let _pebble = directory.start().await;
    authority.issue("other", &["other.example"]);
    let pair = format!(
        "certificates = [{{ cert = {:?}, key = {:?} }}]\n",
        authority.path("other.pem"),
        authority.path("other.key")
    );
    let acme = directory.settings(&format!("{:?}", directory.blocked), "");
    let mut server = run(&folder, &settings(&directory, &format!("{pair}{acme}"), "")).await;

    let said = server.says("the next try is in").await;

    assert!(said.contains("blocked.example") && said.contains("rejectedIdentifier"), "{said}");
    let address = (directory.address, pebble::TLS).into();
    let stream = shake_hands(address, "other.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&stream), authority.certificate("other"));
    assert_eq!(server.get("/").await.text(), "here");
}

#[actix_rt::test]
async fn a_domain_that_does_not_lead_to_us_is_told_in_the_directorys_words() {
    let (folder, directory) = (folder(), Setup::new());
    let _pebble = directory.start().await;
    let acme = directory.settings("\"shop.example\"", ", challenge = \"http-01\"");
    // Nobody listens where the directory asks.
    let elsewhere = SocketAddr::from((loopback(), pebble::HTTP)).to_string();
    let text = settings(&directory, &acme, "");
    let text = text.replace(&SocketAddr::from((directory.address, pebble::HTTP)).to_string(), &elsewhere);
    let mut server = run(&folder, &text).await;

    let said = server.says("the next try is in").await;

    assert!(said.contains("shop.example: API error: ") && said.contains("connection refused"), "{said}");
    assert!(said.contains("urn:ietf:params:acme:error:connection"), "{said}");
}

#[actix_rt::test]
async fn a_directory_that_is_down_at_the_start_is_asked_again() {
    let (folder, directory) = (folder(), Setup::new());
    let text = settings(&directory, &directory.settings("\"shop.example\"", ""), "");
    let mut server = run(&folder, &text).await;
    server.says("cannot be asked").await;
    assert_eq!(server.get("/").await.text(), "here");

    let _pebble = directory.start().await;
    server.says("was read again").await;

    shown_by(&directory, "shop.example").await;
}

#[actix_rt::test]
async fn another_start_takes_what_is_stored() {
    let (folder, directory) = (folder(), Setup::new());
    let pebble = directory.start().await;
    let text = settings(&directory, &directory.settings("\"shop.example\"", ""), "");
    let mut server = run(&folder, &text).await;
    server.says("was read again").await;
    let (first, config) = (shown_by(&directory, "shop.example").await, directory.client().await);
    drop(pebble);
    server.signal(libc::SIGTERM);
    patiently("the end", async { while TcpStream::connect(server.address).await.is_ok() {} }).await;

    // Nobody is there to be asked.
    let _server = run(&folder, &text).await;

    let address = (directory.address, pebble::TLS).into();
    let stream = shake_hands(address, "shop.example", config).await.expect("it is believed");
    assert_eq!(shown(&stream), first);
}

#[actix_rt::test]
async fn a_directory_that_has_forgotten_us_is_told_again_who_we_are() {
    let (folder, directory) = (folder(), Setup::new());
    let pebble = directory.start().await;
    let text = settings(&directory, &directory.settings("\"shop.example\"", ""), "");
    let mut server = run(&folder, &text).await;
    server.says("was read again").await;
    let first = fs::read(stored(&folder, "account.json")).expect("an account");
    drop(pebble);
    let _pebble = directory.start().await;

    // One domain more, and so another certificate.
    let more = directory.settings("\"shop.example\", \"more.example\"", "");
    write(folder.path(), "a.toml", settings(&directory, &more, ""));
    server.says("is in force").await;
    server.says("was read again").await;

    shown_by(&directory, "more.example").await;
    assert_ne!(fs::read(stored(&folder, "account.json")).expect("an account"), first);
}
