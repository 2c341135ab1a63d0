//! Endpoints that are found instead of written: what is asked, and how an answer becomes members of the upstream.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    Plan,
    known::Known,
    tls,
    upstreams::{adopt, balancer, endpoints, ready, rules},
    url::EndpointUrl,
};
use crate::{
    kinds::BalancerKind,
    settings::{
        DiscoverSettings, Problem, Problems, Time, UpstreamSettings,
        discover::Record,
        upstream::{Protocol, ServerUrl},
    },
    transport::{
        Address,
        tls::client::{ClientTls, Profile},
    },
    upstream::{Members, Upstream},
};

pub use self::file::Unread;

mod file;

/// An upstream whose endpoints are found.
pub struct Discovery {
    /// Whose members are replaced.
    pub upstream: Arc<Upstream>,
    /// Where to look for them.
    pub source: Source,
    recipe: Recipe,
    state: Mutex<State>,
}

/// Where endpoints are looked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// DNS.
    Dns(Question),
    /// A file.
    File(PathBuf),
}

/// What DNS is asked, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The name.
    pub name: String,
    /// Which of its records.
    pub record: Record,
    /// Where endpoints listen, if the records do not say.
    pub port: u16,
    /// TLS is spoken with them.
    pub is_tls: bool,
    /// An answer is no older than this when it is asked again.
    pub min_ttl: Duration,
    /// It is asked again after this, however long the answer holds.
    pub max_ttl: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whom to ask; those of this machine if there is none.
    pub nameservers: Vec<SocketAddr>,
}

/// An endpoint that was found. Backups come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    is_backup: bool,
    url: EndpointUrl,
    weight: u32,
}

/// Which endpoints came and which are gone, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Those that were not there before.
    pub came: Vec<Arc<str>>,
    /// Those that were.
    pub gone: Vec<Arc<str>>,
}

/// All that endpoints have in common, and what becomes of them.
struct Recipe {
    name: String,
    written: UpstreamSettings,
    tls: Option<Arc<ClientTls>>,
    balancer: BalancerKind,
}

#[derive(Default)]
struct State {
    found: Vec<Found>,
    /// What was read, where that is a file.
    servers: Vec<ServerUrl>,
    trouble: Option<Arc<str>>,
    /// When all that was asked was last answered.
    succeeded: Option<SystemTime>,
}

/// The discovery of an upstream, or everything that is wrong with it. What was found for the plan before by the same
/// question holds until there is another answer.
pub fn draw(
    name: &str,
    written: &UpstreamSettings,
    (tls, balancer): (Option<Arc<ClientTls>>, BalancerKind),
    before: Option<&Plan>,
    problems: &mut Vec<Problem>,
) -> Option<Discovery> {
    let discover = written.discover.as_ref()?;
    let already = problems.len();
    check(name, written, discover, problems);
    if problems.len() > already || discover.is_tls() && tls.is_none() {
        return None;
    }
    let source = match &discover.file {
        Some(file) => Source::File(file.clone()),
        None => Source::Dns(question(discover)?),
    };
    let recipe = Recipe { name: name.to_owned(), written: written.clone(), tls, balancer };
    let known = before.and_then(|plan| plan.discovery(plan.upstreams.get(name)?));
    let found = known.filter(|known| known.source == source).map_or_else(Vec::new, |known| known.state().found.clone());
    let held = known.map(|known| known.upstream.members());
    let servers =
        known.filter(|known| known.source == source).map_or_else(Vec::new, |known| known.state().servers.clone());
    let members = if servers.is_empty() {
        recipe.members(&found, held.as_deref())
    } else {
        recipe.written(&servers, held.as_deref())
    };
    let members = members.map_err(|wrong| problems.extend(wrong.0)).ok()?;
    let upstream = ready(Upstream::changing(name, members), written, before);
    let succeeded = known.filter(|known| known.source == source).and_then(|known| known.state().succeeded);
    Some(Discovery { upstream, source, recipe, state: Mutex::new(State { found, servers, trouble: None, succeeded }) })
}

