//! Two byte streams, after `101 Switching Protocols`.

use std::{
    cell::Cell,
    future::poll_fn,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use self::frames::Frames;
use crate::{
    clock::Deadline,
    http::{HeaderValue, Io},
};

mod frames;

/// Bytes in memory for each direction.
const BUFFER: usize = 16 * 1024;

thread_local! {
    /// Memory for whichever tunnel has something to read next.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is spoken in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelKind {
    /// WebSocket: its ends can be told that the tunnel closes (RFC 6455, 7.4.1: 1001, going away).
    WebSocket,
    /// Something else: its ends see the end of the stream.
    Other,
}

impl TunnelKind {
    /// By the value of `Upgrade`.
    pub fn of(upgrade: &HeaderValue) -> Self {
        if upgrade.as_bytes().eq_ignore_ascii_case(b"websocket") { Self::WebSocket } else { Self::Other }
    }
}

/// How a tunnel ended.
#[derive(Debug)]
pub struct TunnelEnd {
    /// Bytes that went to the endpoint.
    pub to_endpoint: u64,
    /// Bytes that went to the client.
    pub to_client: u64,
    /// Why.
    pub reason: EndReason,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum EndReason {
    /// Both ends had said all they wanted to say.
    Closed,
    /// Nothing moved for too long.
    Idle,
    /// A connection failed.
    Failed(io::Error),
}

/// Carries bytes both ways until both ends are done. An end that closes its half is heard to its last byte, and the
/// other may go on talking. `idle` is counted over both directions together. When `draining` is ready, both ends are
/// told: WebSockets by a close frame between two frames, others by the end of the stream.
pub async fn run(
    client: Box<dyn Io>,
    endpoint: Box<dyn Io>,
    early_client: Bytes,
    early_endpoint: Bytes,
    idle: Option<Duration>,
    draining: LocalBoxFuture<'static, ()>,
    kind: TunnelKind,
) -> TunnelEnd {
    let mut tunnel = Tunnel {
        client,
        endpoint,
        up: Direction::new(early_client, kind, Frames::CLOSE_BY_CLIENT),
        down: Direction::new(early_endpoint, kind, Frames::CLOSE_BY_SERVER),
        deadline: Deadline::new(),
        idle,
        draining: Some(draining),
    };
    tunnel.deadline.arm_or_disarm(idle);
    let reason = poll_fn(|cx| tunnel.poll(cx)).await;
    TunnelEnd { to_endpoint: tunnel.up.carried, to_client: tunnel.down.carried, reason }
}

struct Tunnel {
    client: Box<dyn Io>,
    endpoint: Box<dyn Io>,
    up: Direction,
    down: Direction,
    deadline: Deadline,
    idle: Option<Duration>,
    draining: Option<LocalBoxFuture<'static, ()>>,
}

impl Tunnel {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        if self.draining.as_mut().is_some_and(|draining| draining.as_mut().poll(cx).is_ready()) {
            self.draining = None;
            self.up.is_ending = true;
            self.down.is_ending = true;
        }
        let before = self.up.carried + self.down.carried;
        let up = self.up.poll(cx, &mut self.client, &mut self.endpoint);
        let down = self.down.poll(cx, &mut self.endpoint, &mut self.client);
        if self.up.carried + self.down.carried != before {
            self.deadline.arm_or_disarm(self.idle);
        }
        match (up, down) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(EndReason::Failed(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(EndReason::Closed),
            _ => {
                ready!(self.deadline.poll(cx));
                Poll::Ready(EndReason::Idle)
            }
        }
    }
}

/// Bytes on their way from one end to the other.
struct Direction {
    /// What was read. Most tunnels are idle most of the time: while nothing comes they hold no memory for it.
    buffer: Vec<u8>,
    /// So much of it is written.
    written: usize,
    /// Where the frames of a WebSocket end.
    frames: Option<Frames>,
    /// What tells a WebSocket that this is the end.
    close: &'static [u8],
    /// The tunnel closes: nothing new is begun.
    is_ending: bool,
    source_ended: bool,
    is_flushed: bool,
    is_done: bool,
    carried: u64,
}

impl Direction {
    fn new(early: Bytes, kind: TunnelKind, close: &'static [u8]) -> Self {
        let frames = (kind == TunnelKind::WebSocket).then(Frames::default);
        Self {
            buffer: early.into(),
            written: 0,
            frames,
            close,
            is_ending: false,
            source_ended: false,
            is_flushed: true,
            is_done: false,
            carried: 0,
        }
    }

    /// Ready when this direction has ended and the other end has been told.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Box<dyn Io>, to: &mut Box<dyn Io>) -> Poll<io::Result<()>> {
        while !self.is_done {
            self.end_here();
            if self.written < self.buffer.len() {
                ready!(self.poll_write(cx, to))?;
            } else if !self.is_flushed {
                // What encrypts may keep something back, and the next byte may be long in coming.
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                self.is_flushed = true;
            } else if self.source_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_done = true;
            } else {
                ready!(self.poll_read(cx, from))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// When the tunnel closes: at once, or where a frame ends.
    fn end_here(&mut self) {
        if !self.is_ending || self.source_ended {
            return;
        }
        match &self.frames {
            None => self.source_ended = true,
            Some(frames) if frames.ends_with(&self.buffer[self.written..]) => {
                self.buffer.extend_from_slice(self.close);
                self.source_ended = true;
            }
            Some(_) => {}
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut Box<dyn Io>) -> Poll<io::Result<()>> {
        let mut room = SPARE.take();
        room.reserve(BUFFER);
        let read = poll_read_buf(Pin::new(from), cx, &mut room);
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.buffer = room;
        } else {
            SPARE.set(room);
        }
        self.source_ended = ready!(read)? == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Box<dyn Io>) -> Poll<io::Result<()>> {
        let wrote = ready!(Pin::new(to).poll_write(cx, &self.buffer[self.written..]))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if let Some(frames) = &mut self.frames {
            frames.pass(&self.buffer[self.written..][..wrote]);
        }
        self.written += wrote;
        self.carried += wrote as u64;
        self.is_flushed = false;
        if self.written == self.buffer.len() {
            self.let_go();
        }
        Poll::Ready(Ok(()))
    }

    /// All of it is written.
    fn let_go(&mut self) {
        let mut buffer = mem::take(&mut self.buffer);
        self.written = 0;
        if buffer.capacity() >= BUFFER {
            buffer.clear();
            SPARE.set(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    struct Ends {
        client: DuplexStream,
        endpoint: DuplexStream,
        tunnel: actix_rt::task::JoinHandle<TunnelEnd>,
    }

    fn dig(idle: Option<Duration>, draining: LocalBoxFuture<'static, ()>, kind: TunnelKind) -> Ends {
        let ((client, inner_client), (endpoint, inner_endpoint)) = (duplex(64), duplex(64));
        let (up, down) = (Bytes::from_static(b"early "), Bytes::from_static(b"hi "));
        let tunnel = run(Box::new(inner_client), Box::new(inner_endpoint), up, down, idle, draining, kind);
        Ends { client, endpoint, tunnel: actix_rt::spawn(tunnel) }
    }

    #[actix_rt::test]
    async fn bytes_go_both_ways_and_each_half_closes_for_itself() {
        let Ends { mut client, mut endpoint, tunnel } = dig(None, Box::pin(pending()), TunnelKind::Other);

        client.write_all(b"up").await.expect("it takes");
        client.shutdown().await.expect("it closes");
        let mut seen = String::new();
        endpoint.read_to_string(&mut seen).await.expect("text");
        endpoint.write_all(b"down").await.expect("the other half is open");
        drop(endpoint);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("text");

        assert_eq!((seen.as_str(), answer.as_str()), ("early up", "hi down"));
        let end = tunnel.await.expect("it ends");
        assert!(matches!(end.reason, EndReason::Closed), "{end:?}");
        assert_eq!((end.to_endpoint, end.to_client), (8, 7));
    }

    #[actix_rt::test]
    async fn what_an_end_keeps_back_is_sent_before_the_next_wait() {
        let ((mut client, inner_client), (mut endpoint, inner_endpoint)) = (duplex(64), duplex(64));
        let kept_back = Box::new(tokio::io::BufWriter::new(inner_client));
        let draining = Box::pin(pending());
        let none = Bytes::new();
        let tunnel = run(kept_back, Box::new(inner_endpoint), none.clone(), none, None, draining, TunnelKind::Other);
        let tunnel = actix_rt::spawn(tunnel);

        endpoint.write_all(b"now").await.expect("it takes");
        let mut seen = [0; 3];
        let read = tokio::time::timeout(Duration::from_secs(20), client.read_exact(&mut seen)).await;

        read.expect("it comes without another byte").expect("bytes");
        assert_eq!(&seen, b"now");
        tunnel.abort();
    }

    #[actix_rt::test]
    async fn an_idle_tunnel_ends() {
        let ends = dig(Some(Duration::from_millis(40)), Box::pin(pending()), TunnelKind::Other);
        assert!(matches!(ends.tunnel.await.expect("it ends").reason, EndReason::Idle));
    }

    #[actix_rt::test]
    async fn a_websocket_is_told_between_two_frames() {
        let (client, inner_client) = duplex(64);
        let (endpoint, inner_endpoint) = duplex(64);
        let (mut client, mut endpoint) = (client, endpoint);
        // One frame of two bytes, of which the last is still to come.
        let down = Bytes::from_static(&[0x81, 2, b'a']);
        let draining = Box::pin(ready(()));
        let kind = TunnelKind::WebSocket;
        let tunnel = run(Box::new(inner_client), Box::new(inner_endpoint), Bytes::new(), down, None, draining, kind);
        let tunnel = actix_rt::spawn(tunnel);

        endpoint.write_all(b"b").await.expect("it takes");
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.expect("bytes");
        let mut told = Vec::new();
        endpoint.read_to_end(&mut told).await.expect("bytes");

        assert_eq!(seen, [0x81, 2, b'a', b'b', 0x88, 2, 0x03, 0xe9]);
        assert_eq!(told, Frames::CLOSE_BY_CLIENT);
        assert!(matches!(tunnel.await.expect("it ends").reason, EndReason::Closed));
    }
}
