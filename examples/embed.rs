//! The proxy inside an actix-web app: own handlers first, `/legacy` and all the rest go elsewhere.
//!
//! Runs by itself: it starts a little origin, asks the app three questions, prints the answers and stops.

use std::error::Error;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aqueduct::Proxy;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let origin = HttpServer::new(|| {
        App::new()
            .default_service(web::to(|request: HttpRequest| async move { format!("origin got {}", request.uri()) }))
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    let origin_address = origin.addrs()[0];
    actix_web::rt::spawn(origin.run());

    let proxy = Proxy::builder()
        .route("/legacy", format!("http://{origin_address}/v1"))
        .route("/", format!("http://{origin_address}"))
        .build()?;

    let app = HttpServer::new(move || {
        App::new()
            .route("/health", web::get().to(|| async { HttpResponse::Ok().body("own handler") }))
            .service(proxy.mount("/legacy"))
            .default_service(proxy.clone())
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    let address = app.addrs()[0];
    actix_web::rt::spawn(app.run());

    let client = awc::Client::default();
    for (path, expected) in [
        ("/health", "own handler"),
        ("/legacy/orders?page=2", "origin got /v1/legacy/orders?page=2"),
        ("/anything", "origin got /anything"),
    ] {
        let answer = client.get(format!("http://{address}{path}")).send().await?.body().await?;
        println!("{path:24} {}", String::from_utf8_lossy(&answer));
        assert_eq!(answer, expected);
    }
    Ok(())
}
