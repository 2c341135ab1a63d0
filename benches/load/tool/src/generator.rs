//! Clients and backend in one loop that never sleeps, so that no wake-up of the load hides the proxy.

use std::collections::VecDeque;
use std::io;
use std::iter::repeat_n;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Bytes};
use crate::client::Client;
use crate::h1::{H1Client, Request};
use crate::h2::{Ask, Echo, H2Client};
use crate::http::{Buffers, Fault};
use crate::interrupt::Interrupt;
use crate::socket::Poller;
use crate::wire::Target;

/// So many clients connect at a time: no peer's accept queue overflows.
const WAVE: usize = 64;
/// What was begun may take so long to end, after its window.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_ERRORS: u64 = 100;
/// Tokens from here on are an endpoint's; those below are the clients'.
const BYTES: u64 = 1 << 32;
const ECHO: u64 = 1 << 33;

pub struct Generator {
    poller: Poller,
    bytes: Backend<Bytes>,
    echo: Backend<Echo>,
    buffers: Buffers,
    interrupt: Interrupt,
}

/// What stands behind the proxies.
#[derive(Clone, Copy)]
pub struct Endpoints {
    /// HTTP/1.1.
    pub bytes: SocketAddr,
    /// gRPC, over HTTP/2 in the clear.
    pub echo: SocketAddr,
}

/// Clients of one proxy, with their connections.
pub struct Crowd {
    clients: Vec<Box<dyn Client>>,
    /// How many requests each may have under way.
    streams: usize,
}

#[derive(Default)]
pub struct Tally {
    pub requests: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub elapsed: Duration,
}

enum Pace {
    /// Each client makes one request.
    Once,
    /// Each client makes requests one after the other, until then.
    Until(Instant),
}

impl Crowd {
    pub fn of_h1(size: usize, request: Request, target: &Target) -> Self {
        let request = Rc::new(request);
        Self::of(size, 1, || H1Client::new(Rc::clone(&request), target.clone()))
    }

    pub fn of_h2(size: usize, streams: usize, ask: Ask, target: &Target) -> Self {
        let ask = Rc::new(ask);
        Self::of(size, streams, || H2Client::new(Rc::clone(&ask), target.clone()))
    }

    fn of<C: Client + 'static>(size: usize, streams: usize, client: impl Fn() -> C) -> Self {
        Self { clients: (0..size).map(|_| Box::new(client()) as Box<dyn Client>).collect(), streams }
    }

    fn nobody() -> Self {
        Self { clients: Vec::new(), streams: 1 }
    }

    pub fn connected(&self) -> usize {
        self.clients.iter().filter(|client| client.is_connected()).count()
    }
}

impl Generator {
    pub fn start(interrupt: Interrupt) -> io::Result<Self> {
        let poller = Poller::new()?;
        let bytes = Backend::start(BYTES, &poller)?;
        let echo = Backend::start(ECHO, &poller)?;
        Ok(Self { poller, bytes, echo, buffers: Buffers::new(), interrupt })
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints { bytes: self.bytes.address, echo: self.echo.address }
    }

    /// One request from each client, few at a time.
    pub fn once_each(&mut self, crowd: &mut Crowd) -> io::Result<Tally> {
        self.drive(crowd, Pace::Once, WAVE)
    }

    /// All clients at once for the length of the window; what they began they end.
    pub fn run_for(&mut self, window: Duration, crowd: &mut Crowd) -> io::Result<Tally> {
        self.drive(crowd, Pace::Until(Instant::now() + window), usize::MAX)
    }

    /// Serves the backend for a while, without a client.
    pub fn rest(&mut self, length: Duration) -> io::Result<()> {
        self.idle(&mut Crowd::nobody(), length)
    }

    /// Serves the backend for a while; the crowd keeps its connections and asks for nothing.
    pub fn idle(&mut self, crowd: &mut Crowd, length: Duration) -> io::Result<()> {
        let end = Instant::now() + length;
        let mut tally = Tally::default();
        while Instant::now() < end {
            self.interrupt.check()?;
            self.turn(crowd, &mut tally, |_, _| {})?;
        }
        Ok(())
    }

