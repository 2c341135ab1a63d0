//! The endpoints that may be picked now.

use std::sync::Arc;

use super::Endpoint;

/// The endpoints that may be picked now, each with its place in the upstream; never empty, so a pick cannot fail.
#[derive(Clone, Copy)]
pub struct Candidates<'c> {
    all: &'c [Arc<Endpoint>],
    left: Option<&'c [usize]>,
}

impl<'c> Candidates<'c> {
    /// Every endpoint; `None` if there is none.
    pub fn all(all: &'c [Arc<Endpoint>]) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, left: None })
    }

    /// Those at the given places; `None` if there is none.
    pub fn only(all: &'c [Arc<Endpoint>], left: &'c [usize]) -> Option<Self> {
        let inside = left.iter().all(|place| *place < all.len());
        (inside && !left.is_empty()).then_some(Self { all, left: Some(left) })
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.left.map_or(self.all.len(), <[_]>::len)
    }

    /// The `index`th candidate; past the end it starts again.
    pub fn nth(&self, index: usize) -> &'c Arc<Endpoint> {
        &self.all[self.place(index)]
    }

    /// The place of the `index`th candidate in the upstream; past the end it starts again.
    pub fn place(&self, index: usize) -> usize {
        match self.left {
            None => index % self.all.len(),
            Some(left) => left[index % left.len()],
        }
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'c Arc<Endpoint>> {
        (0..self.len()).map(move |index| self.nth(index))
    }

    /// How many endpoints the upstream has, candidates or not.
    pub fn of(&self) -> usize {
        self.all.len()
    }

    /// The candidate at this place of the upstream, if it is one.
    pub fn at_place(&self, place: usize) -> Option<&'c Arc<Endpoint>> {
        match self.left {
            Some(left) if !left.contains(&place) => None,
            _ => self.all.get(place),
        }
    }
}
