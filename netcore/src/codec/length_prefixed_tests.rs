//! The layouts in use out there, both ways, and everything a peer can get wrong.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn frame(codec: &mut LengthPrefixed, src: &[u8]) -> (Bytes, usize) {
    match codec.decode(src) {
        Ok(Decoded::Frame { frame, used }) => (Bytes::copy_from_slice(frame), used.get()),
        other => panic!("no frame: {other:?}"),
    }
}

fn need(codec: &mut LengthPrefixed, src: &[u8]) -> usize {
    match codec.decode(src) {
        Ok(Decoded::Need { total }) => total.get(),
        other => panic!("no need: {other:?}"),
    }
}

fn encoded(codec: &LengthPrefixed, out: &[u8]) -> Vec<u8> {
    let mut dst = BytesMut::from(&b"before"[..]);
    codec.encode(out, &mut dst).unwrap();
    assert_eq!(&dst[..6], b"before");
    dst[6..].to_vec()
}

#[test]
fn every_width_and_order() {
    let layouts: [(usize, bool, &[u8]); 7] = [
        (1, false, &[2]),
        (2, false, &[0, 2]),
        (2, true, &[2, 0]),
        (3, false, &[0, 0, 2]),
        (3, true, &[2, 0, 0]),
        (4, true, &[2, 0, 0, 0]),
        (8, false, &[0, 0, 0, 0, 0, 0, 0, 2]),
    ];
    for (width, little, header) in layouts {
        let builder = LengthPrefixed::builder().width(width).max(100);
        let builder = if little {
            builder.little_endian()
        } else {
            builder.big_endian()
        };
        let mut codec = builder.build().unwrap();
        let bytes = [header, b"hi"].concat();
        assert_eq!(encoded(&codec, b"hi"), bytes);
        assert_eq!(
            frame(&mut codec, &[&bytes[..], b"next"].concat()),
            (Bytes::from("hi"), bytes.len())
        );
    }
}

#[test]
fn a_length_that_counts_the_whole_frame() {
    let mut codec = LengthPrefixed::builder()
        .width(2)
        .adjustment(-2)
        .max(100)
        .build()
        .unwrap();
    assert_eq!(encoded(&codec, b"abc"), [0, 5, b'a', b'b', b'c']);
    assert_eq!(
        frame(&mut codec, &[0, 5, b'a', b'b', b'c']),
        (Bytes::from("abc"), 5)
    );
    assert_eq!(
        codec.decode(&[0, 1, 0]),
        Err(FrameError::TooShort { declared: 1 })
    );
}

#[test]
fn a_header_around_the_length_is_kept_when_nothing_is_stripped() {
    // type: u8, length: u16 of the body, flags: u8, body
    let mut codec = LengthPrefixed::builder()
        .offset(1)
        .width(2)
        .adjustment(1)
        .strip(0)
        .max(100)
        .build()
        .unwrap();
    let bytes = [7, 0, 2, 9, b'h', b'i'];
    assert_eq!(frame(&mut codec, &bytes), (Bytes::copy_from_slice(&bytes), 6));
    assert_eq!(encoded(&codec, &[7, 0xff, 0xff, 9, b'h', b'i']), bytes);
    assert_eq!(need(&mut codec, &[7, 0]), 3);
    assert_eq!(need(&mut codec, &[7, 0, 2]), 6);
}

#[test]
fn too_long_is_refused_from_the_header_alone() {
    let mut codec = LengthPrefixed::new(10);
    assert_eq!(need(&mut codec, &[0, 0, 0, 10]), 14);
    assert_eq!(
        codec.decode(&[0, 0, 0, 11]),
        Err(FrameError::TooLong { len: 15, max: 14 })
    );
    let mut widest = LengthPrefixed::builder()
        .width(8)
        .adjustment(i32::MAX)
        .build()
        .unwrap();
    assert!(matches!(
        widest.decode(&[0xff; 8]),
        Err(FrameError::TooLong { len: u64::MAX, .. })
    ));
}

