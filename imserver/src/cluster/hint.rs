//! What nodes tell each other, as bytes. A lost hint costs latency only. A hint that cannot be read is ignored: a node
//! of another release may know more kinds.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use protocol::{Decode, Encoding, Push};
use storage::{SessionId, Timestamp, UserId};

use crate::presence::Told;

/// Users that one hint can name; more users take several hints.
pub(super) const USERS_MAX: usize = 4_096;

/// One hint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hint {
    /// The sender committed something: read the tail of the log.
    Committed,
    /// A session was connected at this time; it replaces any earlier connection of that session.
    Connected(UserId, SessionId, Timestamp),
    /// A push for these users that is not stored.
    Transient(Vec<UserId>, Box<Push>),
    /// What presence has to say.
    Presence(Told),
}

const COMMITTED: u8 = 1;
const CONNECTED: u8 = 2;
const TRANSIENT: u8 = 3;
const PRESENCE: u8 = 4;

impl Hint {
    /// Encodes a hint of node `from`.
    pub(crate) fn to_bytes(&self, from: u64) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(from);
        match self {
            Self::Committed => bytes.put_u8(COMMITTED),
            Self::Connected(user, session, at) => {
                bytes.put_u8(CONNECTED);
                bytes.put_u64(user.0);
                bytes.put_u64(session.0);
                bytes.put_u64(at.0);
            }
            Self::Transient(users, push) => {
                bytes.put_u8(TRANSIENT);
                let users = users.get(..USERS_MAX).unwrap_or(users);
                bytes.put_u32(users.len() as u32);
                users.iter().for_each(|user| bytes.put_u64(user.0));
                let frame = push.to_frame(Encoding::Protobuf);
                bytes.put_u16(frame.kind.command());
                bytes.put_slice(&frame.body);
            }
            Self::Presence(told) => {
                bytes.put_u8(PRESENCE);
                told.put(&mut bytes);
            }
        }
        bytes.freeze()
    }

    /// The sender and the hint. `None` if it cannot be read.
    pub(crate) fn parse(mut bytes: Bytes) -> Option<(u64, Self)> {
        let from = bytes.try_get_u64().ok()?;
        let hint = match bytes.try_get_u8().ok()? {
            COMMITTED => Self::Committed,
            CONNECTED => Self::Connected(
                UserId(bytes.try_get_u64().ok()?),
                SessionId(bytes.try_get_u64().ok()?),
                Timestamp(bytes.try_get_u64().ok()?),
            ),
            TRANSIENT => {
                let count = bytes.try_get_u32().ok()? as usize;
                if count > USERS_MAX {
                    return None;
                }
                let mut users = Vec::new();
                for _ in 0..count {
                    users.push(UserId(bytes.try_get_u64().ok()?));
                }
                let command = protocol::Command::from_number(bytes.try_get_u16().ok()?).ok()?;
                Self::Transient(
                    users,
                    Box::new(Push::decode(command, Encoding::Protobuf, bytes).ok()?),
                )
            }
            PRESENCE => Self::Presence(Told::parse(bytes)?),
            _ => return None,
        };
        Some((from, hint))
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1;

    use super::*;

    #[test]
    fn a_hint_survives_the_way() {
        let push = Box::new(Push::TypingPush(v1::TypingPush {
            conversation_id: 5,
            user_id: 6,
            typing: true,
        }));
        for hint in [
            Hint::Committed,
            Hint::Connected(UserId(1), SessionId(u64::MAX), Timestamp(5)),
            Hint::Transient(vec![UserId(1), UserId(2)], push.clone()),
            Hint::Transient(Vec::new(), push),
            Hint::Presence(Told::Ask(vec![UserId(3)])),
        ] {
            assert_eq!(Hint::parse(hint.to_bytes(7)), Some((7, hint)));
        }
    }

    #[test]
    fn what_is_no_hint_is_passed_over() {
        let push = Box::new(Push::TypingPush(v1::TypingPush::default()));
        let whole = Hint::Transient(vec![UserId(1)], push).to_bytes(7);
        // A body may be empty; a header may not be cut.
        for end in 0..8 + 1 + 4 + 8 + 2 {
            assert_eq!(Hint::parse(whole.slice(..end)), None, "{end}");
        }
        let mut many = BytesMut::from(&whole[..]);
        many[9..13].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Hint::parse(many.freeze()), None);
        assert_eq!(
            Hint::parse(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1, 99])),
            None
        );
    }
}
