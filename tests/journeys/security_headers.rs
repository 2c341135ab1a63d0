//! What browsers are told to be careful with.

use super::support::{
    client::Response,
    origin::Origin,
    proxy::TestProxy,
    tls::{Authority, connect},
};

/// What the Mozilla HTTP Observatory looks at in the fields of an answer, each criterion with its modifiers, the best one first: a
/// site begins with 100, penalties are taken off, and from 90 on there is extra credit.
/// (mdn/mdn-http-observatory, src/grader/charts.js.)
const OBSERVATORY: [Criterion; 8] = [
    Criterion {
        about: "Content Security Policy",
        modifiers: &[
            (10, "default-src is none, nothing unsafe", |site| {
                site.policy().default_is_none() && !site.policy().has_unsafe_style()
            }),
            (5, "nothing unsafe", |site| site.policy().is_restrictive() && !site.policy().has_unsafe_style()),
            (0, "unsafe only in style-src", |site| site.policy().is_restrictive()),
            (-20, "unsafe", |site| site.fields("content-security-policy").len() == 1),
            (-25, "none", |_| true),
        ],
    },
    Criterion {
        about: "Cookies",
        modifiers: &[
            (0, "no cookies", |site| site.fields("set-cookie").is_empty()),
            (-20, "not looked at here", |_| true),
        ],
    },
    Criterion {
        about: "Cross Origin Resource Sharing",
        modifiers: &[
            (0, "not for others, or without credentials", |site| {
                site.fields("access-control-allow-credentials").is_empty()
            }),
            (-50, "for all, with credentials", |_| true),
        ],
    },
    Criterion {
        about: "Referrer Policy",
        modifiers: &[
            (5, "private", |site| {
                let private = ["no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"];
                matches!(site.fields("referrer-policy")[..], [only] if private.contains(&only))
            }),
            (0, "none", |site| site.fields("referrer-policy").is_empty()),
            (-5, "unsafe", |_| true),
        ],
    },
    Criterion {
        about: "Strict Transport Security",
        modifiers: &[
            (0, "at least six months", |site| site.hsts() >= Some(15_768_000)),
            (-10, "less than six months", |site| site.hsts().is_some()),
            (-20, "none", |_| true),
        ],
    },
    Criterion {
        about: "X-Content-Type-Options",
        modifiers: &[
            (0, "nosniff", |site| site.fields("x-content-type-options") == ["nosniff"]),
            (-5, "none", |_| true),
        ],
    },
    Criterion {
        about: "X-Frame-Options",
        modifiers: &[
            (5, "by frame-ancestors", |site| {
                matches!(site.policy().sources("frame-ancestors"), Some(["'none'" | "'self'"]))
            }),
            (0, "DENY or SAMEORIGIN", |site| matches!(site.fields("x-frame-options")[..], ["DENY" | "SAMEORIGIN"])),
            (-20, "none", |_| true),
        ],
    },
    Criterion {
        about: "Cross Origin Resource Policy",
        modifiers: &[
            (10, "same origin or site", |site| {
                matches!(site.fields("cross-origin-resource-policy")[..], ["same-origin" | "same-site"])
            }),
            (0, "none, or for all", |_| true),
        ],
    },
];
// Two criteria are not about fields. Subresource integrity is about what a page says, and 0 for one without scripts of others. The redirection
// from plain HTTP is what `redirect_http` does: without it, and with plain HTTP served, it costs 20 points and what is extra.

struct Criterion {
    about: &'static str,
    modifiers: &'static [Modifier],
}

/// Points, what for, and whether a site is one of these.
type Modifier = (i32, &'static str, fn(&Site<'_>) -> bool);

struct Site<'r>(&'r Response);

struct Policy<'r>(Vec<(&'r str, Vec<&'r str>)>);

impl Site<'_> {
    fn fields(&self, name: &str) -> Vec<&str> {
        self.0.headers(name)
    }

    fn hsts(&self) -> Option<u64> {
        let [only] = self.fields("strict-transport-security")[..] else { return None };
        only.split(';').find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok())
    }

    fn policy(&self) -> Policy<'_> {
        let directives = self.fields("content-security-policy").into_iter().flat_map(|value| value.split(';'));
        Policy(
            directives
                .filter_map(|directive| {
                    let mut words = directive.split_whitespace();
                    Some((words.next()?, words.collect()))
                })
                .collect(),
        )
    }
}

const TOO_BROAD: [&str; 8] = ["ftp:", "http:", "https:", "*", "http://*", "http://*.*", "https://*", "https://*.*"];

