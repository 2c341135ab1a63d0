//! What a browser says on a connection of HTTP/2, and no more of the protocol than that takes.

use std::io::{Read, Write};

/// A preface, settings and a larger window, as Chromium has them.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x04\x00\x60\x00\x00\
    \x00\x06\x00\x04\x00\x00\
    \x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\xef\x00\x01";

/// What it says with its first request, and has the other side remember.
const FIELDS: [(&str, &str); 15] = [
    (":authority", "shop.example"),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-user", "?1"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("cookie", "session=4f0c2a1be7d94c55a1d0e3b2f6a79c18"),
    ("priority", "u=0, i"),
];

/// A connection that has asked three times, and was answered each time.
pub fn visit<S: Read + Write>(mut socket: S) -> S {
    socket.write_all(HELLO).expect("it reads");
    // GET, http, /
    let mut first = b"\x82\x86\x84".to_vec();
    for (name, value) in FIELDS {
        first.push(0x40);
        for text in [name, value] {
            assert!(text.len() < 127, "a length of one byte");
            first.push(text.len() as u8);
            first.extend_from_slice(text.as_bytes());
        }
    }
    // The newest line has the least number.
    let again: Vec<u8> =
        b"\x82\x86\x84".iter().copied().chain((0..FIELDS.len()).rev().map(|line| 0xbe + line as u8)).collect();
    for (stream, block) in [(1, &first), (3, &again), (5, &again)] {
        let length = (block.len() as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], 1, 0x5, 0, 0, 0, stream];
        socket.write_all(&[&head[..], block].concat()).expect("it reads");
        answered(&mut socket, stream);
    }
    socket
}

/// Reads up to the end of this stream.
fn answered(socket: &mut impl Read, stream: u8) {
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).expect("a frame");
        let length = head[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).expect("the rest of it");
        assert!(head[3] != 7, "the server says goodbye: {payload:?}");
        if head[8] == stream && head[3] <= 1 && head[4] & 1 == 1 {
            return;
        }
    }
}
