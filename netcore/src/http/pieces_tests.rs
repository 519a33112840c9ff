//! That pieces are the parts of the same requests, however they arrive.

use super::*;
use crate::codec::cutting::{Cut, cut};
use crate::http::{Incoming, Requests};
use proptest::prelude::*;

const LIMITS: RequestLimits = RequestLimits {
    body_bytes: u32::MAX,
    head_bytes: 2000,
    target_bytes: 100,
    headers: 20,
};

/// The requests put together from their pieces.
#[derive(Debug, Default, PartialEq)]
struct Together {
    whole: Vec<(Head, Vec<u8>)>,
    /// A request whose end has not come.
    partial: Option<(Head, Vec<u8>)>,
    error: Option<Refused>,
}

#[track_caller]
fn together<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Together {
    let Cut { frames, error, .. } = cut(&mut Pieces::new(LIMITS), pieces);
    let mut all = Together {
        error,
        ..Together::default()
    };
    for piece in frames {
        match piece {
            Piece::Head(head) => {
                assert_eq!(all.partial, None, "a head came within a body");
                if head.body_length() == BodyLength::None {
                    all.whole.push((head, Vec::new()));
                } else {
                    all.partial = Some((head, Vec::new()));
                }
            }
            Piece::Body { data, last } => {
                let (head, mut body) = all.partial.take().expect("a body has a head");
                assert!(last || !data.is_empty(), "a piece says nothing");
                body.extend_from_slice(&data);
                if last {
                    all.whole.push((head, body));
                } else {
                    all.partial = Some((head, body));
                }
            }
        }
    }
    all
}

#[track_caller]
fn all_ways(stream: &[u8]) -> Together {
    let whole = together([stream]);
    assert_eq!(together(stream.chunks(1)), whole, "byte by byte");
    for at in 1..stream.len() {
        let (before, behind) = stream.split_at(at);
        assert_eq!(together([before, behind]), whole, "in two at {at}");
    }
    whole
}

#[test]
fn a_body_comes_in_pieces_and_ends() {
    let stream = b"PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
        PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: x\r\n\r\n\
        GET /3 HTTP/1.1\r\nHost: a\r\n\r\nPUT /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nxy";
    let all = all_ways(stream);
    let whole: Vec<_> = all
        .whole
        .iter()
        .map(|(head, body)| (head.path(), &body[..]))
        .collect();
    assert_eq!(whole, [("/1", &b"hello"[..]), ("/2", b"abcde"), ("/3", b"")]);
    assert_eq!(all.partial.map(|(_, body)| body), Some(b"xy".to_vec()));
    assert_eq!(all.error, None);
}

#[test]
fn data_is_handed_out_before_its_chunk_is_whole() {
    let mut pieces = Pieces::new(LIMITS);
    let head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cut = cut(&mut pieces, [&head[..], b"ffffffff\r\n", b"abc", b"def"]);
    let bodies: Vec<_> = cut.frames[1..].iter().collect();
    let body = |data: &'static [u8]| Piece::Body {
        data: data.into(),
        last: false,
    };
    assert_eq!(bodies, [&body(b"abc"), &body(b"def")]);
    assert_eq!(cut.left, 0);
}

#[test]
fn pieces_are_as_strict_as_whole_requests() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "x\r\n",
        "3\r\nabcd\r\n",
        "3 \r\n",
        "0\r\nX: y\nZ\r\n\r\n",
        "3\nabc",
    ] {
        assert_eq!(
            all_ways(format!("{head}{chunks}").as_bytes()).error,
            Some(Refused::Chunk)
        );
    }
}

proptest! {
    #[test]
    fn pieces_are_parts_of_the_same_requests(
        bodies in proptest::collection::vec((any::<bool>(), "[a-z\r\n]{0,40}", 1_usize..9), 1..4),
        spoilt in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut stream = Vec::new();
        for (chunked, body, size) in &bodies {
            stream.extend_from_slice(b"PUT / HTTP/1.1\r\nHost: a\r\n");
            if *chunked {
                stream.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.as_bytes().chunks(*size) {
                    stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    stream.extend_from_slice(chunk);
                    stream.extend_from_slice(b"\r\n");
                }
                stream.extend_from_slice(b"0\r\n\r\n");
            } else {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
            }
        }
        if let Some((at, byte)) = spoilt {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let all = all_ways(&stream);
        let requests = cut(&mut Requests::new(LIMITS), [&stream[..]]);
        let whole: Vec<_> = requests.frames.into_iter().map(|incoming| match incoming {
            Incoming::Request(request) => (request.head, request.body.to_vec()),
            Incoming::Expectation => panic!("nothing is expected"),
        }).collect();
        prop_assert_eq!(&all.whole, &whole);
        prop_assert_eq!(all.error, requests.error);
        if spoilt.is_none() {
            prop_assert_eq!(whole.len(), bodies.len());
        }
    }
}
