//! A page of a conversation's log as one user may see it. It must never show an event, an edit or a reaction from
//! outside the viewer's membership intervals, and never read more of either than the page needs: every statement here
//! finds its rows by an index, one place after the other.

use std::{collections::HashMap, sync::Arc};

use postgres::Row;

use super::{
    failure::Failure,
    row::{self, EVENT_COLUMNS, event_columns, get, is_recalled, sql},
    session::Session,
    stays,
};
use crate::{
    page::{Counts, Filling, LOOKED_THROUGH_MAX, Stay, Walk, asked},
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

/// Call this within a transaction. `None` for a user who never was a member.
pub(super) fn read(session: &mut Session, question: &Question) -> Result<Option<EventPage>, Failure> {
    let Some(newest) = stays::newest(session, question.conversation, question.viewer)? else {
        return Ok(None);
    };
    let head = newest.seen.last;
    let asked = asked(question.from, question.direction, head);
    // One more than there is room for, to learn whether the page ends before it.
    let most = question.limit.saturating_add(1);
    let mut walk = Walk::new(asked, question.direction, most);
    let begin = match question.direction {
        Direction::Forward => asked.first,
        Direction::Backward => asked.last,
    };
    let of = (question.conversation, question.viewer);
    stays::walk(
        session,
        of,
        newest,
        (begin, question.direction),
        (&mut walk, most),
    )?;
    let mut reading = Reading {
        question,
        newest,
        found: Vec::new(),
    };
    reading.read_events(session, &walk)?;
    reading.add_revisions(session)?;
    reading.add_reactions(session)?;
    let mut page = Filling::new(asked, question.direction, question.limit, question.body_bytes_max);
    for found in reading.found {
        if !page.has_room(found.looked_through()) || !page.take(found.view()) {
            break;
        }
    }
    Ok(Some(page.finish(head)))
}

/// An event, and the rows found about it.
struct Found {
    event: Event,
    counts: Counts,
    /// Past reactions, as far as they are kept.
    past: u64,
    /// The viewer was not away since then: they see all edits and reactions.
    open: bool,
    revision: Option<RevisionView>,
    reactions: Vec<ReactionView>,
    reactions_total: u64,
}

impl Found {
    const fn looked_through(&self) -> u64 {
        if self.open {
            0
        } else {
            self.counts
                .edits
                .saturating_add(self.counts.reactions)
                .saturating_add(self.past)
        }
    }

    fn view(self) -> EventView {
        EventView {
            event: Arc::new(self.event),
            revision: self.revision,
            reactions: self.reactions,
            reactions_total: u32::try_from(self.reactions_total).unwrap_or(u32::MAX),
        }
    }
}

/// The events of several ranges of seqs, in one order: $1 the conversation, $2 and $3 the ranges, $4 the bytes of
/// bodies after which only one more event comes (or two: the first is taken however large).
macro_rules! events {
    ($order:literal) => {
        concat!(
            "SELECT * FROM (
                SELECT read.*, sum(read.bytes) OVER placed - read.bytes AS bytes_before, row_number() OVER placed AS place
                FROM (
                    SELECT ",
            event_columns!(),
            ", n.edits, n.reactions, n.past, CASE WHEN ",
            is_recalled!(),
            " THEN 0 ELSE length(e.body) END::bigint AS bytes
                    FROM unnest($2::bigint[], $3::bigint[]) AS s (first, last)
                        CROSS JOIN LATERAL (
                            SELECT * FROM events e
                            WHERE e.conversation = $1 AND e.seq >= s.first AND e.seq <= s.last
                            ORDER BY e.conversation, e.seq OFFSET 0
                        ) e
                        LEFT JOIN LATERAL (
                            SELECT n.edits, n.reactions, n.past FROM message_counts n
                            WHERE n.conversation = $1 AND n.message = e.seq LIMIT 1
                        ) n ON true
                ) read
                WINDOW placed AS (ORDER BY read.seq ",
            $order,
            ")
             ) page WHERE page.place <= 2 OR page.bytes_before <= $4::bigint ORDER BY page.seq ",
            $order
        )
    };
}

struct Reading<'a> {
    question: &'a Question,
    newest: Stay,
    /// In the order of reading.
    found: Vec<Found>,
}

