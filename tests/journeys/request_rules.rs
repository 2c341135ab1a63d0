//! What requests may look like, and what does not help those that may not.

use super::{
    api_key::KEYS,
    support::{client::Response, origin::Origin, proxy::TestProxy},
};

async fn proxy(origin: &Origin, rules: &str) -> TestProxy {
    let url = origin.url();
    let text = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[server.http]\nmethods = [\"*\"]\n[routes]\n\"/\" = {{ to = \"{url}\", request_rules = {rules} }}\n"
    );
    TestProxy::with(&text).with_underscores().start().await
}

/// `GET /a` with these lines behind it.
async fn ask(proxy: &TestProxy, line: &str, fields: &str) -> Response {
    let host = if fields.to_ascii_lowercase().contains("host:") { "" } else { "Host: shop.example\r\n" };
    let method = line.split(' ').next().expect("a method");
    let mut client = proxy.connect().await;
    client.send(format!("{line} HTTP/1.1\r\n{host}{fields}\r\n")).await;
    client.read_response_to(method).await
}

#[actix_rt::test]
async fn what_is_as_it_should_be_passes_and_what_is_not_is_told_why() {
    let origin = Origin::answering("in").start().await;
    let rules = "{ methods = [\"GET\", \"POST\"], content_types = [\"application/json\"], max_query = \"16B\", \
                 query_names = [\"page\"], user_agents = { deny = [\"*bot*\"] }, deny = [\"path == '/internal'\"] }";
    let proxy = proxy(&origin, rules).await;
    let with_body = |kind: &str| format!("Content-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}");

    for (line, fields, status, reason, field) in [
        ("GET /a?page=1", "User-Agent: Mozilla/5.0\r\n", 200, "", None),
        ("HEAD /a", "", 200, "", None),
        ("POST /a", &*with_body("application/json"), 200, "", None),
        ("DELETE /a", "", 405, "this method", Some(("allow", "GET, POST, HEAD"))),
        ("get /a", "", 405, "this method", Some(("allow", "GET, POST, HEAD"))),
        ("POST /a", &*with_body("text/html"), 415, "content of this type", Some(("accept", "application/json"))),
        ("GET /a?page=12345678901234567890", "", 414, "the query is too long", None),
        ("GET /a?debug=1", "", 400, "the query has a name", None),
        ("GET /a", "User-Agent: evilbot\r\n", 403, "clients of this name", None),
        ("GET /internal", "", 403, "a rule is against", None),
    ] {
        let seen = origin.requests_seen();
        let answer = ask(&proxy, line, fields).await;

        assert_eq!(answer.status, status, "{line} {fields}");
        let told = answer.header("proxy-status").unwrap_or_default();
        assert!(told.contains(reason) && told.contains("request_rules") == (status != 200), "{line}: {told}");
        if let Some((name, value)) = field {
            assert_eq!(answer.header(name), Some(value), "{line}");
        }
        assert_eq!(origin.requests_seen() - seen, usize::from(status == 200), "{line}");
    }
}

#[actix_rt::test]
async fn a_rule_holds_however_a_request_is_spelled() {
    let origin = Origin::answering("in").start().await;
    let rules = r#"{ deny = [
        "path == '/internal' or path starts_with '/internal/'", "path matches '(?i)^/admin'", "path == '/a!b'",
        "host == 'admin.example'", "query('debug') == '1'", "cookie('debug') == '1'", "header('x-role') == 'guest'",
        "header('x-tier') != 'gold' and path == '/gold'", "client.ip in cidr('10.66.0.0/16')",
    ] }"#
        .replace('\n', "");
    let proxy = proxy(&origin, &rules).await;

    for (line, fields) in [
        // Other spellings of a path.
        ("GET /internal", ""),
        ("GET /internal/", ""),
        ("GET /%69nternal/x", ""),
        ("GET /%49nternal/../internal", ""),
        ("GET /./internal", ""),
        ("GET /a/../internal", ""),
        ("GET /a/%2e%2e/internal", ""),
        ("GET //internal", ""),
        ("GET /internal//x", ""),
        ("GET /internal?x", ""),
        ("GET http://shop.example/internal", ""),
        ("GET /ADMIN", ""),
        ("GET /aDm%69n/x", ""),
        ("GET /a!b", ""),
        ("GET /a%21b", ""),
        // Of a host.
        ("GET /", "Host: admin.example\r\n"),
        ("GET /", "Host: ADMIN.example:8080\r\n"),
        ("GET /", "Host: admin.example.\r\n"),
        ("GET http://admin.example/", "Host: shop.example\r\n"),
        // Of a query and of cookies, once and more than once.
        ("GET /?debug=1", ""),
        ("GET /?%64ebug=%31", ""),
        ("GET /?debug=0&debug=1", ""),
        ("GET /?debug=1&debug=0", ""),
        ("GET /", "Cookie: a=1; debug=1\r\n"),
        ("GET /", "Cookie: debug=\"1\"\r\n"),
        ("GET /", "cookie: debug=0\r\nCookie:debug = 1 ;x\r\n"),
        // Of fields.
        ("GET /", "X-Role: guest\r\n"),
        ("GET /", "x-ROLE:\t guest \r\n"),
        ("GET /", "X-Role: guest\r\nX-Role: staff\r\n"),
        ("GET /", "X-Role: staff\r\nX-Role: guest\r\n"),
        ("GET /gold", ""),
        ("GET /gold", "X_Tier: gold\r\n"),
        ("GET /gold", "X-Tier: gold, silver\r\n"),
        ("GET /gold", "X-Tier: gold\r\nX-Tier: silver\r\n"),
        ("GET /gold", "X-Tier: GOLD\r\n"),
        // Of an address, which a trusted proxy tells.
        ("GET /", "X-Forwarded-For: 10.66.0.1\r\n"),
        ("GET /", "X-Forwarded-For: ::ffff:10.66.0.1\r\n"),
        ("GET /", "Forwarded: for=\"[::ffff:0a42:0001]:4711\"\r\n"),
    ] {
        let status = ask(&proxy, line, fields).await.status;

        assert!(status == 403, "{line} {fields}: {status}");
    }
    assert_eq!(origin.requests_seen(), 0);
    for (line, fields) in [
        ("GET /internals", ""),
        ("GET /gold", "X-Tier: gold\r\n"),
        ("GET /?Debug=1", "X_Role: guest\r\n"),
        ("GET /", "Host: a.admin.example\r\n"),
    ] {
        assert_eq!(ask(&proxy, line, fields).await.status, 200, "{line} {fields}");
    }
}

