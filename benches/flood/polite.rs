//! Clients that come ten times a second each, from addresses of their own, and are never refused.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep_until,
};

const COUNT: u32 = 100;
const EVERY: Duration = Duration::from_millis(100);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: flood\r\n\r\n";

/// A hundred of them, each with its connection.
pub struct Clients(Vec<TcpStream>);

impl Clients {
    pub async fn connect(proxy: SocketAddr) -> Self {
        Self(join_all((0..COUNT).map(|number| connect([127, 0, 1, number as u8 + 1], proxy))).await)
    }

    /// How long each request has waited since it was to be sent.
    pub async fn come(&mut self, time: Duration) -> Vec<Duration> {
        let begin = Instant::now();
        let each = self.0.iter_mut().enumerate().map(|(number, stream)| async move {
            let (mut next, mut waited) = (begin + EVERY / COUNT * number as u32, Vec::new());
            while next < begin + time {
                sleep_until(next.into()).await;
                ask(stream).await;
                waited.push(next.elapsed());
                next += EVERY;
            }
            waited
        });
        join_all(each).await.concat()
    }
}

/// From this address.
pub async fn connect(from: [u8; 4], proxy: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("the whole network is this machine");
    let stream = socket.connect(proxy).await.expect("somebody listens");
    stream.set_nodelay(true).expect("it is a TCP socket");
    stream
}

async fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.expect("it is taken");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "no polite one is sent away");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "no polite one is refused");
}
