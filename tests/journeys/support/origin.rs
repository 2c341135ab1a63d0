//! A scripted raw-TCP origin: it plays what real servers do wrong.
//!
//! It runs in a thread of its own, so nothing a test does to its own executor changes what it does. A script that
//! panics fails its test.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, UnixListener},
    runtime,
    sync::oneshot,
    task::{self, LocalSet},
};
use tokio_rustls::TlsAcceptor;

use super::{
    seen::{Log, Seen, leave, tell, wait, wait_for},
    wire::{self, Extent, PATIENCE, Socket, Wire},
};

type Play = Rc<dyn Fn(Conn, usize) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What an origin will do once it is started.
pub struct Script {
    play: Box<dyn FnOnce() -> Play + Send>,
}

/// An origin that listens, until it is dropped.
pub struct Origin {
    place: Place,
    log: Arc<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// One connection an origin has accepted.
pub struct Conn {
    wire: Option<Wire>,
    log: Arc<Log>,
    over: bool,
}

enum Place {
    Tcp(SocketAddr),
    Tls(SocketAddr),
    Unix(PathBuf),
}

enum Listener {
    Tcp(std::net::TcpListener),
    Tls(std::net::TcpListener, TlsAcceptor),
    Unix(std::os::unix::net::UnixListener),
}

impl Origin {
    /// Plays `script` on every connection; the second argument counts connections from 0. The connection is closed
    /// when the script is done.
    pub fn script<F, P>(script: F) -> Script
    where
        F: Fn(Conn, usize) -> P + Send + 'static,
        P: Future<Output = ()> + 'static,
    {
        Script { play: Box::new(|| Rc::new(move |conn, number| Box::pin(script(conn, number)))) }
    }

    /// Answers every request with 200 and this text, and keeps its connections.
    pub fn answering(body: &str) -> Script {
        Self::replying(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Answers every request with exactly these bytes, and keeps its connections.
    pub fn replying(bytes: impl Into<Vec<u8>>) -> Script {
        let bytes = bytes.into();
        Self::serving(move |_, _| bytes.clone())
    }

    /// Answers with a text that tells of the request: its head, and after an empty line its body.
    pub fn echo() -> Script {
        Self::serving(|head, body| {
            let mut told = head.replace("\r\n", "\n").into_bytes();
            told.extend_from_slice(body);
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", told.len())
                    .into_bytes();
            if !head.starts_with("HEAD ") {
                answer.extend(told);
            }
            answer
        })
    }

    /// Answers every request with what `answer` makes of its head and body, and keeps its connections.
    pub fn serving(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + 'static) -> Script {
        let answer = Arc::new(std::sync::Mutex::new(answer));
        Self::script(move |mut conn, _| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some((head, body)) = conn.any_request().await {
                    let bytes = answer.lock().expect("no answer panics")(&head, &body);
                    if conn.try_write(bytes).await.is_err() {
                        return;
                    }
                }
            }
        })
    }

    /// Where it listens; panics for a unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) | Place::Tls(address) => *address,
            Place::Unix(path) => panic!("{} has no address", path.display()),
        }
    }

    /// Where it listens, as settings say it.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Tls(address) => format!("https://{address}"),
            Place::Unix(path) => format!("http+unix:{}", path.display()),
        }
    }

    /// How many requests were read, by whatever script.
    pub fn requests_seen(&self) -> usize {
        self.log.borrow().requests.len()
    }

    /// The requests: head and body, as text. The body is there if it was read with [`Conn::next_request`].
    pub fn requests(&self) -> Vec<String> {
        self.log.borrow().requests.clone()
    }

    /// One of them, counted from 0.
    pub fn request(&self, number: usize) -> String {
        let seen = self.log.borrow();
        seen.requests.get(number).unwrap_or_else(|| panic!("no request {number} in {:?}", *seen)).clone()
    }

    /// How many connections were accepted.
    pub fn connections_seen(&self) -> usize {
        self.log.borrow().opened
    }

    /// The name that each of them asked for in TLS, if it asked for one.
    pub fn server_names(&self) -> Vec<Option<String>> {
        self.log.borrow().server_names.clone()
    }

    /// How many of them neither side has ended, as far as their scripts have read.
    pub fn connections_open(&self) -> usize {
        let seen = self.log.borrow();
        seen.opened - seen.over
    }

    pub async fn wait_for_requests(&self, count: usize) {
        wait(&self.log, &format!("{count} requests"), |seen| seen.requests.len() >= count).await;
    }

    pub async fn wait_for_connections(&self, count: usize) {
        wait(&self.log, &format!("{count} connections"), |seen| seen.opened >= count).await;
    }

    /// Until the other side has ended `count` connections. It is seen by scripts that read or write.
    pub async fn wait_for_closed(&self, count: usize) {
        wait(&self.log, &format!("{count} connections to be closed"), |seen| seen.ended >= count).await;
    }

    /// Says something to the scripts; it stays said.
    pub fn tell(&self, name: &str) {
        tell(&self.log, name);
    }

    /// What a script has said behind these words.
    pub fn said(&self, words: &str) -> Option<String> {
        self.log.borrow().said(words)
    }

    /// Until a script has said so.
    pub async fn wait_for(&self, name: &str) {
        wait_for(&self.log, name).await;
    }
}

