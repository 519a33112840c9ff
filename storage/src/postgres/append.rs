//! An append on its own, within a transaction that has locked all it needs: whether it was made before, whether it
//! may be, and its rows. It must never write before everything is decided: a refusal leaves nothing behind.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;

use super::{
    batch::Batch,
    derive,
    failure::{Failure, Stop},
    group,
    lookup::{self, Facts, Head, Stay, Target},
    row::{role_number, sql},
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{Event, EventKind, GroupChange, Position, Role, Seq, Timestamp},
    write::{Action, Append, Appended},
};

/// The kinds of messages there are.
pub(super) const MESSAGE_KINDS: std::ops::RangeInclusive<u8> = 1..=31;

/// What is particular to an allowed append.
pub(super) struct Draft<'a> {
    pub(super) kind: EventKind,
    pub(super) target: Seq,
    pub(super) body: Bytes,
    pub(super) reaction: &'a str,
    pub(super) change: Option<GroupChange>,
    pub(super) expires_at: Timestamp,
}

impl Draft<'_> {
    const fn new(kind: EventKind, target: Seq, body: Bytes) -> Self {
        Self {
            kind,
            target,
            body,
            reaction: "",
            change: None,
            expires_at: Timestamp(0),
        }
    }

    pub(super) fn group(kind: EventKind, change: GroupChange) -> Self {
        Self {
            change: Some(change),
            ..Self::new(kind, Seq(0), Bytes::new())
        }
    }
}

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
            duplicate: true,
        });
    }
    let target = target_of(&append.action);
    let facts = lookup::facts(batch.session, append.conversation, append.sender, target)?;
    let case = Case { append, facts };
    let draft = case.decide(batch)?;
    let event = enter(batch, append, facts.head, draft)?;
    Ok(Appended {
        event: Arc::new(event),
        duplicate: false,
    })
}

/// The message that an append refers to; 0: none.
const fn target_of(action: &Action) -> Seq {
    match action {
        Action::Message { reply_to, .. } => *reply_to,
        Action::Edit { target, .. } | Action::Recall { target } | Action::React { target, .. } => *target,
        Action::CreateGroup { .. }
        | Action::AddMembers { .. }
        | Action::RemoveMember { .. }
        | Action::Leave
        | Action::SetRole { .. }
        | Action::Rename { .. }
        | Action::Disband => Seq(0),
    }
}

/// An append before it is decided, with what is known about its conversation.
pub(super) struct Case<'a> {
    pub(super) append: &'a Append,
    pub(super) facts: Facts,
}

