//! A body that is read from its file while it is sent.

use std::{
    io,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture, ready as at_once};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    format::BLOCK,
    name::Name,
    state::State,
    stored::{Stored, Unreadable},
};
use crate::{
    cache::content::Elsewhere,
    http::{Body, BodyError, BodySize, Frame},
};

/// Where it is.
pub struct Place {
    state: Weak<State>,
    reading: Option<Arc<Semaphore>>,
    name: Name,
    stored: Stored,
    _open: OwnedSemaphorePermit,
}

/// A block that takes longer does not come.
const LONGEST: Duration = Duration::from_secs(10);

impl Place {
    /// In this file, of which one more is open.
    pub fn new(state: Weak<State>, name: Name, stored: Stored, open: OwnedSemaphorePermit) -> Self {
        let reading = state.upgrade().map(|state| Arc::clone(&state.reading));
        Self { state, reading, name, stored, _open: open }
    }

    fn block(&self, index: u64) -> io::Result<Bytes> {
        let read = self.stored.block(index);
        if let (Err(why), Some(state)) = (&read, self.state.upgrade()) {
            match (why, state.folder()) {
                (Unreadable::Broken, Some(folder)) => state.broken(&folder, &self.name, why),
                _ => state.failed("what is kept cannot be read", why),
            }
        }
        Ok(read?.into())
    }
}

impl Elsewhere for Place {
    fn read(self: Arc<Self>, first: u64, end: u64) -> Box<dyn Body> {
        Box::new(Reading { place: self, begin: first, at: first, end, next: None })
    }

    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        (0..self.stored.blocks()).try_for_each(|index| take(&self.block(index)?))
    }
}

/// One client's way through it. A block is read ahead, no more, and none is given out before its sum was compared.
struct Reading {
    place: Arc<Place>,
    begin: u64,
    at: u64,
    end: u64,
    next: Option<LocalBoxFuture<'static, Result<Bytes, BodyError>>>,
}

async fn block(place: Arc<Place>, index: u64) -> Result<Bytes, BodyError> {
    let read = async {
        let turn = match &place.reading {
            Some(reading) => Arc::clone(reading).acquire_owned().await.ok(),
            None => None,
        };
        let reading = move || {
            let _turn = turn;
            place.block(index)
        };
        spawn_blocking(reading).await
    };
    match timeout(LONGEST, read).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) if error.kind() != io::ErrorKind::InvalidData => Err(error.into()),
        Ok(_) => Err(BodyError::Incomplete),
        Err(_) => Err(BodyError::Stalled),
    }
}

impl Reading {
    fn block(&self) -> LocalBoxFuture<'static, Result<Bytes, BodyError>> {
        block(Arc::clone(&self.place), self.at / BLOCK as u64).boxed_local()
    }
}

impl Body for Reading {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let mut next = self.next.take().unwrap_or_else(|| self.block());
        let Poll::Ready(read) = next.as_mut().poll(cx) else {
            self.next = Some(next);
            return Poll::Pending;
        };
        let read = read.and_then(|block| {
            let from = usize::try_from(self.at % BLOCK as u64).unwrap_or_default();
            let until = usize::try_from(self.end - self.at).map_or(block.len(), |left| block.len().min(from + left));
            (from < until).then(|| block.slice(from..until)).ok_or(BodyError::Incomplete)
        });
        match read {
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                if self.at < self.end {
                    let mut ahead = self.block();
                    self.next = Some(match ahead.as_mut().poll(cx) {
                        Poll::Ready(read) => at_once(read).boxed_local(),
                        Poll::Pending => ahead,
                    });
                }
                Poll::Ready(Some(Ok(Frame::Data(bytes))))
            }
            Err(error) => {
                self.at = self.end;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn size(&self) -> BodySize {
        BodySize::Sized(self.end - self.begin)
    }
}
