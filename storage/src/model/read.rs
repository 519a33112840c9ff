//! Every query, answered by looking through everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    GENERATION, ModelReader,
    state::{Conversation, Entry, State},
};
use crate::{
    entry::{EntryClass, EntryPage, PAGE_BYTES_MAX},
    error::ReadError,
    past::{Claim, Testimony},
    read::{
        Changes, ConversationView, CursorView, Direction, EventPage, EventView, Interval, MemberView,
        MembersReader, ReactionView, Reader, RevisionView, Tail, TailReader,
    },
    shape::Shape,
    snapshot::Snapshot,
    types::{
        ClientId, ConversationId, Credentials, Event, EventKind, Fingerprint, Position, Seq, Session,
        TokenHash, User, UserId,
    },
    words::{FoundPeople, PeopleQuery},
};

impl Reader for ModelReader {
    fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        Ok(Snapshot::at(self.state.lock().position))
    }

    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        let known = claim.generation == GENERATION && claim.ceiling <= self.state.lock().position;
        Ok(if known {
            Testimony::Known
        } else {
            Testimony::Witness
        })
    }

    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError> {
        let state = self.state.lock();
        let known = ids.iter().filter_map(|id| state.accounts.get(id));
        Ok(known.map(|account| account.user.clone()).collect())
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError> {
        Ok(self.credentials(name)?.map(|account| account.user))
    }

    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError> {
        let state = self.state.lock();
        let all = state.accounts.values().map(|account| &account.user);
        let fitting: Vec<User> = all.filter(|user| query.fits(user)).cloned().collect();
        let limit = limit.max(1);
        Ok(FoundPeople {
            more: fitting.len() > limit,
            users: fitting.into_iter().take(limit).collect(),
        })
    }

    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError> {
        let state = self.state.lock();
        let mut all = state.entries(of);
        all.retain(|key, _| key.starts_with(prefix) && key.as_str() > after);
        let mut page = EntryPage::default();
        let mut bytes = 0;
        for (_, entry) in all {
            if page.entries.len() >= limit.max(1) || bytes > PAGE_BYTES_MAX {
                page.more = true;
                break;
            }
            bytes += entry.value.len();
            page.entries.push(entry);
        }
        Ok(page)
    }

    fn entry_classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError> {
        let state = self.state.lock();
        Ok(asked.iter().map(|(user, key)| state.class(*user, key)).collect())
    }

    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError> {
        let state = self.state.lock();
        Ok(state
            .names
            .get(name)
            .and_then(|id| state.accounts.get(id))
            .cloned())
    }

    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError> {
        let state = self.state.lock();
        let found = state
            .sessions
            .values()
            .find(|(_, token_hash)| token_hash == token);
        Ok(found.and_then(|(session, _)| {
            let account = state.accounts.get(&session.user)?;
            Some((session.clone(), account.user.clone()))
        }))
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError> {
        Ok(self.state.lock().sessions_of(user).cloned().collect())
    }

    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError> {
        Ok(self.state.lock().view(viewer, conversation))
    }

    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError> {
        let state = self.state.lock();
        Ok(conversations
            .iter()
            .filter_map(|id| state.view(viewer, *id))
            .collect())
    }

    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError> {
        let state = self.state.lock();
        Ok(state.conversations.get(&conversation).and_then(|conversation| {
            let entry = conversation.entry(*conversation.requests.get(&(sender, client_id))?)?;
            Some((Arc::clone(&entry.event), entry.fingerprint))
        }))
    }

    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError> {
        let mut views = self.state.lock().views(viewer);
        views.retain(|view| before.is_none_or(|before| view.head_position < before));
        views.sort_by_key(|view| std::cmp::Reverse(view.head_position));
        views.truncate(limit.max(1));
        Ok(views)
    }

    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError> {
        Ok(self.state.lock().changes(viewer, since, limit.max(1)))
    }

    fn events(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Result<Option<EventPage>, ReadError> {
        let state = self.state.lock();
        let Some(conversation) = state.conversations.get(&conversation) else {
            return Ok(None);
        };
        Ok(conversation.page(viewer, from, direction, limit.max(1), body_bytes_max))
    }

    fn members(
        &mut self,
        viewer: UserId,
        id: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError> {
        let state = self.state.lock();
        let Some(conversation) = state.conversations.get(&id) else {
            return Ok(None);
        };
        if conversation.member(viewer).is_none() {
            return Ok(None);
        }
        let mut members = BTreeMap::new();
        for stay in conversation.members().filter(|stay| stay.user > after) {
            let Some(account) = state.accounts.get(&stay.user) else {
                continue;
            };
            let (delivered, read) = state.cursor(id, stay.user);
            let member = MemberView {
                user: account.user.clone(),
                role: stay.role,
                joined: stay.joined,
                delivered,
                read,
            };
            members.insert(stay.user, member);
        }
        Ok(Some(members.into_values().take(limit.max(1)).collect()))
    }
}

impl MembersReader for ModelReader {
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        let state = self.state.lock();
        let stays = state
            .conversations
            .get(&conversation)
            .map(|conversation| &conversation.stays);
        let mut intervals: Vec<Interval> = stays
            .into_iter()
            .flatten()
            .filter(|stay| stay.left.is_none_or(|left| left >= from))
            .map(|stay| Interval {
                user: stay.user,
                joined: stay.joined,
                left: stay.left,
            })
            .collect();
        intervals.sort_by_key(|interval| (interval.user, interval.joined));
        Ok(intervals)
    }
}

impl TailReader for ModelReader {
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError> {
        Ok(self.state.lock().tail(since, limit.max(1)))
    }
}

/// One entry of a list of changes.
enum Change {
    Conversation(ConversationView),
    Cursor(CursorView),
}

/// One entry of a tail.
enum Committed {
    Event(Arc<Event>),
    Cursor(CursorView),
}

impl State {
    fn view(&self, viewer: UserId, id: ConversationId) -> Option<ConversationView> {
        let conversation = self.conversations.get(&id)?;
        let stay = conversation.newest_stay(viewer)?;
        let head = &conversation.entry(conversation.visible_head(viewer)?)?.event;
        let (delivered, read) = self.cursor(id, viewer);
        let joined_ordinal = conversation.ordinal_at(Seq(stay.joined.0 - 1));
        let read_ordinal = conversation.ordinal_at(read).max(joined_ordinal);
        let member = stay.left.is_none();
        Some(ConversationView {
            id,
            kind: conversation.shape.kind(),
            settings: conversation.settings_at(head.seq),
            peer: conversation.shape.peer_of(viewer),
            head: head.seq,
            head_ordinal: head.ordinal,
            head_position: head.position,
            last_at: head.at,
            first: conversation.first_stay(viewer)?.joined,
            joined: stay.joined,
            joined_ordinal,
            role: (member && conversation.shape == Shape::Group).then_some(stay.role),
            member,
            member_count: conversation.members_at(head.seq) as u32,
            disbanded: conversation.disbanded_at(head.seq),
            closed: !conversation.closed.is_empty(),
            roster: head.roster,
            delivered,
            read,
            unread: head.ordinal.saturating_sub(read_ordinal),
        })
    }

    fn views(&self, viewer: UserId) -> Vec<ConversationView> {
        let ids = self.conversations.keys();
        ids.filter_map(|id| self.view(viewer, *id)).collect()
    }

    fn changes(&self, viewer: UserId, since: &Snapshot, limit: usize) -> Changes {
        let mut by_position: BTreeMap<Position, Vec<Change>> = BTreeMap::new();
        for view in self.views(viewer) {
            if let Some(conversation) = self.conversations.get(&view.id) {
                let shown = |user: &UserId| view.member && conversation.member(*user).is_some();
                let cursors = conversation.cursors.iter();
                for (user, cursor) in cursors.filter(|(user, _)| **user == viewer || shown(user)) {
                    by_position
                        .entry(cursor.moved)
                        .or_default()
                        .push(Change::Cursor(CursorView {
                            conversation: view.id,
                            user: *user,
                            delivered: cursor.delivered,
                            read: cursor.read,
                            position: cursor.moved,
                        }));
                }
            }
            by_position
                .entry(view.head_position)
                .or_default()
                .push(Change::Conversation(view));
        }
        let (entries, up_to, more) = self.first_of(by_position, since, limit);
        let mut changes = Changes {
            up_to,
            more,
            ..Changes::default()
        };
        for entry in entries {
            match entry {
                Change::Conversation(view) => changes.conversations.push(view),
                Change::Cursor(cursor) => changes.cursors.push(cursor),
            }
        }
        changes
    }

    fn tail(&self, since: &Snapshot, limit: usize) -> Tail {
        let mut by_position: BTreeMap<Position, Vec<Committed>> = BTreeMap::new();
        for (id, conversation) in &self.conversations {
            for entry in &conversation.log {
                let place = by_position.entry(entry.event.position).or_default();
                place.push(Committed::Event(Arc::clone(&entry.event)));
            }
            for (user, cursor) in &conversation.cursors {
                let place = by_position.entry(cursor.moved).or_default();
                place.push(Committed::Cursor(CursorView {
                    conversation: *id,
                    user: *user,
                    delivered: cursor.delivered,
                    read: cursor.read,
                    position: cursor.moved,
                }));
            }
        }
        let (entries, up_to, more) = self.first_of(by_position, since, limit);
        let mut tail = Tail {
            up_to,
            more,
            ..Tail::default()
        };
        for entry in entries {
            match entry {
                Committed::Event(event) => tail.events.push(event),
                Committed::Cursor(cursor) => tail.cursors.push(cursor),
            }
        }
        tail
    }

    /// The first entries that are not in `since`, position by position, with the set that they complete.
    fn first_of<T>(
        &self,
        by_position: BTreeMap<Position, Vec<T>>,
        since: &Snapshot,
        limit: usize,
    ) -> (Vec<T>, Snapshot, bool) {
        let mut taken = Vec::new();
        let mut last = since.floor();
        for (position, entries) in by_position {
            if position == Position(0) || since.covers(position) {
                continue;
            }
            if !taken.is_empty() && taken.len() + entries.len() > limit {
                return (taken, Snapshot::at(last), true);
            }
            taken.extend(entries);
            last = position;
        }
        (taken, Snapshot::at(self.position), false)
    }
}

impl Conversation {
    fn page(
        &self,
        viewer: UserId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Option<EventPage> {
        let head = self.visible_head(viewer)?;
        let forward = direction == Direction::Forward;
        let asked = match direction {
            Direction::Forward => from.0.max(1)..=head.0,
            Direction::Backward if from == Seq(0) => 1..=head.0,
            Direction::Backward => 1..=from.0.min(head.0),
        };
        let (mut first, mut last) = (*asked.start(), *asked.end());
        let mut visible: Vec<u64> = asked.filter(|seq| self.sees(viewer, Seq(*seq))).collect();
        if !forward {
            visible.reverse();
        }
        let mut events = Vec::new();
        let mut bytes = 0;
        for seq in visible {
            let Some(entry) = self.entry(Seq(seq)) else { break };
            let view = self.seen(viewer, entry);
            bytes += view.bytes();
            if events.len() == limit || (!events.is_empty() && bytes > body_bytes_max) {
                // The page ends with the last event taken and tells nothing about this one.
                *(if forward { &mut last } else { &mut first }) = taken_up_to(&events);
                break;
            }
            events.push(view);
        }
        if !forward {
            events.reverse();
        }
        Some(EventPage {
            from: Seq(first),
            to: Seq(last),
            events,
            head,
        })
    }

    /// An event with the effects of later ones that the viewer may see, too.
    fn seen(&self, viewer: UserId, entry: &Entry) -> EventView {
        let seq = entry.event.seq;
        let sees = |later: &&Entry| self.sees(viewer, later.event.seq);
        let revision = self
            .about(seq, EventKind::Edit)
            .rfind(sees)
            .filter(|edit| !edit.event.recalled)
            .map(|edit| RevisionView {
                seq: edit.event.seq,
                body: edit.event.body.clone(),
            });
        let mut newest = BTreeMap::new();
        for reaction in self.about(seq, EventKind::Reaction).filter(sees) {
            newest.insert(reaction.event.sender, reaction);
        }
        let mut reactions: Vec<ReactionView> = newest
            .into_values()
            .filter(|reaction| !reaction.reaction.is_empty())
            .map(|reaction| ReactionView {
                user: reaction.event.sender,
                reaction: reaction.reaction.clone(),
                seq: reaction.event.seq,
            })
            .collect();
        reactions.sort_by_key(|reaction| std::cmp::Reverse(reaction.seq));
        let reactions_total = reactions.len() as u32;
        reactions.truncate(EventView::REACTIONS_MAX);
        EventView {
            event: Arc::clone(&entry.event),
            revision,
            reactions,
            reactions_total,
        }
    }
}

fn taken_up_to(events: &[EventView]) -> u64 {
    events.last().map_or(0, |view| view.event.seq.0)
}
