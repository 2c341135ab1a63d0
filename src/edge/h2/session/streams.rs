//! The streams that are open, each in a place of its own.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Waker},
};

use super::content::Incoming;

/// All of them. A place is taken again once whoever answered there is done.
#[derive(Default)]
pub struct Streams {
    /// The stream in each place; 0 where there is none.
    numbers: Vec<u32>,
    all: Vec<Stream>,
    free: Vec<u32>,
    /// Those that are not over.
    pub live: usize,
}

/// Where a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the place: the same as that of a stream before.
    pub index: u32,
    /// The number of the stream.
    pub stream: u32,
}

/// A stream that is open.
#[derive(Default)]
pub struct Stream {
    /// Bytes of content that the client takes.
    pub window: i64,
    /// What comes, as long as more may come.
    pub content: Option<Rc<RefCell<Incoming>>>,
    /// Bytes of content that are still to come, if the client has said how many.
    pub promised: Option<u64>,
    /// Our side has ended.
    pub has_ended: bool,
    /// What comes are the bytes of another protocol.
    pub is_tunnel: bool,
    /// It is over.
    pub is_closed: bool,
    /// Whoever waits to send.
    pub sender: Option<Waker>,
}

impl Stream {
    /// The task is woken when there is something to be sent again.
    pub fn is_woken_by(&mut self, cx: &Context<'_>) {
        if !self.sender.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.sender = Some(cx.waker().clone());
        }
    }
}

impl Streams {
    pub fn open(&mut self, number: u32, stream: Stream) -> Place {
        self.live += 1;
        let index = self.free.pop().unwrap_or(self.all.len() as u32);
        match self.all.get_mut(index as usize) {
            Some(place) => {
                *place = stream;
                self.numbers[index as usize] = number;
            }
            None => {
                self.all.push(stream);
                self.numbers.push(number);
            }
        }
        Place { index, stream: number }
    }

    /// The stream in this place, unless it is over.
    pub fn get(&mut self, place: Place) -> Option<&mut Stream> {
        if self.numbers.get(place.index as usize) != Some(&place.stream) {
            return None;
        }
        self.all.get_mut(place.index as usize).filter(|stream| !stream.is_closed)
    }

    /// Where the stream of this number is, unless it is over.
    pub fn find(&self, number: u32) -> Option<Place> {
        let index = self.numbers.iter().position(|known| *known == number)?;
        let place = Place { index: index as u32, stream: number };
        (!self.all[index].is_closed).then_some(place)
    }

    /// Nobody answers there any more.
    pub fn free(&mut self, place: Place) {
        if let Some(number) = self.numbers.get_mut(place.index as usize)
            && *number == place.stream
        {
            *number = 0;
            self.all[place.index as usize] = Stream::default();
            self.free.push(place.index);
        }
    }

    /// Each that is not over.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Stream> {
        let open = self.numbers.iter().map(|number| *number != 0);
        self.all.iter_mut().zip(open).filter(|(stream, open)| *open && !stream.is_closed).map(|(stream, _)| stream)
    }

    /// Where there is one that is not over.
    pub fn places(&self) -> Vec<Place> {
        self.numbers.iter().filter(|number| **number != 0).filter_map(|number| self.find(*number)).collect()
    }

    /// Gives back what many streams at once have needed, now that there is none.
    pub fn shrink(&mut self) {
        if self.free.len() == self.all.len() && self.all.len() > FEW {
            *self = Self::default();
        }
    }
}

/// So many places cost next to nothing.
const FEW: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_for_one_stream_until_it_is_free() {
        let mut streams = Streams::default();
        let first = streams.open(1, Stream::default());
        let second = streams.open(3, Stream::default());
        assert_eq!((streams.find(3), streams.live), (Some(second), 2));

        streams.get(first).expect("it is open").is_closed = true;
        assert!(streams.find(1).is_none() && streams.get(first).is_none());
        let third = streams.open(5, Stream::default());
        assert_ne!(third.index, first.index, "somebody is still there");
        streams.free(first);
        let fourth = streams.open(7, Stream::default());

        assert_eq!(fourth.index, first.index);
        streams.free(first);
        assert!(streams.get(first).is_none() && streams.get(fourth).is_some());
        assert_eq!(streams.each().count(), 3);
    }
}
