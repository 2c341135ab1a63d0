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
    let lines: Vec<HeaderValue> = headers.remove(header::COOKIE).collect();
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

/// `Set-Cookie` for every path of this host, out of the reach of scripts, to be sent with links from other sites but not
/// with what these load from here.
pub fn set(name: &str, value: &str, ttl: Duration, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", ttl.as_secs());
    HeaderValue::try_from(text).ok()
}

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
