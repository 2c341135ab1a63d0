//! Sections of field lines (heads, trailers): where they end, and how they become a map. Used for both directions.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::{HeaderMap, HeaderName, HeaderValue, Marks, header, headers, scratch, search};

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

/// Where each line of a section ends: at its CR. The empty line is not among them. Few sections have more lines than
/// there is room for in place.
pub type LineEnds = SmallVec<[u32; 40]>;

impl SectionEnd {
    /// How many bytes the section has, the empty line included, and in `lines` where its lines end; `None` while it is
    /// not all there. `section` is the section from its first byte; it may only have grown since the last call, and is
    /// less than 4 GiB.
    ///
    /// # Errors
    /// A line does not end in CRLF.
    pub fn find(&mut self, section: &[u8], lines: &mut LineEnds) -> Result<Option<usize>, BareLineFeed> {
        let came_in_parts = self.line_start > 0;
        lines.clear();
        while let Some(offset) = search::position(b'\n', &section[self.scanned..]) {
            let feed = self.scanned + offset;
            if feed == self.line_start || section[feed - 1] != b'\r' {
                return Err(BareLineFeed);
            }
            let is_empty_line = feed - 1 == self.line_start;
            self.scanned = feed + 1;
            self.line_start = feed + 1;
            if is_empty_line && came_in_parts {
                // Where the lines ended that came before is not kept for those who are slow.
                return Self::default().find(section, lines);
            }
            if is_empty_line {
                return Ok(Some(feed + 1));
            }
            lines.push((feed - 1) as u32);
        }
        self.scanned = section.len();
        Ok(None)
    }
}

/// Why a line is no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadField {
    /// No colon, or before it what no name is made of; that includes a space in front of the colon, and a line that
    /// continues the one before it (RFC 9112, 5.1 and 5.2).
    Name,
    /// A control character.
    Value,
}

impl BadField {
    /// What is wrong.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "a malformed field name",
            Self::Value => "a malformed field value",
        }
    }
}

/// Makes a map of the field lines from `start` on, which end where `lines` says, and marks what is in it. Values are slices
/// of `source`: nothing is copied but names that are not registered ones.
///
/// # Errors
/// What is wrong with the first line that is no field.
pub fn collect(source: &Bytes, mut start: usize, lines: &[u32]) -> Result<(HeaderMap, Marks), BadField> {
    let (mut fields, mut marks) = (scratch::map(), Marks::default());
    for &end in lines {
        let end = end as usize;
        let colon = start + search::position(b':', &source[start..end]).ok_or(BadField::Name)?;
        let (name, told) = name(&source[start..colon]).ok_or(BadField::Name)?;
        let value = source.slice_ref(without_space(&source[colon + 1..end]));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| BadField::Value)?;
        marks = marks.and(told);
        fields.append(name, value);
        start = end + LINE_END;
    }
    Ok((fields, marks))
}

/// Bytes of CRLF.
pub const LINE_END: usize = 2;

