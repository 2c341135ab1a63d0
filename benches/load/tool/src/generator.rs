//! Clients and backend in one loop that never sleeps, so that no wake-up of the load hides the proxy; unless what is measured is
//! not time, and the proxy may have the core.

use std::collections::VecDeque;
use std::io;
use std::iter::repeat_n;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::backend::{Asked, Backend, Bytes};
use crate::cases::{Case, Speaks};
use crate::crowd::Crowd;
use crate::h2::Echo;
use crate::http::{Buffers, Fault};
use crate::interrupt::Interrupt;
use crate::socket::Poller;
use crate::tally::Tally;
use crate::websocket::Chat;

mod open;

/// So many clients connect at a time: no peer's accept queue overflows.
const WAVE: usize = 64;
/// What was begun may take so long to end: after its window, or after the last of those that begin once.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_ERRORS: u64 = 100;
/// Tokens from here on are an endpoint's; those below are the clients'.
const BYTES: u64 = 1 << 32;
const ECHO: u64 = 1 << 33;
const CHAT: u64 = 1 << 34;

pub struct Generator {
    poller: Poller,
    bytes: Backend<Bytes>,
    echo: Backend<Echo>,
    chat: Backend<Chat>,
    buffers: Buffers,
    interrupt: Interrupt,
    sleeps: bool,
}

/// What stands behind the proxies.
#[derive(Clone, Copy)]
pub struct Endpoints {
    /// HTTP/1.1.
    pub bytes: SocketAddr,
    /// gRPC, over HTTP/2 in the clear.
    pub echo: SocketAddr,
    /// WebSocket.
    pub chat: SocketAddr,
}

impl Endpoints {
    pub fn of(&self, case: &Case) -> SocketAddr {
        match case.speaks {
            Speaks::Grpc { .. } | Speaks::GrpcH2c { .. } => self.echo,
            Speaks::WebSocket => self.chat,
            Speaks::Http | Speaks::Https | Speaks::H2 { .. } | Speaks::H2c { .. } => self.bytes,
        }
    }
}

enum Pace {
    /// Each client makes one request.
    Once,
    /// Each client makes requests one after the other, until then.
    Until(Instant),
}

impl Generator {
    pub fn start(interrupt: Interrupt) -> io::Result<Self> {
        Self::start_anywhere(interrupt, false)
    }

    /// With an endpoint at all addresses of a network of its own.
    pub fn start_anywhere(interrupt: Interrupt, is_everywhere: bool) -> io::Result<Self> {
        let poller = Poller::new()?;
        let at = if is_everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let bytes = Backend::start_at(at, BYTES, &poller)?;
        let echo = Backend::start(ECHO, &poller)?;
        let chat = Backend::start(CHAT, &poller)?;
        Ok(Self { poller, bytes, echo, chat, buffers: Buffers::new(), interrupt, sleeps: false })
    }

    /// The same, for a proxy that takes its time.
    pub fn start_sleepy(interrupt: Interrupt) -> io::Result<Self> {
        Ok(Self { sleeps: true, ..Self::start(interrupt)? })
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints { bytes: self.bytes.address, echo: self.echo.address, chat: self.chat.address }
    }

    /// How many requests have reached the endpoint of HTTP/1.1.
    pub fn asked(&self) -> Asked {
        self.bytes.shared.asked
    }

    /// One request from each client, few at a time.
    pub fn once_each(&mut self, crowd: &mut Crowd) -> io::Result<Tally> {
        self.drive(crowd, Pace::Once, WAVE)
    }

    /// One request from each client, together.
    pub fn all_at_once(&mut self, crowd: &mut Crowd) -> io::Result<Tally> {
        self.drive(crowd, Pace::Once, usize::MAX)
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
        let (mut last_begin, streams) = match pace {
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
                last_begin = last_begin.max(now);
                if let Err(fault) = crowd.clients[index].begin(index as u64, &self.poller) {
                    in_flight -= 1 + tally.lose(&fault, crowd.clients[index].as_mut());
                }
            }
            // Together: what several requests of one connection have to say goes out at once.
            for index in begun.drain(..) {
                let client = &mut crowd.clients[index];
                if let Err(fault) = client.send(index as u64, &self.poller, &self.buffers) {
                    in_flight -= tally.lose(&fault, client.as_mut());
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
        let events = if self.sleeps { self.poller.doze()? } else { self.poller.look()? };
        for event in 0..events {
            let ready = self.poller.ready(event);
            if ready.token >= CHAT {
                self.chat.on_ready(ready, &self.poller, &mut self.buffers)?;
                continue;
            }
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
                Err(fault) => on_end(index, tally.lose(&fault, client.as_mut())),
            }
        }
        Ok(())
    }
}
