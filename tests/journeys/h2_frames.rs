//! RFC 9113, sections 3 to 8, frame by frame: what is sent, and what must come back. No library of HTTP/2 is between.

use super::support::{
    edge::TestEdge,
    frames::{Outcome::*, *},
    proxy::TestProxy,
};

/// What is sent on a connection of its own, and what may come of it.
struct Case {
    section: &'static str,
    what: &'static str,
    sent: Vec<u8>,
    /// The stream that is looked at.
    stream: u32,
    /// One of these; none of them: the connection goes on as if nothing had been.
    comes: Vec<Outcome>,
}

fn case(section: &'static str, what: &'static str, sent: &[&[u8]], comes: &[Outcome]) -> Case {
    Case { section, what, sent: sent.concat(), stream: 1, comes: comes.to_vec() }
}

impl Case {
    fn on(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }
}

const NOTHING: &[Outcome] = &[];

/// A connection error: the code is said before the end.
fn ends(code: u32) -> [Outcome; 1] {
    [GoAway(code)]
}

/// A GET with these fields instead of, or behind, what a GET has.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(1, END_STREAM, &[&request("GET", "/")[..], fields].concat())
}

fn bare(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(1, END_STREAM, fields)
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "a.example");
const PATH: (&str, &str) = (":path", "/");

/// Stream errors, or an answer that says no (RFC 9113, 8.1.1): the request is not carried out.
const MALFORMED: &[Outcome] = &[Reset(PROTOCOL_ERROR), Answer(400)];

