//! What a client needs that does nothing else, so that it adds nothing to what is counted beside it.

use std::io::Read;

/// The body of one answer; all of it has a length.
pub fn body(client: &mut impl Read) -> String {
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    loop {
        let read = client.read(&mut bytes).expect("an answer");
        assert!(read > 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
        let Some((head, body)) = seen.split_once("\r\n\r\n") else { continue };
        let length: Option<usize> =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() == length.expect("a length") {
            return body.to_owned();
        }
    }
}
