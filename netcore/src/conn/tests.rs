//! The core in virtual time: every input in every phase, every way to cut a stream, every deadline.

use super::*;
use crate::close::{CloseHow, Queued, SendError};
use crate::codec::LengthPrefixed;
use crate::config::Timeouts;
use crate::limits::{TICK, WRITE_SLICES_MAX};
use crate::time::Ticks;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::io::IoSlice;
use std::num::NonZeroUsize;

/// One byte of length; a payload of "?" is a ping, "!" a pong, and "x" is an error.
#[derive(Debug, Default)]
struct Beating;

#[derive(Debug, thiserror::Error)]
#[error("an x")]
struct AnX;

impl Codec for Beating {
    type In = Bytes;
    type Out = [u8];
    type Error = AnX;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Bytes>, AnX> {
        assert!(!src.is_empty(), "never called without bytes");
        let total = 1 + usize::from(src[0]);
        let Some(payload) = src.get(1..total) else {
            return Ok(Decoded::Need {
                total: NonZeroUsize::new(total).unwrap(),
            });
        };
        if payload == b"x" {
            return Err(AnX);
        }
        let used = NonZeroUsize::new(total).unwrap();
        Ok(Decoded::Frame {
            frame: Bytes::copy_from_slice(payload),
            used,
        })
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), AnX> {
        dst.extend_from_slice(&[out.len() as u8]);
        dst.extend_from_slice(out);
        if out == b"x" { Err(AnX) } else { Ok(()) }
    }

    fn beat(&self, frame: &Bytes) -> Beat {
        match &frame[..] {
            b"?" => Beat::Ping,
            b"!" => Beat::Pong,
            _ => Beat::Data,
        }
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Bytes>, dst: &mut BytesMut) {
        assert_eq!(answer_to.is_some(), beat == Beat::Pong);
        dst.extend_from_slice(if beat == Beat::Ping { b"\x01?" } else { b"\x01!" });
    }
}

/// Frames end with a line feed; a codec that never knows how much it needs.
#[derive(Debug)]
struct Lines;

impl Codec for Lines {
    type In = Vec<u8>;
    type Out = [u8];
    type Error = AnX;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Vec<u8>>, AnX> {
        Ok(match src.iter().position(|byte| *byte == b'\n') {
            Some(end) => Decoded::Frame {
                frame: src[..end].to_vec(),
                used: NonZeroUsize::new(end + 1).unwrap(),
            },
            None => Decoded::Need {
                total: NonZeroUsize::new(src.len() + 1).unwrap(),
            },
        })
    }

    fn encode(&self, _: &[u8], _: &mut BytesMut) -> Result<(), AnX> {
        Ok(())
    }
}

const T0: Tick = Tick(1000);

fn ticks(count: u32) -> std::time::Duration {
    // One less than wanted, because a conversion adds the tick that has begun.
    TICK * (count - 1)
}

fn settings() -> Settings {
    let timeouts = Timeouts {
        handshake: ticks(50),
        frame: ticks(30),
        idle: ticks(200),
        ping_after: Some(ticks(100)),
        pong_within: ticks(20),
        write_stall: ticks(40),
        linger: ticks(10),
    };
    let outbound = Outbound {
        low_water: 10,
        high_water: 20,
        limit: 30,
        reply_reserve: 8,
    };
    Settings::new(&timeouts, outbound)
}

fn core() -> Core<Beating> {
    let mut core = Core::new(Beating, T0, u16::MAX, &settings());
    core.establish();
    core
}

fn frames<C: Codec>(core: &mut Core<C>, now: Tick, mut input: &[u8]) -> Vec<C::In> {
    let mut frames = Vec::new();
    loop {
        match core.next_frame(&settings(), now, &mut input) {
            Step::Frame(frame) => frames.push(frame),
            Step::Beat => {}
            Step::Idle => {
                assert!(input.is_empty(), "all input is taken");
                return frames;
            }
            Step::Failed(reason) => panic!("{reason}"),
        }
    }
}

