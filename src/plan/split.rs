//! Several upstreams of one route: of all requests each gets its share.

use std::sync::Arc;

use super::cohort::Cohort;
use crate::{chance, upstream::Upstream};

/// The sides of a route that leads to several upstreams.
pub struct Split {
    /// Those with a weight; at least one.
    sides: Vec<Side>,
    /// How clients keep their side, if they do.
    pub cohort: Option<Cohort>,
}

/// One of them.
pub struct Side {
    /// Who gets the requests.
    pub upstream: Arc<Upstream>,
    /// What goes in front of the path there, as with a route that leads to it alone.
    pub base: String,
    /// Its share among the others; more than nothing.
    pub weight: u32,
    name: u64,
}

impl Side {
    /// A side called by what the settings call it.
    pub fn new(name: &str, upstream: Arc<Upstream>, base: String, weight: u32) -> Self {
        Self { upstream, base, weight, name: chance::hash(name.as_bytes()) }
    }

    /// How long a number has to wait for this side. The heavier it is the shorter are its waits, and it has the shortest
    /// one as often as its share says.
    fn wait(&self, number: u32) -> f64 {
        -chance::as_part(chance::mix(self.name ^ chance::mix(u64::from(number)))).ln() / f64::from(self.weight)
    }
}

impl Split {
    /// Of the sides that have a weight; `None` if none has.
    pub fn of(mut sides: Vec<Side>, cohort: Option<Cohort>) -> Option<Self> {
        sides.retain(|side| side.weight > 0);
        (!sides.is_empty()).then_some(Self { sides, cohort })
    }

    /// Those that get requests.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// The side that a number belongs to: in every process the same, whatever the order of the sides. Where a weight
    /// changes, only as many numbers move as must (weighted rendezvous hashing).
    pub fn side(&self, number: u32) -> &Side {
        let waits = self.sides.iter().map(|side| (side.wait(number), side));
        waits.min_by(|(one, _), (other, _)| one.total_cmp(other)).expect("it has a side").1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{kinds::Kinds, plan::Plan, settings::Settings};

    /// A split of upstreams called by their letters.
    fn split(weights: &[(char, u32)]) -> Split {
        let mut settings = Settings::default();
        for (name, _) in weights {
            settings.routes.insert(format!("/{name}"), format!("http://{name}").into());
        }
        let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));
        let side = |(name, weight): &(char, u32)| {
            let upstream = Arc::clone(&plan.upstreams[&*format!("http://{name}")]);
            Side::new(&name.to_string(), upstream, String::new(), *weight)
        };
        Split::of(weights.iter().map(side).collect(), None).expect("one has a weight")
    }

    fn name(side: &Side) -> &str {
        side.upstream.name.strip_prefix("http://").expect("it is called by its URL")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_side_gets_its_share_and_one_without_weight_nothing(
            weights in prop::collection::vec(0u32..100, 2..5).prop_filter("one has a weight", |all| all.iter().any(|one| *one > 0)),
            seed: u64,
        ) {
            const TIMES: u32 = 20_000;
            chance::seed(seed);
            let weights: Vec<_> = ('a'..).zip(weights).collect();
            let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
            let split = split(&weights);
            let picked: String = (0..TIMES).map(|_| name(split.side(chance::half()))).collect();

            for (letter, weight) in &weights {
                let count = picked.matches(*letter).count() as f64;
                let share = f64::from(*weight) / f64::from(sum);
                let expected = share * f64::from(TIMES);
                // Within five standard deviations.
                let play = 5.0 * (expected * (1.0 - share)).sqrt();
                prop_assert!((count - expected).abs() <= play, "{}: {} of {:?}", letter, count, weights);
            }
        }

        #[test]
        fn when_a_weight_grows_numbers_move_only_to_its_side(
            weights in prop::collection::vec(1u32..100, 2..5), more in 1u32..1000, grown: prop::sample::Index,
        ) {
            let before: Vec<_> = ('a'..).zip(weights).collect();
            let mut after: Vec<_> = before.clone();
            let grown = grown.index(before.len());
            after[grown].1 += more;
            let letter = before[grown].0.to_string();
            // Their order means nothing.
            after.reverse();
            let (before, after) = (split(&before), split(&after));

            for number in (0..u32::MAX).step_by(4_000_037) {
                let (was, is) = (name(before.side(number)), name(after.side(number)));
                prop_assert!(was == is || is == letter, "{} moved from {} to {}", number, was, is);
            }
        }
    }
}
