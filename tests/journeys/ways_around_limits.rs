//! What clients try to be counted as somebody else: by `quota`, by `concurrency` and by `bandwidth`.

use std::fs;

use tempfile::TempDir;

use super::{
    api_key,
    support::{
        client::Client,
        origin::{Origin, Script},
        proxy::TestProxy,
        wire::patiently,
    },
};

/// A target, the host, and fields besides the one that says who asks.
type Asked = (&'static str, &'static str, &'static str);

/// Requests that are told apart by a key.
struct Ways {
    key: &'static str,
    first: Asked,
    /// These are no other, or none that is let in.
    same: &'static [Asked],
    /// This one is, so that it can be told apart at all.
    other: Asked,
}

const SHOP: &str = "X-Api-Key: secret-of-shop\r\n";
const BILL: &str = "X-Api-Key: secret-of-bill\r\n";

const WAYS: &[Ways] = &[
    Ways {
        key: "\"identity\"",
        first: ("/", "a.test", SHOP),
        same: &[
            ("/", "a.test", "x-API-key:   secret-of-shop \r\n"),
            ("/?key=secret-of-shop", "a.test", ""),
            ("/?k%65y=secret%2Dof-shop", "a.test", ""),
            ("/", "a.test", "X_Api_Key: secret-of-shop\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Api-Key: secret-of-bill\r\n"),
            ("/?key=secret-of-bill", "a.test", SHOP),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-User: bill\r\nX_User: bill\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 192.0.2.9\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nCookie: key=secret-of-bill\r\n"),
            ("//", "A.TEST.", SHOP),
            ("/x/../%2e/", "a.test:80", SHOP),
        ],
        other: ("/", "a.test", BILL),
    },
    Ways {
        key: "[\"identity\", \"host\"]",
        first: ("/", "a.test", SHOP),
        same: &[
            ("/", "A.TEST", SHOP),
            ("/", "a.test.", SHOP),
            ("/", "a.test:80", SHOP),
            ("http://A.Test/", "a.test", SHOP),
            ("http://a.test./", "b.test", SHOP),
        ],
        other: ("/", "b.test", SHOP),
    },
    Ways {
        key: "\"path\"",
        first: ("/a~b!", "a.test", SHOP),
        same: &[
            ("/a%7Eb%21", "a.test", SHOP),
            ("/a%7eb!", "a.test", SHOP),
            ("/x/../a~b!?x=1", "a.test", SHOP),
            ("/%2e/a~b!", "a.test", SHOP),
            ("//a~b!", "a.test", SHOP),
            ("/a~b!?", "b.test", BILL),
        ],
        other: ("/a~b", "a.test", SHOP),
    },
    Ways {
        key: "\"header:x-key\"",
        first: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: a\r\n"),
        same: &[
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nx-KEY:  a \r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-bill\r\nX-Key:\ta\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: a\r\nX_Key: b\r\n"),
        ],
        other: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: A\r\n"),
    },
    Ways {
        // What is missing, or there twice, is one for all.
        key: "[\"header:x-key\", \"cookie:s\"]",
        first: ("/", "a.test", SHOP),
        same: &[
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: a\r\nX-Key: b\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: c\r\nX-Key: d\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX_Key: a\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nCookie: s=1; s=2\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nCookie: s=3\r\nCookie: s=4\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nCookie: S=1\r\n"),
        ],
        other: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Key: a\r\n"),
    },
    Ways {
        key: "\"ip\"",
        first: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        same: &[
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: ::ffff:192.0.2.1\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: ::FFFF:c000:201\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 192.0.2.9, 192.0.2.1\r\n"),
            (
                "/",
                "a.test",
                "X-Api-Key: secret-of-bill\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.1\r\n",
            ),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nForwarded: for=\"[::ffff:192.0.2.1]:7\"\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.9\r\n"),
        ],
        other: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 192.0.2.2\r\n"),
    },
    Ways {
        key: "\"ip\"",
        first: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 2001:db8::1\r\n"),
        same: &[
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 2001:db8::ffff:0:1\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 2001:DB8:0:0::7\r\n"),
            ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: [2001:db8::8]:9\r\n"),
        ],
        other: ("/", "a.test", "X-Api-Key: secret-of-shop\r\nX-Forwarded-For: 2001:db8:0:1::1\r\n"),
    },
];

const LARGE: usize = 1024 * 1024;
const SMALL: usize = 20_000;

/// Answers with a MiB who says so, and others with less; who says so waits for the end of the test.
fn origin() -> Script {
    Origin::script(|mut conn, _| async move {
        while let Some(head) = conn.next_head().await {
            let head = head.to_lowercase();
            if head.contains("x-held: 1") {
                conn.wait_for("the test is over").await;
            }
            let length = if head.contains("x-large: 1") { LARGE } else { SMALL };
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
            conn.write(vec![b'.'; length]).await;
        }
    })
}

