//! `aqueduct demo`: the proxy with the seed's two routes, in front of two origins of its own.

use std::{io, net::SocketAddr};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;

use super::{Exit, application_log, fail, run, tell};
use crate::{edge::Inherited, plan::ListenAddress, proxy::Proxy, settings::Listener};

/// Where the demo listens.
#[derive(Args)]
pub struct Demo {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
}

impl Demo {
    pub fn run(self) -> Exit {
        if let Err(error) = application_log::log_by("warn") {
            return fail(error);
        }
        actix_rt::System::new().block_on(serve(self.listen))
    }
}

async fn serve(listen: String) -> Exit {
    let (api, web) = match (origin("api", api_service), origin("web", web_service)) {
        (Ok(api), Ok(web)) => (api, web),
        (Err(error), _) | (_, Err(error)) => return fail(format_args!("cannot start an origin: {error}")),
    };
    let proxy = Proxy::builder()
        .route("/api", format!("http://{api}"))
        .route("/web", format!("http://{web}"))
        .settings(|settings| settings.listen = vec![Listener::address(listen)])
        .build();
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(problems) => return tell(&problems),
    };
    let plan = proxy.plan();
    match run::start(&proxy, &plan.settings, &plan.listeners, &Inherited::nothing()) {
        Ok((running, addresses)) => {
            introduce(&addresses, api, web);
            let exit = run::until_stopped(&proxy, running).await;
            println!("\nstopped");
            exit
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            fail(format_args!("{error}; try --listen 127.0.0.1:8081"))
        }
        Err(error) => fail(error),
    }
}

/// An origin on a free loopback port; it ends with this process.
fn origin(name: &'static str, routes: fn(&mut web::ServiceConfig)) -> io::Result<SocketAddr> {
    let server = HttpServer::new(move || App::new().configure(routes))
        .workers(1)
        .disable_signals()
        .bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = server.addrs().first().copied().ok_or_else(|| io::Error::other(format!("{name}: no address")))?;
    actix_rt::spawn(server.run());
    Ok(address)
}

fn api_service(config: &mut web::ServiceConfig) {
    config.default_service(web::to(|request: HttpRequest, body: web::Bytes| async move {
        let fields: serde_json::Map<String, serde_json::Value> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let seen = serde_json::json!({
            "origin": "api",
            "method": request.method().as_str(),
            "path": request.uri().to_string(),
            "headers": fields,
            "body_bytes": body.len(),
        });
        HttpResponse::Ok().content_type("application/json").body(format!("{seen:#}\n"))
    }));
}

fn web_service(config: &mut web::ServiceConfig) {
    const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Aqueduct</title>\
        <h1>It flows.</h1><p>This page came from the <code>web</code> origin, through Aqueduct.\n";
    config
        .default_service(web::to(|| async { HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PAGE) }));
}

fn introduce(addresses: &[ListenAddress], api: SocketAddr, web: SocketAddr) {
    let at = addresses.first().map_or_else(String::new, ToString::to_string);
    println!("aqueduct is listening on {at}");
    println!("  /api  ->  http://{api}   (tells what it got)");
    println!("  /web  ->  http://{web}   (a page)\n");
    println!("try");
    println!("  curl -i http://{at}/api/orders?page=2");
    println!("  curl -i http://{at}/web");
    println!("  curl -i http://{at}/nowhere            # no route: a 404 of our own");
    println!("  curl -i -X BREW http://{at}/api       # no such method\n");
    println!("Ctrl-C stops it");
}
