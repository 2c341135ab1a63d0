//! What is told of the cache: what is kept, and what is not after all.

use std::{path::Path, process::Command};

use aqueduct::cache::purge::What;
use serde_json::{Value, json};

use super::support::{
    binary::write,
    client,
    metrics::{CLEAR, metrics, proxy, says, value},
    origin::Origin,
    proxy::TestProxy,
};

const STORED: &str = "aqueduct_filter_events_total{filter=\"cache\",event=\"stored\"}";
const HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n";

fn routes(origin: &Origin, cache: &str) -> String {
    format!("{CLEAR}[routes]\n\"/\" = {{ to = {:?}, cache = {cache} }}\n", origin.url())
}

#[actix_rt::test]
async fn what_broke_off_is_not_counted_as_stored() {
    let origin = Origin::script(|mut conn, number| async move {
        conn.read_head().await;
        conn.write(format!("{HEAD}01234")).await;
        if number > 0 {
            conn.write("56789").await;
            conn.wait_closed().await;
        }
    });
    let (origin, folder) = (origin.start().await, tempfile::tempdir().expect("a folder"));
    let (server, admin) = proxy(folder.path(), &routes(&origin, "true")).await;

    assert!(!server.get("/").await.complete);
    assert_eq!(value(&metrics(admin).await, STORED).unwrap_or_default(), 0.0);

    assert!(server.get("/").await.complete);
    says(admin, STORED, 1.0).await;
}

#[actix_rt::test]
async fn what_was_purged_on_its_way_is_not_said_to_be_stored() {
    let origin = Origin::script(|mut conn, _| async move {
        while conn.next_head().await.is_some() {
            conn.wait_for("go on").await;
            conn.write(format!("{HEAD}0123456789")).await;
        }
    });
    let origin = origin.start().await;
    let text = format!("[routes]\n\"/\" = {{ to = {:?}, cache = true }}\n", origin.url());
    let proxy = TestProxy::with(&text).start().await;
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for_requests(1).await;

    proxy.proxy.plan().shelves()[0].purge(&What::url("http://a/").expect("a URL"), false);
    origin.tell("go on");

    let answer = client.read_response().await;
    assert_eq!(answer.text(), "0123456789");
    let said = answer.header("cache-status").expect("it says what was done");
    assert!(said.starts_with("aqueduct; fwd=uri-miss") && !said.contains("stored"), "{said}");
}

async fn entries(folder: &Path, origin: &Origin, cache: &str, asked: &[(&str, &str)], url: &str) -> Value {
    let (server, admin) = proxy(folder, &routes(origin, cache)).await;
    for (path, fields) in asked {
        let mut client = server.connect().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")).await;
        assert!(client.read_response().await.complete, "{path}");
    }
    let answer = client::get(admin, &format!("/cache/entry?url={url}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

#[actix_rt::test]
async fn operators_can_ask_what_is_stored_of_a_url() {
    let origin = Origin::replying(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nAge: 100\r\nVary: Accept-Language\r\nSurrogate-Key: one  two\r\n\
         Cache-Tag: three, four\r\nCache-Groups: \"g\"\r\nContent-Length: 4\r\n\r\npage",
    );
    let (origin, folder) = (origin.start().await, tempfile::tempdir().expect("a folder"));
    let asked = [("/a?b", "Accept-Language: de\r\n"), ("/a?b", "X-Shop: secret\r\n"), ("/a", "")];

    let told =
        entries(folder.path(), &origin, "{ key.headers = [\"x-shop\"] }", &asked, "HTTP://Shop.example:80/%2561%3fb")
            .await;

    let entries = told["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 2, "{told:#}");
    for entry in entries {
        let expected = json!({
            "store": "built_in", "tier": "memory", "status": 200, "size": 4, "vary": ["accept-language"], "is_keyed": true,
            "tags": ["one", "two", "three", "four"], "groups": ["g"], "codings": [], "pieces": null
        });
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&entry[key], value, "{key}: {told:#}");
        }
        let [age, ttl] = ["age", "ttl"].map(|key| entry[key].as_i64().expect("a number"));
        assert!((100..160).contains(&age) && (age + ttl - 600).abs() <= 1, "{told:#}");
        assert!(entry["weight"].as_u64().is_some_and(|weight| weight > 300), "{told:#}");
    }
    assert!(!told.to_string().contains("secret"));
}

#[actix_rt::test]
async fn of_what_is_in_pieces_it_is_told_how_many_are_stored() {
    let origin = Origin::replying(format!(
        "HTTP/1.1 206 X\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Range: bytes 0-4095/20000\r\n\
         Content-Length: 4096\r\n\r\n{}",
        "x".repeat(4096)
    ));
    let (origin, folder) = (origin.start().await, tempfile::tempdir().expect("a folder"));
    let asked = [("/", "Range: bytes=0-99\r\n")];

    let told = entries(folder.path(), &origin, "{ slice = \"4KiB\" }", &asked, "http://shop.example").await;

    let entry = &told["entries"][0];
    assert_eq!((&entry["size"], &entry["pieces"]), (&json!(20_000), &json!({ "of": 5, "stored": 1 })), "{told:#}");
}

#[actix_rt::test]
async fn what_is_no_url_is_told() {
    let (origin, folder) = (Origin::answering("a").start().await, tempfile::tempdir().expect("a folder"));
    let (_server, admin) = proxy(folder.path(), &routes(&origin, "true")).await;

    for path in ["/cache/entry", "/cache/entry?url=", "/cache/entry?url=/a", "/cache/entry?uri=http://a/"] {
        let answer = client::get(admin, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")), "{path}");
    }
    assert_eq!(client::get(admin, "/cache/entry?url=http://a/").await.text(), "{\"entries\":[]}");
}

#[actix_rt::test]
async fn explain_says_what_something_is_kept_under_and_by_which_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = "{ key = { ignore = [\"utm_*\"], headers = [\"x-shop\"], cookies = [\"lang\"] }, status_ttl = { 404 = \"10s\" }, \
                 max_ttl = \"1h\", slice = \"1MiB\" }";
    write(folder.path(), "edge.toml", format!("[routes]\n\"/\" = {{ to = \"http://a\", cache = {cache} }}\n"));
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
        command.arg("explain").args(arguments).args(["--settings", "edge.toml"]).current_dir(folder.path()).env_clear();
        String::from_utf8(command.output().expect("it runs").stdout).expect("text")
    };

    let told = explain(&["GET", "https://shop.example/%61?b=1&utm_x=2", "-H", "X-Shop: secret"]);

    let expected = "passes cache\n  \
        kept under https://shop.example/a?b=1, with the field x-shop, with the cookie lang (not all of the query counts)\n  \
        in the store `built_in`, no larger than 10MiB, or in pieces of 1MiB\n  \
        fresh for 10s if it is 404, 1h at most\n";
    assert!(told.contains(expected) && !told.contains("secret"), "{told}");
    for (arguments, expected) in [
        (&["POST", "/"][..], "  passes by: answers to this method are not kept\n"),
        (&["GET", "/", "-H", "If-Match: \"a\""], "  passes by: only the endpoint can judge its condition\n"),
        (&["QUERY", "/"], "  kept under http://localhost/, with what its body asks, "),
    ] {
        let told = explain(arguments);
        assert!(told.contains(expected), "{told}");
    }
}
