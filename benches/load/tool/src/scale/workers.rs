//! Idle connections beside a busy one, and what it is to be two.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{
    SETTLING, Scale, Size,
    point::failed,
    results::{Idle, Side, Spread, Workers},
};
use crate::account;
use crate::crowd::Crowd;
use crate::generator::Generator;
use crate::running::Running;

const SMALL: Size = Size { routes: 2, endpoints: 1, upstreams: 1 };
const FEW: [usize; 3] = [4, 10, 50];
/// Requests a second that one worker and two have to answer.
const RATE: f64 = 15_000.0;

/// Requests of so many clients at once, half of them for each of two workers.
const BOTH: usize = 64;
const ROUNDS: usize = 40;

/// Two workers, and who asks them.
struct Pair {
    processes: Vec<Running>,
    crowd: Crowd,
}

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
            let used = account::cpu_time(running.process())?.since(&cpu);
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
            let before = ran(&running)?;
            failed(&generator.run_for(self.window, &mut crowd)?)?;
            let after = ran(&running)?;
            let used: Vec<f64> =
                after.iter().zip(before).map(|(after, before)| (*after - before).as_secs_f64()).collect();
            let sum: f64 = used.iter().sum();
            let shares: Vec<f64> = used.iter().map(|used| used / sum.max(f64::MIN_POSITIVE)).collect();
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
            let used = account::cpu_time(running.process())?.since(&cpu);
            failed(&tally)?;
            let each = |sum: f64| sum / tally.requests.max(1) as f64;
            let (user_us, system_us) = (each(used.user.as_secs_f64() * 1e6), each(used.system.as_secs_f64() * 1e6));
            let switches = each((switches(&running)? - switched) as f64);
            eprintln!("  {workers:>7} workers: {user_us:.2} + {system_us:.2} us, {switches:.2} switches a request");
            all.push(Workers { workers, user_us, system_us, switches });
        }
        Ok(all)
    }

    /// Two workers of one process, and two processes of one worker, which share nothing: what they cost more is what they
    /// cost each other. At the same time on two cores, one of which the load has too, as much of it as it needs.
    pub fn together(&self, generator: &mut Generator) -> io::Result<Vec<[Side; 2]>> {
        let mut pairs = [Pair::of_two_processes(self, generator)?, Pair::of_one_process(self, generator)?];
        for pair in &mut pairs {
            failed(&generator.once_each(&mut pair.crowd)?)?;
            pair.measure(generator, self.window / 4)?;
        }
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let mut sides = [Side::default(); 2];
            // Neither is always the first.
            for turn in 0..2 {
                let side = (round + turn) % 2;
                sides[side] = pairs[side].measure(generator, self.window / 8)?;
            }
            rounds.push(sides);
        }
        let told = super::results::together(&rounds);
        eprintln!(
            "  two workers do {:.2} of what one does, by CPU time of a request",
            told.map_or(f64::NAN, |it| it.median)
        );
        Ok(rounds)
    }
}

impl Pair {
    fn of_one_process(scale: &Scale, generator: &Generator) -> io::Result<Self> {
        let running = scale.started(SMALL, generator.endpoints().bytes, 2)?;
        let crowd = scale.crowd(BOTH, &running);
        Self::on_both_cores(vec![running], crowd, scale)
    }

    fn of_two_processes(scale: &Scale, generator: &Generator) -> io::Result<Self> {
        let started = || scale.started(SMALL, generator.endpoints().bytes, 1);
        let (one, other) = (started()?, started()?);
        let mut crowd = scale.crowd(BOTH / 2, &one);
        crowd.clients.extend(scale.crowd(BOTH / 2, &other).clients);
        Self::on_both_cores(vec![one, other], crowd, scale)
    }

    /// One worker on the core of proxies, the other on that of the load.
    fn on_both_cores(processes: Vec<Running>, crowd: Crowd, scale: &Scale) -> io::Result<Self> {
        let mut threads_of_workers = Vec::new();
        for process in &processes {
            threads_of_workers.extend(threads(process)?);
        }
        for (task, core) in threads_of_workers.iter().zip([scale.core, scale.load_core]) {
            let thread = task.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let mut only = CpuSet::new();
            only.set(core);
            sched_setaffinity(thread.and_then(Pid::from_raw), &only)?;
        }
        Ok(Self { processes, crowd })
    }

    /// What a request costs, and how many there were in a second.
    fn measure(&mut self, generator: &mut Generator, window: Duration) -> io::Result<Side> {
        let read = |processes: &[Running]| -> io::Result<Vec<_>> {
            processes.iter().map(|process| account::cpu_time(process.process())).collect()
        };
        let before = read(&self.processes)?;
        let tally = generator.run_for(window, &mut self.crowd)?;
        let after = read(&self.processes)?;
        let used = after.iter().zip(&before).map(|(after, before)| after.since(before));
        let us = used.map(|used| (used.user + used.system).as_secs_f64() * 1e6).sum::<f64>();
        let (requests, elapsed) = (tally.requests.max(1) as f64, tally.elapsed.as_secs_f64());
        failed(&tally)?;
        Ok(Side { us: us / requests, per_second: requests / elapsed })
    }
}

/// The kernel's files of each worker's thread.
fn threads(running: &Running) -> io::Result<Vec<PathBuf>> {
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
fn ran(running: &Running) -> io::Result<Vec<Duration>> {
    let of = |task: &PathBuf| {
        let text = fs::read_to_string(task.join("schedstat"))?;
        account::scheduled(&text).ok_or_else(|| io::Error::other("no schedstat"))
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
