//! How a connection of TLS begins: the handshake in time, what was agreed on in it, and what those are told who do not
//! shake hands.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use rustls::{
    HandshakeKind,
    server::{Accepted, Acceptor},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Certificates, Protocol, directory::take_asked};
use crate::{
    edge::{
        counts::Handshakes,
        h1::{LINGER, head::Head},
    },
    http::{ClientCertificate, header, headers, proxy_protocol},
    transport::{
        dial::Stream as Socket,
        tls::served::{Handshake, hear},
    },
};

/// What was agreed on with a client.
#[derive(Clone)]
pub struct Greeted {
    /// What it speaks from here on.
    pub protocol: Protocol,
    /// Who it is, if clients are asked for certificates.
    pub client: Option<Arc<ClientCertificate>>,
    asked: Option<Rc<Asked>>,
}

/// Who was asked for.
struct Asked {
    /// The host, in lower case.
    host: Box<str>,
    /// What there was to show.
    certificates: Certificates,
}

impl Certificates {
    /// Shakes hands with whoever has connected, and offers the `newest` protocol with what is older; `None` if nothing
    /// came of it within `limit`.
    pub async fn greet(
        &self,
        socket: Socket,
        newest: Protocol,
        limit: Option<Duration>,
        counts: &Handshakes,
    ) -> Option<(Socket, Greeted)> {
        let Socket::Tcp(socket) = socket else { return None };
        let greeting = self.shake_hands(socket, newest, counts);
        let greeted = match limit {
            Some(limit) => tokio::time::timeout(limit, greeting).await,
            None => Ok(greeting.await),
        };
        match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => {
                counts.failed.one();
                log::debug!("no TLS with a client: {error}");
                None
            }
            Err(_) => {
                counts.late.one();
                log::debug!("no TLS with a client in time");
                None
            }
        }
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        newest: Protocol,
        counts: &Handshakes,
    ) -> io::Result<Option<(Socket, Greeted)>> {
        let mut first = [0; 16];
        let seen = socket.peek(&mut first).await?;
        if proxy_protocol::seems_begun(&first[..seen]) {
            return Err(io::Error::other("a PROXY header from whom none is expected"));
        }
        if first[0].is_ascii_alphabetic() {
            tell_in_the_clear(socket).await?;
            return Err(io::Error::other("it speaks in the clear"));
        }
        let shown = self.shown();
        let mut heard = Vec::new();
        let validation = match self.0.validations.are_none() {
            true => None,
            false => {
                hello(&socket, &mut heard).await?.and_then(|hello| self.0.validations.config(&hello.client_hello()))
            }
        };
        let is_validation = validation.is_some();
        let config = validation.unwrap_or_else(|| shown.config(newest));
        let mut handshake = Handshake::begun(config, heard).map_err(io::Error::other)?;
        let mut asked = None;
        handshake.shake(&socket, || asked = take_asked().or(asked.take())).await?;
        let agreed = handshake.agreed();
        let greeted = Greeted {
            protocol: Protocol::agreed(agreed.alpn_protocol()),
            client: shown.client(agreed)?,
            asked: asked.map(|host| Rc::new(Asked { host, certificates: self.clone() })),
        };
        let is_resumed = agreed.handshake_kind() == Some(HandshakeKind::Resumed);
        let mut stream = handshake.into_stream(socket, greeted.protocol == Protocol::Http2)?;
        if is_validation {
            // The handshake is the answer.
            stream.shutdown().await?;
            return Ok(None);
        }
        if is_resumed { &counts.resumed } else { &counts.full }.one();
        Ok(Some((Socket::Served(Box::new(stream)), greeted)))
    }
}

/// What a client begins with, when it is all there; `None` if it cannot be read. All that was heard is in `heard`.
async fn hello(socket: &TcpStream, heard: &mut Vec<u8>) -> io::Result<Option<Accepted>> {
    let mut acceptor = Acceptor::default();
    loop {
        let known = heard.len();
        hear(socket, heard).await?;
        let mut more = &heard[known..];
        while !more.is_empty() {
            // Whatever is wrong is found again, and told, by the handshake.
            if acceptor.read_tls(&mut more).is_err() {
                return Ok(None);
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(hello)) => return Ok(Some(hello)),
                Err(_) => return Ok(None),
            }
        }
    }
}

impl Greeted {
    /// The request is for a host that no certificate here covers, though the client knows how to ask for one. A browser
    /// uses a connection for every host that the certificate it was shown covers; those are let through.
    pub fn is_misdirected(&self, head: &Head) -> bool {
        let Some(asked) = &self.asked else { return false };
        let host = match head.uri.authority() {
            Some(authority) => authority.as_str(),
            // A request without a host, or with one that cannot be read, is refused for that.
            None => match head.headers.get(header::HOST).map(|host| host.to_str()) {
                Some(Ok(host)) => host,
                _ => return false,
            },
        };
        let name = headers::host_name(host);
        if name.eq_ignore_ascii_case(&asked.host) {
            return false;
        }
        let shown = asked.certificates.shown();
        let directory = &shown.directory;
        directory.has_names() && !directory.covers(name)
    }
}

/// Bytes that are read of what a client still sends; it may be in the middle of an upload.
const MOST_HEARD: u64 = 1024 * 1024;

/// Says in the client's own words what is wrong. What it sends is read, because closing before that would reset the
/// connection, and take the answer back.
async fn tell_in_the_clear(mut socket: TcpStream) -> io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 45\r\nconnection: close\r\n\r\nthis port speaks HTTPS: begin with https://\r\n";
    socket.write_all(ANSWER).await?;
    socket.shutdown().await?;
    let (mut rest, mut nowhere) = (socket.take(MOST_HEARD), tokio::io::sink());
    // Whoever has not read the answer by then does not want it.
    match tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await {
        Ok(heard) => heard.map(drop),
        Err(_) => Ok(()),
    }
}
