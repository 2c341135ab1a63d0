//! Large bodies: from an endpoint's socket to a client's without a copy, and nobody sees a difference.

use std::{
    net::SocketAddr,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    App,
    body::{BodySize, BoxBody, MessageBody},
    dev::Service,
};
use aqueduct::{EdgeServer, Proxy, plan::ListenAddress};
use bytes::Bytes;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpSocket;

use super::support::{
    binary::Binary,
    client::{self, Client},
    metrics::{CLEAR, metrics, proxy, says, value},
    origin::{Origin, Script},
    tls::{self, Authority},
    wire::{Socket, patiently},
};

const SPLICED: &str = "aqueduct_response_body_spliced_bytes_total";
pub const MIB: usize = 1024 * 1024;

/// Content that is nowhere the same a few pages on.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let block: Vec<u8> = std::iter::repeat_with(step).take(65_521).collect();
    let mut content = block.repeat(length / block.len() + 1);
    content.truncate(length);
    content
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

fn answer(length: usize) -> Vec<u8> {
    [head(length).into_bytes(), content(length)].concat()
}

/// Answers `/LENGTH` with as much.
fn of_any_length() -> Script {
    Origin::serving(|head, _| {
        let length = head.split(['/', ' ']).nth(2).and_then(|length| length.parse().ok());
        answer(length.expect("a length is asked for"))
    })
}

fn asking(length: usize) -> String {
    format!("GET /{length} HTTP/1.1\r\nHost: shop.example\r\n\r\n")
}

/// Gets so much, as it is, and no more.
async fn gets(client: &mut Client, length: usize) {
    client.send(asking(length)).await;
    let response = client.read_response().await;
    assert!(response.complete, "{length}: {}", response.body.len());
    assert!(response.body == content(length), "{length} is not what was sent");
}

pub fn to(origin: &Origin) -> String {
    format!("{CLEAR}server.workers = 1\nroutes.\"/\" = {:?}\n", origin.url())
}

/// What was counted in all under this name.
pub async fn counted(admin: SocketAddr, name: &str) -> f64 {
    let told = metrics(admin).await;
    told.lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .map(|line| value(line, line.rsplit_once(' ').expect("a value").0).expect("a number"))
        .sum()
}

/// Waits until so many bytes of bodies are counted, of a `"request"` or of a `"response"`, and tells how many of them went past memory.
pub async fn spliced_of(admin: SocketAddr, of: &str, bytes: usize) -> f64 {
    let all = format!("aqueduct_{of}_body_bytes_total");
    patiently("all is counted", async { while counted(admin, &all).await < bytes as f64 {} }).await;
    assert_eq!(counted(admin, &all).await, bytes as f64);
    counted(admin, &format!("aqueduct_{of}_body_spliced_bytes_total")).await
}

#[actix_rt::test]
async fn bodies_of_every_size_come_as_they_were_sent_and_connections_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;
    let lengths = [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000, MIB, 3 * MIB + 1, 100_000_000];

    for length in lengths {
        gets(&mut client, length).await;
    }

    let sent = lengths.iter().sum();
    let spliced = spliced_of(admin, "response", sent).await;
    // The first of each comes with its head.
    assert!(spliced > 0.9 * sent as f64, "{spliced} of {sent}");
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn a_body_of_less_than_64_kib_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;

    gets(&mut server.connect().await, 64 * 1024 - 1).await;

    assert_eq!(spliced_of(admin, "response", 64 * 1024 - 1).await, 0.0);
}

