//! A request that is not sent: what would become of it. `check` runs `[[tests]]` through it, `explain` shows it.

use std::{cell::RefCell, fmt, net::IpAddr, sync::Arc};

use futures_util::FutureExt;

use super::{
    decision::{self, Verdict},
    intake::{self, Limits},
};
use crate::{
    exchange::{Client, Exchange},
    filters::{self, End},
    http::{
        Error, HeaderMap, HeaderName, HeaderValue, RequestBody, Response, StatusCode, Uri, Version, downstream::Peer,
        header, request_line,
    },
    plan::{Plan, Route, Side, StepName, mirror::Mirror},
    routing::{Explanation, Match, explain},
    settings::{
        HedgeSettings, Problem, Problems, problem,
        test::{TestExpectation, TestRequest, TestSettings},
    },
};

/// What would become of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The route that takes it; none if it is refused before, or if there is none.
    pub route: Option<Arc<str>>,
    /// The upstream it goes to.
    pub upstream: Option<Arc<str>>,
    /// How its endpoints are found, if they are.
    pub found_by: Option<String>,
    /// Path and query the endpoint gets.
    pub path: Option<String>,
    /// Where it may go instead, if the route is split.
    pub sides: Vec<PossibleSide>,
    /// When an endpoint is asked as well, if one is.
    pub hedge: Option<HedgeSettings>,
    /// Who gets a copy.
    pub mirror: Option<PossibleCopy>,
    /// The status, where it is the proxy that answers.
    pub status: Option<StatusCode>,
    /// The `Location` of a redirect.
    pub location: Option<String>,
    /// The `[tls.NAME]` that sends it to https, before any route is asked.
    pub redirected_by: Option<Arc<str>>,
    /// The filters it passes, or would if none of them turned it back.
    pub filters: Vec<StepName>,
    /// What each of these has to say of it.
    pub said: Vec<Vec<String>>,
    /// One of them has to ask somebody first, so this is what becomes of it if all of them let it pass.
    pub is_undecided: bool,
    /// Why it was refused.
    pub refused: Option<String>,
    /// Why the other routes did not take it.
    pub explanation: Option<Explanation>,
}

/// One side of a split: so many of all requests go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossibleSide {
    /// The upstream.
    pub upstream: Arc<str>,
    /// Path and query the endpoint gets.
    pub path: String,
    /// Its share among the others.
    pub weight: u32,
}

/// Who gets copies of so many of all requests.
#[derive(Debug, Clone, PartialEq)]
pub struct PossibleCopy {
    /// The upstream.
    pub upstream: Arc<str>,
    /// Path and query the endpoint gets.
    pub path: String,
    /// The part of all requests.
    pub sample: f64,
}

/// What would become of the request, by the same steps a live one takes.
///
/// # Errors
/// Why this is no request at all.
pub fn rehearse(plan: &Plan, request: &TestRequest) -> Result<Outcome, String> {
    let nothing = Outcome {
        route: None,
        upstream: None,
        found_by: None,
        path: None,
        sides: Vec::new(),
        hedge: None,
        mirror: None,
        status: None,
        location: None,
        redirected_by: None,
        filters: Vec::new(),
        said: Vec::new(),
        is_undecided: false,
        refused: None,
        explanation: None,
    };
    let limits = Limits::of(&plan.settings);
    let taken_in = exchange(request, &limits)?.and_then(|mut exchange| {
        intake::check(&mut exchange, &limits)?;
        exchange.is_rehearsal = true;
        Ok(exchange)
    });
    let mut exchange = match taken_in {
        Ok(exchange) => exchange,
        Err(error) => return Ok(Outcome { status: Some(error.status()), refused: Some(error.to_string()), ..nothing }),
    };
    if let Some((entrance, location)) = decision::to_https(plan, &exchange) {
        let (status, redirected_by) = (Some(StatusCode::PERMANENT_REDIRECT), Some(Arc::clone(&entrance.name)));
        return Ok(Outcome { status, location: Some(location), redirected_by, ..nothing });
    }
    let explanation = Some(explain(&plan.routes, &decision::lookup(&exchange)));
    let matched = decision::route(plan, &exchange);
    let route = matched.as_ref().map(|matched| &matched.entry.value);
    exchange.taken = matched.as_ref().map_or(exchange.taken, |matched| matched.prefix_len);
    let (steps, filters) = match route {
        Some(route) => (&route.filters, route.filter_names.clone()),
        None => (&plan.fallback.steps, plan.fallback.names.clone()),
    };
    let said = steps.iter().map(|step| step.explain(&exchange)).collect();
    let nothing = Outcome { route: route.map(|route| route.name.clone()), filters, said, explanation, ..nothing };
    let end = RehearsedEnd { plan, matched: matched.as_ref(), nothing, outcome: RefCell::new(None) };
    let response = filters::pass(steps, &mut exchange, &end).now_or_never();
    let RehearsedEnd { nothing, outcome, .. } = end;
    Ok(match (response, outcome.into_inner()) {
        (_, Some(outcome)) => outcome,
        // A filter has answered.
        (Some(Response { status, headers, .. }), None) => {
            let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
            Outcome { status: Some(status), location: location.map(str::to_owned), ..nothing }
        }
        (None, None) => {
            let outcome = ended(plan, matched.as_ref(), &exchange, nothing);
            Outcome { is_undecided: true, ..outcome }
        }
    })
}

