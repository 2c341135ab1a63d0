//! Filters that stand in one place and hold in many, and what all filters have in common.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_web::App;
use aqueduct::{
    Exchange, Proxy, Response,
    actors::Actors,
    filters::{Chore, Filter, Kind, Site, Step},
    http::{HeaderValue, Refusal, StatusCode, header},
    kinds::Kinds,
    plan::Plan,
    proxy::rehearsal,
    settings::{Layers, Problems, Settings, test::TestRequest},
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::Deserialize;

use super::support::{
    client::{self, Response as Answer},
    origin::Origin,
    proxy::TestProxy,
};

fn settings(text: &str) -> Settings {
    let loaded = Layers::new().text("test.toml", text).load();
    loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings
}

#[actix_rt::test]
async fn a_route_has_what_stands_nearest_to_it() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let by = |name: &str| format!("header_rules = {{ request = {{ set = {{ x-by = \"{name}\" }} }} }}");
    let text = format!(
        "[defaults]\n{}\n[policies.staff]\n{}\n[policies.nothing]\n[routes]\n\"/\" = \"{url}\"\n\
         \"/own\" = {{ to = \"{url}\", use = [\"staff\"], {} }}\n\"/staff\" = {{ to = \"{url}\", use = \"staff\" }}\n\
         \"/empty\" = {{ to = \"{url}\", use = [\"nothing\"] }}\n\
         \"/none\" = {{ to = \"{url}\", use = [\"staff\"], header_rules = false }}\n",
        by("all"),
        by("staff"),
        by("own"),
    );
    let proxy = TestProxy::with(&text).start().await;

    for (path, by) in
        [("/", "x-by: all"), ("/own", "x-by: own"), ("/staff", "x-by: staff"), ("/empty", "x-by: all"), ("/none", "")]
    {
        let seen = proxy.get(path).await.text();
        let line = seen.lines().find(|line| line.starts_with("x-by")).unwrap_or_default().to_owned();
        assert_eq!(line, by, "{path}");
    }
}

#[actix_rt::test]
async fn policies_of_all_routes_are_used_where_a_route_names_none() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let text = format!(
        "[defaults]\nuse = [\"all\"]\n[policies]\nall.header_rules.request.set = {{ x-by = \"all\" }}\nnone = {{}}\n\
         [routes]\n\"/\" = \"{url}\"\n\"/none\" = {{ to = \"{url}\", use = [] }}\n"
    );
    let proxy = TestProxy::with(&text).start().await;

    assert!(proxy.get("/").await.text().contains("x-by: all"));
    assert!(!proxy.get("/none").await.text().contains("x-by"));
}

