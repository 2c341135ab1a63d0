//! The session against the h2 crate's client: whatever one side says, the other side hears.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::*;
use crate::{
    http::{HeaderName, HeaderValue, StatusCode},
    settings::ServerSettings,
};

type Lines = Vec<(String, Vec<u8>)>;

/// A request, and the answer to it.
#[derive(Debug, Clone)]
struct Exchange {
    path: String,
    asked: Lines,
    status: u16,
    told: Lines,
    content: Vec<u8>,
    trailers: Option<Lines>,
}

fn lines() -> impl Strategy<Value = Lines> {
    let names = prop_oneof![
        Just("user-agent".to_owned()),
        Just("accept".to_owned()),
        Just("content-type".to_owned()),
        Just("set-cookie".to_owned()),
        "x-[a-z0-9_-]{0,30}",
    ];
    let values = prop_oneof![Just(b"same".to_vec()), proptest::collection::vec(0x21..=0xff_u8, 0..300)];
    let values = values.prop_map(|value| value.into_iter().filter(|byte| *byte != 0x7f).collect());
    proptest::collection::vec((names, values), 0..12)
}

fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    let content = proptest::collection::vec(any::<u8>(), 0..60_000);
    let one = ("/[a-z0-9/]{0,80}", lines(), 200..600_u16, lines(), content, proptest::option::of(lines()));
    let one = one.prop_map(|(path, asked, status, told, content, trailers)| Exchange {
        path,
        asked,
        status,
        told,
        content,
        trailers,
    });
    proptest::collection::vec(one, 1..12)
}

/// Answers as is said, one request after the other, and tells what was asked.
async fn answer(mut wire: DuplexStream, mut answers: VecDeque<Exchange>) -> Vec<(String, Lines)> {
    let limits = Limits::of(&ServerSettings::default(), "test");
    let mut session = Session::new(&limits, &Arc::default());
    let (mut input, mut asked) = (Vec::new(), Vec::new());
    let cx = Context::from_waker(Waker::noop());
    let mut open: Option<(Place, Exchange, Bytes)> = None;
    loop {
        while let Some((length, event)) = session.step(&input).expect("the h2 crate makes no mistakes") {
            input.drain(..length);
            let Event::Request(Opened { place, fields, content }) = event else { continue };
            let answer = answers.pop_front().expect("no more requests than answers");
            let path = String::from_utf8(fields.path.as_deref().expect("a path").to_vec()).expect("text");
            asked.push((path, flat(fields.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))));
            assert!(content.is_none() && open.is_none());
            session.send_list(place, false, |list| {
                list.status(StatusCode::from_u16(answer.status).expect("a status"));
                write(&answer.told, list);
            });
            let content = Bytes::from(answer.content.clone());
            open = Some((place, answer, content));
        }
        while let Some((place, answer, content)) = &mut open {
            assert_eq!(session.poll_turn(*place, false, &cx), Poll::Ready(true), "everything was written");
            if content.is_empty() {
                match &answer.trailers {
                    Some(trailers) => session.send_list(*place, true, |list| write(trailers, list)),
                    None => session.send_data(*place, Bytes::new(), true),
                };
                session.release(*place);
                open = None;
            } else if let Poll::Ready(room) = session.poll_room(*place, &cx) {
                let room = room.expect("it is open").min(content.len());
                session.send_data(*place, content.split_to(room), false);
            } else {
                break;
            }
            flush(&mut session, &mut wire).await;
        }
        flush(&mut session, &mut wire).await;
        if wire.read_buf(&mut input).await.expect("it reads") == 0 {
            return asked;
        }
    }
}

fn write(lines: &Lines, list: &mut List<'_>) {
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        list.field(&name, &HeaderValue::from_bytes(value).expect("a value"));
    }
}

async fn flush(session: &mut Session, wire: &mut DuplexStream) {
    let written = poll_fn(|cx| session.output.poll_write(cx, wire, &mut false)).await;
    written.expect("the other side is there");
    session.written();
}

/// In an order that does not depend on the map, but for values of one name.
fn flat<'l>(lines: impl Iterator<Item = (&'l str, &'l [u8])>) -> Lines {
    let mut flat: Lines = lines.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    flat.sort_by(|one, other| one.0.cmp(&other.0));
    flat
}

