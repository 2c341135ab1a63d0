//! A response's body in actix's terms.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

use super::passing::{Passing, Rest};
use crate::http::{Body, BodyError, Frame, ResponseBody, Shortcut, StatusCode};

/// Passes frames on as actix asks for them. Lives to the body's last byte, or until the client leaves.
pub struct Relay {
    body: ResponseBody,
    rest: Rest,
    asked: Cell<Asked>,
}

/// Who has asked for its size. A body in a box has lost its type, and an `App` may have put anything around it. But whoever boxes
/// a body asks for its size, and who stands around another one asks that: so the second to ask, if it is the edge, has this
/// very body before him.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Never,
    /// By its own box.
    Once,
    /// And then by the edge, which may be left pieces.
    ByEdge,
    /// By somebody else.
    ByOthers,
}

impl Relay {
    /// What is in memory needs no relay, unless a line is to be written of how it ended: it goes out at once.
    pub fn boxed(body: ResponseBody, status: StatusCode, passing: Passing) -> BoxBody {
        let is_head = passing.is_head();
        let keeps_empty = keeps_empty(status) && !is_head;
        let mut rest = passing.answered(status, body.size());
        match (body, &mut rest.tail) {
            (ResponseBody::Bytes(bytes), None) => BoxBody::new(bytes),
            (ResponseBody::Bytes(bytes), Some(tail)) if tail.is_only_counted() && !is_head => {
                tail.saw_whole(&bytes);
                BoxBody::new(bytes)
            }
            (ResponseBody::Empty, None) if keeps_empty => BoxBody::new(Bytes::new()),
            (ResponseBody::Empty, tail) => {
                // There is no more to come; who sends it need not ask.
                if let Some(tail) = tail {
                    tail.saw(&None);
                }
                if keeps_empty { BoxBody::new(Bytes::new()) } else { BoxBody::new(actix_web::body::None::new()) }
            }
            (body, _) => BoxBody::new(Self { body, rest, asked: Cell::new(Asked::Never) }),
        }
    }
}

/// An answer that could have content and has none says so: `Content-Length: 0`. Not to HEAD: that nothing came then says
/// nothing of the content there would be (RFC 9110, 8.6).
fn keeps_empty(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational()
}

impl MessageBody for Relay {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        let is_edge = || self.rest.downstream.as_ref().and_then(|way| way.shortcut()).is_some_and(Shortcut::hear);
        self.asked.set(match self.asked.get() {
            Asked::Never => Asked::Once,
            Asked::Once if is_edge() => Asked::ByEdge,
            _ => Asked::ByOthers,
        });
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            let next = match ready!(self.poll_piece(cx)) {
                Some(Ok(())) => return Poll::Ready(Some(Ok(Bytes::new()))),
                Some(Err(error)) => Some(Err(error)),
                None => ready!(self.body.poll_frame(cx)),
            };
            self.rest.saw(&next);
            match next {
                None => return Poll::Ready(None),
                Some(Ok(Frame::Data(bytes))) => return Poll::Ready(Some(Ok(bytes))),
                Some(Ok(Frame::Trailers(trailers))) => {
                    if let Some(downstream) = &self.rest.downstream {
                        downstream.response_trailers(trailers);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(told(error)))),
            }
        }
    }
}

impl Relay {
    /// Leaves the next piece where the edge finds it, if it goes that way.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), BodyError>>> {
        if self.asked.get() != Asked::ByEdge {
            return Poll::Ready(None);
        }
        let way = self.rest.downstream.as_ref().and_then(|way| way.shortcut());
        let Some(way) = way.filter(|way| way.is_open()) else { return Poll::Ready(None) };
        let piece = match ready!(self.body.poll_piece(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let length = piece.len() as u64;
        way.put(piece);
        self.rest.saw_piece(length);
        Poll::Ready(Some(Ok(())))
    }
}

fn told(error: BodyError) -> Box<dyn std::error::Error> {
    log::debug!("a response was cut short: {error}");
    Box::new(error)
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, rc::Rc, sync::Arc};

    use super::*;
    use crate::http::{ClientCertificate, Downstream, HeaderMap, downstream::Peer};

    /// A client connection that has a way past our memory.
    #[derive(Default)]
    struct Client(Shortcut);

    impl Downstream for Client {
        fn peer(&self) -> Peer {
            Peer::Unix
        }

        fn local(&self) -> Option<SocketAddr> {
            None
        }

        fn is_tls(&self) -> bool {
            false
        }

        fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
            None
        }

        fn informational(&self, _: StatusCode, _: &HeaderMap) {}

        fn request_trailers(&self) -> Option<HeaderMap> {
            None
        }

        fn response_trailers(&self, _: HeaderMap) {}

        fn shortcut(&self) -> Option<&Shortcut> {
            Some(&self.0)
        }
    }

    /// Looks at every byte. Its size is what it was told, or what it is around.
    struct Looking {
        inner: BoxBody,
        size: Option<BodySize>,
    }

    impl MessageBody for Looking {
        type Error = Box<dyn std::error::Error>;

        fn size(&self) -> BodySize {
            self.size.unwrap_or_else(|| self.inner.size())
        }

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
            Pin::new(&mut self.inner).poll_next(cx)
        }
    }

    /// Whether the way opens when the edge asks this body.
    fn opens(wrap: impl FnOnce(BoxBody) -> BoxBody) -> bool {
        let client = Rc::new(Client::default());
        let downstream = Some(Rc::clone(&client) as Rc<dyn Downstream>);
        let rest = Rest { tail: None, in_flight: None, held: Vec::new(), awaited: None, downstream };
        let body = ResponseBody::Bytes(Bytes::from_static(b"hello"));
        let body = wrap(BoxBody::new(Relay { body, rest, asked: Cell::new(Asked::Never) }));
        client.0.ask(|| body.size());
        client.0.open();
        client.0.is_open()
    }

    #[test]
    fn only_a_body_that_nobody_is_around_of_goes_past_memory() {
        assert!(opens(|body| body));
        assert!(opens(MessageBody::boxed), "a box is not put into another one");

        assert!(!opens(|inner| BoxBody::new(Looking { inner, size: None })), "who asks it for the size each time");
        assert!(!opens(|inner| BoxBody::new(Looking { size: Some(inner.size()), inner })), "who has asked it once");
        assert!(!opens(|inner| BoxBody::new(Looking { inner, size: Some(BodySize::Sized(5)) })), "who never asks");
    }
}
