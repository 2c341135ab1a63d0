//! Endpoints that are found by a name: what it stands for now is who is asked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use actix_web::App;
use aqueduct::{Proxy, actors::Actors, settings::Layers};
use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{
    binary::{Binary, write},
    client::{self, Client},
    dns::{Dns, Reply, srv},
    origin::{Origin, Script},
    tls::Authority,
};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const THREE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// At the same port of another address.
async fn beside(origin: &Origin, address: IpAddr, script: Script) -> Origin {
    script.start_at(SocketAddr::new(address, origin.address().port())).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// An upstream `app` whose endpoints are found so; everything goes there.
fn settings(discover: &str, dns: &Dns, more: &str) -> String {
    format!(
        "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver = {{ watch = false, workers = 1 }}\nroutes.\"/\" = \"app\"\n\
         [upstreams.app]\nbalance = \"round_robin\"\n{more}\n[upstreams.app.discover]\n{discover}\n\
         nameservers = [\"{}\"]\nmin_ttl = \"20ms\"\nmax_ttl = \"20ms\"\n",
        dns.address,
    )
}

async fn run(folder: &Path, text: &str) -> Binary {
    write(folder, "edge.toml", text);
    Binary::run(folder, &["--settings", "edge.toml"]).await
}

/// The endpoints of a name at the port of this origin.
async fn found_at(folder: &Path, origin: &Origin, dns: &Dns) -> Binary {
    run(folder, &settings(&format!("dns = \"shop.test\"\nport = {}", origin.address().port()), dns, "")).await
}

async fn status(admin: SocketAddr) -> Value {
    let status: Value = serde_json::from_str(&client::get(admin, "/status").await.text()).expect("JSON");
    status["upstreams"][0].clone()
}

/// What this many requests get, sorted.
async fn answers(server: &Binary, count: usize) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(server.get("/").await.text());
    }
    answers.sort();
    answers
}

#[actix_rt::test]
async fn every_address_of_a_name_is_an_endpoint() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let _two = beside(&one, TWO, Origin::answering("two")).await;
    dns.places("shop.test", &[TWO, ONE]).await;

    let server = found_at(folder.path(), &one, &dns).await;

    assert_eq!(answers(&server, 4).await, ["one", "one", "two", "two"]);
}

#[actix_rt::test]
async fn addresses_of_both_kinds_are_used() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let _six = beside(&one, Ipv6Addr::LOCALHOST.into(), Origin::answering("six")).await;
    dns.places("shop.test", &[ONE, Ipv6Addr::LOCALHOST.into()]).await;

    let mut server = found_at(folder.path(), &one, &dns).await;
    // Of two answers either may come first.
    let first = server.says("came").await;
    if !(first.contains("127.0.0.1") && first.contains("[::1]")) {
        server.says("came").await;
    }

    assert_eq!(answers(&server, 2).await, ["one", "six"]);
}

#[actix_rt::test]
async fn when_the_answer_changes_who_is_gone_gets_no_more_and_who_stays_keeps_connections() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let two = beside(&one, TWO, Origin::answering("two")).await;
    let three = beside(&one, THREE, Origin::answering("three")).await;
    dns.places("shop.test", &[ONE, TWO]).await;
    let mut server = found_at(folder.path(), &one, &dns).await;
    let admin = server.says_address("telling operators at ").await;
    assert_eq!(answers(&server, 4).await, ["one", "one", "two", "two"]);

    dns.places("shop.test", &[TWO, THREE]).await;
    let said = server.says("127.0.0.3").await;

    assert!(said.contains("came; 127.0.0.1") && said.ends_with("gone"), "{said}");
    one.wait_for_closed(1).await;
    assert_eq!(answers(&server, 4).await, ["three", "three", "two", "two"]);
    assert_eq!((one.requests_seen(), two.requests_seen(), three.requests_seen()), (2, 4, 2));
    assert_eq!(two.connections_seen(), 1);
    let status = status(admin).await;
    assert_eq!(status["discovery"]["source"], "DNS: shop.test");
    assert_eq!(status["endpoints"].as_array().expect("a list").len(), 2);
}

#[actix_rt::test]
async fn a_name_is_asked_for_again_once_its_answer_is_too_old_and_not_before() {
    let (folder, dns) = (folder(), Dns::start().await);
    dns.says("shop.test", RecordType::A, Reply::Records(vec![RData::from(ONE)], 1)).await;
    let text = settings("dns = \"shop.test\"\nrecord = \"A\"\nport = 1", &dns, "");

    let _server = run(folder.path(), &text.replace("max_ttl = \"20ms\"", "max_ttl = \"1h\"")).await;
    dns.wait_for_questions(1).await;
    let asked = Instant::now();
    dns.wait_for_questions(2).await;

    assert!(
        asked.elapsed() > Duration::from_millis(900),
        "it held for a second, and {:?} were waited",
        asked.elapsed()
    );
}

