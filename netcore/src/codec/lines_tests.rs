use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn decode_all(mut codec: Delimited, stream: &[u8], cuts: &[usize]) -> (Vec<Bytes>, Option<DelimiterError>) {
    let mut frames = Vec::new();
    let mut start = 0;
    let ends = cuts
        .iter()
        .map(|cut| cut % (stream.len() + 1))
        .chain([stream.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    for end in ends {
        while start < end {
            match codec.decode(&stream[start..end]) {
                Ok(Decoded::Frame { frame, used }) => {
                    frames.push(Bytes::copy_from_slice(frame));
                    start += used.get();
                }
                Ok(Decoded::Need { total }) => {
                    assert!(total.get() > end - start);
                    break;
                }
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

#[test]
fn lines_end_with_a_line_feed_with_or_without_a_carriage_return() {
    let (frames, error) = decode_all(Delimited::lines(10), b"a\r\n\nb\rc\n\r\nrest", &[]);
    assert_eq!(frames, [&b"a"[..], b"", b"b\rc", b""]);
    assert_eq!(error, None);
}

#[test]
fn a_frame_of_the_longest_length_passes_and_one_byte_more_does_not() {
    for (codec, end) in [
        (Delimited::lines(4), &b"\r\n"[..]),
        (Delimited::lines(4), b"\n"),
        (Delimited::by(b"--", 4), b"--"),
    ] {
        let (frames, error) = decode_all(codec, &[b"1234", end].concat(), &[]);
        assert_eq!((frames.len(), error), (1, None), "{end:?}");
        let (frames, error) = decode_all(codec, &[b"12345", end].concat(), &[]);
        assert_eq!(
            (frames.len(), error),
            (0, Some(DelimiterError::TooLong { max: 4 })),
            "{end:?}"
        );
    }
}

#[test]
fn a_frame_without_an_end_is_refused_as_soon_as_it_is_too_long() {
    let mut codec = Delimited::by(b"\0", 4);
    assert!(matches!(codec.decode(b"1234"), Ok(Decoded::Need { .. })));
    assert_eq!(codec.decode(b"12345"), Err(DelimiterError::TooLong { max: 4 }));
}

#[test]
fn what_would_arrive_as_something_else_is_not_sent() {
    let mut dst = BytesMut::new();
    let codec = Delimited::by(b"ab", 10);
    assert_eq!(
        codec.encode(b"xaby", &mut dst),
        Err(DelimiterError::ContainsDelimiter)
    );
    assert_eq!(
        codec.encode(b"12345678901", &mut dst),
        Err(DelimiterError::TooLong { max: 10 })
    );
    assert!(dst.is_empty());
    Delimited::lines(10).encode(b"hello", &mut dst).unwrap();
    assert_eq!(&dst[..], b"hello\r\n");
}

#[test]
fn what_would_end_early_is_not_sent() {
    let mut dst = BytesMut::new();
    // "a" and then "aa" would end after nothing but the delimiter's own first byte.
    let codec = Delimited::by(b"aa", 10);
    assert_eq!(
        codec.encode(b"xa", &mut dst),
        Err(DelimiterError::ContainsDelimiter)
    );
    assert!(dst.is_empty());
}

proptest! {
    #[test]
    fn however_it_is_cut_the_same_frames_come_out(
        stream in prop::collection::vec(prop::sample::select(b"ab\r\n".to_vec()), 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        which in 0..4,
    ) {
        let codec = match which {
            0 => Delimited::lines(8),
            1 => Delimited::by(b"ab", 8),
            2 => Delimited::by(b"aab", 8),
            _ => Delimited::by(b"\r\n", 8),
        };
        prop_assert_eq!(decode_all(codec, &stream, &cuts), decode_all(codec, &stream, &[]));
    }

    #[test]
    fn what_is_sent_arrives(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
        for codec in [Delimited::lines(20), Delimited::by(b"aa", 20), Delimited::by(b"\0", 20)] {
            let mut dst = BytesMut::new();
            let sent: Vec<_> = frames.iter().filter(|frame| codec.encode(frame, &mut dst).is_ok()).collect();
            let (received, error) = decode_all(codec, &dst, &[]);
            prop_assert_eq!(error, None);
            prop_assert_eq!(received.len(), sent.len());
            for (received, sent) in received.iter().zip(sent) {
                prop_assert_eq!(&received[..], &sent[..]);
            }
        }
    }
}
