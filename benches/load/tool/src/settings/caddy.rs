//! Caddy without what it would do of its own accord: no certificates from elsewhere, no second port, no compression.

use super::Wanted;
use crate::tls::NAME;

pub fn caddy(wanted: &Wanted) -> String {
    let Wanted { case, listen, endpoint, certificate, .. } = wanted;
    let (chain, key, port) = (certificate.chain.display(), certificate.key.display(), listen.port());
    let protocol = if case.is_grpc() { "h2c" } else { "1.1" };
    format!(
        "\
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level ERROR
    }}
    servers {{
        protocols h1 h2
    }}
}}
https://{NAME}:{port} {{
    bind {}
    tls {chain} {key} {{
        protocols tls1.3
    }}
    reverse_proxy {endpoint} {{
        transport http {{
            versions {protocol}
            compression off
            keepalive 75s
            keepalive_idle_conns 1024
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
",
        listen.ip()
    )
}
