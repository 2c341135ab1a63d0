//! The load: so many requests per second, whatever becomes of those before. A request's time counts from when it was due, so
//! that none is left out because another one had to be waited for.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};

use crate::figures::Samples;
use crate::http;

/// Who waits longer gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Kept connections; the one that was used last is used next.
type Kept = Rc<RefCell<Vec<BufReader<TcpStream>>>>;

pub fn load(proxy: SocketAddr, rate: u32, length: Duration) -> io::Result<Samples> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (kept, samples) = (Kept::default(), Rc::new(RefCell::new(Samples::default())));
        let (began, all) = (Instant::now(), length.as_secs() as u32 * rate);
        let mut under_way = Vec::new();
        for number in 0..all {
            let due = began + Duration::from_secs(1) / rate * number;
            sleep_until(due).await;
            let (kept, samples) = (Rc::clone(&kept), Rc::clone(&samples));
            under_way.push(spawn_local(async move {
                let answered = timeout(PATIENCE, ask(proxy, number, &kept)).await;
                let went_well = matches!(answered, Ok(Ok(true)));
                samples.borrow_mut().note(went_well.then(|| due.elapsed()));
            }));
        }
        for one in under_way {
            one.await.map_err(io::Error::other)?;
        }
        Ok(samples.take())
    })
}

/// Whether it was answered with 200.
async fn ask(proxy: SocketAddr, number: u32, kept: &Kept) -> io::Result<bool> {
    let waiting = kept.borrow_mut().pop();
    let mut socket = match waiting {
        Some(socket) => socket,
        None => {
            let socket = TcpStream::connect(proxy).await?;
            socket.set_nodelay(true)?;
            BufReader::new(socket)
        }
    };
    // Each of another key.
    let key = number.wrapping_mul(2_654_435_761);
    socket.write_all(format!("GET /{key:x} HTTP/1.1\r\nHost: latency\r\n\r\n").as_bytes()).await?;
    let head = http::head(&mut socket).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if http::skip_body(&mut socket, &head).await? {
        kept.borrow_mut().push(socket);
    }
    Ok(head.starts_with("HTTP/1.1 200 "))
}
