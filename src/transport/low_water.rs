//! The low-water mark of a socket (`SO_RCVLOWAT`, socket(7)): of what comes fast, enough for a turn is waited for.
//!
//! A piece costs some microseconds however little is in it. Where an endpoint sends as fast as it can, the socket is asked to tell of no
//! less than 64 KiB. Once that takes too long, what has come is taken, and from then on whatever there is.

use std::{io, os::fd::BorrowedFd, task::Context, time::Duration};

use nix::sys::socket::{SetSockOpt, sockopt::SetStruct};

use crate::clock::Deadline;

/// What is waited for where it comes fast, and what shows that it does. With more, downloads took longer (docs/performance.md).
const ENOUGH: u64 = 64 * 1024;
/// What is not there by then does not come fast. The clock has a grain: it is up to 40 ms more.
const SOON: Duration = Duration::from_millis(1);
/// A socket that tells of whatever has come, as each does at first.
const ANY: i32 = 1;

#[derive(Clone, Copy)]
struct ReceiveLowWater;
nix::setsockopt_impl!(ReceiveLowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32, SetStruct<i32>);

/// The mark of a socket from which a body of known length comes.
pub struct LowWater {
    mark: i32,
    until: Deadline,
    /// It did not come fast enough to be waited for again.
    gave_up: bool,
}

/// That of a socket of which nobody has asked anything yet.
impl Default for LowWater {
    fn default() -> Self {
        Self { mark: ANY, until: Deadline::new(), gave_up: false }
    }
}

impl LowWater {
    /// So much was taken of what the socket had, and so much is left of the body. True where the socket tells when it is
    /// worth looking again.
    ///
    /// # Errors
    /// The socket cannot be told that the body is over.
    pub fn taken(&mut self, socket: BorrowedFd<'_>, taken: u64, left: u64) -> io::Result<bool> {
        self.until.disarm();
        if left == 0 {
            return self.lower(socket).map(|()| false);
        }
        let is_end = taken == 0;
        let comes_fast = self.is_raised() || (taken >= ENOUGH && !self.gave_up);
        if is_end || !comes_fast {
            return Ok(false);
        }
        let mark = left.min(ENOUGH) as i32;
        // Who cannot be told is not waited for.
        let is_told = mark == self.mark || self.set(socket, mark).is_ok();
        // What a full pipe has left there is told of when more comes, or found once it was waited for in vain.
        Ok(is_told && taken < ENOUGH)
    }

