//! A tunnel that is open for as long as the test runs.

use std::{net::SocketAddr, rc::Rc};

use bytes::Bytes;
use h2::{RecvStream, SendStream};

use super::{Counts, Steps, count, next};
use crate::support::{client::Client, h2::H2, wire::patiently};

/// A WebSocket says something at one step of so many.
const SAYS_AT: usize = 10;

/// A WebSocket that is open.
pub enum Socket {
    Alone(Client),
    Shared { out: SendStream<Bytes>, frames: RecvStream, came: Vec<u8> },
}

impl Socket {
    pub async fn open(address: SocketAddr) -> Self {
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
    pub async fn open_over(client: &mut H2) -> Self {
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
pub async fn talk(mut socket: Socket, number: usize, mut steps: Steps, counts: Rc<Counts>) {
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
