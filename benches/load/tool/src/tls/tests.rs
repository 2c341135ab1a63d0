//! Against a server in a thread.

use std::net::{SocketAddr, TcpListener};
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::wire::{Line, Target};

#[test]
fn with_tickets_the_second_handshake_resumes_and_without_it_does_not() {
    for (resumption, full, resumed) in [(Resumption::Always, 1, 1), (Resumption::Never, 2, 0)] {
        // Arrange
        let (address, shown) = server();
        let tls = Rc::new(Tls::new(&shown, "http/1.1", resumption).unwrap());
        let target = Target { address, tls: Some(tls) };

        // Act
        for _ in 0..2 {
            assert_eq!(echo(&mut target.connect().unwrap()), b"hello");
        }

        // Assert
        assert_eq!(target.handshakes(), Handshakes { full, resumed });
    }
}

#[test]
fn another_certificate_than_the_one_given_to_all_is_refused() {
    let (address, _) = server();
    let (_, another) = server();
    let tls = Rc::new(Tls::new(&another, "http/1.1", Resumption::Never).unwrap());

    let mut line = Target { address, tls: Some(tls) }.connect().unwrap();

    assert!(first_answer(&mut line).is_err());
}

fn echo(line: &mut Line) -> Vec<u8> {
    first_answer(line).unwrap()
}

fn first_answer(line: &mut Line) -> io::Result<Vec<u8>> {
    assert_eq!(line.send(b"hello")?, Some(5));
    loop {
        let mut into = [0; 64];
        line.flush()?;
        match line.receive(&mut into)? {
            Some(count) => return Ok(into[..count].to_vec()),
            None => thread::yield_now(),
        }
    }
}

/// Greets each with its own words; returns where, and the certificate it shows.
fn server() -> (SocketAddr, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([NAME.into()]).unwrap();
    let shown = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![shown.clone()], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket.unwrap());
            let mut heard = [0; 5];
            // A client that refuses us goes away.
            if stream.read_exact(&mut heard).is_ok() {
                stream.write_all(&heard).unwrap();
            }
        }
    });
    (address, shown)
}
