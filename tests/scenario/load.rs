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
        client::{self, Client, Response},
        h2::{H2, read, request_with},
        wire::{patiently, value_of},
    },
};

/// One of ten shares a connection of HTTP/2 with others.
const WEBSOCKETS: usize = 1000;
/// A WebSocket says something at one step of so many.
const SAYS_AT: usize = 10;
const CLIENTS: usize = 6;
const DOWNLOADS: usize = 4;
const CALLS: usize = 100;
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
    pub messages: usize,
    pub downloads: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, echoes, messages, downloads } = self;
        write!(
            f,
            "{requests} requests, {echoes} messages on {WEBSOCKETS} WebSockets and {messages} in {CALLS} calls of gRPC, \
             {downloads} downloads"
        )
    }
}

#[derive(Default)]
struct Counts {
    requests: Cell<usize>,
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
                0 => load.spawn(ask),
                _ => load.spawn(ask_over_http2),
            }
        }
        load.spawn(download_at_once);
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
            self.spawn(|_, steps, counts| talk(socket, number, steps, counts));
        }
        let mut shared = H2::connect(self.address).await;
        for _ in 0..calls {
            let call = Call::begin(&mut shared).await;
            self.spawn(|_, steps, counts| converse(call, steps, counts));
        }
        for _ in 0..downloads {
            let download = Download::begin(self.address).await;
            self.spawn(|_, steps, counts| read_slowly(download, steps, counts));
        }
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
        let Counts { requests, echoes, messages, downloads } = &*self.counts;
        Told { requests: requests.get(), echoes: echoes.get(), messages: messages.get(), downloads: downloads.get() }
    }
}

/// GET on a connection that is kept as long as the server keeps it, and POST on one each.
async fn ask(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut kept, mut pause) = (None, interval(PAUSE));
    while !is_over(&steps) {
        kept = get(address, kept).await;
        let request = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let response = client::request(address, request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "/posthello"), "{}", response.head);
        counts.requests.set(counts.requests.get() + 2);
        pause.tick().await;
    }
}

/// Gives the connection back if there may be another request on it.
async fn get(address: SocketAddr, kept: Option<Client>) -> Option<Client> {
    const REQUEST: &str = "GET /get HTTP/1.1\r\nHost: a\r\n\r\n";
    if let Some(mut client) = kept
        && client.try_send(REQUEST).await
        && let Some(response) = client.next_response_to("GET").await
    {
        return is_answered(&response).then_some(client);
    }
    // A connection that was idle may end as the next request is sent, which is no failure: whoever kept it asks anew
    // (RFC 9112, 9.3.1).
    let mut client = Client::connect(address).await;
    client.send(REQUEST).await;
    is_answered(&client.read_response().await).then_some(client)
}

/// As it must be; whether the connection goes on.
fn is_answered(response: &Response) -> bool {
    assert_eq!((response.status, response.text().as_str()), (200, "/get"), "{}", response.head);
    response.header("connection") != Some("close")
}

/// The same over HTTP/2, all on one connection, until the server says that there is to be another.
async fn ask_over_http2(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut client, mut pause) = (H2::connect(address).await, interval(PAUSE));
    while !is_over(&steps) {
        for (method, path, body, expected) in [("GET", "/get", "", "/get"), ("POST", "/post", "hello", "/posthello")] {
            let length = body.len().to_string();
            let answer = loop {
                let request = request_with(method, path, &[("content-length", &length)]);
                match client.ask_unless_gone(request, body.as_bytes()).await {
                    Some(answer) => break answer,
                    None => client = H2::connect(address).await,
                }
            };
            assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{answer:?}");
            count(&counts.requests);
        }
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

impl Download {
    async fn begin(address: SocketAddr) -> Self {
        let mut client = Client::connect(address).await;
        client.send("GET /download HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(value_of(&head, "content-length"), Some(&*LENGTH.to_string()));
        Self { client, read: 0 }
    }

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
        Download::begin(address).await.finish().await;
        count(&counts.downloads);
    }
}

/// A call of gRPC that is open for as long as the test runs: at each step a message is sent, and comes back.
struct Call {
    messages: SendStream<Bytes>,
    answers: RecvStream,
}

impl Call {
    async fn begin(client: &mut H2) -> Self {
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let (answer, messages) = client.begin(request_with("POST", "/test.Scenario/Echo", &fields), false).await;
        let answer = patiently("the head of a call", answer).await.expect("a head");
        assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (200, None), "{answer:?}");
        Self { messages, answers: answer.into_body() }
    }

    async fn say(&mut self, step: usize) {
        let message = [&[0, 0, 0, 0, 8], &step.to_be_bytes()[..]].concat();
        self.messages.send_data(message.clone().into(), false).expect("the call is open");
        let mut came = Vec::new();
        while came.len() < message.len() {
            let part = patiently("an answer", self.answers.data()).await.expect("the call is open");
            let part = part.expect("the call is open");
            self.answers.flow_control().release_capacity(part.len()).expect("the call is open");
            came.extend_from_slice(&part);
        }
        assert_eq!(came, message);
    }

    /// Says that this was all, and hears the same.
    async fn end(mut self) {
        self.messages.send_data(Bytes::new(), true).expect("the call is open");
        let (rest, trailers) = read(self.answers).await.expect("an end in order");
        assert!(rest.is_empty(), "{rest:?}");
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
    }
}

async fn converse(mut call: Call, mut steps: Steps, counts: Rc<Counts>) {
    while let Some(step) = next(&mut steps).await {
        call.say(step).await;
        count(&counts.messages);
    }
    call.end().await;
}
