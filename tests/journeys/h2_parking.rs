//! Connections of HTTP/2 on which nothing comes for a while: they are parked, and the protocol goes on as if they were not.

use std::time::{Duration, Instant};

use aqueduct::{
    edge::Outcome as End,
    settings::{ServerSettings, Size, Time},
};

use super::support::{
    edge::{MOMENT, TestEdge},
    frames::{self, END_HEADERS, END_STREAM, Frames, Outcome},
    h2::H2,
    origin::Origin,
    proxy::TestProxy,
    tls::{Authority, shake_hands},
    wire::patiently,
};

/// `GET`, `http` and a path that is to be remembered: `:path` is the fourth line that everybody knows.
const REMEMBER: &[u8] = b"\x82\x86\x41\x01a\x44\x05/kept";
/// The same out of the table.
const AGAIN: &[u8] = b"\x82\x86\xbf\xbe";

async fn served(client: &mut Frames, stream: u32, path: &str) {
    client.send(frames::get(stream, path)).await;
    assert_eq!(client.outcome(stream).await, Outcome::Answer(200));
    while !client.next_of(frames::DATA).await.ends_stream() {}
}

/// The content of an answer, as far as `length` bytes of it come.
async fn content(client: &mut Frames, length: usize) -> Vec<u8> {
    let mut content = Vec::new();
    while content.len() < length {
        content.extend(client.next_of(frames::DATA).await.payload);
    }
    content
}

fn seconds(seconds: f64) -> Time {
    Time(Some(Duration::from_secs_f64(seconds)))
}

fn between(limit: f64) -> impl FnOnce(&mut ServerSettings) {
    move |settings| settings.timeouts.keep_alive = seconds(limit)
}

#[actix_rt::test]
async fn many_that_were_parked_ask_again_by_what_the_table_had_before() {
    let edge = TestEdge::start().await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Frames::connect(edge.address).await;
        client.send(frames::frame(frames::HEADERS, END_HEADERS | END_STREAM, 1, REMEMBER)).await;
        assert_eq!(content(&mut client, 9).await, b"GET /kept");
        clients.push(client);
    }

    for round in 1..=2 {
        edge.parked(50 * round).await;
        let stream = 2 * round as u32 + 1;
        for client in &mut clients {
            client.send(frames::frame(frames::HEADERS, END_HEADERS | END_STREAM, stream, AGAIN)).await;
        }
        for client in &mut clients {
            assert_eq!(client.outcome(stream).await, Outcome::Answer(200));
            assert_eq!(content(client, 9).await, b"GET /kept");
        }
    }
}

#[actix_rt::test]
async fn answers_are_written_by_what_the_client_remembers_also_over_tls() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let origin = Origin::answering("hello").start().await;
    // As often as it comes, it is the table that it comes from.
    let rules = "response.set = { x-own = \"yes\" }";
    let text = format!(
        "{}[routes]\n\"/\" = {{ to = {:?}, header_rules = {{ {rules} }} }}\n",
        authority.listener(&["shop"]),
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut config = authority.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = shake_hands(proxy.address, "shop.example", config).await.expect("they agree");
    let mut client = H2::over(stream).await;

    for times in 1..=4 {
        for _ in 0..2 {
            let request = http::Request::builder().uri("https://shop.example/").body(()).expect("a request");
            let answer = client.ask(request, b"").await;
            assert_eq!((answer.status, answer.text().as_str(), answer.header("x-own")), (200, "hello", Some("yes")));
        }
        proxy.parked(times).await;
    }
}

