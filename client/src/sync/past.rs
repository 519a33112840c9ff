//! Whether what was applied is of the past that the server has now.
//!
//! It owns the doubts: which conversations stand on something that the server has not confirmed, and what becomes of
//! them. It must never keep a cursor that the server's log does not confirm.
//!
//! There are two doubts, and one way to settle both: the event that was applied last is looked for in the log.
//!
//! - *Another epoch, or `restarted`.* Everything is in doubt. Where the log has the event, the cursor stays;
//!   elsewhere the conversation is applied from its beginning.
//! - *A new connection.* Between two connections a server may have been put back without noticing. It checks the
//!   token that the device presents, and what that token covers is confirmed with it. What was applied beyond the
//!   token is in doubt. Where the log does not have it, the cursor goes back to what the token covers.
//!   So what a device has applied is of one past at any time, which is what the first rule rests on.
//!
//! Nothing is applied before the first answer of a connection, and nothing of a conversation in doubt.
//!
//! ```text
//!                      the log has the event              the program takes the rewind
//!   in doubt ──────────────────────────────▶ decided(its seq) ─────────────────────▶ certain
//!      │                                                                                ▲
//!      └── it has another one, or ends before ──▶ decided(what is confirmed) ───────────┘
//! ```

use protocol::v1;

use super::{
    machine::{Machine, Ready, Step},
    mark::Mark,
    token::Tokens,
    track::Track,
};

/// What a conversation in doubt stands on.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    /// What was applied last.
    pub(super) mark: Mark,
    /// The cursor that is confirmed in any case.
    pub(super) confirmed: u64,
    /// It was applied in an epoch that is over: it has no cursor in this one yet.
    pub(super) is_of_earlier_epoch: bool,
    pub(super) is: Inquiry,
}

/// How far a doubt has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Inquiry {
    /// Nothing is asked before the log is known to go as far as the mark: beyond its end there is nothing to ask.
    Waiting,
    /// No sync names the conversation: what follows the confirmed cursor is asked for.
    Asking,
    /// The rewind waits for the program.
    Decided,
}

/// What becomes of a doubt.
enum Decision {
    /// The cursor is right, and the program has nothing to do.
    Stands { was_not_named: bool },
    /// The program must be told where to go on from.
    Rewind(u64),
}

impl Machine {
    /// A connection begins: what was heard beyond the stored token is heard again, and what was applied beyond it
    /// is in doubt.
    pub(super) fn doubt_the_unconfirmed(&mut self) {
        self.verified = false;
        self.named.clear();
        self.ready.clear();
        for conversation in std::mem::take(&mut self.gaps) {
            if let Some(track) = self.tracks.get_mut(&conversation) {
                track.queued = false;
            }
        }
        self.held_events = 0;
        let ahead = self.tokens.begin_again();
        let of_others = self.unsettled.iter().filter(|id| !ahead.contains_key(id));
        let unconfirmed: Vec<(u64, Option<u64>)> = ahead
            .iter()
            .map(|(id, confirmed)| (*id, Some(*confirmed)))
            .chain(of_others.map(|id| (*id, None)))
            .collect();
        for (conversation, confirmed) in unconfirmed {
            if let Some(track) = self.tracks.get_mut(&conversation) {
                track.doubt(confirmed);
                if track.doubt.is_some() {
                    // The server may not have it.
                    self.acknowledged.remove(&conversation);
                    self.unacknowledged.remove(&conversation);
                }
            }
            self.look_at(conversation);
        }
    }

    /// Another past: every conversation is in doubt, down to its beginning.
    pub(super) fn doubt_everything(&mut self) {
        let tracks = std::mem::take(&mut self.tracks);
        self.unsettled.clear();
        self.gaps.clear();
        self.ready.clear();
        self.held_events = 0;
        self.pulls.clear();
        self.acknowledged.clear();
        self.unacknowledged.clear();
        self.verified = false;
        self.named.clear();
        for (conversation, track) in tracks {
            if let Some(mark) = track.last_applied() {
                self.unsettled.insert(conversation);
                self.tracks.insert(conversation, Track::of_earlier_epoch(mark));
            }
        }
        self.tokens = Tokens::from_the_beginning();
    }

    /// A page of the log, that of a conversation in doubt perhaps: decides if it says what stands at the mark.
    pub(super) fn compare(&mut self, page: &v1::Page) {
        let Some(mark) = self.undecided(page.conversation_id) else {
            return;
        };
        if (page.from_seq..=page.to_seq).contains(&mark.seq) {
            let is_there = page.events.iter().any(|event| mark.is(event));
            self.decide(page.conversation_id, is_there);
        }
    }

    /// The log ends at `head`, for this user: what was applied beyond it is of another past.
    pub(super) fn compare_head(&mut self, conversation: u64, head: u64) {
        if self.undecided(conversation).is_some_and(|mark| head < mark.seq) {
            self.decide(conversation, false);
        }
    }

    /// A sync was answered to its end. Of an epoch's beginning it names everything; later on it does not name what its
    /// token covers, which may be more than this device knows.
    pub(super) fn inquire_what_was_not_named(&mut self) {
        let doubtful = |id: &u64| self.undecided(*id).is_some();
        let doubtful: Vec<u64> = self.unsettled.iter().copied().filter(doubtful).collect();
        for conversation in doubtful {
            let Some(track) = self.tracks.get_mut(&conversation) else {
                continue;
            };
            let head = track.head;
            if track.is_of_earlier_epoch() {
                self.compare_head(conversation, head);
            } else {
                track.inquire();
                self.look_at(conversation);
            }
        }
    }

