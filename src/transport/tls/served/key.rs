//! Seals and opens single records: TLS 1.3 (RFC 8446, 5.2), and TLS 1.2 with AEAD (RFC 5246, 6.2.3.3; RFC 5288; RFC 7905).

use std::ops::Range;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved};
use smallvec::SmallVec;

use super::parts::Parts;

/// What every record begins with: its type, a version, and its length.
pub const HEADER: usize = 5;
/// Plaintext in one record.
pub const MOST_PLAIN: usize = 16 * 1024;
/// What a sealed record is longer by than what it says, at most.
pub const MOST_AROUND: usize = HEADER + EXPLICIT + TAG;
/// Of every suite here.
const TAG: usize = 16;
/// The part of a nonce that goes with the record in TLS 1.2 with GCM.
const EXPLICIT: usize = 8;
/// From here on a copy costs more than telling the cipher of two pieces.
const LARGE: usize = 2048;
/// `legacy_record_version` (RFC 8446, 5.1), and that of TLS 1.2.
const VERSION: [u8; 2] = [3, 3];

/// The key of one direction. It counts its records itself: with the same number never two are sealed.
pub struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// The number of the next record.
    next: u64,
    layout: Layout,
}

/// How a record looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Tls13,
    Tls12Gcm,
    Tls12ChaCha,
}

/// A record whose text is yet to be sealed.
struct Frame<'r> {
    nonce: Nonce,
    aad: Aad<SmallVec<[u8; 13]>>,
    /// The type, where it is sealed with the text.
    inner: Option<u8>,
    /// The text, the type, and the tag.
    sealed: &'r mut [u8],
}

/// What was opened in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain {
    pub kind: ContentType,
    /// Where it is in the record.
    pub at: Range<usize>,
}