fn output<C: Codec>(core: &Core<C>) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
    let (count, _) = core.slices(&mut slices);
    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
}

fn write_all<C: Codec>(core: &mut Core<C>, now: Tick) {
    let queued = core.queued_bytes();
    core.handle_written(&settings(), now, queued);
}

// ---- cutting ---------------------------------------------------------------------------------------------

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

fn deliver<C: Codec>(core: &mut Core<C>, mut input: &[u8], budget: usize, got: &mut Vec<C::In>) {
    for _ in 0..budget {
        match core.next_frame(&settings(), T0, &mut input) {
            Step::Frame(frame) => got.push(frame),
            Step::Beat => {}
            Step::Idle => return,
            Step::Failed(reason) => panic!("{reason}"),
        }
    }
    core.keep(&mut input);
    assert!(input.is_empty());
}

fn check_any_arrival<C: Codec>(codec: C, stream: &[u8], expected: &[C::In], arrivals: &[Arrival])
where
    C::In: std::fmt::Debug + PartialEq,
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
        let codec = LengthPrefixed::new(100);
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
    let mut core = Core::new(LengthPrefixed::new(u32::MAX - 4), T0, 0, &settings());
    assert!(frames(&mut core, T0, &[0xff, 0, 0, 0, 1, 2, 3]).is_empty());
    frames(&mut core, T0, &[7; 1000]);
    assert!(core.held_bytes() <= 64 * 1024 + 2 * 1007, "{}", core.held_bytes());
}

// ---- the table of the module -----------------------------------------------------------------------------

fn in_phase(phase: Phase) -> Core<Beating> {
    let mut core = core();
    if phase != Phase::Open {
        core.send(&settings(), T0, b"bye").unwrap();
        core.close(CloseReason::Local(7), CloseHow::Flush, T0);
    }
    if phase == Phase::Lingering {
        write_all(&mut core, T0);
        assert!(core.poll_shutdown(T0));
    }
    if phase == Phase::Closed {
        core.close(CloseReason::Local(8), CloseHow::Abort, T0);
    }
    assert_eq!(core.phase(), phase);
    core
}

const PHASES: [Phase; 4] = [Phase::Open, Phase::Flushing, Phase::Lingering, Phase::Closed];

#[test]
fn bytes_are_frames_only_while_open() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        let expected: &[Bytes] = if phase == Phase::Open {
            &[Bytes::from_static(b"a")]
        } else {
            &[]
        };
        assert_eq!(frames(&mut core, T0, b"\x01a\x05half"), expected, "{phase:?}");
        assert_eq!(core.held_bytes() > 0, phase == Phase::Open);
        assert_eq!(core.phase(), phase);
        assert_eq!(
            core.wants_input(),
            matches!(phase, Phase::Open | Phase::Lingering)
        );
    }
}

#[test]
fn the_end_of_input_in_every_phase() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        core.handle_end();
        let after = if phase == Phase::Lingering {
            Phase::Closed
        } else {
            phase
        };
        assert_eq!(core.phase(), after, "{phase:?}");
        assert_eq!(core.poll_end(), (phase == Phase::Open).then_some(Ending::Clean));
        assert_eq!(core.poll_end(), None, "said once");
        assert!(!core.wants_input());
        if phase == Phase::Flushing {
            write_all(&mut core, T0);
            assert!(core.poll_shutdown(T0));
            assert_eq!(core.phase(), Phase::Closed, "both sides have ended");
        }
    }
}

#[test]
fn sending_in_every_phase() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        let before = core.queued_bytes();
        let expected = if phase == Phase::Open {
            Ok(Queued::Buffered)
        } else {
            Err(SendError::Closing)
        };
        assert_eq!(core.send(&settings(), T0, b"a"), expected, "{phase:?}");
        assert_eq!(core.send_encoded(&settings(), T0, Bytes::from("b")), expected);
        assert_eq!(core.send_reply(&settings(), T0, Bytes::from("c")), expected);
        assert_eq!(
            core.queued_bytes() - before,
            if phase == Phase::Open { 4 } else { 0 }
        );
        assert_eq!(
            core.wants_output(),
            matches!(phase, Phase::Open | Phase::Flushing)
        );
    }
}

