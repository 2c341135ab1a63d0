//! Another path and query for endpoints.

use super::support::{origin::Origin, proxy::TestProxy};

/// The target that the endpoint has seen.
fn target(seen: &str) -> &str {
    seen.split(' ').nth(1).expect("a target")
}

#[actix_rt::test]
async fn endpoints_are_asked_for_what_is_made_of_it() {
    let origin = Origin::echo().start().await;
    let url = origin.url();
    let text = format!(
        "[routes]\n\
         \"~^/v(?<major>[0-9]+)/\" = {{ to = \"{url}/base\", rewrite = {{ path = \"/compat/${{group.major}}/${{rest}}\" }} }}\n\
         \"/shop\" = {{ to = {url:?}, rewrite = {{ strip_prefix = \"/shop\", query = {{ remove = [\"utm_*\"], set = {{ v = \"2\" }} }} }} }}\n\
         \"/split\" = {{ to = {{ \"{url}/a\" = 1 }}, strip = true, rewrite = {{ path = \"/x${{rest}}\" }} }}\n\
         \"/query\" = {{ to = {url:?}, strip = true, rewrite = {{ query = {{ remove = [\"a\"] }} }} }}\n\
         \"/\" = {{ to = {url:?}, rewrite = {{ regex = {{ find = \"\\\\.jpe?g$\", with = \".webp\" }} }} }}\n"
    );
    let proxy = TestProxy::with(&text).start().await;
    for (asked, expected) in [
        ("/v12/users/7?a=b", "/base/compat/12/users/7?a=b"),
        ("/v12/", "/base/compat/12/"),
        ("/v1/%2e%2e/a", "/a"),
        ("/v1//evil.example/", "/base/compat/1/evil.example/"),
        ("/shop/a?utm_source=x&id=1", "/a?id=1&v=2"),
        ("/shop?%75tm_medium=x", "/?v=2"),
        ("/split/a?b", "/a/x/a?b"),
        ("/query/x?a=1&b=2", "/x?b=2"),
        ("/a.jpg?x", "/a.webp?x"),
        ("/a.png", "/a.png"),
    ] {
        let seen = proxy.get(asked).await.text();

        assert_eq!(target(&seen), expected, "{asked}");
        assert!(seen.to_lowercase().contains(&format!("\nhost: {}\n", proxy.address)), "the host stays: {seen}");
    }
}

#[actix_rt::test]
async fn what_would_climb_is_refused_and_never_sent() {
    let origin = Origin::echo().start().await;
    let text = format!(
        "[routes]\n\"/\" = {{ to = {:?}, rewrite = {{ path = \"/tenants/${{header.x-tenant}}/${{rest}}\" }} }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (tenant, status) in [
        ("a", 200),
        ("..", 400),
        (".", 400),
        ("../b", 400),
        ("%2e%2e", 200),
        ("a/../../b", 400),
        ("a\\..\\b", 400),
        ("http://evil.example", 400),
    ] {
        let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nConnection: close\r\n\r\n");
        let answer = proxy.send(request).await;

        assert_eq!(answer.status, status, "{tenant}");
        if status == 200 {
            let seen = answer.text();
            assert!(target(&seen).starts_with("/tenants/") && !target(&seen).contains(".."), "{seen}");
        }
    }
    assert_eq!(origin.requests_seen(), 2);
}
