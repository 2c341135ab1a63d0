//! Much content, of which each byte is known.

use std::{net::SocketAddr, rc::Rc};

use super::{Counts, Steps, count, next};
use crate::{
    endpoint::{CONTENT, LENGTH, PERIOD},
    support::{client::Client, wire::value_of},
};

/// A download whose content has been checked as far as it was read.
pub struct Download {
    client: Client,
    read: usize,
}

impl Download {
    pub async fn begin(address: SocketAddr) -> Self {
        let mut client = Client::connect(address).await;
        client.send("GET /download HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(value_of(&head, "content-length"), Some(&*LENGTH.to_string()));
        Self { client, read: 0 }
    }

    async fn read(&mut self, count: usize) {
        let piece = self.client.read_exact(count).await;
        for part in piece.chunks(PERIOD) {
            let at = self.read % PERIOD;
            assert!(
                part == &CONTENT[at..at + part.len()],
                "other content, in the {} bytes from {}",
                part.len(),
                self.read
            );
            self.read += part.len();
        }
    }

    async fn finish(mut self) {
        while self.read < LENGTH {
            self.read(PERIOD.min(LENGTH - self.read)).await;
        }
        assert_eq!(self.client.read_to_end().await, b"");
    }
}

/// A part of it at each step.
pub async fn read_slowly(mut download: Download, mut steps: Steps, counts: Rc<Counts>) {
    while next(&mut steps).await.is_some() {
        download.read((LENGTH / 150).min(LENGTH - download.read)).await;
    }
    download.finish().await;
    count(&counts.downloads);
}

/// One at each step, as fast as it comes.
pub async fn download_at_once(address: SocketAddr, mut steps: Steps, counts: Rc<Counts>) {
    while next(&mut steps).await.is_some() {
        Download::begin(address).await.finish().await;
        count(&counts.downloads);
    }
}
