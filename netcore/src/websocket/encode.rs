//! Owns the frames that are sent. Must never hold what was sent.

use super::frame::mask;
use super::{CONTROL_BYTES_MAX, CloseCode, FrameHeader, Opcode};
use bytes::{BufMut, Bytes, BytesMut};

/// The header of an unmasked frame, for a payload that is copied behind it elsewhere.
///
/// ```
/// use netcore::websocket::{Opcode, frame_header};
///
/// assert_eq!(frame_header(Opcode::Binary, 300).as_bytes(), [0x82, 126, 1, 44]);
/// ```
#[must_use]
pub fn frame_header(opcode: Opcode, payload_bytes: usize) -> FrameHeader {
    FrameHeader::new(opcode, payload_bytes, None)
}

/// A whole message as a server sends it, in one allocation: the same bytes for every client.
///
/// ```
/// use netcore::websocket::{Opcode, encode};
///
/// assert_eq!(&encode(Opcode::Text, b"hi")[..], b"\x81\x02hi");
/// ```
#[must_use]
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    let header = frame_header(opcode, payload.len());
    let mut frame = BytesMut::with_capacity(header.as_bytes().len() + payload.len());
    frame.put_slice(header.as_bytes());
    frame.put_slice(payload);
    frame.freeze()
}

/// A whole message as a client sends it. The key is to be random: it keeps a page from choosing the bytes on the wire.
///
/// ```
/// use netcore::websocket::{Opcode, encode_masked};
///
/// assert_eq!(&encode_masked(Opcode::Text, b"hi", [1, 2, 3, 4])[..], b"\x81\x82\x01\x02\x03\x04ik");
/// ```
#[must_use]
pub fn encode_masked(opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Bytes {
    let header = FrameHeader::new(opcode, payload.len(), Some(key));
    let mut frame = BytesMut::with_capacity(header.as_bytes().len() + payload.len());
    frame.put_slice(header.as_bytes());
    frame.put_slice(payload);
    mask(frame.get_mut(header.as_bytes().len()..).unwrap_or_default(), key);
    frame.freeze()
}

/// A close frame as a server sends it. Of a reason that is too long, as many characters are sent as have room.
///
/// ```
/// use netcore::websocket::{CloseCode, encode_close};
///
/// assert_eq!(&encode_close(CloseCode::GOING_AWAY, "bye")[..], b"\x88\x05\x03\xe9bye");
/// ```
#[must_use]
pub fn encode_close(code: CloseCode, reason: &str) -> Bytes {
    let room = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
    let reason = reason.get(..room).unwrap_or_default();
    let mut payload = [0; CONTROL_BYTES_MAX];
    let len = 2 + reason.len();
    for (place, byte) in payload
        .iter_mut()
        .zip(code.get().to_be_bytes().iter().chain(reason.as_bytes()))
    {
        *place = *byte;
    }
    encode(Opcode::Close, payload.get(..len).unwrap_or_default())
}
