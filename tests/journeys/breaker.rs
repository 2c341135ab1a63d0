//! An upstream whose requests fail in the end is asked no more for a while.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aqueduct::settings::Layers;

use super::support::{
    client::{self, Client, Response},
    origin::Origin,
    proxy::TestProxy,
    scripts::{UP, unwell},
    wire::patiently,
};

fn settings(origins: &[&Origin], breaker: &str) -> String {
    let servers: Vec<String> = origins.iter().map(|origin| origin.url()).collect();
    format!("routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = {servers:?}\nbalance = \"round_robin\"\n{breaker}\n")
}

fn is_refused(response: &Response) -> bool {
    let said = response.header("proxy-status");
    said == Some("aqueduct; error=destination_unavailable; details=\"circuit open\"")
}

/// Asks until it is let through again; the first answer that comes of it.
async fn until_asked_again(proxy: &TestProxy) -> Response {
    let asked = async {
        loop {
            let response = proxy.get("/").await;
            if !is_refused(&response) {
                return response;
            }
        }
    };
    patiently("it is asked again", asked).await
}

#[actix_rt::test]
async fn it_opens_when_too_many_fail_and_says_when_to_come_back() {
    let origin = unwell(&Arc::default()).await;
    let breaker = "breaker = { requests = 4, open = \"1h\", max_open = \"1h\" }";
    let proxy = TestProxy::with(&settings(&[&origin], breaker)).start().await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.text(), "down");
    }

    let response = proxy.get("/").await;

    assert!(is_refused(&response), "{}", response.head);
    assert_eq!((response.status, origin.requests_seen()), (503, 4));
    let after: u32 = response.header("retry-after").and_then(|after| after.parse().ok()).expect("it says when");
    assert!((3500..=3600).contains(&after), "{after}");
}

#[actix_rt::test]
async fn it_closes_when_trials_have_shown_that_it_has_recovered() {
    let is_well = Arc::new(AtomicBool::new(false));
    let origin = unwell(&is_well).await;
    let breaker = "breaker = { requests = 4, open = \"50ms\", max_open = \"50ms\", trials = 2 }";
    let proxy = TestProxy::with(&settings(&[&origin], breaker)).start().await;
    for _ in 0..4 {
        proxy.get("/").await;
    }

    assert_eq!(until_asked_again(&proxy).await.text(), "down");
    is_well.store(true, Ordering::SeqCst);
    assert_eq!(until_asked_again(&proxy).await.text(), "up");

    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.text(), "up");
    }
}

#[actix_rt::test]
async fn answers_that_break_off_open_it_and_a_trial_that_does_opens_it_again() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await;
    });
    let origin = origin.start().await;
    let breaker = "breaker = { requests = 4, open = \"300ms\", max_open = \"1h\", trials = 1 }";
    let proxy = TestProxy::with(&settings(&[&origin], breaker)).start().await;
    let cut = async || {
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.read_response().await;
        assert!(is_refused(&response) || !response.complete, "{}", response.head);
        is_refused(&response)
    };
    for _ in 0..4 {
        assert!(!cut().await);
    }
    assert!(cut().await, "it is open");

    patiently("a trial", async { while cut().await {} }).await;

    assert!(cut().await, "it is open again");
    assert_eq!(origin.requests_seen(), 5);
}

#[actix_rt::test]
async fn one_request_at_a_time_is_a_trial_and_a_client_that_leaves_gives_it_up() {
    let origin = Origin::script(|mut conn, number| async move {
        while conn.next_head().await.is_some() {
            match number {
                0..2 => conn.write("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await,
                2 => return conn.wait_closed().await,
                _ => conn.write(UP).await,
            }
        }
    });
    let origin = origin.start().await;
    let breaker = "retry.attempts = 1\nbreaker = { requests = 2, open = \"1ms\", trials = 1 }";
    let proxy = TestProxy::with(&settings(&[&origin], breaker)).start().await;
    for _ in 0..2 {
        proxy.get("/").await;
    }
    let trial = async {
        loop {
            let mut trial = Client::connect(proxy.address).await;
            trial.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            tokio::select! {
                () = origin.wait_for_requests(3) => return trial,
                refused = trial.read_head() => assert!(refused.contains(" 503 ")),
            }
        }
    };
    let trial = patiently("a trial", trial).await;
    assert!(is_refused(&proxy.get("/").await), "there is a trial under way");

    trial.reset();

    assert_eq!(until_asked_again(&proxy).await.text(), "up");
}

#[actix_rt::test]
async fn it_stays_closed_as_long_as_others_help_out() {
    let (ill, well) = (unwell(&Arc::default()).await, Origin::answering("up").start().await);
    let breaker = "outlier.consecutive = 0\nretry.on = [\"503\"]\nretry.budget = \"100%\"\n\
                   breaker = { requests = 2, error_rate = \"10%\" }";
    let proxy = TestProxy::with(&settings(&[&ill, &well], breaker)).start().await;

    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.text(), "up");
    }

    assert_eq!(ill.requests_seen(), 10);
}

#[actix_rt::test]
async fn it_opens_when_nobody_can_be_reached_and_stays_open_over_a_reload() {
    let text = |requests: u32| {
        let server = format!("http://{}", client::refusing());
        format!(
            "routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{server:?}]\n\
             breaker = {{ requests = {requests}, open = \"1h\", max_open = \"1h\" }}\n"
        )
    };
    let proxy = TestProxy::with(&text(3)).start().await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.header("proxy-status"), Some("aqueduct; error=connection_refused"));
    }
    assert!(is_refused(&proxy.get("/").await));

    let other = Layers::new().text("test.toml", text(30)).load().expect("they are good").settings;
    proxy.proxy.reload(other).expect("they are good");

    assert!(is_refused(&proxy.get("/").await));
}
