//! Bodies in motion: a stream of data frames that may end with trailers.

use std::{
    cell::Cell,
    fmt, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{dev::Payload, error::PayloadError};
use bytes::Bytes;
use futures_core::Stream;

pub use actix_http::body::BodySize;

use super::{Codings, HeaderMap, Piece, scratch};

/// One piece of a body. Trailers, if any, are the last piece (RFC 9112, 7.1.2).
#[derive(Debug)]
pub enum Frame {
    /// Content bytes; never empty.
    Data(Bytes),
    /// The trailer section.
    Trailers(HeaderMap),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender closed before the length it had promised.
    #[error("the body ended before its announced length")]
    Incomplete,
    /// The chunked framing made no sense.
    #[error("malformed chunked body")]
    Malformed,
    /// More bytes than the limit allows.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed, in bytes.
        limit: u64,
    },
    /// Nothing moved for too long.
    #[error("the body stalled")]
    Stalled,
    /// The connection failed.
    #[error("connection failed while a body was read")]
    Io(#[from] std::io::Error),
}

/// A body that is pulled: asking for the next frame is the backpressure.
pub trait Body {
    /// The next frame, or `None` after the last one.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;

    /// What is known of its length: `Sized(n)` is exact, `Stream` is unknown, `None` is no body at all.
    fn size(&self) -> BodySize;

    /// What is kept of it in other codings, where it is kept itself: once, before anything is read.
    fn codings(&mut self) -> Option<Box<dyn Codings>> {
        None
    }

    /// The next piece of its content in a pipe, where it comes from a socket and can be had so; `None` where it is to be asked
    /// for as a frame. Who changes a body, or looks at what is in it, leaves this as it is.
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        Poll::Ready(None)
    }
}

/// The body of a request on its way in.
#[derive(Default)]
pub struct RequestBody {
    size: Length,
    /// `None` if nothing can come. In a box: most requests have none, and it is handed on from one to the next.
    content: Option<Box<Content>>,
}

/// Content of a request that is there, or still to come.
struct Content {
    source: Source,
    consumed: bool,
    limit: Option<Limit>,
    /// What was read of a body that is kept.
    kept: Option<Vec<u8>>,
    /// So much of it may be kept.
    most_kept: usize,
    has_ended: bool,
    /// What of it is to be given out once more before anything is read.
    again: Bytes,
    /// Who wants to know how much has come.
    count: Option<Rc<Cell<Came>>>,
}

/// How much has come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Came {
    /// Bytes of its content.
    pub bytes: u64,
    /// Those of them that went from socket to socket without a copy.
    pub spliced: u64,
}

/// A body of unknown length may be this long.
#[derive(Clone, Copy)]
struct Limit {
    all: u64,
    left: u64,
}

