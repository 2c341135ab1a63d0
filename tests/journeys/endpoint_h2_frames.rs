//! RFC 9113, sections 4 to 8, where we are the client: what an endpoint sends frame by frame, and what becomes of the
//! request and of the connection.

use crate::support::{
    client,
    frames::*,
    h2_origin::{self, upstream},
    origin::Script,
    proxy::TestProxy,
};

/// What becomes of it. The request is answered with 502, unless it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The request is answered, and the connection carries the next one.
    GoesOn,
    /// Its stream is over; the connection carries the next one.
    Fails,
    /// The connection is ended with this code, and the next one is made.
    Ends(u32),
}

use Then::*;

/// What an endpoint sends when it has seen the head of a GET on stream 1.
struct Case {
    section: &'static str,
    what: &'static str,
    sent: Vec<u8>,
    then: Then,
    /// What the RFC demands, where the h2 crate does something else: most often it calls what is wrong by another name, and
    /// some of it it throws away. The day it does not, this is to be taken out.
    demanded: Option<Then>,
}

fn case(section: &'static str, what: &'static str, sent: &[&[u8]], then: Then) -> Case {
    Case { section, what, sent: sent.concat(), then, demanded: None }
}

impl Case {
    /// This is what the RFC demands, and the h2 crate does not do.
    fn instead_of(self, demanded: Then) -> Self {
        Self { demanded: Some(demanded), ..self }
    }
}

fn done() -> Vec<u8> {
    answer(1, END_STREAM, "204")
}

fn framing() -> Vec<Case> {
    let block = &block(&[(":status", "204")])[..];
    let (first, second) = block.split_at(4);
    vec![
        case("4.1", "a frame of an unknown kind is ignored", &[&frame(0xee, 0xff, 1, b"what"), &done()], GoesOn),
        case("4.1", "flags that mean nothing are ignored", &[&frame(PING, 0xfe, 0, [0; 8]), &done()], GoesOn),
        case("4.1", "the reserved bit is ignored", &[&frame(HEADERS, 5, 0x8000_0001, block)], GoesOn),
        case(
            "4.2",
            "a frame larger than was allowed",
            &[&claiming(16385, HEADERS, 5, 1, &[0; 64])],
            Ends(FRAME_SIZE_ERROR),
        ),
        case("4.3", "a block that cannot be decoded", &[&frame(HEADERS, 5, 1, [0xff; 6])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(COMPRESSION_ERROR)),
        case(
            "4.3",
            "a block in two frames",
            &[&frame(HEADERS, 1, 1, first), &frame(CONTINUATION, 4, 1, second)],
            GoesOn,
        ),
        case(
            "4.3",
            "a block that another frame interrupts",
            &[&frame(HEADERS, 1, 1, first), &frame(PING, 0, 0, [0; 8])],
            Ends(PROTOCOL_ERROR),
        ),
        case("5.1", "DATA on an idle stream", &[&frame(DATA, 1, 3, b"x")], Ends(PROTOCOL_ERROR)),
        case("5.1", "HEADERS on an idle stream", &[&answer(3, END_STREAM, "204")], Ends(PROTOCOL_ERROR)),
        case("5.1", "RST_STREAM on an idle stream", &[&reset(3, CANCEL)], Ends(PROTOCOL_ERROR)),
        case("5.1", "WINDOW_UPDATE on an idle stream", &[&window_update(3, 1)], Ends(PROTOCOL_ERROR)),
        case("5.1.1", "HEADERS on a stream that was never promised", &[&answer(2, 1, "204")], Ends(PROTOCOL_ERROR)),
    ]
}

fn kinds() -> Vec<Case> {
    let padded = [&[200], &block(&[(":status", "204")])[..]].concat();
    vec![
        case("6.1", "DATA on stream 0", &[&frame(DATA, 0, 0, b"x")], Ends(PROTOCOL_ERROR)),
        case("6.2", "HEADERS on stream 0", &[&answer(0, END_STREAM, "204")], Ends(PROTOCOL_ERROR)),
        case("6.2", "more padding than there is", &[&frame(HEADERS, 5 | PADDED, 1, padded)], Ends(PROTOCOL_ERROR)),
        case("6.4", "RST_STREAM on stream 0", &[&reset(0, CANCEL)], Ends(PROTOCOL_ERROR)),
        case("6.4", "RST_STREAM of a wrong size", &[&frame(RST_STREAM, 0, 1, [0; 3])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FRAME_SIZE_ERROR)),
        case("6.5", "SETTINGS on a stream", &[&frame(SETTINGS, 0, 1, b"")], Ends(PROTOCOL_ERROR)),
        case("6.5", "SETTINGS of a wrong size", &[&frame(SETTINGS, 0, 0, [0; 5])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FRAME_SIZE_ERROR)),
        case("6.5", "an ACK that says something", &[&frame(SETTINGS, ACK, 0, [0; 6])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FRAME_SIZE_ERROR)),
        case("6.5.2", "an ENABLE_PUSH of a server", &[&settings(&[(2, 1)]), &done()], GoesOn)
            .instead_of(Ends(PROTOCOL_ERROR)),
        case("6.5.2", "a window that is too large", &[&settings(&[(4, 0x8000_0000)])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FLOW_CONTROL_ERROR)),
        case("6.5.2", "frames that are to be too small", &[&settings(&[(5, 16383)])], Ends(PROTOCOL_ERROR)),
        case("6.5.2", "a setting that nobody knows", &[&settings(&[(0xee, 5)]), &done()], GoesOn),
        case("6.6", "PUSH_PROMISE, which is not wanted", &[&promise()], Ends(PROTOCOL_ERROR)),
        case("6.7", "PING on a stream", &[&frame(PING, 0, 1, [0; 8])], Ends(PROTOCOL_ERROR)),
        case("6.7", "PING of a wrong size", &[&frame(PING, 0, 0, [0; 6])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FRAME_SIZE_ERROR)),
        case("6.7", "an answer to no PING", &[&frame(PING, ACK, 0, [7; 8]), &done()], GoesOn),
        case("6.8", "GOAWAY on a stream", &[&frame(GOAWAY, 0, 1, [0; 8])], Ends(PROTOCOL_ERROR)),
        case("6.9", "WINDOW_UPDATE by nothing", &[&window_update(0, 0)], Ends(PROTOCOL_ERROR)),
        case("6.9", "WINDOW_UPDATE of a stream by nothing", &[&window_update(1, 0)], Ends(PROTOCOL_ERROR))
            .instead_of(Fails),
        case("6.9", "WINDOW_UPDATE of a wrong size", &[&frame(WINDOW_UPDATE, 0, 0, [0; 3])], Ends(PROTOCOL_ERROR))
            .instead_of(Ends(FRAME_SIZE_ERROR)),
        case("6.9.1", "a window that is opened too far", &[&window_update(0, 0x7fff_ffff)], Ends(FLOW_CONTROL_ERROR)),
        // A request that has ended has no window any more.
        case(
            "6.9.1",
            "the window of a request that is over, opened too far",
            &[&window_update(1, 0x7fff_ffff), &done()],
            GoesOn,
        ),
        case("6.10", "CONTINUATION of nothing", &[&frame(CONTINUATION, 4, 1, b"")], Ends(PROTOCOL_ERROR)),
        case("7", "RST_STREAM with a code that nobody knows", &[&reset(1, 0xee)], Fails),
    ]
}

fn messages() -> Vec<Case> {
    let length: &[(&str, &str)] = &[(":status", "200"), ("content-length", "5")];
    vec![
        case("8.1", "content before a head", &[&frame(DATA, 0, 1, b"x")], Ends(PROTOCOL_ERROR)).instead_of(Fails),
        case("8.1", "an interim answer that is the last", &[&answer(1, END_STREAM, "103")], Fails),
        case("8.1", "hints before the answer", &[&answer(1, 0, "103"), &done()], GoesOn),
        case("8.1.1", "a length and no content", &[&headers(1, END_STREAM, length)], Fails),
        case("8.2.2", "Connection", &[&headers(1, END_STREAM, &[(":status", "204"), ("connection", "close")])], Fails),
        case("8.3.2", "no :status", &[&headers(1, END_STREAM, &[("x", "y")])], Fails),
        case(
            "8.3.2",
            "a pseudo-field of requests",
            &[&headers(1, END_STREAM, &[(":status", "204"), (":path", "/")])],
            GoesOn,
        )
        .instead_of(Fails),
        case("8.6", "a switch of protocols", &[&answer(1, END_STREAM, "101")], Fails),
    ]
}

fn promise() -> Vec<u8> {
    frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &block(&request("GET", "/a"))[..]].concat())
}

