//! What must hold for netcore's length-prefixed codec, whatever its layout.

use bytes::{Bytes, BytesMut};
use netcore::codec::{Codec, Decoded, LengthPrefixed, Owned};

use crate::{
    input::Input,
    stream::{Bounds, codec_with, cuts, splits_with},
};

const WIDTHS: [usize; 5] = [4, 1, 2, 3, 8];
const LARGEST: [usize; 6] = [64 * 1024, 0, 16, 256, 1024 * 1024, u32::MAX as usize];

/// Any layout over any stream: the bounds of [`codec_with`], the same frames however it is cut, and what can be
/// encoded comes back.
///
/// # Panics
/// A promise is broken.
pub fn length_prefixed(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(layout) = layout(&mut input) else { return };
    let sizes = cuts(&mut input);
    length_prefixed_with(|| Owned(layout), layout.max() as usize, &sizes, input.rest());
}

/// A layout that can be built, or none.
fn layout(input: &mut Input<'_>) -> Option<LengthPrefixed> {
    let flags = input.byte();
    let builder = LengthPrefixed::builder()
        .offset(usize::from(input.byte()))
        .width(input.choose(&WIDTHS)?)
        .adjustment(i32::from(input.byte() as i8))
        .max(input.choose(&LARGEST)?);
    let builder = if flags & 1 == 0 {
        builder
    } else {
        builder.little_endian()
    };
    let strip = usize::from(input.byte());
    if flags & 2 == 0 {
        builder
    } else {
        builder.strip(strip)
    }
    .build()
    .ok()
}

/// The same for any codec of slices.
///
/// # Panics
/// A promise is broken.
pub fn length_prefixed_with<C>(make: impl Fn() -> C, total_max: usize, sizes: &[usize], stream: &[u8])
where
    C: for<'f> Codec<In<'f> = Bytes, Out = [u8]>,
    C::Error: PartialEq,
{
    // A frame's need is never below its first byte, whatever its largest size.
    let bounds = Bounds {
        frame_bytes: Bytes::len,
        total_max: total_max.max(1),
    };
    codec_with(make(), stream, bounds);
    splits_with(&make, sizes, stream);

    let mut encoded = BytesMut::new();
    if make().encode(stream, &mut encoded).is_err() {
        return;
    }
    // What was encoded is one frame of as many bytes; encoding it again gives the same.
    match make().decode(&encoded) {
        Ok(Decoded::Frame { frame, used }) => {
            assert_eq!((used.get(), frame.len()), (encoded.len(), stream.len()));
            let mut again = BytesMut::new();
            assert!(make().encode(&frame, &mut again).is_ok());
            assert_eq!(again, encoded);
        }
        other => panic!("what was encoded does not decode: {other:?}"),
    }
}
