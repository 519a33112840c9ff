//! The sync machine: inputs, and the order in which actions come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use protocol::v1;

use super::{
    CONVERSATIONS_MAX, Failure, HELD_MAX, Malformed, PULL_EVENTS_DEFAULT, READY_MAX, RequestId, SEQ_MAX,
    Snapshot, Start, page,
    token::{Ahead, Behind, Tokens},
    track::{Track, weight},
};

/// One device's view of all conversations of its user.
#[derive(Debug)]
pub struct Machine {
    pub(super) start: Start,
    pub(super) epoch: u64,
    pub(super) tokens: Tokens,
    pub(super) tracks: BTreeMap<u64, Track>,
    /// Tracks that miss something or have something to apply.
    pub(super) unsettled: BTreeSet<u64>,
    /// Tracks with a gap that nothing was asked about yet.
    pub(super) gaps: VecDeque<u64>,
    pub(super) ready: VecDeque<Ready>,
    pub(super) held_events: usize,
    /// The conversation of each pull in flight.
    pub(super) pulls: BTreeMap<RequestId, u64>,
    pub(super) pull_events: u32,
    pub(super) last_id: u64,
    pub(super) phase: Phase,
    pub(super) restart: bool,
    /// The server has accepted on this connection, or the last one, what this device stands on: what is ready may
    /// be applied.
    pub(super) verified: bool,
    /// The conversations that the sync under way has named, with their heads.
    pub(super) named: BTreeMap<u64, u64>,
    /// No sync was answered since the list was read: what the first one names and the list did not has
    /// moved in the meantime.
    pub(super) after_list: bool,
    pub(super) acknowledged: BTreeMap<u64, u64>,
    pub(super) unacknowledged: BTreeMap<u64, u64>,
    pub(super) applied_since_acknowledged: usize,
}

/// One step of a cursor.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) conversation: u64,
    pub(super) to: u64,
    pub(super) step: Step,
}

#[derive(Debug)]
pub(super) enum Step {
    Over(Box<v1::Event>),
    /// A stretch in which nothing is visible.
    Blank,
    /// Back, to what is confirmed.
    Rewind,
}

#[derive(Debug)]
pub(super) enum Phase {
    Offline,
    /// A device without cursors reads the list of conversations. Pushes are left aside until the sync
    /// that follows is under way: that brings whatever they said.
    Listing {
        asked: Option<RequestId>,
        before: Bytes,
        /// Of the first page.
        token: Bytes,
        postponed: bool,
    },
    Live(Live),
    /// The store is another one. What was applied still stands until the program takes the restart.
    Restarting {
        postponed: bool,
    },
}

#[derive(Debug)]
pub(super) struct Live {
    /// A sync is due, and what was heard since the last one does not count until it is answered.
    pub(super) due: bool,
    pub(super) asked: Option<Asked>,
    pub(super) postponed: bool,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) from_nothing: bool,
}

impl Machine {
    /// Goes on from what was stored, or begins at `start` where nothing was.
    pub fn new(snapshot: Snapshot, start: Start) -> Self {
        let Snapshot {
            epoch,
            token,
            cursors,
            mut marks,
            ahead,
        } = snapshot;
        let known = |(conversation, cursor)| (conversation, Track::at(cursor, marks.remove(&conversation)));
        let mut tracks: BTreeMap<u64, Track> =
            cursors.into_iter().take(CONVERSATIONS_MAX).map(known).collect();
        let room = CONVERSATIONS_MAX.saturating_sub(tracks.len());
        let unsettled = marks.keys().copied().take(room).collect();
        tracks.extend(
            marks
                .into_iter()
                .take(room)
                .map(|(conversation, mark)| (conversation, Track::of_earlier_epoch(mark))),
        );
        Self {
            start,
            epoch,
            tokens: Tokens::resumed(token, ahead),
            tracks,
            unsettled,
            gaps: VecDeque::new(),
            ready: VecDeque::new(),
            held_events: 0,
            pulls: BTreeMap::new(),
            pull_events: PULL_EVENTS_DEFAULT,
            last_id: 0,
            phase: Phase::Offline,
            restart: false,
            verified: false,
            named: BTreeMap::new(),
            after_list: false,
            acknowledged: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            applied_since_acknowledged: 0,
        }
    }

