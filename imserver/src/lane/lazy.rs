//! Writes that may wait: delivered and read cursors, and the times at which sessions were last seen.
//!
//! Many moves of one cursor become one. Losing a move costs a receipt until the device reports it again at its next
//! resume, and never a message. Users share the room: when it is full, a cursor of the user with the most waiting is
//! dropped. Slices take from all users in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;
use storage::{ConversationId, CursorMove, Seq, SessionId, Timestamp, UserId, Write};

/// Cursors that wait, at most. With more, one of the user with the most is dropped.
const CURSORS_WAITING_MAX: usize = 65_536;
/// Cursors in one slice, which is written between appends.
const CURSORS_PER_WRITE: usize = 256;
/// Cursors of one user in a slice while other users wait.
const CURSORS_PER_TURN: usize = 16;
/// A user with fewer waiting cursors never loses one to another user.
const MANY_CURSORS: usize = 64;

/// Ordered by user, so that the cursors of one user are adjacent.
type Key = (UserId, ConversationId);

/// How far a cursor must move, and the session whose report goes furthest.
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
pub(crate) struct LazyWrites {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    cursors: BTreeMap<Key, Waits>,
    /// The number of waiting cursors of each user.
    counts: HashMap<UserId, usize>,
    /// The users with many cursors, ordered by their number.
    many: BTreeSet<(usize, UserId)>,
    /// The user whose turn is next.
    turn: UserId,
    /// The newest slice, until its commit is known.
    taken: BTreeMap<Key, Waits>,
    touches: BTreeMap<SessionId, Timestamp>,
}

impl LazyWrites {
    /// Merges a move in. `Ok(true)` when the lane must be told because nothing waited before.
    ///
    /// # Errors
    /// [`LazyFull`]: no room, and no user has many cursors and more than this one.
    pub(crate) fn move_cursor(&self, moved: CursorMove, reporter: SessionId) -> Result<bool, LazyFull> {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        let key = (moved.user, moved.conversation);
        if waiting.merge(key, Waits::of(&moved, reporter)) {
            Ok(was_empty)
        } else {
            Err(LazyFull)
        }
    }

