//! The end of the passage: a route's own answer, or one or more attempts at an upstream.

use std::{
    mem,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::Either;

use super::{
    decision::{self, Verdict},
    detached,
    hedge::{Attempt, Race, Sent},
    outcome::{heed, most_closings, report_of, told, was_closing},
    outgoing,
    snapshot::{Active, Snapshot},
    worker::Worker,
};
use crate::{
    chance, clock,
    exchange::Exchange,
    filters::{Detached, End},
    http::{
        Error, HeaderValue, Response, ResponseBody, StatusCode, Takeover,
        body::Length,
        downstream::TakenOver,
        error_page::{self, ProxyStatus},
        header, scratch,
    },
    plan::{FixedAnswer, Route},
    routing::Match,
    settings::upstream::TransportKind,
    transport::{
        Incoming, IncomingHead, Outgoing, Transport, TransportError,
        pool::by,
        tunnel::{self, TunnelKind},
    },
    upstream::{
        Endpoint, Members, Upstream, breaker,
        members::Held,
        selection::{Pick, Selection},
    },
};

/// Sends exchanges where a route leads.
pub struct Dispatch<'j> {
    pub active: &'j Rc<Snapshot>,
    pub matched: &'j Match<'j, Route>,
    pub worker: &'j Worker,
}

/// Where exchanges end that no route takes.
pub struct Nowhere<'j>(pub &'j Active);

impl End for Nowhere<'_> {
    async fn send(&self, exchange: &mut Exchange) -> Response {
        self.0.refuse(Error::NoRoute, exchange)
    }

    fn show(&self, exchange: &mut Exchange, refused: Response) -> Response {
        shown(self.0, exchange, refused)
    }
}

impl End for Dispatch<'_> {
    async fn send(&self, exchange: &mut Exchange) -> Response {
        let mut member = None;
        let (upstream, target) = match decision::verdict(self.matched, exchange) {
            Verdict::Forward { upstream, target } => (upstream, target),
            Verdict::Split(split) => {
                let headers = &mut exchange.headers;
                member = split.cohort.as_ref().map(|all| (all, all.recognise(headers, clock::unix_coarse())));
                let side = split.side(member.map_or_else(chance::half, |(_, member)| member.number));
                (&side.upstream, decision::target(self.matched, &side.base, exchange))
            }
            Verdict::Respond(answer) => return respond(answer),
            Verdict::Redirect { status, location } => {
                return redirect(status, &location).unwrap_or_else(|error| self.active.refuse(error, exchange));
            }
        };
        match self.forward(upstream, target, exchange).await {
            Ok(mut response) => {
                if let Some((all, member)) = member {
                    all.remind(member, clock::unix_coarse(), exchange.client.secure, &mut response.headers);
                }
                response
            }
            Err(error) => self.active.refuse(error, exchange),
        }
    }

    fn show(&self, exchange: &mut Exchange, refused: Response) -> Response {
        shown(self.active, exchange, refused)
    }

    fn detach(&self, steps: usize) -> Option<Detached> {
        Some(detached::detach(self, steps))
    }
}

fn shown(active: &Active, exchange: &mut Exchange, refused: Response) -> Response {
    match refused.cause {
        Some(error) => active.refuse(error, exchange),
        None => refused,
    }
}

fn respond(answer: &FixedAnswer) -> Response {
    let body = if answer.body.is_empty() { ResponseBody::Empty } else { ResponseBody::Bytes(answer.body.clone()) };
    Response { headers: answer.headers.clone(), body, ..Response::new(answer.status) }
}

/// Sends the client elsewhere.
pub fn redirect(status: StatusCode, location: &str) -> Result<Response, Error> {
    let location =
        HeaderValue::from_str(location).map_err(|_| Error::Internal { what: "a redirect to what is no URL" })?;
    let mut response = Response::new(status);
    response.headers.insert(header::LOCATION, location);
    Ok(response)
}

