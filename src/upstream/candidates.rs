//! The endpoints that may be picked now.

use std::sync::Arc;

use super::Endpoint;

/// Some places of an upstream, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    list: Box<[usize]>,
    /// A bit for each place, so that asking for one costs the same however many there are.
    bits: Box<[u64]>,
    last: usize,
}

impl Places {
    /// These; `None` if there is none.
    pub fn these(places: impl IntoIterator<Item = usize>) -> Option<Self> {
        let list: Box<[usize]> = places.into_iter().collect();
        let last = *list.iter().max()?;
        let mut bits = vec![0; last / 64 + 1].into_boxed_slice();
        for place in &list {
            bits[place / 64] |= 1 << (place % 64);
        }
        Some(Self { list, bits, last })
    }

    /// In their order.
    pub fn as_slice(&self) -> &[usize] {
        &self.list
    }

    /// This is one of them.
    pub fn has(&self, place: usize) -> bool {
        self.bits.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }
}

/// The endpoints that may be picked now, each with its place in the upstream; never empty, so a pick cannot fail.
#[derive(Clone, Copy)]
pub struct Candidates<'c> {
    all: &'c [Arc<Endpoint>],
    left: Option<&'c Places>,
}

impl<'c> Candidates<'c> {
    /// Every endpoint; `None` if there is none.
    pub fn all(all: &'c [Arc<Endpoint>]) -> Option<Self> {
        (!all.is_empty()).then_some(Self { all, left: None })
    }

    /// Those at the given places; `None` if one of these is none.
    pub fn only(all: &'c [Arc<Endpoint>], left: &'c Places) -> Option<Self> {
        (left.last < all.len()).then_some(Self { all, left: Some(left) })
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.left.map_or(self.all.len(), |left| left.list.len())
    }

    /// The `index`th candidate; past the end it starts again.
    pub fn nth(&self, index: usize) -> &'c Arc<Endpoint> {
        &self.all[self.place(index)]
    }

    /// The place of the `index`th candidate in the upstream; past the end it starts again.
    pub fn place(&self, index: usize) -> usize {
        match self.left {
            None => index % self.all.len(),
            Some(left) => left.list[index % left.list.len()],
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
            Some(left) if !left.has(place) => None,
            _ => self.all.get(place),
        }
    }
}