    /// What has been applied: what to store.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            epoch: self.epoch,
            token: self.tokens.stored.clone(),
            cursors: self
                .tracks
                .iter()
                .filter(|(_, track)| !track.is_of_earlier_epoch())
                .map(|(id, track)| (*id, track.cursor))
                .collect(),
            marks: self
                .tracks
                .iter()
                .filter_map(|(id, track)| Some((*id, track.last_applied()?)))
                .collect(),
            ahead: self.tokens.ahead().clone(),
        }
    }

    /// Last applied seq of a conversation; 0 when it is not known.
    pub fn cursor(&self, conversation: u64) -> u64 {
        self.tracks.get(&conversation).map_or(0, |track| track.cursor)
    }

    /// Connected, in step with everything heard of, and everything heard of was applied.
    pub fn is_caught_up(&self) -> bool {
        let live = matches!(&self.phase, Phase::Live(live) if !live.due && live.asked.is_none());
        live && self.unsettled.is_empty() && !self.restart
    }

    /// An authenticated connection stands. `page_events_max` is the server's limit, 0 when unknown.
    pub fn handle_connected(&mut self, page_events_max: u32) {
        self.forget_requests();
        self.pull_events = match page_events_max {
            0 => PULL_EVENTS_DEFAULT,
            allowed => allowed.min(u32::try_from(READY_MAX / 2).unwrap_or(PULL_EVENTS_DEFAULT)),
        };
        // Acknowledgements are written lazily by the server and may have been lost with it.
        let again = self.acknowledged.clone();
        for (conversation, seq) in again {
            self.unacknowledged.entry(conversation).or_insert(seq);
        }
        self.doubt_the_unconfirmed();
        if self.restart {
            self.phase = Phase::Restarting { postponed: false };
        } else {
            self.begin();
        }
    }

    /// The connection is gone, and with it the answers to what was asked.
    pub fn handle_disconnected(&mut self) {
        self.forget_requests();
        self.phase = Phase::Offline;
    }

    /// The answer to [`Action::List`](super::Action::List).
    ///
    /// # Errors
    /// More conversations than can be followed.
    pub fn handle_list(
        &mut self,
        id: RequestId,
        list: &v1::ListConversationsResponse,
    ) -> Result<(), Malformed> {
        let Phase::Listing {
            asked, before, token, ..
        } = &mut self.phase
        else {
            return Ok(());
        };
        if asked.take_if(|asked| *asked == id).is_none() {
            return Ok(());
        }
        if before.is_empty() {
            token.clone_from(&list.sync_token);
            self.epoch = list.epoch;
            self.tracks.clear();
        }
        before.clone_from(&list.before);
        let token = token.clone();
        if list.epoch != self.epoch {
            self.start_over();
            return Ok(());
        }
        for conversation in &list.conversations {
            self.check_room(conversation.conversation_id)?;
            check_seq(conversation.head_seq)?;
            self.tracks
                .entry(conversation.conversation_id)
                .or_insert_with(|| Track::listed(conversation));
        }
        if !list.more || list.before.is_empty() {
            // The heads that were listed are at least as far as this token.
            self.tokens.arrived(token, Ahead::new(), Behind::new);
            self.after_list = true;
            self.phase = Phase::Live(Live::due());
        }
        Ok(())
    }

    /// The answer to [`Action::Sync`](super::Action::Sync).
    ///
    /// # Errors
    /// Nothing of a page that does not fit was taken, and the sync is asked for again on the next
    /// connection.
    pub fn handle_sync(&mut self, id: RequestId, sync: v1::SyncResponse) -> Result<(), Malformed> {
        let Phase::Live(live) = &mut self.phase else {
            return Ok(());
        };
        let Some(asked) = live.asked.take_if(|asked| asked.id == id) else {
            return Ok(());
        };
        if !self.is_epoch(sync.epoch) || (sync.restarted && !asked.from_nothing) {
            self.start_over();
            return Ok(());
        }
        sync.pages.iter().try_for_each(page::check)?;
        self.verified = true;
        for conversation in &sync.conversations {
            let page = sync
                .pages
                .iter()
                .find(|page| page.conversation_id == conversation.conversation_id);
            self.take_conversation(conversation, page)?;
        }
        for page in sync.pages {
            self.take_page(page, false)?;
        }
        if sync.token.is_empty() {
            return Ok(());
        }
        self.after_list &= sync.more;
        let named = sync.conversations.iter();
        self.named
            .extend(named.map(|named| (named.conversation_id, named.head_seq)));
        if sync.more {
            // Not to be stored: what it covers of a conversation that is not named yet was not told.
            self.tokens.known = Some(sync.token);
            self.ask_for_sync();
            return Ok(());
        }
        self.inquire_what_was_not_named();
        let ahead = self.ahead_of_the_named();
        let (tracks, unsettled) = (&self.tracks, &self.unsettled);
        self.tokens
            .arrived(sync.token, ahead, || behind(tracks, unsettled));
        Ok(())
    }

    /// The answer to [`Action::Pull`](super::Action::Pull).
    ///
    /// # Errors
    /// The page does not fit, or does not bring what was asked for.
    pub fn handle_history(&mut self, id: RequestId, page: v1::Page) -> Result<(), Malformed> {
        let conversation = page.conversation_id;
        let Some(track) = self.tracks.get_mut(&conversation).filter(|_| !self.restart) else {
            return Ok(());
        };
        let Some(pull) = track.pull.take_if(|pull| pull.id == id) else {
            return Ok(());
        };
        self.pulls.remove(&id);
        page::check(&page)?;
        if page.epoch != self.epoch {
            self.ask_for_sync();
            return Ok(());
        }
        let head = page.head_seq;
        if page.to_seq < pull.from && head >= pull.from {
            return Err(Malformed::NoProgress);
        }
        // An answer speaks for everything from the seq that was asked for.
        let from_seq = page.from_seq.min(pull.from);
        self.take_page(v1::Page { from_seq, ..page }, true)?;
        self.compare_head(conversation, head);
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.settle_head(head, pull.head_since);
        }
        self.look_at(conversation);
        Ok(())
    }

    /// A push of events.
    ///
    /// # Errors
    /// The page does not fit.
    pub fn handle_page(&mut self, page: v1::Page) -> Result<(), Malformed> {
        if !self.listens() {
            return Ok(());
        }
        page::check(&page)?;
        if !self.is_epoch(page.epoch) {
            self.ask_for_sync();
            return Ok(());
        }
        self.take_page(page, false)
    }

    /// A push that says how far conversations go.
    ///
    /// # Errors
    /// More conversations than can be followed.
    pub fn handle_heads(&mut self, heads: &v1::HeadsPush) -> Result<(), Malformed> {
        if !self.listens() {
            return Ok(());
        }
        let same_store = self.is_epoch(heads.epoch);
        if heads.resync || !same_store {
            self.ask_for_sync();
        }
        if !same_store {
            return Ok(());
        }
        for head in &heads.heads {
            self.hear(head.conversation_id, head.seq)?;
            self.look_at(head.conversation_id);
        }
        Ok(())
    }

    /// A heartbeat's token. While a sync is due or under way it does not count: it may cover what only
    /// that sync brings.
    pub fn handle_pong(&mut self, token: Bytes) {
        let current = matches!(&self.phase, Phase::Live(live) if !live.due && live.asked.is_none());
        if !current || token.is_empty() {
            return;
        }
        if self.tokens.known.as_ref() == Some(&token) {
            if self.unsettled.is_empty() {
                self.tokens.arrived_again();
            }
        } else {
            let (tracks, unsettled) = (&self.tracks, &self.unsettled);
            self.tokens
                .arrived(token, Ahead::new(), || behind(tracks, unsettled));
        }
    }

    /// A request brought no answer.
    pub fn handle_failure(&mut self, id: RequestId, failure: Failure) {
        match &mut self.phase {
            Phase::Listing { asked, postponed, .. } if *asked == Some(id) => {
                *asked = None;
                *postponed = true;
            }
            Phase::Live(live) if live.asked.as_ref().is_some_and(|asked| asked.id == id) => {
                live.asked = None;
                live.due = true;
                live.postponed = true;
                if failure != Failure::Later {
                    self.restart = true;
                    self.phase = Phase::Restarting { postponed: true };
                }
            }
            Phase::Offline | Phase::Listing { .. } | Phase::Live(_) | Phase::Restarting { .. } => {
                self.handle_pull_failure(id, failure);
            }
        }
    }

    /// Repeats what failed with [`Failure::Later`]. The program decides when, with a back-off.
    pub fn retry(&mut self) {
        match &mut self.phase {
            Phase::Listing { postponed, .. } | Phase::Live(Live { postponed, .. }) => *postponed = false,
            Phase::Offline | Phase::Restarting { .. } => {}
        }
        self.lift_postponements();
    }

    #[cfg(test)]
    pub(super) const fn held_events(&self) -> usize {
        self.held_events
    }

    pub(super) fn begin(&mut self) {
        self.phase = match (&self.tokens.known, self.start) {
            (Some(_), _) => Phase::Live(Live::due()),
            (None, Start::Beginning) => {
                self.tokens.known = Some(Bytes::new());
                Phase::Live(Live::due())
            }
            (None, Start::Heads) => Phase::Listing {
                asked: None,
                before: Bytes::new(),
                token: Bytes::new(),
                postponed: false,
            },
        };
    }

    /// The positions are worth nothing any more. They go when the program is told, so that a snapshot
    /// taken before still fits what it has applied.
    fn start_over(&mut self) {
        self.restart = true;
        self.phase = Phase::Restarting { postponed: false };
    }

    /// Whether pushes count: not before the first sync of a device that has just read the list.
    fn listens(&self) -> bool {
        match &self.phase {
            Phase::Offline | Phase::Listing { .. } | Phase::Restarting { .. } => false,
            Phase::Live(live) => !self.after_list || live.asked.is_some(),
        }
    }

    /// Whether the machine's positions are of this epoch; the first one that is heard of becomes its own.
    const fn is_epoch(&mut self, epoch: u64) -> bool {
        if self.epoch == 0 {
            self.epoch = epoch;
        }
        self.epoch == epoch
    }

    fn ask_for_sync(&mut self) {
        if let Phase::Live(live) = &mut self.phase {
            live.due = true;
        }
    }

    fn forget_requests(&mut self) {
        for conversation in std::mem::take(&mut self.pulls).into_values() {
            if let Some(track) = self.tracks.get_mut(&conversation) {
                track.pull = None;
            }
            self.look_at(conversation);
        }
        self.lift_postponements();
    }

    fn lift_postponements(&mut self) {
        let is_postponed = |id: &u64| self.tracks.get(id).is_some_and(|track| track.postponed);
        let postponed: Vec<u64> = self.unsettled.iter().copied().filter(is_postponed).collect();
        for conversation in postponed {
            if let Some(track) = self.tracks.get_mut(&conversation) {
                track.postponed = false;
            }
            self.look_at(conversation);
        }
    }

    fn handle_pull_failure(&mut self, id: RequestId, failure: Failure) {
        let Some(conversation) = self.pulls.remove(&id) else {
            return;
        };
        if failure == Failure::Gone {
            self.decide_gone(conversation);
        }
        if let Some(track) = self.tracks.get_mut(&conversation) {
            let heard_since = track.pull.take().map_or(0, |pull| pull.head_since);
            match failure {
                Failure::Later => track.postponed = true,
                Failure::Epoch => {
                    track.postponed = true;
                    self.ask_for_sync();
                }
                Failure::Gone => track.settle_head(0, heard_since),
            }
        }
        self.look_at(conversation);
    }

    /// A conversation that is new to this device starts from nothing, wherever its first visible event
    /// is: the pages that are pulled say so. `first_seq` is of no use here, because it is about the
    /// newest stretch of membership only.
    fn take_conversation(
        &mut self,
        conversation: &v1::Conversation,
        page: Option<&v1::Page>,
    ) -> Result<(), Malformed> {
        let id = conversation.conversation_id;
        check_seq(conversation.head_seq)?;
        let after_list = self.after_list;
        if after_list && !self.tracks.contains_key(&id) {
            self.check_room(id)?;
            let track = page.map_or_else(
                || Track::listed(conversation),
                |page| Track::at(page.from_seq.saturating_sub(1), None),
            );
            self.tracks.insert(id, track);
        }
        let track = self.hear(id, conversation.head_seq)?;
        let cursor = track.cursor;
        if !after_list && track.doubt.is_none() && conversation.delivered_seq < cursor {
            self.unacknowledged.entry(id).or_insert(cursor);
        }
        self.compare_head(id, conversation.head_seq);
        self.look_at(id);
        Ok(())
    }

    /// Takes a page that was checked: what continues the conversation becomes ready, what lies ahead is
    /// held or, where there is no room, remembered as a head. For an answer to a pull room was kept.
    fn take_page(&mut self, page: v1::Page, asked_for: bool) -> Result<(), Malformed> {
        let conversation = page.conversation_id;
        let full = self.ready.len() >= READY_MAX;
        let room_to_hold = HELD_MAX.saturating_sub(self.held_events);
        self.hear(conversation, page.to_seq.max(page.head_seq))?;
        self.compare(&page);
        let track = self.track(conversation)?;
        if page.to_seq <= track.received {
            self.look_at(conversation);
            return Ok(());
        }
        let continues = track.continues(page.from_seq);
        if continues && (asked_for || !full) {
            let steps = track_steps(track, page);
            self.ready.extend(steps);
            self.release_held(conversation);
        } else if !continues && weight(&page) <= room_to_hold {
            let added = weight(&page);
            let replaced = track.held.insert(page.from_seq, page).as_ref().map_or(0, weight);
            self.held_events = (self.held_events + added).saturating_sub(replaced);
        }
        self.look_at(conversation);
        Ok(())
    }

    pub(super) fn release_held(&mut self, conversation: u64) {
        let Some(track) = self.tracks.get_mut(&conversation) else {
            return;
        };
        while let Some(from_seq) = track.held.keys().next().copied()
            && track.continues(from_seq)
            && let Some(page) = track.held.remove(&from_seq)
        {
            self.held_events = self.held_events.saturating_sub(weight(&page));
            self.ready.extend(track_steps(track, page));
        }
    }

    /// A conversation is said to go up to `seq`.
    fn hear(&mut self, conversation: u64, seq: u64) -> Result<&mut Track, Malformed> {
        check_seq(seq)?;
        self.check_room(conversation)?;
        let track = self.tracks.entry(conversation).or_default();
        let before = track.heard();
        if seq > before {
            self.tokens.heard(conversation, before);
        }
        track.note_head(seq);
        Ok(track)
    }

    /// What was heard that a sync's last token does not cover: it covers the conversations that the answers named up to
    /// the heads they named.
    fn ahead_of_the_named(&mut self) -> Ahead {
        let mut ahead = self.tokens.ahead().clone();
        for (id, head) in std::mem::take(&mut self.named) {
            match self.tracks.get(&id) {
                Some(track) if track.heard() > head => {
                    let covered = ahead.entry(id).or_default();
                    *covered = head.max(*covered);
                }
                _ => drop(ahead.remove(&id)),
            }
        }
        ahead
    }

    fn track(&mut self, conversation: u64) -> Result<&mut Track, Malformed> {
        self.check_room(conversation)?;
        Ok(self.tracks.entry(conversation).or_default())
    }

    fn check_room(&self, conversation: u64) -> Result<(), Malformed> {
        if self.tracks.len() >= CONVERSATIONS_MAX && !self.tracks.contains_key(&conversation) {
            return Err(Malformed::TooManyConversations);
        }
        Ok(())
    }

    /// Puts a track into the sets it belongs to after it has changed.
    pub(super) fn look_at(&mut self, conversation: u64) {
        let Some(track) = self.tracks.get_mut(&conversation) else {
            return;
        };
        if track.is_settled() {
            if !track.held.is_empty() {
                self.held_events = self.held_events.saturating_sub(track.held_events());
                track.held.clear();
            }
            // What failed came by another way. No retry looks at what is settled.
            track.postponed = false;
            self.tokens.applied(conversation, track.cursor, true);
            self.unsettled.remove(&conversation);
            return;
        }
        self.unsettled.insert(conversation);
        if track.gap().is_some() && track.pull.is_none() && !track.postponed && !track.queued {
            track.queued = true;
            self.gaps.push_back(conversation);
        }
    }
}

