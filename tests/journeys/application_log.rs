//! What the binary says on stderr never keeps a client waiting.

use std::path::Path;

use super::support::{
    binary::{Binary, write},
    client::{Client, refusing},
};

/// So many lines are more than a pipe and the queue before it hold.
const REQUESTS: u64 = 5_000;

/// A server each of whose requests fails, and is told of.
async fn failing(folder: &Path) -> Binary {
    let text = format!("listen = [\"127.0.0.1:0\"]\n[routes]\n\"/\" = \"http://{}\"\n", refusing());
    write(folder, "edge.toml", text);
    Binary::run(folder, &["--settings", "edge.toml"]).await
}

/// They are answered; nobody reads meanwhile what the server says.
async fn ask(client: &mut Client) {
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 502);
    }
}

#[actix_rt::test]
async fn where_nobody_reads_the_log_clients_are_answered_and_what_was_dropped_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = failing(folder.path()).await;

    ask(&mut server.connect().await).await;

    let (mut told, mut dropped) = (0, 0);
    while told + dropped < REQUESTS {
        let line = server.says_one_of(&["GET / to ", " lines were dropped"]).await;
        match line.split_once(" lines were dropped") {
            Some((before, _)) => dropped += number_at_the_end_of(before),
            None => told += 1,
        }
    }
    assert!(told > 0 && dropped > 0, "{told} told, {dropped} dropped");
    assert_eq!(told + dropped, REQUESTS);
}

fn number_at_the_end_of(text: &str) -> u64 {
    text.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

#[actix_rt::test]
async fn where_nobody_reads_the_log_the_server_ends_when_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = failing(folder.path()).await;
    ask(&mut server.connect().await).await;

    server.signal(libc::SIGTERM);

    assert!(server.ended().await.success());
}
