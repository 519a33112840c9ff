//! Owns what a client is told, and how that is written in RESP2 and RESP3. Must never write more than a reply may have.

use crate::commands::Failure;
use crate::store::Shared;
use bytes::BytesMut;
use std::io::Write as _;

/// The longest reply.
pub(crate) const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The version of the protocol that a client asked for with `HELLO`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Version {
    /// What every client speaks.
    #[default]
    Two,
    /// It tells maps, sets and what is missing from arrays and strings.
    Three,
}

/// The answer to one command. What is stored is shared, not copied: its reference counts belong to the loop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// A word, such as `OK`.
    Status(&'static str),
    /// `OK`, and the connection ends.
    Goodbye,
    /// The command failed.
    Failure(Failure),
    /// The stream is not RESP: the last reply of a connection.
    ProtocolError(String),
    /// A number.
    Integer(i64),
    /// A string.
    Bulk(Shared),
    /// No string.
    Null,
    /// Strings, some of which may be missing.
    Array(Vec<Option<Shared>>),
    /// No array.
    NullArray,
    /// Keys and values in turn.
    Map(Vec<Option<Shared>>),
    /// Strings in no order.
    Members(Vec<Option<Shared>>),
    /// Strings with numbers; in pairs where the client asked for several.
    Scored {
        members: Vec<(Shared, f64)>,
        several: bool,
    },
    /// From here on this version is spoken.
    Hello(Version),
}

/// A reply longer than [`REPLY_BYTES_MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the reply is longer than {REPLY_BYTES_MAX} bytes")]
pub(crate) struct ReplyTooLong;

impl Reply {
    /// `OK`.
    pub(crate) const OK: Self = Self::Status("OK");

    /// The string, or the absence of one.
    pub(crate) fn bulk(value: Option<&Shared>) -> Self {
        value.map_or(Self::Null, |value| Self::Bulk(Shared::clone(value)))
    }

    /// How many there are.
    pub(crate) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Appends the reply to `dst`.
    pub(crate) fn encode(&self, version: Version, dst: &mut BytesMut) -> Result<(), ReplyTooLong> {
        let kind = |three: u8| match version {
            Version::Two => b'*',
            Version::Three => three,
        };
        match self {
            Self::Status(word) => put_status(word, dst),
            Self::Goodbye => put_status("OK", dst),
            Self::Failure(failure) => put_error(&failure.to_string(), dst),
            Self::ProtocolError(what) => put_error(&format!("ERR Protocol error: {what}"), dst),
            Self::Integer(value) => put_number(b':', *value, dst),
            Self::Bulk(value) => put_bulk(value, dst),
            Self::Null => put_null(version, dst),
            Self::NullArray => dst.extend_from_slice(match version {
                Version::Two => b"*-1\r\n",
                Version::Three => b"_\r\n",
            }),
            Self::Array(values) => return put_array(b'*', values.len(), values, version, dst),
            Self::Members(values) => return put_array(kind(b'~'), values.len(), values, version, dst),
            Self::Map(values) => {
                let count = match version {
                    Version::Two => values.len(),
                    Version::Three => values.len() / 2,
                };
                return put_array(kind(b'%'), count, values, version, dst);
            }
            Self::Scored { members, several } => return put_scored(members, *several, version, dst),
            Self::Hello(spoken) => put_hello(*spoken, dst),
        }
        Ok(())
    }
}

fn put_null(version: Version, dst: &mut BytesMut) {
    dst.extend_from_slice(match version {
        Version::Two => b"$-1\r\n",
        Version::Three => b"_\r\n",
    });
}

/// What clients read of it is the version.
fn put_hello(version: Version, dst: &mut BytesMut) {
    let (kind, count, proto) = match version {
        Version::Two => (b'*', 14, 2),
        Version::Three => (b'%', 7, 3),
    };
    put_number(kind, count, dst);
    for (key, value) in [
        ("server", "redis"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("mode", "standalone"),
        ("role", "master"),
    ] {
        put_bulk(key.as_bytes(), dst);
        put_bulk(value.as_bytes(), dst);
    }
    for (key, value) in [("proto", proto), ("id", 1)] {
        put_bulk(key.as_bytes(), dst);
        put_number(b':', value, dst);
    }
    put_bulk(b"modules", dst);
    put_number(b'*', 0, dst);
}

/// In pairs only where both the version and the question ask for it.
fn put_scored(
    members: &[(Shared, f64)],
    several: bool,
    version: Version,
    dst: &mut BytesMut,
) -> Result<(), ReplyTooLong> {
    let before = dst.len();
    let paired = several && version == Version::Three;
    let count = if paired { members.len() } else { members.len() * 2 };
    put_number(b'*', i64::try_from(count).unwrap_or(i64::MAX), dst);
    for (member, score) in members {
        if paired {
            put_number(b'*', 2, dst);
        }
        put_bulk(member, dst);
        match version {
            Version::Two => put_bulk(score.to_string().as_bytes(), dst),
            Version::Three => dst.extend_from_slice(format!(",{score}\r\n").as_bytes()),
        }
        if dst.len() - before > REPLY_BYTES_MAX {
            return Err(ReplyTooLong);
        }
    }
    Ok(())
}

/// Checks the length as it goes, so that a huge reply is given up early instead of being written whole.
fn put_array(
    kind: u8,
    count: usize,
    values: &[Option<Shared>],
    version: Version,
    dst: &mut BytesMut,
) -> Result<(), ReplyTooLong> {
    let before = dst.len();
    put_number(kind, i64::try_from(count).unwrap_or(i64::MAX), dst);
    for value in values {
        match value {
            Some(value) => put_bulk(value, dst),
            None => put_null(version, dst),
        }
        if dst.len() - before > REPLY_BYTES_MAX {
            return Err(ReplyTooLong);
        }
    }
    Ok(())
}

fn put_bulk(value: &[u8], dst: &mut BytesMut) {
    put_number(b'$', i64::try_from(value.len()).unwrap_or(i64::MAX), dst);
    dst.reserve(value.len() + 2);
    dst.extend_from_slice(value);
    dst.extend_from_slice(b"\r\n");
}

/// A kind, a number and the end of the line; at most 23 bytes, put together first because each append has a
/// price.
fn put_number(kind: u8, value: i64, dst: &mut BytesMut) {
    let mut line = [0_u8; 23];
    let mut rest = &mut line[..];
    // Writing into an array fails only if it is too short.
    let _ = rest.write_all(&[kind]);
    let _ = rest.write_all(itoa::Buffer::new().format(value).as_bytes());
    let _ = rest.write_all(b"\r\n");
    let unused = rest.len();
    dst.extend_from_slice(line.get(..line.len() - unused).unwrap_or_default());
}

fn put_status(word: &str, dst: &mut BytesMut) {
    dst.extend_from_slice(b"+");
    dst.extend_from_slice(word.as_bytes());
    dst.extend_from_slice(b"\r\n");
}

/// An error may repeat what the client sent, which must not end the line: what follows would be taken for the
/// next reply.
fn put_error(text: &str, dst: &mut BytesMut) {
    let printable = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
    dst.extend_from_slice(b"-");
    dst.extend(text.bytes().map(printable));
    dst.extend_from_slice(b"\r\n");
}
