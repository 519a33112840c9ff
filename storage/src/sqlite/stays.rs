//! The part of a conversation that a user may see: their membership intervals in it, each looked up when it is needed.
//! A user may have come and gone any number of times, so nothing here reads all of them.

use super::{
    failure::Failure,
    read_view::ReadView,
    row::{self, sql},
    state::{self, stay_columns},
};
use crate::{
    page::{Stay, Stretch, Walk},
    read::Direction,
    types::{ConversationId, Seq, UserId},
};

/// The newest interval. `None` for a user who never was a member.
pub(super) fn newest(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    viewer: UserId,
) -> Result<Option<Newest>, Failure> {
    let Some(newest) = state::newest_stay(read_view.connection, conversation, viewer)? else {
        return Ok(None);
    };
    let last = match &newest.left {
        Some(left) => left.seq,
        None => match read_view.unindexed.newest(conversation)? {
            Some(newest) => newest.seq,
            None => {
                state::conversation_that_is(read_view.connection, conversation)?
                    .0
                    .seq
            }
        },
    };
    Ok(Some(Newest {
        stay: Stay {
            seen: Stretch {
                first: newest.joined.0,
                last: last.0,
            },
            open: newest.left.is_none(),
        },
        previous: newest.previous,
    }))
}

/// A newest interval, and the beginning of the one before it, 0 if there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) stay: Stay,
    previous: Seq,
}

/// An interval that is not the newest, so it has ended.
fn ended(stay: &state::Stay) -> Result<Stretch, Failure> {
    match &stay.left {
        Some(left) if !stay.is_newest => Ok(Stretch {
            first: stay.joined.0,
            last: left.seq.0,
        }),
        _ => Err(state::damaged_stays(stay.conversation, stay.user)),
    }
}

/// A viewer's membership intervals in one conversation.
pub(super) struct Stays<'a> {
    read_view: &'a ReadView<'a>,
    conversation: ConversationId,
    viewer: UserId,
    newest: Stay,
    /// The beginning of the interval before that.
    previous: Seq,
    /// The range that was looked up last, and whether the viewer sees it.
    known: Option<(Stretch, bool)>,
}

impl<'a> Stays<'a> {
    pub(super) const fn new(
        read_view: &'a ReadView<'a>,
        conversation: ConversationId,
        viewer: UserId,
        newest: Newest,
    ) -> Self {
        Self {
            read_view,
            conversation,
            viewer,
            newest: newest.stay,
            previous: newest.previous,
            known: None,
        }
    }

    /// Walks through the intervals from the one that contains a seq, or is next to it in the direction.
    pub(super) fn walk(&self, from: u64, direction: Direction, walk: &mut Walk) -> Result<(), Failure> {
        if self.newest.seen.first <= from {
            let more = walk.pass(self.newest);
            if !more || direction == Direction::Forward {
                return Ok(());
            }
        }
        let mut statement = self.read_view.connection.prepare_cached(match direction {
            Direction::Forward => concat!(
                "SELECT ",
                stay_columns!(),
                " FROM members m
                  WHERE m.conversation = ?1 AND m.user = ?2 AND m.joined_seq < ?4 AND m.joined_seq >= coalesce(
                    (SELECT joined_seq FROM members WHERE conversation = ?1 AND user = ?2 AND joined_seq <= ?3
                     ORDER BY joined_seq DESC LIMIT 1), 0)
                  ORDER BY m.joined_seq"
            ),
            Direction::Backward => concat!(
                "SELECT ",
                stay_columns!(),
                " FROM members m
                  WHERE m.conversation = ?1 AND m.user = ?2 AND m.joined_seq < ?4 AND m.joined_seq <= ?3
                  ORDER BY m.joined_seq DESC"
            ),
        })?;
        let mut rows = statement.query([
            sql(self.conversation.0),
            sql(self.viewer.0),
            row::bound(from),
            row::bound(self.newest.seen.first),
        ])?;
        // Each interval names the one before it, so none can be missing unnoticed.
        let mut last: Option<state::Stay> = None;
        while let Some(row) = rows.next()? {
            let stay = state::stay(row, 0)?;
            let is_next = match (direction, &last) {
                (Direction::Forward, None) => stay.joined.0 <= from || stay.previous == Seq(0),
                (Direction::Forward, Some(before)) => stay.previous == before.joined,
                (Direction::Backward, None) => self.is_last_before(&stay, from)?,
                (Direction::Backward, Some(after)) => after.previous == stay.joined,
            };
            if !is_next {
                return Err(state::damaged_stays(self.conversation, self.viewer));
            }
            let seen = ended(&stay)?;
            last = Some(stay);
            if !walk.pass(Stay { seen, open: false }) {
                return Ok(());
            }
        }
        let is_whole = match (direction, last) {
            (Direction::Forward, last) => self.previous == last.map_or(Seq(0), |last| last.joined),
            (Direction::Backward, Some(first)) => first.previous == Seq(0),
            (Direction::Backward, None) => self.is_first_after(from)?,
        };
        if !is_whole {
            return Err(state::damaged_stays(self.conversation, self.viewer));
        }
        if direction == Direction::Forward {
            walk.pass(self.newest);
        }
        Ok(())
    }

    /// Checks that the interval is the last one that began at or before a seq.
    fn is_last_before(&self, stay: &state::Stay, seq: u64) -> Result<bool, Failure> {
        if seq >= self.newest.seen.first {
            return Ok(self.previous == stay.joined);
        }
        let found = state::stay_at(
            self.read_view.connection,
            self.conversation,
            self.viewer,
            Seq(seq),
        )?;
        Ok(found.as_ref() == Some(stay))
    }

    /// Checks that no interval began at or before a seq.
    fn is_first_after(&self, seq: u64) -> Result<bool, Failure> {
        if seq >= self.newest.seen.first {
            return Ok(self.previous == Seq(0));
        }
        let found = state::stay_at(
            self.read_view.connection,
            self.conversation,
            self.viewer,
            Seq(seq),
        )?;
        Ok(found.is_none())
    }

    /// Whether the viewer sees this seq. Fast for neighbouring seqs, in any order.
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

    /// A range around a seq below the newest interval that is visible as a whole, or not at all.
    fn around(&self, seq: Seq) -> Result<(Stretch, bool), Failure> {
        let before = state::stay_at(self.read_view.connection, self.conversation, self.viewer, seq)?;
        let before = before.as_ref().map(ended).transpose()?;
        Ok(match before {
            Some(stay) if stay.has(seq.0) => (stay, true),
            before => {
                let first = before.map_or(0, |stay| stay.last + 1);
                (Stretch { first, last: seq.0 }, false)
            }
        })
    }
}
