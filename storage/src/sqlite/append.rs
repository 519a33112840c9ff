//! An append: whether it was made before, whether it may be, and its row in the log.
//! It must never write before everything is decided: a refusal leaves nothing behind.

use std::sync::Arc;

use super::{
    derive,
    failure::{Failure, Stop},
    group,
    lookup::{self, Head},
    moment::Moment,
    state::{self, Stay},
    writer::Batch,
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{Event, EventKind, GroupChange, Role, Seq, Timestamp},
    write::{Action, Append, Appended, Rules},
};
use bytes::Bytes;

/// The kinds of messages there are.
const MESSAGE_KINDS: std::ops::RangeInclusive<u8> = 1..=31;

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
    if let Some(earlier) = batch.event_by_request(append)? {
        if earlier.fingerprint != append.fingerprint {
            return Err(Refused::Conflict.into());
        }
        return Ok(Appended {
            event: Arc::new(earlier.event),
            duplicate: true,
        });
    }
    let head = batch.head(append.conversation)?;
    let case = Case {
        moment: batch.moment(),
        rules: batch.rules,
        append,
        head,
    };
    let draft = case.decide()?;
    let event = enter(batch, append, head, draft)?;
    Ok(Appended {
        event,
        duplicate: false,
    })
}

/// An append before it is decided, with what is known about its conversation.
pub(super) struct Case<'a> {
    pub(super) moment: Moment<'a>,
    pub(super) rules: Rules,
    pub(super) append: &'a Append,
    pub(super) head: Option<Head>,
}

impl<'a> Case<'a> {
    fn decide(&self) -> Result<Draft<'a>, Stop> {
        match &self.append.action {
            Action::Message {
                kind,
                body,
                expires_at,
                reply_to,
            } => {
                self.may_write()?;
                if !MESSAGE_KINDS.contains(kind) {
                    return Err(Refused::Forbidden.into());
                }
                if *reply_to != Seq(0) {
                    self.target(*reply_to)?;
                }
                let mut draft = Draft::new(EventKind::Message(*kind), Seq(0), body.clone());
                draft.expires_at = *expires_at;
                Ok(draft)
            }
            Action::Edit { target, body, fits } => {
                let role = self.stay()?.role;
                let event = self.changeable(*target, role, false)?;
                if event.has_expired(self.append.at) {
                    return Err(Refused::Gone.into());
                }
                if !fits.has(event.kind.number()) {
                    return Err(Refused::Unfit.into());
                }
                let counts = state::counts_of(self.moment.connection, self.append.conversation, *target)?;
                if counts.edits >= u64::from(self.rules.message_edits_max) {
                    return Err(Refused::LimitReached.into());
                }
                let mut draft = Draft::new(EventKind::Edit, *target, body.clone());
                draft.expires_at = event.expires_at;
                Ok(draft)
            }
            Action::Recall { target } => {
                let role = self.stay()?.role;
                self.changeable(*target, role, true)?;
                Ok(Draft::new(EventKind::Recall, *target, Bytes::new()))
            }
            Action::React {
                target,
                reaction,
                body,
            } => {
                self.stay()?;
                let event = self.target(*target)?;
                if event.recalled || event.has_expired(self.append.at) {
                    return Err(Refused::Gone.into());
                }
                self.new_reaction(*target, reaction)?;
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
            | Action::Disband => group::decide(self),
        }
    }

    /// The sender may write here now. 1:1 conversations and own logs need not exist yet.
    fn may_write(&self) -> Result<(), Stop> {
        let shape = Shape::of(self.append.conversation).ok_or(Refused::NotFound)?;
        if shape == Shape::Group {
            self.stay()?;
            return Ok(());
        }
        if !shape.fixed_members().any(|user| user == self.append.sender) {
            return Err(Refused::NotFound.into());
        }
        // Accounts do not go away: whoever had one at the first event has one now.
        if self.head.is_none() {
            for user in shape.fixed_members() {
                if !lookup::user_exists(self.moment.connection, user)? {
                    return Err(Refused::NotFound.into());
                }
            }
        }
        Ok(())
    }

    /// The sender's present membership of a conversation that there is.
    pub(super) fn stay(&self) -> Result<Stay, Stop> {
        let head = self.head.ok_or(Refused::NotFound)?;
        let append = self.append;
        let stay = state::newest_stay(self.moment.connection, append.conversation, append.sender)?
            .ok_or(Refused::NotFound)?;
        if stay.left.is_some() {
            return Err(Refused::Forbidden.into());
        }
        if head.disbanded {
            return Err(Refused::Gone.into());
        }
        Ok(stay)
    }

    /// A displayable message that the sender can see.
    fn target(&self, target: Seq) -> Result<Event, Stop> {
        let (connection, append) = (self.moment.connection, self.append);
        let Some(entry) = lookup::event_at(&self.moment, append.conversation, target)? else {
            let exists = self.head.is_some_and(|head| (1..=head.seq.0).contains(&target.0));
            return Err(if exists {
                Failure::damaged("a seq below the head has no event").into()
            } else {
                Refused::NotFound.into()
            });
        };
        let visible = entry.event.kind.is_displayable()
            && lookup::sees(connection, append.conversation, append.sender, target)?;
        if visible {
            Ok(entry.event)
        } else {
            Err(Refused::NotFound.into())
        }
    }

    /// The sender's reaction is another one than they have, and there is room for it: a first one adds to the others.
    fn new_reaction(&self, target: Seq, reaction: &str) -> Result<(), Stop> {
        let (connection, append) = (self.moment.connection, self.append);
        let present = lookup::reaction_of(connection, append.conversation, target, append.sender)?;
        if present.as_deref().unwrap_or_default() == reaction {
            return Err(Refused::NothingToDo.into());
        }
        if present.is_none() {
            let counts = state::counts_of(connection, append.conversation, target)?;
            if counts.reactions >= u64::from(self.rules.message_reactions_max) {
                return Err(Refused::LimitReached.into());
            }
        }
        Ok(())
    }

    /// A message that the sender may change: their own, or, where moderating counts, anyone's.
    fn changeable(&self, target: Seq, role: Role, moderating: bool) -> Result<Event, Stop> {
        let event = self.target(target)?;
        if event.sender != self.append.sender && !(moderating && role >= Role::Admin) {
            return Err(Refused::Forbidden.into());
        }
        if event.recalled {
            return Err(Refused::Gone.into());
        }
        Ok(event)
    }
}

/// Takes the next seq and position, and writes the event and all that follows from it.
fn enter(
    batch: &mut Batch<'_>,
    append: &Append,
    head: Option<Head>,
    draft: Draft<'_>,
) -> Result<Arc<Event>, Failure> {
    let seq = Seq(head.map_or(0, |head| head.seq.0) + 1);
    let event = Arc::new(Event {
        position: batch.next_position(),
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
    });
    batch.log.enter(&event, append.fingerprint, draft.reaction)?;
    derive::apply(&batch.moment(), &event, draft.reaction)?;
    batch.entered(&event, append.fingerprint, head);
    Ok(event)
}
