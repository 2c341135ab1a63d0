//! Where the filters of a route stand: each at the place of its kind, but behind whoever finds out who asks if it has to know that.

use std::ops::Range;

use crate::{
    filters::{Kind, WhoAsks, authorize::Authorize, basic_auth::BasicAuth},
    kinds::Kinds,
};

/// The places of a request's way. Kinds have theirs from the table.
pub struct Places {
    /// Here it is found out who asks. What he may do is asked right behind.
    proofs: Range<usize>,
}

/// Further out is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    of_kind: usize,
    is_moved: bool,
}

impl Places {
    /// In the order of this table.
    pub fn of(kinds: &Kinds) -> Self {
        let place = |name| kinds.filters().iter().position(|kind| kind.name == name);
        let placed = "kinds are added to those of the house, and none is taken away";
        Self { proofs: place(BasicAuth::NAME).expect(placed)..place(Authorize::NAME).expect(placed) }
    }

    /// Nothing is proved of a client before a filter of the kind at this place in the table has been passed.
    pub fn is_before_proofs(&self, kind: usize) -> bool {
        kind <= self.proofs.start
    }

    /// Filters of the kind at this place in the table find out who asks.
    pub fn is_proof(&self, kind: usize) -> bool {
        self.proofs.contains(&kind)
    }

    /// Where a filter of the kind at this place in the table stands.
    pub fn place(&self, kind: usize, needs: WhoAsks) -> Place {
        match needs {
            WhoAsks::OnTheWayIn if kind < self.proofs.end => Place { of_kind: self.proofs.end, is_moved: true },
            WhoAsks::OnTheWayIn | WhoAsks::OnTheWayOut | WhoAsks::Unasked => Place { of_kind: kind, is_moved: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_know_who_asks_stands_behind_all_that_find_it_out_and_before_what_is_behind_them() {
        let kinds = Kinds::built_in();
        let (places, count) = (Places::of(&kinds), kinds.filters().len());
        let place = |name: &str, needs| {
            let kind = kinds.filters().iter().position(|kind| kind.name == name).expect("a kind");
            places.place(kind, needs)
        };

        let moved = place("concurrency", WhoAsks::OnTheWayIn);

        for name in ["basic_auth", "api_key", "jwt", "client_cert", "forward_auth", "auth", "authorize"] {
            assert!(place(name, WhoAsks::Unasked) < moved, "{name}");
        }
        assert!(place("concurrency", WhoAsks::Unasked) < place("basic_auth", WhoAsks::Unasked));
        assert!(moved < place("quota", WhoAsks::OnTheWayIn));
        assert_eq!(place("bandwidth", WhoAsks::OnTheWayOut), place("bandwidth", WhoAsks::Unasked));
        let proofs: Vec<_> =
            (0..count).filter(|kind| places.is_proof(*kind)).map(|kind| kinds.filters()[kind].name).collect();
        assert_eq!(proofs, ["basic_auth", "api_key", "jwt", "client_cert", "forward_auth", "auth"]);
    }
}