    /// Nothing is told. True once that has been so for long enough: what has come is to be taken, and the socket tells of anything.
    ///
    /// # Errors
    /// It cannot be told so.
    pub fn is_over(&mut self, socket: BorrowedFd<'_>, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.is_raised() {
            return Ok(false);
        }
        if !self.until.is_armed() {
            self.until.arm(SOON);
        }
        let is_over = self.until.poll(cx).is_ready();
        if is_over {
            self.gave_up = true;
            self.lower(socket)?;
        }
        Ok(is_over)
    }

    /// From now on the socket tells of whatever has come.
    ///
    /// # Errors
    /// It cannot be told so.
    pub fn lower(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.until.disarm();
        if self.is_raised() { self.set(socket, ANY) } else { Ok(()) }
    }

    fn is_raised(&self) -> bool {
        self.mark > ANY
    }

    fn set(&mut self, socket: BorrowedFd<'_>, mark: i32) -> io::Result<()> {
        ReceiveLowWater.set(&socket, &mark)?;
        self.mark = mark;
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        future::poll_fn,
        io::Write,
        os::fd::AsFd,
        task::{Poll, ready},
    };

    use nix::sys::socket::{GetSockOpt, sockopt::GetStruct};
    use rustix::io::ioctl_fionread;
    use tokio::{io::Interest, time::timeout};

    use super::*;
    use crate::transport::dial::Stream;

    nix::getsockopt_impl!(ReceiveLowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32, GetStruct<i32>);

    const MUCH: usize = ENOUGH as usize;

    /// An endpoint, and what is left of its answer.
    struct Answer {
        near: Stream,
        far: std::net::TcpStream,
        low_water: LowWater,
        left: u64,
    }

    impl Answer {
        fn of(left: usize) -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            // The window has room for all that is sent at once.
            socket2::SockRef::from(&listener).set_recv_buffer_size(1024 * 1024).expect("it may be changed");
            let far = std::net::TcpStream::connect(listener.local_addr().expect("it has one")).expect("it listens");
            let (near, _) = listener.accept().expect("it came");
            near.set_nonblocking(true).expect("it may be changed");
            let near = Stream::Tcp(tokio::net::TcpStream::from_std(near).expect("a socket"));
            Self { near, far, low_water: LowWater::default(), left: left as u64 }
        }

        fn socket(&self) -> BorrowedFd<'_> {
            self.near.tcp().expect("it is one").as_fd()
        }

        /// Sends so much, and sees that all of it is there to be read.
        fn sends(&mut self, count: usize) {
            self.far.write_all(&vec![0; count]).expect("there is room");
            while ioctl_fionread(self.socket()).expect("it tells") < count as u64 {
                std::thread::yield_now();
            }
        }

        fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
            let piece = ready!(self.near.poll_piece(cx, self.left, Some(&mut self.low_water)));
            let mut piece = piece.expect("it has come").expect("a pipe");
            self.left -= piece.len() as u64;
            Poll::Ready(piece.read_out().expect("it is there").len())
        }

        async fn takes(&mut self) -> usize {
            let takes = timeout(Duration::from_secs(10), poll_fn(|cx| self.poll(cx)));
            takes.await.expect("it is told of")
        }

        /// As far as is known nothing is there.
        async fn waits(&mut self) -> bool {
            poll_fn(|cx| Poll::Ready(self.poll(cx).is_pending())).await
        }

        fn mark(&self) -> i32 {
            let mark = ReceiveLowWater.get(&self.socket()).expect("it tells");
            assert_eq!(mark, self.low_water.mark);
            mark
        }
    }

    #[actix_rt::test]
    async fn of_what_comes_fast_enough_is_waited_for_and_of_the_rest_all() {
        let mut answer = Answer::of(2 * MUCH + 10);
        answer.sends(MUCH + 1);
        assert_eq!((answer.takes().await, answer.mark()), (MUCH + 1, ENOUGH as i32));

        answer.sends(MUCH);
        assert_eq!((answer.takes().await, answer.mark()), (MUCH, 9));

        answer.sends(9);
        assert_eq!((answer.takes().await, answer.mark()), (9, ANY));
    }

    #[actix_rt::test]
    async fn what_comes_slowly_is_taken_as_it_comes() {
        let mut answer = Answer::of(2 * MUCH);
        for count in [1, 1000, MUCH - 1] {
            answer.sends(count);
            assert_eq!((answer.takes().await, answer.mark()), (count, ANY));
        }
    }

    #[actix_rt::test]
    async fn less_than_enough_is_not_told_of() {
        let mut answer = Answer::of(3 * MUCH);
        answer.sends(MUCH);
        answer.takes().await;
        answer.sends(1000);
        assert_eq!((answer.takes().await, answer.mark()), (1000, ENOUGH as i32));

        answer.sends(10);
        assert!(answer.waits().await);

        answer.sends(MUCH);
        assert!(answer.takes().await > 0);
    }

    #[actix_rt::test]
    async fn where_no_more_comes_soon_what_is_there_is_taken_and_nothing_waited_for_any_more() {
        let mut answer = Answer::of(3 * MUCH);
        answer.sends(MUCH);
        answer.takes().await;
        assert!(answer.waits().await);

        for count in [1000, MUCH, 10] {
            answer.sends(count);
            assert_eq!((answer.takes().await, answer.mark()), (count, ANY));
        }
    }

    #[actix_rt::test]
    async fn what_a_full_pipe_has_left_there_is_taken_though_nothing_more_comes() {
        let mut answer = Answer::of(4 * MUCH);
        answer.sends(MUCH);
        answer.takes().await;
        answer.sends(MUCH);
        // All that is to be heard of it was heard, and what was read is as little as if the pipe had been full.
        let socket = answer.near.tcp().expect("it is one");
        let empty = || socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        assert!(empty().is_err());
        socket.readable().await.expect("it is told of");
        assert!(empty().is_err());
        assert!(answer.low_water.taken(socket.as_fd(), 10, answer.left).expect("it is told"));

        assert_eq!((answer.takes().await, answer.mark()), (MUCH, ANY));
    }

    #[actix_rt::test]
    async fn who_reads_it_otherwise_is_told_of_whatever_comes() {
        let mut answer = Answer::of(2 * MUCH);
        answer.sends(MUCH);
        answer.takes().await;

        answer.near.lower_mark(&mut answer.low_water).expect("it is told");
        answer.sends(1);

        poll_fn(|cx| answer.near.poll_read_ready(cx)).await.expect("it is");
        assert_eq!(answer.mark(), ANY);
    }

    #[actix_rt::test]
    async fn the_end_is_told_whatever_is_waited_for() {
        let mut answer = Answer::of(2 * MUCH);
        answer.sends(MUCH);
        answer.takes().await;

        answer.sends(10);
        answer.far.shutdown(std::net::Shutdown::Write).expect("it is open");

        assert_eq!((answer.takes().await, answer.takes().await, answer.mark()), (10, 0, MUCH as i32 - 10));
    }
}
