//! One line a request.

use std::{fs, path::Path, time::Duration};

use super::support::{origin::Origin, proxy::TestProxy, wire::PATIENCE};

fn setup(origin: &Origin, path: &Path, format: &str) -> String {
    format!(
        "[log.access]\npath = {:?}\nformat = {format:?}\n[routes]\n\"/\" = \"{}\"\n",
        path.display().to_string(),
        origin.url()
    )
}

/// The lines of the file once there are so many.
pub async fn lines(proxy: &TestProxy, path: &Path, count: usize) -> Vec<String> {
    let waiting = async {
        loop {
            proxy.proxy.access_log().expect("there is a log").flush();
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the lines are written")
}

#[actix_rt::test]
async fn json_tells_who_asked_what_and_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let proxy = TestProxy::with(&setup(&origin, &path, "json")).start().await;

    proxy.get("/a?token=secret&x=1").await;

    let lines = lines(&proxy, &path, 1).await;
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/a?token=***&x=1");
    assert_eq!(line["status"], 200);
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["bytes_out"], 5);
    assert_eq!(line["route"], "/");
    assert_eq!(line["upstream"], origin.url());
    assert_eq!(line["attempts"], 1);
}

#[actix_rt::test]
async fn a_template_writes_what_it_names_and_the_id_is_that_of_the_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let text = setup(&origin, &path, "${method} ${status} ${error} ${request_id}").replace("\"/\"", "\"/only\"");
    let proxy = TestProxy::with(&text).start().await;

    let response = proxy.get("/nowhere").await;

    let id = response.header("x-request-id").expect("an id");
    let lines = lines(&proxy, &path, 1).await;
    assert!(lines[0].starts_with("GET 404 ") && lines[0].ends_with(id), "{} {id}", lines[0]);
}

#[actix_rt::test]
async fn fields_are_shown_as_they_came_whatever_became_of_the_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let format = "${header.host}|${header.x-forwarded-for}|${header.x-own}|${header.x-set}|${user_agent}";
    let text = setup(&origin, &path, format).replace("\"/\" =", "\"/forwarded\" =")
        + &format!(
            "\"/ruled\" = {{ to = \"{}\", host = \"upstream\", header_rules = {{ request = {{ \
             set = {{ x-set = \"ours\" }}, remove = [\"user-agent\"] }} }} }}\n\
             \"/redirected\" = {{ redirect = \"https://new.example\" }}\n\
             \"/answered\" = {{ respond = {{ body = \"x\" }} }}\n",
            origin.url()
        );
    let proxy = TestProxy::with(&text).start().await;
    let paths = ["/forwarded", "/ruled", "/redirected", "/answered", "/nowhere"];

    for path in paths {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Own: 1\r\nX-Own: 2\r\n\
             X-Set: theirs\r\nUser-Agent: curl\r\nConnection: close, x-own\r\n\r\n"
        );
        proxy.send(request).await;
    }

    let lines = lines(&proxy, &path, paths.len()).await;
    for (path, line) in paths.iter().zip(lines) {
        assert_eq!(line, "shop.example|203.0.113.9|1, 2|theirs|curl", "{path}");
    }
}

#[actix_rt::test]
async fn a_client_that_left_before_its_answer_has_a_line_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::script(|mut conn, _| async move {
        conn.read_head().await;
        conn.tell("asked");
        conn.wait_closed().await;
    })
    .start()
    .await;
    let proxy = TestProxy::with(&setup(&origin, &path, "${status}")).start().await;
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for("asked").await;
    drop(client);

    assert_eq!(lines(&proxy, &path, 1).await, ["499"]);
}

#[actix_rt::test]
async fn what_no_route_sees_has_a_line_with_the_id_of_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let origin = Origin::answering("hello").start().await;
    let format = "${client} ${method} ${path} ${status} ${error} ${bytes_out} ${request_id}";
    let text = format!("[server.timeouts]\nrequest_head = \"50ms\"\n{}", setup(&origin, &path, format));
    let proxy = TestProxy::with(&text).start().await;
    let requests = [
        ("GET /a?token=secret HTTP/1.1\r\na b: c\r\n\r\n".to_owned(), "GET /a?token=*** 400"),
        ("GET /slow HTTP/1.1\r\n".to_owned(), "GET /slow 408"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000)), "GET - 414"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000)), "GET / 431"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "POST / 501"),
        ("\x16\x03\x01".to_owned(), "- - 400"),
    ];

    for (count, (request, told)) in (1..).zip(requests) {
        let response = proxy.send(request).await;

        let id = response.header("x-request-id").expect("an id");
        let length = response.body.len();
        let lines = lines(&proxy, &path, count).await;
        assert_eq!(lines[count - 1], format!("127.0.0.1 {told} http_request_error {length} {id}"));
    }
}

#[actix_rt::test]
async fn a_log_that_was_moved_away_begins_anew_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let origin = Origin::answering("hello").start().await;
    let proxy = TestProxy::with(&setup(&origin, &path, "${path}")).start().await;
    proxy.get("/first").await;
    lines(&proxy, &path, 1).await;

    fs::rename(&path, &old).expect("it can be moved");
    proxy.proxy.access_log().expect("there is a log").reopen();
    proxy.get("/second").await;

    assert_eq!(lines(&proxy, &path, 1).await, ["/second"]);
    assert_eq!(fs::read_to_string(&old).expect("it is there"), "/first\n");
}
