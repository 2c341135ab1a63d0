//! Eight endpoints: six that answer after 5 ms, one that takes ten times as long, one that comes and goes.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;
use std::{io, thread};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use crate::http;

pub const COUNT: usize = 8;
/// How long an answer takes. It is waited for, not worked for: the machine has time for all of them.
pub const USUAL: Duration = Duration::from_millis(5);
pub const SLOW: Duration = Duration::from_millis(50);
/// How long the flapping one is there, and how long it is not.
pub const FLAP: Duration = Duration::from_secs(2);

/// Their own, so that no connection is given the port of the flapping one while it is gone.
const ADDRESS: [u8; 4] = [127, 0, 0, 9];

/// They listen, in a thread of their own, until this is dropped.
pub struct Endpoints {
    pub addresses: Vec<SocketAddr>,
    _until: oneshot::Sender<()>,
}

impl Endpoints {
    pub fn start() -> io::Result<Self> {
        let listeners = (0..COUNT).map(|_| bind(SocketAddr::from((ADDRESS, 0))));
        let listeners = listeners.collect::<io::Result<Vec<StdListener>>>()?;
        let addresses = listeners.iter().map(StdListener::local_addr).collect::<io::Result<_>>()?;
        let (until, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, async {
                for (number, listener) in listeners.into_iter().enumerate() {
                    match number {
                        0 => drop(spawn_local(flap(listener))),
                        1 => drop(spawn_local(stay(listener, SLOW))),
                        _ => drop(spawn_local(stay(listener, USUAL))),
                    }
                }
                let _dropped = ended.await;
            });
        });
        Ok(Self { addresses, _until: until })
    }
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn stay(listener: StdListener, takes: Duration) -> io::Result<()> {
    let (_alive, dies) = watch::channel(());
    accept(listener, takes, dies).await
}

/// While it is gone it is like a process that was killed: connections break, and new ones are refused.
async fn flap(listener: StdListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    loop {
        let (alive, dies) = watch::channel(());
        let there = match listener.take() {
            Some(listener) => listener,
            None => bind(address)?,
        };
        let accepting = spawn_local(accept(there, USUAL, dies));
        sleep(FLAP).await;
        accepting.abort();
        drop(alive);
        sleep(FLAP).await;
    }
}

async fn accept(listener: StdListener, takes: Duration, dies: watch::Receiver<()>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let mut dies = dies.clone();
        spawn_local(async move {
            tokio::select! {
                _ended = serve(socket, takes) => {}
                _died = dies.changed() => {}
            }
        });
    }
}

async fn serve(socket: TcpStream, takes: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    while http::head(&mut socket).await?.is_some() {
        sleep(takes).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    }
    Ok(())
}
