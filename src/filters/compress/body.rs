//! A body compressed as it comes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::encoder::Encoder;
use crate::http::{Body, BodyError, BodySize, Frame, HeaderMap, ResponseBody};

/// Pulls a body and gives it out compressed. What was taken in waits in the encoder only as long as more is there at once.
pub struct Compressed {
    body: ResponseBody,
    /// Until its end.
    encoder: Option<Encoder>,
    /// What has come and was not looked at yet.
    rest: Bytes,
    /// Something went in that may not have come out.
    is_dirty: bool,
    /// What comes behind the end.
    trailers: Option<HeaderMap>,
}

/// So much is compressed before others have their turn: with `fast` a fraction of a millisecond's work.
const BLOCK: usize = 16 * 1024;

/// What has come out waits for so much, unless the other side pauses.
const FRAME: usize = 8 * 1024;

impl Compressed {
    /// From its beginning.
    pub fn new(body: ResponseBody, encoder: Encoder) -> Self {
        Self { body, encoder: Some(encoder), rest: Bytes::new(), is_dirty: false, trailers: None }
    }

    /// One step; `Ok(None)` if nothing has come out and more can go in.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if self.rest.is_empty() {
            match self.body.poll_frame(cx) {
                Poll::Ready(Some(Ok(Frame::Data(bytes)))) => self.rest = bytes,
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => self.trailers = Some(trailers),
                Poll::Ready(Some(Err(error))) => {
                    // What is cut short stays so: without its end nobody takes it for whole.
                    self.encoder = None;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(None) => return Poll::Ready(self.end().map(Some)),
                Poll::Pending if self.is_dirty => return Poll::Ready(self.flushed().map(Some)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(self.block())
    }

    fn block(&mut self) -> Result<Option<Bytes>, BodyError> {
        let block = self.rest.split_to(self.rest.len().min(BLOCK));
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        if !block.is_empty() {
            encoder.write(&block)?;
            self.is_dirty = true;
        }
        Ok((encoder.waiting() >= FRAME).then(|| encoder.take()))
    }

    fn flushed(&mut self) -> Result<Bytes, BodyError> {
        self.is_dirty = false;
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        encoder.flush()?;
        Ok(encoder.take())
    }

    fn end(&mut self) -> Result<Bytes, BodyError> {
        let end = self.encoder.take().map(Encoder::finish).transpose()?;
        Ok(end.unwrap_or_default().into())
    }
}

impl Body for Compressed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.encoder.is_none() {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::Trailers(trailers))));
        }
        match ready!(self.step(cx)) {
            Err(error) => Poll::Ready(Some(Err(error))),
            Ok(Some(bytes)) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
            Ok(_) => {
                // More can be done at once, after others had their turn.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::VecDeque, io::Read, rc::Rc, task::Waker};

    use super::*;
    use crate::filters::compress::{Coding, Level};

    /// What comes of a body: frames, pauses (`None`), and how often it was asked.
    struct Scripted {
        frames: VecDeque<Option<Result<Frame, BodyError>>>,
        asked: Rc<Cell<usize>>,
    }

    impl Body for Scripted {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            self.asked.set(self.asked.get() + 1);
            match self.frames.pop_front() {
                Some(Some(frame)) => Poll::Ready(Some(frame)),
                Some(None) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        fn size(&self) -> BodySize {
            BodySize::Stream
        }
    }

    fn data(bytes: impl Into<Bytes>) -> Option<Result<Frame, BodyError>> {
        Some(Ok(Frame::Data(bytes.into())))
    }

    fn body(coding: Coding, frames: impl IntoIterator<Item = Option<Result<Frame, BodyError>>>) -> Compressed {
        let script = Scripted { frames: frames.into_iter().collect(), asked: Rc::default() };
        let encoder = Encoder::new(coding, Level::Fast).expect("memory");
        Compressed::new(ResponseBody::Stream(Box::new(script)), encoder)
    }

    fn poll(body: &mut Compressed) -> Poll<Option<Result<Frame, BodyError>>> {
        body.poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    /// All that comes until it ends, and in how many steps it gave way.
    fn run(body: &mut Compressed) -> (Vec<u8>, Option<HeaderMap>, usize) {
        let (mut out, mut trailers, mut pauses) = (Vec::new(), None, 0);
        loop {
            match poll(body) {
                Poll::Ready(None) => return (out, trailers, pauses),
                Poll::Ready(Some(Ok(Frame::Data(bytes)))) => out.extend_from_slice(&bytes),
                Poll::Ready(Some(Ok(Frame::Trailers(fields)))) => trailers = Some(fields),
                Poll::Ready(Some(Err(error))) => panic!("{error}"),
                Poll::Pending => pauses += 1,
            }
        }
    }

    /// As much as can be read of it yet.
    fn plain(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let _ = match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(coded).expect("memory").read_to_end(&mut plain),
            Coding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
        };
        plain
    }

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    #[test]
    fn what_comes_out_is_what_went_in_and_trailers_stay_last() {
        for coding in ALL {
            let text = "a line of text\n".repeat(10_000);
            let chunks = text.as_bytes().chunks(777).map(|chunk| data(chunk.to_vec()));
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum".parse().expect("a name"), "1".parse().expect("a value"));
            let mut body = body(coding, chunks.chain([Some(Ok(Frame::Trailers(trailers)))]));

            let (out, trailers, _) = run(&mut body);

            assert!(out.len() < text.len() / 10, "{coding:?}");
            assert!(plain(coding, &out) == text.as_bytes(), "{coding:?}");
            assert!(trailers.expect("they came").contains_key("x-sum"));
        }
    }

    #[test]
    fn where_the_other_side_pauses_all_that_came_can_be_read() {
        for coding in ALL {
            let mut body = body(coding, [data("event: 1\n\n"), None, None, data("event: 2\n\n"), None]);
            let mut out = Vec::new();
            for expected in ["event: 1\n\n", "event: 1\n\nevent: 2\n\n"] {
                // What went in, and what came out at the pause.
                while let Poll::Ready(Some(Ok(Frame::Data(bytes)))) = poll(&mut body) {
                    out.extend_from_slice(&bytes);
                }
                while let Poll::Ready(Some(Ok(Frame::Data(bytes)))) = poll(&mut body) {
                    out.extend_from_slice(&bytes);
                }

                assert_eq!(String::from_utf8_lossy(&plain(coding, &out)), expected, "{coding:?}");
            }
        }
    }

    #[test]
    fn a_large_piece_is_done_in_blocks_with_turns_for_others() {
        for coding in ALL {
            let mut body = body(coding, [data(vec![b'a'; 64 * BLOCK])]);

            let (out, _, pauses) = run(&mut body);

            assert!(pauses >= 60, "{coding:?}: {pauses}");
            assert_eq!(plain(coding, &out).len(), 64 * BLOCK);
        }
    }

    #[test]
    fn what_breaks_off_has_no_end() {
        for coding in ALL {
            let mut body = body(coding, [data("half of it"), Some(Err(BodyError::Incomplete))]);

            while poll(&mut body).is_pending() {}
            // It failed, and nothing more comes that could make it look whole.
            assert!(matches!(poll(&mut body), Poll::Ready(None)), "{coding:?}");
        }
    }
}
