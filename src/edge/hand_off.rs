//! What two processes say to each other while one takes the other's place (docs/adr/0010-hand-off.md).
//!
//! ```text
//! old                                       new
//!      -- Sockets, and each of them -->          listens on those it wants, and accepts
//!      <------------ Ready ------------
//!      ------------- Yours ----------->          the files of sockets are its own from here on
//! drains
//! ```

use std::{
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

use super::inherited::{Passed, Purpose};
use crate::plan::ListenAddress;

/// Of what is said here. Another one is refused, and the old process goes on.
const VERSION: u32 = 1;
/// Nobody listens on so many sockets.
const MOST_SOCKETS: usize = 4096;
/// Bytes of one frame.
const MOST_BYTES: usize = 8 * 1024;
/// How long the new process waits for what the old one sends without being asked.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Frame {
    /// So many sockets come.
    Sockets { version: u32, count: usize },
    /// One of them: it goes with this frame.
    Socket { purpose: Purpose, asked: String, has_file: bool },
    /// The new process accepts.
    Ready,
    /// The old one accepts no more.
    Yours,
}

/// The old process's end.
pub struct Giving(UnixStream);

/// The new process's end.
pub struct Taking(net::UnixStream);

impl Giving {
    /// An end for each.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(UnixStream::from_std(ours)?), theirs.into()))
    }

    /// Sends all sockets.
    ///
    /// # Errors
    /// The new process has ended.
    pub async fn give(&mut self, sockets: &[&Passed]) -> io::Result<()> {
        self.send(&Frame::Sockets { version: VERSION, count: sockets.len() }, None).await?;
        for Passed { purpose, asked, socket, has_file } in sockets {
            let frame = Frame::Socket { purpose: *purpose, asked: asked.to_string(), has_file: *has_file };
            self.send(&frame, Some(socket)).await?;
        }
        Ok(())
    }

    /// Waits until the new process accepts.
    ///
    /// # Errors
    /// It has ended, or says something else.
    pub async fn ready(&mut self) -> io::Result<()> {
        expect(&Frame::Ready, &mut self.0).await
    }

    /// Nobody else comes in here.
    ///
    /// # Errors
    /// The new process has ended.
    pub async fn yours(&mut self) -> io::Result<()> {
        self.send(&Frame::Yours, None).await
    }

    /// A descriptor goes with the first byte of its frame.
    async fn send(&mut self, frame: &Frame, socket: Option<&OwnedFd>) -> io::Result<()> {
        let bytes = written(frame)?;
        let socket: Vec<_> = socket.iter().map(|socket| socket.as_fd()).collect();
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !socket.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&socket));
            }
            Ok(rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty())?)
        };
        let sent = self.0.async_io(Interest::WRITABLE, send).await?;
        self.0.write_all(&bytes[sent..]).await
    }
}

impl Taking {
    /// At this end.
    ///
    /// # Errors
    /// It is no stream of a unix socket.
    pub fn at(channel: OwnedFd) -> io::Result<Self> {
        let channel = net::UnixStream::from(channel);
        channel.peer_addr()?;
        channel.set_nonblocking(false)?;
        channel.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(channel))
    }

    /// All that the old process listens on. Waits for it, within bounds.
    ///
    /// # Errors
    /// The old process has ended, or it speaks otherwise.
    pub fn take(&mut self) -> io::Result<Vec<Passed>> {
        let count = match self.receive()? {
            (Frame::Sockets { version: VERSION, count }, None) if count <= MOST_SOCKETS => count,
            (Frame::Sockets { version, count }, _) => {
                let what = format!("{count} sockets in version {version} of this, and not {VERSION}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            (frame, _) => return Err(unexpected(&frame)),
        };
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let (Frame::Socket { purpose, asked, has_file }, Some(socket)) = self.receive()? else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a socket is missing"));
            };
            let asked = ListenAddress::parse(&asked).ok_or(io::ErrorKind::InvalidData)?;
            sockets.push(Passed { purpose, asked, socket, has_file });
        }
        Ok(sockets)
    }

    /// Says that this process accepts, and waits until the other one does not. Has that one ended, it does not, either.
    ///
    /// # Errors
    /// The channel cannot be used.
    pub async fn ready(self) -> io::Result<()> {
        self.0.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(self.0)?;
        let ready = async {
            channel.write_all(&written(&Frame::Ready)?).await?;
            expect(&Frame::Yours, &mut channel).await
        };
        match ready.await {
            Err(error) if has_ended(&error) => Ok(()),
            told => told,
        }
    }

    /// A frame, and the descriptor that came with its first byte.
    fn receive(&mut self) -> io::Result<(Frame, Option<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut length = [0; 4];
        let received =
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut length)], &mut control, RECEIVED_FOR_US)?;
        let mut socket = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                socket = sockets.into_iter().last();
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read_exact(&mut length[received.bytes..])?;
        let mut bytes = vec![0; length_of(length)?];
        self.0.read_exact(&mut bytes)?;
        Ok((serde_json::from_slice(&bytes)?, socket))
    }
}