#[test]
fn writing_everything_in_every_phase() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        assert!(
            !core.poll_shutdown(T0),
            "{phase:?}: something is queued, or it is over"
        );
        write_all(&mut core, T0);
        assert_eq!(core.poll_shutdown(T0), phase == Phase::Flushing);
        assert!(!core.poll_shutdown(T0), "said once");
        let after = if phase == Phase::Flushing {
            Phase::Lingering
        } else {
            phase
        };
        assert_eq!(core.phase(), after);
    }
}

#[test]
fn closing_in_every_phase() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        core.close(CloseReason::Eof, CloseHow::Flush, T0);
        let after = if phase == Phase::Open {
            Phase::Flushing
        } else {
            phase
        };
        assert_eq!(core.phase(), after, "{phase:?}");
        core.close(CloseReason::Reset, CloseHow::Abort, T0);
        assert_eq!(core.phase(), Phase::Closed);
        assert!(core.is_idle());
        match (phase, core.take_reason()) {
            (Phase::Open, Some(CloseReason::Eof)) => {}
            (_, Some(CloseReason::Local(7))) => {}
            (_, other) => panic!("{phase:?}: the first reason stays, not {other:?}"),
        }
    }
}

#[test]
fn a_deadline_in_every_phase() {
    for phase in PHASES {
        let mut core = in_phase(phase);
        let deadline = core.next_deadline(&settings());
        let expected = match phase {
            Phase::Open => T0.after(Ticks(100)),     // the first ping
            Phase::Flushing => T0.after(Ticks(40)),  // write stall
            Phase::Lingering => T0.after(Ticks(10)), // linger
            Phase::Closed => Tick::NEVER,
        };
        assert_eq!(deadline, expected, "{phase:?}");
        if phase != Phase::Closed {
            let just_before = Tick(deadline.0 - 1);
            assert!(matches!(
                core.handle_deadline(&settings(), just_before),
                Expiry::Nothing
            ));
            let expiry = core.handle_deadline(&settings(), deadline);
            match phase {
                Phase::Open => assert!(matches!(expiry, Expiry::Pinged)),
                _ => assert!(matches!(expiry, Expiry::Closed)),
            }
        }
        assert_eq!(
            core.phase(),
            if phase == Phase::Open {
                Phase::Open
            } else {
                Phase::Closed
            }
        );
    }
}

#[test]
fn last_words_are_taken_while_they_are_allowed() {
    let mut core = core();
    core.close(CloseReason::IdleTimeout, CloseHow::Flush, T0);
    core.allow_last_words(true);
    assert_eq!(core.send(&settings(), T0, b"bye"), Ok(Queued::Buffered));
    core.allow_last_words(false);
    assert_eq!(core.send(&settings(), T0, b"more"), Err(SendError::Closing));
    assert_eq!(output(&core), b"\x03bye");
    // The library's ends have one deadline for everything, whatever is written meanwhile.
    core.handle_written(&settings(), T0.after(Ticks(9)), 1);
    assert_eq!(core.next_deadline(&settings()), T0.after(Ticks(10)));
    write_all(&mut core, T0.after(Ticks(9)));
    assert!(core.poll_shutdown(T0.after(Ticks(9))));
    assert_eq!(core.next_deadline(&settings()), T0.after(Ticks(10)));
}

// ---- ends ------------------------------------------------------------------------------------------------

