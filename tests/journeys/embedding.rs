//! The proxy inside somebody's actix-web app, under a plain `HttpServer`.

use actix_web::{
    App, HttpResponse,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    guard,
    http::header::{HeaderName, HeaderValue},
    web,
};
use aqueduct::{EdgeServer, Proxy, plan::ListenAddress};

use super::support::{client, origin::Origin, wire::patiently};

fn proxy_to(origin: &Origin) -> Proxy {
    Proxy::builder().route("/", origin.url().as_str()).build().expect("it is good")
}

#[actix_rt::test]
async fn own_handlers_go_first_and_the_proxy_takes_the_rest() {
    let origin = Origin::echo().start().await;
    let proxy = proxy_to(&origin);
    let server = actix_test::start(move || {
        App::new()
            .route("/health", web::get().to(|| async { HttpResponse::Ok().body("own") }))
            .default_service(proxy.clone())
    });

    assert_eq!(client::get(server.addr(), "/health").await.text(), "own");
    assert!(client::get(server.addr(), "/else?x=1").await.text().starts_with("GET /else?x=1 HTTP/1.1\n"));
}

#[actix_rt::test]
async fn a_mounted_proxy_takes_what_is_below_its_path_and_its_guards_let_through() {
    let origin = Origin::echo().start().await;
    let proxy = proxy_to(&origin);
    let server = actix_test::start(move || {
        App::new()
            .service(proxy.mount("/legacy"))
            .service(web::scope("/in").service(proxy.mount("/side")))
            .service(proxy.mount("/guarded").guard(guard::Header("x-key", "1")))
    });

    let get = async |path: &str| client::get(server.addr(), path).await;
    assert!(get("/legacy/a").await.text().starts_with("GET /legacy/a "));
    assert!(get("/legacy").await.text().starts_with("GET /legacy "));
    assert!(get("/in/side/b").await.text().starts_with("GET /in/side/b "));
    for path in ["/legacyx", "/other", "/guarded/a"] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
}

#[actix_rt::test]
async fn bodies_stream_through_a_plain_server_too() {
    let origin = Origin::echo().start().await;
    let proxy = proxy_to(&origin);
    let server = actix_test::start(move || App::new().default_service(proxy.clone()));
    let body = "x".repeat(300_000);

    let response = client::request(
        server.addr(),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()),
    )
    .await;

    assert_eq!(response.status, 200);
    assert!(response.text().ends_with(&body));
}

/// An `App` that reads fields of requests, and reads and writes those of answers.
fn with_middleware(
    proxy: Proxy,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = actix_web::Error, InitError = ()>,
> {
    use actix_web::dev::Service;
    App::new()
        .wrap_fn(|request, service| {
            let key = request.headers().get("x-key").cloned();
            let answer = service.call(request);
            async {
                let mut answer = answer.await?;
                let seen = answer.headers().get("x-own").cloned();
                const NOTHING: HeaderValue = HeaderValue::from_static("nothing");
                answer.headers_mut().insert(HeaderName::from_static("x-asked"), key.unwrap_or(NOTHING));
                answer.headers_mut().insert(HeaderName::from_static("x-seen"), seen.unwrap_or(NOTHING));
                Ok(answer)
            }
        })
        .default_service(proxy)
}

#[actix_rt::test]
async fn middleware_around_the_proxy_sees_fields_and_writes_its_own() {
    let origin = Origin::replying("HTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n").start().await;
    let proxy = proxy_to(&origin);
    let (plain, edge) = (proxy.clone(), proxy.clone());
    let plain = actix_test::start(move || with_middleware(plain.clone()));
    let edge = EdgeServer::new(move || with_middleware(edge.clone())).signals(false);
    let edge = edge.bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).expect("a free port");
    let ListenAddress::Tcp(address) = edge.addresses()[0].clone() else { panic!("it is TCP") };
    let running = edge.run();
    let handle = running.handle();
    let running = actix_rt::spawn(running);

    for address in [plain.addr(), address] {
        let answer =
            client::request(address, "GET / HTTP/1.1\r\nHost: a\r\nX-Key: 2\r\nConnection: close\r\n\r\n").await;
        let told = ["x-own", "x-asked", "x-seen"].map(|name| answer.header(name));
        assert_eq!(told, [Some("1"), Some("2"), Some("1")]);
    }
    assert!(origin.requests().iter().all(|request| request.contains("x-key: 2\r\n")), "{:?}", origin.requests());
    handle.stop();
    patiently("the end", running).await.expect("no panic").expect("it served");
}

/// What only `EdgeServer` has: it takes the same `App`.
#[actix_rt::test]
async fn interim_responses_trailers_and_upgrades_are_absent_under_a_plain_server() {
    let origin = Origin::script(|mut conn, _| async move {
        while conn.next_request().await.is_some() {
            conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n").await;
        }
    })
    .start()
    .await;
    let proxy = proxy_to(&origin);
    let server = actix_test::start(move || App::new().default_service(proxy.clone()));

    let response = client::get(server.addr(), "/").await;
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let refused = client::request(server.addr(), upgrade).await;

    assert_eq!(response.text(), "ok");
    assert!(response.interim.is_empty() && response.trailers.is_empty());
    assert_eq!(refused.status, 501);
    assert_eq!(origin.requests_seen(), 1);
}

#[actix_rt::test]
async fn the_builder_draws_the_plan_that_a_file_draws() {
    let text = "[routes]\n\"/api\" = \"http://localhost:8000\"\n\"/shop\" = \"shop\"\n[upstreams.shop]\nservers = [\"http://a\", \"http://b\"]\n";
    let loaded = aqueduct::settings::Layers::new().text("a.toml", text).load().expect("it is good");

    let built = Proxy::builder()
        .route("/api", "http://localhost:8000")
        .route("/shop", "shop")
        .upstream("shop", ["http://a", "http://b"])
        .build()
        .expect("it is good");

    assert_eq!(built.plan().settings, loaded.settings);
}
