//! Integers (RFC 7541, 5.1): what fits into the rest of a byte, or more bytes of seven bits each.

/// Takes one off the front, of which the first byte has `prefix` bits; `None` if it is cut off, or larger than anything here.
pub fn take(input: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, mut rest) = input.split_first()?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&next, more) = rest.split_first()?;
            rest = more;
            value += (usize::from(next) & 0x7f) << shift;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
            if shift > MOST_SHIFT {
                return None;
            }
        }
    }
    *input = rest;
    Some(value)
}

/// Four more bytes, 28 bits: no size or length here is as large.
const MOST_SHIFT: u32 = 21;

/// Writes one behind the bits that say what it is.
pub fn put(what: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    if value < most {
        return out.push(what | value as u8);
    }
    out.push(what | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (value, prefix, bytes) in
            [(10, 5, &[0b0_1010][..]), (1337, 5, &[0b1_1111, 0b1001_1010, 0b0000_1010]), (42, 8, &[0b0010_1010])]
        {
            let mut out = Vec::new();
            put(0, prefix, value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(take(&mut &bytes[..], prefix), Some(value));
        }
    }

    #[test]
    fn whatever_is_written_is_read_and_what_follows_is_left() {
        for prefix in 4..=8 {
            for value in (0..600).chain([16_383, 16_384, 1 << 20, (1 << 28) - 1]) {
                let mut out = Vec::new();
                put(0, prefix, value, &mut out);
                out.push(0xaa);
                let mut input = &out[..];
                assert_eq!((take(&mut input, prefix), input), (Some(value), &[0xaa][..]), "{value}, {prefix} bits");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_without_end_is_none() {
        for bytes in
            [&[][..], &[0x1f], &[0x1f, 0x80], &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x01], &[0x1f, 0x80, 0x80, 0x80, 0x80, 0]]
        {
            let mut input = bytes;
            assert_eq!(take(&mut input, 5), None, "{bytes:02x?}");
        }
    }
}
