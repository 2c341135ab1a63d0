//! What is under way while the proxy changes. Each kind of client panics when it is failed in any way.

use std::{cell::Cell, fmt, net::SocketAddr, rc::Rc};

use actix_rt::task::JoinHandle;
use futures_util::future::join_all;
use tokio::sync::watch;

use self::{call::Call, download::Download, websocket::Socket};
use super::support::h2::H2;

mod call;
mod download;
mod requests;
mod websocket;

/// One of ten shares a connection of HTTP/2 with others.
const WEBSOCKETS: usize = 1000;
pub const CLIENTS: usize = 6;
const DOWNLOADS: usize = 4;
const CALLS: usize = 100;

/// How far the test is: what is long-lived does a part of its work at each step, so that it spans all of them.
pub struct Pace(watch::Sender<Option<usize>>);

pub type Steps = watch::Receiver<Option<usize>>;

impl Pace {
    pub fn new() -> (Self, Steps) {
        let (pace, steps) = watch::channel(Some(0));
        (Self(pace), steps)
    }

    pub fn step(&mut self) {
        self.0.send_modify(|number| *number = number.map(|number| number + 1));
    }

    /// It is over: whoever has something under way finishes that.
    fn end(self) {
        self.0.send_replace(None);
    }
}

/// The next step; `None` if there is none any more.
async fn next(steps: &mut Steps) -> Option<usize> {
    steps.changed().await.ok()?;
    *steps.borrow_and_update()
}

fn is_over(steps: &Steps) -> bool {
    steps.borrow().is_none()
}

/// What was asked, and answered as it must be.
#[derive(Debug, Default)]
pub struct Told {
    pub requests: usize,
    /// Requests on a connection that ended before anybody looked at them; they are asked again, and count once.
    pub asked_anew: usize,
    /// Connections of which the server has said in time that they take no more requests.
    pub sent_on: usize,
    pub echoes: usize,
    pub messages: usize,
    pub downloads: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, asked_anew, sent_on, echoes, messages, downloads } = self;
        write!(
            f,
            "{requests} requests ({asked_anew} of them asked anew, {sent_on} connections told to be over), {echoes} messages on {WEBSOCKETS} WebSockets and {messages} in {CALLS} calls of gRPC, \
             {downloads} downloads"
        )
    }
}

#[derive(Default)]
struct Counts {
    requests: Cell<usize>,
    asked_anew: Cell<usize>,
    sent_on: Cell<usize>,
    echoes: Cell<usize>,
    messages: Cell<usize>,
    downloads: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// All of it.
pub struct Load {
    address: SocketAddr,
    steps: Steps,
    counts: Rc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins, and has all its WebSockets and calls open and its downloads under way then.
    pub async fn start(address: SocketAddr, steps: Steps) -> Self {
        let mut load = Self { address, steps, counts: Rc::default(), tasks: Vec::new() };
        load.open(WEBSOCKETS, CALLS, DOWNLOADS).await;
        for number in 0..CLIENTS {
            match number % 2 {
                0 => load.spawn(requests::ask),
                _ => load.spawn(requests::ask_over_http2),
            }
        }
        load.spawn(download::download_at_once);
        load
    }

    /// A tenth more of what is long-lived: whoever serves by now has its part of it.
    pub async fn grow(&mut self) {
        self.open(WEBSOCKETS / 10, CALLS / 10, 1).await;
    }

    async fn open(&mut self, websockets: usize, calls: usize, downloads: usize) {
        let mut shared = H2::connect(self.address).await;
        for number in 0..websockets {
            let socket = match number % 10 {
                0 => Socket::open_over(&mut shared).await,
                _ => Socket::open(self.address).await,
            };
            self.spawn(|_, steps, counts| websocket::talk(socket, number, steps, counts));
        }
        let mut shared = H2::connect(self.address).await;
        for _ in 0..calls {
            let call = Call::begin(&mut shared).await;
            self.spawn(|_, steps, counts| call::converse(call, steps, counts));
        }
        for _ in 0..downloads {
            let download = Download::begin(self.address).await;
            self.spawn(|_, steps, counts| download::read_slowly(download, steps, counts));
        }
    }

    /// How many connections of those who ask one request after the other have ended so far, in whichever way.
    pub fn ended(&self) -> usize {
        self.counts.asked_anew.get() + self.counts.sent_on.get()
    }

    fn spawn<F: Future<Output = ()> + 'static>(&mut self, task: impl FnOnce(SocketAddr, Steps, Rc<Counts>) -> F) {
        self.tasks.push(actix_rt::spawn(task(self.address, self.steps.clone(), Rc::clone(&self.counts))));
    }

    /// Lets everything finish that is under way; panics if anybody was failed.
    pub async fn end(self, pace: Pace) -> Told {
        pace.end();
        for ended in join_all(self.tasks).await {
            ended.expect("nobody is failed");
        }
        let Counts { requests, asked_anew, sent_on, echoes, messages, downloads } = &*self.counts;
        Told {
            requests: requests.get(),
            asked_anew: asked_anew.get(),
            sent_on: sent_on.get(),
            echoes: echoes.get(),
            messages: messages.get(),
            downloads: downloads.get(),
        }
    }
}
