//! What a list has of a conversation's newest events.

use std::collections::{BTreeMap, HashMap};

use protocol::RawPage;
use storage::{ConversationId, ConversationView, Seq, SessionId, Snapshot, Timestamp, ephemeral::RecentList};

use super::entry::{Entry, Mark};

/// A list that was read, of this store.
#[derive(Debug)]
pub struct List {
    mark: Mark,
    events: HashMap<ConversationId, BTreeMap<Seq, Entry>>,
}

/// What a list says of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Newest {
    /// All that is new, as the store would show it.
    Page(RawPage),
    /// More is new than one page takes.
    TooMany,
    /// Ask the store.
    Unknown,
}

impl List {
    /// Reads one. `None` for what is not readable, is of another store, or contradicts itself.
    pub fn read(list: &RecentList, log_id: u64, epoch: u64) -> Option<Self> {
        let mark = Mark::parse(&list.since)?;
        if (mark.log_id, mark.epoch) != (log_id, epoch) {
            return None;
        }
        let mut events: HashMap<ConversationId, BTreeMap<Seq, Entry>> = HashMap::new();
        for event in &list.events {
            let entry = Entry::parse(event)?;
            let known = events.entry(event.conversation).or_default();
            let before = known.insert(event.seq, entry);
            if before.is_some() && before.as_ref() != known.get(&event.seq) {
                return None;
            }
        }
        Some(Self { mark, events })
    }

    /// The events of a conversation that are not in `since`, for a device of this session that is in step with
    /// `since`; at most `most`.
    ///
    /// A page `[first..head]` from here is what the store says, whatever was lost on the way here. `head` is the
    /// conversation's newest seq, as the database gave it: whoever is no member any more gets no page, because a
    /// message that they saw may have been recalled since. Whatever makes another of an event (an edit, a recall, a
    /// reaction) is a later event of the same conversation, so it would lie within the page; but it is never in a
    /// list, and a page has no holes. That the user may see all of it follows from the view, whose newest stretch
    /// of membership the page does not leave.
    ///
    /// That nothing new lies before the page is proved where it begins after an event of `since`, or with the user's
    /// membership. Else the list must begin where this device's own connection ended. Even so something may be missing
    /// there: additions get lost, and what was committed as the connection closed may have come too early for the
    /// list. The page says where it begins, so the device sees the gap and pulls; that is right, only not cheap.
    pub fn newest(
        &self,
        view: &ConversationView,
        since: &Snapshot,
        session: SessionId,
        most: usize,
        (epoch, now): (u64, Timestamp),
    ) -> Newest {
        let Some(known) = self.events.get(&view.id).filter(|_| view.member) else {
            return Newest::Unknown;
        };
        let mut next = view.head;
        let mut meets_since = false;
        let mut newest = Vec::new();
        while next >= view.joined
            && let Some(entry) = known.get(&next)
        {
            if since.covers(entry.position) {
                meets_since = true;
                break;
            }
            newest.push(entry);
            next = Seq(next.0.saturating_sub(1));
        }
        // The list has something new below the hole, so what is missing there is new as well.
        let hole_is_new = || {
            let mut lower = known
                .range(view.joined..next.max(view.joined))
                .map(|(_, entry)| entry);
            lower.any(|entry| !since.covers(entry.position))
        };
        let is_all = meets_since || next < view.joined || self.continues(since, session) && !hole_is_new();
        match newest.len() {
            0 => Newest::Unknown,
            count if count > most => Newest::TooMany,
            _ if !is_all => Newest::Unknown,
            _ => Newest::Page(RawPage {
                conversation_id: view.id.0,
                epoch,
                from_seq: next.0.saturating_add(1),
                to_seq: view.head.0,
                events: newest.iter().rev().map(|entry| entry.raw_event(now)).collect(),
                head_seq: view.head.0,
            }),
        }
    }

    /// Whether the list begins where the device stopped: everything up to the mark was written to its own connection,
    /// and `since` is a token of that or before. A newer one says that it has begun anew, and knows conversations by
    /// nothing but what comes now; then a page must not leave out where they begin.
    fn continues(&self, since: &Snapshot, session: SessionId) -> bool {
        self.mark.session == session && self.mark.snapshot.union(since) == self.mark.snapshot
    }
}
