//! The last that is said on a connection takes its end along: both are one packet, and whoever reads is woken once.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::io::AsyncWrite;

use super::line::Line;
use crate::transport::{
    dial::Stream as Socket,
    send::{NO_SIGNAL, poll_send, poll_send_parts, send_parts},
};

/// The kernel keeps what does not fill a packet until it hears of more, or of the end. It never waits for long: whoever gives up
/// in between has still said it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: SendFlags = NO_SIGNAL.union(SendFlags::MORE);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: SendFlags = NO_SIGNAL;

/// A connection on which nothing is said any more but this. Where it is TCP, to flush it is to end our half; others end
/// as they always do.
pub struct Last<'s>(pub &'s mut Line);

impl AsyncWrite for Last<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let last = self.get_mut();
        if let Some(sent) = last.0.send_early(|socket| send(socket, bytes, MORE)) {
            return Poll::Ready(sent);
        }
        match last.0.known()? {
            Socket::Tcp(socket) => poll_send(socket, cx, bytes, MORE),
            other => Pin::new(other).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = self.get_mut();
        if let Some(sent) = last.0.send_early(|socket| send_parts(socket, parts, MORE)) {
            return Poll::Ready(sent);
        }
        match last.0.known()? {
            Socket::Tcp(socket) => poll_send_parts(socket, cx, parts, MORE),
            other => Pin::new(other).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Not by closing it: what a client has sent beyond its request would make that a reset, which takes back what was
    /// not sent yet.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.get_mut().0 {
            Line::Early { socket, .. } => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Line::Known(Socket::Tcp(socket)) => Poll::Ready(SockRef::from(&*socket).shutdown(Shutdown::Write)),
            other => Pin::new(other).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::{
        io::Errno,
        net::{RecvFlags, recv},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// The kernel lets go of what it keeps after a fifth of a second.
    const KEPT: Duration = Duration::from_millis(100);

    #[actix_rt::test]
    async fn the_last_words_are_kept_until_they_can_take_the_end_along() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        for is_early in [true, false] {
            // Once more where the machine has been busy elsewhere for longer than anything is kept.
            loop {
                let (client, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
                let (mut client, (server, _)) = (client.expect("it listens"), accepted.expect("somebody came"));
                server.set_nodelay(true).expect("it is open");
                let mut line = match is_early {
                    true => Line::new(server.into_std().expect("it is open")),
                    false => Line::Known(Socket::Tcp(server)),
                };
                let mut last = Last(&mut line);

                let began = Instant::now();
                last.write_all(b"good").await.expect("there is room");
                let parts = [IoSlice::new(b"b"), IoSlice::new(b"ye")];
                assert_eq!(last.write_vectored(&parts).await.expect("there is room"), 3);
                let early = recv(&client, &mut [0; 8], RecvFlags::PEEK | RecvFlags::DONTWAIT).map(|(count, _)| count);
                if began.elapsed() > KEPT {
                    continue;
                }
                last.flush().await.expect("it is open");

                let mut heard = String::new();
                client.read_to_string(&mut heard).await.expect("text");
                assert_eq!((early, heard.as_str()), (Err(Errno::AGAIN), "goodbye"));
                break;
            }
        }
    }
}
