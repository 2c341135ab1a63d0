//! Records that no library sends, from somebody who knows the keys.

use proptest::prelude::*;
use rustls::{InvalidMessage, PeerMisbehaved};

use super::*;

/// The client's own key, with which it may seal anything, and the one it reads with.
fn hostile(suite: SupportedCipherSuite) -> (Key, Key, Records) {
    let (client, records) = shaken(suite);
    let is_tls13 = suite == TLS13;
    let secrets = client.dangerous_extract_secrets().expect("it may");
    let key = |(number, secret)| Key::of(secret, number, is_tls13).expect("the suite is known");
    (key(secrets.tx), key(secrets.rx), records)
}

/// What the client is told: of which kind, and what.
type Told = Option<(ContentType, Vec<u8>)>;

/// What happens, and what the client is told.
fn outcome(records: &mut Records, theirs: &mut Key, wire: &mut [u8]) -> (Result<Vec<u8>, Error>, Told) {
    let (result, mut answer) = opened(records, wire);
    let told = (!answer.is_empty()).then(|| {
        let plain = theirs.open(&mut answer).expect("it is for him");
        (plain.kind, answer[plain.at].to_vec())
    });
    (result, told)
}

fn fatal(alert: AlertDescription) -> Told {
    Some((ContentType::Alert, vec![2, alert.into()]))
}

