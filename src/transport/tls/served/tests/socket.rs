//! Through sockets: what is held, and for how long.

use std::{io, pin::Pin, task::Context, time::Duration};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::transport::tls::served::{Served, buffer::ROOM};

/// A client on its socket, and what serves it.
async fn served() -> (ClientConnection, TcpStream, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let far = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
    let (near, _) = listener.accept().await.expect("somebody comes");
    let (client, records) = shaken(TLS13);
    (client, far, Served::new(near, records, None, false))
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it does not take that long")
}

#[actix_rt::test]
async fn nothing_is_held_between_exchanges() {
    let (mut client, mut far, mut served) = served().await;
    for _ in 0..3 {
        client.writer().write_all(b"hello").expect("there is memory");
        far.write_all(&said(&mut client)).await.expect("it is taken");
        let mut heard = [0; 5];
        patiently(served.read_exact(&mut heard)).await.expect("it comes");
        served.write_all(b"world").await.expect("it is taken");
        let mut wire = [0; HEADER + 5 + 17];
        patiently(far.read_exact(&mut wire)).await.expect("it comes");
        hears(&mut client, &wire).expect("it is understood");

        assert_eq!((&heard, read(&mut client)), (b"hello", b"world".to_vec()));
        assert!(served.incoming.is_none() && served.outgoing.is_none());
        assert!(!served.holds_something());
    }
}

#[actix_rt::test]
async fn who_has_sent_half_a_record_holds_that_half() {
    let (mut client, mut far, mut served) = served().await;
    client.writer().write_all(&[b'a'; 1000]).expect("there is memory");
    let wire = said(&mut client);
    far.write_all(&wire[..700]).await.expect("it is taken");
    served.tcp().readable().await.expect("it comes");

    let mut heard = [0; 1000];
    assert!(served.read(&mut heard).now_or_never().is_none());
    let incoming = served.incoming.as_ref().expect("it is kept");
    assert!(!incoming.is_shared());
    assert_eq!(incoming.filled().len(), 700);
    assert!(!served.holds_something());

    far.write_all(&wire[700..]).await.expect("it is taken");
    patiently(served.read_exact(&mut heard)).await.expect("it comes");
    assert_eq!(heard, [b'a'; 1000]);
    assert!(served.incoming.is_none());
}

#[actix_rt::test]
async fn what_is_there_is_known_to_be_whether_it_was_opened_or_not() {
    let (mut client, mut far, mut served) = served().await;
    let mut wire = Vec::new();
    for word in [b"ab", b"cd"] {
        client.writer().write_all(word).expect("there is memory");
        wire.extend(said(&mut client));
    }
    client.send_close_notify();
    wire.extend(said(&mut client));
    far.write_all(&wire).await.expect("it is taken");
    let mut heard = Vec::new();

    for _ in 0..4 {
        let mut byte = [0];
        patiently(served.read_exact(&mut byte)).await.expect("it comes");
        heard.push((byte[0], served.holds_something()));
    }
    let end = patiently(served.read(&mut [0])).await.expect("it was announced");

    assert_eq!(heard, [(b'a', true), (b'b', true), (b'c', true), (b'd', true)]);
    assert_eq!(end, 0);
    assert!(served.holds_something(), "an end is something");
}

#[actix_rt::test]
async fn a_handshake_of_pieces_that_are_never_whole_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut far = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
    let (near, _) = listener.accept().await.expect("somebody comes");
    let mut handshake = Handshake::begun(server(TLS13), Vec::new()).expect("it is good");
    // A message of 60,000 bytes, one byte a record.
    let first = [22, 3, 1, 0, 4, 1, 0, 0xea, 0x60];
    let pieces = [22, 3, 1, 0, 1, 0].repeat(50_000);

    let sent = async {
        far.write_all(&first).await?;
        far.write_all(&pieces).await
    };
    let (shaken, _) = patiently(futures_util::future::join(handshake.shake(&near, || ()), sent)).await;

    assert_eq!(shaken.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    assert!(handshake.heard.len() < 64 * 1024 + 4096, "{}", handshake.heard.len());
}

#[actix_rt::test]
async fn an_end_that_nobody_has_announced_is_an_error() {
    for announced in [true, false] {
        let (mut client, mut far, mut served) = served().await;
        if announced {
            client.send_close_notify();
            far.write_all(&said(&mut client)).await.expect("it is taken");
        }
        far.shutdown().await.expect("it is open");

        let end = patiently(served.read(&mut [0; 9])).await;

        let expected = if announced { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof) };
        assert_eq!(end.map_err(|error| error.kind()), expected);
    }
}

#[actix_rt::test]
async fn who_does_not_read_is_waited_for_and_one_buffer_is_held_meanwhile() {
    let (mut client, mut far, mut served) = served().await;
    let body: Vec<u8> = (0..64 * 1024_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut expected = Vec::new();
    let mut write = |served: &mut Served| {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        match Pin::new(served).poll_write(cx, &body) {
            std::task::Poll::Ready(taken) => {
                let taken = taken.expect("it is open");
                expected.extend_from_slice(&body[..taken]);
                true
            }
            std::task::Poll::Pending => false,
        }
    };

    served.tcp().writable().await.expect("it is open");
    while write(&mut served) {}

    let held = served.outgoing.as_ref().expect("it could not be sent").filled().len();
    assert!(held <= ROOM, "{held}");
    let sent = async {
        served.shutdown().await.expect("it is open");
        served
    };
    let read = async {
        let (mut wire, mut data) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let count = far.read(&mut wire).await.expect("it comes");
            for piece in wire[..count].chunks(4096) {
                hears(&mut client, piece).expect("it is understood");
                data.extend(super::read(&mut client));
            }
            if count == 0 {
                break data;
            }
        }
    };
    let (served, data) = patiently(futures_util::future::join(sent, read)).await;
    assert!(data == expected, "{} of {} bytes", data.len(), expected.len());
    assert!(served.outgoing.is_none());
}

#[actix_rt::test]
async fn who_changes_his_keys_and_says_nothing_is_answered_and_holds_nothing() {
    let (mut client, mut far, mut served) = served().await;
    client.refresh_traffic_keys().expect("it is TLS 1.3");
    far.write_all(&said(&mut client)).await.expect("it is taken");
    served.tcp().readable().await.expect("it comes");

    assert!(served.read(&mut [0]).now_or_never().is_none());
    let mut answer = [0; HEADER + 5 + 17];
    patiently(far.read_exact(&mut answer)).await.expect("it comes");

    hears(&mut client, &answer).expect("it is understood");
    assert!(served.incoming.is_none() && served.outgoing.is_none());
}

#[actix_rt::test]
async fn who_is_refused_is_told_at_once_and_reads_and_writes_nothing_more() {
    let (mut client, mut far, mut served) = served().await;
    far.write_all(&[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.expect("it is taken");

    let first = patiently(served.read(&mut [0])).await.map_err(|error| error.kind());
    let again = patiently(served.read(&mut [0])).await.map_err(|error| error.kind());
    let written = served.write(b"a").await.map_err(|error| error.kind());
    let mut alert = [0; HEADER + 2 + 17];
    patiently(far.read_exact(&mut alert)).await.expect("it comes");

    assert_eq!((first, again), (Err(io::ErrorKind::InvalidData), Err(io::ErrorKind::InvalidData)));
    assert_eq!(written, Err(io::ErrorKind::BrokenPipe));
    assert_eq!(hears(&mut client, &alert), Err(Error::AlertReceived(AlertDescription::BadRecordMac)));
    assert!(served.holds_something());
}
