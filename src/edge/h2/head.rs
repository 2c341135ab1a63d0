//! Request heads, read as strictly as those of HTTP/1.1 (RFC 9113, 8.2 and 8.3). The h2 crate has refused fields of a
//! connection, upper case, pseudo-fields that are missing, doubled, unknown or too late, and lists over their size.

use h2::ext::Protocol;

use super::websocket::Upgrade;
use crate::{
    edge::{h1::head::Head, limits::Limits},
    http::{
        Error, HeaderMap, HeaderValue, Marks, Method, Refusal, StatusCode, Uri, Version, body::Length, framing,
        h2::fields, header, request_line,
    },
};

/// A request, and how it is to be answered where it asks for more than an answer.
pub struct Asked {
    pub head: Head,
    /// It asks for a WebSocket.
    pub upgrade: Option<Upgrade>,
}

/// Why a request is refused, and what was understood of it.
pub type Refused = Box<(Error, Head)>;

/// The head of a request; `has_ended` if no body follows.
///
/// # Errors
/// Which rule or limit it breaks.
pub fn read(parts: ::http::request::Parts, has_ended: bool, limits: &Limits) -> Result<Asked, Refused> {
    let mut head = Head {
        method: Method::from_bytes(b"-").unwrap_or_default(),
        uri: Uri::from_static("-"),
        version: Version::HTTP_2,
        headers: HeaderMap::new(),
        length: Length::None,
        keeps_alive: true,
        expects_continue: false,
    };
    match fill(&mut head, &parts, has_ended, limits) {
        Ok(upgrade) => Ok(Asked { head, upgrade }),
        Err(error) => {
            keep_what_it_reads(&parts.headers, &mut head.headers);
            Err(Box::new((error, head)))
        }
    }
}

/// A refusal is written as its client can read it, though the rest of its head is not looked at.
fn keep_what_it_reads(came: &::http::HeaderMap, kept: &mut HeaderMap) {
    for (name, kept_as) in
        [(::http::header::CONTENT_TYPE, header::CONTENT_TYPE), (::http::header::ACCEPT, header::ACCEPT)]
    {
        let value = came.get(name).and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some(value) = value {
            kept.insert(kept_as, value);
        }
    }
}

fn fill(
    head: &mut Head,
    parts: &::http::request::Parts,
    has_ended: bool,
    limits: &Limits,
) -> Result<Option<Upgrade>, Error> {
    let ::http::request::Parts { method, uri, headers, extensions, .. } = parts;
    let is_connect = *method == ::http::Method::CONNECT;
    if is_connect {
        head.method = Method::CONNECT;
    } else {
        head.method = request_line::method(method.as_str().as_bytes())?;
    }
    // A tunnel to wherever the client likes is not what a reverse proxy is for.
    let protocol = extensions.get::<Protocol>();
    if is_connect && protocol.is_none() {
        return Err(Error::Method);
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    head.uri = origin_form(target, &head.method, limits)?;
    check_size(target, headers, limits)?;
    let marks;
    (head.headers, marks) = fields::from_h2(headers)?;
    if marks.has(Marks::UNDERSCORE) {
        limits.underscores.settle(&mut head.headers)?;
    }
    settle_host(uri, &mut head.headers)?;
    let upgrade = match protocol {
        Some(protocol) => Some(upgrade(protocol, head)?),
        None => {
            (head.length, head.expects_continue) = content(&head.headers, has_ended)?;
            None
        }
    };
    Ok(upgrade)
}

fn origin_form(target: &str, method: &Method, limits: &Limits) -> Result<Uri, Error> {
    const NO_PATH: Error = Error::Malformed { what: "a :path that is none" };
    request_line::check_target(target.as_bytes(), limits.max_uri)?;
    if !(target.starts_with('/') || (target == "*" && *method == Method::OPTIONS)) {
        return Err(NO_PATH);
    }
    Uri::try_from(target).map_err(|_| NO_PATH)
}

/// As many fields, and as many bytes as they would be in HTTP/1.1.
fn check_size(target: &str, fields: &::http::HeaderMap, limits: &Limits) -> Result<(), Error> {
    if fields.len() > limits.max_headers {
        return Err(Error::HeadTooLarge { what: "too many fields" });
    }
    const PUNCTUATION: usize = ": \r\n".len();
    let sizes = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + PUNCTUATION);
    if sizes.sum::<usize>() + target.len() > limits.max_head {
        return Err(Error::HeadTooLarge { what: "too many bytes" });
    }
    Ok(())
}

/// `:authority` is the host (RFC 9113, 8.3.1); where `Host` says another one, two readers would see two.
fn settle_host(uri: &::http::Uri, fields: &mut HeaderMap) -> Result<(), Error> {
    if uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Error::Malformed { what: "a :scheme other than http and https" });
    }
    let mut named = fields.get_all(header::HOST);
    let (host, more) = (named.next(), named.next());
    if more.is_some() {
        return Err(Error::Malformed { what: "more than one Host" });
    }
    let Some(authority) = uri.authority() else { return Ok(()) };
    let authority = authority.as_str();
    if authority.contains('@') {
        return Err(Error::Malformed { what: "an :authority with a user" });
    }
    match host {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => Ok(()),
        Some(_) => Err(Error::Malformed { what: "a Host that is not :authority" }),
        None => {
            let host = HeaderValue::from_str(authority);
            fields.insert(header::HOST, host.map_err(|_| Error::Malformed { what: "a malformed :authority" })?);
            Ok(())
        }
    }
}

