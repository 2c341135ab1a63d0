//! Who may come in by where he comes from.

mod networks;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::networks::Networks;
use super::{Filter, JsonSchema, Kind, Schema, Site, Step, lists, schemars};
use crate::{
    exchange::Exchange,
    http::{Refusal, Response, StatusCode, downstream::Peer},
    settings::{Problem, Problems, Source},
};

const ABOUT: &str = r#"
```toml
[policies.office]
ip_access = { allow = ["10.0.0.0/8", "2001:db8::/32"], deny = ["10.66.0.0/16"] }

[routes]
"/admin" = { to = "http://127.0.0.1:8000", use = "office" }
"/" = { to = "http://127.0.0.1:8000", ip_access = { deny_files = ["settings/recipes/abusers.txt"] } }
```

Of all networks that hold a client's address, the smallest decides; of the same network in both lists, `deny`. Who is in none of them may
pass if nobody is allowed by name, and may not otherwise. The order of entries means nothing. Refused is with 403.

The address is the client's own: that of the connection, or what a proxy tells that is one of `trusted_proxies`. Who is behind a
proxy that is not, has the address of that proxy, whatever his `X-Forwarded-For` says. An IPv4 address is one however it is
written (`::ffff:10.0.0.1`). Whom a trusted proxy asks for without saying who he is, or in two
ways that differ, may not pass, wherever that proxy stands. `"unix"` stands for clients at a unix socket, who have no address.

A file has one network or address a line; what stands behind `#` is for people. It is read again when it changes. 100,000 entries cost
a request some 12 ns more than ten (24 and 12, `cargo bench --bench filters`).
"#;

/// Lets clients in or not, by their addresses.
pub struct IpAccess {
    networks: Networks<Verdict>,
    /// Of clients without an address.
    unix: Verdict,
}

/// What is written under `ip_access`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IpAccessSettings {
    /// Networks and addresses that may come in; `"unix"` for unix sockets.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Source>,
    /// Networks and addresses that may not.
    #[schemars(with = "Vec<String>")]
    pub deny: Vec<Source>,
    /// Files of networks and addresses that may come in.
    pub allow_files: Vec<PathBuf>,
    /// Files of networks and addresses that may not.
    pub deny_files: Vec<PathBuf>,
}

/// The lesser wins where both are said of the same network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Deny,
    Allow,
}

/// MiB: more than any list has that is meant.
const LONGEST_FILE: u64 = 64;

impl Kind for IpAccess {
    const NAME: &'static str = "ip_access";
    const SUMMARY: &'static str = "lets clients in or not, by their addresses";
    const ABOUT: &'static str = ABOUT;
    type Settings = IpAccessSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(IpAccessSettings))
    }

    fn files(settings: &Self::Settings) -> Vec<PathBuf> {
        [&settings.allow_files, &settings.deny_files].into_iter().flatten().cloned().collect()
    }

    fn build(settings: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        let mut entries = Vec::new();
        let mut unix = None;
        for (verdict, sources) in [(Verdict::Allow, &settings.allow), (Verdict::Deny, &settings.deny)] {
            for source in sources {
                match source {
                    Source::Network(network) => entries.push((*network, verdict)),
                    Source::Unix => unix = Some(verdict),
                }
            }
        }
        let files = [
            ("allow_files", Verdict::Allow, &settings.allow_files),
            ("deny_files", Verdict::Deny, &settings.deny_files),
        ];
        for (key, verdict, paths) in files {
            for (index, path) in paths.iter().enumerate() {
                match read(path) {
                    Ok(networks) => entries.extend(networks.into_iter().map(|network| (network, verdict))),
                    Err(what) => problems.push(Problem::at([key, &index.to_string()], what).help(A_LINE)),
                }
            }
        }
        if entries.is_empty() && unix.is_none() && problems.is_empty() && settings.allow_files.is_empty() {
            let help = "allow = [\"10.0.0.0/8\"], deny = [..], allow_files or deny_files";
            problems.push(Problem::at([] as [&str; 0], "nobody is let in or kept out").help(help));
        }
        let is_closed = !settings.allow.is_empty() || !settings.allow_files.is_empty();
        let elsewhere = if is_closed { Verdict::Deny } else { Verdict::Allow };
        let networks = Networks::new(entries, elsewhere);
        problems.none_or(Step::Plain(Arc::new(Self { networks, unix: unix.unwrap_or(elsewhere) })))
    }
}

