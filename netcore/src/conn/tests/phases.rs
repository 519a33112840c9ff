//! Every input in every phase, as the table of the module says.

use super::*;

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

#[test]
fn finishing_to_send_is_the_end_of_sending_only() {
    let mut core = in_phase(Phase::Open);
    core.send(&settings(), T0, b"bye").unwrap();
    core.finish_sending();
    assert!(!core.poll_shutdown(T0), "something is queued");
    assert_eq!(core.send(&settings(), T0, b"more"), Err(SendError::Closing));
    write_all(&mut core, T0);
    assert!(core.poll_shutdown(T0));
    assert!(!core.poll_shutdown(T0), "said once");
    assert_eq!(core.phase(), Phase::Open);
    core.finish_sending();
    assert!(!core.poll_shutdown(T0), "it has been said");
    // A ping cannot be answered any more.
    assert_eq!(frames(&mut core, T0, b"\x01?\x01a"), ["a"]);
    assert_eq!(core.queued_bytes(), 0);
    core.close(CloseReason::Local(1), CloseHow::Flush, T0);
    assert!(!core.poll_shutdown(T0), "our side was shut down before");
    assert_eq!(core.phase(), Phase::Lingering);
}
