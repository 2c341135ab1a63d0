//! A list of fields as it is decoded: what makes a request of it, and what is wrong with it (RFC 9113, 8.2 and 8.3).

use std::{borrow::Cow, mem};

use bytes::Bytes;

use crate::http::{
    HeaderMap, HeaderName, HeaderValue, Marks,
    h2::fields::is_connection_specific,
    header,
    hpack::{Field, Pseudo},
    scratch,
};

/// What a list says.
#[derive(Debug)]
pub struct Fields {
    /// `:method`
    pub method: Option<Bytes>,
    /// `:scheme`
    pub scheme: Option<Bytes>,
    /// `:authority`
    pub authority: Option<Bytes>,
    /// `:path`
    pub path: Option<Bytes>,
    /// `:protocol` (RFC 8441, 4)
    pub protocol: Option<Bytes>,
    /// All others.
    pub headers: HeaderMap,
    /// What their names tell.
    pub marks: Marks,
    /// There were more of them than there may be, which were thrown away.
    pub is_too_large: bool,
    /// A value begins or ends with what HTTP/1.1 would not read as a part of it (RFC 9113, 8.2.1).
    pub is_padded: bool,
    /// Bytes of names and values, as in HTTP/1.1.
    pub size: usize,
    flaw: Option<&'static str>,
    has_plain: bool,
    most: usize,
    most_bytes: usize,
    count: usize,
    cookie: Option<HeaderValue>,
    /// Cookies that came apart (RFC 9113, 8.2.3).
    crumbs: Vec<u8>,
}

impl Fields {
    /// An empty list, which keeps so many fields and bytes.
    pub(in crate::edge::h2) fn within(most: usize, most_bytes: usize) -> Self {
        Self {
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            headers: scratch::map(),
            marks: Marks::default(),
            is_too_large: false,
            is_padded: false,
            size: 0,
            flaw: None,
            has_plain: false,
            most,
            most_bytes,
            count: 0,
            cookie: None,
            crumbs: Vec::new(),
        }
    }

    pub(in crate::edge::h2) fn take(&mut self, field: Cow<'_, Field>) {
        if let Field::Plain(name, marks, value) = &*field
            && !self.has_room(name, *marks, value)
        {
            return;
        }
        match field.into_owned() {
            Field::Plain(name, marks, value) => self.plain(name, marks, value),
            Field::Pseudo(pseudo, value) => self.pseudo(pseudo, value),
            Field::BadName => self.flaw = Some("a malformed field name"),
            Field::BadValue(..) => self.flaw = Some("a malformed field value"),
        }
    }

    fn pseudo(&mut self, pseudo: Pseudo, value: Bytes) {
        let known = match pseudo {
            Pseudo::Method => &mut self.method,
            Pseudo::Scheme => &mut self.scheme,
            Pseudo::Authority => &mut self.authority,
            Pseudo::Path => &mut self.path,
            Pseudo::Protocol => &mut self.protocol,
            Pseudo::Status | Pseudo::Unknown => return self.flaw = Some("an unknown pseudo-field"),
        };
        if known.replace(value).is_some() || self.has_plain {
            self.flaw = Some("a pseudo-field twice, or behind a field");
        }
    }

    /// Counts a field, and looks at its name; `false` if it is not to be kept.
    fn has_room(&mut self, name: &HeaderName, marks: Marks, value: &HeaderValue) -> bool {
        self.has_plain = true;
        if marks.has(Marks::HOP_BY_HOP) {
            let is_allowed = if *name == header::TE { value == "trailers" } else { !is_connection_specific(name) };
            if !is_allowed {
                self.flaw = Some("a field of a connection");
            }
        }
        self.count += 1;
        self.size += name.as_str().len() + value.len() + PUNCTUATION;
        if self.count > self.most || self.size > self.most_bytes {
            self.is_too_large = true;
            // The refusal is written as its client can read it.
            let tells_how = (*name == header::ACCEPT || *name == header::CONTENT_TYPE) && value.len() <= SHORT;
            if tells_how && !self.headers.contains_key(name) {
                self.headers.append(name.clone(), value.clone());
            }
        }
        !self.is_too_large
    }

