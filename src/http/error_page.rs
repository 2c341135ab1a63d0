//! Our own refusals, as a client can read them (RFC 9457, RFC 9209).

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Error, Fault, HeaderMap, HeaderName, HeaderValue, Refusal, Response, ResponseBody, StatusCode, grpc, header,
};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How refusals look.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// The representation.
    pub format: Format,
    /// When to send `Proxy-Status`.
    pub proxy_status: ProxyStatus,
    /// What this proxy calls itself there.
    pub server_name: String,
    /// The methods that are let through, for a 405.
    pub allow: Option<HeaderValue>,
}

/// The representation of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As `Accept` asks.
    #[default]
    Auto,
    /// `application/problem+json` (RFC 9457).
    Json,
    /// A page.
    Html,
    /// A line.
    Text,
}

/// When to send `Proxy-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyStatus {
    /// Never.
    Off,
    /// When this proxy failed the request.
    #[default]
    Errors,
    /// On every answer.
    Always,
}

/// The error as a response: what went wrong in words that give away nothing of the inside, and the id under which the
/// log knows more.
pub fn respond(error: Error, request: &HeaderMap, id: &str, style: &Style) -> Response {
    let mut response = match grpc::is_called(request) {
        true => grpc::refusal(&error, &shown(&error)),
        false => readable(&error, request, id, style),
    };
    let fields = &mut response.headers;
    if let Ok(id) = HeaderValue::from_str(id) {
        fields.insert(REQUEST_ID, id);
    }
    if style.proxy_status != ProxyStatus::Off
        && let Ok(value) = HeaderValue::from_str(&failed(&style.server_name, &error))
    {
        fields.insert(PROXY_STATUS, value);
    }
    if let Some(refusal) = error.refusal() {
        for (name, value) in &refusal.fields {
            fields.append(name.clone(), value.clone());
        }
    }
    response.is_shown = true;
    response.cause = Some(error);
    response
}

/// The error with content that a person or a program can read.
fn readable(error: &Error, request: &HeaderMap, id: &str, style: &Style) -> Response {
    let status = error.status();
    let detail = shown(error);
    let (content_type, body) = match chosen(style.format, request) {
        Format::Html => ("text/html; charset=utf-8", page(status, &detail, id)),
        Format::Text => ("text/plain; charset=utf-8", format!("{status}: {detail}\nid: {id}\n")),
        Format::Auto | Format::Json => ("application/problem+json", problem(status, &detail, error, id)),
    };
    let mut response = Response::new(status);
    let fields = &mut response.headers;
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if style.format == Format::Auto {
        fields.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    if let Some(after) = error.retry_after() {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000) as u64));
    }
    if let (Error::Method, Some(allow)) = (error, &style.allow) {
        fields.insert(header::ALLOW, allow.clone());
    }
    response.body = ResponseBody::Bytes(Bytes::from(body));
    response
}

/// `Proxy-Status` of an answer of ours.
fn failed(server_name: &str, error: &Error) -> String {
    let details = error.details().map(|details| format!("; details=\"{details}\"")).unwrap_or_default();
    format!("{}; error={}{details}", item(server_name), error.token())
}

/// `Proxy-Status` of an answer that an endpoint gave (RFC 9209, 2.1.4).
pub fn proxy_status(server_name: &str, received: StatusCode) -> HeaderValue {
    let value = format!("{}; received-status={}", item(server_name), received.as_u16());
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("proxy"))
}

/// A name as a structured field has it: a token if it can be one, else a string (RFC 9651, 3.3.3 and 3.3.4).
fn item(name: &str) -> Cow<'_, str> {
    let may_begin = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    if may_begin && name.bytes().all(is_part) {
        return name.into();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")).into()
}

