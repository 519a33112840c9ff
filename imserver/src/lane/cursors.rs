//! What is written lazily: delivered and read cursors, and when sessions were last seen.
//!
//! Many moves of one cursor become one. Losing what is here costs a receipt until the device says it again
//! at its next resume, and never a message.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use storage::{ConversationId, CursorMove, Seq, SessionId, Timestamp, UserId, Write};

/// Cursors that wait, at most; more are refused with RETRY.
const CURSORS_WAITING_MAX: usize = 65_536;
/// Cursors written in one slice between appends.
const CURSORS_PER_WRITE: usize = 256;

type Key = (ConversationId, UserId);

/// How far a cursor is to move, and whose report goes furthest.
#[derive(Clone, Copy, Debug)]
struct Waits {
    delivered: Seq,
    read: Seq,
    reporter: SessionId,
}

impl Waits {
    fn of(moved: &CursorMove, reporter: SessionId) -> Self {
        Self {
            delivered: moved.delivered,
            read: moved.read,
            reporter,
        }
    }

    fn merge(&mut self, other: Self) {
        if other.delivered.max(other.read) > self.delivered.max(self.read) {
            self.reporter = other.reporter;
        }
        self.delivered = other.delivered.max(self.delivered);
        self.read = other.read.max(self.read);
    }
}

/// Waiting cursors and touches. Shared by the loops and the lane.
#[derive(Debug, Default)]
pub struct LazyWrites {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    cursors: BTreeMap<Key, Waits>,
    /// The slice that was taken last, until it is known to be written.
    taken: BTreeMap<Key, Waits>,
    touches: BTreeMap<SessionId, Timestamp>,
}

impl LazyWrites {
    /// Merges a move in. `Err` when too many wait; `Ok(true)` when the lane must be told because nothing
    /// waited before.
    ///
    /// # Errors
    /// [`LazyFull`].
    pub fn move_cursor(&self, moved: CursorMove, reporter: SessionId) -> Result<bool, LazyFull> {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        let key = (moved.conversation, moved.user);
        if waiting.cursors.len() >= CURSORS_WAITING_MAX && !waiting.cursors.contains_key(&key) {
            return Err(LazyFull);
        }
        waiting.merge(key, Waits::of(&moved, reporter));
        Ok(was_empty)
    }

