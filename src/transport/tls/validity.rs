//! From when to when a certificate holds, and when its end is told of.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::settings::Time;

const DAY: Duration = Duration::from_secs(86_400);
/// How long before its end a certificate is told of, the first step aside.
const DAYS: [u32; 4] = [14, 7, 3, 1];
/// The first step, for whatever lives for longer than three times this.
const FIRST: u32 = 30;

/// When something begins and ends to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The beginning.
    pub not_before: SystemTime,
    /// The end.
    pub not_after: SystemTime,
}

/// That it ends soon; each step once for as long as it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    not_after: SystemTime,
    /// `None` once it is over.
    within: Option<Duration>,
}

impl Validity {
    /// It is over.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.not_after < now
    }

    /// What is to be said of its end by now, if anything is.
    pub fn notice(&self, now: SystemTime) -> Option<Notice> {
        let notice = |within| Some(Notice { not_after: self.not_after, within });
        let Ok(left) = self.not_after.duration_since(now) else { return notice(None) };
        let step = self.steps().filter(|step| left <= *step).last();
        step.and_then(|step| notice(Some(step)))
    }

    /// How long it takes until something else is to be said.
    pub fn next_notice(&self, now: SystemTime) -> Option<Duration> {
        let left = self.not_after.duration_since(now).ok()?;
        let next = self.steps().find(|step| *step < left).unwrap_or_default();
        // At the step's very end it is not yet reached.
        Some(left - next + Duration::from_millis(1))
    }

    /// The longest first. A third of a short life is when others renew it.
    fn steps(&self) -> impl Iterator<Item = Duration> {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let first = (FIRST * DAY).min(Duration::from_secs((life / 3).as_secs()));
        [first].into_iter().chain(DAYS.map(|days| days * DAY).into_iter().filter(move |step| *step < first))
    }
}

/// Follows what it is that ends: `the certificate in ..`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = httpdate::fmt_http_date(self.not_after);
        match self.within {
            Some(within) => write!(f, "expires on {when}, in less than {}", Time(Some(within))),
            None => write!(f, "expired on {when}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(life: Duration) -> Vec<(Duration, String)> {
        let not_before = SystemTime::UNIX_EPOCH;
        let validity = Validity { not_before, not_after: not_before + life };
        let (mut now, mut told) = (not_before, Vec::new());
        while let Some(wait) = validity.next_notice(now) {
            now += wait;
            let notice = validity.notice(now).expect("it was announced").to_string();
            let left = validity.not_after.duration_since(now).unwrap_or_default();
            told.push((left, notice.rsplit(", in ").next().expect("text").to_owned()));
        }
        told
    }

    #[test]
    fn each_step_is_told_when_it_comes_and_short_lives_have_fewer() {
        for (days, expected) in [
            (365, vec!["30d", "14d", "7d", "3d", "1d"]),
            (45, vec!["15d", "14d", "7d", "3d", "1d"]),
            (6, vec!["2d", "1d"]),
            (1, vec!["8h"]),
        ] {
            let told = notices(days * DAY);

            let mut expected: Vec<_> = expected.iter().map(|step| format!("less than {step}")).collect();
            let end = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + days * DAY);
            expected.push(format!("expired on {end}"));
            assert_eq!(told.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>(), expected, "{days} days");
        }
    }

    #[test]
    fn nothing_is_told_while_there_is_time() {
        let validity = Validity { not_before: SystemTime::UNIX_EPOCH, not_after: SystemTime::UNIX_EPOCH + 90 * DAY };

        assert_eq!(validity.notice(SystemTime::UNIX_EPOCH + 59 * DAY), None);
        assert_eq!(validity.next_notice(validity.not_after + DAY), None);
    }
}