impl Key {
    /// From what the handshake has agreed on. `next` is the number of the first record from here on.
    pub fn of(secrets: ConnectionTrafficSecrets, next: u64, is_tls13: bool) -> Result<Self, Error> {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
        let (algorithm, key, iv, old) = match &secrets {
            Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, Layout::Tls12Gcm),
            Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, Layout::Tls12Gcm),
            Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, Layout::Tls12ChaCha),
            _ => return Err(Error::General("a suite that nobody has offered".to_owned())),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Error::EncryptError)?;
        let iv = iv.as_ref().try_into().map_err(|_| Error::EncryptError)?;
        Ok(Self { key: LessSafeKey::new(key), iv, next, layout: if is_tls13 { Layout::Tls13 } else { old } })
    }

    /// How many records it has sealed or opened, with those of the handshake.
    pub const fn used(&self) -> u64 {
        self.next
    }

    /// As long as a record with so much in it is on the wire.
    pub const fn sealed(&self, plain: usize) -> usize {
        let around = match self.layout {
            Layout::Tls13 => 1,
            Layout::Tls12Gcm => EXPLICIT,
            Layout::Tls12ChaCha => 0,
        };
        HEADER + around + plain + TAG
    }

    /// The longest that the other side may send, without the header.
    pub const fn most(&self) -> usize {
        match self.layout {
            Layout::Tls13 => MOST_PLAIN + 256,
            Layout::Tls12Gcm | Layout::Tls12ChaCha => MOST_PLAIN + 2048,
        }
    }

    /// Fills `record`, which is [as long](Self::sealed) as it takes, with the next `size` bytes.
    pub fn seal_next(&mut self, parts: &mut Parts<'_>, size: usize, record: &mut [u8]) -> Result<(), Error> {
        let kind = ContentType::ApplicationData;
        if size >= LARGE
            && let Some(whole) = parts.take_whole(size)
        {
            return self.seal_from(kind, whole, record);
        }
        self.seal_in_place(kind, size, record, |into| parts.take_into(into))
    }

    /// The same with this, which is short.
    pub fn seal(&mut self, kind: ContentType, what: &[u8], record: &mut [u8]) -> Result<(), Error> {
        self.seal_in_place(kind, what.len(), record, |into| into.copy_from_slice(what))
    }

    /// With the type behind it, it is one text for the cipher, which a small record pays for once then.
    fn seal_in_place(
        &mut self,
        kind: ContentType,
        size: usize,
        record: &mut [u8],
        put: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        let Frame { nonce, aad, inner, sealed } = self.frame(kind, size, record)?;
        put(&mut sealed[..size]);
        if let Some(kind) = inner {
            sealed[size] = kind;
        }
        let (text, tag) = sealed.split_at_mut(sealed.len() - TAG);
        self.key.seal_in_place_scatter(nonce, aad, text, &[], tag).map_err(|_| Error::EncryptError)
    }

    /// Much text is not copied first.
    fn seal_from(&mut self, kind: ContentType, text: &[u8], record: &mut [u8]) -> Result<(), Error> {
        let Frame { nonce, aad, inner, sealed } = self.frame(kind, text.len(), record)?;
        let (body, behind) = sealed.split_at_mut(text.len());
        let sealed = self.key.seal_out_of_place_scatter(nonce, aad, text, body, inner.as_slice(), behind);
        sealed.map_err(|_| Error::EncryptError)
    }

    /// Writes what stands around what is said, and takes the number for it.
    fn frame<'r>(&mut self, kind: ContentType, size: usize, record: &'r mut [u8]) -> Result<Frame<'r>, Error> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(Error::EncryptError)?;
        let length = u16::try_from(record.len() - HEADER).map_err(|_| Error::EncryptError)?.to_be_bytes();
        let is_tls13 = self.layout == Layout::Tls13;
        let outer = if is_tls13 { ContentType::ApplicationData } else { kind };
        let header = [outer.into(), VERSION[0], VERSION[1], length[0], length[1]];
        let nonce = self.nonce(number);
        let (place, behind) = record.split_at_mut(HEADER);
        place.copy_from_slice(&header);
        let (explicit, sealed) = behind.split_at_mut(if self.layout == Layout::Tls12Gcm { EXPLICIT } else { 0 });
        explicit.copy_from_slice(&nonce[NONCE_LEN - explicit.len()..]);
        let aad = match is_tls13 {
            true => SmallVec::from_slice(&header),
            false => SmallVec::from(aad_of_tls12(number, header, size)),
        };
        let inner = is_tls13.then(|| kind.into());
        Ok(Frame { nonce: Nonce::assume_unique_for_key(nonce), aad: Aad::from(aad), inner, sealed })
    }

    /// Opens a whole record in place.
    pub fn open(&mut self, record: &mut [u8]) -> Result<Plain, Error> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(Error::DecryptError)?;
        let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(Error::DecryptError)?;
        match self.layout {
            Layout::Tls13 => {
                let nonce = Nonce::assume_unique_for_key(self.nonce(number));
                let opened = self.key.open_in_place(nonce, Aad::from(*header), body);
                without_padding(opened.map_err(|_| Error::DecryptError)?)
            }
            Layout::Tls12Gcm | Layout::Tls12ChaCha => {
                let explicit = if self.layout == Layout::Tls12Gcm { EXPLICIT } else { 0 };
                let size = body.len().checked_sub(explicit + TAG).ok_or(Error::DecryptError)?;
                let mut nonce = self.nonce(number);
                let (own, body) = body.split_at_mut(explicit);
                nonce[NONCE_LEN - explicit..].copy_from_slice(own);
                let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), aad_of_tls12(number, *header, size));
                self.key.open_in_place(nonce, Aad::from(aad), body).map_err(|_| Error::DecryptError)?;
                if size > MOST_PLAIN {
                    return Err(Error::PeerSentOversizedRecord);
                }
                let begin = HEADER + explicit;
                Ok(Plain { kind: header[0].into(), at: begin..begin + size })
            }
        }
    }

    /// The number laid over the fixed part (RFC 8446, 5.3).
    fn nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, over) in nonce[NONCE_LEN - 8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= over;
        }
        nonce
    }
}

/// What goes with a record and is not hidden (RFC 5246, 6.2.3.3).
fn aad_of_tls12(number: u64, header: [u8; HEADER], size: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&number.to_be_bytes());
    aad[8..11].copy_from_slice(&header[..3]);
    let size = u16::try_from(size).expect("a record's length is two bytes");
    aad[11..].copy_from_slice(&size.to_be_bytes());
    aad
}

/// The type is the last byte that is not zero (RFC 8446, 5.4).
fn without_padding(opened: &[u8]) -> Result<Plain, Error> {
    if opened.len() > MOST_PLAIN + 1 {
        return Err(Error::PeerSentOversizedRecord);
    }
    let end = opened.iter().rposition(|byte| *byte != 0).ok_or(PeerMisbehaved::IllegalTlsInnerPlaintext)?;
    Ok(Plain { kind: opened[end].into(), at: HEADER..HEADER + end })
}
