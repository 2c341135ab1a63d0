//! Medians, and how far they can be trusted: a mean would let one disturbed round speak for all.

use serde::Serialize;

/// The true median lies between the least and the most with a confidence of 95%, whatever the values are like; of five values and
/// fewer these are the ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` when there is nothing to order.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let outside = outside(values.len());
        let (least, most) = (*values.get(outside)?, *values.get(values.len() - 1 - outside)?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Self { median, least, most })
    }
}

/// How many ordered values at each end lie outside of the confidence interval of the median: half of them are above it, as coins
/// fall, and 1.96 standard deviations are 95%.
fn outside(values: usize) -> usize {
    let values = values as f64;
    (((values + 1.0) / 2.0 - 0.98 * values.sqrt()).floor() - 1.0).max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_values_those_far_from_the_median_are_left_out() {
        // As tables of the binomial distribution have it.
        for (values, left_out) in [(1, 0), (3, 0), (5, 0), (6, 0), (10, 1), (20, 5), (40, 13)] {
            assert_eq!(outside(values), left_out, "of {values}");
        }
        let spread = Spread::of((1..=20).map(f64::from)).unwrap();
        assert_eq!((spread.least, spread.most), (6.0, 15.0));
    }

    #[test]
    fn the_median_stands_in_the_middle() {
        for (values, median, least, most) in [
            (vec![3.0], 3.0, 3.0, 3.0),
            (vec![9.0, 1.0, 2.0], 2.0, 1.0, 9.0),
            (vec![4.0, 1.0, 3.0, 2.0], 2.5, 1.0, 4.0),
            (vec![f64::NAN, 5.0, f64::INFINITY], 5.0, 5.0, 5.0),
        ] {
            assert_eq!(Spread::of(values), Some(Spread { median, least, most }));
        }
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Spread::of([]), None);
    }
}
