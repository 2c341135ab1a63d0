//! Keys that tokens are verified with: of a file, a set from an issuer (RFC 7517), or a secret.

use jsonwebtoken::{
    Algorithm as Known, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

use super::algorithm::{Algorithm, PublicKey};

/// More keys than an issuer has.
const MOST: usize = 100;

/// Keys, each with what it may verify.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: PublicKey,
}

impl Keys {
    /// The secret that signs and verifies.
    pub fn secret(secret: &[u8]) -> Self {
        let algorithms = Algorithm::of(AlgorithmFamily::Hmac).collect();
        Self(vec![Key { id: None, algorithms, key: PublicKey::Known(DecodingKey::from_secret(secret)) }])
    }

    /// Of a set: those that are understood and are for signatures. Secrets in it are none: a set is public.
    ///
    /// # Errors
    /// It is no set, or has no key that will do.
    pub fn set(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("not a set of keys: it has no array `keys`")?;
        if keys.len() > MOST {
            return Err(format!("more than {MOST} keys"));
        }
        let usable: Vec<_> = keys.iter().filter_map(of_set).collect();
        if usable.is_empty() { Err("it has no key that can verify signatures".into()) } else { Ok(Self(usable)) }
    }

    /// Of a file: a set, or public keys in PEM.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is shown.
    pub fn file(text: &[u8]) -> Result<Self, String> {
        if text.trim_ascii_start().starts_with(b"{") {
            return Self::set(text);
        }
        let text = std::str::from_utf8(text).map_err(|_| "neither a set of keys nor PEM")?;
        if text.contains("PRIVATE KEY-----") {
            return Err("it has a private key: who verifies must not be able to sign".into());
        }
        let blocks = text.split_inclusive("-----END PUBLIC KEY-----").filter(|block| block.contains("-----BEGIN"));
        let keys: Vec<_> = blocks.map(|block| of_pem(block.trim_start())).collect::<Option<_>>().unwrap_or_default();
        if keys.is_empty() { Err("it has no public key that is understood".into()) } else { Ok(Self(keys)) }
    }

    /// Those that may have signed a token with this header: of this name, if it names one, and for this algorithm.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &PublicKey> {
        let is_meant = move |key: &&Key| {
            let by_name = match (id, &key.id) {
                (Some(id), Some(known)) => id == known,
                // A key without a name may be any.
                (None, _) | (_, None) => true,
            };
            by_name && key.algorithms.contains(&algorithm) && key.key.is_for(algorithm)
        };
        self.0.iter().filter(is_meant).map(|key| &key.key)
    }
}

fn of_set(written: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(written.clone()).ok()?;
    let common = &jwk.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::of(AlgorithmFamily::Rsa).collect(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Known::ES256.into()],
            EllipticCurve::P384 => vec![Known::ES384.into()],
            EllipticCurve::P521 => vec![Algorithm::Es512],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Known::EdDSA.into()],
        _ => return None,
    };
    if let Some(named) = written.get("alg") {
        let named: Algorithm = named.as_str()?.parse().ok()?;
        algorithms.retain(|algorithm| *algorithm == named);
    }
    let key = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P521 => PublicKey::p521(&key.x, &key.y)?,
        _ => PublicKey::Known(DecodingKey::from_jwk(&jwk).ok()?),
    };
    (!algorithms.is_empty()).then(|| Key { id: common.key_id.clone(), algorithms, key })
}

fn of_pem(block: &str) -> Option<Key> {
    if let Some(key) = PublicKey::p521_of_pem(block) {
        return Some(Key { id: None, algorithms: vec![Algorithm::Es512], key });
    }
    let block = block.as_bytes();
    let rsa = || DecodingKey::from_rsa_pem(block).ok();
    let key =
        rsa().or_else(|| DecodingKey::from_ec_pem(block).ok()).or_else(|| DecodingKey::from_ed_pem(block).ok())?;
    let algorithms = key.family().algorithms().iter().copied().map(Algorithm::Known).collect();
    Some(Key { id: None, algorithms, key: PublicKey::Known(key) })
}

#[cfg(test)]
mod tests;
