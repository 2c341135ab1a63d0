//! Which certificate a client is shown.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, fmt, net::IpAddr, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::transport::tls::identity::Identity;

/// All certificates of a listener, by the names they cover. Never changed, only replaced.
pub struct Directory {
    /// The first is for whoever names no host, or one that nobody here covers.
    identities: Vec<Arc<Identity>>,
    /// The places of those that cover a name written out: one for each kind of key, say.
    exact: HashMap<String, Vec<usize>>,
    /// The same for `*.example.com`, by what stands behind the star and its dot.
    wildcards: HashMap<String, Vec<usize>>,
}

impl Directory {
    /// Of these certificates.
    pub fn of(identities: Vec<Arc<Identity>>) -> Self {
        let (mut exact, mut wildcards) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (place, identity) in identities.iter().enumerate() {
            for name in &identity.names {
                match name.strip_prefix("*.") {
                    Some(domain) => wildcards.entry(domain.to_owned()).or_default().push(place),
                    None => exact.entry(name.clone()).or_default().push(place),
                }
            }
        }
        Self { identities, exact, wildcards }
    }

    /// One of them says whom it is for.
    pub fn has_names(&self) -> bool {
        !(self.exact.is_empty() && self.wildcards.is_empty())
    }

    /// One of them is for this host.
    pub fn covers(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => self.identities.iter().any(|identity| identity.addresses.contains(&address)),
            Err(_) => !self.find(host).is_empty(),
        }
    }

    /// Those that are for this name: written out before by a star, which stands for one label (RFC 6125, 6.4.3).
    fn find(&self, name: &str) -> &[usize] {
        let name = lower(name);
        if let Some(places) = self.exact.get(&*name) {
            return places;
        }
        let by_star = name.split_once('.').and_then(|(_, domain)| self.wildcards.get(domain));
        by_star.map_or(&[], Vec::as_slice)
    }

    /// The one to show: of those for the name, else of all, the first whose key the client can check. Where there is
    /// none, the handshake says so.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let can_check = |identity: &&Arc<Identity>| identity.certified.key.choose_scheme(schemes).is_some();
        let named = name.map_or(&[][..], |name| self.find(name));
        let mut asked_for = named.iter().filter_map(|place| self.identities.get(*place));
        let chosen = asked_for.find(can_check).or_else(|| self.identities.iter().find(can_check));
        chosen.or_else(|| self.identities.first()).map(|identity| Arc::clone(&identity.certified))
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

thread_local! {
    static ASKED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The host that was asked for in the handshake that has just had its turn, in lower case. rustls tells it here and nowhere
/// else, where it has no buffers of its own.
pub fn take_asked() -> Option<Box<str>> {
    ASKED.take()
}

impl ResolvesServerCert for Directory {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(|name| lower(name).into()));
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}
