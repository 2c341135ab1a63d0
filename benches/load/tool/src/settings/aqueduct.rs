//! Aqueduct as it is, with one worker; counting, to see what that costs; and with two workers, to see what it costs that
//! they share a socket.

use super::{Wanted, guard};
use crate::cases::Kind;

/// What is otherwise than usual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    Usual,
    Counted,
    TwoAtOneSocket,
    TwoAtOneEach,
}

pub fn aqueduct(wanted: &Wanted, variant: Variant) -> String {
    let (workers, reuse_port) = match variant {
        Variant::Usual | Variant::Counted => (1, false),
        Variant::TwoAtOneSocket => (2, false),
        Variant::TwoAtOneEach => (2, true),
    };
    let Wanted { case, listen, endpoint, certificate, directory, .. } = wanted;
    let admin = match variant {
        Variant::Counted => format!("\n[admin]\nlisten = \"unix:{}\"\n", directory.join("admin.sock").display()),
        _ => String::new(),
    };
    let (listen, tls) = match case.is_secure() {
        true => {
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            let tls = format!(
                "
[tls.main]
certificates = [{{ cert = \"{chain}\", key = \"{key}\" }}]
min_version = \"1.3\"
"
            );
            (format!("{{ addr = \"{listen}\", tls = \"main\" }}"), tls)
        }
        false => (format!("\"{listen}\""), String::new()),
    };
    let (to, upstream) = match case.is_grpc() {
        true => {
            let upstream = format!(
                "
[upstreams.echo]
servers = [\"http://{endpoint}\"]
protocol = \"h2c\"
"
            );
            ("echo".to_owned(), upstream)
        }
        false => (format!("http://{endpoint}"), String::new()),
    };
    let route = match case.is_stored() {
        // Memory of that size has room for no more.
        true if case.kind == Kind::InRedis => {
            format!("{{ to = \"{to}\", cache = {{ store = \"load\", max_object = \"256KiB\" }} }}")
        }
        true => format!("{{ to = \"{to}\", cache = {{ store = \"load\" }} }}"),
        false if case.is_guarded() => format!("{{ to = \"{to}\", use = \"guarded\" }}"),
        false => format!("\"{to}\""),
    };
    let guard = if case.is_guarded() { guard_lines(wanted) } else { String::new() };
    let store = if case.is_stored() { store_lines(wanted) } else { String::new() };
    format!(
        "\
listen = [{listen}]

[server]
workers = {workers}
reuse_port = {reuse_port}

[routes]
\"/\" = {route}
{upstream}{tls}{admin}{guard}{store}"
    )
}

fn guard_lines(wanted: &Wanted) -> String {
    let (secret, issuer, rate) = (guard::SECRET, guard::ISSUER, guard::RATE);
    format!(
        "
[policies.guarded]
security_headers = true
ip_access = {{ deny = {:?} }}
rate_limit = {{ rate = \"{rate}/s\", key = \"ip\" }}
jwt = {{ secret = \"{secret}\", issuer = \"{issuer}\" }}

[log.access]
path = \"{}\"
",
        guard::networks(),
        wanted.directory.join("access.log").display(),
    )
}

fn store_lines(wanted: &Wanted) -> String {
    let (case, directory) = (wanted.case, wanted.directory.display());
    let below = match (case.kind, wanted.redis) {
        (Kind::OnDisk, _) => format!("disk = {{ path = \"{directory}/stored\", size = \"{}MiB\" }}\n", case.files()),
        (_, Some(redis)) => format!("redis = {{ url = \"redis://{redis}\" }}\n"),
        _ => String::new(),
    };
    format!("\n[stores.load]\nmemory = {{ size = \"{}MiB\" }}\n{below}", case.memory())
}
