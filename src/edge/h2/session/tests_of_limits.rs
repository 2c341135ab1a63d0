//! What clients cannot make the session keep, do or lose, and what is not held against them.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::settings::ServerSettings;

/// `GET` and `POST`, `http`, `/` and a host.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
/// A field, as trailers have it.
const TRAILERS: [u8; 4] = [0x00, 1, b'x', 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len() as u32, kind, flags, stream, code: None };
    [&head.bytes(), payload].concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &GET)
}

fn post(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, &POST)
}

fn trailers(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &TRAILERS)
}

fn settings(all: impl IntoIterator<Item = (u16, u32)>) -> Vec<u8> {
    let payload = all
        .into_iter()
        .flat_map(|(id, value)| id.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<u8>>());
    frame(kind::SETTINGS, 0, 0, &payload.collect::<Vec<u8>>())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// A session that has begun.
fn session(change: impl FnOnce(&mut ServerSettings)) -> Session {
    let mut settings = ServerSettings::default();
    change(&mut settings);
    let mut session = Session::new(&Limits::of(&settings, "test"), &Arc::default());
    take(&mut session, &[&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[])].concat()).expect("a beginning");
    session
}

/// The requests in this input, or the code that ends the connection.
fn take(session: &mut Session, input: &[u8]) -> Result<Vec<Opened>, u32> {
    let (mut at, mut requests) = (0, Vec::new());
    while let Some((length, event)) = session.step(&input[at..]).map_err(|verdict| verdict.code)? {
        at += length;
        if let Event::Request(opened) = event {
            requests.push(opened);
        }
    }
    assert_eq!(at, input.len(), "whole frames");
    Ok(requests)
}

/// What was said since this was last asked: kinds and streams of frames.
fn said(session: &mut Session) -> Vec<(u8, u32)> {
    let output = std::mem::take(session.output.end());
    let (mut out, mut frames) = (&output[..], Vec::new());
    while let Some(head) = FrameHead::read(out) {
        frames.push((head.kind, head.stream));
        out = &out[HEAD + head.length as usize..];
    }
    frames
}

#[test]
fn what_was_on_its_way_on_as_many_streams_as_may_be_open_is_no_error() {
    let mut session = session(|_| {});
    let uploads: Vec<u8> = (0..128).flat_map(|n| post(n * 2 + 1)).collect();
    for Opened { place, .. } in take(&mut session, &uploads).expect("they may be open") {
        session.reset(place, code::NO_ERROR);
    }
    let others: Vec<u8> = (128..228).flat_map(|n| get(n * 2 + 1)).collect();
    for chunk in others.chunks(get(1).len()) {
        for Opened { place, .. } in take(&mut session, chunk).expect("requests") {
            session.send_data(place, Bytes::new(), true);
            session.release(place);
        }
    }

    let on_its_way: Vec<u8> =
        (0..128).flat_map(|n| [frame(kind::DATA, 0, n * 2 + 1, b"x"), trailers(n * 2 + 1)].concat()).collect();

    assert!(take(&mut session, &on_its_way).expect("no error").is_empty());
}

#[test]
fn behind_the_last_word_nothing_is_looked_at_and_nothing_is_wrong() {
    let mut session = session(|_| {});
    take(&mut session, &get(1)).expect("a request");
    session.leave(code::NO_ERROR);
    said(&mut session);

    let late: Vec<u8> = (1..50)
        .flat_map(|n| [post(n * 2 + 1), frame(kind::DATA, 0, n * 2 + 1, b"x"), trailers(n * 2 + 1)].concat())
        .collect();

    assert!(take(&mut session, &late).expect("no error").is_empty());
    assert_eq!(said(&mut session), []);
}

#[test]
fn of_many_windows_in_one_frame_the_last_holds_and_each_is_looked_at() {
    let mut session = session(|_| {});
    let place = take(&mut session, &get(1)).expect("a request")[0].place;

    take(&mut session, &settings((1..=100).map(|size| (4, size)))).expect("windows");
    assert_eq!(session.streams.get(place).map(|stream| stream.window), Some(100));

    assert_eq!(take(&mut session, &settings([(4, 1 << 31), (4, 5)])).err(), Some(code::FLOW_CONTROL_ERROR));
}

#[test]
fn frames_full_of_settings_cost_more_than_others() {
    let mut session = session(|_| {});
    let full = settings((0..2730).map(|n| (4, n)));

    assert_eq!(take(&mut session, &full.repeat(20)).err(), Some(code::ENHANCE_YOUR_CALM));
}

