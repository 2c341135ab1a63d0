//! Looking up a route among 10, 1,000 and 100,000: the times should be the same. `cargo bench --bench routing`

use std::hint::black_box;

use aqueduct::{
    http::Method,
    routing::{Entry, Lookup, Table},
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn table(routes: usize) -> Table<()> {
    let pattern = |n: usize| match n % 10 {
        0 => format!("h{n}.example/"),
        1 => format!("*.t{n}.example/area1"),
        2 => format!("=/exact/{n}"),
        3 => format!("GET /area{}/service{}/r{n}", n % 7, n % 13),
        4 => format!("~^/user{n:06}/(?<id>[0-9]+)"),
        _ => format!("/area{}/service{}/r{n}", n % 7, n % 13),
    };
    let always =
        ["~^/user000000/(?<id>[0-9]+)", "/area1/service1/r1", "h1.example/area1", "*.t1.example/area1", "=/exact/1"]
            .map(String::from);
    let text = always.into_iter().chain((2..).map(pattern)).take(routes);
    let entry = |text: String| Entry { pattern: text.parse().expect("a pattern"), priority: 0, value: () };
    Table::build(text.map(entry).collect()).expect("no ties")
}

fn lookups(criterion: &mut Criterion) {
    for (name, host, path) in [
        ("prefix", "localhost", "/area1/service1/r1/orders/7"),
        ("exact", "localhost", "/exact/1"),
        ("host", "h1.example", "/area1/service1/r1"),
        ("wildcard", "x.y.t1.example", "/area1/x"),
        ("regex", "localhost", "/user000000/12"),
        ("none", "localhost", "/nothing/takes/this"),
    ] {
        let mut group = criterion.benchmark_group(name);
        for routes in [10, 1_000, 100_000] {
            let table = table(routes);
            let lookup = Lookup { method: &Method::GET, host, path };
            group.bench_with_input(BenchmarkId::from_parameter(routes), &table, |bencher, table| {
                bencher.iter(|| table.find(black_box(&lookup)).map(|found| found.index));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, lookups);
criterion_main!(benches);
