//! What was measured, as it is kept in `benches/scale/results.json`.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::Size;
use crate::results::Machine;
use crate::stats;

#[derive(Default, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub flags: String,
    pub routes: Vec<Point>,
    pub endpoints: Vec<Point>,
    pub all: Option<Point>,
    pub idle: Vec<Idle>,
    pub spread: Vec<Spread>,
    pub workers: Vec<Workers>,
    /// Two processes of one worker, and one process of two, round by round.
    #[serde(default)]
    pub together: Vec<[Side; 2]>,
}

/// One size.
#[derive(Clone, Serialize, Deserialize)]
pub struct Point {
    pub size: Size,
    pub check_ms: f64,
    /// To the first answer.
    pub start_ms: f64,
    pub pss_kib: u64,
    pub peak_kib: u64,
    pub user_us: f64,
    pub system_us: f64,
    pub reload_ms: f64,
    pub p99_before_us: f64,
    pub p99_during_us: f64,
    pub longest_before_us: f64,
    pub longest_during_us: f64,
}

/// One busy connection beside so many that do nothing.
#[derive(Clone, Serialize, Deserialize)]
pub struct Idle {
    pub connections: usize,
    pub kib_each: f64,
    pub user_us: f64,
    pub system_us: f64,
}

/// How two workers shared the work of a few long connections, in CPU time.
#[derive(Clone, Serialize, Deserialize)]
pub struct Spread {
    pub connections: usize,
    pub shares: Vec<f64>,
}

/// What a request costs so many workers on one core, at one rate.
#[derive(Clone, Serialize, Deserialize)]
pub struct Workers {
    pub workers: usize,
    pub user_us: f64,
    pub system_us: f64,
    pub switches: f64,
}

/// Two workers on two cores.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Side {
    /// CPU time of a request.
    pub us: f64,
    pub per_second: f64,
}

/// How many times the work of one worker two of one process do: the CPU time of a request tells, for there is a core for each.
pub fn together(rounds: &[[Side; 2]]) -> Option<stats::Spread> {
    stats::Spread::of(rounds.iter().map(|[alone, together]| 2.0 * alone.us / together.us))
}

impl Default for Point {
    fn default() -> Self {
        Self {
            size: Size { routes: 0, endpoints: 0, upstreams: 0 },
            check_ms: 0.0,
            start_ms: 0.0,
            pss_kib: 0,
            peak_kib: 0,
            user_us: 0.0,
            system_us: 0.0,
            reload_ms: 0.0,
            p99_before_us: 0.0,
            p99_during_us: 0.0,
            longest_before_us: 0.0,
            longest_during_us: 0.0,
        }
    }
}

impl Point {
    pub fn line(&self) -> String {
        format!(
            "{:>7} routes {:>6} endpoints  check {:>6.0} ms  start {:>6.0} ms  {:>6.1} MB (peak {:>6.1})  {:>5.2} + {:>5.2} us  reload {:>6.0} ms  \
             p99 {:>6.0} -> {:>6.0} us, longest {:>6.0} -> {:>6.0}",
            self.size.routes,
            self.size.endpoints,
            self.check_ms,
            self.start_ms,
            self.pss_kib as f64 / 1024.0,
            self.peak_kib as f64 / 1024.0,
            self.user_us,
            self.system_us,
            self.reload_ms,
            self.p99_before_us,
            self.p99_during_us,
            self.longest_before_us,
            self.longest_during_us,
        )
    }
}

impl Results {
    pub fn load(file: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }

    pub fn save(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_string_pretty(self)? + "\n")
    }
}
