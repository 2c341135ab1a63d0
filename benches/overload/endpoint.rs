//! An endpoint that does so many things at once. What is more waits there, however long, and is done though nobody waits for it
//! any more: as most servers have it.

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    sync::Semaphore,
    task::{LocalSet, spawn_local},
    time::sleep,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Runs until the process ends, in a thread of its own.
pub fn start(at_once: usize, takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a listener can be made non-blocking");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is non-blocking");
            let places = Rc::new(Semaphore::new(at_once));
            loop {
                let (stream, _) = listener.accept().await.expect("accepting works");
                spawn_local(serve(stream, Rc::clone(&places), takes));
            }
        });
    });
    address
}

async fn serve(mut stream: TcpStream, places: Rc<Semaphore>, takes: Duration) {
    let mut head = Vec::new();
    loop {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !head.ends_with(b"\r\n\r\n") => continue,
            Ok(_) => head.clear(),
        }
        let place = places.acquire().await.expect("it is never closed");
        sleep(takes).await;
        drop(place);
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}
