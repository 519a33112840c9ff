//! The header at every boundary: split points, limits, the reserved bit.

use proptest::prelude::*;

use super::*;

fn frame(command: u16, seq: u16, body: &'static [u8]) -> Frame {
    Frame {
        kind: MessageType::request(command),
        seq,
        body: Bytes::from_static(body),
    }
}

fn encoded<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> BytesMut {
    let codec = FrameCodec::new(0);
    let mut out = BytesMut::new();
    for frame in frames {
        codec.encode(frame, &mut out).unwrap();
    }
    out
}

/// Everything a connection would make of chunks that arrive one after the other.
fn arrive<'a>(
    limit: u32,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<FrameError>, usize) {
    let mut codec = FrameCodec::new(limit);
    let mut held = Vec::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        held.extend_from_slice(chunk);
        loop {
            match codec.decode(&held) {
                Ok(Decoded::Frame { frame, used }) => {
                    frames.push(frame);
                    held.drain(..used.get());
                }
                Ok(Decoded::Need { total }) => {
                    assert!(total.get() > held.len());
                    break;
                }
                Err(error) => return (frames, Some(error), held.len()),
            }
        }
    }
    (frames, None, held.len())
}

#[test]
fn the_header_is_laid_out_as_published() {
    let bytes = encoded([&Frame {
        kind: MessageType::response(3001),
        seq: 0x0102,
        body: Bytes::from_static(b"abc"),
    }]);
    assert_eq!(bytes, [0, 0, 0, 3, 0x8B, 0xB9, 1, 2, b'a', b'b', b'c'].as_slice());
}

#[test]
fn every_split_of_a_stream_gives_the_same_frames() {
    let frames = vec![
        frame(1, 2, b""),
        frame(0x3FFF, 0xFFFF, b"body"),
        frame(1002, 3, b"x"),
    ];
    let bytes = encoded(&frames);
    let (whole, error, rest) = arrive(4, [bytes.as_ref()]);
    assert_eq!((&whole, error, rest), (&frames, None, 0));
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(arrive(4, chunks).0, frames, "cut at {first} and {second}");
        }
    }
    assert_eq!(arrive(4, bytes.chunks(1)).0, frames);
}

#[test]
fn a_stream_that_ends_within_a_frame_yields_nothing_for_it() {
    let bytes = encoded([&frame(1, 1, b"whole"), &frame(2, 2, b"torn")]);
    for end in 13..bytes.len() {
        let (frames, error, rest) = arrive(100, [&bytes[..end]]);
        assert_eq!((frames.len(), error, rest), (1, None, end - 13));
    }
}

#[test]
fn what_is_missing_is_named_as_soon_as_it_is_known() {
    let codec = FrameCodec::new(100);
    let bytes = encoded([&frame(1, 1, b"12345")]);
    for seen in 0..HEADER_BYTES {
        assert_eq!(codec.split(&bytes[..seen]), Ok(Split::Need(HEADER_BYTES)));
    }
    for seen in HEADER_BYTES..bytes.len() {
        assert_eq!(codec.split(&bytes[..seen]), Ok(Split::Need(bytes.len())));
    }
}

#[test]
fn the_limit_counts_the_body_alone() {
    let body: &[u8] = &[7; 16];
    let mut bytes = vec![0, 0, 0, 16, 0, 1, 0, 1];
    bytes.extend_from_slice(body);
    assert_eq!(arrive(16, [bytes.as_slice()]).0.len(), 1);
    let too_long = FrameError::TooLong {
        length: 16,
        limit: 15,
        seq: 1,
    };
    assert_eq!(arrive(15, [bytes.as_slice()]), (Vec::new(), Some(too_long), 24));
    // An empty body is a frame under any limit.
    assert_eq!(
        arrive(0, [[0, 0, 0, 0, 0, 1, 0, 1].as_slice()]).0,
        [frame(1, 1, b"")]
    );
}

