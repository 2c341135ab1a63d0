//! Who is compared, and what each is told: one worker, kept connections, no access log, and its defaults for the rest.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

pub enum Contestant {
    Nginx,
    /// As it comes; or checked every 2 s, and asked to try another server at once whatever fails.
    Haproxy {
        tuned: bool,
    },
    Aqueduct(Balance, Hedging),
}

/// Whether another endpoint is asked, too, when an answer takes longer than 95 of 100 lately did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hedging {
    Off,
    On,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    P2c,
    LeastRequests,
    RoundRobin,
    Random,
    ConsistentHash,
}

use Balance::{ConsistentHash, LeastRequests, P2c, Random, RoundRobin};

pub fn all() -> Vec<Contestant> {
    let mut all = vec![Contestant::Nginx, Contestant::Haproxy { tuned: false }, Contestant::Haproxy { tuned: true }];
    for balance in [P2c, LeastRequests, RoundRobin, Random, ConsistentHash] {
        all.extend([Hedging::Off, Hedging::On].map(|hedging| Contestant::Aqueduct(balance, hedging)));
    }
    all
}

impl Contestant {
    pub fn name(&self) -> String {
        let (balance, hedging) = match self {
            Self::Nginx => return "nginx least_conn".into(),
            Self::Haproxy { tuned: false } => return "HAProxy leastconn".into(),
            Self::Haproxy { tuned: true } => return "HAProxy leastconn, tuned".into(),
            Self::Aqueduct(balance, hedging) => (balance, hedging),
        };
        let balance = match balance {
            P2c => "p2c",
            LeastRequests => "least_requests",
            RoundRobin => "round_robin",
            Random => "random",
            ConsistentHash => "consistent_hash",
        };
        format!("Aqueduct {balance}{}", if *hedging == Hedging::On { ", hedged" } else { "" })
    }

    pub fn settings(&self, listen: SocketAddr, endpoints: &[SocketAddr], directory: &Path) -> String {
        match self {
            Self::Nginx => nginx(listen, endpoints, directory),
            Self::Haproxy { tuned } => haproxy(listen, endpoints, *tuned),
            Self::Aqueduct(balance, hedging) => aqueduct(listen, endpoints, *balance, *hedging),
        }
    }
}

fn aqueduct(listen: SocketAddr, endpoints: &[SocketAddr], balance: Balance, hedging: Hedging) -> String {
    let servers: Vec<String> = endpoints.iter().map(|endpoint| format!("\"http://{endpoint}\"")).collect();
    let servers = servers.join(", ");
    let balance = match balance {
        P2c => "\"p2c\"",
        LeastRequests => "\"least_requests\"",
        RoundRobin => "\"round_robin\"",
        Random => "\"random\"",
        ConsistentHash => "{ policy = \"consistent_hash\", key = \"path\" }",
    };
    let route = match hedging {
        Hedging::Off => "\"eight\"",
        Hedging::On => "{ to = \"eight\", hedge = { at = \"p95\" } }",
    };
    format!(
        "\
listen = [\"{listen}\"]
server.workers = 1
routes.\"/\" = {route}
upstreams.eight = {{ servers = [{servers}], balance = {balance} }}
"
    )
}

fn nginx(listen: SocketAddr, endpoints: &[SocketAddr], directory: &Path) -> String {
    let mut servers = String::new();
    for endpoint in endpoints {
        let _ = writeln!(servers, "        server {endpoint};");
    }
    let directory = directory.display();
    format!(
        "\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream eight {{
        least_conn;
{servers}        keepalive 64;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://eight;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn haproxy(listen: SocketAddr, endpoints: &[SocketAddr], tuned: bool) -> String {
    let (check, options) = match tuned {
        true => (" check", "    option redispatch 1\n    retry-on all-retryable-errors\n"),
        false => ("", ""),
    };
    let mut servers = String::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        let _ = writeln!(servers, "    server e{number} {endpoint}{check}");
    }
    format!(
        "\
global
    nbthread 1
    maxconn 4000
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
frontend clients
    bind {listen}
    default_backend eight
backend eight
    balance leastconn
{options}{servers}"
    )
}
