//! The encoding of sessions and nodes in values that only nodes read. Every value begins with its version; a value that
//! cannot be read counts as absent.

use super::contract::Node;
use crate::{DeviceClass, Session, SessionId, Timestamp, User, UserId};

/// The version of all values. Values of other versions are not read.
const VERSION: u8 = 1;

/// Writes numbers and texts one after the other.
#[derive(Debug)]
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.number(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }
}

/// Reads them in the same order.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(value: &'a [u8]) -> Option<Self> {
        let (version, rest) = value.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.bytes()?).ok()?.to_owned())
    }

    /// Everything was read.
    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

pub(super) fn session(session: &Session, user: &User) -> Vec<u8> {
    let class = match session.class {
        DeviceClass::Other => 0,
        DeviceClass::Mobile => 1,
        DeviceClass::Desktop => 2,
        DeviceClass::Web => 3,
        DeviceClass::Script => 4,
    };
    Writer::new()
        .number(session.id.0)
        .number(session.user.0)
        .bytes(session.device_id.as_bytes())
        .number(class)
        .bytes(session.device_name.as_bytes())
        .number(session.created_at.0)
        .number(session.last_seen_at.0)
        .number(user.id.0)
        .bytes(user.name.as_bytes())
        .bytes(user.display_name.as_bytes())
        .bytes(user.avatar.as_bytes())
        .bytes(user.status.as_bytes())
        .number(user.version)
        .number(user.created_at.0)
        .0
}

pub(super) fn read_session(value: &[u8]) -> Option<(Session, User)> {
    let mut reader = Reader::new(value)?;
    let session = Session {
        id: SessionId(reader.number()?),
        user: UserId(reader.number()?),
        device_id: reader.text()?,
        class: match reader.number()? {
            0 => DeviceClass::Other,
            1 => DeviceClass::Mobile,
            2 => DeviceClass::Desktop,
            3 => DeviceClass::Web,
            4 => DeviceClass::Script,
            _ => return None,
        },
        device_name: reader.text()?,
        created_at: Timestamp(reader.number()?),
        last_seen_at: Timestamp(reader.number()?),
    };
    let user = User {
        id: UserId(reader.number()?),
        name: reader.text()?,
        display_name: reader.text()?,
        avatar: reader.text()?,
        status: reader.text()?,
        version: reader.number()?,
        created_at: Timestamp(reader.number()?),
    };
    reader.end((session, user))
}

pub(super) fn node(node: &Node) -> Vec<u8> {
    Writer::new()
        .bytes(node.name.as_bytes())
        .bytes(node.address.as_bytes())
        .number(node.since.0)
        .number(node.generation)
        .0
}

pub(super) fn read_node(value: &[u8]) -> Option<Node> {
    let mut reader = Reader::new(value)?;
    let node = Node {
        name: reader.text()?,
        address: reader.text()?,
        since: Timestamp(reader.number()?),
        generation: reader.number()?,
    };
    reader.end(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read_session(&value), read_node(&value));
        }

        #[test]
        fn what_was_written_is_read_and_nothing_shorter(generation: u64, since: u64, text in ".*") {
            let written = Node { name: text.clone(), address: text, since: Timestamp(since), generation };
            let value = node(&written);
            prop_assert_eq!(read_node(&value[..value.len() - 1]), None);
            prop_assert_eq!(read_node(&value), Some(written));
        }
    }

    #[test]
    fn another_versions_values_are_absent() {
        let node_written = Node {
            name: "a".to_owned(),
            address: "b".to_owned(),
            since: Timestamp(1),
            generation: 2,
        };
        let mut value = node(&node_written);
        value[0] += 1;
        assert_eq!(read_node(&value), None);
    }
}