#[test]
fn who_cannot_know_how_many_requests_there_may_be_is_not_blamed_for_more() {
    let mut session = session(|settings| settings.http.h2.max_streams = 1);
    let many = |from: u32| (from..from + 300).flat_map(|n| get(n * 2 + 1)).collect::<Vec<u8>>();

    let first = take(&mut session, &many(0)).expect("the first flight");
    assert_eq!(first.len(), 1);
    assert_eq!(said(&mut session).iter().filter(|(kind, _)| *kind == kind::RST_STREAM).count(), 299);
    take(&mut session, &frame(kind::SETTINGS, flag::ACK, 0, &[])).expect("it knows now");

    assert_eq!(take(&mut session, &many(300)).err(), Some(code::ENHANCE_YOUR_CALM));
}

#[test]
fn refusals_without_blame_are_not_without_end() {
    let mut session = session(|settings| settings.http.h2.max_streams = 1);
    let many: Vec<u8> = (0..2000).flat_map(|n| get(n * 2 + 1)).collect();

    assert_eq!(take(&mut session, &many).err(), Some(code::ENHANCE_YOUR_CALM));
}

#[test]
fn what_is_small_because_the_client_makes_it_small_pays_for_nothing() {
    let mut session = session(|_| {});
    take(&mut session, &settings([(4, 1)])).expect("a window");
    let place = take(&mut session, &get(1)).expect("a request")[0].place;
    let cx = Context::from_waker(Waker::noop());

    let ended = (0..2000).find_map(|_| {
        assert_eq!(session.poll_room(place, &cx), Poll::Ready(Some(1)));
        session.send_data(place, Bytes::from_static(b"x"), false);
        take(&mut session, &window(1, 1)).err()
    });

    assert_eq!(ended, Some(code::ENHANCE_YOUR_CALM));
}

#[test]
fn small_messages_pay_for_a_window_and_a_ping_each() {
    let mut session = session(|_| {});
    let place = take(&mut session, &get(1)).expect("a request")[0].place;

    for _ in 0..2000 {
        session.send_data(place, Bytes::from_static(b"hello"), false);
        session.output = Output::default();
        let comes = [window(1, 5), frame(kind::PING, 0, 0, &[0; 8])].concat();
        take(&mut session, &comes).expect("it goes with content");
    }
}

#[test]
fn data_without_content_pays_for_nothing_and_costs() {
    for dead in [false, true] {
        let mut session = session(|_| {});
        take(&mut session, &post(1)).expect("a request");
        if dead {
            take(&mut session, &frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes())).expect("a reset");
        }
        let padding = frame(kind::DATA, flag::PADDED, 1, &[10; 11]);

        assert_eq!(take(&mut session, &padding.repeat(2000)).err(), Some(code::ENHANCE_YOUR_CALM), "dead: {dead}");
    }
}

#[test]
fn content_that_was_on_its_way_when_its_stream_was_ended_costs_nothing_and_pays_for_nothing() {
    let mut session = session(|_| {});
    let place = take(&mut session, &post(1)).expect("a request")[0].place;
    session.reset(place, code::NO_ERROR);
    let content = frame(kind::DATA, 0, 1, b"hello");

    take(&mut session, &content.repeat(10_000)).expect("it was on its way");

    let pinged = [content, frame(kind::PING, 0, 0, &[0; 8])].concat();
    assert_eq!(take(&mut session, &pinged.repeat(2000)).err(), Some(code::ENHANCE_YOUR_CALM));
}

#[test]
fn an_upload_that_nobody_wants_any_more_may_be_sent_to_its_end() {
    let mut session = session(|_| {});
    let request = take(&mut session, &post(1)).expect("a request").remove(0);
    let piece = frame(kind::DATA, 0, 1, &[0; 15_000]);
    take(&mut session, &piece.repeat(4)).expect("content");
    said(&mut session);

    session.forget(request.place, &request.content.expect("it has content"));

    assert_eq!(said(&mut session), [(kind::WINDOW_UPDATE, 1)]);
    take(&mut session, &piece.repeat(4)).expect("there is room again");
}

#[test]
fn trailers_that_are_not_what_they_seem_end_their_stream() {
    let tunnel = [0x02, 7, b'C', b'O', b'N', b'N', b'E', b'C', b'T', 0x86, 0x84, 0x41, 1, b'a'];
    let protocol = [&tunnel[..], &[0x00, 9], b":protocol", &[9], b"websocket"].concat();
    let padded = [0x00, 1, b'x', 2, b' ', b'y'];
    for (what, head, trailers) in [("padded", &POST[..], &padded[..]), ("of a tunnel", &protocol, &TRAILERS)] {
        let mut session = session(|_| {});
        let opened = take(&mut session, &frame(kind::HEADERS, flag::END_HEADERS, 1, head)).expect("a request");
        assert_eq!(opened.len(), 1, "{what}");
        said(&mut session);

        take(&mut session, &frame(kind::HEADERS, 5, 1, trailers)).expect("the connection goes on");

        assert_eq!(said(&mut session), [(kind::RST_STREAM, 1)], "{what}");
    }
}
