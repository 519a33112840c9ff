//! A page of a conversation's log as one user may see it.
//! It must never show an event, an edit or a reaction from outside the viewer's membership intervals.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::{
    failure::Failure,
    row::{self, collect, event_columns, first, sql},
};
use crate::{
    read::{Direction, EventPage, EventView, ReactionView, RevisionView},
    types::{ConversationId, Event, Seq, UserId},
};

pub(super) struct Question {
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
pub(super) fn read(connection: &Connection, question: &Question) -> Result<Option<EventPage>, Failure> {
    let stretches = visible(connection, question)?;
    let Some(head) = stretches.last().map(|stretch| stretch.last) else {
        return Ok(None);
    };
    let asked = match question.direction {
        Direction::Forward => Stretch {
            first: question.from.0.max(1),
            last: head,
        },
        Direction::Backward => Stretch {
            first: 1,
            last: if question.from == Seq(0) {
                head
            } else {
                question.from.0.min(head)
            },
        },
    };
    let mut reading = Reading {
        connection,
        question,
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
fn visible(connection: &Connection, question: &Question) -> Result<Vec<Stretch>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT m.joined_seq, coalesce(m.left_seq, c.head_seq)
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.conversation = ?1 AND m.user = ?2 ORDER BY m.joined_seq",
    )?;
    let key = [sql(question.conversation.0), sql(question.viewer.0)];
    collect(statement.query(key)?, |row| {
        Ok(Stretch {
            first: row::number(row, 0)?,
            last: row::number(row, 1)?,
        })
    })
}

struct Reading<'a> {
    connection: &'a Connection,
    question: &'a Question,
    stretches: &'a [Stretch],
    /// What the page speaks for; cut short when the page is full.
    asked: Stretch,
    events: Vec<EventView>,
    bytes: usize,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let forward = self.question.direction == Direction::Forward;
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
        let mut statement = self.connection.prepare_cached(match self.question.direction {
            Direction::Forward => concat!(
                "SELECT ",
                event_columns!(),
                " FROM event_seqs s JOIN events e ON e.position = s.position
                 WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq"
            ),
            Direction::Backward => concat!(
                "SELECT ",
                event_columns!(),
                " FROM event_seqs s JOIN events e ON e.position = s.position
                 WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq DESC"
            ),
        })?;
        let key = [
            sql(self.question.conversation.0),
            sql(stretch.first),
            sql(stretch.last),
        ];
        let mut rows = statement.query(key)?;
        while let Some(row) = rows.next()? {
            if self.events.len() == self.question.limit {
                self.cut();
                return Ok(false);
            }
            let event = row::event(row)?.event;
            let revision = self.revision(&event)?;
            self.bytes += event.body.len() + revision.as_ref().map_or(0, |revision| revision.body.len());
            if !self.events.is_empty() && self.bytes > self.question.body_bytes_max {
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

    /// The page ends with the last event taken and says nothing about the next.
    fn cut(&mut self) {
        let Some(last) = self.events.last().map(|view| view.event.seq.0) else {
            return;
        };
        match self.question.direction {
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
        let mut statement = self.connection.prepare_cached(
            "SELECT d.seq, e.body FROM edits d JOIN events e ON e.position = d.position
             WHERE d.conversation = ?1 AND d.target = ?2 AND d.seq BETWEEN ?3 AND ?4
             ORDER BY d.seq DESC LIMIT 1",
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
                Ok(RevisionView {
                    seq: row::seq(row, 0)?,
                    body: row::blob(row, 1)?,
                })
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
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
        let mut statement = self.connection.prepare_cached(
            "SELECT target, user, seq, reaction FROM reactions
             WHERE conversation = ?1 AND target BETWEEN ?2 AND ?3",
        )?;
        let mut rows = statement.query([sql(self.question.conversation.0), sql(first), sql(last)])?;
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
