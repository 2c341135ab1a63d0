//! `[tls.NAME]` and what upstreams say of TLS: the files are read, and what is wrong with them is told.

use std::{
    fmt, iter,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use indexmap::IndexMap;

use super::{Upstreams, acme, url::EndpointUrl};
use crate::{
    settings::{
        DiscoverSettings, Problem, Settings, UpstreamSettings,
        problem::{self, did_you_mean},
        tls::TlsSettings,
        upstream::EndpointTls,
    },
    transport::{
        Address,
        tls::{
            client::{ClientTls, ClientTlsError, Profile},
            clients::Clients,
            identity::{FileError, Identity},
            validity::Validity,
        },
    },
};

/// What a listener shows its clients, and whom of them it lets in.
#[derive(Clone)]
pub struct ListenerTls {
    /// What the settings call it.
    pub name: String,
    /// As it was written.
    pub settings: TlsSettings,
    /// What the files held when the plan was drawn, and what a directory had given us; none only before it has.
    pub identities: Vec<Arc<Identity>>,
    /// Whom it lets in, if clients are asked for certificates.
    pub clients: Option<Arc<Clients>>,
}

impl ListenerTls {
    /// The same with what its files hold now.
    ///
    /// # Errors
    /// Which file is wrong.
    pub fn again(&self) -> Result<Self, FileError> {
        let written = &self.settings;
        let read = written.certificates.iter().map(|files| Identity::read(files).map(Arc::new));
        let mut identities = read.collect::<Result<Vec<_>, _>>()?;
        if let Some(acme) = &written.acme {
            identities.extend(acme::stored(&self.name, acme)?.map(Arc::new));
        }
        let clients = written.client.as_ref().map(Clients::read).transpose().map_err(|error| error.source)?.flatten();
        Ok(Self { identities, clients: clients.map(Arc::new), ..self.clone() })
    }

    /// What of it ends at some time.
    pub fn held(&self) -> Vec<Held> {
        let Self { name, settings, identities, clients } = self;
        let certificates = identities.iter().map(|identity| {
            let what = format!("tls.{name}: the certificate in `{}`", identity.source.display());
            Held { what, validity: identity.validity }
        });
        let lists = clients.as_ref().and_then(|clients| clients.validity()).map(|validity| {
            let file = settings.client.as_ref().and_then(|client| client.crl.as_deref()).unwrap_or("crl".as_ref());
            Held { what: format!("tls.{name}: the list of revoked certificates in `{}`", file.display()), validity }
        });
        certificates.chain(lists).collect()
    }
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A certificate, or what else holds for a time.
#[derive(Debug, Clone)]
pub struct Held {
    what: String,
    validity: Validity,
}

impl Held {
    /// What is to be said of its end by now.
    pub fn notice(&self, now: SystemTime) -> Option<String> {
        self.validity.notice(now).map(|notice| format!("{} {notice}", self.what))
    }

    /// How long it takes until something else is to be said.
    pub fn next_notice(&self, now: SystemTime) -> Option<Duration> {
        self.validity.next_notice(now)
    }
}

/// What upstreams show their endpoints.
pub fn held_by_upstreams<'p>(settings: &'p Settings, upstreams: &'p Upstreams) -> impl Iterator<Item = Held> + use<'p> {
    settings.upstreams.iter().filter_map(|(name, written)| {
        let file = written.tls.cert.as_ref()?.display();
        let members = upstreams.get(name.as_str())?.members();
        let validity = members.endpoints.iter().find_map(|endpoint| endpoint.target.tls.as_deref()?.validity())?;
        Some(Held { what: format!("upstreams.{name}.tls: the certificate in `{file}`"), validity })
    })
}

/// By name, as far as they are right.
pub type ListenersTls = IndexMap<String, Arc<ListenerTls>>;

/// Every file that is read when a plan is drawn.
pub fn files(settings: &Settings) -> Vec<PathBuf> {
    let listeners = settings.tls.iter().flat_map(|(name, tls)| {
        let pairs = tls.certificates.iter().flat_map(|files| [&files.cert, &files.key]);
        let clients = tls.client.iter().flat_map(|client| iter::once(&client.ca).chain(&client.crl));
        let acme = tls.acme.iter().map(|acme| acme::file(name, acme));
        pairs.chain(clients).cloned().chain(acme)
    });
    let upstreams = settings.upstreams.values().map(|upstream| &upstream.tls);
    let upstreams = upstreams.flat_map(|tls| [&tls.ca, &tls.cert, &tls.key].into_iter().flatten());
    let mut files: Vec<_> = listeners.chain(upstreams.cloned()).collect();
    files.sort();
    files.dedup();
    files
}

/// Everything under `[tls]`.
pub fn listeners(settings: &Settings, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) -> ListenersTls {
    let drawn = settings.tls.iter().filter_map(|(name, written)| {
        let tls = listener(name, written, problems, warnings)?;
        for authority in tls.clients.iter().flat_map(|clients| clients.without_list()) {
            warnings.push(format!(
                "tls.{name}.client.crl: no list of {authority}: whoever has a certificate of theirs is refused"
            ));
        }
        Some((name.clone(), Arc::new(tls)))
    });
    drawn.collect()
}

fn listener(
    name: &str,
    written: &TlsSettings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<ListenerTls> {
    let before = problems.len();
    if !super::upstreams::can_be_named(name) {
        problems.push(
            Problem::at(["tls", name], "its name must be such that an environment variable can name it")
                .help("lower-case letters, digits and `_`"),
        );
    }
    if written.certificates.is_empty() && written.acme.is_none() {
        let help = "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
        problems.push(Problem::at(["tls", name, "certificates"], "no certificate to show").help(help));
    }
    let mut identities = Vec::with_capacity(written.certificates.len());
    for (index, files) in written.certificates.iter().enumerate() {
        match Identity::read(files) {
            Ok(identity) => identities.push(Arc::new(identity)),
            Err(error) => {
                let at = ["tls", name, "certificates", &index.to_string(), error.setting(files)];
                problems.push(Problem::at(at, error.in_full()).help(error.help()));
            }
        }
    }
    if let Some(acme) = &written.acme {
        acme::check(name, acme, problems);
        match acme::stored(name, acme) {
            Ok(stored) => identities.extend(stored.map(Arc::new)),
            // Another one will be asked for.
            Err(error) => warnings.push(format!("tls.{name}.acme: {}", error.in_full())),
        }
    }
    let clients = written.client.as_ref().map(Clients::read).transpose().unwrap_or_else(|error| {
        let at = ["tls", name, "client", error.key];
        problems.push(Problem::at(at, error.to_string()).help(error.source.help()));
        None
    });
    let clients = clients.flatten().map(Arc::new);
    let drawn = || ListenerTls { name: name.to_owned(), settings: written.clone(), identities, clients };
    (problems.len() == before).then(drawn)
}

/// What the listener of this number names.
pub fn of_listener(
    index: usize,
    settings: &Settings,
    drawn: &ListenersTls,
    problems: &mut Vec<Problem>,
) -> Option<Arc<ListenerTls>> {
    let name = settings.listen[index].tls.as_deref()?;
    // What is there but wrong has its own problem already.
    if !settings.tls.contains_key(name) {
        let help = did_you_mean(name, settings.tls.keys()).unwrap_or_else(|| format!("no [tls.{name}]"));
        let at = ["listen", &index.to_string(), "tls"];
        problems.push(Problem::at(at, format!("unknown certificates `{}`", name.escape_debug())).help(help));
    }
    drawn.get(name).cloned()
}

/// What the endpoints of an upstream have in common, if one of them speaks TLS.
pub fn of_upstream(
    name: &str,
    written: &UpstreamSettings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<Arc<ClientTls>> {
    let EndpointTls { ca, cert, key, server_name, insecure } = &written.tls;
    let at = |keys: &[&str], what: &str| Problem::at(["upstreams", name].iter().chain(keys).copied(), what);
    let found = written.discover.as_ref().is_some_and(DiscoverSettings::is_tls);
    if !found && !written.servers.iter().any(|server| server.url.starts_with("https://")) {
        if !written.tls.is_default() {
            problems.push(at(&["tls"], "none of the servers speaks TLS").help("servers = [\"https://..\"]"));
        }
        return None;
    }
    let before = problems.len();
    match (cert, key) {
        (Some(_), None) => problems.push(at(&["tls", "cert"], "a certificate without its key").help("add `key`")),
        (None, Some(_)) => problems.push(at(&["tls", "key"], "a key without its certificate").help("add `cert`")),
        _ => {}
    }
    if *insecure && ca.is_some() {
        problems.push(at(&["tls", "ca"], "`insecure` believes everybody, `ca` or not").help("one of them"));
    }
    if server_name.as_deref().is_some_and(|name| !Profile::can_be_for(name)) {
        problems.push(at(&["tls", "server_name"], "not the name of a server").help("a DNS name or an IP address"));
    }
    if problems.len() > before {
        return None;
    }
    if *insecure {
        let name = problem::name(&["upstreams", name, "tls", "insecure"]);
        warnings
            .push(format!("{name}: its endpoints need not prove who they are: whoever is on the way can read along"));
    }
    match ClientTls::of(&written.tls) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            problems.push(match &error {
                ClientTlsError::File { key, source } => at(&["tls", key], &error.to_string()).help(source.help()),
                ClientTlsError::NoRoots => at(&["servers"], &error.to_string()).help(NO_ROOTS),
            });
            None
        }
    }
}

/// What is said where nobody is believed.
pub const NO_ROOTS: &str = "install them (ca-certificates), or name a file of your own: tls = { ca = \"ca.pem\" }";

/// The endpoint of a route that names a URL.
///
/// # Errors
/// What is wrong, and the likely fix.
pub fn of_route(url: &EndpointUrl) -> Result<Option<Profile>, (String, &'static str)> {
    if !url.is_tls {
        return Ok(None);
    }
    let tls = ClientTls::of(&EndpointTls::default()).map_err(|error| (error.to_string(), NO_ROOTS))?;
    profile(url, &Arc::new(tls), None).map(Some).ok_or_else(|| (NO_NAME.to_owned(), "a DNS name or an IP address"))
}

/// What is said of a host that no certificate can be for.
pub const NO_NAME: &str = "no certificate can be for this host";

/// How to encrypt to an endpoint.
pub fn profile(url: &EndpointUrl, tls: &Arc<ClientTls>, server_name: Option<&str>) -> Option<Profile> {
    let Address::Tcp { host, .. } = &url.address else { return None };
    Profile::named(Arc::clone(tls), server_name.unwrap_or(host))
}
