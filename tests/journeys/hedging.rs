//! Requests that a slow endpoint keeps waiting are sent to another one as well.

use std::{future::poll_fn, time::Duration};

use super::support::{
    client::Response,
    h2_origin,
    origin::{Origin, Script},
    proxy::TestProxy,
    scripts::{DOWN, UP},
    wire::patiently,
};

/// Two endpoints, asked in turn.
fn pair(one: &Origin, other: &Origin, hedge: &str) -> String {
    let servers = format!("servers = [{:?}, {:?}]", one.url(), other.url());
    format!(
        "routes.\"/\" = {{ to = \"pair\", hedge = {hedge} }}\n[upstreams.pair]\n{servers}\nbalance = \"round_robin\"\n"
    )
}

const AT_ONCE: &str = "{ at = \"10ms\", budget = \"100%\" }";

/// Reads a request and never answers it.
fn silent() -> Script {
    Origin::script(|mut conn, _| async move {
        conn.read_request().await;
        conn.wait_closed().await;
    })
}

/// Answers once the other one was asked, too.
fn late(answer: &'static str) -> Script {
    Origin::script(move |mut conn, _| async move {
        conn.read_request().await;
        conn.wait_for("now").await;
        conn.write(answer).await;
        conn.wait_closed().await;
    })
}

/// Takes its time for each answer.
fn slow() -> Script {
    Origin::script(|mut conn, _| async move {
        while conn.next_request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if conn.try_write(UP).await.is_err() {
                return;
            }
        }
    })
}

async fn post(proxy: &TestProxy) -> Response {
    proxy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n.").await
}

/// Asks; the first endpoint, which is [`late`], goes on once the second was asked as well.
async fn get_from_both(proxy: &TestProxy, first: &Origin, second: &Origin) -> Response {
    let both = async {
        second.wait_for_requests(1).await;
        first.tell("now");
    };
    tokio::join!(proxy.get("/"), both).0
}

#[actix_rt::test]
async fn the_answer_of_another_endpoint_is_taken_and_the_slow_ones_connection_is_closed() {
    let (slow, fast) = (silent().start().await, Origin::answering("up").start().await);
    let proxy = TestProxy::with(&pair(&slow, &fast, AT_ONCE)).start().await;

    let answers = [proxy.get("/").await, proxy.get("/").await];

    assert_eq!(answers.map(|answer| answer.text()), ["up", "up"]);
    slow.wait_for_closed(1).await;
    assert_eq!((slow.requests_seen(), fast.requests_seen()), (1, 2));
    let plan = proxy.proxy.plan();
    let members = plan.upstreams["pair"].members();
    let counted = || members.endpoints.iter().map(|endpoint| endpoint.in_flight()).sum::<u32>();
    let given_back = async {
        while counted() > 0 {
            tokio::task::yield_now().await;
        }
    };
    patiently("nothing is in flight", given_back).await;
}

