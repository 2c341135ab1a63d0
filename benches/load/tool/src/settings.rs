//! What nginx and HAProxy are told: one worker, kept connections to the endpoint, no access log.

use std::net::SocketAddr;
use std::path::Path;

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

pub fn nginx(listen: SocketAddr, backend: SocketAddr, directory: &Path, large: bool, tells: Tells) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let buffers = match large {
        true => {
            "client_body_buffer_size 64k; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
        }
        false => "",
    };
    let (directory, tells) = (directory.display(), tells.lines());
    format!(
        "\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
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
    upstream backend {{
        server {backend};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {tells}
            proxy_request_buffering off;
            proxy_buffering on;
            proxy_max_temp_file_size 0;
            {buffers}
        }}
    }}
}}
"
    )
}

pub fn haproxy(listen: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "\
global
    nbthread 1
    maxconn 3000
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
    bind {listen} backlog 4096
    default_backend endpoints
backend endpoints
    server backend {backend}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::loopback;

    #[test]
    fn only_large_bodies_get_large_buffers_from_nginx() {
        for large in [true, false] {
            let settings = nginx(loopback(1), loopback(2), Path::new("/x"), large, Tells::ForwardedFor);
            assert_eq!(settings.contains("64k"), large);
        }
    }
}
