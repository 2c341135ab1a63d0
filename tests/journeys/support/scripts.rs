//! What real origins do, right and wrong. Every transport plays against the same ones.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::origin::{Conn, Origin, Script};

/// What somebody answers who is well.
pub const UP: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
/// What somebody answers who is not.
pub const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown";

/// An origin that answers 503 while it is unwell.
pub async fn unwell(is_well: &Arc<AtomicBool>) -> Origin {
    let is_well = Arc::clone(is_well);
    Origin::serving(move |_, _| if is_well.load(Ordering::SeqCst) { UP } else { DOWN }.into()).start().await
}

/// What may be on its way where nobody takes it: a unix socket's buffer on each side of the proxy, which unlike TCP's does
/// not grow, and ours.
pub const MOST_AHEAD: usize = 1_000_000;

/// A well-formed answer.
pub const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Heads that no transport may take for one, as far as the last line's end.
pub const MALFORMED_HEADS: [&str; 30] = [
    "garbage",
    "SSH-2.0-OpenSSH_9.6",
    "HTTP/2.0 200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 abc OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 200 O\0K",
    "http/1.1 200 OK",
    " HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK\r\nno colon",
    "HTTP/1.1 200 OK\r\n: no name",
    "HTTP/1.1 200 OK\r\na b: c",
    "HTTP/1.1 200 OK\r\na: b\0c",
    "HTTP/1.1 200 OK\r\na: b\rc: d",
    "HTTP/1.1 200 OK\r\na: b\nc: d",
    "HTTP/1.1 200 OK\r\na: b\r\n folded",
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 6",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
    "HTTP/1.1 200 OK\r\nContent-Length: +5",
    "HTTP/1.1 200 OK\r\nContent-Length: -5",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x5",
    "HTTP/1.1 200 OK\r\nContent-Length: ",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
];

/// What is no chunk, or not one like this.
pub const MALFORMED_CHUNKS: [&str; 15] = [
    "x\r\n",
    "\r\n",
    " 5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5_\r\nhello\r\n",
    "5\nhello\n",
    "5\r\nhello!\r\n",
    "5\r\nhello\n",
    "1ffffffffffffffff\r\n",
    "5;a=\"\0\"\r\nhello\r\n",
    "0\r\nno colon\r\n\r\n",
    "0\r\na: b\n\r\n",
    "5\r\nhello\r\nx\r\n",
];

/// What an origin does with a GET, what `transport/h1` makes of it, and what awc behind the same trait: the table of
/// docs/adr/0002, and where both end as RFC 9112 says.
pub struct Case {
    pub name: &'static str,
    pub script: fn() -> Script,
    pub ours: &'static str,
    pub awcs: &'static str,
}

const fn case(name: &'static str, script: fn() -> Script, ours: &'static str, awcs: &'static str) -> Case {
    Case { name, script, ours, awcs }
}

/// It ends where both say.
const fn same(name: &'static str, script: fn() -> Script, both: &'static str) -> Case {
    Case { name, script, ours: both, awcs: both }
}

const UNREADABLE_TO_AWC: &str = r#"Head: Malformed("awc cannot read this head")"#;
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