fn framing() -> Vec<Case> {
    let block = &block(&request("GET", "/"))[..];
    let (first, second) = block.split_at(10);
    vec![
        case(
            "4.1",
            "a frame of an unknown kind is ignored",
            &[&frame(0xee, 0xff, 0, b"what"), &get(1, "/")],
            &[Answer(200)],
        ),
        case("4.1", "so is one on a stream", &[&frame(0xee, 0, 1, b"what")], NOTHING),
        case("4.1", "flags that mean nothing are ignored", &[&frame(PING, 0xfe, 0, [0; 8])], NOTHING),
        case("4.1", "the reserved bit is ignored", &[&frame(HEADERS, 5, 0x8000_0001, block)], &[Answer(200)]),
        case(
            "4.2",
            "a frame larger than was allowed",
            &[&post(1, "/hang"), &claiming(16385, DATA, 0, 1, &[0; 64])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case(
            "4.2",
            "a block larger than was allowed",
            &[&claiming(16385, HEADERS, 5, 1, &[0; 64])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case(
            "4.3",
            "a block that cannot be decoded",
            &[&frame(HEADERS, 5, 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
            &ends(COMPRESSION_ERROR),
        ),
        case(
            "4.3",
            "a block in two frames",
            &[&frame(HEADERS, 1, 1, first), &frame(CONTINUATION, 4, 1, second)],
            &[Answer(200)],
        ),
        case(
            "4.3",
            "a block that another frame interrupts",
            &[&frame(HEADERS, 1, 1, first), &frame(PING, 0, 0, [0; 8])],
            &ends(PROTOCOL_ERROR),
        ),
        case(
            "4.3",
            "a block that another stream interrupts",
            &[&frame(HEADERS, 1, 1, first), &get(3, "/")],
            &ends(PROTOCOL_ERROR),
        ),
        case(
            "5.5",
            "a block that an unknown frame interrupts",
            &[&frame(HEADERS, 1, 1, first), &frame(0xee, 0, 0, b"")],
            &ends(PROTOCOL_ERROR),
        ),
    ]
}

fn streams() -> Vec<Case> {
    let echo = &post(1, "/echo")[..];
    vec![
        case("5.1", "DATA on an idle stream", &[&frame(DATA, 1, 1, b"x")], &ends(PROTOCOL_ERROR)),
        case("5.1", "RST_STREAM on an idle stream", &[&reset(1, CANCEL)], &ends(PROTOCOL_ERROR)),
        case("5.1", "WINDOW_UPDATE on an idle stream", &[&window_update(1, 100)], &ends(PROTOCOL_ERROR)),
        case("5.1", "CONTINUATION on an idle stream", &[&frame(CONTINUATION, 4, 1, b"")], &ends(PROTOCOL_ERROR)),
        case(
            "5.1",
            "DATA behind the end of the request",
            &[&get(1, "/hang"), &frame(DATA, 1, 1, b"x")],
            &[Reset(STREAM_CLOSED)],
        ),
        case(
            "5.1",
            "HEADERS behind the end of the request",
            &[&get(1, "/hang"), &get(1, "/")],
            &[Reset(STREAM_CLOSED)],
        ),
        case(
            "5.1",
            "CONTINUATION behind a whole block",
            &[&get(1, "/hang"), &frame(CONTINUATION, 4, 1, b"")],
            &ends(PROTOCOL_ERROR),
        ),
        case(
            "5.1",
            "HEADERS on a stream that the client has reset",
            &[&get(1, "/hang"), &reset(1, CANCEL), &get(1, "/")],
            &[Reset(STREAM_CLOSED)],
        ),
        case(
            "5.1",
            "DATA on a stream that the client has reset",
            &[&post(1, "/hang-unread"), &reset(1, CANCEL), &frame(DATA, 0, 1, b"x")],
            &[Reset(STREAM_CLOSED)],
        ),
        case(
            "5.1",
            "DATA on a stream with an even number",
            &[&get(3, "/hang"), &frame(DATA, 0, 2, b"x")],
            &ends(PROTOCOL_ERROR),
        ),
        case("5.1", "PRIORITY on an idle stream", &[&frame(PRIORITY, 0, 7, [0, 0, 0, 0, 1])], NOTHING),
        case("5.1.1", "a stream with an even number", &[&get(2, "/")], &ends(PROTOCOL_ERROR)),
        case(
            "5.1.1",
            "a stream with a lower number than before",
            &[&get(5, "/hang"), &get(3, "/")],
            &ends(PROTOCOL_ERROR),
        )
        .on(3),
        case(
            "5.1.2",
            "trailers end a request",
            &[echo, &frame(DATA, 0, 1, b"x"), &headers(1, END_STREAM, &[("x", "y")])],
            &[Answer(200)],
        ),
        case(
            "8.1",
            "trailers that do not end a request",
            &[echo, &headers(1, 0, &[("x", "y")])],
            &[Reset(PROTOCOL_ERROR)],
        ),
    ]
}

fn kinds() -> Vec<Case> {
    let echo = &post(1, "/echo")[..];
    let block = &block(&request("GET", "/"))[..];
    let padded = |padding: u8| [&[padding], block].concat();
    vec![
        case("6.1", "DATA on stream 0", &[&frame(DATA, 0, 0, b"x")], &ends(PROTOCOL_ERROR)),
        case("6.1", "DATA with padding", &[echo, &frame(DATA, END_STREAM | PADDED, 1, b"\x02hi..")], &[Answer(200)]),
        case(
            "6.1",
            "DATA with more padding than there is",
            &[echo, &frame(DATA, END_STREAM | PADDED, 1, b"\x05hi..")],
            &ends(PROTOCOL_ERROR),
        ),
        case(
            "6.2",
            "HEADERS with a priority, which is ignored, and padding",
            &[&frame(HEADERS, 5 | PADDED | 0x20, 1, [&[3, 0, 0, 0, 1, 16], block, b"..."].concat())],
            &[Answer(200)],
        ),
        case(
            "6.2",
            "HEADERS too short for their priority",
            &[&frame(HEADERS, 5 | 0x20, 1, [0; 4])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case("RFC 9218", "a priority of today", &[&frame(0x10, 0, 0, b"\0\0\0\x01u=1"), &get(1, "/")], &[Answer(200)]),
        case("6.2", "HEADERS on stream 0", &[&get(0, "/")], &ends(PROTOCOL_ERROR)),
        case(
            "6.2",
            "HEADERS with more padding than there is",
            &[&frame(HEADERS, 5 | PADDED, 1, padded(255))],
            &ends(PROTOCOL_ERROR),
        ),
        case("6.3", "PRIORITY on stream 0", &[&frame(PRIORITY, 0, 0, [0; 5])], &ends(PROTOCOL_ERROR)),
        case(
            "6.3",
            "PRIORITY of a wrong size",
            &[&get(1, "/hang"), &frame(PRIORITY, 0, 1, [0; 4])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case("6.4", "RST_STREAM on stream 0", &[&reset(0, CANCEL)], &ends(PROTOCOL_ERROR)),
        case(
            "6.4",
            "RST_STREAM of a wrong size",
            &[&get(1, "/hang"), &frame(RST_STREAM, 0, 1, [0; 3])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case("6.5", "SETTINGS on a stream", &[&frame(SETTINGS, 0, 1, b"")], &ends(PROTOCOL_ERROR)),
        case("6.5", "SETTINGS of a wrong size", &[&frame(SETTINGS, 0, 0, [0; 5])], &ends(FRAME_SIZE_ERROR)),
        case(
            "6.5",
            "an ACK of SETTINGS that says something",
            &[&frame(SETTINGS, ACK, 0, [0; 6])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case("6.5.2", "ENABLE_PUSH that is neither 0 nor 1", &[&settings(&[(2, 2)])], &ends(PROTOCOL_ERROR)),
        case("6.5.2", "a window that is too large", &[&settings(&[(4, 0x8000_0000)])], &ends(FLOW_CONTROL_ERROR)),
        case("6.5.2", "frames that are to be too small", &[&settings(&[(5, 16383)])], &ends(PROTOCOL_ERROR)),
        case("6.5.2", "frames that are to be too large", &[&settings(&[(5, 16_777_216)])], &ends(PROTOCOL_ERROR)),
        case("6.5.2", "a setting that nobody knows", &[&settings(&[(0xee, 5)]), &get(1, "/")], &[Answer(200)]),
        case(
            "6.6",
            "PUSH_PROMISE of a client",
            &[&get(1, "/hang"), &frame(PUSH_PROMISE, 4, 1, [0, 0, 0, 2])],
            &ends(PROTOCOL_ERROR),
        ),
        case("6.7", "PING on a stream", &[&frame(PING, 0, 1, [0; 8])], &ends(PROTOCOL_ERROR)),
        case("6.7", "PING of a wrong size", &[&frame(PING, 0, 0, [0; 6])], &ends(FRAME_SIZE_ERROR)),
        case("6.7", "an answer to no PING", &[&frame(PING, ACK, 0, [7; 8])], NOTHING),
        case("6.8", "GOAWAY on a stream", &[&frame(GOAWAY, 0, 1, [0; 8])], &ends(PROTOCOL_ERROR)),
        case("6.9", "WINDOW_UPDATE by nothing", &[&window_update(0, 0)], &ends(PROTOCOL_ERROR)),
        case(
            "6.9",
            "WINDOW_UPDATE of a stream by nothing",
            &[&get(1, "/hang"), &window_update(1, 0)],
            &[Reset(PROTOCOL_ERROR)],
        ),
        case(
            "6.9",
            "WINDOW_UPDATE of a wrong size",
            &[&frame(WINDOW_UPDATE, 0, 0, [0, 0, 1])],
            &ends(FRAME_SIZE_ERROR),
        ),
        case("6.9.1", "a window that is opened too far", &[&window_update(0, 0x7fff_ffff)], &ends(FLOW_CONTROL_ERROR)),
        case(
            "6.9.1",
            "a stream's window that is opened too far",
            &[&get(1, "/hang"), &window_update(1, 0x7fff_ffff)],
            &[Reset(FLOW_CONTROL_ERROR)],
        ),
        case(
            "6.9.2",
            "a setting that opens a stream's window too far",
            &[&get(1, "/hang"), &window_update(1, 0x7fff_0000), &settings(&[(4, 0x7fff_ffff)])],
            &ends(FLOW_CONTROL_ERROR),
        ),
        case(
            "7",
            "RST_STREAM with a code that nobody knows",
            &[&get(1, "/hang"), &reset(1, 0xee), &get(3, "/")],
            &[Answer(200)],
        )
        .on(3),
        case(
            "6.8",
            "GOAWAY of a client whose request goes on",
            &[echo, &goaway(0, NO_ERROR), &frame(DATA, END_STREAM, 1, b"x")],
            &[Answer(200)],
        ),
        case(
            "7",
            "GOAWAY with a code that nobody knows",
            &[echo, &goaway(0, 0xee), &frame(DATA, END_STREAM, 1, b"x")],
            &[Answer(200)],
        ),
        case(
            "6.10",
            "a header block without end",
            &[&frame(HEADERS, 1, 1, [0; 0]), &frame(CONTINUATION, 0, 1, [b'x'; 16_384]).repeat(4)],
            &ends(ENHANCE_YOUR_CALM),
        ),
        case(
            "6.10",
            "CONTINUATION on stream 0",
            &[&frame(HEADERS, 1, 1, &block[..5]), &frame(CONTINUATION, 4, 0, &block[5..])],
            &ends(PROTOCOL_ERROR),
        ),
    ]
}

fn messages() -> Vec<Case> {
    let post = |fields: &[(&str, &str)]| headers(1, 0, &[&request("POST", "/echo")[..], fields].concat());
    let five = &post(&[("content-length", "5")])[..];
    vec![
        case("8.1.1", "more content than Content-Length", &[five, &frame(DATA, END_STREAM, 1, b"123456")], MALFORMED),
        case("8.1.1", "less content than Content-Length", &[five, &frame(DATA, END_STREAM, 1, b"1234")], MALFORMED),
        case(
            "8.1.1",
            "less content than Content-Length, and trailers",
            &[five, &frame(DATA, 0, 1, b"1234"), &headers(1, END_STREAM, &[("x", "y")])],
            MALFORMED,
        ),
        case("8.1.1", "a Content-Length and no content", &[&with(&[("content-length", "5")])], MALFORMED),
        case("8.1.1", "two lengths", &[&post(&[("content-length", "5"), ("content-length", "6")])], MALFORMED),
        case("8.1.1", "a length that is none", &[&post(&[("content-length", "+5")])], MALFORMED),
        case(
            "8.1.1",
            "as much content as Content-Length",
            &[five, &frame(DATA, END_STREAM, 1, b"12345")],
            &[Answer(200)],
        ),
        case("8.2.1", "a name in upper case", &[&with(&[("X-Name", "y")])], MALFORMED),
        case("8.2.1", "a name with a space", &[&with(&[("x name", "y")])], MALFORMED),
        case("8.2.1", "a name with a colon in it", &[&with(&[("x:name", "y")])], MALFORMED),
        case("8.2.1", "an empty name", &[&with(&[("", "y")])], MALFORMED),
        case("8.2.1", "a name that is no token", &[&with(&[("x\"y", "z")])], MALFORMED),
        case("8.2.1", "a value with a line's end", &[&with(&[("x", "y\r\nz: a")])], MALFORMED),
        case("8.2.1", "a value with NUL", &[&with(&[("x", "y\0z")])], MALFORMED),
        case("8.2.1", "a value that begins with a space", &[&with(&[("x", " y")])], MALFORMED),
        case("8.2.1", "a value that ends with a tab", &[&with(&[("x", "y\t")])], MALFORMED),
        case("8.2.2", "Connection", &[&with(&[("connection", "keep-alive")])], MALFORMED),
        case("8.2.2", "Keep-Alive", &[&with(&[("keep-alive", "timeout=5")])], MALFORMED),
        case("8.2.2", "Proxy-Connection", &[&with(&[("proxy-connection", "close")])], MALFORMED),
        case("8.2.2", "Transfer-Encoding", &[&with(&[("transfer-encoding", "chunked")])], MALFORMED),
        case("8.2.2", "Upgrade", &[&with(&[("upgrade", "websocket")])], MALFORMED),
        case("8.2.2", "TE other than trailers", &[&with(&[("te", "gzip")])], MALFORMED),
        case("8.2.2", "TE of trailers", &[&with(&[("te", "trailers")])], &[Answer(200)]),
        case(
            "8.3",
            "a pseudo-field behind a field",
            &[&bare(&[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH])],
            MALFORMED,
        ),
        case(
            "8.3",
            "a pseudo-field that nobody knows",
            &[&bare(&[METHOD, SCHEME, AUTHORITY, PATH, (":x", "y")])],
            MALFORMED,
        ),
        case(
            "8.3",
            "a pseudo-field of answers",
            &[&bare(&[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")])],
            MALFORMED,
        ),
        case("8.3", "a pseudo-field twice", &[&bare(&[METHOD, SCHEME, AUTHORITY, PATH, PATH])], MALFORMED),
        case(
            "8.3",
            "a pseudo-field in trailers",
            &[&post(&[]), &headers(1, END_STREAM, &[(":method", "GET")])],
            &[Reset(PROTOCOL_ERROR)],
        ),
        case(
            "8.2.2",
            "a field of a connection in trailers",
            &[&post(&[]), &headers(1, END_STREAM, &[("connection", "x")])],
            &[Reset(PROTOCOL_ERROR)],
        ),
        case("8.3.1", "no :method", &[&bare(&[SCHEME, AUTHORITY, PATH])], MALFORMED),
        case("8.3.1", "no :scheme", &[&bare(&[METHOD, AUTHORITY, PATH])], MALFORMED),
        case("8.3.1", "no :path", &[&bare(&[METHOD, SCHEME, AUTHORITY])], MALFORMED),
        case("8.3.1", "an empty :path", &[&bare(&[METHOD, SCHEME, AUTHORITY, (":path", "")])], MALFORMED),
        case("8.3.1", "a :path without a slash", &[&bare(&[METHOD, SCHEME, AUTHORITY, (":path", "x")])], MALFORMED),
        case("8.3.1", "a :path with a fragment", &[&bare(&[METHOD, SCHEME, AUTHORITY, (":path", "/a#b")])], MALFORMED),
        case("8.3.1", "a :path with a space", &[&bare(&[METHOD, SCHEME, AUTHORITY, (":path", "/a b")])], MALFORMED),
        case(
            "8.3.1",
            "a :scheme that is not of the web",
            &[&bare(&[METHOD, (":scheme", "ftp"), AUTHORITY, PATH])],
            MALFORMED,
        ),
        case("8.3.1", "an :authority with a user", &[&bare(&[METHOD, SCHEME, (":authority", "u@a"), PATH])], MALFORMED),
        case("8.3.1", "a Host that is not :authority", &[&with(&[("host", "b.example")])], MALFORMED),
        case("8.3.1", "a Host that is", &[&with(&[("host", "A.example")])], &[Answer(200)]),
        case("8.3.1", "a Host alone", &[&bare(&[METHOD, SCHEME, PATH, ("host", "a.example")])], &[Answer(200)]),
        case(
            "8.5",
            "CONNECT to wherever the client likes",
            &[&headers(1, 0, &[(":method", "CONNECT"), (":authority", "a.example:443")])],
            &[Answer(405)],
        ),
        case(
            "8.5",
            "CONNECT with a :path",
            &[&headers(1, 0, &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH])],
            MALFORMED,
        ),
        case(
            "8.5",
            ":protocol without CONNECT",
            &[&bare(&[METHOD, (":protocol", "websocket"), SCHEME, AUTHORITY, PATH])],
            MALFORMED,
        ),
    ]
}

#[actix_rt::test]
async fn rfc_9113_holds_frame_by_frame() {
    let edge = TestEdge::start().await;
    let cases = [framing(), streams(), kinds(), messages()].concat_all();
    let mut wrong = Vec::new();

    for Case { section, what, sent, stream, comes } in &cases {
        let mut client = Frames::connect(edge.address).await;
        client.try_send(sent).await;
        if comes.is_empty() {
            if !client.is_alive().await {
                wrong.push(format!("{section}, {what}: the connection ended"));
            }
            continue;
        }
        let came = client.outcome(*stream).await;
        if !comes.contains(&came) {
            wrong.push(format!("{section}, {what}: {came:?} instead of {comes:?}"));
        }
    }

    assert!(cases.len() >= 90, "{}", cases.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

trait Concat {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> Concat for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

#[actix_rt::test]
async fn the_number_of_a_stream_that_is_over_is_not_used_again() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;
    client.send(get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Answer(200));

    client.send(get(1, "/")).await;

    assert_eq!(client.outcome(1).await, GoAway(PROTOCOL_ERROR));
}

#[actix_rt::test]
async fn a_stream_error_leaves_the_others_alone() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;

    client.send([with(&[("connection", "close")]), get(3, "/")].concat()).await;

    assert_eq!(client.outcome(3).await, Answer(200));
}

#[actix_rt::test]
async fn what_is_malformed_reaches_no_endpoint() {
    let origin = super::support::origin::Origin::answering("hello").start().await;
    let proxy = TestProxy::to(&origin).start().await;
    for Case { what, sent, stream, comes, .. } in messages() {
        if comes.contains(&Answer(200)) || comes.contains(&Answer(405)) {
            continue;
        }
        let mut client = Frames::connect(proxy.address).await;

        client.try_send(sent).await;

        assert!(comes.contains(&client.outcome(stream).await), "{what}");
    }
    // A body that breaks its promise is known to do so only once it has begun to go on.
    let whole =
        origin.requests().into_iter().filter(|request| !request.contains("ontent-") && !request.contains("ncoding"));
    assert_eq!(whole.collect::<Vec<_>>(), Vec::<String>::new());
}

#[actix_rt::test]
async fn the_preface_may_come_in_pieces_and_nothing_else_is_taken_for_one() {
    let edge = TestEdge::start().await;
    for size in [1, 3, 20, 24] {
        let mut client = Frames::silent(edge.address).await;
        client.dribble([PREFACE, &settings(&[(1, 0)]), &get(1, "/")].concat(), size).await;
        assert_eq!(client.outcome(1).await, Answer(200), "in pieces of {size}");
    }
    let mut wrong = Frames::silent(edge.address).await;
    wrong.try_send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
    wrong.wait_closed().await;
}

#[actix_rt::test]
async fn the_first_frame_is_settings() {
    let edge = TestEdge::start().await;
    for first in [frame(PING, 0, 0, [0; 8]), get(1, "/"), frame(SETTINGS, ACK, 0, b"")] {
        let mut client = Frames::silent(edge.address).await;

        client.send([PREFACE, &first].concat()).await;

        assert_eq!(client.outcome(1).await, GoAway(PROTOCOL_ERROR), "{first:?}");
    }
}

#[actix_rt::test]
async fn settings_are_acknowledged_and_pings_answered_with_what_they_held() {
    let edge = TestEdge::start().await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[]).await;

    client.send(frame(PING, 0, 0, b"whatever")).await;

    let mut acknowledged = false;
    loop {
        let came = client.next().await.expect("it goes on");
        acknowledged |= (came.kind, came.flags) == (SETTINGS, ACK);
        if came.kind == PING {
            assert_eq!((came.flags, &*came.payload), (ACK, &b"whatever"[..]));
            break;
        }
    }
    assert!(acknowledged);
}

#[actix_rt::test]
async fn no_more_is_sent_than_a_window_holds() {
    let edge = TestEdge::start().await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(1, 0), (4, 3)]).await;

    client.send(get(1, "/")).await;
    let first = client.next_of(DATA).await;
    assert!(client.is_alive().await, "nothing more came before this answer");
    client.send(window_update(1, 1)).await;
    let second = client.next_of(DATA).await;
    // A window that shrinks may be below nothing (6.9.2).
    client.send([settings(&[(4, 0)]), window_update(1, 3), frame(PING, 0, 0, [1; 8])].concat()).await;
    client.next_of(PING).await;
    client.send(window_update(1, 1)).await;
    let third = client.next_of(DATA).await;

    assert_eq!((&*first.payload, first.ends_stream()), (&b"hel"[..], false));
    assert_eq!((&*second.payload, second.ends_stream()), (&b"l"[..], false));
    assert_eq!((&*third.payload, third.ends_stream()), (&b"o"[..], true));
}

#[actix_rt::test]
async fn frames_are_no_larger_than_the_client_takes() {
    let edge = TestEdge::start().await;
    let mut client = Frames::silent(edge.address).await;
    client.greet(&[(4, 1 << 20)]).await;

    client.send(get(1, "/large")).await;
    let sizes = [client.next_of(DATA).await, client.next_of(DATA).await].map(|frame| frame.payload.len());

    assert!(sizes.iter().all(|size| (1..=16384).contains(size)), "{sizes:?}");
}

#[actix_rt::test]
async fn more_streams_than_allowed_are_refused_and_may_be_tried_again() {
    let edge = TestEdge::with(|settings| settings.http.h2.max_streams = 2).await;
    let mut client = Frames::connect(edge.address).await;

    client.send([get(1, "/hang"), get(3, "/hang"), get(5, "/")].concat()).await;
    let refused = client.outcome(5).await;
    client.send([reset(1, CANCEL), get(7, "/")].concat()).await;

    assert_eq!(refused, Reset(REFUSED_STREAM));
    assert_eq!(client.outcome(7).await, Answer(200));
}

#[actix_rt::test]
async fn what_is_allowed_is_said_in_settings() {
    let edge = TestEdge::with(|settings| settings.http.h2.max_streams = 7).await;
    let mut client = Frames::silent(edge.address).await;

    client.send([PREFACE, &settings(&[])].concat()).await;
    let said = client.next_of(SETTINGS).await;

    let said: Vec<(u16, u32)> = said
        .payload
        .chunks(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])))
        .collect();
    assert!(said.contains(&(3, 7)), "streams at once: {said:?}");
    assert!(said.contains(&(4, 65_536)), "a stream's window: {said:?}");
    assert!(said.iter().any(|(id, value)| *id == 6 && *value >= 32 * 1024), "a list of fields: {said:?}");
    assert!(said.contains(&(8, 1)), "extended CONNECT: {said:?}");
}

/// Floods, each of frames that a client may send now and then.
fn floods() -> Vec<(&'static str, Vec<u8>, u32)> {
    let rapid: Vec<u8> = (0..300).flat_map(|n| [get(n * 2 + 1, "/hang"), reset(n * 2 + 1, CANCEL)].concat()).collect();
    // The server resets what is wrong, and that costs it as much.
    let made = |wrong: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        (0..300).flat_map(|n| [get(n * 2 + 1, "/hang"), wrong(n * 2 + 1)].concat()).collect()
    };
    let malformed: Vec<u8> =
        (0..300).flat_map(|n| headers(n * 2 + 1, END_STREAM, &[METHOD, SCHEME, PATH, ("connection", "x")])).collect();
    let continuations = [frame(HEADERS, 0, 1, b""), frame(CONTINUATION, 0, 1, b"").repeat(2000)].concat();
    vec![
        ("PING", frame(PING, 0, 0, [0; 8]).repeat(2000), 1),
        ("answers to no PING", frame(PING, ACK, 0, [0; 8]).repeat(2000), 1),
        ("SETTINGS", settings(&[]).repeat(2000), 1),
        ("PRIORITY", frame(PRIORITY, 0, 1, [0, 0, 0, 3, 1]).repeat(2000), 1),
        ("frames of an unknown kind", frame(0xee, 0, 0, b"").repeat(2000), 1),
        ("WINDOW_UPDATE", window_update(0, 1).repeat(2000), 1),
        ("empty DATA", [post(1, "/hang"), frame(DATA, 0, 1, b"").repeat(2000)].concat(), 1),
        ("CONTINUATION", continuations, 1),
        ("streams that are reset at once", rapid, 1),
        ("windows that are opened by nothing", made(&|stream| window_update(stream, 0)), 1),
        ("windows that are opened too far", made(&|stream| window_update(stream, 0x7fff_ffff)), 1),
        ("requests that are malformed", malformed, 601),
    ]
}

#[actix_rt::test]
async fn a_flood_ends_its_connection_and_no_other() {
    let edge = TestEdge::start().await;
    let mut calm = Frames::connect(edge.address).await;
    let mut wrong = Vec::new();

    for (what, flood, stream) in floods() {
        let mut client = Frames::connect(edge.address).await;
        client.try_send(flood).await;
        // Some of them are answered in between.
        let came = loop {
            match client.outcome(stream).await {
                Answer(_) | Reset(_) => {}
                ended => break ended,
            }
        };
        if came != GoAway(ENHANCE_YOUR_CALM) {
            wrong.push(format!("{what}: {came:?}"));
        }
    }

    assert!(wrong.is_empty(), "{wrong:?}");
    calm.send(get(1, "/")).await;
    assert_eq!(calm.outcome(1).await, Answer(200));
}

/// What a call of gRPC with short messages looks like, when its endpoint is a little behind or takes none for now.
#[actix_rt::test]
async fn as_many_small_pieces_as_the_window_has_room_for_are_no_flood() {
    let edge = TestEdge::start().await;
    const SIZE: usize = 5;
    let pieces = |stream| frame(DATA, 0, stream, [b'.'; SIZE]).repeat(65_535 / SIZE);
    let mut client = Frames::connect(edge.address).await;

    // The window is opened again for what is read.
    client.send([post(1, "/hang-unread"), pieces(1)].concat()).await;
    assert!(client.is_alive().await, "nobody takes them");
    client.send([post(3, "/echo"), pieces(3), frame(DATA, END_STREAM, 3, b"")].concat()).await;

    assert_eq!(client.outcome(3).await, Answer(200), "somebody takes them");
}

#[actix_rt::test]
async fn pings_that_come_with_content_are_no_flood() {
    let edge = TestEdge::start().await;
    let mut client = Frames::connect(edge.address).await;

    for n in 0..1500 {
        client.send([get(n * 2 + 1, "/"), frame(PING, 0, 0, [0; 8])].concat()).await;
        assert_eq!(client.outcome(n * 2 + 1).await, Answer(200));
    }

    assert!(client.is_alive().await);
}

#[actix_rt::test]
async fn a_client_that_only_begins_a_block_is_not_waited_for() {
    let edge = TestEdge::with(|settings| settings.timeouts.request_head = "100ms".parse().expect("a time")).await;
    let mut client = Frames::connect(edge.address).await;
    client.send(get(1, "/")).await;
    assert_eq!(client.outcome(1).await, Answer(200));

    client.send(frame(HEADERS, END_STREAM, 3, b"")).await;

    assert_eq!(client.outcome(3).await, GoAway(ENHANCE_YOUR_CALM));
}
