//! The planner: turns committed events into one frame each and the list of connections to write it to.
//!
//! It owns the cache of group members. A cached membership is used only for events of the roster that it was read for,
//! so a removed member gets no later event. The planner runs on its publisher's thread (the lane's or the change
//! feed's) between two commits, and reads the store only for a group that is not cached.

#[cfg(test)]
mod fan_out_tests;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use netcore::ConnId;
use protocol::{ConversationClass, Push, v1};
use storage::{
    ConversationId, CursorMove, Event, Interval, MembersReader, ReadError, Seq, Snapshot, Timestamp, UserId,
};

use super::routes::Routes;
use crate::{
    message::{Delivery, Owed},
    wire::{Format, frame},
};

/// Groups whose members are kept in memory, at most.
pub(crate) const GROUPS_CACHED_MAX: usize = 10_000;
/// Members kept in memory over all groups, at most.
pub(crate) const MEMBERS_CACHED_MAX: usize = 2_000_000;

/// See the module's first lines.
pub(crate) struct Planner {
    epoch: u64,
    routes: Arc<Routes>,
    reader: Box<dyn MembersReader>,
    groups: HashMap<ConversationId, Group>,
    members_cached: usize,
    /// Filled for each event and emptied again.
    targets: LoopTargets,
    receipts_up_to: usize,
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Planner")
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

struct Group {
    /// `None` if loaded for current members only. Such an entry must not address events: a removed member still
    /// receives the event that removes them.
    roster: Option<Seq>,
    intervals: Arc<[Interval]>,
}

/// Connections of one loop, by format.
#[derive(Default)]
struct Targets([Vec<ConnId>; Format::PUSHED.len()]);

impl Targets {
    fn of(&self, format: Format) -> &[ConnId] {
        let of_format = format.pushed_index().and_then(|index| self.0.get(index));
        of_format.map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, conn: ConnId, format: Format) {
        if let Some(index) = format.pushed_index()
            && let Some(of_format) = self.0.get_mut(index)
        {
            of_format.push(conn);
        }
    }
}

impl Planner {
    /// A planner that reads memberships with `reader`.
    pub(crate) fn new(
        epoch: u64,
        routes: Arc<Routes>,
        reader: Box<dyn MembersReader>,
        loops: usize,
        receipts_up_to: usize,
    ) -> Self {
        Self {
            epoch,
            routes,
            reader,
            groups: HashMap::new(),
            members_cached: 0,
            targets: LoopTargets::new(loops),
            receipts_up_to,
        }
    }

    /// An empty delivery for each loop, with room for the frames of about this many events.
    pub(crate) fn empty(&self, complete_to: Option<&Snapshot>, events: usize) -> Vec<Delivery> {
        let (loops, now) = (self.targets.0.len(), Instant::now());
        (0..loops)
            .map(|_| Delivery::new(now, complete_to.cloned(), events))
            .collect()
    }

    /// Reads the members of these events' groups that are not cached yet, so that planning the events need not. What
    /// cannot be read now is tried again then.
    pub(crate) fn prepare<'a>(&mut self, events: impl Iterator<Item = &'a Event>) {
        for event in events {
            let class = protocol::ConversationId::parse(event.conversation.0);
            if class.map(protocol::ConversationId::class) == Some(ConversationClass::Group)
                && let Err(error) = self.intervals(event.conversation, event.roster, event.seq)
            {
                log::debug!("members could not be read ahead: {error}");
            }
        }
    }

    /// Forgets all members, because it is not known what was committed.
    pub(crate) fn forget_all(&mut self) {
        self.groups.clear();
        self.members_cached = 0;
    }

    /// Adds the push of a committed event for all users who see it, but not for the connection `except`.
    ///
    /// # Errors
    /// The members of its group could not be read; nothing was added.
    pub(crate) fn event(
        &mut self,
        event: &Event,
        now: Timestamp,
        except: Option<ConnId>,
        out: &mut [Delivery],
    ) -> Result<(), ReadError> {
        self.aim(event)?;
        self.targets.leave_out(except);
        let owed = Owed::Head(event.conversation, event.seq);
        let epoch = self.epoch;
        self.targets
            .add(owed, out, |format| frame::event(event, epoch, format, now));
        Ok(())
    }

