//! Requests that are due at times of their own, whatever becomes of those before: a request's time counts from when it was due, so
//! that whoever makes clients wait cannot hide it by being asked less often.

use std::io;
use std::time::{Duration, Instant};

use super::{Generator, MOST_ERRORS, PATIENCE};
use crate::crowd::Crowd;
use crate::http::Fault;
use crate::tally::Tally;

/// When each request was due, and how long its answer took from then on.
#[derive(Default)]
pub struct Times(Vec<(Duration, Duration)>);

impl Times {
    /// In microseconds: so many of all took no longer.
    pub fn at(&self, part: f64) -> f64 {
        let mut took: Vec<Duration> = self.0.iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        let place = (took.len() as f64 * part).ceil() as usize;
        took.get(place.saturating_sub(1)).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
    }

    /// Of those that were due meanwhile.
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        Self(self.0.iter().filter(|(due, _)| (from..to).contains(due)).copied().collect())
    }
}

/// Gaps as between requests of many clients that know nothing of each other; the same in each run.
struct Arrivals {
    mean: f64,
    state: u64,
    next: f64,
}

impl Arrivals {
    fn new(rate: f64) -> Self {
        Self { mean: 1.0 / rate, state: 0x9e37_79b9_7f4a_7c15, next: 0.0 }
    }

    fn due(&self) -> Duration {
        Duration::from_secs_f64(self.next)
    }

    fn go_on(&mut self) {
        // xorshift64: good enough for gaps.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let part = (self.state >> 11) as f64 / (1u64 << 53) as f64;
        self.next += -self.mean * (1.0 - part).ln();
    }
}

impl Generator {
    /// So many requests a second, each by a client that has nothing to do; `meanwhile` is done in between.
    pub fn steadily(
        &mut self,
        rate: f64,
        window: Duration,
        crowd: &mut Crowd,
        mut meanwhile: impl FnMut(Duration) -> io::Result<()>,
    ) -> io::Result<(Tally, Times)> {
        let (began, mut arrivals) = (Instant::now(), Arrivals::new(rate));
        let (mut free, mut due): (Vec<usize>, _) =
            ((0..crowd.clients.len()).collect(), vec![Duration::ZERO; crowd.clients.len()]);
        let (mut tally, mut times, mut in_flight) = (Tally::default(), Times::default(), 0);
        loop {
            self.interrupt.check()?;
            let now = began.elapsed();
            meanwhile(now)?;
            while arrivals.due() <= now.min(window)
                && let Some(index) = free.pop()
            {
                due[index] = arrivals.due();
                arrivals.go_on();
                in_flight += 1;
                let client = &mut crowd.clients[index];
                let begun = client.begin(index as u64, &self.poller);
                if let Err(fault) = begun.and_then(|()| client.send(index as u64, &self.poller, &self.buffers)) {
                    in_flight -= 1;
                    tally.lose(&fault, client.as_mut());
                    free.push(index);
                }
            }
            if in_flight == 0 && arrivals.due() > window {
                break;
            }
            if now > window + PATIENCE || tally.errors > MOST_ERRORS {
                tally.note(&Fault::Stalled);
                for client in &mut crowd.clients {
                    client.disconnect();
                }
                break;
            }
            self.turn(crowd, &mut tally, |index, ended| {
                in_flight -= ended;
                if ended > 0 {
                    times.0.push((due[index], began.elapsed().saturating_sub(due[index])));
                    free.push(index);
                }
            })?;
        }
        tally.elapsed = began.elapsed();
        Ok((tally, times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_their_rate() {
        let mut arrivals = Arrivals::new(1000.0);
        for _ in 0..20_000 {
            arrivals.go_on();
        }
        let took = arrivals.due().as_secs_f64();
        assert!((19.0..21.0).contains(&took), "{took}");
    }

    #[test]
    fn the_part_that_took_no_longer_is_found() {
        let millis = Duration::from_millis;
        let times = Times((1..=100).map(|number| (millis(number), millis(101 - number))).collect());
        assert_eq!((times.at(0.5), times.at(0.99), times.at(1.0)), (50_000.0, 99_000.0, 100_000.0));
        assert_eq!(times.between(millis(90), millis(100)).at(1.0), 11_000.0);
        assert!(Times::default().at(0.5).is_nan());
    }
}
