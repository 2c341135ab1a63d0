//! What a name stands for, asked again when the answer is too old.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use futures_util::future::{join, join_all};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType, rdata::SRV},
    },
};
use tokio::time::{sleep, timeout};

use super::Search;
use crate::{
    chance,
    plan::{Found, Question},
    settings::discover::Record,
};

/// So many endpoints at most are made of one name.
const MOST: usize = 256;
/// Names of SRV records that are asked for at once.
const AT_ONCE: usize = 8;
/// After a question that was not answered; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long it holds that there is nothing, where the answer does not say.
const NOTHING: Duration = Duration::from_secs(30);

/// What one kind of records says, and for how long.
struct Answer {
    found: Vec<Found>,
    holds: Duration,
}

/// What is known of a name, from as many kinds of records as are asked for.
struct Known<'s> {
    question: &'s Question,
    search: &'s Search,
    /// `None` where no answer has come yet.
    parts: RefCell<Vec<Option<Vec<Found>>>>,
    /// Why the last question about each was not answered.
    troubles: RefCell<Vec<Option<String>>>,
}

/// As long as this is polled.
pub async fn ask_again_and_again(question: &Question, search: &Search) {
    let kinds = if question.record == Record::Ip { 2 } else { 1 };
    let known =
        Known { question, search, parts: RefCell::new(vec![None; kinds]), troubles: RefCell::new(vec![None; kinds]) };
    match question.record {
        Record::Ip => drop(join(known.follow(0, &V4), known.follow(1, &V6)).await),
        Record::A => known.follow(0, &V4).await,
        Record::Aaaa => known.follow(0, &V6).await,
        Record::Srv => known.follow(0, &Services::default()).await,
    }
}

/// A kind of records.
trait Kind {
    async fn ask(&self, question: &Question, resolver: &TokioResolver) -> Result<Answer, NetError>;
}

