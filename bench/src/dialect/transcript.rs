//! What tests of dialects share: what a server says is handed over byte by byte and at once, and must be
//! understood alike.

use bytes::BytesMut;

use super::{Account, Dialect, Event};
use crate::BenchError;

/// An event without what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Ready,
    Acked(u64),
    Delivered(Vec<u8>),
    Pong,
    Refused(Option<u64>, String),
    GoAway(String),
}

/// The account with this number, in these groups.
pub(super) fn account(user: u64, groups: &[u64]) -> Account {
    Account {
        user,
        groups: groups.to_vec(),
        ..Account::default()
    }
}

/// What a dialect says first.
pub(super) fn login(dialect: &mut impl Dialect) -> Vec<u8> {
    let mut out = BytesMut::new();
    dialect.login(&mut out);
    out.to_vec()
}

/// What a dialect hears in `said` and what it answers, when it comes in parts of `bytes` bytes.
pub(super) fn hear(
    dialect: &mut impl Dialect,
    said: &[u8],
    bytes: usize,
) -> Result<(Vec<Heard>, Vec<u8>), BenchError> {
    let (mut incoming, mut out, mut heard) = (BytesMut::new(), BytesMut::new(), Vec::new());
    for part in said.chunks(bytes) {
        incoming.extend_from_slice(part);
        dialect.receive(&mut incoming, &mut out, &mut |event| heard.push(note(event)))?;
    }
    assert!(incoming.is_empty(), "not understood: {incoming:?}");
    Ok((heard, out.to_vec()))
}

/// What every one of these servers may say at any time: the parts do not matter.
#[track_caller]
pub(super) fn expect<D: Dialect>(
    dialect: impl Fn() -> D,
    said: &[u8],
    heard: &[Heard],
    answered: impl AsRef<[u8]>,
) {
    for bytes in 1..=said.len() {
        let (events, out) = hear(&mut dialect(), said, bytes).expect("sense");
        assert_eq!(events, heard, "in parts of {bytes} bytes");
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(answered.as_ref()),
            "in parts of {bytes} bytes"
        );
    }
}

fn note(event: Event<'_>) -> Heard {
    match event {
        Event::Ready => Heard::Ready,
        Event::Acked(id) => Heard::Acked(id),
        Event::Delivered(body) => Heard::Delivered(body.to_vec()),
        Event::Pong => Heard::Pong,
        Event::Refused { id, reason, .. } => Heard::Refused(id, reason),
        Event::GoAway { reason, .. } => Heard::GoAway(reason),
    }
}
