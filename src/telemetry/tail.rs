//! What happens at the last byte: the access line is written, the exchange is counted, and ends.

use std::rc::Rc;

use super::{
    access_log::{AccessLog, Record},
    metrics::{Recorder, Tally},
};
use crate::{
    exchange::Exchange,
    http::{BodyError, BodySize, Frame, Method, StatusCode},
};

/// The status of an exchange whose client left before it was told one.
const CLIENT_CLOSED: u16 = 499;

/// Who wants to know how exchanges end.
#[derive(Default)]
pub struct Ears {
    /// Writes a line for each.
    pub log: Option<AccessLog>,
    /// Counts them.
    pub recorder: Option<Rc<Recorder>>,
}

/// Lives as long as the body of a response; when it is dropped, the line of its exchange is written, and it is counted.
pub struct Tail {
    line: Option<(AccessLog, Box<Exchange>)>,
    tally: Option<Tally>,
    status: StatusCode,
    bytes_out: u64,
    /// The body is as long as this, if that is known.
    length: Option<u64>,
    over: bool,
}

impl Ears {
    /// Nobody does.
    pub fn is_empty(&self) -> bool {
        self.log.is_none() && self.recorder.is_none()
    }
}

impl Tail {
    /// The response has begun. One that has no content by its kind needs no end. What is not needed of the exchange any more
    /// is given back.
    pub fn new(ears: Ears, mut exchange: Box<Exchange>, status: StatusCode) -> (Self, Option<Box<Exchange>>) {
        let bare = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let over = bare || exchange.method == Method::HEAD || status.as_u16() == CLIENT_CLOSED;
        let tally = ears.recorder.map(|recorder| Tally::of(&recorder, &mut exchange.facts));
        let (line, left) = match ears.log {
            Some(log) => (Some((log, exchange)), None),
            None => (None, Some(exchange)),
        };
        (Self { line, tally, status, bytes_out: 0, length: None, over }, left)
    }

    /// How long the body will be: who sends it may not ask for more when it has had the last byte, and never asks if
    /// there is none.
    #[must_use]
    pub fn expecting(mut self, size: BodySize) -> Self {
        self.length = match size {
            BodySize::None => Some(0),
            BodySize::Sized(length) => Some(length),
            BodySize::Stream => None,
        };
        self
    }

    /// The body is in memory, and goes out at once.
    pub fn saw_whole(&mut self, body: &[u8]) {
        self.bytes_out = body.len() as u64;
        self.over = true;
        if let Some(tally) = &mut self.tally {
            tally.came_whole();
        }
    }

    /// It is only counted: nobody reads of it alone.
    pub fn is_only_counted(&self) -> bool {
        self.line.is_none()
    }

    /// The next that came of the body.
    pub fn saw(&mut self, next: &Option<Result<Frame, BodyError>>) {
        match next {
            Some(Ok(Frame::Data(bytes))) => self.bytes_out += bytes.len() as u64,
            Some(Ok(Frame::Trailers(_))) => {}
            Some(Err(error)) => {
                self.over = true;
                self.went_wrong("http_response_incomplete", || told(error));
            }
            None => self.over = true,
        }
    }

    /// So many bytes of it came past our memory.
    pub fn saw_piece(&mut self, count: u64) {
        self.bytes_out += count;
        if let Some(tally) = &mut self.tally {
            tally.spliced += count;
        }
    }

    fn went_wrong(&mut self, token: &'static str, detail: impl FnOnce() -> String) {
        if let Some(tally) = &mut self.tally {
            tally.error = Some(token);
        }
        if let Some((_, exchange)) = &mut self.line {
            exchange.facts.error = Some(token);
            exchange.facts.detail = Some(detail());
        }
    }

    fn has_failed(&self) -> bool {
        let told = self.line.as_ref().and_then(|(_, exchange)| exchange.facts.error);
        told.or(self.tally.as_ref().and_then(|tally| tally.error)).is_some()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let over = self.over || self.length.is_some_and(|length| self.bytes_out >= length);
        if !over && !self.has_failed() {
            self.went_wrong("http_request_error", || "the client left before the end".into());
        }
        if let Some(tally) = self.tally.take() {
            tally.over(self.status, self.bytes_out);
        }
        if let Some((log, exchange)) = self.line.take() {
            log.write(&Record { exchange: &exchange, status: self.status, bytes_out: self.bytes_out });
            exchange.end();
        }
    }
}

