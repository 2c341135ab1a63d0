//! Cookies of our own (RFC 6265): found, taken out, and set.

use std::time::Duration;

use super::{HeaderMap, HeaderValue, header};

/// The values of all cookies of this name. There may be several: one that is set for a parent domain comes, too.
pub fn values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(header::COOKIE).flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| value(pair, name))
}

/// Takes all cookies of this name out; the others stay as they came.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    if values(headers, name).next().is_none() {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        let pairs = line.as_bytes().split(|byte| *byte == b';');
        let left: Vec<_> = pairs.filter(|pair| value(pair, name).is_none()).map(<[u8]>::trim_ascii).collect();
        // What is left of a valid value is one.
        match HeaderValue::from_bytes(&left.join(&b"; "[..])) {
            Ok(left) if !left.is_empty() => headers.append(header::COOKIE, left),
            _ => {}
        }
    }
}

/// A cookie that we set ourselves, and renew as long as the client comes. Its value is some bytes, of which the first four say until
/// when it lasts, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCookie {
    /// What it is called.
    pub name: String,
    /// How long it lasts from when it is set.
    pub ttl: Duration,
}

/// How a cookie of ours lasts, from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// For a while yet.
    Long,
    /// Past half of its time, or for longer than cookies do by now: it is to be set again.
    Short,
}

impl OwnCookie {
    /// Until when one lasts that is set at this time (since 1970), in seconds.
    pub fn until(&self, now: Duration) -> [u8; 4] {
        u32::try_from((now + self.ttl).as_secs()).unwrap_or(u32::MAX).to_be_bytes()
    }

    /// How one lasts that says so; `None` if it is over.
    pub fn lasting(&self, until: [u8; 4], now: Duration) -> Option<Lasting> {
        let left = Duration::from_secs(u32::from_be_bytes(until).into()).checked_sub(now)?;
        let is_long = (self.ttl / 2..=self.ttl).contains(&left);
        (!left.is_zero()).then_some(if is_long { Lasting::Long } else { Lasting::Short })
    }

    /// Sets it: for every path of this host, out of the reach of scripts, sent with links from other sites but not with what
    /// these load from here. The answer is for this client alone then: a cache that answers others must not keep it.
    pub fn set(&self, value: &[u8], secure: bool, answer: &mut HeaderMap) {
        let Self { name, ttl } = self;
        let secure = if secure { "; Secure" } else { "" };
        let (value, ttl) = (digits(value), ttl.as_secs());
        let text = format!("{name}={value}; Path=/; Max-Age={ttl}; HttpOnly; SameSite=Lax{secure}");
        let Ok(cookie) = HeaderValue::try_from(text) else { return };
        answer.append(header::SET_COOKIE, cookie);
        if answer.get_all(header::CACHE_CONTROL).all(|line| line.as_bytes() != b"private") {
            answer.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        }
    }
}

/// So many bytes in hexadecimal digits, written as we write them: one cookie has one value.
pub fn bytes<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    if value.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(value.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    let value = HEXADECIMAL.iter().position(|known| *known == digit)?;
    u8::try_from(value).ok()
}

fn digits(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(HEXADECIMAL[usize::from(nibble)])).collect()
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

fn value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn cookies_are_found_on_all_lines() {
        let headers = of(&["a=1; srv=x;srv=", "xsrv=2; srvx=3", "srv=y=z ; b"]);

        assert_eq!(values(&headers, "srv").collect::<Vec<_>>(), [&b"x"[..], b"", b"y=z"]);
    }

    #[test]
    fn a_cookie_of_ours_lasts_to_the_second_and_is_short_past_half_of_its_time() {
        let at = |second: u64| Duration::from_secs(1_800_000_000 + second);
        let cookie = OwnCookie { name: "srv".into(), ttl: Duration::from_secs(3600) };
        let until = cookie.until(at(0));

        for (second, expected) in [
            (0, Some(Lasting::Long)),
            (1800, Some(Lasting::Long)),
            (1801, Some(Lasting::Short)),
            (3599, Some(Lasting::Short)),
            (3600, None),
            (9999, None),
        ] {
            assert_eq!(cookie.lasting(until, at(second)), expected, "after {second} s");
        }
        let shorter = OwnCookie { ttl: Duration::from_secs(60), ..cookie };
        assert_eq!(shorter.lasting(until, at(0)), Some(Lasting::Short), "cookies last less by now");
    }

    #[test]
    fn a_cookie_is_taken_out_and_the_others_stay() {
        for (before, after) in [
            (&["srv=x"][..], &[][..]),
            (&["srv=x; a=1"], &["a=1"]),
            (&["a=1; srv=x; b=\"2; 3"], &["a=1; b=\"2; 3"]),
            (&["a=1;b=2", "srv=x", "c=3; srv=y"], &["a=1; b=2", "c=3"]),
            (&["a=1;b=2"], &["a=1;b=2"]),
            (&[], &[]),
        ] {
            let mut headers = of(before);

            remove(&mut headers, "srv");

            let left: Vec<_> = headers.get_all(header::COOKIE).map(HeaderValue::as_bytes).collect();
            assert_eq!(left, after.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(), "{before:?}");
        }
    }
}
