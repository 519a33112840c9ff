//! Judges a recorded history of sends, acknowledgements, logs and devices: whether a message was lost, doubled,
//! reordered, made up or changed.
//!
//! It owns the promises as arithmetic. It must never talk to a daemon or assume anything about how one works. The
//! positions that acknowledgements carry make every check a scan or a lookup.
//!
//! A disaster may begin a new epoch. What was acknowledged in an earlier one may then be lost, because everybody is told
//! of it; what is still there is there once, and nothing of it counts less than what came later.

mod device;
mod log;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

/// Names a logical message: who sent it where, and the id its client chose.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// The conversation.
    pub conversation: u64,
    /// The sender.
    pub sender: u64,
    /// The client's id for it.
    pub client_id: [u8; 16],
}

/// A message that somebody tried to send, perhaps several times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// Which.
    pub key: Key,
    /// What.
    pub body: Vec<u8>,
    /// When it was tried first, by a clock that only goes forward.
    pub invoked: u64,
}

/// An acknowledgement that a sender received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// Of which message.
    pub key: Key,
    /// The epoch it speaks of.
    pub epoch: u64,
    /// Its seq.
    pub seq: u64,
    /// Its ordinal.
    pub ordinal: u64,
    /// When it came, by the same clock.
    pub at: u64,
}

/// An event as somebody saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its seq.
    pub seq: u64,
    /// Its ordinal.
    pub ordinal: u64,
    /// Who.
    pub sender: u64,
    /// Under which id.
    pub client_id: [u8; 16],
    /// A message, which counts. Other events are judged where their client id was recorded as sent.
    pub message: bool,
    /// What.
    pub body: Vec<u8>,
}

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Everything that was tried, each sender's in the order it was tried.
    pub sent: Vec<Sent>,
    /// Everything that was acknowledged.
    pub acked: Vec<Ack>,
    /// What was refused for good: it is never stored.
    pub refused: Vec<Key>,
    /// The epoch that the logs were read in. Nothing: that of every acknowledgement.
    pub epoch: Option<u64>,
    /// Every conversation as each of its members reads it at the end, by conversation and reader.
    pub logs: BTreeMap<(u64, u64), Vec<Entry>>,
    /// What each device applied, in the order it did, by device and conversation.
    pub applied: BTreeMap<(String, u64), Vec<Entry>>,
}

/// A broken promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Violation {
    /// It was acknowledged and is not in the log.
    Lost(Key),
    /// Two entries of one logical message.
    Doubled(Key, u64, u64),
    /// An acknowledgement names another place than the log does, or another epoch than others do.
    Misplaced(Key, u64),
    /// It was refused for good, and stands at this seq.
    Refused(Key, u64),
    /// Nobody sent it.
    Phantom(Key, u64),
    /// It is not what was sent.
    Altered(Key, u64),
    /// The seqs of a log are not 1, 2, 3 …: after the first comes the second.
    Hole(u64, u64, u64),
    /// An ordinal does not count the messages up to its event.
    Ordinal(u64, u64),
    /// A sender's later message stands before an earlier one, at this seq.
    Reordered(Key, u64),
    /// It was acknowledged before another was sent, which stands before it.
    Overtaken(Key, u64),
    /// Two members read the log differently from this seq on.
    Disagreement(u64, u64, u64),
    /// A device applied an event again or out of order: after the first seq the second.
    DeviceOrder(String, u64, u64, u64),
    /// A device applied something else than the log has at this seq.
    DeviceAltered(String, u64, u64),
    /// A device did not get to the end: it has so many events of so many.
    DeviceIncomplete(String, u64, u64, u64),
    /// A device applied more than the log has.
    DevicePhantom(String, u64, u64),
    /// A conversation that something was acknowledged in has no log in the record: it proves nothing.
    NoLog(u64),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Every broken promise in a record.
pub fn check(record: &Record) -> Vec<Violation> {
    let mut violations = log::check(record);
    violations.extend(device::check(record));
    violations
}
