//! What a user may see of a conversation: their stays in it, each looked up when it is needed. Somebody may have come
//! and gone any number of times, so nothing here reads all of them.

use super::{
    failure::Failure,
    moment::Moment,
    row::{self, first, sql},
};
use crate::{
    page::{Stay, Stretch, Walk},
    read::Direction,
    types::{ConversationId, Seq, UserId},
};

/// The newest stay. `None` for someone who never was a member.
pub(super) fn newest(
    moment: &Moment<'_>,
    conversation: ConversationId,
    viewer: UserId,
) -> Result<Option<Stay>, Failure> {
    let mut statement = moment.connection.prepare_cached(
        "SELECT m.joined_seq, coalesce(m.left_seq, c.head_seq), m.left_seq IS NULL
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.conversation = ?1 AND m.user = ?2 ORDER BY m.joined_seq DESC LIMIT 1",
    )?;
    let found = first(statement.query([sql(conversation.0), sql(viewer.0)])?, |row| {
        Ok(Stay {
            seen: Stretch {
                first: row::number(row, 0)?,
                last: row::number(row, 1)?,
            },
            open: row::flag(row, 2)?,
        })
    })?;
    let Some(mut stay) = found else { return Ok(None) };
    if stay.open
        && let Some(newest) = moment.recent.newest(conversation)?
    {
        stay.seen.last = newest.seq.0;
    }
    Ok(Some(stay))
}

/// A viewer's stays in one conversation.
pub(super) struct Stays<'a> {
    moment: &'a Moment<'a>,
    conversation: ConversationId,
    viewer: UserId,
    newest: Stay,
    /// The stretch that was looked up last, and whether the viewer sees it.
    known: Option<(Stretch, bool)>,
}

impl<'a> Stays<'a> {
    pub(super) const fn new(
        moment: &'a Moment<'a>,
        conversation: ConversationId,
        viewer: UserId,
        newest: Stay,
    ) -> Self {
        Self {
            moment,
            conversation,
            viewer,
            newest,
            known: None,
        }
    }

    /// Walks through the stays from the one that a seq falls into, or that is next to it in the direction.
    pub(super) fn walk(&self, from: u64, direction: Direction, walk: &mut Walk) -> Result<(), Failure> {
        if self.newest.seen.first <= from {
            let more = walk.pass(self.newest);
            if !more || direction == Direction::Forward {
                return Ok(());
            }
        }
        let mut statement = self.moment.connection.prepare_cached(match direction {
            Direction::Forward => {
                "SELECT joined_seq, left_seq FROM members
                 WHERE conversation = ?1 AND user = ?2 AND joined_seq < ?4 AND joined_seq >= coalesce(
                    (SELECT joined_seq FROM members WHERE conversation = ?1 AND user = ?2 AND joined_seq <= ?3
                     ORDER BY joined_seq DESC LIMIT 1), 0)
                 ORDER BY joined_seq"
            }
            Direction::Backward => {
                "SELECT joined_seq, left_seq FROM members
                 WHERE conversation = ?1 AND user = ?2 AND joined_seq < ?4 AND joined_seq <= ?3
                 ORDER BY joined_seq DESC"
            }
        })?;
        let mut rows = statement.query([
            sql(self.conversation.0),
            sql(self.viewer.0),
            row::bound(from),
            row::bound(self.newest.seen.first),
        ])?;
        while let Some(row) = rows.next()? {
            let seen = Stretch {
                first: row::number(row, 0)?,
                last: row::number(row, 1)?,
            };
            if !walk.pass(Stay { seen, open: false }) {
                return Ok(());
            }
        }
        if direction == Direction::Forward {
            walk.pass(self.newest);
        }
        Ok(())
    }

    /// The viewer sees this seq. Quick for seqs that follow each other, in whichever order.
    pub(super) fn see(&mut self, seq: Seq) -> Result<bool, Failure> {
        if seq.0 >= self.newest.seen.first {
            return Ok(self.newest.seen.has(seq.0));
        }
        if let Some((stretch, seen)) = self.known
            && stretch.has(seq.0)
        {
            return Ok(seen);
        }
        let (stretch, seen) = self.around(seq)?;
        self.known = Some((stretch, seen));
        Ok(seen)
    }

    /// A stretch around a seq below the newest stay that is seen as a whole, or not at all.
    fn around(&self, seq: Seq) -> Result<(Stretch, bool), Failure> {
        let mut statement = self.moment.connection.prepare_cached(
            "SELECT joined_seq, left_seq FROM members WHERE conversation = ?1 AND user = ?2 AND joined_seq <= ?3
             ORDER BY joined_seq DESC LIMIT 1",
        )?;
        let key = [sql(self.conversation.0), sql(self.viewer.0), row::bound(seq.0)];
        let before = first(statement.query(key)?, |row| {
            Ok(Stretch {
                first: row::number(row, 0)?,
                last: row::number(row, 1)?,
            })
        })?;
        Ok(match before {
            Some(stay) if stay.has(seq.0) => (stay, true),
            before => {
                let first = before.map_or(0, |stay| stay.last + 1);
                (Stretch { first, last: seq.0 }, false)
            }
        })
    }
}
