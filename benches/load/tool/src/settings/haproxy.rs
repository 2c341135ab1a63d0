//! HAProxy with one thread.

use super::{Wanted, guard};

pub fn haproxy(wanted: &Wanted) -> String {
    let Wanted { case, listen, endpoint, certificate, .. } = wanted;
    let connections = if case.connections > 2000 { case.connections + 500 } else { 3000 };
    let speaks = match case.is_secure() {
        // Tickets are on unless said otherwise.
        true => format!(" ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.3", certificate.pair.display()),
        false if case.is_h2c() => " proto h2".into(),
        false => String::new(),
    };
    let (log, guard) = if case.is_guarded() { (LOG, guard_lines()) } else { ("", String::new()) };
    let protocol = if case.is_grpc() { " proto h2" } else { "" };
    format!(
        "\
global
    nbthread 1
    maxconn {connections}
    {log}
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
    timeout tunnel 75s
frontend clients
    bind {listen} backlog 4096{speaks}
    {guard}
    default_backend endpoints
backend endpoints
    server backend {endpoint}{protocol}
"
    )
}

/// Its own output, which goes to a file: it opens none itself.
const LOG: &str = "log stdout format raw local0";

fn guard_lines() -> String {
    let networks = guard::networks().join(" ");
    let (rate, secret, issuer) = (guard::RATE, guard::SECRET, guard::ISSUER);
    let fields: String = guard::FIELDS
        .iter()
        .map(|(name, value)| format!("http-response set-header {name} \"{value}\"\n    "))
        .collect();
    format!(
        "log global
    option httplog
    stick-table type ip size 100k expire 60s store http_req_rate(1s)
    http-request deny if {{ src {networks} }}
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {rate} }}
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(HS256,{secret}) 1 }}
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {issuer} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request del-header Authorization
    {fields}"
    )
}
