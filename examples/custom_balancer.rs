//! A balancer of one's own: requests of one tenant go to one endpoint.
//!
//! Runs by itself: it starts three origins, sends requests of several tenants, and prints who answered whom.

use std::{
    error::Error,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

use actix_web::{App, HttpServer, web};
use aqueduct::{
    Exchange, Proxy,
    settings::{Problems, UpstreamSettings},
    upstream::{
        Candidates, Endpoint,
        balancers::{Balancer, Kind, Nothing},
    },
};

/// Picks by the `x-tenant` field.
struct ByTenant;

impl Kind for ByTenant {
    const NAME: &'static str = "by_tenant";
    const SUMMARY: &'static str = "keeps the requests of one tenant together";
    type Settings = Nothing;

    fn build(_: Nothing, _endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        Ok(Box::new(Self))
    }
}

impl Balancer for ByTenant {
    fn pick<'c>(&self, candidates: Candidates<'c>, exchange: &Exchange) -> &'c Arc<Endpoint> {
        let mut hasher = DefaultHasher::new();
        exchange.headers.get("x-tenant").map(|tenant| tenant.as_bytes()).hash(&mut hasher);
        candidates.nth(hasher.finish() as usize % candidates.len())
    }
}

fn origin(name: &'static str) -> std::io::Result<SocketAddr> {
    let server = HttpServer::new(move || App::new().default_service(web::to(move || async move { name })))
        .workers(1)
        .bind(("127.0.0.1", 0))?;
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    Ok(address)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut upstream = UpstreamSettings { balance: ByTenant::NAME.into(), ..UpstreamSettings::default() };
    for name in ["red", "green", "blue"] {
        upstream.servers.push(format!("http://{}", origin(name)?).into());
    }
    let proxy = Proxy::builder().balancer::<ByTenant>().upstream_with("shop", upstream).route("/", "shop").build()?;

    let app = HttpServer::new(move || App::new().default_service(proxy.clone())).workers(1).bind(("127.0.0.1", 0))?;
    let address = app.addrs()[0];
    actix_web::rt::spawn(app.run());

    let client = awc::Client::default();
    for tenant in ["ada", "grace", "edsger"] {
        let mut answers = Vec::new();
        for _ in 0..3 {
            let mut answer =
                client.get(format!("http://{address}/")).insert_header(("x-tenant", tenant)).send().await?;
            answers.push(String::from_utf8_lossy(&answer.body().await?).into_owned());
        }
        println!("{tenant:8} {answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "one tenant, one endpoint");
    }
    Ok(())
}
