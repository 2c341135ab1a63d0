//! Refuses what no route may see, and settles what the rest of the house relies on: one authority, one path, one
//! client.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use actix_http::uri::PathAndQuery;

use self::host::Host;
use crate::{
    exchange::{self, Authority, Client, Exchange},
    http::{
        Error, HeaderMap, HeaderName, HeaderValue, Marks, Method, Underscores, Uri, Version,
        downstream::Peer,
        forwarded, framing, header, headers,
        path::{self, Policy},
        scratch,
    },
    settings::{
        Settings, Source,
        server::{self, DotSegments, EncodedSlash},
    },
};

pub mod host;
mod upgrade;

/// What a request may be, made of the settings once a plan.
pub struct Limits {
    /// How paths are read.
    pub path: Policy,
    /// Bytes of the target.
    pub max_uri: usize,
    /// Header fields.
    pub max_headers: usize,
    /// Bytes of a head; the edge holds it to that, before intake sees it.
    pub max_head: usize,
    /// What becomes of fields with `_` in their names, where the edge has not seen to it.
    underscores: Underscores,
    /// `None` lets every token through.
    methods: Option<Vec<Method>>,
    trusted: Vec<Source>,
    /// What this proxy adds to `Via`, the version aside.
    via: String,
    /// What every endpoint is told first, by the version that the client speaks: 1.0, 1.1, 2.0.
    announcements: [String; 3],
    /// Without a byte either way in a tunnel.
    pub idle_tunnel: Option<Duration>,
}

impl Limits {
    /// Those of the settings, which a plan has found to be good.
    pub fn of(settings: &Settings) -> Self {
        let http = &settings.server.http;
        let any = http.methods.iter().any(|method| method == "*");
        let listed = http.methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok());
        // A tunnel to wherever the client likes is not what a reverse proxy is for, whatever is listed.
        let listed = listed.filter(|method| *method != Method::CONNECT);
        let via = format!("{} ({})", settings.server_name, *INSTANCE);
        Self {
            path: policy(&http.path),
            max_uri: usize::try_from(http.max_uri.0).unwrap_or(usize::MAX),
            max_headers: http.max_headers,
            max_head: usize::try_from(http.max_head.0).unwrap_or(usize::MAX),
            underscores: http.underscores.into(),
            methods: (!any).then(|| listed.collect()),
            trusted: settings.trusted_proxies.clone(),
            announcements: ["1.0", "1.1", "2.0"].map(|version| format!("via: {version} {via}\r\nx-request-id: ")),
            via,
            idle_tunnel: settings.server.timeouts.idle_tunnel.0,
        }
    }

    /// He is one of `trusted_proxies`.
    pub fn trusts(&self, peer: Peer) -> bool {
        self.trusted.iter().any(|source| source.includes(peer))
    }

    /// The line of `Via` for who speaks this version, and the next one up to the request's name.
    pub fn announcement(&self, version: Version) -> &[u8] {
        let [old, usual, h2] = &self.announcements;
        match version {
            Version::HTTP_10 => old.as_bytes(),
            Version::HTTP_2 => h2.as_bytes(),
            _ => usual.as_bytes(),
        }
    }

    /// The methods that are let through, for `Allow`; `None` if all are.
    pub fn allow(&self) -> Option<HeaderValue> {
        let names: Vec<&str> = self.methods.as_ref()?.iter().map(Method::as_str).collect();
        HeaderValue::from_str(&names.join(", ")).ok()
    }
}

/// Names this process in `Via`: two proxies in a row may have the same name, and a loop comes back to this very one.
static INSTANCE: LazyLock<String> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mixed = (since.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id());
    format!("{:08x}", mixed >> 32)
});

fn policy(written: &server::PathPolicy) -> Policy {
    Policy {
        resolve_dots: written.dot_segments == DotSegments::Resolve,
        keep_encoded_slash: written.encoded_slash == EncodedSlash::Keep,
        empty_segments: match written.empty_segments {
            server::EmptySegments::Keep => path::EmptySegments::Keep,
            server::EmptySegments::Merge => path::EmptySegments::Merge,
            server::EmptySegments::Reject => path::EmptySegments::Reject,
        },
    }
}

/// Checks a request, and gives the exchange its authority, its path and its client.
///
/// # Errors
/// The first rule it breaks: the client's fault, always.
pub fn check(exchange: &mut Exchange, limits: &Limits) -> Result<(), Error> {
    if exchange.headers.len() > limits.max_headers {
        return Err(Error::HeadTooLarge { what: "too many fields" });
    }
    if exchange.downstream.is_none() {
        // The edge has done this already, before all that follows.
        limits.underscores.settle(&mut exchange.headers)?;
        framing::request_length(&exchange.headers, exchange.marks, exchange.version)?;
        framing::expects_continue(&exchange.headers, exchange.marks)?;
    }
    check_method(&exchange.method, limits)?;
    exchange.authority = authority(exchange)?;
    exchange.path = settle_path(exchange, limits)?;
    settle_query(exchange)?;
    exchange.upgrade = upgrade::check(exchange)?;
    if exchange.marks.has(Marks::VIA) && passed_here_before(&exchange.headers, limits) {
        return Err(Error::Loop);
    }
    exchange.client = client(exchange, limits);
    exchange.takes_trailers = headers::wants_trailers(&exchange.headers, exchange.marks);
    let trusted = exchange.client.trusted;
    if exchange.marks.has(END_HERE) {
        headers::strip_hop_by_hop_but(&mut exchange.headers, tells_of_the_client, |name| ends_here(name, trusted));
    }
    Ok(())
}

