//! How cursors move, and the answer to a list of moves.

use std::collections::HashMap;

use crate::{
    types::{ConversationId, Position, Seq, UserId},
    write::{CursorMove, Outcome},
};

type Key = (ConversationId, UserId);

/// The results of the moves so far.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    moved: Vec<CursorMove>,
    /// The index in `moved` of each cursor.
    places: HashMap<Key, usize>,
    beyond: Vec<Key>,
}

impl Moves {
    /// The new value of a cursor after a move, with the user's visible head and the present cursor; `None` if it stays.
    /// Cursors move forward only, not beyond the head, and reading implies having.
    pub(crate) fn judge(&mut self, wanted: &CursorMove, head: Seq, old: &CursorMove) -> Option<CursorMove> {
        let key = (wanted.conversation, wanted.user);
        if wanted.delivered.max(wanted.read) > head {
            self.beyond.push(key);
        }
        let read = old.read.max(wanted.read.min(head));
        let delivered = old.delivered.max(wanted.delivered.min(head)).max(read);
        if read == old.read && delivered == old.delivered {
            return None;
        }
        let new = CursorMove {
            delivered,
            read,
            ..*wanted
        };
        let place = *self.places.entry(key).or_insert(self.moved.len());
        match self.moved.get_mut(place) {
            Some(before) => *before = new,
            None => self.moved.push(new),
        }
        Some(new)
    }

    /// The outcome; its position is that of the moves, if there were any.
    pub(crate) fn outcome(self, position: Position) -> Outcome {
        let position = if self.moved.is_empty() {
            Position(0)
        } else {
            position
        };
        Outcome::Cursors(self.moved, position, self.beyond)
    }
}
