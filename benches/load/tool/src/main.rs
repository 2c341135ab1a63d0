//! Compares what a request costs in Aqueduct, nginx, HAProxy and a raw TCP relay. Started by `benches/load/run`.

mod account;
mod backend;
mod cases;
mod chart;
mod cli;
mod client;
mod compare;
mod cores;
mod docs;
mod generator;
mod http;
mod interrupt;
mod machine;
mod measure;
mod peers;
mod relay;
mod report;
mod results;
mod settings;
mod slow;
mod socket;
mod stats;

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
