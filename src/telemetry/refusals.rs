//! Refused requests in the application's log, so that the id which a client was given leads somewhere.

use std::{cell::Cell, fmt::Display};

use super::access_log::AccessLog;
use crate::{clock, exchange::RequestId, http::Error};

/// So many a second are told on each worker: whoever tries out every path fills no disk.
const A_SECOND: u32 = 20;

thread_local! {
    static WINDOW: Cell<Window> = const { Cell::new(Window { second: 0, told: 0, withheld: 0 }) };
}

/// Tells which rule a request broke. It is a client's affair: where the access log has a line for it, with its id, only
/// who looks for details is told.
pub fn tell(log: Option<&AccessLog>, id: &RequestId, asked: impl Display, error: &Error) {
    if log.is_some_and(AccessLog::shows_ids) || !log::log_enabled!(log::Level::Info) {
        return log::debug!("{} {asked}: {error}", id.as_str());
    }
    let mut window = WINDOW.get();
    let admitted = window.admit(clock::coarse().as_secs());
    WINDOW.set(window);
    match admitted {
        Some(withheld) => {
            if withheld > 0 {
                log::info!("{withheld} more refusals were told at level debug only");
            }
            log::info!("{} {asked}: {error}", id.as_str());
        }
        None => log::debug!("{} {asked}: {error}", id.as_str()),
    }
}

/// One second, and what was told in it.
#[derive(Debug, Clone, Copy)]
struct Window {
    second: u64,
    told: u32,
    withheld: u64,
}

impl Window {
    /// Whether one more may be told now; then, how many were withheld before it.
    fn admit(&mut self, second: u64) -> Option<u64> {
        if second != self.second {
            (self.second, self.told) = (second, 0);
        }
        if self.told == A_SECOND {
            self.withheld += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_in_part_and_then_counted() {
        let mut window = Window { second: 0, told: 0, withheld: 0 };

        let first: Vec<_> = (0..A_SECOND + 5).map(|_| window.admit(7)).collect();
        let next = [window.admit(8), window.admit(8)];

        let (told, withheld) = first.split_at(A_SECOND as usize);
        assert!(told.iter().all(|admitted| *admitted == Some(0)), "{told:?}");
        assert!(withheld.iter().all(Option::is_none), "{withheld:?}");
        assert_eq!(next, [Some(5), Some(0)]);
    }
}
