//! Answers on their way out: a head in the h2 crate's terms, and content as fast as the client takes it.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::{
    ResponseHead,
    body::{BoxBody, MessageBody},
};
use bytes::Bytes;
use h2::{Reason, SendStream};

use super::{stream::Channel, wire::Place};
use crate::{
    clock::Deadline,
    edge::h1::response::{Ending, date},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        grpc::{self, Messages},
        h2::fields,
        header, headers,
    },
};

/// The final head. Framing and connection fields are ours, whatever the App has set.
pub fn head(head: &ResponseHead, length: Option<u64>) -> ::http::Response<()> {
    let mut fields = fields::to_h2(head.headers(), |name| *name == header::CONTENT_LENGTH);
    if let Some(length) = length {
        fields.insert(::http::header::CONTENT_LENGTH, length.into());
    }
    if !fields.contains_key(::http::header::DATE)
        && let Ok(date) = ::http::HeaderValue::from_bytes(HeaderValue::as_bytes(&date()))
    {
        fields.insert(::http::header::DATE, date);
    }
    with(head.status, fields)
}

/// An interim head.
pub fn interim(status: StatusCode, fields: &HeaderMap) -> ::http::Response<()> {
    with(status, fields::to_h2(fields, |name| *name == header::CONTENT_LENGTH))
}

fn with(status: StatusCode, fields: ::http::HeaderMap) -> ::http::Response<()> {
    let mut response = ::http::Response::new(());
    *response.status_mut() =
        ::http::StatusCode::from_u16(status.as_u16()).expect("what is a status in one version is one in the other");
    *response.headers_mut() = fields;
    response
}

/// How far an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// All of it.
    Whole,
    /// Its body broke off.
    Broken,
    /// The client has left, or does not read.
    Gone,
}

/// Content on its way out.
pub struct Sending {
    pub stream: SendStream<Bytes>,
    body: BoxBody,
    ending: Ending,
    /// What the body gave and the client has no room for yet.
    piece: Bytes,
    has_ended: bool,
    /// Those of a call of gRPC.
    messages: Option<Messages>,
    /// Bytes that are queued, or were.
    queued: u64,
    stalled: Deadline,
}

impl Sending {
    pub fn new(stream: SendStream<Bytes>, body: BoxBody, ending: Ending, is_call: bool) -> Self {
        let messages = (is_call && ending == Ending::Chunked).then(Messages::default);
        let (piece, has_ended, queued, stalled) = (Bytes::new(), false, 0, Deadline::new());
        Self { stream, body, ending, piece, has_ended, messages, queued, stalled }
    }

    /// Queues what the body gives, as the client makes room for it.
    pub fn poll(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<Queued> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Queued::Gone);
        }
        loop {
            if !self.piece.is_empty() {
                if let Some(queued) = ready!(self.poll_send(cx, channel)) {
                    return Poll::Ready(queued);
                }
            } else if self.has_ended {
                return Poll::Ready(self.finish(channel));
            } else if ready!(self.poll_body(cx, channel)).is_err() {
                return Poll::Ready(self.break_off());
            }
        }
    }

    /// Asks the body for more.
    fn poll_body(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<Result<(), Broken>> {
        ready!(channel.wire.poll_unstuck(cx));
        match ready!(Pin::new(&mut self.body).poll_next(cx)) {
            None if matches!(self.ending, Ending::Length(1..)) => return Poll::Ready(Err(Broken)),
            None => self.has_ended = true,
            Some(Err(_)) => return Poll::Ready(Err(Broken)),
            Some(Ok(bytes)) => {
                if let Ending::Length(left) = &mut self.ending {
                    *left = left.checked_sub(bytes.len() as u64).ok_or(Broken)?;
                }
                if let Some(messages) = &mut self.messages {
                    messages.saw(&bytes);
                }
                self.piece = bytes;
            }
        }
        // Behind the last byte there may be trailers; if not, the end goes out with it.
        if self.ending == Ending::Length(0) && !self.has_ended {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Ready(None) => self.has_ended = true,
                Poll::Ready(Some(Ok(more))) if more.is_empty() => {}
                Poll::Ready(Some(_)) => return Poll::Ready(Err(Broken)),
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much of the piece as there is room for.
    fn poll_send(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<Option<Queued>> {
        let Some(room) = ready!(self.poll_room(cx, channel)) else { return Poll::Ready(Some(Queued::Gone)) };
        let part = self.piece.split_to(room.min(self.piece.len()));
        let is_last = self.piece.is_empty() && self.has_ended && !channel.has_response_trailers();
        self.queued += part.len() as u64;
        if self.stream.send_data(part, is_last).is_err() {
            return Poll::Ready(Some(Queued::Gone));
        }
        Poll::Ready(is_last.then_some(Queued::Whole))
    }

    /// Bytes that may be sent now; `None` if the client has left, or has made none for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<Option<usize>> {
        self.stream.reserve_capacity(self.piece.len());
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                self.stalled.disarm();
                return Poll::Ready(Some(room));
            }
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    if !self.stalled.is_armed() {
                        self.stalled.arm_or_disarm(channel.wire.limits.response_write);
                    }
                    ready!(self.stalled.poll(cx));
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Never an end that looks like one. Between two messages of gRPC it can be said what has happened: such a client takes a
    /// reset for a fault of ours, and would not try again.
    fn break_off(&mut self) -> Queued {
        let can_tell = self.messages.as_ref().is_some_and(Messages::are_whole);
        if can_tell && self.stream.send_trailers(fields::to_h2(&grpc::broken_off(), ends_here)).is_ok() {
            return Queued::Whole;
        }
        Queued::Broken
    }

    /// Says that this was all, with trailers if there are some.
    fn finish(&mut self, channel: &Channel) -> Queued {
        let said = match channel.take_response_trailers() {
            Some(trailers) => self.stream.send_trailers(fields::to_h2(&trailers, ends_here)),
            None => self.stream.send_data(Bytes::new(), true),
        };
        if said.is_ok() { Queued::Whole } else { Queued::Gone }
    }

    /// Waits until what is queued was written, or the client has left or does not read.
    pub async fn end(mut self, queued: Queued, place: &Place, channel: &Channel) {
        let is_whole = match queued {
            Queued::Gone => return,
            Queued::Whole => true,
            Queued::Broken => false,
        };
        let is_written = written(if is_whole { ALL } else { self.queued }, place, &self.stalled, channel).await;
        if !is_written {
            self.stream.send_reset(Reason::CANCEL);
        } else if !is_whole {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// More than any answer has: its end is waited for.
pub const ALL: u64 = u64::MAX;

/// The body is not what was said.
struct Broken;

/// Waits until so many bytes were written, or the stream is over; `false` if nothing of it was taken for too long.
pub async fn written(bytes: u64, place: &Place, stalled: &Deadline, channel: &Channel) -> bool {
    let mut before = 0;
    poll_fn(|cx| {
        let mut seen = before;
        if place.poll_written(cx, bytes, &mut seen).is_ready() {
            return Poll::Ready(true);
        }
        if mem::replace(&mut before, seen) != seen || !stalled.is_armed() {
            stalled.arm_or_disarm(channel.wire.limits.response_write);
        }
        stalled.poll(cx).map(|()| false)
    })
    .await
}

fn ends_here(name: &crate::http::HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || headers::is_hop_by_hop(name)
}
