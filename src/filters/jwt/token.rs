//! Tokens (RFC 7519) as RFC 8725 wants them to be looked at: nothing in a token decides how it is verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{algorithm::Algorithm, keys::Keys};

/// Larger ones are none.
pub const LONGEST: usize = 8 * 1024;

/// What a token must be like.
#[derive(Debug)]
pub struct Rules {
    pub algorithms: Vec<Algorithm>,
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
    pub kind: Option<String>,
    /// Seconds.
    pub leeway: u64,
}

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Malformed,
    Kind,
    Algorithm,
    /// Of another issuer, or of one that has new keys.
    UnknownKey,
    Signature,
    Expired,
    Early,
    Issuer,
    Audience,
}

impl Flaw {
    /// In words that a client may read.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "the token is malformed",
            Self::Kind => "the token is of a kind that is not taken here",
            Self::Algorithm => "the token is signed in a way that is not taken here",
            Self::UnknownKey => "nobody who is known here has signed the token",
            Self::Signature => "the signature of the token is wrong",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for somebody else",
        }
    }
}

/// A token that was verified.
#[derive(Debug)]
pub struct Verified {
    pub claims: Map<String, Value>,
    /// Until when it holds, leeway included, in seconds since 1970.
    pub until: u64,
}

/// Verifies it, at this time in seconds since 1970.
///
/// # Errors
/// The first flaw; a signature is looked at before what it signs.
pub fn verify(token: &str, rules: &Rules, keys: &Keys, now: u64) -> Result<Verified, Flaw> {
    let (message, signature) = token.rsplit_once('.').ok_or(Flaw::Malformed)?;
    let (head, claims) = message.split_once('.').ok_or(Flaw::Malformed)?;
    if token.len() > LONGEST || claims.contains('.') {
        return Err(Flaw::Malformed);
    }
    let (algorithm, id) = read_head(&object(head)?, rules)?;
    let mut candidates = keys.candidates(id.as_deref(), algorithm).peekable();
    if candidates.peek().is_none() {
        return Err(Flaw::UnknownKey);
    }
    if !candidates.any(|key| key.verifies(signature, message, algorithm)) {
        return Err(Flaw::Signature);
    }
    let claims = object(claims)?;
    let until = check_claims(&claims, rules, now)?;
    Ok(Verified { claims, until })
}

/// The algorithm, which must be one that settings name, and the name of the key. `jku`, `jwk`, `x5u` and their kin are not
/// looked at: a token does not say whom to believe.
fn read_head(head: &Map<String, Value>, rules: &Rules) -> Result<(Algorithm, Option<String>), Flaw> {
    // Extensions that must be understood (RFC 7515, 4.1.11), and payloads that are not encoded (RFC 7797).
    if head.contains_key("crit") || head.contains_key("b64") || head.contains_key("zip") || head.contains_key("enc") {
        return Err(Flaw::Kind);
    }
    let kind = match head.get("typ") {
        None => None,
        Some(Value::String(kind)) => Some(kind.to_ascii_lowercase()),
        Some(_) => return Err(Flaw::Malformed),
    };
    let kind = kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    let is_taken = match &rules.kind {
        Some(wanted) => kind == Some(wanted.as_str()),
        None => matches!(kind, None | Some("jwt" | "at+jwt")),
    };
    if !is_taken {
        return Err(Flaw::Kind);
    }
    let named = head.get("alg").and_then(Value::as_str).ok_or(Flaw::Malformed)?;
    let algorithm = named.parse().map_err(|_| Flaw::Algorithm)?;
    if !rules.algorithms.contains(&algorithm) {
        return Err(Flaw::Algorithm);
    }
    match head.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err(Flaw::Malformed),
    }
}

/// Until when it holds.
fn check_claims(claims: &Map<String, Value>, rules: &Rules, now: u64) -> Result<u64, Flaw> {
    let until = seconds(claims, "exp")?.ok_or(Flaw::Malformed)?.saturating_add(rules.leeway);
    if until <= now {
        return Err(Flaw::Expired);
    }
    if seconds(claims, "nbf")?.is_some_and(|from| from > now.saturating_add(rules.leeway)) {
        return Err(Flaw::Early);
    }
    let issuer = claims.get("iss").and_then(Value::as_str);
    if !rules.issuers.is_empty() && !issuer.is_some_and(|issuer| rules.issuers.iter().any(|known| known == issuer)) {
        return Err(Flaw::Issuer);
    }
    let is_ours = |audience: &Value| rules.audiences.iter().any(|known| Some(known.as_str()) == audience.as_str());
    let is_meant = match claims.get("aud") {
        None | Some(Value::Null) => rules.audiences.is_empty(),
        Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
        // Who does not find himself there must refuse it (RFC 7519, 4.1.3).
        Some(audience) => is_ours(audience),
    };
    if is_meant { Ok(until) } else { Err(Flaw::Audience) }
}

/// A time (RFC 7519, 2): seconds, of which parts do not count.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Flaw> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
        // Saturates.
        Some(seconds as u64)
    });
    whole.map(Some).ok_or(Flaw::Malformed)
}

fn object(part: &str) -> Result<Map<String, Value>, Flaw> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Flaw::Malformed)
}

#[cfg(test)]
mod tests;