/// Where the passage ends if nothing is sent.
struct RehearsedEnd<'r> {
    plan: &'r Plan,
    matched: Option<&'r Match<'r, Route>>,
    nothing: Outcome,
    outcome: RefCell<Option<Outcome>>,
}

impl End for RehearsedEnd<'_> {
    async fn send(&self, exchange: &mut Exchange) -> Response {
        let outcome = ended(self.plan, self.matched, exchange, self.nothing.clone());
        self.outcome.replace(Some(outcome));
        Response::new(StatusCode::OK)
    }

    fn show(&self, _: &mut Exchange, refused: Response) -> Response {
        let Some(error) = refused.cause else { return refused };
        let (status, why) = (error.status(), Some(error.to_string()));
        let outcome = Outcome { status: Some(status), refused: why, ..self.nothing.clone() };
        self.outcome.replace(Some(outcome));
        Response::new(status)
    }
}

/// What becomes of a request that no filter turns back.
fn ended(plan: &Plan, matched: Option<&Match<'_, Route>>, exchange: &Exchange, nothing: Outcome) -> Outcome {
    let Some(matched) = matched else { return Outcome { status: Some(StatusCode::NOT_FOUND), ..nothing } };
    let route = &matched.entry.value;
    let copy = |mirror: &Arc<Mirror>| PossibleCopy {
        upstream: Arc::clone(&mirror.upstream.name),
        path: decision::target(matched, &mirror.base, exchange),
        sample: mirror.sample,
    };
    let (hedge, mirror) = (route.hedge.as_ref().map(|hedge| hedge.written), route.mirror.as_ref().map(copy));
    match decision::verdict(matched, exchange) {
        Verdict::Forward { upstream, target } => {
            let found_by = plan.discovery(upstream).map(|discovery| discovery.source.to_string());
            Outcome { upstream: Some(upstream.name.clone()), path: Some(target), found_by, hedge, mirror, ..nothing }
        }
        Verdict::Split(split) => {
            let possible = |side: &Side| PossibleSide {
                upstream: Arc::clone(&side.upstream.name),
                path: decision::target(matched, &side.base, exchange),
                weight: side.weight,
            };
            Outcome { sides: split.sides().iter().map(possible).collect(), hedge, mirror, ..nothing }
        }
        Verdict::Redirect { status, location } => Outcome { status: Some(status), location: Some(location), ..nothing },
        Verdict::Respond(answer) => Outcome { status: Some(answer.status), ..nothing },
    }
}

/// Runs every test of the settings.
///
/// # Errors
/// Each expectation that does not hold, at its place in the file.
pub fn run_tests(plan: &Plan) -> Result<usize, Problems> {
    let mut problems = Problems::default();
    for (index, test) in plan.settings.tests.iter().enumerate() {
        for problem in run_test(plan, index, test) {
            problems.push(problem);
        }
    }
    problems.none_or(plan.settings.tests.len())
}

fn run_test(plan: &Plan, index: usize, test: &TestSettings) -> Vec<Problem> {
    let index = index.to_string();
    let at = |keys: &[&str], what: String| Problem::at(["tests", &index].iter().chain(keys).copied(), what);
    let outcome = match rehearse(plan, &test.request) {
        Ok(outcome) => outcome,
        Err(what) => return vec![at(&["request"], what)],
    };
    let name = test.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let wrong = |(key, expected, came): (&str, String, Option<String>)| {
        let came = came.map_or_else(|| format!("no {key}"), |came| format!("`{came}`"));
        let refused = outcome.refused.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        at(&["expect", key], format!("expected {key} `{expected}`, but it is {came}{refused}{name}"))
            .help(format!("aqueduct explain {} {}", test.request.method, test.request.url))
    };
    differences(&test.expect, &outcome).into_iter().map(wrong).collect()
}

