//! What the rules of the cache cost: looking at a stored answer, for a plain request and for one with wishes; what is
//! worked out when one is stored. `cargo bench --bench cache_rules`

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use aqueduct::{
    cache::{
        key::{Key, KeyRules, Parameter, QueryRule, Target},
        policy::{Ask, Rules, Times, answer, lookup, store},
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};
use criterion::{Criterion, criterion_group, criterion_main};

const TARGET: Target<'static> = Target {
    secure: true,
    authority: "shop.example",
    path: "/shop/items",
    query: Some("page=2&utm_source=x&sort=price"),
};

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn looking(criterion: &mut Criterion) {
    let browser = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", "theme=dark"),
    ];
    let plain = fields(&browser);
    let wishing = fields(&[&browser[..], &[("cache-control", "max-age=600"), ("if-none-match", "\"b\"")]].concat());
    let rules = Rules::default();
    let now = SystemTime::now();
    let later = now + Duration::from_secs(5);
    let times = Times { asked: now, answered: now };
    let answer_of = |vary: &[(&'static str, &'static str)]| {
        fields(
            &[&[("cache-control", "public, max-age=600"), ("etag", "\"a\""), ("content-type", "text/html")], vary]
                .concat(),
        )
    };
    for (name, vary, request) in [
        ("plain", &[][..], &plain),
        ("vary", &[("vary", "accept-encoding")], &plain),
        ("wishes", &[("vary", "accept-encoding")], &wishing),
    ] {
        let fields = answer_of(vary);
        let ask = Ask::of(&Method::GET, TARGET, request, false, &rules);
        let head = store(&ask, StatusCode::OK, &fields, times, &rules).expect("it may be stored");
        criterion.bench_function(&format!("hit/{name}"), |bencher| {
            bencher.iter(|| {
                let ask = Ask::of(&Method::GET, TARGET, black_box(request), false, &rules);
                (lookup(&ask, black_box(&head), later), answer(&ask, &head, Some(1000)))
            });
        });
        criterion.bench_function(&format!("store/{name}"), |bencher| {
            bencher.iter(|| store(&ask, StatusCode::OK, black_box(&fields), times, &rules));
        });
    }
}

fn keys(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    let without = QueryRule::Without(vec![Parameter::parse("utm_*").expect("a name")]);
    for (name, rules) in
        [("whole", KeyRules::default()), ("without", KeyRules { query: without, sorts: true, ..KeyRules::default() })]
    {
        criterion.bench_function(&format!("key/{name}"), |bencher| {
            bencher.iter(|| Key::of(black_box(&rules), black_box(TARGET), &headers));
        });
    }
}

criterion_group!(benches, looking, keys);
criterion_main!(benches);