fn check_method(method: &Method, limits: &Limits) -> Result<(), Error> {
    match &limits.methods {
        Some(listed) if !listed.contains(method) => {
            Err(if KNOWN_METHODS.contains(&method.as_str()) { Error::Method } else { Error::UnknownMethod })
        }
        _ if *method == Method::CONNECT => Err(Error::Method),
        _ => Ok(()),
    }
}

/// Those of the HTTP method registry that mean something to servers in general (RFC 9110, 9.3; RFC 5789; RFC 10008).
const KNOWN_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE", "CONNECT"];

/// The one authority of a request: an absolute target wins over `Host` (RFC 9112, 3.2.2), which must be there once.
fn authority(exchange: &Exchange) -> Result<Authority, Error> {
    let mut hosts = exchange.headers.get_all(header::HOST);
    let named = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Error::Malformed { what: "more than one Host" }),
        (None, None) if exchange.version >= Version::HTTP_11 => return Err(Error::Malformed { what: "no Host" }),
        (named, None) => named,
    };
    let from_field = named.map(|value| Host::parse(value.as_bytes())).transpose()?;
    match exchange.uri.authority() {
        Some(authority) => Host::parse(authority.as_str().as_bytes()).map(Host::into_authority),
        None => Ok(from_field.map(Host::into_authority).unwrap_or_default()),
    }
}

fn settle_path(exchange: &Exchange, limits: &Limits) -> Result<String, Error> {
    let uri = &exchange.uri;
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.max_uri) {
        return Err(Error::UriTooLong { limit: limits.max_uri });
    }
    match uri.path() {
        "*" if exchange.method == Method::OPTIONS => Ok("*".into()),
        // `http://host` alone is the whole server for OPTIONS, and the root for all others (RFC 9112, 3.2.4).
        "" if is_absolute(uri) => Ok("/".into()),
        path => match path::normalize(path, &limits.path) {
            Ok(Cow::Borrowed(path)) => {
                let mut own = scratch::text();
                own.push_str(path);
                Ok(own)
            }
            Ok(Cow::Owned(path)) => Ok(path),
            Err(what) => Err(Error::Path { what }),
        },
    }
}

/// What a query may not hold as it is goes on encoded; the target is rewritten for that, and only for that.
fn settle_query(exchange: &mut Exchange) -> Result<(), Error> {
    let refused = |what| Error::Path { what };
    let Cow::Owned(query) = path::settle_query(exchange.query()).map_err(refused)? else { return Ok(()) };
    let mut parts = exchange.uri.clone().into_parts();
    let target = [exchange.uri.path(), &query].concat();
    let rewritten = PathAndQuery::try_from(target).ok().and_then(|target| {
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).ok()
    });
    exchange.uri = rewritten.ok_or(refused("a query that is none"))?;
    Ok(())
}

fn is_absolute(uri: &Uri) -> bool {
    uri.scheme().is_some()
}

/// Our own entry of `Via` comes back to us.
fn passed_here_before(fields: &HeaderMap, limits: &Limits) -> bool {
    headers::list(fields, &header::VIA).any(|hop| hop.ends_with(limits.via.as_bytes()))
}

/// Whom a trusted peer speaks for; everyone else speaks for himself.
fn client(exchange: &Exchange, limits: &Limits) -> Client {
    let Client { peer, secure, .. } = exchange.client;
    let own = Client::at(peer, secure);
    if !limits.trusts(peer) {
        return own;
    }
    let is_trusted = |address: IpAddr| limits.trusts(Peer::Tcp((address, 0).into()));
    let claim = forwarded::believe(&exchange.headers, own.address, &is_trusted);
    // Who speaks for two clients at once is asked for none, and nothing he says goes on.
    let Some(claim) = claim else { return Client { is_hidden: true, ..own } };
    let (address, secure) = (claim.address.or(own.address), claim.secure.unwrap_or(own.secure));
    Client { address, secure, trusted: true, is_hidden: claim.hides, ..own }
}

/// It tells who asks. A trusted peer's go on in the fields we write: who nominates them in `Connection` hides nobody.
fn tells_of_the_client(name: &HeaderName) -> bool {
    *name == exchange::REQUEST_ID || forwarded::is_ours(name)
}

/// Where none of these is, nothing ends here.
const END_HERE: Marks = Marks::HOP_BY_HOP.and(Marks::CONTENT_LENGTH).and(Marks::EXPECT).and(Marks::TELLS);

/// A client's field that goes before a filter sees it, so that what a rule sets under its name is the rule's.
fn ends_here(name: &HeaderName, trusted: bool) -> bool {
    let is_continued = || {
        *name == exchange::REQUEST_ID || forwarded::is_told(name) || forwarded::is_certificate(name.as_str().as_bytes())
    };
    let continued = || trusted && is_continued();
    *name == header::CONTENT_LENGTH || *name == header::EXPECT || (tells_of_the_client(name) && !continued())
}

/// A field that we write: nothing else goes on under its name, whether a trusted peer or a filter left it.
pub fn is_settled(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::EXPECT
        || *name == exchange::REQUEST_ID
        || forwarded::is_told(name)
}

#[cfg(test)]
mod tests;
