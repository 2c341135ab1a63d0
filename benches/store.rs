//! What the cache's memory takes for each answer beyond the answer itself, how near to its limit it stays, and what it costs to put one in and to
//! find it, with a thousand answers and with a million.
//!
//! `cargo bench --bench store`

use std::{
    env, fs,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use aqueduct::{
    cache::{
        content::Content,
        entry::{Entry, moment, now},
        key::{Key, KeyRules, Target},
        policy::{self, Ask, Rules, Times},
        store::memory::Memory,
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
/// What an endpoint says of its answer.
const FIELDS: [(&str, &str); 6] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "public, max-age=3600"),
    ("date", "Sat, 28 Nov 2026 12:00:00 GMT"),
    ("etag", "\"0123456789abcdef\""),
    ("last-modified", "Sat, 28 Nov 2026 11:00:00 GMT"),
    ("server", "endpoint/1.0"),
];

const FITTING: [(u32, usize); 4] = [(1_000, 100), (100_000, 100), (1_000_000, 100), (100_000, 10_000)];
/// Limits in MiB, and what is put in.
const CROWDED: [(u64, u32, usize); 4] =
    [(64, 1_000_000, 100), (256, 1_000_000, 1_000), (256, 200_000, 10_000), (256, 20_000, 200_000)];

fn main() {
    // Each in a process of its own: what one has freed would be had by the next without being seen.
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|one| one == "--case") {
        return measure(arguments[at + 1].parse().expect("a number"));
    }
    println!(
        "| answers | body | key, fields and body | counted | resident | beyond its own | ns to put | ns to find |\n|---|---|---|---|---|---|---|---|"
    );
    (0..FITTING.len()).for_each(start);
    println!(
        "\n| limit, MiB | put in | kept | most counted, to the limit | most resident, to the limit | counted in the end |\n|---|---|---|---|---|---|"
    );
    (FITTING.len()..FITTING.len() + CROWDED.len()).for_each(start);
}

fn start(case: usize) {
    let own = env::current_exe().expect("it runs");
    let status = Command::new(own).args(["--case", &case.to_string()]).status().expect("it runs again");
    assert!(status.success(), "case {case}");
}

fn measure(case: usize) {
    match FITTING.get(case) {
        Some((many, body)) => all_fit(*many, *body),
        None => {
            let (limit, many, body) = CROWDED[case - FITTING.len()];
            crowded(limit * MIB, many, body);
        }
    }
}

/// There is room for all.
fn all_fit(many: u32, body: usize) {
    let before = resident();
    let memory = Memory::new(8 << 30);
    let began = Instant::now();
    for number in 0..many {
        put(&memory, number, body);
    }
    let putting = each(began.elapsed(), many);
    let (usage, resident) = (memory.usage(), resident() - before);
    assert_eq!(usage.targets, u64::from(many), "there is room for all");
    let keys: Vec<Key> = (0..many).step_by(many.div_ceil(1000) as usize).map(key).collect();
    let began = Instant::now();
    for key in &keys {
        assert!(black_box(memory.of_target(black_box(key))).is_some(), "it is there");
    }
    let finding = each(began.elapsed(), keys.len() as u32);
    let own = key(many - 1).as_bytes().len()
        + body
        + FIELDS.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let (counted, resident) = (usage.bytes / u64::from(many), resident / u64::from(many));
    println!(
        "| {many} | {body} | {own} | {counted} | {resident} | {} | {putting} | {finding} |",
        resident - own as u64
    );
}

/// Most have to go again.
fn crowded(limit: u64, many: u32, body: usize) {
    let before = resident();
    let memory = Memory::new(limit);
    let (mut counted, mut most) = (0, 0);
    for number in 0..many {
        put(&memory, number, body);
        counted = counted.max(memory.usage().bytes);
        if number % 1000 == 0 {
            most = most.max(resident() - before);
        }
    }
    let usage = memory.usage();
    let part = |bytes: u64| bytes as f64 / limit as f64;
    println!(
        "| {} | {many} of {body} bytes | {} | {:.3} | {:.3} | {:.3} |",
        limit / MIB,
        usage.targets,
        part(counted),
        part(most),
        part(usage.bytes)
    );
    assert!(part(counted) <= 1.02, "more than 2% over its limit");
}

fn key(number: u32) -> Key {
    Key::of(&KeyRules::default(), target(&format!("/articles/2026/{number}")), &HeaderMap::new())
}

fn target(path: &str) -> Target<'_> {
    Target { secure: true, authority: "www.example", path, query: None }
}

fn put(memory: &Memory, number: u32, body: usize) {
    let (method, rules, request, path) =
        (Method::GET, Rules::default(), HeaderMap::new(), format!("/articles/2026/{number}"));
    let ask = Ask::of(&method, target(&path), &request, false, &rules);
    let mut answer = HeaderMap::new();
    for (name, value) in FIELDS {
        answer.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let times = Times { asked: now(), answered: now() };
    let head = policy::store(&ask, StatusCode::OK, &answer, times, &rules).expect("it may be stored");
    let (content, writer) = Content::begin(Some(body as u64));
    writer.push(&vec![b'.'; body]);
    assert!(writer.finish(None), "it is whole");
    memory.put(&key(number), &Entry::new(head, content, moment()));
}

fn each(all: Duration, many: u32) -> u128 {
    all.as_nanos() / u128::from(many)
}

/// Bytes of memory that this process has in use.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it tells");
    let kilobytes = line.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok()).expect("a number");
    kilobytes * 1024
}
