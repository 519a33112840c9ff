//! What a slow connection gets instead of frames that do not fit its out-queue: the newest seq of each conversation and
//! the newest state of each cursor. If even those become too many, the connection is told to resync.

use std::collections::BTreeMap;

use protocol::{
    Push,
    v1::{Cursor, CursorsPush, Head, HeadsPush},
};
use storage::{ConversationId, CursorMove, Seq, Snapshot, UserId};

use crate::message::Owed;

/// Heads that a backlog holds, at most. With more, the client is told to resync.
pub(crate) const HEADS_MAX: usize = 256;
/// Cursors that a backlog holds, at most. With more, the client is told to resync.
pub(crate) const CURSORS_MAX: usize = 256;

/// The backlog of one connection.
///
/// ```text
///              too many, or missed               Sync asked             Sync answered
///   heads ───────────────────────▶ resync owed ────────────▶ syncing ────────────────▶ heads noted since
///     ▲                                 ▲                       │                        (none: settled)
///     └── sent: settled                 └── too many, missed ───┘
///
///   Cursors are owed beside the heads, in the same way, and sent after them.
/// ```
#[derive(Debug)]
pub(crate) struct Backlog {
    heads: BTreeMap<ConversationId, Seq>,
    /// How far each cursor was told to have moved: delivered and read.
    cursors: BTreeMap<(ConversationId, UserId), (Seq, Seq)>,
    resync: Resync,
    /// Everything up to here was written, as an event, a head or by a sync.
    token: Snapshot,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Resync {
    /// The backlog is the heads and cursors below, and nothing else.
    None,
    /// The client must be told to sync.
    Owed,
    /// The client was told to sync.
    Told,
    /// The client asked for a sync. The heads and cursors came after its snapshot.
    Asked,
}

impl Backlog {
    /// An empty backlog; everything up to `token` was written.
    pub(crate) const fn new(token: Snapshot) -> Self {
        Self {
            heads: BTreeMap::new(),
            cursors: BTreeMap::new(),
            resync: Resync::None,
            token,
        }
    }

    /// Adds a head or a cursor.
    pub(crate) fn note(&mut self, owed: Owed) {
        if matches!(self.resync, Resync::Owed | Resync::Told) {
            return;
        }
        match owed {
            Owed::Nothing => {}
            Owed::Head(conversation, seq) => self.note_head(conversation, seq),
            Owed::Cursor(moved) => self.note_cursor(&moved),
        }
    }

    fn note_head(&mut self, conversation: ConversationId, seq: Seq) {
        if self.heads.len() >= HEADS_MAX && !self.heads.contains_key(&conversation) {
            self.owe_resync();
            return;
        }
        let head = self.heads.entry(conversation).or_default();
        *head = seq.max(*head);
    }

    fn note_cursor(&mut self, moved: &CursorMove) {
        let key = (moved.conversation, moved.user);
        if self.cursors.len() >= CURSORS_MAX && !self.cursors.contains_key(&key) {
            self.owe_resync();
            return;
        }
        let (delivered, read) = self.cursors.entry(key).or_default();
        *delivered = moved.delivered.max(*delivered);
        *read = moved.read.max(*read);
    }

    /// Everything since the token is missing from the connection.
    pub(crate) fn owe_resync(&mut self) {
        self.resync = Resync::Owed;
        self.forget();
    }

    /// Whether the client must be told to sync.
    pub(crate) fn owes_resync(&self) -> bool {
        self.resync == Resync::Owed
    }

    fn forget(&mut self) {
        self.heads.clear();
        self.cursors.clear();
    }

    /// The client asks for a sync. Its snapshot is taken after this call, so it contains everything in the backlog.
    pub(crate) fn sync_asked(&mut self) {
        if self.resync != Resync::None {
            self.resync = Resync::Asked;
            self.forget();
        }
    }

    /// A sync brought everything up to here. True if the backlog is empty now.
    pub(crate) fn synced(&mut self, snapshot: &Snapshot) -> bool {
        self.token = self.token.union(snapshot);
        if self.resync == Resync::Asked {
            self.resync = Resync::None;
        }
        self.is_settled()
    }

    fn is_settled(&self) -> bool {
        self.resync == Resync::None && self.heads.is_empty() && self.cursors.is_empty()
    }

    /// The connection is complete up to here while it has a backlog.
    pub(crate) const fn token(&self) -> &Snapshot {
        &self.token
    }

