//! Places by number, in pieces: what is here lies together, and memory goes back piece by piece, without waiting for the last.

use std::mem;

/// Bytes that a piece is to have: its places fill what the allocator has of that size, while one of its own for each would leave a
/// part of it over.
const PIECE: usize = 4096;

/// Who is where.
pub struct Places<T> {
    pieces: Vec<Piece<T>>,
    /// The pieces with room.
    with_room: Vec<usize>,
    taken: usize,
}

struct Piece<T> {
    places: Vec<Option<T>>,
    taken: usize,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), with_room: Vec::new(), taken: 0 }
    }
}

impl<T> Places<T> {
    /// Places of a piece.
    const EACH: usize = match PIECE / mem::size_of::<Option<T>>() {
        0 => 1,
        each => each,
    };

    /// Nobody is here.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// The number of a place that nobody has.
    pub fn free(&mut self) -> u32 {
        let piece = self.with_room.last().copied().unwrap_or_else(|| {
            self.pieces.push(Piece { places: Vec::new(), taken: 0 });
            self.with_room.push(self.pieces.len() - 1);
            self.pieces.len() - 1
        });
        let places = &self.pieces[piece].places;
        let place = places.iter().position(Option::is_none).unwrap_or(places.len());
        u32::try_from(piece * Self::EACH + place).expect("there are fewer descriptors than that")
    }

    /// Puts somebody at a place that was [`free`](Self::free) just now.
    pub fn put(&mut self, number: u32, who: T) {
        let (piece, place) = Self::find(number);
        let Piece { places, taken } = &mut self.pieces[piece];
        if places.capacity() == 0 {
            places.reserve_exact(Self::EACH);
        }
        if place == places.len() {
            places.push(None);
        }
        places[place] = Some(who);
        *taken += 1;
        if *taken == Self::EACH {
            // The last, whose place was free just now.
            self.with_room.pop();
        }
        self.taken += 1;
    }

    /// Whoever is there: a bell may ring twice.
    pub fn take(&mut self, number: u32) -> Option<T> {
        let (piece, place) = Self::find(number);
        let Piece { places, taken } = self.pieces.get_mut(piece)?;
        let who = places.get_mut(place)?.take()?;
        if *taken == Self::EACH {
            self.with_room.push(piece);
        }
        *taken -= 1;
        if *taken == 0 {
            *places = Vec::new();
        }
        self.taken -= 1;
        Some(who)
    }

    /// All with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).step_by(Self::EACH).zip(&self.pieces).flat_map(|(first, piece)| {
            (first..).zip(&piece.places).filter_map(|(number, who)| Some((number, who.as_ref()?)))
        })
    }

    fn find(number: u32) -> (usize, usize) {
        (number as usize / Self::EACH, number as usize % Self::EACH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three of them are a piece.
    type Large = (u32, [u8; PIECE / 4 - 4]);

    fn put(places: &mut Places<Large>, who: u32) -> u32 {
        let number = places.free();
        places.put(number, (who, [0; _]));
        number
    }

    fn who(places: &Places<Large>) -> Vec<(u32, u32)> {
        places.iter().map(|(number, (who, _))| (number, *who)).collect()
    }

    #[test]
    fn a_place_is_had_by_one_and_then_by_another() {
        let mut places = Places::default();
        let numbers: Vec<u32> = (10..20).map(|who| put(&mut places, who)).collect();

        assert_eq!(places.take(numbers[5]).map(|(who, _)| who), Some(15));
        assert!(places.take(numbers[5]).is_none() && places.take(77).is_none());
        let again = put(&mut places, 25);

        assert!(!numbers.iter().enumerate().any(|(place, number)| place != 5 && *number == again));
        assert_eq!(who(&places).len(), 10);
        assert_eq!(places.take(again).map(|(who, _)| who), Some(25));
    }

    #[test]
    fn a_piece_that_nobody_is_in_takes_no_memory() {
        let mut places = Places::default();
        let numbers: Vec<u32> = (0..4 * Places::<Large>::EACH as u32).map(|who| put(&mut places, who)).collect();

        for number in &numbers[1..] {
            places.take(*number);
        }

        assert_eq!(who(&places), [(numbers[0], 0)]);
        assert_eq!(places.pieces.iter().filter(|piece| piece.places.capacity() > 0).count(), 1);
        places.take(numbers[0]);
        assert!(places.is_empty());
    }
}
