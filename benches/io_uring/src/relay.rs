//! The relay: what it asks of the kernel, and what it makes of the answers.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};

use rustix::io::Errno;

use crate::buffers::{Buffers, GROUP};

const ASKED_AT_ONCE: u32 = 4096;
const ANSWERED_AT_ONCE: u32 = 16 * 1024;

/// Runs until it is ended.
pub fn run(listen: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(ANSWERED_AT_ONCE)
        .build(ASKED_AT_ONCE)?;
    let buffers = Buffers::of(&ring)?;
    let listener = TcpListener::bind(listen)?;
    let mut relay = Relay { to, listener, buffers, sides: Vec::new(), free: Vec::new(), asked: VecDeque::new() };
    relay.accept();
    let mut answers: Vec<cqueue::Entry> = Vec::new();
    loop {
        relay.ask(&mut ring);
        ring.submit_and_wait(usize::from(relay.asked.is_empty()))?;
        answers.extend(ring.completion());
        for answer in answers.drain(..) {
            relay.hear(&answer)?;
        }
    }
}

struct Relay {
    to: SocketAddr,
    listener: TcpListener,
    buffers: Buffers,
    /// Two of them are a pair: each sends what the other has received.
    sides: Vec<Option<Side>>,
    /// Pairs that have ended, by their first side.
    free: Vec<usize>,
    asked: VecDeque<squeue::Entry>,
}

struct Side {
    socket: TcpStream,
    /// What it is to send: a buffer, and from where to where.
    waiting: VecDeque<(u16, u32, u32)>,
    is_sending: bool,
    /// Nothing more comes from it.
    has_ended: bool,
    /// It was told that nothing more comes to it.
    is_shut: bool,
}

/// What was asked, as the answer says it.
const ACCEPT: u64 = u64::MAX;
const SEND: u64 = 1;

impl Relay {
    fn accept(&mut self) {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()));
        self.asked.push_back(accept.build().user_data(ACCEPT));
    }

    fn ask(&mut self, ring: &mut IoUring) {
        let mut queue = ring.submission();
        while let Some(entry) = self.asked.front() {
            // SAFETY: what is received goes into buffers that are never freed; what is sent lies in one that is given back once it was, and
            // each socket stays open until the kernel has nothing of it under way.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.asked.pop_front();
        }
    }

    fn hear(&mut self, answer: &cqueue::Entry) -> io::Result<()> {
        let (asked, result, goes_on) = (answer.user_data(), answer.result(), cqueue::more(answer.flags()));
        if asked == ACCEPT {
            if !goes_on {
                self.accept();
            }
            return if result < 0 { Ok(()) } else { self.join(result) };
        }
        let index = (asked >> 1) as usize;
        if asked & 1 == SEND {
            self.has_sent(index, result);
        } else {
            self.has_received(index, result, cqueue::buffer_select(answer.flags()), goes_on);
        }
        self.settle(index & !1)
    }

    /// Somebody has come.
    fn join(&mut self, descriptor: i32) -> io::Result<()> {
        // SAFETY: the kernel has just made it for us alone.
        let client = TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let endpoint = TcpStream::connect(self.to)?;
        let first = self.free.pop().unwrap_or_else(|| {
            self.sides.extend([None, None]);
            self.sides.len() - 2
        });
        for (index, socket) in [(first, client), (first + 1, endpoint)] {
            socket.set_nodelay(true)?;
            let waiting = VecDeque::new();
            self.sides[index] = Some(Side { socket, waiting, is_sending: false, has_ended: false, is_shut: false });
            self.receive(index);
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) {
        let Some(side) = &self.sides[index] else { return };
        let receive = opcode::RecvMulti::new(Fd(side.socket.as_raw_fd()), GROUP);
        self.asked.push_back(receive.build().user_data((index as u64) << 1));
    }

    fn has_received(&mut self, index: usize, result: i32, buffer: Option<u16>, goes_on: bool) {
        if let (Ok(length @ 1..), Some(buffer)) = (u32::try_from(result), buffer) {
            match &mut self.sides[index ^ 1] {
                Some(there) => there.waiting.push_back((buffer, 0, length)),
                None => self.buffers.give_back(buffer),
            }
            self.send(index ^ 1);
        }
        if goes_on {
            return;
        }
        if result > 0 || -result == Errno::NOBUFS.raw_os_error() {
            self.receive(index);
        } else if let Some(side) = &mut self.sides[index] {
            side.has_ended = true;
        }
    }

    fn send(&mut self, index: usize) {
        let Some(side) = &mut self.sides[index] else { return };
        if let (false, Some(&(buffer, from, to))) = (side.is_sending, side.waiting.front()) {
            side.is_sending = true;
            let begin = self.buffers.at(buffer).wrapping_add(from as usize);
            let send = opcode::Send::new(Fd(side.socket.as_raw_fd()), begin, to - from);
            self.asked.push_back(send.build().user_data((index as u64) << 1 | SEND));
        }
    }

    fn has_sent(&mut self, index: usize, result: i32) {
        let Some(side) = &mut self.sides[index] else { return };
        side.is_sending = false;
        let Some((buffer, from, to)) = side.waiting.front_mut() else { return };
        match u32::try_from(result) {
            Ok(sent) if *from + sent < *to => *from += sent,
            // Who does not take it gets nothing more of it.
            _ => {
                self.buffers.give_back(*buffer);
                side.waiting.pop_front();
            }
        }
        self.send(index);
    }

    /// Ends are passed on, and a pair of which both sides have ended is over.
    fn settle(&mut self, first: usize) -> io::Result<()> {
        let [Some(client), Some(endpoint)] = &mut self.sides[first..first + 2] else { return Ok(()) };
        let is_over = pass_on_the_end(client, endpoint) & pass_on_the_end(endpoint, client);
        if is_over {
            self.sides[first] = None;
            self.sides[first + 1] = None;
            self.free.push(first);
        }
        Ok(())
    }
}

/// Has nothing more come, and has the other side had all of it?
fn pass_on_the_end(from: &Side, to: &mut Side) -> bool {
    let is_passed_on = from.has_ended && to.waiting.is_empty();
    if is_passed_on && !std::mem::replace(&mut to.is_shut, true) {
        // One that is gone cannot be told, and need not be.
        let _ = to.socket.shutdown(Shutdown::Write);
    }
    is_passed_on
}
