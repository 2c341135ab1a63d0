//! HTTP/1.1 towards endpoints: our own, because a proxy needs an answer to be the answer (docs/adr/0002).
//!
//! [`H1::exchange`] takes a connection off the shelf or makes one, [`exchange`] sends and reads on it, [`body`] is what
//! stays open afterwards.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use self::{
    body::{Ending, OpenBody},
    buffers::Buffers,
    exchange::Flow,
    head::Head,
    sending::Sending,
    settled::{Settled, settle},
};
use super::{
    Cause, Incoming, IncomingHead, Outgoing, Target, Transport, TransportError,
    dial::Stream,
    pool::{Connection, Pool, Shelf, Want},
};
use crate::http::{ResponseBody, StatusCode, chunked::ChunkedDecoder, framing::ResponseFraming, header, headers};

pub mod body;
mod buffers;
pub mod exchange;
pub mod head;
pub mod sending;
pub mod settled;
pub mod whole;

pub use self::whole::read_all;

/// The transport of one worker: its connections, and its buffers.
#[derive(Default)]
pub struct H1 {
    pool: Pool,
    buffers: Rc<Buffers>,
}

impl H1 {
    /// A transport without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a connection that was made elsewhere and has carried nothing yet.
    pub fn adopt(&self, to: &Target, connection: Box<Connection>) {
        self.pool.shelf(to).put_new(connection);
    }

    /// One attempt, as [`Transport::send`], without a box around it.
    ///
    /// # Errors
    /// The facts; what is left of the body is in `request` then.
    pub async fn exchange(&self, to: &Target, request: &mut Outgoing) -> Result<Incoming, TransportError> {
        let began = request.timeouts.total.map(|_| Instant::now());
        let shelf = self.pool.shelf(to);
        let kept = if request.fresh { None } else { shelf.take(&to.pool, request.preamble.as_deref()) };
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let want = Want { preamble: request.preamble.as_ref(), fresh: request.fresh };
                // In a box: it is rare, and would be most of what every exchange takes.
                let made = Box::pin(shelf.connection(to, request.timeouts.connecting(), want)).await;
                let made = made.map_err(|(phase, cause)| TransportError::unsent(phase, cause, request))?;
                request.connected = Some(Instant::now());
                made
            }
        };
        let mut lines = self.buffers.lend_lines();
        head::write(request, &mut lines);
        let sending = Sending::new(lines, request.body.take(), request.downstream.clone());
        let mut flow = Flow::new(connection, sending, request.timeouts, began, &self.buffers);
        match flow.head(request.upgrade.is_some(), request.downstream.as_ref()).await {
            Ok(head) => answered(head, flow, request, shelf),
            Err(error) => {
                if was_closed_while_idle(&error) {
                    // Those that were kept as long are closed as well, or soon will be.
                    shelf.clear();
                }
                request.body = flow.sending.body.take();
                Err(error)
            }
        }
    }
}

impl Transport for H1 {
    fn send<'a>(
        &'a self,
        to: &'a Target,
        request: &'a mut Outgoing,
    ) -> LocalBoxFuture<'a, Result<Incoming, TransportError>> {
        Box::pin(self.exchange(to, request))
    }
}

fn answered(head: Head, mut flow: Flow, request: &mut Outgoing, shelf: Rc<Shelf>) -> Result<Incoming, TransportError> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(upgraded(head.headers, flow));
    }
    let settled = settle(head, &request.method);
    let Settled { head, framing, keeps } = settled.map_err(|error| flow.failed(Cause::Malformed(error.as_str())))?;
    if flow.sending.is_done() {
        request.body = flow.sending.body.give_back();
    }
    let reused = flow.connection.reused;
    let shelf = keeps.then_some(shelf);
    let body = match framing {
        ResponseFraming::None(announced) => {
            flow.finish(shelf);
            announced.map_or(ResponseBody::Empty, ResponseBody::Announced)
        }
        ResponseFraming::Length(length) => match whole(&mut flow, length) {
            Some(bytes) => {
                flow.finish(shelf);
                ResponseBody::Bytes(bytes)
            }
            None => open(flow, Ending::Length(length), shelf),
        },
        ResponseFraming::Chunked { and_close } => {
            let mut ending = Ending::Chunked(ChunkedDecoder::new());
            // What cannot be trusted from its start on is no answer: it is found out while that can be said.
            let ahead = ending.ahead(&mut flow.input);
            let ahead = ahead.map_err(|_| flow.failed(Cause::Malformed("malformed chunks")))?;
            let body = OpenBody::new(flow, ending, shelf.filter(|_| !and_close));
            ResponseBody::Stream(Box::new(body.behind(ahead)))
        }
        ResponseFraming::UntilClose => open(flow, Ending::Close, None),
    };
    Ok(Incoming::Response { head, body, reused })
}

/// Neither a slow endpoint nor a client that leaves says anything about the other connections.
fn was_closed_while_idle(error: &TransportError) -> bool {
    error.reused && !error.response_started && matches!(error.cause, Cause::Closed | Cause::Io(_))
}

/// The whole body, if it is there already.
fn whole(flow: &mut Flow, length: u64) -> Option<Bytes> {
    let length = usize::try_from(length).ok()?;
    let buffer = &mut flow.input;
    (buffer.len() >= length).then(|| buffer.split_to(length).freeze())
}

fn open(flow: Flow, ending: Ending, shelf: Option<Rc<Shelf>>) -> ResponseBody {
    ResponseBody::Stream(Box::new(OpenBody::new(flow, ending, shelf)))
}

fn upgraded(headers: crate::http::HeaderMap, mut flow: Flow) -> Incoming {
    let protocol = headers.get(header::UPGRADE).cloned();
    let mut headers = headers;
    headers::strip_hop_by_hop(&mut headers);
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
    let early = flow.input.split().freeze();
    let (stream, permit) = flow.connection.into_stream();
    let head = IncomingHead { status: StatusCode::SWITCHING_PROTOCOLS, headers };
    Incoming::Upgraded { head, io: Box::new(Switched { stream, _permit: permit }), early }
}

/// A connection that no longer speaks HTTP, and still counts as one.
struct Switched {
    stream: Stream,
    _permit: OwnedSemaphorePermit,
}

mod switched;
