//! How much the other side may still send (RFC 9113, 5.2): what it has sent and somebody has taken, it may send again.

/// A window for what comes.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    size: u32,
    left: u32,
    /// What was taken, and not yet said to be.
    taken: u32,
}

impl Credit {
    pub fn of(size: u32) -> Self {
        Self { size, left: size, taken: 0 }
    }

    /// So much has come; `false` if it is more than there is.
    pub fn spend(&mut self, count: u32) -> bool {
        let Some(left) = self.left.checked_sub(count) else { return false };
        self.left = left;
        true
    }

    /// So much was taken. What the client is to be told of, once it is worth a frame.
    pub fn give_back(&mut self, count: u32) -> Option<u32> {
        self.taken += count;
        if self.taken == 0 || self.taken < self.size / 2 {
            return None;
        }
        self.left += self.taken;
        Some(std::mem::take(&mut self.taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_may_be_sent_again_once_it_is_worth_a_frame() {
        let mut credit = Credit::of(100);
        assert!(credit.spend(100) && !credit.spend(1));
        assert_eq!((credit.give_back(49), credit.spend(1)), (None, false));
        assert_eq!((credit.give_back(1), credit.spend(50)), (Some(50), true));
        assert!(!credit.spend(1));
    }
}
