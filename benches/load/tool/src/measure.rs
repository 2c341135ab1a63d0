//! One measurement: one peer, one case, one round.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::account::{self, CpuTime};
use crate::cases::{Case, Kind, SMALL};
use crate::crowd::Crowd;
use crate::generator::Generator;
use crate::h1::{Asks, Request};
use crate::mix;
use crate::results::{Cpu, Round};
use crate::running::Running;
use crate::slow;
use crate::tally::Tally;
use crate::tls::Handshakes;
use crate::wire::Target;

const LEAST_WARM_UP: Duration = Duration::from_millis(300);
/// For who has been measured before, and does the same again.
const LEAST_WARMED_AGAIN: Duration = Duration::from_millis(50);
/// Long enough for a proxy to put idle connections aside and to give memory back.
const SETTLING: Duration = Duration::from_secs(3);
const LEAST_SLOW_READING: Duration = Duration::from_secs(3);
const SIPS_PER_SAMPLE: u32 = 5;
/// One request of so many is for a thing that nobody asks for again.
const ONCE: u64 = 10;
const ONCE_OF_A_SCAN: u64 = 3;
/// After so many requests a cache that has room for little has what it keeps.
const UNTIL_IT_DECIDES: usize = 200_000;
/// They ask for other things once than all that are measured.
const THOSE_BEFORE: usize = 1 << 20;
const MOST_FILLINGS: usize = 20;
/// As many as connect at a time: their upstream connections are there before memory grows.
const ACQUAINTANCE: usize = 64;

pub struct Measurement<'m> {
    case: &'m Case,
    peer: &'m Running,
    target: Target,
    round: usize,
    is_new: bool,
}

impl<'m> Measurement<'m> {
    /// `shown` is the certificate that clients are to see, `round` a number that tells it from others of this peer, which
    /// has not been measured before if it is new.
    pub fn of(
        case: &'m Case,
        peer: &'m Running,
        shown: &CertificateDer<'static>,
        round: usize,
        is_new: bool,
    ) -> io::Result<Self> {
        Ok(Self { case, peer, target: Target::of(case, peer.address, shown)?, round, is_new })
    }

    pub fn take(&self, generator: &mut Generator, window: Duration) -> io::Result<Round> {
        match self.case.kind {
            Kind::Herd => self.herd(generator, window),
            Kind::Idle => self.idle_memory(generator),
            Kind::SlowReaders => self.slow_readers_memory(generator, window),
            _ => self.cpu(generator, window),
        }
    }

    fn crowd(&self, clients: usize, download: u64) -> Crowd {
        match self.asks(download) {
            Some(asks) => Crowd::of_h1(clients, &asks, &self.target),
            None => Crowd::of(self.case, clients, download, &self.target),
        }
    }

    /// For what, where it is not always the same.
    fn asks(&self, download: u64) -> Option<Asks> {
        match self.case.kind {
            Kind::Mixed => Some(mix::popular(download, ONCE, self.round)),
            Kind::Scanned => Some(mix::popular(download, ONCE_OF_A_SCAN, self.round)),
            Kind::OnDisk | Kind::InRedis => Some(mix::each(download, self.case.things())),
            _ => None,
        }
    }

    /// Until there is in the cache what there is to be.
    fn fill(&self, generator: &mut Generator) -> io::Result<Tally> {
        let download = self.case.download;
        match self.case.kind {
            Kind::Mixed => self.ask_for(&mix::each(download, mix::OBJECTS), mix::OBJECTS, generator),
            Kind::Scanned if self.round == 0 => {
                self.ask_for(&mix::popular(download, ONCE_OF_A_SCAN, THOSE_BEFORE), UNTIL_IT_DECIDES, generator)
            }
            Kind::OnDisk | Kind::InRedis => {
                let things = self.case.things();
                let mut tally = Tally::default();
                // What is put there is put later, and may have to wait for another time.
                for _ in 0..MOST_FILLINGS {
                    let before = generator.asked();
                    tally.add_errors_of(self.ask_for(&mix::each(download, things), things, generator)?);
                    if generator.asked().since(before).all == 0 {
                        break;
                    }
                    generator.rest(LEAST_WARM_UP)?;
                }
                Ok(tally)
            }
            _ => Ok(Tally::default()),
        }
    }

    /// So often at least.
    fn ask_for(&self, asks: &Asks, times: usize, generator: &mut Generator) -> io::Result<Tally> {
        let mut crowd = Crowd::of_h1(self.case.connections, asks, &self.target);
        let mut tally = Tally::default();
        while tally.requests < times as u64 && tally.errors == 0 {
            let more = generator.run_for(LEAST_WARM_UP, &mut crowd)?;
            tally.requests += more.requests;
            tally.add_errors_of(more);
        }
        Ok(tally)
    }

    fn cpu(&self, generator: &mut Generator, window: Duration) -> io::Result<Round> {
        let process = self.peer.process();
        let filled = self.fill(generator)?;
        let mut crowd = self.crowd(self.case.connections, self.case.download);
        let opened = generator.once_each(&mut crowd)?;
        let warmed = generator.run_for(self.warm_up(window), &mut crowd)?;
        // No request is under way at either reading: the division is exact.
        let handshakes_before = self.target.handshakes();
        let asked_before = generator.asked();
        let before = account::cpu_time(process)?;
        let mut tally = generator.run_for(window, &mut crowd)?;
        let used = account::cpu_time(process)?.since(&before);
        tally.add_errors_of(filled);
        tally.add_errors_of(opened);
        tally.add_errors_of(warmed);
        self.check_handshakes(handshakes_before, &mut tally);
        let asked = generator.asked().since(asked_before);
        if matches!(self.case.kind, Kind::Stored | Kind::OnDisk | Kind::InRedis) {
            tally.fail(asked.all, "a request that the cache should have answered");
        }

        let hits = || share(tally.requests - asked.all.min(tally.requests), tally.requests);
        let again = tally.requests - asked.once.min(tally.requests);
        let hits_again = || share(again - (asked.all - asked.once).min(again), again);
        let has_both = matches!(self.case.kind, Kind::Mixed | Kind::Scanned);
        Ok(Round {
            hit_ratio: self.case.is_stored().then(hits),
            hit_ratio_again: has_both.then(hits_again),
            ..self.cpu_round(used, &tally)?
        })
    }