impl Policy<'_> {
    fn sources(&self, name: &str) -> Option<&[&str]> {
        self.0.iter().find(|(directive, _)| *directive == name).map(|(_, sources)| &sources[..])
    }

    fn of(&self, name: &str) -> &[&str] {
        self.sources(name).or_else(|| self.sources("default-src")).unwrap_or(&["*"])
    }

    fn default_is_none(&self) -> bool {
        self.is_restrictive() && self.sources("default-src") == Some(&["'none'"])
    }

    fn is_restrictive(&self) -> bool {
        let unsafe_scripts = ["'unsafe-inline'", "'unsafe-eval'", "data:"];
        let scripts = self.of("script-src");
        !scripts.iter().any(|source| TOO_BROAD.contains(source) || unsafe_scripts.contains(source))
            && !self.of("object-src").iter().any(|source| TOO_BROAD.contains(source))
            && !self.0.iter().any(|(_, sources)| sources.iter().any(|source| source.starts_with("http:")))
            && !self.of("style-src").contains(&"'unsafe-eval'")
    }

    fn has_unsafe_style(&self) -> bool {
        self.of("style-src")
            .iter()
            .any(|source| TOO_BROAD.contains(source) || ["'unsafe-inline'", "data:"].contains(source))
    }
}

/// The score, and what it is made of.
fn observed(response: &Response) -> (i32, Vec<String>) {
    let site = Site(response);
    let results = OBSERVATORY.map(|Criterion { about, modifiers }| {
        let (points, why, _) = modifiers.iter().find(|(_, _, is)| is(&site)).expect("the last one takes all");
        (*points, format!("{points:+} {about}: {why}"))
    });
    let base = 100 + results.iter().map(|(points, _)| (*points).min(0)).sum::<i32>();
    let credit: i32 = results.iter().map(|(points, _)| (*points).max(0)).sum();
    let score = if base >= 90 { base + credit } else { base.max(0) };
    (score, results.map(|(_, told)| told).to_vec())
}

const A_PLUS: i32 = 100;

#[actix_rt::test]
async fn with_nothing_said_but_true_the_observatory_gives_a_plus_to_pages_and_to_errors() {
    let origin = Origin::replying("HTTP/1.1 200 OK\r\nServer: x/1\r\nX-Powered-By: y\r\nContent-Length: 1\r\n\r\na");
    let (authority, origin) = (Authority::new(), origin.start().await);
    authority.issue("shop", &["shop.example"]);
    let text = format!(
        "{}[defaults]\nsecurity_headers = true\n[routes]\n\"/\" = {:?}\n\"/bare\" = {{ to = {:?}, security_headers = false }}\n\
         \"/broken\" = \"http://{}\"\n\"/strict\" = {{ to = {:?}, security_headers = {{ csp = \"default-src 'none'; frame-ancestors 'none'\" }} }}\n",
        authority.listener(&["shop"]),
        origin.url(),
        origin.url(),
        super::support::client::refusing(),
        origin.url(),
    );
    let proxy = TestProxy::with(&text).start().await;
    let mut client = connect(proxy.address, "shop.example", authority.client()).await;

    for (path, status, least, most) in
        [("/", 200, A_PLUS, 200), ("/broken", 502, A_PLUS, 200), ("/strict", 200, 125, 200), ("/bare", 200, 0, 30)]
    {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html\r\n\r\n")).await;
        let answer = client.read_response().await;

        let (score, results) = observed(&answer);
        assert_eq!(answer.status, status, "{path}");
        assert!((least..=most).contains(&score), "{path}: {score}\n{}", results.join("\n"));
        assert_eq!(answer.headers("server").is_empty(), path != "/bare");
    }
}

#[actix_rt::test]
async fn in_the_clear_nobody_is_told_to_come_by_https() {
    let origin = Origin::replying(
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nX-Content-Type-Options: no\r\nContent-Length: 1\r\n\r\na",
    );
    let origin = origin.start().await;
    let text = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[defaults]\nsecurity_headers = true\n[routes]\n\"/\" = {:?}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    let clear = proxy.get("/").await;
    let behind_a_proxy =
        proxy.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n").await;

    assert_eq!(clear.headers("strict-transport-security"), [""; 0]);
    assert_eq!(clear.headers("x-content-type-options"), ["nosniff"]);
    assert_eq!(behind_a_proxy.headers("strict-transport-security"), ["max-age=31536000"]);
}

#[actix_rt::test]
async fn a_connection_that_becomes_another_is_left_alone_but_for_what_the_endpoint_runs_on() {
    let origin = Origin::script(|mut conn, _| async move {
        conn.any_request().await;
        let _ = conn
            .try_write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\nServer: y/1\r\n\r\n")
            .await;
    });
    let origin = origin.start().await;
    let proxy = TestProxy::with(&format!("[routes]\n\"/\" = {{ to = {:?}, security_headers = true }}\n", origin.url()))
        .start()
        .await;

    let answer = proxy.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;

    assert_eq!((answer.status, answer.header("server"), answer.header("x-frame-options")), (101, None, None));
}
