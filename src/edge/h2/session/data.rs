//! Content that comes (RFC 9113, 6.1), and the windows that it may fill.

use std::cell::RefCell;

use super::{By, Event, Incoming, MAX_FRAME, Place, Session, Verdict, code, flag, verdict};
use crate::http::h2::frames::FrameHead;

impl Session {
    pub(super) fn data(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Event, Verdict> {
        if self.is_idle(head.stream) {
            return Err(verdict(code::PROTOCOL_ERROR, "DATA on an idle stream"));
        }
        let content = unpadded(head, payload)?;
        if !self.incoming.spend(head.length) {
            return Err(verdict(code::FLOW_CONTROL_ERROR, "more content than a connection's window holds"));
        }
        let place = self.streams.find(head.stream);
        let closed_by = if place.is_none() { self.closed.by(head.stream) } else { None };
        let is_content = !content.is_empty() || (head.ends_stream() && place.is_some());
        self.budget
            .content(is_content, place.is_some(), closed_by == Some(By::Us))
            .map_err(|what| verdict(code::ENHANCE_YOUR_CALM, what))?;
        let Some(place) = place else {
            self.give_back(head.length);
            return match closed_by {
                Some(By::Client | By::Order) => self.turn_away(head.stream, code::STREAM_CLOSED),
                // It was on its way when we ended the stream.
                _ => Ok(Event::Nothing),
            };
        };
        match self.content(place, head, content) {
            Ok(()) => Ok(Event::Nothing),
            Err(code) => {
                self.give_back(head.length);
                self.fail(place, code)
            }
        }
    }

    /// Puts it where somebody may take it.
    fn content(&mut self, place: Place, head: &FrameHead, content: &[u8]) -> Result<(), u32> {
        let stream = self.streams.get(place).ok_or(code::STREAM_CLOSED)?;
        let shared = stream.content.clone().ok_or(code::STREAM_CLOSED)?;
        let mut incoming = shared.borrow_mut();
        if !incoming.credit.spend(head.length) {
            return Err(code::FLOW_CONTROL_ERROR);
        }
        if let Some(promised) = &mut stream.promised {
            *promised = promised.checked_sub(content.len() as u64).ok_or(code::PROTOCOL_ERROR)?;
        }
        if head.ends_stream() {
            if stream.promised.is_some_and(|promised| promised > 0) {
                return Err(code::PROTOCOL_ERROR);
            }
            stream.content = None;
        }
        let is_wanted = incoming.put(content);
        if head.ends_stream() {
            incoming.finish(None);
        }
        // Nobody takes padding.
        let unwanted = if is_wanted { head.length - content.len() as u32 } else { head.length };
        self.took(place, &mut incoming, unwanted);
        Ok(())
    }

    /// Somebody has taken so many bytes: the client may send as many more.
    pub fn took(&mut self, place: Place, incoming: &mut Incoming, count: u32) {
        self.give_back(count);
        if incoming.is_open()
            && let Some(more) = incoming.credit.give_back(count)
        {
            self.say_window(place.stream, more);
        }
    }

    /// Nobody will take what comes any more: it is thrown away, and the client may send the rest.
    pub fn forget(&mut self, place: Place, incoming: &RefCell<Incoming>) {
        let mut incoming = incoming.borrow_mut();
        let unread = incoming.forget();
        self.took(place, &mut incoming, unread);
    }

    pub(super) fn give_back(&mut self, count: u32) {
        if let Some(more) = self.incoming.give_back(count) {
            self.say_window(0, more);
        }
    }
}

/// What is between the padding's length and the padding.
pub(super) fn unpadded<'p>(head: &FrameHead, payload: &'p [u8]) -> Result<&'p [u8], Verdict> {
    debug_assert!(payload.len() <= MAX_FRAME);
    if head.flags & flag::PADDED == 0 {
        return Ok(payload);
    }
    const NONE: Verdict = verdict(code::PROTOCOL_ERROR, "more padding than there is");
    let (padding, rest) = payload.split_first().ok_or(NONE)?;
    rest.len().checked_sub(usize::from(*padding)).map(|length| &rest[..length]).ok_or(NONE)
}
