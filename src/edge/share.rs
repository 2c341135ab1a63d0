//! How connections are shared out among workers that stand at the same door (docs/adr/0005-workers-accept.md).

/// Whether one of so many workers, who has `own` of all `open` connections, would have more than its share with one more: the others
/// hear of the next one as well, and are to have it if they come at once.
///
/// Few connections that stay are counted out, for each may be as much work as the others together. Where some end meanwhile, what one
/// has more of now it has less of soon, and to wait for each other would cost more than that.
pub fn is_ahead(own: usize, open: usize, workers: usize, some_ended: bool) -> bool {
    let share = (open + 1).div_ceil(workers);
    let more = if some_ended { share / 8 + 1 } else { share / 16 };
    own + 1 > share + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;

    /// So many connections, each taken by any of the workers that do not stand back.
    fn shared_out(connections: usize, workers: usize) -> Vec<usize> {
        let mut own = vec![0; workers];
        for open in 0..connections {
            let free: Vec<_> = (0..workers).filter(|one| !is_ahead(own[*one], open, workers, false)).collect();
            own[free[chance::below(free.len())]] += 1;
        }
        own
    }

    #[test]
    fn few_connections_are_counted_out_and_many_are_within_a_tenth() {
        for workers in 2..9 {
            for connections in [1, 3, 4, 10, 50, 128, 1000] {
                let own = shared_out(connections, workers);

                let (least, most) = (own.iter().min().copied(), own.iter().max().copied());
                let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
                let is_within_a_tenth = most * workers * 10 <= connections * 11;
                assert!(is_within_a_tenth || most - least <= 1, "{connections} among {workers}: {own:?}");
            }
        }
    }

    #[test]
    fn where_connections_end_as_they_come_nobody_stands_back_for_a_few() {
        assert!(!is_ahead(19, 32, 2, true));
        assert!(is_ahead(20, 32, 2, true));
        assert!(is_ahead(18, 32, 2, false));
    }
}
