//! What operators are told has the form that is documented.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};

use super::support::{
    binary::{Binary, write},
    client::{self, Response},
    origin::Origin,
    tls::Authority,
};

const SCHEMA: &str = include_str!("../../docs/admin.schema.json");

/// Everything that is wrong with this as one of these.
fn wrong(kind: &str, answer: &Value) -> Vec<String> {
    let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let schema = schema.as_object_mut().expect("an object");
    assert!(schema["$defs"][kind].is_object(), "{kind} is not documented");
    schema.insert("anyOf".to_owned(), json!([{ "$ref": format!("#/$defs/{kind}") }]));
    let validator = jsonschema::validator_for(&json!(schema)).expect("a schema");
    validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn json(answer: &Response) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn assert_is(kind: &str, answer: &Response) {
    let answer = json(answer);
    assert_eq!(wrong(kind, &answer), Vec::<String>::new(), "{kind}: {answer:#}");
}

async fn post(admin: SocketAddr, path: &str, body: &str) -> Response {
    let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
    client::request(admin, format!("POST {path} HTTP/1.1\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .await
}

/// A proxy of which everything can be told, and where operators ask it.
async fn proxy(folder: &Path, authority: &Authority, origin: &Origin) -> (Binary, SocketAddr) {
    authority.issue("shop", &["shop.example"]);
    write(folder, "endpoints.toml", format!("servers = [{:?}]\n", origin.url()));
    write(folder, "edge.toml", settings(authority, origin));
    Binary::with_operators(folder).await
}

fn settings(authority: &Authority, origin: &Origin) -> String {
    format!(
        "listen = [\"127.0.0.1:0\", {{ addr = \"127.0.0.1:0\", tls = \"main\" }}]\n{}\
         admin.listen = \"127.0.0.1:0\"\nserver.watch = false\nroutes.\"/\" = \"shop\"\n\
         [upstreams.shop]\nservers = [{:?}, {{ url = \"http://{}\", backup = true }}]\n\
         breaker = {{}}\nlimit = {{ requests = 9, adaptive = true }}\n\
         [upstreams.found]\ndiscover = {{ file = \"endpoints.toml\" }}\nlimit.per_endpoint = 9\n\
         [upstreams.lost]\ndiscover = {{ file = \"nowhere.toml\" }}\n",
        authority.certificates(&["shop"]),
        origin.url(),
        client::refusing(),
    )
}

#[actix_rt::test]
async fn every_answer_has_the_form_that_is_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    let (server, admin) = proxy(folder.path(), &authority, &origin).await;
    server.get("/").await;
    let order = format!("{{\"endpoint\":\"{}\"}}", origin.address());

    for (path, kind) in [
        ("/health", "Word"),
        ("/ready", "Word"),
        ("/status", "Status"),
        ("/upstreams", "Upstreams"),
        ("/upstreams/shop", "Upstream"),
        ("/upstreams/lost", "Upstream"),
        ("/plan", "Plan"),
        ("/upstreams/nobody", "Problem"),
        ("/elsewhere", "Problem"),
    ] {
        assert_is(kind, &client::get(admin, path).await);
    }
    for (path, body, kind) in [
        ("/upstreams/shop/drain", order.as_str(), "Upstream"),
        ("/upstreams/shop/revive", &order, "Upstream"),
        ("/upstreams/shop/revive", "{}", "Problem"),
        ("/cache/purge", "{\"everything\":true}", "Purged"),
        ("/cache/purge", "{}", "Problem"),
        ("/reload", "", "Reloaded"),
    ] {
        assert_is(kind, &post(admin, path, body).await);
    }
    write(folder.path(), "edge.toml", format!("{}nothing = 1\n", settings(&authority, &origin)));
    let refused = post(admin, "/reload", "").await;
    assert_is("NotReloaded", &refused);
    assert_is("Problem", &refused);
    assert_eq!((refused.status, refused.header("content-type")), (422, Some("application/problem+json")));
    let told = json(&client::get(admin, "/status").await);
    assert_eq!(wrong("Status", &told), Vec::<String>::new(), "with a reload that was refused");
    assert!(told["settings"]["refused"].is_object(), "{told:#}");
}

#[actix_rt::test]
async fn who_asks_gets_the_schema_that_is_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, origin) = (Authority::new(), Origin::answering("hello").start().await);
    let (_server, admin) = proxy(folder.path(), &authority, &origin).await;

    let answer = client::get(admin, "/schema").await;

    assert_eq!(answer.header("content-type"), Some("application/schema+json"));
    assert_eq!(answer.text(), SCHEMA);
}

#[test]
fn the_schema_knows_what_is_no_answer() {
    let endpoint = json!({
        "address": "a", "protocol": "auto", "in_flight": 0, "health": "well", "backup": false, "latency": null
    });
    let upstream = |endpoint: &Value| json!({ "name": "a", "breaker": "half open", "limit": null, "discovery": null, "endpoints": [endpoint] });
    assert_eq!(wrong("Upstream", &upstream(&endpoint)), Vec::<String>::new());

    for (field, value) in
        [("health", json!("fine")), ("in_flight", json!(-1)), ("protocol", json!("h9")), ("backup", json!(null))]
    {
        let mut other = endpoint.clone();
        other[field] = value;
        assert_eq!(wrong("Upstream", &upstream(&other)).len(), 1, "{field}");
    }
    let mut less = endpoint.clone();
    less.as_object_mut().expect("an object").remove("latency");
    assert_eq!(wrong("Upstream", &upstream(&less)).len(), 1, "a field that is not there");
}
