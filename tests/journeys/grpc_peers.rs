//! gRPC end to end: grpcio's client on one side, its server on the other, and this proxy between them.

use std::{fs, path::Path};

use super::support::{
    client::refusing,
    grpc::{Peer, Steady, tell, tell_over_tls},
    proxy::TestProxy,
    tls::Authority,
};

/// Every conversation that needs nobody but a server that lives.
const STORIES: [&str; 11] = [
    "unary",
    "metadata",
    "server_stream",
    "client_stream",
    "both_ways",
    "ten_thousand",
    "large",
    "compressed",
    "hundred",
    "errors",
    "health",
];

/// Every call goes to this endpoint.
fn to(peer: &Peer) -> String {
    format!(
        "[routes]\n\"/\" = \"calls\"\n[upstreams.calls]\nservers = [\"http://{}\"]\nprotocol = \"h2c\"\n",
        peer.address
    )
}

#[actix_rt::test]
async fn the_peers_agree_where_nothing_is_between_them() {
    let mut peer = Peer::start().await;

    tell(peer.address, &STORIES).await;
    tell(peer.address, &["rejected"]).await;
    tell(peer.address, &["deadline"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["cancelled"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["cancelled_in_silence"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["server_dies"]).await;
}

#[actix_rt::test]
async fn calls_of_every_kind_pass() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["unary", "server_stream", "client_stream"]).await;
}

#[actix_rt::test]
async fn each_message_is_answered_before_the_next_is_sent() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["both_ways"]).await;
}

#[actix_rt::test]
async fn a_conversation_may_fall_silent() {
    let peer = Peer::start().await;
    let text = format!("[server.timeouts]\nrequest_body = \"200ms\"\n{}", to(&peer));
    let proxy = TestProxy::with(&text).start().await;

    tell(proxy.address, &["silence"]).await;
}

#[actix_rt::test]
async fn ten_thousand_messages_pass_on_one_stream() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["ten_thousand"]).await;
}

#[actix_rt::test]
async fn a_hundred_calls_share_one_connection() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["hundred"]).await;
}

#[actix_rt::test]
async fn messages_may_be_large_or_compressed() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["large", "compressed"]).await;
}

#[actix_rt::test]
async fn metadata_passes_both_ways_at_the_head_and_behind_the_last_message() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["metadata"]).await;
}

#[actix_rt::test]
async fn an_error_of_the_endpoint_passes_with_all_it_says() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["errors"]).await;
}

#[actix_rt::test]
async fn what_an_endpoint_says_before_it_has_heard_all_is_the_answer() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["rejected"]).await;
}

#[actix_rt::test]
async fn health_is_checked_and_watched_through_the_proxy() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["health"]).await;
}

#[actix_rt::test]
async fn all_of_it_passes_over_tls_on_both_sides() {
    let authority = Authority::new();
    authority.issue("edge", &["localhost"]);
    authority.issue("peer", &["127.0.0.1"]);
    let peer = Peer::start_tls(&authority.path("peer.pem"), &authority.path("peer.key")).await;
    for (protocol, stories) in [("h2", &STORIES[..]), ("auto", &["unary", "both_ways", "errors"])] {
        let text = format!(
            "{}[routes]\n\"/\" = \"calls\"\n[upstreams.calls]\nservers = [\"https://{}\"]\n\
             protocol = \"{protocol}\"\ntls.ca = {:?}\n",
            authority.listener(&["edge"]),
            peer.address,
            authority.path("ca.pem")
        );
        let proxy = TestProxy::with(&text).start().await;

        tell_over_tls("localhost", proxy.address.port(), &authority.path("ca.pem"), stories).await;
    }
}

#[actix_rt::test]
async fn a_deadline_is_passed_on_and_ends_the_call_at_both_ends() {
    let mut peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["deadline"]).await;

    let asked = peer.says("asked to wait").await;
    assert!(asked.starts_with("asked to wait 1."), "{asked}");
    peer.says("nobody waits any more").await;
}

#[actix_rt::test]
async fn what_a_client_cancels_is_cancelled_at_the_endpoint() {
    let mut peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["cancelled"]).await;

    assert_eq!(peer.says("asked to wait").await, "asked to wait", "it has no deadline of its own");
    peer.says("nobody waits any more").await;
}

#[actix_rt::test]
async fn a_call_that_is_given_up_before_any_answer_is_cancelled_at_the_endpoint() {
    let mut peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["cancelled_in_silence"]).await;

    peer.says("nobody waits any more").await;
}

#[actix_rt::test]
async fn an_endpoint_that_dies_within_a_call_is_an_error_and_never_an_end() {
    let peer = Peer::start().await;
    let proxy = TestProxy::with(&to(&peer)).start().await;

    tell(proxy.address, &["server_dies"]).await;
}

#[actix_rt::test]
async fn an_endpoint_that_stops_in_order_fails_no_call() {
    let mut peers = [Peer::start().await, Peer::start().await];
    let text = to(&peers[0]).replace("servers = [", &format!("servers = [\"http://{}\", ", peers[1].address));
    let proxy = TestProxy::with(&text).start().await;
    let mut calls = Steady::start(proxy.address).await;
    // Both have calls by then.
    calls.makes(20).await;

    peers[0].stop().await;
    calls.makes(100).await;
    calls.end().await;

    peers[0].ended().await;
}

#[actix_rt::test]
async fn an_error_of_the_proxy_is_understood() {
    let peer = Peer::start().await;
    let calls = to(&peer);
    for (text, story) in [
        ("[routes]\n\"/else\" = \"http://a\"\n".to_owned(), "no_route"),
        (format!("[routes]\n\"/\" = \"http://{}\"\n", refusing()), "no_endpoint"),
        (format!("[defaults.timeout]\nfirst_byte = \"200ms\"\n{calls}"), "too_slow"),
        (format!("[defaults]\nmax_body = \"64KiB\"\n{calls}"), "too_large"),
    ] {
        let proxy = TestProxy::with(&text).start().await;

        tell(proxy.address, &[story]).await;
    }
}

#[actix_rt::test]
async fn what_the_recipe_says_is_enough() {
    let peer = Peer::start().await;
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("settings/recipes/grpc.toml");
    let recipe = fs::read_to_string(recipe).expect("the recipe");
    let proxy = TestProxy::with(&recipe.replace("localhost:50051", &peer.address.to_string())).start().await;

    tell(proxy.address, &STORIES).await;
}