fn sorted(lines: &Lines) -> Lines {
    flat(lines.iter().map(|(name, value)| (name.as_str(), &value[..])))
}

fn told(headers: &::http::HeaderMap) -> Lines {
    flat(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

async fn ask(wire: DuplexStream, exchanges: Vec<Exchange>, table: u32) {
    let mut client = h2::client::Builder::new();
    client.header_table_size(table);
    let (sender, connection) = client.handshake::<_, Bytes>(wire).await.expect("they agree");
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("it may ask");
    for exchange in exchanges {
        let mut request = ::http::Request::builder().uri(format!("http://a.example{}", exchange.path));
        for (name, value) in &exchange.asked {
            request = request.header(name.as_str(), &value[..]);
        }
        sender = sender.ready().await.expect("it may ask");
        let (answer, _) = sender.send_request(request.body(()).expect("a request"), true).expect("it asks");
        let (head, mut body) = answer.await.expect("an answer").into_parts();
        let mut content = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.expect("content");
            body.flow_control().release_capacity(piece.len()).expect("it was taken");
            content.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await.expect("an end");
        assert_eq!((head.status.as_u16(), told(&head.headers)), (exchange.status, sorted(&exchange.told)));
        assert!(content == exchange.content);
        assert_eq!(trailers.as_ref().map(told), exchange.trailers.as_ref().map(sorted));
    }
    drop(sender);
    connection.await.expect("no panic").expect("an end in order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_and_the_client_of_the_h2_crate_hear_what_the_other_says(exchanges in exchanges(), table in 0..5000_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (near, far) = duplex(1 << 20);
        let asking = exchanges.clone();

        let (asked, ()) = runtime.block_on(async { tokio::join!(answer(near, exchanges.clone().into()), ask(far, asking, table)) });

        let expected: Vec<_> = exchanges.iter().map(|exchange| (exchange.path.clone(), sorted(&exchange.asked))).collect();
        prop_assert_eq!(asked, expected);
    }
}

/// What comes back for these frames, by kind and stream.
fn said(session: &mut Session, input: &[u8]) -> Vec<(u8, u32)> {
    let mut at = 0;
    while let Ok(Some((length, _))) = session.step(&input[at..]) {
        at += length;
    }
    let (mut out, mut frames) = (&session.output.end()[..], Vec::new());
    while let Some(head) = FrameHead::read(out) {
        frames.push((head.kind, head.stream));
        out = &out[HEAD + head.length as usize..];
    }
    frames
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: payload.len() as u32, kind, flags, stream, code: None };
    [&head.bytes(), payload].concat()
}

#[test]
fn however_frames_are_cut_they_are_the_same() {
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
    let all = [
        &PREFACE[..],
        &frame(kind::SETTINGS, 0, 0, &[]),
        &frame(kind::HEADERS, flag::END_STREAM, 1, &get[..2]),
        &frame(kind::CONTINUATION, flag::END_HEADERS, 1, &get[2..]),
        &frame(kind::PING, 0, 0, &[7; 8]),
    ]
    .concat();
    let limits = Limits::of(&ServerSettings::default(), "test");
    for cut in 0..=all.len() {
        let mut session = Session::new(&limits, &Arc::default());
        let (mut input, mut requests) = (Vec::new(), 0);
        for part in [&all[..cut], &all[cut..]] {
            input.extend_from_slice(part);
            while let Some((length, event)) = session.step(&input).expect("nothing is wrong") {
                input.drain(..length);
                requests += usize::from(matches!(event, Event::Request(_)));
            }
        }
        assert_eq!((requests, input.len()), (1, 0), "cut at {cut}");
        assert_eq!(session.amid(&[]), Amid::Nothing);
    }
}

#[test]
fn what_the_client_is_in_the_middle_of_is_known() {
    let limits = Limits::of(&ServerSettings::default(), "test");
    let mut session = Session::new(&limits, &Arc::default());
    assert_eq!(session.amid(&PREFACE[..9]), Amid::Nothing, "that is a beginning");
    said(&mut session, &[&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[])].concat());
    for (rest, amid) in [
        (&frame(kind::DATA, 0, 1, b"x")[..9], Amid::Frame),
        (&frame(kind::DATA, 0, 1, b"x")[..8], Amid::Block),
        (&frame(kind::HEADERS, flag::END_HEADERS, 1, b"x")[..9], Amid::Block),
        (&[], Amid::Nothing),
    ] {
        assert_eq!(session.amid(rest), amid, "{rest:?}");
    }
    said(&mut session, &frame(kind::HEADERS, 0, 1, &[0x82]));
    assert_eq!(session.amid(&[]), Amid::Block);
}

