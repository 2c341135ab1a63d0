//! What is made of an answer that somebody keeps is kept with it: for the third one who asks, and all behind him, nothing is compressed.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::{Coding, Level};
use crate::http::{Body, BodyError, BodySize, Codings, Frame, Making, ResponseBody};

/// A body that is compressed as it comes, and kept so when all of it has.
struct Keeping {
    body: ResponseBody,
    /// What has come of it, as long as it is worth keeping.
    made: Option<(Box<dyn Making>, BytesMut)>,
    /// What is not smaller than it was is not.
    most: usize,
}

/// The body in this coding, and whether it was kept.
///
/// # Errors
/// The body as it is, where it cannot be coded.
pub fn coded(
    body: ResponseBody,
    codings: Box<dyn Codings>,
    coding: Coding,
    level: Level,
) -> Result<(ResponseBody, bool), ResponseBody> {
    let name = name(coding, level);
    if let Some(bytes) = codings.find(name) {
        return Ok((ResponseBody::Bytes(bytes), true));
    }
    let wanted = codings.wanted(name);
    let most = if let BodySize::Sized(length) = body.size() { usize::try_from(length).unwrap_or(0) } else { 0 };
    let body = codings.plain().map_or(body, ResponseBody::Bytes);
    let coded = match (super::coded(body, coding, level)?, wanted) {
        (ResponseBody::Bytes(bytes), Some(mut making)) => {
            if making.grows(bytes.len()) {
                making.keep(&bytes);
            }
            ResponseBody::Bytes(bytes)
        }
        (body, Some(making)) => {
            ResponseBody::Stream(Box::new(Keeping { body, made: Some((making, BytesMut::new())), most }))
        }
        (coded, None) => coded,
    };
    Ok((coded, false))
}

impl Keeping {
    fn came(&mut self, bytes: &Bytes) {
        let most = self.most;
        let made = self.made.take();
        self.made = made.and_then(|(mut making, mut made)| {
            let goes_on = made.len() + bytes.len() < most && making.grows(bytes.len());
            goes_on.then(|| {
                made.extend_from_slice(bytes);
                (making, made)
            })
        });
    }
}

impl Body for Keeping {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.body.poll_frame(cx));
        match &next {
            Some(Ok(Frame::Data(bytes))) => self.came(bytes),
            None => {
                if let Some((making, made)) = self.made.take() {
                    making.keep(&made);
                }
            }
            // Trailers are not in there, and what breaks off is not whole.
            Some(Ok(Frame::Trailers(_)) | Err(_)) => self.made = None,
        }
        Poll::Ready(next)
    }

    fn size(&self) -> BodySize {
        self.body.size()
    }
}

/// What the bytes depend on.
fn name(coding: Coding, level: Level) -> &'static str {
    match (coding, level) {
        (Coding::Zstd, Level::Fast) => "zstd, fast",
        (Coding::Zstd, Level::Balanced) => "zstd, balanced",
        (Coding::Zstd, Level::Small) => "zstd, small",
        (Coding::Br, Level::Fast) => "br, fast",
        (Coding::Br, Level::Balanced) => "br, balanced",
        (Coding::Br, Level::Small) => "br, small",
        (Coding::Gzip, Level::Fast) => "gzip, fast",
        (Coding::Gzip, Level::Balanced) => "gzip, balanced",
        (Coding::Gzip, Level::Small) => "gzip, small",
    }
}
