//! Compares what a request costs in Aqueduct, nginx, HAProxy, Caddy, Varnish, Traffic Server and a raw TCP relay. Started by
//! `benches/load/run`.

mod account;
mod backend;
mod cases;
mod chart;
mod cli;
mod client;
mod compare;
mod cores;
mod count;
mod crowd;
mod docs;
mod generator;
mod h1;
mod h2;
mod http;
mod interrupt;
mod machine;
mod markdown;
mod measure;
mod mix;
mod neighbours;
mod pace;
mod page;
mod peers;
mod refusals;
mod relay;
mod report;
mod results;
mod running;
mod scale;
mod scratch;
mod settings;
mod shown;
mod slow;
mod socket;
mod stats;
mod tally;
mod tls;
mod websocket;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
