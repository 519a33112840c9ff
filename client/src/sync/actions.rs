//! What the machine says: in which order actions come out, and what taking one means.

use super::{
    ACKNOWLEDGE_EVERY, ACKNOWLEDGE_MAX, Action, CONVERSATIONS_PER_PAGE, PULLS_MAX, READY_MAX, RequestId,
    Start,
    machine::{Asked, Live, Machine, Phase, Ready, Step, behind},
    mark::Mark,
    token::Tokens,
    track::Pull,
};
use protocol::v1;

impl Machine {
    /// What to do next; `None` until something is fed. Says at the same time that the action before is
    /// done.
    pub fn next_action(&mut self) -> Option<Action> {
        if self.take_restart() {
            return Some(Action::Restart);
        }
        if let Some(request) = self.next_request() {
            return Some(request);
        }
        let (tracks, unsettled) = (&self.tracks, &self.unsettled);
        if let Some(token) = self.tokens.take_storable(|| behind(tracks, unsettled)) {
            return Some(Action::StoreToken(token));
        }
        if self.applied_since_acknowledged >= ACKNOWLEDGE_EVERY
            && let Some(acknowledgement) = self.take_acknowledgement()
        {
            return Some(Action::Acknowledge(acknowledgement));
        }
        if let Some(step) = self.next_step() {
            return Some(step);
        }
        self.take_acknowledgement().map(Action::Acknowledge)
    }

    /// What the server does not know to be delivered yet, at most [`ACKNOWLEDGE_MAX`] conversations; for
    /// a program that stops before [`next_action`](Self::next_action) says it. `None` while offline.
    pub fn take_acknowledgement(&mut self) -> Option<v1::DeliveredRequest> {
        // What the server has not verified, it may not have: it would take this device for one of another past.
        if self.unacknowledged.is_empty() || !self.verified || !matches!(self.phase, Phase::Live(_)) {
            return None;
        }
        self.applied_since_acknowledged = 0;
        let mut up_to = Vec::new();
        while up_to.len() < ACKNOWLEDGE_MAX {
            let Some((conversation_id, seq)) = self.unacknowledged.pop_first() else {
                break;
            };
            self.acknowledged.insert(conversation_id, seq);
            up_to.push(v1::Head { conversation_id, seq });
        }
        Some(v1::DeliveredRequest { up_to })
    }

    fn take_restart(&mut self) -> bool {
        if !std::mem::take(&mut self.restart) {
            return false;
        }
        self.epoch = 0;
        self.after_list = false;
        let had_nothing = self.tokens.known.is_none() && self.start == Start::Heads;
        self.doubt_everything();
        if had_nothing {
            // It was still reading the list.
            self.tokens = Tokens::default();
            self.tracks.clear();
            self.unsettled.clear();
        }
        if let Phase::Restarting { postponed: wait } = self.phase {
            self.begin();
            if wait
                && let Phase::Listing { postponed, .. } | Phase::Live(Live { postponed, .. }) =
                    &mut self.phase
            {
                *postponed = true;
            }
        }
        true
    }

    fn next_request(&mut self) -> Option<Action> {
        let id = RequestId(self.last_id + 1);
        let action = match &mut self.phase {
            Phase::Offline | Phase::Restarting { .. } => None,
            Phase::Listing {
                asked,
                before,
                postponed,
                ..
            } => (asked.is_none() && !*postponed).then(|| {
                *asked = Some(id);
                let request = v1::ListConversationsRequest {
                    before: before.clone(),
                    limit: CONVERSATIONS_PER_PAGE,
                };
                Action::List { id, request }
            }),
            Phase::Live(live) if live.due && live.asked.is_none() && !live.postponed => {
                let token = self.tokens.known.clone().unwrap_or_default();
                live.due = false;
                live.asked = Some(Asked {
                    id,
                    from_nothing: token.is_empty(),
                });
                let request = v1::SyncRequest {
                    token,
                    limit: CONVERSATIONS_PER_PAGE,
                };
                Some(Action::Sync { id, request })
            }
            Phase::Live(_) => self.next_pull(id),
        };
        if action.is_some() {
            self.last_id = id.0;
        }
        action
    }

    fn next_pull(&mut self, id: RequestId) -> Option<Action> {
        let expected = self.pull_events as usize * (self.pulls.len() + 1);
        if self.pulls.len() >= PULLS_MAX || self.ready.len() + expected > READY_MAX {
            return None;
        }
        while let Some(conversation_id) = self.gaps.pop_front() {
            let Some(track) = self.tracks.get_mut(&conversation_id) else {
                continue;
            };
            track.queued = false;
            let Some(from_seq) = track.gap().filter(|_| track.pull.is_none() && !track.postponed) else {
                continue;
            };
            track.pull = Some(Pull {
                id,
                from: from_seq,
                head_since: 0,
            });
            self.pulls.insert(id, conversation_id);
            let request = v1::HistoryRequest {
                conversation_id,
                epoch: self.epoch,
                from_seq,
                limit: self.pull_events,
                direction: v1::Direction::Forward.into(),
            };
            return Some(Action::Pull { id, request });
        }
        None
    }

    fn next_step(&mut self) -> Option<Action> {
        if !self.verified {
            return None;
        }
        while let Some(Ready {
            conversation,
            to,
            step,
        }) = self.ready.pop_front()
        {
            let Some(track) = self.tracks.get_mut(&conversation) else {
                continue;
            };
            let action = match step {
                Step::Blank => {
                    track.cursor = to;
                    None
                }
                Step::Over(event) => {
                    track.cursor = to;
                    track.mark = Some(Mark::of(&event));
                    self.unacknowledged.insert(conversation, to);
                    self.applied_since_acknowledged += 1;
                    Some(Action::Apply(event))
                }
                Step::Rewind => {
                    self.rewound(conversation, to);
                    Some(Action::Rewind { conversation, to })
                }
            };
            self.note_settled(conversation);
            if action.is_some() {
                return action;
            }
        }
        None
    }

    fn note_settled(&mut self, conversation: u64) {
        let Some(track) = self.tracks.get_mut(&conversation) else {
            return;
        };
        let settled = track.is_settled();
        self.tokens.applied(conversation, track.cursor, settled);
        if settled {
            track.postponed = false;
            self.unsettled.remove(&conversation);
        }
    }
}
