//! What goes on inside a connection once hands were shaken: data, alerts and new keys. It knows no socket.

use std::ops::Range;

use rustls::{
    AlertDescription, ContentType, Error, InvalidMessage, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
};

use super::{
    buffer::{ASIDE, Buffer},
    key::{HEADER, Key, MOST_PLAIN},
    parts::Parts,
};

/// Both directions of a connection.
pub struct Records {
    reading: Key,
    writing: Key,
    /// What the next keys are made of. TLS 1.2 has none.
    schedule: Option<KernelConnection<ServerConnectionData>>,
    /// Records that may be sealed with one key (RFC 8446, 5.5).
    pub(super) most_sealed: u64,
    patience: Patience,
    /// The other side was told of a new key, and of nothing since: it may ask as often as it likes.
    has_answered: bool,
    end: End,
    has_said_end: bool,
}

/// How the other side's half has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Announced,
    Failed,
}

/// What is borne with of things that cost us and bring nothing; as much as rustls bears with itself.
struct Patience {
    /// Empty records, one behind the other.
    empty: u8,
    /// New keys without data between them.
    keys: u8,
    warnings: u8,
    /// Wishes to begin again, in TLS 1.2.
    renegotiations: u8,
}

impl Patience {
    const EMPTY: u8 = 32;
    const KEYS: u8 = 32;

    const fn all() -> Self {
        Self { empty: Self::EMPTY, keys: Self::KEYS, warnings: 4, renegotiations: 1 }
    }
}

/// A record that was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// How long it was on the wire.
    pub taken: usize,
    /// Where the data in it is; nothing, where it was about something else.
    pub data: Range<usize>,
}

/// What is wrong, and what the other side is told.
struct Fault(AlertDescription, Error);

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let alert = match &error {
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            _ => AlertDescription::InternalError,
        };
        Self(alert, error)
    }
}

impl From<PeerMisbehaved> for Fault {
    fn from(how: PeerMisbehaved) -> Self {
        Error::from(how).into()
    }
}

impl From<InvalidMessage> for Fault {
    fn from(how: InvalidMessage) -> Self {
        Error::from(how).into()
    }
}

impl Records {
    /// Goes on where the handshake has ended.
    pub fn of(connection: UnbufferedServerConnection) -> Result<Self, Error> {
        let (secrets, schedule) = connection.dangerous_into_kernel_connection()?;
        let is_tls13 = schedule.protocol_version() == ProtocolVersion::TLSv1_3;
        let most_sealed = match schedule.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        let ((written, writing), (read, reading)) = (secrets.tx, secrets.rx);
        Ok(Self {
            reading: Key::of(reading, read, is_tls13)?,
            writing: Key::of(writing, written, is_tls13)?,
            schedule: is_tls13.then_some(schedule),
            most_sealed,
            patience: Patience::all(),
            has_answered: false,
            end: End::NotYet,
            has_said_end: false,
        })
    }

    /// The other side has said that nothing more will come.
    pub fn is_over(&self) -> bool {
        self.end == End::Announced
    }

    /// Nothing can be said or heard any more.
    pub fn has_failed(&self) -> bool {
        self.end == End::Failed
    }

    /// The other side was told that nothing more will come.
    pub const fn has_said_end(&self) -> bool {
        self.has_said_end
    }

