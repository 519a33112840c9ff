//! One conversation as it is shown: its events with what later ones made of them, and what is on its way.

use std::collections::BTreeMap;

use protocol::v1::{self, EventKind};

use crate::message;

/// Events of a conversation kept for showing; the oldest go first.
pub(crate) const EVENTS_MAX: usize = 2_000;

/// How far a message of one's own has got.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Mark {
    Stored,
    Delivered,
    Read,
}

/// A message that the server has not confirmed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pending {
    pub(crate) client_id: Vec<u8>,
    pub(crate) text: String,
    /// Why it will never be stored.
    pub(crate) failed: Option<String>,
}

/// How far another member has got.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    delivered: u64,
    read: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    events: BTreeMap<u64, v1::Event>,
    pub(crate) pending: Vec<Pending>,
    members: BTreeMap<u64, Progress>,
    /// Everything from here on has been asked for; 0 before anything was.
    pub(crate) loaded_from: u64,
    pub(crate) loading: bool,
    /// Lines scrolled up from the end.
    pub(crate) scroll: usize,
    /// The seq up to which this user said to have read.
    pub(crate) read: u64,
}

impl Room {
    /// Messages and notices, oldest first.
    pub(crate) fn shown(&self) -> impl DoubleEndedIterator<Item = &v1::Event> {
        let is_shown =
            |event: &&v1::Event| message::is_message(event) || event.kind >= EventKind::GroupCreated as i32;
        self.events.values().filter(is_shown)
    }

    /// The last message there is, of one's own or of others.
    pub(crate) fn last_message(&self, me: u64, own: bool) -> Option<&v1::Event> {
        let wanted = |event: &&v1::Event| {
            message::is_message(event) && (event.sender_id == me) == own && !event.recalled
        };
        self.events.values().rev().find(wanted)
    }

    pub(crate) fn head(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Whether something older can be asked for.
    pub(crate) const fn has_more(&self) -> bool {
        self.loaded_from > 1
    }

    /// Drops what the server said; what is on its way to it stays.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            pending: std::mem::take(&mut self.pending),
            ..Self::default()
        };
    }

    /// Takes a page of history.
    pub(crate) fn take_page(&mut self, page: v1::Page) {
        self.loading = false;
        self.loaded_from = match self.loaded_from {
            0 => page.from_seq.max(1),
            known => known.min(page.from_seq.max(1)),
        };
        for event in page.events {
            self.insert(event);
        }
    }

    /// Takes an event as it happens.
    pub(crate) fn apply(&mut self, event: &v1::Event) {
        self.pending
            .retain(|pending| pending.client_id != event.client_msg_id);
        let target = self.events.get_mut(&event.target_seq);
        match (EventKind::try_from(event.kind), target) {
            (Ok(EventKind::Edit), Some(target)) => {
                target.revision = Some(v1::Revision {
                    seq: event.seq,
                    content: event.body.as_ref().and_then(|body| body.content.clone()),
                });
            }
            (Ok(EventKind::Recall), Some(target)) => {
                target.recalled = true;
                target.body = None;
                target.revision = None;
            }
            (Ok(EventKind::Reaction), Some(target)) => react(target, event),
            _ => {}
        }
        self.insert(event.clone());
        while self.events.len() > EVENTS_MAX {
            if let Some((seq, _)) = self.events.pop_first() {
                self.loaded_from = seq + 1;
            }
        }
    }

    /// What is there already may know more than what comes again.
    fn insert(&mut self, event: v1::Event) {
        self.events.entry(event.seq).or_insert(event);
    }

    /// A pending message was stored.
    pub(crate) fn confirm(&mut self, client_id: &[u8], event: v1::Event) {
        self.pending.retain(|pending| pending.client_id != client_id);
        self.insert(event);
    }

    pub(crate) fn fail(&mut self, client_id: &[u8], reason: &str) {
        let pending = self
            .pending
            .iter_mut()
            .find(|pending| pending.client_id == client_id);
        if let Some(pending) = pending {
            pending.failed = Some(reason.to_owned());
        }
    }

    pub(crate) fn take_cursor(&mut self, cursor: &v1::Cursor) {
        let progress = self.members.entry(cursor.user_id).or_default();
        progress.delivered = progress.delivered.max(cursor.delivered_seq).max(cursor.read_seq);
        progress.read = progress.read.max(cursor.read_seq);
    }

    /// How far all the others have got with it.
    pub(crate) fn mark(&self, me: u64, seq: u64) -> Mark {
        let others = self.members.iter().filter(|(user, _)| **user != me);
        let reached = others.map(|(_, progress)| match progress {
            progress if progress.read >= seq => Mark::Read,
            progress if progress.delivered >= seq => Mark::Delivered,
            _ => Mark::Stored,
        });
        reached.min().unwrap_or(Mark::Stored)
    }
}

fn react(target: &mut v1::Event, event: &v1::Event) {
    let reaction = event
        .body
        .as_ref()
        .map(|body| body.reaction.clone())
        .unwrap_or_default();
    target.reactions.retain(|state| state.user_id != event.sender_id);
    if !reaction.is_empty() {
        target.reactions.push(v1::ReactionState {
            user_id: event.sender_id,
            reaction,
            seq: event.seq,
        });
    }
}
