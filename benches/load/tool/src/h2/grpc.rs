//! gRPC as far as a unary call goes, and the endpoint that sends messages back, over HTTP/2 in the clear.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::fields::{self, Name, STATUS_200, block};
use super::frames::{DATA, END_HEADERS, END_STREAM, Framed, HEADERS, MAX_CONCURRENT_STREAMS, RST_STREAM};
use crate::backend::Serve;
use crate::client::wait_to_write;
use crate::http::{Buffers, Fault};
use crate::socket::{Poller, Ready};

pub const CONTENT_TYPE: &str = "application/grpc";
pub const PATH: &str = "/load.Echo/Unary";
/// One byte says whether it is compressed, four how long it is.
const PREFIX: usize = 5;

/// A message with its prefix, of so many bytes without it.
pub fn message(length: usize) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&(length as u32).to_be_bytes());
    message.resize(PREFIX + length, b'x');
    message
}

/// What every answer says.
pub struct Answer {
    head: Vec<u8>,
    trailers: Vec<u8>,
}

/// A connection of a proxy.
pub struct Echo {
    framed: Framed<OwnedFd>,
    /// Calls whose message has not ended.
    open: Vec<Call>,
    /// Calls to be answered.
    whole: VecDeque<Call>,
    waits_to_write: bool,
}

struct Call {
    stream: u32,
    message: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            head: block(&[STATUS_200], &[(fields::CONTENT_TYPE, CONTENT_TYPE)]),
            trailers: block(&[], &[(Name::Spelled("grpc-status"), "0")]),
        }
    }
}

impl Serve for Echo {
    type Shared = Answer;

    fn over(socket: OwnedFd) -> Self {
        let framed = Framed::of_endpoint(socket, &[(MAX_CONCURRENT_STREAMS, 1000)]);
        Self { framed, open: Vec::new(), whole: VecDeque::new(), waits_to_write: false }
    }

    fn on_ready(
        &mut self,
        ready: Ready,
        poller: &Poller,
        buffers: &mut Buffers,
        answer: &mut Answer,
    ) -> Result<bool, Fault> {
        self.read(buffers)?;
        self.answer(answer);
        let done = self.framed.flush()?;
        wait_to_write(!done, &mut self.waits_to_write, &self.framed, ready.token, poller)?;
        Ok(true)
    }
}

impl Echo {
    fn read(&mut self, buffers: &mut Buffers) -> Result<(), Fault> {
        let (open, whole) = (&mut self.open, &mut self.whole);
        self.framed.read(buffers, |frame| {
            if frame.kind == HEADERS && !frame.has(END_STREAM) {
                open.push(Call { stream: frame.stream, message: Vec::new() });
                return Ok(());
            }
            let Some(index) = open.iter().position(|call| call.stream == frame.stream) else { return Ok(()) };
            match frame.kind {
                RST_STREAM => drop(open.swap_remove(index)),
                DATA => {
                    open[index].message.extend_from_slice(frame.payload);
                    if frame.has(END_STREAM) {
                        whole.push_back(open.swap_remove(index));
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// As many as there is room for; the others wait for the proxy to make some.
    fn answer(&mut self, answer: &Answer) {
        while let Some(Call { stream, message }) =
            self.whole.pop_front_if(|call| self.framed.has_room_for(call.message.len()))
        {
            self.framed.put(HEADERS, END_HEADERS, stream, &answer.head);
            self.framed.put(DATA, 0, stream, &message);
            self.framed.put(HEADERS, END_HEADERS | END_STREAM, stream, &answer.trailers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::backend::Backend;
    use crate::client::Client;
    use crate::h2::{Ask, H2Client};
    use crate::wire::Target;

    const ENDPOINT: u64 = 100;

    #[test]
    fn many_calls_at_once_come_back_whole_over_one_connection() {
        // Arrange
        let (mut poller, mut buffers) = (Poller::new().unwrap(), Buffers::new());
        let mut endpoint = Backend::<Echo>::start(ENDPOINT, &poller).unwrap();
        let target = Target { address: endpoint.address, tls: None };
        let mut client = H2Client::new(Rc::new(Ask::grpc(128, false)), target);

        // Act: more than the window of a connection holds, ten at a time.
        let (mut begun, mut ended) = (0, 0);
        while ended < 1000 {
            while begun < 1000 && begun - ended < 10 {
                client.begin(0, &poller).unwrap();
                begun += 1;
            }
            client.send(0, &poller, &buffers).unwrap();
            for event in 0..poller.look().unwrap() {
                let ready = poller.ready(event);
                match ready.token {
                    0 => ended += client.on_ready(ready, &poller, &mut buffers).unwrap(),
                    _ => endpoint.on_ready(ready, &poller, &mut buffers).unwrap(),
                }
            }
        }

        // Assert
        assert_eq!(client.disconnect(), 0);
    }

    #[test]
    fn a_message_says_how_long_it_is() {
        assert_eq!(message(3), b"\0\0\0\0\x03xxx");
    }
}
