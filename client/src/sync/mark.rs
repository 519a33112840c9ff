//! What a device remembers of the event that it applied last in a conversation: enough to know the event again
//! in the log of another past.
//!
//! The logs of two pasts of one store agree up to the point where they part. So a log that has the marked event at
//! its seq has everything below it as well, as long as what the device has applied is of one past itself. That is
//! the business of [`past`](super::past).

use bytes::Bytes;
use protocol::v1;

/// An event, by what no two events of one conversation have in common.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Where it stands.
    pub seq: u64,
    /// The server's time; 0 when the event is not known, and then nothing is like it.
    pub sent_at_ms: u64,
    /// Whose it is; `None` when only the list of conversations told of it.
    pub author: Option<Author>,
}

/// Who made an event, and what for. The body is left out: the client id stands for it, and a recall or the end
/// of its time erases it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// The user.
    pub sender_id: u64,
    /// As on the wire.
    pub kind: i32,
    /// Empty where the server does not show it.
    pub client_msg_id: Bytes,
}

impl Mark {
    /// Of an event that was applied.
    pub fn of(event: &v1::Event) -> Self {
        Self {
            seq: event.seq,
            sent_at_ms: event.sent_at_ms,
            author: Some(Author {
                sender_id: event.sender_id,
                kind: event.kind,
                client_msg_id: event.client_msg_id.clone(),
            }),
        }
    }

    /// A place of which nothing more is known.
    pub const fn unknown(seq: u64) -> Self {
        Self {
            seq,
            sent_at_ms: 0,
            author: None,
        }
    }

    /// Whether this is the event.
    pub fn is(&self, event: &v1::Event) -> bool {
        let same_author = |author: &Author| {
            author.sender_id == event.sender_id
                && author.kind == event.kind
                && (author.client_msg_id.is_empty()
                    || event.client_msg_id.is_empty()
                    || author.client_msg_id == event.client_msg_id)
        };
        self.seq == event.seq
            && self.sent_at_ms != 0
            && self.sent_at_ms == event.sent_at_ms
            && self.author.as_ref().is_none_or(same_author)
    }
}
