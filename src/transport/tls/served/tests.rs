//! With rustls as the client, and with one who knows the keys and does what rustls never would.

use std::{
    io::{IoSlice, Read, Write},
    sync::{Arc, LazyLock},
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ContentType, Error, RootCertStore, ServerConfig,
    SupportedCipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

use super::{
    buffer::Buffer,
    handshake::{Handshake, Next},
    key::{HEADER, Key},
    parts::Parts,
    records::{Opened, Records},
};

mod hostile;
mod socket;

static IDENTITY: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().expect("randomness");
    let params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().clone(), key.serialize_der())
});

fn only(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519];
    Arc::new(CryptoProvider { cipher_suites: vec![suite], kx_groups, ..aws_lc_rs::default_provider() })
}

fn server(suite: SupportedCipherSuite) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(only(suite)).with_protocol_versions(&[suite.version()]);
    let key = PrivatePkcs8KeyDer::from(IDENTITY.1.clone()).into();
    let builder = builder.expect("it has a suite").with_no_client_auth();
    let mut config = builder.with_single_cert(vec![IDENTITY.0.clone()], key).expect("they fit");
    config.enable_secret_extraction = true;
    Arc::new(config)
}

fn client(suite: SupportedCipherSuite) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(IDENTITY.0.clone()).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(only(suite)).with_protocol_versions(&[suite.version()]);
    let mut config = builder.expect("it has a suite").with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    ClientConnection::new(Arc::new(config), "shop.example".try_into().expect("a name")).expect("it is good")
}

/// One of each kind.
fn suites() -> Vec<SupportedCipherSuite> {
    use rustls::crypto::aws_lc_rs::cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    vec![
        TLS13,
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
}

const TLS13: SupportedCipherSuite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
const TLS12: SupportedCipherSuite = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;

/// What the client has to say.
fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut said = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut said).expect("there is memory");
    }
    said
}

fn hears(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("there is room");
        client.process_new_packets()?;
    }
    Ok(())
}

/// Both sides, once hands were shaken, everything coming in so many bytes at once.
fn shaken_in(suite: SupportedCipherSuite, piece: usize) -> (ClientConnection, Records, Option<Buffer>) {
    let (mut client, mut handshake) = (client(suite), Handshake::begun(server(suite), Vec::new()).expect("it is good"));
    let mut next = Next::More;
    while next == Next::More {
        let said = said(&mut client);
        assert!(!said.is_empty(), "they wait for each other");
        for piece in said.chunks(piece) {
            handshake.heard.extend_from_slice(piece);
            next = handshake.advance().expect("it goes on");
            hears(&mut client, &std::mem::take(&mut handshake.to_say)).expect("it goes on");
        }
    }
    let (records, incoming) = handshake.into_records().expect("it is over");
    (client, records, incoming)
}

fn shaken(suite: SupportedCipherSuite) -> (ClientConnection, Records) {
    let (client, records, incoming) = shaken_in(suite, usize::MAX);
    assert!(incoming.is_none(), "nothing came along");
    (client, records)
}

/// All that is in these records, and what is to be said of them.
fn opened(records: &mut Records, mut bytes: &mut [u8]) -> (Result<Vec<u8>, Error>, Vec<u8>) {
    let (mut out, mut data) = (None, Vec::new());
    let result = loop {
        match records.open(bytes, &mut out) {
            Ok(None) => break Ok(data),
            Ok(Some(Opened { taken, data: at })) => {
                data.extend_from_slice(&bytes[at]);
                bytes = &mut bytes[taken..];
            }
            Err(error) => break Err(error),
        }
    };
    (result, out.map(|out| out.filled().to_vec()).unwrap_or_default())
}

fn sealed(records: &mut Records, data: &[u8]) -> Vec<u8> {
    let parts = [IoSlice::new(data)];
    let (mut out, mut parts, mut all) = (None, Parts::of(&parts), Vec::new());
    while parts.left() > 0 {
        records.seal(&mut parts, &mut out).expect("there are keys");
        all.extend_from_slice(out.take().expect("there is something").filled());
    }
    all
}

/// What the client has understood.
fn read(client: &mut ClientConnection) -> Vec<u8> {
    let mut data = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = client.reader().read(&mut piece) {
        data.extend_from_slice(&piece[..count]);
    }
    data
}

