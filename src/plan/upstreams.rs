//! `[upstreams]` become groups of endpoints.

use std::{collections::HashSet, sync::Arc, time::Duration};

use indexmap::IndexMap;

use super::{
    Plan, Upstreams, affinity, breaker, checks,
    discovery::{self, Discovery},
    known::Known,
    limits, tls,
    url::{self, EndpointUrl},
};
use crate::{
    clock,
    http::{StatusCode, proxy_protocol::Version},
    kinds::{BalancerKind, Kinds},
    settings::{
        BalanceSettings, OutlierSettings, Problem, RetrySettings, Settings, Share, UpstreamSettings,
        problem::did_you_mean,
        retry::RetryMethods,
        upstream::{Protocol, ProxyHeader, ServerUrl, TransportKind},
    },
    transport::tls::client::{ClientTls, Profile},
    upstream::{
        Endpoint, Members, Upstream,
        balancers::{Balancer, Kind, Nothing, Random},
        lineup::Rules,
        outlier::Outlier,
        retry::{Budget, On, Retry},
    },
};

/// The upstreams that have a name in the settings.
pub fn named(
    settings: &Settings,
    kinds: &Kinds,
    before: Option<&Plan>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> (Upstreams, IndexMap<Arc<str>, Arc<Discovery>>) {
    let (mut upstreams, mut discoveries) = (Upstreams::new(), IndexMap::new());
    for (name, written) in &settings.upstreams {
        if let Some(known) = unchanged(name, written, before) {
            let discovery = before.and_then(|plan| plan.discovery(&known)).cloned();
            discoveries.extend(discovery.map(|discovery| (Arc::clone(&known.name), discovery)));
            upstreams.insert(name.as_str().into(), known);
            continue;
        }
        check(name, written, problems);
        let tls = tls::of_upstream(name, written, problems, warnings);
        let known = before.and_then(|plan| plan.upstreams.get(name.as_str())).map(|upstream| upstream.members());
        let endpoints = endpoints(name, written, tls.as_ref(), known.as_deref(), problems);
        let kind = balancer_kind(name, &written.balance, kinds, problems);
        let built = kind.and_then(|kind| balancer(name, &written.balance, kind, &endpoints, problems));
        let (Some(kind), Some(balancer)) = (kind, built) else { continue };
        if written.discover.is_some() {
            let drawn = discovery::draw(name, written, (tls, kind), before, problems).map(Arc::new);
            upstreams.extend(drawn.iter().map(|drawn| (Arc::clone(&drawn.upstream.name), Arc::clone(&drawn.upstream))));
            discoveries.extend(drawn.map(|drawn| (Arc::clone(&drawn.upstream.name), drawn)));
        } else if !endpoints.is_empty() {
            let members = Members::new(endpoints, balancer, rules(written));
            upstreams.insert(name.as_str().into(), ready(Upstream::new(name, members), written, before));
        }
    }
    (upstreams, discoveries)
}

/// The upstream that the plan before had under the same name by the same words: whose turn it is goes on, too. Words that
/// name files may mean something else by now.
fn unchanged(name: &str, written: &UpstreamSettings, before: Option<&Plan>) -> Option<Arc<Upstream>> {
    if [&written.tls.ca, &written.tls.cert, &written.tls.key].into_iter().any(Option::is_some) {
        return None;
    }
    let before = before.filter(|plan| plan.settings.upstreams.get(name) == Some(written))?;
    before.upstreams.get(name).cloned()
}

/// The upstream of a route that names a URL: one endpoint, called by the URL.
///
/// # Errors
/// What is wrong with it, and the likely fix.
pub fn unnamed(url: &EndpointUrl, name: &str, before: Option<&Plan>) -> Result<Arc<Upstream>, (String, &'static str)> {
    let written = UpstreamSettings::default();
    let known = before.and_then(|plan| plan.upstreams.get(name)).map(|upstream| upstream.members());
    let endpoints =
        vec![adopt(&Known::of(known.as_deref()), url, tls::of_route(url)?, &ServerUrl::new(name), &written)];
    let balancer = Random::build(Nothing {}, &endpoints).expect("it needs no settings");
    let members = Members::new(endpoints, balancer, rules(&written));
    Ok(ready(Upstream::new(name, members), &written, before))
}

/// Who of its members may be picked.
pub fn rules(written: &UpstreamSettings) -> Rules {
    Rules { panic: written.outlier.panic.fraction(), slow_start: written.slow_start.0 }
}

/// An upstream with all that is written besides its members.
pub fn ready(mut upstream: Upstream, written: &UpstreamSettings, before: Option<&Plan>) -> Arc<Upstream> {
    let before = before.and_then(|plan| plan.upstreams.get(&upstream.name));
    upstream.transport = written.transport;
    upstream.retry = retry(&written.retry);
    upstream.outlier = outlier(&written.outlier);
    upstream.affinity = written.sticky.as_ref().and_then(|sticky| affinity::of(&upstream.name, sticky)).map(Box::new);
    upstream.breaker = breaker::breaker(written.breaker.as_ref(), before.map(Arc::as_ref));
    upstream.limit = limits::limit(written.limit.as_ref(), before.map(Arc::as_ref));
    upstream.check = written.health.as_ref().and_then(checks::check).map(Arc::new);
    upstream.counts = before.map(|before| Arc::clone(&before.counts)).unwrap_or_default();
    Arc::new(upstream)
}

fn retry(written: &RetrySettings) -> Retry {
    let says = |word: &str| written.on.iter().any(|on| on == word);
    Retry {
        attempts: written.attempts,
        on: On {
            connect: says("connect"),
            reset: says("reset"),
            timeout: says("timeout"),
            statuses: written.on.iter().filter_map(|on| status(on)).collect(),
        },
        any_method: written.methods == RetryMethods::Any,
        kept_body: usize::try_from(written.body.0).unwrap_or(usize::MAX),
        budget: Budget::new(written.budget.fraction(), written.burst),
        backoff: (written.backoff.0.unwrap_or_default(), written.max_backoff.0.unwrap_or(Duration::MAX)),
    }
}

/// A status that an endpoint may answer with and another might not.
fn status(text: &str) -> Option<StatusCode> {
    text.parse().ok().filter(|status: &StatusCode| status.is_client_error() || status.is_server_error())
}

fn outlier(written: &OutlierSettings) -> Option<Outlier> {
    Some(Outlier {
        consecutive: (written.consecutive > 0).then_some(written.consecutive),
        error_rate: written.error_rate.map(Share::fraction),
        latency_factor: written.latency_factor,
        eject: written.eject.0?,
        longest: written.max_eject.0.unwrap_or(Duration::MAX),
        most: written.max_ejected.fraction(),
    })
}

fn check(name: &str, written: &UpstreamSettings, problems: &mut Vec<Problem>) {
    let at = |keys: &[&str], what: &str| Problem::at(["upstreams", name].iter().chain(keys).copied(), what);
    if !can_be_named(name) {
        problems.push(
            at(&[], "an upstream's name must be such that an environment variable can name it")
                .help("lower-case letters, digits and `_`"),
        );
    }
    if written.servers.is_empty() && written.discover.is_none() {
        problems.push(at(&["servers"], "an upstream without endpoints").help("servers = [\"http://127.0.0.1:8000\"]"));
    }
    for (index, on) in written.retry.on.iter().enumerate() {
        const WORDS: [&str; 3] = ["connect", "reset", "timeout"];
        if !WORDS.contains(&on.as_str()) && status(on).is_none() {
            let known = || "\"connect\", \"reset\", \"timeout\", or a status from 400 on such as \"503\"".into();
            problems.push(
                at(
                    &["retry", "on", &index.to_string()],
                    &format!("`{}` is nothing to try again after", on.escape_debug()),
                )
                .help(did_you_mean(on, WORDS).unwrap_or_else(known)),
            );
        }
    }
    if written.retry.attempts == 0 {
        problems.push(at(&["retry", "attempts"], "no attempt at all").help("1 tries once, 2 tries a second endpoint"));
    }
    if written.transport == TransportKind::Awc && matches!(written.protocol, Protocol::H2 | Protocol::H2c) {
        let help = "transport = \"own\", or protocol = \"h1\"";
        problems.push(at(&["protocol"], "awc speaks HTTP/1.1 only here").help(help));
    }
    if written.proxy_protocol != ProxyHeader::Off && matches!(written.protocol, Protocol::H2 | Protocol::H2c) {
        let what = "with `proxy_protocol` a connection is one client's; HTTP/2 is for many on one";
        problems.push(at(&["protocol"], what).help("protocol = \"h1\", or proxy_protocol = \"off\""));
    }
    if written.h2.max_streams == 0 {
        problems.push(at(&["h2", "max_streams"], "no request could be sent").help("1 or more"));
    }
    if written.h2.ping_timeout.0.is_none() {
        let help = "a time such as \"10s\"; `ping = \"off\"` never asks";
        problems.push(at(&["h2", "ping_timeout"], "an endpoint that is asked must answer some time").help(help));
    }
    checks::problems(name, written, problems);
    breaker::problems(name, written, problems);
    limits::problems(name, written, problems);
    if let Some(sticky) = &written.sticky {
        affinity::problems(name, sticky, problems);
    }
    let at = |keys: &[&str], what: &str| Problem::at(["upstreams", name].iter().chain(keys).copied(), what);
    if written.outlier.latency_factor.is_some_and(|factor| factor.is_nan() || factor <= 1.0) {
        problems.push(at(&["outlier", "latency_factor"], "most would be too slow").help("above 1, such as 4.0"));
    }
    if written.outlier.error_rate.is_some_and(|rate| rate.fraction() == 0.0) {
        problems.push(at(&["outlier", "error_rate"], "nobody could keep to that").help("above 0%, such as \"50%\""));
    }
    if written.pool.max_total == 0 || written.pool.max_total > tokio::sync::Semaphore::MAX_PERMITS {
        problems.push(at(&["pool", "max_total"], "not a number of connections").help("1 or more"));
    }
}

/// A variable of the environment can name it.
pub fn can_be_named(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn balancer_kind(
    name: &str,
    written: &BalanceSettings,
    kinds: &Kinds,
    problems: &mut Vec<Problem>,
) -> Option<BalancerKind> {
    let kind = kinds.balancers().iter().find(|kind| kind.name == written.policy);
    if kind.is_none() {
        let names = || kinds.balancers().iter().map(|kind| kind.name);
        let help = did_you_mean(&written.policy, names())
            .unwrap_or_else(|| format!("one of {}", names().collect::<Vec<_>>().join(", ")));
        let at = ["upstreams", name, "balance"];
        problems.push(Problem::at(at, format!("unknown balancer `{}`", written.policy)).help(help));
    }
    kind.copied()
}

/// For these endpoints.
pub fn balancer(
    name: &str,
    written: &BalanceSettings,
    kind: BalancerKind,
    endpoints: &[Arc<Endpoint>],
    problems: &mut Vec<Problem>,
) -> Option<Box<dyn Balancer>> {
    let at = ["upstreams", name, "balance"];
    let built = kind.build(&written.options.clone().into(), endpoints, &at.map(str::to_owned));
    built.map_err(|wrong| problems.extend(wrong.0)).ok()
}

/// Those that are written.
pub fn endpoints(
    name: &str,
    written: &UpstreamSettings,
    tls: Option<&Arc<ClientTls>>,
    before: Option<&Members>,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Endpoint>> {
    let mut endpoints = Vec::with_capacity(written.servers.len());
    let (mut seen, before) = (HashSet::new(), Known::of(before));
    for (index, server) in written.servers.iter().enumerate() {
        let at = |what: String| Problem::at(["upstreams", name, "servers", &index.to_string()], what);
        if server.weight == 0 {
            problems
                .push(at("weight 0 never gets a request".into()).help("a weight of 1 or more, or remove the server"));
        }
        match url::parse(&server.url) {
            Err(what) => {
                problems.push(at(what).help("http://HOST[:PORT], https://HOST[:PORT] or http+unix:/path/to/socket"))
            }
            Ok(url) if !url.base.is_empty() => problems.push(
                at(format!("`{}` has a path; an endpoint is only an address", server.url))
                    .help("put the path into the route: `to = \"http://host/path\"`, or use `strip`"),
            ),
            Ok(url) if !seen.insert(url.address.clone()) => {
                problems
                    .push(at(format!("`{}` is listed twice", server.url)).help("give one of them a weight instead"));
            }
            Ok(url) if url.is_tls && written.protocol == Protocol::H2c => problems.push(
                at(format!("`{}` is encrypted, and h2c is HTTP/2 that is not", server.url)).help("protocol = \"h2\""),
            ),
            Ok(url) if !url.is_tls && written.protocol == Protocol::H2 => problems.push(
                at(format!("`{}` is not encrypted; h2 is agreed on in TLS", server.url))
                    .help("protocol = \"h2c\" speaks HTTP/2 in the clear, without asking"),
            ),
            Ok(url) if !url.is_tls => endpoints.push(adopt(&before, &url, None, server, written)),
            Ok(url) => {
                // Without it there is a problem already.
                let Some(tls) = tls else { continue };
                match tls::profile(&url, tls, written.tls.server_name.as_deref()) {
                    Some(profile) => {
                        endpoints.push(adopt(&before, &url, Some(profile), server, written));
                    }
                    None => problems.push(at(tls::NO_NAME.into()).help("tls = { server_name = \"..\" } names another")),
                }
            }
        }
    }
    endpoints
}

/// The endpoint that this address has had among those before, with its state and connections, or a new one. What is
/// known of an address stays known when it is used otherwise.
pub fn adopt(
    before: &Known<'_>,
    url: &EndpointUrl,
    tls: Option<Profile>,
    server: &ServerUrl,
    written: &UpstreamSettings,
) -> Arc<Endpoint> {
    let announced = match written.proxy_protocol {
        ProxyHeader::Off => None,
        ProxyHeader::V1 => Some(Version::V1),
        ProxyHeader::V2 => Some(Version::V2),
    };
    let known = before.at(url);
    let is_the_same = |endpoint: &&Arc<Endpoint>| {
        endpoint.target.tls.as_deref() == tls.as_ref()
            && (endpoint.weight, endpoint.is_backup) == (server.weight, server.backup)
            && endpoint.pool == written.pool
            && endpoint.target.proxy_protocol == announced
            && endpoint.target.protocol == written.protocol
            && endpoint.target.h2 == written.h2
    };
    if let Some(endpoint) = known.filter(is_the_same) {
        return Arc::clone(endpoint);
    }
    let endpoint = Endpoint::new(url.address.clone(), &url.authority, server.weight, &written.pool)
        .as_backup(server.backup)
        .announcing(announced)
        .speaking(written.protocol, &written.h2);
    let endpoint = match known {
        Some(known) => endpoint.known_as(known),
        None => endpoint,
    };
    if known.is_none() && !before.is_empty() {
        // It joins others that are warm.
        endpoint.health.is_well_since(clock::coarse());
    }
    Arc::new(match tls {
        Some(profile) => endpoint.over_tls(Arc::new(profile)),
        None => endpoint,
    })
}
