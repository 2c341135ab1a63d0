//! What is recorded of each request when somebody may ask for metrics, with the three looks at the clock that it takes.
//! `cargo bench --bench recording`; the same in a whole proxy: `benches/load/run --peers aqueduct,aqueduct-counted`.

use std::{hint::black_box, rc::Rc, sync::Arc, time::Instant};

use aqueduct::{
    exchange::{Facts, Subject},
    http::StatusCode,
    telemetry::metrics::{Ledger, Recorder, Tally},
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// As a request does it: when its head has come, when its answer's has, and when all is over.
fn record(recorder: &Rc<Recorder>, facts: &mut Facts, subject: Subject) {
    facts.started = Instant::now();
    facts.subject = subject;
    facts.attempts = 1;
    facts.first_byte = Some(facts.started.elapsed());
    Tally::of(recorder, facts).over(black_box(StatusCode::OK), black_box(128));
}

fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recording");
    group.bench_function("the clock alone", |bencher| {
        bencher.iter(|| {
            let began = Instant::now();
            black_box((began.elapsed(), began.elapsed()))
        });
    });
    // Of a thousand pages most have left the cache when it is their turn again.
    for routes in [1, 1_000] {
        let ledger = Ledger::default();
        let subject = |number: usize| ledger.subject(&Arc::from(format!("/{number}/")), &Arc::from("shop"), routes);
        let subjects: Vec<Subject> = (0..routes).map(subject).collect();
        let (recorder, mut facts, mut turn) = (ledger.recorder(), Facts::unknown(), 0);
        group.bench_function(BenchmarkId::new("routes", routes), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % routes;
                record(&recorder, &mut facts, subjects[turn]);
            });
        });
        let counted: u64 = ledger.sums().iter().map(|(_, sums)| sums.classes[1]).sum();
        assert!(counted > 0, "nothing was recorded");
    }
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
