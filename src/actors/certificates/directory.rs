//! How a directory is spoken with: HTTP/1.1 over our own TLS, within limits.

use std::{error::Error as StdError, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::Bytes,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    plan::acme,
    settings::tls::AcmeSettings,
    transport::{
        dial::Offer,
        tls::client::{ClientTls, ClientTlsError, Profile},
    },
};

/// For a request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer of a directory is larger.
const LARGEST: usize = 1024 * 1024;

/// Whoever asks a directory, believing whom the settings say.
pub struct Directory(Arc<ClientTls>);

type Failure = Box<dyn StdError + Send + Sync>;

impl Directory {
    /// Of these settings.
    ///
    /// # Errors
    /// Nobody can be believed.
    pub fn of(settings: &AcmeSettings) -> Result<Self, ClientTlsError> {
        acme::believing(settings).map(|tls| Self(Arc::new(tls)))
    }
}

impl HttpClient for Directory {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.0);
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let answer = timeout(PATIENCE, exchange(tls, request)).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}").into()));
            answer.map(BytesResponse::from).map_err(|source| Error::Other(Box::new(Unreached { host, source })))
        })
    }
}

/// Nothing came of a request.
#[derive(Debug, thiserror::Error)]
#[error("{host} cannot be asked: {source}")]
struct Unreached {
    host: String,
    source: Failure,
}

async fn exchange(
    tls: Arc<ClientTls>,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Failure> {
    let uri = request.uri().clone();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or("a URL that is not https")?;
    // Brackets are of URLs alone.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let profile = Profile::named(tls, host).ok_or("a host that no certificate can be for")?;
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
    let stream = profile.shake_hands(socket, Offer::Http1).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = uri.path_and_query().map_or("/", |target| target.as_str()).parse()?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
        Ok::<_, Failure>(Response::from_parts(head, Full::new(body)))
    };
    tokio::select! {
        answer = answer => answer,
        ended = connection => {
            ended?;
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }
}
