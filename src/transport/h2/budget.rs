//! What an endpoint may cost beyond its answers: how many frames it sends that carry nothing (RFC 9113, 10.5).

use crate::http::h2::{
    Allowance,
    frames::{FrameHead, kind},
};

/// So many of them in a minute, beyond those that go with requests and with content.
const A_MINUTE: u32 = 10_000;
/// What goes with each request: the heads of its answer, a reset, an opened window or two.
const WITH_A_REQUEST: u32 = 8;
/// For so many bytes of ours an endpoint may open its windows once more: some do so with each little that they read.
const BYTES_FOR_ONE: u32 = 256;

/// One connection's.
#[derive(Debug)]
pub struct Budget(Allowance);

impl Budget {
    pub fn new() -> Self {
        Self(Allowance::of(A_MINUTE))
    }

    /// The endpoint has sent this; `false` if it was one too many.
    pub fn came(&mut self, frame: &FrameHead) -> bool {
        if frame.kind == kind::DATA && (frame.length > 0 || frame.ends_stream()) {
            self.0.earn(1);
            return true;
        }
        self.0.spend()
    }

    /// This was sent to the endpoint.
    pub fn went(&mut self, frame: &FrameHead) {
        match frame.kind {
            kind::HEADERS => self.0.earn(WITH_A_REQUEST),
            // It moves two windows.
            kind::DATA if frame.length > 0 => self.0.earn(2 + frame.length / BYTES_FOR_ONE),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: FrameHead = FrameHead { length: 8, kind: kind::PING, flags: 0, stream: 0, code: None };
    const HEADERS: FrameHead = FrameHead { length: 1, kind: kind::HEADERS, flags: 0, stream: 1, code: None };
    const DATA: FrameHead = FrameHead { length: 1, kind: kind::DATA, flags: 0, stream: 1, code: None };

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        let mut budget = Budget::new();
        assert!((0..A_MINUTE).all(|_| budget.came(&PING)));

        assert!(!budget.came(&FrameHead { length: 0, ..DATA }));
    }

    #[test]
    fn they_are_earned_by_requests_and_by_content() {
        let mut budget = Budget::new();
        for _ in 0..2 * A_MINUTE {
            budget.went(&HEADERS);
            assert!((0..WITH_A_REQUEST).all(|_| budget.came(&PING)));
            assert!(budget.came(&DATA) && budget.came(&PING));
            budget.went(&DATA);
            assert!(budget.came(&PING) && budget.came(&PING));
        }
    }
}