#[test]
fn the_end_is_reported_after_the_last_frame_even_when_paused() {
    let mut core = core();
    core.pause(Pause::Workers, T0);
    assert!(frames(&mut core, T0, b"\x01a\x01b").is_empty());
    core.handle_end();
    assert_eq!(core.poll_end(), None, "frames are waiting");
    core.resume(Pause::Workers, T0);
    assert_eq!(core.poll_end(), None, "frames are still waiting");
    assert!(core.has_undecoded());
    assert_eq!(frames(&mut core, T0, b"").len(), 2);
    assert_eq!(core.poll_end(), Some(Ending::Clean));
}

#[test]
fn an_end_within_a_frame_says_how_much_there_was() {
    let mut core = core();
    frames(&mut core, T0, b"\x01a\x05hal");
    core.handle_end();
    assert_eq!(core.poll_end(), Some(Ending::Truncated { have: 4 }));
}

#[test]
fn a_codec_error_is_a_failure() {
    let mut core = core();
    let mut input = &b"\x01a\x01x\x01b"[..];
    assert!(matches!(
        core.next_frame(&settings(), T0, &mut input),
        Step::Frame(_)
    ));
    let step = core.next_frame(&settings(), T0, &mut input);
    assert!(matches!(step, Step::Failed(CloseReason::Protocol(AnX))));
}

// ---- water -----------------------------------------------------------------------------------------------

#[test]
fn above_high_water_reading_pauses_until_low_water() {
    let mut core = core();
    assert_eq!(core.send(&settings(), T0, &[1; 19]), Ok(Queued::Buffered));
    assert!(core.wants_input());
    assert_eq!(core.send(&settings(), T0, b""), Ok(Queued::AboveHighWater));
    assert!(!core.wants_input());
    assert!(core.is_paused_by(Pause::Outbound));
    core.handle_written(&settings(), T0, 10);
    assert!(!core.poll_writable());
    assert!(!core.wants_input(), "11 bytes are above low water");
    core.handle_written(&settings(), T0, 1);
    assert!(core.poll_writable());
    assert!(!core.poll_writable(), "said once");
    assert!(core.wants_input());
}

#[test]
fn beyond_the_limit_nothing_is_queued_and_the_sender_is_told_later() {
    let mut core = core();
    core.send(&settings(), T0, &[1; 19]).unwrap();
    assert_eq!(core.send(&settings(), T0, &[1; 10]), Err(SendError::Full));
    assert_eq!(
        core.send_encoded(&settings(), T0, Bytes::from(vec![1; 11])),
        Err(SendError::Full)
    );
    assert_eq!(core.queued_bytes(), 20);
    assert!(core.wants_input(), "a refusal alone does not pause reading");
    assert_eq!(
        core.send_reply(&settings(), T0, Bytes::from(vec![1; 18])),
        Ok(Queued::AboveHighWater)
    );
    assert_eq!(
        core.send_reply(&settings(), T0, Bytes::from("1")),
        Err(SendError::Full)
    );
    assert_eq!(core.queued_bytes(), 38, "the limit and the reserve");
    write_all(&mut core, T0);
    assert!(core.poll_writable());
    assert!(core.is_idle());
}

#[test]
fn a_frame_that_can_never_fit_does_not_ask_for_a_retry() {
    let mut core = core();
    assert_eq!(core.send(&settings(), T0, &[1; 100]), Err(SendError::Full));
    assert!(core.is_idle());
    assert!(!core.poll_writable(), "nothing will ever change");
}

#[test]
fn a_frame_that_cannot_be_encoded_leaves_nothing_behind() {
    let mut core = core();
    assert_eq!(core.send(&settings(), T0, b"x"), Err(SendError::Encode));
    assert!(core.is_idle());
    core.send(&settings(), T0, b"a").unwrap();
    assert_eq!(core.send(&settings(), T0, b"x"), Err(SendError::Encode));
    assert_eq!(output(&core), b"\x01a");
}

#[test]
fn a_connection_can_have_marks_of_its_own() {
    let mut core = core();
    core.set_outbound(Outbound {
        low_water: 0,
        high_water: 1,
        limit: 2,
        reply_reserve: 0,
    });
    assert_eq!(core.send(&settings(), T0, b"a"), Ok(Queued::AboveHighWater));
    assert_eq!(core.send(&settings(), T0, b""), Err(SendError::Full));
}

