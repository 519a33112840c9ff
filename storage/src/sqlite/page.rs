//! A page of a conversation's log as one user may see it.
//! It must never show an event, an edit or a reaction from outside the viewer's membership intervals.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::Failure,
    lookup,
    moment::Moment,
    row::{self, collect, first, sql},
};
use crate::{
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

/// A stretch of visible seqs, both ends included.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    last: u64,
}

/// To be called within a transaction. `None` for someone who never was a member.
pub(super) fn read(moment: &Moment<'_>, wanted: &Wanted) -> Result<Option<EventPage>, Failure> {
    let stretches = visible(moment, wanted)?;
    let Some(head) = stretches.last().map(|stretch| stretch.last) else {
        return Ok(None);
    };
    let asked = match wanted.direction {
        Direction::Forward => Stretch {
            first: wanted.from.0.max(1),
            last: head,
        },
        Direction::Backward => Stretch {
            first: 1,
            last: if wanted.from == Seq(0) {
                head
            } else {
                wanted.from.0.min(head)
            },
        },
    };
    let mut reading = Reading {
        moment,
        wanted,
        stretches: &stretches,
        asked,
        events: Vec::new(),
        bytes: 0,
    };
    reading.run()?;
    reading.add_reactions()?;
    Ok(Some(EventPage {
        from: Seq(reading.asked.first),
        to: Seq(reading.asked.last),
        events: reading.events,
        head: Seq(head),
    }))
}

/// The viewer's intervals, ascending, the open one up to the head.
fn visible(moment: &Moment<'_>, wanted: &Wanted) -> Result<Vec<Stretch>, Failure> {
    let newest = moment.recent.newest(wanted.conversation)?;
    let mut statement = moment.connection.prepare_cached(
        "SELECT m.joined_seq, coalesce(m.left_seq, c.head_seq), m.left_seq IS NULL
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.conversation = ?1 AND m.user = ?2 ORDER BY m.joined_seq",
    )?;
    let key = [sql(wanted.conversation.0), sql(wanted.viewer.0)];
    collect(statement.query(key)?, |row| {
        let last = row::number(row, 1)?;
        let open = row::flag(row, 2)?;
        Ok(Stretch {
            first: row::number(row, 0)?,
            last: newest.filter(|_| open).map_or(last, |newest| newest.seq.0),
        })
    })
}

