//! Sections of field lines (heads, trailers): where they end, and how they become a map. Used for both directions.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{HeaderMap, HeaderName, HeaderValue, scratch};

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
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(source.slice_ref(line.value)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
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