#[actix_rt::test]
async fn unix_sockets_take_the_same_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start_unix(folder.path().join("origin")).await;
    let listen = "listen = [\"127.0.0.1:0\", \"unix:client\"]\n";
    let (_server, admin) = proxy(folder.path(), &to(&origin).replace(CLEAR, listen)).await;
    let mut client = Client::connect_unix(folder.path().join("client")).await;

    gets(&mut client, MIB).await;
    gets(&mut client, 2 * MIB).await;

    assert!(spliced_of(admin, "response", 3 * MIB).await > 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

/// A client whose kernel takes little at once.
async fn narrow(address: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket takes options");
    Client::over(Socket::Tcp(socket.connect(address).await.expect("it listens")))
}

#[actix_rt::test]
async fn slow_readers_get_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    // More of them than there are pipes.
    let mut clients = Vec::new();
    for _ in 0..45 {
        let mut client = narrow(server.address).await;
        client.send(asking(MIB)).await;
        clients.push(client);
    }
    origin.wait_for_requests(45).await;

    for number in [0, 44] {
        let response = clients[number].read_response().await;
        assert!(response.body == content(MIB), "{number}: it is not what was sent");
    }

    assert_eq!(server.get("/5").await.body, content(5));
    assert!(counted(admin, SPLICED).await > 0.0);
}

#[actix_rt::test]
async fn what_an_endpoint_sends_in_small_parts_comes_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        while conn.next_head().await.is_some() {
            conn.write(head(300_000)).await;
            conn.dribble(content(300_000), 1000).await;
        }
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    gets(&mut client, 300_000).await;
    gets(&mut client, 300_000).await;

    assert!(spliced_of(admin, "response", 600_000).await > 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

#[actix_rt::test]
async fn what_comes_after_a_fast_beginning_is_not_waited_for_until_there_is_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        let answer = content(4 * MIB);
        conn.read_head().await;
        conn.write(head(answer.len())).await;
        conn.write(&answer[..2 * MIB]).await;
        for (number, part) in answer[2 * MIB..3 * MIB].chunks(MIB / 8).enumerate() {
            conn.wait_for(&format!("part {number}")).await;
            conn.write(&part[..1000]).await;
            conn.wait_for(&format!("rest of {number}")).await;
            conn.write(&part[1000..]).await;
        }
        conn.write(&answer[3 * MIB..]).await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send(asking(4 * MIB)).await;
    client.read_head().await;
    let mut came = client.read_exact(2 * MIB).await;
    for number in 0..8 {
        origin.tell(&format!("part {number}"));
        came.extend(client.read_exact(1000).await);
        origin.tell(&format!("rest of {number}"));
        came.extend(client.read_exact(MIB / 8 - 1000).await);
    }
    came.extend(client.read_exact(MIB).await);

    assert!(came == content(4 * MIB));
    assert!(spliced_of(admin, "response", came.len()).await > 3.9 * MIB as f64);
}

#[actix_rt::test]
async fn a_client_sees_that_the_rest_is_missing() {
    for resets in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let origin = Origin::script(move |mut conn, _| async move {
            conn.read_head().await;
            conn.write(&answer(2 * MIB)[..MIB]).await;
            conn.wait_for("go on").await;
            if resets { conn.reset() } else { conn.close() }
        });
        let origin = origin.start().await;
        let (server, admin) = proxy(folder.path(), &to(&origin)).await;
        let mut client = server.connect().await;

        client.send(asking(2 * MIB)).await;
        client.read_head().await;
        let first = client.read_exact(MIB - 100).await;
        origin.tell("go on");
        let rest = client.read_to_end().await;

        assert!(first == content(2 * MIB)[..MIB - 100] && rest.len() < 200, "{}", rest.len());
        assert!(spliced_of(admin, "response", first.len() + rest.len()).await > 0.0);
        assert_eq!(counted(admin, "aqueduct_errors_total").await, 1.0);
    }
}

#[actix_rt::test]
async fn what_comes_behind_a_body_is_nobodys_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, number| async move {
        while conn.next_head().await.is_some() {
            conn.write(answer(MIB)).await;
            if number == 0 {
                conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
            }
        }
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    gets(&mut client, MIB).await;
    gets(&mut client, MIB).await;

    assert!(spliced_of(admin, "response", 2 * MIB).await > 0.0);
    assert_eq!(origin.connections_seen(), 2);
}

