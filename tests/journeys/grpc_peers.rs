//! gRPC end to end: grpcio's client on one side, its server on the other, and this proxy between them.

use super::support::{
    client::refusing,
    grpc::{Peer, tell, tell_over_tls},
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

#[actix_rt::test]
async fn the_peers_agree_where_nothing_is_between_them() {
    let mut peer = Peer::start().await;

    tell(peer.address, &STORIES).await;
    tell(peer.address, &["deadline"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["cancelled"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["cancelled_in_silence"]).await;
    peer.says("nobody waits any more").await;
    tell(peer.address, &["server_dies"]).await;
}

#[actix_rt::test]
async fn an_error_of_the_proxy_is_understood() {
    for (text, story) in [
        ("[routes]\n\"/else\" = \"http://a\"\n".to_owned(), "no_route"),
        (format!("[routes]\n\"/\" = \"http://{}\"\n", refusing()), "no_endpoint"),
    ] {
        let proxy = TestProxy::with(&text).start().await;

        tell(proxy.address, &[story]).await;
    }
}

#[actix_rt::test]
async fn it_is_understood_over_tls() {
    let authority = Authority::new();
    authority.issue("edge", &["localhost"]);
    let text = format!("{}[routes]\n\"/else\" = \"http://a\"\n", authority.listener(&["edge"]));
    let proxy = TestProxy::with(&text).start().await;

    tell_over_tls("localhost", proxy.address.port(), &authority.path("ca.pem"), &["no_route"]).await;
}