/// What was expected and did not come: key, expected, actual.
fn differences(expect: &TestExpectation, outcome: &Outcome) -> Vec<(&'static str, String, Option<String>)> {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let (upstream, path) = if outcome.sides.is_empty() {
        (text(&outcome.upstream), outcome.path.clone())
    } else {
        one_of_the_sides(expect, &outcome.sides)
    };
    let pairs = [
        ("route", expect.route.clone(), text(&outcome.route)),
        ("upstream", expect.upstream.clone(), upstream),
        ("path", expect.path.clone(), path),
        ("status", expect.status.map(|status| status.to_string()), outcome.status.map(|s| s.as_u16().to_string())),
        ("location", expect.location.clone(), outcome.location.clone()),
    ];
    let differs = |(key, expected, came): (_, Option<String>, Option<String>)| {
        let expected = expected.filter(|expected| came.as_ref() != Some(expected))?;
        Some((key, expected, came))
    };
    pairs.into_iter().filter_map(differs).collect()
}

/// Of a split any side may be the upstream that was expected. The path must be the one there, or without an upstream that of
/// every side.
fn one_of_the_sides(expect: &TestExpectation, sides: &[PossibleSide]) -> (Option<String>, Option<String>) {
    let is_meant = |side: &&PossibleSide| expect.upstream.as_deref().is_none_or(|name| *side.upstream == *name);
    let mut meant = sides.iter().filter(is_meant).peekable();
    if meant.peek().is_none() {
        let names: Vec<_> = sides.iter().map(|side| &*side.upstream).collect();
        return (Some(names.join("` or `")), None);
    }
    let differs = |side: &&PossibleSide| expect.path.as_ref().is_some_and(|path| side.path != *path);
    let path = meant.find(differs).map(|side| side.path.clone()).or_else(|| expect.path.clone());
    (expect.upstream.clone(), path)
}

/// The request as the server would read it, what it would refuse at sight included.
fn exchange(request: &TestRequest, limits: &Limits) -> Result<Result<Exchange, Error>, String> {
    let line = request_line::method(request.method.as_bytes())
        .and_then(|method| request_line::check_target(request.url.as_bytes(), limits.max_uri).map(|()| method));
    let method = match line {
        Ok(method) => method,
        Err(error) => return Ok(Err(error)),
    };
    let Ok(uri) = request.url.parse::<Uri>() else {
        return Ok(Err(Error::Malformed { what: "a target that is no URI" }));
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("`{name}` is not a field name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("`{value}` is not a field value"))?;
        headers.append(name, value);
    }
    if !headers.contains_key(header::HOST) {
        let host = uri.authority().map_or("localhost", |authority| authority.as_str());
        let host = HeaderValue::from_str(host).map_err(|_| format!("`{host}` is not a host"))?;
        headers.insert(header::HOST, host);
    }
    let from = request.from.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    // The request line and the empty line have two spaces, a version and two line ends.
    let line = request.method.len() + request.url.len() + " HTTP/1.1\r\n\r\n".len() + 1;
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if line + fields.sum::<usize>() > limits.max_head {
        return Ok(Err(Error::HeadTooLarge { what: "too many bytes" }));
    }
    let secure = uri.scheme_str() == Some("https");
    let client = Client::at(Peer::Tcp((from, 0).into()), secure);
    Ok(Ok(Exchange::new(method, uri, Version::HTTP_11, headers, RequestBody::empty(), client)))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(why), None) = (&self.refused, &self.explanation) {
            return writeln!(f, "refused: {} ({why})", self.status.map_or(0, |status| status.as_u16()));
        }
        if let Some(name) = &self.redirected_by {
            writeln!(f, "no route is asked: `tls.{name}.redirect_http` sends this host to https")?;
        }
        if let Some(explanation) = &self.explanation {
            write!(f, "{explanation}")?;
        }
        self.passage(f)?;
        if let Some(why) = &self.refused {
            return writeln!(f, "answered here: {} ({why})", self.status.map_or(0, |status| status.as_u16()));
        }
        let sum: f64 = self.sides.iter().map(|side| f64::from(side.weight)).sum();
        for PossibleSide { upstream, path, weight } in &self.sides {
            let percent = (f64::from(*weight) * 10_000.0 / sum).round() / 100.0;
            writeln!(f, "upstream `{upstream}` gets {path} ({percent}% of requests)")?;
        }
        match (&self.upstream, &self.path) {
            _ if !self.sides.is_empty() => self.besides(f),
            (Some(upstream), Some(path)) => {
                writeln!(f, "upstream `{upstream}` gets {path}")?;
                self.found_by.iter().try_for_each(|source| writeln!(f, "  endpoints are found by {source}"))?;
                self.besides(f)
            }
            _ => {
                let to = self.location.as_deref().map(|location| format!(" to {location}")).unwrap_or_default();
                writeln!(f, "answered here: {}{to}", self.status.map_or_else(String::new, |status| status.to_string()))
            }
        }
    }
}

