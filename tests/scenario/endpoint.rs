//! An endpoint for all that is under way at once. Unlike the scripted origin it remembers nothing.

use std::{net::SocketAddr, sync::LazyLock, thread};

use actix_http::ws::hash_key;
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use tokio::{
    io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime,
    task::{LocalSet, spawn_local},
};

use super::support::wire::{content_length, value_of};

/// Bytes of a download.
pub const LENGTH: usize = 32 << 20;
/// After so many bytes a download repeats itself: a prime, so that a piece that is missing or comes twice is seen.
pub const PERIOD: usize = 65_521;

/// A piece of a download from wherever in its first period.
pub static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let period: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
    period.repeat(8)
});

/// Answers whoever asks, in a thread of its own, as long as the tests run.
pub struct Endpoint {
    pub address: SocketAddr,
}

impl Endpoint {
    /// Speaks HTTP/1.1.
    pub fn start() -> Self {
        Self::serving(serve)
    }

    /// Speaks HTTP/2 from the first byte, and takes the calls of gRPC that send back each message.
    pub fn start_h2c() -> Self {
        Self::serving(take_calls)
    }

    fn serving<S: Future + 'static>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                while let Ok((socket, _)) = listener.accept().await {
                    spawn_local(serve(socket));
                }
            });
        });
        Self { address }
    }
}

/// Until the other side ends, or breaks off: what that means is the client's to say.
async fn serve(socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    loop {
        let head = head(&mut socket).await?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/chat" => return chat(socket, value_of(&head, "sec-websocket-key").unwrap_or_default()).await,
            "/download" => download(&mut socket).await?,
            _ => {
                let mut body = vec![0; content_length(&head).unwrap_or(0)];
                socket.read_exact(&mut body).await?;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len() + body.len());
                socket.write_all(&[answer.as_bytes(), &body].concat()).await?;
            }
        }
    }
}

/// The head of the next request.
async fn head(socket: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

async fn download(socket: &mut BufReader<TcpStream>) -> io::Result<()> {
    socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).await?;
    let mut sent = 0;
    while sent < LENGTH {
        let at = sent % PERIOD;
        let piece = &CONTENT[at..at + PERIOD.min(LENGTH - sent)];
        socket.write_all(piece).await?;
        sent += piece.len();
    }
    Ok(())
}

/// Sends back what is in each frame of a WebSocket; those of these clients have four bytes, and a mask that hides none.
async fn chat(mut socket: BufReader<TcpStream>, key: &str) -> io::Result<()> {
    let accept = hash_key(key.as_bytes());
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n").await?;
    socket.write_all(&[b"Sec-WebSocket-Accept: ", &accept[..], b"\r\n\r\n"].concat()).await?;
    let mut frame = [0; 10];
    loop {
        socket.read_exact(&mut frame).await?;
        let answer = [&[0x82, 4], &frame[6..]].concat();
        socket.write_all(&answer).await?;
    }
}

async fn take_calls(socket: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(socket).await?;
    while let Some(asked) = connection.accept().await {
        let (request, respond) = asked?;
        spawn_local(call(request.into_body(), respond));
    }
    Ok(())
}

async fn call(mut messages: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let head = http::Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let mut answers = respond.send_response(head, false)?;
    while let Some(part) = messages.data().await {
        let part = part?;
        messages.flow_control().release_capacity(part.len())?;
        answers.send_data(part, false)?;
    }
    let status = http::HeaderValue::from_static("0");
    answers.send_trailers([(http::HeaderName::from_static("grpc-status"), status)].into_iter().collect())
}
