//! What a line may tell, by name.

use crate::http::{HeaderName, client_certificate::Part, header};

/// One thing that is known of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    TimeClf,
    Client,
    Peer,
    Method,
    Path,
    Protocol,
    Host,
    Status,
    BytesOut,
    Duration,
    FirstByte,
    Route,
    Upstream,
    Endpoint,
    Attempts,
    Hedged,
    Reused,
    Error,
    Detail,
    RequestId,
    Referer,
    UserAgent,
    Header(HeaderName),
    /// What the client's certificate tells.
    Certificate(Part),
}

/// All that have one name, in the order in which JSON has them.
pub(super) const FIELDS: [(&str, Field); 23] = [
    ("time", Field::Time),
    ("time_clf", Field::TimeClf),
    ("client", Field::Client),
    ("peer", Field::Peer),
    ("method", Field::Method),
    ("path", Field::Path),
    ("protocol", Field::Protocol),
    ("host", Field::Host),
    ("status", Field::Status),
    ("bytes_out", Field::BytesOut),
    ("duration", Field::Duration),
    ("first_byte", Field::FirstByte),
    ("route", Field::Route),
    ("upstream", Field::Upstream),
    ("endpoint", Field::Endpoint),
    ("attempts", Field::Attempts),
    ("hedged", Field::Hedged),
    ("reused", Field::Reused),
    ("error", Field::Error),
    ("detail", Field::Detail),
    ("request_id", Field::RequestId),
    ("referer", Field::Referer),
    ("user_agent", Field::UserAgent),
];

impl Field {
    /// The field of this name; `header.NAME` is a field of the request, `client_cert.NAME` what the client's certificate
    /// tells.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(part) = Part::named(name) {
            return Some(Self::Certificate(part));
        }
        if let Some(header) = name.strip_prefix("header.") {
            return HeaderName::from_bytes(header.as_bytes()).ok().map(Self::Header);
        }
        FIELDS.into_iter().find(|(own, _)| *own == name).map(|(_, field)| field)
    }

    /// The field of the request that this one shows.
    pub(super) fn header_name(&self) -> Option<&HeaderName> {
        match self {
            Self::Referer => Some(&header::REFERER),
            Self::UserAgent => Some(&header::USER_AGENT),
            Self::Header(name) => Some(name),
            _ => None,
        }
    }
}