    fn warm_up(&self, window: Duration) -> Duration {
        (window / 4).max(if self.is_new { LEAST_WARM_UP } else { LEAST_WARMED_AGAIN })
    }

    /// All want the same new thing at once, and then the next one.
    fn herd(&self, generator: &mut Generator, window: Duration) -> io::Result<Round> {
        let process = self.peer.process();
        let thing = Rc::new(Cell::new(0_u64));
        let (wanted, round, download) = (Rc::clone(&thing), self.round, self.case.download);
        let asks: Asks =
            Rc::new(move || Rc::new(Request::stored_as(download, &format!("?herd={round}.{}", wanted.get()))));
        let mut crowd = Crowd::of_h1(self.case.connections, &asks, &self.target);
        let mut tally = Tally::default();
        tally.add_errors_of(generator.once_each(&mut crowd)?);
        let asked_before = generator.asked();
        let before = account::cpu_time(process)?;
        while tally.elapsed < window && tally.errors == 0 {
            thing.set(thing.get() + 1);
            let herd = generator.all_at_once(&mut crowd)?;
            tally.requests += herd.requests;
            tally.elapsed += herd.elapsed;
            tally.add_errors_of(herd);
        }
        let used = account::cpu_time(process)?.since(&before);
        let asked = generator.asked().since(asked_before).all as f64 / thing.get().max(1) as f64;
        Ok(Round { asked_for_each: Some(rounded(asked)), ..self.cpu_round(used, &tally)? })
    }

    fn cpu_round(&self, used: CpuTime, tally: &Tally) -> io::Result<Round> {
        let requests = tally.requests;
        let per_request = |time: Duration| rounded(time.as_secs_f64() * 1e6 / requests.max(1) as f64);
        let cpu = Cpu {
            user_us: per_request(used.user),
            system_us: per_request(used.system),
            requests,
            requests_per_second: rounded(requests as f64 / tally.elapsed.as_secs_f64()),
        };
        let pss_kib = account::memory(self.peer.process())?;
        Ok(Round { failure: tally.failure(), cpu: Some(cpu), pss_kib, ..Round::default() })
    }

    /// A session that was resumed where none should be, or was not, is another case than the one measured.
    fn check_handshakes(&self, before: Handshakes, tally: &mut Tally) {
        let made = self.target.handshakes().since(before);
        let of_another_kind = match self.case.kind {
            Kind::Resumed => made.full,
            Kind::Fresh => made.resumed,
            _ => made.full + made.resumed,
        };
        if of_another_kind > 0 {
            tally.fail(of_another_kind, "a handshake of another kind than the case is about");
        }
    }

    /// Each connection has served a request, rests, and must still serve another afterwards.
    fn idle_memory(&self, generator: &mut Generator) -> io::Result<Round> {
        let before = self.memory_after_acquaintance(generator)?;
        let mut crowd = self.crowd(self.case.connections, self.case.download);
        let mut tally = generator.once_each(&mut crowd)?;
        generator.idle(&mut crowd, SETTLING)?;
        let pss_kib = account::memory(self.peer.process())?;
        let lost = self.case.connections - crowd.connected();
        tally.add_errors_of(generator.once_each(&mut crowd)?);
        if lost > 0 {
            tally.fail(lost as u64, "closed an idle connection");
        }
        Ok(self.memory_round(before, pss_kib, tally))
    }

    fn slow_readers_memory(&self, generator: &mut Generator, window: Duration) -> io::Result<Round> {
        let before = self.memory_after_acquaintance(generator)?;
        let (mut peak, mut sips) = (before, 0);
        let length = window.max(LEAST_SLOW_READING);
        let watch = || {
            sips += 1;
            if sips % SIPS_PER_SAMPLE == 0 {
                peak = peak.max(account::memory(self.peer.process())?);
            }
            Ok(())
        };
        let readers = self.case.connections;
        let tally = slow::read_slowly(
            generator,
            readers,
            &self.case.request(self.case.download),
            self.peer.address,
            length,
            watch,
        )?;
        Ok(self.memory_round(before, peak, tally))
    }

    /// Code and lasting buffers are in memory after a few requests; what comes then is growth.
    fn memory_after_acquaintance(&self, generator: &mut Generator) -> io::Result<u64> {
        let mut acquaintance = self.crowd(ACQUAINTANCE, SMALL);
        generator.run_for(LEAST_WARM_UP, &mut acquaintance)?;
        drop(acquaintance);
        generator.rest(SETTLING)?;
        account::memory(self.peer.process())
    }

    fn memory_round(&self, before: u64, pss_kib: u64, tally: Tally) -> Round {
        let growth = rounded((pss_kib as f64 - before as f64) / self.case.connections as f64);
        Round { failure: tally.failure(), pss_kib, growth_kib_per_connection: Some(growth), ..Round::default() }
    }
}

fn share(part: u64, all: u64) -> f64 {
    rounded(part as f64 / all.max(1) as f64)
}

/// No more digits than mean something.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