impl Outcome {
    /// The filters, and where those of other places stand.
    fn passage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (StepName { kind, at, when }, said) in self.filters.iter().zip(&self.said) {
            let place = problem::name(&at[..at.len() - 1]);
            let of_others = if at[0] == "routes" { String::new() } else { format!(" (of {place})") };
            let when = when.as_deref().map(|when| format!(" when {when}")).unwrap_or_default();
            writeln!(f, "passes {kind}{of_others}{when}")?;
            said.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        if self.is_undecided {
            writeln!(f, "somebody else is asked whether it may; if so:")?;
        }
        Ok(())
    }

    /// Who else is asked.
    fn besides(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(HedgeSettings { at, budget }) = &self.hedge {
            writeln!(f, "another endpoint as well at {at} ({budget} of requests at most)")?;
        }
        match &self.mirror {
            Some(PossibleCopy { upstream, path, sample }) => {
                let percent = (sample * 10_000.0).round() / 100.0;
                writeln!(f, "upstream `{upstream}` gets a copy as {path} ({percent}% of requests)")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds::Kinds, settings::Layers};

    #[test]
    fn a_test_may_ask_for_what_is_refused_at_sight() {
        let text = r##"
            [routes]
            "/" = "http://localhost:8000"
            [[tests]]
            request = { url = "/", headers = { host = ["a", "b"] } }
            expect = { status = 400 }
            [[tests]]
            request = { url = "/", headers = { transfer-encoding = "gzip" } }
            expect = { status = 501 }
            [[tests]]
            request = { method = "CONNECT", url = "a:443" }
            expect = { status = 405 }
            [[tests]]
            request = { url = "/a#b" }
            expect = { status = 400 }
            [[tests]]
            request = { url = "/", headers = { a = "LONG" } }
            expect = { status = 431 }
            [server.http]
            max_head = "200B"
        "##;
        let loaded = Layers::new().text("test.toml", text.replace("LONG", &"x".repeat(200))).load();
        let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
        let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));

        let run = run_tests(&plan).map_err(|problems| problems.to_string());

        assert_eq!(run, Ok(5));
    }

    #[test]
    fn who_else_is_asked_is_explained() {
        let text = r#"
            [routes]
            "/" = { to = "web", hedge = { at = "p99" }, mirror = { to = "http://next/v2", sample = "2.5%" } }
            [upstreams.web]
            servers = ["http://a", "http://b"]
        "#;
        let loaded = Layers::new().text("test.toml", text).load();
        let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
        let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));
        let request = TestRequest { method: "GET".into(), url: "/x?y".into(), headers: Vec::new(), from: None };

        let told = rehearse(&plan, &request).expect("a request").to_string();

        let expected = "upstream `web` gets /x?y\n\
                        another endpoint as well at p99 (5% of requests at most)\n\
                        upstream `http://next/v2` gets a copy as /v2/x?y (2.5% of requests)\n";
        assert!(told.ends_with(expected), "{told}");
    }

    #[test]
    fn a_test_of_a_split_may_expect_any_side_with_its_path() {
        let text = r#"
            [routes]
            "/" = { to = { "http://a" = 3, "http://b/v2" = 1, "http://c/v3" = 0 } }
        "#;
        let test = |expect: &str| {
            let text = format!("{text}\n[[tests]]\nrequest = \"GET /x\"\nexpect = {{ {expect} }}\n");
            let loaded = Layers::new().text("test.toml", text).load();
            let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
            let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));
            run_tests(&plan).err().map_or_else(String::new, |problems| problems.0[0].what.clone())
        };

        for (expect, told) in [
            ("route = '/'", ""),
            ("upstream = 'http://a'", ""),
            ("upstream = 'http://b/v2', path = '/v2/x'", ""),
            ("upstream = 'http://b/v2', path = '/x'", "expected path `/x`, but it is `/v2/x`"),
            ("path = '/x'", "expected path `/x`, but it is `/v2/x`"),
            ("upstream = 'http://c/v3'", "expected upstream `http://c/v3`, but it is `http://a` or `http://b/v2`"),
            ("status = 200", "expected status `200`, but it is no status"),
        ] {
            assert_eq!(test(expect), told, "{expect}");
        }
    }
}
