//! Snapshots in PostgreSQL's form, and the end of a page of changes. It must never let a page claim a commit that it
//! does not list whole.

use std::collections::BTreeMap;

use postgres::Row;

use super::{failure::Failure, row, session::Session};
use crate::{snapshot::Snapshot, types::Position};

/// The positions outside a snapshot, for comparisons in SQL: at or above `below`, and at or above `end` or of a commit
/// in `open`.
pub(super) struct Beyond {
    pub(super) below: i64,
    pub(super) end: i64,
    /// Numbers of transactions.
    pub(super) open: Vec<i64>,
}

impl Beyond {
    pub(super) fn new(since: &Snapshot) -> Self {
        // The ends are those of the covered commits.
        let after = |position: Position| row::bound(position.0.saturating_add(1));
        let open: Vec<i64> = since
            .open()
            .map(|position| row::bound(position.0 >> Snapshot::COMMIT_BITS))
            .collect();
        Self {
            // 0 covers nothing, and so does a snapshot of nothing.
            below: if since.covers(since.floor()) {
                after(since.floor())
            } else {
                0
            },
            end: if since.ceiling() == Position(0) && !since.covers(Position(0)) {
                0
            } else {
                after(since.ceiling())
            },
            open,
        }
    }
}

/// The number of columns of the schema's `present_in`.
pub(super) const PRESENT_COLUMNS: usize = 3;

/// The snapshot of a statement that began with the columns of `present_in`, cut at the horizon, because only that part
/// may be claimed. The newest visible row was flushed, and so was everything before it; after a crash, numbers above
/// may be assigned again.
pub(super) fn now(session: &Session, rows: &[Row]) -> Result<Snapshot, Failure> {
    let row = rows
        .first()
        .ok_or_else(|| Failure::damaged("an answer without its snapshot"))?;
    let text: &str = row::get(row, 0)?;
    let snapshot = parse(text, row::number(row, 1)?)
        .ok_or_else(|| Failure::damaged("a snapshot that cannot be read"))?
        .up_to(Snapshot::last_of_commit(row::position(row, 2)?));
    session.saw(snapshot.ceiling())?;
    Ok(snapshot)
}

/// Reads `xmin:xmax:xip,xip…`, the numbers of transactions, to which the store adds its offset.
fn parse(text: &str, past_offset: u64) -> Option<Snapshot> {
    let first = |number: &str| -> Option<Position> {
        let number = number.parse::<u64>().ok()?.checked_add(past_offset)?;
        Some(Position(number.checked_mul(1 << Snapshot::COMMIT_BITS)?))
    };
    let mut parts = text.split(':');
    let (below, end, open) = (parts.next()?, parts.next()?, parts.next()?);
    let open: Option<Vec<Position>> = open.split(',').filter(|one| !one.is_empty()).map(first).collect();
    Some(Snapshot::new(first(below)?, first(end)?, &open?))
}

/// A page that is being filled.
pub(super) struct Cut<'a> {
    pub(super) since: &'a Snapshot,
    /// The snapshot in which the entries were read.
    pub(super) now: Snapshot,
    /// The limit of entries, which one commit alone may exceed.
    pub(super) limit: usize,
    /// Whether there are more entries than were read.
    pub(super) beyond: bool,
}