#[actix_rt::test]
async fn what_is_under_way_at_an_address_that_is_gone_finishes() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_for("go on").await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
        conn.wait_closed().await;
    })
    .start()
    .await;
    let _two = beside(&one, TWO, Origin::answering("two")).await;
    dns.places("shop.test", &[ONE]).await;
    let mut server = found_at(folder.path(), &one, &dns).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    one.wait_for("asked").await;

    dns.places("shop.test", &[TWO]).await;
    server.says("gone").await;
    assert_eq!(answers(&server, 2).await, ["two", "two"]);
    one.tell("go on");

    assert_eq!(client.read_response().await.text(), "one");
    one.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn whatever_becomes_of_dns_the_last_good_addresses_hold() {
    for (reply, expected) in [
        (Reply::Code(ResponseCode::ServFail), "erver"),
        (Reply::Code(ResponseCode::Refused), "efused"),
        (Reply::Code(ResponseCode::NXDomain), "there is no such name"),
        (Reply::Records(Vec::new(), 5), "it has no address"),
        (Reply::Silence, "no answer in time"),
    ] {
        let (folder, dns) = (folder(), Dns::start().await);
        let one = Origin::answering("one").start().await;
        let _two = beside(&one, TWO, Origin::answering("two")).await;
        dns.places("shop.test", &[ONE]).await;
        let discover = format!("dns = \"shop.test\"\nport = {}\ntimeout = \"200ms\"", one.address().port());
        let mut server = run(folder.path(), &settings(&discover, &dns, "")).await;
        let admin = server.says_address("telling operators at ").await;
        assert_eq!(answers(&server, 1).await, ["one"]);

        dns.says_of_addresses("shop.test", reply).await;
        let said = server.says("cannot be found, those that are known stay").await;

        assert!(said.contains(expected), "{said}");
        assert_eq!(answers(&server, 2).await, ["one", "one"]);
        assert_ne!(status(admin).await["discovery"]["trouble"], Value::Null);
        dns.places("shop.test", &[TWO]).await;
        server.says("127.0.0.2").await;
        server.says("are found again").await;
        assert_eq!(answers(&server, 1).await, ["two"]);
        assert_eq!(status(admin).await["discovery"]["trouble"], Value::Null);
    }
}

#[actix_rt::test]
async fn a_server_starts_with_a_name_that_cannot_be_resolved_and_has_it_when_it_can() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let mut server = found_at(folder.path(), &one, &dns).await;
    server.says("cannot be found, there are none: DNS: shop.test: there is no such name").await;

    let refused = server.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("proxy-status").expect("it says why").contains("error=destination_unavailable"));

    dns.places("shop.test", &[ONE]).await;
    server.says("came").await;
    assert_eq!(answers(&server, 1).await, ["one"]);
}

#[actix_rt::test]
async fn the_first_requests_wait_for_the_first_answer() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    dns.says_of_addresses("shop.test", Reply::Silence).await;
    let server = found_at(folder.path(), &one, &dns).await;
    let mut client = Client::connect(server.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    dns.wait_for_questions(2).await;

    dns.places("shop.test", &[ONE]).await;

    assert_eq!(client.read_response().await.text(), "one");
}

#[actix_rt::test]
async fn services_tell_ports_and_weights_and_who_is_a_backup() {
    let (folder, dns) = (folder(), Dns::start().await);
    let heavy = Origin::answering("heavy").start().await;
    let light = Origin::answering("light").start().await;
    let backup = Origin::answering("backup").start().await;
    let port = |origin: &Origin| origin.address().port();
    let name = "_http._tcp.shop.test";
    let services = |first: &Origin, second: &Origin| {
        vec![
            srv(10, 20, port(first), "a.test"),
            srv(10, 10, port(second), "b.test"),
            srv(20, 10, port(&backup), "c.test"),
        ]
    };
    for host in ["a.test", "b.test", "c.test"] {
        dns.places(host, &[ONE]).await;
    }
    dns.says(name, RecordType::SRV, Reply::Records(services(&heavy, &light), 60)).await;
    let text = settings(&format!("dns = \"{name}\"\nrecord = \"SRV\""), &dns, "");

    let mut server = run(folder.path(), &text).await;
    let first = answers(&server, 40).await;
    let share = |of: &str| first.iter().filter(|answer| **answer == of).count();
    assert!(share("heavy") > share("light") && share("light") > 0, "{first:?}");
    assert_eq!(share("backup"), 0);

    dns.says(name, RecordType::SRV, Reply::Records(vec![srv(20, 0, port(&backup), "c.test")], 60)).await;
    server.says("gone").await;
    assert_eq!(answers(&server, 2).await, ["backup", "backup"]);
}

