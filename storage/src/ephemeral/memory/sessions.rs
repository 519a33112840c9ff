//! Cached sessions. [`SessionCache`](crate::ephemeral::SessionCache) says why an ended one does not come back.

use std::time::Instant;

use super::expiring::Expiring;
use crate::ephemeral::contract::{Ended, Limits, Lookup, Ticket};
use crate::{Session, TokenHash, User};

#[derive(Debug)]
pub(super) struct Sessions {
    entries: Expiring<[u8; 32], Entry>,
    /// The number of the newest end of each.
    ends: Expiring<Ended, u64>,
    /// Ends so far.
    number: u64,
    /// Entries below this number do not count: notes of ends were evicted.
    floor: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    found: Option<Box<(Session, User)>>,
}

impl Sessions {
    pub(super) fn new(sessions_max: usize) -> Self {
        Self {
            entries: Expiring::new(sessions_max),
            ends: Expiring::new(sessions_max),
            number: 0,
            floor: 0,
        }
    }

    pub(super) fn find(&mut self, token: &TokenHash, now: Instant) -> Lookup {
        let unknown = Lookup::Unknown(Some(Ticket {
            generation: 0,
            number: self.number,
            taken: now,
        }));
        let Some(entry) = self.entries.get(&token.0, now) else {
            return unknown;
        };
        let of_session = entry
            .found
            .as_ref()
            .map(|found| [Ended::Session(found.0.id), Ended::User(found.0.user)]);
        let concerning = of_session.into_iter().flatten().chain([Ended::Token(token.0)]);
        let newest = concerning
            .filter_map(|ended| self.ends.get(&ended, now).copied())
            .fold(self.floor, u64::max);
        if entry.number < newest {
            return unknown;
        }
        match &entry.found {
            Some(found) => Lookup::Found(found.clone()),
            None => Lookup::Absent,
        }
    }

    pub(super) fn keep(
        &mut self,
        limits: &Limits,
        token: &TokenHash,
        found: Option<(&Session, &User)>,
        ticket: Ticket,
        now: Instant,
    ) {
        if now.saturating_duration_since(ticket.taken) > limits.lookup_max {
            return;
        }
        let ttl = if found.is_some() {
            limits.session_ttl
        } else {
            limits.absent_ttl
        };
        let entry = Entry {
            number: ticket.number,
            found: found.map(|(session, user)| Box::new((session.clone(), user.clone()))),
        };
        self.entries.put(token.0, entry, now + ttl, now);
    }

    pub(super) fn end(&mut self, limits: &Limits, ended: Ended, now: Instant) {
        self.number += 1;
        let until = now + limits.lookup_max + limits.session_ttl.max(limits.absent_ttl);
        if let Some((_, forgotten)) = self.ends.put(ended, self.number, until, now) {
            self.floor = self.floor.max(forgotten);
        }
    }
}