#[actix_rt::test]
async fn a_policy_with_a_condition_is_for_some_requests_and_comes_on_top_of_others() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let text = format!(
        "[defaults.header_rules]\nrequest.set = {{ x-all = \"1\" }}\nresponse.set = {{ x-all = \"1\" }}\n\
         [policies.beta]\nwhen = \"cookie('beta') == 'on'\"\nheader_rules.request.set = {{ x-beta = \"1\" }}\n\
         header_rules.response.set = {{ x-beta = \"1\" }}\n\
         [policies.posts]\nwhen = \"method == 'POST'\"\nheader_rules.request.set = {{ x-post = \"1\" }}\n\
         [routes]\n\"/\" = {{ to = \"{url}\", use = [\"beta\", \"posts\"] }}\n\
         \"/own\" = {{ to = \"{url}\", use = [\"beta\"], header_rules = false }}\n"
    );
    let proxy = TestProxy::with(&text).start().await;
    let seen = async |head: &str| {
        let answer = proxy.send(format!("{head}\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).await;
        let names = ["x-all: 1", "x-beta: 1", "x-post: 1"].map(|line| answer.text().contains(line));
        (names, [answer.header("x-all").is_some(), answer.header("x-beta").is_some()])
    };

    assert_eq!(seen("GET / HTTP/1.1").await, ([true, false, false], [true, false]));
    assert_eq!(seen("GET / HTTP/1.1\r\nCookie: a=b; beta=on").await, ([true, true, false], [true, true]));
    assert_eq!(seen("POST / HTTP/1.1\r\nCookie: beta=on").await, ([true, true, true], [true, true]));
    assert_eq!(seen("GET /own HTTP/1.1\r\nCookie: beta=on").await, ([false; 3], [false; 2]));
}

#[actix_rt::test]
async fn requests_that_no_route_takes_pass_what_is_for_all_routes() {
    let text = "[defaults]\nsecurity_headers = true\nip_access = { deny = [\"192.0.2.1\"] }\nuse = [\"marked\"]\n\
                [policies.marked]\nheader_rules.response.set = { x-mark = \"1\" }\n[routes]\n\"=/a\" = { respond = {} }\n\
                [[tests]]\nrequest = { url = \"/b\", from = \"192.0.2.1\" }\nexpect = { status = 403 }\n\
                [[tests]]\nrequest = { url = \"/b\" }\nexpect = { status = 404 }\n";
    let proxy = TestProxy::with(text).start().await;

    let answer = proxy.get("/b").await;

    assert_eq!(answer.status, 404);
    assert_eq!((answer.header("x-content-type-options"), answer.header("x-mark")), (Some("nosniff"), Some("1")));
    assert_eq!(rehearsal::run_tests(&proxy.proxy.plan()).map_err(|problems| problems.to_string()), Ok(2));
}

/// Lets nobody in, and counts who has asked.
struct Gate {
    asked: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct GateSettings {
    most: usize,
}

impl Kind for Gate {
    const NAME: &'static str = "gate";
    const SUMMARY: &'static str = "lets so many in, and nobody else";
    type Settings = GateSettings;

    fn build(settings: GateSettings, site: &Site<'_>) -> Result<Step, Problems> {
        let asked = site.keep("asked", |_| true, || AtomicUsize::new(0));
        let most = settings.most;
        struct Counting(Arc<AtomicUsize>, usize);
        impl Filter for Counting {
            fn on_request(&self, _: &mut Exchange) -> Option<Response> {
                if self.0.fetch_add(1, Ordering::Relaxed) < self.1 {
                    return None;
                }
                let refusal = Refusal::new(Gate::NAME, StatusCode::UNAUTHORIZED, "nobody comes in here");
                Some(refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Gate realm=\"x\"")).into())
            }
        }
        let gate = Gate { asked };
        Ok(Step::Plain(Arc::new(Counting(gate.asked, most))))
    }
}

fn with_gate(text: &str) -> Result<Proxy, Problems> {
    let mut kinds = Kinds::built_in();
    kinds.add_filter::<Gate>();
    Proxy::with_kinds(settings(text), kinds)
}

async fn ask(proxy: &Proxy, accept: &str) -> Answer {
    let proxy = proxy.clone();
    let server = actix_test::start(move || App::new().default_service(proxy.clone()));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    client::request(server.addr(), request).await
}

#[actix_rt::test]
async fn a_refusal_is_told_like_any_other_and_seen_by_filters_further_out() {
    let text = "[routes]\n\"/\" = { respond = {}, gate = true, \
                header_rules = { response = { set = { x-seen = \"yes\" } } } }\n";
    let proxy = with_gate(text).expect("good settings");

    let answer = ask(&proxy, "application/json").await;

    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Gate realm=\"x\""));
    assert_eq!(answer.header("x-seen"), Some("yes"));
    let status = answer.header("proxy-status");
    assert_eq!(status, Some("aqueduct; error=http_request_denied; details=\"gate: nobody comes in here\""));
    let problem: serde_json::Value = serde_json::from_str(&answer.text()).expect("a problem");
    assert_eq!(problem["type"], "urn:aqueduct:refused:gate");
    assert_eq!(problem["detail"], "refused: nobody comes in here");
    assert!(proxy.plan().ledger.events().contains(&(("gate", "refused"), 1)));
}

