//! Connections on which nothing comes for a while: they are parked, and nobody who has one notices.

use std::time::{Duration, Instant};

use aqueduct::{edge::Outcome, settings::Time};
use tokio::io::AsyncWriteExt;

use super::support::{
    client::Client,
    edge::TestEdge,
    origin::Origin,
    proxy::TestProxy,
    tls::{Authority, connect, shake_hands},
    wire::patiently,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

async fn served(client: &mut Client) {
    client.send(GET).await;
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn a_parked_connection_is_served_again_as_often_as_something_comes() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;

    for times in 1..=3 {
        served(&mut client).await;
        edge.parked(times).await;
    }

    // In pieces, and two at once.
    client.send("GET / HTTP/1.1\r\nHo").await;
    client.send("st: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response().await.text(), "hello");
    assert_eq!(client.read_response().await.text(), "hello");
}

#[actix_rt::test]
async fn many_that_are_parked_are_served_again_at_once() {
    let edge = TestEdge::start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = edge.connect().await;
        served(&mut client).await;
        clients.push(client);
    }
    edge.parked(100).await;

    for client in &mut clients {
        client.send(GET).await;
    }

    for client in &mut clients {
        assert_eq!(client.read_response().await.text(), "hello");
    }
}

#[actix_rt::test]
async fn who_has_connected_ahead_is_parked_and_served_too() {
    let edge = TestEdge::start().await;
    let mut client = edge.connect().await;
    edge.parked(1).await;

    served(&mut client).await;
}

#[actix_rt::test]
async fn a_head_that_has_begun_is_not_parked_and_keeps_its_deadline() {
    let limit = Duration::from_millis(1300);
    let edge = TestEdge::with(|settings| settings.timeouts.request_head = Time(Some(limit))).await;
    let mut client = edge.connect().await;
    let began = Instant::now();

    client.send("GET / HT").await;
    let response = client.read_response().await;

    assert_eq!(response.status, 408);
    assert!(began.elapsed() >= limit, "{:?}", began.elapsed());
    assert_eq!(edge.times_parked(), 0);
}

#[actix_rt::test]
async fn a_parked_connection_has_as_long_as_any_other() {
    let limit = Duration::from_millis(1600);
    let edge = TestEdge::with(|settings| {
        settings.timeouts.keep_alive = Time(Some(limit));
        settings.timeouts.request_head = Time(Some(limit));
    })
    .await;
    let (began, mut silent, mut satisfied) = (Instant::now(), edge.connect().await, edge.connect().await);
    served(&mut satisfied).await;
    edge.parked(2).await;

    for client in [&mut silent, &mut satisfied] {
        assert_eq!(client.read_to_end().await, b"");
        assert!(began.elapsed() >= limit, "{:?}", began.elapsed());
    }
}

#[actix_rt::test]
async fn a_parked_connection_of_a_client_that_has_left_makes_room() {
    let edge = TestEdge::with(|settings| settings.max_connections = 1).await;
    let mut client = edge.connect().await;
    served(&mut client).await;
    edge.parked(1).await;
    assert_eq!(edge.get("/").await.status, 503, "it still counts");

    drop(client);

    patiently("a free place", async { while edge.get("/").await.status != 200 {} }).await;
}

#[actix_rt::test]
async fn a_drain_closes_what_is_parked_and_gives_who_has_not_asked_his_time() {
    let edge = TestEdge::start().await;
    let (mut kept, mut ahead) = (edge.connect().await, edge.connect().await);
    served(&mut kept).await;
    edge.parked(2).await;

    edge.drain();

    assert_eq!(kept.read_to_end().await, b"");
    ahead.send(GET).await;
    let response = ahead.read_response().await;
    assert_eq!((response.text().as_str(), response.header("connection")), ("hello", Some("close")));
    assert_eq!(edge.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn an_address_that_is_left_takes_its_parked_connections_along_and_no_others() {
    let edge = TestEdge::start().await;
    let settings = aqueduct::settings::ServerSettings::default();
    let any = aqueduct::plan::ListenAddress::Tcp(([127, 0, 0, 2], 0).into());
    edge.listen_also(&[any], &settings).await;
    let other = edge.addresses().into_iter().find_map(|address| match address {
        aqueduct::plan::ListenAddress::Tcp(address) if address != edge.address => Some(address),
        _ => None,
    });
    let (mut here, mut there) = (edge.connect().await, Client::connect(other.expect("it listens there")).await);
    served(&mut here).await;
    served(&mut there).await;
    edge.parked(2).await;

    edge.listen_also(&[], &settings).await;

    assert_eq!(there.read_to_end().await, b"");
    served(&mut here).await;
}

#[actix_rt::test]
async fn whose_connection_it_is_was_not_forgotten() {
    let origin = Origin::answering("hello").start().await;
    let text = format!(
        "listen = [{{ addr = \"127.0.0.1:0\", proxy_protocol = {{ from = [\"127.0.0.0/8\"] }} }}]\n[routes]\n\"/\" = {:?}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;
    client.send("PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\r\n").await;
    served(&mut client).await;
    proxy.parked(1).await;

    served(&mut client).await;

    let told = origin.requests().last().expect("it was asked").to_lowercase();
    assert!(told.contains("x-forwarded-for: 192.0.2.7"), "{told}");
}

#[actix_rt::test]
async fn an_encrypted_connection_is_parked_with_its_keys_and_ends_with_a_word() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    authority.introduce("alice", "alice");
    let origin = Origin::answering("hello").start().await;
    let ca = authority.path("ca.pem");
    let text = format!(
        "{}tls.main.client = {{ ca = {ca:?} }}\n[routes]\n\"/\" = {{ to = {:?}, header_rules = {{ request.set = {{ x-who = \"${{client_cert.subject}}\" }} }} }}\n",
        authority.listener(&["shop"]),
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut client = connect(proxy.address, "shop.example", authority.client_as("alice")).await;
    for times in 1..=2 {
        served(&mut client).await;
        proxy.parked(times).await;
    }
    let told = origin.requests().last().expect("it was asked").to_lowercase();
    assert!(told.contains("x-who") && told.contains("alice"), "{told}");

    proxy.drain();

    // An end without a word would be an error here.
    assert_eq!(client.read_to_end().await, b"");
    assert_eq!(proxy.outcome(), Outcome::Drained);
}

#[actix_rt::test]
async fn who_says_only_a_part_of_something_is_parked_again() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let origin = Origin::answering("hello").start().await;
    let text = format!("{}[routes]\n\"/\" = {:?}\n", authority.listener(&["shop"]), origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = shake_hands(proxy.address, "shop.example", authority.client()).await.expect("they agree");
    proxy.parked(1).await;

    // What every record begins with.
    client.get_mut().0.write_all(&[23, 3, 3]).await.expect("it is open");

    proxy.parked(2).await;
}
