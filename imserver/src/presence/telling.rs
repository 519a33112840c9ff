//! Which users of this node the other nodes are to be told of, and when: at once if nothing was told lately, and twice a
//! second at most. How present they are is looked up when it is told, so that a user who comes and goes is told of once.

use std::collections::BTreeSet;

use storage::UserId;

use super::{
    machine::{Now, State},
    told::{Told, USERS_MAX},
};

/// The time between messages to other nodes, at least. So a change is there within a second.
pub(super) const EVERY_MS: u64 = 500;
/// Users that are told of at a time, at most. If more have changed, the others are told to read.
pub(super) const CHANGED_MAX: usize = 8 * USERS_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Telling {
    changed: BTreeSet<UserId>,
    too_many: bool,
    not_before_ms: u64,
}

impl Telling {
    /// This user came, went, or is away or back.
    pub(super) fn changed(&mut self, user: UserId) {
        if self.too_many {
            return;
        }
        if self.changed.len() >= CHANGED_MAX {
            self.all_changed();
        } else {
            self.changed.insert(user);
        }
    }

    /// It is not known who has changed.
    pub(super) fn all_changed(&mut self) {
        self.too_many = true;
        self.changed.clear();
    }

    /// When something is to be told, in milliseconds since the start.
    pub(super) fn due_ms(&self) -> Option<u64> {
        (self.too_many || !self.changed.is_empty()).then_some(self.not_before_ms)
    }

    /// What is to be told now; `is` finds out how present users are here.
    pub(super) fn take(&mut self, node: &str, now: Now, mut is: impl FnMut(UserId) -> State) -> Vec<Told> {
        if self.due_ms().is_none_or(|due_ms| due_ms > now.at_ms) {
            return Vec::new();
        }
        self.not_before_ms = now.at_ms + EVERY_MS;
        if std::mem::take(&mut self.too_many) {
            return vec![Told::ReadAgain];
        }
        let changed: Vec<_> = std::mem::take(&mut self.changed)
            .into_iter()
            .map(|user| (user, is(user)))
            .collect();
        changed
            .chunks(USERS_MAX)
            .map(|users| Told::Are(node.to_owned(), users.to_vec()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(at_ms: u64) -> Now {
        Now { at_ms, wall_ms: 0 }
    }

    #[test]
    fn a_change_is_told_at_once_and_what_follows_together() {
        let mut telling = Telling::default();
        let take = |telling: &mut Telling, at_ms| {
            telling.take("n", at(at_ms), |user| {
                if user.0 == 1 { State::Away } else { State::Offline }
            })
        };
        assert_eq!(telling.due_ms(), None);
        telling.changed(UserId(1));
        let told = Told::Are("n".to_owned(), vec![(UserId(1), State::Away)]);
        assert_eq!(take(&mut telling, 10_000), [told]);
        for user in [2, 1, 2] {
            telling.changed(UserId(user));
        }
        assert_eq!(telling.due_ms(), Some(10_000 + EVERY_MS));
        assert_eq!(take(&mut telling, 10_000 + EVERY_MS - 1), []);
        let both = vec![(UserId(1), State::Away), (UserId(2), State::Offline)];
        assert_eq!(
            take(&mut telling, 10_000 + EVERY_MS),
            [Told::Are("n".to_owned(), both)]
        );
        assert_eq!(take(&mut telling, 99_000), []);
    }

    #[test]
    fn more_than_can_be_told_is_read() {
        let mut telling = Telling::default();
        (0..CHANGED_MAX as u64).for_each(|user| telling.changed(UserId(user)));
        let told = telling.take("n", at(0), |_| State::Online);
        assert_eq!(told.len(), CHANGED_MAX / USERS_MAX);
        (0..=CHANGED_MAX as u64).for_each(|user| telling.changed(UserId(user)));
        telling.changed(UserId(1));
        assert_eq!(telling.take("n", at(1_000), |_| State::Online), [Told::ReadAgain]);
        assert_eq!(telling.due_ms(), None);
    }
}