impl Cut<'_> {
    /// Returns the first entries, commit by commit, with the page's set and whether there is more: that lies beyond the
    /// set, so paging advances.
    ///
    /// # Errors
    /// An entry belongs to a commit that the snapshot does not have: its position is not this store's, and the reader
    /// would get it again for ever.
    pub(super) fn take<T>(
        self,
        by_position: BTreeMap<Position, Vec<T>>,
        mut take: impl FnMut(T),
    ) -> Result<(Snapshot, bool), Failure> {
        let mut by_commit: BTreeMap<Position, Vec<T>> = BTreeMap::new();
        for (position, entries) in by_position {
            let commit = Snapshot::last_of_commit(position);
            if !self.now.covers(commit) {
                return Err(Failure::damaged(format!(
                    "something stands at position {}, where the server has not been yet",
                    position.0
                )));
            }
            let commit = by_commit.entry(commit).or_default();
            commit.extend(entries);
        }
        let (mut taken, mut last) = (0, None);
        let mut more = self.beyond;
        for (commit, entries) in by_commit {
            if last.is_some() && taken + entries.len() > self.limit {
                more = true;
                break;
            }
            taken += entries.len();
            last = Some(commit);
            entries.into_iter().for_each(&mut take);
        }
        Ok(match last {
            Some(last) if more => (self.since.union(&self.now.up_to(last)), true),
            _ => (self.now, false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn position(transaction: u64, place: u64) -> Position {
        Position(transaction << Snapshot::COMMIT_BITS | place)
    }

    #[test]
    fn postgresql_s_notation_is_read() {
        let snapshot = parse("10:20:10,14,15", 0).unwrap();
        assert!(snapshot.covers(position(9, 5)) && snapshot.covers(position(13, 0)));
        for open in [10, 14, 15, 20, 21] {
            assert!(!snapshot.covers(position(open, 0)) && !snapshot.covers(position(open, 7)));
        }
        assert!(parse("10:10:", 0).unwrap().covers(position(9, 1 << 19)));
        for wrong in ["", "1", "1:2", "a:2:", "1:2:x", "99999999999999999999:2:"] {
            assert!(parse(wrong, 0).is_none(), "{wrong}");
        }
        let moved = parse("10:20:10,14", 100).unwrap();
        assert!(moved.covers(position(109, 0)) && moved.covers(position(113, 0)));
        assert!(!moved.covers(position(110, 0)) && !moved.covers(position(114, 0)));
        assert!(!moved.covers(position(120, 0)));
    }

    #[test]
    fn what_is_beyond_is_what_is_not_covered() {
        let snapshots = [
            Snapshot::default(),
            Snapshot::at(Position(0)),
            Snapshot::at(position(3, 5)),
            Snapshot::at(Position(u64::MAX)),
            parse("2:6:2,4", 0).unwrap(),
            parse("3:3:", 0).unwrap(),
        ];
        for snapshot in &snapshots {
            let beyond = Beyond::new(snapshot);
            for transaction in 0..8 {
                for place in [0, 5, 6, 9] {
                    let position = position(transaction, place);
                    let number = position.0 as i64;
                    let found = number >= beyond.below
                        && (number >= beyond.end || beyond.open.contains(&(transaction as i64)));
                    assert_eq!(found, !snapshot.covers(position), "{snapshot:?} {position:?}");
                }
            }
        }
    }

    fn now() -> Snapshot {
        parse("6:9:6,8", 0).unwrap()
    }

    #[test]
    fn what_the_snapshot_does_not_have_is_no_page() {
        for (commit, is_sound) in [(5, true), (6, false), (7, true), (8, false), (9, false)] {
            let cut = Cut {
                since: &Snapshot::default(),
                now: now(),
                limit: 9,
                beyond: false,
            };
            let entries = BTreeMap::from([(position(commit, 3), vec![()])]);
            assert_eq!(cut.take(entries, |()| ()).is_ok(), is_sound, "{commit}");
        }
    }

    fn page(since: &Snapshot, limit: usize) -> (Vec<u64>, Snapshot, bool) {
        let entries = [(3, 0), (3, 1), (3, 2), (5, 0), (7, 0), (7, 1)];
        let left = entries
            .into_iter()
            .map(|(commit, place)| position(commit, place))
            .filter(|position| !since.covers(*position))
            .map(|position| (position, vec![position.0]))
            .collect();
        let mut taken = Vec::new();
        let cut = Cut {
            since,
            now: now(),
            limit,
            beyond: false,
        };
        let (up_to, more) = cut.take(left, |position| taken.push(position)).unwrap();
        (taken, up_to, more)
    }

    #[test]
    fn pages_split_no_commit_and_lose_none() {
        for limit in 1..8 {
            let (mut since, mut all) = (Snapshot::default(), Vec::new());
            loop {
                let (taken, up_to, more) = page(&since, limit);
                assert!(taken.len() <= limit.max(3), "{limit}: {taken:?}");
                assert!(taken.iter().all(|position| up_to.covers(Position(*position))));
                all.extend(taken);
                since = up_to;
                if !more {
                    break;
                }
            }
            assert_eq!(all.len(), 6);
            assert!(all.is_sorted());
            assert_eq!(since, now());
        }
    }
}
