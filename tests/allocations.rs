//! What the hot path may allocate, counted.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use aqueduct::{
    http::Method,
    routing::{Entry, Lookup, Table},
};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more, and nobody asks for it.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often this thread allocates meanwhile.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn finding_a_route_allocates_nothing() {
    let patterns = ["/", "/api", "GET /api/", "=/health", "a.example/", "*.example/x/y", "~^/v(?<major>[0-9]+)/"];
    let entry = |text: &str| Entry { pattern: text.parse().expect("a pattern"), priority: 0, value: () };
    let table = Table::build(patterns.map(entry).into()).expect("no ties");
    let find_all = || {
        for host in ["", "a.example", "b.a.example", "elsewhere.test"] {
            for path in ["/", "/api/orders/7", "/health", "/x/y/z", "/v12/users", "/v/users"] {
                std::hint::black_box(table.find(&Lookup { method: &Method::GET, host, path }));
            }
        }
    };
    // A regular expression makes its working memory when a thread uses it first.
    find_all();

    assert_eq!(allocations_of(find_all), 0);
}