    fn plain(&mut self, name: HeaderName, marks: Marks, value: HeaderValue) {
        let (first, last) = (value.as_bytes().first(), value.as_bytes().last());
        self.is_padded |= [first, last].into_iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'));
        self.marks = self.marks.and(marks);
        if name == header::COOKIE {
            self.cookie(value);
        } else {
            self.headers.append(name, value);
        }
    }

    fn cookie(&mut self, value: HeaderValue) {
        let Some(first) = &self.cookie else { return self.cookie = Some(value) };
        if self.crumbs.is_empty() {
            self.crumbs.extend_from_slice(first.as_bytes());
        }
        self.crumbs.extend_from_slice(b"; ");
        self.crumbs.extend_from_slice(value.as_bytes());
    }

    /// All has come: what came apart is one again.
    pub(in crate::edge::h2) fn end(&mut self) {
        let Some(cookie) = self.cookie.take() else { return };
        let cookie = match mem::take(&mut self.crumbs) {
            crumbs if crumbs.is_empty() => cookie,
            crumbs => HeaderValue::from_maybe_shared(Bytes::from(crumbs)).unwrap_or(cookie),
        };
        self.headers.append(header::COOKIE, cookie);
    }

    /// They are a request, however good (RFC 9113, 8.3.1 and 8.5; RFC 8441, 4).
    pub(in crate::edge::h2) fn make_a_request(&self) -> Result<(), &'static str> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        let method = self.method.as_ref().ok_or("no :method")?;
        let is_connect = method.as_ref() == b"CONNECT";
        match (is_connect, &self.protocol) {
            (true, None) if self.scheme.is_some() || self.path.is_some() => Err("a CONNECT with more than :authority"),
            (true, None) => Ok(()),
            (false, Some(_)) => Err(":protocol without CONNECT"),
            _ if self.scheme.is_none() => Err("no :scheme"),
            _ if self.path.is_none() => Err("no :path"),
            _ => Ok(()),
        }
    }

    /// They may stand behind content (RFC 9113, 8.1).
    pub(in crate::edge::h2) fn make_trailers(&self) -> bool {
        let pseudo = [&self.method, &self.scheme, &self.authority, &self.path, &self.protocol];
        self.flaw.is_none() && !self.is_too_large && !self.is_padded && pseudo.iter().all(|pseudo| pseudo.is_none())
    }
}

/// `: ` and the line's end.
const PUNCTUATION: usize = 4;
/// Bytes of a value that is kept though there is no room for it.
const SHORT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::hpack::{Decoder, Encoder};

    fn fields(lines: &[(&'static str, &str)], most: usize, most_bytes: usize) -> Fields {
        let (mut encoder, mut block) = (Encoder::default(), Vec::new());
        for (name, value) in lines {
            encoder.field(&HeaderName::from_static(name), value.as_bytes(), &mut block);
        }
        let mut fields = Fields::within(most, most_bytes);
        Decoder::default().decode(&block, |_, field| fields.take(field)).expect("it is a block");
        fields.end();
        fields
    }

    #[test]
    fn cookies_that_came_apart_are_one_line() {
        let fields = fields(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("x", "z"), ("cookie", "c")], 9, 999);

        let all =
            |name: &str| fields.headers.get_all(name).map(|value| value.to_str().expect("text")).collect::<Vec<_>>();
        assert_eq!((all("cookie"), all("x")), (vec!["a=1; b=2; c"], vec!["y", "z"]));
    }

    #[test]
    fn what_is_too_much_is_not_kept_but_for_how_to_say_so() {
        for (most, most_bytes) in [(2, 999), (9, 18)] {
            let list = [("a", "1"), ("b", "22"), ("c", "333"), ("accept", "text/html"), ("d", "4")];
            let fields = fields(&list, most, most_bytes);

            assert!(fields.is_too_large);
            let mut kept: Vec<_> = fields.headers.keys().map(HeaderName::as_str).collect();
            kept.sort_unstable();
            assert_eq!(kept, ["a", "accept", "b"]);
        }
    }

    #[test]
    fn what_would_be_read_otherwise_in_http_1_1_is_told_of() {
        for (value, is_padded) in
            [(" a", true), ("a ", true), ("\ta", true), ("a\t", true), ("a\tb c", false), ("", false)]
        {
            assert_eq!(fields(&[("x", value)], 9, 999).is_padded, is_padded, "{value:?}");
        }
    }
}
