//! The URLs of endpoints and route targets.

use std::path::PathBuf;

use super::Address;
use crate::http::{
    Uri,
    path::{self, Policy},
};

/// `http://HOST[:PORT][/BASE]`, the same with `https`, or `http+unix:PATH`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointUrl {
    /// Where to connect.
    pub address: Address,
    /// `https`.
    pub is_tls: bool,
    /// What to call it in `Host`.
    pub authority: String,
    /// The path in front of every request's, without a slash at its end; empty for none.
    pub base: String,
}

/// Looks like a URL, not like the name of an upstream.
pub fn is_url(text: &str) -> bool {
    text.contains("://") || text.starts_with("http+unix:")
}

/// Takes a URL apart, or says what is wrong with it.
pub fn parse(text: &str) -> Result<EndpointUrl, String> {
    if let Some(path) = text.strip_prefix("http+unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path.contains('\0') {
            return Err(format!("`{text}` does not name a socket by an absolute path"));
        }
        return Ok(EndpointUrl {
            address: Address::Unix(PathBuf::from(path)),
            is_tls: false,
            authority: "localhost".into(),
            base: String::new(),
        });
    }
    let uri: Uri = text.parse().map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("`{other}:` is not a scheme to send requests by")),
        None => return Err(format!("`{text}` has no scheme")),
    };
    let authority = uri.authority().ok_or_else(|| format!("`{text}` names no host"))?;
    if authority.as_str().contains('@') {
        return Err(format!("`{}` holds credentials; a URL here must not", authority.host()));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(format!("`{text}` has a query or fragment; only a path may stand behind the host"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port_text = &authority.as_str()[authority.host().len()..];
    let port = match port_text.strip_prefix(':') {
        None if is_tls => 443,
        None => 80,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 => port,
            // A password whose `/` or `?` was not encoded.
            _ if text.contains('@') => return Err("this URL holds credentials; a URL here must not".into()),
            _ => return Err(format!("`{digits}` is not a port")),
        },
    };
    if host.is_empty() {
        return Err(format!("`{text}` names no host"));
    }
    // An encoded slash is the operator's own word here, not a client's.
    let policy = Policy { keep_encoded_slash: true, ..Policy::default() };
    let path =
        path::normalize(uri.path(), &policy).map_err(|what| format!("the path of `{text}` cannot be used: {what}"))?;
    let base = path.trim_end_matches('/').to_owned();
    Ok(EndpointUrl {
        address: Address::Tcp { host: host.into(), port },
        is_tls,
        authority: authority.as_str().to_owned(),
        base,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (text, address, authority, base) in [
            ("http://localhost:8000", tcp("localhost", 8000), "localhost:8000", ""),
            ("http://10.0.0.1", tcp("10.0.0.1", 80), "10.0.0.1", ""),
            ("http://[::1]:81/", tcp("::1", 81), "[::1]:81", ""),
            ("http://app/base/", tcp("app", 80), "app", "/base"),
            ("https://app/base", tcp("app", 443), "app", "/base"),
            ("https://[::1]:8443", tcp("::1", 8443), "[::1]:8443", ""),
            ("http://app/base/%7e/../a%2fb", tcp("app", 80), "app", "/base/a%2Fb"),
            ("http+unix:/run/app.sock", Address::Unix("/run/app.sock".into()), "localhost", ""),
            ("http+unix:///run/app.sock", Address::Unix("/run/app.sock".into()), "localhost", ""),
        ] {
            let is_tls = text.starts_with("https:");
            let expected = EndpointUrl { address, is_tls, authority: authority.into(), base: base.into() };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (text, expected) in [
            ("ftp://app", "`ftp:` is not a scheme"),
            ("http://", "not a URL"),
            ("http://user:secret@app", "holds credentials"),
            ("http://user:secret/2@app", "holds credentials"),
            ("http://app/%zz/../x", "an incomplete percent-encoding"),
            ("http://app/a\\b", "a backslash"),
            ("http://app:0", "`0` is not a port"),
            ("http://app:99999", "`99999` is not a port"),
            ("http://app/?q=1", "has a query"),
            ("http+unix:run/app.sock", "absolute path"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(expected), "{text}: {problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
