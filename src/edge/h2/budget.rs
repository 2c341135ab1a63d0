//! What a client may cost beyond its requests: how often it resets streams, or has us reset them, and how many frames
//! it sends that carry nothing (RFC 9113, 10.5).

use crate::{
    http::h2::{
        Allowance,
        frames::{FrameHead, code, kind},
    },
    settings::server::Http2Limits,
};

/// One connection's.
#[derive(Debug, Clone, Copy)]
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
            kind::HEADERS => {
                self.control.earn(1);
                Ok(())
            }
            // What it brings is known when it is looked at.
            kind::DATA => Ok(()),
            kind::SETTINGS => (0..=frame.length / MANY_SETTINGS).try_for_each(|_| self.spend()),
            _ => self.spend(),
        }
    }

    /// DATA has come, with content or without. What comes for a stream that we have ended was on its way.
    pub fn content(&mut self, is_content: bool, is_live: bool, is_on_its_way: bool) -> Result<(), TooMuch> {
        match (is_content, is_live) {
            (true, true) => self.control.earn(1),
            (true, false) if is_on_its_way => {}
            _ => return self.spend(),
        }
        Ok(())
    }

    /// Content was sent to the client, which moves two windows.
    pub fn sent(&mut self) {
        self.control.earn(2);
    }

    /// This was sent to the client.
    pub fn went(&mut self, frame: &FrameHead) -> Result<(), TooMuch> {
        match frame.code {
            // The same from behind (CVE-2025-8671): a frame that is wrong makes the server reset the request.
            Some(code) if is_the_clients(code) => self.reset(),
            _ => Ok(()),
        }
    }

    fn spend(&mut self) -> Result<(), TooMuch> {
        if self.control.spend() { Ok(()) } else { Err("too many frames that carry nothing") }
    }

    fn reset(&mut self) -> Result<(), TooMuch> {
        if self.resets.spend() { Ok(()) } else { Err("too many resets") }
    }
}

/// Bytes of so many settings cost as much as a frame.
const MANY_SETTINGS: u32 = 32 * 6;

/// A stream ends like this because of what the client has sent (RFC 9113, 7).
fn is_the_clients(code: u32) -> bool {
    use code::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED};
    matches!(code, PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR | REFUSED_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: FrameHead = FrameHead { length: 8, kind: 6, flags: 0, stream: 0, code: None };
    const SETTINGS: FrameHead = FrameHead { length: 12, kind: 4, flags: 0, stream: 0, code: None };
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
            assert_eq!(budget.content(true, true, false), Ok(()));
            assert_eq!([budget.came(&PING), budget.came(&PING)], [Ok(()); 2]);
            budget.sent();
        }

        assert_eq!(budget.content(true, false, true), Ok(()), "it was on its way");
        assert_eq!([budget.content(false, true, false), budget.content(true, false, false)], [Ok(()); 2]);
        assert!(budget.content(false, false, true).is_err());
    }

    #[test]
    fn many_settings_cost_more_than_a_few() {
        let mut budget = budget();
        assert_eq!([budget.came(&SETTINGS), budget.came(&SETTINGS)], [Ok(()); 2]);
        budget.sent();
        assert!(budget.came(&FrameHead { length: 6 * 100, ..SETTINGS }).is_err());
    }
}
