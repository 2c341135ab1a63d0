//! Aqueduct: an HTTP reverse proxy on actix.
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod edge;
pub mod exchange;
pub mod filters;
pub mod http;
pub mod kinds;
pub mod plan;
pub mod proxy;
pub mod routing;
pub mod settings;
pub mod telemetry;
pub mod transport;
pub mod upstream;
