//! `Cache-Status` (RFC 9211): what this cache has done with a request.

use std::fmt::Write;

use crate::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, scratch};

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went on to the endpoint (2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache is not for it.
    Bypass,
    /// Its method does not allow anything else.
    Method,
    /// Nothing is stored under its key.
    UriMiss,
    /// What is stored there is for requests with other fields.
    VaryMiss,
    /// Nothing that is stored can be used, for whatever reason.
    Miss,
    /// What is stored could be used, but the client wishes otherwise.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is not all that was asked for.
    Partial,
}

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// What was done with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Why it went on; without it what is stored has answered it.
    pub forward: Option<Forward>,
    /// What the endpoint has answered, if the client gets something else.
    pub forward_status: Option<StatusCode>,
    /// How many seconds the answer is fresh yet; negative if it is stale.
    pub ttl: Option<i64>,
    /// The endpoint's answer was stored.
    pub is_stored: bool,
    /// It was answered by what another request was sent on for.
    pub is_collapsed: bool,
    /// What it is stored under, where that is no secret.
    pub key: Option<String>,
    /// Nothing was stored that would do, and nobody was asked (`only-if-cached`).
    pub has_nothing: bool,
    /// What else there is to say.
    pub detail: Option<&'static str>,
}

impl CacheStatus {
    /// Adds it behind what caches nearer to the endpoint have said.
    pub fn append(&self, headers: &mut HeaderMap) {
        let mut text = scratch::text();
        self.write(&mut text);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(CACHE_STATUS, value);
        }
        scratch::give_back_text(text);
    }

    fn write(&self, text: &mut String) {
        text.push_str("aqueduct");
        match self.forward {
            Some(forward) => {
                put(text, "fwd", forward.token());
                if let Some(status) = self.forward_status {
                    put(text, "fwd-status", status.as_str());
                }
            }
            None if self.has_nothing => {}
            None => text.push_str("; hit"),
        }
        if let Some(ttl) = self.ttl {
            put(text, "ttl", itoa::Buffer::new().format(ttl));
        }
        if self.is_stored {
            text.push_str("; stored");
        }
        if self.is_collapsed {
            text.push_str("; collapsed");
        }
        if let Some(key) = &self.key {
            put_string(text, "key", key);
        }
        if let Some(detail) = self.detail {
            put_string(text, "detail", detail);
        }
    }
}

fn put(text: &mut String, name: &str, value: &str) {
    for part in ["; ", name, "=", value] {
        text.push_str(part);
    }
}

/// As a string of a structured field, which is visible ASCII.
fn put_string(text: &mut String, name: &str, value: &str) {
    put(text, name, "\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            ' '..='~' => text.push(letter),
            _ => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    // To a string nothing can be lost.
                    let _ = write!(text, "%{byte:02x}");
                }
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: &CacheStatus) -> String {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_STATUS, HeaderValue::from_static("origin; hit"));
        status.append(&mut headers);
        headers.get_all(CACHE_STATUS).nth(1).expect("a line").to_str().expect("text").to_owned()
    }

    #[test]
    fn it_says_what_was_done() {
        let hit = CacheStatus { ttl: Some(-3), ..CacheStatus::default() };
        let miss = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(StatusCode::NOT_MODIFIED),
            is_stored: true,
            is_collapsed: true,
            ..CacheStatus::default()
        };
        let refused =
            CacheStatus { forward: Some(Forward::UriMiss), detail: Some("no-store"), ..CacheStatus::default() };

        assert_eq!(written(&hit), "aqueduct; hit; ttl=-3");
        assert_eq!(written(&miss), "aqueduct; fwd=stale; fwd-status=304; stored; collapsed");
        assert_eq!(written(&refused), "aqueduct; fwd=uri-miss; detail=\"no-store\"");
        assert_eq!(written(&CacheStatus { has_nothing: true, ..CacheStatus::default() }), "aqueduct");
    }

    #[test]
    fn a_key_cannot_break_out_of_its_string() {
        let status = CacheStatus { key: Some("a\"b\\c\n\u{e9}; hit".to_owned()), ..CacheStatus::default() };

        assert_eq!(written(&status), "aqueduct; hit; key=\"a\\\"b\\\\c%0a%c3%a9; hit\"");
    }
}
