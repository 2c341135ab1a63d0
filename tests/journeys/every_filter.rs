//! What holds for every kind of filter: it has a page, a line in `explain` and a count; and what it refuses is told in the terms
//! of who asks, over HTTP/1.1, HTTP/2 and gRPC.

use std::{fs, path::Path};

use aqueduct::{kinds::Kinds, proxy::rehearsal, settings::test::TestRequest};
use serde_json::Value;

use super::support::{
    client::{Client, Response, refusing},
    h2::{Answer, H2, request_with},
    origin::{Origin, Script},
    proxy::TestProxy,
};

/// A route with one filter, and a request that something happens to there.
struct Case {
    /// Of the route; `REFUSING` is an address where nobody listens.
    filters: &'static str,
    before: Before,
    method: &'static str,
    target: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    then: Then,
}

/// What has to be so for it to happen.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    OneHasPassed,
    OneIsUnderWay,
}

/// What happens to it.
#[derive(Clone, Copy)]
enum Then {
    /// It passes, and this is counted.
    Counted(&'static str),
    /// It is refused, with this status and this field.
    Refused(u16, Option<&'static str>),
}

const GET: Case = Case {
    filters: "",
    before: Before::Nothing,
    method: "GET",
    target: "/",
    fields: &[],
    body: "",
    then: Then::Counted(""),
};

/// One for each kind. Who adds a kind adds a line.
fn case(kind: &str) -> Case {
    let counted = |filters, event| Case { filters, then: Then::Counted(event), ..GET };
    let refused = |filters, status, field| Case { filters, then: Then::Refused(status, field), ..GET };
    match kind {
        "bandwidth" => counted("{ pace = \"100KB/s\", burst = \"1KB\" }", "slowed"),
        "security_headers" => counted("true", "hidden"),
        "compress" => Case { fields: &[("accept-encoding", "gzip")], ..counted("true", "compressed") },
        "error_pages" => {
            let filters = "{ 404 = \"settings/errors/404.html\", intercept = true }";
            Case { target: "/missing", ..counted(filters, "replaced") }
        }
        "ip_access" => refused("{ deny = [\"127.0.0.0/8\"] }", 403, None),
        "cors" => {
            let fields = &[("origin", "https://b.example"), ("access-control-request-method", "PUT")];
            Case { method: "OPTIONS", fields, ..refused("{ origins = [\"https://a.example\"] }", 403, Some("vary")) }
        }
        "request_rules" => {
            Case { fields: &[("x-odd", "1")], ..refused("{ deny = [\"header('x-odd') == '1'\"] }", 403, None) }
        }
        "rate_limit" => Case { before: Before::OneHasPassed, ..refused("{ rate = \"1/1h\" }", 429, Some("ratelimit")) },
        "concurrency" => Case { before: Before::OneIsUnderWay, ..refused("{ requests = 1 }", 429, None) },
        "basic_auth" => refused("{ users = \"settings/recipes/users.htpasswd\" }", 401, Some("www-authenticate")),
        "api_key" => refused("{ keys = \"settings/recipes/shop.keys\" }", 401, Some("www-authenticate")),
        "jwt" => refused("{ secret = \"a secret that is as long as what it makes\" }", 401, Some("www-authenticate")),
        "client_cert" => refused("{}", 403, None),
        "forward_auth" => refused("{ url = \"http://REFUSING/\" }", 503, None),
        "auth" => {
            let filters = "{ any = [{ client_cert = {} }, { api_key = { keys = \"settings/recipes/shop.keys\" } }] }";
            refused(filters, 401, Some("www-authenticate"))
        }
        "authorize" => refused("{ allow = [\"has(claim('sub'))\"] }", 403, None),
        "quota" => Case { before: Before::OneHasPassed, ..refused("{ rate = \"1/1h\" }", 429, Some("ratelimit")) },
        "validate" => {
            let refused = refused("{ content_types = [\"image/png\"] }", 415, Some("accept"));
            Case { method: "POST", fields: &[("content-type", "text/plain")], body: "hello", ..refused }
        }
        "response_rules" => refused("{ content_types = \"application/json\" }", 502, None),
        "cache" => Case { method: "PURGE", ..refused("{ purge = [\"192.0.2.1\"] }", 403, None) },
        "rewrite" => Case { target: "/?f=%2E%2E%2Fb", ..refused("{ path = \"/a/${query.f}/c\" }", 400, None) },
        "header_rules" => {
            Case { fields: &[("x-odd", "1")], ..counted("{ request = { remove = [\"x-odd\"] } }", "cleared") }
        }
        "substitute" => Case { target: "/coded", ..counted("[{ find = \"a\", with = \"b\" }]", "coded") },
        other => panic!("`{other}` is a kind without a case here"),
    }
}

/// Answers at length, and says what it runs on; `/held` when the test is over.
fn origin() -> Script {
    Origin::script(|mut conn, _| async move {
        while let Some((head, _)) = conn.next_request().await {
            if head.contains(" /held ") {
                conn.wait_for("the test is over").await;
            }
            let status = if head.contains(" /missing ") { "404 Not Found" } else { "200 OK" };
            let coding = if head.contains(" /coded ") { "Content-Encoding: br\r\n" } else { "" };
            let fields = format!("Server: software/1\r\nContent-Type: text/html\r\n{coding}Content-Length: 5000");
            conn.write(format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{}", "x".repeat(5000))).await;
        }
    })
}

/// A case that is set up.
struct House {
    kind: &'static str,
    case: Case,
    proxy: TestProxy,
    _origin: Origin,
    _under_way: Option<Client>,
}

impl House {
    async fn of(kind: &'static str) -> Self {
        let (case, origin) = (case(kind), origin().start().await);
        let filters = case.filters.replace("REFUSING", &refusing().to_string());
        let text = format!(
            "server.http.methods = [\"GET\", \"POST\", \"OPTIONS\", \"PURGE\"]\n[routes.\"/\"]\nto = \"{}\"\n{kind} = {filters}\n",
            origin.url()
        );
        let proxy = TestProxy::with(&text).start().await;
        if case.before == Before::OneHasPassed {
            assert_eq!(proxy.get("/").await.status, 200, "{kind}");
        }
        let mut under_way = None;
        if case.before == Before::OneIsUnderWay {
            let mut client = proxy.connect().await;
            client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
            origin.wait_for_requests(1).await;
            under_way = Some(client);
        }
        Self { kind, case, proxy, _origin: origin, _under_way: under_way }
    }

    async fn over_http_1(&self) -> Response {
        let Case { method, target, fields, body, .. } = &self.case;
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let ours = "Host: a.example\r\nAccept: application/json\r\nConnection: close\r\n";
        self.proxy.send(format!("{method} {target} HTTP/1.1\r\n{ours}{fields}{length}\r\n{body}")).await
    }

    async fn over_http_2(&self) -> Answer {
        let fields = [self.case.fields, &[("accept", "application/json")]].concat();
        let request = request_with(self.case.method, self.case.target, &fields);
        H2::connect(self.proxy.address).await.ask(request, self.case.body.as_bytes()).await
    }

    /// A call of gRPC, whose method is always POST.
    async fn by_grpc(&self) -> Answer {
        let of_grpc = [("te", "trailers"), ("content-type", "application/grpc")];
        let fields = self.case.fields.iter().filter(|(name, _)| *name != "content-type").chain(&of_grpc);
        let request = request_with("POST", self.case.target, &fields.copied().collect::<Vec<_>>());
        H2::connect(self.proxy.address).await.ask(request, b"\0\0\0\0\x02hi").await
    }

    fn count(&self, event: &str) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|(name, _)| *name == (self.kind, event)).map_or(0, |(_, count)| *count)
    }

    /// The answer is its refusal: this status, this field, and all that any refusal has.
    fn has_refused<'a>(
        &self,
        (expected, field): (u16, Option<&str>),
        status: u16,
        header: impl Fn(&str) -> Option<&'a str>,
        text: &str,
    ) {
        let (kind, told) = (self.kind, header("proxy-status"));
        assert_eq!((status, self.count("refused")), (expected, 1), "{kind}: {text}");
        assert!(self.is_named_in(told), "{kind}: {told:?}");
        assert!(self.is_problem(status, text), "{kind}: {text}");
        assert!(field.is_none_or(|field| header(field).is_some()), "{kind} says no {field:?}");
        assert_eq!(header("retry-after").is_some(), matches!(status, 429 | 503), "{kind}: {status}");
    }