#[actix_rt::test]
async fn who_must_be_let_in_is_so_only_for_sure() {
    let origin = Origin::answering("in").start().await;
    let rules = r#"{ allow = ["header('x-role') == 'staff' and not client.ip in cidr('10.66.0.0/16')", "path starts_with '/public/'"] }"#;
    let proxy = proxy(&origin, rules).await;

    for (line, fields, expected) in [
        ("GET /", "X-Role: staff\r\n", 200),
        ("GET /public/x", "", 200),
        ("GET /", "", 403),
        ("GET /", "X-Role:\r\n", 403),
        ("GET /", "X-Role: Staff\r\n", 403),
        ("GET /", "X_Role: staff\r\n", 403),
        ("GET /", "X-Role: staff\r\nX-Role: guest\r\n", 403),
        ("GET /", "X-Role: guest\r\nX-Role: staff\r\n", 403),
        ("GET /", "X-Role: guest, staff\r\n", 403),
        ("GET /", "X-Role: staff\r\nConnection: close, x-role\r\n", 403),
        ("GET /", "X-Role: staff\r\nX-Forwarded-For: ::ffff:10.66.0.1\r\n", 403),
        ("GET /public", "", 403),
        ("GET /public/../x", "", 403),
        ("GET /public/%2e%2e/x", "", 403),
        ("GET /public/..%2fx", "", 400),
        ("GET /public/..\\x", "", 400),
        ("GET /x?/public/", "", 403),
        ("GET /Public/x", "", 403),
    ] {
        assert_eq!(ask(&proxy, line, fields).await.status, expected, "{line} {fields}");
    }
}

#[actix_rt::test]
async fn no_field_asks_for_a_method_that_may_not_come() {
    let origin = Origin::answering("in").start().await;
    let proxy = proxy(&origin, "{ methods = [\"GET\", \"POST\"] }").await;

    for (line, fields, expected) in [
        ("POST /", "Content-Length: 0\r\n", 200),
        ("POST /", "Content-Length: 0\r\nX-HTTP-Method-Override: get\r\n", 200),
        ("POST /", "Content-Length: 0\r\nX-HTTP-Method-Override: DELETE\r\n", 405),
        ("POST /", "Content-Length: 0\r\nx-http-method: delete\r\n", 405),
        ("POST /", "Content-Length: 0\r\nX-Method-Override: PUT\r\n", 405),
        ("POST /", "Content-Length: 0\r\nX_HTTP_METHOD_OVERRIDE: PUT\r\n", 405),
        ("POST /", "Content-Length: 0\r\nX-HTTP-Method-Override: GET\r\nX-HTTP-Method-Override: PUT\r\n", 405),
        ("POST /", "Content-Length: 0\r\nX-HTTP-Method-Override: GET, PUT\r\n", 405),
        ("TRACE /", "", 405),
        ("BREW /", "", 405),
        ("POST /", "Transfer-Encoding: chunked\r\n\r\n0\r\n", 200),
    ] {
        assert_eq!(ask(&proxy, line, fields).await.status, expected, "{line} {fields}");
    }
}

