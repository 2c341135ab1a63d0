//! Origins that speak HTTP/2: as the h2 crate does it, or frame by frame.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
};

use aqueduct::{
    settings::upstream::{EndpointHttp2, PoolSettings, Protocol},
    upstream::endpoint::Endpoint,
};
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, Response, request::Parts};
use tokio::task;

use super::{
    exchange::endpoint_with,
    frames::Frames,
    h2 as client,
    origin::{Conn, Origin, Script},
    seen::{Log, tell, wait_for},
    tls::Authority,
};

/// A request that wants an answer.
pub struct Call {
    pub head: Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
    /// Counts the connections from 0.
    pub connection: usize,
    log: Arc<Log>,
}

/// Answers each request as `answer` does, one beside the other, until the connection ends.
pub fn answering<F, P>(answer: F) -> Script
where
    F: Fn(Call) -> P + Send + 'static,
    P: Future<Output = ()> + 'static,
{
    answering_with(server::Builder::new(), answer)
}

/// The same with other settings.
pub fn answering_with<F, P>(builder: server::Builder, answer: F) -> Script
where
    F: Fn(Call) -> P + Send + 'static,
    P: Future<Output = ()> + 'static,
{
    let answer = Arc::new(Mutex::new(answer));
    Origin::script(move |mut conn, number| {
        let (builder, answer) = (builder.clone(), Arc::clone(&answer));
        async move {
            let Ok(mut connection) = builder.handshake::<_, Bytes>(conn.take_socket().boxed()).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                let (head, body) = request.into_parts();
                conn.note_request(told(&head));
                let call = Call { head, body, respond, connection: number, log: conn.log() };
                task::spawn_local(answer.lock().expect("no answer panics")(call));
            }
            let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
            conn.note_ended();
        }
    })
}

/// Answers everything with 200 and this text.
pub fn saying(body: &'static str) -> Script {
    answering(move |mut call| async move { call.reply(200, body) })
}

/// Answers with a text that tells of the request: its head, and after an empty line its body.
pub fn echo() -> Script {
    answering(|mut call| async move {
        let (body, trailers) = call.read().await.expect("a whole request");
        let text = format!("{}\n{}", told(&call.head), String::from_utf8_lossy(&body));
        let mut stream = call.begin(200, &[]);
        stream.send_data(text.into(), trailers.is_none()).expect("it takes content");
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).expect("it takes trailers");
        }
    })
}

/// Plays `script` on every connection, frame by frame. Settings were exchanged already; the endpoint's own are these.
pub fn frames<F, P>(own: &'static [(u16, u32)], script: F) -> Script
where
    F: Fn(Frames, Conn, usize) -> P + Send + 'static,
    P: Future<Output = ()> + 'static,
{
    let script = Arc::new(Mutex::new(script));
    Origin::script(move |mut conn, number| {
        let script = Arc::clone(&script);
        async move {
            let mut frames = Frames::over(conn.take_socket());
            frames.welcome(own).await;
            let played = script.lock().expect("no script panics")(frames, conn, number);
            played.await;
        }
    })
}

/// The endpoint that such an origin is, in the clear.
pub fn endpoint(origin: &Origin) -> Endpoint {
    endpoint_of(origin, &PoolSettings::default(), &EndpointHttp2::default())
}

pub fn endpoint_of(origin: &Origin, pool: &PoolSettings, h2: &EndpointHttp2) -> Endpoint {
    endpoint_with(origin, pool).speaking(Protocol::H2c, h2)
}

/// Settings of a proxy that speaks HTTP/2 with this origin, in the clear.
pub fn upstream(origin: &Origin) -> String {
    format!("[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [{:?}]\nprotocol = \"h2c\"\n", origin.url())
}

/// An origin by TLS that speaks these, as ALPN calls them.
pub async fn secured(authority: &Authority, script: Script, protocols: &[&str]) -> Origin {
    authority.issue("origin", &["origin.example", "127.0.0.1"]);
    let mut config = authority.origin("origin");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    script.start_tls(config).await
}

/// Settings of a proxy that speaks this protocol with an origin by TLS.
pub fn upstream_over_tls(authority: &Authority, origin: &Origin, protocol: &str) -> String {
    let ca = authority.path("ca.pem");
    format!(
        "[routes]\n\"/\" = \"app\"\n[upstreams.app]\nservers = [{:?}]\nprotocol = {protocol:?}\ntls.ca = {ca:?}\n",
        origin.url()
    )
}

/// A request's head as text.
fn told(head: &Parts) -> String {
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    format!("{} {}\n{}", head.method, head.uri, fields.collect::<String>())
}

impl Call {
    /// The request's body and trailers.
    pub async fn read(&mut self) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        let mut body = Vec::new();
        while let Some(bytes) = self.body.data().await {
            let bytes = bytes?;
            self.body.flow_control().release_capacity(bytes.len())?;
            body.extend_from_slice(&bytes);
        }
        Ok((body, self.body.trailers().await?))
    }

    /// A head, with content to follow.
    pub fn begin(&mut self, status: u16, fields: &[(&str, &str)]) -> SendStream<Bytes> {
        self.respond.send_response(head(status, fields), false).expect("it takes a head")
    }

    /// A whole answer with its length.
    pub fn reply(&mut self, status: u16, body: &'static str) {
        let mut stream = self.begin(status, &[("content-length", &body.len().to_string())]);
        stream.send_data(Bytes::from_static(body.as_bytes()), true).expect("it takes content");
    }

    /// A head alone.
    pub fn reply_head(&mut self, status: u16, fields: &[(&str, &str)]) {
        self.respond.send_response(head(status, fields), true).expect("it takes a head");
    }

    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// Says something to the test and to other answers; it stays said.
    pub fn tell(&self, name: &str) {
        tell(&self.log, name);
    }

    /// Until the test, or another answer, has said so.
    pub async fn wait_for(&self, name: &str) {
        wait_for(&self.log, name).await;
    }
}

pub fn head(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let response =
        fields.iter().fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value));
    response.body(()).expect("a head")
}

/// Until a stream is reset; why.
pub async fn reset_of(stream: &mut SendStream<Bytes>) -> h2::Reason {
    match poll_fn(|cx| stream.poll_reset(cx)).await {
        Ok(reason) => reason,
        Err(error) => client::reason(&error),
    }
}
