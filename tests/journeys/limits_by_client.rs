//! Limits for each client by who it has proved to be: how many requests at once, how fast its answers go out, how often.

use std::fs;

use aqueduct::{Proxy, settings::Layers};
use tempfile::TempDir;

use super::{
    api_key,
    concurrency::slowly,
    support::{client::Client, origin::Origin, proxy::TestProxy},
};

const SHOP: &str = "X-Api-Key: secret-of-shop\r\n";
const BILL: &str = "X-Api-Key: secret-of-bill\r\n";
const MALLORY: &str = "X-Api-Key: guessed\r\n";

struct House {
    _folder: TempDir,
    proxy: TestProxy,
}

impl House {
    /// Whose clients have keys.
    async fn with(origin: &Origin, filters: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        fs::write(&file, api_key::KEYS).expect("a file");
        let text = format!("[routes.\"/\"]\nto = \"{}\"\napi_key = {{ keys = {file:?} }}\n{filters}\n", origin.url());
        Self { proxy: TestProxy::with(&text).start().await, _folder: folder }
    }

    /// A request on a connection of its own, and the status of what is answered.
    async fn begin(&self, path: &str, fields: &str) -> (Client, u16) {
        let mut client = self.proxy.connect().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        let head = client.read_head().await;
        (client, head[9..12].parse().expect("a status"))
    }

    fn count(&self, event: (&str, &str)) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|(known, _)| *known == event).map_or(0, |(_, count)| *count)
    }
}

#[actix_rt::test]
async fn each_client_has_so_many_requests_at_once_and_who_is_none_takes_no_place() {
    for key in ["\"identity\"", "\"claim:sub\"", "[\"host\", \"identity\"]"] {
        let origin = slowly().start().await;
        let house = House::with(&origin, &format!("concurrency = {{ requests = 1, key = {key} }}")).await;

        let (_first, first) = house.begin("/first", SHOP).await;
        let (_, again) = house.begin("/again", SHOP).await;
        let (_, nobody) = house.begin("/nobody", "").await;
        let (_, mallory) = house.begin("/mallory", MALLORY).await;
        let (_other, other) = house.begin("/other", BILL).await;

        assert_eq!((first, again, nobody, mallory, other), (200, 429, 401, 401, 200), "{key}");
        assert_eq!(origin.requests_seen(), 2);
    }
}

#[actix_rt::test]
async fn who_may_not_takes_no_place() {
    let origin = slowly().start().await;
    let filters = "concurrency = { requests = 1, key = \"identity\" }\n\
                   authorize = { deny = [\"claim('sub') == 'shop' and path == '/secret'\"] }";
    let house = House::with(&origin, filters).await;

    let (_first, first) = house.begin("/first", SHOP).await;
    let (_, secret) = house.begin("/secret", SHOP).await;

    assert_eq!((first, secret), (200, 403), "what he may is asked before how often at once");
}

#[actix_rt::test]
async fn a_policy_may_be_for_some_of_those_who_are_known() {
    let origin = slowly().start().await;
    let filters = "use = [\"few\"]\n[policies.few]\nwhen = \"claim('sub') == 'shop'\"\n\
                   concurrency = { requests = 1, key = \"identity\" }";
    let house = House::with(&origin, filters).await;

    let (_first, first) = house.begin("/first", SHOP).await;
    let (_, again) = house.begin("/again", SHOP).await;
    let (_other, other) = house.begin("/other", BILL).await;
    let (_another, another) = house.begin("/another", BILL).await;

    assert_eq!((first, again, other, another), (200, 429, 200, 200));
}

#[actix_rt::test]
async fn answers_to_each_client_go_out_at_its_own_pace() {
    let origin = Origin::answering(&"x".repeat(60_000)).start().await;
    let pace = "bandwidth = { pace = \"100KB/s\", burst = \"20KB\", key = \"identity\" }";
    let house = House::with(&origin, pace).await;

    let (mut shop, _) = house.begin("/", SHOP).await;
    shop.read_exact(60_000).await;
    let slowed = house.count(("bandwidth", "slowed"));
    // One who comes from the same address, with a burst of his own.
    let (mut bill, _) = house.begin("/", BILL).await;
    bill.read_exact(20_000).await;
    let (_, nobody) = house.begin("/", "").await;

    assert_eq!((slowed, nobody), (1, 401));
    let (mut again, _) = house.begin("/", SHOP).await;
    again.read_exact(30_000).await;
    assert_eq!(house.count(("bandwidth", "slowed")), 3, "each that has had to wait, once");
}

#[actix_rt::test]
async fn where_nobody_proves_anything_there_is_nothing_to_count_by() {
    for (filters, named) in [
        ("concurrency = { requests = 1, key = \"identity\" }", "routes.\"/\".concurrency"),
        ("bandwidth = { pace = \"1MiB/s\", key = [\"ip\", \"claim:tier\"] }", "routes.\"/\".bandwidth"),
        ("quota = [{ rate = \"1/s\" }, { rate = \"1/s\", key = \"identity\" }]", "routes.\"/\".quota"),
    ] {
        let text = |more: &str| format!("[routes.\"/\"]\nto = \"http://127.0.0.1:1\"\n{filters}\n{more}\n");
        let draw = |text: &str| {
            let loaded = Layers::new().text("test.toml", text).load();
            let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;
            Proxy::from_settings(settings).map(drop).map_err(|problems| problems.to_string())
        };

        let told = draw(&text("")).expect_err("a problem");
        assert!(told.contains(named) && told.contains("nobody proves anything"), "{told}");
        assert_eq!(draw(&text("client_cert = {}")), Ok(()), "{filters}");
    }
}