impl<'a> Case<'a> {
    fn decide(&self, batch: &mut Batch<'_>) -> Result<Draft<'a>, Stop> {
        match &self.append.action {
            Action::Message {
                kind,
                body,
                expires_at,
                reply_to,
            } => {
                self.may_write(batch)?;
                if !MESSAGE_KINDS.contains(kind) {
                    return Err(Refused::Forbidden.into());
                }
                if *reply_to != Seq(0) {
                    self.target()?;
                }
                let mut draft = Draft::new(EventKind::Message(*kind), Seq(0), body.clone());
                draft.expires_at = *expires_at;
                Ok(draft)
            }
            Action::Edit { target, body, fits } => {
                let role = self.stay()?.role;
                let found = self.changeable(role, false)?;
                if found.expires_at.is_past(self.append.at) {
                    return Err(Refused::Gone.into());
                }
                if !fits.has(found.kind) {
                    return Err(Refused::Unfit.into());
                }
                if found.counts.edits >= u64::from(batch.rules.message_edits_max) {
                    return Err(Refused::LimitReached.into());
                }
                let mut draft = Draft::new(EventKind::Edit, *target, body.clone());
                draft.expires_at = found.expires_at;
                Ok(draft)
            }
            Action::Recall { target } => {
                let role = self.stay()?.role;
                self.changeable(role, true)?;
                Ok(Draft::new(EventKind::Recall, *target, Bytes::new()))
            }
            Action::React {
                target,
                reaction,
                body,
            } => {
                self.stay()?;
                let found = self.target()?;
                if found.recalled || found.expires_at.is_past(self.append.at) {
                    return Err(Refused::Gone.into());
                }
                let append = self.append;
                let (conversation, user) = (append.conversation, append.sender);
                let present = lookup::reaction_of(batch.session, conversation, *target, user)?;
                if present.as_deref().unwrap_or_default() == derive::text(reaction) {
                    return Err(Refused::NothingToDo.into());
                }
                // A first one of theirs adds to the others.
                let full = found.counts.reactions >= u64::from(batch.rules.message_reactions_max);
                if full && present.is_none() {
                    return Err(Refused::LimitReached.into());
                }
                let mut draft = Draft::new(EventKind::Reaction, *target, body.clone());
                draft.reaction = reaction;
                Ok(draft)
            }
            Action::CreateGroup { .. }
            | Action::AddMembers { .. }
            | Action::RemoveMember { .. }
            | Action::Leave
            | Action::SetRole { .. }
            | Action::Rename { .. }
            | Action::Disband => group::decide(self, batch),
        }
    }

    /// The sender may write here now. 1:1 conversations and own logs need not exist yet.
    fn may_write(&self, batch: &mut Batch<'_>) -> Result<(), Stop> {
        let shape = Shape::of(self.append.conversation).ok_or(Refused::NotFound)?;
        if shape == Shape::Group {
            self.stay()?;
            return Ok(());
        }
        if !shape.fixed_members().any(|user| user == self.append.sender) {
            return Err(Refused::NotFound.into());
        }
        // Accounts do not go away: whoever had one at the first event has one now.
        if self.facts.head.is_none() {
            let users: Vec<i64> = shape.fixed_members().map(|user| sql(user.0)).collect();
            if !lookup::all_exist(batch.session, &users)? {
                return Err(Refused::NotFound.into());
            }
        }
        Ok(())
    }

    /// The sender's present membership of a conversation that there is.
    pub(super) fn stay(&self) -> Result<Stay, Stop> {
        let head = self.facts.head.ok_or(Refused::NotFound)?;
        let stay = self.facts.stay.ok_or(Refused::NotFound)?;
        if stay.is_over {
            return Err(Refused::Forbidden.into());
        }
        if head.disbanded {
            return Err(Refused::Gone.into());
        }
        Ok(stay)
    }

    fn target(&self) -> Result<Target, Refused> {
        self.facts.target.ok_or(Refused::NotFound)
    }

    /// A message that the sender may change: their own, or, where moderating counts, anyone's.
    fn changeable(&self, role: Role, moderating: bool) -> Result<Target, Stop> {
        let target = self.target()?;
        if target.sender != self.append.sender && !(moderating && role >= Role::Admin) {
            return Err(Refused::Forbidden.into());
        }
        if target.recalled {
            return Err(Refused::Gone.into());
        }
        Ok(target)
    }
}

/// Takes the next seq, and writes the event and all that follows from it.
fn enter(
    batch: &mut Batch<'_>,
    append: &Append,
    head: Option<Head>,
    draft: Draft<'_>,
) -> Result<Event, Failure> {
    let seq = Seq(head.map_or(0, |head| head.seq.0) + 1);
    let event = Event {
        position: Position(batch.position().cast_unsigned()),
        conversation: append.conversation,
        seq,
        ordinal: head.map_or(0, |head| head.ordinal) + u64::from(draft.kind.is_displayable()),
        roster: if draft.kind.changes_members() {
            seq
        } else {
            head.map_or(Seq(0), |head| head.roster)
        },
        sender: append.sender,
        client_id: append.client_id,
        at: append.at,
        kind: draft.kind,
        target: draft.target,
        body: draft.body,
        change: draft.change,
        expires_at: draft.expires_at,
        recalled: false,
    };
    log_event(batch, append, &event, draft.reaction)?;
    derive::apply(batch.session, &event, draft.reaction)?;
    Ok(event)
}

/// The event, the head, and the sender's cursor: who sends has read, and has, what was there. That moves no cursor's
/// position: others infer it from the event.
fn log_event(batch: &mut Batch<'_>, append: &Append, event: &Event, reaction: &str) -> Result<(), Failure> {
    let change = event.change.as_ref();
    let label: Option<Cow<'_, str>> = match change {
        Some(change) => change.name.as_deref().map(derive::text),
        None => (!reaction.is_empty()).then(|| derive::text(reaction)),
    };
    let users: Option<Vec<i64>> = change.map(|change| change.users.iter().map(|user| sql(user.0)).collect());
    let headed = batch.session.execute(
        "WITH logged AS (
            INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at, kind,
                                target, expires_at, users, role, label, body)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ), moved AS (
            INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
            VALUES ($1, $6, $2, $2, $4, 0)
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
            &change.and_then(|change| change.role).map(role_number),
            &label,
            &&event.body[..],
        ],
    )?;
    derive::one_row(headed, "an event does not follow its conversation's head")
}
