//! Whatever a client says behind the preface, a connection goes on or ends; what it makes us keep is bounded.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use aqueduct::{
    edge::{
        counts::Counts,
        h2::session::{Event, Opened, Piece, Session},
        limits::Limits,
    },
    http::StatusCode,
    settings::ServerSettings,
};
use bytes::Bytes;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Answers to frames, at most as large as the frames, and windows.
const MOST_SAID: usize = 256;

pub fn check(data: &[u8]) {
    let mut settings = ServerSettings::default();
    settings.http.h2.max_streams = 4;
    let limits = Limits::of(&settings, "fuzz");
    let counts = Arc::<Counts>::default();
    let mut session = Session::new(&limits, &counts);
    let cx = Context::from_waker(Waker::noop());
    let (input, mut at) = ([PREFACE, data].concat(), 0);
    let mut open: Vec<Opened> = Vec::new();
    let mut contents = 0;
    loop {
        let before = session.output.waiting();
        let (length, event) = match session.step(&input[at..]) {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(verdict) => {
                session.leave(verdict.code);
                break;
            }
        };
        assert!(length > 0 && at + length <= input.len());
        assert!(session.output.waiting() <= before + length + MOST_SAID, "an answer is no larger than what it answers");
        at += length;
        match event {
            Event::Nothing => {}
            Event::Over(place) => {
                open.retain(|opened| opened.place != place);
                session.release(place);
            }
            Event::Request(opened) => {
                assert!(opened.place.stream % 2 == 1);
                open.push(opened);
            }
        }
        assert!(open.len() <= 4, "no more at once than may be");
        // Some are answered at once, others later, others never.
        let turn = input[at - 1];
        if turn & 1 == 1 && !open.is_empty() {
            let opened = open.remove(usize::from(turn >> 1) % open.len());
            let place = opened.place;
            if let Poll::Ready(true) = session.poll_turn(place, turn & 2 == 2, &cx) {
                session.send_list(place, turn & 4 == 4, |list| list.status(StatusCode::OK));
                if let Poll::Ready(Some(room)) = session.poll_room(place, &cx) {
                    session.send_data(place, Bytes::from(vec![b'x'; room.min(usize::from(turn) * 8)]), turn & 8 == 8);
                }
            }
            if let Some(content) = &opened.content {
                let piece = content.borrow_mut().poll(&cx);
                if let Poll::Ready(Piece::Bytes(bytes)) = piece {
                    contents += bytes.len();
                    session.took(place, &mut content.borrow_mut(), bytes.len() as u32);
                }
                session.forget(place, content);
            }
            session.release(place);
        }
        if turn & 16 == 16 {
            let mut nowhere = pin!(tokio::io::sink());
            let written = session.output.poll_write(&mut Context::from_waker(Waker::noop()), &mut nowhere, &mut false);
            assert!(matches!(written, Poll::Ready(Ok(()))));
            session.written();
            if session.is_at_rest() {
                session = session.remains().session(&limits, &counts);
            }
        }
    }
    let _ = session.amid(&input[at..]);
    assert!(contents <= input.len());
    session.end();
}
