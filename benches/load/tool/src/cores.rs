//! One core for the proxy, another for the load.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub load: usize,
    pub proxy: usize,
}

impl Cores {
    /// The first allowed core for the load, the last for the proxy; the same if there is one only.
    pub fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let load = cores.next().ok_or_else(|| io::Error::other("no core to run on"))?;
        Ok(Self { load, proxy: cores.next_back().unwrap_or(load) })
    }

    /// `"LOAD,PROXY"`, as in `"0,1"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(',').and_then(|(load, proxy)| {
            Some(Self { load: load.trim().parse().ok()?, proxy: proxy.trim().parse().ok()? })
        });
        numbers.ok_or_else(|| format!("{text:?} is not two core numbers, as in \"0,1\""))
    }

    pub fn are_one(&self) -> bool {
        self.load == self.proxy
    }
}

/// Runs the action with this thread on that core, where what it starts stays.
pub fn on<T>(core: usize, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    pin(core)?;
    let outcome = action();
    sched_setaffinity(None, &before)?;
    outcome
}

pub fn pin(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_two_numbers() {
        let cores = Cores::parse("2, 5").unwrap();
        assert_eq!((cores.load, cores.proxy), (2, 5));
        for text in ["", "1", "a,b", "1,2,3"] {
            assert!(Cores::parse(text).is_err(), "{text:?}");
        }
    }
}
