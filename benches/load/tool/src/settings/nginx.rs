//! nginx, as its manual advises for a proxy in front of an endpoint that keeps connections.

use super::Wanted;

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

pub fn nginx(wanted: &Wanted, tells: Tells) -> String {
    let Wanted { case, listen, endpoint, directory, .. } = wanted;
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let directory = directory.display();
    // They are laid out at the start, so no more than the case needs.
    let connections = if case.connections > 3000 { 16384 } else { 4096 };
    let (secure, tls) = if case.is_secure() { (" ssl http2", tls_lines(wanted)) } else { ("", String::new()) };
    let location = location_lines(wanted, tells);
    let store = if case.is_stored() { store_lines(wanted) } else { String::new() };
    format!(
        "\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {store}
    upstream backend {{
        server {endpoint};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen}{secure} backlog=4096;
        {tls}
        location / {{
            {location}
        }}
    }}
}}
"
    )
}

/// Files that stay open are sent by the kernel.
fn store_lines(wanted: &Wanted) -> String {
    let directory = wanted.directory.display();
    format!(
        "sendfile on;
    tcp_nopush on;
    open_file_cache max=200000;
    open_file_cache_valid 600s;
    proxy_cache_path {directory}/stored levels=1:2 keys_zone=stored:64m max_size=256m inactive=600m use_temp_path=off;
    proxy_cache stored;
    proxy_cache_lock on;"
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
    let buffers = match wanted.case.has_large_bodies() {
        true => {
            "client_body_buffer_size 64k; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
        }
        false => "",
    };
    format!(
        "proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {tells}
            proxy_request_buffering off;
            proxy_buffering on;
            proxy_max_temp_file_size 0;
            {buffers}"
    )
}
