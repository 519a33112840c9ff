//! Decides which waiting task runs next: a state machine of values, which gets submissions and spent times. Must never
//! read a clock, and never let one group have more than its share while others wait.
//!
//! Tasks of one key form a *strand*, strands of one group share its turns. Among groups the one that has used the least
//! time goes first (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996). A group that comes back within its
//! debt still has it: used time above the `clock` is remembered, so a client that sends one expensive request at a time
//! is not new each time. The clock follows the time that each waiting group would have got, so a debt ends even while
//! new groups keep coming.

use crate::limits::{GROUP_DEBT_MAX, GROUPS_IN_DEBT_MAX};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::time::Duration;

/// The limits of a schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Tasks of one key that wait.
    pub(super) per_key: usize,
    /// Tasks of one group that wait.
    pub(super) per_group: usize,
    /// Threads that run tasks of one group at the same time.
    pub(super) threads_per_group: usize,
}

/// A task that waits.
pub(super) struct Waiting<T> {
    pub(super) task: T,
    pub(super) group: u64,
    pub(super) forgettable: bool,
    /// Data that the caller gets back with the task.
    pub(super) since: std::time::Instant,
}

/// The tasks of one key, present only while it has any, waiting or running.
struct Strand<T> {
    waiting: VecDeque<Waiting<T>>,
    /// The group whose turn the strand has, or waits for.
    group: u64,
    refused: bool,
}

/// Strands that share turns; present while it has strands or debt.
#[derive(Default)]
struct Group {
    /// Nanoseconds used, on the scale of the clock.
    used: u64,
    /// Keys that wait for a turn, each once.
    runnable: VecDeque<u64>,
    /// Strands that have a turn.
    running: usize,
    /// Tasks.
    waiting: usize,
    refused: bool,
    /// Its entry in `ready`.
    ready: Option<Place>,
}

/// Least used time first, then first come, first served.
type Place = (u64, u64, u64);

/// See the module's first lines.
pub(super) struct Schedule<T> {
    share: Share,
    strands: HashMap<u64, Strand<T>>,
    groups: HashMap<u64, Group>,
    /// Groups with a strand that may have a turn now.
    ready: BTreeSet<Place>,
    /// Groups without tasks whose used time is above the clock: used, group.
    in_debt: BTreeSet<(u64, u64)>,
    /// Groups with tasks.
    busy: u64,
    clock: u64,
    arrivals: u64,
}

/// The next task of a strand, and whether its key or its group has room again after a refusal.
pub(super) struct Taken<T> {
    pub(super) waiting: Waiting<T>,
    pub(super) has_room: bool,
}

impl<T> Schedule<T> {
    pub(super) fn new(share: Share) -> Self {
        Self {
            share,
            strands: HashMap::new(),
            groups: HashMap::new(),
            ready: BTreeSet::new(),
            in_debt: BTreeSet::new(),
            busy: 0,
            clock: 0,
            arrivals: 0,
        }
    }

    /// Takes a task; gives it back if its key or its group has too many.
    pub(super) fn push(&mut self, key: u64, waiting: Waiting<T>) -> Result<(), T> {
        let group = waiting.group;
        if let Some(strand) = self.strands.get_mut(&key)
            && strand.waiting.len() >= self.share.per_key
        {
            strand.refused = true;
            return Err(waiting.task);
        }
        if let Some(others) = self.groups.get_mut(&group)
            && others.waiting >= self.share.per_group
        {
            others.refused = true;
            return Err(waiting.task);
        }
        self.group(group).waiting += 1;
        if let Some(strand) = self.strands.get_mut(&key) {
            strand.waiting.push_back(waiting);
        } else {
            let strand = Strand {
                waiting: VecDeque::from([waiting]),
                group,
                refused: false,
            };
            self.strands.insert(key, strand);
            self.enqueue(group, key);
        }
        Ok(())
    }

    /// A strand whose turn it is. No other caller gets it until it is [given up](Self::give_up).
    pub(super) fn take(&mut self) -> Option<u64> {
        let (used, _, group) = self.ready.pop_first()?;
        self.advance(used);
        let chosen = self.groups.get_mut(&group)?;
        chosen.ready = None;
        let key = chosen.runnable.pop_front();
        chosen.running += usize::from(key.is_some());
        self.place(group);
        key
    }

    /// Whether a strand can have a turn.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next task of a strand that has its turn; `None` if the strand is empty, or the task belongs to another
    /// group's turn.
    pub(super) fn next(&mut self, key: u64) -> Option<Taken<T>> {
        let strand = self.strands.get_mut(&key)?;
        let group = strand.group;
        if strand.waiting.front().is_none_or(|front| front.group != group) {
            return None;
        }
        let waiting = strand.waiting.pop_front()?;
        let key_has_room = mem::take(&mut strand.refused);
        let group_has_room = self.no_longer_waits(group);
        Some(Taken {
            waiting,
            has_room: key_has_room || group_has_room,
        })
    }