impl Discovery {
    /// These are the endpoints from now on; each keeps what is known of it if it was one before. Says what is otherwise.
    ///
    /// # Errors
    /// Why they cannot be; then those before stay.
    pub fn found(&self, found: Vec<Found>) -> Result<Option<Change>, Problems> {
        let mut state = self.state();
        if state.found == found {
            return Ok(None);
        }
        let before = self.upstream.members();
        let members = self.recipe.members(&found, Some(&before))?;
        let change = Change::between(&before, &members);
        self.upstream.replace(members);
        state.found = found;
        Ok(Some(change))
    }

    /// What kept the last question from being answered, if something did. Says whether that was otherwise before.
    pub fn note(&self, trouble: Option<&str>) -> bool {
        let mut state = self.state();
        let is_news = state.trouble.is_some() != trouble.is_some();
        state.trouble = trouble.map(Arc::from);
        match trouble {
            Some(_) => {
                self.upstream.counts.searches_failed.one();
            }
            None => state.succeeded = Some(SystemTime::now()),
        }
        is_news
    }

    /// When all that was asked was last answered.
    pub fn succeeded(&self) -> Option<SystemTime> {
        self.state().succeeded
    }

    /// Why the endpoints may be out of date, or are not known.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.state().trouble.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recipe {
    fn members(&self, found: &[Found], before: Option<&Members>) -> Result<Members, Problems> {
        let mut problems = Vec::new();
        let (mut endpoints, known) = (Vec::with_capacity(found.len()), Known::of(before));
        for Found { url, weight, is_backup } in found {
            let server = ServerUrl { weight: *weight, backup: *is_backup, ..ServerUrl::new("") };
            endpoints.push(adopt(&known, url, self.profile(url), &server, &self.written));
        }
        let balancer = balancer(&self.name, &self.written.balance, self.balancer, &endpoints, &mut problems);
        balancer.map(|balancer| Members::new(endpoints, balancer, rules(&self.written))).ok_or(Problems(problems))
    }

    fn written(&self, servers: &[ServerUrl], before: Option<&Members>) -> Result<Members, Problems> {
        let mut problems = Vec::new();
        let encrypted = servers.iter().position(|server| server.url.starts_with("https://"));
        if let (None, Some(index)) = (&self.tls, encrypted) {
            let at = ["upstreams", &self.name, "servers", &index.to_string()];
            problems.push(
                Problem::at(at, "the settings say that TLS is not spoken with what is found")
                    .help("scheme = \"https\" beside `file` in the settings"),
            );
        }
        let written = UpstreamSettings { servers: servers.to_vec(), ..self.written.clone() };
        let endpoints = endpoints(&self.name, &written, self.tls.as_ref(), before, &mut problems);
        let balancer = balancer(&self.name, &self.written.balance, self.balancer, &endpoints, &mut problems);
        match balancer {
            Some(balancer) if problems.is_empty() => Ok(Members::new(endpoints, balancer, rules(&self.written))),
            _ => Err(Problems(problems)),
        }
    }

    /// Endpoints prove the name that was asked for, not whatever DNS has made of it (RFC 6125, 6.2.1).
    fn profile(&self, url: &EndpointUrl) -> Option<Profile> {
        let tls = self.tls.as_ref().filter(|_| url.is_tls)?;
        let found = self.written.discover.as_ref()?.dns.as_deref().map(host_of);
        tls::profile(url, tls, self.written.tls.server_name.as_deref().or(found))
    }
}

impl Question {
    /// An endpoint at this address.
    pub fn found(&self, address: SocketAddr, weight: u32, is_backup: bool) -> Found {
        let (host, usual) = (host_of(&self.name), if self.is_tls { 443 } else { 80 });
        let authority = match address.port() {
            port if port == usual => host.to_owned(),
            port => format!("{host}:{port}"),
        };
        let at = Address::Tcp { host: address.ip().to_string().into(), port: address.port() };
        let url = EndpointUrl { address: at, is_tls: self.is_tls, authority, base: String::new() };
        Found { url, weight, is_backup }
    }
}

