//! What must not be shown: by the name of its key, or as the password in a URL.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use regex::Regex;

/// What stands in for a secret.
pub(super) const HIDDEN: &str = "***";

/// The last words of keys whose values are secrets.
const SECRET_WORDS: [&str; 16] = [
    "secret",
    "secrets",
    "password",
    "passwd",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "credentials",
    "authorization",
    "cookie",
    "signature",
    "access_key",
    "secret_key",
    "signing_key",
    "passphrase",
];

/// Passwords as people write them, without encoding what must be encoded. Behind a colon that begins no port all is
/// password up to the last `@`, slashes too; else up to the last `@` before the path.
static USER_INFO: LazyLock<Regex> = LazyLock::new(|| {
    let text = r#"://([^\s"'/?@:\[]*:(?:[/?]|[0-9]*[^0-9/?\s"'])[^\s"']*|[^/?\s"']+)@"#;
    Regex::new(text).expect("a constant that compiles")
});

/// What is written under the filter `api_key`: where keys are, and what they are called.
const SETTINGS_OF_API_KEY: [&str; 8] = ["keys", "header", "query", "cookie", "realm", "pass_on", "forward", "require"];

/// Whether what this path holds must not be shown. Naming where a secret is kept gives nothing away.
pub(super) fn is_secret<K: AsRef<str>>(path: &[K]) -> bool {
    let reference = path.last().is_some_and(|key| matches!(key.as_ref(), "env" | "file"));
    let holds = |at: usize| is_secret_key(path[at].as_ref()) && !is_called_so_alone(path, at);
    !reference && (0..path.len()).any(holds)
}

/// Whether the key here is only called as a secret would be.
fn is_called_so_alone<K: AsRef<str>>(path: &[K], at: usize) -> bool {
    let key = |at: usize| path.get(at).map(AsRef::as_ref);
    match path[at].as_ref() {
        // A filter; what is unknown in it may be anything.
        "api_key" => key(at + 1).is_some_and(|inner| SETTINGS_OF_API_KEY.contains(&inner)),
        // What a cookie is called, every client is told.
        "cookie" => {
            let table = at.checked_sub(1).and_then(key);
            at + 1 == path.len() && table.is_some_and(|table| matches!(table, "sticky" | "jwt" | "api_key"))
        }
        _ => false,
    }
}

/// Whether a key of this name holds a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    // `basic_auth` is a table; `x-internal-auth` is a header field.
    let is_field_for_it = key.starts_with("x_") && key.ends_with("_auth");
    let has = |word: &&str| key.strip_suffix(*word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    is_field_for_it || SECRET_WORDS.iter().any(has)
}

/// Whether a line that could not be read seems to set a secret.
pub(super) fn may_set_a_secret(line: &str) -> bool {
    let Some((keys, _)) = line.rsplit_once('=') else { return false };
    keys.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).any(is_secret_key)
}

/// Where the user and password of a URL stand in a text.
pub(super) fn user_info(text: &str) -> impl Iterator<Item = Range<usize>> {
    USER_INFO.captures_iter(text).filter_map(|found| found.get(1).map(|user| user.range()))
}

/// The text without the users and passwords of its URLs.
pub(super) fn without_user_info(text: &str) -> Cow<'_, str> {
    USER_INFO.replace_all(text, "://***@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_keys() {
        for key in [
            "token",
            "admin_token",
            "x-api-key",
            "Authorization",
            "client_secret",
            "cookie",
            "Set-Cookie",
            "x-access-key",
            "X-Signature",
            "aws_secret_key",
            "x-internal-auth",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["key", "tokens", "max_body", "secretary", "path", "cookies_kept", "headers", "basic_auth"] {
            assert!(!is_secret_key(key), "{key}");
        }
        assert!(is_secret(&["sticky", "secret", "0"]));
        assert!(!is_secret(&["sticky", "secret", "env"]));
        assert!(!is_secret(&["upstreams", "shop", "sticky", "cookie"]));
    }

    #[test]
    fn what_is_only_called_like_a_secret_is_shown() {
        for path in [
            &["routes", "/api", "api_key", "keys"][..],
            &["policies", "api", "auth", "any", "0", "api_key", "cookie"],
            &["defaults", "api_key", "forward", "x-user"],
            &["routes", "/api", "jwt", "cookie"],
            &["upstreams", "shop", "sticky", "cookie"],
        ] {
            assert!(!is_secret(path), "{path:?}");
        }
        for path in [
            &["routes", "/api", "api_key"][..],
            &["routes", "/api", "api_key", "0"],
            &["routes", "/api", "api_key", "key"],
            &["routes", "/api", "api_key", "keys", "token"],
            &["routes", "/api", "jwt", "secret"],
            &["routes", "/api", "jwt", "cookie", "0"],
            &["routes", "/api", "header_rules", "request", "set", "cookie"],
            &["routes", "/api", "api_key", "forward", "x-api-key"],
        ] {
            assert!(is_secret(path), "{path:?}");
        }
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, expected) in [
            ("to \"http://me:hunter2@host/\"", "to \"http://***@host/\""),
            ("http://me:hun@ter2@host/", "http://***@host/"),
            ("http://me:hun#ter2@host", "http://***@host"),
            ("http://me:hun/ter2@host:80/", "http://***@host:80/"),
            ("http://me:/hunter2@host", "http://***@host"),
            ("http://me:h@n/ter?2@host/a", "http://***@host/a"),
            ("[\"http://hunter2@a\", 'http://me:hun@ter2@b'] # x@y", "[\"http://***@a\", 'http://***@b'] # x@y"),
        ] {
            assert_eq!(without_user_info(text), expected);
        }
    }

    #[test]
    fn an_at_sign_in_a_path_hides_nothing() {
        for text in ["http://host/@me", "http://host:80/a@b", "http://[::1]:80/@me", "http://host/?to=@me", "me@host"] {
            assert_eq!(without_user_info(text), text);
        }
    }
}
