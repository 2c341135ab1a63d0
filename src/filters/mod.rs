//! Filters: the steps of a request's passage. One file each, one line each in [`crate::kinds`].
//!
//! A [`Filter`] looks at the request on its way in and at the response on its way out, and never waits. What may have to
//! ask somebody before it lets a request in is a [`Gate`]. What must wait, store or try again is an [`Around`]: it holds
//! the rest of the passage in its hands as [`Next`].

use std::{future::Future, path::PathBuf, sync::Arc};

use futures_util::future::LocalBoxFuture;
pub use schemars::{self, JsonSchema, Schema};
use serde::de::DeserializeOwned;

pub use self::site::{Chore, Site};
use crate::{exchange::Exchange, http::Response, settings::Problems};

pub mod api_key;
pub mod auth;
pub mod authenticator;
pub mod authorize;
pub mod bandwidth;
pub mod basic_auth;
pub mod cache;
pub mod client_cert;
pub mod compress;
pub mod concurrency;
pub mod conditional;
pub mod conditions;
pub mod cors;
pub mod errand;
pub mod error_pages;
pub mod forward_auth;
pub mod header_rules;
pub mod ip_access;
pub mod jwt;
pub mod keys;
mod lists;
mod media_types;
mod patterns;
pub mod per_worker;
pub mod rate_limit;
mod remote;
pub mod request_rules;
pub mod response_rules;
pub mod rewrite;
pub mod security_headers;
pub mod site;
pub mod statuses;
pub mod substitute;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod validate;
mod validators;

/// A step that need not wait.
pub trait Filter: Send + Sync {
    /// On the way in. An answer turns the request back: nothing further in sees it. A
    /// [`Refusal`](crate::http::Refusal) becomes one.
    fn on_request(&self, _exchange: &mut Exchange) -> Option<Response> {
        None
    }

    /// On the way out, for every response that passes here, whoever made it: an endpoint, a filter further in, or
    /// the proxy when something failed ([`Response::cause`]).
    fn on_response(&self, _exchange: &Exchange, _response: &mut Response) {}
}

/// A step that may wait, answer from a store, or send the request more than once.
pub trait Around: Send + Sync {
    /// What can be answered without waiting; nothing further in sees it then. It costs no more than a [`Filter`].
    fn at_once(&self, _exchange: &mut Exchange) -> Option<Response> {
        None
    }

    /// What it would do with this request, line by line, for people.
    fn explain(&self, _exchange: &Exchange) -> Vec<String> {
        Vec::new()
    }

    /// Passes the exchange on with `next`, or does not.
    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response>;
}

/// A step that may have to wait before it lets a request pass, and has nothing to do with the answer. Where it knows at
/// once, as most do most of the time, it costs no more than a [`Filter`].
pub trait Gate: Send + Sync {
    /// On the way in.
    fn admit<'e>(&'e self, exchange: &'e mut Exchange) -> Admission<'e>;
}

/// What becomes of a request at a [`Gate`].
pub enum Admission<'e> {
    /// It goes on.
    Granted,
    /// This turns it back: nothing further in sees it.
    Denied(Response),
    /// One of them, which has to be waited for.
    Undecided(LocalBoxFuture<'e, Option<Response>>),
}

/// What a route's chain is made of.
#[derive(Clone)]
pub enum Step {
    /// Does not wait.
    Plain(Arc<dyn Filter>),
    /// May wait on the way in.
    Gate(Arc<dyn Gate>),
    /// May wait.
    Around(Arc<dyn Around>),
}

impl Step {
    /// What it would do with this request, line by line, if it has something to say.
    pub fn explain(&self, exchange: &Exchange) -> Vec<String> {
        match self {
            Self::Around(around) => around.explain(exchange),
            Self::Plain(_) | Self::Gate(_) => Vec::new(),
        }
    }
}

/// Whether a filter has to know who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoAsks {
    /// It does not.
    Unasked,
    /// When a request comes to it: it stands behind those that find it out, wherever its kind stands.
    OnTheWayIn,
    /// When an answer comes to it: it is known by then.
    OnTheWayOut,
}

/// A kind of filter that settings can name.
pub trait Kind: 'static {
    /// The key in a route's settings.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// What people should know of it beyond that, in Markdown; for the reference. Each example of settings (```toml) is
    /// one that can be used.
    const ABOUT: &'static str = "";
    /// What is written under the key.
    type Settings: DeserializeOwned;

    /// What its settings may be, for the reference: `Some(schemars::schema_for!(Self::Settings))`.
    fn schema() -> Option<Schema> {
        None
    }

    /// Makes the step, or says everything that is wrong with the settings. The keys of its problems begin below its own:
    /// `Problem::at(["request", "set"], ..)`, or none for all of it. What has no help of its own gets the summary.
    ///
    /// # Errors
    /// All of that.
    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems>;

    /// Whether it has to know who asks. On a route where nobody has to prove it, that is a problem.
    fn who_asks(_settings: &Self::Settings) -> WhoAsks {
        WhoAsks::Unasked
    }

    /// The files that [`build`](Self::build) reads: when one of them changes, it is called again. A file that cannot be
    /// read is a problem, and the step from before stays.
    fn files(_settings: &Self::Settings) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// Where the passage ends: with whoever sends the request on.