/// The announced length of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// No body was announced.
    #[default]
    None,
    /// `Content-Length`.
    Exact(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

enum Source {
    Bytes(Bytes),
    Payload(Payload),
    Stream(Box<dyn Body>),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that is in memory already, and may be sent more than once.
    pub fn buffered(bytes: Bytes) -> Self {
        let size = Length::Exact(bytes.len() as u64);
        if bytes.is_empty() { Self { size, content: None } } else { Self::of(Source::Bytes(bytes), size) }
    }

    /// What actix-web hands to a handler, with the length its head announced.
    pub fn payload(payload: Payload, size: Length) -> Self {
        Self::of(Source::Payload(payload), size)
    }

    /// Any other stream of frames.
    pub fn stream(body: Box<dyn Body>, size: Length) -> Self {
        Self::of(Source::Stream(body), size)
    }

    fn of(source: Source, size: Length) -> Self {
        let content = Content {
            source,
            consumed: false,
            limit: None,
            kept: None,
            most_kept: 0,
            has_ended: false,
            again: Bytes::new(),
            count: None,
        };
        Self { size, content: Some(Box::new(content)) }
    }

    /// The length the head announced.
    pub fn length(&self) -> Length {
        self.size
    }

    /// No body was announced: there is nothing to send.
    pub fn is_empty(&self) -> bool {
        matches!(self.size, Length::None | Length::Exact(0))
    }

    /// It may be sent (again): it is empty, in memory or kept, or nobody has read from it.
    pub fn is_replayable(&self) -> bool {
        self.content.as_ref().is_none_or(|content| content.is_replayable())
    }

    /// Keeps what is read, so that it may be sent again, if it is announced to be no longer than `limit` bytes.
    pub fn keep(&mut self, limit: usize) {
        if let (Length::Exact(length @ 1..), Some(content)) = (self.size, &mut self.content)
            && length <= limit as u64
            && content.is_untouched()
        {
            content.kept = Some(Vec::with_capacity(length as usize));
            content.most_kept = limit;
        }
    }

    /// The same whether its length is announced or not: a longer one is kept no further.
    pub fn keep_up_to(&mut self, limit: usize) {
        self.keep(limit);
        if let (Length::Chunked, Some(content)) = (self.size, &mut self.content)
            && content.is_untouched()
        {
            content.kept = Some(Vec::new());
            content.most_kept = limit;
        }
    }

    /// It was sent with what cannot be had again.
    pub fn keep_no_more(&mut self) {
        if let Some(content) = &mut self.content {
            content.kept = None;
        }
    }

    /// The whole body once more, now that all of it was sent, if it was kept.
    #[must_use]
    pub fn give_back(&mut self) -> Self {
        let size = self.size;
        let Some(content) = &mut self.content else { return Self { size, content: None } };
        match (&content.source, content.kept.take()) {
            (Source::Bytes(bytes), _) => Self::of(Source::Bytes(bytes.clone()), size),
            (_, Some(kept)) if kept.is_empty() => Self { size, content: None },
            (_, Some(kept)) => Self::of(Source::Bytes(kept.into()), size),
            (_, None) => Self::empty(),
        }
    }

    /// Some of it was read.
    pub fn is_consumed(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.consumed)
    }

    /// Takes the body out and leaves an empty one.
    pub fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// A second sending starts here: with what was kept, if there is something.
    pub fn rewind(&mut self) {
        let Some(content) = &mut self.content else { return };
        match (&content.source, &content.kept) {
            (Source::Bytes(_), _) => (content.consumed, content.has_ended) = (false, false),
            (_, Some(kept)) => content.again = Bytes::copy_from_slice(kept),
            _ => {}
        }
    }

    /// Ends the body with [`BodyError::TooLarge`] once more than `limit` bytes of it have come. Of two limits the lower one
    /// holds.
    pub fn limit(&mut self, limit: u64) {
        if let Some(content) = &mut self.content
            && content.limit.is_none_or(|known| known.all > limit)
        {
            content.limit = Some(Limit { all: limit, left: limit });
        }
    }

    /// Counts the bytes of content that come from now on.
    pub fn counted(&mut self) -> Rc<Cell<Came>> {
        match &mut self.content {
            Some(content) => Rc::clone(content.count.get_or_insert_with(scratch::count)),
            None => scratch::count(),
        }
    }

    /// Discards content without reading it: the edge decides whether the connection lives on.
    pub fn discard(&mut self) {
        *self = Self::empty();
    }
}

impl Body for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.content {
            Some(content) if !matches!(self.size, Length::None | Length::Exact(0)) => content.poll_frame(cx),
            _ => Poll::Ready(None),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match &mut self.content {
            Some(content) => content.poll_piece(cx),
            None => Poll::Ready(None),
        }
    }

    fn size(&self) -> BodySize {
        match self.size {
            Length::None => BodySize::None,
            Length::Exact(length) => BodySize::Sized(length),
            Length::Chunked => BodySize::Stream,
        }
    }
}

impl Content {
    /// Nothing was read of what can be read once.
    fn is_untouched(&self) -> bool {
        !self.consumed && !matches!(self.source, Source::Bytes(_))
    }

