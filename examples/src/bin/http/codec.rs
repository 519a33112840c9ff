//! Owns how a stream is cut into requests: heads, and bodies that nobody wants. Must never keep a body, of
//! which every part is dropped as it comes.

use crate::request::{self, Refused, Request};
use crate::response::Response;
use bytes::BytesMut;
use netcore::codec::{Codec, Decoded};
use std::num::NonZeroUsize;

/// Something received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A whole request, its body included: to be answered.
    Request(Request),
    /// The client waits to be told that it may send the body.
    Expectation,
    /// A part of a body, gone by now.
    Dropped,
}

/// HTTP/1.1 requests in, responses out.
#[derive(Debug, Default)]
pub(crate) struct Http {
    /// The request whose body is coming, and how much of that is still to come.
    body: Option<(Request, u64)>,
}

impl Codec for Http {
    type In<'a> = Event;
    type Out = Response;
    type Error = Refused;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Event>, Refused> {
        match self.body {
            None => self.head(src),
            Some((request, left)) => Ok(self.body(request, left, src.len())),
        }
    }

    fn encode(&self, response: &Response, dst: &mut BytesMut) -> Result<(), Refused> {
        response.encode(dst);
        Ok(())
    }
}

impl Http {
    fn head(&mut self, src: &[u8]) -> Result<Decoded<Event>, Refused> {
        // A head that comes in pieces is parsed again with each. Its limit keeps that cheaper than receiving it.
        let Some(head) = request::parse(src)? else {
            return Ok(Decoded::Need {
                total: NonZeroUsize::MIN.saturating_add(src.len()),
            });
        };
        let event = if head.body_bytes == 0 {
            Event::Request(head.request)
        } else {
            self.body = Some((head.request, head.body_bytes));
            if head.expects_continue {
                Event::Expectation
            } else {
                Event::Dropped
            }
        };
        Ok(frame(event, head.bytes))
    }

    /// Drops what has come of the body of `request`.
    fn body(&mut self, request: Request, left: u64, received: usize) -> Decoded<Event> {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(received);
        let left = left - part as u64;
        if left == 0 {
            self.body = None;
            frame(Event::Request(request), part)
        } else {
            self.body = Some((request, left));
            frame(Event::Dropped, part)
        }
    }
}

/// Neither a head nor a part of a body is empty.
fn frame(event: Event, bytes: usize) -> Decoded<Event> {
    Decoded::Frame {
        frame: event,
        used: NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN),
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
