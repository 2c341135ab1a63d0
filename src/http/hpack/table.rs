//! The lines that everybody knows from the start (RFC 7541, appendix A).

use std::sync::LazyLock;

use bytes::Bytes;

use super::{Line, Name};

/// All of them, the first one is number 1.
pub static STATIC: LazyLock<Vec<Line>> = LazyLock::new(|| {
    let line = |(name, value): &(&'static str, &'static str)| {
        Line::new(Name::read(name.as_bytes()), name.len(), Bytes::from_static(value.as_bytes()))
    };
    LINES.iter().map(line).collect()
});

/// The number of the first line that is not one of them.
pub const FIRST_OWN: usize = LINES.len() + 1;

const LINES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// How a field of an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Remembered, if it comes again.
    Repeats,
    /// Spelled out each time: no two answers have the same, or not for long.
    Differs,
    /// Spelled out, and whoever passes it on is to do so, too (RFC 7541, 7.1.3).
    Secret,
}

/// The number of the line with this name, 0 if there is none, and how such a field is written.
pub fn known(name: &str) -> (usize, Manner) {
    use Manner::{Differs, Repeats, Secret};
    match name {
        "accept-ranges" => (18, Repeats),
        "access-control-allow-origin" => (20, Repeats),
        "age" => (21, Differs),
        "allow" => (22, Repeats),
        "authorization" => (23, Secret),
        "cache-control" => (24, Repeats),
        "content-disposition" => (25, Repeats),
        "content-encoding" => (26, Repeats),
        "content-language" => (27, Repeats),
        "content-length" => (28, Differs),
        "content-location" => (29, Differs),
        "content-range" => (30, Differs),
        "content-type" => (31, Repeats),
        "cookie" => (32, Secret),
        "date" => (33, Differs),
        "etag" => (34, Differs),
        "expires" => (36, Differs),
        "last-modified" => (44, Differs),
        "link" => (45, Repeats),
        "location" => (46, Differs),
        "proxy-authorization" => (49, Secret),
        "retry-after" => (53, Repeats),
        "server" => (54, Repeats),
        "set-cookie" => (55, Secret),
        "strict-transport-security" => (56, Repeats),
        "vary" => (59, Repeats),
        "via" => (60, Repeats),
        "www-authenticate" => (61, Repeats),
        "grpc-status" | "x-request-id" => (0, Differs),
        _ => (0, Repeats),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_has_the_number_of_its_line() {
        for (name, _) in LINES {
            let (number, _) = known(name);
            assert!(number == 0 || LINES[number - 1].0 == name, "{name}: {number}");
        }
        assert_eq!(known("via"), (60, Manner::Repeats));
        for name in ["authorization", "cookie", "proxy-authorization", "set-cookie"] {
            let (number, manner) = known(name);
            assert_eq!((LINES[number - 1].0, manner), (name, Manner::Secret));
        }
    }
}