#[test]
fn empty_records_are_borne_with_up_to_a_number() {
    for suite in [TLS13, TLS12] {
        let (mut key, mut theirs, mut records) = hostile(suite);
        for _ in 0..3 {
            let mut some: Vec<u8> = (0..32).flat_map(|_| made(&mut key, ContentType::ApplicationData, b"")).collect();
            some.extend(made(&mut key, ContentType::ApplicationData, b"data"));
            assert_eq!(opened(&mut records, &mut some), (Ok(b"data".to_vec()), vec![]), "{suite:?}");
        }

        let mut many: Vec<u8> = (0..33).flat_map(|_| made(&mut key, ContentType::ApplicationData, b"")).collect();
        let (result, told) = outcome(&mut records, &mut theirs, &mut many);

        assert_eq!(result, Err(PeerMisbehaved::TooManyEmptyFragments.into()), "{suite:?}");
        assert_eq!(told, fatal(AlertDescription::UnexpectedMessage), "{suite:?}");
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_by_its_header() {
    for (suite, most) in [(TLS13, 16_384 + 256), (TLS12, 16_384 + 2048_u16)] {
        let (_, mut theirs, mut records) = hostile(suite);
        let header = |length: u16| [&[23, 3, 3][..], &length.to_be_bytes()].concat();
        assert_eq!(records.open(&mut header(most), &mut None), Ok(None), "{suite:?}");

        let (result, told) = outcome(&mut records, &mut theirs, &mut header(most + 1));

        assert_eq!(result, Err(Error::PeerSentOversizedRecord), "{suite:?}");
        assert_eq!(told, fatal(AlertDescription::RecordOverflow), "{suite:?}");
    }
}

#[test]
fn a_record_with_too_much_in_it_is_refused() {
    for suite in [TLS13, TLS12] {
        let (mut key, mut theirs, mut records) = hostile(suite);
        let mut full = made(&mut key, ContentType::ApplicationData, &[b'a'; 16_384]);
        assert_eq!(opened(&mut records, &mut full).0.expect("it is good").len(), 16_384, "{suite:?}");

        let mut more = made(&mut key, ContentType::ApplicationData, &[b'a'; 16_385]);
        let (result, told) = outcome(&mut records, &mut theirs, &mut more);

        assert_eq!(result, Err(Error::PeerSentOversizedRecord), "{suite:?}");
        assert_eq!(told, fatal(AlertDescription::RecordOverflow), "{suite:?}");
    }
}

#[test]
fn whoever_wants_to_begin_again_is_told_no_and_the_second_time_it_ends() {
    let (mut key, mut theirs, mut records) = hostile(TLS12);
    let hello = [1, 0, 0, 2, 3, 3];

    let first = outcome(&mut records, &mut theirs, &mut made(&mut key, ContentType::Handshake, &hello));
    let data = outcome(&mut records, &mut theirs, &mut made(&mut key, ContentType::ApplicationData, b"data"));
    let second = outcome(&mut records, &mut theirs, &mut made(&mut key, ContentType::Handshake, &hello));

    assert_eq!(first, (Ok(vec![]), Some((ContentType::Alert, vec![1, 100]))));
    assert_eq!(data, (Ok(b"data".to_vec()), None));
    assert_eq!(second.0, Err(PeerMisbehaved::TooManyRenegotiationRequests.into()));
    assert_eq!(second.1, fatal(AlertDescription::UnexpectedMessage));
}

#[test]
fn new_keys_without_data_are_borne_with_up_to_a_number_and_answered_once() {
    let (mut client, mut records) = shaken(TLS13);
    let mut wire = Vec::new();
    for _ in 0..33 {
        client.refresh_traffic_keys().expect("it is TLS 1.3");
        wire.extend(said(&mut client));
    }

    let (result, answer) = opened(&mut records, &mut wire);

    assert_eq!(result, Err(PeerMisbehaved::TooManyKeyUpdateRequests.into()));
    let (one_answer, alert) = (HEADER + 5 + 17, HEADER + 2 + 17);
    assert_eq!(answer.len(), one_answer + alert);
}

#[test]
fn warnings_are_borne_with_up_to_a_number() {
    for (suite, warning) in [(TLS13, AlertDescription::UserCanceled), (TLS12, AlertDescription::NoRenegotiation)] {
        let (mut key, _, mut records) = hostile(suite);
        let mut warnings: Vec<u8> =
            (0..5).flat_map(|_| made(&mut key, ContentType::Alert, &[1, warning.into()])).collect();

        let (few, many) = warnings.split_at_mut(4 * key.sealed(2));

        assert_eq!(opened(&mut records, few), (Ok(vec![]), vec![]), "{suite:?}");
        assert_eq!(opened(&mut records, many).0, Err(PeerMisbehaved::TooManyWarningAlertsReceived.into()), "{suite:?}");
    }
}

#[test]
fn whoever_says_that_something_is_wrong_is_not_answered() {
    for (suite, level) in [(TLS13, 2), (TLS13, 1), (TLS12, 2)] {
        let (mut key, mut theirs, mut records) = hostile(suite);
        let mut alert = made(&mut key, ContentType::Alert, &[level, AlertDescription::DecodeError.into()]);

        let outcome = outcome(&mut records, &mut theirs, &mut alert);

        assert_eq!(outcome, (Err(Error::AlertReceived(AlertDescription::DecodeError)), None), "{suite:?}");
    }
}

#[test]
fn what_is_no_message_of_this_place_is_refused_and_told_why() {
    use AlertDescription::{DecodeError, IllegalParameter, UnexpectedMessage};
    let key_update = [24, 0, 0, 1, 0];
    let cases: [(SupportedCipherSuite, ContentType, &[u8], AlertDescription); 12] = [
        (TLS13, ContentType::Handshake, &[24, 0, 0, 1, 2], IllegalParameter),
        (TLS13, ContentType::Handshake, &[key_update, key_update].concat(), UnexpectedMessage),
        (TLS13, ContentType::Handshake, &key_update[..4], UnexpectedMessage),
        (TLS13, ContentType::Handshake, &[1, 0, 0, 2, 3, 3], UnexpectedMessage),
        (TLS13, ContentType::Handshake, &[], DecodeError),
        (TLS13, ContentType::ChangeCipherSpec, &[1], UnexpectedMessage),
        (TLS13, ContentType::Unknown(0), &[0, 0, 0], UnexpectedMessage),
        (TLS13, ContentType::Alert, &[2], DecodeError),
        (TLS13, ContentType::Heartbeat, &[1], UnexpectedMessage),
        (TLS12, ContentType::Handshake, &key_update, UnexpectedMessage),
        (TLS12, ContentType::ChangeCipherSpec, &[1], UnexpectedMessage),
        (TLS12, ContentType::Alert, &[1, 0, 1, 0], DecodeError),
    ];
    for (suite, kind, what, alert) in cases {
        let (mut key, mut theirs, mut records) = hostile(suite);

        let (result, told) = outcome(&mut records, &mut theirs, &mut made(&mut key, kind, what));

        assert!(result.is_err(), "{suite:?}: {kind:?} {what:?}");
        assert_eq!(told, fatal(alert), "{suite:?}: {kind:?} {what:?} is {result:?}");
    }
}

#[test]
fn what_is_no_record_of_ours_is_refused_before_it_is_whole() {
    let (_, mut theirs, mut records) = hostile(TLS13);
    let in_the_clear = outcome(&mut records, &mut theirs, &mut [21, 3, 3, 0, 2]);
    let (_, mut theirs, mut records) = hostile(TLS13);
    let another_protocol = outcome(&mut records, &mut theirs, &mut [23, b'T', b'T', b'P', b'/']);

    assert!(in_the_clear.0.is_err());
    assert_eq!(in_the_clear.1, fatal(AlertDescription::UnexpectedMessage));
    assert_eq!(another_protocol.0, Err(InvalidMessage::UnknownProtocolVersion.into()));
    assert_eq!(another_protocol.1, fatal(AlertDescription::DecodeError));
}

#[test]
fn the_same_record_is_not_taken_twice() {
    for suite in [TLS13, TLS12] {
        let (mut key, _, mut records) = hostile(suite);
        let record = made(&mut key, ContentType::ApplicationData, b"pay");

        let (first, _) = opened(&mut records, &mut record.clone());
        let (again, _) = opened(&mut records, &mut record.clone());

        assert_eq!((first, again), (Ok(b"pay".to_vec()), Err(Error::DecryptError)), "{suite:?}");
    }
}

/// A message of any kind, most of them ones that may come.
fn message() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let any_bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        6 => any_bytes().prop_map(|data| (23, data)),
        1 => prop::array::uniform2(any::<u8>()).prop_map(|alert| (21, alert.to_vec())),
        1 => (0u8..3).prop_map(|asked| (22, vec![24, 0, 0, 1, asked])),
        1 => (any::<u8>(), any_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_it_is_the_same_however_it_is_cut(
        messages in prop::collection::vec(message(), 0..12), pieces in prop::collection::vec(1usize..90, 1..8),
        is_tls13 in any::<bool>(), broken in prop::option::of((any::<prop::sample::Index>(), 1u8..))
    ) {
        let suite = if is_tls13 { TLS13 } else { TLS12 };
        let (mut key, _, mut records) = hostile(suite);
        let (client_of_cut, mut cut) = shaken(suite);
        let secrets = client_of_cut.dangerous_extract_secrets().expect("it may");
        let mut key_of_cut = Key::of(secrets.tx.1, secrets.tx.0, is_tls13).expect("the suite is known");
        let wire = |key: &mut Key| {
            let records = messages.iter().map(|(kind, what)| made(key, ContentType::from(*kind), what));
            let mut wire = records.collect::<Vec<_>>().concat();
            if let Some((place, flip)) = broken.as_ref().filter(|_| !wire.is_empty()) {
                let place = place.index(wire.len());
                wire[place] ^= *flip;
            }
            wire
        };

        let (at_once, _) = opened(&mut records, &mut wire(&mut key));

        let (mut pieces, mut kept, mut data, mut in_pieces) = (pieces.iter().cycle(), Vec::new(), Vec::new(), Ok(()));
        let mut rest = &*wire(&mut key_of_cut);
        while !rest.is_empty() && in_pieces.is_ok() {
            let (piece, behind) = rest.split_at(rest.len().min(*pieces.next().expect("it goes round")));
            (rest, kept) = (behind, [&*kept, piece].concat());
            loop {
                let is_whole = cut.is_whole(&kept);
                match cut.open(&mut kept, &mut None) {
                    Ok(None) => {
                        prop_assert!(!is_whole);
                        break;
                    }
                    Ok(Some(opened)) => {
                        prop_assert!(is_whole);
                        data.extend_from_slice(&kept[opened.data]);
                        kept.drain(..opened.taken);
                    }
                    Err(error) => {
                        in_pieces = Err(error);
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(at_once, in_pieces.map(|()| data));
        prop_assert_eq!((records.is_over(), records.has_failed()), (cut.is_over(), cut.has_failed()));
    }
}
