//! The lists of recent events, by way of the thread that says what is queued: what is asked for them, and what a batch
//! of that comes to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use storage::{
    Event, UserId,
    ephemeral::{Recent, RecentAddition},
};

use super::{ClusterHandle, Inner, saying::Say};
use crate::recent::{self, List, Mark, Usage};

impl ClusterHandle {
    /// Whether there are lists.
    pub fn keeps_recent(&self) -> bool {
        self.inner.get().is_some()
    }

    /// A user's last connection here is gone: their list begins with this mark.
    pub fn away(&self, user: UserId, mark: &Mark) {
        if let Some(inner) = self.inner.get() {
            inner.say(Say::Away(user, mark.to_bytes()));
        }
    }

    /// An event that was committed, for the lists of these users. What finds no room is dropped and counted.
    pub fn remember(&self, event: &Event, users: Vec<UserId>) {
        let Some(inner) = self.inner.get() else { return };
        let event = recent::entry(event);
        let bytes = event.bytes.len();
        if !inner.usage.may_wait(bytes) {
            return inner.usage.dropped(1);
        }
        if !inner.say(Say::Recent(RecentAddition { event, users })) {
            inner.usage.taken(bytes);
            inner.usage.dropped(1);
        }
    }

    /// These users' lists end.
    pub fn forget_recent(&self, users: Vec<UserId>) {
        if let Some(inner) = self.inner.get()
            && !users.is_empty()
        {
            inner.say(Say::Forget(users));
        }
    }

    /// A user's list, if there is one of this store. Blocks for the medium's time-outs at most: not for loops.
    pub fn recent(&self, user: UserId, log_id: u64, epoch: u64) -> Option<List> {
        let Inner { medium, usage, .. } = self.inner.get()?;
        let list = medium.recent.recent(user, Instant::now());
        let list = list.and_then(|list| List::read(&list, log_id, epoch));
        usage.looked(list.is_some());
        list
    }

    /// A page came from a list.
    pub fn recent_page(&self) {
        if let Some(inner) = self.inner.get() {
            inner.usage.page();
        }
    }
}

/// What a batch asks of the lists: the same in the end as one thing after the other, in one call for all additions and
/// one for all ends. Lists are begun first, and ended last.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    begun: BTreeMap<UserId, Vec<u8>>,
    added: Vec<RecentAddition>,
    cleared: BTreeSet<UserId>,
}

impl Gathered {
    /// What was asked for this user's list before does not concern the one that begins.
    pub(super) fn begin(&mut self, user: UserId, since: Vec<u8>) {
        for addition in &mut self.added {
            addition.users.retain(|other| *other != user);
        }
        self.cleared.remove(&user);
        self.begun.insert(user, since);
    }

    pub(super) fn add(&mut self, addition: RecentAddition) {
        self.added.push(addition);
    }

    pub(super) fn clear(&mut self, users: Vec<UserId>) {
        self.cleared.extend(users);
    }

    pub(super) fn say(mut self, lists: &dyn Recent, usage: &Usage) {
        for (user, since) in self.begun {
            if !lists.begin(user, &since, Instant::now()) {
                log::debug!("a list of recent events was not begun");
            }
        }
        self.added.retain(|addition| !addition.users.is_empty());
        if !self.added.is_empty() && !lists.add(&self.added, Instant::now()) {
            usage.dropped(self.added.len());
        }
        let cleared: Vec<UserId> = self.cleared.into_iter().collect();
        if !cleared.is_empty() && !lists.clear(&cleared, Instant::now()) {
            log::debug!("lists of recent events were not ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use storage::{
        ConversationId, Seq,
        ephemeral::{Limits, Memory, RecentEvent},
    };

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Begin(u64),
        Add(Vec<u64>),
        Clear(Vec<u64>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let users =
            || proptest::collection::btree_set(0_u64..4, 0..4).prop_map(|set| set.into_iter().collect());
        prop_oneof![
            (0_u64..4).prop_map(Step::Begin),
            users().prop_map(Step::Add),
            users().prop_map(Step::Clear),
        ]
    }

    fn users(numbers: Vec<u64>) -> Vec<UserId> {
        numbers.into_iter().map(UserId).collect()
    }

    proptest! {
        #[test]
        fn a_batch_comes_to_the_same_as_its_parts(batches: Vec<u8>, steps in proptest::collection::vec(step(), 0..40)) {
            let now = Instant::now();
            let (whole, parts) = (Memory::new(Limits::default(), now), Memory::new(Limits::default(), now));
            let usage = Usage::default();
            let mut ends = batches.into_iter();
            let mut gathered = Gathered::default();
            for (number, step) in steps.into_iter().enumerate() {
                let since = number.to_be_bytes();
                match step {
                    Step::Begin(user) => {
                        gathered.begin(UserId(user), since.to_vec());
                        parts.begin(UserId(user), &since, now);
                    }
                    Step::Add(to) => {
                        let addition = RecentAddition {
                            event: RecentEvent { conversation: ConversationId(1), seq: Seq(number as u64), bytes: Bytes::new() },
                            users: users(to),
                        };
                        gathered.add(addition.clone());
                        parts.add(&[addition], now);
                    }
                    Step::Clear(of) => {
                        gathered.clear(users(of.clone()));
                        parts.clear(&users(of), now);
                    }
                }
                if ends.next().is_some_and(|end| end < 64) {
                    std::mem::take(&mut gathered).say(&whole, &usage);
                }
            }
            gathered.say(&whole, &usage);
            for user in 0..4 {
                prop_assert_eq!(whole.recent(UserId(user), now), parts.recent(UserId(user), now));
            }
        }
    }
}