// ---- beats and deadlines ---------------------------------------------------------------------------------

fn expire(core: &mut Core<Beating>, expected: Tick) -> Expiry<AnX> {
    assert_eq!(core.next_deadline(&settings()), expected);
    core.handle_deadline(&settings(), expected)
}

#[test]
fn pings_are_answered_and_pongs_swallowed() {
    let mut core = core();
    assert_eq!(frames(&mut core, T0, b"\x01?\x01a\x01!\x01?"), [Bytes::from("a")]);
    assert_eq!(output(&core), b"\x01!\x01!");
}

#[test]
fn a_flood_of_pings_pauses_instead_of_queueing() {
    let mut core = core();
    frames(&mut core, T0, &b"\x01?".repeat(1000));
    assert_eq!(core.queued_bytes(), 22, "just above high water");
    assert!(core.is_paused_by(Pause::Outbound));
    assert!(core.held_bytes() > 0);
}

#[test]
fn silence_is_pinged_and_then_ended() {
    let mut core = core();
    assert!(matches!(expire(&mut core, T0.after(Ticks(100))), Expiry::Pinged));
    assert_eq!(output(&core), b"\x01?");
    write_all(&mut core, T0.after(Ticks(100)));
    assert!(matches!(
        expire(&mut core, T0.after(Ticks(120))),
        Expiry::Close(CloseReason::PongTimeout)
    ));
}

#[test]
fn any_byte_answers_a_ping() {
    let mut core = core();
    expire(&mut core, T0.after(Ticks(100)));
    write_all(&mut core, T0.after(Ticks(100)));
    core.handle_received(T0.after(Ticks(119)));
    // From now on silence is counted from the last byte, moved by the jitter.
    assert_eq!(core.next_deadline(&settings()), T0.after(Ticks(119 + 110)));
}

#[test]
fn the_first_ping_is_spread_over_the_whole_span_and_later_ones_by_a_tenth() {
    let first = |jitter| {
        let mut core = Core::new(Beating, T0, jitter, &settings());
        core.establish();
        let first = core.next_deadline(&settings());
        core.handle_deadline(&settings(), first);
        write_all(&mut core, first);
        core.handle_received(first);
        (first.since(T0).0, core.next_deadline(&settings()).since(first).0)
    };
    assert_eq!(first(0), (0, 90));
    assert_eq!(first(u16::MAX / 2), (49, 99));
    assert_eq!(first(u16::MAX), (100, 110));
}

#[test]
fn a_codec_without_pings_is_not_asked_again() {
    let mut core = Core::new(LengthPrefixed::new(10), T0, 0, &settings());
    core.establish();
    let due = core.next_deadline(&settings());
    assert!(matches!(core.handle_deadline(&settings(), due), Expiry::Nothing));
    assert!(core.is_idle());
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(200)),
        "only the idle deadline is left"
    );
}

#[test]
fn received_bytes_do_not_extend_the_handshake() {
    let mut core = Core::new(Beating, T0, 0, &settings());
    frames(&mut core, T0.after(Ticks(49)), b"\x01a");
    core.handle_received(T0.after(Ticks(49)));
    core.pause(Pause::Application, T0.after(Ticks(49)));
    let expiry = expire(&mut core, T0.after(Ticks(50)));
    assert!(matches!(expiry, Expiry::Close(CloseReason::HandshakeTimeout)));
}

#[test]
fn without_a_handshake_deadline_connections_are_established() {
    let settings = Settings::new(&Timeouts::default(), Outbound::default());
    assert!(Core::new(Beating, T0, 0, &settings).is_established());
    assert!(!Core::new(Beating, T0, 0, &self::settings()).is_established());
}

