//! Sections of field lines (heads, trailers): where they end, and how they become a map. Used for both directions.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{HeaderMap, HeaderName, HeaderValue, header, scratch};

/// Finds the empty line that ends a head or a trailer section, looking at no byte twice.
///
/// Every line must end in CRLF: taking a bare LF for a line end is what parsers disagree about (RFC 9112, 2.2).
#[derive(Debug, Default)]
pub struct SectionEnd {
    scanned: usize,
    line_start: usize,
}

/// A line ended in LF without CR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareLineFeed;

impl SectionEnd {
    /// How many bytes the section has, the empty line included; `None` while it is not all there. `section` is the
    /// section from its first byte; it may only have grown since the last call.
    pub fn find(&mut self, section: &[u8]) -> Result<Option<usize>, BareLineFeed> {
        while let Some(offset) = memchr(b'\n', &section[self.scanned..]) {
            let feed = self.scanned + offset;
            if feed == self.line_start || section[feed - 1] != b'\r' {
                return Err(BareLineFeed);
            }
            let is_empty_line = feed - 1 == self.line_start;
            self.scanned = feed + 1;
            self.line_start = feed + 1;
            if is_empty_line {
                return Ok(Some(feed + 1));
            }
        }
        self.scanned = section.len();
        Ok(None)
    }
}

/// Makes a map of parsed field lines. Values are slices of `source`, which the lines were parsed from: nothing is
/// copied but names that are not registered ones.
pub fn collect(lines: &[httparse::Header<'_>], source: &Bytes) -> Option<HeaderMap> {
    let mut fields = scratch::map();
    for line in lines {
        let name = name(line.name.as_bytes())?;
        let value = HeaderValue::from_maybe_shared(source.slice_ref(line.value)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

/// The name as a type. Those that most messages hold, spelled as most senders do, need no reading letter by letter.
fn name(text: &[u8]) -> Option<HeaderName> {
    Some(match text {
        b"Host" | b"host" => header::HOST,
        b"Date" | b"date" => header::DATE,
        b"ETag" | b"etag" => header::ETAG,
        b"Vary" | b"vary" => header::VARY,
        b"Accept" | b"accept" => header::ACCEPT,
        b"Cookie" | b"cookie" => header::COOKIE,
        b"Server" | b"server" => header::SERVER,
        b"Connection" | b"connection" => header::CONNECTION,
        b"User-Agent" | b"user-agent" => header::USER_AGENT,
        b"Content-Type" | b"content-type" => header::CONTENT_TYPE,
        b"Cache-Control" | b"cache-control" => header::CACHE_CONTROL,
        b"Last-Modified" | b"last-modified" => header::LAST_MODIFIED,
        b"Content-Length" | b"content-length" => header::CONTENT_LENGTH,
        b"Accept-Encoding" | b"accept-encoding" => header::ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => header::ACCEPT_LANGUAGE,
        b"Transfer-Encoding" | b"transfer-encoding" => header::TRANSFER_ENCODING,
        other => return HeaderName::from_bytes(other).ok(),
    })
}

/// Less room than this is not worth a system call.
pub const MIN_ROOM: usize = 4096;

/// Makes room to read about `size` bytes. Once what was read before is written and dropped, the same memory is taken
/// again; as long as it is not, what is left of it is used up first, if that is `enough`.
pub fn make_room(buffer: &mut BytesMut, size: usize, enough: usize) {
    if buffer.is_empty() {
        let _reclaimed = buffer.try_reclaim(size);
    }
    let enough = if buffer.is_empty() { enough } else { MIN_ROOM };
    if buffer.capacity() - buffer.len() < enough {
        buffer.reserve(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_at_whatever_byte_the_section_was_cut() {
        let section = b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody";
        for cut in 0..section.len() {
            let mut end = SectionEnd::default();
            let first = end.find(&section[..cut]).expect("no bare line feed");
            let found = first.or_else(|| end.find(section).expect("no bare line feed"));
            assert_eq!(found, Some(25), "cut at {cut}");
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_spelled() {
        let spellings = ["Host", "Date", "ETag", "Vary", "Accept", "Cookie", "Server", "Connection", "User-Agent"];
        let longer = ["Content-Type", "Cache-Control", "Last-Modified", "Content-Length", "Accept-Encoding"];
        for text in spellings.iter().chain(&longer).chain(&["Accept-Language", "Transfer-Encoding", "X-Own"]) {
            let expected = HeaderName::from_bytes(text.as_bytes()).expect("a name");
            for spelled in [text.to_string(), text.to_lowercase(), text.to_uppercase()] {
                assert_eq!(name(spelled.as_bytes()), Some(expected.clone()), "{spelled}");
            }
        }
        assert_eq!(name(b"a b"), None);
    }

    #[test]
    fn an_empty_section_is_its_empty_line() {
        assert_eq!(SectionEnd::default().find(b"\r\nrest"), Ok(Some(2)));
    }

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        for section in [&b"\n"[..], b"a: b\n\r\n", b"a: b\r\n\n", b"\r\r\n\n"] {
            let mut end = SectionEnd::default();
            assert_eq!(end.find(section), Err(BareLineFeed), "{section:?}");
        }
    }
}