/// A client may know which rule its request broke. Of an endpoint it is told no more than the status tells.
fn shown(error: &Error) -> String {
    match (error.fault(), error) {
        (Fault::Client, _) | (_, Error::AnswerRefused { .. }) => error.to_string(),
        (Fault::Upstream, _) if error.status() == StatusCode::SERVICE_UNAVAILABLE => {
            "no server is available for this request".into()
        }
        (Fault::Upstream, _) if error.status() == StatusCode::GATEWAY_TIMEOUT => {
            "the server behind this one did not answer in time".into()
        }
        (Fault::Upstream, _) => "the server behind this one gave no valid answer".into(),
        (Fault::Proxy, Error::Draining) => "this server is shutting down".into(),
        (Fault::Proxy, _) => "something went wrong here".into(),
    }
}

fn problem(status: StatusCode, detail: &str, error: &Error, id: &str) -> String {
    let mut problem = serde_json::json!({
        "type": kind(error),
        "title": title(status),
        "status": status.as_u16(),
        "detail": detail,
        "error": error.token(),
        "id": id,
    });
    if let Some(refusal) = error.refusal() {
        for (name, value) in &refusal.members {
            problem[*name] = value.clone();
        }
    }
    format!("{problem}\n")
}

/// What sort of problem it is (RFC 9457, 3.1.1): of most, the status says it all.
fn kind(error: &Error) -> Cow<'static, str> {
    error.refusal().map_or("about:blank".into(), Refusal::problem_type)
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

fn page(status: StatusCode, detail: &str, id: &str) -> String {
    let (code, title) = (status.as_u16(), title(status));
    let (detail, id) = (escaped(detail), escaped(id));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{code} {title}</title>\n\
         <style>\n:root {{ color-scheme: light dark }}\n\
         body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem }}\n\
         small {{ opacity: .7 }}\n</style>\n</head>\n<body>\n<h1>{code} {title}</h1>\n<p>{detail}</p>\n\
         <p><small>id: <code>{id}</code></small></p>\n</body>\n</html>\n"
    )
}

/// Fit to stand in a page.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What can be shown, the preferred one first: an API client that takes anything gets what a program can read.
const OFFERS: [(Format, &[&str]); 3] = [
    (Format::Json, &["application/problem+json", "application/json", "application/*", "*/*"]),
    (Format::Html, &["text/html", "text/*", "*/*"]),
    (Format::Text, &["text/plain", "text/*", "*/*"]),
];

/// The representation the client likes best (RFC 9110, 12.5.1).
fn chosen(format: Format, request: &HeaderMap) -> Format {
    if format != Format::Auto {
        return format;
    }
    preferred(request, |_| true).unwrap_or(Format::Json)
}

/// What the client likes best of what there is; `None` if it says nothing of any of it.
pub fn preferred(request: &HeaderMap, is_there: impl Fn(Format) -> bool) -> Option<Format> {
    let mut best = (None, 0, 0);
    for (offer, ranges) in OFFERS.into_iter().filter(|(offer, _)| is_there(*offer)) {
        let quality = quality(request, ranges);
        if quality.0 > 0 && quality > (best.1, best.2) {
            best = (Some(offer), quality.0, quality.1);
        }
    }
    best.0
}

/// The quality in thousandths and how specific the range was that gave it.
fn quality(request: &HeaderMap, ranges: &[&str]) -> (u16, usize) {
    let mut best = (0, 0);
    for member in super::headers::list(request, &header::ACCEPT).take(MAX_RANGES) {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let Some(place) = ranges.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(range)) else {
            continue;
        };
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
        let specific = ranges.len() - place;
        if specific > best.1 {
            best = (weight.map_or(1000, thousandths), specific);
        }
    }
    best
}

/// A client that lists more than this is not read to the end.
const MAX_RANGES: usize = 64;

