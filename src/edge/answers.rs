//! Whoever answers requests on a worker: an actix `App`, or a proxy that is alone there.

use std::{
    future::{Future, poll_fn},
    io,
    marker::PhantomData,
    rc::Rc,
};

use actix_http::{BoxedPayloadStream, HttpMessage, Request, Response, body::MessageBody};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::dev::AppConfig;
use tokio::runtime::{Builder, LocalOptions};

use super::{answer::Answer, h1::head::Head, payload::Payload};
use crate::{
    exchange::{Client, Exchange},
    http::{Downstream, RequestBody, body::Length, downstream::Peer, scratch},
    prefetch::{self, Place},
    proxy::{self, Proxy, worker::Worker},
};

/// A request, whichever version of HTTP it came in.
pub struct Call {
    /// What its head says.
    pub head: Head,
    /// Its body, if it has one.
    pub payload: Option<Payload>,
    /// Who is at the other end.
    pub peer: Peer,
    /// The connection that it came in on.
    pub downstream: Rc<dyn Downstream>,
}

/// Whoever answers requests.
pub trait Answers: 'static {
    /// The answer, whatever happens.
    fn answer(&self, call: Call) -> impl Future<Output = Answer>;
}

/// Makes, once on each worker, whoever answers there.
pub trait Making: Clone + Send + 'static {
    /// Whoever it makes.
    type Made: Answers;

    /// On this thread.
    ///
    /// # Errors
    /// What is wrong with it.
    fn make(&self) -> impl Future<Output = io::Result<Self::Made>>;

    /// Runs a worker on this thread to its end, with whatever it spawns.
    ///
    /// # Errors
    /// There is nothing to run it with.
    fn run<T>(work: impl Future<Output = T>) -> io::Result<T>;
}

/// A proxy and nobody else: no `App` is asked where to go, fields are never actix's, and nobody asks for actix's `System`, whose
/// tasks are a set between the runtime and each of them.
impl Making for Proxy {
    type Made = Alone;

    async fn make(&self) -> io::Result<Alone> {
        Ok(Alone(Worker::here(self)))
    }

    fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        Ok(runtime.block_on(work))
    }
}

/// A proxy on one worker.
pub struct Alone(Rc<Worker>);

impl Answers for Alone {
    fn answer(&self, call: Call) -> impl Future<Output = Answer> {
        let exchange = exchange_of(call);
        let beside = Place::of(&*exchange);
        // In a box, so that a connection on which nothing is under way does not keep room for it.
        let mut carried = Box::pin(proxy::mount::carry(Rc::clone(&self.0), exchange));
        poll_fn(move |cx| {
            let polled = carried.as_mut().poll(cx).map(Answer::from);
            if polled.is_pending() {
                prefetch::when_it_goes_on(&*carried);
                prefetch::when_it_goes_on_at(beside);
            }
            polled
        })
    }
}

fn exchange_of(call: Call) -> Box<Exchange> {
    let Call { head, payload, peer, downstream } = call;
    let client = Client::at(peer, downstream.is_tls());
    let body = match (head.length, payload) {
        (Length::Exact(0), _) => RequestBody::buffered(bytes::Bytes::new()),
        (length @ (Length::Exact(_) | Length::Chunked), Some(payload)) => {
            RequestBody::stream(Box::new(payload), length)
        }
        _ => RequestBody::empty(),
    };
    let fields = (head.headers, head.marks);
    let mut exchange = Box::new(Exchange::marked(head.method, head.uri, head.version, fields, body, client));
    exchange.downstream = Some(downstream);
    exchange
}

/// An `App`, by its factory.
pub struct AppFactory<F, I, S, B>(F, Types<I, S, B>);

/// What is known of them at compile time.
type Types<I, S, B> = PhantomData<fn() -> (I, S, B)>;

impl<F, I, S, B> AppFactory<F, I, S, B> {
    /// Of an `App`.
    pub fn of(factory: F) -> Self {
        Self(factory, PhantomData)
    }
}

impl<F: Clone, I, S, B> Clone for AppFactory<F, I, S, B> {
    fn clone(&self) -> Self {
        Self::of(self.0.clone())
    }
}

impl<F, I, S, B> Making for AppFactory<F, I, S, B>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<actix_web::Error>,
    S::InitError: std::fmt::Debug,
    B: MessageBody + 'static,
{
    type Made = App<S::Service, B>;

    async fn make(&self) -> io::Result<Self::Made> {
        let app = map_config((self.0)(), |_| AppConfig::default()).new_service(()).await;
        let app = app.map_err(|error| io::Error::other(format!("the App could not be made: {error:?}")))?;
        Ok(App(app, PhantomData))
    }

    fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
        Ok(actix_rt::System::new().block_on(work))
    }
}

/// An `App` on one worker.
pub struct App<S, B>(S, PhantomData<fn() -> B>);

impl<S, B> Answers for App<S, B>
where
    S: Service<Request> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<actix_web::Error>,
    B: MessageBody + 'static,
{
    async fn answer(&self, call: Call) -> Answer {
        Answer::of_app(match self.0.call(request_of(call)).await {
            Ok(response) => response.into().map_into_boxed_body(),
            Err(error) => Response::from(error.into()),
        })
    }
}

/// The request in actix's terms.
fn request_of(call: Call) -> Request {
    let Call { mut head, payload, peer, downstream } = call;
    let mut request = match payload {
        Some(payload) => {
            Request::with_payload(actix_http::Payload::Stream { payload: Box::pin(payload) as BoxedPayloadStream })
        }
        None => Request::new(),
    };
    let known = request.head_mut();
    (known.method, known.uri, known.version) = (head.method, head.uri, head.version);
    head.headers.give_to(&mut known.headers);
    scratch::give_back(head.headers);
    known.peer_addr = match peer {
        Peer::Tcp(address) => Some(address),
        Peer::Unix => None,
    };
    request.extensions_mut().insert(downstream);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        edge::{
            drain::Draining,
            h1::{self, Visit},
        },
        transport::{Incoming, Outgoing, Target, TransportError, h1::H1},
    };

    /// What mimalloc gives without looking further.
    const SMALL: usize = 1024;

    /// All connections and all requests that wait have one of these, and with many of them each line is one more that comes from
    /// memory (docs/adr/0050-lines-that-come-together.md).
    #[test]
    fn what_waits_is_small() {
        fn carried<F: Future<Output = proxy::mount::Carried>>(_: fn(Rc<Worker>, Box<Exchange>) -> F) -> usize {
            size_of::<F>()
        }
        fn served<F: Future<Output = Option<Visit>>>(_: fn(Visit, Rc<Alone>, Draining) -> F) -> usize {
            size_of::<F>()
        }
        fn exchanged<'a, F>(_: impl FnOnce(&'a H1, &'a Target, &'a mut Outgoing) -> F) -> usize
        where
            F: Future<Output = Result<Incoming, TransportError>>,
        {
            size_of::<F>()
        }

        let sizes = [carried(proxy::mount::carry), served(h1::serve), exchanged(H1::exchange)];

        let most = [SMALL, 640, 576];
        assert!(sizes.iter().zip(most).all(|(size, most)| *size <= most), "{sizes:?}, and {most:?} at most");
    }
}
