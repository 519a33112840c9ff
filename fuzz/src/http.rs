//! What must hold for netcore's reading of HTTP requests.

use bytes::{Bytes, BytesMut};
use netcore::codec::{Codec, Decoded};
use netcore::http::{BodyLength, Head, Incoming, Piece, Pieces, Refused, Request, RequestLimits, Requests};

use crate::hyper::{self, Understood};
use crate::input::Input;
use crate::memory;
use crate::stream::{Cut, cut, cuts, pieces};

const LIMITS: [RequestLimits; 2] = [
    RequestLimits {
        body_bytes: 1024 * 1024,
        head_bytes: 16 * 1024,
        target_bytes: 8 * 1024,
        headers: 64,
    },
    RequestLimits {
        body_bytes: 20,
        head_bytes: 120,
        target_bytes: 10,
        headers: 3,
    },
];

/// In use at once, per byte of the stream, of which the requests are let go as they come: the copy of one, and room.
const COST: usize = 2;

/// The first byte chooses limits, the next ones cuts, the rest is a stream: [`http_with`] for netcore's codec.
///
/// # Panics
/// A promise is broken.
pub fn http(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(limits) = input.choose(&LIMITS) else {
        return;
    };
    let sizes = cuts(&mut input);
    http_with(|| Requests::new(limits), limits, &sizes, input.rest());
}

/// Reads a stream at once, byte by byte, in pieces of the given sizes, with bodies in pieces, and by hyper.
///
/// # Panics
/// The requests or the refusal are not the same, hyper reads a request that was neither read nor refused, or the stream
/// costs more memory than it has bytes.
pub fn http_with<C>(make: impl Fn() -> C, limits: RequestLimits, sizes: &[usize], stream: &[u8])
where
    C: for<'f> Codec<In<'f> = Incoming, Error = Refused>,
{
    memory::within(stream.len(), COST, || let_go(make(), stream));
    let whole = read(make(), std::iter::once(stream));
    let same = |other: &Read| other.requests == whole.requests && other.refused == whole.refused;
    assert!(same(&read(make(), stream.chunks(1))), "byte by byte");
    if !sizes.is_empty() {
        assert!(
            same(&read(make(), pieces(stream, sizes))),
            "in pieces of {sizes:?}"
        );
    }
    check_pieces(&whole, limits, stream);
    check_hyper(&whole, stream);
}

/// What became of a stream. Whether a client was told to go on depends on what had come, so it is left out.
#[derive(Debug)]
struct Read {
    requests: Vec<Request>,
    refused: Option<Refused>,
}

fn read<'a, C>(mut codec: C, pieces: impl Iterator<Item = &'a [u8]>) -> Read
where
    C: for<'f> Codec<In<'f> = Incoming, Error = Refused>,
{
    let Cut { frames, error, .. } = cut(&mut codec, pieces);
    let requests = frames.into_iter().filter_map(|incoming| match incoming {
        Incoming::Request(request) => Some(request),
        Incoming::Expectation => None,
    });
    Read {
        requests: requests.collect(),
        refused: error,
    }
}

/// Reads a stream and keeps none of its requests.
fn let_go<C>(mut codec: C, stream: &[u8])
where
    C: for<'f> Codec<In<'f> = Incoming, Error = Refused>,
{
    let mut rest = stream;
    while !rest.is_empty()
        && let Ok(Decoded::Frame { used, .. }) = codec.decode(rest)
    {
        rest = rest.get(used.get()..).unwrap_or_default();
    }
}

/// The pieces of a stream are those of the same requests. A body may be too large only where it is collected.
fn check_pieces(whole: &Read, limits: RequestLimits, stream: &[u8]) {
    let Cut { frames, error, .. } = cut(&mut Pieces::new(limits), std::iter::once(stream));
    let mut requests: Vec<(Head, BytesMut)> = Vec::new();
    let mut partial = None;
    for piece in frames {
        match piece {
            Piece::Head(head) if head.body_length() == BodyLength::None => {
                requests.push((head, BytesMut::new()))
            }
            Piece::Head(head) => partial = Some((head, BytesMut::new())),
            Piece::Body { data, last } => {
                let (head, mut body) = partial.take().unwrap_or_else(|| panic!("a body without a head"));
                body.extend_from_slice(&data);
                if last {
                    requests.push((head, body));
                } else {
                    partial = Some((head, body));
                }
            }
        }
    }
    assert!(requests.len() >= whole.requests.len(), "requests have no pieces");
    for (request, (head, body)) in whole.requests.iter().zip(&requests) {
        assert_eq!(
            (&request.head, &request.body[..]),
            (head, &body[..]),
            "put together, it is another request"
        );
    }
    // What surrounds tiny chunks is limited only where they are collected, too.
    if !matches!(whole.refused, Some(Refused::BodyTooLarge | Refused::Chunk)) {
        assert_eq!(requests.len(), whole.requests.len(), "pieces make more requests");
        assert_eq!(error, whole.refused, "pieces are refused for another reason");
    }
}

/// Whatever both read is the same, and hyper reads nothing that was neither read nor refused.
fn check_hyper(whole: &Read, stream: &[u8]) {
    let hyper = hyper::read(stream);
    for (ours, theirs) in whole.requests.iter().zip(&hyper.requests) {
        assert_eq!(&understood(ours), theirs, "hyper reads another request");
    }
    if hyper.requests.len() > whole.requests.len() {
        assert!(
            whole.refused.is_some(),
            "hyper reads a request that is waited for: {hyper:?}"
        );
    }
    if hyper.requests.len() < whole.requests.len() {
        assert!(
            !hyper.incomplete,
            "hyper waits for a request that was read: {whole:?}"
        );
    }
}

fn understood(request: &Request) -> Understood {
    let head = &request.head;
    let headers = head.headers();
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), Bytes::copy_from_slice(value)))
        .collect();
    headers.sort();
    Understood {
        method: head.method().to_owned(),
        path: head.path().to_owned(),
        query: head.query().map(str::to_owned),
        headers,
        body: request.body.clone(),
    }
}
