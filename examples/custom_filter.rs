//! A filter of one's own: `sunset` announces when a route goes away (RFC 8594), and refuses it afterwards.
//!
//! Runs by itself: it builds a proxy whose routes use the filter, asks it, and prints what came.

use std::{error::Error, sync::Arc};

use actix_web::{App, HttpServer};
use aqueduct::{
    Exchange, Proxy, Response,
    filters::{Filter, Kind, Site, Step},
    http::{HeaderName, HeaderValue, StatusCode},
    settings::{Problem, Problems, RouteSettings},
};
use serde::Deserialize;

const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Announces the end of a route.
struct Sunset {
    on: HeaderValue,
    is_over: bool,
}

/// What is written under `sunset` in a route.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SunsetSettings {
    /// An HTTP date.
    on: String,
    /// The route is gone already.
    #[serde(default)]
    is_over: bool,
}

impl Kind for Sunset {
    const NAME: &'static str = "sunset";
    const SUMMARY: &'static str = "announces when a route goes away, or that it is gone";
    type Settings = SunsetSettings;

    fn build(settings: SunsetSettings, _: &Site<'_>) -> Result<Step, Problems> {
        let on = HeaderValue::from_str(&settings.on)
            .map_err(|_| Problem::at(["on"], format!("`{}` is not a date", settings.on)))?;
        Ok(Step::Plain(Arc::new(Self { on, is_over: settings.is_over })))
    }
}

impl Filter for Sunset {
    fn on_request(&self, _: &mut Exchange) -> Option<Response> {
        self.is_over.then(|| Response::new(StatusCode::GONE))
    }

    fn on_response(&self, _: &Exchange, response: &mut Response) {
        response.headers.insert(SUNSET, self.on.clone());
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let route = |over: bool| {
        let respond = serde_json::from_value(serde_json::json!({ "body": "still here" }))?;
        let mut route = RouteSettings { respond: Some(respond), ..RouteSettings::default() };
        let sunset = serde_json::json!({ "on": "Sat, 31 Dec 2050 23:59:59 GMT", "is_over": over });
        route.filters.insert("sunset".into(), sunset);
        Ok::<_, serde_json::Error>(route)
    };
    let proxy =
        Proxy::builder().filter::<Sunset>().route("/old", route(false)?).route("/older", route(true)?).build()?;

    let app = HttpServer::new(move || App::new().default_service(proxy.clone())).workers(1).bind(("127.0.0.1", 0))?;
    let address = app.addrs()[0];
    actix_web::rt::spawn(app.run());

    for (path, expected) in [("/old", StatusCode::OK), ("/older", StatusCode::GONE)] {
        let answer = awc::Client::default().get(format!("http://{address}{path}")).send().await?;
        println!("{path:8} {} sunset: {:?}", answer.status(), answer.headers().get(SUNSET));
        assert_eq!(answer.status(), expected);
        assert!(answer.headers().contains_key(SUNSET), "the filter saw the answer on its way out");
    }
    Ok(())
}