#[actix_rt::test]
async fn endpoints_are_called_by_the_name_and_prove_it() {
    let (folder, dns, authority) = (folder(), Dns::start().await, Authority::new());
    authority.issue("shop", &["shop.test"]);
    let origin = Origin::echo().start_tls(authority.origin("shop")).await;
    let other = Origin::echo();
    authority.issue("other", &["other.test"]);
    let other = other.start_tls_at(SocketAddr::new(TWO, origin.address().port()), authority.origin("other")).await;
    dns.places("shop.test", &[ONE]).await;
    let port = origin.address().port();
    let more = format!("tls = {{ ca = {:?} }}", authority.path("ca.pem"));
    let text = settings(&format!("dns = \"shop.test\"\nscheme = \"https\"\nport = {port}"), &dns, &more);
    let mut server = run(folder.path(), &format!("defaults.host = \"upstream\"\n{text}")).await;

    let answer = server.get("/").await;
    assert!(answer.text().to_lowercase().contains(&format!("host: shop.test:{port}")), "{}", answer.text());

    dns.places("shop.test", &[TWO]).await;
    server.says("gone").await;
    assert_eq!(server.get("/").await.status, 502);
    assert_eq!(other.requests_seen(), 0);
}

#[actix_rt::test]
async fn names_of_this_machine_need_no_name_server() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let discover = format!("dns = \"localhost\"\nport = {}", one.address().port());

    let server = run(folder.path(), &settings(&discover, &dns, "")).await;

    assert_eq!(answers(&server, 2).await, ["one", "one"]);
}

#[actix_rt::test]
async fn what_was_found_holds_over_a_reload() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let discover = format!("dns = \"shop.test\"\nport = {}", one.address().port());
    dns.places("shop.test", &[ONE]).await;
    let mut server = run(folder.path(), &settings(&discover, &dns, "")).await;
    assert_eq!(answers(&server, 1).await, ["one"]);
    dns.says_of_addresses("shop.test", Reply::Silence).await;

    write(folder.path(), "edge.toml", settings(&discover, &dns, "retry.attempts = 3"));
    server.reload().await;

    assert_eq!(answers(&server, 2).await, ["one", "one"]);
    assert_eq!(one.connections_seen(), 1);
}

#[actix_rt::test]
async fn endpoints_that_are_found_are_checked() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    let _two = beside(&one, TWO, Origin::replying("HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nill")).await;
    dns.places("shop.test", &[ONE]).await;
    let discover = format!("dns = \"shop.test\"\nport = {}", one.address().port());
    let health = "[upstreams.app.health]\nevery = \"20ms\"\nfall = 1\n";
    let mut server = run(folder.path(), &settings(&discover, &dns, health)).await;
    assert_eq!(answers(&server, 1).await, ["one"]);

    dns.places("shop.test", &[ONE, TWO]).await;
    let said = server.says("fails its checks").await;

    assert!(said.contains("127.0.0.2"), "{said}");
    assert_eq!(answers(&server, 4).await, ["one"; 4]);
}

#[actix_rt::test]
async fn endpoints_are_those_that_a_file_names_and_a_bad_one_changes_nothing() {
    let folder = folder();
    let (one, two) = (Origin::answering("one").start().await, Origin::answering("two").start().await);
    let text = "listen = [\"127.0.0.1:0\"]\nserver = { watch = false, workers = 1 }\nroutes.\"/\" = \"app\"\n\
        [upstreams.app]\ndiscover = { file = \"endpoints.toml\" }\n";
    let mut server = run(folder.path(), text).await;
    server.says("cannot be found, there are none: file: endpoints.toml: there is no file `endpoints.toml`").await;
    assert_eq!(server.get("/").await.status, 503);

    write(folder.path(), "endpoints.toml", format!("servers = [{:?}]\n", one.url()));
    server.says("came").await;
    assert_eq!(answers(&server, 2).await, ["one", "one"]);

    write(folder.path(), "endpoints.toml", "servers = [\"ftp://a\"]\n");
    server.says("those that are known stay: file: endpoints.toml").await;
    server.says("ftp").await;
    assert_eq!(answers(&server, 1).await, ["one"]);

    write(folder.path(), "endpoints.toml", format!("servers = [{{ url = {:?}, weight = 2 }}]\n", two.url()));
    server.says("gone").await;
    one.wait_for_closed(1).await;
    assert_eq!(answers(&server, 2).await, ["two", "two"]);
}

