//! Upstreams: how they are, and which of their endpoints are left alone.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    found, problem,
    status::{self, Status},
};
use crate::{
    settings::problem::did_you_mean,
    upstream::{Endpoint, Upstream},
};

/// All upstreams.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Upstreams")]
pub struct All {
    upstreams: Vec<status::Upstream>,
}

/// Which endpoint is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// As `/upstreams` calls it.
    endpoint: String,
}

/// What there is not, in words.
struct Unknown(String);

/// How all of them are.
pub fn all(status: &Status) -> All {
    let plan = status.proxy().plan();
    All { upstreams: plan.upstreams.values().map(|upstream| status::Upstream::of(upstream, &plan)).collect() }
}

/// How this one is.
pub fn one(status: &Status, name: &str) -> HttpResponse {
    match named(status, name) {
        Ok(upstream) => found(&status::Upstream::of(&upstream, &status.proxy().plan())),
        Err(Unknown(what)) => problem(StatusCode::NOT_FOUND, &what),
    }
}

/// Has an endpoint get no more requests, or some again; what is under way is finished. Answers how the upstream is then.
pub fn drain(status: &Status, name: &str, body: &[u8], drained: bool) -> HttpResponse {
    let upstream = match named(status, name) {
        Ok(upstream) => upstream,
        Err(Unknown(what)) => return problem(StatusCode::NOT_FOUND, &what),
    };
    let order: Order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("not {{ \"endpoint\": \"..\" }}: {error}")),
    };
    let endpoint = match member(&upstream, &order.endpoint) {
        Ok(endpoint) => endpoint,
        Err(Unknown(what)) => return problem(StatusCode::NOT_FOUND, &what),
    };
    if endpoint.health.drain(drained) {
        let what = if drained { "gets no more requests" } else { "gets requests again" };
        log::warn!("{} of {} {what}: an operator wants it so", endpoint.name, upstream.name);
    }
    found(&status::Upstream::of(&upstream, &status.proxy().plan()))
}

fn named(status: &Status, name: &str) -> Result<Arc<Upstream>, Unknown> {
    let plan = status.proxy().plan();
    let known = plan.upstreams.get(name).cloned();
    known.ok_or_else(|| unknown("upstream", name, plan.upstreams.keys()))
}

fn member(upstream: &Upstream, name: &str) -> Result<Arc<Endpoint>, Unknown> {
    let members = upstream.members();
    let known = members.endpoints.iter().find(|endpoint| &*endpoint.name == name).cloned();
    known.ok_or_else(|| unknown("endpoint", name, members.endpoints.iter().map(|endpoint| &endpoint.name)))
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n Arc<str>>) -> Unknown {
    let hint = did_you_mean(name, known.map(|name| &**name)).map(|hint| format!(": {hint}")).unwrap_or_default();
    Unknown(format!("there is no {what} `{}`{hint}", name.escape_debug()))
}
