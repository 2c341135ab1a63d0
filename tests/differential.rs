//! The same bytes to our readers of responses and to hyper's: each difference has a name and a reason, or is a bug.

#[path = "differential/corpus.rs"]
mod corpus;
#[path = "differential/rules.rs"]
mod rules;
#[path = "journeys/support/mod.rs"]
mod support;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use aqueduct::{
    http::Method,
    transport::{Transport, awc::AwcTransport, h1},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use self::{
    rules::{Rule, explanation},
    support::{
        exchange::{endpoint, exchange, request},
        origin::Origin,
        wire::patiently,
    },
};

/// What a reader made of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reading {
    /// There was no answer it could take.
    Refused,
    /// An answer.
    Answer {
        status: u16,
        /// End-to-end fields and trailers, sorted.
        fields: Vec<(String, Vec<u8>)>,
        trailers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
        /// Its end was found.
        whole: bool,
    },
}

/// What a test compares, and what it calls a difference.
struct Comparison {
    transport: fn() -> Box<dyn Transport>,
    rules: &'static [Rule],
    /// Refusing what hyper takes is a difference.
    strict: bool,
}

const AWC: Comparison = Comparison { transport: || Box::new(AwcTransport::new()), rules: &rules::AWC, strict: false };

const H1: Comparison = Comparison { transport: || Box::new(h1::H1::new()), rules: &rules::H1, strict: true };

#[test]
fn h1_reads_what_hyper_reads() {
    H1.of_a_corpus();
}

#[test]
fn h1_reads_what_hyper_reads_when_answers_are_mutilated() {
    H1.of_mutations(1000);
}

#[test]
fn h1_reads_the_same_in_whatever_segments() {
    let readers = Readers::new();
    for (name, method, bytes) in corpus::answers() {
        let at_once = readers.ours((H1.transport)(), method, &bytes, usize::MAX);
        for segment in [1, 2, 7] {
            let in_segments = readers.ours((H1.transport)(), method, &bytes, segment);
            // What comes with the head may be found out before the head is given out.
            let is_as_bad = at_once == Reading::Refused && in_segments.is_cut();
            assert!(in_segments.agrees_with(&at_once) || is_as_bad, "{name}: {in_segments}, but at once {at_once}");
        }
    }
}

#[test]
fn awc_gives_no_answer_that_hyper_reads_otherwise() {
    AWC.of_a_corpus();
}

#[test]
fn awc_gives_no_answer_that_hyper_reads_otherwise_when_answers_are_mutilated() {
    AWC.of_mutations(1000);
}

impl Comparison {
    /// Every difference has a name; and every name a difference, for a rule that nothing needs hides something.
    fn of_a_corpus(&self) {
        let readers = Readers::new();
        let (mut unexplained, mut met) = (String::new(), Vec::new());
        for (name, method, bytes) in corpus::answers() {
            let (ours, hypers) = readers.read((self.transport)(), method, &bytes);
            match self.verdict(method, &bytes, &ours, &hypers) {
                Verdict::Same => {}
                Verdict::Explained(rule) => met.push(rule),
                Verdict::Unexplained => {
                    unexplained += &format!("{name}\n   ours {ours}\n  hyper {hypers}\n");
                }
            }
        }
        assert!(unexplained.is_empty(), "{unexplained}");
        for rule in self.rules {
            assert!(met.contains(&rule.name), "nothing in the corpus needs {:?}", rule.name);
        }
    }

    fn of_mutations(&self, cases: u32) {
        let readers = Readers::new();
        let answers = corpus::answers();
        let case = (any::<prop::sample::Index>(), prop::collection::vec(corpus::mutation(), 1..4));
        let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });

        let outcome = runner.run(&case, |(which, mutations)| {
            let (_, method, bytes) = which.get(&answers);
            let mut bytes = bytes.clone();
            for mutation in &mutations {
                mutation.apply(&mut bytes);
            }
            let (ours, hypers) = readers.read((self.transport)(), method, &bytes);
            let same = self.verdict(method, &bytes, &ours, &hypers) != Verdict::Unexplained;
            prop_assert!(same, "{method} {:?}\n   ours {ours}\n  hyper {hypers}", support::wire::text(&bytes));
            Ok(())
        });

        outcome.unwrap_or_else(|error| panic!("{error}"));
    }

    fn verdict(&self, method: &str, bytes: &[u8], ours: &Reading, hypers: &Reading) -> Verdict {
        if ours.agrees_with(hypers) || (!self.strict && !ours.is_whole()) {
            return Verdict::Same;
        }
        explanation(self.rules, method, bytes, ours, hypers).map_or(Verdict::Unexplained, Verdict::Explained)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Explained(&'static str),
    Unexplained,
}

impl Reading {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Answer { whole: true, .. })
    }

    fn is_cut(&self) -> bool {
        matches!(self, Self::Answer { whole: false, .. })
    }

    /// How much of a body was read before its fault was found is a matter of buffers.
    fn agrees_with(&self, other: &Self) -> bool {
        let known = |reading: &Self| match reading.clone() {
            Self::Answer { status, fields, whole: false, .. } => {
                Self::Answer { status, fields, whole: false, trailers: Vec::new(), body: Vec::new() }
            }
            whole_or_refused => whole_or_refused,
        };
        known(self) == known(other)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Answer { status, fields, trailers, body, whole } = self else { return f.write_str("refused") };
        let show = |fields: &[(String, Vec<u8>)]| {
            fields.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect::<Vec<_>>()
        };
        let end = if *whole { "whole" } else { "cut" };
        write!(f, "{status} {:?} \"{}\" {:?} {end}", show(fields), body.escape_ascii(), show(trailers))
    }
}

