//! The proxy that is measured: one worker, in a thread of its own.

use std::{net::SocketAddr, sync::mpsc, thread};

use actix_web::App;
use aqueduct::{
    EdgeServer, Proxy,
    edge::Handle,
    plan::ListenAddress,
    settings::{Layers, server::Workers},
};

/// It serves until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    /// With these settings, as in a file.
    pub fn start(text: &str) -> Self {
        let loaded = Layers::new().text("bench.toml", text).load();
        let mut settings = loaded.unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).settings;
        settings.server.workers = Workers::Exactly(1);
        let proxy = Proxy::from_settings(settings.clone()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
        let (told, ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let handler = proxy.clone();
                let server = EdgeServer::new(move || App::new().default_service(handler.clone()))
                    .settings(&settings.server)
                    .signals(false)
                    .bind(&ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))
                    .expect("a free port");
                let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { panic!("it is a TCP address") };
                let running = server.run();
                told.send((address, running.handle())).expect("it is waited for");
                running.await.expect("it serves");
            });
        });
        let (address, handle) = ready.recv().expect("it starts");
        Self { address, handle, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}
