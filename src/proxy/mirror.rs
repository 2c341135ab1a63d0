//! Copies of requests for another upstream. Their answers are read and thrown away, and whatever becomes of them the client does not
//! notice.

use std::{
    future::poll_fn,
    mem,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    decision,
    dispatch::{Dispatch, ask},
    outcome::{heed, told},
    outgoing,
    worker::Worker,
};
use crate::{
    clock,
    exchange::{Awaited, Exchange},
    http::{Body, Frame, HeaderName, ResponseBody},
    plan::mirror::{Copy, Mirror},
    settings::limit::Class,
    transport::{Incoming, Outgoing},
    upstream::{breaker, outlier::Report, selection::Selection},
};

/// No copy lives longer, its answer's last byte included.
const LONGEST: Duration = Duration::from_secs(30);

/// So much of an answer is read, that its connection can be used again; of more it is closed.
const MOST_READ: usize = 1 << 20;

/// Tells endpoints that the client has its answer from elsewhere.
const MARK: HeaderName = HeaderName::from_static("x-aqueduct-mirror");

/// A copy with what it needs: nothing of it belongs to the client.
struct Errand {
    copy: Copy,
    worker: Rc<Worker>,
    exchange: Exchange,
    outgoing: Outgoing,
    class: Class,
}

impl Dispatch<'_> {
    /// Sends a copy of a request that was sent, in a task of its own. What is left in `sent.body` is its body: all of it.
    pub fn mirror(&self, mirror: &Arc<Mirror>, exchange: &Exchange, sent: &mut Outgoing) {
        let Some(copy) = mirror.begin() else { return };
        let mut outgoing = sent.copy();
        if !sent.body.is_empty() {
            outgoing.body = sent.body.take();
        }
        outgoing.target = decision::target(self.matched, &mirror.base, exchange);
        outgoing.headers.remove(MARK);
        outgoing.added.extend_from_slice(b"x-aqueduct-mirror: 1\r\n");
        outgoing.timeouts.total = Some(outgoing.timeouts.total.unwrap_or(LONGEST).min(LONGEST));
        let exchange = exchange.shadow();
        let class = self.matched.entry.value.class;
        let errand = Errand { copy, worker: self.worker.shared(), exchange, outgoing, class };
        // It ends with its worker, if not before.
        actix_rt::spawn(async move {
            let name = Arc::clone(&errand.copy.mirror().upstream.name);
            if timeout(LONGEST, errand.run()).await.is_err() {
                log::debug!("a copy for {name} took too long");
            }
        });
    }
}

impl Errand {
    fn is_dropped(&self) {
        self.copy.mirror().upstream.counts.copies_dropped.one();
    }

    async fn run(mut self) {
        let mirror = Arc::clone(self.copy.mirror());
        let upstream = &mirror.upstream;
        let breaker = upstream.breaker.as_ref().map(|breaker| breaker.pass(clock::coarse())).transpose();
        let Ok(passage) = breaker else { return self.is_dropped() };
        let members = upstream.members();
        let selection = Selection::of(upstream, &members);
        // Balancers look for their keys in the exchange.
        mem::swap(&mut self.exchange.headers, &mut self.outgoing.headers);
        // Nobody pays for it if it is the one that shows whether an endpoint has recovered.
        let pick = selection.pick(&self.exchange, true);
        let entered = pick.and_then(|pick| match &upstream.limit {
            None => Some((pick.endpoint.enter(), pick)),
            Some(limit) => Some((limit.admit_at_once(pick.endpoint, &self.exchange, self.class)?, pick)),
        });
        mem::swap(&mut self.exchange.headers, &mut self.outgoing.headers);
        let Some((_in_flight, pick)) = entered else { return self.is_dropped() };
        upstream.counts.copies_sent.one();
        outgoing::address(&mut self.outgoing, &mirror.host, pick.endpoint, &self.exchange);
        let began = upstream.is_timed(&members).then(Instant::now);
        let sent = ask(&self.worker, upstream, pick.endpoint, &mut self.outgoing).await;
        let mut awaited = heed((upstream, &members), pick, &sent, began);
        let answered = sent.map_err(told);
        if let Err(error) = &answered {
            log::debug!("a copy for {}: {error}", upstream.name);
            upstream.counts.failed(error.token());
        }
        if let Some(passage) = passage {
            let status = |incoming: &Incoming| match incoming {
                Incoming::Response { head, .. } | Incoming::Upgraded { head, .. } => head.status,
            };
            let report: Report = breaker::report(answered.as_ref().map(status));
            passage.ended(&upstream.name, report, awaited.as_mut(), clock::coarse());
        }
        if let Ok(Incoming::Response { body, .. }) = answered {
            throw_away(body, awaited).await;
        }
    }
}

/// Reads a body to its end, or until that is not worth it.
async fn throw_away(mut body: ResponseBody, mut awaited: Option<Awaited>) {
    let mut read = 0;
    loop {
        let next = poll_fn(|cx| body.poll_frame(cx)).await;
        awaited = awaited.and_then(|awaited| awaited.saw(&next));
        let Some(Ok(frame)) = next else { return };
        if let Frame::Data(data) = frame {
            read += data.len();
        }
        if read > MOST_READ {
            return;
        }
    }
}
