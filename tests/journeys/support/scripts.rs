//! What real origins do, right and wrong. Every transport plays against the same ones.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::origin::{Origin, Script};

/// What somebody answers who is well.
pub const UP: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
/// What somebody answers who is not.
pub const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown";

/// An origin that answers 503 while it is unwell.
pub async fn unwell(is_well: &Arc<AtomicBool>) -> Origin {
    let is_well = Arc::clone(is_well);
    Origin::serving(move |_, _| if is_well.load(Ordering::SeqCst) { UP } else { DOWN }.into()).start().await
}

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