/// Sends this on its first connection when a request has come; all that come later are answered.
fn sending(sent: Vec<u8>) -> Script {
    h2_origin::frames(&[], move |mut frames, mut conn, number| {
        let sent = sent.clone();
        async move {
            let mut is_new = number == 0;
            while let Some(came) = frames.next().await {
                match came.kind {
                    HEADERS if is_new => {
                        is_new = false;
                        frames.try_send(&sent).await;
                    }
                    HEADERS => drop(frames.try_send(answer(came.stream, END_STREAM, "204")).await),
                    GOAWAY => conn.tell(&format!("ended {number}: {}", came.code(4))),
                    _ => {}
                }
            }
            conn.note_ended();
        }
    })
}

#[actix_rt::test]
async fn rfc_9113_holds_frame_by_frame_where_we_are_the_client() {
    let cases: Vec<_> = [framing(), kinds(), messages()].into_iter().flatten().collect();
    let mut wrong = Vec::new();

    for Case { section, what, sent, then, demanded } in &cases {
        let origin = sending(sent.clone()).start().await;
        // Whoever takes what is wrong for nothing would wait for an answer.
        let to = "\"/\" = { to = \"app\", timeout = { first_byte = \"1s\" } }";
        let text = upstream(&origin).replace("\"/\" = \"app\"", to);
        let proxy = TestProxy::with(&text).start().await;

        let first = client::get(proxy.address, "/").await.status;
        let second = client::get(proxy.address, "/").await.status;

        let came = match (first, origin.connections_seen()) {
            (204, 1) => GoesOn,
            (502, 1) => Fails,
            (502, 2) => {
                origin.wait_for_closed(1).await;
                Ends(origin.said("ended 0: ").map_or(NO_ERROR, |code| code.parse().expect("a code")))
            }
            other => {
                wrong.push(format!("{section}, {what}: {other:?} instead of {then:?}"));
                continue;
            }
        };
        if Some(came) == *demanded {
            wrong.push(format!("{section}, {what}: the h2 crate has learned it"));
        } else if (came, second) != (*then, 204) {
            wrong.push(format!("{section}, {what}: {came:?} and {second} instead of {then:?}"));
        }
    }

    assert!(cases.len() >= 40, "{}", cases.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
