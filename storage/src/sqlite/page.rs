//! A page of a conversation's log as one user may see it. It must never show an event, an edit or a reaction from
//! outside the viewer's membership intervals, and never read more of either than the page needs.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::Failure,
    lookup,
    read_view::ReadView,
    row::{self, collect, first, sql},
    state::{self, Counts, EDITS, Edits, counts_columns, past_reaction_columns, reaction_columns},
    stays::{self, Stays},
};
use crate::{
    page::{Filling, SeenReactions, Stay, Stretch, Walk, asked},
    read::{Direction, EventPage, EventView, ReactionView, RevisionView},
    types::{ConversationId, Event, EventKind, Position, Seq, UserId},
};

pub(super) struct Wanted {
    pub(super) viewer: UserId,
    pub(super) conversation: ConversationId,
    pub(super) from: Seq,
    pub(super) direction: Direction,
    pub(super) limit: usize,
    pub(super) body_bytes_max: usize,
}

/// Call this within a transaction. `None` for a user who never was a member.
pub(super) fn read(read_view: &ReadView<'_>, wanted: &Wanted) -> Result<Option<EventPage>, Failure> {
    let Some(newest) = stays::newest(read_view, wanted.conversation, wanted.viewer)? else {
        return Ok(None);
    };
    let head = newest.stay.seen.last;
    let asked = asked(wanted.from, wanted.direction, head);
    let stays = Stays::new(read_view, wanted.conversation, wanted.viewer, newest);
    // One more than there is room for, to learn whether the page ends before it.
    let mut walk = Walk::new(asked, wanted.direction, wanted.limit.saturating_add(1));
    let begin = match wanted.direction {
        Direction::Forward => asked.first,
        Direction::Backward => asked.last,
    };
    stays.walk(begin, wanted.direction, &mut walk)?;
    let mut reading = Reading {
        read_view,
        wanted,
        stays,
        page: Filling::new(asked, wanted.direction, wanted.limit, wanted.body_bytes_max),
    };
    for (seen, stay) in walk.found {
        if !reading.read_stretch(seen, stay)? {
            break;
        }
    }
    Ok(Some(reading.page.finish(head)))
}

struct Reading<'a> {
    read_view: &'a ReadView<'a>,
    wanted: &'a Wanted,
    stays: Stays<'a>,
    page: Filling,
}

