//! What is under way while the proxy changes. Each kind of client panics when it is failed in any way.

use std::{cell::Cell, fmt, net::SocketAddr, rc::Rc, time::Duration};

use actix_rt::task::JoinHandle;
use bytes::Bytes;
use futures_util::future::join_all;
use h2::{RecvStream, SendStream};
use tokio::{sync::watch, time::interval};

use super::{
    endpoint::{CONTENT, LENGTH, PERIOD},
    support::{
        client::Client,
        h2::{H2, request_with},
        wire::{patiently, value_of},
    },
};

const WEBSOCKETS: usize = 1000;
/// So many of them share a connection of HTTP/2.
const OVER_HTTP2: usize = 100;
/// A WebSocket says something at one step of so many.
const SAYS_AT: usize = 10;
const CLIENTS: usize = 6;
const DOWNLOADS: usize = 4;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(5);

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
    pub echoes: usize,
    pub downloads: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, echoes, downloads } = self;
        write!(f, "{requests} requests, {echoes} messages on {WEBSOCKETS} WebSockets, {downloads} downloads")
    }
}

#[derive(Default)]
struct Counts {
    requests: Cell<usize>,
    echoes: Cell<usize>,
    downloads: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// All of it.
pub struct Load {
    counts: Rc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins, and has all its WebSockets open and its downloads under way then.
    pub async fn start(address: SocketAddr, steps: &Steps) -> Self {
        let counts = Rc::<Counts>::default();
        let mut tasks = Vec::new();
        let mut shared = H2::connect(address).await;
        for number in 0..WEBSOCKETS {
            let socket = match number < OVER_HTTP2 {
                true => Socket::open_over(&mut shared).await,
                false => Socket::open(address).await,
            };
            tasks.push(actix_rt::spawn(talk(socket, number, steps.clone(), Rc::clone(&counts))));
        }
        for _ in 0..DOWNLOADS {
            let download = begin_download(address).await;
            tasks.push(actix_rt::spawn(read_slowly(download, steps.clone(), Rc::clone(&counts))));
        }
        for number in 0..CLIENTS {
            let (steps, counts) = (steps.clone(), Rc::clone(&counts));
            tasks.push(match number % 2 {
                0 => actix_rt::spawn(ask(address, steps, counts)),
                _ => actix_rt::spawn(ask_over_http2(address, steps, counts)),
            });
        }
        tasks.push(actix_rt::spawn(download_at_once(address, steps.clone(), Rc::clone(&counts))));
        Self { counts, tasks }
    }

    /// Lets everything finish that is under way; panics if anybody was failed.
    pub async fn end(self, pace: Pace) -> Told {
        pace.end();
        for ended in join_all(self.tasks).await {
            ended.expect("nobody is failed");
        }
        let Counts { requests, echoes, downloads } = &*self.counts;
        Told { requests: requests.get(), echoes: echoes.get(), downloads: downloads.get() }
    }
}

/// GET and POST in turn, on a connection that is kept.
async fn ask(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut client, mut pause, mut is_post) = (Client::connect(address).await, interval(PAUSE), false);
    while !is_over(&steps) {
        let (request, expected) = match is_post {
            true => ("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "/posthello"),
            false => ("GET /get HTTP/1.1\r\nHost: a\r\n\r\n", "/get"),
        };
        client.send(request).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{}", response.head);
        count(&counts.requests);
        is_post = !is_post;
        pause.tick().await;
    }
}

/// The same over HTTP/2.
async fn ask_over_http2(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut client, mut pause, mut is_post) = (H2::connect(address).await, interval(PAUSE), false);
    while !is_over(&steps) {
        let (answer, expected) = match is_post {
            true => {
                (client.ask(request_with("POST", "/post", &[("content-length", "5")]), b"hello").await, "/posthello")
            }
            false => (client.get("/get").await, "/get"),
        };
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{answer:?}");
        count(&counts.requests);
        is_post = !is_post;
        pause.tick().await;
    }
}

/// A WebSocket that is open.
enum Socket {
    Alone(Client),
    Shared { out: SendStream<Bytes>, frames: RecvStream, came: Vec<u8> },
}

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let mut client = Client::connect(address).await;
        client
            .send(
                "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self::Alone(client)
    }

    /// By extended CONNECT (RFC 8441).
    async fn open_over(client: &mut H2) -> Self {
        let request = http::Request::connect("http://a.example/chat").header("sec-websocket-version", "13");
        let request = request.extension(h2::ext::Protocol::from_static("websocket")).body(()).expect("a request");
        let (answer, out) = client.begin(request, false).await;
        let answer = patiently("an answer", answer).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        Self::Shared { out, frames: answer.into_body(), came: Vec::new() }
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Alone(client) => client.send(bytes).await,
            Self::Shared { out, .. } => out.send_data(bytes.into(), false).expect("it takes bytes"),
        }
    }

    async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        match self {
            Self::Alone(client) => client.read_exact(count).await,
            Self::Shared { frames, came, .. } => {
                while came.len() < count {
                    let bytes = patiently("bytes", frames.data()).await.expect("it is open").expect("it is open");
                    frames.flow_control().release_capacity(bytes.len()).expect("it is open");
                    came.extend_from_slice(&bytes);
                }
                came.drain(..count).collect()
            }
        }
    }
}

/// Says something now and then and once at the end, and hears it back.
async fn talk(mut socket: Socket, number: usize, mut steps: Steps, counts: Rc<Counts>) {
    loop {
        let step = next(&mut steps).await;
        if step.is_some_and(|step| step % SAYS_AT != number % SAYS_AT) {
            continue;
        }
        let said = (number as u32 ^ (step.unwrap_or_default() as u32) << 16).to_be_bytes();
        socket.send([&[0x82, 0x84, 0, 0, 0, 0], &said[..]].concat()).await;
        assert_eq!(socket.read_exact(6).await, [&[0x82, 4], &said[..]].concat(), "WebSocket {number}");
        count(&counts.echoes);
        if step.is_none() {
            return;
        }
    }
}

/// A download whose content has been checked as far as it was read.
struct Download {
    client: Client,
    read: usize,
}

async fn begin_download(address: SocketAddr) -> Download {
    let mut client = Client::connect(address).await;
    client.send("GET /download HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(value_of(&head, "content-length"), Some(&*LENGTH.to_string()));
    Download { client, read: 0 }
}

impl Download {
    async fn read(&mut self, count: usize) {
        let piece = self.client.read_exact(count).await;
        for part in piece.chunks(PERIOD) {
            let at = self.read % PERIOD;
            assert!(
                part == &CONTENT[at..at + part.len()],
                "other content, in the {} bytes from {}",
                part.len(),
                self.read
            );
            self.read += part.len();
        }
    }

    async fn finish(mut self) {
        while self.read < LENGTH {
            self.read(PERIOD.min(LENGTH - self.read)).await;
        }
        assert_eq!(self.client.read_to_end().await, b"");
    }
}

/// A part of it at each step.
async fn read_slowly(mut download: Download, mut steps: Steps, counts: Rc<Counts>) {
    while next(&mut steps).await.is_some() {
        download.read((LENGTH / 150).min(LENGTH - download.read)).await;
    }
    download.finish().await;
    count(&counts.downloads);
}

/// One at each step, as fast as it comes.
async fn download_at_once(address: SocketAddr, mut steps: Steps, counts: Rc<Counts>) {
    while next(&mut steps).await.is_some() {
        begin_download(address).await.finish().await;
        count(&counts.downloads);
    }
}
