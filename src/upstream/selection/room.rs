//! Whom to ask where endpoints take only so many requests at once.

use std::sync::atomic::Ordering;

use super::{Endpoint, Lineup, Pick, Places, Selection};
use crate::{
    exchange::{Exchange, Slot},
    http::Error,
};

/// Why nobody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// There is nobody.
    Nobody,
    /// Whoever may be asked has as many requests as it may have.
    Full,
}

impl<'u> Selection<'u> {
    /// The next one, whatever it carries; `exchange.in_flight` counts the request there.
    ///
    /// # Errors
    /// There is nobody.
    pub fn pick_and_enter(&self, exchange: &mut Exchange, may_try: bool) -> Result<Pick<'u>, Error> {
        let pick = self.pick(exchange, may_try).ok_or(Error::NoEndpoint)?;
        exchange.in_flight = Some(pick.endpoint.enter());
        Ok(pick)
    }

    /// As [`pick`](Self::pick), among those that have less than `most` places taken; `slot` takes the next one.
    ///
    /// # Errors
    /// Nobody can be asked now.
    pub fn pick_with_room(
        &self,
        exchange: &Exchange,
        may_try: bool,
        most: u32,
        slot: &mut Slot,
    ) -> Result<Pick<'u>, Unasked> {
        let pick = self.pick(exchange, may_try).ok_or(Unasked::Nobody)?;
        if slot.enter(&pick.endpoint.slots, most) {
            return Ok(pick);
        }
        let lineup = self.members.lineup();
        let mut left = self.with_room(&lineup, most);
        // Another worker may be faster: then it is somebody else's turn.
        while let Some(places) = Places::these(left.iter().copied()) {
            let endpoint = self.among(Some(&places), &lineup, exchange).ok_or(Unasked::Nobody)?;
            if slot.enter(&endpoint.slots, most) {
                return Ok(Pick { endpoint, trial: None });
            }
            left.retain(|place| Some(*place) != self.place_of(endpoint));
        }
        Err(Unasked::Full)
    }

    /// Some endpoint that may be asked has less than `most` places taken.
    pub fn has_room(&self, most: u32) -> bool {
        let lineup = self.members.lineup();
        self.home_that_empties(&lineup).is_some_and(|home| has_room(home, most))
            || !self.with_room(&lineup, most).is_empty()
    }

    /// Those that others than clients who are at home there may be sent to.
    fn with_room(&self, lineup: &Lineup, most: u32) -> Vec<usize> {
        let has_room = |place: &usize| has_room(&self.members.endpoints[*place], most);
        let usable = if self.tried.is_empty() { lineup.places.clone() } else { self.left(lineup) };
        match usable {
            Some(usable) => usable.as_slice().iter().copied().filter(has_room).collect(),
            None => self.untried(lineup).filter(has_room).collect(),
        }
    }
}

fn has_room(endpoint: &Endpoint, most: u32) -> bool {
    endpoint.slots.load(Ordering::SeqCst) < most
}
