//! What a slow connection is owed: instead of frames that do not fit its out-queue, the newest seq of each
//! conversation, and if even those become too many, one word: resync.

use std::collections::BTreeMap;

use protocol::v1::{Head, HeadsPush};
use storage::{ConversationId, Seq, Snapshot};

/// Conversations that one connection is owed heads of, at most; beyond it the client is told to resync.
pub(crate) const HEADS_MAX: usize = 256;

/// A connection's debt.
///
/// ```text
///              too many, or missed               Sync asked             Sync answered
///   heads ───────────────────────▶ resync owed ────────────▶ syncing ────────────────▶ heads noted since
///     ▲                                 ▲                       │                        (none: settled)
///     └── sent: settled                 └── too many, missed ───┘
/// ```
#[derive(Debug)]
pub(crate) struct Backlog {
    heads: BTreeMap<ConversationId, Seq>,
    resync: Resync,
    /// All of this was written, as an event, a head or by a sync.
    token: Snapshot,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Resync {
    /// The heads are all that is owed.
    None,
    /// The client must be told to sync.
    Owed,
    /// It was told.
    Told,
    /// It asked: the heads are what came since.
    Asked,
}

impl Backlog {
    /// A new debt: all that `token` has was written.
    pub(crate) const fn new(token: Snapshot) -> Self {
        Self {
            heads: BTreeMap::new(),
            resync: Resync::None,
            token,
        }
    }

    /// Owes the events of a conversation up to `seq`.
    pub(crate) fn note(&mut self, conversation: ConversationId, seq: Seq) {
        if matches!(self.resync, Resync::Owed | Resync::Told) {
            return;
        }
        if self.heads.len() >= HEADS_MAX && !self.heads.contains_key(&conversation) {
            self.owe_resync();
            return;
        }
        let head = self.heads.entry(conversation).or_default();
        *head = seq.max(*head);
    }

    /// Owes everything since the token.
    pub(crate) fn owe_resync(&mut self) {
        self.resync = Resync::Owed;
        self.heads.clear();
    }

    /// The client asks for a sync, whose snapshot is taken after this: what was owed before is in it.
    pub(crate) fn sync_asked(&mut self) {
        if self.resync != Resync::None {
            self.resync = Resync::Asked;
            self.heads.clear();
        }
    }

    /// A sync brought all of this. True when nothing is owed any more.
    pub(crate) fn synced(&mut self, snapshot: &Snapshot) -> bool {
        self.token = self.token.union(snapshot);
        if self.resync == Resync::Asked {
            self.resync = Resync::None;
        }
        self.resync == Resync::None && self.heads.is_empty()
    }

    /// How far this connection is complete while it is owed something.
    pub(crate) const fn token(&self) -> &Snapshot {
        &self.token
    }

    /// What to send now; nothing while it is the client's turn.
    pub(crate) fn push(&self, epoch: u64) -> Option<HeadsPush> {
        let heads = self.heads.iter().map(|(id, seq)| Head {
            conversation_id: id.0,
            seq: seq.0,
        });
        match self.resync {
            Resync::None if !self.heads.is_empty() => Some(HeadsPush {
                epoch,
                heads: heads.collect(),
                resync: false,
            }),
            Resync::Owed => Some(HeadsPush {
                epoch,
                heads: Vec::new(),
                resync: true,
            }),
            Resync::None | Resync::Told | Resync::Asked => None,
        }
    }

    /// What [`Backlog::push`] said was sent. True when nothing is owed any more.
    pub(crate) fn sent(&mut self) -> bool {
        match self.resync {
            Resync::None => {
                self.heads.clear();
                true
            }
            Resync::Owed => {
                self.resync = Resync::Told;
                false
            }
            Resync::Told | Resync::Asked => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(position: u64) -> Snapshot {
        Snapshot::at(storage::Position(position))
    }

    fn noted(backlog: &mut Backlog, id: u64, seq: u64) {
        backlog.note(ConversationId(id), Seq(seq));
    }

    fn overflow(backlog: &mut Backlog) {
        for id in 0..=HEADS_MAX as u64 {
            noted(backlog, id, 1);
        }
    }

    const RESYNC: HeadsPush = HeadsPush {
        epoch: 1,
        heads: Vec::new(),
        resync: true,
    };

    #[test]
    fn the_newest_head_of_each_conversation_is_owed_once() {
        let mut backlog = Backlog::new(at(5));
        for (id, seq) in [(1, 2), (1, 4), (1, 3), (2, 1)] {
            noted(&mut backlog, id, seq);
        }
        let push = backlog.push(9).unwrap();
        assert_eq!(
            push.heads,
            vec![
                Head {
                    conversation_id: 1,
                    seq: 4
                },
                Head {
                    conversation_id: 2,
                    seq: 1
                }
            ]
        );
        assert!(!push.resync);
        assert_eq!(*backlog.token(), at(5));
        assert!(backlog.sent());
    }

    #[test]
    fn too_many_conversations_become_a_resync_that_is_said_once() {
        let mut backlog = Backlog::new(at(0));
        overflow(&mut backlog);
        assert_eq!(backlog.push(1), Some(RESYNC));
        assert!(!backlog.sent());
        noted(&mut backlog, 1, 9);
        assert_eq!(backlog.push(1), None);
    }

    #[test]
    fn what_comes_while_a_sync_is_under_way_is_owed_after_it() {
        let mut backlog = Backlog::new(at(3));
        backlog.owe_resync();
        assert!(!backlog.sent());
        backlog.sync_asked();
        noted(&mut backlog, 7, 2);
        assert!(!backlog.synced(&at(10)));
        assert_eq!(*backlog.token(), at(10));
        assert_eq!(
            backlog.push(1).unwrap().heads,
            vec![Head {
                conversation_id: 7,
                seq: 2
            }]
        );
        assert!(backlog.sent());
    }

    #[test]
    fn a_sync_with_nothing_after_it_settles() {
        let mut backlog = Backlog::new(at(3));
        backlog.owe_resync();
        backlog.sent();
        backlog.sync_asked();
        assert!(backlog.synced(&at(10)));
    }

    #[test]
    fn a_sync_asked_before_something_was_missed_does_not_settle() {
        let mut backlog = Backlog::new(at(3));
        backlog.owe_resync();
        backlog.sent();
        backlog.sync_asked();
        backlog.owe_resync();
        assert!(!backlog.synced(&at(10)));
        assert_eq!(backlog.push(1), Some(RESYNC));
    }

    #[test]
    fn heads_are_owed_whatever_a_sync_brought() {
        let mut backlog = Backlog::new(at(3));
        noted(&mut backlog, 7, 2);
        backlog.sync_asked();
        assert!(!backlog.synced(&at(10)));
        assert!(backlog.push(1).is_some());
    }
}
