//! HTTP/2 towards endpoints, on the h2 crate (docs/adr/0009-http2-to-endpoints.md).
//!
//! [`H2::exchange`] finds room on a connection (`shelf`) or makes one (`link`), `exchange` sends and reads on a
//! stream of it, `body` is what stays open afterwards.

use std::time::Instant;

use h2::Reason;

use self::{
    body::OpenBody,
    exchange::{Answer, Flow},
    sending::Sending,
    shelf::{Found, Shelf},
};
use super::{
    Cause, Incoming, IncomingHead, Outgoing, Phase, Target, TransportError,
    pool::{Connection, Shelves},
};
use crate::{
    http::{
        Marks, ResponseBody, Version,
        framing::{ResponseFraming, response_framing},
        header,
    },
    settings::upstream::Protocol,
};

mod body;
mod budget;
mod exchange;
mod failure;
mod head;
mod link;
mod sending;
mod shelf;
mod waiting;
mod websocket;
mod wire;

/// The transport of one worker: its connections.
#[derive(Default)]
pub struct H2 {
    shelves: Shelves<Shelf>,
}

/// What became of an exchange.
pub enum Answered {
    /// An answer.
    Here(Incoming),
    /// The endpoint has chosen HTTP/1.1. If a connection was made for this exchange, this is it.
    Elsewhere(Option<Box<Connection>>),
}

impl H2 {
    /// One attempt.
    ///
    /// # Errors
    /// The facts; what is left of the body is in `request` then.
    pub async fn exchange(&self, to: &Target, request: &mut Outgoing) -> Result<Answered, TransportError> {
        let began = request.timeouts.total.map(|_| Instant::now());
        let switches = request.upgrade.is_some();
        if switches && !websocket::is_asked(request) {
            return elsewhere(to, request, "HTTP/2 switches to no other protocol than WebSocket");
        }
        let shelf = self.shelves.of(to, || Shelf::new(to));
        let found = shelf.find(to, request.timeouts.connecting(), request.fresh).await;
        let place = match found.map_err(|(phase, cause)| TransportError::unsent(phase, cause, request))? {
            Found::Place(place) => place,
            Found::Http1(connection) => return Ok(Answered::Elsewhere(connection)),
        };
        if !place.link.is_proven.get() {
            request.connected = Some(Instant::now());
        }
        let unsent = |phase, cause| TransportError::unsent(phase, cause, request);
        if switches && !place.link.takes_websockets() {
            return elsewhere(to, request, "the endpoint takes no WebSocket over HTTP/2");
        }
        let write = if switches { websocket::request } else { head::request };
        let head = write(request, to.tls.is_some()).ok_or_else(|| unsent(Phase::Send, NO_WORDS))?;
        let sent = place.link.send(head, !switches && request.body.is_empty());
        let (response, stream) = sent.map_err(|error| {
            place.link.retire();
            let has_ended = error.is_go_away() || error.is_io();
            unsent(Phase::Send, if has_ended { Cause::Refused } else { NO_WORDS })
        })?;
        let sending = Sending::new(stream, request.body.take(), request.downstream.clone());
        let mut flow = Flow::new(place, sending, request.timeouts, began);
        match flow.head(response, request.downstream.as_ref()).await {
            Ok(answer) => answered(answer, flow, request).map(Answered::Here),
            Err(mut error) => {
                request.body = flow.sending.body.take();
                if let (Cause::Reset(Reason::HTTP_1_1_REQUIRED), Protocol::Auto) = (&error.cause, to.protocol) {
                    // It has not looked at the request, and whoever sends it again does so in HTTP/1.1.
                    to.note_http1();
                    (error.cause, error.request_started) = (Cause::Refused, false);
                }
                Err(error)
            }
        }
    }
}

const NO_WORDS: Cause = Cause::Unsayable("HTTP/2 has no words for what is to be asked");

/// What HTTP/2 does not carry is carried by HTTP/1.1, where that is up to us.
fn elsewhere(to: &Target, request: &Outgoing, what: &'static str) -> Result<Answered, TransportError> {
    if to.protocol == Protocol::Auto {
        return Ok(Answered::Elsewhere(None));
    }
    Err(TransportError::unsent(Phase::Send, Cause::Upgrade(what), request))
}

fn answered(
    (status, mut headers, frames): Answer,
    mut flow: Flow,
    request: &mut Outgoing,
) -> Result<Incoming, TransportError> {
    if request.upgrade.is_some() && status.is_success() {
        return Ok(websocket::agreed(headers, frames, flow, request));
    }
    // The h2 crate has refused what belongs to a connection of HTTP/1.1, and sees to it that a length is kept.
    let framing = response_framing(&request.method, status, Version::HTTP_2, &headers, Marks::of(&headers));
    let framing = framing.map_err(|error| flow.failed(Cause::Malformed(error.as_str()).into()))?;
    headers.remove(header::CONTENT_LENGTH);
    if flow.sending.is_done() {
        request.body = flow.sending.body.give_back();
    }
    let reused = flow.is_reused();
    let body = match framing {
        ResponseFraming::None(announced) => {
            flow.finish(frames);
            announced.map_or(ResponseBody::Empty, ResponseBody::Announced)
        }
        ResponseFraming::Length(length) => open(flow, frames, Some(length)),
        ResponseFraming::Chunked { .. } | ResponseFraming::UntilClose => open(flow, frames, None),
    };
    Ok(Incoming::Response { head: IncomingHead { status, headers }, body, reused })
}

fn open(flow: Flow, frames: h2::RecvStream, length: Option<u64>) -> ResponseBody {
    if frames.is_end_stream() {
        return ResponseBody::Empty;
    }
    OpenBody::new(flow, frames, length).into_response()
}
