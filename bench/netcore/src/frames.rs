//! Owns the framing that the echo servers and the load agree on: a big-endian length of 4 bytes, then that many
//! bytes. Must never copy a payload.

/// Bytes of the length in front of every payload.
pub const HEADER_BYTES: usize = 4;

/// The longest payload.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// A payload is declared longer than [`PAYLOAD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLong;

/// Bytes of the first frame of `bytes`, its header included, or `None` while its length is incomplete.
///
/// # Errors
/// The frame is too long.
pub fn first_frame(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    match u32::from_be_bytes(*header) as usize {
        length @ 0..=PAYLOAD_BYTES_MAX => Ok(Some(HEADER_BYTES + length)),
        _ => Err(TooLong),
    }
}

/// How many of `bytes` are whole frames.
///
/// # Errors
/// A frame is too long.
pub fn whole_frames(bytes: &[u8]) -> Result<usize, TooLong> {
    let mut whole = 0;
    while let Some(frame) = first_frame(bytes.get(whole..).unwrap_or_default())? {
        if frame > bytes.len() - whole {
            break;
        }
        whole += frame;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_count() {
        let stream = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 1, b'c'];
        let expected = [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 10, 10, 10, 10, 10, 15];
        for (received, whole) in expected.into_iter().enumerate() {
            assert_eq!(
                whole_frames(&stream[..received]),
                Ok(whole),
                "{received} bytes received"
            );
        }
    }

    #[test]
    fn the_longest_payload_is_allowed_and_no_longer_one() {
        let longest = PAYLOAD_BYTES_MAX as u32;
        assert_eq!(
            first_frame(&longest.to_be_bytes()),
            Ok(Some(HEADER_BYTES + PAYLOAD_BYTES_MAX))
        );
        assert_eq!(first_frame(&(longest + 1).to_be_bytes()), Err(TooLong));
        assert_eq!(whole_frames(&u32::MAX.to_be_bytes()), Err(TooLong));
    }
}
