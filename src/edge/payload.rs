//! The body of a request, whichever version of HTTP it comes in: for an `App` a stream, for a proxy alone a body that can also be
//! had in pieces.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_core::Stream;

use super::{h1, h2};
use crate::http::{Body, BodyError, BodySize, Frame, Piece};

/// The body of a request under way, as far as nobody has read it.
pub enum Payload {
    /// From a connection of HTTP/1.1.
    Http1(h1::Payload),
    /// From a stream of HTTP/2.
    Http2(h2::Payload),
}

impl Stream for Payload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Http1(payload) => Pin::new(payload).poll_next(cx),
            Self::Http2(payload) => Pin::new(payload).poll_next(cx),
        }
    }
}

impl Body for Payload {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(Pin::new(self).poll_next(cx));
        Poll::Ready(next.map(|next| next.map(Frame::Data).map_err(BodyError::from)))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match self {
            Self::Http1(payload) => payload.poll_piece(cx),
            Self::Http2(_) => Poll::Ready(None),
        }
    }

    /// What was announced is known to whoever has read the head.
    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}
