//! Which of the fields that decide about a message it has: found by one look at each name, where a search for each of
//! them would cost more than all the rest of a small message.

use super::{HeaderMap, HeaderName, forwarded, header, headers};

/// A set of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u16);

impl Marks {
    /// `Content-Length`.
    pub const CONTENT_LENGTH: Self = Self(1);
    /// `Transfer-Encoding`.
    pub const TRANSFER_ENCODING: Self = Self(1 << 1);
    /// `Connection`.
    pub const CONNECTION: Self = Self(1 << 2);
    /// `Expect`.
    pub const EXPECT: Self = Self(1 << 3);
    /// `TE`.
    pub const TE: Self = Self(1 << 4);
    /// `Upgrade`.
    pub const UPGRADE: Self = Self(1 << 5);
    /// `Via`.
    pub const VIA: Self = Self(1 << 6);
    /// Another field that belongs to one connection.
    pub const OTHER_HOP: Self = Self(1 << 7);
    /// A field that tells who asks, or what the request is called.
    pub const TELLS: Self = Self(1 << 8);
    /// A name with `_`. Only who reads names letter by letter tells of it.
    pub const UNDERSCORE: Self = Self(1 << 9);

    /// Those of any field that belongs to one connection.
    pub const HOP_BY_HOP: Self =
        Self::TRANSFER_ENCODING.and(Self::CONNECTION).and(Self::TE).and(Self::UPGRADE).and(Self::OTHER_HOP);

    /// Those of a whole section.
    pub fn of(fields: &HeaderMap) -> Self {
        fields.keys().fold(Self::default(), |marks, name| marks.and(Self::of_name(name)))
    }

    /// That of one field, if it has one.
    pub fn of_name(name: &HeaderName) -> Self {
        match name {
            name if *name == header::CONTENT_LENGTH => Self::CONTENT_LENGTH,
            name if *name == header::TRANSFER_ENCODING => Self::TRANSFER_ENCODING,
            name if *name == header::CONNECTION => Self::CONNECTION,
            name if *name == header::EXPECT => Self::EXPECT,
            name if *name == header::TE => Self::TE,
            name if *name == header::UPGRADE => Self::UPGRADE,
            name if *name == header::VIA => Self::VIA,
            name if is_plain(name) => Self::default(),
            name if headers::is_hop_by_hop(name) => Self::OTHER_HOP,
            name if *name == headers::REQUEST_ID || forwarded::is_ours(name) => Self::TELLS,
            _ => Self::default(),
        }
    }

    /// These and those.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// At least one of these is there.
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }
}

/// The most usual ones that say nothing of the kind.
fn is_plain(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::USER_AGENT
        || *name == header::ACCEPT
        || *name == header::SERVER
        || *name == header::DATE
        || *name == header::CONTENT_TYPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderValue;

    #[test]
    fn every_field_that_decides_has_its_mark() {
        for (name, expected) in [
            ("content-length", Marks::CONTENT_LENGTH),
            ("transfer-encoding", Marks::TRANSFER_ENCODING),
            ("connection", Marks::CONNECTION),
            ("expect", Marks::EXPECT),
            ("te", Marks::TE),
            ("upgrade", Marks::UPGRADE),
            ("via", Marks::VIA),
            ("keep-alive", Marks::OTHER_HOP),
            ("proxy-connection", Marks::OTHER_HOP),
            ("trailer", Marks::OTHER_HOP),
            ("http2-settings", Marks::OTHER_HOP),
            ("x-request-id", Marks::TELLS),
            ("forwarded", Marks::TELLS),
            ("x_forwarded_for", Marks::TELLS),
            ("x-real-ip", Marks::TELLS),
            ("client-cert", Marks::TELLS),
            ("client-cert-chain", Marks::TELLS),
            ("client-certificates", Marks::default()),
            ("x_client_cert", Marks::TELLS),
            ("x-ssl-client-s-dn", Marks::TELLS),
            ("ssl_client_verify", Marks::TELLS),
            ("host", Marks::default()),
            ("date", Marks::default()),
            ("x-own", Marks::default()),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(Marks::of_name(&name), expected, "{name}");
            assert_eq!(Marks::HOP_BY_HOP.has(expected), headers::is_hop_by_hop(&name), "{name}");
        }
        let fields = [(header::VIA, "1.1 a"), (header::HOST, "a"), (header::TE, "trailers")];
        let fields = HeaderMap::from_iter(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
        assert_eq!(Marks::of(&fields), Marks::VIA.and(Marks::TE));
    }
}