impl Script {
    /// Listens at a port of its own.
    pub async fn start(self) -> Origin {
        self.start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens at this address.
    pub async fn start_at(self, address: SocketAddr) -> Origin {
        self.start_on(std::net::TcpListener::bind(address).expect("the address is free"))
    }

    /// The same with who listens already.
    pub fn start_on(self, listener: std::net::TcpListener) -> Origin {
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let place = Place::Tcp(listener.local_addr().expect("it is bound"));
        self.run(Listener::Tcp(listener), place)
    }

    /// Listens at a port of its own and speaks TLS. A handshake that fails is no connection.
    pub async fn start_tls(self, config: ServerConfig) -> Origin {
        self.start_tls_at(SocketAddr::from(([127, 0, 0, 1], 0)), config).await
    }

    /// The same at this address.
    pub async fn start_tls_at(self, address: SocketAddr, config: ServerConfig) -> Origin {
        let listener = std::net::TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let place = Place::Tls(listener.local_addr().expect("it is bound"));
        self.run(Listener::Tls(listener, TlsAcceptor::from(Arc::new(config))), place)
    }

    /// Listens at a unix socket.
    pub async fn start_unix(self, path: impl AsRef<Path>) -> Origin {
        let listener = std::os::unix::net::UnixListener::bind(path.as_ref()).expect("the path is free");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        self.run(Listener::Unix(listener), Place::Unix(path.as_ref().to_owned()))
    }

    fn run(self, listener: Listener, place: Place) -> Origin {
        let log = Arc::new(Log::new(Seen::default()));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&log);
        let body = move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = LocalSet::new();
            let accepting = local.run_until(accept(listener, (self.play)(), shared));
            runtime.block_on(async {
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("origin".into()).spawn(body).expect("a thread");
        Origin { place, log, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("it is dropped once").join();
        if thread::panicking() {
            return;
        }
        assert!(ended.is_ok(), "the origin itself panicked");
        let seen = self.log.borrow();
        assert!(seen.failures.is_empty(), "a script failed: {:?}", seen.failures);
    }
}

impl Conn {
    /// A request's head; where the other side ends instead, the script ends too.
    pub async fn read_head(&mut self) -> String {
        self.next_head().await.unwrap_or_else(|| leave("a head"))
    }

    /// A request's head, or `None` when the other side has ended.
    pub async fn next_head(&mut self) -> Option<String> {
        let head = self.wire().next_head().await;
        self.notice();
        if let Some(head) = &head {
            self.log.send_modify(|seen| seen.requests.push(head.clone()));
        }
        head
    }

    /// A request with its body, or `None` when the other side has ended.
    pub async fn next_request(&mut self) -> Option<(String, Vec<u8>)> {
        self.request_within(PATIENCE).await
    }

    /// The same, however long it does not come.
    pub async fn any_request(&mut self) -> Option<(String, Vec<u8>)> {
        self.request_within(FOR_EVER).await
    }

    /// A request with its body; where the other side ends instead, the script ends too.
    pub async fn read_request(&mut self) -> (String, Vec<u8>) {
        self.next_request().await.unwrap_or_else(|| leave("a request"))
    }

    async fn request_within(&mut self, first: Duration) -> Option<(String, Vec<u8>)> {
        let wire = self.wire();
        let head = wire.next_head_within(first).await;
        let body = match &head {
            Some(head) => wire.read_body(extent(head)).await,
            None => wire::Received::default(),
        };
        self.notice();
        if head.is_some() && !body.complete {
            leave("the rest of a request's body");
        }
        let head = head?;
        let request = format!("{head}{}", wire::text(&body.body));
        self.log.send_modify(|seen| seen.requests.push(request));
        Some((head, body.body))
    }

    /// Exactly this many bytes.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.wire().up_to(count).await;
        self.notice();
        if bytes.len() < count {
            leave("more bytes");
        }
        bytes
    }

    /// Some bytes; none at the end.
    pub async fn read_some(&mut self) -> Vec<u8> {
        let bytes = self.wire().read_some().await;
        self.notice();
        bytes
    }

    /// Everything until the other side ends.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let bytes = self.wire().read_to_end().await;
        self.notice();
        bytes
    }

    /// Reads and forgets until the other side ends.
    pub async fn wait_closed(&mut self) {
        self.wire().wait_ended().await;
        self.notice();
    }

    /// Writes all of it; where the other side does not take it, the script ends.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if self.try_write(bytes).await.is_err() {
            leave("the other side to take bytes");
        }
    }

    /// Writes all of it, or tells why not.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let result = self.wire().write(bytes.as_ref()).await;
        if result.is_err() {
            self.note_ended();
        }
        result
    }

    /// Writes in segments of `size` bytes.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for segment in bytes.as_ref().chunks(size) {
            self.write(segment).await;
            task::yield_now().await;
        }
    }

    /// Writes up to `limit` bytes, until the other side has taken none for half a second. How many went out.
    pub async fn flood(&mut self, limit: usize) -> usize {
        self.wire().flood(&[b'.'; 64 * 1024], limit, Duration::from_millis(500)).await
    }

    /// Ends our direction only.
    pub async fn half_close(&mut self) {
        self.wire().half_close().await;
    }

    /// Ends the connection.
    pub fn close(mut self) {
        self.wire = None;
    }

    /// Ends the connection with a reset.
    pub fn reset(mut self) {
        if let Some(wire) = self.wire.take() {
            wire.reset();
        }
    }

    /// Says something to the test and to other scripts; it stays said.
    pub fn tell(&self, name: &str) {
        tell(&self.log, name);
    }

    /// Until the test, or another script, has said so.
    pub async fn wait_for(&self, name: &str) {
        wait_for(&self.log, name).await;
    }

    /// HTTP/2 was agreed on in TLS.
    pub fn speaks_http2(&mut self) -> bool {
        self.wire().speaks_http2()
    }

    /// The socket, for another language; what has happened on it is to be told with [`Conn::note_ended`].
    pub fn take_socket(&mut self) -> Socket {
        self.wire.take().expect("it is taken once").into_socket()
    }

    /// Notes a request that was read by other means.
    pub fn note_request(&self, request: String) {
        self.log.send_modify(|seen| seen.requests.push(request));
    }

    /// What has happened, for whoever goes on without the connection.
    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    fn wire(&mut self) -> &mut Wire {
        self.wire.as_mut().expect("it is there until it is closed, and closing takes the Conn")
    }

    fn notice(&mut self) {
        if self.wire().has_ended() {
            self.note_ended();
        }
    }

    /// The other side has ended it.
    pub fn note_ended(&mut self) {
        self.note_over(true);
    }

    /// In one step, so that nobody sees half of it.
    fn note_over(&mut self, by_other: bool) {
        if !self.over {
            self.over = true;
            self.log.send_modify(|seen| {
                seen.over += 1;
                seen.ended += usize::from(by_other);
            });
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.wire = None;
        self.note_over(false);
    }
}

