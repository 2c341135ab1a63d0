//! nginx, as its manual advises for a proxy in front of an endpoint that keeps connections.

use super::{Wanted, guard};
use crate::cases::Speaks;

/// What an endpoint is told of the client.
#[derive(Clone, Copy)]
pub enum Tells {
    /// `X-Forwarded-For`, the least there is.
    ForwardedFor,
    /// The fields that Aqueduct sends unless told otherwise.
    AsAqueduct,
}

impl Tells {
    fn lines(self) -> &'static str {
        match self {
            Self::ForwardedFor => {
                "proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
            }
            Self::AsAqueduct => {
                r#"proxy_set_header Host $http_host;
            proxy_set_header Via "1.1 nginx (0badcafe)";
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;"#
            }
        }
    }
}

/// Connections are half of them at most.
const MOST_FILES: u32 = 16384;

pub fn nginx(wanted: &Wanted, tells: Tells) -> String {
    settings(wanted, tells, &Additions::default())
}

/// The same, and it checks tokens: by Lua, for its own module is sold.
pub fn nginx_with_lua(wanted: &Wanted) -> String {
    let check = include_str!("token.lua").replace("{SECRET}", guard::SECRET).replace("{ISSUER}", guard::ISSUER);
    let additions = Additions {
        modules: ["ndk_http", "ngx_http_lua"].map(|name| format!("load_module {MODULES}/{name}_module.so;\n")).concat(),
        http: format!("init_by_lua_block {{\n{check}}}"),
        location: "access_by_lua_block { check_token() }",
    };
    settings(wanted, Tells::ForwardedFor, &additions)
}

/// Where Debian keeps them.
const MODULES: &str = "/usr/lib/nginx/modules";

/// What is said besides.
#[derive(Default)]
struct Additions {
    modules: String,
    http: String,
    location: &'static str,
}

fn settings(wanted: &Wanted, tells: Tells, additions: &Additions) -> String {
    let Wanted { case, listen, endpoint, directory, .. } = wanted;
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let directory = directory.display();
    // They are laid out at the start, so no more than the case needs.
    let connections = if case.connections > 3000 { 16384 } else { 4096 };
    let (speaks, tls) = match case.is_secure() {
        true => (" ssl http2", tls_lines(wanted)),
        false if case.is_h2c() => (" http2", String::new()),
        false => ("", String::new()),
    };
    let Additions { modules, http, location: first } = additions;
    let location = location_lines(wanted, tells);
    let store = if case.is_stored() { store_lines(wanted) } else { String::new() };
    let (guard, log) = match case.is_guarded() {
        true => (guard_lines(), format!("{directory}/access.log combined buffer=64k flush=1s")),
        false => (String::new(), "off".into()),
    };
    format!(
        "\
{modules}{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {MOST_FILES};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log {log};
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {store}
    {guard}
    {http}
    upstream backend {{
        server {endpoint};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen}{speaks} backlog=4096;
        {tls}
        location / {{
            {first}
            {location}
        }}
    }}
}}
"
    )
}

/// Files that stay open are sent by the kernel. More of them than a process may have, and it fails with what it may not open any more.
fn store_lines(wanted: &Wanted) -> String {
    let (directory, size, open) = (wanted.directory.display(), wanted.case.files(), MOST_FILES / 2);
    format!(
        "sendfile on;
    tcp_nopush on;
    open_file_cache max={open};
    open_file_cache_valid 600s;
    proxy_cache_path {directory}/stored levels=1:2 keys_zone=stored:64m max_size={size}m inactive=600m use_temp_path=off
        manager_files=10000 manager_threshold=1s;
    proxy_cache stored;
    proxy_cache_lock on;"
    )
}

/// All of the bundle but the token, of which it knows nothing unless it is paid for.
fn guard_lines() -> String {
    let fields: String =
        guard::FIELDS.iter().map(|(name, value)| format!("add_header {name} \"{value}\" always;\n    ")).collect();
    let denied: String = guard::networks().iter().map(|network| format!("deny {network};\n    ")).collect();
    let rate = guard::RATE;
    format!(
        "{fields}{denied}limit_req_zone $binary_remote_addr zone=clients:1m rate={rate}r/s;
    limit_req zone=clients burst={rate} nodelay;"
    )
}

/// Tickets are on unless said otherwise.
fn tls_lines(wanted: &Wanted) -> String {
    let (chain, key) = (wanted.certificate.chain.display(), wanted.certificate.key.display());
    format!(
        "ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;"
    )
}

fn location_lines(wanted: &Wanted, tells: Tells) -> String {
    let tells = tells.lines();
    if wanted.case.is_grpc() {
        return format!("grpc_pass grpc://backend;\n            {}", tells.replace("proxy_set", "grpc_set"));
    }
    let connection = match wanted.case.speaks {
        Speaks::WebSocket => {
            "proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;"
        }
        _ => "proxy_set_header Connection \"\";",
    };
    // It was for the proxy.
    let token = if wanted.case.is_guarded() { "proxy_set_header Authorization \"\";" } else { "" };
    let buffers = match wanted.case.has_large_bodies() {
        true => {
            "client_body_buffer_size 64k; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
        }
        false => "",
    };
    format!(
        "proxy_pass http://backend;
            proxy_http_version 1.1;
            {connection}
            {token}
            {tells}
            proxy_request_buffering off;
            proxy_buffering on;
            proxy_max_temp_file_size 0;
            {buffers}"
    )
}