#[test]
fn those_who_wait_for_a_window_have_it_in_turn() {
    let limits = Limits::of(&ServerSettings::default(), "test");
    let mut session = Session::new(&limits, &Arc::default());
    let get =
        |stream| frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    said(
        &mut session,
        &[&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]), &get(1), &get(3), &get(5)]
            .concat(),
    );
    let [one, two, three] = [1, 3, 5].map(|stream| session.streams.find(stream).expect("it is open"));
    let cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(room)) = session.poll_room(one, &cx) {
        session.send_data(one, Bytes::from(vec![0; room]), false);
        session.output = Output::default();
    }
    assert!(session.poll_room(two, &cx).is_pending() && session.poll_room(three, &cx).is_pending());

    said(&mut session, &frame(kind::WINDOW_UPDATE, 0, 0, &30_u32.to_be_bytes()));

    assert!(session.poll_room(two, &cx).is_pending(), "one was first");
    session.close(one, By::Us);
    assert!(session.poll_room(three, &cx).is_pending(), "then two");
    assert_eq!(session.poll_room(two, &cx), Poll::Ready(Some(30)));
    session.send_data(two, Bytes::from_static(&[0; 10]), false);
    assert!(session.poll_room(two, &cx).is_pending(), "not again before three");
    assert_eq!(session.poll_room(three, &cx), Poll::Ready(Some(20)));
}

#[test]
fn who_is_amid_something_goes_on_and_those_who_wait_have_their_turn_behind() {
    let limits = Limits::of(&ServerSettings::default(), "test");
    let mut session = Session::new(&limits, &Arc::default());
    let get =
        |stream| frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    said(&mut session, &[&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[]), &get(1), &get(3)].concat());
    let [one, two] = [1, 3].map(|stream| session.streams.find(stream).expect("it is open"));
    let cx = Context::from_waker(Waker::noop());
    let write = |session: &mut Session| {
        session.output = Output::default();
        session.written();
    };

    session.send_data(one, Bytes::from(vec![0; 10_000]), false);
    assert!(session.poll_turn(one, true, &cx).is_pending() && session.poll_turn(two, false, &cx).is_pending());
    write(&mut session);
    assert!(session.poll_turn(two, false, &cx).is_pending(), "one is in front");
    assert_eq!(session.poll_turn(one, true, &cx), Poll::Ready(true));
    assert_eq!(session.poll_turn(one, true, &cx), Poll::Ready(true), "as often as there is room");
    assert!(session.poll_turn(one, false, &cx).is_pending(), "now it is behind");

    assert_eq!(session.poll_turn(two, false, &cx), Poll::Ready(true));
    assert_eq!(session.poll_turn(one, false, &cx), Poll::Ready(true));
}

#[test]
fn a_list_that_is_larger_than_a_frame_goes_out_in_several() {
    let limits = Limits::of(&ServerSettings::default(), "test");
    let mut session = Session::new(&limits, &Arc::default());
    let get = frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']);
    said(&mut session, &[&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[]), &get].concat());
    session.output = Output::default();
    let place = session.streams.find(1).expect("it is open");

    let large = HeaderValue::from_bytes(&[b'x'; 40_000]).expect("a value");
    session.send_list(place, true, |list| {
        list.status(StatusCode::OK);
        list.field(&HeaderName::from_static("x"), &large);
    });

    let (mut out, mut block) = (&session.output.end()[..], Vec::new());
    let mut heads = Vec::new();
    while let Some(head) = FrameHead::read(out) {
        block.extend_from_slice(&out[HEAD..HEAD + head.length as usize]);
        out = &out[HEAD + head.length as usize..];
        heads.push((head.kind, head.flags));
    }
    assert_eq!(
        heads,
        [(kind::HEADERS, flag::END_STREAM), (kind::CONTINUATION, 0), (kind::CONTINUATION, flag::END_HEADERS)]
    );
    let mut lengths = Vec::new();
    crate::http::hpack::Decoder::default().decode(&block, |size, _| lengths.push(size)).expect("it is a block");
    assert_eq!(lengths, [42, 40_033]);
}