/// The error with what caused it.
fn told(error: &BodyError) -> String {
    match error {
        BodyError::Io(cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        exchange::Client,
        http::{HeaderMap, RequestBody, Uri, Version, downstream::Peer},
        settings::telemetry::AccessLogSettings,
    };

    /// The line of a GET, as `happens` has it, in JSON.
    fn line_of(method: Method, status: u16, happens: impl FnOnce(Tail)) -> Value {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log").to_string_lossy().into_owned();
        let settings = AccessLogSettings { path: path.clone(), format: "json".into(), ..Default::default() };
        let log = AccessLog::open(&settings).expect("a log").expect("it is on");
        let client = Client::at(Peer::Unix, false);
        let (headers, body) = (HeaderMap::new(), RequestBody::empty());
        let exchange = Exchange::new(method, Uri::from_static("/"), Version::HTTP_11, headers, body, client);
        let exchange = Box::new(exchange);

        let ears = Ears { log: Some(log.clone()), recorder: None };
        happens(Tail::new(ears, exchange, StatusCode::from_u16(status).expect("a status")).0);

        log.flush();
        serde_json::from_str(&std::fs::read_to_string(path).expect("a log")).expect("exactly one line")
    }

    fn data(text: &'static str) -> Option<Result<Frame, BodyError>> {
        Some(Ok(Frame::Data(Bytes::from_static(text.as_bytes()))))
    }

    #[test]
    fn a_body_that_was_seen_to_its_end_is_counted() {
        let line = line_of(Method::GET, 200, |mut tail| {
            tail.saw(&data("hello "));
            tail.saw(&data("world"));
            tail.saw(&Some(Ok(Frame::Trailers(HeaderMap::new()))));
            tail.saw(&None);
        });

        assert_eq!((&line["bytes_out"], &line["error"]), (&json!(11), &Value::Null));
    }

    #[test]
    fn what_goes_past_our_memory_is_counted_as_what_does_not() {
        let line = line_of(Method::GET, 200, |tail| {
            let mut tail = tail.expecting(BodySize::Sized(12));
            tail.saw(&data("hello"));
            tail.saw_piece(7);
        });

        assert_eq!((&line["bytes_out"], &line["error"]), (&json!(12), &Value::Null));
    }

    #[test]
    fn a_body_that_failed_is_told_with_its_cause() {
        let line = line_of(Method::GET, 200, |mut tail| {
            tail.saw(&data("hello"));
            tail.saw(&Some(Err(BodyError::Io(std::io::Error::other("cable cut")))));
        });

        assert_eq!((&line["bytes_out"], &line["error"]), (&json!(5), &json!("http_response_incomplete")));
        assert_eq!(line["detail"], "connection failed while a body was read: cable cut");
    }

    #[test]
    fn a_client_that_left_before_the_end_is_told_of() {
        let line = line_of(Method::GET, 200, |mut tail| tail.saw(&data("hello")));

        assert_eq!((&line["bytes_out"], &line["error"]), (&json!(5), &json!("http_request_error")));
        assert_eq!(line["detail"], "the client left before the end");
    }

    #[test]
    fn what_went_wrong_first_is_what_is_told_when_the_client_leaves() {
        let line = line_of(Method::GET, 502, |mut tail| tail.went_wrong("connection_refused", String::new));

        assert_eq!(line["error"], "connection_refused");
    }

    #[test]
    fn a_response_without_content_needs_no_end() {
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304), (Method::GET, 499)] {
            let line = line_of(method, status, drop);

            assert_eq!(line["error"], Value::Null, "{status}");
        }
    }

    #[test]
    fn a_body_of_known_length_ends_with_its_last_byte() {
        let whole = line_of(Method::GET, 200, |tail| tail.expecting(BodySize::Sized(5)).saw(&data("hello")));
        let short = line_of(Method::GET, 200, |tail| tail.expecting(BodySize::Sized(6)).saw(&data("hello")));
        let empty = line_of(Method::GET, 200, |tail| drop(tail.expecting(BodySize::None)));

        assert_eq!([&whole["error"], &empty["error"]], [&Value::Null, &Value::Null]);
        assert_eq!(short["error"], "http_request_error");
    }
}
