//! Questions of our own to somebody over HTTP: bounded in time and size, without redirects, and whoever speaks TLS must be who
//! he says.

use std::{
    future::poll_fn,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    http::{Body, Frame, HeaderMap, HeaderValue, Method, RequestBody, ResponseBody, StatusCode, header},
    settings::upstream::{EndpointHttp2, EndpointTls, Protocol},
    transport::{
        Address, Incoming, IncomingHead, Outgoing, Target, Timeouts, Transport, TransportError,
        pool::Limits,
        tls::client::{ClientTls, Profile},
        url,
    },
};

/// Connections are kept so long, and that many of a worker.
const IDLE: Duration = Duration::from_secs(30);
const LIFETIME: Duration = Duration::from_secs(600);
const MOST_IDLE: usize = 32;
/// So many questions at once, of the whole process.
const MOST: usize = 1024;

/// Whom to ask, and what for.
pub struct Errand {
    target: Target,
    path: String,
    limit: Duration,
    most: usize,
}

/// What was answered, as a whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without those of the connection.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Errand {
    /// To this URL, which may have a query; the answer must be there within this time, and its body may have so many bytes.
    /// `ca` is whom to believe instead of the machine's roots.
    ///
    /// # Errors
    /// The key it is wrong at (`url` or `ca`), and what is wrong.
    pub fn to(text: &str, ca: Option<&Path>, limit: Duration, most: usize) -> Result<Self, (&'static str, String)> {
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let url = url::parse(place).map_err(|what| ("url", what))?;
        let is_target = |query: &str| !query.bytes().any(|byte| matches!(byte, 0..=b' ' | b'#' | 0x7F..));
        let path = if url.base.is_empty() { "/".to_owned() } else { url.base.clone() };
        let path = match query {
            Some(query) if !is_target(query) => return Err(("url", "its query has what no query has".into())),
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let tls = match &url.address {
            Address::Tcp { host, .. } if url.is_tls => Some(profile(host, ca)?),
            Address::Unix(_) if url.is_tls => return Err(("url", "no certificate can be for it".into())),
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        static NEXT: AtomicU64 = AtomicU64::new(1 << 62);
        let target = Target {
            address: url.address,
            tls,
            proxy_protocol: None,
            authority: url.authority.into(),
            // Apart from those of endpoints.
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            pool: Arc::new(Limits {
                max_idle: MOST_IDLE,
                idle: IDLE,
                lifetime: LIFETIME,
                total: Arc::new(Semaphore::new(MOST)),
                max_queue: 0,
                queued: AtomicU64::new(0),
                wanted: Arc::default(),
            }),
            protocol: Protocol::H1,
            h2: EndpointHttp2::default(),
            http1_until: AtomicU64::new(0),
        };
        Ok(Self { target, path, limit, most })
    }

    /// Whoever is on the way can answer for the one who is asked: it is not TLS, and not this machine.
    pub fn can_be_forged(&self) -> bool {
        let is_here = match &self.target.address {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                &**host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        };
        self.target.tls.is_none() && !is_here
    }

    /// Asks with these fields, `Host` apart. A kept connection that breaks before an answer is not the last try.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub async fn ask(&self, transport: &dyn Transport, fields: HeaderMap) -> Result<Answer, String> {
        let mut request = self.request(fields);
        let asking = async {
            let (head, body) = match self.send(transport, &mut request).await {
                Err(error) if error.reused && !error.response_started => {
                    request.fresh = true;
                    self.send(transport, &mut request).await
                }
                sent => sent,
            }
            .map_err(|error| error.to_string())?;
            let body = read(body, self.most).await?;
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        timeout(self.limit, asking).await.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.limit)))
    }

    fn request(&self, mut headers: HeaderMap) -> Outgoing {
        // It was read as an authority.
        if let Ok(host) = HeaderValue::from_str(&self.target.authority) {
            headers.insert(header::HOST, host);
        }
        Outgoing {
            method: Method::GET,
            target: self.path.clone(),
            headers,
            added: Vec::new(),
            body: RequestBody::empty(),
            upgrade: None,
            timeouts: Timeouts { connect: None, first_byte: None, idle: None, total: None },
            fresh: false,
            preamble: None,
            downstream: None,
            connected: None,
        }
    }

    async fn send(
        &self,
        transport: &dyn Transport,
        request: &mut Outgoing,
    ) -> Result<(IncomingHead, ResponseBody), TransportError> {
        match transport.send(&self.target, request).await? {
            Incoming::Response { head, body, .. } => Ok((head, body)),
            // It was not asked to.
            Incoming::Upgraded { head, .. } => Ok((head, ResponseBody::Empty)),
        }
    }
}

/// What a server of this name has to prove; `ca` is whom to believe instead of the machine's roots.
///
/// # Errors
/// The key it is wrong at (`url` or `ca`), and what is wrong.
pub(super) fn profile(host: &str, ca: Option<&Path>) -> Result<Arc<Profile>, (&'static str, String)> {
    let written = EndpointTls { ca: ca.map(PathBuf::from), ..EndpointTls::default() };
    let tls = ClientTls::of(&written).map_err(|error| ("ca", error.to_string()))?;
    let profile = Profile::named(Arc::new(tls), host).ok_or(("url", "no certificate can be for it".to_owned()))?;
    Ok(Arc::new(profile))
}

async fn read(mut body: ResponseBody, most: usize) -> Result<Bytes, String> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        match frame.map_err(|error| error.to_string())? {
            Frame::Data(bytes) if content.len() + bytes.len() > most => {
                return Err(format!("the answer has more than {most} bytes"));
            }
            Frame::Data(bytes) => content.extend_from_slice(&bytes),
            Frame::Trailers(_) => {}
        }
    }
    Ok(content.into())
}
