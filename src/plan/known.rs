//! The endpoints that an upstream had before, by what tells them apart: however many there are, each is found at once.

use std::{collections::HashMap, sync::Arc};

use super::url::EndpointUrl;
use crate::{
    transport::Address,
    upstream::{Endpoint, Members},
};

/// They.
#[derive(Default)]
pub struct Known<'m>(HashMap<(&'m Address, &'m str), &'m Arc<Endpoint>>);

impl<'m> Known<'m> {
    /// Those of these members.
    pub fn of(members: Option<&'m Members>) -> Self {
        let endpoints = members.map_or(&[][..], |members| &members.endpoints);
        let named =
            endpoints.iter().map(|endpoint| ((&endpoint.target.address, &*endpoint.target.authority), endpoint));
        Self(named.collect())
    }

    /// There was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that was asked by this URL.
    pub fn at(&self, url: &EndpointUrl) -> Option<&'m Arc<Endpoint>> {
        self.0.get(&(&url.address, &*url.authority)).copied()
    }
}
