//! Large uploads: from a client's socket to an endpoint's without a copy, and nobody sees a difference.

use super::{
    large_bodies::{MIB, content, counted, spliced_of, take_all_files, to},
    support::{
        client::Client,
        metrics::{CLEAR, proxy, says, value},
        origin::{Conn, Origin, Script},
        tls::{self, Authority},
        wire::patiently,
    },
};

const ALL: &str = "aqueduct_request_body_bytes_total";
const SPLICED: &str = "aqueduct_request_body_spliced_bytes_total";

fn head(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n")
}

fn upload(length: usize) -> Vec<u8> {
    [head(length).into_bytes(), content(length)].concat()
}

async fn answer(conn: &mut Conn, text: &str) {
    conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
}

/// Answers with how much has come, if it is what is sent here.
fn counting() -> Script {
    Origin::serving(|_, body| {
        assert!(body == content(body.len()), "{} bytes are not what was sent", body.len());
        let count = body.len().to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}", count.len()).into_bytes()
    })
}

/// Sends so much, as it is, and no more.
async fn sends(client: &mut Client, length: usize) {
    client.send(upload(length)).await;
    assert_eq!(client.read_response().await.text(), length.to_string());
}

#[actix_rt::test]
async fn uploads_of_every_size_arrive_as_they_were_sent_and_connections_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;
    let lengths = [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000, MIB, 3 * MIB + 1, 100_000_000];

    for length in lengths {
        sends(&mut client, length).await;
    }

    let sent = lengths.iter().sum();
    let spliced = spliced_of(admin, "request", sent).await;
    // The first of each comes with its head.
    assert!(spliced > 0.9 * sent as f64, "{spliced} of {sent}");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn an_upload_of_less_than_64_kib_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;

    sends(&mut server.connect().await, 64 * 1024 - 1).await;

    assert_eq!(spliced_of(admin, "request", 64 * 1024 - 1).await, 0.0);
}

#[actix_rt::test]
async fn unix_sockets_take_the_same_way_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start_unix(folder.path().join("origin")).await;
    let listen = "listen = [\"127.0.0.1:0\", \"unix:client\"]\n";
    let (_server, admin) = proxy(folder.path(), &to(&origin).replace(CLEAR, listen)).await;
    let mut client = Client::connect_unix(folder.path().join("client")).await;

    sends(&mut client, MIB).await;
    sends(&mut client, 2 * MIB).await;

    assert!(spliced_of(admin, "request", 3 * MIB).await > 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn what_a_client_sends_in_small_parts_is_passed_on_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = 200;
    let origin = Origin::script(move |mut conn, _| async move {
        conn.read_head().await;
        for number in 0..parts {
            conn.read_exact(1000).await;
            conn.tell(&format!("part {number}"));
        }
        answer(&mut conn, "all of it").await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send(head(parts * 1000)).await;
    for (number, part) in content(parts * 1000).chunks(1000).enumerate() {
        client.send(part).await;
        // Nothing more is sent before it has arrived.
        origin.wait_for(&format!("part {number}")).await;
    }

    assert_eq!(client.read_response().await.text(), "all of it");
    assert!(spliced_of(admin, "request", parts * 1000).await > 0.0);
}

#[actix_rt::test]
async fn an_endpoint_that_reads_late_gets_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.wait_for("read").await;
        assert!(conn.read_exact(8 * MIB).await == content(8 * MIB), "it is not what was sent");
        answer(&mut conn, "all of it").await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    // More of them than there are pipes.
    let mut uploads = Vec::new();
    for _ in 0..45 {
        let mut client = server.connect().await;
        uploads.push(actix_rt::spawn(async move {
            client.send(upload(8 * MIB)).await;
            client.read_response().await.text()
        }));
    }
    origin.wait_for_connections(45).await;

    origin.tell("read");

    for upload in uploads {
        assert_eq!(upload.await.expect("no panic"), "all of it");
    }
    assert!(spliced_of(admin, "request", 45 * 8 * MIB).await > 0.0);
}

#[actix_rt::test]
async fn a_client_that_leaves_in_the_middle_ends_the_upload() {
    for (resets, endpoint_reads) in [(false, true), (true, true), (true, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let origin = Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            if endpoint_reads {
                conn.read_exact(MIB).await;
                conn.tell("half of it");
            } else {
                conn.wait_for("read").await;
            }
            conn.wait_closed().await;
        });
        let origin = origin.start().await;
        let (server, admin) = proxy(folder.path(), &to(&origin)).await;
        let mut client = server.connect().await;

        if endpoint_reads {
            client.send(&upload(2 * MIB)[..head(2 * MIB).len() + MIB]).await;
            origin.wait_for("half of it").await;
        } else {
            client.send(head(200 * MIB)).await;
            client.flood(200 * MIB).await;
        }
        if resets {
            client.reset()
        } else {
            drop(client)
        }

        let series = format!("aqueduct_requests_total{{route=\"/\",upstream={:?},class=\"4xx\"}}", origin.url());
        says(admin, &series, 1.0).await;
        origin.tell("read");
        origin.wait_for_closed(1).await;
        assert!(counted(admin, SPLICED).await > 0.0);
    }
}