    fn drive(&mut self, crowd: &mut Crowd, pace: Pace, at_a_time: usize) -> io::Result<Tally> {
        let began = Instant::now();
        let (last_begin, streams) = match pace {
            Pace::Once => (began, 1),
            Pace::Until(end) => (end, crowd.streams),
        };
        let mut tally = Tally::default();
        let everyone = || 0..crowd.clients.len();
        let mut waiting: VecDeque<usize> = (0..streams).flat_map(|_| everyone()).collect();
        let (mut begun, mut in_flight) = (Vec::new(), 0);
        loop {
            self.interrupt.check()?;
            let now = Instant::now();
            if matches!(pace, Pace::Until(end) if now >= end) {
                waiting.clear();
            }
            while in_flight < at_a_time
                && let Some(index) = waiting.pop_front()
            {
                in_flight += 1;
                begun.push(index);
                if let Err(fault) = crowd.clients[index].begin(index as u64, &self.poller) {
                    in_flight -= 1 + tally.lose(&fault, &mut crowd.clients[index]);
                }
            }
            // Together: what several requests of one connection have to say goes out at once.
            for index in begun.drain(..) {
                let client = &mut crowd.clients[index];
                if let Err(fault) = client.send(index as u64, &self.poller, &self.buffers) {
                    in_flight -= tally.lose(&fault, client);
                }
            }
            if in_flight == 0 && waiting.is_empty() {
                break;
            }
            if now > last_begin + PATIENCE || tally.errors > MOST_ERRORS {
                tally.note(&Fault::Stalled);
                for client in &mut crowd.clients {
                    client.disconnect();
                }
                break;
            }
            let repeats = matches!(pace, Pace::Until(_));
            self.turn(crowd, &mut tally, |index, ended| {
                in_flight -= ended;
                if repeats {
                    waiting.extend(repeat_n(index, ended));
                }
            })?;
        }
        tally.elapsed = began.elapsed();
        Ok(tally)
    }

    fn turn(&mut self, crowd: &mut Crowd, tally: &mut Tally, mut on_end: impl FnMut(usize, usize)) -> io::Result<()> {
        for event in 0..self.poller.look()? {
            let ready = self.poller.ready(event);
            if ready.token >= ECHO {
                self.echo.on_ready(ready, &self.poller, &mut self.buffers)?;
                continue;
            }
            if ready.token >= BYTES {
                self.bytes.on_ready(ready, &self.poller, &mut self.buffers)?;
                continue;
            }
            let index = ready.token as usize;
            let Some(client) = crowd.clients.get_mut(index) else { continue };
            match client.on_ready(ready, &self.poller, &mut self.buffers) {
                Ok(0) => {}
                Ok(ended) => {
                    tally.requests += ended as u64;
                    on_end(index, ended);
                }
                Err(fault) => on_end(index, tally.lose(&fault, client)),
            }
        }
        Ok(())
    }
}

impl Tally {
    pub fn note(&mut self, fault: &Fault) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| fault.to_string());
    }

    /// For what shows only afterwards.
    pub fn fail(&mut self, errors: u64, why: &str) {
        self.errors += errors;
        self.first_error.get_or_insert_with(|| why.into());
    }

    /// Ends the client's connection; returns how many requests are lost with it.
    fn lose(&mut self, fault: &Fault, client: &mut Box<dyn Client>) -> usize {
        self.note(fault);
        client.disconnect()
    }

    /// A round with errors is a failed round, however many requests it made.
    pub fn failure(&self) -> Option<String> {
        let first = self.first_error.as_deref().unwrap_or("nothing was answered");
        match (self.errors, self.requests) {
            (0, 0) => Some(first.into()),
            (0, _) => None,
            (1, _) => Some(format!("1 error: {first}")),
            (errors, _) => Some(format!("{errors} errors, the first: {first}")),
        }
    }

    pub fn add_errors_of(&mut self, other: Tally) {
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_with_one_error_among_many_requests_has_failed() {
        let mut tally = Tally { requests: 1_000_000, ..Tally::default() };
        assert_eq!(tally.failure(), None);

        tally.note(&Fault::Closed);

        assert!(tally.failure().unwrap().starts_with("1 error: closed"));
    }

    #[test]
    fn a_round_without_a_request_has_failed() {
        assert!(Tally::default().failure().is_some());
    }
}
