//! A client that keeps its cookies.

use std::{collections::BTreeMap, net::SocketAddr};

use super::client::{Response, request};

/// Somebody who comes again and again, each time on a connection of its own.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Somebody who has no cookies yet.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// With this cookie from somewhere.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.cookies.insert(name.to_owned(), value.to_owned());
        self
    }

    pub async fn get(&mut self, path: &str) -> Response {
        let address = self.address;
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) };
        let response =
            request(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{cookies}Connection: close\r\n\r\n"))
                .await;
        for cookie in response.headers("set-cookie") {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }

    /// The body of an answer that must be good.
    pub async fn read(&mut self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.text()
    }
}
