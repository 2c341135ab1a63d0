//! A body on its way into the store. It is read in a task of its own, at its own pace, so that no client holds up another, nor takes
//! the rest with it when it leaves.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    content::{Content, Writer},
    entry::{Entry, moment},
    flight::Lead,
    key::Key,
    policy::Head,
    store::{Shelf, lower::Pen},
};
use crate::{
    exchange::{Awaited, InFlight},
    http::{Body, BodySize, Frame, HeaderMap, ResponseBody},
    telemetry::metrics::Event,
};

/// An answer that is to be stored, with all that goes on until its last byte.
pub struct Filling {
    /// What it is stored under.
    pub key: Key,
    /// Where.
    pub shelf: Arc<Shelf>,
    /// Others wait for it.
    pub lead: Option<Lead>,
    /// When the endpoint was asked.
    pub since: Duration,
    /// No larger body is kept: with 0 it is for those alone who have begun to read it.
    pub max_object: u64,
    /// So long it must be, whatever its head has announced.
    pub length: Option<u64>,
    /// Happens once it is stored.
    pub stored: Option<Event>,
    /// Counts it at its endpoint.
    pub in_flight: Option<InFlight>,
    /// Waits for its end, for what that tells of the endpoint.
    pub awaited: Option<Awaited>,
    /// It was found below memory, and is kept there already.
    pub is_lifted: bool,
}

/// For so long requests are not collapsed after one of them had an answer that was too large to be kept.
const DIRECT: Duration = Duration::from_secs(10);

impl Filling {
    /// Stores it: at once what is there, else as it comes, and then others can read it from now on. A body that is only announced is none.
    /// False with it: it is clear already that it is not kept.
    pub fn begin(self, head: Head, body: ResponseBody) -> (Arc<Entry>, bool) {
        let announced = match body.size() {
            BodySize::Sized(length) => Some(length),
            BodySize::None => Some(0),
            BodySize::Stream => None,
        };
        let (content, writer) = Content::begin(self.length.or(announced));
        let entry = Entry::new(head, content, self.since);
        let is_kept = match body {
            ResponseBody::Stream(_) => {
                let is_kept = !self.shelf.is_too_old(&self.key, &entry, self.lead.as_ref());
                if let Some(lead) = &self.lead {
                    lead.came(&entry);
                }
                let filled = Arc::clone(&entry);
                actix_rt::spawn(self.fill(filled, body, writer));
                is_kept
            }
            ResponseBody::Bytes(bytes) => {
                writer.push(&bytes);
                self.end(&entry, writer, None)
            }
            ResponseBody::Empty | ResponseBody::Announced(_) => self.end(&entry, writer, None),
        };
        (entry, is_kept)
    }

    async fn fill(mut self, entry: Arc<Entry>, mut body: ResponseBody, writer: Writer) {
        let (mut reserved, mut trailers, mut is_kept) =
            (Reserved { shelf: Arc::clone(&self.shelf), bytes: 0 }, None, true);
        let in_memory = self.max_object.min(self.shelf.memory.largest_here());
        let mut pen = None;
        if entry.content.length().is_some_and(|length| length > in_memory) {
            is_kept = false;
            pen = Box::pin(self.leave_memory(&entry, &writer)).await;
        }
        loop {
            let next = poll_fn(|cx| body.poll_frame(cx)).await;
            self.awaited = self.awaited.take().and_then(|awaited| awaited.saw(&next));
            match next {
                Some(Ok(Frame::Data(bytes))) => {
                    let length = writer.written() + bytes.len() as u64;
                    if entry.content.length().is_some_and(|announced| length > announced) {
                        log::debug!("an answer is longer than it is to be: it is not stored");
                        return;
                    }
                    if is_kept && (length > in_memory || !reserved.more(bytes.len() as u64)) {
                        is_kept = false;
                        pen = Box::pin(self.leave_memory(&entry, &writer)).await;
                    }
                    if pen.is_some() {
                        pen = Box::pin(self.put_below(pen, length, &bytes)).await;
                    }
                    writer.push(&bytes);
                    if !is_kept && !poll_fn(|cx| writer.poll_room(cx)).await && pen.is_none() {
                        return;
                    }
                }
                Some(Ok(Frame::Trailers(fields))) => trailers = Some(fields),
                // Whoever reads it learns that it is not whole, and nobody else gets to see it.
                Some(Err(error)) => {
                    log::debug!("an answer broke off on its way into the store: {error}");
                    return;
                }
                None => break,
            }
        }
        if is_kept {
            self.end(&entry, writer, trailers);
            return;
        }
        // What comes behind a body is kept in memory alone.
        let pen = pen.filter(|_| trailers.is_none() && !self.shelf.has_purged(&self.key, &entry));
        if let (true, Some(pen)) = (writer.finish(trailers), pen) {
            let is_kept = pen.finish();
            // The endpoint has done its part.
            self.in_flight = None;
            if is_kept.await {
                self.stored.iter().for_each(Event::happened);
            }
        }
    }

    /// It is too large for memory: those who read it get it, and others ask for themselves. Below memory there may be room.
    async fn leave_memory(&mut self, entry: &Arc<Entry>, writer: &Writer) -> Option<Box<dyn Pen>> {
        let so_far = writer.so_far();
        let mut pen = None;
        if !self.is_lifted {
            pen = self.shelf.begin_below(&self.key, entry, self.lead.as_ref());
        }
        writer.forget();
        if let Some(lead) = self.lead.take() {
            lead.direct(moment(), DIRECT);
        }
        for bytes in so_far {
            pen = self.put_below(pen, 0, &bytes).await;
        }
        pen
    }

    /// Gives what has come to who keeps it below memory, if somebody does.
    async fn put_below(&self, pen: Option<Box<dyn Pen>>, length: u64, bytes: &[u8]) -> Option<Box<dyn Pen>> {
        let mut pen = pen?;
        if length > self.max_object {
            // None that is older is to be found in its place.
            self.shelf.let_go_below(&self.key);
            return None;
        }
        // What it came in is larger.
        pen.push(Bytes::copy_from_slice(bytes)).await.then_some(pen)
    }

    fn end(self, entry: &Arc<Entry>, writer: Writer, trailers: Option<HeaderMap>) -> bool {
        let put = if self.is_lifted { Shelf::put_lifted } else { Shelf::put };
        let fits = writer.written() <= self.max_object;
        let is_kept = writer.finish(trailers) && fits && put(&self.shelf, &self.key, entry, self.lead.as_ref());
        if let Some(stored) = self.stored.filter(|_| is_kept) {
            stored.happened();
        }
        // Whoever looks for it finds it in the store, before it is no longer found on its way there.
        drop(self.lead);
        is_kept
    }
}

/// What a body on its way has taken of the store's memory.
struct Reserved {
    shelf: Arc<Shelf>,
    bytes: u64,
}

impl Reserved {
    fn more(&mut self, bytes: u64) -> bool {
        let has_room = self.shelf.memory.expect(bytes);
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shelf.memory.expect_no_more(self.bytes);
    }
}
