//! Presence in the chat: whom to watch, how present they are, and whether somebody is at this terminal.

use std::collections::BTreeMap;

use protocol::{
    v1::{Presence, PresenceState},
    validate::PRESENCES_MAX,
};

use super::{
    effect::Effect,
    state::{Connection, State},
};
use crate::time::date_and_clock;

/// Nobody is at the terminal once no key was pressed for so long.
const AWAY_AFTER_MS: u64 = 5 * 60_000;

#[derive(Debug, Default)]
pub(super) struct Presences {
    known: BTreeMap<u64, Presence>,
    /// Whom this connection watches.
    watched: Vec<u64>,
    /// When a key was pressed last.
    touched_ms: u64,
    /// What the server was told.
    away: bool,
}

impl Presences {
    /// A new connection watches nobody, and somebody is at it.
    pub(super) fn reset(&mut self) {
        self.known.clear();
        self.watched.clear();
        self.away = false;
    }

    pub(super) const fn touch(&mut self, now_ms: u64) {
        self.touched_ms = now_ms;
    }

    pub(super) fn learn(&mut self, presence: Presence) {
        if self.watched.contains(&presence.user_id) {
            self.known.insert(presence.user_id, presence);
        }
    }
}

impl State {
    /// Watches whom the newest conversations are with, if that is somebody else than before.
    pub(super) fn watch_peers(&mut self) -> Vec<Effect> {
        let peers = self.rows.iter().map(|row| self.names.peer(row.conversation));
        let mut peers: Vec<u64> = peers
            .filter(|user| *user != 0 && *user != self.names.me())
            .take(PRESENCES_MAX)
            .collect();
        peers.sort_unstable();
        if peers == self.presences.watched {
            return Vec::new();
        }
        self.presences.watched.clone_from(&peers);
        self.presences.known.retain(|user, _| peers.contains(user));
        vec![Effect::Watch(peers)]
    }

    /// Tells the server when nobody has been here for a while, and when somebody is again.
    pub(crate) fn rest(&mut self) -> Vec<Effect> {
        if self.presences.touched_ms == 0 {
            self.presences.touched_ms = self.now_ms;
        }
        let idle_ms = self.now_ms.saturating_sub(self.presences.touched_ms);
        let away = idle_ms >= AWAY_AFTER_MS;
        if away == self.presences.away || self.connection != Connection::Online {
            return Vec::new();
        }
        self.presences.away = away;
        vec![Effect::SetAway(away)]
    }

    fn presence(&self, conversation: u64) -> Option<&Presence> {
        self.presences.known.get(&self.names.peer(conversation))
    }

    /// A sign for the list, of one column.
    pub(super) fn presence_sign(&self, conversation: u64) -> &'static str {
        match self.presence(conversation).map(Presence::state) {
            Some(PresenceState::Online) => "\u{25cf}",
            Some(PresenceState::Away) => "\u{25cb}",
            Some(PresenceState::Offline | PresenceState::Unspecified) | None => "",
        }
    }

    /// In words, for the heading.
    pub(super) fn presence_words(&self, conversation: u64) -> String {
        let Some(presence) = self.presence(conversation) else {
            return String::new();
        };
        match presence.state() {
            PresenceState::Online => "online".to_owned(),
            PresenceState::Away => "away".to_owned(),
            PresenceState::Offline | PresenceState::Unspecified if presence.last_seen_ms == 0 => {
                String::new()
            }
            PresenceState::Offline | PresenceState::Unspecified => {
                format!("last seen {}", date_and_clock(presence.last_seen_ms, &self.zone))
            }
        }
    }
}
