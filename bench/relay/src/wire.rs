//! What is spoken to the relay: the 8-byte header of the real protocol (big-endian: bytes of the body u32, type
//! u16, seq u16) and the smallest bodies that can be relayed. It must never copy a payload.
//!
//! | type | body | answered by |
//! |---|---|---|
//! | 1 login | user u32 | 0x8001 with the same seq |
//! | 2 join | group u32, its top bit set | 0x8002 with the same seq |
//! | 3 message | user or group u32, payload | 0x8003 with the same seq, once it is flushed |
//! | 4 ping | | 0x8004 with the same seq |
//! | 5 delivery, from the relay | sender u32, payload | |

/// Bytes in front of every body.
pub(crate) const HEADER_BYTES: usize = 8;

/// Bytes in front of a payload: who it is for, or from.
pub(crate) const NAME_BYTES: usize = 4;

/// The longest body.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Set in the names of groups and in no other.
pub(crate) const GROUP: u32 = 0x8000_0000;

/// Set in the types of answers.
const RESPONSE: u16 = 0x8000;

const LOGIN: u16 = 1;
const JOIN: u16 = 2;
const MESSAGE: u16 = 3;
const PING: u16 = 4;
const DELIVERY: u16 = 5;

/// What a client asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Request<'a> {
    Login { user: u32 },
    Join { group: u32 },
    Message { target: u32, payload: &'a [u8] },
    Ping,
}

/// A frame that no client of this relay sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// A request, its seq, and the bytes behind its frame.
pub(crate) type Split<'a> = (Request<'a>, u16, &'a [u8]);

/// Takes the first frame off `bytes`; `None` while it is incomplete.
pub(crate) fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, Malformed> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [a, b, c, d, kind @ .., e, f] = *header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > BODY_BYTES_MAX {
        return Err(Malformed);
    }
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let request = parse(u16::from_be_bytes(kind), body).ok_or(Malformed)?;
    Ok(Some((request, u16::from_be_bytes([e, f]), rest)))
}

fn parse(kind: u16, body: &[u8]) -> Option<Request<'_>> {
    if kind == PING {
        return body.is_empty().then_some(Request::Ping);
    }
    let (name, payload) = body.split_first_chunk::<NAME_BYTES>()?;
    let name = u32::from_be_bytes(*name);
    let is_group = name & GROUP != 0;
    match kind {
        LOGIN if payload.is_empty() && !is_group => Some(Request::Login { user: name }),
        JOIN if payload.is_empty() && is_group => Some(Request::Join { group: name }),
        MESSAGE => Some(Request::Message {
            target: name,
            payload,
        }),
        _ => None,
    }
}

/// Appends the answer to `request`.
pub(crate) fn answer(out: &mut Vec<u8>, request: Request<'_>, seq: u16) {
    let kind = match request {
        Request::Login { .. } => LOGIN,
        Request::Join { .. } => JOIN,
        Request::Message { .. } => MESSAGE,
        Request::Ping => PING,
    };
    header(out, 0, RESPONSE | kind, seq);
}

/// Appends a delivery. `payload` is of a frame that was taken, so it is not too long.
pub(crate) fn delivery(out: &mut Vec<u8>, sender: u32, payload: &[u8]) {
    header(out, NAME_BYTES + payload.len(), DELIVERY, 0);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(payload);
}

fn header(out: &mut Vec<u8>, length: usize, kind: u16, seq: u16) {
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&seq.to_be_bytes());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A client's frame.
    pub(crate) fn frame(request: Request<'_>, seq: u16) -> Vec<u8> {
        let mut out = Vec::new();
        let (kind, name, payload): (u16, Option<u32>, &[u8]) = match request {
            Request::Login { user } => (LOGIN, Some(user), &[]),
            Request::Join { group } => (JOIN, Some(group), &[]),
            Request::Message { target, payload } => (MESSAGE, Some(target), payload),
            Request::Ping => (PING, None, &[]),
        };
        let name = name.map(u32::to_be_bytes);
        let name = name.as_ref().map_or(&[][..], |name| name);
        header(&mut out, name.len() + payload.len(), kind, seq);
        out.extend_from_slice(name);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn a_request_is_taken_once_it_is_whole() {
        let message = Request::Message {
            target: 7,
            payload: b"hello",
        };
        let bytes = [frame(message, 258), frame(Request::Ping, 3)].concat();
        for end in 0..8 + 4 + 5 {
            assert_eq!(split(&bytes[..end]), Ok(None), "{end} bytes");
        }
        assert_eq!(split(&bytes), Ok(Some((message, 258, &bytes[17..]))));
        assert_eq!(split(&bytes[17..]), Ok(Some((Request::Ping, 3, &[][..]))));
    }

    #[test]
    fn what_no_client_sends_is_malformed() {
        let login = frame(Request::Login { user: GROUP }, 1);
        let join = frame(Request::Join { group: 1 }, 1);
        let mut unknown = frame(Request::Ping, 1);
        unknown[5] = 9;
        for bytes in [&login[..], &join, &unknown, &[0, 1, 0, 1, 0, 3, 0, 1]] {
            assert_eq!(split(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_repeats_type_and_seq() {
        let mut out = Vec::new();
        answer(&mut out, Request::Ping, 0x0102);
        delivery(&mut out, 6, b"ab");
        assert_eq!(out[..8], [0, 0, 0, 0, 0x80, 4, 1, 2]);
        assert_eq!(out[8..], [0, 0, 0, 6, 0, 5, 0, 0, 0, 0, 0, 6, b'a', b'b']);
    }
}
