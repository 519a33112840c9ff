//! Owns the framing of a body in chunks. Must never trust a size before it is checked against the limit of the body.

use super::{CHUNK_LINE_BYTES_MAX, Refused, TRAILER_BYTES_MAX};

/// The line that begins a chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SizeLine {
    /// Bytes of data in the chunk; zero for the last one.
    pub(super) size: u64,
    /// Bytes of the line, its end included.
    pub(super) bytes: usize,
}

/// The line at the beginning of `src`; `None` if it is not whole.
pub(super) fn size_line(src: &[u8]) -> Result<Option<SizeLine>, Refused> {
    let Some(line) = line(src, CHUNK_LINE_BYTES_MAX)? else {
        return Ok(None);
    };
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, extension) = line.split_at_checked(digits).ok_or(Refused::Chunk)?;
    // White space belongs before the semicolon of an extension only.
    let behind = extension.trim_ascii_start();
    if digits.is_empty() || !(extension.is_empty() || behind.starts_with(b";")) {
        return Err(Refused::Chunk);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Refused::Chunk)?;
    // An overflow is refused like any other number of too many bytes.
    let size = u64::from_str_radix(digits, 16).map_err(|_| Refused::BodyTooLarge)?;
    Ok(Some(SizeLine {
        size,
        bytes: line.len() + 2,
    }))
}

/// Checks the line end behind the data of a chunk; `None` if it is not there.
pub(super) fn data_end(src: &[u8]) -> Result<Option<usize>, Refused> {
    match src {
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [] | [b'\r'] => Ok(None),
        _ => Err(Refused::Chunk),
    }
}

/// Bytes of the trailers at the beginning of `src`, the empty line behind them included; `None` if they are not whole.
pub(super) fn trailers(src: &[u8]) -> Result<Option<usize>, Refused> {
    let mut at = 0;
    loop {
        let rest = src.get(at..).unwrap_or_default();
        match line(rest, TRAILER_BYTES_MAX.saturating_sub(at))? {
            None => return Ok(None),
            Some([]) => return Ok(Some(at + 2)),
            Some(line) => at += line.len() + 2,
        }
    }
}

/// The line at the beginning of `src`, without its end; `None` if the end has not come.
fn line(src: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, Refused> {
    let window = src.get(..bytes_max).unwrap_or(src);
    let spoilt = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    match window.iter().position(spoilt) {
        Some(at) => match window.get(at..) {
            Some([b'\r', b'\n', ..]) => Ok(window.get(..at)),
            Some([b'\r']) if window.len() < bytes_max => Ok(None),
            _ => Err(Refused::Chunk),
        },
        None if window.len() < bytes_max => Ok(None),
        None => Err(Refused::Chunk),
    }
}