impl Found {
    /// Both are one endpoint.
    pub fn is_at_the_address_of(&self, other: &Self) -> bool {
        self.url.address == other.url.address
    }
}

impl Change {
    fn between(before: &Members, after: &Members) -> Self {
        let names = |of: &Members| of.endpoints.iter().map(|endpoint| Arc::clone(&endpoint.name)).collect::<Vec<_>>();
        let missing = |from: &Members, other: &Members| {
            let others: HashSet<_> = names(other).into_iter().collect();
            names(from).into_iter().filter(|name| !others.contains(name)).collect()
        };
        Self { came: missing(after, before), gone: missing(before, after) }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file: {}", path.display()),
            Self::Dns(Question { name, record: Record::Ip, .. }) => write!(f, "DNS: {name}"),
            Self::Dns(Question { name, record, .. }) => write!(f, "DNS: {} of {name}", record.name()),
        }
    }
}

/// What endpoints are called by: the name without what says which service of it is meant, and the dot at its end.
fn host_of(name: &str) -> &str {
    let mut host = name.strip_suffix('.').unwrap_or(name);
    while let Some((_, rest)) = host.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        host = rest;
    }
    host
}

/// More often is an attack.
const MOST_OFTEN: Duration = Duration::from_millis(10);
/// Of more, none is asked.
const MOST_NAMESERVERS: usize = 8;
const NAMESERVER: &str = "an address such as \"10.0.0.53\" or \"127.0.0.1:8600\"";

fn question(written: &DiscoverSettings) -> Option<Question> {
    Some(Question {
        name: written.dns.clone()?,
        record: written.record.unwrap_or_default(),
        port: written.port.unwrap_or(if written.is_tls() { 443 } else { 80 }),
        is_tls: written.is_tls(),
        min_ttl: written.min_ttl.unwrap_or(DiscoverSettings::MIN_TTL).0?,
        max_ttl: written.max_ttl.unwrap_or(DiscoverSettings::MAX_TTL).0?,
        timeout: written.timeout.unwrap_or(DiscoverSettings::TIMEOUT).0?,
        nameservers: written.nameservers.iter().map(|text| nameserver(text)).collect::<Option<_>>()?,
    })
}

/// With the port of DNS, if none is written.
fn nameserver(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)))
}

fn check(name: &str, upstream: &UpstreamSettings, written: &DiscoverSettings, problems: &mut Vec<Problem>) {
    let at = |keys: &[&str], what: String| {
        Problem::at(["upstreams", name, "discover"].into_iter().chain(keys.iter().copied()), what)
    };
    if !upstream.servers.is_empty() {
        let what = "endpoints are written, or found".into();
        problems.push(at(&[], what).help("leave out `servers`, or `discover`"));
    }
    match &written.dns {
        Some(_) if written.file.is_some() => {
            problems.push(at(&["file"], "endpoints are found by a name, or in a file".into()).help("one of them"));
        }
        None if written.file.is_some() => check_file(written, &at, problems),
        None => problems.push(at(&[], "nowhere to look".into()).help("dns = \"shop.internal\"")),
        Some(dns) => problems.extend(wrong_name(dns).map(|(what, help)| at(&["dns"], what).help(help))),
    }
    if written.port == Some(0) {
        problems.push(at(&["port"], "nobody listens there".into()).help("1 to 65535"));
    }
    if written.record == Some(Record::Srv) && written.port.is_some() {
        problems.push(at(&["port"], "SRV records tell the port themselves".into()).help("leave it out"));
    }
    match (written.is_tls(), upstream.protocol) {
        (true, Protocol::H2c) => problems.push(
            at(&["scheme"], "https is encrypted, and h2c is HTTP/2 that is not".into()).help("protocol = \"h2\""),
        ),
        (false, Protocol::H2) if written.file.is_none() => {
            problems.push(at(&[], "http is not encrypted; h2 is agreed on in TLS".into()).help("scheme = \"https\""));
        }
        _ => {}
    }
    check_times(written, &at, problems);
    for (index, text) in written.nameservers.iter().enumerate() {
        if nameserver(text).is_none() {
            let what = format!("`{}` is no address to ask at", text.escape_debug());
            problems.push(at(&["nameservers", &index.to_string()], what).help(NAMESERVER));
        }
    }
    if written.nameservers.len() > MOST_NAMESERVERS {
        let what = format!("{} are more than are asked", written.nameservers.len());
        problems.push(at(&["nameservers"], what).help(format!("{MOST_NAMESERVERS} or fewer")));
    }
}