/// Both readers, and the origin ours needs.
struct Readers {
    runtime: actix_rt::SystemRunner,
    origin: Origin,
    /// The answer, and the size of its segments.
    reply: Arc<Mutex<(Vec<u8>, usize)>>,
}

impl Readers {
    fn new() -> Self {
        let reply = Arc::new(Mutex::new((Vec::new(), 1)));
        let shared = Arc::clone(&reply);
        let script = Origin::script(move |mut conn, _| {
            let (bytes, segment) = shared.lock().expect("nobody panics with it").clone();
            async move {
                conn.read_head().await;
                conn.dribble(bytes, segment).await;
                conn.half_close().await;
                conn.wait_closed().await;
            }
        });
        let runtime = actix_rt::System::new();
        let origin = runtime.block_on(script.start());
        Self { runtime, origin, reply }
    }

    fn read(&self, transport: Box<dyn Transport>, method: &str, bytes: &[u8]) -> (Reading, Reading) {
        (self.ours(transport, method, bytes, usize::MAX), self.runtime.block_on(hypers(method, bytes)))
    }

    fn ours(&self, transport: Box<dyn Transport>, method: &str, bytes: &[u8], segment: usize) -> Reading {
        *self.reply.lock().expect("nobody panics with it") = (bytes.to_vec(), segment);
        self.runtime.block_on(ours(&*transport, method, &self.origin))
    }
}

async fn ours(transport: &dyn Transport, method: &str, origin: &Origin) -> Reading {
    let method = Method::from_bytes(method.as_bytes()).expect("it is a method");
    let Ok(answer) = exchange(transport, &endpoint(origin), request(method, "/")).await else {
        return Reading::Refused;
    };
    let sorted = |fields: &aqueduct::http::HeaderMap| {
        sorted(fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    };
    Reading::Answer {
        status: answer.status.as_u16(),
        fields: sorted(&answer.headers),
        trailers: answer.trailers.as_ref().map(sorted).unwrap_or_default(),
        body: answer.body,
        whole: answer.end.is_ok(),
    }
}

async fn hypers(method: &str, bytes: &[u8]) -> Reading {
    let (near, far) = tokio::io::duplex(1 << 20);
    let replying = actix_rt::spawn(reply(far, bytes.to_vec()));
    let io = Io(near);
    let (mut sender, connection) =
        http1::handshake::<_, Empty<bytes::Bytes>>(io).await.expect("there is nothing to it");
    let running = actix_rt::spawn(connection);
    let request = hyper::Request::builder().method(method).uri("/").header("host", "example.com").body(Empty::new());
    let sent = patiently("hyper", sender.send_request(request.expect("it is well-formed"))).await;
    let reading = match sent {
        Ok(response) => taken(response).await,
        Err(_) => Reading::Refused,
    };
    running.abort();
    replying.abort();
    reading
}

async fn reply(mut far: DuplexStream, bytes: Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(far.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    if far.write_all(&bytes).await.is_ok() {
        // It may have been dropped, and then nobody waits for the end.
        let _ = far.shutdown().await;
        let _ = far.read_buf(&mut head).await;
    }
}

async fn taken(response: hyper::Response<hyper::body::Incoming>) -> Reading {
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut trailers, mut whole) = (Vec::new(), Vec::new(), true);
    while let Some(frame) = patiently("a frame", incoming.frame()).await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => body.extend_from_slice(&data),
            Ok(Err(frame)) => trailers = end_to_end(&frame.into_trailers().unwrap_or_default()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Reading::Answer { status: head.status.as_u16(), fields: end_to_end(&head.headers), trailers, body, whole }
}

/// hyper keeps what ends at a proxy; it is taken out here (RFC 9110, 7.6.1).
fn end_to_end(headers: &hyper::HeaderMap) -> Vec<(String, Vec<u8>)> {
    const ENDS_HERE: [&str; 9] = [
        "connection",
        "content-length",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    const STAYS: [&str; 4] = ["host", "content-length", "content-type", "cache-control"];
    let nominated: Vec<String> = headers
        .get_all("connection")
        .iter()
        .flat_map(|value| support::wire::text(value.as_bytes()).split(',').map(str::to_owned).collect::<Vec<_>>())
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !STAYS.contains(&name.as_str()))
        .collect();
    let kept = headers.iter().filter(|(name, _)| {
        !ENDS_HERE.contains(&name.as_str()) && !nominated.iter().any(|nominated| nominated == name.as_str())
    });
    sorted(kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_unstable();
    fields
}

/// tokio's traits as hyper's.
struct Io(DuplexStream);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let mut chunk = vec![0; buffer.remaining().min(16 * 1024)];
        let mut read = tokio::io::ReadBuf::new(&mut chunk);
        std::task::ready!(tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut self.0), cx, &mut read))?;
        buffer.put_slice(read.filled());
        std::task::Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut self.0), cx)
    }
}
