//! The commits that a reader has seen: the exact answer to "what is new since", without a clock. It owns the arithmetic
//! on sets of commits. It must never claim a commit that was not seen.

use std::{fmt, sync::Arc};

use crate::types::Position;

/// A set of commits, as positions: everything below one position, and between that and a second one everything except
/// the commits that were still open.
///
/// With one writer, the set is a prefix ([`Snapshot::at`]). With several, positions are assigned before the commit (see
/// [`Position`]), so a smaller one may appear after a larger one; then the set is what PostgreSQL calls a snapshot,
/// with the transactions that were in progress. The union of two snapshots of one store is one of them only if that one
/// was taken later.
///
/// Source: the documentation of PostgreSQL, section "System Information Functions", type `pg_snapshot`.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Everything below is in the set.
    below: u64,
    /// Nothing from here on is in the set. Never less than `below`.
    end: u64,
    /// Commits between the two that are not in the set: ascending, by their first positions. `None` for none.
    open: Option<Arc<[u64]>>,
}

impl Snapshot {
    /// The lowest bits of a position count within one commit, with several writers.
    pub const COMMIT_BITS: u32 = 20;

    /// The prefix that ends with `position`.
    pub const fn at(position: Position) -> Self {
        let end = position.0.saturating_add(1);
        Self {
            below: end,
            end,
            open: None,
        }
    }

    /// Everything below `below`, and from there to `end` all but the commits that begin at the positions in `open`.
    /// Contradictory arguments make the set smaller.
    pub fn new(below: Position, end: Position, open: &[Position]) -> Self {
        let mut open: Vec<u64> = open
            .iter()
            .map(|position| commit(position.0))
            .filter(|first| first.saturating_add(COMMIT_SIZE) > below.0 && *first < end.0)
            .collect();
        open.sort_unstable();
        open.dedup();
        // Nothing below the first open commit is missing.
        let below = match open.first() {
            Some(first) => below.0.min(*first),
            None => end.0.max(below.0),
        };
        Self {
            below,
            end: end.0.max(below),
            open: (!open.is_empty()).then(|| open.into()),
        }
    }

    /// Whether the commit at `position` is in the set.
    pub fn covers(&self, position: Position) -> bool {
        position.0 < self.below
            || position.0 < self.end
                && self
                    .open
                    .as_ref()
                    .is_none_or(|open| open.binary_search(&commit(position.0)).is_err())
    }

    /// Everything up to and including this position is in the set.
    pub const fn floor(&self) -> Position {
        Position(self.below.saturating_sub(1))
    }

    /// Nothing above this position is in the set.
    pub const fn ceiling(&self) -> Position {
        Position(self.end.saturating_sub(1))
    }

    /// The first positions of the commits above [`Snapshot::floor`] that are not in the set.
    pub fn open(&self) -> impl Iterator<Item = Position> {
        self.open
            .iter()
            .flat_map(|open| open.iter().copied().map(Position))
    }

    /// The last position that can belong to the same commit as `position`, with several writers.
    pub const fn last_of_commit(position: Position) -> Position {
        Position(commit(position.0).saturating_add(COMMIT_SIZE - 1))
    }

    /// The union. A commit of which both sets have only a part is left out.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let missing = |first: &u64| {
            let last = Position(first.saturating_add(COMMIT_SIZE - 1));
            !self.covers(last) && !other.covers(last)
        };
        let mut open: Vec<Position> = self
            .open
            .iter()
            .chain(&other.open)
            .flat_map(|open| open.iter().copied())
            .filter(missing)
            .map(Position)
            .collect();
        open.sort_unstable();
        Self::new(
            Position(self.below.max(other.below)),
            Position(self.end.max(other.end)),
            &open,
        )
    }

    /// Adds the whole commit that `position` belongs to, with several writers; for a node that knows of its own commit
    /// before it has a snapshot with it. `None` if the set would have more than `most` holes.
    #[must_use]
    pub fn with_commit(&self, position: Position, most: usize) -> Option<Self> {
        let first = commit(position.0);
        let mut open: Vec<Position> = self.open().filter(|open| open.0 != first).collect();
        let mut end = self.end;
        if end <= first {
            // The positions in between may still be committed.
            let unknown = (first - commit(end)) >> Self::COMMIT_BITS;
            if (open.len() as u64).saturating_add(unknown) > most as u64 {
                return None;
            }
            let between = (commit(end)..first).step_by(1 << Self::COMMIT_BITS).map(Position);
            open.extend(between.filter(|commit| !self.covers(Self::last_of_commit(*commit))));
            end = first;
        }
        let end = end.max(first.saturating_add(COMMIT_SIZE));
        Some(Self::new(Position(self.below), Position(end), &open))
    }

    /// The part up to and including `last`. With several writers, `last` should be a commit's last position
    /// ([`Snapshot::last_of_commit`]): a commit that is cut in two is missing from unions.
    #[must_use]
    pub fn up_to(&self, last: Position) -> Self {
        let end = last.0.saturating_add(1);
        let open: Vec<Position> = self.open().collect();
        Self::new(Position(self.below.min(end)), Position(self.end.min(end)), &open)
    }

    /// The same set or, if more than `most` commits are open, the part below the first of them: it claims less, never
    /// more.
    #[must_use]
    pub fn within(&self, most: usize) -> Self {
        if self.open.as_ref().is_none_or(|open| open.len() <= most) {
            return self.clone();
        }
        Self {
            below: self.below,
            end: self.below,
            open: None,
        }
    }
}

