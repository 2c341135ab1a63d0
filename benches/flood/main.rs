//! What a flood from one client costs the others: how long a hundred polite ones wait with it and without it, in turns, so that
//! what else the machine does is in both. `cargo bench --bench flood`; `-- --quick` for a look, `-- --aqueduct FILE` for that program instead of
//! the proxy that is built for it. One core is the proxy's, another everybody else's; run as root with
//! `nice -n -20` the abuser's own work gives way to the polite ones.

mod abuse;
#[allow(dead_code, unused_imports, reason = "it is shared with `benches/load`")]
#[path = "../load/tool/src/cores.rs"]
mod cores;
#[path = "../overload/endpoint.rs"]
mod endpoint;
mod polite;
mod program;
#[path = "../overload/running.rs"]
mod running;

use std::{
    env,
    net::SocketAddr,
    time::{Duration, Instant},
};

use self::{
    abuse::{Abuser, Pace},
    cores::Cores,
    program::Program,
    running::Running,
};

/// What each client may have in a second.
const LIMIT: u32 = 100;
/// How the abusive one comes, in turns; first not at all.
const WAYS: [(&str, Option<Pace>); 3] = [
    ("without it", None),
    ("10 times its limit", Some(Pace::PerSecond(10 * LIMIT))),
    ("as fast as it can", Some(Pace::Full)),
];

/// One turn.
struct Turn {
    /// Of the polite ones.
    p50: Duration,
    p99: Duration,
    /// Answers a second of the abusive one: what passed, and what did not.
    passed: f64,
    refused: f64,
}

/// What is measured.
enum Proxy {
    Running(Running),
    Program(Program),
}

impl Proxy {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Running(running) => running.address,
            Self::Program(program) => program.address,
        }
    }
}

fn main() {
    let flags: Vec<String> = env::args().skip(1).collect();
    let is_quick = flags.iter().any(|flag| flag == "--quick");
    let program = flags.iter().position(|flag| flag == "--aqueduct").map(|at| flags.get(at + 1).expect("a file"));
    let (rounds, time) = if is_quick { (2, Duration::from_secs(1)) } else { (7, Duration::from_secs(4)) };
    let cores = Cores::choose().expect("a core");
    cores::pin(cores.load).expect("it may be chosen");
    let endpoint = endpoint::start(10_000, Duration::from_millis(1));
    let settings =
        format!("[routes.\"/\"]\nto = \"http://{endpoint}\"\nrate_limit = {{ rate = \"{LIMIT}/s\", key = \"ip\" }}\n");
    let start = || match program {
        Some(program) => Proxy::Program(Program::start(program.as_ref(), &settings)),
        None => Proxy::Running(Running::start(&settings)),
    };
    let proxy = cores::on(cores.proxy, || Ok(start())).expect("it may be chosen");
    let address = proxy.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut clients = runtime.block_on(polite::Clients::connect(address));
    let mut turn = |pace: Option<Pace>| {
        let abuser = pace.map(|pace| Abuser::start(address, pace));
        let began = Instant::now();
        let waited = runtime.block_on(clients.come(time));
        let [passed, refused] = abuser.map_or([0, 0], Abuser::end);
        let a_second = |count: usize| count as f64 / began.elapsed().as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|part| quantile(waited.clone(), part));
        Turn { p50, p99, passed: a_second(passed), refused: a_second(refused) }
    };
    // What is done first is slower.
    turn(None);
    let all: Vec<[Turn; 3]> = (0..rounds).map(|_| WAYS.map(|(_, pace)| turn(pace))).collect();
    println!("{}", table(&all));
}

/// Of each way the medians of all rounds; a ratio is of one round.
fn table(all: &[[Turn; 3]]) -> String {
    let mut text = String::from(
        "| the abusive client | polite p50 | polite p99 | p99 to that without it | passed a second | refused a second |\n|---|---|---|---|---|---|\n",
    );
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let of = |value: &dyn Fn(&[Turn; 3]) -> f64| median(all.iter().map(value).collect());
        let milliseconds = |value: fn(&Turn) -> Duration| of(&|round| value(&round[way]).as_secs_f64() * 1000.0);
        let ratio = of(&|round| round[way].p99.as_secs_f64() / round[0].p99.as_secs_f64());
        text += &format!(
            "| {name} | {:.2} ms | {:.2} ms | {ratio:.2} | {:.0} | {:.0} |\n",
            milliseconds(|turn| turn.p50),
            milliseconds(|turn| turn.p99),
            of(&|round| round[way].passed),
            of(&|round| round[way].refused),
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn quantile(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}
