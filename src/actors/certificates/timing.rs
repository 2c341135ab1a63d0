//! When a certificate is renewed, and when a directory that gave none is asked again.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::{Duration, SystemTime},
};

use crate::transport::tls::validity::Validity;

/// Before a directory is asked again that could not be.
const UNREACHED: Duration = Duration::from_secs(2);
/// The same after it has said no: directories count that.
const REFUSED: Duration = Duration::from_secs(300);
/// Longer than this nothing is waited for.
const LONGEST: Duration = Duration::from_secs(86_400);

/// When a certificate has to be renewed: as long before its end as is asked for, or a third of its life.
pub fn due(validity: &Validity, renew_before: Option<Duration>) -> SystemTime {
    let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
    let window = renew_before.unwrap_or(life / 3);
    // However long before it is asked for: there must be some time in which it is not.
    validity.not_after - window.min(life / 2)
}

/// So much sooner than all of this wait, by a `draw` from 0 to 1: up to a tenth. Not all are renewed at once, where many
/// were given on one day.
pub fn earlier(wait: Duration, draw: f64) -> Duration {
    wait.mul_f64(draw / 10.0)
}

/// Longer after each failure, and by a `draw` from 0 to 1 not the same for all.
pub fn pause(is_refusal: bool, failures: u32, draw: f64) -> Duration {
    let first = if is_refusal { REFUSED } else { UNREACHED };
    let pause = first.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST);
    pause - earlier(pause, draw)
}

/// From 0 to 1; nothing depends on its being hard to guess.
pub fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    f64::from((drawn >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_is_due_a_third_of_its_life_before_its_end_or_as_long_as_asked_for_and_half_at_most() {
        let not_before = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let validity = Validity { not_before, not_after: not_before + 90 * DAY };

        for (renew_before, days) in [(None, 60), (Some(10 * DAY), 80), (Some(45 * DAY), 45), (Some(80 * DAY), 45)] {
            assert_eq!(due(&validity, renew_before), not_before + days * DAY, "{renew_before:?}");
        }
    }

    #[test]
    fn a_life_that_ends_before_it_begins_is_due_at_its_end() {
        let not_after = SystemTime::UNIX_EPOCH + DAY;
        let validity = Validity { not_before: not_after + DAY, not_after };

        assert_eq!(due(&validity, Some(DAY)), not_after);
    }

    #[test]
    fn those_who_are_due_at_once_ask_at_different_times_within_a_tenth() {
        let draws: BTreeSet<_> = (0..1000).map(|_| earlier(30 * DAY, random())).collect();

        let (first, last) = (draws.first().expect("a draw"), draws.last().expect("a draw"));
        assert!(*last <= 3 * DAY, "{last:?}");
        assert!(draws.len() > 990, "{} of 1000", draws.len());
        assert!(*last - *first > 2 * DAY, "they are spread over it: from {first:?} to {last:?}");
    }

    #[test]
    fn pauses_grow_to_a_day_and_a_refusal_counts_for_more() {
        for (is_refusal, failures, longest) in
            [(false, 0, 2), (false, 3, 16), (false, 40, 86_400), (true, 0, 300), (true, 2, 1200), (true, 20, 86_400)]
        {
            let longest = Duration::from_secs(longest);
            assert_eq!(pause(is_refusal, failures, 0.0), longest);
            assert_eq!(pause(is_refusal, failures, 1.0), longest - longest / 10);
        }
    }

    #[test]
    fn those_who_failed_at_once_try_again_at_different_times() {
        let draws: BTreeSet<_> = (0..1000).map(|_| pause(true, 0, random())).collect();

        assert!(draws.len() > 990, "{} of 1000", draws.len());
    }
}