#[actix_rt::test]
async fn a_client_that_leaves_ends_the_exchange() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(&answer(2 * MIB)[..MIB]).await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;
    client.send(asking(2 * MIB)).await;
    client.read_head().await;
    client.read_exact(MIB - 100).await;

    drop(client);

    the_client_has_ended_it(&origin, admin).await;
}

/// The endpoint's connection was closed because of what the client did, in the middle of what was spliced.
async fn the_client_has_ended_it(origin: &Origin, admin: SocketAddr) {
    origin.wait_for_closed(1).await;
    let error = "http_request_error";
    let series = format!("aqueduct_errors_total{{route=\"/\",upstream={:?},error={error:?}}}", origin.url());
    says(admin, &series, 1.0).await;
    assert!(counted(admin, SPLICED).await > 0.0);
}

#[actix_rt::test]
async fn an_endpoint_that_stalls_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(&answer(2 * MIB)[..MIB]).await;
        conn.wait_closed().await;
    });
    let origin = origin.start().await;
    let route = format!("routes.\"/\" = {{ to = {:?}, timeout.idle = \"200ms\" }}\n", origin.url());
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}server.workers = 1\n{route}")).await;
    let mut client = server.connect().await;
    client.send(asking(2 * MIB)).await;
    client.read_head().await;

    let came = client.read_to_end().await;

    assert!(came == content(came.len()), "{}", came.len());
    origin.wait_for_closed(1).await;
    assert!(spliced_of(admin, "response", MIB - head(2 * MIB).len()).await > 0.0);
    assert_eq!(counted(admin, "aqueduct_errors_total").await, 1.0);
}

#[actix_rt::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let more = "server.timeouts.response_write = \"200ms\"\n";
    let (server, admin) = proxy(folder.path(), &(to(&origin) + more)).await;
    let mut client = narrow(server.address).await;

    client.send(asking(50 * MIB)).await;

    the_client_has_ended_it(&origin, admin).await;
}

#[actix_rt::test]
async fn an_answer_that_comes_early_does_not_end_the_upload() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.write(&answer(4 * MIB)[..MIB]).await;
        assert!(conn.read_exact(3 * MIB).await == content(3 * MIB), "the upload is not what was sent");
        conn.write(&answer(4 * MIB)[MIB..]).await;
        conn.read_head().await;
        conn.write(head(2)).await;
        conn.write("ok").await;
    });
    let origin = origin.start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let mut client = server.connect().await;

    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 3 * MIB)).await;
    let begun = client.read_head().await;
    let first = client.read_exact(MIB / 2).await;
    client.send(content(3 * MIB)).await;
    let rest = client.read_exact(4 * MIB - first.len()).await;
    client.send(asking(2)).await;

    assert!(begun.starts_with("HTTP/1.1 200 "), "{begun}");
    assert!([first, rest].concat() == content(4 * MIB), "the answer is not what was sent");
    assert_eq!(client.read_response().await.text(), "ok");
    assert!(spliced_of(admin, "response", 4 * MIB + 2).await > 0.0);
}

#[actix_rt::test]
async fn who_looks_at_a_body_sees_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::serving(|_, _| {
        let text = "the same again and again ".repeat(20_000);
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            .into_bytes()
    });
    let origin = origin.start().await;
    let url = origin.url();
    let routes = format!(
        "[routes]\n\"/paced\" = {{ to = {url:?}, bandwidth = {{ pace = \"100MB/s\" }} }}\n\
         \"/other\" = {{ to = {url:?}, substitute = [{{ find = \"same\", with = \"SAME\", types = [\"text/plain\"] }}] }}\n\
         \"/kept\" = {{ to = {url:?}, cache = {{ default_ttl = \"1m\" }} }}\n"
    );
    let (server, admin) = proxy(folder.path(), &format!("{CLEAR}server.workers = 1\n{routes}")).await;

    for path in ["/paced", "/other", "/kept", "/kept"] {
        let response = server.get(path).await;
        let same = if path == "/other" { "SAME" } else { "same" };
        assert!(
            response.complete && response.text() == format!("the {same} again and again ").repeat(20_000),
            "{path}"
        );
    }

    assert_eq!(spliced_of(admin, "response", 4 * 500_000).await, 0.0);
}

