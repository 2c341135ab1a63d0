//! What one more route costs, in memory and in work: the same however many there are.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fmt::Write,
};

use aqueduct::{kinds::Kinds, plan::Plan, settings::Layers};

/// The system's allocator, counting what each thread asks of it and gives back.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
    static GIVEN_BACK: Cell<usize> = const { Cell::new(0) };
}

fn count(held: isize, counter: &'static std::thread::LocalKey<Cell<usize>>) {
    // A thread that ends has no counters any more, and nobody asks for them.
    let _ = HELD.try_with(|all| all.set(all.get() + held));
    let _ = counter.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, &ASKED);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), &GIVEN_BACK);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize, &ASKED);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// So many routes as people write them, to an upstream for each hundred.
fn settings(routes: usize) -> String {
    let mut text = String::from("[routes]\n");
    for route in 0..routes {
        let to = route / 100;
        let _ = match route % 10 {
            0 => writeln!(text, "\"/shop/area{route}\" = {{ to = \"up{to}\", strip = true }}"),
            1..=3 => writeln!(text, "\"site{route}.example/\" = \"up{to}\""),
            4 => writeln!(text, "\"GET /api/v1/things{route}\" = \"up{to}\""),
            _ => writeln!(text, "\"/service{route}/api\" = \"up{to}\""),
        };
    }
    for upstream in 0..routes.div_ceil(100) {
        let _ = writeln!(text, "[upstreams.up{upstream}]\nservers = [\"http://127.0.0.1:{}\"]", 1000 + upstream);
    }
    text
}

/// A plan with where its settings were written, as a server keeps both.
fn drawn(text: &str, before: Option<&Plan>) -> (Plan, aqueduct::settings::Origins) {
    let layers = Layers::new().text("aqueduct.toml", text);
    layers.read().draw(|settings| Plan::draw(settings, &Kinds::built_in(), before)).expect("good settings")
}

/// Bytes that are held, and how often memory was asked for, for each of so many routes.
fn cost(routes: usize) -> (f64, f64) {
    let text = settings(routes);
    let before = (HELD.get(), ASKED.get());
    let drawn = drawn(&text, None);
    let each = |sum: f64| sum / routes as f64;
    let cost = (each((HELD.get() - before.0) as f64), each((ASKED.get() - before.1) as f64));
    drop(drawn);
    cost
}

#[test]
fn a_route_takes_as_much_memory_and_work_among_32_000_as_among_2_000() {
    let (bytes, asked) = cost(2_000);
    let (bytes_of_many, asked_of_many) = cost(32_000);

    assert!(bytes_of_many < bytes * 1.1, "{bytes_of_many:.0} bytes each, of few {bytes:.0}");
    assert!(asked_of_many < asked * 1.1, "{asked_of_many:.1} times each, of few {asked:.1}");
    assert!(bytes_of_many < 1_500.0, "{bytes_of_many:.0} bytes each");
}

#[test]
fn who_lets_go_of_a_large_plan_last_has_little_to_do() {
    let (plan, origins) = drawn(&settings(10_000), None);

    let before = GIVEN_BACK.get();
    drop(plan);
    let given_back = GIVEN_BACK.get() - before;

    // It may be a worker, between two requests. Names of what is counted go with the last who has them, here or elsewhere: a thousand
    // at most; the plan has a hundred times as many pieces.
    assert!(given_back < 3_000, "{given_back} pieces of memory");
    drop(origins);
}

#[test]
fn the_next_plan_keeps_the_upstreams_that_are_written_as_before() {
    let (text, other) = (settings(10_000), settings(10_000).replace("/shop/area0\"", "/shop/other\""));
    let (before, _origins) = drawn(&text, None);

    let (after, _origins) = drawn(&other, Some(&before));

    assert!(before.upstreams.iter().all(|(name, upstream)| std::sync::Arc::ptr_eq(upstream, &after.upstreams[name])));
}