impl Reading<'_> {
    fn read_events(&mut self, session: &mut Session, walk: &Walk) -> Result<(), Failure> {
        if walk.found.is_empty() {
            return Ok(());
        }
        let firsts: Vec<i64> = walk.found.iter().map(|(seen, _)| sql(seen.first)).collect();
        let lasts: Vec<i64> = walk.found.iter().map(|(seen, _)| sql(seen.last)).collect();
        let rows = session.query(
            match self.question.direction {
                Direction::Forward => events!("ASC"),
                Direction::Backward => events!("DESC"),
            },
            &[
                &sql(self.question.conversation.0),
                &firsts,
                &lasts,
                &i64::try_from(self.question.body_bytes_max).unwrap_or(i64::MAX),
            ],
        )?;
        let mut stays = walk.found.iter();
        let mut stay = stays.next();
        let mut looked_through = 0_u64;
        for row in &rows {
            let event = row::event(row, 0)?;
            while stay.is_some_and(|(seen, _)| !seen.has(event.seq.0)) {
                stay = stays.next();
            }
            let (_, stay) = stay.ok_or_else(|| Failure::damaged("an event that was not asked for"))?;
            let found = Found {
                event,
                counts: Counts {
                    edits: count(row, EVENT_COLUMNS)?,
                    reactions: count(row, EVENT_COLUMNS + 1)?,
                },
                past: count(row, EVENT_COLUMNS + 2)?,
                open: stay.open,
                revision: None,
                reactions: Vec::new(),
                reactions_total: 0,
            };
            looked_through = looked_through.saturating_add(found.looked_through());
            // The page ends before it: nothing is looked up for it.
            let too_much = looked_through > LOOKED_THROUGH_MAX && !self.found.is_empty();
            self.found.push(found);
            if too_much {
                break;
            }
        }
        Ok(())
    }

    /// The events whose edits and reactions are looked up: all except one that the page will not take.
    fn looked_up(&self) -> &[Found] {
        let looked_through: u64 = self.found.iter().map(Found::looked_through).sum();
        match self.found.split_last() {
            Some((_, others)) if looked_through > LOOKED_THROUGH_MAX && !others.is_empty() => others,
            _ => &self.found,
        }
    }

    /// Adds the newest edits that the viewer may see.
    fn add_revisions(&mut self, session: &mut Session) -> Result<(), Failure> {
        let (mut targets, mut befores) = (Vec::new(), Vec::new());
        let mut bytes = 0_i64;
        for found in self.looked_up() {
            if found.counts.edits > 0 && !found.event.recalled {
                targets.push(sql(found.event.seq.0));
                befores.push(bytes);
            }
            bytes = bytes.saturating_add(row::limit(found.event.body.len()));
        }
        if targets.is_empty() {
            return Ok(());
        }
        let rows = session.query(
            // $4: the last seq of which the viewer may see anything. $5: the bytes of the bodies before each target.
            // Edits are looked through from the newest on, until one is visible.
            "SELECT r.target, r.seq, r.body FROM (
                SELECT t.target, d.seq, x.body, t.before, t.place,
                    sum(length(x.body)) OVER (ORDER BY t.place) - length(x.body) AS revised_before
                FROM unnest($3::bigint[], $5::bigint[]) WITH ORDINALITY AS t (target, before, place)
                    CROSS JOIN LATERAL (
                        SELECT d.seq FROM edits d
                        WHERE d.conversation = $1 AND d.target = t.target AND d.seq <= $4
                          AND (SELECT coalesce(s.left_seq, $4) >= d.seq FROM members s
                               WHERE s.conversation = $1 AND s.user_id = $2 AND s.joined_seq <= d.seq
                               ORDER BY s.joined_seq DESC LIMIT 1)
                        ORDER BY d.seq DESC LIMIT 1
                    ) d
                    CROSS JOIN LATERAL (
                        SELECT x.body FROM events x WHERE x.conversation = $1 AND x.seq = d.seq LIMIT 1
                    ) x
             ) r WHERE r.before + r.revised_before <= $6 ORDER BY r.place",
            &[
                &sql(self.question.conversation.0),
                &sql(self.question.viewer.0),
                &targets,
                &sql(self.newest.seen.last),
                &befores,
                &i64::try_from(self.question.body_bytes_max).unwrap_or(i64::MAX),
            ],
        )?;
        let mut by_target: HashMap<Seq, RevisionView> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let revision = RevisionView {
                seq: row::seq(row, 1)?,
                body: row::blob(row, 2)?,
            };
            by_target.insert(row::seq(row, 0)?, revision);
        }
        for found in &mut self.found {
            found.revision = by_target.remove(&found.event.seq);
        }
        Ok(())
    }

    fn add_reactions(&mut self, session: &mut Session) -> Result<(), Failure> {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for found in self.looked_up() {
            // The page has no room beyond this one, however short the reactions are.
            if bytes > self.question.body_bytes_max {
                break;
            }
            bytes += found.event.body.len() + found.revision.as_ref().map_or(0, |edit| edit.body.len());
            let of_viewer = if found.open { 0 } else { found.past };
            if found.counts.reactions + of_viewer == 0 {
                continue;
            }
            if found.open {
                whole.push(sql(found.event.seq.0));
                let listed = found.counts.reactions.min(EventView::REACTIONS_MAX as u64);
                bytes += usize::try_from(listed).unwrap_or(usize::MAX) * ReactionView::BYTES;
            } else {
                parts.push(sql(found.event.seq.0));
            }
        }
        let conversation = sql(self.question.conversation.0);
        let listed = row::limit(EventView::REACTIONS_MAX);
        let mut by_target: HashMap<Seq, (Vec<ReactionView>, Option<u64>)> = HashMap::new();
        let mut add = |rows: &[Row]| -> Result<(), Failure> {
            for row in rows {
                let (reactions, total) = by_target.entry(row::seq(row, 0)?).or_default();
                reactions.push(ReactionView {
                    user: row::user_id(row, 1)?,
                    seq: row::seq(row, 2)?,
                    reaction: get(row, 3)?,
                });
                *total = get::<Option<i64>>(row, 4)?.map(i64::cast_unsigned);
            }
            Ok(())
        };
        if !whole.is_empty() {
            add(&session.query(
                "SELECT t.target, r.user_id, r.seq, r.reaction, NULL::bigint
                 FROM unnest($2::bigint[]) AS t (target) CROSS JOIN LATERAL (
                    SELECT r.user_id, r.seq, r.reaction FROM reactions r
                    WHERE r.conversation = $1 AND r.target = t.target ORDER BY r.seq DESC LIMIT $3) r",
                &[&conversation, &whole, &listed],
            )?)?;
        }
        if !parts.is_empty() {
            add(&session.query(
                // As `page::SeenReactions`: of each user the newest event that is visible.
                "SELECT t.target, r.user_id, r.seq, r.reaction, r.total
                 FROM unnest($2::bigint[]) AS t (target) CROSS JOIN LATERAL (
                    SELECT n.user_id, n.seq, n.reaction, count(*) OVER () AS total FROM (
                        SELECT DISTINCT ON (e.user_id) e.user_id, e.seq, e.reaction FROM (
                            SELECT r.user_id, r.seq, r.reaction FROM reactions r
                            WHERE r.conversation = $1 AND r.target = t.target
                            UNION ALL
                            SELECT p.user_id, step.seq, step.reaction FROM past_reactions p
                                CROSS JOIN LATERAL (VALUES (p.seq, p.reaction), (p.until, NULL)) step (seq, reaction)
                            WHERE p.conversation = $1 AND p.target = t.target
                        ) e
                        WHERE e.seq <= $5
                          AND (SELECT coalesce(s.left_seq, $5) >= e.seq FROM members s
                               WHERE s.conversation = $1 AND s.user_id = $4 AND s.joined_seq <= e.seq
                               ORDER BY s.joined_seq DESC LIMIT 1)
                        ORDER BY e.user_id, e.seq DESC, e.reaction IS NULL
                    ) n
                    WHERE n.reaction IS NOT NULL ORDER BY n.seq DESC LIMIT $3) r",
                &[
                    &conversation,
                    &parts,
                    &listed,
                    &sql(self.question.viewer.0),
                    &sql(self.newest.seen.last),
                ],
            )?)?;
        }
        for found in &mut self.found {
            let Some((mut reactions, total)) = by_target.remove(&found.event.seq) else {
                continue;
            };
            reactions.sort_unstable_by_key(|reaction| std::cmp::Reverse(reaction.seq));
            found.reactions = reactions;
            found.reactions_total = total.unwrap_or(found.counts.reactions);
        }
        Ok(())
    }
}

/// A count, or 0 if the row is missing.
fn count(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(get::<Option<i64>>(row, column)?
        .unwrap_or_default()
        .cast_unsigned())
}