pub trait End {
    /// Sends the exchange to its target.
    fn send(&self, exchange: &mut Exchange) -> impl Future<Output = Response>;

    /// Makes of a refusal what the client can read: every filter further out sees that.
    fn show(&self, exchange: &mut Exchange, refused: Response) -> Response;

    /// The same way, from so many steps before it on, for an exchange of its own that outlives this one; `None` if there is none.
    fn detach(&self, _steps: usize) -> Option<Detached> {
        None
    }
}

/// The rest of a passage for exchanges of its own: with it goes what it needs, and each comes back with its answer.
pub type Detached = Box<dyn Fn(Exchange) -> LocalBoxFuture<'static, (Exchange, Response)>>;

/// The rest of the passage, from an [`Around`] inwards.
#[derive(Clone, Copy)]
pub struct Next<'e> {
    steps: &'e [Step],
    end: &'e dyn BoxedEnd,
}

impl Next<'_> {
    /// Goes on.
    pub async fn run(self, exchange: &mut Exchange) -> Response {
        pass(self.steps, exchange, &self.end).await
    }

    /// The same for an exchange of its own, in a task of its own, after this one has been answered.
    pub fn detach(self) -> Option<Detached> {
        self.end.detach_from(self.steps.len())
    }
}

/// Walks the steps in their order on the way in and, those that were entered, in reverse on the way out. Without an
/// [`Around`] this is a loop: no allocation, no boxed future.
pub async fn pass<E: End>(steps: &[Step], exchange: &mut Exchange, end: &E) -> Response {
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Plain(filter) => {
                if let Some(response) = filter.on_request(exchange) {
                    let response = shown(exchange, response, end);
                    return leave(&steps[..=index], exchange, response);
                }
            }
            Step::Gate(gate) => {
                let answer = match gate.admit(exchange) {
                    Admission::Granted => None,
                    Admission::Denied(response) => Some(response),
                    Admission::Undecided(deciding) => deciding.await,
                };
                if let Some(response) = answer {
                    let response = shown(exchange, response, end);
                    return leave(&steps[..index], exchange, response);
                }
            }
            Step::Around(around) => {
                let response = match around.at_once(exchange) {
                    Some(response) => response,
                    None => around.pass(exchange, Next { steps: &steps[index + 1..], end }).await,
                };
                let response = shown(exchange, response, end);
                return leave(&steps[..index], exchange, response);
            }
        }
    }
    let response = end.send(exchange).await;
    leave(steps, exchange, response)
}

fn shown<E: End>(exchange: &mut Exchange, response: Response, end: &E) -> Response {
    if response.is_bare() { end.show(exchange, response) } else { response }
}

fn leave(entered: &[Step], exchange: &Exchange, mut response: Response) -> Response {
    for step in entered.iter().rev() {
        if let Step::Plain(filter) = step {
            filter.on_response(exchange, &mut response);
        }
    }
    response
}

trait BoxedEnd {
    fn send_boxed<'e>(&'e self, exchange: &'e mut Exchange) -> LocalBoxFuture<'e, Response>;
    fn show_refusal(&self, exchange: &mut Exchange, refused: Response) -> Response;
    fn detach_from(&self, steps: usize) -> Option<Detached>;
}

impl<E: End> BoxedEnd for E {
    fn send_boxed<'e>(&'e self, exchange: &'e mut Exchange) -> LocalBoxFuture<'e, Response> {
        Box::pin(self.send(exchange))
    }

    fn show_refusal(&self, exchange: &mut Exchange, refused: Response) -> Response {
        self.show(exchange, refused)
    }

    fn detach_from(&self, steps: usize) -> Option<Detached> {
        self.detach(steps)
    }
}

impl End for &dyn BoxedEnd {
    async fn send(&self, exchange: &mut Exchange) -> Response {
        // Behind the reference: a box around this would be a box around itself.
        (**self).send_boxed(exchange).await
    }

    fn show(&self, exchange: &mut Exchange, refused: Response) -> Response {
        (**self).show_refusal(exchange, refused)
    }

    fn detach(&self, steps: usize) -> Option<Detached> {
        (**self).detach_from(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::StatusCode;

    /// Waits for what is further in.
    struct Waiting;

    impl Around for Waiting {
        fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
            Box::pin(next.run(exchange))
        }
    }

    #[actix_rt::test]
    async fn who_waits_gets_to_the_end_however_many_there_are() {
        let steps = [Step::Around(Arc::new(Waiting)), Step::Around(Arc::new(Waiting))];

        let response = testing::passed(&steps, &mut testing::request("GET /", &[])).await;

        assert_eq!(response.status, StatusCode::OK);
    }
}