/// No process that is started later gets it.
#[cfg(not(target_vendor = "apple"))]
const RECEIVED_FOR_US: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const RECEIVED_FOR_US: RecvFlags = RecvFlags::empty();

fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn unexpected(frame: &Frame) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{frame:?} is not what was to come"))
}

/// Its length, and then what it says.
fn written(frame: &Frame) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(frame)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length as usize <= MOST_BYTES);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an address is too long"))?;
    Ok([&length.to_be_bytes()[..], &text].concat())
}

fn length_of(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(bytes) as usize;
    if length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    Ok(length)
}

/// Waits for this and nothing else.
async fn expect(wanted: &Frame, channel: &mut UnixStream) -> io::Result<()> {
    let mut length = [0; 4];
    channel.read_exact(&mut length).await?;
    let mut bytes = vec![0; length_of(length)?];
    channel.read_exact(&mut bytes).await?;
    let frame = serde_json::from_slice(&bytes)?;
    if frame == *wanted { Ok(()) } else { Err(unexpected(&frame)) }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread};

    use super::*;

    fn listening() -> (Passed, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let asked = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let socket = listener.try_clone().expect("a descriptor").into();
        (Passed { purpose: Purpose::Clients, asked, socket, has_file: false }, listener)
    }

    #[actix_rt::test]
    async fn sockets_arrive_as_they_were_given_and_both_know_whose_turn_it_is() {
        let (mut giving, theirs) = Giving::pair().expect("descriptors");
        let (sockets, listeners): (Vec<_>, Vec<_>) = (0..300).map(|_| listening()).unzip();
        let taking = thread::spawn(move || {
            let mut taking = Taking::at(theirs).expect("a stream");
            (taking.take().expect("they come"), taking)
        });

        giving.give(&sockets.iter().collect::<Vec<_>>()).await.expect("they are taken");
        let (taken, taking) = taking.join().expect("it does not panic");
        let both = async {
            giving.ready().await?;
            giving.yours().await
        };
        let (given, ready) = tokio::join!(both, taking.ready());

        given.and(ready).expect("both speak the same");
        for (passed, listener) in taken.into_iter().zip(listeners) {
            let taken = TcpListener::from(passed.socket);
            assert_eq!(taken.local_addr().ok(), listener.local_addr().ok());
        }
    }

    #[actix_rt::test]
    async fn who_waits_for_a_process_that_has_ended_has_its_place() {
        let (mut giving, theirs) = Giving::pair().expect("descriptors");
        giving.give(&[]).await.expect("it is sent");
        let mut taking = Taking::at(theirs).expect("a stream");
        taking.take().expect("none come");

        drop(giving);

        taking.ready().await.expect("the place is free");
    }

    #[test]
    fn what_is_said_otherwise_is_refused() {
        let frame = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        for said in [
            frame(r#"{"Sockets":{"version":2,"count":1}}"#),
            frame(r#"{"Sockets":{"version":1,"count":5000}}"#),
            [
                frame(r#"{"Sockets":{"version":1,"count":1}}"#),
                frame(r#"{"Socket":{"purpose":"Clients","asked":"127.0.0.1:1","has_file":false}}"#),
            ]
            .concat(),
            frame(r#""Ready""#),
            frame("nonsense"),
            vec![0xff; 4],
            vec![0, 0],
            vec![],
        ] {
            let (mut ours, theirs) = net::UnixStream::pair().expect("descriptors");
            ours.write_all(&said).expect("it fits");
            drop(ours);

            let taken = Taking::at(theirs.into()).expect("a stream").take();

            assert!(taken.is_err(), "{}", String::from_utf8_lossy(&said));
        }
    }
}
