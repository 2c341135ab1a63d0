//! The edge under test with an App that is no proxy: what any user of `EdgeServer` sees.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use actix_web::{
    App, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder,
    body::{BodyStream, MessageBody, SizedStream},
    http::StatusCode,
    rt, web,
};
use aqueduct::{
    EdgeServer,
    edge::{Handle, Outcome, Reloaded},
    http::{Downstream, HeaderMap, HeaderName, HeaderValue, Takeover},
    plan::{ListenAddress, Listener},
    settings::{ServerSettings, server::Workers},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    client::{self, Client, Response},
    seen::{self, Log, Seen},
    wire::patiently,
};

/// An edge that listens, until it is dropped.
pub struct TestEdge {
    pub address: SocketAddr,
    handle: Handle,
    log: Arc<Log>,
    thread: Option<thread::JoinHandle<Outcome>>,
}

impl TestEdge {
    /// With the settings that the server has by itself, on one worker.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings.
    pub async fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::on(None, change)
    }

    /// On a unix socket, too.
    pub async fn also_on(path: PathBuf) -> Self {
        Self::on(Some(path), |_| {})
    }

    fn on(unix: Option<PathBuf>, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let mut settings = ServerSettings { workers: Workers::Exactly(1), ..ServerSettings::default() };
        change(&mut settings);
        let log = Arc::new(Log::new(Seen::default()));
        let (told, ready) = mpsc::channel();
        let thread = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                rt::System::new().block_on(async move {
                    let mut server = EdgeServer::new(move || {
                        App::new().app_data(web::Data::from(Arc::clone(&log))).configure(routes)
                    })
                    .settings(&settings)
                    .signals(false)
                    .bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into()))
                    .expect("a free port");
                    if let Some(path) = unix {
                        server = server.bind(&ListenAddress::Unix(path)).expect("a free path");
                    }
                    let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { panic!("it is TCP") };
                    let running = server.run();
                    told.send((address, running.handle())).expect("the test waits for it");
                    running.await.expect("it serves")
                })
            }
        });
        let (address, handle) = ready.recv().expect("it starts");
        Self { address, handle, log, thread: Some(thread) }
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// These bytes on a connection of their own, and the answer.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        client::request(self.address, bytes).await
    }

    pub async fn get(&self, path: &str) -> Response {
        client::get(self.address, path).await
    }

    /// Lets the App go on that waits for this.
    pub fn tell(&self, name: &str) {
        seen::tell(&self.log, name);
    }

    /// Waits until the App has said this.
    pub async fn wait_for(&self, name: &str) {
        seen::wait_for(&self.log, name).await;
    }

    /// Whose turns there were, in their order.
    pub fn turns(&self) -> Vec<String> {
        self.log.borrow().requests.clone()
    }

    /// Has it listen on these addresses as well as where it does.
    pub async fn listen_also(&self, more: &[ListenAddress], settings: &ServerSettings) -> Reloaded {
        let loopback = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let listeners: Vec<_> = [loopback].iter().chain(more).cloned().map(Listener::from).collect();
        self.handle.reload(settings, "aqueduct", &listeners).await.expect("the addresses are free")
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.handle.addresses()
    }

    pub async fn parked(&self, times: u64) {
        parked(&self.handle, times).await;
    }

    pub fn times_parked(&self) -> u64 {
        times_parked(&self.handle)
    }

    pub fn drain(&self) {
        self.handle.drain();
    }

    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until the server has ended, and tells how.
    pub fn outcome(mut self) -> Outcome {
        self.thread.take().expect("it was started").join().expect("the server does not panic")
    }
}

/// Waits until connections were parked so many times.
pub async fn parked(handle: &Handle, times: u64) {
    patiently("parked connections", async {
        while times_parked(handle) < times {
            tokio::time::sleep(MOMENT / 10).await;
        }
    })
    .await;
}

pub fn times_parked(handle: &Handle) -> u64 {
    handle.listening().iter().map(|listener| listener.counts.parked.now()).sum()
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.stop();
            let ended = thread.join();
            if !thread::panicking() {
                ended.expect("the server does not panic");
            }
        }
    }
}

type Told = web::Data<Log>;

/// Says that it was dropped.
struct Dropped(Told);

