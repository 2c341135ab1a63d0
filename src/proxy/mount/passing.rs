//! An exchange on its way through the handler, so that it is told of wherever it ends.

use std::{any::Any, mem, rc::Rc, time::Instant};

use crate::{
    exchange::{Awaited, Exchange, InFlight},
    http::{BodyError, BodySize, Downstream, Frame, Method, StatusCode, Takeover, downstream::TakenOver},
    proxy::worker::Worker,
    telemetry::tail::{Ears, Tail},
};

/// An exchange and who wants to know how it ends. Dropped before it is answered, the client has left.
pub struct Passing {
    exchange: Option<Box<Exchange>>,
    ears: Ears,
}

/// What stays of an exchange once its head is out.
pub struct Rest {
    /// Tells of it at the last byte.
    pub tail: Option<Tail>,
    /// Counts it at its endpoint until then.
    #[expect(dead_code, reason = "it counts until it is dropped")]
    pub in_flight: Option<InFlight>,
    /// What filters hold on to until then.
    pub held: Vec<Box<dyn Any>>,
    /// Its endpoint is judged by the body that is still to come.
    pub awaited: Option<Awaited>,
    /// Where trailers go.
    pub downstream: Option<Rc<dyn Downstream>>,
}

impl Passing {
    pub fn begin(mut exchange: Box<Exchange>, worker: &Worker) -> Self {
        let ears = worker.ears();
        exchange.facts.started = if ears.is_empty() { worker.born } else { Instant::now() };
        if let Some(log) = &ears.log {
            log.begin(&mut exchange);
        }
        if ears.recorder.is_some() && !exchange.body.is_empty() {
            exchange.facts.received = Some(exchange.body.counted());
        }
        Self { exchange: Some(exchange), ears }
    }

    pub fn exchange(&mut self) -> &mut Exchange {
        self.exchange.as_mut().expect("it is there until it is answered")
    }

    /// It was asked what there would be, not for it.
    pub fn is_head(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.method == Method::HEAD)
    }

    /// The answer's head is known.
    pub fn answered(mut self, status: StatusCode, size: BodySize) -> Rest {
        let mut exchange = self.exchange.take().expect("it is there until it is answered");
        let (in_flight, awaited) = (exchange.in_flight.take(), exchange.awaited.take());
        let (downstream, held) = (exchange.downstream.take(), mem::take(&mut exchange.held));
        let ears = mem::take(&mut self.ears);
        let (tail, left) = if ears.is_empty() {
            (None, Some(exchange))
        } else {
            let (tail, left) = Tail::new(ears, exchange, status);
            (Some(tail.expecting(size)), left)
        };
        if let Some(exchange) = left {
            exchange.end();
        }
        Rest { tail, in_flight, held, awaited, downstream }
    }

    /// A tunnel's last byte is the exchange's.
    pub fn until_the_end_of(self, takeover: Takeover, status: StatusCode) -> Takeover {
        let rest = self.answered(status, BodySize::Stream);
        Takeover(Box::new(move |client: TakenOver| {
            Box::pin(async move {
                (takeover.0)(client).await;
                if let Some(mut tail) = rest.tail {
                    tail.saw(&None);
                }
                drop(rest.held);
            })
        }))
    }
}

impl Rest {
    /// So many bytes of the body came past our memory.
    pub fn saw_piece(&mut self, count: u64) {
        if let Some(tail) = &mut self.tail {
            tail.saw_piece(count);
        }
        if let Some(awaited) = self.awaited.take() {
            self.awaited = awaited.saw_bytes(count);
        }
    }

    /// This came next of the body.
    pub fn saw(&mut self, next: &Option<Result<Frame, BodyError>>) {
        if let Some(tail) = &mut self.tail {
            tail.saw(next);
        }
        if let Some(awaited) = self.awaited.take() {
            self.awaited = awaited.saw(next);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let (Some(exchange), false) = (self.exchange.take(), self.ears.is_empty()) {
            let gone = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::REQUEST_TIMEOUT);
            // It is told of when this falls, here and now.
            let _tail = Tail::new(mem::take(&mut self.ears), exchange, gone);
        }
    }
}

/// What logs call it when a client leaves before its answer; never sent.
const CLIENT_GONE: u16 = 499;
