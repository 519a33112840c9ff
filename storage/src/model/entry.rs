//! The effects of an allowed append.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    append::Draft,
    state::{Conversation, Entry, State, Stay},
};
use crate::{
    error::Refused,
    kind::Effect,
    shape::Shape,
    types::{ClientId, Event, EventKind, GroupChange, Role, Seq, UserId},
    write::{Action, Append, Appended, Outcome},
};

impl State {
    pub(super) fn append(&mut self, append: &Append) -> Result<Outcome, Refused> {
        if let Some(earlier) = self.earlier(append) {
            return earlier;
        }
        if let Action::Person(action) = &append.action {
            return self.person(append, action);
        }
        let draft = self.decide(append)?;
        #[cfg(any(test, feature = "conformance"))]
        if let Action::Pair { other, .. } = append.action {
            let there = Append {
                conversation: other,
                client_id: append.client_id.of_the_other(),
                ..append.clone()
            };
            let event = self.enter(append, draft.clone())?;
            let others = vec![self.enter(&there, draft)?];
            return Ok(Outcome::Appended(Appended {
                event,
                others,
                duplicate: false,
            }));
        }
        let event = self.enter(append, draft)?;
        Ok(Outcome::Appended(Appended {
            event,
            others: Vec::new(),
            duplicate: false,
        }))
    }

    pub(super) fn enter(&mut self, append: &Append, draft: Draft) -> Result<Arc<Event>, Refused> {
        let shape = Shape::of(append.conversation).ok_or(Refused::NotFound)?;
        let position = self.next_position();
        let conversation = self
            .conversations
            .entry(append.conversation)
            .or_insert_with(|| Conversation::new(shape));
        let seq = Seq(conversation.head().0 + 1);
        let last = conversation.log.last().map(|entry| &entry.event);
        let kind = draft.kind;
        let event = Arc::new(Event {
            position,
            conversation: append.conversation,
            seq,
            ordinal: last.map_or(0, |last| last.ordinal) + u64::from(kind.is_displayable()),
            roster: if kind.changes_members() {
                seq
            } else {
                last.map_or(Seq(0), |last| last.roster)
            },
            sender: append.sender,
            client_id: if append.sender == UserId::SERVER {
                ClientId(u128::from(seq.0).to_be_bytes())
            } else {
                append.client_id
            },
            at: append.at,
            kind,
            target: draft.target,
            body: draft.body.clone(),
            change: draft.change.clone(),
            entry: draft.entry.clone().map(Box::new),
            expires_at: draft.expires_at,
            recalled: false,
        });
        let before = self.state_of(&event);
        if let Some(conversation) = self.conversations.get_mut(&append.conversation) {
            conversation.enter(append, draft, Arc::clone(&event));
        }
        self.entered(&event, before);
        Ok(event)
    }

    /// The result of the same request, if it was made before.
    fn earlier(&self, append: &Append) -> Option<Result<Outcome, Refused>> {
        let conversation = self.conversations.get(&append.conversation)?;
        let seq = conversation.requests.get(&(append.sender, append.client_id))?;
        let entry = conversation.entry(*seq)?;
        if entry.fingerprint != append.fingerprint {
            return Some(Err(Refused::Conflict));
        }
        Some(Ok(Outcome::Appended(Appended {
            event: Arc::clone(&entry.event),
            others: Vec::new(),
            duplicate: true,
        })))
    }
}

impl Conversation {
    fn enter(&mut self, append: &Append, draft: Draft, event: Arc<Event>) {
        let (kind, seq, event_id) = (event.kind, event.seq, event.client_id);
        self.log.push(Entry {
            event,
            fingerprint: append.fingerprint,
            reaction: draft.reaction,
        });
        self.requests.insert((append.sender, event_id), seq);
        if draft.target != Seq(0) {
            self.about.entry(draft.target).or_default().push(seq);
        }
        if kind == EventKind::Recall {
            self.erase(draft.target);
        }
        if let Some(change) = draft.change {
            self.change(append, kind, seq, change);
        }
        // Sending marks everything before the message as read and delivered for the sender.
        if append.sender != UserId::SERVER {
            let cursor = self.cursors.entry(append.sender).or_default();
            cursor.delivered = seq;
            cursor.read = seq;
        }
    }

    fn erase(&mut self, target: Seq) {
        let edits = self
            .about(target, EventKind::Edit)
            .map(|edit| edit.event.seq)
            .collect::<Vec<_>>();
        for entry in &mut self.log {
            if entry.event.seq == target || edits.contains(&entry.event.seq) {
                let event = Arc::make_mut(&mut entry.event);
                event.body = Bytes::new();
                event.recalled = true;
            }
        }
    }

    fn change(&mut self, append: &Append, kind: EventKind, seq: Seq, change: GroupChange) {
        for user in change.users {
            match kind.effect() {
                Effect::Join => {
                    let founder = kind == EventKind::GroupCreated && user == append.sender;
                    self.stays.push(Stay {
                        user,
                        role: if founder { Role::Owner } else { Role::Member },
                        joined: seq,
                        left: None,
                    });
                }
                Effect::Leave | Effect::Role => {
                    let stay = self
                        .stays
                        .iter_mut()
                        .find(|stay| stay.user == user && stay.left.is_none());
                    match (stay, change.role) {
                        (Some(stay), Some(role)) => stay.role = role,
                        (Some(stay), None) => stay.left = Some(seq),
                        (None, _) => {}
                    }
                }
                Effect::Message
                | Effect::Edit
                | Effect::Recall
                | Effect::Reaction
                | Effect::Settings
                | Effect::End
                | Effect::Notice
                | Effect::Entry => {}
            }
        }
        if kind == EventKind::GroupDisbanded {
            self.disbanded = true;
        }
    }
}
