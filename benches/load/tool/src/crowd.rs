//! The clients of one proxy.

use std::rc::Rc;

use crate::client::Client;
use crate::h1::{Asks, H1Client};
use crate::h2::{Ask, H2Client};
use crate::wire::Target;

/// With their connections.
pub struct Crowd {
    pub clients: Vec<Box<dyn Client>>,
    /// How many requests each may have under way.
    pub streams: usize,
}

impl Crowd {
    pub fn of_h1(size: usize, asks: &Asks, target: &Target) -> Self {
        Self::of(size, 1, || H1Client::new(Rc::clone(asks), target.clone()))
    }

    pub fn of_h2(size: usize, streams: usize, ask: Ask, target: &Target) -> Self {
        let ask = Rc::new(ask);
        Self::of(size, streams, || H2Client::new(Rc::clone(&ask), target.clone()))
    }

    fn of<C: Client + 'static>(size: usize, streams: usize, client: impl Fn() -> C) -> Self {
        Self { clients: (0..size).map(|_| Box::new(client()) as Box<dyn Client>).collect(), streams }
    }

    pub fn nobody() -> Self {
        Self { clients: Vec::new(), streams: 1 }
    }

    pub fn connected(&self) -> usize {
        self.clients.iter().filter(|client| client.is_connected()).count()
    }
}
