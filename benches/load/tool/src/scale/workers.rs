//! Idle connections beside a busy one, and what it is to be two.

use std::time::Duration;
use std::{fs, io};

use super::{
    SETTLING, Scale, Size,
    point::failed,
    results::{Idle, Spread, Workers},
};
use crate::account;
use crate::generator::Generator;
use crate::running::Running;

const SMALL: Size = Size { routes: 2, endpoints: 1, upstreams: 1 };
const FEW: [usize; 3] = [4, 10, 50];
/// Requests a second that one worker and two have to answer.
const RATE: f64 = 15_000.0;

impl Scale {
    pub fn idle(&self, generator: &mut Generator, sizes: &[usize]) -> io::Result<Vec<Idle>> {
        let mut all = Vec::new();
        for &connections in sizes {
            let running = self.started(SMALL, generator.endpoints().bytes, 1)?;
            let mut busy = self.crowd(1, &running);
            // What is there once and for all is there.
            failed(&generator.run_for(Duration::from_millis(300), &mut busy)?)?;
            generator.rest(SETTLING)?;
            let before = account::memory(running.process())?;
            let mut idle = self.crowd(connections, &running);
            failed(&generator.once_each(&mut idle)?)?;
            generator.idle(&mut idle, SETTLING)?;
            let after = account::memory(running.process())?;
            let cpu = account::cpu_time(running.process())?;
            let tally = generator.run_for(self.window, &mut busy)?;
            let used = account::cpu_time(running.process())?.since(cpu);
            failed(&tally)?;
            let each = |time: Duration| time.as_secs_f64() * 1e6 / tally.requests.max(1) as f64;
            let kib_each = (after as f64 - before as f64) / connections as f64;
            let idle = Idle { connections, kib_each, user_us: each(used.user), system_us: each(used.system) };
            eprintln!("  {connections:>7} idle: {kib_each:.2} KB each, {:.2} + {:.2} us", idle.user_us, idle.system_us);
            all.push(idle);
        }
        Ok(all)
    }

    /// Each connection asks as fast as it is answered: the time of a worker is its share of the work.
    pub fn spread(&self, generator: &mut Generator) -> io::Result<Vec<Spread>> {
        let mut all = Vec::new();
        for connections in FEW {
            let running = self.started(SMALL, generator.endpoints().bytes, 2)?;
            let mut crowd = self.crowd(connections, &running);
            failed(&generator.once_each(&mut crowd)?)?;
            let before = ticks(&running)?;
            failed(&generator.run_for(self.window, &mut crowd)?)?;
            let used: Vec<u64> = ticks(&running)?.iter().zip(before).map(|(after, before)| after - before).collect();
            let sum: u64 = used.iter().sum();
            let shares: Vec<f64> = used.iter().map(|used| *used as f64 / sum.max(1) as f64).collect();
            eprintln!("  {connections:>7} connections, two workers: {shares:.2?} of the time");
            all.push(Spread { connections, shares });
        }
        Ok(all)
    }

    pub fn workers(&self, generator: &mut Generator) -> io::Result<Vec<Workers>> {
        let mut all = Vec::new();
        for workers in [1, 2] {
            let running = self.started(SMALL, generator.endpoints().bytes, workers)?;
            let mut crowd = self.crowd(64, &running);
            failed(&generator.once_each(&mut crowd)?)?;
            failed(&generator.steadily(RATE, self.window / 4, &mut crowd, |_| Ok(()))?.0)?;
            let (cpu, switched) = (account::cpu_time(running.process())?, switches(&running)?);
            let (tally, _) = generator.steadily(RATE, self.window, &mut crowd, |_| Ok(()))?;
            let used = account::cpu_time(running.process())?.since(cpu);
            failed(&tally)?;
            let each = |sum: f64| sum / tally.requests.max(1) as f64;
            let (user_us, system_us) = (each(used.user.as_secs_f64() * 1e6), each(used.system.as_secs_f64() * 1e6));
            let switches = each((switches(&running)? - switched) as f64);
            eprintln!("  {workers:>7} workers: {user_us:.2} + {system_us:.2} us, {switches:.2} switches a request");
            all.push(Workers { workers, user_us, system_us, switches });
        }
        Ok(all)
    }
}

/// The kernel's files of each worker's thread.
fn threads(running: &Running) -> io::Result<Vec<std::path::PathBuf>> {
    let mut workers = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", running.process()))? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?;
        if name.starts_with("worker-") {
            workers.push((name, task));
        }
    }
    workers.sort();
    Ok(workers.into_iter().map(|(_, task)| task).collect())
}

/// The time that each worker has used.
fn ticks(running: &Running) -> io::Result<Vec<u64>> {
    let of = |task: &std::path::PathBuf| {
        // In nanoseconds: scheduled, waiting, slices.
        let text = fs::read_to_string(task.join("schedstat"))?;
        text.split(' ').next().and_then(|time| time.parse().ok()).ok_or_else(|| io::Error::other("no schedstat"))
    };
    threads(running)?.iter().map(of).collect()
}

/// How often workers were taken off their core.
fn switches(running: &Running) -> io::Result<u64> {
    let mut sum = 0;
    for task in threads(running)? {
        let status = fs::read_to_string(task.join("status"))?;
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        sum += counts.filter_map(|line| line.split_once(':')?.1.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Ok(sum)
}
