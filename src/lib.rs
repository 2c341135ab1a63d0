//! Aqueduct is an HTTP reverse proxy on actix: a server binary, and this library, which mounts the same proxy inside
//! an existing actix-web app.
//!
//! # In two lines
//!
//! A [`Proxy`] is an actix service. Give it what your own handlers do not take, or what is below a path:
//!
//! ```no_run
//! use actix_web::{App, HttpResponse, HttpServer, web};
//! use aqueduct::Proxy;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = Proxy::builder()
//!     .route("/legacy", "http://localhost:8000")
//!     .route("/", "http://localhost:8001")
//!     .build()?;
//!
//! HttpServer::new(move || {
//!     App::new()
//!         .route("/health", web::get().to(HttpResponse::Ok)) // your own handlers first
//!         .service(proxy.mount("/legacy")) // below a path ..
//!         .default_service(proxy.clone()) // .. or all the rest
//! })
//! .bind(("127.0.0.1", 8080))?
//! .run()
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The same from files
//!
//! [`Proxy::from_settings`] takes what [`Settings::load`] reads from a directory and the environment; the builder and
//! the files say the same things in the same types, and draw the same [`plan::Plan`]. [`Proxy::reload`] swaps it at run
//! time, and [`edge::Handle::reload`] where a server listens and its limits.
//!
//! # What only the edge can do
//!
//! Under `HttpServer` the proxy does without what actix-web gives no handler: interim responses (103), trailers,
//! upgrades (WebSocket and others), a deadline for every request head, limits on slow readers. [`EdgeServer`] takes the
//! same `App` factory and has them; [`EdgeServer::run_proxy`] serves a proxy without an `App` around it, as the program does. What it refuses itself, no handler sees: [`EdgeServer::access_log_of`] gives it a
//! line in the access log. [`EdgeServer::bind_tls`] speaks TLS with certificates that can be reloaded.
//!
//! ```no_run
//! # use actix_web::App;
//! # use aqueduct::{EdgeServer, Proxy, plan::ListenAddress};
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = Proxy::builder().route("/", "http://localhost:8000").build()?;
//! let address = ListenAddress::Tcp(([127, 0, 0, 1], 8080).into());
//! EdgeServer::new(move || App::new().default_service(proxy.clone())).bind(&address)?.run().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Your own filters and balancers
//!
//! [`filters::Filter`] and [`upstream::balancers::Balancer`] are the traits; a [`filters::Kind`] gives one a name and
//! settings, [`proxy::Builder::filter`] adds it to what routes can name. See `examples/`.
//!
//! To read the code, start at [`proxy::journey`].
#![deny(unsafe_code)]

pub mod actors;
pub mod admin;
pub mod cache;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod edge;
pub mod exchange;
pub mod filters;
pub mod http;
pub mod kinds;
pub mod language;
pub mod plan;
pub mod prefetch;
pub mod proxy;
pub mod routing;
pub mod settings;
pub mod telemetry;
pub mod transport;
pub mod upstream;

pub use self::{edge::EdgeServer, exchange::Exchange, http::Response, proxy::Proxy, settings::Settings};
