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

/// Waiting cursors and touches. Shared by the loops and the lane.
#[derive(Debug, Default)]
pub struct LazyWrites {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    cursors: BTreeMap<(ConversationId, UserId), (Seq, Seq)>,
    touches: BTreeMap<SessionId, Timestamp>,
}

impl LazyWrites {
    /// Merges a move in. `Err` when too many wait; `Ok(true)` when the lane must be told because nothing
    /// waited before.
    ///
    /// # Errors
    /// [`LazyFull`].
    pub fn move_cursor(&self, moved: CursorMove) -> Result<bool, LazyFull> {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        let key = (moved.conversation, moved.user);
        if waiting.cursors.len() >= CURSORS_WAITING_MAX && !waiting.cursors.contains_key(&key) {
            return Err(LazyFull);
        }
        let (delivered, read) = waiting.cursors.entry(key).or_default();
        *delivered = moved.delivered.max(*delivered);
        *read = moved.read.max(*read);
        Ok(was_empty)
    }

    /// What could not be written waits again, under what has come since; dropped when too many wait.
    pub fn put_back(&self, write: Write) {
        let mut waiting = self.waiting.lock();
        match write {
            Write::Cursors(moves) => {
                for moved in moves {
                    let key = (moved.conversation, moved.user);
                    if waiting.cursors.len() < CURSORS_WAITING_MAX || waiting.cursors.contains_key(&key) {
                        let (delivered, read) = waiting.cursors.entry(key).or_default();
                        *delivered = moved.delivered.max(*delivered);
                        *read = moved.read.max(*read);
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

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The next slice, as writes; at most `CURSORS_PER_WRITE` of each kind.
    pub fn take(&self) -> Vec<Write> {
        let mut waiting = self.waiting.lock();
        let mut writes = Vec::new();
        let mut moves = Vec::new();
        while moves.len() < CURSORS_PER_WRITE
            && let Some(((conversation, user), (delivered, read))) = waiting.cursors.pop_first()
        {
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
        assert_eq!(lazy.move_cursor(moved(1, 5, 2)), Ok(true));
        assert_eq!(lazy.move_cursor(moved(1, 3, 4)), Ok(false));
        assert_eq!(lazy.take(), vec![Write::Cursors(vec![moved(1, 5, 4)])]);
        assert!(lazy.is_empty());
    }

    #[test]
    fn slices_are_bounded() {
        let lazy = LazyWrites::default();
        for user in 1..=CURSORS_PER_WRITE as u64 + 1 {
            lazy.move_cursor(moved(user, 1, 0)).unwrap();
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
        lazy.move_cursor(moved(1, 5, 2)).unwrap();
        lazy.touch(SessionId(7), Timestamp(3));
        let writes = lazy.take();
        assert!(lazy.is_empty());
        lazy.move_cursor(moved(1, 4, 3)).unwrap();
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
            lazy.move_cursor(moved(user, 1, 0)).unwrap();
        }
        assert_eq!(lazy.move_cursor(moved(u64::MAX, 1, 0)), Err(LazyFull));
        assert_eq!(lazy.move_cursor(moved(1, 2, 0)), Ok(false));
    }
}
