//! How endpoints are checked.

use std::{ops::RangeInclusive, time::Duration};

use http::uri::PathAndQuery;

use crate::{
    http::HeaderValue,
    settings::{
        HealthSettings, Problem, UpstreamSettings,
        health::CheckKind,
        upstream::{Protocol, TransportKind},
    },
    upstream::check::{Check, Question},
};

/// More often is an attack.
const MOST_OFTEN: Duration = Duration::from_millis(10);

/// What is asked; `None` where there is a problem.
pub fn check(written: &HealthSettings) -> Option<Check> {
    let host = written.host.clone();
    let question = match written.kind {
        CheckKind::Http => Question::Http {
            path: written.path.clone(),
            host,
            status: statuses(&written.status)?,
            body: written.body.clone(),
        },
        CheckKind::Tcp => Question::Tcp,
        CheckKind::Grpc => Question::Grpc { service: written.service.clone(), host },
    };
    Some(Check {
        question,
        port: written.port,
        every: written.every.0?,
        jitter: written.jitter.fraction(),
        timeout: written.timeout.0?,
        rise: written.rise,
        fall: written.fall,
    })
}

/// Everything that is wrong with it.
pub fn problems(name: &str, upstream: &UpstreamSettings, problems: &mut Vec<Problem>) {
    let Some(written) = &upstream.health else { return };
    let at = |key: &str, what: String| Problem::at(["upstreams", name, "health", key], what);
    if !written.path.starts_with('/') || written.path.parse::<PathAndQuery>().is_err() {
        let what = format!("`{}` is no path", written.path.escape_debug());
        problems.push(at("path", what).help("a path such as \"/healthz\""));
    }
    if written.host.as_ref().is_some_and(|host| host.is_empty() || HeaderValue::from_str(host).is_err()) {
        problems.push(at("host", "not a host that can be named".into()).help("a host such as \"shop.example\""));
    }
    if statuses(&written.status).is_none() {
        let what = format!("`{}` is neither a status nor a range of them", written.status.escape_debug());
        problems.push(at("status", what).help("\"200\", or \"200-399\""));
    }
    if written.every.0.is_none_or(|every| every < MOST_OFTEN) {
        problems.push(
            at("every", "endpoints are asked again some time, but not without a pause".into())
                .help("a time such as \"5s\""),
        );
    }
    if written.timeout.0.is_none_or(|timeout| timeout.is_zero()) {
        problems.push(at("timeout", "an answer must come some time".into()).help("a time such as \"2s\""));
    }
    for (key, count) in [("rise", written.rise), ("fall", written.fall)] {
        if count == 0 {
            problems.push(at(key, "no answer at all decides".into()).help("1 or more"));
        }
    }
    let speaks_http1 = upstream.transport == TransportKind::Awc
        || upstream.protocol == Protocol::H1
        || upstream.protocol == Protocol::Auto
            && upstream.servers.iter().any(|server| !server.url.starts_with("https:"));
    if written.kind == CheckKind::Grpc && speaks_http1 {
        problems.push(
            at("kind", "gRPC is spoken over HTTP/2, and these endpoints are not".into())
                .help("protocol = \"h2c\" for the upstream, or kind = \"http\" or \"tcp\""),
        );
    }
}

/// `200`, or `200-299`.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}
