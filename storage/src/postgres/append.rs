//! An append on its own, within a transaction that has locked everything it needs: the search for an earlier result,
//! and its rows once the rules allow it. It must never write before everything is decided: a refusal leaves nothing
//! behind.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    batch::Batch,
    derive, entries,
    failure::{Failure, Stop},
    lookup::{self, Facts},
    row::{self, sql},
};
use crate::{
    entry::{EntryClass, EntryView},
    error::Refused,
    rules::{self, Draft, Head, Lookup, Membership, Target},
    setting::GroupSettings,
    types::{ConversationId, Event, EventKind, Position, Role, Seq, Timestamp, UserId},
    write::{Append, Appended},
};

pub(super) fn append(batch: &mut Batch<'_>, append: &Append) -> Result<Appended, Stop> {
    let earlier = lookup::event_by_request(
        batch.session,
        append.conversation,
        append.sender,
        append.client_id,
    )?;
    if let Some((event, fingerprint)) = earlier {
        if fingerprint != append.fingerprint {
            return Err(Refused::Conflict.into());
        }
        return Ok(Appended {
            event: Arc::new(event),
            others: Vec::new(),
            duplicate: true,
        });
    }
    let target = append.action.reach().target;
    let facts = lookup::facts(batch.session, append.conversation, append.sender, target)?;
    let rules = batch.rules;
    let drafts = rules::decide(&rules, append, &mut Known { batch, append, facts })?;
    // From here on nothing is refused, and a failure ends the whole batch: all drafts or none.
    let position = batch.next_position();
    let event = enter(batch, append, (facts.head, position), drafts.first)?;
    let mut others = Vec::new();
    for draft in drafts.others {
        let facts = lookup::facts(batch.session, draft.conversation, draft.sender, Seq(0))?;
        let position = batch.next_position();
        others.push(Arc::new(enter(batch, append, (facts.head, position), draft)?));
    }
    Ok(Appended {
        event: Arc::new(event),
        others,
        duplicate: false,
    })
}

/// Takes the next seq, and writes the event at this position, after this head of its conversation, and everything that
/// follows from it.
fn enter(
    batch: &mut Batch<'_>,
    append: &Append,
    (head, position): (Option<Head>, i64),
    draft: Draft<'_>,
) -> Result<Event, Failure> {
    let reaction = draft.reaction;
    let event = draft.into_event(append.at, Position(position.cast_unsigned()), head);
    log_event(batch, append, &event, reaction)?;
    derive::apply(batch.session, &event, reaction)?;
    Ok(event)
}

/// The facts that the transaction supplies about an append.
struct Known<'a, 'b> {
    batch: &'a mut Batch<'b>,
    append: &'a Append,
    /// The facts that most rules need, in one round trip.
    facts: Facts,
}

impl Known<'_, '_> {
    const fn conversation(&self) -> ConversationId {
        self.append.conversation
    }

    /// The facts of this conversation, without a target.
    fn facts_of(&mut self, of: ConversationId) -> Result<Facts, Failure> {
        if of == self.conversation() {
            return Ok(self.facts);
        }
        lookup::facts(self.batch.session, of, self.append.sender, Seq(0))
    }
}

fn numbers<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Vec<i64> {
    users.into_iter().map(|user| sql(user.0)).collect()
}

impl Lookup for Known<'_, '_> {
    type Failure = Failure;

    fn head(&mut self, of: ConversationId) -> Result<Option<Head>, Stop> {
        Ok(self.facts_of(of)?.head)
    }

    fn membership(&mut self, of: ConversationId) -> Result<Option<Membership>, Stop> {
        Ok(self.facts_of(of)?.membership)
    }

    fn target(&mut self, _: Seq) -> Result<Option<Target>, Stop> {
        Ok(self.facts.target)
    }

    fn edits_of(&mut self, _: Seq) -> Result<u64, Stop> {
        Ok(self.facts.counts.edits)
    }

    fn reactions_to(&mut self, _: Seq) -> Result<u64, Stop> {
        Ok(self.facts.counts.reactions)
    }

    fn reaction(&mut self, message: Seq) -> Result<Option<String>, Stop> {
        let (conversation, sender) = (self.conversation(), self.append.sender);
        Ok(lookup::reaction_of(
            self.batch.session,
            conversation,
            message,
            sender,
        )?)
    }

    fn settings(&mut self) -> Result<GroupSettings, Stop> {
        let conversation = self.conversation();
        Ok(lookup::settings(self.batch.session, conversation)?)
    }

    fn is_same(&self, kept: &str, new: &str) -> bool {
        kept == derive::text(new)
    }

    fn all_exist(&mut self, users: impl Iterator<Item = UserId>) -> Result<bool, Stop> {
        let users: Vec<i64> = users.map(|user| sql(user.0)).collect();
        Ok(lookup::all_exist(self.batch.session, &users)?)
    }

    fn role_of(&mut self, user: UserId) -> Result<Option<Role>, Stop> {
        let conversation = self.conversation();
        Ok(lookup::member(self.batch.session, conversation, user)?)
    }

