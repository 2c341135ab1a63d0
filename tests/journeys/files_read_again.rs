//! Files that filters read are read again when they change, while the proxy runs.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{
    api_key::KEYS,
    jwt::{self, Key},
    support::{
        binary::{Binary, write},
        client,
    },
};

/// A filter with a file, and what one request gets before and after that has changed.
struct Case {
    filter: &'static str,
    /// What the file says.
    texts: [String; 2],
    request: String,
    /// In the status or the content of the answer.
    expected: [&'static str; 2],
}

fn case(filter: &'static str, texts: [&str; 2], request: &str, expected: [&'static str; 2]) -> Case {
    Case { filter, texts: texts.map(String::from), request: request.to_owned(), expected }
}

fn get(field: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n\r\n")
}

fn cases() -> Vec<Case> {
    let hash = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";
    let (others, own) = (Key::new("1", Algorithm::EdDSA), Key::new("1", Algorithm::EdDSA));
    let set = |key: &Key| json!({ "keys": [key.public] }).to_string();
    let token = get(&format!("Authorization: Bearer {}", own.sign(&jwt::claims())));
    let shop = get("X-Api-Key: secret-of-shop");
    let of_another = KEYS.split_once("[bill]").map(|(_, bill)| format!("[bill]{bill}")).expect("two keys");
    let keys = [of_another.as_str(), KEYS];
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    vec![
        case(
            "basic_auth = { users = \"list.html\" }",
            [&format!("bob:{hash}\n"), &format!("alice:{hash}\n")],
            &get("Authorization: Basic YWxpY2U6aHVudGVyMg=="),
            ["401", "200"],
        ),
        case("api_key = { keys = \"list.html\" }", keys, &shop, ["401", "200"]),
        case("auth = { any = [{ api_key = { keys = \"list.html\" } }] }", keys, &shop, ["401", "200"]),
        case("jwt = { keys = \"list.html\", audience = \"api\" }", [&set(&others), &set(&own)], &token, ["401", "200"]),
        case(
            "ip_access = { deny_files = [\"list.html\"] }",
            ["127.0.0.1\n", "192.0.2.1\n"],
            &get("x: y"),
            ["403", "200"],
        ),
        case(
            "request_rules = { user_agents = { deny_files = [\"list.html\"] } }",
            ["# bad ones\nevil*\n", "# bad ones\nworse*\n"],
            &get("User-Agent: evil/1"),
            ["403", "200"],
        ),
        case(
            "request_rules = { user_agents = { allow_files = [\"list.html\"] } }",
            ["", "shop/*\n"],
            &get("User-Agent: shop/1"),
            ["403", "200"],
        ),
        case(
            "validate = { json_schema = \"list.html\" }",
            ["{ \"type\": \"string\" }", "{ \"type\": \"object\" }"],
            post,
            ["422", "200"],
        ),
        case(
            "error_pages = { 401 = \"list.html\" }, api_key = { keys = \"keys\" }",
            ["<p>the old page", "<p>the new page"],
            &get("Accept: text/html"),
            ["the old page", "the new page"],
        ),
    ]
}

#[actix_rt::test]
async fn what_a_file_says_is_so_as_soon_as_it_is_written() {
    for Case { filter, texts, request, expected } in cases() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "list.html", &texts[0]);
        write(folder.path(), "keys", KEYS);
        let text = format!("listen = [\"127.0.0.1:0\"]\n[routes]\n\"/\" = {{ respond = {{}}, {filter} }}\n");
        write(folder.path(), "settings.toml", text);
        let mut server = Binary::run(folder.path(), &["--settings", "settings.toml"]).await;

        let before = client::request(server.address, &request).await;
        write(folder.path(), "list.html", &texts[1]);
        server.says("generation 2 is in force").await;
        let after = client::request(server.address, &request).await;

        for (answer, expected) in [before, after].iter().zip(expected) {
            let told = format!("{} {}", answer.status, answer.text());
            assert!(told.contains(expected), "{filter}: {told}");
        }
    }
}
