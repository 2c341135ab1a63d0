//! What has become old here, in order, until all others can hear of it.

use std::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc as replies,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cache::purge::What;

/// Where it is ordered that others hear of something.
pub struct Orders {
    sender: mpsc::Sender<Order>,
    /// So many are not settled yet.
    unsettled: AtomicUsize,
    /// So many waited that others hear that everything is old.
    has_lost: AtomicBool,
}

/// One of them; without anything that is old, to know when those before it are settled.
struct Order {
    what: Option<What>,
    is_soft: bool,
    done: Option<replies::SyncSender<()>>,
}

/// What waits, and what is being told: that is told again if it is not known whether it was heard.
pub struct Queue {
    waiting: mpsc::Receiver<Order>,
    batch: Vec<Order>,
}

/// So many wait at most.
const MOST: usize = 4096;
/// So many are told at once, until they take so many bytes.
const MOST_AT_ONCE: usize = 64;
const ENOUGH_AT_ONCE: usize = 16 * 1024;

impl Orders {
    /// None yet.
    pub fn new() -> (Self, Queue) {
        let (sender, waiting) = mpsc::channel(MOST);
        let orders = Self { sender, unsettled: AtomicUsize::new(0), has_lost: AtomicBool::new(false) };
        (orders, Queue { waiting, batch: Vec::new() })
    }

    /// One more.
    pub fn give(&self, what: What, is_soft: bool) {
        self.send(Order { what: Some(what), is_soft, done: None });
    }

    /// The same, for who wants to know when it is settled.
    pub fn give_and_tell(&self, what: Option<What>, is_soft: bool) -> replies::Receiver<()> {
        let (done, told) = replies::sync_channel(1);
        self.send(Order { what, is_soft, done: Some(done) });
        told
    }

    fn send(&self, order: Order) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
        // One stands for all that are lost until everything is told to be old.
        if self.sender.try_send(order).is_err() && self.has_lost.swap(true, Ordering::SeqCst) {
            self.unsettled.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// All that was ordered until now is known there. As long as it is not, what is found there may be what has become old.
    pub fn are_settled(&self) -> bool {
        self.unsettled.load(Ordering::SeqCst) == 0
    }
}

impl Queue {
    /// Takes what can be told at once.
    pub fn fill(&mut self, orders: &Orders) {
        let mut bytes: usize = self.batch.iter().map(Order::bytes).sum();
        while self.batch.len() < MOST_AT_ONCE
            && bytes < ENOUGH_AT_ONCE
            && let Ok(order) = self.waiting.try_recv()
        {
            bytes += order.bytes();
            self.batch.push(order);
        }
        if orders.has_lost.swap(false, Ordering::SeqCst) {
            self.batch.push(Order { what: Some(What::Everything), is_soft: false, done: None });
        }
    }

    /// Until there is one.
    pub async fn wait(&mut self) {
        if let Some(order) = self.waiting.recv().await {
            self.batch.push(order);
        }
    }

    /// What is to be told now, and whether softly: each target once, and those of one kind together.
    pub fn purges(&self) -> Vec<(What, bool)> {
        let mut all: Vec<(What, bool)> = Vec::new();
        for Order { what, is_soft, .. } in &self.batch {
            let Some(what) = what else { continue };
            let is_like = |(known, soft): &(What, bool)| {
                soft == is_soft && (known == what || matches!((known, what), (What::Url(_), What::Url(_))))
            };
            let Some((known, _)) = all.iter_mut().find(|known| is_like(known)) else {
                all.push((what.clone(), *is_soft));
                continue;
            };
            if let (What::Url(known), What::Url(targets)) = (known, what) {
                targets.iter().for_each(|target| {
                    if !known.contains(target) {
                        known.push(target.clone());
                    }
                });
            }
        }
        all
    }

    /// It was told.
    pub fn settle(&mut self, orders: &Orders) {
        orders.unsettled.fetch_sub(self.batch.len(), Ordering::SeqCst);
        for done in self.batch.drain(..).filter_map(|order| order.done) {
            // Who has waited for too long has gone.
            let _ = done.try_send(());
        }
    }
}

impl Order {
    fn bytes(&self) -> usize {
        match &self.what {
            Some(What::Url(names) | What::Prefix(names)) => names.iter().map(Bytes::len).sum(),
            Some(What::Tag(name) | What::Group(name)) => name.len(),
            Some(What::Everything) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> What {
        What::Url(vec![format!("http://a.example/{path}").into()])
    }

    fn fill_all(orders: &Orders, queue: &mut Queue) -> Vec<(What, bool)> {
        let mut told = Vec::new();
        loop {
            queue.fill(orders);
            if queue.batch.is_empty() {
                return told;
            }
            told.extend(queue.purges());
            queue.settle(orders);
        }
    }

    #[test]
    fn many_are_told_together_and_each_target_once() {
        let (orders, mut queue) = Orders::new();
        for path in ["a", "b", "a"] {
            orders.give(url(path), false);
        }
        orders.give(url("a"), true);
        orders.give(What::Tag("t".into()), false);
        orders.give(What::Tag("t".into()), false);

        queue.fill(&orders);

        let targets = ["a", "b"].map(|path| format!("http://a.example/{path}").into());
        let expected = [(What::Url(targets.into()), false), (url("a"), true), (What::Tag("t".into()), false)];
        assert_eq!(queue.purges(), expected);
    }

    #[test]
    fn they_are_settled_when_the_last_one_was_told_and_not_while_it_is_tried_again() {
        let (orders, mut queue) = Orders::new();
        let told = orders.give_and_tell(Some(url("a")), false);
        queue.fill(&orders);
        // It failed, and there is another one.
        orders.give(url("b"), false);
        queue.fill(&orders);
        assert!(!orders.are_settled() && told.try_recv().is_err());

        queue.settle(&orders);

        assert!(orders.are_settled() && told.try_recv().is_ok());
    }

    #[test]
    fn of_more_than_can_wait_everything_is_told_to_be_old_and_nothing_is_settled_before() {
        let (orders, mut queue) = Orders::new();
        for number in 0..MOST + 3 {
            orders.give(url(&number.to_string()), false);
        }
        assert_eq!(orders.unsettled.load(Ordering::SeqCst), MOST + 1);

        let told = fill_all(&orders, &mut queue);

        assert!(told.contains(&(What::Everything, false)) && orders.are_settled());
    }

    #[test]
    fn long_ones_are_told_a_few_at_a_time() {
        let (orders, mut queue) = Orders::new();
        for number in 0..10 {
            orders.give(url(&format!("{number}{}", "x".repeat(8000))), false);
        }

        queue.fill(&orders);

        assert_eq!(queue.batch.len(), 3);
    }
}