    /// The log has nothing of it any more.
    pub(super) fn decide_gone(&mut self, conversation: u64) {
        if self.undecided(conversation).is_some() {
            self.decide(conversation, false);
        }
    }

    /// The program takes the rewind: from here on the conversation is applied as any other.
    pub(super) fn rewound(&mut self, conversation: u64, to: u64) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.rewound(to);
        }
        if to > 0 {
            self.unacknowledged.insert(conversation, to);
        }
    }

    fn undecided(&self, conversation: u64) -> Option<&Mark> {
        self.tracks
            .get(&conversation)?
            .undecided()
            .map(|doubt| &doubt.mark)
    }

    fn decide(&mut self, conversation: u64, is_there: bool) {
        let Some(track) = self.tracks.get_mut(&conversation) else {
            return;
        };
        match track.decide(is_there) {
            Decision::Stands { was_not_named } => {
                let cursor = track.cursor;
                if was_not_named {
                    // The token covers it, then.
                    self.tokens.confirmed(conversation, cursor);
                }
                self.unacknowledged.entry(conversation).or_insert(cursor);
            }
            Decision::Rewind(to) => self.ready.push_back(Ready {
                conversation,
                to,
                step: Step::Rewind,
            }),
        }
        self.release_held(conversation);
        self.look_at(conversation);
    }
}

impl Track {
    /// A conversation of which nothing but this is known.
    pub(super) fn of_earlier_epoch(mark: Mark) -> Self {
        Self {
            doubt: Some(Doubt {
                mark,
                confirmed: 0,
                is_of_earlier_epoch: true,
                is: Inquiry::Waiting,
            }),
            ..Self::default()
        }
    }

    /// The doubt, as long as the log has not been found to have the event or another one.
    pub(super) fn undecided(&self) -> Option<&Doubt> {
        self.doubt.as_ref().filter(|doubt| doubt.is != Inquiry::Decided)
    }

    /// From where on to ask about it; `None` as long as there is nothing to ask.
    pub(super) fn inquiry(&self, doubt: &Doubt) -> Option<u64> {
        match doubt.is {
            _ if self.head >= doubt.mark.seq => Some(doubt.mark.seq),
            Inquiry::Asking => Some(doubt.confirmed.saturating_add(1)),
            Inquiry::Waiting | Inquiry::Decided => None,
        }
    }

    fn inquire(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is = Inquiry::Asking;
        }
    }

    /// It has no cursor in this epoch yet.
    pub(super) fn is_of_earlier_epoch(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.is_of_earlier_epoch)
    }

    /// Forgets what was heard and not applied. What was applied beyond `confirmed` is in doubt; `None` when
    /// nothing was.
    fn doubt(&mut self, confirmed: Option<u64>) {
        self.held.clear();
        self.pull = None;
        self.queued = false;
        self.postponed = false;
        let confirmed = confirmed.unwrap_or(self.cursor).min(self.cursor);
        if let Some(doubt) = &mut self.doubt {
            doubt.is = Inquiry::Waiting;
        } else if confirmed < self.cursor {
            let mark = self.mark.clone().unwrap_or_else(|| Mark::unknown(self.cursor));
            if mark.seq > confirmed {
                self.doubt = Some(Doubt {
                    mark,
                    confirmed,
                    is_of_earlier_epoch: false,
                    is: Inquiry::Waiting,
                });
            } else {
                // The cursor has passed over a stretch in which nothing was visible. Now something may be.
                self.cursor = confirmed;
            }
        }
        self.received = self.cursor;
        self.head = confirmed;
    }

    /// What to look for when the epoch is over; `None` when nothing was applied.
    pub(super) fn last_applied(&self) -> Option<Mark> {
        match (&self.doubt, &self.mark) {
            (Some(doubt), _) => Some(doubt.mark.clone()),
            (None, Some(mark)) => Some(mark.clone()),
            (None, None) => (self.cursor > 0).then(|| Mark::unknown(self.cursor)),
        }
    }

    /// Ends a doubt: the log has the event, or it has not.
    fn decide(&mut self, is_there: bool) -> Decision {
        let Some(doubt) = &mut self.doubt else {
            return Decision::Stands { was_not_named: false };
        };
        let was_not_named = doubt.is == Inquiry::Asking;
        if is_there && !doubt.is_of_earlier_epoch {
            // Not what it has passed over beyond: something may be visible there now.
            self.cursor = doubt.mark.seq;
            self.received = self.cursor;
            self.head = self.head.max(self.cursor);
            self.doubt = None;
            return Decision::Stands { was_not_named };
        }
        doubt.is = Inquiry::Decided;
        let to = if is_there { doubt.mark.seq } else { doubt.confirmed };
        self.received = to;
        self.head = self.head.max(to);
        Decision::Rewind(to)
    }

    fn rewound(&mut self, to: u64) {
        let before = self.doubt.take().map(|doubt| doubt.mark);
        self.cursor = to;
        self.mark = match before {
            _ if to == 0 => None,
            Some(mark) if mark.seq == to => Some(mark),
            _ => Some(Mark::unknown(to)),
        };
    }
}