#[actix_rt::test]
async fn windows_and_settings_hold_that_were_agreed_on_before() {
    const STREAM: usize = 3;
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    // The connection's window is 65,535 at first; 65,000 of it are used up.
    client.send(frames::get(1, "/large")).await;
    content(&mut client, 65_535).await;
    client.send(frames::reset(1, frames::CANCEL)).await;
    client.send(frames::window_update(0, 5)).await;
    client.send(frames::settings(&[(4, STREAM as u32)])).await;
    edge.parked(1).await;

    client.send(frames::get(3, "/")).await;
    let first = content(&mut client, STREAM).await;
    client.send(frames::window_update(3, 100)).await;
    let second = client.next_of(frames::DATA).await;
    client.send(frames::get(5, "/")).await;

    assert_eq!((&*first, &*second.payload, second.ends_stream()), (&b"hel"[..], &b"lo"[..], true));
    assert_eq!(client.outcome(5).await, Outcome::Answer(200));
    assert!(client.is_alive().await, "nothing else came: the connection's window is used up");
    client.send(frames::window_update(0, 3)).await;
    assert_eq!(client.next_of(frames::DATA).await.payload, b"hel");
}

#[actix_rt::test]
async fn what_the_client_may_send_is_no_more_than_before() {
    let edge = TestEdge::with(|settings| settings.http.h2.connection_window = Size(65_535)).await;
    let mut client = Frames::connect(edge.address).await;
    let most = vec![b'x'; 16_384];
    let send = async |client: &mut Frames, stream, count: usize, last: usize| {
        client.send(frames::post(stream, "/")).await;
        for _ in 0..count {
            client.send(frames::frame(frames::DATA, 0, stream, &most)).await;
        }
        client.send(frames::frame(frames::DATA, END_STREAM, stream, &most[..last])).await;
    };
    // Less than half of it: nothing is given back yet.
    send(&mut client, 1, 1, 10_000).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    edge.parked(1).await;

    client.send(frames::post(3, "/hang-unread")).await;
    for _ in 0..2 {
        client.send(frames::frame(frames::DATA, 0, 3, &most)).await;
    }
    assert!(client.is_alive().await);
    client.send(frames::frame(frames::DATA, 0, 3, &most)).await;

    assert_eq!(client.outcome(3).await, Outcome::GoAway(frames::FLOW_CONTROL_ERROR));
}

#[actix_rt::test]
async fn a_stream_that_is_over_stays_over() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    served(&mut client, 5, "/").await;
    edge.parked(1).await;

    client.send(frames::get(3, "/")).await;

    assert_eq!(client.outcome(3).await, Outcome::GoAway(frames::PROTOCOL_ERROR));
}

#[actix_rt::test]
async fn what_was_on_its_way_to_a_stream_that_the_server_has_reset_is_no_error() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    client.send(frames::post(1, "/unread")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    edge.parked(1).await;

    client.send(frames::frame(frames::DATA, 0, 1, "late")).await;
    client.send(frames::headers(1, END_STREAM, &[("x-late", "yes")])).await;

    served(&mut client, 3, "/").await;
}

#[actix_rt::test]
async fn pings_are_answered_and_do_not_keep_it_for_longer() {
    let limit = 2.5;
    let edge = TestEdge::with(between(limit)).await;
    let mut client = Frames::connect(edge.address).await;
    served(&mut client, 1, "/").await;
    let began = Instant::now();

    let last = patiently("the end", async {
        for times in 1.. {
            edge.parked(times).await;
            client.send(frames::frame(frames::PING, 0, 0, b"are you?")).await;
            let answer = client.next().await.expect("a frame");
            if answer.kind == frames::GOAWAY {
                return answer;
            }
            assert_eq!((answer.kind, answer.flags, &*answer.payload), (frames::PING, frames::ACK, &b"are you?"[..]));
            if times == 2 {
                return client.next_of(frames::GOAWAY).await;
            }
        }
        unreachable!("it ends")
    })
    .await;

    assert_eq!((last.code(0), last.code(4)), (1, frames::NO_ERROR));
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs_f64(limit) && elapsed < Duration::from_secs_f64(limit + 1.0), "{elapsed:?}");
}