impl Known<'_> {
    async fn follow(&self, part: usize, kind: &impl Kind) {
        let mut pause = FIRST_PAUSE;
        let mut resolver = None;
        loop {
            let asked = async {
                // Who is to be asked may have been written anew since.
                let resolver = match &resolver {
                    Some(resolver) => resolver,
                    None => resolver.insert(self::resolver(self.question)?),
                };
                kind.ask(self.question, resolver).await
            };
            let answer = timeout(self.question.timeout, asked).await.unwrap_or(Err(NetError::Timeout));
            match answer {
                Ok(Answer { found, holds }) => {
                    self.answered(part, found);
                    pause = FIRST_PAUSE;
                    sleep(holds.clamp(self.question.min_ttl, self.question.max_ttl)).await;
                }
                Err(error) => {
                    self.failed(part, told(&error));
                    resolver = None;
                    sleep(pause.min(self.question.max_ttl).mul_f64(0.75 + chance::part() / 4.0)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Another answer. Where all kinds together say that there is nothing, what was known holds: it is more often a
    /// mistake than meant.
    fn answered(&self, part: usize, found: Vec<Found>) {
        let is_nothing = {
            let mut parts = self.parts.borrow_mut();
            let others = parts.iter().enumerate().filter(|(other, _)| *other != part);
            let is_nothing =
                found.is_empty() && others.into_iter().all(|(_, other)| other.as_ref().is_none_or(Vec::is_empty));
            if !is_nothing || parts[part].is_none() {
                parts[part] = Some(found);
            }
            is_nothing
        };
        self.troubles.borrow_mut()[part] = is_nothing.then(|| "it has no address that can be reached".to_owned());
        if !is_nothing {
            self.search.found(self.all());
        }
        self.tell();
    }

    fn failed(&self, part: usize, why: String) {
        self.troubles.borrow_mut()[part] = Some(why);
        self.tell();
    }

    /// Says how it is once every kind was asked: that there are no addresses of one kind is nothing to tell.
    fn tell(&self) {
        let (parts, troubles) = (self.parts.borrow(), self.troubles.borrow());
        let is_asked = parts.iter().zip(&*troubles).all(|(part, trouble)| part.is_some() || trouble.is_some());
        let is_found = parts.iter().flatten().any(|found| !found.is_empty());
        let failed = troubles.iter().zip(&*parts).find_map(|(trouble, part)| {
            let is_told = part.as_ref().is_none_or(|part| !part.is_empty()) || !is_found;
            trouble.as_ref().filter(|_| is_told)
        });
        match failed {
            Some(why) if is_asked => self.search.failed(why),
            None if is_found => self.search.succeeded(),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Found> {
        let mut all: Vec<Found> = self.parts.borrow().iter().flatten().flatten().cloned().collect();
        all.sort();
        all.dedup_by(|one, other| one.is_at_the_address_of(other));
        if all.len() > MOST {
            log::warn!("{} has {} addresses, of which {MOST} are used", self.question.name, all.len());
            all.truncate(MOST);
        }
        all
    }
}

fn resolver(question: &Question) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if question.nameservers.is_empty() {
        TokioResolver::builder(provider)?
    } else {
        let at = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = address.port());
            server
        };
        let servers = question.nameservers.iter().map(at).collect();
        TokioResolver::builder_with_config(ResolverConfig::from_parts(None, Vec::new(), servers), provider)
    };
    // When it is asked again is decided here.
    builder.options_mut().cache_size = 0;
    builder.build()
}

fn told(error: &NetError) -> String {
    match error {
        NetError::Timeout => "no answer in time".into(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => "there is no such name".into(),
        NetError::Dns(DnsError::NoRecordsFound(nothing)) if nothing.response_code == ResponseCode::NXDomain => {
            "there is no such name".into()
        }
        error => error.to_string(),
    }
}

/// Records of one kind, and how long they hold; none where the name has others only.
async fn records<T>(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
    of: impl Fn(&RData) -> Option<T>,
) -> Result<(Vec<T>, Duration), NetError> {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let holds = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
            let records = lookup.answers().iter().filter_map(|record| of(&record.data)).collect();
            Ok((records, Duration::from_secs(holds.into())))
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) if nothing.response_code == ResponseCode::NoError => {
            let holds = nothing.negative_ttl.map_or(NOTHING, |seconds| Duration::from_secs(seconds.into()));
            Ok((Vec::new(), holds))
        }
        Err(error) => Err(error),
    }
}

/// Addresses of one family.
struct Family(RecordType);

const V4: Family = Family(RecordType::A);
const V6: Family = Family(RecordType::AAAA);

impl Family {
    async fn addresses(&self, resolver: &TokioResolver, name: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        let (mut addresses, holds) = records(resolver, name, self.0, RData::ip_addr).await?;
        // A machine without IPv6 need not try what it cannot reach.
        if addresses.iter().any(|address| can_be_reached(*address)) {
            addresses.retain(|address| can_be_reached(*address));
        } else if self.0 == RecordType::AAAA {
            addresses.clear();
        }
        Ok((addresses, holds))
    }
}

impl Kind for Family {
    async fn ask(&self, question: &Question, resolver: &TokioResolver) -> Result<Answer, NetError> {
        let (addresses, holds) = self.addresses(resolver, &question.name).await?;
        let at = |address| question.found(SocketAddr::new(address, question.port), 1, false);
        Ok(Answer { found: addresses.into_iter().map(at).collect(), holds })
    }
}

/// Hosts with ports (RFC 2782), and what was last known of their addresses.
#[derive(Default)]
struct Services {
    addresses: RefCell<HashMap<Name, Vec<IpAddr>>>,
}

impl Kind for Services {
    async fn ask(&self, question: &Question, resolver: &TokioResolver) -> Result<Answer, NetError> {
        let service = |data: &RData| match data {
            RData::SRV(service) => Some(service.clone()),
            _ => None,
        };
        let (mut services, mut holds) = records(resolver, &question.name, RecordType::SRV, service).await?;
        // A dot alone says that there is no such service.
        services.retain(|service| !service.target.is_root() && service.port > 0);
        services.truncate(MOST);
        let first = services.iter().map(|service| service.priority).min().unwrap_or(0);
        let divisor = services.iter().map(|service| service.weight).fold(0, gcd).max(1);
        let mut found = Vec::new();
        for some in services.chunks(AT_ONCE) {
            let each = some.iter().map(|service| self.addresses_of(&service.target, resolver));
            for (service, (addresses, hold)) in some.iter().zip(join_all(each).await) {
                holds = holds.min(hold);
                let (weight, is_backup) = ((service.weight / divisor).max(1), service.priority > first);
                let at = |address| question.found(SocketAddr::new(address, service.port), weight.into(), is_backup);
                found.extend(addresses.into_iter().map(at));
            }
        }
        self.forget_others(&services);
        Ok(Answer { found, holds })
    }
}

impl Services {
    /// A host that cannot be asked for now is where it was.
    async fn addresses_of(&self, host: &Name, resolver: &TokioResolver) -> (Vec<IpAddr>, Duration) {
        let name = host.to_string();
        let (v4, v6) = join(V4.addresses(resolver, &name), V6.addresses(resolver, &name)).await;
        let holds = [&v4, &v6].into_iter().filter_map(|one| one.as_ref().ok()).map(|(_, holds)| *holds).min();
        let addresses: Vec<IpAddr> = [v4, v6].into_iter().flatten().flat_map(|(addresses, _)| addresses).collect();
        let mut known = self.addresses.borrow_mut();
        if addresses.is_empty() {
            return (known.get(host).cloned().unwrap_or_default(), FIRST_PAUSE);
        }
        known.insert(host.clone(), addresses.clone());
        (addresses, holds.unwrap_or(NOTHING))
    }

    fn forget_others(&self, services: &[SRV]) {
        self.addresses.borrow_mut().retain(|host, _| services.iter().any(|service| service.target == *host));
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// There is a way to it. Nothing is sent.
fn can_be_reached(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 9))).is_ok()
}