impl Drop for Dropped {
    fn drop(&mut self) {
        seen::tell(&self.0, "dropped");
    }
}

fn downstream(request: &HttpRequest) -> Rc<dyn Downstream> {
    request.extensions().get::<Rc<dyn Downstream>>().cloned().expect("the edge puts it there")
}

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    fields
}

fn pieces(pieces: &'static [&'static str]) -> impl MessageBody {
    let pieces = pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())));
    BodyStream::new(stream::iter(pieces))
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/", web::to(|| async { "hello" }))
        .route("/worker", web::to(|| async { thread::current().name().unwrap_or_default().to_owned() }))
        .route("/unread", web::to(|_payload: web::Payload| async { "unread" }))
        .route("/echo", web::to(echo))
        .route("/duplex", web::to(|payload: web::Payload| async { HttpResponse::Ok().body(BodyStream::new(payload)) }))
        .route("/late", web::to(late))
        .route("/hang", web::to(hang))
        .route("/hang-unread", web::to(hang_unread))
        .route("/held", web::to(held))
        .route("/busy", web::to(busy))
        .route("/turn/{whose}", web::to(turn))
        .route("/held-request", web::to(held_request))
        .route("/panic", web::to(panics))
        .route("/stream", web::to(|| async { HttpResponse::Ok().body(pieces(&["one", "", "two"])) }))
        .route("/large", web::to(large))
        .route("/endless", web::to(endless))
        .route("/counted", web::to(counted))
        .route("/waits", web::to(waits))
        .route("/breaks", web::to(breaks))
        .route("/short", web::to(|| async { sized(10) }))
        .route("/long", web::to(|| async { sized(3) }))
        .route("/status/{status}", web::to(status))
        .route("/fields", web::to(own_framing))
        .route("/hints", web::to(hints))
        .route("/trailers", web::to(trailers))
        .route("/switch", web::to(switch))
        .default_service(web::to(|request: HttpRequest| async move {
            let uri = request.uri().to_string();
            HttpResponse::Ok().body(format!("{} {uri}", request.method()))
        }));
}

/// The body, or what was wrong with it.
async fn echo(mut payload: web::Payload, told: Told) -> HttpResponse {
    let _dropped = Dropped(told.clone());
    let mut whole = Vec::new();
    while let Some(piece) = payload.next().await {
        match piece {
            Ok(piece) => whole.extend_from_slice(&piece),
            Err(error) => return HttpResponse::BadRequest().body(format!("{error:?}")),
        }
    }
    seen::tell(&told, "read");
    HttpResponse::Ok().body(whole)
}

/// Reads the body only when it is told to.
async fn late(payload: web::Payload, told: Told) -> HttpResponse {
    seen::tell(&told, "asked");
    seen::wait_for(&told, "go on").await;
    echo(payload, told).await
}

async fn hang(told: Told) -> HttpResponse {
    let _dropped = Dropped(told.clone());
    seen::tell(&told, "asked");
    pending().await
}

/// Holds a body that it does not read.
async fn hang_unread(payload: web::Payload, told: Told) -> HttpResponse {
    let _held = payload;
    hang(told).await
}

async fn held(told: Told) -> HttpResponse {
    seen::tell(&told, "asked");
    seen::wait_for(&told, "go on").await;
    HttpResponse::Ok().body("done")
}

/// Keeps the whole worker busy until it is told to go on.
async fn busy(told: Told) -> &'static str {
    seen::tell(&told, "asked");
    let waiting = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(seen::wait_for(&told, "go on"));
    });
    waiting.join().expect("it is told to go on");
    "done"
}

/// Notes whose turn it was.
async fn turn(whose: web::Path<String>, told: Told) -> &'static str {
    told.send_modify(|seen| seen.requests.push(whose.into_inner()));
    "noted"
}

/// Leaves a task behind that keeps the request.
async fn held_request(request: HttpRequest, told: Told) -> HttpResponse {
    rt::spawn(async move {
        seen::wait_for(&told, "go on").await;
        drop(request);
    });
    HttpResponse::Ok().body(pieces(&["held"]))
}

#[allow(clippy::unused_async, reason = "a handler")]
async fn panics() -> HttpResponse {
    panic!("as this handler always does")
}