/// A value as it is meant: space around it is none of it (RFC 9110, 5.5).
fn without_space(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The name as a type, and what it tells. Those that most messages hold, spelled as most senders do, need no reading letter by
/// letter.
fn name(text: &[u8]) -> Option<(HeaderName, Marks)> {
    let known = match text {
        b"Host" | b"host" => header::HOST,
        b"Date" | b"date" => header::DATE,
        b"ETag" | b"etag" => header::ETAG,
        b"Vary" | b"vary" => header::VARY,
        b"Accept" | b"accept" => header::ACCEPT,
        b"Cookie" | b"cookie" => header::COOKIE,
        b"Server" | b"server" => header::SERVER,
        b"Connection" | b"connection" => return Some((header::CONNECTION, Marks::CONNECTION)),
        b"User-Agent" | b"user-agent" => header::USER_AGENT,
        b"Content-Type" | b"content-type" => header::CONTENT_TYPE,
        b"Authorization" | b"authorization" => header::AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => header::CACHE_CONTROL,
        b"Last-Modified" | b"last-modified" => header::LAST_MODIFIED,
        b"Content-Length" | b"content-length" => return Some((header::CONTENT_LENGTH, Marks::CONTENT_LENGTH)),
        b"Accept-Encoding" | b"accept-encoding" => header::ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => header::ACCEPT_LANGUAGE,
        b"Transfer-Encoding" | b"transfer-encoding" => {
            return Some((header::TRANSFER_ENCODING, Marks::TRANSFER_ENCODING));
        }
        other => {
            // The type lets a quotation mark through, which is no part of a token.
            let letters = headers::marks_of_token(other)?;
            let name = HeaderName::from_bytes(other).ok()?;
            let told = letters.and(Marks::of_name(&name));
            return Some((name, told));
        }
    };
    Some((known, Marks::default()))
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
            let mut lines = LineEnds::new();
            let first = end.find(&section[..cut], &mut lines).expect("no bare line feed");
            let found = first.or_else(|| end.find(section, &mut lines).expect("no bare line feed"));
            assert_eq!((found, &lines[..]), (Some(25), &[15, 21][..]), "cut at {cut}");
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_spelled() {
        let spellings = ["Host", "Date", "ETag", "Vary", "Accept", "Cookie", "Server", "Connection", "User-Agent"];
        let longer =
            ["Content-Type", "Authorization", "Cache-Control", "Last-Modified", "Content-Length", "Accept-Encoding"];
        for text in spellings.iter().chain(&longer).chain(&["Accept-Language", "Transfer-Encoding", "X-Own"]) {
            let expected = HeaderName::from_bytes(text.as_bytes()).expect("a name");
            for spelled in [text.to_string(), text.to_lowercase(), text.to_uppercase()] {
                let told = Marks::of_name(&expected);
                assert_eq!(name(spelled.as_bytes()), Some((expected.clone(), told)), "{spelled}");
            }
        }
        assert_eq!(name(b"a b"), None);
    }

    #[test]
    fn a_name_with_an_underscore_is_told_of() {
        for (line, expected) in [("X_Own: 1", true), ("_: 1", true), ("X-Own: a_b", false), ("Host: a_b", false)] {
            let fields = collect(&Bytes::copy_from_slice(line.as_bytes()), 0, &[line.len() as u32]);
            assert_eq!(fields.map(|(_, marks)| marks.has(Marks::UNDERSCORE)), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_field_is_told_by_its_part() {
        for (line, expected) in [
            ("a: b", Ok("b")),
            ("a:", Ok("")),
            ("a: \t ", Ok("")),
            ("a:\t b c\t", Ok("b c")),
            ("a:b:c", Ok("b:c")),
            ("a: \u{e4}", Ok("\u{e4}")),
            ("a", Err(BadField::Name)),
            ("", Err(BadField::Name)),
            (": b", Err(BadField::Name)),
            ("a : b", Err(BadField::Name)),
            (" a: b", Err(BadField::Name)),
            ("\ta: b", Err(BadField::Name)),
            ("a\"b: c", Err(BadField::Name)),
            ("(a): c", Err(BadField::Name)),
            ("\u{e4}: c", Err(BadField::Name)),
            ("a: b\rc", Err(BadField::Value)),
            ("a: \0", Err(BadField::Value)),
            ("a: \u{7f}", Err(BadField::Value)),
            ("a: \u{b}", Err(BadField::Value)),
        ] {
            let source = Bytes::copy_from_slice(line.as_bytes());
            let fields = collect(&source, 0, &[line.len() as u32]);
            let value = fields.map(|(fields, _)| fields.get("a").map(|value| value.as_bytes().to_vec()));
            assert_eq!(value, expected.map(|value| Some(value.as_bytes().to_vec())), "{line:?}");
        }
    }

    #[test]
    fn every_byte_that_is_in_a_token_is_in_a_name() {
        for byte in 0..=u8::MAX {
            let is_name = name(&[b'a', byte, b'a', byte]).is_some();
            assert_eq!(is_name, crate::http::headers::is_token(&[byte]), "{byte:#x}");
        }
    }

    #[test]
    fn an_empty_section_is_its_empty_line() {
        assert_eq!(SectionEnd::default().find(b"\r\nrest", &mut LineEnds::new()), Ok(Some(2)));
    }

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        for section in [&b"\n"[..], b"a: b\n\r\n", b"a: b\r\n\n", b"\r\r\n\n"] {
            let mut end = SectionEnd::default();
            assert_eq!(end.find(section, &mut LineEnds::new()), Err(BareLineFeed), "{section:?}");
        }
    }
}
