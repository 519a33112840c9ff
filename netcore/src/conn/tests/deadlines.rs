//! Heartbeats and deadlines, in virtual time.

use super::*;

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
fn a_ping_for_which_there_is_no_room_is_not_awaited() {
    let mut core = core();
    core.set_outbound(Outbound {
        low_water: 30,
        high_water: 30,
        limit: 30,
        reply_reserve: 0,
        ..Outbound::default()
    });
    let due = T0.after(Ticks(100));
    core.send(&settings(), due, &[1; 28]).unwrap();
    assert!(matches!(expire(&mut core, due), Expiry::Nothing));
    write_all(&mut core, due);
    let again = due.after(Ticks(110));
    assert_eq!(
        core.next_deadline(&settings()),
        T0.after(Ticks(200)),
        "idle, and no pong"
    );
    core.handle_received(due);
    assert!(matches!(expire(&mut core, again), Expiry::Pinged));
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
fn a_codec_that_asks_again_and_again_does_not_move_the_deadline() {
    let mut lines = Core::new(Lines, T0, u16::MAX, &settings());
    let mut prefixed = Core::new(
        crate::codec::Owned(LengthPrefixed::new(100)),
        T0,
        u16::MAX,
        &settings(),
    );
    for (late, byte) in [(0, 0), (10, 0), (20, 0), (29, 9)] {
        assert!(frames(&mut lines, T0.after(Ticks(late)), b"a").is_empty());
        assert!(frames(&mut prefixed, T0.after(Ticks(late)), &[byte]).is_empty());
    }
    assert_eq!(lines.next_deadline(&settings()), T0.after(Ticks(30)));
    assert_eq!(prefixed.next_deadline(&settings()), T0.after(Ticks(30)));
}

#[test]
fn a_frame_that_waited_behind_another_has_its_own_deadline() {
    let (mut core, later) = (core(), T0.after(Ticks(20)));
    frames(&mut core, T0, b"\x05h");
    // The budget of the turn is spent, so that the rest is kept together with the beginning of the next frame.
    core.keep(&mut &b"ello\x05h"[..]);
    assert_eq!(frames(&mut core, later, b""), [Bytes::from("hello")]);
    core.handle_received(later);
    assert_eq!(core.next_deadline(&settings()), later.after(Ticks(30)));
}

#[test]
fn a_peer_that_finishes_instead_of_answering_a_ping_can_idle_out() {
    let mut core = core();
    expire(&mut core, T0.after(Ticks(100)));
    write_all(&mut core, T0.after(Ticks(100)));
    core.handle_end();
    assert!(matches!(
        expire(&mut core, T0.after(Ticks(200))),
        Expiry::Close(CloseReason::IdleTimeout)
    ));
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
