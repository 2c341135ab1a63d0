//! Where the kernel is asked about all sockets that are parked at once: the runtime holds 256 bytes for each that it knows,
//! this none.

use std::{
    io,
    net::TcpStream,
    os::fd::OwnedFd,
    task::{Context, Poll},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
};
use tokio::io::{Interest, unix::AsyncFd};

/// Sockets by their numbers. To the runtime it is one descriptor.
pub struct Watch(AsyncFd<OwnedFd>);

/// So many are heard of at once.
const AT_ONCE: usize = 64;
/// Something to read, or the end. It is told once.
const COMES: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ONESHOT);
const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Watch {
    /// Of nothing yet; `None` if there is no descriptor to be had.
    #[expect(
        deprecated,
        reason = "what it asks for instead is unsafe, for types whose descriptor may change; an `OwnedFd` is its one"
    )]
    pub fn new() -> Option<Self> {
        let descriptor = epoll::create(CreateFlags::CLOEXEC).ok()?;
        AsyncFd::with_interest(descriptor, Interest::READABLE).ok().map(Self)
    }

    /// Watches this one as well.
    pub fn add(&self, socket: &TcpStream, number: u32) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, EventData::new_u64(number.into()), COMES)?)
    }

    /// Does not any more.
    pub fn leave(&self, socket: &TcpStream) {
        if let Err(error) = epoll::delete(&self.0, socket) {
            log::debug!("a socket was not watched: {error}");
        }
    }

    /// Tells the numbers of those on which something has come. The task is woken when there are more.
    pub fn poll(&self, cx: &mut Context<'_>, mut tell: impl FnMut(u32)) {
        let mut events = Vec::new();
        while let Poll::Ready(Ok(mut ready)) = self.0.poll_read_ready(cx) {
            events.reserve_exact(AT_ONCE);
            let waited = epoll::wait(&self.0, spare_capacity(&mut events), Some(&NO_TIME));
            // There is no more: none of them is told of again.
            if waited.is_err() || events.len() < AT_ONCE {
                ready.clear_ready();
            }
            for event in events.drain(..) {
                tell(event.data.u64() as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Write, net::TcpListener};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let door = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let far = TcpStream::connect(door.local_addr().expect("it has one")).expect("it listens");
        (door.accept().expect("somebody has come").0, far)
    }

    /// Waits until so many are told of.
    async fn told(watch: &Watch, count: usize) -> Vec<u32> {
        let mut all = Vec::new();
        poll_fn(|cx| {
            watch.poll(cx, |number| all.push(number));
            if all.len() < count { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        all.sort_unstable();
        all
    }

    #[actix_rt::test]
    async fn those_on_which_something_comes_are_told_of_once_each_and_no_others() {
        let watch = Watch::new().expect("a descriptor");
        let mut pairs: Vec<_> = (0..=2 * AT_ONCE).map(|_| pair()).collect();
        for ((near, _), number) in pairs.iter().zip(0..) {
            watch.add(near, number).expect("it is watched");
        }
        // One that leaves, one that says nothing, and one that closes.
        watch.leave(&pairs[0].0);
        for (place, (_, far)) in pairs.iter_mut().enumerate().filter(|(place, _)| *place != 1) {
            if place == 2 {
                far.shutdown(std::net::Shutdown::Write).expect("it is open");
            } else {
                far.write_all(b"hello").expect("there is room");
            }
        }

        let first = told(&watch, pairs.len() - 2).await;
        pairs[1].1.write_all(b"hello").expect("there is room");
        pairs[3].1.write_all(b"again").expect("there is room");
        let second = told(&watch, 1).await;

        assert_eq!(first, (2..pairs.len() as u32).collect::<Vec<_>>());
        assert_eq!(second, [1]);
    }
}