    /// A write that failed waits again, merged with newer moves; it is dropped if there is no room.
    pub(crate) fn put_back(&self, write: Write) {
        let mut waiting = self.waiting.lock();
        match write {
            Write::Cursors(moves) => {
                for moved in moves {
                    let key = (moved.user, moved.conversation);
                    if let Some(Waits { reporter, .. }) = waiting.taken.remove(&key) {
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
            // None of these is lazy.
            Write::Append(_)
            | Write::CreateUser(_)
            | Write::UpdateProfile(_)
            | Write::CreateSession(_)
            | Write::RevokeSessions(_)
            | Write::Erase(_) => {}
        }
    }

    /// Notes that a session was connected. Dropped if there is no room: the time is informational.
    pub(crate) fn touch(&self, session: SessionId, at: Timestamp) -> bool {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        if waiting.touches.len() < CURSORS_WAITING_MAX {
            waiting.touches.insert(session, at);
        }
        was_empty
    }

    /// The sessions whose reports go furthest for these cursors, in the newest slice.
    pub(crate) fn reporters(&self, of: &[(ConversationId, UserId)]) -> Vec<(UserId, SessionId)> {
        let waiting = self.waiting.lock();
        of.iter()
            .filter_map(|(conversation, user)| {
                Some((*user, waiting.taken.get(&(*user, *conversation))?.reporter))
            })
            .collect()
    }

    /// The newest slice was committed.
    pub(crate) fn written(&self) {
        self.waiting.lock().taken.clear();
    }

    /// This user's reported moves in these conversations that are not written yet.
    pub(crate) fn told(&self, user: UserId, of: impl Iterator<Item = ConversationId>) -> Vec<CursorMove> {
        let waiting = self.waiting.lock();
        if waiting.cursors.is_empty() && waiting.taken.is_empty() {
            return Vec::new();
        }
        of.filter_map(|conversation| {
            let key = (user, conversation);
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
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The next slice, as writes; at most `CURSORS_PER_WRITE` of each kind.
    pub(crate) fn take(&self) -> Vec<Write> {
        let mut waiting = self.waiting.lock();
        let mut writes = Vec::new();
        let moves = waiting.take_cursors();
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
    /// False if there was no room.
    fn merge(&mut self, key: Key, more: Waits) -> bool {
        if let Some(waits) = self.cursors.get_mut(&key) {
            waits.merge(more);
            return true;
        }
        if self.cursors.len() >= CURSORS_WAITING_MAX && !self.make_room(key.0) {
            return false;
        }
        self.cursors.insert(key, more);
        let count = self.counts.entry(key.0).or_default();
        *count += 1;
        if *count >= MANY_CURSORS {
            self.many.remove(&(*count - 1, key.0));
            self.many.insert((*count, key.0));
        }
        true
    }

    /// Drops a cursor of the user with the most, unless `wanted_by` has as many.
    fn make_room(&mut self, wanted_by: UserId) -> bool {
        let own = self.counts.get(&wanted_by).copied().unwrap_or_default();
        let Some((most, user)) = self.many.last().copied() else {
            return false;
        };
        if own >= most {
            return false;
        }
        let last = self.cursors_of(user).next_back();
        last.is_some_and(|key| self.remove(key).is_some())
    }

    fn cursors_of(&self, user: UserId) -> impl DoubleEndedIterator<Item = Key> {
        let range = (user, ConversationId(0))..=(user, ConversationId(u64::MAX));
        self.cursors.range(range).map(|(key, _)| *key)
    }

    fn remove(&mut self, key: Key) -> Option<Waits> {
        let waits = self.cursors.remove(&key)?;
        if let Some(count) = self.counts.get_mut(&key.0) {
            let before = *count;
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.0);
            }
            if self.many.remove(&(before, key.0)) && before > MANY_CURSORS {
                self.many.insert((before - 1, key.0));
            }
        }
        Some(waits)
    }

    /// Takes a few cursors of each user in turn, until the slice is full or nothing waits.
    fn take_cursors(&mut self) -> Vec<CursorMove> {
        self.taken.clear();
        let mut moves = Vec::new();
        while moves.len() < CURSORS_PER_WRITE && !self.cursors.is_empty() {
            let from = (self.turn, ConversationId(0));
            let next = self.cursors.range(from..).next().map(|(key, _)| key.0);
            // After the last user comes the first one again.
            let Some(user) = next else {
                self.turn = UserId(0);
                continue;
            };
            let room = CURSORS_PER_TURN.min(CURSORS_PER_WRITE - moves.len());
            let keys: Vec<Key> = self.cursors_of(user).take(room).collect();
            for key in keys {
                let Some(waits) = self.remove(key) else { continue };
                self.taken.insert(key, waits);
                moves.push(CursorMove {
                    conversation: key.1,
                    user,
                    delivered: waits.delivered,
                    read: waits.read,
                });
            }
            self.turn = UserId(user.0.saturating_add(1));
        }
        moves
    }

    fn is_empty(&self) -> bool {
        self.cursors.is_empty() && self.touches.is_empty()
    }
}

/// There is no room for another cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LazyFull;

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

    /// A user's report about one of many conversations.
    fn about(user: u64, conversation: u64) -> CursorMove {
        CursorMove {
            conversation: ConversationId(conversation),
            ..moved(user, 1, 0)
        }
    }

    fn taken(lazy: &LazyWrites) -> Vec<CursorMove> {
        match lazy.take().pop() {
            Some(Write::Cursors(moves)) => moves,
            other => panic!("{other:?}"),
        }
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

    #[test]
    fn a_user_who_fills_it_refuses_nobody_else() {
        const MALLORY: u64 = 1;
        let lazy = LazyWrites::default();
        for conversation in 1..=CURSORS_WAITING_MAX as u64 {
            lazy.move_cursor(about(MALLORY, conversation), DEVICE).unwrap();
        }
        let more = about(MALLORY, u64::MAX);
        assert_eq!(lazy.move_cursor(more, DEVICE), Err(LazyFull));
        for user in 2..=1_000 {
            lazy.move_cursor(about(user, 1), DEVICE).unwrap();
        }
        let waiting = lazy.waiting.lock();
        assert_eq!(waiting.cursors.len(), CURSORS_WAITING_MAX);
        let of_mallory = waiting.counts[&UserId(MALLORY)];
        assert_eq!(of_mallory, CURSORS_WAITING_MAX - 999);
        assert!(waiting.many.iter().eq([&(of_mallory, UserId(MALLORY))]));
        drop(waiting);
        // A few of mallory's, and then everybody's.
        let first = taken(&lazy);
        assert_eq!(first.len(), CURSORS_PER_WRITE);
        let of_mallory = first.iter().filter(|moved| moved.user == UserId(MALLORY)).count();
        assert_eq!(of_mallory, CURSORS_PER_TURN);
    }

    #[test]
    fn users_with_few_make_no_room_for_each_other() {
        let lazy = LazyWrites::default();
        let each = MANY_CURSORS as u64 - 1;
        let mut user = 0;
        while lazy.waiting.lock().cursors.len() < CURSORS_WAITING_MAX {
            user += 1;
            for conversation in 1..=each {
                let _ = lazy.move_cursor(about(user, conversation), DEVICE);
            }
        }
        assert_eq!(lazy.move_cursor(about(u64::MAX, 1), DEVICE), Err(LazyFull));
        assert!(lazy.waiting.lock().many.is_empty());
    }

    #[test]
    fn everything_is_taken_once() {
        let lazy = LazyWrites::default();
        for user in 1..=40 {
            for conversation in 1..=user * 5 {
                lazy.move_cursor(about(user, conversation), DEVICE).unwrap();
            }
        }
        let mut all = Vec::new();
        while !lazy.is_empty() {
            all.extend(taken(&lazy).iter().map(|moved| (moved.user, moved.conversation)));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((count, all.len()), (4_100, 4_100));
        let waiting = lazy.waiting.lock();
        assert!(waiting.counts.is_empty() && waiting.many.is_empty());
    }
}