    /// Adds the push of cursors that moved: to the user's own devices, and to the other members if receipts are shown.
    /// Moves of a former member go to that user's devices only.
    ///
    /// # Errors
    /// The members of a group could not be read; earlier pushes stay added.
    pub(crate) fn cursors(&mut self, moves: &[CursorMove], out: &mut [Delivery]) -> Result<(), ReadError> {
        for moved in moves {
            let members = self.members_now(moved.conversation)?;
            let mut users = vec![moved.user];
            if members.len() <= self.receipts_up_to && members.contains(&moved.user) {
                users.extend(members.iter().copied().filter(|user| *user != moved.user));
            }
            let push = Push::CursorsPush(v1::CursorsPush {
                cursors: vec![v1::Cursor {
                    conversation_id: moved.conversation.0,
                    user_id: moved.user.0,
                    delivered_seq: moved.delivered.0,
                    read_seq: moved.read.0,
                }],
            });
            self.targets.aim(&self.routes, users.iter().copied());
            self.targets
                .add(Owed::Cursor(*moved), out, |format| frame::push(&push, format));
        }
        Ok(())
    }

    /// Sets the targets to the connections of all users who see an event.
    fn aim(&mut self, event: &Event) -> Result<(), ReadError> {
        match protocol::ConversationId::parse(event.conversation.0).map(protocol::ConversationId::class) {
            Some(ConversationClass::Direct { low, high }) => {
                self.targets
                    .aim(&self.routes, [UserId(low), UserId(high)].into_iter());
            }
            Some(ConversationClass::Own { user }) => {
                self.targets.aim(&self.routes, std::iter::once(UserId(user)));
            }
            Some(ConversationClass::Group) => {
                let intervals = self.intervals(event.conversation, event.roster, event.seq)?;
                self.targets.aim(&self.routes, seeing(&intervals, event.seq));
            }
            None => self.targets.clear(),
        }
        Ok(())
    }

    /// Members at the newest roster that this planner has seen, or at a later one. Of a group, at most one more than
    /// the limit for receipts.
    fn members_now(&mut self, conversation: ConversationId) -> Result<Vec<UserId>, ReadError> {
        match protocol::ConversationId::parse(conversation.0).map(protocol::ConversationId::class) {
            Some(ConversationClass::Direct { low, high }) => Ok(vec![UserId(low), UserId(high)]),
            Some(ConversationClass::Own { user }) => Ok(vec![UserId(user)]),
            Some(ConversationClass::Group) => {
                let intervals = match self.groups.get(&conversation) {
                    Some(group) => Arc::clone(&group.intervals),
                    None => {
                        // The largest possible seq selects current members only.
                        let members = self.reader.intervals(conversation, Seq(i64::MAX as u64))?;
                        self.keep(conversation, None, members.into())
                    }
                };
                let open = intervals.iter().filter(|interval| interval.left.is_none());
                let users = open.map(|interval| interval.user);
                Ok(users.take(self.receipts_up_to.saturating_add(1)).collect())
            }
            None => Ok(Vec::new()),
        }
    }

    fn intervals(
        &mut self,
        conversation: ConversationId,
        roster: Seq,
        seq: Seq,
    ) -> Result<Arc<[Interval]>, ReadError> {
        if let Some(group) = self.groups.get(&conversation)
            && group.roster == Some(roster)
        {
            return Ok(Arc::clone(&group.intervals));
        }
        // Forget first: if the read fails, the old entry must not be used either.
        self.forget(conversation);
        let intervals = self.reader.intervals(conversation, seq)?;
        Ok(self.keep(conversation, Some(roster), intervals.into()))
    }

    fn forget(&mut self, conversation: ConversationId) {
        if let Some(old) = self.groups.remove(&conversation) {
            self.members_cached -= old.intervals.len();
        }
    }

