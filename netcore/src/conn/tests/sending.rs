//! Water marks and limits of the out-queue.

use super::*;

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
        ..Outbound::default()
    });
    assert_eq!(core.send(&settings(), T0, b"a"), Ok(Queued::AboveHighWater));
    assert_eq!(core.send(&settings(), T0, b""), Err(SendError::Full));
}

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
