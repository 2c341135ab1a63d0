//! A name server that answers as the test says, at 127.0.0.1.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SRV},
};
use tokio::{net::UdpSocket, sync::watch};

use super::wire::patiently;

/// What is said of one kind of records of a name.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These, for so many seconds.
    Records(Vec<RData>, u32),
    /// An error.
    Code(ResponseCode),
    /// Nothing, until there is something else to say.
    Silence,
}

/// A name server, until it is dropped.
pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    socket: Arc<UdpSocket>,
    asked: watch::Receiver<usize>,
    serving: actix_rt::task::JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    replies: HashMap<(Name, RecordType), Reply>,
    /// Who still waits for an answer.
    unanswered: Vec<(Message, SocketAddr)>,
}

impl Dns {
    /// That knows no name yet.
    pub async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let address = socket.local_addr().expect("it is bound");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let (told, asked) = watch::channel(0);
        let (known, by) = (Arc::clone(&zone), Arc::clone(&socket));
        let serving = actix_rt::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((length, from)) = by.recv_from(&mut bytes).await {
                let asked = Message::from_vec(&bytes[..length]).expect("a question");
                let answer = known.lock().expect("nobody panics with it").answer(&asked, from);
                if let Some(answer) = answer {
                    by.send_to(&answer, from).await.expect("a socket");
                }
                told.send_modify(|count| *count += 1);
            }
        });
        Self { address, zone, socket, asked, serving }
    }

    /// What it says from now on, also to those who wait.
    pub async fn says(&self, name: &str, kind: RecordType, reply: Reply) {
        let answers: Vec<_> = {
            let mut zone = self.zone.lock().expect("nobody panics with it");
            zone.replies.insert((name_of(name), kind), reply);
            let waiting = std::mem::take(&mut zone.unanswered);
            waiting.into_iter().filter_map(|(asked, from)| Some((zone.answer(&asked, from)?, from))).collect()
        };
        for (answer, from) in answers {
            self.socket.send_to(&answer, from).await.expect("a socket");
        }
    }

    /// These are the addresses of the name, and all of them, for an hour.
    pub async fn places(&self, name: &str, addresses: &[IpAddr]) {
        for (kind, is_of) in
            [(RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (RecordType::AAAA, IpAddr::is_ipv6)]
        {
            let records = addresses.iter().filter(|address| is_of(address)).map(|address| RData::from(*address));
            self.says(name, kind, Reply::Records(records.collect(), 3600)).await;
        }
    }

    /// Whatever kind of addresses is asked for.
    pub async fn says_of_addresses(&self, name: &str, reply: Reply) {
        for kind in [RecordType::A, RecordType::AAAA] {
            self.says(name, kind, reply.clone()).await;
        }
    }

    /// Waits for so many questions in all.
    pub async fn wait_for_questions(&self, count: usize) {
        let mut asked = self.asked.clone();
        patiently("a question", asked.wait_for(|asked| *asked >= count)).await.expect("it serves");
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Zone {
    /// `None` for silence.
    fn answer(&mut self, asked: &Message, from: SocketAddr) -> Option<Vec<u8>> {
        let query: &Query = asked.queries.first().expect("a question");
        let name = query.name().to_lowercase();
        let is_known = self.replies.keys().any(|(known, _)| *known == name);
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        match self.replies.get(&(name, query.query_type())) {
            Some(Reply::Silence) => {
                self.unanswered.push((asked.clone(), from));
                return None;
            }
            Some(Reply::Code(code)) => answer.metadata.response_code = *code,
            Some(Reply::Records(records, ttl)) => {
                answer.add_answers(
                    records.iter().map(|data| Record::from_rdata(query.name().clone(), *ttl, data.clone())),
                );
            }
            None if is_known => {}
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(answer.to_vec().expect("it can be written"))
    }
}

/// A record of a service: priority, weight, port, host.
pub fn srv(priority: u16, weight: u16, port: u16, host: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name_of(host)))
}

fn name_of(text: &str) -> Name {
    let mut name = Name::from_str(text).expect("a name");
    name.set_fqdn(true);
    name
}
