//! One person who is watched: where they are, what their watchers are shown, and who these are.

use std::{collections::BTreeSet, sync::Arc};

use netcore::ConnId;

use super::{COALESCE_MS, Now, SETTLE_MS, Shown};

const MINUTE_MS: u64 = 60_000;

/// How present somebody is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum State {
    /// Not connected.
    #[default]
    Offline,
    /// Connected, and every connection says that nobody is at it.
    Away,
    /// Connected.
    Online,
}

/// How present somebody is on another node.
#[derive(Debug)]
struct Elsewhere {
    node: Arc<str>,
    state: State,
    /// When that node said so; `None` if it was read of the shared routes, which know of no absence.
    told_at_ms: Option<u64>,
}

impl Elsewhere {
    /// Whether the node said so that shortly before `asked_at` that the shared routes may not show it yet.
    fn is_newer(&self, asked_at: Now) -> bool {
        self.told_at_ms
            .is_some_and(|told_at_ms| told_at_ms + SETTLE_MS > asked_at.at_ms)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// How present they are on this node.
    pub(super) here: State,
    elsewhere: Vec<Elsewhere>,
    shown: State,
    /// Exactly; it is rounded where it is shown.
    last_seen_ms: u64,
    /// Since when they have no connection, while they are shown with one.
    gone_since: Option<Now>,
    /// Nothing is shown before.
    not_before_ms: u64,
    /// When they are looked at next.
    pub(super) due_ms: Option<u64>,
    seeing: BTreeSet<ConnId>,
    /// Those that watch and may not see.
    blind: BTreeSet<ConnId>,
}

impl Watched {
    /// How present they are, on all nodes.
    fn is(&self) -> State {
        let elsewhere = self.elsewhere.iter().map(|elsewhere| elsewhere.state);
        elsewhere.max().unwrap_or_default().max(self.here)
    }

    /// What those who may see are shown.
    pub(super) const fn shown(&self) -> Shown {
        Shown {
            state: self.shown,
            last_seen_ms: match self.shown {
                State::Offline => self.last_seen_ms - self.last_seen_ms % MINUTE_MS,
                State::Away | State::Online => 0,
            },
        }
    }

    /// Nobody was shown anything before: the first is shown what is.
    pub(super) fn begin(&mut self, last_seen_ms: u64) {
        self.shown = self.is();
        self.last_seen_ms = last_seen_ms;
        self.gone_since = None;
    }

    // ---- where they are ------------------------------------------------------------------------------------

    /// The name of a node as it is kept here, if anything is known of it.
    pub(super) fn knows(&self, node: &str) -> Option<Arc<str>> {
        let known = self.elsewhere.iter().find(|elsewhere| *elsewhere.node == *node);
        known.map(|elsewhere| Arc::clone(&elsewhere.node))
    }

    /// A node says how present they are there.
    pub(super) fn told(&mut self, node: &Arc<str>, state: State, now: Now) {
        self.elsewhere.retain(|elsewhere| elsewhere.node != *node);
        self.elsewhere.push(Elsewhere {
            node: Arc::clone(node),
            state,
            told_at_ms: Some(now.at_ms),
        });
    }

    /// The shared routes name these nodes; they were asked at `asked_at`. Returns whether one is new.
    pub(super) fn read(&mut self, nodes: &[Arc<str>], own: &str, asked_at: Now) -> bool {
        self.elsewhere.retain(|elsewhere| {
            let is_named = nodes.contains(&elsewhere.node) && elsewhere.state > State::Offline;
            is_named || elsewhere.is_newer(asked_at)
        });
        let mut is_new = false;
        for node in nodes {
            if **node != *own && self.knows(node).is_none() {
                is_new = true;
                self.elsewhere.push(Elsewhere {
                    node: Arc::clone(node),
                    state: State::Online,
                    told_at_ms: None,
                });
            }
        }
        is_new
    }

    /// These nodes are gone. Returns whether that makes them less present.
    pub(super) fn forget(&mut self, is_gone: &dyn Fn(&str) -> bool) -> bool {
        let before = self.is();
        self.elsewhere.retain(|elsewhere| !is_gone(&elsewhere.node));
        self.is() < before
    }

    /// If they have no connection left, it is for at least so long.
    pub(super) fn gone_for(&mut self, for_ms: u64, now: Now) {
        if self.is() == State::Offline {
            self.gone_since = Some(Now {
                at_ms: now.at_ms.saturating_sub(for_ms),
                wall_ms: now.wall_ms.saturating_sub(for_ms),
            });
        }
    }

    // ---- what is shown -------------------------------------------------------------------------------------

    /// When what is shown has to change, as far as is known; `None` if it is right.
    pub(super) fn next_look(&mut self, grace_ms: u64, now: Now) -> Option<u64> {
        let is = self.is();
        if is > State::Offline {
            if self.gone_since.take().is_some() && is != self.shown {
                // A device that comes back says in a moment whether somebody is at it.
                self.not_before_ms = self.not_before_ms.max(now.at_ms + COALESCE_MS);
            }
            return (is != self.shown).then_some(self.not_before_ms);
        }
        if self.shown == State::Offline {
            self.gone_since = None;
            return None;
        }
        let gone_since = *self.gone_since.get_or_insert(now);
        Some((gone_since.at_ms + grace_ms).max(self.not_before_ms))
    }

    /// Shows what is, if it is time. Returns whether that is something else.
    pub(super) fn catch_up(&mut self, grace_ms: u64, now: Now) -> bool {
        match self.next_look(grace_ms, now) {
            Some(at_ms) if at_ms <= now.at_ms => {}
            _ => return false,
        }
        self.shown = self.is();
        if let Some(gone_since) = self.gone_since.take() {
            self.last_seen_ms = gone_since.wall_ms;
        }
        self.not_before_ms = now.at_ms + COALESCE_MS;
        true
    }

    // ---- who watches ---------------------------------------------------------------------------------------

    /// A connection watches, and may see or may not. Returns whether that is a change.
    pub(super) fn admit(&mut self, conn: ConnId, may_see: bool) -> bool {
        let (to, from) = if may_see {
            (&mut self.seeing, &mut self.blind)
        } else {
            (&mut self.blind, &mut self.seeing)
        };
        from.remove(&conn);
        to.insert(conn)
    }

    /// A connection watches no more. Returns whether nobody does now.
    pub(super) fn dismiss(&mut self, conn: ConnId) -> bool {
        self.seeing.remove(&conn);
        self.blind.remove(&conn);
        self.seeing.is_empty() && self.blind.is_empty()
    }

    /// Whether anybody who watches may see.
    pub(super) fn is_seen(&self) -> bool {
        !self.seeing.is_empty()
    }

    /// Those who watch and may see.
    pub(super) fn seeing(&self) -> impl Iterator<Item = ConnId> {
        self.seeing.iter().copied()
    }

    /// All who watch.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.seeing.iter().chain(&self.blind).copied()
    }
}