#[actix_rt::test]
async fn what_is_wrong_with_a_file_of_endpoints_is_told_by_line_and_column_each_time() {
    let folder = folder();
    let text = "listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\nserver.watch = false\nroutes.\"/\" = \"app\"\n\
        [upstreams.app]\ndiscover = { file = \"endpoints.toml\" }\n";
    let mut server = run(folder.path(), text).await;
    let admin = server.says_address("telling operators at ").await;

    for (file, told, shortly) in [
        (
            "servers = [\n  \"http://a:80\",\n  \"ftp://b\",\n  { url = \"http://c\", wieght = 2 },\n]\n",
            "endpoints.toml:4:23",
            "endpoints.toml:4: unknown key",
        ),
        ("servers = [\n  \"http://a:80\",\n  \"ftp://b\",\n]\n", "endpoints.toml:3:3", "endpoints.toml:3: "),
        ("servers = [\n  \"http://a:80\",\n", "endpoints.toml:2:17", "endpoints.toml:2: not TOML"),
        ("servers = []\n", "endpoints.toml:1:11", "endpoints.toml:1: it names no servers"),
        ("server = []\n", "endpoints.toml:1:1", "endpoints.toml:1: unknown key `server`"),
        ("servers = [\"https://a\"]\n", "endpoints.toml:1:12", "TLS is not spoken"),
    ] {
        write(folder.path(), "endpoints.toml", file);

        server.says(told).await;
        let trouble = status(admin).await["discovery"]["trouble"].to_string();
        assert!(trouble.contains(shortly), "{trouble}");
    }
}

#[actix_rt::test]
async fn a_folder_that_comes_later_is_found_with_what_is_in_it() {
    let folder = folder();
    let one = Origin::answering("one").start().await;
    let text = "listen = [\"127.0.0.1:0\"]\nserver.watch = false\nroutes.\"/\" = \"app\"\n\
        [upstreams.app]\ndiscover = { file = \"later/still/endpoints.toml\" }\n";
    let mut server = run(folder.path(), text).await;
    server.says("there is no folder `later/still` for `later/still/endpoints.toml`").await;

    let inner = folder.path().join("later/still");
    std::fs::create_dir_all(&inner).expect("a folder");
    write(&inner, "endpoints.toml", format!("servers = [{:?}]\n", one.url()));

    server.says("came").await;
    assert_eq!(answers(&server, 2).await, ["one", "one"]);
}

#[actix_rt::test]
async fn a_name_that_is_written_is_looked_up_for_each_connection() {
    let folder = folder();
    let text =
        "listen = [\"127.0.0.1:0\"]\nserver.watch = false\nroutes.\"/\" = \"http://no.such.name.invalid:8000\"\n";

    let server = run(folder.path(), text).await;

    let refused = server.get("/").await;
    let why = refused.header("proxy-status").expect("it says why");
    assert!(why.contains("error=dns_error") || why.contains("error=dns_timeout"), "{why}");
}

#[actix_rt::test]
async fn inside_an_app_endpoints_are_found_by_actors_and_not_without() {
    let dns = Dns::start().await;
    let one = Origin::answering("one").start().await;
    dns.places("shop.test", &[ONE]).await;
    let discover = format!("dns = \"shop.test\"\nport = {}", one.address().port());
    let loaded = Layers::new().text("a.toml", settings(&discover, &dns, "")).load().expect("it is good");
    let proxy = Proxy::from_settings(loaded.settings).expect("it is good");
    let handler = proxy.clone();
    let server = actix_test::start(move || App::new().default_service(handler.clone()));
    assert_eq!(client::get(server.addr(), "/").await.status, 503);

    let actors = Actors::start();
    actors.discover(&proxy);

    assert_eq!(client::get(server.addr(), "/").await.text(), "one");
}

#[actix_rt::test]
async fn however_many_addresses_a_name_has_no_more_are_used_than_may_be() {
    let (folder, dns) = (folder(), Dns::start().await);
    let one = Origin::answering("one").start().await;
    // More than fit into one answer by UDP, which is all that is spoken here: by as many services as can be had.
    let port = one.address().port();
    let name = "_http._tcp.shop.test";
    let services = (0..40).map(|number| srv(1, 1, port, &format!("{number}.test")));
    let many = |number: u8| (0..20).map(move |host| RData::from(IpAddr::from([127, 0, 1 + number, 1 + host])));
    dns.says(name, RecordType::SRV, Reply::Records(services.collect(), 60)).await;
    for number in 0..40 {
        dns.says(&format!("{number}.test"), RecordType::A, Reply::Records(many(number).collect(), 60)).await;
    }
    let text = settings(&format!("dns = \"{name}\"\nrecord = \"SRV\""), &dns, "");

    let mut server = run(folder.path(), &text).await;
    let admin = server.says_address("telling operators at ").await;
    server.says("256 are used").await;
    server.says("256 came").await;

    assert_eq!(status(admin).await["endpoints"].as_array().expect("a list").len(), 256);
}
