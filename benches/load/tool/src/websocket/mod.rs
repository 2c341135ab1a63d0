//! As much of WebSocket (RFC 6455) as a message that comes back needs.

mod client;
mod endpoint;

pub use client::WebSocketClient;
pub use endpoint::Chat;

/// The example of RFC 6455, 1.3: nobody on the way compares what it cannot know.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How long a message is, without its head.
const LENGTH: usize = crate::cases::SMALL as usize;
/// A whole message of bytes, whose length stands behind as it does not fit into seven bits.
const HEAD: [u8; 4] = [0x82, 126, 0, LENGTH as u8];
const MASK: [u8; 4] = *b"load";

/// As an endpoint sends it.
const PLAIN: [u8; 4 + LENGTH] = {
    let mut message = [b'x'; 4 + LENGTH];
    [message[0], message[1], message[2], message[3]] = HEAD;
    message
};

/// As a client must send it.
const MASKED: [u8; 8 + LENGTH] = {
    let mut message = [b'x'; 8 + LENGTH];
    [message[0], message[1], message[2], message[3]] = HEAD;
    [message[4], message[5], message[6], message[7]] = MASK;
    message[1] |= 0x80;
    let mut at = 0;
    while at < LENGTH {
        message[8 + at] ^= MASK[at % 4];
        at += 1;
    }
    message
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::client::Client;
    use crate::http::{Buffers, Fault};
    use crate::socket::Poller;
    use crate::wire::Target;

    const ENDPOINT: u64 = 100;

    /// Sends so many messages, each when the one before is back.
    fn chat(client: &mut WebSocketClient, endpoint: &mut Backend<Chat>, poller: &mut Poller, messages: usize) {
        let mut buffers = Buffers::new();
        for _ in 0..messages {
            client.begin(0, poller).unwrap();
            client.send(0, poller, &buffers).unwrap();
            let mut back = 0;
            while back == 0 {
                for event in 0..poller.look().unwrap() {
                    let ready = poller.ready(event);
                    match ready.token {
                        0 => back += client.on_ready(ready, poller, &mut buffers).unwrap(),
                        _ => endpoint.on_ready(ready, poller, &mut buffers).unwrap(),
                    }
                }
            }
            assert_eq!(back, 1);
        }
    }

    #[test]
    fn messages_come_back_one_by_one_over_one_connection() {
        let mut poller = Poller::new().unwrap();
        let mut endpoint = Backend::<Chat>::start(ENDPOINT, &poller).unwrap();
        let mut client = WebSocketClient::new(Target { address: endpoint.address, tls: None });

        chat(&mut client, &mut endpoint, &mut poller, 10);

        assert!(client.is_connected());
        assert_eq!(client.disconnect(), 0);
    }

    #[test]
    fn a_message_that_is_another_than_was_sent_is_a_fault() {
        let mut wrong = PLAIN;
        wrong[50] = b'y';
        for (bytes, outcome) in [
            (&PLAIN[..], Ok(1)),
            (&PLAIN[..100], Ok(0)),
            (&[PLAIN, PLAIN].concat(), Err("sent more than it announced")),
            (&wrong, Err("malformed message")),
        ] {
            let found = client::count(&mut bytes.to_vec(), 1).map_err(|fault: Fault| fault.to_string());
            assert_eq!(found, outcome.map_err(str::to_owned), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_client_masks_what_it_sends() {
        let unmasked: Vec<u8> = MASKED[8..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();

        assert_eq!(MASKED[..4], [0x82, 0xfe, 0, 128]);
        assert_eq!(unmasked, PLAIN[4..]);
        assert_ne!(MASKED[8..], PLAIN[4..]);
    }
}
