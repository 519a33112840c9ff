//! A page of a conversation's log as one user may see it.
//! It must never show an event, an edit or a reaction from outside the viewer's membership intervals.

use std::{collections::HashMap, sync::Arc};

use super::{
    failure::Failure,
    row::{self, EVENT_COLUMNS, event_columns, get, sql},
    session::Session,
};
use crate::{
    read::{Direction, EventPage, EventView, ReactionView, RevisionView},
    types::{ConversationId, Seq, UserId},
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
pub(super) fn read(session: &mut Session, question: &Question) -> Result<Option<EventPage>, Failure> {
    let stretches = visible(session, question)?;
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
        question,
        stretches: &stretches,
        asked,
        events: Vec::new(),
    };
    reading.read_events(session)?;
    reading.add_reactions(session)?;
    Ok(Some(EventPage {
        from: Seq(reading.asked.first),
        to: Seq(reading.asked.last),
        events: reading.events,
        head: Seq(head),
    }))
}

/// The viewer's intervals, ascending, the open one up to the head.
fn visible(session: &mut Session, question: &Question) -> Result<Vec<Stretch>, Failure> {
    let rows = session.query(
        "SELECT m.joined_seq, coalesce(m.left_seq, c.head_seq)
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.conversation = $1 AND m.user_id = $2 ORDER BY m.joined_seq",
        &[&sql(question.conversation.0), &sql(question.viewer.0)],
    )?;
    let stretch = |row| {
        Ok(Stretch {
            first: row::number(row, 0)?,
            last: row::number(row, 1)?,
        })
    };
    rows.iter().map(stretch).collect()
}

/// The events of a page, each with its newest edit that the viewer may see: $1 the conversation, $2 and $3 the
/// visible stretches, $4 and $5 the first and the last seq asked for, $6 the most rows, $7 the bytes of bodies after
/// which only one more event comes (or two: the first is taken however large). Which way they are read is put in.
macro_rules! page_of {
    ($order:literal) => {
        concat!(
            "SELECT * FROM (
                SELECT read.*, sum(read.bytes) OVER (ORDER BY read.seq ",
            $order,
            ") - read.bytes AS bytes_before,
                    row_number() OVER (ORDER BY read.seq ",
            $order,
            ") AS place
                FROM (
                    SELECT ",
            event_columns!(),
            ", r.revision, r.revised, (length(e.body) + coalesce(length(r.revised), 0))::bigint AS bytes
                    FROM unnest($2::bigint[], $3::bigint[]) AS s (first, last)
                        JOIN events e ON e.conversation = $1 AND e.seq BETWEEN greatest(s.first, $4)
                                                                           AND least(s.last, $5)
                        LEFT JOIN LATERAL (
                            SELECT d.seq AS revision, x.body AS revised
                            FROM edits d JOIN events x ON x.conversation = $1 AND x.seq = d.seq
                            WHERE d.conversation = $1 AND d.target = e.seq AND NOT e.recalled
                              AND EXISTS (SELECT 1 FROM unnest($2::bigint[], $3::bigint[]) AS v (first, last)
                                          WHERE d.seq BETWEEN v.first AND v.last)
                            ORDER BY d.seq DESC LIMIT 1) r ON true
                    ORDER BY e.seq ",
            $order,
            " LIMIT $6
                ) read
             ) page WHERE page.place <= 2 OR page.bytes_before <= $7::bigint ORDER BY page.seq ",
            $order
        )
    };
}

struct Reading<'a> {
    question: &'a Question,
    stretches: &'a [Stretch],
    /// What the page speaks for; cut short when the page is full.
    asked: Stretch,
    events: Vec<EventView>,
}

impl Reading<'_> {
    fn read_events(&mut self, session: &mut Session) -> Result<(), Failure> {
        let forward = self.question.direction == Direction::Forward;
        let firsts: Vec<i64> = self.stretches.iter().map(|stretch| sql(stretch.first)).collect();
        let lasts: Vec<i64> = self.stretches.iter().map(|stretch| sql(stretch.last)).collect();
        let rows = session.query(
            if forward {
                page_of!("ASC")
            } else {
                page_of!("DESC")
            },
            &[
                &sql(self.question.conversation.0),
                &firsts,
                &lasts,
                &row::bound(self.asked.first),
                &row::bound(self.asked.last),
                &row::limit(self.question.limit.saturating_add(1)),
                &i64::try_from(self.question.body_bytes_max).unwrap_or(i64::MAX),
            ],
        )?;
        let mut bytes = 0;
        for row in &rows {
            let event = row::event(row, 0)?;
            let revision = match get::<Option<i64>>(row, EVENT_COLUMNS)? {
                None => None,
                Some(seq) => Some(RevisionView {
                    seq: Seq(seq.cast_unsigned()),
                    body: row::blob(row, EVENT_COLUMNS + 1)?,
                }),
            };
            bytes += event.body.len() + revision.as_ref().map_or(0, |revision| revision.body.len());
            let full = bytes > self.question.body_bytes_max && !self.events.is_empty();
            if full || self.events.len() == self.question.limit {
                self.cut();
                break;
            }
            self.events.push(EventView {
                event: Arc::new(event),
                revision,
                reactions: Vec::new(),
                reactions_total: 0,
            });
        }
        if !forward {
            self.events.reverse();
        }
        Ok(())
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

    fn add_reactions(&mut self, session: &mut Session) -> Result<(), Failure> {
        let targets: Vec<i64> = self
            .events
            .iter()
            .filter(|view| view.event.kind.is_displayable())
            .map(|view| sql(view.event.seq.0))
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut by_target = self.reactions(session, &targets)?;
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
    fn reactions(
        &self,
        session: &mut Session,
        targets: &[i64],
    ) -> Result<HashMap<Seq, Vec<ReactionView>>, Failure> {
        let rows = session.query(
            "SELECT target, user_id, seq, reaction FROM reactions WHERE conversation = $1 AND target = ANY ($2)",
            &[&sql(self.question.conversation.0), &targets],
        )?;
        let mut by_target: HashMap<Seq, Vec<ReactionView>> = HashMap::new();
        for row in &rows {
            let seq = row::seq(row, 2)?;
            if self.sees(seq) {
                let reaction = ReactionView {
                    user: row::user_id(row, 1)?,
                    reaction: get(row, 3)?,
                    seq,
                };
                by_target.entry(row::seq(row, 0)?).or_default().push(reaction);
            }
        }
        Ok(by_target)
    }
}
