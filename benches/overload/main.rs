//! Goodput under overload: how many requests a second are answered in time, of an endpoint that can do 8 things of 20 ms at once
//! and is asked for up to three times as much. Drawn into `docs/performance.md` with `--draw`.
//! `cargo bench --bench overload`; it waits more than it works, so that `--profile dev` will do.

mod chart;
mod endpoint;
mod load;
mod running;

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use self::{
    load::{CLASSES, Count, Load},
    running::Running,
};

const AT_ONCE: usize = 8;
const TAKES: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_millis(250);
/// What is asked, as a part of what the endpoint can do.
const FACTORS: [f64; 7] = [0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0];
/// Settings of the upstream, with the name they have in the chart.
const WAYS: [(&str, &str); 3] = [
    ("no limit", ""),
    ("adaptive", "limit = { adaptive = true, requests = 1000, queue_timeout = \"100ms\" }"),
    ("a limit of 8", "limit = { requests = 8, queue_timeout = \"100ms\" }"),
];

/// What came of one way at one factor.
struct Outcome {
    factor: f64,
    counts: [Count; 3],
    window: Duration,
}

/// All factors of one way.
struct Series {
    name: &'static str,
    outcomes: Vec<Outcome>,
}

fn main() {
    let flags: Vec<String> = env::args().skip(1).collect();
    let is_quick = flags.iter().any(|flag| flag == "--quick");
    let window = Duration::from_secs(if is_quick { 2 } else { 10 });
    let factors = if is_quick { &FACTORS[6..] } else { &FACTORS[..] };
    let began = Instant::now();
    let all: Vec<Series> = WAYS.into_iter().map(|(name, way)| series(name, way, factors, window)).collect();
    let table = table(&all);
    println!("{table}\nin {:?}", began.elapsed());
    if flags.iter().any(|flag| flag == "--draw") {
        draw(&all, &table);
    }
}

fn series(name: &'static str, way: &str, factors: &[f64], window: Duration) -> Series {
    let outcome = |factor: &f64| {
        let endpoint = endpoint::start(AT_ONCE, TAKES);
        let proxy = Running::start(&settings(endpoint, way));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let load = Load { per_second: factor * can(), deadline: DEADLINE, warm_up: Duration::from_secs(4), window };
        let counts = runtime.block_on(load::run(proxy.address, load));
        let outcome = Outcome { factor: *factor, counts, window };
        eprintln!("{name}, {factor} times: {:.0} a second in time", outcome.goodput());
        outcome
    };
    Series { name, outcomes: factors.iter().map(outcome).collect() }
}

fn settings(endpoint: SocketAddr, way: &str) -> String {
    let routes: String =
        CLASSES.map(|(path, _)| format!("{path:?} = {{ to = \"few\", class = {:?} }}\n", &path[1..])).concat();
    format!(
        "[routes]\n{routes}[upstreams.few]\nservers = [\"http://{endpoint}\"]\npool.max_total = 100000\npool.max_queue = 100000\n{way}\n"
    )
}

/// Requests a second.
fn can() -> f64 {
    AT_ONCE as f64 / TAKES.as_secs_f64()
}

impl Outcome {
    fn goodput(&self) -> f64 {
        f64::from(self.counts.iter().map(|count| count.good).sum::<u32>()) / self.window.as_secs_f64()
    }

    /// The part of the requests of a class that is answered in time.
    fn share(&self, class: usize) -> f64 {
        f64::from(self.counts[class].good) / f64::from(self.counts[class].asked.max(1))
    }

    /// The part of those that are not answered well which are told so in time.
    fn told(&self) -> f64 {
        let sum = |of: fn(&Count) -> u32| f64::from(self.counts.iter().map(of).sum::<u32>());
        let bad = sum(|count| count.asked - count.good);
        if bad == 0.0 { 1.0 } else { sum(|count| count.refused) / bad }
    }
}

impl Series {
    fn peak(&self) -> f64 {
        self.outcomes.iter().map(Outcome::goodput).fold(1.0, f64::max)
    }

    fn last(&self) -> &Outcome {
        self.outcomes.last().expect("there are factors")
    }
}

fn table(all: &[Series]) -> String {
    let factors = all[0].outcomes.iter().map(|outcome| format!(" {} |", outcome.factor)).collect::<String>();
    let mut text =
        format!("| answered in time, a second; asked, of what it can do |{factors} the last, of the best |\n|---|");
    text += &"---|".repeat(all[0].outcomes.len() + 1);
    for series in all {
        let each: String = series.outcomes.iter().map(|outcome| format!(" {:.0} |", outcome.goodput())).collect();
        text += &format!("\n| {} |{each} {:.0}% |", series.name, 100.0 * series.last().goodput() / series.peak());
    }
    let names = CLASSES.map(|(path, share)| format!(" {}, {:.0}% of them |", &path[1..], share * 100.0)).concat();
    text += &format!(
        "\n\n| answered in time at {} times, by class |{names} of the others told 503 in time |\n|---|---|---|---|---|",
        all[0].last().factor
    );
    for series in all {
        let last = series.last();
        let each = [0, 1, 2].map(|class| format!(" {:.1}% |", 100.0 * last.share(class))).concat();
        text += &format!("\n| {} |{each} {:.1}% |", series.name, 100.0 * last.told());
    }
    text + "\n"
}

/// Puts the chart and the table between the markers of `docs/performance.md`.
fn draw(all: &[Series], table: &str) {
    const MARKS: (&str, &str) = ("<!-- overload: begin -->", "<!-- overload: end -->");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let assets = root.join("docs/assets/overload");
    fs::create_dir_all(&assets).expect("docs can be written");
    fs::write(assets.join("goodput.svg"), chart::goodput(all, can())).expect("docs can be written");
    let page = root.join("docs/performance.md");
    let text = fs::read_to_string(&page).expect("docs can be read");
    let parts = text.split_once(MARKS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
    let (before, after) = parts.expect("docs/performance.md has its markers");
    let section = format!("![Goodput under overload](assets/overload/goodput.svg)\n\n{table}");
    fs::write(&page, format!("{before}{}\n\n{section}\n{}{after}", MARKS.0, MARKS.1)).expect("docs can be written");
}
