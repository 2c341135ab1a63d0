//! The request as an endpoint gets it: end-to-end fields, and what the proxy says of itself and of the client.

use std::{net::SocketAddr, rc::Rc};

use crate::{
    exchange::Exchange,
    http::{
        Error, HeaderValue, Refusal, StatusCode,
        downstream::Peer,
        forwarded::{self, Hop},
        header, headers,
        proxy_protocol::{self, Ends},
    },
    plan::{HostRule, Route},
    proxy::intake::{self, Limits},
    settings::route::ForwardedFields,
    transport::Outgoing,
    upstream::Endpoint,
};

/// Everything but the `Host`, which may be the endpoint's; `upgrade` is what [`upgrade`] found. Takes the exchange's fields and body; `added` lends its
/// memory.
pub fn build(
    route: &Route,
    (target, upgrade): (String, Option<HeaderValue>),
    exchange: &mut Exchange,
    limits: &Limits,
    mut added: Vec<u8>,
) -> Outgoing {
    added.clear();
    if upgrade.is_none() && exchange.takes_trailers {
        added.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    announce(route, exchange, limits, &mut added);
    let mut fields = std::mem::take(&mut exchange.headers);
    // Of a stranger's intake has left nothing of the kind, and only a filter can have put something there.
    if exchange.client.trusted || !route.filters.is_empty() {
        headers::strip_hop_by_hop_and(&mut fields, intake::is_settled);
    }
    Outgoing {
        fresh: false,
        preamble: None,
        method: exchange.method.clone(),
        target,
        headers: fields,
        added,
        body: exchange.body.take(),
        upgrade,
        timeouts: route.timeouts,
        downstream: exchange.downstream.clone(),
        connected: None,
    }
}

/// The protocol to switch to. What cannot be carried is refused, not forgotten: an endpoint that is not asked would
/// answer another question.
pub fn upgrade(exchange: &Exchange) -> Result<Option<HeaderValue>, Error> {
    if exchange.upgrade.is_some() && exchange.downstream.is_none() {
        let what = "upgrades need aqueduct's EdgeServer";
        return Err(Refusal::new("edge", StatusCode::NOT_IMPLEMENTED, what).into());
    }
    Ok(exchange.upgrade.clone())
}

/// What an endpoint is told about the client and the way the request took.
fn announce(route: &Route, exchange: &Exchange, limits: &Limits, added: &mut Vec<u8>) {
    for part in [limits.announcement(exchange.version), exchange.id().as_bytes(), b"\r\n"] {
        added.extend_from_slice(part);
    }
    let (standard, x) = match route.forwarded {
        ForwardedFields::Both => (true, true),
        ForwardedFields::Standard => (true, false),
        ForwardedFields::X => (false, true),
        ForwardedFields::Off => return,
    };
    let peer = match exchange.client.peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        Peer::Unix => None,
    };
    let secure = exchange.downstream.as_ref().is_some_and(|downstream| downstream.is_tls());
    let hop = Hop { peer, host: exchange.authority.as_str(), secure, trusted: exchange.client.trusted };
    forwarded::announce(&exchange.headers, &hop, standard, x, added);
}

/// The `Host` this endpoint sees.
pub fn address(outgoing: &mut Outgoing, rule: &HostRule, endpoint: &Endpoint, exchange: &Exchange) {
    let own = || HeaderValue::from_str(&endpoint.target.authority).ok();
    let host = match rule {
        HostRule::Literal(host) => Some(host.clone()),
        HostRule::Upstream => own(),
        HostRule::Preserve if exchange.authority.is_empty() => own(),
        // As the client wrote it, unless its target said otherwise.
        HostRule::Preserve if exchange.uri.authority().is_none() && outgoing.headers.contains_key(header::HOST) => None,
        HostRule::Preserve => HeaderValue::from_str(exchange.authority.as_str()).ok(),
    };
    if let Some(host) = host {
        outgoing.headers.insert(header::HOST, host);
    }
    if let Some(version) = endpoint.target.proxy_protocol {
        outgoing.preamble = Some(preamble(version, exchange));
    }
}

/// Whose connection it is to be: the client's, as far as he can be believed.
fn preamble(version: proxy_protocol::Version, exchange: &Exchange) -> Rc<[u8]> {
    let client = exchange.client.address.map(|ip| match exchange.client.peer {
        Peer::Tcp(peer) if peer.ip().to_canonical() == ip => peer,
        // Another proxy has named him, and his port is not known.
        Peer::Tcp(_) | Peer::Unix => SocketAddr::new(ip, 0),
    });
    let server = exchange.downstream.as_ref().and_then(|downstream| downstream.local());
    let ends = client.map(|client| Ends::new(client, server));
    let mut bytes = Vec::new();
    proxy_protocol::write(version, ends.as_ref(), &mut bytes);
    bytes.into()
}
