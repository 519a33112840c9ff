//! Which reports count, which call is the probe, and the lines of the log, in virtual time.

use super::*;

const WORDS: Wording = Wording {
    whom: "it",
    meanwhile: "we wait",
};

const SETTINGS: BreakerSettings = BreakerSettings {
    failures_in_a_row: 2,
    calls_min: 20,
    failed_percent: 50,
    pause_min: Duration::from_secs(1),
    pause_max: Duration::from_secs(4),
    probe_within: Duration::from_secs(5),
    recovery: Duration::from_secs(3),
};

fn gate(slow_start: SlowStart, now: Instant) -> SharedBreaker {
    SharedBreaker::new(WORDS, slow_start, SETTINGS, now)
}

/// Two calls fail.
fn shut(gate: &SharedBreaker, now: Instant) {
    for _ in 0..2 {
        let pass = gate.enter(now).expect("admitted");
        gate.leave(pass, now, Some(false), None);
    }
    assert_eq!(gate.state(), BreakerState::Open);
}

fn after(start: Instant, seconds: f64) -> Instant {
    start + Duration::from_secs_f64(seconds)
}

#[test]
fn one_tries_for_all() {
    let start = Instant::now();
    let gate = gate(SlowStart::Smaller, start);
    shut(&gate, start);
    let wait = gate.enter(start).expect_err("shut");
    assert!(wait >= Duration::from_millis(750) && wait <= Duration::from_millis(1_250));
    let now = after(start, 1.3);
    let probe = gate.enter(now).expect("the probe");
    assert!(probe.is_probe());
    for _ in 0..10 {
        assert!(gate.enter(now).expect_err("one is enough") <= Duration::from_millis(100));
    }
    gate.leave(probe, now, Some(true), None);
    for _ in 0..10 {
        let pass = gate.enter(now).expect("they know");
        assert!(!pass.is_probe());
    }
}

#[test]
fn what_began_before_it_opened_says_nothing() {
    let start = Instant::now();
    let gate = gate(SlowStart::Smaller, start);
    let (early_good, early_bad) = (gate.enter(start).unwrap(), gate.enter(start).unwrap());
    shut(&gate, start);
    gate.leave(early_good, start, Some(true), None);
    assert_eq!(gate.state(), BreakerState::Open);
    let now = after(start, 1.3);
    let probe = gate.enter(now).expect("the probe");
    gate.leave(early_bad, now, Some(false), None);
    gate.leave(early_good, now, Some(true), None);
    assert_eq!(gate.state(), BreakerState::HalfOpen, "the probe is still out");
    gate.leave(probe, now, Some(true), None);
    for _ in 0..5 {
        gate.leave(early_bad, now, Some(false), None);
    }
    assert_eq!(gate.state(), BreakerState::Recovering);
    assert_eq!(gate.enter(now).unwrap().openings(), 1, "it has opened once");
    assert_eq!(gate.openings(), 1);
}

#[test]
fn a_probe_that_says_nothing_is_passed_on() {
    let start = Instant::now();
    let gate = gate(SlowStart::Smaller, start);
    shut(&gate, start);
    let now = after(start, 1.3);
    let probe = gate.enter(now).expect("the probe");
    gate.leave(probe, now, None, None);
    let next = gate.enter(now).expect("the next");
    assert!(next.is_probe());
    gate.leave(next, now, Some(false), None);
    let wait = gate.enter(now).expect_err("shut again");
    assert!(
        wait >= Duration::from_millis(1_500),
        "the second pause, not a third: {wait:?}"
    );
    assert!(wait <= Duration::from_millis(2_500), "{wait:?}");
    // Where it is not shut, nothing comes of it.
    let open = self::gate(SlowStart::Smaller, start);
    let pass = open.enter(start).expect("admitted");
    open.leave(pass, start, None, None);
    assert_eq!(open.state(), BreakerState::Closed);
}

#[test]
fn a_slow_start_is_by_size_or_by_number() {
    for (slow_start, refuses) in [(SlowStart::Smaller, false), (SlowStart::Fewer, true)] {
        let start = Instant::now();
        let gate = gate(slow_start, start);
        assert_eq!(gate.share(start), 100);
        shut(&gate, start);
        assert_eq!(gate.share(start), 10, "what is refused need not be large");
        let back = after(start, 1.3);
        let probe = gate.enter(back).expect("the probe");
        assert_eq!(gate.share(back), 10);
        gate.leave(probe, back, Some(true), None);
        for (seconds, share) in [(0.0, 10), (0.9, 10), (1.1, 50), (1.9, 50), (2.1, 100), (2.9, 100)] {
            let now = after(back, seconds);
            assert_eq!(gate.share(now), share, "after {seconds} s");
            let refused = (0..200).filter(|_| gate.enter(now).is_err()).count();
            assert_eq!(refused > 0, refuses && share < 100, "after {seconds} s");
        }
        let _ = gate.enter(after(back, 3.1));
        assert_eq!(gate.state(), BreakerState::Closed);
    }
}

#[test]
fn the_log_has_a_sentence_for_every_change_and_for_nothing_else() {
    use BreakerState::{Closed, HalfOpen, Open, Recovering};
    let why = "no route";
    let said = [
        (
            Closed,
            Open,
            Level::Warn,
            "it does not answer (no route); we wait",
        ),
        (
            Recovering,
            Open,
            Level::Warn,
            "it has ceased to answer again (no route); we wait",
        ),
        (
            HalfOpen,
            Open,
            Level::Debug,
            "it still does not answer (no route)",
        ),
        (Open, HalfOpen, Level::Debug, "it is tried (no route)"),
        (
            HalfOpen,
            Recovering,
            Level::Info,
            "it answers again, and is asked for more and more",
        ),
        (Recovering, Closed, Level::Info, "it is asked as usual again"),
    ];
    for before in [Closed, Open, HalfOpen, Recovering] {
        for after in [Closed, Open, HalfOpen, Recovering] {
            let expected = said
                .iter()
                .find(|(from, to, ..)| (*from, *to) == (before, after))
                .map(|(_, _, level, text)| (*level, text.replace("tried (no route)", "tried")));
            let sentence = sentence(WORDS, before, after, Some(Cause::Silence(&why)));
            assert_eq!(sentence, expected, "{before:?} to {after:?}");
        }
    }
}

#[test]
fn an_error_is_not_called_silence() {
    use BreakerState::{Closed, HalfOpen, Open, Recovering};
    let said = |before, after| sentence(WORDS, before, after, Some(Cause::Answer("NOAUTH")));
    let (_, opened) = said(Closed, Open).expect("said");
    assert_eq!(opened, "it answers with the error NOAUTH; we wait");
    assert_eq!(said(Recovering, Open).expect("said").1, opened);
    assert_eq!(
        said(HalfOpen, Open).expect("said").1,
        "it still answers with the error NOAUTH"
    );
    assert_eq!(said(Closed, Closed), None);
}