    /// What could not be written waits again, under what has come since; dropped when too many wait.
    pub fn put_back(&self, write: Write) {
        let mut waiting = self.waiting.lock();
        match write {
            Write::Cursors(moves) => {
                for moved in moves {
                    let key = (moved.conversation, moved.user);
                    let Some(Waits { reporter, .. }) = waiting.taken.remove(&key) else {
                        continue;
                    };
                    if waiting.cursors.len() < CURSORS_WAITING_MAX || waiting.cursors.contains_key(&key) {
                        waiting.merge(key, Waits::of(&moved, reporter));
                    }
                }
            }
            Write::TouchSessions(touches) => {
                for (session, at) in touches {
                    if waiting.touches.len() < CURSORS_WAITING_MAX {
                        let seen = waiting.touches.entry(session).or_default();
                        *seen = at.max(*seen);
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes that a session was connected. Dropped when too many wait: the time is for people only.
    pub fn touch(&self, session: SessionId, at: Timestamp) -> bool {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        if waiting.touches.len() < CURSORS_WAITING_MAX {
            waiting.touches.insert(session, at);
        }
        was_empty
    }

    /// Whose reports said the most of these cursors, of the slice that was taken last.
    pub fn reporters(&self, of: &[(ConversationId, UserId)]) -> Vec<(UserId, SessionId)> {
        let waiting = self.waiting.lock();
        of.iter()
            .filter_map(|key| Some((key.1, waiting.taken.get(key)?.reporter)))
            .collect()
    }

    /// The slice that was taken last is in the store.
    pub fn written(&self) {
        self.waiting.lock().taken.clear();
    }

    /// How far this user has said that they are in these conversations, where that is not written yet.
    pub fn told(&self, user: UserId, of: impl Iterator<Item = ConversationId>) -> Vec<CursorMove> {
        let waiting = self.waiting.lock();
        if waiting.cursors.is_empty() && waiting.taken.is_empty() {
            return Vec::new();
        }
        of.filter_map(|conversation| {
            let key = (conversation, user);
            let (waits, taken) = (waiting.cursors.get(&key), waiting.taken.get(&key));
            let mut told = *waits.or(taken)?;
            told.merge(*taken.or(waits)?);
            Some(CursorMove {
                conversation,
                user,
                delivered: told.delivered,
                read: told.read,
            })
        })
        .collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The next slice, as writes; at most `CURSORS_PER_WRITE` of each kind.
    pub fn take(&self) -> Vec<Write> {
        let mut waiting = self.waiting.lock();
        let mut writes = Vec::new();
        let mut moves = Vec::new();
        waiting.taken.clear();
        while moves.len() < CURSORS_PER_WRITE
            && let Some((key, waits)) = waiting.cursors.pop_first()
        {
            let ((conversation, user), Waits { delivered, read, .. }) = (key, waits);
            waiting.taken.insert(key, waits);
            moves.push(CursorMove {
                conversation,
                user,
                delivered,
                read,
            });
        }
        if !moves.is_empty() {
            writes.push(Write::Cursors(moves));
        }
        let mut touches = Vec::new();
        while touches.len() < CURSORS_PER_WRITE
            && let Some(touch) = waiting.touches.pop_first()
        {
            touches.push(touch);
        }
        if !touches.is_empty() {
            writes.push(Write::TouchSessions(touches));
        }
        writes
    }
}

impl Waiting {
    fn merge(&mut self, key: Key, more: Waits) {
        self.cursors
            .entry(key)
            .and_modify(|waits| waits.merge(more))
            .or_insert(more);
    }

    fn is_empty(&self) -> bool {
        self.cursors.is_empty() && self.touches.is_empty()
    }
}

/// Too many cursors wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LazyFull;

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: SessionId = SessionId(1);

    fn moved(user: u64, delivered: u64, read: u64) -> CursorMove {
        CursorMove {
            conversation: ConversationId(1),
            user: UserId(user),
            delivered: Seq(delivered),
            read: Seq(read),
        }
    }

    #[test]
    fn moves_of_one_cursor_become_its_maximum() {
        let lazy = LazyWrites::default();
        assert_eq!(lazy.move_cursor(moved(1, 5, 2), DEVICE), Ok(true));
        assert_eq!(lazy.move_cursor(moved(1, 3, 4), DEVICE), Ok(false));
        assert_eq!(lazy.take(), vec![Write::Cursors(vec![moved(1, 5, 4)])]);
        assert!(lazy.is_empty());
    }

    #[test]
    fn it_is_known_whose_report_went_furthest() {
        let lazy = LazyWrites::default();
        let key = (ConversationId(1), UserId(1));
        lazy.move_cursor(moved(1, 5, 2), SessionId(1)).unwrap();
        lazy.move_cursor(moved(1, 9, 2), SessionId(2)).unwrap();
        lazy.move_cursor(moved(1, 8, 8), SessionId(3)).unwrap();
        let writes = lazy.take();
        assert_eq!(lazy.reporters(&[key]), [(UserId(1), SessionId(2))]);
        // What waits again is still theirs.
        writes.into_iter().for_each(|write| lazy.put_back(write));
        lazy.move_cursor(moved(1, 7, 7), SessionId(3)).unwrap();
        lazy.take();
        assert_eq!(lazy.reporters(&[key]), [(UserId(1), SessionId(2))]);
        lazy.take();
        assert!(lazy.reporters(&[key]).is_empty());
    }

    #[test]
    fn what_was_told_counts_until_it_is_written() {
        let lazy = LazyWrites::default();
        let told =
            |lazy: &LazyWrites| lazy.told(UserId(1), [ConversationId(1), ConversationId(2)].into_iter());
        assert!(told(&lazy).is_empty());
        lazy.move_cursor(moved(1, 5, 2), DEVICE).unwrap();
        assert_eq!(told(&lazy), [moved(1, 5, 2)]);
        let writes = lazy.take();
        assert_eq!(told(&lazy), [moved(1, 5, 2)], "on its way");
        lazy.move_cursor(moved(1, 3, 3), DEVICE).unwrap();
        assert_eq!(told(&lazy), [moved(1, 5, 3)]);
        writes.into_iter().for_each(|write| lazy.put_back(write));
        assert_eq!(told(&lazy), [moved(1, 5, 3)], "it waits again");
        lazy.take();
        lazy.written();
        assert!(told(&lazy).is_empty());
        assert!(lazy.told(UserId(2), [ConversationId(1)].into_iter()).is_empty());
    }

    #[test]
    fn slices_are_bounded() {
        let lazy = LazyWrites::default();
        for user in 1..=CURSORS_PER_WRITE as u64 + 1 {
            lazy.move_cursor(moved(user, 1, 0), DEVICE).unwrap();
        }
        let Some(Write::Cursors(first)) = lazy.take().pop() else {
            panic!("no cursors")
        };
        assert_eq!(first.len(), CURSORS_PER_WRITE);
        assert!(!lazy.is_empty());
    }

    #[test]
    fn what_could_not_be_written_waits_under_what_came_since() {
        let lazy = LazyWrites::default();
        lazy.move_cursor(moved(1, 5, 2), DEVICE).unwrap();
        lazy.touch(SessionId(7), Timestamp(3));
        let writes = lazy.take();
        assert!(lazy.is_empty());
        lazy.move_cursor(moved(1, 4, 3), DEVICE).unwrap();
        lazy.touch(SessionId(7), Timestamp(4));
        writes.into_iter().for_each(|write| lazy.put_back(write));
        assert_eq!(
            lazy.take(),
            vec![
                Write::Cursors(vec![moved(1, 5, 3)]),
                Write::TouchSessions(vec![(SessionId(7), Timestamp(4))])
            ]
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let lazy = LazyWrites::default();
        for user in 1..=CURSORS_WAITING_MAX as u64 {
            lazy.move_cursor(moved(user, 1, 0), DEVICE).unwrap();
        }
        assert_eq!(lazy.move_cursor(moved(u64::MAX, 1, 0), DEVICE), Err(LazyFull));
        assert_eq!(lazy.move_cursor(moved(1, 2, 0), DEVICE), Ok(false));
    }
}
