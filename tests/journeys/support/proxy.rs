//! The proxy under test: the real one behind the real edge, in a thread of its own.

use std::{net::SocketAddr, path::Path, sync::mpsc, thread};

use actix_web::App;
use aqueduct::{
    EdgeServer, Proxy,
    edge::{Handle, Outcome, tls::Certificates},
    plan::ListenAddress,
    settings::{
        Layers, Settings, Size,
        server::{Underscores, Workers},
    },
};

use super::{
    client::{self, Client, Response},
    edge,
    origin::Origin,
};

/// Settings of a proxy that is not started yet.
pub struct Setup {
    text: String,
    change: Box<dyn FnOnce(&mut Settings)>,
    unix: Option<std::path::PathBuf>,
}

/// A proxy that listens, until it is dropped.
pub struct TestProxy {
    pub address: SocketAddr,
    pub proxy: Proxy,
    /// What it shows its clients, if its first listener speaks TLS.
    pub certificates: Option<Certificates>,
    handle: Handle,
    thread: Option<thread::JoinHandle<Outcome>>,
}

impl TestProxy {
    /// Every path goes to this origin.
    pub fn to(origin: &Origin) -> Setup {
        Self::with(&format!("[routes]\n\"/\" = \"{}\"\n", origin.url()))
    }

    /// Settings as in a file.
    pub fn with(text: &str) -> Setup {
        Setup { text: text.to_owned(), change: Box::new(|_| {}), unix: None }
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, path: &str) -> Response {
        client::get(self.address, path).await
    }

    /// These bytes on a connection of their own, and the answer.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        client::request(self.address, bytes).await
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Waits until its connections were parked so many times.
    pub async fn parked(&self, times: u64) {
        edge::parked(&self.handle, times).await;
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

impl Setup {
    /// Changes what the text has set.
    pub fn change(mut self, change: impl FnOnce(&mut Settings) + 'static) -> Self {
        self.change = Box::new(change);
        self
    }

    /// Lets fields with `_` in their names pass, so that it is the filters that have to know them.
    pub fn with_underscores(self) -> Self {
        self.change(|settings| settings.server.http.underscores = Underscores::Pass)
    }

    /// Listens on a unix socket, too.
    pub fn also_on(mut self, path: &Path) -> Self {
        self.unix = Some(path.to_owned());
        self
    }

    pub async fn start(self) -> TestProxy {
        let loaded = Layers::new().text("test.toml", &self.text).load();
        let mut settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
        if settings.server.workers == Workers::Auto {
            settings.server.workers = Workers::Exactly(1);
        }
        (self.change)(&mut settings);
        let proxy =
            Proxy::from_settings(settings.clone()).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        serve(proxy, settings, self.unix)
    }
}

/// Serves this proxy at its first address, on a free port.
pub fn serve(proxy: Proxy, settings: Settings, unix: Option<std::path::PathBuf>) -> TestProxy {
    let (told, ready) = mpsc::channel();
    let (handler, logging) = (proxy.clone(), proxy.clone());
    let tls = proxy.plan().listeners[0].tls.as_ref().map(|tls| Certificates::of(tls).expect("randomness"));
    let (certificates, first) = (tls.clone(), proxy.plan().listeners[0].clone());
    let thread = thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let mut limits = settings.server.clone();
            limits.http.max_body = Size::kib(0);
            let ListenAddress::Tcp(mut loopback) = first.address else { panic!("its first address is TCP") };
            loopback.set_port(0);
            let server = EdgeServer::new(())
                .settings(&limits)
                .server_name(&settings.server_name)
                .access_log_of(&logging)
                .http2(first.h2)
                .proxy_protocol(first.proxy_protocol.as_ref())
                .signals(false);
            let bound = match &tls {
                Some(certificates) => server.bind_tls(loopback, certificates),
                None => server.bind(&ListenAddress::Tcp(loopback)),
            };
            let mut server = bound.expect("a free port");
            if let Some(path) = unix {
                server = server.bind(&ListenAddress::Unix(path)).expect("a free path");
            }
            let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { panic!("it is a TCP address") };
            let running = server.run_proxy(&handler);
            told.send((address, running.handle())).expect("the test waits for it");
            running.await.expect("it serves")
        })
    });
    let (address, handle) = ready.recv().expect("it starts");
    TestProxy { address, proxy, certificates, handle, thread: Some(thread) }
}

impl Drop for TestProxy {
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
