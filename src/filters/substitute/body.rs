//! A body in which texts become others.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};

use super::{Group, Rules};
use crate::http::{Body, BodyError, BodySize, Frame, HeaderMap, ResponseBody};

/// Pulls a body and gives it out with texts replaced. Keeps back only what could be the beginning of one.
pub struct Substituted {
    body: ResponseBody,
    group: Arc<Group>,
    /// What has come and was not given out.
    held: BytesMut,
    /// So much of it is known to hold the beginning of a text that is not all there.
    undecided: usize,
    stage: Stage,
}

enum Stage {
    Open,
    /// All has come.
    Ended(Option<HeaderMap>),
}

/// About so much is given out at once.
const FRAME: usize = 16 * 1024;

impl Substituted {
    /// From its beginning.
    pub fn new(body: ResponseBody, group: Arc<Group>) -> Self {
        Self { body, group, held: BytesMut::new(), undecided: 0, stage: Stage::Open }
    }

    fn has_work(&self) -> bool {
        self.held.len() > self.undecided
    }

    /// What of the bytes that are held is decided, and not more than a frame of it.
    fn next_piece(&mut self) -> Bytes {
        let at_end = matches!(self.stage, Stage::Ended(_));
        let mut out = BytesMut::new();
        let block = self.held.len().min(FRAME + self.group.rules.longest());
        let (taken, is_all) =
            self.group.rules.replace(&self.held[..block], at_end && block == self.held.len(), &mut out);
        self.held.advance(taken);
        let waits = is_all && taken + self.held.len() == block;
        self.undecided = if waits { self.held.len() } else { 0 };
        out.freeze()
    }
}

impl Rules {
    fn longest(&self) -> usize {
        self.find.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Writes what is decided of these bytes, and tells how many that were; with `at_end` all of them. The second is whether the rest has to wait for
    /// more.
    fn replace(&self, bytes: &[u8], at_end: bool, out: &mut BytesMut) -> (usize, bool) {
        let until = if at_end { bytes.len() } else { self.decided(bytes) };
        let mut at = 0;
        for found in self.finder.find_iter(bytes) {
            if found.start() >= until {
                break;
            }
            if out.len() >= FRAME {
                return (at, false);
            }
            out.extend_from_slice(&bytes[at..found.start()]);
            out.extend_from_slice(&self.with[found.pattern().as_usize()]);
            at = found.end();
        }
        let until = until.max(at);
        out.extend_from_slice(&bytes[at..until]);
        (until, true)
    }

    /// Where the first text could begin that is not all there.
    fn decided(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest().saturating_sub(1));
        let could_begin = |at: &usize| {
            let tail = &bytes[*at..];
            self.find.iter().any(|text| text.len() > tail.len() && text.starts_with(tail))
        };
        (first..bytes.len()).find(could_begin).unwrap_or(bytes.len())
    }
}

impl Body for Substituted {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            if self.has_work() {
                let piece = self.next_piece();
                if !piece.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::Data(piece))));
                }
                continue;
            }
            if let Stage::Ended(trailers) = &mut self.stage {
                return Poll::Ready(trailers.take().map(|trailers| Ok(Frame::Trailers(trailers))));
            }
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(bytes))) => self.held.extend_from_slice(&bytes),
                Some(Ok(Frame::Trailers(trailers))) => self.end(Some(trailers)),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.end(None),
            }
        }
    }

    fn size(&self) -> BodySize {
        BodySize::Stream
    }
}

impl Substituted {
    /// Nothing more comes that could complete a text.
    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.stage = Stage::Ended(trailers);
        self.undecided = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        filters::{media_types::MediaTypes, substitute::RuleSettings},
        settings::Problems,
    };

    struct Chunks(VecDeque<Vec<u8>>);

    impl Body for Chunks {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::Data(chunk.into()))))
        }

        fn size(&self) -> BodySize {
            BodySize::Stream
        }
    }

    fn rules(pairs: &[(&str, &str)]) -> Vec<RuleSettings> {
        let rule = |(find, with): &(&str, &str)| RuleSettings {
            find: (*find).to_owned(),
            with: (*with).to_owned(),
            types: ["text/html"].into(),
        };
        pairs.iter().map(rule).collect()
    }

    fn body(pairs: &[(&str, &str)], chunks: impl IntoIterator<Item = Vec<u8>>) -> Substituted {
        let types = MediaTypes::of(&["text/html"].into(), "types", &mut Problems::default());
        let group = Group { types, rules: Rules::new(rules(pairs)).expect("texts") };
        let chunks = Chunks(chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect());
        Substituted::new(ResponseBody::Stream(Box::new(chunks)), Arc::new(group))
    }

    fn pieces(body: &mut Substituted) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while let Poll::Ready(Some(Ok(Frame::Data(bytes)))) = body.poll_frame(&mut Context::from_waker(Waker::noop())) {
            pieces.push(bytes);
        }
        pieces
    }

    fn replaced(pairs: &[(&str, &str)], text: &str, cut: usize) -> String {
        let chunks = text.as_bytes().chunks(cut).map(<[u8]>::to_vec);
        String::from_utf8(pieces(&mut body(pairs, chunks)).concat()).expect("text")
    }

    #[test]
    fn texts_are_replaced_wherever_the_pieces_are_cut() {
        for cut in 1..20 {
            for (pairs, text, expected) in [
                (
                    &[("http://internal", "https://shop")][..],
                    "<a href=\"http://internal/a\">http://intern",
                    "<a href=\"https://shop/a\">http://intern",
                ),
                (&[("aab", "X")], "aaab aab aa", "aX X aa"),
                (&[("a", "aa")], "aba", "aabaa"),
                (&[("ab", "1"), ("abcd", "2"), ("bc", "3")], "abcd bc", "1cd 3"),
                (&[("abcd", "2"), ("ab", "1")], "abcd abce ab", "2 1ce 1"),
                (&[("x", "")], "xxaxx", "a"),
            ] {
                assert_eq!(replaced(pairs, text, cut), expected, "{cut} {text}");
            }
        }
    }

    #[test]
    fn only_what_could_be_a_beginning_is_kept_back() {
        let mut body = body(&[("</body>", "!")], [b"data: 1\n\n".to_vec(), b"data: <".to_vec(), b"/b>".to_vec()]);

        let pieces = pieces(&mut body);

        assert_eq!(pieces, ["data: 1\n\n", "data: ", "</b>"]);
    }

    #[test]
    fn what_grows_is_given_out_in_pieces() {
        let long = "0123456789".repeat(100);
        let mut body = body(&[("a", &long)], [vec![b'a'; 4096]]);

        let pieces = pieces(&mut body);

        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 4096 * 1000);
        assert!(pieces.iter().all(|piece| piece.len() <= FRAME + 1000));
    }

    proptest! {
        #[test]
        fn it_is_as_if_all_had_come_at_once(text in "[ab<]{0,60}", first in "[ab<]{1,4}", second in "[ab<]{1,4}", cut in 1_usize..9) {
            let pairs = [(first.as_str(), "1"), (second.as_str(), "2")];
            let whole = Rules::new(rules(&pairs)).expect("texts").finder.replace_all(&text, &["1", "2"]);

            prop_assert_eq!(replaced(&pairs, &text, cut), whole);
        }
    }
}
