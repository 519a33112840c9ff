//! The unindexed events: events that are in the log while their index is not written yet, in memory, by conversation.
//! The writer enters them before it commits; readers unite them with the tables that their own transaction sees.
//!
//! A reader takes every entry up to the position that its transaction reads, and none above, so later entries do not
//! matter, committed or not. An entry stays after its index has been written until no transaction is open that began
//! before that. Being listed here does not mean being committed; readers decide that by their transaction's position.

#[cfg(test)]
mod model;
mod question;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};

use parking_lot::RwLock;

pub(super) use question::Question;

use super::{deferred_index::Indexed, failure::Failure};
use crate::{
    read::Direction,
    types::{ClientId, ConversationId, Position, Seq, Timestamp, UserId},
};

/// Entries kept for readers, at most. A read that began too long ago is refused.
const ENTRIES_MAX: usize = 1 << 17;

/// An event's place, and its conversation's head if it is the newest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) ordinal: u64,
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) roster: Seq,
    pub(super) sender: UserId,
    pub(super) client_id: ClientId,
}

/// The newest events of one conversation; their seqs are consecutive.
type Newest = VecDeque<Entry>;

#[derive(Debug, Default)]
struct State {
    conversations: foldhash::HashMap<ConversationId, Newest>,
    entries: usize,
    /// Slices of the index that were committed.
    slices: u64,
    /// The entries that each slice wrote, by number, until no reader needs them here.
    leaving: VecDeque<(u64, Vec<(ConversationId, Seq)>)>,
    /// The number of readers that began after each number of slices.
    readers: BTreeMap<u64, usize>,
    /// Readers that began before this slice miss entries: they are refused.
    forgotten: u64,
}

/// The events whose index is being written, by client id: events that are indexed by place have left the entries, and
/// are found here until they are indexed by client id.
#[derive(Clone, Debug, Default)]
struct Indexing {
    by_client_id: Option<Arc<[Indexed]>>,
    /// How many indexes were completed before.
    completed: u64,
}

impl Indexing {
    fn made_by(&self, conversation: ConversationId, sender: UserId, client_id: ClientId) -> Option<Entry> {
        let all = self.by_client_id.as_deref()?;
        let first = all.partition_point(|indexed| indexed.entry.client_id.0 < client_id.0);
        let same = all.iter().skip(first);
        let mut same = same.take_while(|indexed| indexed.entry.client_id == client_id);
        let found =
            same.find(|indexed| indexed.conversation == conversation && indexed.entry.sender == sender);
        found.map(|indexed| indexed.entry)
    }
}

/// The unindexed events, shared by a store's writer and its readers.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    state: RwLock<State>,
    indexing: RwLock<Indexing>,
}

impl Unindexed {
    /// Call this before the reader's transaction begins; the entries that the transaction needs stay until the value is
    /// dropped.
    fn begin_reading(&self) -> Reading<'_> {
        let mut state = self.state.write();
        let since = state.slices;
        *state.readers.entry(since).or_default() += 1;
        Reading {
            unindexed: self,
            since,
        }
    }

    /// The next event of its conversation.
    pub(super) fn enter(&self, conversation: ConversationId, entry: Entry) {
        let mut state = self.state.write();
        state.entries += 1;
        state
            .conversations
            .entry(conversation)
            .or_default()
            .push_back(entry);
    }

    /// The conversation's last entry was not committed.
    pub(super) fn take_back(&self, conversation: ConversationId) {
        let mut state = self.state.write();
        let Some(newest) = state.conversations.get_mut(&conversation) else {
            return;
        };
        let taken = usize::from(newest.pop_back().is_some());
        if newest.is_empty() {
            state.conversations.remove(&conversation);
        }
        state.entries -= taken;
    }

    /// From now on the index of these is being written. All of them are committed.
    pub(super) fn index_begins(&self, by_client_id: Arc<[Indexed]>) {
        self.indexing.write().by_client_id = Some(by_client_id);
    }

    /// The whole index of a generation is committed.
    pub(super) fn index_is_complete(&self) {
        let mut indexing = self.indexing.write();
        indexing.by_client_id = None;
        indexing.completed += 1;
    }

    /// A slice of the index was committed: it has everything up to these seqs of these conversations.
    pub(super) fn written(&self, slice: Vec<(ConversationId, Seq)>) {
        self.written_within(slice, ENTRIES_MAX);
    }

    fn written_within(&self, slice: Vec<(ConversationId, Seq)>, entries_max: usize) {
        let mut state = self.state.write();
        state.slices += 1;
        let number = state.slices;
        state.leaving.push_back((number, slice));
        state.release(entries_max);
    }

    fn read<T>(
        &self,
        conversation: ConversationId,
        since: u64,
        read: impl FnOnce(&Newest) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let state = self.state.read();
        if since < state.forgotten {
            return Err(Failure::Overtaken);
        }
        Ok(state.conversations.get(&conversation).and_then(read))
    }
}

impl State {
    /// Drops entries that no reader needs, and the oldest beyond the limit.
    fn release(&mut self, entries_max: usize) {
        while let Some((slice, _)) = self.leaving.front() {
            let needed = self.readers.keys().next().is_some_and(|since| since < slice);
            if needed && self.entries <= entries_max {
                return;
            }
            let Some((slice, written)) = self.leaving.pop_front() else {
                return;
            };
            if needed {
                self.forgotten = slice;
            }
            for (conversation, up_to) in written {
                self.forget(conversation, up_to);
            }
        }
    }

