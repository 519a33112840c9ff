//! The few messages that a load is made of, written and read in place: generated types own what they hold, and
//! that is an allocation or three per message which the load would pay for instead of the server.
//!
//! Field numbers are those of the schema; the tests compare with the generated types.

use bytes::{Buf, BufMut, BytesMut};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use protocol::{Command, HEADER_BYTES, MessageType};

use crate::BenchError;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// `EVENT_KIND_TEXT`.
const TEXT: u64 = 1;

/// A frame in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRef<'a> {
    pub(super) kind: MessageType,
    pub(super) seq: u16,
    pub(super) body: &'a [u8],
}

/// The frame that `source` begins with and its bytes in all; nothing while some are missing.
pub(super) fn split(source: &[u8], body_bytes_max: u32) -> Result<Option<(FrameRef<'_>, usize)>, BenchError> {
    let Some((header, rest)) = source.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, t0, t1, s0, s1] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if length > body_bytes_max {
        return Err(BenchError::Other(format!("a frame of {length} bytes came")));
    }
    let kind = MessageType::from_bits(u16::from_be_bytes([t0, t1]))
        .ok_or_else(|| BenchError::Other("a frame with the reserved bit came".to_owned()))?;
    let length = length as usize;
    Ok(rest.get(..length).map(|body| {
        let seq = u16::from_be_bytes([s0, s1]);
        (FrameRef { kind, seq, body }, HEADER_BYTES + length)
    }))
}

/// Writes the frame of a send.
pub(super) fn put_send(out: &mut BytesMut, seq: u16, conversation: u64, client_id: &[u8; 16], body: &[u8]) {
    let content = 1 + encoded_len_varint(body.len() as u64) + body.len();
    let length = 1
        + encoded_len_varint(conversation)
        + 2
        + client_id.len()
        + 2
        + 1
        + encoded_len_varint(content as u64)
        + content;
    out.reserve(HEADER_BYTES + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u16(MessageType::request(Command::Send.number()).to_bits());
    out.put_u16(seq);
    out.put_u8(key(1, VARINT));
    encode_varint(conversation, out);
    out.put_u8(key(2, BYTES));
    encode_varint(client_id.len() as u64, out);
    out.put_slice(client_id);
    out.put_u8(key(3, VARINT));
    encode_varint(TEXT, out);
    out.put_u8(key(5, BYTES));
    encode_varint(content as u64, out);
    out.put_u8(key(2, BYTES));
    encode_varint(body.len() as u64, out);
    out.put_slice(body);
}

/// Writes the frame of a ping.
pub(super) fn put_ping(out: &mut BytesMut, seq: u16) {
    out.put_u32(0);
    out.put_u16(MessageType::request(Command::Ping.number()).to_bits());
    out.put_u16(seq);
}

const fn key(field: u8, wire: u64) -> u8 {
    field << 3 | wire as u8
}

/// A page without its events, which [`events`] finds in the same bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PageHead {
    pub(super) conversation: u64,
    pub(super) epoch: u64,
    pub(super) from_seq: u64,
    pub(super) to_seq: u64,
    pub(super) head_seq: u64,
}

impl PageHead {
    pub(super) fn read(page: &[u8]) -> Result<Self, BenchError> {
        let mut head = Self::default();
        for field in Fields(page) {
            match field? {
                (1, Value::Number(number)) => head.conversation = number,
                (2, Value::Number(number)) => head.epoch = number,
                (3, Value::Number(number)) => head.from_seq = number,
                (4, Value::Number(number)) => head.to_seq = number,
                (6, Value::Number(number)) => head.head_seq = number,
                _ => {}
            }
        }
        Ok(head)
    }
}

/// Seq and, of a text, the body.
pub(super) type EventRef<'a> = (u64, Option<&'a [u8]>);

