//! A proxy in front of one endpoint, made with Pingora as its manual advises: one thread, connections kept on both sides, no log.

use std::net::SocketAddr;

use async_trait::async_trait;
use clap::Parser;
use jemallocator::Jemalloc;
use pingora_core::Result;
use pingora_core::apps::HttpServerOptions;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::protocols::ALPN;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, ProxyServiceBuilder, Session};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// As many connections to the endpoint may be kept as nginx may keep; by default it were 128.
const KEPT: usize = 1024;

#[derive(Parser)]
#[command(version)]
struct Cli {
    #[arg(long)]
    listen: SocketAddr,
    /// Where the endpoint is.
    #[arg(long)]
    to: SocketAddr,
    /// Speak TLS, by this chain.
    #[arg(long, value_name = "PEM", requires = "key")]
    chain: Option<String>,
    #[arg(long, value_name = "PEM")]
    key: Option<String>,
    /// Also take HTTP/2 without TLS.
    #[arg(long)]
    h2c: bool,
    /// Speak HTTP/2 with the endpoint, without TLS.
    #[arg(long)]
    h2c_to: bool,
}

struct Proxy {
    endpoint: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.endpoint.clone()))
    }

    /// What nginx and HAProxy tell it, too.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.append_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let settings = ServerConf {
        threads: 1,
        // One has nobody to steal from, and takes 2% fewer instructions where it does not try.
        work_stealing: false,
        upstream_keepalive_pool_size: KEPT,
        // Who is told to stop stops at once.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();

    let mut endpoint = HttpPeer::new(cli.to, false, String::new());
    if cli.h2c_to {
        endpoint.options.alpn = ALPN::H2;
    }
    let mut options = HttpServerOptions::default();
    options.h2c = cli.h2c;
    let builder = ProxyServiceBuilder::new(&server.configuration, Proxy { endpoint });
    let mut service = builder.server_options(options).build();
    let listen = cli.listen.to_string();
    match (&cli.chain, &cli.key) {
        (Some(chain), Some(key)) => {
            let mut tls = TlsSettings::intermediate(chain, key)?;
            tls.enable_h2();
            service.add_tls_with_settings(&listen, None, tls);
        }
        _ => service.add_tcp(&listen),
    }
    server.add_service(service);
    server.run_forever();
}