#[actix_rt::test]
async fn who_was_asked_first_may_still_be_the_first_to_answer() {
    let (first, second) = (late(UP).start().await, silent().start().await);
    let proxy = TestProxy::with(&pair(&first, &second, AT_ONCE)).start().await;

    let answer = get_from_both(&proxy, &first, &second).await;

    assert_eq!(answer.text(), "up");
    second.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn an_answer_that_says_it_cannot_does_not_beat_one_that_is_still_to_come() {
    let (first, second) = (late(UP).start().await, Origin::replying(DOWN).start().await);
    let proxy = TestProxy::with(&pair(&first, &second, AT_ONCE)).start().await;

    let answer = get_from_both(&proxy, &first, &second).await;

    assert_eq!((answer.status, answer.text().as_str()), (200, "up"));
}

#[actix_rt::test]
async fn if_both_say_that_they_cannot_the_client_is_told_and_nobody_else_is_asked() {
    let (first, second) = (late(DOWN).start().await, Origin::replying(DOWN).start().await);
    let proxy = TestProxy::with(&pair(&first, &second, AT_ONCE)).start().await;

    let answer = get_from_both(&proxy, &first, &second).await;

    assert_eq!((answer.status, answer.text().as_str()), (503, "down"));
    assert_eq!((first.requests_seen(), second.requests_seen()), (1, 1));
}

#[actix_rt::test]
async fn what_might_do_harm_twice_is_never_sent_twice() {
    let (first, second) = (late(UP).start().await, late(UP).start().await);
    let text = pair(&first, &second, "{ at = \"1ms\", budget = \"100%\" }");
    let proxy = TestProxy::with(&format!("{text}retry.methods = \"any\"\n")).start().await;

    let answered = async {
        first.wait_for_requests(1).await;
        // Whoever would have been asked as well would have been by the time that another request is.
        let other = async {
            second.wait_for_requests(1).await;
            second.tell("now");
            first.tell("now");
        };
        tokio::join!(post(&proxy), other).0
    };
    let (one, other) = tokio::join!(post(&proxy), answered);

    assert_eq!([one.status, other.status], [200, 200]);
    assert_eq!((first.requests_seen(), second.requests_seen()), (1, 1));
}

#[actix_rt::test]
async fn with_one_endpoint_nobody_else_is_asked() {
    let only = late(UP).start().await;
    let text = format!(
        "routes.\"/\" = {{ to = \"only\", hedge = {{ at = \"1ms\", budget = \"100%\" }} }}\n[upstreams.only]\nservers = [{:?}]\n",
        only.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    let asked = async {
        only.wait_for_requests(1).await;
        only.tell("now");
    };
    let (answer, ()) = tokio::join!(proxy.get("/"), asked);

    assert_eq!((answer.status, only.requests_seen()), (200, 1));
}

#[actix_rt::test]
async fn a_client_that_stays_with_its_endpoint_waits_for_it() {
    let (first, second) = (slow().start().await, slow().start().await);
    let text = pair(&first, &second, "{ at = \"1ms\", budget = \"100%\" }");
    let proxy = TestProxy::with(&format!("{text}sticky = {{ cookie = \"srv\" }}\n")).start().await;

    assert_eq!(proxy.get("/").await.status, 200);

    assert_eq!(first.requests_seen() + second.requests_seen(), 1);
}

#[actix_rt::test]
async fn over_http_2_the_stream_of_who_is_too_slow_is_reset() {
    let slow = h2_origin::answering(|mut call| async move {
        let reset = poll_fn(|cx| call.respond.poll_reset(cx)).await;
        assert_eq!(reset.expect("the connection goes on"), h2::Reason::CANCEL);
        call.tell("reset");
    });
    let (slow, fast) = (slow.start().await, h2_origin::saying("up").start().await);
    let proxy = TestProxy::with(&format!("{}protocol = \"h2c\"\n", pair(&slow, &fast, AT_ONCE))).start().await;

    let answers = [proxy.get("/").await, proxy.get("/").await];

    assert_eq!(answers.map(|answer| answer.text()), ["up", "up"]);
    slow.wait_for("reset").await;
}

#[actix_rt::test]
async fn second_requests_end_when_their_budget_does() {
    const REQUESTS: usize = 200;
    // Both are slower than the time after which the other one is asked.
    let (one, other) = (slow().start().await, slow().start().await);
    let proxy = TestProxy::with(&pair(&one, &other, "{ at = \"1ms\", budget = \"5%\" }")).start().await;

    let mut client = proxy.connect().await;
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
    }

    // Ten at once, and one for each twenty.
    let second = one.requests_seen() + other.requests_seen() - REQUESTS;
    assert!((10..=20).contains(&second), "{second}");
}

#[actix_rt::test]
async fn a_percentile_is_known_once_enough_was_seen_and_then_the_slow_are_hedged() {
    let moody = Origin::script(|mut conn, _| async move {
        while let Some((head, _)) = conn.next_request().await {
            if head.contains("/slow") {
                conn.wait_closed().await;
                return;
            }
            conn.write(UP).await;
        }
    });
    let (moody, fast) = (moody.start().await, Origin::answering("up").start().await);
    let proxy = TestProxy::with(&pair(&moody, &fast, "{ at = \"p95\" }")).start().await;

    let mut client = proxy.connect().await;
    for number in 0..102 {
        let path = if number < 100 { "/" } else { "/slow" };
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.read_response().await.text(), "up", "{number}");
    }

    moody.wait_for_closed(1).await;
}

#[actix_rt::test]
async fn an_endpoint_that_is_left_alone_is_not_asked_as_well() {
    let (slow, ill) = (slow().start().await, Origin::replying(DOWN).start().await);
    let text = pair(&slow, &ill, "{ at = \"1ms\", budget = \"100%\" }");
    let more = "outlier = { consecutive = 1, eject = \"1h\", max_eject = \"1h\" }\nretry.on = [\"connect\"]\n";
    let proxy = TestProxy::with(&format!("{text}{more}")).start().await;
    // Posts are not hedged.
    while ill.requests_seen() == 0 {
        post(&proxy).await;
    }
    let seen = slow.requests_seen();

    assert_eq!(proxy.get("/").await.status, 200);

    assert_eq!((slow.requests_seen(), ill.requests_seen()), (seen + 1, 1));
}
