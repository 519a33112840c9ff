//! The relation of a connection's server to this process: the same server, the same one started anew, or one with
//! another past. A decision over values; it must never ask the database.

use std::time::SystemTime;

use super::node::Lived;
use crate::{past::TokenKey, snapshot::Snapshot, sqlite::Identity, types::Position};

/// The place and time of a store; each part is `None` if the server does not tell it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Incarnation {
    /// Of the server's files; changes with `initdb`, so with every dump that is loaded elsewhere and with `pg_upgrade`.
    pub(super) system: Option<i64>,
    /// Changes with a dump that is loaded into the same server, and with a copy as a template.
    pub(super) database: Option<i64>,
    /// Changes with a promotion, and with a recovery to a point in time.
    pub(super) timeline: Option<String>,
    /// Changes with every start of the server, so with everything that happens while it is stopped.
    pub(super) started: Option<SystemTime>,
}

/// The row of the store, and the server that holds it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) key: TokenKey,
    pub(super) generation: i64,
    pub(super) past_offset: i64,
    /// According to the row.
    pub(super) confirmed: Incarnation,
    /// According to the server.
    pub(super) present: Incarnation,
    /// The transaction number that the row states as its own, and the lower half of the number that really wrote it.
    pub(super) written_by: i64,
    pub(super) xmin: i64,
    /// The newest position of a row.
    pub(super) horizon: Position,
    /// The number that the server's next transaction gets.
    pub(super) next: i64,
}

/// How much the store has of this process' memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// The end of the generation in which the process lived, or the horizon if it has not ended. `None`: the store does
    /// not have that generation.
    pub(super) end: Option<Position>,
    /// Every event that is remembered is there.
    pub(super) has_events: bool,
    /// Every writer's row is as it was left.
    pub(super) has_batches: bool,
    /// The store's past came before that of the process.
    pub(super) is_replaced: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing can have changed the store unnoticed.
    Same,
    /// No known commit was lost: a generation begins.
    Generation(&'static str),
    /// The past may be another one.
    Past(&'static str),
    /// Another process has made a new past, which is not that of this process.
    Over,
}

impl Found {
    /// Checks that the row was written by the transaction that it names.
    pub(super) fn is_original(&self) -> bool {
        self.written_by & 0xffff_ffff == self.xmin
    }

    /// Whether the server's next number makes a position above all existing ones.
    pub(super) fn counts_on(&self) -> bool {
        let next = self.next.saturating_add(self.past_offset);
        self.horizon.0 >> Snapshot::COMMIT_BITS < next.cast_unsigned()
    }

    /// The reason for which this is a copy of the store and not the store itself.
    pub(super) fn copied(&self) -> Option<&'static str> {
        let (was, is) = (&self.confirmed, &self.present);
        if differs(&was.system, &is.system) {
            return Some("a copy: the server's files are others");
        }
        if differs(&was.database, &is.database) {
            return Some("a copy: the database is another one of its server");
        }
        if !self.is_original() {
            return Some("a copy: the rows were written again");
        }
        None
    }

    /// Whether everything is equal that a copy, a promotion or a start of the server changes.
    pub(super) fn is_confirmed(&self) -> bool {
        self.copied().is_none()
            && !differs(&self.confirmed.timeline, &self.present.timeline)
            && !differs(&self.confirmed.started, &self.present.started)
    }
}

/// Both are known and differ.
fn differs<T: PartialEq>(was: &Option<T>, is: &Option<T>) -> bool {
    matches!((was, is), (Some(was), Some(is)) if was != is)
}

