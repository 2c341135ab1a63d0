//! How tokens are signed (RFC 7518, 3.1; RFC 8037): what jsonwebtoken knows, and ES512, which it does not.

use std::{iter, str::FromStr};

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, ParsedPublicKey};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm as Known, AlgorithmFamily as Family, DecodingKey, crypto};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// One that jsonwebtoken verifies.
    Known(Known),
    /// ECDSA with P-521 and SHA-512.
    Es512,
}

/// Text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAlgorithm;

impl Algorithm {
    /// Those of a family.
    pub fn of(family: Family) -> impl Iterator<Item = Self> {
        let es512 = iter::repeat_n(Self::Es512, usize::from(family == Family::Ec));
        let known: Vec<_> = family.algorithms().iter().copied().map(Self::Known).collect();
        known.into_iter().chain(es512)
    }

    /// What they have in common is what a key is.
    pub fn family(self) -> Family {
        match self {
            Self::Known(known) => known.family(),
            Self::Es512 => Family::Ec,
        }
    }
}

impl From<Known> for Algorithm {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl FromStr for Algorithm {
    type Err = NoAlgorithm;

    fn from_str(text: &str) -> Result<Self, NoAlgorithm> {
        match text {
            "ES512" => Ok(Self::Es512),
            other => other.parse().map(Self::Known).map_err(|_| NoAlgorithm),
        }
    }
}

/// What a signature is verified with.
#[derive(Debug)]
pub enum PublicKey {
    /// By jsonwebtoken.
    Known(DecodingKey),
    /// A point on P-521.
    P521(ParsedPublicKey),
}

/// Bytes of one coordinate of P-521 (RFC 7518, 6.2.1.2).
const P521: usize = 66;

impl PublicKey {
    /// The point with these coordinates on P-521, as a set of keys has them.
    pub fn p521(x: &str, y: &str) -> Option<Self> {
        let coordinate = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == P521);
        // Not compressed (SEC 1, 2.3.3).
        let point = [vec![4], coordinate(x)?, coordinate(y)?].concat();
        ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).ok().map(Self::P521)
    }

    /// A block of PEM with a key on P-521.
    pub fn p521_of_pem(block: &str) -> Option<Self> {
        let body: String = block.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).ok()?;
        ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, der).ok().map(Self::P521)
    }

    /// The algorithms that it may be for.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Known(key), Algorithm::Known(known)) => key.family() == known.family(),
            (Self::P521(_), Algorithm::Es512) => true,
            (Self::Known(_), Algorithm::Es512) | (Self::P521(_), Algorithm::Known(_)) => false,
        }
    }

    /// This is the signature of the message.
    pub fn verifies(&self, signature: &str, message: &str, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Known(key), Algorithm::Known(known)) => {
                crypto::verify(signature, message.as_bytes(), key, known).unwrap_or(false)
            }
            (Self::P521(key), Algorithm::Es512) => {
                let signature = URL_SAFE_NO_PAD.decode(signature);
                signature.is_ok_and(|signature| key.verify_sig(message.as_bytes(), &signature).is_ok())
            }
            (Self::Known(_), Algorithm::Es512) | (Self::P521(_), Algorithm::Known(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::AsDer,
        rand::SystemRandom,
        signature::{ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::*;

    fn signed(pair: &EcdsaKeyPair, message: &str) -> String {
        URL_SAFE_NO_PAD.encode(pair.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature"))
    }

    #[test]
    fn a_key_on_the_largest_curve_is_one_however_it_is_written_and_for_its_own_algorithm() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(P521);
        let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
        let signature = signed(&pair, "a.b");

        for key in [
            PublicKey::p521(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y)).expect("a key"),
            PublicKey::p521_of_pem(&pem).expect("a key"),
        ] {
            assert!(key.verifies(&signature, "a.b", Algorithm::Es512));
            assert!(!key.verifies(&signature, "a.c", Algorithm::Es512));
            assert!(!key.verifies("", "a.b", Algorithm::Es512));
            assert!(!key.verifies(&format!("{signature}="), "a.b", Algorithm::Es512));
            assert!(!key.verifies(&signature, "a.b", Known::ES256.into()));
            assert!(!key.verifies(&signature, "a.b", Known::HS512.into()));
        }
        assert!(PublicKey::p521(&URL_SAFE_NO_PAD.encode(y), &URL_SAFE_NO_PAD.encode(x)).is_none(), "no point of it");
    }

    #[test]
    fn a_signature_has_two_numbers_of_fixed_length_and_no_more() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(P521);
        let key = PublicKey::p521(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y)).expect("a key");

        assert!(!key.verifies(&signed(&pair, "a.b"), "a.b", Algorithm::Es512), "not as certificates have it");
    }

    #[test]
    fn an_algorithm_is_called_as_the_register_has_it() {
        for (name, expected) in [
            ("ES512", Ok(Algorithm::Es512)),
            ("ES256", Ok(Known::ES256.into())),
            ("es512", Err(NoAlgorithm)),
            ("none", Err(NoAlgorithm)),
            ("", Err(NoAlgorithm)),
        ] {
            assert_eq!(name.parse::<Algorithm>(), expected, "{name}");
        }
        assert_eq!(Algorithm::of(Family::Ec).count(), 3);
        assert!(!Algorithm::of(Family::Hmac).any(|algorithm| algorithm == Algorithm::Es512));
    }
}
