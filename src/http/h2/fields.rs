//! Fields from the types of the h2 crate to ours and back: two versions of one library that share none.

use bytes::{Bytes, BytesMut};

use crate::http::{Error, HeaderMap, HeaderName, HeaderValue, Marks, header, headers, scratch};

/// What came, and what the letters of its names tell. Values share one piece of memory; cookies that came apart are one again (RFC 9113, 8.2.3).
///
/// # Errors
/// A name or a value is none.
pub fn from_h2(fields: &::http::HeaderMap) -> Result<(HeaderMap, Marks), Error> {
    const NAME: Error = Error::Malformed { what: "a malformed field name" };
    const VALUE: Error = Error::Malformed { what: "a malformed field value" };
    let all = together(|| fields.values().map(::http::HeaderValue::as_bytes));
    let (mut ours, mut cookies, mut at) = (scratch::map(), Vec::<&[u8]>::new(), 0);
    let mut marks = Marks::default();
    for (name, value) in fields {
        let text = all.slice(at..at + value.len());
        at += value.len();
        let name = name.as_str().as_bytes();
        marks = marks.and(headers::marks_of_token(name).ok_or(NAME)?);
        // What HTTP/1.1 would read as something else (RFC 9113, 8.2.1).
        if text.trim_ascii().len() != text.len() {
            return Err(VALUE);
        }
        let name = HeaderName::from_bytes(name).map_err(|_| NAME)?;
        if name == header::COOKIE {
            cookies.push(value.as_bytes());
        } else {
            ours.append(name, HeaderValue::from_maybe_shared(text).map_err(|_| VALUE)?);
        }
    }
    if !cookies.is_empty() {
        let cookies = HeaderValue::from_maybe_shared(Bytes::from(cookies.join(&b"; "[..])));
        ours.append(header::COOKIE, cookies.map_err(|_| VALUE)?);
    }
    Ok((ours, marks))
}

/// So many pieces cookies are split into; what comes behind stays together.
const MOST_CRUMBS: usize = 32;

/// What goes out, but for what belongs to a connection of HTTP/1.1 (RFC 9113, 8.2.2) and what is `left_out`. Each cookie
/// has a line of its own (8.2.3).
pub fn to_h2(fields: &HeaderMap, left_out: impl Fn(&HeaderName) -> bool) -> ::http::HeaderMap {
    let goes = |name: &HeaderName| !is_connection_specific(name) && !left_out(name);
    let passed = || fields.iter().filter(|(name, _)| goes(name));
    let all = together(|| passed().map(|(_, value)| value.as_bytes()));
    // A few more than there are, for what is added.
    let (mut theirs, mut at) = (::http::HeaderMap::with_capacity(fields.len() + 2), 0);
    for (name, value) in passed() {
        let text = all.slice(at..at + value.len());
        at += value.len();
        let name = ::http::HeaderName::from_bytes(name.as_str().as_bytes());
        let Ok(name) = name else { continue };
        if name == ::http::header::COOKIE {
            crumbs(&text).for_each(|crumb| append(&mut theirs, name.clone(), crumb));
        } else {
            append(&mut theirs, name, text);
        }
    }
    theirs
}

fn append(fields: &mut ::http::HeaderMap, name: ::http::HeaderName, value: Bytes) {
    match ::http::HeaderValue::from_maybe_shared(value) {
        Ok(value) => drop(fields.append(name, value)),
        Err(_) => log::debug!("a field is left out that is none in HTTP/2"),
    }
}

/// The pieces that are one line again once `; ` is put between them.
fn crumbs(cookies: &Bytes) -> impl Iterator<Item = Bytes> {
    let (mut rest, mut left) = (Some(cookies.clone()), MOST_CRUMBS);
    std::iter::from_fn(move || {
        let mut crumb = rest.take()?;
        left -= 1;
        if left > 0
            && let Some(end) = crumb.windows(2).position(|pair| pair == b"; ")
        {
            rest = Some(crumb.split_off(end + 2));
            crumb.truncate(end);
        }
        Some(crumb)
    })
}