    fn members_among(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<UserId>, Stop> {
        let rows = self.batch.session.query(
            "SELECT m.user_id FROM unnest($2::bigint[]) AS u (id) CROSS JOIN LATERAL (
                SELECT m.user_id, m.left_seq FROM members m WHERE m.conversation = $1 AND m.user_id = u.id
                ORDER BY m.joined_seq DESC LIMIT 1) m
             WHERE m.left_seq IS NULL",
            &[&sql(self.append.conversation.0), &numbers(users)],
        )?;
        let members: Result<_, Failure> = rows.iter().map(|row| row::user_id(row, 0)).collect();
        Ok(members?)
    }

    fn left_at(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<Timestamp>, Stop> {
        let rows = self.batch.session.query(
            "SELECT m.left_at FROM unnest($2::bigint[]) AS u (id) CROSS JOIN LATERAL (
                SELECT m.left_seq, m.left_at FROM members m WHERE m.conversation = $1 AND m.user_id = u.id
                ORDER BY m.joined_seq DESC LIMIT 1) m CROSS JOIN LATERAL (
                SELECT e.kind FROM events e WHERE e.conversation = $1 AND e.seq = m.left_seq LIMIT 1) e
             WHERE e.kind = $3",
            &[
                &sql(self.append.conversation.0),
                &numbers(users),
                &i16::from(EventKind::MemberLeft.number()),
            ],
        )?;
        let times: Result<_, Failure> = rows.iter().map(|row| row::time(row, 0)).collect();
        Ok(times?)
    }

    fn owners(&mut self) -> Result<u64, Stop> {
        let found = self.batch.session.first(
            "SELECT count(*) FROM members WHERE conversation = $1 AND left_seq IS NULL AND role = $2",
            &[&sql(self.append.conversation.0), &Role::Owner.number()],
        )?;
        Ok(found.map(|row| row::number(&row, 0)).transpose()?.unwrap_or(0))
    }

    fn entry(&mut self, of: UserId, key: &str) -> Result<Option<EntryView>, Stop> {
        Ok(entries::one(self.batch.session, of, key)?)
    }

    fn classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, Stop> {
        Ok(entries::classes(self.batch.session, asked)?)
    }

    fn entries_of(&mut self, user: UserId, class: EntryClass, since: Timestamp) -> Result<u64, Stop> {
        Ok(entries::count(self.batch.session, user, class, since)?)
    }

    fn oldest_entry(&mut self, of: UserId, class: EntryClass) -> Result<Option<String>, Stop> {
        Ok(entries::oldest(self.batch.session, of, class)?)
    }

    fn groups_of(&mut self, users: &BTreeSet<UserId>) -> Result<BTreeMap<UserId, u64>, Stop> {
        let rows = self.batch.session.query(
            "SELECT user_id, groups FROM group_counts WHERE user_id = ANY ($1)",
            &[&numbers(users)],
        )?;
        let groups: Result<_, Failure> = rows
            .iter()
            .map(|row| Ok((row::user_id(row, 0)?, row::number(row, 1)?)))
            .collect();
        Ok(groups?)
    }
}

/// Writes the event, the head, and the sender's cursor: sending marks everything before the message as read and
/// delivered for the sender, if that is a user (not 0). The cursor's `position` stays: other devices infer this from the
/// event.
fn log_event(batch: &mut Batch<'_>, append: &Append, event: &Event, reaction: &str) -> Result<(), Failure> {
    let change = event.change.as_ref();
    let label: Option<Cow<'_, str>> = match change {
        Some(change) => change.text().map(Cow::Owned),
        None => match &event.entry {
            Some(entry) => Some(Cow::Owned(derive::text(&entry.to_text()).into_owned())),
            None => (!reaction.is_empty()).then(|| derive::text(reaction)),
        },
    };
    let users: Option<Vec<i64>> = change.map(|change| change.users.iter().map(|user| sql(user.0)).collect());
    let headed = batch.session.execute(
        "WITH logged AS (
            INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at, kind,
                                target, expires_at, users, role, label, body)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ), moved AS (
            INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
            SELECT $1, $6, $2, $2, $4, 0 WHERE $6 <> 0
            ON CONFLICT (conversation, user_id) DO UPDATE
            SET delivered = greatest(k.delivered, excluded.delivered), read = greatest(k.read, excluded.read),
                read_ordinal = greatest(k.read_ordinal, excluded.read_ordinal)
         )
         UPDATE conversations SET head_seq = $2, head_ordinal = $4, head_position = $3, head_at = $9, roster = $5
         WHERE id = $1 AND head_seq = $2 - 1",
        &[
            &sql(event.conversation.0),
            &sql(event.seq.0),
            &sql(event.position.0),
            &sql(event.ordinal),
            &sql(event.roster.0),
            &sql(event.sender.0),
            &&event.client_id.0[..],
            &&append.fingerprint.0[..],
            &sql(event.at.0),
            &i16::from(event.kind.number()),
            &sql(event.target.0),
            &sql(event.expires_at.0),
            &users,
            &change.and_then(|change| change.role).map(Role::number),
            &label,
            &&event.body[..],
        ],
    )?;
    derive::one_row(headed, "an event does not follow its conversation's head")
}
