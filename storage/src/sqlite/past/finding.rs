//! The finding of a start about the past: whether all acknowledged commits are there, in the same file. It decides, and
//! must never change a store.

use rusqlite::Connection;

use super::super::{
    failure::Failure,
    files::FileIdentity,
    row::{self, event_columns, sql},
    standing::Standing,
    sum,
    witness::Said,
};

/// The reason for which a start begins a new past, if it does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Finding {
    /// Everything is there; the log tells what the witness could not.
    Sound(Option<&'static str>),
    /// Acknowledged commits are missing: how many, and how many positions.
    Lost { commits: u64, positions: u64 },
    /// The commits are not the acknowledged ones.
    Replaced,
    /// Another file, with the same content.
    Copied,
}

/// Compares a store with the notes outside of it. `chain_since` returns the present chain, computed from the witness's
/// by the events behind it.
pub(super) fn find(
    standing: &Standing,
    last: FileIdentity,
    file: FileIdentity,
    said: Said,
    chain_since: impl FnOnce(&Standing) -> Result<u64, Failure>,
) -> Result<Finding, Failure> {
    let mut silent = None;
    match said {
        Said::Nothing => silent = Some("there is no witness file, so a lost tail would not be noticed"),
        Said::Garbled => silent = Some("the witness file is garbled, so a lost tail would not be noticed"),
        Said::Seen(seen) if seen.log_id != standing.log_id => {
            silent = Some("the witness file is of another past, so a lost tail would not be noticed");
        }
        Said::Seen(seen) if seen.commits > standing.commits => {
            return Ok(Finding::Lost {
                commits: seen.commits - standing.commits,
                positions: seen.position.0.saturating_sub(standing.position.0),
            });
        }
        Said::Seen(seen) if seen.commits == standing.commits && seen != *standing => {
            return Ok(Finding::Replaced);
        }
        Said::Seen(seen) => {
            if seen.position > standing.position || chain_since(&seen)? != standing.chain {
                return Ok(Finding::Replaced);
            }
        }
    }
    if last != file {
        return Ok(Finding::Copied);
    }
    Ok(Finding::Sound(silent))
}

/// The chain of the log, computed from that of `seen` by the events behind it.
pub(super) fn chain_since(connection: &Connection, seen: &Standing) -> Result<u64, Failure> {
    let mut statement = connection.prepare(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position > ?1 ORDER BY e.position"
    ))?;
    let mut rows = statement.query([sql(seen.position.0)])?;
    let mut chain = seen.chain;
    while let Some(row) = rows.next()? {
        let entry = row::event(row)?;
        chain = sum::chained(chain, &entry.event, entry.fingerprint);
    }
    Ok(chain)
}

/// The reason that is written beside the new past.
pub(super) fn reason(finding: &Finding) -> Option<String> {
    match finding {
        Finding::Sound(_) => None,
        Finding::Lost { commits, positions } => Some(format!(
            "the store lost its tail: {commits} acknowledged commits with {positions} positions are missing"
        )),
        Finding::Replaced => Some(
            "the store has other commits than those that were acknowledged: it was replaced, or parts of it were lost"
                .to_owned(),
        ),
        Finding::Copied => Some("the file is a copy, or was moved to another disk".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{past::Generation, types::Position};

    const fn standing(commits: u64, position: u64) -> Standing {
        Standing {
            log_id: 1,
            generation: Generation(2),
            commits,
            position: Position(position),
            chain: position * 10,
        }
    }

    #[test]
    fn what_a_start_finds() {
        let now = standing(10, 20);
        let (file, other) = (
            FileIdentity {
                inode: 1,
                born: Some(5),
            },
            FileIdentity {
                inode: 1,
                born: Some(6),
            },
        );
        let foreign = Standing {
            log_id: 3,
            ..standing(99, 99)
        };
        let changed = Standing { chain: 1, ..now };
        let lost = Finding::Lost {
            commits: 1,
            positions: 5,
        };
        // The store's standing, its file before and now, the witness, the chain that later events give: the finding.
        let table = [
            (file, Said::Seen(now), 200, Finding::Sound(None)),
            (file, Said::Seen(standing(9, 20)), 200, Finding::Sound(None)),
            (file, Said::Seen(standing(9, 15)), 200, Finding::Sound(None)),
            (file, Said::Seen(standing(9, 15)), 201, Finding::Replaced),
            (file, Said::Seen(standing(9, 21)), 200, Finding::Replaced),
            (file, Said::Seen(changed), 200, Finding::Replaced),
            (file, Said::Seen(standing(11, 25)), 200, lost.clone()),
            (other, Said::Seen(standing(11, 25)), 200, lost),
            (other, Said::Seen(now), 200, Finding::Copied),
            (other, Said::Nothing, 0, Finding::Copied),
        ];
        for (file_now, said, chain, expected) in table {
            let found = find(&now, file, file_now, said, |_| Ok(chain)).unwrap();
            assert_eq!(found, expected, "{said:?}");
        }
        for said in [Said::Nothing, Said::Garbled, Said::Seen(foreign)] {
            let found = find(&now, file, file, said, |_| Ok(0)).unwrap();
            assert!(matches!(found, Finding::Sound(Some(_))), "{said:?}");
        }
    }
}
