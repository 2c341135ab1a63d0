//! One measurement: one peer, one case, one round.

use std::io;
use std::time::Duration;

use crate::account;
use crate::cases::{Case, Kind};
use crate::client::Request;
use crate::generator::{Crowd, Generator, Tally};
use crate::peers::Running;
use crate::results::{Cpu, Round};
use crate::slow;

const LEAST_WARM_UP: Duration = Duration::from_millis(300);
/// Long enough for a proxy to put idle connections aside and to give memory back.
const SETTLING: Duration = Duration::from_secs(3);
const LEAST_SLOW_READING: Duration = Duration::from_secs(3);
const SIPS_PER_SAMPLE: u32 = 5;
/// As many as connect at a time: their upstream connections are there before memory grows.
const ACQUAINTANCE: usize = 64;

impl Case {
    pub fn measure(&self, generator: &mut Generator, peer: &Running, window: Duration) -> io::Result<Round> {
        match self.kind {
            Kind::Kept | Kind::Fresh => self.cpu(generator, peer, window),
            Kind::Idle => self.idle_memory(generator, peer),
            Kind::SlowReaders => self.slow_readers_memory(generator, peer, window),
        }
    }

    fn crowd(&self, peer: &Running) -> Crowd {
        Crowd::new(self.connections, self.request(), peer.address)
    }

    fn cpu(&self, generator: &mut Generator, peer: &Running, window: Duration) -> io::Result<Round> {
        let mut crowd = self.crowd(peer);
        let opened = generator.once_each(&mut crowd)?;
        let warmed = generator.run_for((window / 4).max(LEAST_WARM_UP), &mut crowd)?;
        // No request is under way at either reading: the division is exact.
        let before = account::cpu_time(peer.process())?;
        let mut tally = generator.run_for(window, &mut crowd)?;
        let used = account::cpu_time(peer.process())?.since(before);
        tally.add_errors_of(opened);
        tally.add_errors_of(warmed);

        let requests = tally.requests;
        let per_request = |time: Duration| rounded(time.as_secs_f64() * 1e6 / requests.max(1) as f64);
        Ok(Round {
            failure: tally.failure(),
            cpu: Some(Cpu {
                user_us: per_request(used.user),
                system_us: per_request(used.system),
                requests,
                requests_per_second: rounded(requests as f64 / tally.elapsed.as_secs_f64()),
            }),
            pss_kib: account::memory(peer.process())?,
            growth_kib_per_connection: None,
        })
    }

    /// Each connection has served a request, rests, and must still serve another afterwards.
    fn idle_memory(&self, generator: &mut Generator, peer: &Running) -> io::Result<Round> {
        let before = self.memory_after_acquaintance(generator, peer)?;
        let mut crowd = self.crowd(peer);
        let mut tally = generator.once_each(&mut crowd)?;
        generator.idle(&mut crowd, SETTLING)?;
        let pss_kib = account::memory(peer.process())?;
        let lost = self.connections - crowd.connected();
        tally.add_errors_of(generator.once_each(&mut crowd)?);
        if lost > 0 {
            tally.errors += lost as u64;
            tally.first_error.get_or_insert("closed an idle connection".into());
        }
        Ok(self.memory_round(before, pss_kib, tally))
    }

    fn slow_readers_memory(&self, generator: &mut Generator, peer: &Running, window: Duration) -> io::Result<Round> {
        let before = self.memory_after_acquaintance(generator, peer)?;
        let (mut peak, mut sips) = (before, 0);
        let length = window.max(LEAST_SLOW_READING);
        let watch = || {
            sips += 1;
            if sips % SIPS_PER_SAMPLE == 0 {
                peak = peak.max(account::memory(peer.process())?);
            }
            Ok(())
        };
        let readers = self.connections;
        let tally = slow::read_slowly(generator, readers, &self.request(), peer.address, length, watch)?;
        Ok(self.memory_round(before, peak, tally))
    }

    /// Code and lasting buffers are in memory after a few requests; what comes then is growth.
    fn memory_after_acquaintance(&self, generator: &mut Generator, peer: &Running) -> io::Result<u64> {
        let small = Request::new(128, 0, false);
        let mut acquaintance = Crowd::new(ACQUAINTANCE, small, peer.address);
        generator.run_for(LEAST_WARM_UP, &mut acquaintance)?;
        drop(acquaintance);
        generator.rest(SETTLING)?;
        account::memory(peer.process())
    }

    fn memory_round(&self, before: u64, pss_kib: u64, tally: Tally) -> Round {
        let growth = rounded((pss_kib as f64 - before as f64) / self.connections as f64);
        Round { failure: tally.failure(), cpu: None, pss_kib, growth_kib_per_connection: Some(growth) }
    }
}

/// No more digits than mean something.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