#[test]
fn a_frame_has_a_deadline_from_its_first_byte() {
    let mut core = core();
    frames(&mut core, T0, b"\x05h");
    for late in 1..30 {
        core.handle_received(T0.after(Ticks(late)));
        if late % 10 == 0 {
            frames(&mut core, T0.after(Ticks(late)), b"e");
        }
    }
    assert!(matches!(
        expire(&mut core, T0.after(Ticks(30))),
        Expiry::Close(CloseReason::FrameTimeout)
    ));
    frames(&mut core, T0.after(Ticks(29)), b"llo\x05h");
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(59)),
        "the next frame has its own"
    );
}

#[test]
fn deadlines_that_wait_for_the_peer_stand_still_while_paused() {
    let mut core = core();
    core.flags |= FIRST_PING_PASSED;
    frames(&mut core, T0, b"\x05h");
    core.pause(Pause::Application, T0.after(Ticks(10)));
    core.pause(Pause::Workers, T0.after(Ticks(20)));
    assert_eq!(core.next_deadline(&settings()), Tick::NEVER);
    core.resume(Pause::Application, T0.after(Ticks(30)));
    assert_eq!(
        core.next_deadline(&settings()),
        Tick::NEVER,
        "still paused by the workers"
    );
    core.resume(Pause::Workers, T0.after(Ticks(1010)));
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(1030)),
        "20 of 30 ticks are left"
    );
    core.resume(Pause::Workers, T0.after(Ticks(5000)));
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(1030)),
        "it was not paused"
    );
}

#[test]
fn idle_and_pong_deadlines_stand_still_while_paused() {
    let mut idle = Core::new(LengthPrefixed::new(10), T0, 0, &settings());
    idle.establish();
    idle.handle_deadline(&settings(), T0);
    idle.pause(Pause::Application, T0.after(Ticks(150)));
    idle.resume(Pause::Application, T0.after(Ticks(1150)));
    assert_eq!(idle.next_deadline(&settings()), T0.after(Ticks(1200)));

    let mut pinged = core();
    expire(&mut pinged, T0.after(Ticks(100)));
    write_all(&mut pinged, T0.after(Ticks(100)));
    pinged.pause(Pause::Outbound, T0.after(Ticks(110)));
    pinged.resume(Pause::Outbound, T0.after(Ticks(610)));
    assert_eq!(pinged.next_deadline(&settings()), T0.after(Ticks(620)));
}

#[test]
fn a_stall_is_counted_from_the_last_progress() {
    let mut core = core();
    core.send(&settings(), T0, b"hello").unwrap();
    core.handle_written(&settings(), T0.after(Ticks(30)), 2);
    core.send(&settings(), T0.after(Ticks(50)), b"more").unwrap();
    assert!(matches!(
        expire(&mut core, T0.after(Ticks(70))),
        Expiry::Close(CloseReason::WriteStalled)
    ));
    write_all(&mut core, T0.after(Ticks(70)));
    core.send(&settings(), T0.after(Ticks(90)), b"a").unwrap();
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(100)),
        "a new queue starts anew"
    );
}

#[test]
fn a_peer_that_has_finished_is_not_pinged_but_can_idle_out() {
    let mut core = core();
    core.handle_end();
    assert_eq!(core.poll_end(), Some(Ending::Clean));
    assert!(matches!(
        expire(&mut core, T0.after(Ticks(200))),
        Expiry::Close(CloseReason::IdleTimeout)
    ));
}

// ---- memory ----------------------------------------------------------------------------------------------

#[test]
fn an_idle_connection_holds_no_block_and_few_bytes() {
    let mut core = core();
    for _ in 0..3 {
        frames(&mut core, T0, b"\x05he");
        assert!(!core.is_idle());
        frames(&mut core, T0, b"llo");
        core.send(&settings(), T0, b"hello").unwrap();
        write_all(&mut core, T0);
        assert!(core.is_idle());
        assert_eq!((core.held_bytes(), core.queued_bytes()), (0, 0));
    }
    assert!(size_of::<Core<Beating>>() <= 64, "{}", size_of::<Core<Beating>>());
}