#[actix_rt::test]
async fn what_is_encrypted_is_read_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let listen = format!(
        "listen = [{{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\nserver.workers = 1\nroutes.\"/\" = {:?}\n{}",
        origin.url(),
        authority.certificates(&["shop"])
    );
    let (server, admin) = proxy(folder.path(), &listen).await;
    let mut client = tls::connect(server.address, "shop.example", authority.client()).await;

    gets(&mut client, 3 * MIB).await;

    assert_eq!(spliced_of(admin, "response", 3 * MIB).await, 0.0);
}

#[actix_rt::test]
async fn what_an_endpoint_encrypts_is_read_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue("origin", &["127.0.0.1"]);
    let origin = of_any_length().start_tls(authority.origin("origin")).await;
    let upstream = format!(
        "{CLEAR}server.workers = 1\nroutes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{:?}]\ntls.ca = {:?}\n",
        origin.url(),
        authority.path("ca.pem")
    );
    let (server, admin) = proxy(folder.path(), &upstream).await;
    let mut client = server.connect().await;

    gets(&mut client, 3 * MIB).await;
    gets(&mut client, 3 * MIB).await;

    assert_eq!(spliced_of(admin, "response", 6 * MIB).await, 0.0);
    assert_eq!(origin.connections_seen(), 1);
}

/// From now on it can open nothing more.
pub fn take_all_files(server: &Binary) {
    let process = server.processes()[0];
    let is_free = |number: &u64| !Path::new(&format!("/proc/{process}/fd/{number}")).exists();
    let current = (0..).find(is_free);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let pid = Pid::from_raw(process).expect("a process");
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).expect("it may be changed");
}

#[actix_rt::test]
async fn where_there_is_no_pipe_to_be_had_a_body_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = of_any_length().start().await;
    let (server, admin) = proxy(folder.path(), &to(&origin)).await;
    let (mut client, mut operator) = (server.connect().await, Client::connect(admin).await);
    gets(&mut client, 5).await;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    operator.send(&ask).await;
    operator.read_response().await;

    take_all_files(&server);
    gets(&mut client, 5 * MIB).await;

    let labels = format!("{{route=\"/\",upstream={:?}}}", origin.url());
    let sent = async {
        loop {
            operator.send(&ask).await;
            let told = operator.read_response().await.text();
            if value(&told, &format!("aqueduct_response_body_bytes_total{labels}")) == Some((5 * MIB + 5) as f64) {
                return value(&told, &format!("{SPLICED}{labels}"));
            }
        }
    };
    assert_eq!(patiently("all is counted", sent).await, Some(0.0));
}

/// Makes letters large, and is as long as what it is around.
struct Large(BoxBody);

impl MessageBody for Large {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.0.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(next.map(|next| next.map(|bytes| bytes.to_ascii_uppercase().into())))
    }
}

#[actix_rt::test]
async fn an_app_that_changes_bodies_sees_all_of_them() {
    let origin = Origin::replying([head(MIB).into_bytes(), vec![b'a'; MIB]].concat()).start().await;
    let proxy = Proxy::builder().route("/", origin.url().as_str()).build().expect("it is good");
    let app = move || {
        App::new()
            .wrap_fn(|request, service| {
                let answer = service.call(request);
                async { Ok(answer.await?.map_body(|_, body| BoxBody::new(Large(body)))) }
            })
            .default_service(proxy.clone())
    };
    let server = EdgeServer::new(app).signals(false).bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into()));
    let server = server.expect("a free port");
    let ListenAddress::Tcp(address) = server.addresses()[0].clone() else { panic!("it is TCP") };
    let running = server.run();
    let handle = running.handle();
    let running = actix_rt::spawn(running);

    let response = client::get(address, "/").await;

    assert!(response.complete && response.body == vec![b'A'; MIB], "{}", response.body.len());
    handle.stop();
    patiently("the end", running).await.expect("no panic").expect("it served");
}
