//! What must hold for a codec over a stream of bytes.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use netcore::codec::{Codec, Decoded};
use protocol::{Frame, FrameCodec, FrameError, HEADER_BYTES, MessageType};

use crate::{input::Input, memory};

/// Limits that the first byte of an input chooses from.
const LIMITS: [u32; 8] = [64 * 1024, 0, 1, 15, 256, 4 * 1024, 1024 * 1024, u32::MAX];
/// Cuts of a stream that an input can choose.
const CUTS_MAX: usize = 16;
/// In use at once while one frame is decoded, per byte that is there: the frame's own copy, and room.
const COST: usize = 2;

/// What is known of a codec from outside.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<F> {
    /// Bytes that a frame holds.
    pub frame_bytes: fn(&F) -> usize,
    /// Bytes of a whole frame, at most.
    pub total_max: usize,
}

/// The first byte chooses a limit, the rest is a stream: [`codec_with`] and [`frames_with`] for the codec of the
/// protocol.
///
/// # Panics
/// A promise is broken.
pub fn codec(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.choose(&LIMITS).unwrap_or_default();
    let stream = input.rest();
    let bounds = Bounds {
        frame_bytes: |frame: &Frame| frame.body.len(),
        total_max: (limit as usize).saturating_add(HEADER_BYTES),
    };
    codec_with(FrameCodec::new(limit), stream, bounds);
    frames_with(FrameCodec::new(limit), limit, stream);
}

/// Compares the frames of a stream with those that a naive reader of the published header finds, and with the bytes
/// that they are encoded as again.
///
/// # Panics
/// They differ.
pub fn frames_with(
    mut codec: impl for<'f> Codec<In<'f> = Frame, Error = FrameError>,
    limit: u32,
    stream: &[u8],
) {
    let read = cut(&mut codec, std::iter::once(stream));
    assert_eq!(read, naive(limit, stream), "a naive reader finds something else");
    let mut again = BytesMut::new();
    for frame in &read.frames {
        assert!(frame.encode(&mut again).is_ok());
    }
    assert_eq!(again, stream[..again.len()], "encoding gives other bytes");
}

/// Decodes a stream that is all there.
///
/// # Panics
/// A frame takes more than is there, holds more than it takes, or costs more memory than has arrived; what a codec
/// says to wait for is there already or can never be.
pub fn codec_with<F, C>(mut codec: C, stream: &[u8], bounds: Bounds<F>)
where
    C: for<'f> Codec<In<'f> = F>,
{
    let mut rest = stream;
    while !rest.is_empty() {
        match memory::within(rest.len(), COST, || codec.decode(rest)) {
            Ok(Decoded::Frame { frame, used }) => {
                assert!(used.get() <= rest.len(), "{used} bytes of {} taken", rest.len());
                let held = (bounds.frame_bytes)(&frame);
                assert!(held <= used.get(), "{held} bytes out of {used}");
                rest = &rest[used.get()..];
            }
            Ok(Decoded::Need { total }) => {
                assert!(
                    total.get() > rest.len(),
                    "waits for {total} of {} bytes",
                    rest.len()
                );
                assert!(total.get() <= bounds.total_max, "waits for {total} bytes");
                return;
            }
            Err(_) => return,
        }
    }
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut<F, E> {
    pub(crate) frames: Vec<F>,
    pub(crate) error: Option<E>,
    pub(crate) left: usize,
}

/// Decodes a stream that arrives in pieces, as a connection does: what is left of a piece is kept for the next.
///
/// # Panics
/// More is taken than is there.
pub(crate) fn cut<'a, F, C>(codec: &mut C, pieces: impl Iterator<Item = &'a [u8]>) -> Cut<F, C::Error>
where
    C: for<'f> Codec<In<'f> = F>,
{
    let (mut frames, mut held, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        while taken < held.len() {
            match codec.decode(&held[taken..]) {
                Ok(Decoded::Frame { frame, used }) => {
                    frames.push(frame);
                    taken += used.get();
                    assert!(taken <= held.len(), "more taken than is there");
                }
                Ok(Decoded::Need { .. }) => break,
                // Where the frame begins is known; how much of it has arrived depends on the pieces.
                Err(error) => {
                    return Cut {
                        frames,
                        error: Some(error),
                        left: 0,
                    };
                }
            }
        }
    }
    Cut {
        frames,
        error: None,
        left: held.len() - taken,
    }
}

/// See [`splits_with`], for the codec of the protocol.
///
/// # Panics
/// A promise is broken.
pub fn splits(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.choose(&LIMITS).unwrap_or_default();
    let sizes = cuts(&mut input);
    splits_with(|| FrameCodec::new(limit), &sizes, input.rest());
}

/// The sizes of pieces that an input chooses.
pub(crate) fn cuts(input: &mut Input<'_>) -> Vec<usize> {
    let count = usize::from(input.byte()) % CUTS_MAX;
    input
        .bytes(count)
        .iter()
        .map(|size| usize::from(*size) + 1)
        .collect()
}

/// Decodes a stream at once, byte by byte, and in pieces of the given sizes, over and over.
///
/// # Panics
/// The frames, the error or the number of bytes left over are not the same.
pub fn splits_with<F, C>(make: impl Fn() -> C, sizes: &[usize], stream: &[u8])
where
    C: for<'f> Codec<In<'f> = F>,
    F: Debug + PartialEq,
    C::Error: PartialEq,
{
    let whole = cut(&mut make(), std::iter::once(stream));
    assert_eq!(cut(&mut make(), stream.chunks(1)), whole, "byte by byte");
    if !sizes.is_empty() {
        assert_eq!(
            cut(&mut make(), pieces(stream, sizes)),
            whole,
            "in pieces of {sizes:?}"
        );
    }
}

pub(crate) fn pieces<'a>(stream: &'a [u8], sizes: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut input = Input::new(stream);
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let piece = input.bytes(*sizes.next()?);
        (!piece.is_empty()).then_some(piece)
    })
}

/// The header as the document says it, read with no thought of speed.
fn naive(limit: u32, stream: &[u8]) -> Cut<Frame, FrameError> {
    let mut frames = Vec::new();
    let mut rest = stream;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let broken = |frames, error| Cut {
        frames,
        error: Some(error),
        left: 0,
    };
    while rest.len() >= 8 {
        let seq = number(&rest[6..8]) as u16;
        let (length, bits) = (number(&rest[..4]), number(&rest[4..6]) as u16);
        if length > u64::from(limit) {
            return broken(
                frames,
                FrameError::TooLong {
                    length: length as u32,
                    limit,
                    seq,
                },
            );
        }
        if bits / 0x4000 % 2 == 1 {
            return broken(frames, FrameError::ReservedBit { bits, seq });
        }
        if (rest.len() - 8) as u64 >= length {
            let (whole, behind) = rest.split_at(8 + length as usize);
            let kind = MessageType::from_bits(bits).unwrap_or(MessageType::ERROR);
            frames.push(Frame {
                kind,
                seq,
                body: Bytes::copy_from_slice(&whole[8..]),
            });
            rest = behind;
        } else {
            break;
        }
    }
    Cut {
        frames,
        error: None,
        left: rest.len(),
    }
}
