//! Origins (RFC 6454): a scheme, a host and a port, compared as such and never as text.

/// An origin as browsers write it: `https://shop.example`, `http://localhost:3000`, or `null` of who has none to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'o> {
    /// Of a sandboxed frame, a file, a redirect: anybody's.
    Null,
    /// Of a page.
    Tuple {
        /// In whatever case.
        scheme: &'o str,
        /// In whatever case.
        host: &'o str,
        /// The scheme's own if none is written; 0 if it has none.
        port: u16,
    },
}

/// Origins that are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    scheme: String,
    host: String,
    port: u16,
    /// Whatever is below this host, and not the host itself.
    below: bool,
    /// `null`.
    null: bool,
}

impl<'o> Origin<'o> {
    /// `None` of what is not written as an origin: with a path, a user, a dot at the end of the host, or two of them.
    pub fn parse(text: &'o str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, authority) = text.split_once("://")?;
        let may_begin = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        if !may_begin || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|literal| literal.split_once(']')) {
            Some((literal, port)) => (is_ipv6(literal).then(|| &authority[..literal.len() + 2])?, port),
            None => {
                let (host, port) = authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon));
                (is_host(host).then_some(host)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None if port.is_empty() => port_of(scheme),
            None => return None,
        };
        Some(Self::Tuple { scheme, host, port })
    }
}

fn port_of(scheme: &str) -> u16 {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => 443,
        _ if scheme.eq_ignore_ascii_case("http") => 80,
        _ => 0,
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.split('.').all(is_label)
}

fn is_ipv6(literal: &str) -> bool {
    literal.parse::<std::net::Ipv6Addr>().is_ok()
}

impl Pattern {
    /// `https://shop.example`, `https://*.shop.example:8443` or `null`.
    pub fn parse(text: &str) -> Option<Self> {
        let below = text.contains("://*.");
        let without = text.replacen("://*.", "://", 1);
        Some(match Origin::parse(&without)? {
            Origin::Null => Self { scheme: String::new(), host: String::new(), port: 0, below: false, null: true },
            // All that is below an address, or below a name without a dot such as `com`, is nobody's.
            Origin::Tuple { host, .. } if below && (!host.contains('.') || is_address(host)) => return None,
            Origin::Tuple { scheme, host, port } => {
                Self { scheme: scheme.to_ascii_lowercase(), host: host.to_ascii_lowercase(), port, below, null: false }
            }
        })
    }

    /// It is one of these.
    pub fn takes(&self, origin: Origin<'_>) -> bool {
        match origin {
            Origin::Null => self.null,
            Origin::Tuple { scheme, host, port } => {
                !self.null && self.port == port && self.scheme.eq_ignore_ascii_case(scheme) && self.takes_host(host)
            }
        }
    }

    fn takes_host(&self, host: &str) -> bool {
        if !self.below {
            return self.host.eq_ignore_ascii_case(host);
        }
        let Some((above, own)) = host.len().checked_sub(self.host.len()).and_then(|at| host.split_at_checked(at))
        else {
            return false;
        };
        own.eq_ignore_ascii_case(&self.host) && above.len() > 1 && above.ends_with('.')
    }
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, origin: &str) -> bool {
        let pattern = Pattern::parse(pattern).expect("a pattern");
        Origin::parse(origin).is_some_and(|origin| pattern.takes(origin))
    }

    #[test]
    fn an_origin_is_the_same_however_it_is_spelled() {
        for (pattern, origin) in [
            ("https://shop.example", "https://shop.example"),
            ("https://Shop.Example", "HTTPS://SHOP.example:443"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://*.shop.example", "https://a.shop.example"),
            ("https://*.shop.example", "https://a.b.SHOP.example"),
            ("https://*.shop.example:8443", "https://a.shop.example:8443"),
            ("app://shop", "app://shop"),
            ("null", "null"),
        ] {
            assert!(takes(pattern, origin), "{pattern} {origin}");
        }
    }

    #[test]
    fn an_origin_is_no_other() {
        for (pattern, origin) in [
            ("https://shop.example", "http://shop.example"),
            ("https://shop.example", "https://shop.example:8443"),
            ("https://shop.example", "https://shop.example."),
            ("https://shop.example", "https://shop.example/"),
            ("https://shop.example", "https://shop.example.evil.example"),
            ("https://shop.example", "https://evil.example/https://shop.example"),
            ("https://shop.example", "https://shop.example@evil.example"),
            ("https://shop.example", "https://evilshop.example"),
            ("https://shop.example", "https://a.shop.example"),
            ("https://shop.example", "https://shop.example https://evil.example"),
            ("https://shop.example", "https://shop.example,https://evil.example"),
            ("https://shop.example", "https://shop.example:"),
            ("https://shop.example", "https://shop.example:0443x"),
            ("https://shop.example", "https://shop%2eexample"),
            ("https://shop.example", "https:shop.example"),
            ("https://shop.example", "shop.example"),
            ("https://shop.example", "null"),
            ("https://shop.example", "NULL"),
            ("https://shop.example", ""),
            ("https://*.shop.example", "https://shop.example"),
            ("https://*.shop.example", "https://.shop.example"),
            ("https://*.shop.example", "https://evilshop.example"),
            ("https://*.shop.example", "https://evil.example/.shop.example"),
            ("https://*.shop.example", "https://evil.example?.shop.example"),
            ("https://*.shop.example", "https://evil.example\\.shop.example"),
            ("https://*.shop.example", "https://a..shop.example"),
            ("https://*.shop.example", "http://a.shop.example"),
            ("http://[::1]", "http://[::1"),
            ("http://[::1]", "http://[::1]evil.example"),
            ("null", "https://null"),
        ] {
            assert!(!takes(pattern, origin), "{pattern} {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_no_pattern() {
        for text in [
            "",
            "*",
            "shop.example",
            "https://",
            "https://*",
            "https://*.",
            "https://*.com",
            "https://a.*.b",
            "https://*.10.0.0.1",
            "https://shop.example/",
            "https://a b",
            "://a",
            "1a://b",
            "*://a.example",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
