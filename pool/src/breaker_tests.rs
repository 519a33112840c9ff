//! The numbers of the breaker one by one, and what holds in any course of events.

use super::*;
use proptest::prelude::*;

const MIDDLE: u32 = u32::MAX / 2;

fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}

fn opened(start: Instant) -> Breaker {
    let mut breaker = Breaker::new(BreakerSettings::default(), start);
    for _ in 0..5 {
        assert_eq!(breaker.allow(start, MIDDLE), Permission::Allowed);
        breaker.record(start, false);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

fn is_allowed(breaker: &mut Breaker, now: Instant, random: u32) -> bool {
    breaker.allow(now, random) == Permission::Allowed
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let start = Instant::now();
    let mut breaker = Breaker::new(BreakerSettings::default(), start);
    for ok in [false, false, false, false, true, false, false, false, false] {
        breaker.record(start, ok);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.record(start, false);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn half_of_twenty_calls_open_it_only_within_ten_seconds() {
    // How far apart the calls are, and whether twenty of them, every other failed, open it.
    for (apart, opens) in [(0.0, true), (0.4, true), (0.6, false)] {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerSettings::default(), start);
        for call in 0..20 {
            assert_eq!(breaker.state(), BreakerState::Closed);
            breaker.record(start + seconds(apart) * call, call % 2 == 0);
        }
        assert_eq!(breaker.state() == BreakerState::Open, opens, "{apart} s");
    }
}

#[test]
fn pauses_double_up_to_the_longest_and_begin_anew_after_recovery() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    for pause in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        let Permission::Refused { retry_after } = breaker.allow(now, MIDDLE) else {
            panic!("it is open");
        };
        assert!(
            (retry_after.as_secs_f64() - pause).abs() < 0.001,
            "{retry_after:?} is not {pause} s"
        );
        assert!(!is_allowed(
            &mut breaker,
            now + retry_after - seconds(0.001),
            MIDDLE
        ));
        now += retry_after;
        assert!(is_allowed(&mut breaker, now, MIDDLE), "the probe");
        breaker.record(now, false);
    }
    now += seconds(40.0);
    assert!(is_allowed(&mut breaker, now, MIDDLE));
    breaker.record(now, true);
    now += seconds(10.0);
    assert!(is_allowed(&mut breaker, now, u32::MAX));
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 0..5 {
        breaker.record(now, false);
    }
    let Permission::Refused { retry_after } = breaker.allow(now, MIDDLE) else {
        panic!("it is open");
    };
    assert!(retry_after < seconds(1.3));
}

#[test]
fn jitter_is_a_quarter_either_way() {
    for (random, pause) in [(0, 0.75), (MIDDLE, 1.0), (u32::MAX, 1.25)] {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerSettings::default(), start);
        breaker.allow(start, random);
        for _ in 0..5 {
            breaker.record(start, false);
        }
        assert!(!is_allowed(&mut breaker, start + seconds(pause - 0.001), 0));
        assert!(is_allowed(&mut breaker, start + seconds(pause + 0.001), 0));
    }
}

#[test]
fn one_probe_is_allowed_at_a_time_and_a_lost_one_is_replaced() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let now = start + seconds(1.5);
    assert!(is_allowed(&mut breaker, now, 0));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(!is_allowed(&mut breaker, now, 0));
    assert!(!is_allowed(&mut breaker, now + seconds(4.9), 0));
    assert!(is_allowed(&mut breaker, now + seconds(5.1), 0));
}

#[test]
fn recovery_lets_a_tenth_through_then_half_then_all() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let now = start + seconds(1.5);
    assert!(is_allowed(&mut breaker, now, 0));
    breaker.record(now, true);
    for (after, share) in [(0.0, 10), (3.2, 10), (3.4, 50), (6.6, 50), (6.8, 100), (9.9, 100)] {
        let hundredths = (0..100u32).filter(|part| {
            // In the middle of its hundredth.
            let random = u32::MAX / 100 * part + u32::MAX / 200;
            is_allowed(&mut breaker, now + seconds(after), random)
        });
        assert_eq!(hundredths.count(), share, "after {after} s");
        assert_eq!(breaker.state(), BreakerState::Recovering);
    }
    for _ in 0..5 {
        breaker.record(now + seconds(9.9), false);
    }
    assert_eq!(breaker.state(), BreakerState::Open, "a relapse");
}

#[test]
fn late_reports_do_not_close_an_open_one() {
    let start = Instant::now();
    let mut breaker = opened(start);
    breaker.record(start, true);
    assert_eq!(breaker.state(), BreakerState::Open);
}

proptest! {
    #[test]
    fn whatever_happens_its_promises_hold(
        steps in proptest::collection::vec((0u64..4_000, any::<u32>(), any::<bool>(), any::<bool>()), 1..300)
    ) {
        let mut now = Instant::now();
        let settings = BreakerSettings::default();
        let mut breaker = Breaker::new(settings, now);
        let mut refused_until = now;
        let mut in_flight = 0u32;
        for (millis, random, report, ok) in steps {
            now += Duration::from_millis(millis);
            let before = breaker.state();
            match breaker.allow(now, random) {
                Permission::Allowed => {
                    prop_assert!(now >= refused_until, "allowed earlier than promised");
                    in_flight += 1;
                }
                Permission::Refused { retry_after } => {
                    prop_assert!(before != BreakerState::Closed, "a closed one refuses nothing");
                    prop_assert!(retry_after > Duration::ZERO);
                    prop_assert!(retry_after <= settings.pause_max.mul_f64(1.25));
                    if breaker.state() == BreakerState::Open {
                        refused_until = now + retry_after;
                    }
                }
            }
            if report && in_flight > 0 {
                in_flight -= 1;
                let before = breaker.state();
                breaker.record(now, ok);
                let after = breaker.state();
                let opened = after == BreakerState::Open && before != BreakerState::Open;
                prop_assert!(!(opened && ok), "a success opened it");
            }
        }
        // Good calls alone close it within a bounded time, from any state.
        for _ in 0..1_000 {
            now += Duration::from_millis(100);
            if breaker.allow(now, 0) == Permission::Allowed {
                breaker.record(now, true);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
