//! One question to an endpoint, over a connection of its own.

use std::{
    cell::Cell,
    future::poll_fn,
    ops::RangeInclusive,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{
    http::{
        Body, Frame, HeaderMap, HeaderValue, Method, RequestBody, ResponseBody, header,
        header::{HeaderName, InvalidHeaderValue},
    },
    settings::upstream::Protocol,
    transport::{
        Address, Cause, Incoming, IncomingHead, Outgoing, Phase, Target, Timeouts, Transport,
        dial::{self, Offer},
        own::Own,
        pool::Limits,
    },
    upstream::{
        Endpoint,
        check::{Check, Question},
    },
};

/// So much of an answer is read.
const MOST: usize = 64 * 1024;
/// gRPC's prefix of a message: not compressed, and its length.
const PREFIX: usize = 5;

/// Why an endpoint has not passed.
pub enum Why {
    /// What is wrong with it.
    Wrong(String),
    /// It was not asked: nothing was left here to ask it with.
    NotAsked,
}

impl From<String> for Why {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

/// Asks, and says what is wrong with the answer. The caller limits the time.
pub async fn put(endpoint: &Endpoint, check: &Check) -> Result<(), Why> {
    let target = target(&endpoint.target, check.port);
    match &check.question {
        Question::Tcp => {
            let dialled = dial::dial(&target, Offer::Either, None, &Cell::new(Phase::Resolve)).await;
            dialled.map(drop).map_err(|error| {
                let text = error.to_string();
                if Cause::Io(error).is_scarcity() { Why::NotAsked } else { text.into() }
            })
        }
        Question::Http { path, host, status, body } => {
            let request = request(Method::GET, path, host.as_deref().unwrap_or(&target.authority));
            http(&target, request.map_err(|error| error.to_string())?, status, body.as_deref()).await
        }
        Question::Grpc { service, host } => {
            let path = "/grpc.health.v1.Health/Check";
            let request = request(Method::POST, path, host.as_deref().unwrap_or(&target.authority));
            grpc(&target, request.map_err(|error| error.to_string())?, service).await
        }
    }
}

/// The endpoint, apart from the limits on what its clients get.
fn target(of: &Target, port: Option<u16>) -> Target {
    let address = match (&of.address, port) {
        (Address::Tcp { host, .. }, Some(port)) => Address::Tcp { host: host.clone(), port },
        (address, _) => address.clone(),
    };
    let pool = Limits {
        max_idle: 0,
        idle: of.pool.idle,
        lifetime: of.pool.lifetime,
        total: Arc::new(Semaphore::new(1)),
        max_queue: 0,
        queued: AtomicU64::new(0),
        wanted: Arc::default(),
    };
    Target {
        address,
        tls: of.tls.clone(),
        // As a connection of our own; whoever answers elsewhere is somebody else, who may not know of it.
        proxy_protocol: of.proxy_protocol.filter(|_| port.is_none()),
        authority: Arc::clone(&of.authority),
        id: of.id,
        pool: Arc::new(pool),
        protocol: if of.proxy_protocol.is_some() { Protocol::H1 } else { of.protocol },
        h2: of.h2.clone(),
        http1_until: AtomicU64::new(0),
    }
}

fn request(method: Method, path: &str, host: &str) -> Result<Outgoing, InvalidHeaderValue> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(host)?);
    let agent = concat!("aqueduct/", env!("CARGO_PKG_VERSION"), " (health check)");
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    Ok(Outgoing {
        method,
        target: path.to_owned(),
        headers,
        added: Vec::new(),
        body: RequestBody::empty(),
        upgrade: None,
        timeouts: Timeouts { connect: None, first_byte: None, idle: None, total: None },
        fresh: true,
        preamble: None,
        downstream: None,
        connected: None,
    })
}

async fn http(
    target: &Target,
    request: Outgoing,
    status: &RangeInclusive<u16>,
    wanted: Option<&str>,
) -> Result<(), Why> {
    let transport = Own::new();
    let (head, body) = send(&transport, target, request).await?;
    if !status.contains(&head.status.as_u16()) {
        return Err(format!("it answers {}", head.status).into());
    }
    let Some(wanted) = wanted else { return Ok(()) };
    let (content, _) = read(body).await?;
    let found = content.windows(wanted.len().max(1)).any(|part| part == wanted.as_bytes());
    if found || wanted.is_empty() { Ok(()) } else { Err(format!("its answer does not contain `{wanted}`").into()) }
}

/// (gRPC Health Checking Protocol; a request is one string, an answer one enumeration.)
async fn grpc(target: &Target, mut request: Outgoing, service: &str) -> Result<(), Why> {
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    request.body = RequestBody::buffered(question(service));
    let transport = Own::new();
    let (head, body) = send(&transport, target, request).await?;
    let (content, trailers) = read(body).await?;
    let status = HeaderName::from_static("grpc-status");
    match trailers.unwrap_or(head.headers).get(&status).map(HeaderValue::as_bytes) {
        Some(b"0") if is_serving(&content) => Ok(()),
        Some(b"0") => Err(String::from("it says that it is not serving").into()),
        Some(code) => Err(format!("it answers with grpc-status {}", String::from_utf8_lossy(code)).into()),
        None => Err(format!("it answers {} and no grpc-status", head.status).into()),
    }
}

/// `HealthCheckRequest { service = 1 }`.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0A);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).expect("a name is not that long");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

/// `HealthCheckResponse { status = 1 }`, and SERVING is 1.
fn is_serving(content: &[u8]) -> bool {
    content.get(PREFIX..) == Some(&[0x08, 0x01])
}

async fn send(transport: &Own, target: &Target, mut request: Outgoing) -> Result<(IncomingHead, ResponseBody), Why> {
    match transport.send(target, &mut request).await {
        Ok(Incoming::Response { head, body, .. }) => Ok((head, body)),
        Ok(Incoming::Upgraded { .. }) => Err(Why::Wrong("it switches protocols".into())),
        Err(error) if error.cause.is_scarcity() => Err(Why::NotAsked),
        Err(error) => Err(error.to_string().into()),
    }
}

async fn read(mut body: ResponseBody) -> Result<(Vec<u8>, Option<HeaderMap>), String> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        match frame.map_err(|error| error.to_string())? {
            Frame::Data(bytes) if content.len() + bytes.len() > MOST => return Ok((content, None)),
            Frame::Data(bytes) => content.extend_from_slice(&bytes),
            Frame::Trailers(trailers) => return Ok((content, Some(trailers))),
        }
    }
    Ok((content, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_of_grpc_is_a_message_with_a_name() {
        assert_eq!(&*question(""), [0, 0, 0, 0, 0]);
        assert_eq!(&*question("shop"), b"\0\0\0\0\x06\x0A\x04shop");
        assert_eq!(&question(&"s".repeat(300))[..8], [0, 0, 0, 1, 47, 0x0A, 0xAC, 0x02]);
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(is_serving(b"\0\0\0\0\x02\x08\x01"));
        for other in [&b""[..], b"\0\0\0\0\0", b"\0\0\0\0\x02\x08\x02", b"\0\0\0\0\x02\x08\x00"] {
            assert!(!is_serving(other), "{other:?}");
        }
    }
}
