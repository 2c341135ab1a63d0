//! Those who wait: in the order of their classes, and within one in that in which they came.

use std::{collections::BTreeMap, task::Waker};

use super::Class;

/// Those who wait. Whoever is first is asked when a place is free.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Rank, Option<Waker>>,
    /// How many of them have no place at the upstream yet.
    new: usize,
    next_ticket: u64,
}

/// The lower, the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Whoever has a place at the upstream, and wants another endpoint, keeps nobody waiting who has none.
    is_new: bool,
    class: Class,
    ticket: u64,
}

/// There are as many as may wait, and none that is worth less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Queue {
    /// One more, if less than `most` wait, or if one of a lower class does: that one has to go, and is to be woken.
    ///
    /// # Errors
    /// There is no room.
    pub fn join(&mut self, class: Class, is_new: bool, most: usize) -> Result<(Rank, Option<Waker>), Full> {
        let mut ousted = None;
        if is_new && self.new >= most {
            let last = self.waiting.last_entry().filter(|last| last.key().is_new && last.key().class > class);
            ousted = last.ok_or(Full)?.remove();
            self.new -= 1;
        }
        let rank = Rank { is_new, class, ticket: self.next_ticket };
        self.next_ticket += 1;
        self.waiting.insert(rank, None);
        self.new += usize::from(is_new);
        Ok((rank, ousted))
    }

    /// Whether this one is first, and whom to wake when it is; `None` if it was ousted.
    pub fn is_first(&mut self, rank: Rank, waker: &Waker) -> Option<bool> {
        let known = self.waiting.get_mut(&rank)?;
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        Some(self.waiting.first_key_value().is_some_and(|(first, _)| *first == rank))
    }

    /// This one waits no more. Whom to wake: the next one, if it was first.
    pub fn leave(&mut self, rank: Rank) -> Option<Waker> {
        let was_first = self.waiting.first_key_value().is_some_and(|(first, _)| *first == rank);
        if self.waiting.remove(&rank).is_some() {
            self.new -= usize::from(rank.is_new);
        }
        if was_first { self.first() } else { None }
    }

    /// Whose turn it is.
    pub fn first(&self) -> Option<Waker> {
        self.waiting.first_key_value()?.1.clone()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &mut Queue) -> Vec<(Class, u64)> {
        let ranks: Vec<Rank> = queue.waiting.keys().copied().collect();
        ranks.iter().map(|rank| (rank.class, rank.ticket)).collect()
    }

    #[test]
    fn the_higher_class_is_first_and_within_one_who_came_first() {
        let mut queue = Queue::default();
        for class in [Class::Sheddable, Class::Normal, Class::Critical, Class::Normal] {
            queue.join(class, true, 9).expect("room");
        }
        queue.join(Class::Sheddable, false, 9).expect("it has a place already");

        let order = order(&mut queue);

        use Class::{Critical, Normal, Sheddable};
        assert_eq!(order, [(Sheddable, 4), (Critical, 2), (Normal, 1), (Normal, 3), (Sheddable, 0)]);
    }

    #[test]
    fn who_came_last_of_the_lowest_class_goes_for_a_higher_one() {
        let mut queue = Queue::default();
        queue.join(Class::Normal, true, 3).expect("room");
        queue.join(Class::Sheddable, true, 3).expect("room");
        let (last, _) = queue.join(Class::Sheddable, true, 3).expect("room");
        assert!(queue.join(Class::Sheddable, true, 3).is_err(), "none of a lower class");

        queue.join(Class::Normal, true, 3).expect("the last one goes");

        assert_eq!(queue.is_first(last, Waker::noop()), None);
        assert_eq!((queue.len(), queue.new), (3, 3));
        queue.join(Class::Normal, true, 3).expect("the one before it goes, too");
        assert!(queue.join(Class::Normal, true, 3).is_err());
        assert!(queue.leave(last).is_none(), "who was ousted counts no more");
        assert_eq!((queue.len(), queue.new), (3, 3));
    }
}
