//! The clients of one proxy.

use std::rc::Rc;

use crate::cases::{Case, Speaks};
use crate::client::Client;
use crate::h1::{Asks, H1Client};
use crate::h2::{Ask, H2Client};
use crate::websocket::WebSocketClient;
use crate::wire::Target;

/// With their connections.
pub struct Crowd {
    pub clients: Vec<Box<dyn Client>>,
    /// How many requests each may have under way.
    pub streams: usize,
}

impl Crowd {
    /// Who all ask for the same, in what the case is about.
    pub fn of(case: &Case, size: usize, download: u64, target: &Target) -> Self {
        let secure = case.is_secure();
        match case.speaks {
            Speaks::Http | Speaks::Https => Self::of_h1(size, &case.request(download).by_all(), target),
            Speaks::WebSocket => Self::made_by(size, 1, || WebSocketClient::new(target.clone())),
            Speaks::H2 { streams } | Speaks::H2c { streams } => {
                Self::of_h2(size, streams, Ask::get(download, secure), target)
            }
            Speaks::Grpc { streams } | Speaks::GrpcH2c { streams } => {
                Self::of_h2(size, streams, Ask::grpc(download, secure), target)
            }
        }
    }

    pub fn of_h1(size: usize, asks: &Asks, target: &Target) -> Self {
        Self::made_by(size, 1, || H1Client::new(Rc::clone(asks), target.clone()))
    }

    fn of_h2(size: usize, streams: usize, ask: Ask, target: &Target) -> Self {
        let ask = Rc::new(ask);
        Self::made_by(size, streams, || H2Client::new(Rc::clone(&ask), target.clone()))
    }

    fn made_by<C: Client + 'static>(size: usize, streams: usize, client: impl Fn() -> C) -> Self {
        Self { clients: (0..size).map(|_| Box::new(client()) as Box<dyn Client>).collect(), streams }
    }

    pub fn nobody() -> Self {
        Self { clients: Vec::new(), streams: 1 }
    }

    pub fn connected(&self) -> usize {
        self.clients.iter().filter(|client| client.is_connected()).count()
    }
}