/// More than sockets hold, of a known length.
async fn large() -> HttpResponse {
    HttpResponse::Ok().body(vec![b'x'; 8 << 20])
}

async fn endless(told: Told) -> HttpResponse {
    let dropped = Dropped(told);
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let body = stream::repeat(piece).map(move |piece| {
        let _held = &dropped;
        Ok::<_, Infallible>(piece)
    });
    HttpResponse::Ok().body(BodyStream::new(body))
}

/// Bytes that `/counted` was asked for. It is one test's alone.
pub static COUNTED: AtomicU64 = AtomicU64::new(0);

async fn counted(told: Told) -> HttpResponse {
    let dropped = Dropped(told);
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let body = stream::repeat(piece).map(move |piece| {
        let _held = &dropped;
        COUNTED.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok::<_, Infallible>(piece)
    });
    HttpResponse::Ok().body(BodyStream::new(body))
}

/// A body that stops without an end.
async fn waits(told: Told) -> HttpResponse {
    let dropped = Dropped(told);
    let body = stream::iter([Bytes::from_static(b"first")]).chain(stream::pending()).map(move |piece| {
        let _held = &dropped;
        Ok::<_, Infallible>(piece)
    });
    HttpResponse::Ok().body(BodyStream::new(body))
}

async fn breaks() -> HttpResponse {
    let pieces = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("broken"))];
    HttpResponse::Ok().body(BodyStream::new(stream::iter(pieces)))
}

/// Five bytes, whatever was said.
fn sized(said: u64) -> HttpResponse {
    let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"12345"))]);
    HttpResponse::Ok().body(SizedStream::new(said, pieces))
}

/// This status, with content and an `Upgrade` field.
async fn status(status: web::Path<u16>) -> HttpResponse {
    let status = StatusCode::from_u16(*status).expect("a test asks for a status");
    HttpResponseBuilder::new(status).insert_header(("upgrade", "other/2")).body("content")
}

/// An App that thinks it knows better.
async fn own_framing() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("content-length", "99"))
        .insert_header(("transfer-encoding", "gzip"))
        .insert_header(("connection", "x-own"))
        .append_header(("set-cookie", "a=1"))
        .append_header(("set-cookie", "b=2"))
        .body("five!")
}

async fn hints(request: HttpRequest) -> &'static str {
    let downstream = downstream(&request);
    downstream.informational(StatusCode::from_u16(103).expect("a status"), &fields(&[("link", "</a.css>")]));
    downstream.informational(StatusCode::PROCESSING, &HeaderMap::new());
    "hello"
}

/// Answers with the trailers that came, and sends some.
async fn trailers(request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    while payload.next().await.is_some() {}
    let downstream = downstream(&request);
    let came = downstream.request_trailers().unwrap_or_default();
    let came: String = came.iter().map(|(name, value)| format!("{name}={value:?};")).collect();
    downstream.response_trailers(fields(&[("x-sum", "1"), ("content-length", "5"), ("x-end", "2")]));
    HttpResponse::Ok().body(BodyStream::new(stream::iter([Ok::<_, Infallible>(Bytes::from(came))])))
}

/// Repeats what comes, until the client has said all or the server drains. It keeps its request all the while.
async fn switch(request: HttpRequest, told: Told) -> HttpResponse {
    let takeover = Takeover(Box::new(move |mut taken| {
        Box::pin(async move {
            let _held = request;
            let mut buffer = taken.early.to_vec();
            loop {
                if taken.io.write_all(&buffer).await.is_err() {
                    break;
                }
                buffer.clear();
                tokio::select! {
                    read = taken.io.read_buf(&mut buffer) => if !matches!(read, Ok(1..)) {
                        buffer.extend_from_slice(b"bye");
                        break;
                    },
                    () = &mut taken.draining => {
                        buffer.extend_from_slice(b"drained");
                        break;
                    }
                }
            }
            let _ = taken.io.write_all(&buffer).await;
            seen::tell(&told, "left");
        })
    }));
    let mut response = HttpResponse::SwitchingProtocols();
    response.upgrade("echo").extensions_mut().insert(RefCell::new(Some(takeover)));
    response.finish()
}

/// Long enough for what must not happen to happen on a fast machine; a slow one finds out less, and never fails.
pub const MOMENT: Duration = Duration::from_millis(50);
