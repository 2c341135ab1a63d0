//! Bodies of requests that are what they must be, before an endpoint sees them.

use std::{fs, future::poll_fn, path::PathBuf, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use jsonschema::{PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::json::Fault;
use super::{Around, JsonSchema, Kind, Next, Schema, Site, Step, media_types::MediaTypes, schemars};
use crate::{
    exchange::Exchange,
    http::{
        Body, Error, Frame, HeaderValue, Method, Refusal, RequestBody, Response, StatusCode, body::Length, header,
        headers,
    },
    settings::{Names, Problem, Problems, Size},
};

mod json;

const ABOUT: &str = r#"
```toml
[routes]
"POST /orders" = { to = "http://127.0.0.1:8000", validate = { json_schema = "settings/schemas/order.json", max_body = "64KiB" } }
"PUT /pictures" = { to = "http://127.0.0.1:8000", validate = { content_types = ["image/png", "image/jpeg"], max_body = "5MiB" } }
```

A request with a body of another type gets 415. With `json_schema` the body is kept until all of it is there, `max_body` at most (413), read strictly, held against the
schema, and sent on unchanged. What is no JSON gets 400, and so does what two readers could take for two things: a key twice, bytes that are not UTF-8, something behind
the end, or tables within tables deeper than `max_depth`. What does not fit the schema gets 422, and is told where (a JSON pointer) and by which of the
schema's words, never what stood there.

Schemas are of any draft, and in one file: nothing is fetched. Their patterns are regular expressions without look-around and back-references, so that nobody can make
them take long. A body that is coded (`Content-Encoding`) cannot be looked into, and gets 415. Large ones are looked at away from the workers. Trailers of a request
whose body was kept are not sent on.
"#;

/// Holds bodies against rules.
pub struct Validate {
    types: MediaTypes,
    accept: Option<HeaderValue>,
    max_body: u64,
    json: Option<Arc<Json>>,
    /// So many large bodies may be looked at at once.
    turns: Semaphore,
}

/// What a body of JSON must be.
struct Json {
    schema: Validator,
    max_depth: usize,
}

/// What is written under `validate`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateSettings {
    /// What bodies may be; without it JSON, if there is a schema.
    pub content_types: Names,
    /// A file with the JSON Schema of bodies.
    #[schemars(with = "Option<String>")]
    pub json_schema: Option<PathBuf>,
    /// No body is longer.
    pub max_body: Size,
    /// Tables and arrays may stand within each other so deep.
    pub max_depth: usize,
}

impl Default for ValidateSettings {
    fn default() -> Self {
        Self { content_types: Names::default(), json_schema: None, max_body: Size::mib(1), max_depth: 64 }
    }
}

/// What JSON is called.
const JSON: [&str; 2] = ["application/json", "application/*+json"];

/// The reader goes no deeper.
const DEEPEST: usize = 120;

/// A longer one would hold its worker for too long.
const LARGE: usize = 16 * 1024;

const TURNS: usize = 4;

impl Kind for Validate {
    const NAME: &'static str = "validate";
    const SUMMARY: &'static str = "lets in only bodies of these types, and JSON that fits a schema";
    const ABOUT: &'static str = ABOUT;
    type Settings = ValidateSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(ValidateSettings))
    }

    fn build(settings: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let ValidateSettings { content_types, json_schema, max_body, max_depth } = settings;
        let types = match (&json_schema, content_types.0.is_empty()) {
            (Some(_), true) => JSON.into(),
            (None, true) => {
                let what = "it has nothing to hold bodies against";
                problems.push(Problem::at([""; 0], what).help("content_types = [..] or json_schema = \"FILE\""));
                JSON.into()
            }
            _ => content_types,
        };
        if max_depth == 0 || max_depth > DEEPEST {
            problems.push(Problem::at(["max_depth"], "it is not from 1 to 120").help("64 is deep already"));
        }
        let json = json_schema.and_then(|path| match schema(&path) {
            Ok(schema) => Some(Arc::new(Json { schema, max_depth })),
            Err(what) => {
                let what = format!("{}: {what}", path.display());
                problems.push(Problem::at(["json_schema"], what).help("a JSON Schema in one file"));
                None
            }
        });
        let accept = HeaderValue::try_from(types.0.join(", ")).ok();
        let types = MediaTypes::of(&types, "content_types", &mut problems);
        let (max_body, turns) = (max_body.0, Semaphore::new(TURNS));
        problems.none_or(Step::Around(Arc::new(Self { types, accept, max_body, json, turns })))
    }

    fn files(settings: &Self::Settings) -> Vec<PathBuf> {
        settings.json_schema.iter().cloned().collect()
    }
}

fn schema(path: &std::path::Path) -> Result<Validator, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let schema: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    options.build(&schema).map_err(|error| format!("at `{}`: {error}", error.instance_path().as_str()))
}

impl Around for Validate {
    fn pass<'e>(&'e self, exchange: &'e mut Exchange, next: Next<'e>) -> LocalBoxFuture<'e, Response> {
        Box::pin(async move {
            match self.check(exchange).await {
                Ok(()) => next.run(exchange).await,
                Err(error) => Response { cause: Some(error), ..Response::default() },
            }
        })
    }
}

