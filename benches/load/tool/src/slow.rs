//! Clients that ask for a large body and read it slowly: who holds what they do not take?

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::generator::Generator;
use crate::h1::Request;
use crate::http::{Buffers, Fault, Inbox, Outbox};
use crate::socket;
use crate::tally::Tally;

const SIP: usize = 16 * 1024;
const BETWEEN_SIPS: Duration = Duration::from_millis(20);
/// Small, so that the kernel does not hold the body for the client.
const RECEIVE_BUFFER: usize = 64 * 1024;

struct Reader {
    socket: OwnedFd,
    inbox: Inbox,
    outbox: Option<Outbox>,
    answered: bool,
}

/// `watch` is called between two sips; a reader that fails, or never gets an answer, is an error.
pub fn read_slowly(
    generator: &mut Generator,
    readers: usize,
    request: &Request,
    proxy: SocketAddr,
    length: Duration,
    mut watch: impl FnMut() -> io::Result<()>,
) -> io::Result<Tally> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut buffers = Buffers::sipping(SIP);
    let mut crowd = Vec::new();
    for _ in 0..readers {
        crowd.push(Reader::connect(request, proxy)?);
    }
    while began.elapsed() < length {
        generator.rest(BETWEEN_SIPS)?;
        crowd.retain_mut(|reader| match reader.sip(request, &mut buffers) {
            Ok(()) => true,
            Err(fault) => {
                tally.note(&fault);
                false
            }
        });
        watch()?;
    }
    for reader in &crowd {
        match reader.answered {
            true => tally.requests += 1,
            false => tally.note(&Fault::Stalled),
        }
    }
    tally.elapsed = began.elapsed();
    Ok(tally)
}

impl Reader {
    fn connect(request: &Request, proxy: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: socket::connect(proxy, Some(RECEIVE_BUFFER))?,
            inbox: Inbox::default(),
            outbox: Some(request.outbox()),
            answered: false,
        })
    }

    fn sip(&mut self, request: &Request, buffers: &mut Buffers) -> Result<(), Fault> {
        if let Some(outbox) = &mut self.outbox {
            if outbox.write(&mut self.socket, buffers)? {
                self.outbox = None;
            }
            return Ok(());
        }
        let answered = &mut self.answered;
        self.inbox.read(&mut self.socket, buffers, |head| {
            *answered = true;
            request.check(head)
        })?;
        Ok(())
    }
}
