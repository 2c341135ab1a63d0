//! What operators ask a running proxy, and have it do, at an address of their own: docs/admin.md says what there is.
//!
//! It is on this machine only, unless there is a token: see `guard`.

mod cache;
mod entry;
mod guard;
mod metrics;
mod plan;
mod reload;
mod schema;
mod status;
mod stores;
mod upstreams;

use std::io;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::StatusCode,
    web::{self, Bytes},
};
use schemars::JsonSchema;
use serde::Serialize;

pub use self::status::Status;
use crate::{
    edge::{EdgeServer, Inherited, Running},
    http::Method,
    plan::ListenAddress,
    settings::{FileMode, ServerSettings, server::Workers},
};

/// Operators at once; nobody has so many.
const MOST: usize = 64;
/// Bytes that an operator can have to say.
const LONGEST: usize = 4096;

/// An address that is listened on, and nobody is answered at yet.
pub struct Bound(EdgeServer<()>);

/// What answers are made of.
#[derive(Clone)]
struct Desk {
    status: Status,
    /// Others than this machine can ask.
    is_remote: bool,
}

/// Listens there.
///
/// # Errors
/// The address cannot be listened on.
pub fn bind(address: &ListenAddress, inherited: &Inherited) -> io::Result<Bound> {
    let settings = ServerSettings { workers: Workers::Exactly(1), max_connections: MOST, ..ServerSettings::default() };
    let server = EdgeServer::new(()).settings(&settings).signals(false).inherits(&inherited.for_operators());
    server.socket_mode(Some(FileMode(0o600))).bind(address).map(Bound)
}

impl Bound {
    /// Answers there, on a thread of its own, as long as what is returned is awaited.
    pub fn serve(self, status: &Status) -> (Running, ListenAddress) {
        let bound = self.0.addresses().remove(0);
        let is_remote = matches!(bound, ListenAddress::Tcp(address) if !address.ip().is_loopback());
        let desk = web::Data::new(Desk { status: status.clone(), is_remote });
        let server = self.0.hosting(move || {
            let limit = web::PayloadConfig::new(LONGEST);
            App::new().app_data(desk.clone()).app_data(limit).default_service(web::to(answer))
        });
        (server.run(), bound)
    }
}

async fn answer(request: HttpRequest, body: Bytes, desk: web::Data<Desk>) -> HttpResponse {
    let status = &desk.status;
    if let Err(refused) = guard::check(&request, &status.proxy().plan().settings.admin, desk.is_remote) {
        let mut answer = problem(refused.status, refused.why);
        if refused.status == StatusCode::UNAUTHORIZED {
            let scheme = actix_web::http::header::HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(actix_web::http::header::WWW_AUTHENTICATE, scheme);
        }
        return answer;
    }
    let path: Vec<&str> = request.path().split('/').skip(1).collect();
    match (request.method(), &path[..]) {
        (&Method::GET, ["health"]) => found(&Word { status: "alive" }),
        (&Method::GET, ["ready"]) => ready(status),
        (&Method::GET, ["status"]) => found(&status.now()),
        (&Method::GET, ["metrics"]) => measured(&request, status),
        (&Method::GET, ["plan"]) => found(&plan::in_force(status)),
        (&Method::GET, ["schema"]) => schema_of_answers(),
        (&Method::GET, ["upstreams"]) => found(&upstreams::all(status)),
        (&Method::GET, ["upstreams", name]) => upstreams::one(status, name),
        (&Method::POST, ["upstreams", name, "drain"]) => upstreams::drain(status, name, &body, true),
        (&Method::POST, ["upstreams", name, "revive"]) => upstreams::drain(status, name, &body, false),
        (&Method::GET, ["cache", "entry"]) => entry::told(status, request.query_string()).await,
        (&Method::POST, ["cache", "purge"]) => cache::purge(status, &body).await,
        (&Method::POST, ["reload"]) => reload::now(status).await,
        (_, ["health" | "ready" | "status" | "metrics" | "plan" | "schema" | "upstreams"])
        | (_, ["upstreams", _] | ["cache", "entry"]) => only("GET"),
        (_, ["upstreams", _, "drain" | "revive"] | ["cache", "purge"] | ["reload"]) => only("POST"),
        _ => problem(
            StatusCode::NOT_FOUND,
            "there are /health, /ready, /status, /metrics, /upstreams, /plan, /cache/entry, /cache/purge, /reload and /schema",
        ),
    }
}

/// Whether clients are to be sent here. How upstreams are does not count: who has several of these would lose all of them.
fn ready(status: &Status) -> HttpResponse {
    if status.server().is_draining() {
        return told(StatusCode::SERVICE_UNAVAILABLE, &Word { status: "draining" });
    }
    found(&Word { status: "ready" })
}

/// Whether somebody is here, and takes clients in.
#[derive(Serialize, JsonSchema)]
struct Word {
    #[schemars(extend("enum" = ["alive", "ready", "draining"]))]
    status: &'static str,
}

/// What is wrong with a request (RFC 9457).
#[derive(Serialize, JsonSchema)]
struct Problem<'p> {
    /// Of the answer.
    status: u16,
    /// The same in words.
    title: &'p str,
    detail: &'p str,
}

fn schema_of_answers() -> HttpResponse {
    let body = format!("{:#}\n", schema::all());
    HttpResponse::Ok().content_type("application/schema+json").body(body)
}

fn measured(request: &HttpRequest, status: &Status) -> HttpResponse {
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = metrics::Format::asked_for(accept);
    match metrics::written(status, format) {
        Ok(text) => HttpResponse::Ok().content_type(format.content_type()).body(text),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn found(what: &impl Serialize) -> HttpResponse {
    told(StatusCode::OK, what)
}

fn told(status: StatusCode, what: &impl Serialize) -> HttpResponse {
    HttpResponseBuilder::new(status).insert_header(("cache-control", "no-store")).json(what)
}

fn only(method: &'static str) -> HttpResponse {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is what is answered here"));
    let method = actix_web::http::header::HeaderValue::from_static(method);
    answer.headers_mut().insert(actix_web::http::header::ALLOW, method);
    answer
}

fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or_default();
    wrong(status, &Problem { status: status.as_u16(), title, detail })
}

/// RFC 9457.
fn wrong(status: StatusCode, what: &impl Serialize) -> HttpResponse {
    let mut answer = told(status, what);
    let problem = actix_web::http::header::HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(actix_web::http::header::CONTENT_TYPE, problem);
    answer
}
