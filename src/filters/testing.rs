//! What the tests of filters have in common.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::{End, Kind, Site, Step, pass};
use crate::{
    exchange::{Client, Exchange},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, Response, StatusCode, Version, downstream::Peer},
    settings::{self, Problem, Problems},
    telemetry::metrics::Ledger,
};

/// Builds it of these settings, as a plan does.
pub fn build<K: Kind>(written: Value) -> Result<Step, Problems> {
    K::build(settings::read(&written, &[])?, &Site::new(K::NAME, &[], None, &Ledger::default()))
}

/// The same, of settings that are right.
pub fn built<K: Kind>(written: Value) -> Step {
    build::<K>(written).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is wrong with these settings; nothing, if they are right.
pub fn problems<K: Kind>(written: Value) -> Vec<Problem> {
    build::<K>(written).err().map(|problems| problems.0).unwrap_or_default()
}

/// A request such as `GET /a?b` with these fields, from 192.0.2.1, as filters see it.
pub fn request(line: &str, fields: &[(&str, &str)]) -> Exchange {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::try_from(*name).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let from = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let client = Client::at(Peer::Tcp((from, 1).into()), false);
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let uri = target.parse().expect("a target");
    let mut exchange = Exchange::new(method, uri, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = exchange.uri.path().to_owned();
    exchange
}

/// An endpoint that answers everything with this.
pub struct Answering(pub StatusCode);

impl End for Answering {
    async fn send(&self, _: &mut Exchange) -> Response {
        Response::new(self.0)
    }

    /// As a client would see it, without the words.
    fn show(&self, _: &mut Exchange, mut refused: Response) -> Response {
        refused.status = refused.cause.as_ref().map_or(refused.status, |cause| cause.status());
        refused.is_shown = true;
        refused
    }
}

/// What a client is answered by an endpoint that says 200, behind these steps.
pub async fn passed(steps: &[Step], exchange: &mut Exchange) -> Response {
    pass(steps, exchange, &Answering(StatusCode::OK)).await
}
