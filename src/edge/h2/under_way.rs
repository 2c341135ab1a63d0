//! What is being answered on a connection, each in the place of its stream.

use std::{pin::Pin, task::Context};

use smallvec::SmallVec;

use super::{bell::Bells, session::Place, wire::Wire};

/// Answers that are under way.
pub struct UnderWay<F> {
    places: Vec<Option<(Place, Pin<Box<F>>)>>,
    count: usize,
}

impl<F: Future<Output = ()>> UnderWay<F> {
    pub fn new() -> Self {
        Self { places: Vec::new(), count: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// One begins.
    pub fn begin(&mut self, place: Place, answer: F, bells: &Bells) {
        let index = place.index as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index] = Some((place, Box::pin(answer)));
        self.count += 1;
        bells.ring(index);
    }

    /// One is done, or not wanted any more: whatever is done for it is dropped.
    pub fn end(&mut self, place: Place, wire: &Wire) {
        let Some(known) = self.places.get_mut(place.index as usize) else { return };
        if known.as_ref().is_some_and(|(known, _)| *known == place) {
            drop(known.take());
            self.count -= 1;
        }
        wire.session(|session| session.release(place));
    }

    /// Polls those that were woken, each once.
    pub fn poll(&mut self, bells: &mut Bells, wire: &Wire) {
        for index in bells.take_places(self.places.len()).collect::<SmallVec<[usize; 32]>>() {
            let Some((place, answer)) = &mut self.places[index] else { continue };
            let place = *place;
            if answer.as_mut().poll(&mut Context::from_waker(bells.place(index))).is_ready() {
                self.end(place, wire);
            }
        }
    }

    /// None of them is wanted any more.
    pub fn clear(&mut self) {
        self.count = 0;
        self.places.clear();
    }

    /// Gives back what many at once have needed, now that there is none.
    pub fn shrink(&mut self) {
        if self.count == 0 && self.places.len() > FEW {
            self.places = Vec::new();
        }
    }
}

/// So many places cost next to nothing.
const FEW: usize = 2;
