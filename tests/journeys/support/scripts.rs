//! What real origins do, right and wrong. Every transport plays against the same ones.

use super::origin::{Origin, Script};

/// A well-formed answer.
pub const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

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
