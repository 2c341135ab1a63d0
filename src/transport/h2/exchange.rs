//! One exchange: a stream of a connection that others share. It sends and reads at the same time.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};

use super::{
    head,
    sending::{SendError, Sending},
    shelf::Place,
};
use crate::{
    clock::Deadline,
    http::{Downstream, HeaderMap, StatusCode},
    transport::{
        Cause, Phase, Timeouts, TransportError,
        h1::exchange::MAX_INTERIM,
        watch::{Wait, Watch},
    },
};

/// An exchange under way. Dropped before its end, the stream is reset and the connection goes on.
pub struct Flow {
    place: Place,
    /// The request as far as it is not sent.
    pub sending: Sending,
    /// The endpoint does not take the request any more.
    gave_up: bool,
    watch: Watch,
    response_started: bool,
    reused: bool,
}

/// The head of an answer, and what comes behind it.
pub type Answer = (StatusCode, HeaderMap, RecvStream);

impl Flow {
    /// An exchange of which the head was sent; `began` is when its limit in all started to count.
    pub fn new(place: Place, sending: Sending, timeouts: Timeouts, began: Option<Instant>) -> Self {
        let watch = Watch::new(Deadline::new(), timeouts, began);
        let reused = place.link.is_proven.get();
        Self { place, sending, gave_up: false, watch, response_started: false, reused }
    }

    /// The connection had carried an exchange before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends the request as far as the endpoint takes it, until its answer's final head is there.
    pub async fn head(
        &mut self,
        mut response: ResponseFuture,
        downstream: Option<&Rc<dyn Downstream>>,
    ) -> Result<Answer, TransportError> {
        let mut interim = 0;
        loop {
            let head = poll_fn(|cx| self.poll_head(cx, &mut response)).await;
            let head = head.map_err(|error| self.failed(error))?;
            self.response_started = true;
            match head {
                Head::Final(answer) => {
                    self.place.link.is_proven.set(true);
                    return Ok(answer);
                }
                Head::Interim(StatusCode::SWITCHING_PROTOCOLS, _) => {
                    return Err(self.failed(Cause::Malformed("101, which HTTP/2 does not have").into()));
                }
                Head::Interim(..) if interim == MAX_INTERIM => {
                    return Err(self.failed(Cause::Malformed("interim responses without end").into()));
                }
                Head::Interim(status, fields) => {
                    interim += 1;
                    // 100 is between the endpoint and us.
                    if let (Some(downstream), true) = (downstream, status != StatusCode::CONTINUE) {
                        downstream.informational(status, &fields);
                    }
                }
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, response: &mut ResponseFuture) -> Poll<Result<Head, Failed>> {
        let wait = self.poll_send(cx)?;
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            self.watch.moved();
            let interim = interim.map_err(|error| self.why(error))?;
            let (status, fields) = head::answer(interim.status(), interim.headers())?;
            return Poll::Ready(Ok(Head::Interim(status, fields)));
        }
        match Pin::new(response).poll(cx) {
            Poll::Ready(Ok(answer)) => {
                self.watch.moved();
                let (parts, body) = answer.into_parts();
                let (status, fields) = head::answer(parts.status, &parts.headers)?;
                Poll::Ready(Ok(Head::Final((status, fields, body))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.why(error))),
            Poll::Pending => {
                self.watch.expect(wait);
                self.watch.poll(cx).map(|cause| Err(cause.into()))
            }
        }
    }

    /// Sends what can be sent now, and says what is waited for then. What the endpoint does not take is no end: it may
    /// have an answer. What the client does not give is one.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<Wait, Cause> {
        if self.gave_up || self.sending.is_done() {
            return Ok(Wait::FirstByte);
        }
        let mut moved = false;
        let sent = self.sending.poll(cx, &mut moved);
        if moved {
            self.watch.moved();
        }
        match sent {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(SendError::Endpoint)) => self.gave_up = true,
            Poll::Ready(Err(SendError::Client(error))) => return Err(Cause::RequestBody(error)),
            // Whoever is waited for is the one who is timed.
            Poll::Pending if self.sending.has_bytes() => return Ok(Wait::Movement),
            Poll::Pending => return Ok(Wait::Client),
        }
        Ok(Wait::FirstByte)
    }

    /// Sends nothing more.
    pub fn give_up_sending(&mut self) {
        self.gave_up = true;
    }

    /// While a body is read: the endpoint is to give the next byte. Ready when it took too long.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.watch.expect(Wait::Movement);
        self.watch.poll(cx).map(drop)
    }

    /// A piece of the body is there: until the next one is asked for, it is the client's time that passes.
    pub fn pause(&mut self) {
        self.watch.moved();
        self.watch.expect(Wait::Nothing);
    }

    /// All of the answer has come that there is to read.
    pub fn finish(self, frames: RecvStream) {
        if self.sending.is_done() && !frames.is_end_stream() {
            self.place.link.see_out(frames);
        }
    }

    /// What is left when it goes on as bytes: the place, and the direction to the endpoint.
    pub fn into_parts(self) -> (Place, SendStream<Bytes>) {
        (self.place, self.sending.into_stream())
    }

    /// What an error of the stream says.
    pub fn why(&self, error: h2::Error) -> Failed {
        if let Some(cause) = self.place.link.wire.verdict() {
            return cause.into();
        }
        match error.reason() {
            Some(_) if error.is_go_away() && error.is_remote() => self.refused(),
            Some(Reason::REFUSED_STREAM) if error.is_remote() => self.refused(),
            Some(reason) if error.is_remote() => Cause::Reset(reason).into(),
            Some(_) => Cause::Malformed("the answer is no HTTP/2").into(),
            None => error.into_io().map_or(Cause::Closed, Cause::Io).into(),
        }
    }

    /// Streams behind the last that a GOAWAY names were not looked at, nor were those that are refused (RFC 9113, 6.8
    /// and 8.7).
    fn refused(&self) -> Failed {
        self.place.link.is_proven.set(true);
        Failed { cause: Cause::Refused, is_untouched: true }
    }

    /// The facts.
    pub fn failed(&self, Failed { cause, is_untouched }: Failed) -> TransportError {
        TransportError {
            phase: if self.sending.is_done() { Phase::Head } else { Phase::Send },
            cause,
            reused: self.reused,
            response_started: self.response_started,
            body_consumed: self.sending.body.is_consumed(),
            request_started: !is_untouched && self.place.link.wire.has_sent(self.sending.stream_id()),
        }
    }
}

enum Head {
    Interim(StatusCode, HeaderMap),
    Final(Answer),
}

/// Why an exchange failed, and whether the endpoint says that it has not looked at the request.
pub struct Failed {
    cause: Cause,
    is_untouched: bool,
}

impl From<Cause> for Failed {
    fn from(cause: Cause) -> Self {
        Self { cause, is_untouched: false }
    }
}