impl Live {
    const fn due() -> Self {
        Self {
            due: true,
            asked: None,
            postponed: false,
        }
    }
}

const fn check_seq(seq: u64) -> Result<(), Malformed> {
    if seq > SEQ_MAX {
        return Err(Malformed::Number);
    }
    Ok(())
}

pub(super) fn behind(tracks: &BTreeMap<u64, Track>, unsettled: &BTreeSet<u64>) -> Behind {
    let missing = |id: &u64| tracks.get(id).map(|track| (*id, track.head.max(track.received)));
    unsettled.iter().filter_map(missing).collect()
}

/// Moves a track to the end of a page that continues it; the steps that its cursor has to take for that.
fn track_steps(track: &mut Track, page: v1::Page) -> Vec<Ready> {
    let conversation = page.conversation_id;
    let received = track.received;
    let mut steps: Vec<Ready> = page
        .events
        .into_iter()
        .filter(|event| event.seq > received)
        .map(|event| Ready {
            conversation,
            to: event.seq,
            step: Step::Over(Box::new(event)),
        })
        .collect();
    track.received = received.max(page.to_seq);
    if steps.last().map_or(received, |step| step.to) < track.received {
        steps.push(Ready {
            conversation,
            to: track.received,
            step: Step::Blank,
        });
    }
    steps
}