#[actix_rt::test]
async fn a_filter_of_a_policy_is_one_for_all_routes_and_goes_on_over_a_reload() {
    let text = |most: usize| {
        format!(
            "[policies.few.gate]\nmost = {most}\n[routes]\n\"/\" = {{ respond = {{}}, use = \"few\" }}\n\"=/b\" = {{ respond = {{}}, use = \"few\" }}\n"
        )
    };
    let proxy = with_gate(&text(2)).expect("good settings");
    let served = proxy.clone();
    let server = actix_test::start(move || App::new().default_service(served.clone()));
    let get = async |path: &str| client::get(server.addr(), path).await.status;
    assert_eq!((get("/").await, get("/b").await, get("/").await), (200, 200, 401));

    proxy.reload(settings(&text(2))).expect("good settings");
    assert_eq!(get("/b").await, 401, "the same filter");

    proxy.reload(settings(&text(5))).expect("good settings");
    assert_eq!((get("/").await, get("/").await), (200, 401), "another one, with what the first has counted");
}

#[test]
fn a_refusal_is_rehearsed() {
    let mut kinds = Kinds::built_in();
    kinds.add_filter::<Gate>();
    let text = "[policies.shut]\nwhen = \"method == 'GET'\"\ngate = true\n[routes]\n\"/\" = { to = \"http://a\", use = \"shut\" }\n\
                [[tests]]\nrequest = \"GET /\"\nexpect = { status = 401, route = \"/\" }\n";
    let plan = Plan::draw(settings(text), &kinds, None).unwrap_or_else(|problems| panic!("{problems}"));
    let request = TestRequest { method: "GET".into(), url: "/x".into(), headers: Vec::new(), from: None };

    let told = rehearsal::rehearse(&plan, &request).expect("a request").to_string();

    assert!(
        told.ends_with(
            "passes gate (of policies.shut) when method == 'GET'\nanswered here: 401 (refused: nobody comes in here)\n"
        ),
        "{told}"
    );
    assert_eq!(rehearsal::run_tests(&plan).map_err(|problems| problems.to_string()), Ok(1));
}

/// Has something to do as long as it is there.
struct Busy;

struct Work(Arc<AtomicUsize>);

impl Chore for Work {
    fn name(&self) -> &'static str {
        "being busy"
    }

    fn work(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
        struct Busily(Arc<AtomicUsize>);
        impl Drop for Busily {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        async move {
            self.0.fetch_add(1, Ordering::SeqCst);
            let _busy = Busily(Arc::clone(&self.0));
            pending().await
        }
        .boxed_local()
    }
}

static BUSY: std::sync::LazyLock<Arc<AtomicUsize>> = std::sync::LazyLock::new(Arc::default);

impl Kind for Busy {
    const NAME: &'static str = "busy";
    const SUMMARY: &'static str = "is busy";
    type Settings = std::collections::HashMap<String, u32>;

    fn build(_: Self::Settings, site: &Site<'_>) -> Result<Step, Problems> {
        site.chore(Arc::new(Work(Arc::clone(&BUSY))));
        struct Nothing;
        impl Filter for Nothing {}
        Ok(Step::Plain(Arc::new(Nothing)))
    }
}

#[actix_rt::test]
async fn chores_are_done_as_long_as_a_plan_has_them() {
    let text = "[routes]\n\"/\" = { respond = {}, busy = true }\n\"/b\" = { respond = {}, busy = { a = 1 } }\n";
    let mut kinds = Kinds::built_in();
    kinds.add_filter::<Busy>();
    let proxy = Proxy::with_kinds(settings(text), kinds).expect("good settings");
    let are_busy = async |count: usize| {
        while BUSY.load(Ordering::SeqCst) != count {
            tokio::task::yield_now().await;
        }
    };
    let actors = Actors::start();
    actors.do_chores(&proxy);
    are_busy(2).await;

    proxy.reload(settings("[routes]\n\"/\" = { respond = {}, busy = true }\n")).expect("good settings");
    are_busy(1).await;

    drop(actors);
    are_busy(0).await;
}
