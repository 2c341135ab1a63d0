//! What a connection costs while nothing comes on it, counted: heap of the worker, without what the kernel and the
//! cryptography's C code hold for it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, web};
use aqueduct::{
    EdgeServer, Proxy,
    edge::tls::Certificates,
    plan::ListenAddress,
    settings::{Layers, ServerSettings, server::Workers},
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use self::plain::body;

#[path = "plain/browser.rs"]
mod browser;
mod plain;

/// The system's allocator, counting what each thread has of it.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counter any more, and nobody asks for it.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let memory = unsafe { System.alloc(layout) };
        // What cannot be had is asked for, too.
        if !memory.is_null() {
            count(layout.size().cast_signed());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let memory = unsafe { System.realloc(memory, layout, size) };
        if !memory.is_null() {
            count(size.cast_signed() - layout.size().cast_signed());
        }
        memory
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Of each kind as many are measured.
const CONNECTIONS: usize = 256;
/// How long it may take until all of them are parked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that a connection in the clear may hold; the runtime would have 256 more of a socket that it knows.
const CLEAR: f64 = 260.0;

#[test]
fn an_idle_connection_holds_little() {
    let edge = edge(None);

    let each = per_connection(connect(edge), || asked(connect(edge)), CLEAR);

    assert!(each <= CLEAR, "{each:.0} bytes a connection");
}

/// The same where TLS is spoken. The two keys are beside it, in C: 1,168 bytes.
const ENCRYPTED: f64 = 1750.0;

#[test]
fn an_idle_connection_of_tls_holds_what_its_keys_take_and_little_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificates, client) = pair(folder.path());
    let (edge, client) = (edge(Some(certificates)), Arc::new(client));
    let connect = || {
        let socket = TcpStream::connect(edge).expect("it listens");
        let name = "shop.example".try_into().expect("a name");
        StreamOwned::new(ClientConnection::new(Arc::clone(&client), name).expect("it is good"), socket)
    };

    let each = per_connection(connect(), || asked(connect()), ENCRYPTED);

    assert!(each <= ENCRYPTED, "{each:.0} bytes a connection");
}

/// The same for HTTP/2 in the clear, and a client that asks as browsers do: two fifths of it are what it has us remember.
const HTTP2: f64 = 1.5 * 1024.0;

#[test]
fn an_idle_connection_of_http2_holds_what_was_agreed_on() {
    let edge = edge(None);

    let each = per_connection(connect(edge), || browser::visit(connect(edge)), HTTP2);

    assert!(each <= HTTP2, "{each:.0} bytes a connection");
}

fn connect(edge: SocketAddr) -> TcpStream {
    TcpStream::connect(edge).expect("it listens")
}

/// A connection on which something was asked.
fn asked<S: Read + Write>(mut client: S) -> S {
    assert_eq!(ask(&mut client, "/"), "hello");
    client
}

/// What the worker holds for each of many connections that were served and then left alone. It is asked until that is no
/// more than `enough`.
fn per_connection<S>(mut asking: impl Read + Write, served: impl Fn() -> S, enough: f64) -> f64 {
    let mut held = || ask(&mut asking, "/held").parse::<isize>().expect("a number");
    // What is made once is made by these.
    let few: Vec<S> = (0..CONNECTIONS).map(|_| served()).collect();
    drop(few);
    let before = least(&mut held, 0.0);

    let many: Vec<S> = (0..CONNECTIONS).map(|_| served()).collect();

    let each = least(|| held() - before, enough * CONNECTIONS as f64) as f64 / CONNECTIONS as f64;
    println!("{each:.0} bytes a connection");
    drop(many);
    each
}

/// The least of what is told within a while; as soon as it is as little as this, there is no need to go on.
fn least(mut told: impl FnMut() -> isize, enough: f64) -> isize {
    let (began, mut least) = (Instant::now(), isize::MAX);
    let patience = if enough > 0.0 { PATIENCE } else { Duration::from_secs(2) };
    while began.elapsed() < patience && least as f64 > enough {
        least = least.min(told());
    }
    least
}

/// A connection's request, and the body of the answer.
fn ask(client: &mut impl ReadWrite, path: &str) -> String {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes()).expect("it reads");
    body(client)
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// One worker, and what tells how much it holds.
fn edge(certificates: Option<Certificates>) -> SocketAddr {
    let (told, address) = mpsc::channel();
    thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let settings = ServerSettings { workers: Workers::Exactly(1), ..ServerSettings::default() };
            let held = || async { HttpResponse::Ok().body(HELD.get().to_string()) };
            let server = EdgeServer::new(move || {
                App::new().route("/", web::get().to(|| async { "hello" })).route("/held", web::get().to(held))
            })
            .settings(&settings)
            .signals(false);
            let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = match &certificates {
                Some(certificates) => server.bind_tls(loopback, certificates),
                None => server.bind(&ListenAddress::Tcp(loopback)),
            };
            let server = server.expect("a free port");
            let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { unreachable!("it is TCP") };
            told.send(address).expect("the test waits");
            server.run().await.expect("it serves");
        });
    });
    address.recv().expect("it starts")
}

/// A certificate for `shop.example`, and a client that believes it.
fn pair(folder: &Path) -> (Certificates, ClientConfig) {
    let key = rcgen::KeyPair::generate().expect("randomness");
    let params = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (cert_file, key_file) = (folder.join("shop.pem"), folder.join("shop.key"));
    fs::write(&cert_file, certificate.pem()).expect("a file");
    fs::write(&key_file, key.serialize_pem()).expect("a file");
    let text = format!(
        "listen = [{{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\n\
         tls.main.certificates = [{{ cert = {cert_file:?}, key = {key_file:?} }}]\nroutes.\"/\".respond.body = \"\"\n"
    );
    let loaded = Layers::new().text("edge.toml", text).load().expect("it is good");
    let proxy = Proxy::from_settings(loaded.settings).expect("it is good");
    let tls = proxy.plan().listeners[0].tls.clone().expect("it speaks TLS");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Certificates::of(&tls).expect("randomness"), client)
}
