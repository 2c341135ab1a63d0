//! The filters that come with the proxy, in somebody's own actix-web app: who may pass, how often, and what browsers are told.
//!
//! They are written as in a settings file, or in code; both make the same plan. Runs by itself: it starts a little origin, asks the app, prints what
//! came and stops.

use std::error::Error;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use aqueduct::{
    Proxy,
    settings::{Layers, RouteSettings},
};
use serde_json::json;

/// What is in a file elsewhere. A policy is for all routes that use it; `[defaults]` are for all.
const POLICIES: &str = r#"
[defaults]
security_headers = true

[policies.staff]
basic_auth = { users = "settings/recipes/users.htpasswd", realm = "staff", forward = { x-user = "sub" } }
"#;

/// `alice:open sesame`
const ALICE: &str = "Basic YWxpY2U6b3BlbiBzZXNhbWU=";

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let origin = HttpServer::new(|| {
        App::new().default_service(web::to(|request: HttpRequest| async move {
            let user = request.headers().get("x-user").and_then(|user| user.to_str().ok()).unwrap_or("nobody");
            format!("{} for {user}", request.path())
        }))
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    let origin_url = format!("http://{}", origin.addrs()[0]);
    actix_web::rt::spawn(origin.run());

    let mut settings = Layers::new().text("policies.toml", POLICIES).load()?.settings;
    settings.routes.insert("/staff".into(), route(&origin_url, &[("use", json!("staff"))])?);
    settings
        .routes
        .insert("/api".into(), route(&origin_url, &[("rate_limit", json!({ "rate": "1/1h", "burst": 2 }))])?);
    let proxy = Proxy::from_settings(settings)?;

    // The app's own handlers are not the proxy's: they pass no filter.
    let app = HttpServer::new(move || {
        App::new()
            .route("/health", web::get().to(|| async { HttpResponse::Ok().body("own handler") }))
            .default_service(proxy.clone())
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    let address = app.addrs()[0];
    actix_web::rt::spawn(app.run());

    let client = awc::Client::default();
    for (path, credentials, status, content, is_careful) in [
        ("/health", "", 200, "own handler", false),
        ("/staff", "", 401, "", true),
        ("/staff", "Basic YWxpY2U6Z3Vlc3NlZA==", 401, "", true),
        ("/staff", ALICE, 200, "/staff for alice", true),
        ("/api", "", 200, "/api for nobody", true),
        ("/api", "", 200, "/api for nobody", true),
        ("/api", "", 429, "", true),
    ] {
        let mut request = client.get(format!("http://{address}{path}"));
        if !credentials.is_empty() {
            // Who says of himself who he is, is not believed.
            request = request.insert_header(("authorization", credentials)).insert_header(("x-user", "root"));
        }
        let mut answer = request.send().await?;
        let body = answer.body().await?;
        println!(
            "{path:8} {} {}",
            answer.status(),
            if status == 200 { body.escape_ascii().to_string() } else { String::new() }
        );
        assert_eq!(answer.status(), StatusCode::from_u16(status)?);
        assert_eq!(answer.headers().contains_key("content-security-policy"), is_careful, "{path}");
        assert!(status != 200 || body == content, "{path}: {body:?}");
    }
    Ok(())
}

/// A route in code: what stands beside `to` is written as in a file.
fn route(to: &str, more: &[(&str, serde_json::Value)]) -> Result<RouteSettings, serde_json::Error> {
    let mut route = json!({ "to": to });
    for (key, value) in more {
        route[*key] = value.clone();
    }
    serde_json::from_value(route)
}
