//! What many clients want of many things: few things often, most seldom, and some only once.

use std::cell::RefCell;
use std::rc::Rc;

use crate::h1::{Asks, Request};

/// So many things are asked for more than once.
pub const OBJECTS: usize = 100_000;
/// How fast interest falls with the rank; what is measured of the web lies between 0.6 and 1.
const SKEW: f64 = 0.8;

/// The same requests in the same order for every peer.
struct Mix {
    /// What share of the interest is for things up to this rank.
    shares: Vec<f64>,
    random: u64,
    once_in: u64,
    once: u64,
}

/// Each of so many things once, from the first to the last, and then again.
pub fn each(download: u64, things: usize) -> Asks {
    let next = RefCell::new(0);
    Rc::new(move || {
        let object = next.replace_with(|next| (*next + 1) % things);
        Rc::new(Request::stored_as(download, &format!("?o={object}")))
    })
}

/// As many clients would ask. One request of so many is for a thing that nobody has asked for, nor will again; it is told by the number of
/// this crowd from what another one asks for.
pub fn popular(download: u64, once_in: u64, crowd: usize) -> Asks {
    let mix = RefCell::new(Mix::new(once_in, crowd as u64));
    Rc::new(move || {
        let query = match mix.borrow_mut().next() {
            Ok(object) => format!("?o={object}"),
            Err(once) => format!("?once={crowd}.{once}"),
        };
        Rc::new(Request::stored_as(download, &query))
    })
}

impl Mix {
    fn new(once_in: u64, crowd: u64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=OBJECTS)
            .map(|rank| {
                sum += (rank as f64).powf(-SKEW);
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        // Odd times odd: it is never 0.
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * crowd + 1);
        Self { shares, random, once_in, once: 0 }
    }

    /// A thing by its rank, or the number of one that is asked for once.
    fn next(&mut self) -> Result<usize, u64> {
        if self.draw().is_multiple_of(self.once_in) {
            self.once += 1;
            return Err(self.once);
        }
        let share = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        Ok(self.shares.partition_point(|&upto| upto <= share).min(OBJECTS - 1))
    }

    /// xorshift64*.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_things_are_wanted_often_and_a_tenth_of_all_once() {
        let mut mix = Mix::new(10, 0);
        let (mut of_the_first_thousand, mut once) = (0, 0);

        for _ in 0..100_000 {
            match mix.next() {
                Ok(object) if object < OBJECTS / 100 => of_the_first_thousand += 1,
                Ok(_) => {}
                Err(_) => once += 1,
            }
        }

        assert!((9_000..11_000).contains(&once), "{once}");
        assert!((25_000..45_000).contains(&of_the_first_thousand), "{of_the_first_thousand}");
    }
}