impl Validate {
    async fn check(&self, exchange: &mut Exchange) -> Result<(), Error> {
        if exchange.body.is_empty() {
            // A schema says what a body must be, so there must be one where there could be.
            let has_one = [Method::POST, Method::PUT, Method::PATCH].contains(&exchange.method);
            return match self.json {
                Some(_) if has_one => Err(no(StatusCode::BAD_REQUEST, "there is no body").into()),
                _ => Ok(()),
            };
        }
        self.check_type(exchange)?;
        match (exchange.body.length(), &self.json) {
            (Length::Exact(length), _) if length > self.max_body => Err(Error::BodyTooLarge { limit: self.max_body }),
            (_, Some(json)) => {
                let bytes = self.whole(&mut exchange.body).await?;
                self.hold_against(json, bytes.clone()).await?;
                exchange.body = RequestBody::buffered(bytes);
                Ok(())
            }
            (_, None) => {
                exchange.body.limit(self.max_body);
                Ok(())
            }
        }
    }

    fn check_type(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let fields = &exchange.headers;
        let wrong = |reason| {
            let refusal = no(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason);
            self.accept.iter().fold(refusal, |refusal, accept| refusal.with(header::ACCEPT, accept.clone()))
        };
        if !self.types.has(fields) {
            return Err(wrong("bodies of this type are not taken here"));
        }
        if self.json.is_none() {
            return Ok(());
        }
        if headers::list(fields, &header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(wrong("a coded body cannot be looked into"));
        }
        let is_utf8 = fields.get(header::CONTENT_TYPE).is_some_and(|kind| says_utf8(kind.as_bytes()));
        if is_utf8 { Ok(()) } else { Err(wrong("JSON is UTF-8")) }
    }

    /// All of the body.
    async fn whole(&self, body: &mut RequestBody) -> Result<Bytes, Error> {
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
            let Frame::Data(bytes) = frame? else { continue };
            if (first.len() + all.len() + bytes.len()) as u64 > self.max_body {
                return Err(Error::BodyTooLarge { limit: self.max_body });
            }
            if first.is_empty() && all.is_empty() {
                first = bytes;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&bytes);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    async fn hold_against(&self, json: &Arc<Json>, bytes: Bytes) -> Result<(), Refusal> {
        if bytes.len() <= LARGE {
            return json.check(&bytes);
        }
        let _turn = self.turns.acquire().await;
        let json = Arc::clone(json);
        let checked = tokio::task::spawn_blocking(move || json.check(&bytes)).await;
        checked.unwrap_or_else(|_| Err(no(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be looked at")))
    }
}

/// No other charset is named, nor one twice.
fn says_utf8(kind: &[u8]) -> bool {
    kind.split(|byte| *byte == b';').skip(1).all(|parameter| {
        let parameter = parameter.trim_ascii();
        let (name, value) =
            parameter.split_at(parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len()));
        let value = value.strip_prefix(b"=").unwrap_or(value);
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        !name.trim_ascii().eq_ignore_ascii_case(b"charset") || value.eq_ignore_ascii_case(b"utf-8")
    })
}

impl Json {
    fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let value = json::read(bytes, self.max_depth).map_err(|fault| match fault {
            Fault::Syntax { line, column } => {
                no(StatusCode::BAD_REQUEST, "the body is not JSON").at(format!("line {line}, column {column}"))
            }
            Fault::Repeated { pointer } => {
                no(StatusCode::BAD_REQUEST, "a key stands twice in the body").at(shown(&pointer))
            }
            Fault::TooDeep => no(StatusCode::BAD_REQUEST, "the body is nested too deep"),
        })?;
        match self.schema.iter_errors(&value).next() {
            None => Ok(()),
            Some(error) => {
                let word = error.schema_path().as_str().rsplit('/').next().unwrap_or_default();
                let place = format!("{} (`{word}`)", shown(error.instance_path().as_str()));
                Err(no(StatusCode::UNPROCESSABLE_ENTITY, "the body does not fit its schema").at(place))
            }
        }
    }
}

/// A pointer with what a client has written in it, fit to be read.
fn shown(pointer: &str) -> String {
    if pointer.is_empty() {
        return "its root".into();
    }
    let escaped: String = pointer.escape_debug().take(LONGEST_POINTER + 1).collect();
    match escaped.char_indices().nth(LONGEST_POINTER) {
        Some((at, _)) => format!("{}...", &escaped[..at]),
        None => escaped,
    }
}

const LONGEST_POINTER: usize = 128;

fn no(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal::new(Validate::NAME, status, reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filters::testing;

    #[test]
    fn a_schema_that_is_none_is_a_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        for (text, told) in [
            ("{", "line 1 column 1"),
            ("{\"type\": \"strin\"}", "at `/type`"),
            ("{\"pattern\": \"(?<a>a)\\\\k<a>\"}", "pattern"),
            ("{\"$ref\": \"https://elsewhere.example/schema\"}", "elsewhere.example"),
        ] {
            fs::write(&path, text).expect("a file");

            let problems = testing::problems::<Validate>(json!({ "json_schema": path }));

            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].what.contains("a.json") && problems[0].what.contains(told), "{}", problems[0].what);
        }
        for written in [
            json!({}),
            json!({ "content_types": "json" }),
            json!({ "json_schema": "/none.json" }),
            json!({ "content_types": "text/plain", "max_depth": 500 }),
        ] {
            assert_eq!(testing::problems::<Validate>(written).len(), 1);
        }
    }

    #[test]
    fn only_utf_8_is_json() {
        for (kind, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;Charset=\"UTF-8\"; a=b", true),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=utf-8; charset=utf-7", false),
            ("application/json; charset", false),
        ] {
            assert_eq!(says_utf8(kind.as_bytes()), expected, "{kind}");
        }
    }

    #[test]
    fn what_a_client_wrote_is_shown_so_that_it_breaks_no_line() {
        assert_eq!(shown("/a\nb"), "/a\\nb");
        assert_eq!(shown(""), "its root");
        assert_eq!(shown(&"/ab".repeat(100)).len(), LONGEST_POINTER + 3);
    }
}
