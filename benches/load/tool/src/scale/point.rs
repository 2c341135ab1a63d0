//! One size: how long it takes to check, to start and to reload, and what it costs in memory and for each request.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{SETTLING, Scale, Size, results::Point};
use crate::account;
use crate::cores;
use crate::generator::Generator;
use crate::running::Running;
use crate::socket;
use crate::tally::Tally;

/// Clients that ask as fast as they are answered, and those that ask at a rate.
const BUSY: usize = 64;
const STEADY: usize = 256;
/// Of steady load before a reload, and in all.
const BEFORE: Duration = Duration::from_secs(2);
const STEADILY: Duration = Duration::from_secs(8);
/// How often the log is looked at.
const GLANCE: Duration = Duration::from_millis(2);

impl Scale {
    pub fn point(&self, generator: &mut Generator, size: Size) -> io::Result<Point> {
        let (endpoint, listen) = (generator.endpoints().bytes, socket::loopback(socket::free_port()?));
        let file = self.write(size, listen, endpoint, 1, 0)?;
        let began = Instant::now();
        let checked = cores::on(self.core, || self.command("check", &file).output())?;
        let check_ms = millis(began.elapsed());
        if !checked.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&checked.stderr).into_owned()));
        }
        let (running, started) = self.start(&file, listen)?;
        generator.rest(SETTLING)?;
        let process = running.process();
        let (pss_kib, peak_kib) = (account::memory(process)?, peak(process)?);
        let mut point = Point { size, check_ms, start_ms: millis(started), pss_kib, peak_kib, ..Point::default() };
        self.requests(generator, &running, &mut point)?;
        self.reload(generator, &running, &mut point)?;
        eprintln!("  {}", point.line());
        Ok(point)
    }

    fn requests(&self, generator: &mut Generator, running: &Running, point: &mut Point) -> io::Result<()> {
        let mut crowd = self.crowd(BUSY, running);
        let mut errors = generator.once_each(&mut crowd)?;
        // Until most endpoints have a connection.
        errors.add_errors_of(generator.run_for(self.window.max(Duration::from_millis(500)), &mut crowd)?);
        let before = account::cpu_time(running.process())?;
        let tally = generator.run_for(self.window, &mut crowd)?;
        let used = account::cpu_time(running.process())?.since(&before);
        let per_request = |time: Duration| time.as_secs_f64() * 1e6 / tally.requests.max(1) as f64;
        (point.user_us, point.system_us) = (per_request(used.user), per_request(used.system));
        errors.add_errors_of(tally);
        failed(&errors)
    }

    /// The settings become others while requests come at a constant rate.
    fn reload(&self, generator: &mut Generator, running: &Running, point: &mut Point) -> io::Result<()> {
        self.write(point.size, running.address, generator.endpoints().bytes, 1, 1)?;
        let log = self.directory.join("output.log");
        let (mut begun, mut done, mut looked) = (None, None, Duration::ZERO);
        let mut crowd = self.crowd(STEADY, running);
        let (tally, times) = generator.steadily(self.rate, STEADILY, &mut crowd, |now| {
            if begun.is_none() && now >= BEFORE {
                running.hang_up();
                begun = Some(now);
            }
            if begun.is_some() && done.is_none() && now > looked + GLANCE {
                looked = now;
                done = says(&log, "generation 2 is in force")?.then_some(now);
            }
            Ok(())
        })?;
        failed(&tally)?;
        let (Some(begun), Some(done)) = (begun, done) else {
            return Err(io::Error::other("it did not reload in time"));
        };
        // What it leaves behind is cleared away after it.
        let until = (done + Duration::from_millis(500)).max(begun + Duration::from_secs(1));
        let (quiet, meanwhile) = (times.between(Duration::from_millis(500), begun), times.between(begun, until));
        point.reload_ms = millis(done - begun);
        (point.p99_before_us, point.p99_during_us) = (quiet.at(0.99), meanwhile.at(0.99));
        (point.longest_before_us, point.longest_during_us) = (quiet.at(1.0), meanwhile.at(1.0));
        Ok(())
    }
}

/// One error makes a failed measurement.
pub fn failed(tally: &Tally) -> io::Result<()> {
    match tally.errors {
        0 => Ok(()),
        _ => Err(io::Error::other(tally.failure().unwrap_or_default())),
    }
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The most memory it ever had.
fn peak(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse().unwrap_or(0))
}

fn says(log: &Path, words: &str) -> io::Result<bool> {
    Ok(fs::read_to_string(log)?.contains(words))
}