/// `lived`: the past of this process, and how much the store has of its memory. `lossless`: the operator vouches that
/// no acknowledged commit is lost when a standby is promoted.
pub(super) fn judge(found: &Found, lived: Option<(&Lived, Evidence, Position)>, lossless: bool) -> Verdict {
    if let Some((lived, evidence, _)) = lived
        && lived.identity != found.identity
    {
        if evidence.is_replaced {
            return Verdict::Past("a lost tail: the past that a node lived in had replaced this one");
        }
        return Verdict::Over;
    }
    if let Some(why) = found.copied() {
        return Verdict::Past(why);
    }
    let promoted = differs(&found.confirmed.timeline, &found.present.timeline);
    if promoted && !lossless {
        return Verdict::Past("another timeline: a standby was promoted, or a backup recovered");
    }
    if let Some((_, evidence, told)) = lived {
        let Some(end) = evidence.end else {
            return Verdict::Past("a lost tail: the generation that a node lived in is not there");
        };
        if told > Position(0) && told > Snapshot::last_of_commit(end) {
            return Verdict::Past("a lost tail: a node has told of commits that are not there");
        }
        if !evidence.has_events {
            return Verdict::Past("a lost tail: a node has seen events that are not there");
        }
        if !evidence.has_batches {
            return Verdict::Past("a lost tail: a writer was answered a batch that is not there");
        }
    }
    if !found.counts_on() {
        return Verdict::Past("a copy: the server counts its transactions below the store's positions");
    }
    if promoted {
        Verdict::Generation("another timeline, declared to have lost nothing")
    } else if differs(&found.confirmed.started, &found.present.started) {
        Verdict::Generation("a start of the server")
    } else {
        Verdict::Same
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn at(commit: u64) -> Position {
        Position(commit << Snapshot::COMMIT_BITS)
    }

    fn lived() -> Lived {
        Lived {
            identity: Identity { epoch: 1, log_id: 2 },
            key: TokenKey([0; 32]),
        }
    }

    fn found() -> Found {
        let incarnation = Incarnation {
            system: Some(5),
            database: Some(6),
            timeline: Some("00000001".to_owned()),
            started: Some(SystemTime::UNIX_EPOCH),
        };
        Found {
            identity: lived().identity,
            key: lived().key,
            generation: 3,
            past_offset: 0,
            confirmed: incarnation.clone(),
            present: incarnation,
            written_by: (7 << 32) + 9,
            xmin: 9,
            horizon: at((7 << 32) + 20),
            next: (7 << 32) + 21,
        }
    }

    fn evidence(found: &Found) -> Evidence {
        Evidence {
            end: Some(found.horizon),
            has_events: true,
            has_batches: true,
            is_replaced: false,
        }
    }

    fn is_past(verdict: &Verdict, word: &str) -> bool {
        matches!(verdict, Verdict::Past(why) if why.contains(word))
    }

    #[test]
    fn each_part_of_the_incarnation_says_what_happened() {
        let fresh = |change: fn(&mut Found)| {
            let mut found = found();
            change(&mut found);
            judge(&found, None, false)
        };
        assert_eq!(fresh(|_| ()), Verdict::Same);
        assert!(is_past(&fresh(|found| found.present.system = Some(50)), "files"));
        assert!(is_past(
            &fresh(|found| found.present.database = Some(50)),
            "another one"
        ));
        assert!(is_past(&fresh(|found| found.xmin = 50), "written again"));
        let timeline = |found: &mut Found| found.present.timeline = Some("00000002".to_owned());
        assert!(is_past(&fresh(timeline), "timeline"));
        let started = |found: &mut Found| {
            found.present.started = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        };
        assert_eq!(fresh(started), Verdict::Generation("a start of the server"));
        assert!(is_past(&fresh(|found| found.next -= 1), "counts"));
        // Parts that a server does not tell are ignored.
        assert_eq!(
            fresh(|found| found.present = Incarnation::default()),
            Verdict::Same
        );
        let mut found = found();
        timeline(&mut found);
        assert!(matches!(judge(&found, None, true), Verdict::Generation(_)));
        // Vouching for replication is not vouching for copies.
        found.xmin = 50;
        assert!(is_past(&judge(&found, None, true), "written again"));
    }

    #[test]
    fn what_is_remembered_and_missing_ends_the_past() {
        let (lived, found) = (lived(), found());
        let all = evidence(&found);
        let judged = |evidence, told| judge(&found, Some((&lived, evidence, told)), true);
        let told = Snapshot::last_of_commit(found.horizon);
        assert_eq!(judged(all, told), Verdict::Same);
        assert!(is_past(&judged(all, Position(told.0 + 1)), "told"));
        let without = Evidence { end: None, ..all };
        assert!(is_past(&judged(without, told), "generation"));
        // Other nodes have gone on since: only the end of this process's generation counts.
        let ended = Evidence {
            end: Some(at(8)),
            ..all
        };
        assert!(is_past(&judged(ended, at(9)), "told"));
        let without = Evidence {
            has_events: false,
            ..all
        };
        assert!(is_past(&judged(without, told), "events"));
        let without = Evidence {
            has_batches: false,
            ..all
        };
        assert!(is_past(&judged(without, told), "batch"));
        // A process that told nothing about an empty store can miss nothing.
        let nothing = Evidence {
            end: Some(Position(0)),
            ..all
        };
        assert_eq!(judged(nothing, Position(0)), Verdict::Same);
    }

    #[test]
    fn another_past_is_told_first() {
        let (lived, mut found) = (lived(), found());
        found.identity.log_id += 1;
        found.xmin += 1;
        let evidence = evidence(&found);
        assert_eq!(
            judge(&found, Some((&lived, evidence, Position(0))), false),
            Verdict::Over
        );
        // Restoring the replaced code restores the fault.
        let replaced = Evidence {
            is_replaced: true,
            ..evidence
        };
        let judged = judge(&found, Some((&lived, replaced, Position(0))), true);
        assert!(is_past(&judged, "had replaced"));
    }
}
