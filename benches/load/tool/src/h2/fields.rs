//! Blocks of fields (HPACK, RFC 7541), as clients write them that know what they have sent before: the first request of a
//! connection spells its fields out to be remembered, those after it refer to them.

use crate::http::Fault;

/// Entries of the table both sides know: RFC 7541, appendix A.
pub const GET: u8 = 0x82;
pub const POST: u8 = 0x83;
pub const HTTP: u8 = 0x86;
pub const HTTPS: u8 = 0x87;
pub const STATUS_200: u8 = 0x88;
pub const AUTHORITY: Name = Name::Known(1);
const PATH: Name = Name::Known(4);
pub const ACCEPT: Name = Name::Known(19);
pub const CONTENT_TYPE: Name = Name::Known(31);
pub const USER_AGENT: Name = Name::Known(58);
const LAST_KNOWN: u8 = 61;

/// Forms of a field that is spelled out: forgotten at once, or remembered for later blocks.
const FORGOTTEN: Form = Form { bits: 0x00, most: 0x0f };
const REMEMBERED: Form = Form { bits: 0x40, most: 0x3f };

struct Form {
    bits: u8,
    /// The greatest number that fits beside the bits.
    most: u8,
}

#[derive(Clone, Copy)]
pub enum Name {
    Known(u8),
    Spelled(&'static str),
}

/// A request's fields: in the first of a connection, and in those after it.
pub struct Blocks {
    pub first: Vec<u8>,
    pub later: Vec<u8>,
}

impl Blocks {
    /// Paths differ from request to request, so no client has them remembered; `kept` are the fields that do not.
    pub fn of(known: &[u8], path: &str, kept: &[(Name, &str)]) -> Self {
        let mut first = known.to_vec();
        field(&mut first, FORGOTTEN, PATH, path);
        let mut later = first.clone();
        for (index, (name, value)) in kept.iter().enumerate() {
            field(&mut first, REMEMBERED, *name, value);
            // The newest of the remembered has the lowest number.
            later.push(0x80 | (LAST_KNOWN + (kept.len() - index) as u8));
        }
        Self { first, later }
    }
}

/// A block of its own for each message, as of servers that remember nothing.
pub fn block(known: &[u8], fields: &[(Name, &str)]) -> Vec<u8> {
    let mut block = known.to_vec();
    for (name, value) in fields {
        field(&mut block, FORGOTTEN, *name, value);
    }
    block
}

fn field(block: &mut Vec<u8>, form: Form, name: Name, value: &str) {
    match name {
        Name::Known(number) if number < form.most => block.push(form.bits | number),
        Name::Known(number) => block.extend_from_slice(&[form.bits | form.most, number - form.most]),
        Name::Spelled(name) => {
            block.push(form.bits);
            text(block, name);
        }
    }
    text(block, value);
}

/// Without Huffman's code; what is longer would need more than a byte for its length.
fn text(block: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 127);
    block.push(text.len() as u8);
    block.extend_from_slice(text.as_bytes());
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
    fn names_are_numbers_or_spelled_out() {
        let fields = [(CONTENT_TYPE, "x"), (Name::Spelled("te"), "y")];

        // 31 is 15 and 16 more.
        assert_eq!(block(&[STATUS_200], &fields), b"\x88\x0f\x10\x01x\x00\x02te\x01y");
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