/// `0.8` is 800; what is no weight is none.
fn thousandths(weight: &[u8]) -> u16 {
    let text = std::str::from_utf8(weight).unwrap_or("0");
    let weight: f32 = text.parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&weight) { (weight * 1000.0) as u16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !value.is_empty() {
            headers.insert(header::ACCEPT, HeaderValue::from_static(value));
        }
        headers
    }

    fn body(response: Response) -> String {
        match response.body {
            ResponseBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn accept_chooses_the_representation() {
        for (accept, expected) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("application/json", Format::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
            ("text/plain", Format::Text),
            ("text/*", Format::Html),
            ("text/plain;q=0.9, text/html;q=0.5", Format::Text),
            ("text/html;q=0.2, application/problem+json;q=0.9", Format::Json),
            ("text/html;q=0, */*;q=0.1", Format::Json),
            ("image/png", Format::Json),
            ("text/html;q=nonsense", Format::Json),
        ] {
            assert_eq!(chosen(Format::Auto, &accepting(accept)), expected, "{accept}");
        }
        assert_eq!(chosen(Format::Text, &accepting("text/html")), Format::Text);
    }

    #[test]
    fn an_error_is_a_problem_that_names_itself() {
        let style = Style { server_name: "edge".into(), ..Style::default() };

        let response = respond(Error::NoRoute, &accepting(""), "id-1", &style);

        assert_eq!(response.status, StatusCode::NOT_FOUND);
        assert_eq!(response.headers.get(PROXY_STATUS).expect("it is on"), "edge; error=destination_not_found");
        assert_eq!(response.headers.get(REQUEST_ID).expect("an id"), "id-1");
        assert!(matches!(response.cause, Some(Error::NoRoute)));
        let problem: serde_json::Value = serde_json::from_str(&body(response)).expect("JSON");
        assert_eq!(problem["status"], 404);
        assert_eq!(problem["id"], "id-1");
    }

    #[test]
    fn a_client_of_grpc_is_told_in_its_own_terms_whatever_the_format() {
        let mut request = accepting("text/html");
        request.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        let style = Style { format: Format::Html, server_name: "edge".into(), ..Style::default() };

        let response = respond(Error::NoEndpoint, &request, "id-1", &style);

        assert_eq!((response.status, response.outcome()), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("grpc-status", "14"),
            ("grpc-message", "no server is available for this request"),
            ("proxy-status", "edge; error=destination_unavailable"),
            ("x-request-id", "id-1"),
        ] {
            assert_eq!(response.headers.get(name).expect(name), value);
        }
        assert!(matches!(response.body, ResponseBody::Empty));
    }

    #[test]
    fn a_name_that_is_no_token_is_a_string_in_proxy_status() {
        for (name, shown) in [
            ("edge", "edge"),
            ("*", "*"),
            ("edge.example:80/1", "edge.example:80/1"),
            ("1edge", "\"1edge\""),
            ("-edge", "\"-edge\""),
            ("my edge", "\"my edge\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("", "\"\""),
        ] {
            let style = Style { server_name: name.into(), ..Style::default() };

            let refusal = respond(Error::NoRoute, &accepting(""), "", &style);
            let answer = proxy_status(name, StatusCode::OK);

            let refusal = refusal.headers.get(PROXY_STATUS).expect("it is on");
            assert_eq!(refusal, &format!("{shown}; error=destination_not_found"), "{name}");
            assert_eq!(answer, format!("{shown}; received-status=200"), "{name}");
        }
    }

    #[test]
    fn nothing_of_the_inside_is_told() {
        let inside = Error::Connect(std::io::Error::other("10.0.0.7 is down"));
        for accept in ["text/html", "text/plain", ""] {
            let inside = Error::Connect(std::io::Error::other(inside.to_string()));
            let text = body(respond(inside, &accepting(accept), "id", &Style::default()));
            assert!(!text.contains("10.0.0.7") && !text.contains("connect"), "{text}");
        }
    }

    #[test]
    fn a_page_is_safe_whatever_it_shows() {
        let text = page(StatusCode::BAD_REQUEST, "<script>\"&'", "\"><b>");
        assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}");
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let style = Style { allow: Some(HeaderValue::from_static("GET")), ..Style::default() };
        assert_eq!(
            respond(Error::Method, &accepting(""), "", &style).headers.get(header::ALLOW).expect("it does"),
            "GET"
        );
    }
}