    /// `Proxy-Status` names the filter.
    fn is_named_in(&self, proxy_status: Option<&str>) -> bool {
        let expected = format!("aqueduct; error=http_request_denied; details=\"{}: ", self.kind);
        proxy_status.is_some_and(|told| told.starts_with(&expected) && told.ends_with('"'))
    }

    /// The problem (RFC 9457) is of a type that is the filter's, or registered.
    fn is_problem(&self, status: u16, text: &str) -> bool {
        let problem: Value = serde_json::from_str(text).expect("a problem");
        let own = format!("urn:aqueduct:refused:{}", self.kind);
        let is_known = |told: &str| told == own || told.starts_with("https://iana.org/assignments/http-problem-types#");
        problem["type"].as_str().is_some_and(is_known) && problem["status"] == status
    }
}

fn kinds() -> Vec<&'static str> {
    Kinds::built_in().filters().iter().map(|kind| kind.name).collect()
}

#[test]
fn each_has_a_page_a_line_in_explain_and_an_event_that_its_page_names() {
    for kind in Kinds::built_in().filters() {
        let (name, case) = (kind.name, case(kind.name));
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/reference/{name}.md"));
        let page = fs::read_to_string(page).unwrap_or_else(|_| panic!("{name} has no page"));
        if let Then::Counted(event) = case.then {
            assert!(page.contains(&format!("`{event}`")), "the page of {name} does not name the event `{event}`");
        }
    }
}

