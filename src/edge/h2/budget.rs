//! What a client may cost beyond its requests: how often it resets streams, or has us reset them, and how many frames
//! it sends that carry nothing (RFC 9113, 10.5).

use crate::{
    http::h2::{
        Allowance,
        frames::{FrameHead, kind},
    },
    settings::server::Http2Limits,
};

/// One connection's.
#[derive(Debug)]
pub struct Budget {
    resets: Allowance,
    control: Allowance,
}

/// What there was too much of.
type TooMuch = &'static str;

impl Budget {
    pub fn of(limits: &Http2Limits) -> Self {
        let resets = Allowance::of(limits.max_resets_per_minute);
        Self { resets, control: Allowance::of(limits.max_control_frames_per_minute) }
    }

    /// The client has sent this.
    pub fn came(&mut self, frame: &FrameHead) -> Result<(), TooMuch> {
        match frame.kind {
            // Rapid reset (CVE-2023-44487): each costs a request that is dropped at once.
            kind::RST_STREAM => self.reset(),
            kind::HEADERS => self.earn(1),
            kind::DATA if frame.length > 0 || frame.ends_stream() => self.earn(1),
            _ if self.control.spend() => Ok(()),
            _ => Err("too many frames that carry nothing"),
        }
    }

    /// This was sent to the client.
    pub fn went(&mut self, frame: &FrameHead) -> Result<(), TooMuch> {
        match frame.code {
            // The same from behind (CVE-2025-8671): a frame that is wrong makes the server reset the request.
            Some(code) if is_the_clients(code) => self.reset(),
            // It moves two windows.
            None if frame.kind == kind::DATA && frame.length > 0 => self.earn(2),
            _ => Ok(()),
        }
    }

    fn earn(&mut self, more: u32) -> Result<(), TooMuch> {
        self.control.earn(more);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), TooMuch> {
        if self.resets.spend() { Ok(()) } else { Err("too many resets") }
    }
}

/// A stream ends like this because of what the client has sent (RFC 9113, 7).
fn is_the_clients(code: u32) -> bool {
    const PROTOCOL_ERROR: u32 = 1;
    const FLOW_CONTROL_ERROR: u32 = 3;
    const STREAM_CLOSED: u32 = 5;
    const FRAME_SIZE_ERROR: u32 = 6;
    const REFUSED_STREAM: u32 = 7;
    matches!(code, PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR | REFUSED_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: FrameHead = FrameHead { length: 8, kind: 6, flags: 0, stream: 0, code: None };
    const DATA: FrameHead = FrameHead { length: 1, kind: 0, flags: 0, stream: 1, code: None };
    const RESET: FrameHead = FrameHead { length: 4, kind: 3, flags: 0, stream: 1, code: Some(8) };

    fn budget() -> Budget {
        Budget::of(&Http2Limits { max_resets_per_minute: 2, max_control_frames_per_minute: 2, ..Default::default() })
    }

    #[test]
    fn resets_are_counted_whoever_sends_them_unless_they_are_ours() {
        let mut budget = budget();
        for code in [0, 2, 8] {
            assert_eq!(budget.went(&FrameHead { code: Some(code), ..RESET }), Ok(()));
        }
        assert_eq!(budget.came(&RESET), Ok(()));
        assert_eq!(budget.went(&FrameHead { code: Some(1), ..RESET }), Ok(()));

        assert_eq!(budget.went(&FrameHead { code: Some(5), ..RESET }), Err("too many resets"));
    }

    #[test]
    fn frames_that_carry_nothing_are_earned_by_those_that_do() {
        let mut budget = budget();
        for _ in 0..1000 {
            for let_through in [budget.came(&DATA), budget.went(&DATA), budget.came(&PING), budget.came(&PING)] {
                assert_eq!(let_through, Ok(()));
            }
        }

        assert!(budget.came(&FrameHead { length: 0, ..DATA }).is_err());
    }
}
