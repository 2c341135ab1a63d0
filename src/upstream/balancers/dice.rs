//! Loaded dice.

use std::sync::Arc;

use crate::{
    chance::{below, roll},
    upstream::{Candidates, Endpoint},
};

/// Dice with a side for each endpoint, the heavier on top more often. A throw costs the same for two and for thousands:
/// Walker's alias method, as Vose lays out its table.
pub struct Loaded {
    sides: Box<[Side]>,
}

/// Keeps its own throw with this chance of 2^32, and gives it to another else.
struct Side {
    keeps: u64,
    other: u32,
}

/// Throws for a candidate before those that may be picked are asked for one by one.
const THROWS: u32 = 8;

impl Loaded {
    /// With a side for each endpoint, by its weight.
    pub fn by_weight(endpoints: &[Arc<Endpoint>]) -> Self {
        let sum: f64 = endpoints.iter().map(|endpoint| f64::from(endpoint.weight)).sum();
        let mut parts: Vec<f64> =
            endpoints.iter().map(|endpoint| f64::from(endpoint.weight) * endpoints.len() as f64 / sum).collect();
        let mut sides: Vec<Side> = (0..).take(parts.len()).map(|own| Side { keeps: 1 << 32, other: own }).collect();
        let (mut short, mut long): (Vec<usize>, Vec<usize>) = (0..parts.len()).partition(|side| parts[*side] < 1.0);
        while let (Some(less), Some(&more)) = (short.pop(), long.last()) {
            sides[less].keeps = (parts[less] * (1_u64 << 32) as f64) as u64;
            sides[less].other = u32::try_from(more).expect("fewer than 2^32 endpoints");
            parts[more] -= 1.0 - parts[less];
            if parts[more] < 1.0 {
                short.extend(long.pop());
            }
        }
        Self { sides: sides.into() }
    }

    /// The place of an endpoint.
    pub fn throw(&self) -> usize {
        let side = below(self.sides.len());
        let Side { keeps, other } = self.sides[side];
        if roll() >> 32 < keeps { side } else { other as usize }
    }

    /// One of the candidates. Where few of the endpoints are, it is any of them by the same chance.
    pub fn pick<'c>(&self, candidates: Candidates<'c>) -> &'c Arc<Endpoint> {
        (0..THROWS)
            .find_map(|_| candidates.at_place(self.throw()))
            .unwrap_or_else(|| candidates.nth(below(candidates.len())))
    }
}