/// How long the body is, and whether the client waits for leave to send it.
fn content(fields: &HeaderMap, has_ended: bool) -> Result<(Length, bool), Error> {
    let marks = Marks::of(fields);
    let length = match framing::request_length(fields, marks, Version::HTTP_2)? {
        Length::Exact(1..) if has_ended => return Err(Error::Malformed { what: "less content than Content-Length" }),
        // Where the frames end, so does it.
        Length::None if !has_ended => Length::Chunked,
        length => length,
    };
    let expects = framing::expects_continue(fields, marks)?;
    Ok((length, expects && !has_ended && length != Length::Exact(0)))
}

/// What the App is asked in HTTP/1.1's words.
fn upgrade(protocol: &Protocol, head: &mut Head) -> Result<Upgrade, Error> {
    if protocol.as_str() != "websocket" {
        let what = "an extended CONNECT to something other than a WebSocket";
        return Err(Refusal::new("edge", StatusCode::NOT_IMPLEMENTED, what).into());
    }
    if Marks::of(&head.headers).has(Marks::CONTENT_LENGTH.and(Marks::EXPECT)) {
        return Err(Error::Malformed { what: "a WebSocket with content" });
    }
    head.method = Method::GET;
    Ok(Upgrade::ask(&mut head.headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ServerSettings;

    fn asked(request: ::http::request::Builder, has_ended: bool) -> Result<Asked, Refused> {
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        read(parts, has_ended, &Limits::of(&ServerSettings::default(), "test"))
    }

    fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> ::http::request::Builder {
        fields.iter().fold(::http::Request::builder().method(method).uri(uri), |request, (name, value)| {
            request.header(*name, *value)
        })
    }

    fn refusal(request: ::http::request::Builder, has_ended: bool) -> (u16, String) {
        let error = asked(request, has_ended).map(|_| ()).expect_err("it is refused").0;
        (error.status().as_u16(), error.to_string())
    }

    #[test]
    fn the_authority_is_the_host_and_the_target_has_none() {
        for fields in [&[][..], &[("host", "A.example:81")]] {
            let asked = asked(request("GET", "http://a.example:81/b?c", fields), true).map_err(|refused| refused.0);

            let head = asked.expect("nothing wrong").head;
            assert_eq!(head.uri.to_string(), "/b?c");
            assert!(head.headers.get(header::HOST).is_some_and(|host| host.as_bytes().ends_with(b".example:81")));
            assert_eq!((head.version, head.length), (Version::HTTP_2, Length::None));
        }
    }

    #[test]
    fn a_body_ends_where_its_frames_do_or_where_its_length_says() {
        for (fields, has_ended, expected) in [
            (&[][..], true, Length::None),
            (&[], false, Length::Chunked),
            (&[("content-length", "5")], false, Length::Exact(5)),
            (&[("content-length", "0")], true, Length::Exact(0)),
        ] {
            let asked = asked(request("POST", "http://a/", fields), has_ended).map_err(|refused| refused.0);
            assert_eq!(asked.expect("nothing wrong").head.length, expected, "{fields:?}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_status() {
        let long = format!("http://a/{}", "x".repeat(9000));
        for (method, uri, fields, status, what) in [
            ("GET", "http://a/", &[("host", "b")][..], 400, "not :authority"),
            ("GET", "http://a/", &[("host", "a"), ("host", "a")], 400, "more than one Host"),
            ("GET", "http://u@a/", &[], 400, "with a user"),
            ("GET", "ftp://a/", &[], 400, ":scheme"),
            ("GET", "http://a/\u{e4}", &[], 400, "must be encoded"),
            ("GET", "*", &[("host", "a")], 400, ":path"),
            ("GET", &long, &[], 414, "longer"),
            ("POST", "http://a/", &[("content-length", "1")], 400, "less content"),
            ("POST", "http://a/", &[("content-length", "1, 1")], 400, "Content-Length"),
            ("POST", "http://a/", &[("expect", "tea")], 417, "expectation"),
            ("GET", "http://a/", &[("x", " y")], 400, "field value"),
            ("CONNECT", "a:80", &[], 405, "method"),
        ] {
            let (came, text) = refusal(request(method, uri, fields), true);
            assert_eq!(came, status, "{method} {uri} {fields:?}: {text}");
            assert!(text.contains(what), "{method} {uri} {fields:?}: {text}");
        }
    }

    #[test]
    fn as_many_fields_as_in_http_1_1() {
        let many = |count: usize| (0..count).fold(request("GET", "http://a/", &[]), |all, _| all.header("x", "y"));
        assert!(asked(many(96), true).is_ok());
        assert_eq!(refusal(many(97), true).0, 431);
    }

    #[test]
    fn an_extended_connect_is_an_upgrade_if_it_is_to_a_websocket() {
        let connect = |protocol: &'static str| {
            let extended = request("CONNECT", "http://a/chat", &[("sec-websocket-version", "13")]);
            extended.extension(Protocol::from_static(protocol))
        };

        let Ok(Asked { head, upgrade }) = asked(connect("websocket"), false) else { panic!("nothing wrong") };

        assert!(upgrade.is_some());
        assert_eq!((head.method, head.length), (Method::GET, Length::None));
        let has = |name| head.headers.contains_key(name);
        assert!(has("upgrade") && has("connection") && has("sec-websocket-key") && has("host"));
        assert_eq!(refusal(connect("connect-udp"), false).0, 501);
    }
}
