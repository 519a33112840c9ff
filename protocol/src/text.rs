//! Frames as texts: one JSON object instead of header and body, for clients whose transport keeps messages apart and
//! that have no use for binary numbers. It owns the names of the object's members and must never look into a body.
//!
//! | frame | text |
//! |---|---|
//! | request | `{"type": "send", "seq": 5, "body": {…}}` |
//! | answer | `{"type": "send", "seq": 5, "answer": true, "body": {…}}` |
//! | refusal | `{"type": "error", "seq": 5, "error": {…}}` |
//! | push | `{"type": "events", "body": {…}}` |

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Command, Frame, HEADER_BYTES, MessageType};

/// The `type` of a refusal.
const ERROR: &str = "error";

/// Why a text is no request. The connection can go on after each of them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TextError {
    /// It is not such an object.
    #[error("not an object with type, seq and body: {reason}")]
    NoFrame {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no command of this name.
    #[error("unknown command {name:?}")]
    UnknownCommand {
        /// What was said, cut to some tens of bytes.
        name: String,
        /// The request's `seq`, for the refusal.
        seq: u16,
    },
}

#[derive(Deserialize)]
struct RequestText<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    seq: u16,
    #[serde(default, borrow)]
    body: Option<&'a RawValue>,
}

/// Bytes of an unknown name that are told back.
const NAME_BYTES_SHOWN: usize = 40;

/// The frame of a request that was written as a text. Its body is JSON.
///
/// # Errors
/// [`TextError`]: the text is no request. What is wrong within a body is found when that is decoded.
pub fn frame_of_text(text: &str) -> Result<Frame, TextError> {
    let request: RequestText<'_> = serde_json::from_str(text).map_err(|error| TextError::NoFrame {
        reason: error.to_string(),
    })?;
    let Some(command) = Command::from_name(&request.kind) else {
        let mut name = request.kind;
        name.truncate(name.floor_char_boundary(NAME_BYTES_SHOWN));
        return Err(TextError::UnknownCommand {
            name,
            seq: request.seq,
        });
    };
    let body = request.body.map_or(&b""[..], |body| match body.get() {
        "null" => b"",
        body => body.as_bytes(),
    });
    Ok(Frame {
        kind: MessageType::request(command.number()),
        seq: request.seq,
        body: Bytes::copy_from_slice(body),
    })
}

/// Appends the text of a frame that was encoded with a JSON body. `None`, and nothing is appended, if `frame` is none.
pub fn put_text(frame: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (kind, seq, body) = parts(frame)?;
    let name = if kind == MessageType::ERROR {
        ERROR
    } else {
        Command::from_number(kind.command()).ok()?.name()
    };
    out.reserve(body.len().saturating_add(64));
    out.extend_from_slice(b"{\"type\":\"");
    // Names are of letters and underscores: nothing to escape.
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    if seq != 0 {
        out.extend_from_slice(b",\"seq\":");
        out.extend_from_slice(seq.to_string().as_bytes());
    }
    if kind == MessageType::ERROR {
        out.extend_from_slice(b",\"error\":");
    } else if kind.is_response() {
        out.extend_from_slice(b",\"answer\":true,\"body\":");
    } else {
        out.extend_from_slice(b",\"body\":");
    }
    out.extend_from_slice(if body.is_empty() { b"{}" } else { body });
    out.push(b'}');
    Some(())
}

/// Takes one whole encoded frame apart: its type, its `seq` and its body.
pub fn parts(frame: &[u8]) -> Option<(MessageType, u16, &[u8])> {
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>()?;
    let [l0, l1, l2, l3, t0, t1, s0, s1] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let kind = MessageType::from_bits(u16::from_be_bytes([t0, t1]))?;
    (body.len() == length as usize).then_some((kind, u16::from_be_bytes([s0, s1]), body))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
