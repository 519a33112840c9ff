//! What nodes tell each other of presence, as bytes. Every message says how things are, so that a lost or repeated one
//! is made good by the next, or by what is read of the shared routes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use storage::UserId;

use super::machine::State;

/// Users that one message names, at most.
pub(crate) const USERS_MAX: usize = 4_096;
/// Bytes of a node's name in a message, at most: longer ones are cut, on every node alike.
const NAME_BYTES_MAX: usize = u8::MAX as usize;

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// At the node of this name, users are so present.
    Are(String, Vec<(UserId, State)>),
    /// Whoever has these users, and nobody at their connections, says so.
    Ask(Vec<UserId>),
    /// At the node of this name there is nobody any more: it begins, or ends.
    Nobody(String),
    /// More has changed at the sender than it can tell: what is known of other nodes is to be read.
    ReadAgain,
}

const ARE: u8 = 1;
const ASK: u8 = 2;
const NOBODY: u8 = 3;
const READ_AGAIN: u8 = 4;

impl Told {
    /// Writes it.
    pub(crate) fn put(&self, bytes: &mut BytesMut) {
        match self {
            Self::Are(node, users) => {
                bytes.put_u8(ARE);
                put_name(node, bytes);
                for (user, state) in users.iter().take(USERS_MAX) {
                    bytes.put_u64(user.0);
                    bytes.put_u8(match state {
                        State::Offline => 0,
                        State::Away => 1,
                        State::Online => 2,
                    });
                }
            }
            Self::Ask(users) => {
                bytes.put_u8(ASK);
                let users = users.iter().take(USERS_MAX);
                users.for_each(|user| bytes.put_u64(user.0));
            }
            Self::Nobody(node) => {
                bytes.put_u8(NOBODY);
                put_name(node, bytes);
            }
            Self::ReadAgain => bytes.put_u8(READ_AGAIN),
        }
    }

    /// Reads all that is there. `None` if it cannot be read: a node of another release may know more.
    pub(crate) fn parse(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            ARE => {
                let node = name(&mut bytes)?;
                let mut users = Vec::new();
                while bytes.has_remaining() && users.len() < USERS_MAX {
                    let user = UserId(bytes.try_get_u64().ok()?);
                    let state = match bytes.try_get_u8().ok()? {
                        0 => State::Offline,
                        1 => State::Away,
                        2 => State::Online,
                        _ => return None,
                    };
                    users.push((user, state));
                }
                Some(Self::Are(node, users))
            }
            ASK => {
                let mut users = Vec::new();
                while bytes.has_remaining() && users.len() < USERS_MAX {
                    users.push(UserId(bytes.try_get_u64().ok()?));
                }
                Some(Self::Ask(users))
            }
            NOBODY => name(&mut bytes).map(Self::Nobody),
            READ_AGAIN => Some(Self::ReadAgain),
            _ => None,
        }
    }
}

fn put_name(name: &str, bytes: &mut BytesMut) {
    let name = name
        .get(..name.floor_char_boundary(NAME_BYTES_MAX))
        .unwrap_or_default();
    bytes.put_u8(u8::try_from(name.len()).unwrap_or_default());
    bytes.put_slice(name.as_bytes());
}

fn name(bytes: &mut Bytes) -> Option<String> {
    let length = usize::from(bytes.try_get_u8().ok()?);
    if bytes.remaining() < length {
        return None;
    }
    String::from_utf8(bytes.split_to(length).to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(told: &Told) -> Bytes {
        let mut bytes = BytesMut::new();
        told.put(&mut bytes);
        bytes.freeze()
    }

    #[test]
    fn what_is_told_survives_the_way_and_fits_a_hint() {
        let states = [State::Offline, State::Away, State::Online];
        let many = (0..USERS_MAX as u64).map(UserId);
        for told in [
            Told::Are("a".to_owned(), Vec::new()),
            Told::Are(
                "böse".repeat(50),
                many.clone().zip(states.into_iter().cycle()).collect(),
            ),
            Told::Ask(many.collect()),
            Told::Nobody(String::new()),
            Told::ReadAgain,
        ] {
            let bytes = written(&told);
            let limits = storage::ephemeral::Limits::default();
            assert!(bytes.len() + 16 <= limits.hint_bytes_max);
            assert_eq!(Told::parse(bytes), Some(told));
        }
    }

    #[test]
    fn what_is_nothing_is_passed_over() {
        let whole = written(&Told::Are("node".to_owned(), vec![(UserId(7), State::Away)]));
        for end in 0..whole.len() {
            let is_empty_list = end == 1 + 1 + 4;
            assert_eq!(Told::parse(whole.slice(..end)).is_some(), is_empty_list, "{end}");
        }
        for wrong in [
            &[][..],
            &[9],
            &[NOBODY, 200, 1],
            &[NOBODY, 1, 0xff],
            &[ARE, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3],
        ] {
            assert_eq!(Told::parse(Bytes::copy_from_slice(wrong)), None, "{wrong:?}");
        }
        let long = "x".repeat(300);
        assert_eq!(
            Told::parse(written(&Told::Nobody(long.clone()))),
            Some(Told::Nobody(long[..255].to_owned()))
        );
    }
}
