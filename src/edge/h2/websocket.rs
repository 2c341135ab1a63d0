//! WebSocket over HTTP/2 (RFC 8441): an extended CONNECT is to the App what an upgrade is in HTTP/1.1 (RFC 6455, 4).

use std::hash::{BuildHasher, RandomState};

use actix_http::ws;

use crate::http::{HeaderMap, HeaderName, HeaderValue, header};

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What an upgrade has and an extended CONNECT has not.
pub struct Upgrade {
    key: [u8; KEY_LENGTH],
}

/// Sixteen bytes in base64.
const KEY_LENGTH: usize = 24;

impl Upgrade {
    /// Asks for it. The key proves that whoever agrees has read this very request, and is no secret.
    pub fn ask(fields: &mut HeaderMap) -> Self {
        let random = || RandomState::new().hash_one(()).to_be_bytes();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&random());
        nonce[8..].copy_from_slice(&random());
        let key = base64(nonce);
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(KEY, HeaderValue::from_bytes(&key).expect("letters and digits are text"));
        Self { key }
    }

    /// The answer agrees, and to this. What says so goes: HTTP/2 says it with 200 (RFC 8441, 5).
    pub fn is_agreed(&self, fields: &mut HeaderMap) -> bool {
        let expected = ws::hash_key(&self.key);
        let mut agreed = fields.get_all(ACCEPT);
        let is_right = agreed.next().is_some_and(|accept| accept.as_bytes().trim_ascii() == expected);
        let is_right = is_right && agreed.next().is_none();
        fields.remove(ACCEPT);
        is_right
    }
}

/// RFC 4648, 4.
fn base64(bytes: [u8; 16]) -> [u8; KEY_LENGTH] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = [b'='; KEY_LENGTH];
    for (three, four) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for (place, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
            *digit = DIGITS[(bits >> (18 - 6 * place) & 0x3f) as usize];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        // RFC 6455, 1.3.
        assert_eq!(&base64(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&base64([0xff; 16]), b"/////////////////////w==");
    }

    #[test]
    fn only_the_answer_to_this_very_key_agrees() {
        let upgrade = Upgrade { key: *b"dGhlIHNhbXBsZSBub25jZQ==" };
        for (accepts, is_agreed) in [
            (&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="][..], true),
            (&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], false),
            (&["AAAAAAAAAAAAAAAAAAAAAAAAAAA="], false),
            (&[], false),
        ] {
            let mut fields = HeaderMap::new();
            for accept in accepts {
                fields.append(ACCEPT, HeaderValue::from_static(accept));
            }

            assert_eq!(upgrade.is_agreed(&mut fields), is_agreed, "{accepts:?}");
            assert!(!fields.contains_key(ACCEPT));
        }
    }

    #[test]
    fn no_two_requests_have_the_same_key() {
        let (mut first, mut second) = (HeaderMap::new(), HeaderMap::new());
        Upgrade::ask(&mut first);
        Upgrade::ask(&mut second);
        assert_ne!(first.get(KEY), second.get(KEY));
    }
}
