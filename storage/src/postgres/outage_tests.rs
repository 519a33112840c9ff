//! Writers before a server that goes and comes back, in virtual time: who asks it, how often, and how much.

use proptest::prelude::*;

use super::*;
use pool::breaker::BreakerState;

const WRITERS: usize = 4;
const STEP: Duration = Duration::from_millis(5);
const MOST: usize = 512;

/// What happened in one step of a writer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The server was asked, for so many writes, and answered or not.
    Asked(usize, bool),
    /// Refused at once, for so long.
    Refused(Duration),
}

/// All writers have a batch in every step; the server answers unless it is away.
fn course(steps: u32, is_away: impl Fn(Duration) -> bool) -> Vec<(Duration, Step)> {
    let start = Instant::now();
    let gate = gate(start);
    let mut course = Vec::new();
    for step in 0..steps {
        let passed = STEP * step;
        let now = start + passed;
        for _ in 0..WRITERS {
            let size = share_of(MOST, gate.share(now));
            course.push((
                passed,
                match gate.enter(now) {
                    Ok(pass) => {
                        let answers = !is_away(passed);
                        gate.leave(pass, now, Some(answers), None);
                        Step::Asked(size, answers)
                    }
                    Err(wait) => Step::Refused(wait),
                },
            ));
        }
    }
    course
}

#[test]
fn a_server_that_is_away_is_hardly_asked_and_used_soon_after_it_is_back() {
    let (gone, back) = (Duration::from_secs(1), Duration::from_secs(11));
    let course = course(4_000, |passed| passed >= gone && passed < back);
    let in_vain = |step: &Step| matches!(step, Step::Asked(_, false));
    let failures = course.iter().filter(|(_, step)| in_vain(step)).count();
    // Three find out; then a quarter of a second, half of one, and one after the other.
    assert!((9..=17).contains(&failures), "{failures}");
    for (at, step) in &course {
        if let Step::Refused(wait) = step {
            assert!(
                !wait.is_zero() && *wait <= Duration::from_millis(1_250),
                "{wait:?}"
            );
            assert!(*at >= gone, "nobody is refused before");
        }
    }
    let good = |step: &Step| matches!(step, Step::Asked(_, true));
    let (first, _) = course
        .iter()
        .find(|(at, step)| *at >= back && good(step))
        .unwrap();
    assert!(*first - back <= Duration::from_millis(1_255), "{first:?}");
    // From the probe on everybody is served, with less at first.
    let mut sizes: Vec<usize> = Vec::new();
    for (at, step) in course.iter().filter(|(at, _)| at >= first) {
        let Step::Asked(size, true) = step else {
            panic!("at {at:?}: {step:?}");
        };
        if sizes.last() != Some(size) {
            sizes.push(*size);
        }
    }
    assert_eq!(sizes, [51, 256, 512]);
    let (whole, _) = course
        .iter()
        .find(|(at, step)| at > first && matches!(step, Step::Asked(MOST, _)))
        .unwrap();
    assert!(
        *whole - back <= Duration::from_millis(2_600),
        "within five seconds: {whole:?}"
    );
}

#[test]
fn a_writer_that_alone_gets_no_connection_does_not_stop_the_others() {
    let start = Instant::now();
    let gate = gate(start);
    for step in 0..1_000 {
        let now = start + STEP * step;
        for writer in 0..WRITERS {
            let pass = gate.enter(now).expect("the others are served");
            gate.leave(pass, now, Some(writer != 0), None);
        }
    }
    assert_eq!(gate.state(), BreakerState::Closed);
}

#[test]
fn a_share_of_a_batch_is_never_nothing_and_never_more_than_it() {
    for (writes, percent, share) in [
        (512, 10, 51),
        (512, 50, 256),
        (512, 100, 512),
        (1, 10, 1),
        (0, 100, 1),
        (9, 0, 1),
        (10, 1_000, 10),
        (usize::MAX, 10, usize::MAX),
    ] {
        assert_eq!(share_of(writes, percent), share, "{percent} % of {writes}");
    }
}

proptest! {
    #[test]
    fn whatever_the_server_does_probes_are_few_and_it_is_used_again(
        spells in proptest::collection::vec((1u64..3_000, any::<bool>()), 1..12)
    ) {
        let ends: Vec<(Duration, bool)> = spells
            .iter()
            .scan(Duration::ZERO, |end, (length, away)| {
                *end += Duration::from_millis(*length);
                Some((*end, *away))
            })
            .collect();
        let over = ends.last().map_or(Duration::ZERO, |(end, _)| *end);
        let is_away = |passed| ends.iter().find(|(end, _)| passed < *end).is_some_and(|(_, away)| *away);
        let steps = u32::try_from((over + Duration::from_secs(5)).as_millis() / STEP.as_millis()).unwrap();
        let course = course(steps, is_away);
        let mut failed_at: Vec<Duration> = Vec::new();
        for (at, step) in &course {
            match step {
                Step::Asked(size, answers) => {
                    prop_assert!((51..=MOST).contains(size));
                    if !answers {
                        failed_at.push(*at);
                    }
                }
                Step::Refused(wait) => prop_assert!(!wait.is_zero() && *wait <= Duration::from_millis(1_250)),
            }
        }
        // At most three to find out and one in each pause, of three quarters of the shortest at least.
        for pair in failed_at.windows(4) {
            prop_assert!(pair[3] - pair[0] >= Duration::from_millis(187), "{pair:?}");
        }
        let (_, last) = course.last().unwrap();
        prop_assert_eq!(*last, Step::Asked(MOST, true), "within five seconds");
    }
}