#[actix_rt::test]
async fn each_is_explained_and_counted_and_tells_in_http_what_it_refuses() {
    for kind in kinds() {
        let house = House::of(kind).await;
        let asked = TestRequest { method: "GET".into(), url: "/".into(), headers: Vec::new(), from: None };

        let explained = rehearsal::rehearse(&house.proxy.proxy.plan(), &asked).expect("a request").to_string();
        let answer = house.over_http_1().await;

        assert!(explained.contains(&format!("\npasses {kind}\n")), "{explained}");
        match house.case.then {
            Then::Counted(event) => assert!(house.count(event) > 0, "{kind} does not count `{event}`: {answer:?}"),
            Then::Refused(status, field) => {
                house.has_refused((status, field), answer.status, |name| answer.header(name), &answer.text());
            }
        }
    }
}

#[actix_rt::test]
async fn each_tells_over_http_2_what_it_refuses() {
    for kind in kinds() {
        let Then::Refused(status, field) = case(kind).then else { continue };
        let house = House::of(kind).await;

        let answer = house.over_http_2().await;

        house.has_refused((status, field), answer.status, |name| answer.header(name), &answer.text());
    }
}

#[actix_rt::test]
async fn each_tells_by_grpc_what_it_refuses_in_a_head_that_is_all_there_is() {
    for kind in kinds() {
        let case = case(kind);
        let (Then::Refused(status, field), "GET" | "POST") = (case.then, case.method) else { continue };
        let code = match status {
            400 => "13",
            401 => "16",
            403 => "7",
            429 | 502 | 503 => "14",
            _ => "2",
        };
        let house = House::of(kind).await;

        let answer = house.by_grpc().await;

        let told = (answer.status, answer.header("content-type"), answer.header("grpc-status"));
        assert_eq!(told, (200, Some("application/grpc"), Some(code)), "{kind}: {answer:?}");
        assert!(answer.header("grpc-message").is_some_and(|text| text.starts_with("refused: ")), "{kind}: {answer:?}");
        assert!(house.is_named_in(answer.header("proxy-status")), "{kind}: {answer:?}");
        assert!(field.is_none_or(|field| answer.header(field).is_some()), "{kind}: {answer:?}");
        assert_eq!((answer.text().as_str(), &answer.trailers), ("", &None), "{kind}");
        assert_eq!(house.count("refused"), 1, "{kind}");
    }
}
