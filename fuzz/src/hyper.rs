//! How hyper reads a stream of requests, without sockets and without a runtime.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A request as hyper understands it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Understood {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Names in lower case, with their values; sorted.
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) body: Bytes,
}

/// What hyper makes of a stream that ends.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) requests: Vec<Understood>,
    /// The stream ended within a request.
    pub(crate) incomplete: bool,
}

/// Reads a stream that is all there.
pub(crate) fn read(stream: &[u8]) -> Reading {
    let requests = Rc::new(RefCell::new(Vec::new()));
    let cut_short = Rc::new(RefCell::new(false));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (requests, cut_short) = (Rc::clone(&requests), Rc::clone(&cut_short));
        async move {
            let (head, body) = request.into_parts();
            match body.collect().await {
                Ok(body) => requests.borrow_mut().push(understood(&head, body.to_bytes())),
                Err(error) => *cut_short.borrow_mut() = error.is_incomplete_message(),
            }
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let io = Memory {
        rest: Bytes::copy_from_slice(stream),
    };
    let mut builder = Builder::new();
    builder.half_close(true).header_read_timeout(None);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut context = Context::from_waker(Waker::noop());
    // Everything is there at once, so each poll gets further, or the next one does.
    let ended = (0..stream.len() + POLLS).find_map(|_| match connection.as_mut().poll(&mut context) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => None,
    });
    let incomplete =
        *cut_short.borrow() || matches!(ended, Some(Err(error)) if error.is_incomplete_message());
    Reading {
        requests: requests.take(),
        incomplete,
    }
}

/// Polls beyond one for each byte.
const POLLS: usize = 100;

fn understood(head: &hyper::http::request::Parts, body: Bytes) -> Understood {
    let named = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    let mut headers: Vec<_> = head.headers.iter().map(named).collect();
    headers.sort();
    Understood {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers,
        body,
    }
}

/// A stream that ends, and takes whatever is written.
struct Memory {
    rest: Bytes,
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.rest.len().min(buffer.remaining());
        let part = self.rest.split_to(taken);
        buffer.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
