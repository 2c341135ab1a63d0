//! One request after the other.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use tokio::time::interval;

use super::{Counts, Steps, count, is_over};
use crate::support::{
    client::{self, Client, Response},
    h2::{H2, request_with},
};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(5);

/// GET on a connection that is kept as long as the server keeps it, and POST on one each.
pub async fn ask(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut kept, mut pause) = (None, interval(PAUSE));
    while !is_over(&steps) {
        kept = get(address, kept, &counts).await;
        let request = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let response = client::request(address, request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "/posthello"), "{}", response.head);
        counts.requests.set(counts.requests.get() + 2);
        pause.tick().await;
    }
}

/// Gives the connection back if there may be another request on it.
async fn get(address: SocketAddr, kept: Option<Client>, counts: &Counts) -> Option<Client> {
    const REQUEST: &str = "GET /get HTTP/1.1\r\nHost: a\r\n\r\n";
    if let Some(mut client) = kept {
        if client.try_send(REQUEST).await
            && let Some(response) = client.next_response_to("GET").await
        {
            return go_on(client, &response, counts);
        }
        // A connection that was idle may end as the next request is sent, which is no failure: whoever kept it asks anew
        // (RFC 9112, 9.3.1).
        count(&counts.asked_anew);
    }
    let mut client = Client::connect(address).await;
    client.send(REQUEST).await;
    let response = client.read_response().await;
    go_on(client, &response, counts)
}

/// It is answered as it must be; the connection, unless that says it is the last.
fn go_on(client: Client, response: &Response, counts: &Counts) -> Option<Client> {
    assert_eq!((response.status, response.text().as_str()), (200, "/get"), "{}", response.head);
    if response.header("connection") == Some("close") {
        count(&counts.sent_on);
        return None;
    }
    Some(client)
}

/// The same over HTTP/2, all on one connection, until the server says that there is to be another.
pub async fn ask_over_http2(address: SocketAddr, steps: Steps, counts: Rc<Counts>) {
    let (mut client, mut pause) = (H2::connect(address).await, interval(PAUSE));
    while !is_over(&steps) {
        for (method, path, body, expected) in [("GET", "/get", "", "/get"), ("POST", "/post", "hello", "/posthello")] {
            let length = body.len().to_string();
            let answer = loop {
                if !client.takes_more().await {
                    count(&counts.sent_on);
                    client = H2::connect(address).await;
                }
                let request = request_with(method, path, &[("content-length", &length)]);
                match client.ask_unless_gone(request, body.as_bytes()).await {
                    Some(answer) => break answer,
                    None => {
                        count(&counts.asked_anew);
                        client = H2::connect(address).await;
                    }
                }
            };
            assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{answer:?}");
            count(&counts.requests);
        }
        pause.tick().await;
    }
}
