//! Answers on their way out: a head as a list of fields, and content as fast as the client takes it.

use std::{
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::body::{BoxBody, MessageBody};
use bytes::Bytes;

use super::{session::List, stream::Channel};
use crate::{
    clock::Deadline,
    edge::h1::response::{Ending, with_date},
    http::{
        HeaderMap, HeaderName, StatusCode,
        grpc::{self, Messages},
        h2::{fields::is_connection_specific, frames::code},
        header, headers,
    },
};

/// Writes the final head. Framing and connection fields are ours, whatever the App has set.
pub fn write_head(fields: &HeaderMap, status: StatusCode, length: Option<u64>, list: &mut List<'_>) {
    list.status(status);
    let mut is_dated = false;
    for (name, value) in fields {
        if !is_ours(name) {
            is_dated |= *name == header::DATE;
            list.field(name, value);
        }
    }
    if let Some(length) = length {
        list.text(&header::CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
    }
    if !is_dated {
        with_date(|date| list.text(&header::DATE, date));
    }
}

/// Writes an interim head.
pub fn write_interim(status: StatusCode, fields: &HeaderMap, list: &mut List<'_>) {
    list.status(status);
    fields.iter().filter(|(name, _)| !is_ours(name)).for_each(|(name, value)| list.field(name, value));
}

fn write_trailers(fields: &HeaderMap, list: &mut List<'_>) {
    let goes = |name: &HeaderName| !is_ours(name) && !headers::is_hop_by_hop(name);
    fields.iter().filter(|(name, _)| goes(name)).for_each(|(name, value)| list.field(name, value));
}

fn is_ours(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::TE || is_connection_specific(name)
}

/// Content on its way out.
pub struct Sending {
    pub body: BoxBody,
    ending: Ending,
    /// What the body gave and the client has no room for yet.
    piece: Bytes,
    has_ended: bool,
    /// Those of a call of gRPC.
    messages: Option<Messages>,
    /// Bytes that were written while others may have waited.
    at_once: usize,
    /// Made when the client is first waited for.
    stalled: Option<Deadline>,
}

/// So many bytes of one answer go out before it is the turn of another, if all of them are there.
const AT_ONCE: usize = 64 * 1024;

impl Sending {
    pub fn new(body: BoxBody, ending: Ending, is_call: bool) -> Self {
        let messages = (is_call && ending == Ending::Chunked).then(Messages::default);
        let (piece, has_ended, at_once, stalled) = (Bytes::new(), false, 0, None);
        Self { body, ending, piece, has_ended, messages, at_once, stalled }
    }

    /// Writes what the body gives, as the client makes room for it. Ready when nothing more is to be written.
    pub fn poll(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<()> {
        loop {
            let is_amid = !self.piece.is_empty() && self.at_once < AT_ONCE;
            if !ready!(channel.poll_turn(is_amid, cx)) {
                return Poll::Ready(());
            }
            if !is_amid {
                self.at_once = 0;
            }
            if !self.piece.is_empty() {
                if ready!(self.poll_send(cx, channel)).is_break() {
                    return Poll::Ready(());
                }
            } else if self.has_ended {
                self.finish(channel);
                return Poll::Ready(());
            } else if ready!(self.poll_body(cx)).is_err() {
                self.break_off(channel);
                return Poll::Ready(());
            }
        }
    }

    /// Asks the body for more.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
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

    /// Writes as much of the piece as there is room for.
    fn poll_send(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<ControlFlow<()>> {
        let Some(room) = ready!(self.poll_room(cx, channel)) else { return Poll::Ready(ControlFlow::Break(())) };
        let part = if room < self.piece.len() { self.piece.split_to(room) } else { mem::take(&mut self.piece) };
        let is_last = self.piece.is_empty() && self.has_ended && !channel.has_response_trailers();
        self.at_once += part.len();
        let is_sent = channel.wire.session(|session| session.send_data(channel.place, part, is_last));
        Poll::Ready(if is_last || !is_sent { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Bytes that may be sent now; `None` if the client has left, or has made none for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<Option<usize>> {
        let room = channel.wire.session(|session| session.poll_room(channel.place, cx));
        if room.is_ready() {
            if let Some(stalled) = &self.stalled {
                stalled.disarm();
            }
            return room;
        }
        let stalled = self.stalled.get_or_insert_default();
        if !stalled.is_armed() {
            stalled.arm_or_disarm(channel.wire.limits.response_write);
        }
        ready!(stalled.poll(cx));
        channel.reset(code::CANCEL);
        Poll::Ready(None)
    }

    /// Never an end that looks like one. Between two messages of gRPC it can be said what has happened: such a client takes a
    /// reset for a fault of ours, and would not try again.
    fn break_off(&self, channel: &Channel) {
        if self.messages.as_ref().is_some_and(Messages::are_whole) {
            channel.send_list(true, |list| write_trailers(&grpc::broken_off(), list));
        } else {
            channel.reset(code::INTERNAL_ERROR);
        }
    }

    /// Says that this was all, with trailers if there are some.
    fn finish(&self, channel: &Channel) {
        match channel.take_response_trailers() {
            Some(trailers) => channel.send_list(true, |list| write_trailers(&trailers, list)),
            None => channel.wire.session(|session| session.send_data(channel.place, Bytes::new(), true)),
        };
    }
}

/// The body is not what was said.
struct Broken;