#[test]
fn what_cannot_be_sent_is_refused_and_nothing_sent() {
    let codec = LengthPrefixed::builder().width(1).max(10_000).build().unwrap();
    let mut dst = BytesMut::new();
    assert_eq!(
        codec.encode(&[0; 300], &mut dst),
        Err(FrameError::Unrepresentable { len: 301 })
    );
    let small = LengthPrefixed::new(3);
    assert_eq!(
        small.encode(b"four", &mut dst),
        Err(FrameError::TooLong { len: 8, max: 7 })
    );
    let whole = LengthPrefixed::builder()
        .offset(2)
        .strip(0)
        .max(100)
        .build()
        .unwrap();
    assert_eq!(
        whole.encode(b"head", &mut dst),
        Err(FrameError::Unrepresentable { len: 4 })
    );
    assert!(dst.is_empty());
}

#[test]
fn the_limit_can_be_raised() {
    let mut codec = LengthPrefixed::new(1);
    assert!(codec.decode(&[0, 0, 0, 2]).is_err());
    codec.set_max(codec.max() + 1);
    assert_eq!(need(&mut codec, &[0, 0, 0, 2]), 6);
}

#[test]
fn unusable_layouts_are_named() {
    let build = |builder: LengthPrefixedBuilder| builder.build().unwrap_err();
    assert_eq!(build(LengthPrefixed::builder().width(5)), InvalidLayout::Width(5));
    assert_eq!(
        build(LengthPrefixed::builder().offset(256)),
        InvalidLayout::Offset(256)
    );
    assert_eq!(
        build(LengthPrefixed::builder().strip(70_000)),
        InvalidLayout::Strip(70_000)
    );
    assert_eq!(build(LengthPrefixed::builder().max(3)), InvalidLayout::Max(3));
    assert_eq!(
        build(LengthPrefixed::builder().strip(50).max(49)),
        InvalidLayout::Max(49)
    );
}

fn layouts() -> impl Strategy<Value = LengthPrefixed> {
    let widths = prop_oneof![Just(1), Just(2), Just(3), Just(4), Just(8)];
    (
        0_usize..20,
        widths,
        any::<bool>(),
        -30_i32..30,
        proptest::option::of(0_usize..40),
    )
        .prop_map(|(offset, width, little, adjustment, strip)| {
            let builder = LengthPrefixed::builder()
                .offset(offset)
                .width(width)
                .adjustment(adjustment)
                .max(600);
            let builder = if little { builder.little_endian() } else { builder };
            strip
                .map_or(builder, |strip| builder.strip(strip))
                .build()
                .unwrap()
        })
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_it_back(
        mut codec in layouts(),
        out in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        let mut dst = BytesMut::new();
        if codec.encode(&out, &mut dst).is_ok() {
            let (frame, used) = frame(&mut codec, &dst);
            prop_assert_eq!(used, dst.len());
            prop_assert_eq!(frame.len(), out.len());
            // The length field is filled in by the codec, everything else comes back as it was.
            let strip = usize::from(codec.strip);
            let field = usize::from(codec.offset)..codec.header();
            for (index, (got, sent)) in frame.iter().zip(&out).enumerate() {
                prop_assert!(got == sent || field.contains(&(index + strip)));
            }
        }
    }

    #[test]
    fn any_bytes_decode_within_bounds(
        mut codec in layouts(),
        src in proptest::collection::vec(any::<u8>(), 1..700),
    ) {
        match codec.decode(&src) {
            Ok(Decoded::Frame { used, .. }) => prop_assert!(used.get() <= src.len()),
            Ok(Decoded::Need { total }) => {
                prop_assert!(total.get() > src.len());
                prop_assert!(total.get() <= 600);
            }
            Err(_) => {}
        }
    }
}