/// The events of a page.
pub(super) fn events(page: &[u8]) -> impl Iterator<Item = Result<EventRef<'_>, BenchError>> {
    Fields(page).filter_map(|field| match field {
        Ok((5, Value::Bytes(event))) => Some(read_event(event)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

fn read_event(event: &[u8]) -> Result<EventRef<'_>, BenchError> {
    let (mut seq, mut kind, mut body) = (0, 0, None);
    for field in Fields(event) {
        match field? {
            (2, Value::Number(number)) => seq = number,
            (7, Value::Number(number)) => kind = number,
            (10, Value::Bytes(bytes)) => body = Some(bytes),
            _ => {}
        }
    }
    let Some(body) = body.filter(|_| kind == TEXT) else {
        return Ok((seq, None));
    };
    let Some(content) = nested(body, 1)? else {
        return Ok((seq, None));
    };
    // An empty body is left out on the wire, and no message that is looked for.
    Ok((seq, Some(nested(content, 2)?.unwrap_or_default())))
}

/// The bytes of a field, such as the page in a `HistoryResponse`.
pub(super) fn nested(message: &[u8], wanted: u64) -> Result<Option<&[u8]>, BenchError> {
    let mut found = None;
    for field in Fields(message) {
        if let (field, Value::Bytes(bytes)) = field?
            && field == wanted
        {
            found = Some(bytes);
        }
    }
    Ok(found)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a width that nothing here asks for.
    Other,
}

/// The fields of a message, in the order in which they stand.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), BenchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| BenchError::Other("a message that is none came".to_owned())))
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Option<(u64, Value<'a>)> {
        let key = decode_varint(&mut self.0).ok()?;
        let value = match key & 7 {
            VARINT => Value::Number(decode_varint(&mut self.0).ok()?),
            BYTES => {
                let length = usize::try_from(decode_varint(&mut self.0).ok()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            FIXED64 => self.skip(8)?,
            FIXED32 => self.skip(4)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn skip(&mut self, bytes: usize) -> Option<Value<'a>> {
        (self.0.len() >= bytes).then(|| self.0.advance(bytes))?;
        Some(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;
    use protocol::{Encoding, Request, v1};

    use super::*;

    #[test]
    fn a_send_is_written_as_the_generated_type_writes_it() {
        for size in [1, 127, 128, 4096] {
            let (body, id) = (vec![b'x'; size], [7; 16]);
            let request = Request::Send(v1::SendRequest {
                conversation_id: 1 << 62,
                client_msg_id: Bytes::copy_from_slice(&id),
                kind: v1::EventKind::Text.into(),
                content: Some(v1::Content {
                    body: body.clone().into(),
                    ..v1::Content::default()
                }),
                ..v1::SendRequest::default()
            });
            let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
            put_send(&mut ours, 9, 1 << 62, &id, &body);
            request
                .to_frame(Encoding::Protobuf, 9)
                .encode(&mut theirs)
                .unwrap();
            assert_eq!(ours, theirs);
        }
        let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
        put_ping(&mut ours, 3);
        let ping = Request::Ping(v1::Ping {}).to_frame(Encoding::Protobuf, 3);
        ping.encode(&mut theirs).unwrap();
        assert_eq!(ours, theirs);
    }

    fn page() -> v1::Page {
        let event = |seq, kind: v1::EventKind, body: &'static [u8]| v1::Event {
            conversation_id: 5,
            seq,
            ordinal: seq,
            sender_id: 2,
            sent_at_ms: 1,
            kind: kind.into(),
            client_msg_id: Bytes::from_static(&[1; 16]),
            body: Some(v1::EventBody {
                content: Some(v1::Content {
                    content_type: "text/plain".to_owned(),
                    body: Bytes::from_static(body),
                    ..v1::Content::default()
                }),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        };
        v1::Page {
            conversation_id: 5,
            epoch: 77,
            from_seq: 3,
            to_seq: 6,
            events: vec![
                event(3, v1::EventKind::Text, b"one"),
                event(4, v1::EventKind::Edit, b"other"),
                event(6, v1::EventKind::Text, b"two"),
            ],
            head_seq: 9,
        }
    }

    #[test]
    fn a_page_is_read_as_the_generated_type_reads_it() {
        let bytes = page().encode_to_vec();
        let head = PageHead {
            conversation: 5,
            epoch: 77,
            from_seq: 3,
            to_seq: 6,
            head_seq: 9,
        };
        assert_eq!(PageHead::read(&bytes).unwrap(), head);
        let found: Vec<_> = events(&bytes).map(Result::unwrap).collect();
        assert_eq!(found, [(3, Some(&b"one"[..])), (4, None), (6, Some(&b"two"[..]))]);
        let answer = v1::HistoryResponse { page: Some(page()) }.encode_to_vec();
        assert_eq!(nested(&answer, 1).unwrap(), Some(&bytes[..]));
    }

    #[test]
    fn what_is_cut_off_is_an_error_or_less_of_it_but_never_a_panic() {
        let bytes = page().encode_to_vec();
        for length in 0..bytes.len() {
            let part = &bytes[..length];
            let _ = PageHead::read(part);
            assert!(events(part).filter_map(Result::ok).count() <= 3);
        }
        assert!(PageHead::read(&[0x0F]).is_err());
    }

    #[test]
    fn a_frame_is_split_off_when_it_is_whole() {
        let mut bytes = BytesMut::new();
        put_send(&mut bytes, 9, 1, &[0; 16], b"body");
        for length in 0..bytes.len() {
            assert!(split(&bytes[..length], 1024).unwrap().is_none());
        }
        let (frame, used) = split(&bytes, 1024).unwrap().unwrap();
        assert_eq!((frame.seq, used), (9, bytes.len()));
        assert!(split(&bytes, 3).is_err());
    }
}
