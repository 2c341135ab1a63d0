//! What a client takes (RFC 9110, 12.5.3).

use super::Coding;
use crate::http::{HeaderMap, header, headers};

/// What to send a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The coding; `None` is none.
    pub coding: Option<Coding>,
    /// The client would rather not have it plain.
    pub plain_is_refused: bool,
}

/// The coding that the client likes best, the first of those that it likes alike.
pub fn choose(asked: &HeaderMap, offered: &[Coding]) -> Choice {
    let (mut any, mut plain, mut weights) = (None, None, [None::<u16>; 3]);
    for member in headers::list(asked, &header::ACCEPT_ENCODING).take(MOST_MEMBERS) {
        let (name, weight) = parts(member);
        match name {
            b"*" => any = any.or(Some(weight)),
            name if name.eq_ignore_ascii_case(b"identity") => plain = plain.or(Some(weight)),
            name => {
                for coding in CODINGS.into_iter().filter(|coding| is_called(*coding, name)) {
                    let known = &mut weights[coding as usize];
                    *known = known.or(Some(weight));
                }
            }
        }
    }
    let weight = |coding: Coding| weights[coding as usize].or(any).unwrap_or(0);
    let mut best: Option<Coding> = None;
    for coding in offered.iter().copied().filter(|coding| weight(*coding) > 0) {
        if best.is_none_or(|best| weight(coding) > weight(best)) {
            best = Some(coding);
        }
    }
    // Plain is always good, but where it is said how good.
    let best = best.filter(|best| plain.is_none_or(|plain| plain <= weight(*best)));
    Choice { coding: best, plain_is_refused: plain.or(any) == Some(0) }
}

/// Who lists more is not read to the end.
const MOST_MEMBERS: usize = 64;

const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

fn is_called(coding: Coding, name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    is(coding.name()) || (coding == Coding::Gzip && is("x-gzip"))
}

/// The name and its weight in thousandths; what is no weight is none.
fn parts(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let weight = match (parts.next(), parts.next()) {
        (None, _) => Some(1000),
        (Some([b'q' | b'Q', b'=', weight @ ..]), None) => thousandths(weight),
        _ => None,
    };
    (name, weight.unwrap_or(0))
}

/// `0.8` is 800 (RFC 9110, 12.4.2).
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, digits) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => (whole, digits),
        _ => return None,
    };
    let digit = |at: usize| digits.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let part = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(part),
        b'1' if part == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderValue;

    #[test]
    fn the_coding_is_the_one_that_the_client_likes_best() {
        use Coding::*;
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, br", Some(Br)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*, zstd;q=0", Some(Br)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("gzip; q=0.5 , br ;q=0.8", Some(Br)),
            ("br;q=0.001", Some(Br)),
            ("gzip;q=0.5, identity;q=0.5", Some(Gzip)),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("*;q=0", None),
            ("identity", None),
            ("deflate", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=-1", None),
            ("gzip;q=0.5000", None),
            ("gzip;q=", None),
            ("gzip;x=1", None),
            ("gzip;q=0;q=1", None),
            ("gzip, gzip;q=0", Some(Gzip)),
            ("gzipped, xbr", None),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));

            assert_eq!(choose(&asked, &[Zstd, Br, Gzip]).coding, expected, "{accept}");
        }
    }

    #[test]
    fn only_what_is_offered_is_chosen_and_who_says_nothing_gets_it_plain() {
        let plain = Choice { coding: None, plain_is_refused: false };
        assert_eq!(choose(&HeaderMap::new(), &[Coding::Gzip]), plain);
        for (accept, coding, plain_is_refused) in [
            ("br, gzip;q=0.1", Some(Coding::Gzip), false),
            ("br", None, false),
            ("gzip, identity;q=0", Some(Coding::Gzip), true),
            ("gzip, *;q=0", Some(Coding::Gzip), true),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));

            assert_eq!(choose(&asked, &[Coding::Gzip]), Choice { coding, plain_is_refused }, "{accept}");
        }
    }
}
