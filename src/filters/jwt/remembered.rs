//! Tokens that were verified: each worker has its own, so that one that comes again costs a look.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

use crate::filters::{authenticator::Proof, per_worker::PerWorker};

/// So many of a worker: of the longest tokens 8 MiB.
const MOST: usize = 1024;

/// What is remembered of each token. They are compared as a whole: a hash alone could be made to fit.
#[derive(Default)]
pub struct Remembered(PerWorker<HashMap<Box<[u8]>, Entry, RandomState>>);

struct Entry {
    proof: Arc<Proof>,
    /// Seconds since 1970.
    until: u64,
    /// The set of keys that it was verified with.
    set: u64,
}

impl Remembered {
    /// Whose token this is, if it was verified with this set of keys and holds at this time.
    pub fn get(&self, token: &[u8], set: u64, now: u64) -> Option<Arc<Proof>> {
        let found = self.0.with(|known| {
            let entry = known.get(token)?;
            let holds = entry.set == set && entry.until > now;
            let proof = holds.then(|| Arc::clone(&entry.proof));
            if !holds {
                known.remove(token);
            }
            proof
        });
        found.flatten()
    }

    /// It was verified with this set, and holds until then.
    pub fn put(&self, token: &[u8], proof: &Arc<Proof>, set: u64, until: u64, now: u64) {
        self.0.with(|known| {
            if known.len() >= MOST {
                known.retain(|_, entry| entry.set == set && entry.until > now);
            }
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(token.into(), Entry { proof: Arc::clone(proof), until, set });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_as_long_as_it_and_its_keys_hold() {
        let (remembered, proof) = (Remembered::default(), Arc::<Proof>::default());
        let put = || remembered.put(b"a.b.c", &proof, 1, 100, 50);

        put();
        assert!(remembered.get(b"a.b.c", 1, 99).is_some());
        assert!(remembered.get(b"a.b.d", 1, 99).is_none());
        assert!(remembered.get(b"a.b.c", 1, 100).is_none(), "it has expired");
        assert!(remembered.get(b"a.b.c", 1, 99).is_none(), "and is forgotten");
        put();
        assert!(remembered.get(b"a.b.c", 2, 99).is_none(), "there are other keys");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (remembered, proof) = (Remembered::default(), Arc::<Proof>::default());

        for number in 0..3 * MOST {
            remembered.put(number.to_string().as_bytes(), &proof, 1, 100, 50);
        }

        let count = remembered.0.with(|known| known.len()).expect("nobody else is here");
        assert!((1..=MOST).contains(&count), "{count}");
        assert!(remembered.get((3 * MOST - 1).to_string().as_bytes(), 1, 60).is_some());
    }
}