fn together<'v, V: Iterator<Item = &'v [u8]>>(values: impl Fn() -> V) -> Bytes {
    let mut all = BytesMut::with_capacity(values().map(<[u8]>::len).sum());
    values().for_each(|value| all.extend_from_slice(value));
    all.freeze()
}

/// It belongs to a connection of HTTP/1.1 (RFC 9113, 8.2.2).
pub fn is_connection_specific(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(lines: &[(&'static str, &'static [u8])]) -> ::http::HeaderMap {
        let mut fields = ::http::HeaderMap::new();
        for (name, value) in lines {
            let value = ::http::HeaderValue::from_bytes(value).expect("a value");
            fields.append(::http::HeaderName::from_static(name), value);
        }
        fields
    }

    #[test]
    fn cookies_that_came_apart_are_one_line() {
        let ours = from_h2(&theirs(&[("cookie", b"a=1"), ("x", b"y"), ("cookie", b"b=2"), ("x", b"z")]));

        let (ours, _) = ours.expect("nothing wrong");
        assert_eq!(ours.get(header::COOKIE).map(|value| value.as_bytes()), Some(&b"a=1; b=2"[..]));
        assert_eq!(ours.get_all(header::COOKIE).count(), 1);
        let all: Vec<_> = ours.get_all("x").map(|value| value.as_bytes()).collect();
        assert_eq!(all, [b"y", b"z"]);
    }

    #[test]
    fn each_cookie_goes_out_on_a_line_of_its_own_and_all_of_them_can_be_put_together_again() {
        for (line, expected) in [
            ("a=1; b=2; c=3", &["a=1", "b=2", "c=3"][..]),
            ("a=1", &["a=1"]),
            ("a=1;b=2", &["a=1;b=2"]),
            ("a=1; ; b=2", &["a=1", "", "b=2"]),
            ("", &[""]),
        ] {
            let mut ours = HeaderMap::new();
            ours.append(header::COOKIE, HeaderValue::from_static(line));

            let theirs = to_h2(&ours, |_| false);

            let lines: Vec<_> = theirs.get_all("cookie").iter().map(|value| value.to_str().expect("text")).collect();
            assert_eq!(lines, expected);
            let (again, _) = from_h2(&theirs).expect("nothing wrong");
            assert_eq!(again.get(header::COOKIE).map(|value| value.as_bytes()), Some(line.as_bytes()));
        }
    }

    #[test]
    fn a_line_of_many_cookies_is_not_made_as_many_lines() {
        let line = "a=1; ".repeat(1000) + "b=2";
        let mut ours = HeaderMap::new();
        ours.append(header::COOKIE, HeaderValue::from_str(&line).expect("a value"));

        let theirs = to_h2(&ours, |_| false);

        assert_eq!(theirs.len(), MOST_CRUMBS);
        let (again, _) = from_h2(&theirs).expect("nothing wrong");
        assert_eq!(again.get(header::COOKIE).map(|value| value.as_bytes()), Some(line.as_bytes()));
    }

    #[test]
    fn what_would_be_read_otherwise_in_http_1_1_is_refused() {
        for value in [&b" a"[..], b"a ", b"\ta", b"a\t"] {
            assert!(from_h2(&theirs(&[("x", value)])).is_err(), "{value:?}");
        }
        assert!(from_h2(&theirs(&[("x", b"a\tb c")])).is_ok());
        assert!(from_h2(&theirs(&[("x", b"")])).is_ok());
    }

    #[test]
    fn nothing_that_belongs_to_a_connection_goes_out() {
        let mut ours = HeaderMap::new();
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x", "y"] {
            ours.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }

        let theirs = to_h2(&ours, |name| name.as_str() == "y");

        assert_eq!(theirs.keys().map(::http::HeaderName::as_str).collect::<Vec<_>>(), ["x"]);
    }
}
