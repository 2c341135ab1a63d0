//! Our own exchanges, in the version of HTTP that is spoken with an endpoint.

use futures_util::future::LocalBoxFuture;

use super::{
    Incoming, Outgoing, Target, Transport, TransportError,
    address::Speech,
    h1::H1,
    h2::{Answered, H2},
};

/// The transports of one worker.
#[derive(Default)]
pub struct Own {
    h1: H1,
    h2: H2,
}

impl Own {
    /// Without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Over HTTP/2; over HTTP/1.1 if that is what the endpoint chooses.
    async fn send_as_chosen(&self, to: &Target, request: &mut Outgoing) -> Result<Incoming, TransportError> {
        match self.h2.exchange(to, request).await? {
            Answered::Here(incoming) => return Ok(incoming),
            Answered::Elsewhere(Some(connection)) => self.h1.adopt(to, connection),
            Answered::Elsewhere(None) => {}
        }
        self.h1.exchange(to, request).await
    }
}

impl Transport for Own {
    fn send<'a>(
        &'a self,
        to: &'a Target,
        request: &'a mut Outgoing,
    ) -> LocalBoxFuture<'a, Result<Incoming, TransportError>> {
        match to.speech() {
            Speech::Http1 => self.h1.send(to, request),
            Speech::Http2 | Speech::Chosen => Box::pin(self.send_as_chosen(to, request)),
        }
    }
}