struct Reading<'a> {
    moment: &'a Moment<'a>,
    wanted: &'a Wanted,
    stretches: &'a [Stretch],
    /// What the page speaks for; cut short when the page is full.
    asked: Stretch,
    events: Vec<EventView>,
    bytes: usize,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let forward = self.wanted.direction == Direction::Forward;
        let asked = self.asked;
        let clipped = self.stretches.iter().map(|stretch| Stretch {
            first: stretch.first.max(asked.first),
            last: stretch.last.min(asked.last),
        });
        let mut wanted: Vec<Stretch> = clipped.filter(|stretch| stretch.first <= stretch.last).collect();
        if !forward {
            wanted.reverse();
        }
        for stretch in wanted {
            if !self.read_stretch(stretch)? {
                break;
            }
        }
        if !forward {
            self.events.reverse();
        }
        Ok(())
    }

    /// False once the page is full.
    fn read_stretch(&mut self, stretch: Stretch) -> Result<bool, Failure> {
        // One more than there is room for, to know that the page ends before the stretch.
        let room = (self.wanted.limit - self.events.len()).saturating_add(1);
        let places = places(self.moment, self.wanted, stretch, room)?;
        if (places.len() as u64) < (stretch.last - stretch.first + 1).min(room as u64) {
            return Err(Failure::damaged(format!(
                "events of conversation {} have no place",
                self.wanted.conversation.0
            )));
        }
        for place in places {
            if self.events.len() == self.wanted.limit {
                self.cut();
                return Ok(false);
            }
            let event = lookup::event(self.moment.connection, place)?.event;
            self.check_place(&event, stretch)?;
            let revision = self.revision(&event)?;
            self.bytes += event.body.len() + revision.as_ref().map_or(0, |revision| revision.body.len());
            if !self.events.is_empty() && self.bytes > self.wanted.body_bytes_max {
                self.cut();
                return Ok(false);
            }
            self.events.push(EventView {
                event: Arc::new(event),
                revision,
                reactions: Vec::new(),
                reactions_total: 0,
            });
        }
        Ok(true)
    }

    /// The event is the next one of the stretch: a log has no holes.
    fn check_place(&self, event: &Event, stretch: Stretch) -> Result<(), Failure> {
        let last = self.events.last().map(|view| view.event.seq.0);
        let last = last.filter(|last| (stretch.first..=stretch.last).contains(last));
        let next = match (self.wanted.direction, last) {
            (Direction::Forward, None) => stretch.first,
            (Direction::Forward, Some(last)) => last + 1,
            (Direction::Backward, None) => stretch.last,
            (Direction::Backward, Some(last)) => last - 1,
        };
        if (event.conversation, event.seq.0) == (self.wanted.conversation, next) {
            return Ok(());
        }
        Err(Failure::damaged(format!(
            "where the event {next} of conversation {} should be, there is {} of {}",
            self.wanted.conversation.0, event.seq.0, event.conversation.0
        )))
    }

    /// The page ends with the last event taken and says nothing about the next.
    fn cut(&mut self) {
        let Some(last) = self.events.last().map(|view| view.event.seq.0) else {
            return;
        };
        match self.wanted.direction {
            Direction::Forward => self.asked.last = last,
            Direction::Backward => self.asked.first = last,
        }
    }

    fn sees(&self, seq: Seq) -> bool {
        self.stretches
            .iter()
            .any(|stretch| (stretch.first..=stretch.last).contains(&seq.0))
    }

    /// The newest edit that the viewer may see.
    fn revision(&self, event: &Event) -> Result<Option<RevisionView>, Failure> {
        if !event.kind.is_displayable() || event.recalled {
            return Ok(None);
        }
        let mut statement = self.moment.connection.prepare_cached(
            "SELECT position, seq FROM edits
             WHERE conversation = ?1 AND target = ?2 AND seq BETWEEN ?3 AND ?4
             ORDER BY seq DESC LIMIT 1",
        )?;
        let later = self
            .stretches
            .iter()
            .rev()
            .take_while(|stretch| stretch.last > event.seq.0);
        for stretch in later {
            let key = [
                sql(event.conversation.0),
                sql(event.seq.0),
                sql(stretch.first),
                sql(stretch.last),
            ];
            let found = first(statement.query(key)?, |row| {
                Ok((row::position(row, 0)?, row::seq(row, 1)?))
            })?;
            if let Some((position, seq)) = found {
                return self.edit(event, position, seq).map(Some);
            }
        }
        Ok(None)
    }

    /// The edit of an event that is said to be at this place.
    fn edit(&self, target: &Event, position: Position, seq: Seq) -> Result<RevisionView, Failure> {
        let edit = lookup::event(self.moment.connection, position)?.event;
        let is_it = edit.kind == EventKind::Edit
            && (edit.conversation, edit.target, edit.seq) == (target.conversation, target.seq, seq);
        if !is_it {
            return Err(Failure::damaged("the place of an edit is that of another event"));
        }
        Ok(RevisionView { seq, body: edit.body })
    }

    fn add_reactions(&mut self) -> Result<(), Failure> {
        let mut targets = self
            .events
            .iter()
            .filter(|view| view.event.kind.is_displayable())
            .map(|view| view.event.seq.0);
        let Some(first) = targets.next() else {
            return Ok(());
        };
        let last = targets.next_back().unwrap_or(first);
        let mut by_target = self.reactions(first, last)?;
        for view in &mut self.events {
            let Some(mut reactions) = by_target.remove(&view.event.seq) else {
                continue;
            };
            reactions.sort_unstable_by_key(|reaction| std::cmp::Reverse(reaction.seq));
            view.reactions_total = u32::try_from(reactions.len()).unwrap_or(u32::MAX);
            reactions.truncate(EventView::REACTIONS_MAX);
            view.reactions = reactions;
        }
        Ok(())
    }

    /// Those that the viewer may see, by what they react to.
    fn reactions(&self, first: u64, last: u64) -> Result<HashMap<Seq, Vec<ReactionView>>, Failure> {
        let mut statement = self.moment.connection.prepare_cached(
            "SELECT target, user, seq, reaction FROM reactions
             WHERE conversation = ?1 AND target BETWEEN ?2 AND ?3",
        )?;
        let mut rows = statement.query([sql(self.wanted.conversation.0), sql(first), sql(last)])?;
        let mut by_target: HashMap<Seq, Vec<ReactionView>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let seq = row::seq(row, 2)?;
            if self.sees(seq) {
                let reaction = ReactionView {
                    user: row::user_id(row, 1)?,
                    reaction: row.get(3)?,
                    seq,
                };
                by_target.entry(row::seq(row, 0)?).or_default().push(reaction);
            }
        }
        Ok(by_target)
    }
}

/// Where the events of a stretch are, in the direction of reading, at most so many: those that the index has, and the
/// newest, which it does not.
fn places(
    moment: &Moment<'_>,
    wanted: &Wanted,
    stretch: Stretch,
    limit: usize,
) -> Result<Vec<Position>, Failure> {
    let recent = moment.recent.stretch(
        wanted.conversation,
        stretch.first..=stretch.last,
        wanted.direction,
        limit,
    )?;
    let indexed = Stretch {
        last: stretch.last.min(recent.first.saturating_sub(1)),
        ..stretch
    };
    Ok(match wanted.direction {
        Direction::Forward => {
            let mut places = indexed_places(moment, wanted, indexed, limit)?;
            places.extend(recent.positions);
            places.truncate(limit);
            places
        }
        Direction::Backward => {
            let mut places = recent.positions;
            let rest = limit.saturating_sub(places.len());
            places.extend(indexed_places(moment, wanted, indexed, rest)?);
            places
        }
    })
}

fn indexed_places(
    moment: &Moment<'_>,
    wanted: &Wanted,
    stretch: Stretch,
    limit: usize,
) -> Result<Vec<Position>, Failure> {
    if stretch.first > stretch.last || limit == 0 {
        return Ok(Vec::new());
    }
    let mut statement = moment.connection.prepare_cached(match wanted.direction {
        Direction::Forward => {
            "SELECT position FROM event_seqs WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4"
        }
        Direction::Backward => {
            "SELECT position FROM event_seqs WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3
             ORDER BY seq DESC LIMIT ?4"
        }
    })?;
    let key = [
        sql(wanted.conversation.0),
        row::bound(stretch.first),
        row::bound(stretch.last),
        row::limit(limit),
    ];
    collect(statement.query(key)?, |row| row::position(row, 0))
}