    fn is_replayable(&self) -> bool {
        !self.consumed || self.kept.is_some() || matches!(self.source, Source::Bytes(_))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if !self.again.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(mem::take(&mut self.again)))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_source(cx));
        self.has_ended = next.is_none();
        if let (Some(count), Some(Ok(Frame::Data(bytes)))) = (&self.count, &next) {
            let came = count.get();
            count.set(Came { bytes: came.bytes + bytes.len() as u64, ..came });
        }
        if self.kept.is_some() {
            self.keep_frame(&next);
        }
        Poll::Ready(next.map(|frame| frame.and_then(|frame| self.within_limit(frame))))
    }

    fn keep_frame(&mut self, next: &Option<Result<Frame, BodyError>>) {
        match (next, &mut self.kept) {
            (Some(Ok(Frame::Data(bytes))), Some(kept)) if bytes.len() <= self.most_kept - kept.len() => {
                kept.extend_from_slice(bytes);
            }
            (None, _) => {}
            _ => self.kept = None,
        }
    }

    fn within_limit(&mut self, frame: Frame) -> Result<Frame, BodyError> {
        if let Frame::Data(bytes) = &frame {
            self.take_from_limit(bytes.len())?;
        }
        Ok(frame)
    }

    fn take_from_limit(&mut self, count: usize) -> Result<(), BodyError> {
        if let Some(limit) = &mut self.limit {
            let left = limit.left.checked_sub(count as u64);
            limit.left = left.ok_or(BodyError::TooLarge { limit: limit.all })?;
        }
        Ok(())
    }

    /// What is kept, or was, is read.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let Source::Stream(body) = &mut self.source else { return Poll::Ready(None) };
        if self.kept.is_some() || !self.again.is_empty() || self.has_ended {
            return Poll::Ready(None);
        }
        let Some(next) = ready!(body.poll_piece(cx)) else { return Poll::Ready(None) };
        self.consumed = true;
        Poll::Ready(Some(next.and_then(|piece| {
            if let Some(count) = &self.count {
                let (came, more) = (count.get(), piece.len() as u64);
                count.set(Came { bytes: came.bytes + more, spliced: came.spliced + more });
            }
            self.take_from_limit(piece.len()).map(|()| piece)
        })))
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.source {
            Source::Bytes(bytes) => {
                if mem::replace(&mut self.consumed, true) {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(Frame::Data(bytes.clone()))))
            }
            Source::Payload(payload) => {
                let next = ready!(Pin::new(payload).poll_next(cx));
                self.consumed = true;
                Poll::Ready(next.map(|item| item.map(Frame::Data).map_err(BodyError::from)))
            }
            Source::Stream(body) => {
                let next = ready!(body.poll_frame(cx));
                self.consumed = true;
                Poll::Ready(next)
            }
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("size", &self.size)
            .field("consumed", &self.is_consumed())
            .finish_non_exhaustive()
    }
}

impl From<PayloadError> for BodyError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Incomplete(_) => Self::Incomplete,
            PayloadError::EncodingCorrupted => Self::Malformed,
            PayloadError::Overflow => Self::TooLarge { limit: 0 },
            PayloadError::Io(error) => Self::Io(error),
            other => Self::Io(std::io::Error::other(other.to_string())),
        }
    }
}

/// The body of a response on its way out.
#[derive(Default)]
pub enum ResponseBody {
    /// No content.
    #[default]
    Empty,
    /// No content, but a `Content-Length` of what a GET would have brought (HEAD, 304).
    Announced(u64),
    /// Content in memory.
    Bytes(Bytes),
    /// Content as it arrives.
    Stream(Box<dyn Body>),
}

impl Body for ResponseBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self {
            Self::Empty | Self::Announced(_) => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Self::Stream(body) => body.poll_frame(cx),
        }
    }

    fn size(&self) -> BodySize {
        match self {
            Self::Empty => BodySize::None,
            Self::Announced(length) => BodySize::Sized(*length),
            Self::Bytes(bytes) => BodySize::Sized(bytes.len() as u64),
            Self::Stream(body) => body.size(),
        }
    }

    fn codings(&mut self) -> Option<Box<dyn Codings>> {
        match self {
            Self::Stream(body) => body.codings(),
            Self::Empty | Self::Announced(_) | Self::Bytes(_) => None,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match self {
            Self::Stream(body) => body.poll_piece(cx),
            Self::Empty | Self::Announced(_) | Self::Bytes(_) => Poll::Ready(None),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseBody({:?})", self.size())
    }
}
