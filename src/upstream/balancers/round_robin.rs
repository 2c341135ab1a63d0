//! Each in turn, the heavier more often.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{Balancer, Kind, Nothing};
use crate::{
    exchange::Exchange,
    settings::Problems,
    upstream::{Candidates, Endpoint},
};

/// Each in turn, by weight. The turns of one cycle are laid out smoothly beforehand (weights 5, 1, 1 give
/// a a b a c a a, not a a a a a b c), so a pick is one atomic addition.
pub struct RoundRobin {
    cycle: Box<[u32]>,
    turn: AtomicUsize,
}

/// Longest cycle laid out; heavier weights are scaled down to fit.
const LONGEST_CYCLE: u64 = 4096;

impl Kind for RoundRobin {
    const NAME: &'static str = "round_robin";
    const SUMMARY: &'static str = "each endpoint in turn, by weight";
    type Settings = Nothing;

    fn build(_: Nothing, endpoints: &[Arc<Endpoint>]) -> Result<Box<dyn Balancer>, Problems> {
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Ok(Box::new(Self { cycle: smooth_cycle(&weights), turn: AtomicUsize::new(0) }))
    }
}

impl Balancer for RoundRobin {
    fn pick<'c>(&self, candidates: Candidates<'c>, _exchange: &Exchange) -> &'c Arc<Endpoint> {
        if candidates.len() == 1 {
            return candidates.nth(0);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let length = self.cycle.len().max(1);
        let place = self.cycle.get(turn % length).map_or(turn, |place| *place as usize);
        // The turns of whoever is no candidate go to each of the others in turn.
        candidates.at_place(place).unwrap_or_else(|| candidates.nth(turn / length + place))
    }
}

/// The smooth order of nginx: at each turn everyone gains its weight, the one with most goes and pays the sum.
fn smooth_cycle(weights: &[u32]) -> Box<[u32]> {
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        // One turn each; to find that out takes the square of their number.
        return (0..u32::try_from(weights.len()).expect("fewer than 2^32 endpoints")).collect();
    }
    let weights = scaled(weights);
    let sum: i64 = weights.iter().sum();
    let mut standing = vec![0_i64; weights.len()];
    let mut cycle = Vec::with_capacity(usize::try_from(sum).unwrap_or(0));
    for _ in 0..sum {
        for (standing, weight) in standing.iter_mut().zip(&weights) {
            *standing += weight;
        }
        let best = (0..weights.len()).max_by_key(|place| (standing[*place], weights.len() - place));
        let Some(best) = best else { break };
        standing[best] -= sum;
        cycle.push(u32::try_from(best).expect("fewer than 2^32 endpoints"));
    }
    cycle.into()
}

/// The weights by their greatest common divisor, and small enough that a cycle can be laid out.
fn scaled(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let sum: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let shrink = sum.div_ceil(LONGEST_CYCLE.max(weights.len() as u64)).max(1);
    weights.iter().map(|weight| (i64::from(weight / divisor) / shrink as i64).max(1)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_smooth_and_keeps_the_weights() {
        assert_eq!(*smooth_cycle(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(*smooth_cycle(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*smooth_cycle(&[20, 10]), [0, 1, 0]);
    }

    #[test]
    fn weights_however_large_give_a_bounded_cycle_in_which_everyone_has_a_turn() {
        let cycle = smooth_cycle(&[u32::MAX, 1, 7]);
        assert!(cycle.len() as u64 <= LONGEST_CYCLE + 3, "{} turns", cycle.len());
        for place in 0..3 {
            assert!(cycle.contains(&place), "{place} never has a turn");
        }
    }
}
