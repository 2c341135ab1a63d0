//! What asking a condition costs: one comparison, the rule of a usual site, and the worst of what settings can hold.
//! `cargo bench --bench conditions`

use std::{hint::black_box, net::Ipv4Addr};

use aqueduct::{
    Exchange,
    exchange::{Client, Identity},
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, Uri, Version, downstream::Peer},
    language::{Condition, Template},
};
use criterion::{Criterion, criterion_group, criterion_main};

fn exchange() -> Exchange {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("cookie", "session=0123456789abcdef; theme=dark; beta=on"),
        ("x-tier", "gold"),
    ] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let client = Client::at(Peer::Tcp((Ipv4Addr::new(192, 0, 2, 1), 1).into()), true);
    let uri = Uri::from_static("/shop/items?page=2&sort=price");
    let mut exchange = Exchange::new(Method::GET, uri, Version::HTTP_11, headers, RequestBody::empty(), client);
    exchange.path = exchange.uri.path().to_owned();
    let claims = [("roles".to_owned(), serde_json::json!(["dev", "admin"]))].into_iter().collect();
    exchange.identities.push(Identity { scheme: "jwt", subject: Some("alice".into()), claims });
    exchange
}

fn conditions(criterion: &mut Criterion) {
    let exchange = exchange();
    let networks: Vec<_> = (0..100).map(|number| format!("'10.{number}.0.0/16'")).collect();
    for (name, text) in [
        ("method", "method == 'GET'".to_owned()),
        ("header", "header('x-tier') == 'gold'".into()),
        ("cookie", "cookie('beta') == 'on'".into()),
        ("query", "query('sort') == 'price'".into()),
        ("claim", "'admin' in claim('roles')".into()),
        ("regex", "header('user-agent') matches '(?i)bot|crawl|spider'".into()),
        ("internal", "path starts_with '/internal' and not client.ip in cidr('10.0.0.0/8', 'fd00::/8')".into()),
        (
            "site",
            "method in ['GET', 'HEAD'] and not path starts_with '/internal' and scheme == 'https' and has(cookie('session')) \
             and (header('x-tier') == 'gold' or query('page') == '1')"
                .into(),
        ),
        ("100 networks", format!("client.ip in cidr({})", networks.join(", "))),
    ] {
        let condition = Condition::parse(&text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        criterion.bench_function(&format!("holds/{name}"), |bencher| {
            bencher.iter(|| black_box(&condition).holds(black_box(&exchange)));
        });
    }
    for (name, text) in [("fixed", "gold"), ("address", "${client.ip}"), ("url", "${scheme}://${host}${path}?${query}")]
    {
        let template = Template::parse(text).expect("a template");
        criterion.bench_function(&format!("template/{name}"), |bencher| {
            bencher.iter(|| black_box(&template).field(black_box(&exchange)));
        });
    }
}

criterion_group!(benches, conditions);
criterion_main!(benches);
