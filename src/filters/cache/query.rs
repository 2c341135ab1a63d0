//! QUERY (RFC 10008): what it asks with is its body. That is part of the key, so it is read before the store is asked.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use crate::http::{Body, BodyError, BodySize, Frame, RequestBody, body::Length};

/// All of a body of no more than so many bytes, which goes on to the endpoint without trailers: no key has these. `None`: it is longer, and
/// goes on as it came.
///
/// # Errors
/// It broke off.
pub async fn read(body: &mut RequestBody, most: u64) -> Result<Option<Bytes>, BodyError> {
    match body.length() {
        Length::None | Length::Exact(0) => return Ok(Some(Bytes::new())),
        Length::Exact(length) if length > most => return Ok(None),
        Length::Exact(_) | Length::Chunked => {}
    }
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        let Frame::Data(bytes) = frame? else { continue };
        all.extend_from_slice(&bytes);
        if all.len() as u64 > most {
            let (begun, length) = (Some(all.freeze()), body.length());
            *body = RequestBody::stream(Box::new(Resumed { begun, rest: body.take() }), length);
            return Ok(None);
        }
    }
    let all = all.freeze();
    *body = RequestBody::buffered(all.clone());
    Ok(Some(all))
}

/// A body of which something was read, from its beginning.
struct Resumed {
    begun: Option<Bytes>,
    rest: RequestBody,
}

impl Body for Resumed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.begun.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
            None => self.rest.poll_frame(cx),
        }
    }

    fn size(&self) -> BodySize {
        self.rest.size()
    }
}