#[actix_rt::test]
async fn a_client_that_stalls_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move { conn.wait_closed().await }).start().await;
    let more = "server.timeouts.request_body = \"200ms\"\n";
    let (server, admin) = proxy(folder.path(), &(to(&origin) + more)).await;
    let mut client = server.connect().await;

    client.send(&upload(2 * MIB)[..MIB]).await;

    assert_eq!(client.read_response().await.status, 408);
    client.wait_closed().await;
    origin.wait_for_closed(1).await;
    assert!(counted(admin, SPLICED).await > 0.0);
}

#[actix_rt::test]
async fn a_refusal_that_comes_early_is_read_and_the_upload_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.read_exact(MIB).await;
        conn.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n").await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.try_send([head(200 * MIB).into_bytes(), content(3 * MIB)].concat()).await;
    let response = client.read_response().await;

    assert_eq!((response.status, &*response.text()), (413, "no\n"));
    client.wait_closed().await;
    assert!(counted(admin, SPLICED).await > 0.0);
}

#[actix_rt::test]
async fn behind_an_answer_that_comes_early_and_the_rest_of_the_upload_is_the_next_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        if number == 0 {
            conn.read_exact(190_000).await;
            answer(&mut conn, "early").await;
            conn.wait_closed().await;
        } else {
            answer(&mut conn, "next").await;
        }
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;
    let upload = upload(200_000);
    let (begun, rest) = upload.split_at(upload.len() - 10_000);

    client.send(begun).await;
    assert_eq!(client.read_response().await.text(), "early");
    origin.wait_for_closed(1).await;
    client.send([rest, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"].concat()).await;

    assert_eq!(client.read_response().await.text(), "next");
    assert!(counted(admin, SPLICED).await > 0.0);
    assert!(origin.request(1).starts_with("GET / HTTP/1.1\r\n"), "{}", origin.request(1));
}

#[actix_rt::test]
async fn an_answer_that_comes_while_the_upload_is_under_way_is_passed_on_as_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n")).await;
        for _ in 0..MIB / 4096 {
            let part = conn.read_exact(4096).await;
            conn.write(part).await;
        }
        conn.next_head().await;
        answer(&mut conn, "kept").await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send(head(MIB)).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 200 "));
    for part in content(MIB).chunks(4096) {
        client.send(part).await;
        assert!(client.read_exact(4096).await == part, "it is not what was sent");
    }
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;

    assert_eq!(client.read_response().await.text(), "kept");
    assert!(spliced_of(admin, "request", MIB).await > 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn an_endpoint_that_breaks_off_is_told_of_and_not_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.read_exact(MIB).await;
        conn.reset();
    });
    let origin = origin.start().await;
    let (server, _) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.try_send([head(200 * MIB).into_bytes(), content(3 * MIB)].concat()).await;

    assert_eq!(client.read_response().await.status, 502);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn what_comes_behind_an_upload_is_the_next_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send([upload(MIB), upload(200_000), upload(3), upload(2 * MIB)].concat()).await;

    for length in [MIB, 200_000, 3, 2 * MIB] {
        assert_eq!(client.read_response().await.text(), length.to_string());
    }
    assert!(spliced_of(admin, "request", 3 * MIB + 200_003).await > 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn leave_is_given_before_anything_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send(head(MIB).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 100 "));
    client.send(content(MIB)).await;

    assert_eq!(client.read_response().await.text(), MIB.to_string());
    assert!(spliced_of(admin, "request", MIB).await > 0.0);
}

#[actix_rt::test]
async fn what_is_kept_or_looked_at_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let copies = Origin::answering("copied").start().await;
    let (url, copy) = (origin.url(), copies.url());
    let routes = format!(
        "[routes]\n\"/up\" = {{ to = {url:?}, mirror = {{ to = {copy:?}, max_body = \"1MiB\" }} }}\n\
         \"/chunks\" = {url:?}\n"
    );
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}server.workers = 1\n{routes}")).await;
    let mut client = server.connect().await;

    sends(&mut client, 200_000).await;
    copies.wait_for_requests(1).await;
    client.send("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n").await;
    client.send([content(200_000), b"\r\n0\r\n\r\n".to_vec()].concat()).await;

    assert_eq!(client.read_response().await.text(), "200000");
    assert_eq!(spliced_of(admin, "request", 400_000).await, 0.0);
}

#[actix_rt::test]
async fn what_a_client_encrypts_is_read_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let listen = format!(
        "listen = [{{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\nserver.workers = 1\nroutes.\"/\" = {:?}\n{}",
        origin.url(),
        authority.certificates(&["shop"])
    );
    let (server, admin) = proxy(folder.path(), &listen).await;
    let mut client = tls::connect(server.address, "shop.example", authority.client()).await;

    sends(&mut client, 3 * MIB).await;

    assert_eq!(spliced_of(admin, "request", 3 * MIB).await, 0.0);
}

#[actix_rt::test]
async fn where_there_is_no_pipe_to_be_had_an_upload_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = counting().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let (mut client, mut operator) = (server.connect().await, Client::connect(admin).await);
    sends(&mut client, 5).await;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    operator.send(&ask).await;
    operator.read_response().await;

    take_all_files(&server);
    sends(&mut client, 5 * MIB).await;

    let labels = format!("{{route=\"/\",upstream={:?}}}", origin.url());
    let sent = async {
        loop {
            operator.send(&ask).await;
            let told = operator.read_response().await.text();
            if value(&told, &format!("{ALL}{labels}")) == Some((5 * MIB + 5) as f64) {
                return value(&told, &format!("{SPLICED}{labels}"));
            }
        }
    };
    assert_eq!(patiently("all is counted", sent).await, Some(0.0));
}
