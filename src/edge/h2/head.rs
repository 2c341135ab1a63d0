//! Request heads, read as strictly as those of HTTP/1.1 (RFC 9113, 8.2 and 8.3). The session has refused what no request may
//! be: fields of a connection, names that are none, pseudo-fields that are missing, doubled, unknown or too late.

use bytes::Bytes;

use super::{session::Fields, websocket::Upgrade};
use crate::{
    edge::{h1::head::Head, limits::Limits},
    http::{
        Error, HeaderMap, HeaderValue, Marks, Method, Refusal, StatusCode, Uri, Version, body::Length, framing, header,
        request_line, scratch,
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
pub fn read(mut fields: Fields, has_ended: bool, limits: &Limits) -> Result<Asked, Refused> {
    let mut head = Head {
        method: Method::from_bytes(b"-").unwrap_or_default(),
        uri: Uri::from_static("-"),
        version: Version::HTTP_2,
        headers: HeaderMap::new(),
        marks: Marks::default(),
        length: Length::None,
        keeps_alive: true,
        expects_continue: false,
    };
    match fill(&mut head, &mut fields, has_ended, limits) {
        Ok(upgrade) => Ok(Asked { head, upgrade }),
        Err(error) => {
            let came = if head.headers.is_empty() { &mut fields.headers } else { &mut head.headers };
            head.headers = what_it_reads(came);
            Err(Box::new((error, head)))
        }
    }
}

/// A refusal is written as its client can read it, though the rest of its head is not looked at.
fn what_it_reads(came: &mut HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = came.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    scratch::give_back(std::mem::take(came));
    kept
}

fn fill(head: &mut Head, fields: &mut Fields, has_ended: bool, limits: &Limits) -> Result<Option<Upgrade>, Error> {
    let method = fields.method.take().unwrap_or_default();
    let is_connect = method.as_ref() == b"CONNECT";
    if is_connect {
        head.method = Method::CONNECT;
    } else {
        head.method = request_line::method(&method)?;
    }
    // A tunnel to wherever the client likes is not what a reverse proxy is for.
    let protocol = fields.protocol.take();
    if is_connect && protocol.is_none() {
        return Err(Error::Method);
    }
    let target = fields.path.take().unwrap_or_default();
    let length = target.len();
    head.uri = origin_form(target, &head.method, limits)?;
    // As many fields, and as many bytes as they would be in HTTP/1.1.
    if fields.is_too_large {
        return Err(Error::HeadTooLarge { what: "too many fields, or too many bytes in them" });
    }
    if fields.size + length > limits.max_head {
        return Err(Error::HeadTooLarge { what: "too many bytes" });
    }
    if fields.is_padded {
        return Err(Error::Malformed { what: "a malformed field value" });
    }
    head.headers = std::mem::take(&mut fields.headers);
    head.marks = fields.marks;
    if fields.marks.has(Marks::UNDERSCORE) {
        limits.underscores.settle(&mut head.headers)?;
    }
    settle_host(fields, &mut head.headers)?;
    let upgrade = match protocol {
        Some(_) if has_ended => return Err(Error::Malformed { what: "an extended CONNECT that has ended" }),
        Some(protocol) => Some(upgrade(&protocol, fields.marks, head)?),
        None => {
            (head.length, head.expects_continue) = content(&head.headers, fields.marks, has_ended)?;
            None
        }
    };
    Ok(upgrade)
}

fn origin_form(target: Bytes, method: &Method, limits: &Limits) -> Result<Uri, Error> {
    const NO_PATH: Error = Error::Malformed { what: "a :path that is none" };
    request_line::check_target(&target, limits.max_uri)?;
    if !(target.starts_with(b"/") || (target == "*" && *method == Method::OPTIONS)) {
        return Err(NO_PATH);
    }
    Uri::from_maybe_shared(target).map_err(|_| NO_PATH)
}

/// `:authority` is the host (RFC 9113, 8.3.1); where `Host` says another one, two readers would see two.
fn settle_host(came: &mut Fields, fields: &mut HeaderMap) -> Result<(), Error> {
    if !matches!(came.scheme.as_deref(), Some(b"http" | b"https")) {
        return Err(Error::Malformed { what: "a :scheme other than http and https" });
    }
    let (host, more) = {
        let mut named = fields.get_all(header::HOST);
        (named.next(), named.next())
    };
    if more.is_some() {
        return Err(Error::Malformed { what: "more than one Host" });
    }
    let Some(authority) = came.authority.take() else { return Ok(()) };
    if authority.contains(&b'@') {
        return Err(Error::Malformed { what: "an :authority with a user" });
    }
    match host {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(&authority) => Ok(()),
        Some(_) => Err(Error::Malformed { what: "a Host that is not :authority" }),
        None => {
            const MALFORMED: Error = Error::Malformed { what: "a malformed :authority" };
            if !authority.iter().all(u8::is_ascii_graphic) {
                return Err(MALFORMED);
            }
            fields.insert(header::HOST, HeaderValue::from_maybe_shared(authority).map_err(|_| MALFORMED)?);
            Ok(())
        }
    }
}

/// How long the body is, and whether the client waits for leave to send it.
fn content(fields: &HeaderMap, marks: Marks, has_ended: bool) -> Result<(Length, bool), Error> {
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
fn upgrade(protocol: &[u8], marks: Marks, head: &mut Head) -> Result<Upgrade, Error> {
    if protocol != b"websocket" {
        let what = "an extended CONNECT to something other than a WebSocket";
        return Err(Refusal::new("edge", StatusCode::NOT_IMPLEMENTED, what).into());
    }
    if marks.has(Marks::CONTENT_LENGTH.and(Marks::EXPECT)) {
        return Err(Error::Malformed { what: "a WebSocket with content" });
    }
    head.method = Method::GET;
    let upgrade = Upgrade::ask(&mut head.headers);
    head.marks = Marks::of(&head.headers);
    Ok(upgrade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::hpack::Field, settings::ServerSettings};

    /// Method, target as a URL has it, and fields.
    struct Request {
        fields: Fields,
        protocol: Option<&'static str>,
    }

    fn asked(Request { mut fields, protocol }: Request, has_ended: bool) -> Result<Asked, Refused> {
        fields.protocol = protocol.map(|protocol| Bytes::from_static(protocol.as_bytes()));
        fields.end();
        read(fields, has_ended, &limits())
    }

    fn limits() -> Limits {
        Limits::of(&ServerSettings::default(), "test")
    }

    fn request(method: &str, url: &str, lines: &[(&str, &str)]) -> Request {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (authority, path) = rest.split_at(rest.find(['/', '*']).unwrap_or(rest.len()));
        let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        let limits = limits();
        let mut fields = Fields::within(limits.max_headers, limits.max_head);
        (fields.method, fields.scheme, fields.path) = (text(method), text(scheme), text(path));
        fields.authority = text(authority).filter(|authority| !authority.is_empty());
        for (name, value) in lines {
            let name = crate::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            let value = HeaderValue::from_str(value).expect("a value");
            fields.take(std::borrow::Cow::Owned(Field::Plain(name.clone(), Marks::of_name(&name), value)));
        }
        Request { fields, protocol: None }
    }

    fn refusal(request: Request, has_ended: bool) -> (u16, String) {
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
        let many = |count: usize| request("GET", "http://a/", &vec![("x", "y"); count]);
        assert!(asked(many(96), true).is_ok());
        assert_eq!(refusal(many(97), true).0, 431);
        let long = "x".repeat(limits().max_head);
        assert_eq!(refusal(request("GET", "http://a/", &[("x", &long)]), true).0, 431);
    }

    #[test]
    fn a_refusal_knows_what_its_client_reads_and_nothing_else() {
        let fields = [("accept", "text/html"), ("x", "y"), ("host", "b")];
        for refused in [request("GET", "http://a/", &fields), request("GET", "http://a/#", &fields)] {
            let Err(refused) = asked(refused, true) else { panic!("it is refused") };
            assert_eq!(refused.1.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["accept"]);
        }
    }

    #[test]
    fn an_extended_connect_is_an_upgrade_if_it_is_to_a_websocket() {
        let connect = |protocol: &'static str| Request {
            protocol: Some(protocol),
            ..request("CONNECT", "http://a/chat", &[("sec-websocket-version", "13")])
        };

        let Ok(Asked { head, upgrade }) = asked(connect("websocket"), false) else { panic!("nothing wrong") };

        assert!(upgrade.is_some());
        assert_eq!((head.method, head.length), (Method::GET, Length::None));
        let has = |name| head.headers.contains_key(name);
        assert!(has("upgrade") && has("connection") && has("sec-websocket-key") && has("host"));
        assert_eq!(refusal(connect("connect-udp"), false).0, 501);
        assert_eq!(refusal(connect("websocket"), true).0, 400);
    }
}