struct House {
    _folder: TempDir,
    origin: Origin,
    proxy: TestProxy,
}

impl House {
    /// Its clients have keys, and come by a proxy that is believed.
    async fn with(filter: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        fs::write(&file, api_key::KEYS).expect("a file");
        let origin = origin().start().await;
        let text = format!(
            "trusted_proxies = [\"127.0.0.1\"]\n[routes.\"/\"]\nto = \"{}\"\n\
             api_key = {{ keys = {file:?}, header = \"x-api-key\", query = \"key\" }}\n{filter}\n",
            origin.url()
        );
        Self { _folder: folder, origin, proxy: TestProxy::with(&text).start().await }
    }

    /// Asks, and does not wait for an answer.
    async fn begin(&self, (target, host, fields): Asked, more: &str) -> Client {
        let mut client = self.proxy.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{more}\r\n")).await;
        client
    }

    /// The status of what is answered.
    async fn status(&self, asked: Asked) -> u16 {
        let head = self.begin(asked, "Connection: close\r\n").await.read_head().await;
        head[9..12].parse().expect("a status")
    }

    fn slowed(&self) -> u64 {
        let events = self.proxy.proxy.plan().ledger.events();
        events.iter().find(|(name, _)| *name == ("bandwidth", "slowed")).map_or(0, |(_, count)| *count)
    }
}

/// It was refused for what it was counted as, or for what can be read two ways.
fn is_refused(status: u16) -> bool {
    [400, 401, 429].contains(&status)
}

#[actix_rt::test]
async fn no_other_spelling_has_a_quota_of_its_own() {
    let mut around = Vec::new();
    for Ways { key, first, same, other } in WAYS {
        let house = House::with(&format!("quota = {{ rate = \"1/1h\", key = {key} }}")).await;

        assert_eq!(house.status(*first).await, 200, "{key} {first:?}");
        for asked in *same {
            let status = house.status(*asked).await;
            if !is_refused(status) {
                around.push((key, asked, status));
            }
        }
        let status = house.status(*other).await;
        if status != 200 {
            around.push((key, other, status));
        }
    }
    assert_eq!(around, []);
}

#[actix_rt::test]
async fn no_other_spelling_has_a_place_of_its_own() {
    let mut around = Vec::new();
    for Ways { key, first, same, other } in WAYS {
        let house = House::with(&format!("concurrency = {{ requests = 1, key = {key} }}")).await;
        let _under_way = house.begin(*first, "X-Held: 1\r\n").await;
        house.origin.wait_for_requests(1).await;

        for asked in *same {
            let status = house.status(*asked).await;
            if !is_refused(status) {
                around.push((key, asked, status));
            }
        }
        let status = house.status(*other).await;
        if status != 200 {
            around.push((key, other, status));
        }
    }
    assert_eq!(around, []);
}

#[actix_rt::test]
async fn no_other_spelling_has_a_pace_of_its_own() {
    for Ways { key, first, same, other } in WAYS {
        let pace = format!("bandwidth = {{ pace = \"1KiB/s\", burst = \"1MiB\", key = {key} }}");
        let house = House::with(&pace).await;
        let mut all = house.begin(*first, "X-Large: 1\r\n").await;
        all.read_head().await;
        all.read_exact(LARGE).await;
        assert_eq!(house.slowed(), 0, "{key}: it has had all that goes out at once");

        for asked in *same {
            let before = house.slowed();
            let mut client = house.begin(*asked, "").await;
            if client.read_head().await.starts_with("HTTP/1.1 200 ") {
                let is_slowed = async {
                    while house.slowed() == before {
                        tokio::task::yield_now().await;
                    }
                };
                patiently(&format!("an answer that is slowed: {key} {asked:?}"), is_slowed).await;
            }
        }
        let before = house.slowed();
        house.begin(*other, "").await.read_exact(SMALL).await;
        assert_eq!(house.slowed(), before, "{key} {other:?}");
    }
}

#[actix_rt::test]
async fn who_floods_a_limit_with_keys_makes_it_forget_nobody() {
    let with_key = |key: &str| format!("X-Api-Key: secret-of-shop\r\nX-Key: {key}\r\nConnection: close\r\n");
    for kind in ["rate_limit", "quota"] {
        let limit = format!("{kind} = {{ rate = \"1/1h\", key = \"header:x-key\", max_keys = 10 }}");
        let house = House::with(&limit).await;
        let ask = async |key: &str| {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", with_key(key));
            house.proxy.send(request).await.status
        };
        assert_eq!(ask("mallory").await, 200);

        let mut passed = 0;
        for number in 0..300 {
            passed += usize::from(ask(&format!("made up {number}")).await == 200);
            assert_eq!(ask("mallory").await, 429, "{kind}: after {number} others");
        }

        // 30 places, of which one is taken, and what each of two sets shares.
        assert!((20..=31).contains(&passed), "{kind}: {passed} passed");
    }
}