    /// The next thing to send; `None` while the client has to act.
    pub(crate) fn push(&self, epoch: u64) -> Option<Push> {
        let heads = self.heads.iter().map(|(id, seq)| Head {
            conversation_id: id.0,
            seq: seq.0,
        });
        let cursors = self
            .cursors
            .iter()
            .map(|((conversation, user), (delivered, read))| Cursor {
                conversation_id: conversation.0,
                user_id: user.0,
                delivered_seq: delivered.0,
                read_seq: read.0,
            });
        match self.resync {
            Resync::None if !self.heads.is_empty() => Some(Push::HeadsPush(HeadsPush {
                epoch,
                heads: heads.collect(),
                resync: false,
            })),
            Resync::None if !self.cursors.is_empty() => Some(Push::CursorsPush(CursorsPush {
                cursors: cursors.collect(),
            })),
            Resync::Owed => Some(Push::HeadsPush(HeadsPush {
                epoch,
                heads: Vec::new(),
                resync: true,
            })),
            Resync::None | Resync::Told | Resync::Asked => None,
        }
    }

    /// The content of [`Backlog::push`] was sent. True if the backlog is empty now.
    pub(crate) fn sent(&mut self) -> bool {
        match self.resync {
            Resync::None if !self.heads.is_empty() => self.heads.clear(),
            Resync::None => self.cursors.clear(),
            Resync::Owed => self.resync = Resync::Told,
            Resync::Told | Resync::Asked => {}
        }
        self.is_settled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(position: u64) -> Snapshot {
        Snapshot::at(storage::Position(position))
    }

    fn noted(backlog: &mut Backlog, id: u64, seq: u64) {
        backlog.note(Owed::Head(ConversationId(id), Seq(seq)));
    }

    fn moved(conversation: u64, user: u64, delivered: u64, read: u64) -> Owed {
        Owed::Cursor(CursorMove {
            conversation: ConversationId(conversation),
            user: UserId(user),
            delivered: Seq(delivered),
            read: Seq(read),
        })
    }

    fn heads(backlog: &Backlog) -> HeadsPush {
        match backlog.push(1) {
            Some(Push::HeadsPush(push)) => push,
            other => panic!("{other:?}"),
        }
    }

    fn cursors(backlog: &Backlog) -> Vec<(u64, u64, u64, u64)> {
        let Some(Push::CursorsPush(push)) = backlog.push(1) else {
            panic!("no cursors are owed");
        };
        let cursors = push.cursors.iter();
        cursors
            .map(|cursor| {
                (
                    cursor.conversation_id,
                    cursor.user_id,
                    cursor.delivered_seq,
                    cursor.read_seq,
                )
            })
            .collect()
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
        let push = heads(&backlog);
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
        assert_eq!(heads(&backlog), RESYNC);
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
            heads(&backlog).heads,
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
        assert_eq!(heads(&backlog), RESYNC);
    }

    #[test]
    fn where_each_cursor_is_follows_the_heads() {
        let mut backlog = Backlog::new(at(3));
        backlog.note(moved(1, 5, 7, 2));
        noted(&mut backlog, 1, 9);
        backlog.note(moved(1, 5, 4, 6));
        backlog.note(moved(1, 6, 1, 1));
        backlog.note(Owed::Nothing);
        assert_eq!(heads(&backlog).heads.len(), 1);
        assert!(!backlog.sent());
        assert_eq!(cursors(&backlog), [(1, 5, 7, 6), (1, 6, 1, 1)]);
        assert_eq!(*backlog.token(), at(3), "until they are written");
        assert!(backlog.sent() && backlog.push(1).is_none());
    }

    #[test]
    fn too_many_cursors_become_a_resync() {
        let mut backlog = Backlog::new(at(3));
        for user in 0..CURSORS_MAX as u64 {
            backlog.note(moved(1, user, 1, 1));
        }
        backlog.note(moved(1, 0, 2, 2));
        assert_eq!(cursors(&backlog).len(), CURSORS_MAX);
        backlog.note(moved(2, 0, 1, 1));
        assert_eq!(heads(&backlog), RESYNC);
        backlog.sent();
        backlog.sync_asked();
        backlog.note(moved(2, 0, 3, 3));
        assert!(!backlog.synced(&at(10)), "it may have moved after the sync");
        assert_eq!(cursors(&backlog), [(2, 0, 3, 3)]);
        assert!(backlog.sent());
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
