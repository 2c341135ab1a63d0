//! Errors in the words of the house: pages of one's own instead of the proxy's, and of endpoints'.

use std::{path::PathBuf, sync::Arc};

pub use self::settings::ErrorPagesSettings;
use self::{page::Page, settings::PageFiles};
use super::{Filter, Kind, Schema, Site, Step, schemars, statuses::Statuses, validators};
use crate::{
    exchange::Exchange,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, ResponseBody, grpc, header, headers},
    settings::{Problem, Problems},
    telemetry::metrics::Event,
};

mod page;
mod settings;

const ABOUT: &str = r#"
```toml
[defaults.error_pages]
404 = "settings/errors/404.html"
5xx = { html = "settings/errors/5xx.html", json = "settings/errors/5xx.json" }

[routes]
"/" = "http://127.0.0.1:8000"
# What its endpoint says of its errors is replaced, too.
"/old" = { to = "http://127.0.0.1:8001", error_pages = { 5xx = "settings/errors/5xx.html", intercept = true } }
```

A key is a status, or `4xx` or `5xx` for those that have none of their own. The status stays, and with it every field that is not about the content:
`WWW-Authenticate`, `Retry-After`, cookies. Of several representations the client gets the one that its `Accept` likes best, and `Vary` says so.

In a page `${status}` is the status, `${title}` what it is called and `${id}` the request's id, which the log knows; escaped as the page's type needs it.
All else, other `${..}` included, stays as it is. Files are read when settings are, and again when they change; each has 256 KiB at most.

What the proxy answers before it knows a route, such as a malformed request, has the looks of `[server.errors]`. Errors of gRPC are gRPC's.

Events counted: `replaced`.
"#;

/// Replaces the content of errors.
pub struct ErrorPages {
    pages: Vec<(Statuses, Page)>,
    intercept: bool,
    replaced: Event,
}

impl Kind for ErrorPages {
    const NAME: &'static str = "error_pages";
    const SUMMARY: &'static str =
        "shows pages of one's own for errors, the proxy's and, where asked to, the endpoints'";
    const ABOUT: &'static str = ABOUT;
    type Settings = ErrorPagesSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ErrorPagesSettings))
    }

    fn build(settings: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        if settings.pages.is_empty() {
            problems.push(Problem::at([""; 0], "no page").help("such as 404 = \"settings/errors/404.html\""));
        }
        let mut pages = Vec::new();
        for (statuses, files) in &settings.pages {
            pages.push((*statuses, Page::read(*statuses, files, &mut problems)));
        }
        // A status of its own goes before its class.
        pages.sort_by_key(|(statuses, _)| matches!(statuses, Statuses::Class(_)));
        let replaced = site.event("replaced");
        problems.none_or(Step::Plain(Arc::new(Self { pages, intercept: settings.intercept, replaced })))
    }

    fn files(settings: &Self::Settings) -> Vec<PathBuf> {
        settings.pages.values().flat_map(PageFiles::all).map(|(_, path)| path.clone()).collect()
    }
}

impl Filter for ErrorPages {
    fn on_response(&self, exchange: &Exchange, response: &mut Response) {
        let is_ours = response.cause.is_some();
        let status = response.status;
        if !(is_ours || self.intercept) || !(status.is_client_error() || status.is_server_error()) {
            return;
        }
        if grpc::is_called(&exchange.headers) || grpc::is_called(&response.headers) {
            return;
        }
        let Some((_, page)) = self.pages.iter().find(|(statuses, _)| statuses.has(status)) else { return };
        let (text, is_chosen) = page.for_client(&exchange.headers);
        let content = text.filled(status, exchange.id().as_str());
        forget_content(&mut response.headers);
        response.headers.insert(header::CONTENT_TYPE, text.content_type());
        if is_chosen && !headers::has_token(&response.headers, &header::VARY, "accept") {
            response.headers.append(header::VARY, HeaderValue::from_static("Accept"));
        }
        if !is_ours && !response.headers.contains_key(header::CACHE_CONTROL) {
            // It holds the id of this one request.
            response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response.body = match exchange.method {
            Method::HEAD => ResponseBody::Announced(content.len() as u64),
            _ => ResponseBody::Bytes(content.into()),
        };
        self.replaced.happened();
    }
}

/// What is said of the content that was there.
fn forget_content(fields: &mut HeaderMap) {
    validators::forget_bytes(fields);
    for name in OF_CONTENT {
        fields.remove(name);
    }
}

const OF_CONTENT: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_SECURITY_POLICY,
];