impl Reading<'_> {
    /// Reads the visible events of an interval. False once the page is full.
    fn read_stretch(&mut self, seen: Stretch, stay: Stay) -> Result<bool, Failure> {
        let of_all = self.counts(seen)?;
        let places = places(self.read_view, self.wanted, seen)?;
        if places.len() as u64 != seen.last - seen.first + 1 {
            return Err(Failure::damaged(format!(
                "events of conversation {} have no place",
                self.wanted.conversation.0
            )));
        }
        for (place, passed) in places.into_iter().zip(0..) {
            let event = lookup::event(self.read_view.connection, place)?.event;
            let seq = match self.wanted.direction {
                Direction::Forward => seen.first + passed,
                Direction::Backward => seen.last - passed,
            };
            self.check_place(&event, seq)?;
            let none = Counts::none(event.conversation, event.seq);
            let counts = of_all.get(&event.seq).copied().unwrap_or(none);
            // A viewer who was not away since then sees all edits and reactions.
            let looked_through = if stay.open {
                0
            } else {
                counts.edits + counts.reactions + counts.past
            };
            if !self.page.has_room(looked_through) {
                return Ok(false);
            }
            let revision = if counts.edits == 0 {
                None
            } else {
                self.revision(&event, &counts)?
            };
            let (reactions, reactions_total) = if counts.reactions + counts.past == 0 {
                (Vec::new(), 0)
            } else if stay.open {
                (self.newest_reactions(&counts)?, counts.reactions)
            } else {
                self.seen_reactions(&counts)?
            };
            let view = EventView {
                event: Arc::new(event),
                revision,
                reactions,
                reactions_total: u32::try_from(reactions_total).unwrap_or(u32::MAX),
            };
            if !self.page.take(view) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that the event is the one that was looked for: a log has no holes.
    fn check_place(&self, event: &Event, seq: u64) -> Result<(), Failure> {
        if (event.conversation, event.seq.0) == (self.wanted.conversation, seq) {
            return Ok(());
        }
        Err(Failure::damaged(format!(
            "where the event {seq} of conversation {} should be, there is {} of {}",
            self.wanted.conversation.0, event.seq.0, event.conversation.0
        )))
    }

    /// Of the messages that have edits or reactions.
    fn counts(&self, seqs: Stretch) -> Result<HashMap<Seq, Counts>, Failure> {
        let key = [
            sql(self.wanted.conversation.0),
            row::bound(seqs.first),
            row::bound(seqs.last),
        ];
        let mut statement = self.read_view.connection.prepare_cached(concat!(
            "SELECT ",
            counts_columns!(),
            " FROM message_counts n WHERE n.conversation = ?1 AND n.message BETWEEN ?2 AND ?3"
        ))?;
        let mut rows = statement.query(key)?;
        let mut counts = HashMap::new();
        while let Some(row) = rows.next()? {
            let of_one = state::counts(row)?;
            counts.insert(of_one.message, of_one);
        }
        let mut statement = self.read_view.connection.prepare_cached(
            "SELECT count(*) FROM message_counts INDEXED BY message_counts_again
             WHERE conversation = ?1 AND message BETWEEN ?2 AND ?3",
        )?;
        if first(statement.query(key)?, |row| row::number(row, 0))? != Some(counts.len() as u64) {
            return Err(Failure::damaged(format!(
                "numbers of edits and reactions in conversation {} are missing",
                self.wanted.conversation.0
            )));
        }
        Ok(counts)
    }

    /// The newest edit that the viewer may see.
    fn revision(&mut self, event: &Event, counts: &Counts) -> Result<Option<RevisionView>, Failure> {
        if event.recalled {
            return Ok(None);
        }
        let mut statement = self.read_view.connection.prepare_cached(EDITS)?;
        let rows = statement.query([sql(event.conversation.0), sql(event.seq.0)])?;
        let mut edits = Edits::new(rows, counts);
        while let Some(edit) = edits.next()? {
            if self.stays.see(edit.seq)? {
                return self.edit(event, edit.position, edit.seq).map(Some);
            }
        }
        Ok(None)
    }

    /// The edit whose event should be at this position.
    fn edit(&self, target: &Event, position: Position, seq: Seq) -> Result<RevisionView, Failure> {
        let edit = lookup::event(self.read_view.connection, position)?.event;
        let is_it = edit.kind == EventKind::Edit
            && (edit.conversation, edit.target, edit.seq) == (target.conversation, target.seq, seq);
        if !is_it {
            return Err(Failure::damaged("the place of an edit is that of another event"));
        }
        Ok(RevisionView { seq, body: edit.body })
    }

    /// The reactions to list for a viewer who sees all.
    fn newest_reactions(&self, counts: &Counts) -> Result<Vec<ReactionView>, Failure> {
        let mut statement = self.read_view.connection.prepare_cached(concat!(
            "SELECT ",
            reaction_columns!(),
            " FROM reactions WHERE conversation = ?1 AND target = ?2 ORDER BY seq DESC LIMIT ?3"
        ))?;
        let key = [
            sql(counts.conversation.0),
            sql(counts.message.0),
            row::limit(EventView::REACTIONS_MAX),
        ];
        let listed = collect(statement.query(key)?, reaction)?;
        let expected = counts.reactions.min(EventView::REACTIONS_MAX as u64);
        all_of(listed.len() as u64, expected, counts)?;
        Ok(listed)
    }

    /// The reactions to list for a viewer who sees some, and the number of those that they see.
    fn seen_reactions(&mut self, counts: &Counts) -> Result<(Vec<ReactionView>, u64), Failure> {
        let mut statement = self.read_view.connection.prepare_cached(concat!(
            "SELECT ",
            reaction_columns!(),
            " FROM reactions WHERE conversation = ?1 AND target = ?2 ORDER BY seq DESC"
        ))?;
        let mut rows = statement.query([sql(counts.conversation.0), sql(counts.message.0)])?;
        let mut seen = SeenReactions::default();
        let (mut all, mut all_past) = (0, 0);
        while let Some(row) = rows.next()? {
            let reaction = state::reaction(row)?;
            all += 1;
            if self.stays.see(reaction.seq)? {
                seen.set(reaction.user, reaction.seq, reaction.reaction);
            }
        }
        all_of(all, counts.reactions, counts)?;
        let mut statement = self.read_view.connection.prepare_cached(concat!(
            "SELECT ",
            past_reaction_columns!(),
            " FROM past_reactions WHERE conversation = ?1 AND target = ?2 ORDER BY seq DESC"
        ))?;
        let mut rows = statement.query([sql(counts.conversation.0), sql(counts.message.0)])?;
        while let Some(row) = rows.next()? {
            let past = state::past_reaction(row)?;
            all_past += 1;
            if self.stays.see(past.until)? {
                seen.ended(past.was.user, past.until);
            }
            if self.stays.see(past.was.seq)? {
                seen.set(past.was.user, past.was.seq, past.was.reaction);
            }
        }
        all_of(all_past, counts.past, counts)?;
        Ok(seen.listed())
    }
}

fn reaction(row: &rusqlite::Row<'_>) -> Result<ReactionView, Failure> {
    let reaction = state::reaction(row)?;
    Ok(ReactionView {
        seq: reaction.seq,
        user: reaction.user,
        reaction: reaction.reaction.to_owned(),
    })
}

/// Checks that all counted reactions were found.
fn all_of(found: u64, expected: u64, counts: &Counts) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "message {} of conversation {} has {found} reactions of {expected}",
        counts.message.0, counts.conversation.0
    )))
}

/// The positions of a range of events, in the direction of reading: those that are indexed, and the newest, which are
/// not.
fn places(read_view: &ReadView<'_>, wanted: &Wanted, stretch: Stretch) -> Result<Vec<Position>, Failure> {
    let seqs = stretch.first..=stretch.last;
    let unindexed = read_view
        .unindexed
        .stretch(wanted.conversation, seqs, wanted.direction)?;
    let indexed = Stretch {
        last: stretch.last.min(unindexed.first.saturating_sub(1)),
        ..stretch
    };
    let mut places = indexed_places(read_view, wanted, indexed)?;
    match wanted.direction {
        Direction::Forward => places.extend(unindexed.positions),
        Direction::Backward => places.splice(0..0, unindexed.positions).for_each(drop),
    }
    Ok(places)
}

fn indexed_places(
    read_view: &ReadView<'_>,
    wanted: &Wanted,
    stretch: Stretch,
) -> Result<Vec<Position>, Failure> {
    if stretch.first > stretch.last {
        return Ok(Vec::new());
    }
    let mut statement = read_view.connection.prepare_cached(match wanted.direction {
        Direction::Forward => {
            "SELECT position FROM event_seqs WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq"
        }
        Direction::Backward => {
            "SELECT position FROM event_seqs WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC"
        }
    })?;
    let key = [
        sql(wanted.conversation.0),
        row::bound(stretch.first),
        row::bound(stretch.last),
    ];
    collect(statement.query(key)?, |row| row::position(row, 0))
}
