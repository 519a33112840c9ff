//! Recent events of each user.

use std::time::Instant;

use super::expiring::Expiring;
use crate::UserId;
use crate::ephemeral::contract::{Limits, RecentEvent, RecentList};

#[derive(Debug)]
pub(super) struct Lists(Expiring<UserId, List>);

#[derive(Clone, Debug)]
struct List {
    known: RecentList,
    bytes: usize,
}

impl Lists {
    pub(super) fn new(users_max: usize) -> Self {
        Self(Expiring::new(users_max))
    }

    pub(super) fn begin(&mut self, limits: &Limits, user: UserId, since: &[u8], now: Instant) -> bool {
        if since.len() > limits.recent_bytes_max {
            return false;
        }
        let list = List {
            known: RecentList {
                since: since.to_vec(),
                events: Vec::new(),
            },
            bytes: 0,
        };
        self.0.put(user, list, now + limits.recent_ttl, now);
        true
    }

    pub(super) fn add(&mut self, limits: &Limits, user: UserId, event: &RecentEvent, now: Instant) {
        if self.0.get(&user, now).is_none() {
            return;
        }
        let Some((_, mut list)) = self.0.remove(&user) else {
            return;
        };
        list.bytes += event.bytes.len();
        if list.known.events.len() >= limits.recent_events_max || list.bytes > limits.recent_bytes_max {
            return;
        }
        list.known.events.push(event.clone());
        self.0.put(user, list, now + limits.recent_ttl, now);
    }

    pub(super) fn list(&mut self, user: UserId, now: Instant) -> Option<RecentList> {
        self.0.get(&user, now).map(|list| list.known.clone())
    }

    pub(super) fn clear(&mut self, user: UserId) {
        self.0.remove(&user);
    }
}