    /// Caches the members of a group that has no entry.
    fn keep(
        &mut self,
        conversation: ConversationId,
        roster: Option<Seq>,
        intervals: Arc<[Interval]>,
    ) -> Arc<[Interval]> {
        let full = self.groups.len() >= GROUPS_CACHED_MAX
            || self.members_cached + intervals.len() > MEMBERS_CACHED_MAX;
        if full {
            // Starting over costs one read per active group, and no bookkeeping on every event.
            self.forget_all();
        }
        if intervals.len() <= MEMBERS_CACHED_MAX {
            self.members_cached += intervals.len();
            self.groups.insert(
                conversation,
                Group {
                    roster,
                    intervals: Arc::clone(&intervals),
                },
            );
        }
        intervals
    }
}

/// The members who see the event of this seq.
fn seeing(intervals: &[Interval], seq: Seq) -> impl Iterator<Item = UserId> {
    let sees =
        move |interval: &&Interval| interval.joined <= seq && interval.left.is_none_or(|left| seq <= left);
    intervals.iter().filter(sees).map(|interval| interval.user)
}

/// Connections of each loop, by format.
struct LoopTargets(Vec<Targets>);

impl LoopTargets {
    fn new(loops: usize) -> Self {
        Self((0..loops).map(|_| Targets::default()).collect())
    }

    fn clear(&mut self) {
        for target in &mut self.0 {
            target.0.iter_mut().for_each(Vec::clear);
        }
    }

    fn leave_out(&mut self, conn: Option<ConnId>) {
        let Some(conn) = conn else { return };
        if let Some(targets) = self.0.get_mut(conn.loop_id().index()) {
            for to in &mut targets.0 {
                if let Some(index) = to.iter().position(|other| *other == conn) {
                    to.remove(index);
                }
            }
        }
    }

    /// Sets the targets to the connections of these users.
    fn aim(&mut self, routes: &Routes, users: impl Iterator<Item = UserId>) {
        self.clear();
        for user in users {
            routes.of(user, |route| {
                if let Some(target) = self.0.get_mut(route.conn.loop_id().index()) {
                    target.add(route.conn, route.format);
                }
            });
        }
    }

    /// Writes a frame at most once in each format, and adds it for each loop that has receivers.
    fn add(&self, owed: Owed, out: &mut [Delivery], write: impl Fn(Format) -> Bytes) {
        for format in Format::PUSHED {
            let receivers = self.0.iter().map(|targets| targets.of(format)).zip(&mut *out);
            let mut receivers = receivers.filter(|(to, _)| !to.is_empty()).peekable();
            if receivers.peek().is_none() {
                continue;
            }
            let frame = write(format);
            while let Some((to, delivery)) = receivers.next() {
                if receivers.peek().is_none() {
                    // Not cloned: that would cost a frame for one loop an allocation.
                    delivery.push(owed, frame, to);
                    break;
                }
                delivery.push(owed, frame.clone(), to);
            }
        }
    }
}

/// Pushes that are not stored, each for these connections.
pub(crate) fn to_connections<'a>(
    loops: usize,
    pushes: impl Iterator<Item = (Push, &'a [(ConnId, Format)])>,
) -> Vec<Delivery> {
    let mut targets = LoopTargets::new(loops);
    let mut out: Vec<Delivery> = (0..loops).map(|_| Delivery::default()).collect();
    for (push, to) in pushes {
        targets.clear();
        for (conn, format) in to {
            if let Some(target) = targets.0.get_mut(conn.loop_id().index()) {
                target.add(*conn, *format);
            }
        }
        targets.add(Owed::Nothing, &mut out, |format| frame::push(&push, format));
    }
    out
}

/// A push that is not stored, for all of `users`, but not for the connection `except`.
pub(crate) fn transient(
    routes: &Routes,
    loops: usize,
    users: impl Iterator<Item = UserId>,
    except: Option<ConnId>,
    push: &Push,
) -> Vec<Delivery> {
    let mut targets = LoopTargets::new(loops);
    targets.aim(routes, users);
    targets.leave_out(except);
    let mut out: Vec<Delivery> = (0..loops).map(|_| Delivery::default()).collect();
    targets.add(Owed::Nothing, &mut out, |format| frame::push(push, format));
    out
}
