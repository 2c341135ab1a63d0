//! Heads: a request's in the h2 crate's terms, and a response's out of them.

use bytes::Bytes;

use crate::{
    http::{
        Error, HeaderMap, StatusCode,
        body::Length,
        chunked,
        h2::fields::{self, from_h2, to_h2},
        header,
    },
    transport::{
        Cause, Outgoing,
        h1::head::{MAX_FIELDS, MAX_HEAD, has_content_as_a_rule},
    },
};

/// What a field takes in HTTP/1.1 beyond its name and value.
const PUNCTUATION: usize = ": \r\n".len();

/// The head of a request; `None` if it cannot be one in HTTP/2.
pub fn request(request: &Outgoing, is_tls: bool) -> Option<::http::Request<()>> {
    let host = request.headers.get(header::HOST)?;
    let target = ::http::uri::PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(request.target.as_bytes()));
    let scheme = if is_tls { ::http::uri::Scheme::HTTPS } else { ::http::uri::Scheme::HTTP };
    let uri = ::http::Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(target.ok()?);
    let mut fields = to_h2(&request.headers, |name| *name == header::HOST);
    append_lines(&request.added, &mut fields)?;
    match request.body.length() {
        Length::Exact(length) => drop(fields.insert(::http::header::CONTENT_LENGTH, length.into())),
        Length::None if has_content_as_a_rule(&request.method) => {
            fields.insert(::http::header::CONTENT_LENGTH, 0.into());
        }
        Length::None | Length::Chunked => {}
    }
    keep_from_tables(&mut fields);
    let mut head = ::http::Request::new(());
    *head.method_mut() = ::http::Method::from_bytes(request.method.as_str().as_bytes()).ok()?;
    *head.uri_mut() = uri.build().ok()?;
    *head.version_mut() = ::http::Version::HTTP_2;
    *head.headers_mut() = fields;
    Some(head)
}

/// Lines as they were written for HTTP/1.1, without what belongs to a connection of it.
fn append_lines(lines: &[u8], fields: &mut ::http::HeaderMap) -> Option<()> {
    let lines = Bytes::copy_from_slice(lines);
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = ::http::HeaderName::from_bytes(&line[..colon]).ok()?;
        if name == ::http::header::CONNECTION {
            continue;
        }
        let value = lines.slice_ref(line[colon + 1..].trim_ascii());
        fields.append(name, ::http::HeaderValue::from_maybe_shared(value).ok()?);
    }
    Some(())
}

/// Many clients share a connection, and its table of fields: nobody is to find out by guessing what is another's
/// (RFC 7541, 7.1).
fn keep_from_tables(fields: &mut ::http::HeaderMap) {
    use ::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        if let ::http::header::Entry::Occupied(mut values) = fields.entry(name) {
            values.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

/// The head of an answer, interim or final.
///
/// # Errors
/// It is too large, or would be read otherwise in HTTP/1.1.
pub fn answer(status: ::http::StatusCode, fields: &::http::HeaderMap) -> Result<(StatusCode, HeaderMap), Cause> {
    let sizes = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + PUNCTUATION);
    if fields.len() > MAX_FIELDS || sizes.sum::<usize>() > MAX_HEAD {
        return Err(Cause::TooLarge);
    }
    let status = StatusCode::from_u16(status.as_u16()).ok().filter(|status| status.as_u16() < 600);
    let status = status.ok_or(Cause::Malformed("a status that is none"))?;
    Ok((status, from_h2(fields).map_err(malformed)?.0))
}

fn malformed(error: Error) -> Cause {
    match error {
        Error::Malformed { what } => Cause::Malformed(what),
        _ => Cause::Malformed("malformed fields"),
    }
}

/// Trailers of an answer, as far as they may be some.
pub fn trailers(fields: &::http::HeaderMap) -> Option<HeaderMap> {
    let (mut trailers, _) = fields::from_h2(fields).ok()?;
    trailers.retain(|name, _| chunked::may_trail(name));
    (!trailers.is_empty()).then_some(trailers)
}

/// Trailers of a request.
pub fn to_trailers(fields: &HeaderMap) -> ::http::HeaderMap {
    to_h2(fields, |name| !chunked::may_trail(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{HeaderName, HeaderValue, Method, RequestBody},
        transport::Timeouts,
    };

    fn outgoing(method: Method, fields: &[(&'static str, &'static str)], added: &str) -> Outgoing {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Outgoing {
            method,
            target: "/a?b".into(),
            headers,
            added: added.as_bytes().to_vec(),
            body: RequestBody::empty(),
            upgrade: None,
            timeouts: Timeouts { connect: None, first_byte: None, idle: None, total: None },
            fresh: false,
            preamble: None,
            downstream: None,
            connected: None,
        }
    }

    fn told(head: &::http::Request<()>) -> Vec<String> {
        let text = |value: &::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        head.headers().iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
    }

    #[test]
    fn the_host_is_the_authority_and_nothing_of_a_connection_is_left() {
        let fields = [("host", "a.example:81"), ("accept", "*/*"), ("connection", "x"), ("keep-alive", "timeout=5")];
        let added = "te: trailers\r\nconnection: te\r\nvia: 1.1 aqueduct\r\nx-forwarded-for: ::1\r\n";

        let head = request(&outgoing(Method::GET, &fields, added), true).expect("a head");

        assert_eq!(head.uri(), "https://a.example:81/a?b");
        assert_eq!(told(&head), ["accept: */*", "te: trailers", "via: 1.1 aqueduct", "x-forwarded-for: ::1"]);
    }

    #[test]
    fn a_method_with_content_as_a_rule_says_that_there_is_none() {
        for (method, expected) in [(Method::POST, Some("0")), (Method::GET, None)] {
            let head = request(&outgoing(method, &[("host", "a")], ""), false).expect("a head");
            let length = head.headers().get("content-length").map(|value| value.to_str().expect("digits"));
            assert_eq!(length, expected);
        }
    }

    #[test]
    fn what_proves_who_a_client_is_is_never_put_into_tables() {
        let fields = [("host", "a"), ("cookie", "a=1; b=2"), ("authorization", "Basic x"), ("accept", "*/*")];
        let head = request(&outgoing(Method::GET, &fields, ""), false).expect("a head");

        for (name, value) in head.headers() {
            assert_eq!(value.is_sensitive(), *name != "accept", "{name}");
        }
    }

    #[test]
    fn a_host_that_is_no_authority_cannot_be_sent() {
        for host in ["a b", "a/b", ""] {
            let mut request = outgoing(Method::GET, &[], "");
            request.headers.insert(header::HOST, HeaderValue::from_static(host));
            assert!(super::request(&request, false).is_none(), "{host:?}");
        }
    }

    #[test]
    fn an_answer_has_the_limits_that_it_has_in_http_1_1() {
        let mut fields = ::http::HeaderMap::new();
        fields.insert("a", "x".repeat(MAX_HEAD - 5).parse().expect("a value"));
        assert!(answer(::http::StatusCode::OK, &fields).is_ok());
        fields.insert("b", "".parse().expect("a value"));
        assert!(matches!(answer(::http::StatusCode::OK, &fields), Err(Cause::TooLarge)));
        fields.clear();
        for _ in 0..=MAX_FIELDS {
            fields.append("a", "b".parse().expect("a value"));
        }
        assert!(matches!(answer(::http::StatusCode::OK, &fields), Err(Cause::TooLarge)));
    }
}