#[actix_rt::test]
async fn nobody_gets_more_frames_that_carry_nothing_by_waiting_a_second() {
    // Settings, the answer to ours, and three pings.
    let edge = TestEdge::with(|settings| settings.http.h2.max_control_frames_per_minute = 5).await;
    let mut client = Frames::connect(edge.address).await;
    let ping = frames::frame(frames::PING, 0, 0, b"are you?");
    for times in 1..=3 {
        edge.parked(times).await;
        client.send(&ping).await;
        client.next_of(frames::PING).await;
    }
    edge.parked(4).await;

    client.send(&ping).await;

    assert_eq!(client.next_of(frames::GOAWAY).await.code(4), frames::ENHANCE_YOUR_CALM);
}

#[actix_rt::test]
async fn a_parked_connection_has_as_long_as_any_other_and_is_told_when_it_ends() {
    let limit = 1.6;
    let edge = TestEdge::with(|settings| {
        settings.timeouts.keep_alive = seconds(limit);
        settings.timeouts.request_head = seconds(limit);
    })
    .await;
    let began = Instant::now();
    let (mut silent, mut satisfied) = (Frames::connect(edge.address).await, Frames::connect(edge.address).await);
    served(&mut satisfied, 1, "/").await;
    edge.parked(2).await;

    for (client, latest) in [(&mut silent, 0), (&mut satisfied, 1)] {
        let last = client.next_of(frames::GOAWAY).await;
        assert_eq!((last.code(0), last.code(4)), (latest, frames::NO_ERROR));
        assert!(began.elapsed() >= Duration::from_secs_f64(limit), "{:?}", began.elapsed());
        client.wait_closed().await;
    }
}

#[actix_rt::test]
async fn a_drain_tells_those_that_are_parked_and_gives_who_has_not_asked_his_time() {
    let edge = TestEdge::start().await;
    let (mut kept, mut ahead) = (Frames::connect(edge.address).await, Frames::connect(edge.address).await);
    served(&mut kept, 1, "/").await;
    edge.parked(2).await;

    edge.drain();

    let last = kept.next_of(frames::GOAWAY).await;
    assert_eq!((last.code(0), last.code(4)), (1, frames::NO_ERROR));
    kept.wait_closed().await;
    served(&mut ahead, 1, "/").await;
    assert_eq!(ahead.next_of(frames::GOAWAY).await.code(0), 1);
    ahead.wait_closed().await;
    assert_eq!(edge.outcome(), End::Drained);
}

#[actix_rt::test]
async fn a_frame_that_has_begun_is_waited_for_where_it_is() {
    let edge = TestEdge::with(between(4.0)).await;
    let (mut amid, mut between) = (Frames::connect(edge.address).await, Frames::connect(edge.address).await);
    for client in [&mut amid, &mut between] {
        served(client, 1, "/").await;
    }
    let ping = frames::frame(frames::PING, 0, 0, b"are you?");
    amid.send(&ping[..12]).await;
    edge.parked(1).await;

    amid.send(&ping[12..]).await;

    assert_eq!(amid.next().await.map(|frame| frame.payload), Some(b"are you?".into()));
    between.next_of(frames::GOAWAY).await;
    assert_eq!(edge.times_parked(), 1);
}

#[actix_rt::test]
async fn a_connection_is_not_parked_while_somebody_keeps_a_request_of_it() {
    let edge = TestEdge::with(between(1.6)).await;
    let mut client = Frames::connect(edge.address).await;
    served(&mut client, 1, "/held-request").await;

    client.next_of(frames::GOAWAY).await;

    assert_eq!(edge.times_parked(), 0);
    edge.tell("go on");
}

#[actix_rt::test]
async fn a_parked_connection_of_a_client_that_has_left_makes_room() {
    let edge = TestEdge::with(|settings| settings.max_connections = 1).await;
    let mut client = Frames::connect(edge.address).await;
    served(&mut client, 1, "/").await;
    edge.parked(1).await;
    assert_eq!(edge.get("/").await.status, 503, "it still counts");

    drop(client);

    patiently("a free place", async {
        while edge.get("/").await.status != 200 {
            tokio::time::sleep(MOMENT).await;
        }
    })
    .await;
}
