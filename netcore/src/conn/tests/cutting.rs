//! However a stream is cut, the same frames come out.

use super::*;
use crate::codec::Owned;

#[test]
fn every_cut_of_three_frames_gives_the_same_frames() {
    let stream = b"\x05hello\x00\x03you";
    let expected = [Bytes::from("hello"), Bytes::new(), Bytes::from("you")];
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            for third in second..=stream.len() {
                let mut core = core();
                let mut got = Vec::new();
                for part in [
                    &stream[..first],
                    &stream[first..second],
                    &stream[second..third],
                    &stream[third..],
                ] {
                    got.extend(frames(&mut core, T0, part));
                }
                assert_eq!(got, expected, "cut at {first}, {second}, {third}");
                assert!(core.is_idle(), "nothing is held after the last frame");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Arrival {
    Bytes(usize),
    Pause,
    Resume,
    /// The budget of a turn is spent after so many frames.
    Budget(usize),
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = prop_oneof![
        4 => (0_usize..40).prop_map(Arrival::Bytes),
        1 => Just(Arrival::Pause),
        1 => Just(Arrival::Resume),
        1 => (0_usize..3).prop_map(Arrival::Budget),
    ];
    proptest::collection::vec(arrival, 0..60)
}

fn deliver<F, C>(core: &mut Core<C>, mut input: &[u8], budget: usize, got: &mut Vec<F>)
where
    C: for<'f> Codec<In<'f> = F>,
{
    for _ in 0..budget {
        match core.next_frame(&settings(), T0, &mut input) {
            Step::Frame(frame) => got.push(frame),
            Step::Beat | Step::Again => {}
            Step::Idle => return,
            Step::Failed(reason) => panic!("{reason}"),
        }
    }
    core.keep(&mut input);
    assert!(input.is_empty());
}

fn check_any_arrival<F, C>(codec: C, stream: &[u8], expected: &[F], arrivals: &[Arrival])
where
    C: for<'f> Codec<In<'f> = F>,
    F: std::fmt::Debug + PartialEq,
{
    let mut core = Core::new(codec, T0, 0, &settings());
    let (mut rest, mut got) = (stream, Vec::new());
    for arrival in arrivals {
        match arrival {
            Arrival::Bytes(count) => {
                let (part, later) = rest.split_at(rest.len().min(*count));
                rest = later;
                deliver(&mut core, part, usize::MAX, &mut got);
            }
            Arrival::Budget(frames) => deliver(&mut core, &[], *frames, &mut got),
            Arrival::Pause => core.pause(Pause::Application, T0),
            Arrival::Resume => core.resume(Pause::Application, T0),
        }
        assert_eq!(got, expected[..got.len()]);
    }
    core.resume(Pause::Application, T0);
    deliver(&mut core, rest, usize::MAX, &mut got);
    assert_eq!(got, expected);
    assert!(core.is_idle());
    assert_eq!(core.held_bytes(), 0);
}

proptest! {
    #[test]
    fn any_arrival_gives_the_same_frames(
        payloads in proptest::collection::vec(proptest::collection::vec(b'a'..b'f', 0..60), 0..12),
        arrivals in arrivals(),
    ) {
        let codec = Owned(LengthPrefixed::new(100));
        let mut stream = BytesMut::new();
        for payload in &payloads {
            codec.encode(payload, &mut stream).unwrap();
        }
        let expected: Vec<Bytes> = payloads.iter().map(|payload| Bytes::from(payload.clone())).collect();
        check_any_arrival(codec, &stream, &expected, &arrivals);

        let lines: Vec<u8> = payloads.iter().flat_map(|payload| [payload, &b"\n"[..]].concat()).collect();
        check_any_arrival(Lines, &lines, &payloads, &arrivals);
    }
}

#[test]
fn a_large_declared_length_reserves_only_what_arrives() {
    let mut core = Core::new(Owned(LengthPrefixed::new(u32::MAX - 4)), T0, 0, &settings());
    assert!(frames(&mut core, T0, &[0xff, 0, 0, 0, 1, 2, 3]).is_empty());
    frames(&mut core, T0, &[7; 1000]);
    assert!(core.held_bytes() <= 64 * 1024 + 2 * 1007, "{}", core.held_bytes());
}