#[test]
fn too_long_is_refused_on_the_eighth_byte_and_not_before() {
    for length in [u32::MAX, 0x8000_0000, 0x7FFF_FFFF, 0x0001_0001] {
        let mut header = length.to_be_bytes().to_vec();
        header.extend_from_slice(&[0, 1, 0x12, 0x34]);
        let (frames, error, held) = arrive(0x0001_0000, header.chunks(1));
        let limit = 0x0001_0000;
        let too_long = FrameError::TooLong {
            length,
            limit,
            seq: 0x1234,
        };
        assert_eq!(too_long.seq(), 0x1234);
        assert_eq!((frames, error, held), (Vec::new(), Some(too_long), 8));
    }
}

#[test]
fn the_reserved_bit_ends_the_stream() {
    for high in [0x40, 0xC0, 0x7F, 0xFF] {
        let header = [0, 0, 0, 0, high, 0x01, 0, 1];
        let error = FrameError::ReservedBit {
            bits: u16::from_be_bytes([high, 1]),
            seq: 1,
        };
        assert_eq!(error.seq(), 1);
        assert_eq!(arrive(10, [header.as_slice()]).1, Some(error));
    }
    // Whatever is wrong as well, the length is what matters most: it is named first.
    let both = [0, 0, 0, 11, 0x40, 0x01, 0, 1];
    assert!(matches!(
        arrive(10, [both.as_slice()]).1,
        Some(FrameError::TooLong { .. })
    ));
}

#[test]
fn a_frame_before_a_broken_one_is_still_given() {
    let mut bytes = encoded([&frame(1, 1, b"good")]).to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 0, 0x40, 0, 0, 0]);
    let (frames, error, _) = arrive(4, [bytes.as_slice()]);
    assert_eq!(
        (frames, error),
        (
            vec![frame(1, 1, b"good")],
            Some(FrameError::ReservedBit { bits: 0x4000, seq: 0 })
        )
    );
}

#[test]
fn the_limit_changes_from_the_next_frame_on() {
    let mut codec = FrameCodec::new(1);
    let bytes = encoded([&frame(1, 1, b"ab")]);
    assert!(codec.split(&bytes).is_err());
    codec.set_limit(2);
    assert_eq!(codec.limit(), 2);
    assert_eq!(codec.split(&bytes), Ok(Split::Frame(frame(1, 1, b"ab"))));
}

#[test]
fn a_type_survives_the_way_through_its_bits() {
    for bits in 0..=u16::MAX {
        match MessageType::from_bits(bits) {
            Some(kind) => {
                assert_eq!(bits & 0x4000, 0);
                assert_eq!(kind.to_bits(), bits);
                assert_eq!(
                    (kind.command(), kind.is_response()),
                    (bits & 0x3FFF, bits >= 0x8000)
                );
            }
            None => assert_ne!(bits & 0x4000, 0),
        }
    }
    assert_eq!(MessageType::ERROR.to_bits(), 0x8000);
    assert_eq!(MessageType::request(0xFFFF).to_bits(), 0x3FFF);
    assert_eq!(MessageType::response(0xFFFF).to_bits(), 0xBFFF);
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    (any::<u16>(), any::<bool>(), any::<u16>(), body).prop_map(|(command, response, seq, body)| Frame {
        kind: if response {
            MessageType::response(command)
        } else {
            MessageType::request(command)
        },
        seq,
        body: body.into(),
    })
}

proptest! {
    #[test]
    fn frames_survive_any_chunking(
        frames in proptest::collection::vec(any_frame(), 0..6),
        size in 1_usize..60,
    ) {
        let bytes = encoded(&frames);
        prop_assert_eq!(arrive(40, bytes.chunks(size)), (frames, None, 0));
    }

    #[test]
    fn any_bytes_take_no_more_than_they_are(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        limit in 0_u32..100,
    ) {
        match FrameCodec::new(limit).split(&bytes) {
            Ok(Split::Frame(frame)) => {
                prop_assert!(HEADER_BYTES + frame.body.len() <= bytes.len());
                prop_assert!(frame.body.len() <= limit as usize);
            }
            Ok(Split::Need(total)) => {
                prop_assert!(total > bytes.len());
                prop_assert!(total <= HEADER_BYTES + limit as usize);
            }
            Err(_) => prop_assert!(bytes.len() >= HEADER_BYTES),
        }
    }
}
