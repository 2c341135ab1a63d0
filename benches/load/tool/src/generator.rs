//! Clients and backend in one loop that never sleeps, so that no wake-up of the load hides the proxy.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::backend::{self, Backend};
use crate::client::{Client, Request};
use crate::http::{Buffers, Fault};
use crate::interrupt::Interrupt;
use crate::socket::Poller;

/// So many clients connect at a time: no peer's accept queue overflows.
const WAVE: usize = 64;
/// What was begun may take so long to end, after its window.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_ERRORS: u64 = 100;

pub struct Generator {
    poller: Poller,
    backend: Backend,
    buffers: Buffers,
    interrupt: Interrupt,
}

/// Clients of one proxy, with their connections.
pub struct Crowd {
    proxy: SocketAddr,
    request: Request,
    clients: Vec<Client>,
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
    pub fn new(size: usize, request: Request, proxy: SocketAddr) -> Self {
        let clients = (0..size).map(|_| Client::default()).collect();
        Self { proxy, request, clients }
    }

    pub fn connected(&self) -> usize {
        self.clients.iter().filter(|client| client.is_connected()).count()
    }
}

impl Generator {
    pub fn start(interrupt: Interrupt) -> io::Result<Self> {
        let poller = Poller::new()?;
        let backend = Backend::start(&poller)?;
        Ok(Self { poller, backend, buffers: Buffers::new(), interrupt })
    }

    pub fn backend(&self) -> SocketAddr {
        self.backend.address
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
        let mut nobody = Crowd::new(0, Request::new(0, 0, false), self.backend());
        self.idle(&mut nobody, length)
    }

    /// Serves the backend for a while; the crowd keeps its connections and asks for nothing.
    pub fn idle(&mut self, crowd: &mut Crowd, length: Duration) -> io::Result<()> {
        let end = Instant::now() + length;
        let mut tally = Tally::default();
        while Instant::now() < end {
            self.interrupt.check()?;
            self.turn(crowd, &mut tally, |_| {})?;
        }
        Ok(())
    }

    fn drive(&mut self, crowd: &mut Crowd, pace: Pace, at_a_time: usize) -> io::Result<Tally> {
        let began = Instant::now();
        let last_begin = match pace {
            Pace::Once => began,
            Pace::Until(end) => end,
        };
        let mut tally = Tally::default();
        let mut waiting: VecDeque<usize> = (0..crowd.clients.len()).collect();
        let mut in_flight = 0;
        loop {
            self.interrupt.check()?;
            let now = Instant::now();
            if matches!(pace, Pace::Until(end) if now >= end) {
                waiting.clear();
            }
            while in_flight < at_a_time
                && let Some(index) = waiting.pop_front()
            {
                match self.begin(crowd, index) {
                    Ok(()) => in_flight += 1,
                    Err(fault) => tally.note(&fault),
                }
            }
            if in_flight == 0 && waiting.is_empty() {
                break;
            }
            if now > last_begin + PATIENCE || tally.errors > MOST_ERRORS {
                tally.note(&Fault::Stalled);
                crowd.clients.iter_mut().for_each(Client::disconnect);
                break;
            }
            let repeats = matches!(pace, Pace::Until(_));
            self.turn(crowd, &mut tally, |index| {
                in_flight -= 1;
                if repeats {
                    waiting.push_back(index);
                }
            })?;
        }
        tally.elapsed = began.elapsed();
        Ok(tally)
    }

    fn begin(&self, crowd: &mut Crowd, index: usize) -> Result<(), Fault> {
        let client = &mut crowd.clients[index];
        let begun = client.start(&crowd.request, crowd.proxy, index as u64, &self.poller, &self.buffers);
        if begun.is_err() {
            client.disconnect();
        }
        begun
    }

    fn turn(&mut self, crowd: &mut Crowd, tally: &mut Tally, mut on_end: impl FnMut(usize)) -> io::Result<()> {
        for event in 0..self.poller.look()? {
            let ready = self.poller.ready(event);
            if ready.token >= backend::FIRST_TOKEN {
                self.backend.on_ready(ready, &self.poller, &mut self.buffers)?;
                continue;
            }
            let index = ready.token as usize;
            let Some(client) = crowd.clients.get_mut(index) else { continue };
            match client.on_ready(ready, &crowd.request, &self.poller, &mut self.buffers) {
                Ok(false) => {}
                Ok(true) => {
                    tally.requests += 1;
                    on_end(index);
                }
                Err(fault) => {
                    tally.note(&fault);
                    client.disconnect();
                    on_end(index);
                }
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