    /// There is something to open, or to find fault with.
    pub fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.first_chunk().is_some_and(|header: &[u8; HEADER]| {
            let length = length(*header);
            length > self.reading.most() || bytes.len() >= HEADER + length
        })
    }

    /// Opens the first record, if it is whole, in place. Where the other side is to be told something, that is in `out`
    /// then, also about what is wrong with it; there is room for it behind any data.
    ///
    /// # Errors
    /// What is wrong. It is over then.
    pub fn open(&mut self, bytes: &mut [u8], out: &mut Option<Buffer>) -> Result<Option<Opened>, Error> {
        self.next(bytes, out).map_err(|Fault(alert, error)| {
            // Whoever says that something is wrong with us is not answered.
            if !(self.has_said_end || matches!(error, Error::AlertReceived(_))) {
                let _ = self.say(ContentType::Alert, &[FATAL, alert.into()], out);
            }
            self.has_said_end = true;
            self.end = End::Failed;
            error
        })
    }

    fn next(&mut self, bytes: &mut [u8], out: &mut Option<Buffer>) -> Result<Option<Opened>, Fault> {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let taken = HEADER + self.checked(*header)?;
        let Some(record) = bytes.get_mut(..taken) else { return Ok(None) };
        let plain = self.reading.open(record)?;
        let said = &record[plain.at.clone()];
        self.bear_with_empty(said)?;
        match plain.kind {
            ContentType::ApplicationData => {
                if !said.is_empty() {
                    self.patience.keys = Patience::KEYS;
                }
                return Ok(Some(Opened { taken, data: plain.at }));
            }
            ContentType::Alert => self.hear_alert(said)?,
            ContentType::Handshake if self.schedule.is_some() => self.hear_new_key(said, out)?,
            ContentType::Handshake => self.hear_renegotiation(said, out)?,
            kind => return Err(unexpected(kind)),
        }
        Ok(Some(Opened { taken, data: 0..0 }))
    }

    /// How long the record is, if it may come at all.
    fn checked(&self, header: [u8; HEADER]) -> Result<usize, Fault> {
        let (kind, length) = (ContentType::from(header[0]), length(header));
        if header[1] != 3 {
            return Err(InvalidMessage::UnknownProtocolVersion.into());
        }
        match kind {
            // All else is inside (RFC 8446, 5.2).
            ContentType::ApplicationData => {}
            ContentType::Alert | ContentType::Handshake if self.schedule.is_none() => {}
            kind => return Err(unexpected(kind)),
        }
        if length > self.reading.most() {
            return Err(Error::PeerSentOversizedRecord.into());
        }
        Ok(length)
    }

    fn bear_with_empty(&mut self, said: &[u8]) -> Result<(), Fault> {
        self.patience.empty = match said {
            [] => self.patience.empty.checked_sub(1).ok_or(PeerMisbehaved::TooManyEmptyFragments)?,
            _ => Patience::EMPTY,
        };
        Ok(())
    }

    fn hear_alert(&mut self, said: &[u8]) -> Result<(), Fault> {
        let [level, what] = *said else { return Err(InvalidMessage::TrailingData("alert").into()) };
        let what = AlertDescription::from(what);
        if what == AlertDescription::CloseNotify {
            self.end = End::Announced;
            return Ok(());
        }
        // In TLS 1.3 there is one warning left that means nothing (RFC 8446, 6.1).
        let is_warning = level == WARNING && (self.schedule.is_none() || what == AlertDescription::UserCanceled);
        if !is_warning {
            return Err(Error::AlertReceived(what).into());
        }
        let left = self.patience.warnings.checked_sub(1);
        self.patience.warnings = left.ok_or(PeerMisbehaved::TooManyWarningAlertsReceived)?;
        Ok(())
    }

    /// The other side reads, or also wants to be written to, with its next key (RFC 8446, 4.6.3). A message of five bytes
    /// that must end its record is not cut in pieces by anybody: nothing else is understood.
    fn hear_new_key(&mut self, said: &[u8], out: &mut Option<Buffer>) -> Result<(), Fault> {
        let is_asked = match *said {
            [KEY_UPDATE, 0, 0, 1, 0] => false,
            [KEY_UPDATE, 0, 0, 1, 1] => true,
            [KEY_UPDATE, 0, 0, 1, _] => {
                return Err(Fault(AlertDescription::IllegalParameter, InvalidMessage::InvalidKeyUpdate.into()));
            }
            [KEY_UPDATE, 0, 0, 1, _, ..] => return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into()),
            [] => return Err(InvalidMessage::InvalidEmptyPayload.into()),
            _ => return Err(unexpected(ContentType::Handshake)),
        };
        let left = self.patience.keys.checked_sub(1);
        self.patience.keys = left.ok_or(PeerMisbehaved::TooManyKeyUpdateRequests)?;
        if is_asked && !self.has_answered {
            self.renew(false, out)?;
            self.has_answered = true;
        }
        let schedule = self.schedule.as_mut().ok_or(Error::HandshakeNotComplete)?;
        let (number, secret) = schedule.update_rx_secret()?;
        self.reading = Key::of(secret, number, true)?;
        Ok(())
    }

    /// Nobody begins again here. A client that asks once goes on without it.
    fn hear_renegotiation(&mut self, said: &[u8], out: &mut Option<Buffer>) -> Result<(), Fault> {
        if said.first() != Some(&CLIENT_HELLO) {
            return Err(unexpected(ContentType::Handshake));
        }
        let left = self.patience.renegotiations.checked_sub(1);
        self.patience.renegotiations = left.ok_or(PeerMisbehaved::TooManyRenegotiationRequests)?;
        let no = [WARNING, AlertDescription::NoRenegotiation.into()];
        self.say(ContentType::Alert, &no, out).map_err(Fault::from)
    }

    /// Seals as much as there is room for, in full records while there is enough, and says how much that was.
    ///
    /// # Errors
    /// The keys are used up, and there are no others.
    pub fn seal(&mut self, parts: &mut Parts<'_>, out: &mut Option<Buffer>) -> Result<usize, Error> {
        let mut taken = 0;
        while parts.left() > 0 {
            let size = parts.left().min(MOST_PLAIN);
            let length = self.writing.sealed(size);
            if out.get_or_insert_with(Buffer::spare).room().len() < length + ASIDE {
                break;
            }
            self.keep_keys_fresh(out)?;
            let out = out.get_or_insert_with(Buffer::spare);
            self.writing.seal_next(parts, size, &mut out.room()[..length])?;
            out.fill(length);
            taken += size;
            self.has_answered = false;
        }
        Ok(taken)
    }

    /// Before a key has sealed more than is safe there is another, or it is over.
    fn keep_keys_fresh(&mut self, out: &mut Option<Buffer>) -> Result<(), Error> {
        if self.writing.used().saturating_add(1) < self.most_sealed {
            return Ok(());
        }
        if self.schedule.is_some() {
            return self.renew(true, out);
        }
        self.say_end(out)?;
        Err(Error::EncryptError)
    }

    /// Says that what follows is sealed with the next key, and may ask for the same from the other side.
    fn renew(&mut self, is_asking: bool, out: &mut Option<Buffer>) -> Result<(), Error> {
        self.say(ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, is_asking.into()], out)?;
        let schedule = self.schedule.as_mut().ok_or(Error::HandshakeNotComplete)?;
        let (number, secret) = schedule.update_tx_secret()?;
        self.writing = Key::of(secret, number, true)?;
        Ok(())
    }

    /// Says that nothing more will come, once.
    pub fn say_end(&mut self, out: &mut Option<Buffer>) -> Result<(), Error> {
        if self.has_said_end {
            return Ok(());
        }
        self.has_said_end = true;
        self.say(ContentType::Alert, &[WARNING, AlertDescription::CloseNotify.into()], out)
    }

    fn say(&mut self, kind: ContentType, what: &[u8], out: &mut Option<Buffer>) -> Result<(), Error> {
        let out = out.get_or_insert_with(Buffer::spare);
        let length = self.writing.sealed(what.len());
        let record = out.room().get_mut(..length).ok_or(Error::EncryptError)?;
        self.writing.seal(kind, what, record)?;
        out.fill(length);
        Ok(())
    }
}

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;

fn length(header: [u8; HEADER]) -> usize {
    u16::from_be_bytes([header[3], header[4]]).into()
}

fn unexpected(got_type: ContentType) -> Fault {
    let expect_types = vec![ContentType::ApplicationData, ContentType::Alert];
    Fault(AlertDescription::UnexpectedMessage, Error::InappropriateMessage { expect_types, got_type })
}
