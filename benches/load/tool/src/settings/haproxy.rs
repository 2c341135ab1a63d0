//! HAProxy with one thread.

use super::Wanted;

pub fn haproxy(wanted: &Wanted) -> String {
    let Wanted { case, listen, endpoint, certificate, .. } = wanted;
    let connections = if case.connections > 2000 { case.connections + 500 } else { 3000 };
    let secure = match case.is_secure() {
        // Tickets are on unless said otherwise.
        true => format!(" ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.3", certificate.pair.display()),
        false => String::new(),
    };
    let protocol = if case.is_grpc() { " proto h2" } else { "" };
    format!(
        "\
global
    nbthread 1
    maxconn {connections}
    # Counts two files for each connection, which idle ones do not have.
    no strict-limits
    # All connections to the endpoint may be kept, however many are open.
    tune.pool-low-fd-ratio 100
    tune.pool-high-fd-ratio 100
defaults
    mode http
    option splice-auto
    option forwardfor
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout http-keep-alive 75s
frontend clients
    bind {listen} backlog 4096{secure}
    default_backend endpoints
backend endpoints
    server backend {endpoint}{protocol}
"
    )
}