#[actix_rt::test]
async fn content_needs_a_type_that_is_listed_however_it_comes() {
    let origin = Origin::echo().start().await;
    let proxy = proxy(&origin, "{ content_types = [\"application/json\", \"text/*\"] }").await;
    let chunked = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n";
    let counted = "Content-Length: 2\r\n\r\n{}";

    for (kinds, framing, expected) in [
        ("Content-Type: application/json\r\n", counted, 200),
        ("content-type:Application/JSON ;charset=x\r\n", chunked, 200),
        ("Content-Type: text/csv\r\n", counted, 200),
        ("", "", 200),
        ("", counted, 415),
        ("", chunked, 415),
        ("Content_Type: application/json\r\n", counted, 415),
        ("Content-Type: multipart/form-data; boundary=application/json\r\n", counted, 415),
        ("Content-Type: application/json\r\nContent-Type: image/png\r\n", counted, 415),
        ("Content-Type: application/json, image/png\r\n", chunked, 415),
        ("Content-Type: text/\r\n", counted, 415),
    ] {
        let end = if framing.is_empty() { "" } else { framing };
        let answer = ask(&proxy, "POST /", &format!("{kinds}{end}")).await;

        assert_eq!(answer.status, expected, "{kinds} {framing}");
    }
}

#[actix_rt::test]
async fn nobody_says_of_himself_what_he_may_do() {
    let origin = Origin::answering("in").start().await;
    let text = format!(
        "[routes]\n\"/\" = {{ to = \"{}\", authorize = {{ allow = [\"claim('sub') == 'root' or 'admin' in claim('roles')\"] }} }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for fields in [
        "",
        "sub: root\r\nroles: admin\r\n",
        "X-User: root\r\nX_User: root\r\nclaim.sub: root\r\n",
        "Authorization: Basic cm9vdDpyb290\r\n",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.\r\n",
        "Cookie: sub=root; roles=admin\r\n",
    ] {
        let answer = ask(&proxy, "GET /?sub=root&roles=admin", fields).await;

        assert_eq!(answer.status, 403, "{fields}");
        assert!(
            answer.header("proxy-status").is_some_and(|told| told.contains("authorize: no rule is for")),
            "{fields}"
        );
    }
    assert_eq!(origin.requests_seen(), 0);
}

#[actix_rt::test]
async fn who_has_proved_who_he_is_may_do_what_is_his_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, KEYS).expect("a file");
    let origin = Origin::answering("in").start().await;
    let text = format!(
        "[routes.\"/\"]\nto = {:?}\napi_key = {{ keys = {keys:?} }}\n\
         authorize = {{ allow = [\"'writer' in claim('roles')\", \"method == 'GET' and path == '/bill'\"], deny = [\"path == '/shut'\"] }}\n\
         header_rules = {{ response = {{ set = {{ x-was = '${{claim.sub}}' }} }} }}\n",
        origin.url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for (line, key, status, was) in [
        ("GET /", "secret-of-shop", 200, Some("shop")),
        ("GET /bill", "secret-of-bill", 200, Some("bill")),
        ("GET /", "secret-of-bill", 403, None),
        ("DELETE /bill", "secret-of-bill", 403, None),
        ("GET /shut", "secret-of-shop", 403, None),
        ("GET /%73hut", "secret-of-shop", 403, None),
        ("GET /bill", "guessed", 401, None),
    ] {
        let answer = ask(&proxy, line, &format!("X-Api-Key: {key}\r\nroles: writer\r\n")).await;

        assert_eq!((answer.status, answer.header("x-was")), (status, was), "{line} {key}");
    }
}

#[actix_rt::test]
async fn a_list_of_a_hundred_thousand_names_keeps_out_those_that_are_on_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("agents.txt");
    let ends = |number: usize| if number.is_multiple_of(2) { "*" } else { "" };
    let lines: String = (0..100_000).map(|number| format!("{}Bot{number:05}/*\n", ends(number))).collect();
    std::fs::write(&list, format!("# known bad ones\n{lines}*Scrape*/9\n")).expect("a file");
    let origin = Origin::answering("in").start().await;
    let proxy =
        proxy(&origin, &format!("{{ user_agents = {{ deny = [\"curl/*\"], deny_files = [{list:?}] }} }}")).await;

    for (name, expected) in [
        ("Mozilla/5.0", 200),
        ("bot99999/1", 403),
        ("BOT00001/", 403),
        ("a bot00001/", 200),
        ("a bot00002/1", 403),
        ("bot100000/1", 200),
        ("bot00002", 200),
        ("scraper/9", 403),
        ("scraper/8", 200),
        ("curl/8", 403),
        ("# known bad ones", 200),
        ("Mozilla/5.0\r\nUser-Agent: bot99999/1", 403),
        ("\"bot00001/\"", 200),
        ("bot\u{e4}/1", 200),
    ] {
        let status = ask(&proxy, "GET /", &format!("User-Agent: {name}\r\n")).await.status;

        assert_eq!(status, expected, "{name}");
    }
}
