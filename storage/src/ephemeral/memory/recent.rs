//! Recent events of each user.

use std::time::Instant;

use super::expiring::Expiring;
use crate::UserId;
use crate::ephemeral::contract::{Limits, RecentEvent};

#[derive(Debug)]
pub(super) struct Lists(Expiring<UserId, List>);

#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) since: Vec<u8>,
    pub(super) events: Vec<RecentEvent>,
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
            since: since.to_vec(),
            events: Vec::new(),
            bytes: 0,
        };
        self.0.put(user, list, now + limits.recent_ttl, now);
        true
    }

    pub(super) fn add(&mut self, limits: &Limits, user: UserId, events: &[RecentEvent], now: Instant) {
        if self.0.get(&user, now).is_none() {
            return;
        }
        let Some((_, mut list)) = self.0.remove(&user) else {
            return;
        };
        list.bytes += events.iter().map(|event| event.bytes.len()).sum::<usize>();
        if list.events.len() + events.len() > limits.recent_events_max || list.bytes > limits.recent_bytes_max
        {
            return;
        }
        list.events.extend_from_slice(events);
        self.0.put(user, list, now + limits.recent_ttl, now);
    }

    pub(super) fn list(&mut self, user: UserId, now: Instant) -> Option<List> {
        self.0.get(&user, now).cloned()
    }

    pub(super) fn clear(&mut self, user: UserId) {
        self.0.remove(&user);
    }
}
