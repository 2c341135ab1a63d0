//! Whatever an endpoint answers: what a client is sent for it is an answer that another parser reads the same way, with
//! the same status and fields, framed once, and with nothing of the endpoint's connection.

use std::collections::BTreeMap;

use aqueduct::{
    edge::{
        answer::AnswerHead,
        h1::response::{Asked, write_head, write_interim},
    },
    http::{BodySize, HeaderMap, HeaderValue, Method, StatusCode, Version, framing::ResponseFraming, header, headers},
    transport::h1::{
        head::HeadReader,
        settled::{Settled, settle},
    },
};
use bytes::BytesMut;

/// The values of each field.
type Fields = BTreeMap<String, Vec<Vec<u8>>>;

/// What is between two hops alone (RFC 9110, 7.6.1), and what frames a message. Written down once more: a field that the
/// proxy forgets shall not be forgotten here, too.
const NEVER_RELAYED: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
];

pub fn check(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let Ok(Some(head)) = HeadReader::default().read(&mut BytesMut::from(bytes)) else { return };
    let (status, sent) = (head.status, head.headers.clone());
    let mut written = Vec::new();
    // What is behind it is another protocol, whose socket goes on with it.
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if status.is_informational() {
        let mut fields = head.headers;
        headers::strip_hop_by_hop(&mut fields);
        write_interim(status, &fields, &mut written);
        return assert_eq!(Read::of(&written, status).fields, relayed(&sent, false));
    }
    let mut asked = Asked {
        method: if choice & 1 == 0 { Method::GET } else { Method::HEAD },
        version: if choice & 2 == 0 { Version::HTTP_11 } else { Version::HTTP_10 },
        keeps_alive: choice & 4 == 0,
    };
    let Ok(settled) = settle(head, &asked.method) else { return };
    let framing = settled.framing;
    pass_on(settled, &mut asked, &mut written);
    answered(&written, status, &sent, framing, &asked);
}

/// As the proxy hands it to the edge.
fn pass_on(settled: Settled, asked: &mut Asked, out: &mut Vec<u8>) {
    let Settled { head, framing, keeps: _ } = settled;
    let mut headers = head.headers;
    let size = match framing {
        ResponseFraming::None(None) => BodySize::None,
        ResponseFraming::None(Some(length)) => {
            if head.status == StatusCode::NOT_MODIFIED {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            BodySize::Sized(length)
        }
        ResponseFraming::Length(length) => BodySize::Sized(length),
        ResponseFraming::Chunked { .. } | ResponseFraming::UntilClose => BodySize::Stream,
    };
    write_head(&AnswerHead { status: head.status, reason: None, headers }, size, asked, out);
}

fn answered(written: &[u8], status: StatusCode, sent: &HeaderMap, framing: ResponseFraming, asked: &Asked) {
    let mut read = Read::of(written, status);
    let length = |length: u64| vec![length.to_string().into_bytes()];
    let chunked = vec![b"chunked".to_vec()];
    let (lengths, codings) = (read.take_all("content-length"), read.take_all("transfer-encoding"));
    let connection = read.take_all("connection").concat();
    let says_close = connection.starts_with(b"close");
    let (expected, is_framed) = match framing {
        ResponseFraming::None(announced) => ((announced.map_or(vec![], length), vec![]), true),
        ResponseFraming::Length(bytes) => ((length(bytes), vec![]), true),
        _ if asked.version == Version::HTTP_11 => ((vec![], chunked), true),
        _ => ((vec![], vec![]), says_close),
    };
    assert_eq!((lengths, codings), expected);
    assert!(is_framed, "nobody could tell where it ends");
    assert_eq!(says_close, !asked.keeps_alive);
    let demands = status == StatusCode::UPGRADE_REQUIRED && asked.version == Version::HTTP_11;
    let expected = relayed(sent, demands);
    assert_eq!(connection.ends_with(b"upgrade"), expected.contains_key("upgrade"));
    if !expected.contains_key("date") {
        assert_eq!(read.take_all("date").len(), 1, "an answer is dated, if not by the endpoint then by us");
    }
    assert_eq!(read.fields, expected);
}

/// What is to arrive of these fields.
fn relayed(sent: &HeaderMap, demands: bool) -> Fields {
    let connection: Vec<_> = sent.get_all("connection").map(|value| value.as_bytes().to_ascii_lowercase()).collect();
    let nominated = |name: &str| {
        let mut tokens = connection.iter().flat_map(|value| value.split(|byte| *byte == b','));
        tokens.any(|token| token.trim_ascii() == name.as_bytes() && name != "host")
    };
    let mut fields = Fields::new();
    for (name, value) in sent {
        let name = name.as_str();
        let arrives = !NEVER_RELAYED.contains(&name) && !nominated(name);
        if arrives || (demands && name == "upgrade") {
            fields.entry(name.to_owned()).or_default().push(value.as_bytes().to_vec());
        }
    }
    fields
}

/// What another parser makes of a head, and nothing may be behind it.
struct Read {
    fields: Fields,
}

impl Read {
    fn of(written: &[u8], status: StatusCode) -> Self {
        assert!(!written.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
        let mut lines = [httparse::EMPTY_HEADER; 300];
        let mut response = httparse::Response::new(&mut lines);
        assert_eq!(
            response.parse(written),
            Ok(httparse::Status::Complete(written.len())),
            "{}",
            written.escape_ascii()
        );
        assert_eq!((response.code, response.version), (Some(status.as_u16()), Some(1)));
        let mut fields = Fields::new();
        for field in response.headers {
            fields.entry(field.name.to_ascii_lowercase()).or_default().push(field.value.to_vec());
        }
        Self { fields }
    }

    fn take_all(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.fields.remove(name).unwrap_or_default()
    }
}