impl Dispatch<'_> {
    async fn forward(
        &self,
        upstream: &Arc<Upstream>,
        target: String,
        exchange: &mut Exchange,
    ) -> Result<Response, Error> {
        if self.active.wants_names() {
            exchange.facts.upstream = Some(Arc::clone(&upstream.name));
        }
        let passage = upstream.breaker.as_ref().map(|breaker| breaker.pass(clock::coarse())).transpose()?;
        let route = &self.matched.entry.value;
        exchange.facts.subject = route.subjects.of(upstream);
        self.limit_body(route, exchange)?;
        let mut members = upstream.members();
        if members.endpoints.is_empty() && self.worker.is_told_of_endpoints() {
            // In a box: it is rare.
            members = Box::pin(self.first_members(upstream, route.timeouts.connecting())).await;
        }
        if members.may_speak_http2() {
            // Whatever the method, an endpoint of HTTP/2 may say that it has not looked at it.
            exchange.body.keep_up_to(upstream.retry.kept_body);
        } else if upstream.retry.is_harmless(&exchange.method) {
            exchange.body.keep(upstream.retry.kept_body);
        }
        let mirror = route.mirror.as_ref().filter(|mirror| mirror.takes_one());
        if let Some(mirror) = mirror {
            exchange.body.keep_up_to(mirror.max_body.max(upstream.retry.kept_body));
        }
        let has_body = !exchange.body.is_empty();
        let upgrade = outgoing::upgrade(exchange)?;
        let lines = scratch::lines();
        let mut outgoing = outgoing::build(route, (target, upgrade), exchange, &self.active.limits, lines);
        let answer = self.attempts((upstream, &members), exchange, &mut outgoing).await;
        if let Some(passage) = passage {
            let report = breaker::report(answer.as_ref().map(|answer| answer.status));
            passage.ended(&upstream.name, report, exchange.awaited.as_mut(), clock::coarse());
        }
        if let Some(mirror) = mirror {
            // Of a request that failed nobody knows how much of its body is there.
            if outgoing.can_be_sent_again(has_body) && (answer.is_ok() || !has_body) {
                self.mirror(mirror, exchange, &mut outgoing);
            } else {
                mirror.upstream.counts.copies_dropped.one();
            }
        }
        scratch::give_back_lines(outgoing.added);
        scratch::give_back_text(outgoing.target);
        // Filters on the way out may want to know what was asked.
        exchange.headers = outgoing.headers;
        answer
    }

    /// The first that are found, unless it is known that nobody can be.
    async fn first_members<'u>(&self, upstream: &'u Upstream, limit: Option<Duration>) -> Held<'u> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let _ = by(until, upstream.is_settled()).await;
        upstream.members()
    }

    fn limit_body(&self, route: &Route, exchange: &mut Exchange) -> Result<(), Error> {
        let Some(limit) = route.max_body else { return Ok(()) };
        match exchange.body.length() {
            Length::Exact(length) if length > limit => Err(Error::BodyTooLarge { limit }),
            Length::Chunked => {
                exchange.body.limit(limit);
                Ok(())
            }
            Length::None | Length::Exact(_) => Ok(()),
        }
    }

    async fn attempts(
        &self,
        (upstream, members): (&Arc<Upstream>, &Members),
        exchange: &mut Exchange,
        outgoing: &mut Outgoing,
    ) -> Result<Response, Error> {
        let retry = &upstream.retry;
        let (mut selection, mut closings) = (Selection::of(upstream, members), 0);
        selection.recognise(&mut outgoing.headers);
        if members.endpoints.len() > 1 {
            retry.budget.earn();
        }
        loop {
            // In a scope of its own: what is still there while there is a pause makes every exchange larger.
            {
                let pick = self.pick(upstream, &selection, exchange, outgoing).await?;
                let has_body = !outgoing.body.is_empty();
                let began = upstream.is_timed(members).then(Instant::now);
                let hedge = self.hedge(upstream, &selection, pick.endpoint, exchange, outgoing);
                let (Attempt { pick, began }, sent) = match hedge {
                    None => {
                        outgoing.connected = None;
                        let sent = ask(self.worker, upstream, pick.endpoint, outgoing).await;
                        // That a connection had to be made says nothing about the next answer.
                        (Attempt { pick, began: began.and(outgoing.connected).or(began) }, sent)
                    }
                    Some(hedge) => {
                        let selection = &mut selection;
                        let race = Race { dispatch: self, hedge, upstream, members, selection, exchange };
                        // In a box: it is rare.
                        Box::pin(race.run(Attempt { pick, began }, outgoing)).await
                    }
                };
                let endpoint = pick.endpoint;
                let awaited = heed((upstream, members), pick, &sent, began);
                match sent {
                    Ok(Incoming::Response { head, .. })
                        if outgoing.can_be_sent_again(has_body)
                            && retry.may_ask_elsewhere(head.status, &head.headers, &exchange.method)
                            && selection.may_have_another(endpoint)
                            && upstream.may_retry() =>
                    {
                        selection.note(endpoint);
                    }
                    Ok(incoming) => {
                        exchange.awaited = awaited;
                        let mut response = self.receive(incoming, exchange, outgoing)?;
                        selection.remind(endpoint, exchange, &mut response.headers);
                        return Ok(response);
                    }
                    Err(error) => {
                        exchange.facts.reused = error.reused;
                        let replayable = outgoing.body.is_replayable();
                        let error = TransportError { body_consumed: error.body_consumed && !replayable, ..error };
                        let again = retry.may_send_again(&error, &exchange.method);
                        if again && was_closing(&error) && closings < most_closings(&error) {
                            // That a connection turned out to be closed, or to close, costs no attempt.
                            closings += 1;
                            outgoing.fresh = true;
                        } else if again && selection.may_have_another(endpoint) && upstream.may_retry() {
                            upstream.counts.failed(told(error).token());
                            selection.note(endpoint);
                        } else {
                            let error = told(error);
                            upstream.counts.failed(error.token());
                            exchange.facts.endpoint = Some(Arc::clone(&endpoint.name));
                            return Err(error);
                        }
                    }
                }
            }
            self.pause(retry.pause(selection.count())).await;
            outgoing.body.rewind();
        }
    }

    /// Whom to ask next; the exchange and the request know of it.
    async fn pick<'u>(
        &self,
        upstream: &Upstream,
        selection: &Selection<'u>,
        exchange: &mut Exchange,
        outgoing: &mut Outgoing,
    ) -> Result<Pick<'u>, Error> {
        let may_try = selection.may_be_sent_again(exchange) && outgoing.body.is_replayable();
        // Balancers look for their keys in the exchange.
        mem::swap(&mut exchange.headers, &mut outgoing.headers);
        let pick = match &upstream.limit {
            None => selection.pick_and_enter(exchange, may_try),
            Some(limit) => match limit.admit(selection, exchange, may_try, self.matched.entry.value.class) {
                // Not as one future: that would be larger than what it holds.
                Either::Left(known) => known.into_inner(),
                Either::Right(waiting) => waiting.await,
            },
        };
        mem::swap(&mut exchange.headers, &mut outgoing.headers);
        let pick = pick?;
        exchange.facts.attempts += 1;
        if self.active.wants_names() {
            exchange.facts.endpoint = Some(Arc::clone(&pick.endpoint.name));
        }
        outgoing::address(outgoing, &self.matched.entry.value.host, pick.endpoint, exchange);
        Ok(pick)
    }

    /// In a box: it is rare.
    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            Box::pin(tokio::time::sleep(pause)).await;
        }
    }

    fn receive(&self, incoming: Incoming, exchange: &mut Exchange, outgoing: &Outgoing) -> Result<Response, Error> {
        if self.active.wants_times() {
            exchange.facts.first_byte = Some(exchange.facts.started.elapsed());
        }
        let mut response = match incoming {
            Incoming::Response { head, body, reused } => {
                exchange.facts.reused = reused;
                Response { headers: head.headers, body, ..Response::new(head.status) }
            }
            Incoming::Upgraded { head, io, early } => self.upgraded(head, io, early, exchange, outgoing)?,
        };
        if self.active.style.proxy_status == ProxyStatus::Always {
            let value = error_page::proxy_status(&self.active.style.server_name, response.status);
            response.headers.append(header::HeaderName::from_static("proxy-status"), value);
        }
        Ok(response)
    }

    /// The endpoint has switched: from the client's connection on, both ends are bytes.
    fn upgraded(
        &self,
        head: IncomingHead,
        endpoint: Box<dyn crate::http::Io>,
        early: bytes::Bytes,
        exchange: &mut Exchange,
        outgoing: &Outgoing,
    ) -> Result<Response, Error> {
        let asked = outgoing.upgrade.as_ref().ok_or(Error::Upgrade { what: "nobody asked for it" })?;
        if !head.headers.get(header::UPGRADE).is_some_and(|agreed| names_one_of(agreed, asked)) {
            return Err(Error::Upgrade { what: "to a protocol nobody asked for" });
        }
        let kind = TunnelKind::of(asked);
        let idle = self.active.limits.idle_tunnel;
        let in_flight = exchange.in_flight.take();
        let takeover = move |client: TakenOver| {
            Box::pin(async move {
                let TakenOver { io, early: early_client, draining } = client;
                let end = tunnel::run(io, endpoint, early_client, early, idle, draining, kind).await;
                log::debug!("tunnel ended: {end:?}");
                drop(in_flight);
            }) as futures_util::future::LocalBoxFuture<'static, ()>
        };
        let mut response = Response::new(head.status);
        response.headers = head.headers;
        response.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.takeover = Some(Takeover(Box::new(takeover)));
        Ok(response)
    }
}

/// What the endpoint agreed to is among what was asked for; names compare without case, versions are part of them.
fn names_one_of(agreed: &HeaderValue, asked: &HeaderValue) -> bool {
    let agreed = agreed.as_bytes().trim_ascii();
    asked.as_bytes().split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(agreed))
}

/// One attempt; where it is found out how many there may be, it is learned from, also if it is dropped before its end.
pub async fn ask(worker: &Worker, upstream: &Upstream, endpoint: &Endpoint, outgoing: &mut Outgoing) -> Sent {
    let attempt = upstream.limit.as_ref().and_then(|limit| limit.attempt());
    let sent = match upstream.transport {
        // In a box of its own: what is larger than a kilobyte in one piece takes an allocator's slow way.
        TransportKind::Own => worker.own.send(&endpoint.target, outgoing).await,
        TransportKind::Awc => worker.awc().send(&endpoint.target, outgoing).await,
    };
    if let Some(attempt) = attempt {
        attempt.ended(report_of(&sent));
    }
    sent
}
