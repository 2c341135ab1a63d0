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

/// A field by its one name.
pub(super) struct Named {
    pub name: &'static str,
    /// How it begins as a member of an object, with the comma in front.
    pub label: &'static str,
    pub field: Field,
}

macro_rules! all {
    ($($name:literal => $field:ident),* $(,)?) => {
        [$(Named { name: $name, label: concat!(",\"", $name, "\":"), field: Field::$field }),*]
    };
}

/// All that have one name, in the order in which JSON has them.
pub(super) static FIELDS: [Named; 23] = all! {
    "time" => Time,
    "time_clf" => TimeClf,
    "client" => Client,
    "peer" => Peer,
    "method" => Method,
    "path" => Path,
    "protocol" => Protocol,
    "host" => Host,
    "status" => Status,
    "bytes_out" => BytesOut,
    "duration" => Duration,
    "first_byte" => FirstByte,
    "route" => Route,
    "upstream" => Upstream,
    "endpoint" => Endpoint,
    "attempts" => Attempts,
    "hedged" => Hedged,
    "reused" => Reused,
    "error" => Error,
    "detail" => Detail,
    "request_id" => RequestId,
    "referer" => Referer,
    "user_agent" => UserAgent,
};

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
        FIELDS.iter().find(|known| known.name == name).map(|known| known.field.clone())
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