const COMMIT_SIZE: u64 = 1 << Snapshot::COMMIT_BITS;

/// The first position of a position's commit.
const fn commit(position: u64) -> u64 {
    position & !(COMMIT_SIZE - 1)
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Snapshot(..{}, ..{}", self.below, self.end)?;
        for open in self.open() {
            write!(formatter, ", not {}", open.0)?;
        }
        formatter.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const COMMITS: u64 = 8;

    fn position(commit: u64, index: u64) -> Position {
        Position(commit << Snapshot::COMMIT_BITS | index)
    }

    /// A snapshot, and the commits that it was made of.
    fn snapshots() -> impl Strategy<Value = (Snapshot, BTreeSet<u64>)> {
        (
            0..=COMMITS,
            0..=COMMITS,
            prop::collection::btree_set(0..COMMITS, 0..4),
        )
            .prop_map(|(a, b, open)| {
                let (below, end) = (a.min(b), a.max(b));
                let positions: Vec<Position> = open.iter().map(|commit| position(*commit, 0)).collect();
                let snapshot = Snapshot::new(position(below, 0), position(end, 0), &positions);
                let has = |commit: &u64| *commit < below || *commit < end && !open.contains(commit);
                (snapshot, (0..COMMITS).filter(has).collect())
            })
    }

    fn commits(snapshot: &Snapshot) -> BTreeSet<u64> {
        let whole = |commit: &u64| {
            let ends = [0, 7, COMMIT_SIZE - 1].map(|index| snapshot.covers(position(*commit, index)));
            assert!(
                ends[0] == ends[1] && ends[1] == ends[2],
                "{snapshot:?} splits {commit}"
            );
            ends[0]
        };
        (0..COMMITS).filter(whole).collect()
    }

    proptest! {
        #[test]
        fn it_has_what_it_was_made_of((snapshot, has) in snapshots()) {
            prop_assert_eq!(commits(&snapshot), has);
            prop_assert!(snapshot.covers(snapshot.floor()) || snapshot.floor() == Position(0));
            prop_assert!(!snapshot.covers(Position(snapshot.ceiling().0 + 1)));
        }

        #[test]
        fn a_union_has_what_either_has((left, in_left) in snapshots(), (right, in_right) in snapshots()) {
            let both: BTreeSet<u64> = in_left.union(&in_right).copied().collect();
            prop_assert_eq!(commits(&left.union(&right)), both);
        }

        #[test]
        fn a_commit_is_added_alone((snapshot, has) in snapshots(), added in 0..COMMITS, most in 0..10_usize) {
            let Some(more) = snapshot.with_commit(position(added, 3), most) else {
                prop_assert!(most < COMMITS as usize);
                return Ok(());
            };
            let mut expected = has;
            expected.insert(added);
            prop_assert_eq!(commits(&more), expected);
        }

        #[test]
        fn a_cut_has_what_is_not_above((snapshot, has) in snapshots(), last in 0..COMMITS) {
            let cut = snapshot.up_to(Snapshot::last_of_commit(position(last, 3)));
            let kept: BTreeSet<u64> = has.into_iter().filter(|commit| *commit <= last).collect();
            prop_assert_eq!(commits(&cut), kept);
        }

        #[test]
        fn what_is_shortened_claims_no_more((snapshot, has) in snapshots(), most in 0..3_usize) {
            let short = snapshot.within(most);
            prop_assert!(commits(&short).is_subset(&has));
            prop_assert!(short.open().count() <= most);
        }
    }

    #[test]
    fn a_prefix_ends_with_its_position() {
        let snapshot = Snapshot::at(Position(5));
        assert!(snapshot.covers(Position(5)) && !snapshot.covers(Position(6)));
        assert_eq!((snapshot.floor(), snapshot.ceiling()), (Position(5), Position(5)));
        assert_eq!(snapshot.union(&Snapshot::at(Position(3))), snapshot);
        assert_eq!(Snapshot::at(Position(9)).up_to(Position(5)), snapshot);
        assert!(Snapshot::at(Position(u64::MAX)).covers(Position(u64::MAX - 1)));
    }

    #[test]
    fn a_half_of_a_commit_is_not_taken_for_the_whole() {
        let half = Snapshot::at(position(3, 5));
        let open = Snapshot::new(position(3, 0), position(5, 0), &[position(3, 0)]);
        assert!(!half.union(&open).covers(position(3, 9)));
    }

    #[test]
    fn nothing_is_in_the_default() {
        assert!(!Snapshot::default().covers(Position(0)));
        assert!(Snapshot::at(Position(0)).covers(Position(0)));
    }
}
