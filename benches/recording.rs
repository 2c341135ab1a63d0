//! What is recorded of each request when somebody may ask for metrics, with the looks at the clock that it takes: three, or
//! two where the answer came as a whole.
//! `cargo bench --bench recording`; the same in a whole proxy: `benches/load/run --peers aqueduct,aqueduct-counted`.

use std::{hint::black_box, rc::Rc, sync::Arc, time::Instant};

use aqueduct::{
    exchange::{Facts, Subject},
    http::StatusCode,
    telemetry::metrics::{Ledger, Recorder, Tally},
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// As a request does it: when its head has come, when its answer's has, and when all is over.
fn record(recorder: &Rc<Recorder>, facts: &mut Facts, subject: Subject, is_whole: bool) {
    facts.started = Instant::now();
    facts.subject = subject;
    facts.attempts = 1;
    facts.first_byte = Some(facts.started.elapsed());
    let mut tally = Tally::of(recorder, facts);
    if is_whole {
        tally.came_whole();
    }
    tally.over(black_box(StatusCode::OK), black_box(128));
}

fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recording");
    group.bench_function("two looks at the clock", |bencher| bencher.iter(|| black_box(Instant::now().elapsed())));
    // Of a thousand pages most have left the cache when it is their turn again.
    for (name, routes, is_whole) in [("streamed", 1, false), ("whole", 1, true), ("whole", 1_000, true)] {
        let ledger = Ledger::default();
        let subject = |number: usize| ledger.subject(&Arc::from(format!("/{number}/")), &Arc::from("shop"), routes);
        let subjects: Vec<Subject> = (0..routes).map(subject).collect();
        let (recorder, mut facts, mut turn) = (ledger.recorder(), Facts::unknown(), 0);
        group.bench_function(BenchmarkId::new(name, routes), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % routes;
                record(&recorder, &mut facts, subjects[turn], is_whole);
            });
        });
        let counted: u64 = ledger.sums().iter().map(|(_, sums)| sums.classes[1]).sum();
        assert!(counted > 0, "nothing was recorded");
    }
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
