//! The vocabulary of HTTP the whole house shares. Imports nothing of ours.

pub mod body;
pub mod chunked;
pub mod client_certificate;
pub mod codings;
pub mod cookies;
pub mod downstream;
pub mod error;
pub mod error_page;
pub mod fields;
pub mod forwarded;
pub mod framing;
pub mod grpc;
pub(crate) mod h2;
pub mod header_map;
pub mod headers;
pub mod hpack;
pub mod marks;
pub mod name_sieve;
pub mod path;
pub mod proxy_protocol;
pub mod query;
pub mod refusal;
pub mod request_line;
pub mod response;
pub mod scratch;
pub mod search;
pub mod shortcut;
pub mod underscores;

pub use actix_http::header::{HeaderName, HeaderValue};
pub use actix_web::http::{Method, StatusCode, Uri, Version, header};

pub use self::{
    body::{Body, BodyError, BodySize, Frame, RequestBody, ResponseBody},
    client_certificate::ClientCertificate,
    codings::{Codings, Making},
    downstream::{Downstream, Io, Takeover},
    error::{Error, Fault},
    header_map::HeaderMap,
    marks::Marks,
    name_sieve::NameSieve,
    refusal::Refusal,
    response::Response,
    shortcut::{Piece, Shortcut},
    underscores::Underscores,
};
