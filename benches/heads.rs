//! The heads of an exchange with an endpoint: reading an answer's, writing a request's. `cargo bench --bench heads`

use std::hint::black_box;

use aqueduct::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, RequestBody, header},
    transport::{
        Outgoing, Timeouts,
        h1::{head, read_all},
    },
};
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// What a small service answers, and what an application behind a framework answers.
const ANSWERS: [(&str, &str); 2] = [
    (
        "small",
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    ),
    (
        "application",
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\nVary: Accept-Encoding, Origin\r\n\
         Cache-Control: private, max-age=0, must-revalidate\r\nETag: W/\"5f-0a1b2c3d4e5f\"\r\n\
         Set-Cookie: session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; Secure; SameSite=Lax\r\n\
         Set-Cookie: theme=dark; Path=/\r\nX-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n\
         Strict-Transport-Security: max-age=31536000; includeSubDomains\r\nReferrer-Policy: same-origin\r\n\
         X-Request-Id: 018f3c5e-7b1a-7c3d-9e2f-0123456789ab\r\nX-Runtime: 0.013\r\nConnection: keep-alive\r\n\r\n{}",
    ),
];

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, answer) in ANSWERS {
        group.throughput(Throughput::Bytes(answer.len() as u64));
        group.bench_function(BenchmarkId::new("head", name), |bencher| {
            let fill = || BytesMut::from(answer);
            bencher.iter_batched(fill, |mut buffer| head::parse(black_box(&mut buffer)), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("whole", name), |bencher| {
            bencher.iter(|| read_all(&Method::GET, black_box(answer.as_bytes())));
        });
    }
    group.finish();
}

fn request(fields: &[(&'static str, &'static str)], body: RequestBody) -> Outgoing {
    let field =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut headers: HeaderMap = fields.iter().map(field).collect();
    headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
    Outgoing {
        method: Method::GET,
        target: "/area/service/orders/7?limit=20".to_owned(),
        headers,
        added: b"via: 1.1 aqueduct\r\nx-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\n".to_vec(),
        body,
        upgrade: None,
        fresh: false,
        preamble: None,
        timeouts: Timeouts { connect: None, first_byte: None, idle: None, total: None },
        downstream: None,
        connected: None,
    }
}

fn writes(criterion: &mut Criterion) {
    let browser = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
        ("referer", "https://shop.example/area"),
    ];
    let mut group = criterion.benchmark_group("write");
    for (name, request) in [
        ("small", request(&[("accept", "*/*")], RequestBody::empty())),
        ("browser", request(&browser, RequestBody::empty())),
        ("upload", request(&browser, RequestBody::buffered(Bytes::from_static(&[0; 4096])))),
    ] {
        let mut lines = Vec::with_capacity(1024);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                lines.clear();
                head::write(black_box(&request), &mut lines);
                lines.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reads, writes);
criterion_main!(benches);