/// What is about names says nothing of a file.
fn check_file(written: &DiscoverSettings, at: &dyn Fn(&[&str], String) -> Problem, problems: &mut Vec<Problem>) {
    for (key, is_written) in [
        ("record", written.record.is_some()),
        ("port", written.port.is_some()),
        ("min_ttl", written.min_ttl.is_some()),
        ("max_ttl", written.max_ttl.is_some()),
        ("timeout", written.timeout.is_some()),
        ("nameservers", !written.nameservers.is_empty()),
    ] {
        if is_written {
            problems.push(at(&[key], "it is about names, and a file is read".into()).help("leave it out"));
        }
    }
}

fn check_times(written: &DiscoverSettings, at: &dyn Fn(&[&str], String) -> Problem, problems: &mut Vec<Problem>) {
    let is_short = |time: Option<Time>| time.is_some_and(|time| time.0.is_none_or(|time| time < MOST_OFTEN));
    for (key, time) in [("min_ttl", written.min_ttl), ("max_ttl", written.max_ttl), ("timeout", written.timeout)] {
        if is_short(time) {
            let what = "names are asked for again some time, but not without a pause".into();
            problems.push(at(&[key], what).help("a time such as \"5s\""));
        }
    }
    let (least, most) = (written.min_ttl.unwrap_or(DiscoverSettings::MIN_TTL), written.max_ttl);
    if most.is_some_and(|most| most.0 < least.0) {
        let what = "it is asked again after this, and `min_ttl` is later".into();
        problems.push(at(&["max_ttl"], what).help("`min_ttl` or more"));
    }
}

/// Why a name cannot be asked for, or called by, and the likely fix.
fn wrong_name(dns: &str) -> Option<(String, &'static str)> {
    let shown = || format!("`{}` is not a name that can be asked for", dns.escape_debug());
    let name = dns.strip_suffix('.').unwrap_or(dns);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if dns.parse::<std::net::IpAddr>().is_ok() {
        return Some((format!("`{dns}` is an address already"), "servers = [\"http://..\"]"));
    }
    if dns.contains("://") || dns.contains(':') {
        return Some((shown(), "the name alone; `port` and `scheme` are keys of their own"));
    }
    let is_good = name.len() <= 253 && name.split('.').all(is_label) && Profile::can_be_for(host_of(dns));
    (!is_good).then(|| (shown(), "a name such as \"shop.internal\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_called_by_the_name_without_its_service() {
        for (name, expected) in [
            ("shop.internal", "shop.internal"),
            ("shop.internal.", "shop.internal"),
            ("_http._tcp.shop.internal", "shop.internal"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(host_of(name), expected, "{name}");
        }
    }

    #[test]
    fn only_names_can_be_asked_for() {
        for name in ["shop.internal", "shop.internal.", "_http._tcp.shop.internal", "localhost", "a-b.c1"] {
            assert_eq!(wrong_name(name), None, "{name}");
        }
        for name in ["", ".", "a..b", "10.0.0.1", "::1", "http://a", "a:80", "a b", "größe", "a/b", &"a.".repeat(200)]
        {
            assert!(wrong_name(name).is_some(), "{name}");
        }
    }
}
