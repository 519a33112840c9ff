//! Whether one receiver got what one sender sent: each counter once, and in order.
//!
//! It never stores what arrived, only where it stands and which counters are missing.

use std::{collections::VecDeque, ops::Range};

/// Gaps that one receiver remembers; what is missing beyond them counts as lost for good.
const GAPS_MAX: usize = 1024;

/// What a counter is to the receiver that got it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// For the first time, and none behind it had come before.
    InOrder,
    /// For the first time, but behind one that was sent later.
    Late,
    /// Not for the first time.
    Duplicate,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// One more than the largest counter that arrived.
    next: u64,
    /// What below that has not arrived, ascending.
    gaps: VecDeque<Range<u64>>,
    /// Counters that arrived at least once.
    arrived: u64,
}

impl Checker {
    /// Takes the counter of a message that arrived whole.
    pub(crate) fn take(&mut self, counter: u64) -> Verdict {
        if counter >= self.next {
            if counter > self.next && self.gaps.len() < GAPS_MAX {
                self.gaps.push_back(self.next..counter);
            }
            self.next = counter + 1;
            self.arrived += 1;
            return Verdict::InOrder;
        }
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(&counter)) else {
            return Verdict::Duplicate;
        };
        if let Some(gap) = self.gaps.remove(at) {
            // In ascending order again: what is left of the gap goes back to where it was.
            for rest in [counter + 1..gap.end, gap.start..counter] {
                if !rest.is_empty() {
                    self.gaps.insert(at, rest);
                }
            }
        }
        self.arrived += 1;
        Verdict::Late
    }

    /// How many counters below the largest that arrived have not.
    pub(crate) const fn missing(&self) -> u64 {
        self.next - self.arrived
    }
}

/// What must be zero, and how much was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Findings {
    /// Arrived whole and for the first time.
    pub(crate) delivered: u64,
    pub(crate) duplicated: u64,
    pub(crate) misordered: u64,
    pub(crate) corrupted: u64,
}

impl Findings {
    /// Counts a verdict; true if the message is one more that was delivered.
    pub(crate) const fn count(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::InOrder => self.delivered += 1,
            Verdict::Late => {
                self.delivered += 1;
                self.misordered += 1;
            }
            Verdict::Duplicate => {
                self.duplicated += 1;
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn findings(counters: &[u64]) -> (Checker, Findings) {
        let (mut checker, mut findings) = (Checker::default(), Findings::default());
        for counter in counters {
            findings.count(checker.take(*counter));
        }
        (checker, findings)
    }

    #[test]
    fn what_comes_once_and_in_order_is_clean() {
        let (checker, found) = findings(&[0, 1, 2]);
        assert_eq!(
            found,
            Findings {
                delivered: 3,
                ..Findings::default()
            }
        );
        assert_eq!(checker.missing(), 0);
    }

    #[test]
    fn each_violation_is_counted_as_what_it_is() {
        let (lost, found) = findings(&[0, 2]);
        assert_eq!((lost.missing(), found.misordered, found.duplicated), (1, 0, 0));
        let (late, found) = findings(&[0, 2, 1]);
        assert_eq!((late.missing(), found.misordered, found.delivered), (0, 1, 3));
        let (twice, found) = findings(&[0, 1, 1, 0]);
        assert_eq!((twice.missing(), found.duplicated, found.delivered), (0, 2, 2));
        let (late_twice, found) = findings(&[1, 0, 0]);
        assert_eq!(
            (late_twice.missing(), found.misordered, found.duplicated),
            (0, 1, 1)
        );
    }

    proptest! {
        #[test]
        fn any_arrivals_are_judged_as_a_set_would(counters in prop::collection::vec(0_u64..40, 0..80)) {
            let (checker, found) = findings(&counters);
            let mut seen = std::collections::BTreeSet::new();
            let (mut late, mut twice) = (0, 0);
            for counter in &counters {
                let newest = seen.last().copied();
                if !seen.insert(*counter) {
                    twice += 1;
                } else if newest.is_some_and(|newest| newest > *counter) {
                    late += 1;
                }
            }
            prop_assert_eq!(found.delivered, seen.len() as u64);
            prop_assert_eq!((found.misordered, found.duplicated), (late, twice));
            let next = seen.last().map_or(0, |newest| newest + 1);
            prop_assert_eq!(checker.missing(), next - seen.len() as u64);
        }
    }
}