const A_LINE: &str = "one network or address a line, such as 10.0.0.0/8 or 2001:db8::1; `#` begins a remark";

impl Filter for IpAccess {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let client = exchange.client;
        let verdict = match (client.address, client.peer) {
            // He may be anybody.
            _ if client.is_hidden => Verdict::Deny,
            (Some(address), _) => self.networks.of(address),
            (None, Peer::Unix) => self.unix,
            (None, Peer::Tcp(_)) => Verdict::Deny,
        };
        let refused = || Refusal::new(Self::NAME, StatusCode::FORBIDDEN, "this address may not come in here").into();
        (verdict == Verdict::Deny).then(refused)
    }
}

/// The networks in a file; else what is wrong with it.
fn read(path: &Path) -> Result<Vec<IpNet>, String> {
    lists::read(path, LONGEST_FILE, |line| {
        let entry = line.split('#').next().unwrap_or_default().trim();
        match entry.parse::<Source>() {
            _ if entry.is_empty() => Ok(None),
            Ok(Source::Network(network)) => Ok(Some(network)),
            _ => {
                let entry: String = entry.chars().take(50).collect();
                Err(format!("`{}` is not a network", entry.escape_debug()))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, net::IpAddr};

    use serde_json::{Value, json};

    use super::*;
    use crate::filters::testing::{built, passed, problems, request};

    async fn status(settings: &Value, address: Option<&str>) -> u16 {
        let mut exchange = request("GET /", &[]);
        exchange.client.address = address.map(|address| address.parse::<IpAddr>().expect("an address").to_canonical());
        if address.is_none() {
            exchange.client.peer = Peer::Unix;
        }
        passed(&[built::<IpAccess>(settings.clone())], &mut exchange).await.status.as_u16()
    }

    #[actix_rt::test]
    async fn the_smallest_network_decides_and_who_is_in_none_passes_only_where_nobody_is_allowed_by_name() {
        let office = json!({ "allow": ["10.0.0.0/8", "2001:db8::/32", "10.66.6.6"], "deny": ["10.66.0.0/16"] });
        let open = json!({ "deny": ["192.0.2.0/24", "unix"] });
        let both = json!({ "allow": ["192.0.2.7"], "deny": ["192.0.2.7"] });
        for (settings, address, expected) in [
            (&office, Some("10.1.2.3"), 200),
            (&office, Some("::ffff:10.1.2.3"), 200),
            (&office, Some("10.66.1.1"), 403),
            (&office, Some("::ffff:10.66.1.1"), 403),
            (&office, Some("10.66.6.6"), 200),
            (&office, Some("11.0.0.0"), 403),
            (&office, Some("2001:db8::1"), 200),
            (&office, Some("2001:db9::1"), 403),
            (&office, None, 403),
            (&open, Some("192.0.2.255"), 403),
            (&open, Some("::ffff:192.0.2.255"), 403),
            (&open, Some("192.0.3.0"), 200),
            (&open, Some("::1"), 200),
            (&open, None, 403),
            (&both, Some("192.0.2.7"), 403),
        ] {
            assert_eq!(status(settings, address).await, expected, "{settings} {address:?}");
        }
    }

    #[actix_rt::test]
    async fn an_empty_list_of_who_is_allowed_lets_nobody_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.txt");
        fs::write(&path, "# nobody yet\n\n").expect("a file");

        assert_eq!(status(&json!({ "allow_files": [path] }), Some("10.0.0.1")).await, 403);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_by_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.txt");
        fs::write(&path, "10.0.0.0/8 # office\n10.0.0.0/33\nunix\nexample.com\n").expect("a file");

        let told = problems::<IpAccess>(json!({ "deny_files": [path, "no/such/file"] }));

        assert_eq!(told.len(), 2);
        assert_eq!(told[0].key, ["deny_files", "0"]);
        for expected in ["line 2: `10.0.0.0/33`", "line 3: `unix`", "line 4: `example.com`"] {
            assert!(told[0].what.contains(expected), "{}", told[0].what);
        }
        assert!(told[1].what.contains("`no/such/file` cannot be read"), "{}", told[1].what);
    }

    #[test]
    fn a_rule_about_nobody_is_a_problem() {
        assert_eq!(problems::<IpAccess>(json!({})).len(), 1);
    }
}
