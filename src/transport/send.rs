//! What goes out by TCP: the kernel is asked directly. The standard library asks it by way of libc, which where there are
//! threads prepares for each call that one of them may be cancelled meanwhile.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, send, sendmsg},
};
use tokio::{io::Interest, net::TcpStream, task::coop::poll_proceed};

/// Whoever has gone is an error, and no signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// The process has said of all signals that it wants none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub const NO_SIGNAL: SendFlags = SendFlags::empty();

/// For so little there is room nearly always: the kernel is asked first. Only if there is none is the runtime, which has noted elsewhere
/// what it has heard of the socket, and with it the kernel again: there may be room since, and it may have heard so on another thread.
const SMALL: usize = 16 * 1024;

/// Sends these bytes, or as many of them as there is room for.
pub fn poll_send(socket: &TcpStream, cx: &mut Context<'_>, bytes: &[u8], flags: SendFlags) -> Poll<io::Result<usize>> {
    poll_by(socket, cx, bytes.len(), |socket| send(socket, bytes, flags))
}

/// The same with what is in pieces. For that the kernel has less to do than for a vectored write.
pub fn poll_send_parts(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    parts: &[IoSlice<'_>],
    flags: SendFlags,
) -> Poll<io::Result<usize>> {
    let size = parts.iter().map(|part| part.len()).sum();
    poll_by(socket, cx, size, |socket| send_parts(socket, parts, flags))
}

/// Sends what is in pieces, now.
pub fn send_parts(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
    sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags)
}

fn poll_by(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    size: usize,
    send: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    // Others have their turns meanwhile, also where there is always room.
    let turn = ready!(poll_proceed(cx));
    if size <= SMALL {
        match send(socket.as_fd()) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            sent => {
                turn.made_progress();
                return Poll::Ready(sent.map_err(io::Error::from));
            }
        }
    }
    loop {
        let mut some = None;
        let sent = socket.try_io(Interest::WRITABLE, || {
            let count = send(socket.as_fd())?;
            if count < size {
                // There is no room left: nothing more is tried before there is.
                some = Some(count);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match some {
                Some(count) => {
                    turn.made_progress();
                    return Poll::Ready(Ok(count));
                }
                None => ready!(socket.poll_write_ready(cx))?,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => {
                turn.made_progress();
                return Poll::Ready(sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncReadExt,
        net::TcpListener,
        task::{coop::has_budget_remaining, yield_now},
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let (near, far) = tokio::join!(TcpStream::connect(at), listener.accept());
        (near.expect("it listens"), far.expect("somebody came").0)
    }

    #[actix_rt::test]
    async fn what_there_is_no_room_for_goes_out_once_there_is() {
        let (near, mut far) = pair().await;
        let sent: Vec<u8> = (0..20_000_000_u32).map(|number| (number / 7) as u8).collect();
        let reader = actix_rt::spawn(async move {
            let mut came = Vec::new();
            far.read_to_end(&mut came).await.map(|_| came)
        });

        let mut left = sent.as_slice();
        while let [first, ..] = left {
            let parts = [IoSlice::new(std::slice::from_ref(first)), IoSlice::new(&left[1..])];
            let count = poll_fn(|cx| poll_send_parts(&near, cx, &parts, NO_SIGNAL)).await.expect("it is taken");
            left = &left[count..];
            for most in [1_000_000, SMALL] {
                let some = &left[..left.len().min(most)];
                let count = poll_fn(|cx| poll_send(&near, cx, some, NO_SIGNAL)).await.expect("it is taken");
                left = &left[count..];
            }
        }
        drop(near);

        assert!(reader.await.expect("it ends").expect("bytes") == sent);
    }

    #[actix_rt::test]
    async fn whoever_has_gone_is_an_error() {
        let (near, far) = pair().await;
        drop(far);
        let error = loop {
            match poll_fn(|cx| poll_send(&near, cx, b"x", NO_SIGNAL)).await {
                Ok(_) => yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    }

    #[actix_rt::test]
    async fn others_have_their_turns_where_there_is_always_room() {
        let (near, far) = pair().await;
        let sent = poll_fn(|cx| {
            let mut sent = 0;
            while sent < 10_000 && has_budget_remaining() && poll_send(&near, cx, b"x", NO_SIGNAL).is_ready() {
                sent += 1;
            }
            Poll::Ready(sent)
        });
        assert!(sent.await < 10_000);
        drop(far);
    }
}