#[test]
fn every_suite_is_understood_both_ways() {
    let large: Vec<u8> = (0..40_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    for suite in suites() {
        let (mut client, mut records) = shaken(suite);
        client.writer().write_all(&large).expect("there is memory");

        let (heard, answer) = opened(&mut records, &mut said(&mut client));
        let mut got = Vec::new();
        for piece in sealed(&mut records, &large).chunks(20_000) {
            hears(&mut client, piece).expect("it is understood");
            got.extend(read(&mut client));
        }

        assert!(got == large, "{suite:?}: {} bytes", got.len());
        assert_eq!((heard.expect("it is good"), answer), (large.clone(), Vec::new()), "{suite:?}");
    }
}

#[test]
fn parts_are_sealed_in_their_order_and_in_full_records() {
    let (mut client, mut records) = shaken(TLS13);
    let (head, body) = (vec![b'h'; 100], vec![b'b'; 40_000]);
    let (slices, mut out) = ([IoSlice::new(&head), IoSlice::new(b""), IoSlice::new(&body)], None);

    let taken = records.seal(&mut Parts::of(&slices), &mut out).expect("there are keys");

    let wire = out.expect("there is something").filled().to_vec();
    assert_eq!((taken, wire.len()), (2 * 16_384, 2 * (16_384 + 22)), "as much as there is room for");
    hears(&mut client, &wire).expect("it is understood");
    assert_eq!(read(&mut client), [&head[..], &body[..taken - 100]].concat());
}

#[test]
fn a_handshake_comes_in_pieces_of_any_size() {
    for suite in [TLS13, TLS12] {
        for piece in [1, 2, 3, 7, 100, usize::MAX] {
            let (mut client, mut records, incoming) = shaken_in(suite, piece);
            client.writer().write_all(b"GET /").expect("there is memory");

            let (heard, _) = opened(&mut records, &mut said(&mut client));

            assert!(incoming.is_none(), "{suite:?} in pieces of {piece}");
            assert_eq!(heard.expect("it is good"), b"GET /", "{suite:?} in pieces of {piece}");
        }
    }
}

#[test]
fn what_comes_along_with_the_end_of_a_handshake_is_not_lost_wherever_it_is_cut() {
    for piece in 1..300 {
        let (mut client, mut handshake) =
            (client(TLS13), Handshake::begun(server(TLS13), Vec::new()).expect("it is good"));
        handshake.heard.extend(said(&mut client));
        assert_eq!(handshake.advance().expect("it goes on"), Next::More);
        hears(&mut client, &std::mem::take(&mut handshake.to_say)).expect("it goes on");
        client.refresh_traffic_keys().expect("hands were shaken");
        client.writer().write_all(b"GET / HTTP/1.1").expect("there is memory");
        client.writer().write_all(b"\r\n\r\n").expect("there is memory");
        let last = said(&mut client);
        let (now, later) = last.split_at(piece.min(last.len()));

        handshake.heard.extend_from_slice(now);
        let mut later = later.to_vec();
        if handshake.advance().expect("it goes on") == Next::More {
            handshake.heard.append(&mut later);
            assert_eq!(handshake.advance().expect("it goes on"), Next::Data);
        }
        hears(&mut client, &std::mem::take(&mut handshake.to_say)).expect("it goes on");
        let (mut records, incoming) = handshake.into_records().expect("it is over");

        let mut rest = incoming.map(|kept| kept.filled().to_vec()).unwrap_or_default();
        rest.append(&mut later);
        let (data, answered) = opened(&mut records, &mut rest);
        assert_eq!(data.expect("it is good"), b"GET / HTTP/1.1\r\n\r\n", "cut after {piece}");
        // A new key that it has asked for, and what follows by that.
        hears(&mut client, &answered).expect("it goes on");
        hears(&mut client, &sealed(&mut records, b"hello")).expect("it knows the key");
        let mut heard = [0; 5];
        client.reader().read_exact(&mut heard).expect("it is there");
        assert_eq!((&heard, answered.is_empty()), (b"hello", false), "cut after {piece}");
    }
}

#[test]
fn a_client_with_whom_nothing_is_in_common_is_told_so() {
    let (mut client, mut handshake) = (client(TLS12), Handshake::begun(server(TLS13), Vec::new()).expect("it is good"));
    handshake.heard = said(&mut client);

    let refused = handshake.advance();

    assert!(refused.is_err());
    let told = hears(&mut client, &handshake.to_say);
    assert_eq!(told, Err(Error::AlertReceived(AlertDescription::ProtocolVersion)));
}

#[test]
fn a_message_that_would_not_end_is_refused_when_it_says_so() {
    let mut handshake = Handshake::begun(server(TLS13), Vec::new()).expect("it is good");
    handshake.heard = vec![22, 3, 1, 0, 4, 1, 1, 0, 0];

    assert!(handshake.advance().is_err(), "64 KiB are enough for everybody");
}

#[test]
fn a_record_is_opened_once_it_is_whole_and_not_before() {
    for suite in [TLS13, TLS12] {
        let (mut client, mut records) = shaken(suite);
        client.writer().write_all(b"hello").expect("there is memory");
        let mut wire = said(&mut client);

        for length in 0..wire.len() {
            assert!(!records.is_whole(&wire[..length]));
            assert_eq!(records.open(&mut wire[..length], &mut None), Ok(None), "{suite:?}, {length} bytes");
        }

        assert!(records.is_whole(&wire));
        assert_eq!(opened(&mut records, &mut wire).0.expect("it is good"), b"hello");
    }
}

#[test]
fn a_record_that_was_tampered_with_is_refused_wherever_it_was() {
    for suite in suites() {
        let length = {
            let (mut client, _) = shaken(suite);
            client.writer().write_all(b"hello").expect("there is memory");
            said(&mut client).len()
        };
        for place in [HEADER, HEADER + 1, HEADER + 8, length - 17, length - 1] {
            let (mut client, mut records) = shaken(suite);
            client.writer().write_all(b"hello").expect("there is memory");
            let mut wire = said(&mut client);
            wire[place] ^= 1;

            let (heard, answer) = opened(&mut records, &mut wire);

            assert_eq!(heard, Err(Error::DecryptError), "{suite:?}, byte {place}");
            let told = hears(&mut client, &answer);
            assert_eq!(told, Err(Error::AlertReceived(AlertDescription::BadRecordMac)), "{suite:?}, byte {place}");
            assert!(records.has_failed());
        }
    }
}

#[test]
fn a_client_may_change_its_keys_and_is_answered_with_ours() {
    let (mut client, mut records) = shaken(TLS13);
    for round in 0..5 {
        client.refresh_traffic_keys().expect("it is TLS 1.3");
        client.writer().write_all(b"hello").expect("there is memory");

        let (heard, answer) = opened(&mut records, &mut said(&mut client));
        hears(&mut client, &answer).expect("it is understood");
        hears(&mut client, &sealed(&mut records, b"world")).expect("it is understood");

        assert_eq!(heard.expect("it is good"), b"hello", "round {round}");
        assert!(!answer.is_empty(), "round {round}");
        assert_eq!(read(&mut client), b"world", "round {round}");
    }
}

#[test]
fn keys_are_changed_before_they_are_used_up() {
    let (mut client, mut records) = shaken(TLS13);
    // Tickets and some data are sealed with the first.
    records.most_sealed = 8;
    let mut new_keys = 0;
    for round in 0..100 {
        hears(&mut client, &sealed(&mut records, b"world")).expect("it is understood");
        // What it answers is understood, too: before it says anything else.
        client.writer().write_all(b"x").expect("there is memory");
        let mut answer = said(&mut client);
        let (heard, _) = opened(&mut records, &mut answer);

        new_keys += usize::from(answer.len() > HEADER + 1 + 17);
        assert_eq!(heard, Ok(b"x".to_vec()), "round {round}");
        assert_eq!(read(&mut client), b"world", "round {round}");
    }
    assert_eq!(new_keys, 100 / 7, "each seals seven records, and word of the next");
}

#[test]
fn where_there_are_no_other_keys_it_ends_in_time() {
    let (mut client, mut records) = shaken(TLS12);
    records.most_sealed = 3;
    let slices = [IoSlice::new(b"world")];
    let mut sealed = |out: &mut Option<Buffer>| records.seal(&mut Parts::of(&slices), out);
    let mut out = None;

    let results = [sealed(&mut out), sealed(&mut out)];

    assert_eq!(results, [Ok(5), Err(Error::EncryptError)]);
    hears(&mut client, out.expect("there is something").filled()).expect("it is understood");
    assert_eq!(read(&mut client), b"world");
    assert_eq!(client.reader().read(&mut [0]).expect("it was announced"), 0);
}

#[test]
fn the_end_is_announced_both_ways() {
    for suite in [TLS13, TLS12] {
        let (mut client, mut records) = shaken(suite);
        client.writer().write_all(b"hello").expect("there is memory");
        client.send_close_notify();

        let (heard, answer) = opened(&mut records, &mut said(&mut client));
        // One half is closed: the other is as open as before.
        hears(&mut client, &sealed(&mut records, b"world")).expect("it is understood");
        let mut out = None;
        records.say_end(&mut out).expect("there are keys");
        hears(&mut client, out.expect("there is something").filled()).expect("it is understood");
        let mut again = None;
        records.say_end(&mut again).expect("there are keys");

        assert_eq!((heard.expect("it is good"), answer), (b"hello".to_vec(), Vec::new()), "{suite:?}");
        assert!(records.is_over() && again.is_none());
        assert_eq!(read(&mut client), b"world", "{suite:?}");
        assert_eq!(client.reader().read(&mut [0]).expect("it was announced"), 0);
    }
}

/// A record of the client's making.
fn made(key: &mut Key, kind: ContentType, what: &[u8]) -> Vec<u8> {
    let mut record = vec![0; key.sealed(what.len())];
    key.seal(kind, what, &mut record).expect("there is a number left");
    record
}
