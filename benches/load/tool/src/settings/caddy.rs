//! Caddy without what it would do of its own accord: no certificates from elsewhere, no second port, no compression.

use super::Wanted;
use crate::certificate::NAME;

pub fn caddy(wanted: &Wanted) -> String {
    let Wanted { listen, endpoint, certificate, .. } = wanted;
    let (chain, key, port) = (certificate.chain.display(), certificate.key.display(), listen.port());
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