/// Longer than any test: what the origins that only answer wait for the next request.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

async fn accept(listener: Listener, play: Play, log: Arc<Log>) {
    let (listener, acceptor) = match listener {
        Listener::Tcp(tcp) => (Ok(TcpListener::from_std(tcp).expect("it is non-blocking")), None),
        Listener::Tls(tcp, acceptor) => (Ok(TcpListener::from_std(tcp).expect("it is non-blocking")), Some(acceptor)),
        Listener::Unix(unix) => (Err(UnixListener::from_std(unix).expect("it is non-blocking")), None),
    };
    for number in 0.. {
        let socket = match (&listener, &acceptor) {
            (Ok(tcp), None) => Socket::Tcp(tcp.accept().await.expect("accepting works").0),
            (Ok(tcp), Some(acceptor)) => match acceptor.accept(tcp.accept().await.expect("accepting works").0).await {
                Ok(stream) => {
                    let name = stream.get_ref().1.server_name().map(str::to_owned);
                    log.send_modify(|seen| seen.server_names.push(name));
                    Socket::Tls(Box::new(stream.into()))
                }
                Err(_) => continue,
            },
            (Err(unix), _) => Socket::Unix(unix.accept().await.expect("accepting works").0),
        };
        log.send_modify(|seen| seen.opened += 1);
        let conn = Conn { wire: Some(Wire::new(socket)), log: Arc::clone(&log), over: false };
        let played = task::spawn_local(play(conn, number));
        let log = Arc::clone(&log);
        task::spawn_local(async move {
            if let Err(failed) = played.await
                && let Ok(cause) = failed.try_into_panic()
            {
                log.send_modify(|seen| seen.fail(number, &*cause));
            }
        });
    }
}

fn extent(head: &str) -> Extent {
    match wire::content_length(head) {
        _ if wire::is_chunked(head) => Extent::Chunks,
        Some(length) => Extent::Exactly(length),
        None => Extent::Nothing,
    }
}
