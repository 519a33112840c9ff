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
    /// The message that it answers; 0 for none.
    pub(crate) reply_to: u64,
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
    /// Where the view ends; `None` at the newest line, wherever that moves.
    pub(crate) anchor: Option<Anchor>,
    /// What was not read when the room was opened begins behind this seq.
    pub(crate) new_after: Option<u64>,
    /// The view is to go to the first message that was not read, once it is loaded.
    pub(crate) seeks_unread: bool,
    /// The seq up to which this user has seen it.
    pub(crate) read: u64,
    /// The seq up to which the server was told so.
    pub(crate) read_told: u64,
    /// A page brought nothing: there is nothing older.
    complete: bool,
}

/// The last line in sight: so many lines of the event of this seq lie below it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Anchor {
    pub(crate) seq: u64,
    pub(crate) hidden: usize,
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

    /// An event that is here.
    pub(crate) fn said(&self, seq: u64) -> Option<&v1::Event> {
        self.events.get(&seq)
    }

    pub(crate) fn head(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Whether something older can be asked for.
    pub(crate) const fn has_more(&self) -> bool {
        self.loaded_from > 1 && !self.complete
    }

    /// Events that are kept.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// What was refused, to be sent again.
    pub(crate) fn take_failed(&mut self) -> Vec<Pending> {
        let (failed, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.failed.is_some());
        self.pending = pending;
        failed
    }

    /// Messages of which it is not certain that they are stored.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// Drops what the server said; what is on its way to it stays.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            pending: std::mem::take(&mut self.pending),
            read: 0,
            ..Self::default()
        };
    }

    /// Takes a page of history.
    pub(crate) fn take_page(&mut self, page: v1::Page) {
        self.loading = false;
        let from = page.from_seq.max(1);
        self.complete = self.loaded_from != 0 && from >= self.loaded_from;
        self.loaded_from = match self.loaded_from {
            0 => from,
            known => known.min(from),
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
                self.loaded_from = seq.saturating_add(1);
                self.complete = false;
            }
        }
    }

    /// What is there already may know more than what comes again.
    fn insert(&mut self, event: v1::Event) {
        self.events.entry(event.seq).or_insert(event);
    }

    /// A pending message was stored.
    pub(crate) fn confirm(&mut self, client_id: &[u8], event: v1::Event) {
        self.take_pending(client_id);
        self.insert(event);
    }

    pub(crate) fn take_pending(&mut self, client_id: &[u8]) -> Option<Pending> {
        let index = self
            .pending
            .iter()
            .position(|pending| pending.client_id == client_id)?;
        Some(self.pending.remove(index))
    }

    /// Keeps what was refused in sight.
    pub(crate) fn fail(&mut self, pending: Pending, reason: &str) {
        self.pending.push(Pending {
            failed: Some(reason.to_owned()),
            ..pending
        });
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