    fn forget(&mut self, conversation: ConversationId, up_to: Seq) {
        let Some(newest) = self.conversations.get_mut(&conversation) else {
            return;
        };
        let gone = newest.partition_point(|entry| entry.seq <= up_to);
        newest.drain(..gone);
        self.entries -= gone;
        if newest.is_empty() {
            self.conversations.remove(&conversation);
        }
    }
}

/// A reader's pin on the entries that its transaction may need.
#[derive(Debug)]
struct Reading<'a> {
    unindexed: &'a Unindexed,
    since: u64,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.unindexed.state.write();
        if let Some(readers) = state.readers.get_mut(&self.since) {
            *readers -= 1;
            if *readers == 0 {
                state.readers.remove(&self.since);
            }
        }
    }
}

/// The entries up to a position, as one transaction may see them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    unindexed: &'a Unindexed,
    /// Slices that the transaction certainly sees.
    since: u64,
    up_to: Position,
}

impl<'a> Seen<'a> {
    /// The view of a reader's transaction that reads this position.
    const fn by_reader(reading: &Reading<'a>, up_to: Position) -> Self {
        Self {
            unindexed: reading.unindexed,
            since: reading.since,
            up_to,
        }
    }

    /// All entries: the writer sees its own.
    pub(super) const fn by_writer(unindexed: &'a Unindexed) -> Self {
        Self {
            unindexed,
            since: u64::MAX,
            up_to: Position(u64::MAX),
        }
    }

    fn read<T>(
        &self,
        conversation: ConversationId,
        read: impl FnOnce(&Newest) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        self.unindexed.read(conversation, self.since, read)
    }

    fn sees(&self, entry: &Entry) -> bool {
        entry.position <= self.up_to
    }

    /// The conversation's newest event, if it is unindexed.
    pub(super) fn newest(&self, conversation: ConversationId) -> Result<Option<Entry>, Failure> {
        self.read(conversation, |newest| {
            newest.iter().rev().find(|entry| self.sees(entry)).copied()
        })
    }

    /// The event with this seq.
    pub(super) fn at(&self, conversation: ConversationId, seq: Seq) -> Result<Option<Entry>, Failure> {
        self.read(conversation, |newest| {
            let first = newest.front()?.seq.0;
            let place = usize::try_from(seq.0.checked_sub(first)?).ok()?;
            newest.get(place).filter(|entry| self.sees(entry)).copied()
        })
    }

    /// The unindexed events of a range of seqs, beginning at the end that is read first. In one step, because between
    /// two steps entries may leave for the index.
    pub(super) fn stretch(
        &self,
        conversation: ConversationId,
        seqs: RangeInclusive<u64>,
        direction: Direction,
    ) -> Result<Stretch, Failure> {
        let stretch = self.read(conversation, |newest| {
            let first = newest.front()?.seq.0;
            let place = |seq: u64| usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
            let count = if *seqs.end() < first {
                0
            } else {
                place(*seqs.end())
                    .saturating_add(1)
                    .saturating_sub(place(*seqs.start()))
            };
            let wanted = newest.iter().skip(place(*seqs.start())).take(count);
            let positions: Vec<Position> = wanted
                .filter(|entry| self.sees(entry))
                .map(|entry| entry.position)
                .collect();
            Some(Stretch {
                first,
                positions: match direction {
                    Direction::Forward => positions,
                    Direction::Backward => positions.into_iter().rev().collect(),
                },
            })
        })?;
        Ok(stretch.unwrap_or(Stretch {
            first: u64::MAX,
            positions: Vec::new(),
        }))
    }

    /// Conversations whose newest unindexed event is beyond a position; `None` if there are more than this many.
    pub(super) fn conversations_beyond(
        &self,
        since: Position,
        most: usize,
    ) -> Result<Option<Vec<ConversationId>>, Failure> {
        let state = self.unindexed.state.read();
        if self.since < state.forgotten {
            return Err(Failure::Overtaken);
        }
        if state.conversations.len() > most {
            return Ok(None);
        }
        let beyond = state.conversations.iter().filter(|(_, newest)| {
            let newest = newest.iter().rev().find(|entry| self.sees(entry));
            newest.is_some_and(|newest| newest.position > since)
        });
        Ok(Some(beyond.map(|(conversation, _)| *conversation).collect()))
    }

    /// The newest event that a user sent to the conversation.
    pub(super) fn sent(
        &self,
        conversation: ConversationId,
        sender: UserId,
    ) -> Result<Option<Entry>, Failure> {
        self.read(conversation, |newest| {
            let mut backward = newest.iter().rev();
            backward
                .find(|entry| entry.sender == sender && self.sees(entry))
                .copied()
        })
    }

    /// The event that a request made, if it is unindexed.
    pub(super) fn made_by(
        &self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<Entry>, Failure> {
        self.read(conversation, |newest| {
            let mut backward = newest.iter().rev();
            let is_it = |entry: &&Entry| entry.client_id == client_id && entry.sender == sender;
            backward.find(|entry| is_it(entry) && self.sees(entry)).copied()
        })
    }

    /// The newest event of each sender.
    pub(super) fn senders(&self, conversation: ConversationId) -> Result<HashMap<UserId, Entry>, Failure> {
        let senders = self.read(conversation, |newest| {
            let seen = newest.iter().filter(|entry| self.sees(entry));
            Some(seen.map(|entry| (entry.sender, *entry)).collect())
        })?;
        Ok(senders.unwrap_or_default())
    }
}

/// See [`Seen::stretch`].
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Stretch {
    /// Every seq below this one is indexed.
    pub(super) first: u64,
    pub(super) positions: Vec<Position>,
}
