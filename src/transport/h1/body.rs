//! A response's body as it comes.

use std::{
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;

use crate::{
    http::{
        self, Body, BodyError, BodySize, Frame, HeaderMap,
        chunked::{ChunkedDecoder, Piece},
        headers, shortcut,
    },
    transport::{h1::exchange::Flow, low_water::LowWater, pool::Shelf},
};

/// Where a body ends.
#[derive(Debug)]
pub enum Ending {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked(ChunkedDecoder),
    /// Where the connection does.
    Close,
}

/// So many pieces of a body are understood together with the head, if they came with it.
const MAX_PIECES_AHEAD: usize = 16;

/// An open body. While it is read the rest of the request is sent; after its last byte the connection goes back to its
/// shelf, if it can carry another exchange. Dropped before, it takes the connection with it.
pub struct OpenBody {
    flow: Option<Flow>,
    ending: Ending,
    size: BodySize,
    /// Where the connection goes; `None` if this exchange is its last.
    shelf: Option<Rc<Shelf>>,
    /// What was understood together with the head.
    ahead: VecDeque<Next>,
    /// Some of it was had without a copy; so is the rest, however little it is.
    is_spliced: bool,
    /// There since a piece was asked for: a copy takes whatever there is.
    low_water: Option<LowWater>,
}

impl OpenBody {
    /// The body behind a head that was read.
    pub fn new(flow: Flow, ending: Ending, shelf: Option<Rc<Shelf>>) -> Self {
        let size = match &ending {
            Ending::Length(length) => BodySize::Sized(*length),
            Ending::Chunked(_) | Ending::Close => BodySize::Stream,
        };
        Self { flow: Some(flow), ending, size, shelf, ahead: VecDeque::new(), is_spliced: false, low_water: None }
    }

    /// The same, behind these first pieces.
    pub(super) fn behind(self, ahead: VecDeque<Next>) -> Self {
        Self { ahead, ..self }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(flow) = &mut self.flow else { return Poll::Ready(None) };
        if flow.poll_send(cx).is_err() {
            // Whatever became of the request, this is an answer to it.
            flow.give_up_sending();
        }
        loop {
            let next = match self.ahead.pop_front() {
                Some(next) => Ok(Some(next)),
                None => self.ending.next(&mut flow.input),
            };
            match next {
                Ok(Some(Next::Frame(frame))) => {
                    flow.pause();
                    if matches!(self.ending, Ending::Length(0)) {
                        // Who knows the length does not ask again once he has all of it.
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Some(Next::End(trailers))) => {
                    self.finish();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::Trailers(trailers))));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if let Some(mut low_water) = self.low_water.take()
                && let Err(error) = flow.connection.stream.lower_mark(&mut low_water)
            {
                return Poll::Ready(Some(Err(BodyError::Io(error))));
            }
            match flow.poll_read(cx, self.ending.left()) {
                Poll::Ready(Ok(0)) => {
                    let whole = matches!(self.ending, Ending::Close);
                    self.flow = None;
                    return Poll::Ready(if whole { None } else { Some(Err(BodyError::Incomplete)) });
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::Io(error)))),
                Poll::Pending => {
                    ready!(flow.poll_stalled(cx));
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
            }
        }
    }

    fn poll_next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http::Piece, BodyError>>> {
        let (Some(flow), Ending::Length(left)) = (&mut self.flow, &mut self.ending) else { return Poll::Ready(None) };
        let is_worth_it = self.is_spliced || *left >= shortcut::MIN_LEFT;
        // What was read already goes first.
        if !is_worth_it || !flow.input.is_empty() {
            return Poll::Ready(None);
        }
        if flow.poll_send(cx).is_err() {
            flow.give_up_sending();
        }
        let piece = match flow.poll_piece(cx, *left, self.low_water.get_or_insert_default()) {
            Poll::Ready(Ok(Some(piece))) => piece,
            Poll::Ready(Ok(None)) => return Poll::Ready(None),
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::Io(error)))),
            Poll::Pending => {
                ready!(flow.poll_stalled(cx));
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
        };
        if piece.is_empty() {
            return Poll::Ready(Some(Err(BodyError::Incomplete)));
        }
        self.is_spliced = true;
        *left -= piece.len() as u64;
        flow.pause();
        if *left == 0 {
            // What follows on the connection, if anything does, is found there before it is used again.
            self.finish();
        }
        Poll::Ready(Some(Ok(piece)))
    }

    /// The last byte was read.
    fn finish(&mut self) {
        if let Some(flow) = self.flow.take() {
            flow.finish(self.shelf.take());
        }
    }
}

/// What comes next in a body.
pub(super) enum Next {
    /// A piece of it.
    Frame(Frame),
    /// Its end.
    End(Option<HeaderMap>),
}

impl Ending {
    /// What the buffer holds of the body; `None` when more must be read.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Next>, BodyError> {
        match self {
            Self::Length(0) => Ok(Some(Next::End(None))),
            Self::Chunked(decoder) => Ok(match decoder.decode(buffer)? {
                Some(Piece::Data(bytes)) => Some(Next::Frame(Frame::Data(bytes))),
                Some(Piece::End(trailers)) => Some(Next::End(trailers.map(|mut trailers| {
                    headers::strip_hop_by_hop(&mut trailers);
                    trailers
                }))),
                None => None,
            }),
            _ if buffer.is_empty() => Ok(None),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= length as u64;
                Ok(Some(Next::Frame(Frame::Data(buffer.split_to(length).freeze()))))
            }
            Self::Close => Ok(Some(Next::Frame(Frame::Data(buffer.split().freeze())))),
        }
    }

    /// The pieces that the buffer holds, as far as they are worth a look before the first is asked for.
    pub(super) fn ahead(&mut self, buffer: &mut BytesMut) -> Result<VecDeque<Next>, BodyError> {
        let mut ahead = VecDeque::new();
        while ahead.len() < MAX_PIECES_AHEAD
            && let Some(next) = self.next(buffer)?
        {
            let is_end = matches!(next, Next::End(_));
            ahead.push_back(next);
            if is_end {
                break;
            }
        }
        Ok(ahead)
    }

    /// How many bytes are still to come, if that is known.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
        }
    }
}

impl Body for OpenBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        if matches!(next, Some(Err(_))) {
            // Whatever went wrong, nothing on this connection can be trusted any more.
            self.flow = None;
        }
        Poll::Ready(next)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http::Piece, BodyError>>> {
        let next = ready!(self.poll_next_piece(cx));
        if matches!(next, Some(Err(_))) {
            self.flow = None;
        }
        Poll::Ready(next)
    }

    fn size(&self) -> BodySize {
        self.size
    }
}
