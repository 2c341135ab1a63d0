//! Blocks of fields (HPACK, RFC 7541), as clients write them that know what they have sent before: the first request of a
//! connection spells its fields out to be remembered, those after it refer to them.

use crate::http::Fault;

/// Entries of the table both sides know: RFC 7541, appendix A.
pub const GET: u8 = 0x82;
pub const HTTPS: u8 = 0x87;
pub const PATH: u8 = 4;
pub const AUTHORITY: u8 = 1;
pub const ACCEPT: u8 = 19;
pub const USER_AGENT: u8 = 58;
const STATUS_200: u8 = 0x88;
const LAST_KNOWN: u8 = 61;

/// A request's fields: in the first of a connection, and in those after it.
pub struct Blocks {
    pub first: Vec<u8>,
    pub later: Vec<u8>,
}

impl Blocks {
    /// Paths differ from request to request, so no client has them remembered; `kept` are the fields that do not.
    pub fn of(known: &[u8], path: &str, kept: &[(u8, &str)]) -> Self {
        let mut first = known.to_vec();
        field(&mut first, 0x00, PATH, path);
        let mut later = first.clone();
        for (index, (name, value)) in kept.iter().enumerate() {
            field(&mut first, 0x40, *name, value);
            // The newest of the remembered has the lowest number.
            later.push(0x80 | (LAST_KNOWN + (kept.len() - index) as u8));
        }
        Self { first, later }
    }
}

/// A field that is spelled out; the form says whether it is to be remembered.
fn field(block: &mut Vec<u8>, form: u8, name: u8, value: &str) {
    block.push(form | name);
    // Without Huffman's code; what is longer would need more than a byte for its length.
    debug_assert!(value.len() < 127);
    block.push(value.len() as u8);
    block.extend_from_slice(value.as_bytes());
}

/// Whether a response begins with status 200, which is one byte behind changes of the table's size.
pub fn check_status(block: &[u8]) -> Result<(), Fault> {
    let mut rest = block;
    while let Some((&first, after)) = rest.split_first().filter(|(first, _)| **first & 0xe0 == 0x20) {
        rest = after;
        // A size of 31 and more goes on in bytes of which only the last has no high bit.
        if first & 0x1f == 0x1f {
            let end = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |at| at + 1);
            rest = &rest[end..];
        }
    }
    match rest.first() {
        Some(&STATUS_200) => Ok(()),
        _ => Err(Fault::Status(format!("fields that begin {:02x?}, not with 200", &rest[..rest.len().min(8)]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_requests_refer_to_what_the_first_has_spelled_out() {
        let Blocks { first, later } = Blocks::of(&[GET, HTTPS], "/p", &[(AUTHORITY, "a"), (ACCEPT, "b")]);

        assert_eq!(first, b"\x82\x87\x04\x02/p\x41\x01a\x53\x01b");
        // The last that was remembered is 62, the one before it 63.
        assert_eq!(later, b"\x82\x87\x04\x02/p\xbf\xbe");
    }

    #[test]
    fn only_status_200_counts() {
        for (block, counts) in [
            (&b"\x88\x5f\x01x"[..], true),
            (b"\x20\x88", true),
            (b"\x3f\xe1\x1f\x88", true),
            (b"\x8d", false),
            (b"\x48\x03502", false),
            (b"\x20", false),
            (b"", false),
        ] {
            assert_eq!(check_status(block).is_ok(), counts, "{block:02x?}");
        }
    }
}