pub const CASES: [Case; 29] = [
    same("a length", || Origin::answering("hello"), r#"200 "hello""#),
    same("an empty body", || Origin::answering(""), r#"200 """#),
    same("chunks", || Origin::replying(CHUNKS), r#"200 "hello""#),
    same(
        "chunks in capitals",
        || Origin::replying(CHUNKS.replace("Transfer-Encoding: c", "TRANSFER-ENCODING: C")),
        r#"200 "hello""#,
    ),
    same("chunks and trailers", || Origin::replying(CHUNKS.replace("0\r\n", "0\r\nSum: 7\r\n")), r#"200 "hello""#),
    same("tiny segments", in_tiny_segments, r#"200 "hello""#),
    same("204", || Origin::replying("HTTP/1.1 204 No Content\r\n\r\n"), r#"204 """#),
    same("204 with a length", || Origin::replying("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), r#"204 """#),
    // Without what is around it, awc waits for content that never comes with these two.
    same(
        "204 with a coding",
        || Origin::replying("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        r#"204 """#,
    ),
    same(
        "304 with a length",
        || Origin::replying("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        r#"304 """#,
    ),
    same("1.0 with a length", || Origin::replying("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"), r#"200 "ab""#),
    same("no reason", || Origin::replying("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab"), r#"200 "ab""#),
    case(
        "a repeated length",
        || Origin::replying("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab"),
        r#"200 "ab""#,
        UNREADABLE_TO_AWC,
    ),
    same(
        "both lengths",
        || Origin::replying(CHUNKS.replace("Transfer", "Content-Length: 9\r\nTransfer")),
        r#"200 "hello""#,
    ),
    same("an answer behind the answer", || Origin::replying(format!("{HELLO}{HELLO}")), r#"200 "hello""#),
    // awc takes any interim head for the answer.
    case(
        "interim responses",
        interim_at_once,
        r#"200 "hello""#,
        r#"Head: Malformed("awc cannot read past an interim response")"#,
    ),
    // awc drops the body and says nothing.
    case(
        "a body until the end",
        close_delimited,
        r#"200 "until the end""#,
        r#"Head: Malformed("awc cannot read a body that ends with its connection")"#,
    ),
    same("the same of old", close_delimited_old, r#"200 "until the end""#),
    // awc takes any end for the end of the body; that the connection ended is seen from outside.
    same("a length that is cut", cut_length, r#"200 "0123456789", Incomplete"#),
    same("a chunk that is cut", cut_chunk, r#"200 "01234", Incomplete"#),
    same("an end between chunks", cut_between_chunks, r#"200 "hello", Incomplete"#),
    same("a last chunk that is cut", cut_before_last_line, r#"200 "hello", Incomplete"#),
    same("no answer", || Origin::script(|mut conn, _| async move { drop(conn.read_head().await) }), "Head: Closed"),
    case(
        "no HTTP",
        || Origin::replying("SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        r#"Head: Malformed("bad status line")"#,
        UNREADABLE_TO_AWC,
    ),
    case(
        "a coding before chunked",
        || Origin::replying(CHUNKS.replace("chunked", "gzip, chunked")),
        r#"Head: Malformed("unknown Transfer-Encoding")"#,
        UNREADABLE_TO_AWC,
    ),
    case(
        "two lengths",
        || Origin::replying("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nab"),
        r#"Head: Malformed("malformed Content-Length")"#,
        UNREADABLE_TO_AWC,
    ),
    same(
        "chunks of old",
        || Origin::replying(CHUNKS.replace("HTTP/1.1", "HTTP/1.0")),
        r#"Head: Malformed("Transfer-Encoding in HTTP/1.0")"#,
    ),
    // The client is told of an answer, and then sees that it is cut.
    case(
        "no chunk size",
        || malformed_chunk("x\r\n"),
        r#"Head: Malformed("malformed chunks")"#,
        r#"200 "", Incomplete"#,
    ),
    case(
        "a chunk longer than it says",
        || malformed_chunk("5\r\nhello!\r\n"),
        r#"Head: Malformed("malformed chunks")"#,
        r#"200 "hello", Incomplete"#,
    ),
];

/// Byte by byte.
fn in_tiny_segments() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.dribble("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\n\r\n", 1).await;
        conn.wait_closed().await;
    })
}

/// Answers with one of [`MALFORMED_HEADS`].
pub fn malformed_head(head: &str) -> Script {
    Origin::replying(format!("{head}\r\n\r\n0\r\n\r\n"))
}

/// Answers with one of [`MALFORMED_CHUNKS`].
pub fn malformed_chunk(chunk: &str) -> Script {
    Origin::replying(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"))
}

/// Interim responses of all kinds before the answer, in one segment.
pub fn interim_at_once() -> Script {
    Origin::replying(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         {HELLO}"
    ))
}

/// The answer comes long after the hints.
pub fn interim_apart() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await;
        conn.wait_for("the hints were read").await;
        conn.write(HELLO).await;
        conn.wait_closed().await;
    })
}

/// An answer, and the end of the connection behind it.
pub fn then_close(answer: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        conn.read_head().await;
        conn.write(answer).await;
    })
}

/// The end of the connection is the end of the body.
pub fn close_delimited() -> Script {
    then_close("HTTP/1.1 200 OK\r\n\r\nuntil the end")
}

pub fn close_delimited_old() -> Script {
    then_close("HTTP/1.0 200 OK\r\n\r\nuntil the end")
}

pub fn cut_length() -> Script {
    then_close("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
}

pub fn cut_chunk() -> Script {
    then_close("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234")
}

pub fn cut_between_chunks() -> Script {
    then_close("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
}

pub fn cut_before_last_line() -> Script {
    then_close("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
}

pub fn reset_in_body() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await;
        conn.wait_for("the start was read").await;
        conn.reset();
    })
}

/// It answers a large upload with a refusal, reads none of it and ends its own side first, as careful servers do.
pub fn early_refusal(status_line: &'static str) -> Script {
    Origin::script(move |mut conn, number| async move {
        conn.read_head().await;
        conn.write(format!("{status_line}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")).await;
        conn.half_close().await;
        conn.wait_for(&format!("answer {number} was read")).await;
    })
}

/// The same, and it closes at once: what was sent and not read makes that a reset.
pub fn rude_refusal(status_line: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        conn.read_head().await;
        conn.write(format!("{status_line}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")).await;
    })
}

/// Sends each chunk back as it comes, before the next one is there.
pub fn duplex_echo() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let bytes = conn.read_some().await;
            conn.write(&bytes).await;
            if bytes.is_empty() || bytes.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
    })
}

/// It answers one request on a connection, and leaves when the next one comes.
pub fn leaves_at_the_second() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(HELLO).await;
        conn.read_head().await;
    })
}

/// Answers with so many bytes, and counts those that go out before nobody takes any more. It says "nobody reads" then,
/// and goes on.
pub fn floods(length: usize) -> (Script, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let out = Arc::clone(&written);
    let script = Origin::script(move |mut conn, _| {
        let out = Arc::clone(&out);
        async move {
            conn.read_head().await;
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
            let count = conn.flood(length).await;
            out.store(count, Ordering::Relaxed);
            conn.tell("nobody reads");
            conn.write(vec![b'.'; length - count]).await;
            conn.wait_closed().await;
        }
    });
    (script, written)
}

/// Says something once it has happened on another connection. Whoever has read this has heard of that, too: what came
/// before is told before.
pub async fn speaks_later(mut conn: Conn) {
    conn.wait_for("it has happened").await;
    conn.write(".").await;
    conn.wait_closed().await;
}
