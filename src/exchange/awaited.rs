//! An answer whose body is still to come: what becomes of it tells of its endpoint.

use std::{any::Any, sync::Arc};

use crate::http::{BodyError, BodySize, Frame};

/// Who learns from it: an upstream. It is known here by what it wants to know alone.
pub trait Learner: Send + Sync {
    /// The body of an answer of this endpoint has ended.
    fn learn(&self, endpoint: &dyn Any, end: BodyEnd);
}

/// What came of a body that nobody left before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it came.
    Whole,
    /// The endpoint broke off.
    Cut(Trials),
}

/// What the head of an answer had shown, so that its body takes that back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trials {
    /// That the endpoint has recovered.
    pub of_endpoint: bool,
    /// That the upstream has.
    pub of_upstream: bool,
}

/// A body that is still to come. Dropped before its end it tells nothing: it was the client who left.
pub struct Awaited {
    learner: Arc<dyn Learner>,
    endpoint: Arc<dyn Any + Send + Sync>,
    trials: Trials,
    /// So many bytes are still to come, if that is known.
    left: Option<u64>,
}

impl Awaited {
    /// A body of this size. Nothing is allocated for it.
    pub fn new(
        learner: Arc<dyn Learner>,
        endpoint: Arc<dyn Any + Send + Sync>,
        was_trial: bool,
        size: BodySize,
    ) -> Self {
        let left = if let BodySize::Sized(length) = size { Some(length) } else { None };
        Self { learner, endpoint, trials: Trials { of_endpoint: was_trial, of_upstream: false }, left }
    }

    /// Its head has shown that the upstream has recovered.
    pub fn was_trial_of_upstream(&mut self) {
        self.trials.of_upstream = true;
    }

    /// This came next. Nothing is left to wait for once it has ended.
    #[must_use]
    pub fn saw(self, next: &Option<Result<Frame, BodyError>>) -> Option<Self> {
        let end = match next {
            Some(Ok(Frame::Data(bytes))) => return self.saw_bytes(bytes.len() as u64),
            Some(Ok(Frame::Trailers(_))) => return Some(self),
            Some(Err(_)) => BodyEnd::Cut(self.trials),
            None => BodyEnd::Whole,
        };
        self.over(end)
    }

    /// So many bytes came next.
    #[must_use]
    pub fn saw_bytes(mut self, count: u64) -> Option<Self> {
        self.left = self.left.map(|left| left.saturating_sub(count));
        // Who knows the length does not ask again once he has all of it.
        if self.left == Some(0) { self.over(BodyEnd::Whole) } else { Some(self) }
    }

    fn over(self, end: BodyEnd) -> Option<Self> {
        self.learner.learn(&*self.endpoint, end);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<BodyEnd>>);

    impl Learner for Notes {
        fn learn(&self, _: &dyn Any, end: BodyEnd) {
            self.0.lock().expect("nobody panics with it").push(end);
        }
    }

    fn learned(size: BodySize, frames: impl IntoIterator<Item = Option<Result<Frame, BodyError>>>) -> Vec<BodyEnd> {
        let notes = Arc::new(Notes::default());
        let awaited = Awaited::new(Arc::clone(&notes) as _, Arc::new(()), false, size);
        let _ = frames.into_iter().try_fold(awaited, |awaited, next| awaited.saw(&next));
        notes.0.lock().expect("nobody panics with it").clone()
    }

    fn data(text: &'static str) -> Option<Result<Frame, BodyError>> {
        Some(Ok(Frame::Data(Bytes::from_static(text.as_bytes()))))
    }

    #[test]
    fn a_body_is_whole_with_its_last_byte_or_its_end_and_tells_nothing_before() {
        let cut = || Some(Err(BodyError::Incomplete));
        for (size, frames, expected) in [
            (BodySize::Sized(4), vec![data("ab")], vec![]),
            (BodySize::Sized(4), vec![data("ab"), data("cd")], vec![BodyEnd::Whole]),
            (BodySize::Sized(4), vec![data("ab"), cut()], vec![BodyEnd::Cut(Trials::default())]),
            (BodySize::Stream, vec![data("ab")], vec![]),
            (BodySize::Stream, vec![data("ab"), None], vec![BodyEnd::Whole]),
            (BodySize::Stream, vec![data("ab"), cut(), None], vec![BodyEnd::Cut(Trials::default())]),
        ] {
            let said = format!("{size:?} {frames:?}");
            assert_eq!(learned(size, frames), expected, "{said}");
        }
    }
}