    /// Ends the turn of a strand, which took `spent`.
    pub(super) fn give_up(&mut self, key: u64, spent: Duration) {
        let Some(strand) = self.strands.get_mut(&key) else {
            return;
        };
        let group = strand.group;
        let next = strand.waiting.front().map(|front| front.group);
        match next {
            Some(next) => strand.group = next,
            None => _ = self.strands.remove(&key),
        }
        self.charge(group, spent);
        if let Some(next) = next {
            self.enqueue(next, key);
        }
        self.rest_if_idle(group);
    }

    /// Removes the tasks of a key that matter only to a requester who has gone, and returns them.
    pub(super) fn forget(&mut self, key: u64) -> Vec<T> {
        let Some(strand) = self.strands.get_mut(&key) else {
            return Vec::new();
        };
        let (forgotten, kept) = mem::take(&mut strand.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|waiting| waiting.forgettable);
        // An empty strand still gets its turn: the thread that takes it gives it up.
        strand.waiting = kept;
        self.leave(forgotten)
    }

    /// Removes all waiting tasks; returns them, and whether a submission was refused for want of room.
    pub(super) fn clear(&mut self) -> (Vec<T>, bool) {
        let refused = self.strands.values().any(|strand| strand.refused)
            || self.groups.values().any(|group| group.refused);
        let keys: Vec<u64> = self.strands.keys().copied().collect();
        let mut tasks = Vec::new();
        for key in keys {
            let Some(strand) = self.strands.get_mut(&key) else {
                continue;
            };
            strand.refused = false;
            let waiting = mem::take(&mut strand.waiting);
            tasks.extend(self.leave(waiting));
        }
        (tasks, refused)
    }

    fn group(&mut self, group: u64) -> &mut Group {
        let (clock, busy, in_debt) = (self.clock, &mut self.busy, &mut self.in_debt);
        let entry = self.groups.entry(group).or_default();
        if entry.waiting == 0 && entry.running == 0 && entry.runnable.is_empty() {
            in_debt.remove(&(entry.used, group));
            entry.used = entry.used.max(clock);
            *busy += 1;
        }
        entry
    }

    /// Puts a strand in the queue for its group's turn.
    fn enqueue(&mut self, group: u64, key: u64) {
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.runnable.push_back(key);
            self.place(group);
        }
    }

    /// Puts a group in its place among those that are ready, or takes it out.
    fn place(&mut self, group: u64) {
        let Some(entry) = self.groups.get_mut(&group) else {
            return;
        };
        let may_run = !entry.runnable.is_empty() && entry.running < self.share.threads_per_group;
        match (entry.ready, may_run) {
            (Some(place), true) if place.0 == entry.used => {}
            (before, may_run) => {
                if let Some(place) = before {
                    self.ready.remove(&place);
                }
                entry.ready = may_run.then_some((entry.used, self.arrivals, group));
                if let Some(place) = entry.ready {
                    self.arrivals += 1;
                    self.ready.insert(place);
                }
            }
        }
    }

    /// A task of the group left the queue; returns whether the group has room again after a refusal.
    fn no_longer_waits(&mut self, group: u64) -> bool {
        let Some(entry) = self.groups.get_mut(&group) else {
            return false;
        };
        entry.waiting -= 1;
        entry.waiting <= self.share.per_group / 2 && mem::take(&mut entry.refused)
    }

    /// Removes the tasks from the counts of their groups; they had no turn.
    fn leave(&mut self, waiting: VecDeque<Waiting<T>>) -> Vec<T> {
        let tasks = waiting.into_iter().map(|waiting| {
            self.no_longer_waits(waiting.group);
            self.rest_if_idle(waiting.group);
            waiting.task
        });
        tasks.collect()
    }

    /// The group's strand has had its turn, which took `spent`.
    fn charge(&mut self, group: u64, spent: Duration) {
        // At least something, so that turns without a measurable length are shared as well.
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).max(1);
        // A group that is alone is measured against an imaginary second one.
        self.advance(self.clock.saturating_add(spent / (self.busy + 1)));
        let most = self.clock.saturating_add(GROUP_DEBT_MAX.as_nanos() as u64);
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.used = entry.used.saturating_add(spent).min(most);
            entry.running -= 1;
            self.place(group);
        }
    }

    /// A group without tasks is remembered while it is in debt; if there are too many, those with the most debt are
    /// kept.
    fn rest_if_idle(&mut self, group: u64) {
        let Some(entry) = self.groups.get(&group) else {
            return;
        };
        if entry.waiting > 0 || entry.running > 0 || !entry.runnable.is_empty() {
            return;
        }
        self.busy -= 1;
        if entry.used <= self.clock {
            self.groups.remove(&group);
            return;
        }
        self.in_debt.insert((entry.used, group));
        if self.in_debt.len() > GROUPS_IN_DEBT_MAX
            && let Some((_, least)) = self.in_debt.pop_first()
        {
            self.groups.remove(&least);
        }
    }

    /// Moves the clock, and forgets debts below it.
    fn advance(&mut self, to: u64) {
        self.clock = self.clock.max(to);
        while let Some((used, group)) = self.in_debt.first().copied()
            && used <= self.clock
        {
            self.in_debt.pop_first();
            self.groups.remove(&group);
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
