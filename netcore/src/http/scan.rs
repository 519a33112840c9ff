//! Owns where the head of a request ends. Must never look twice at the same byte, however the head is cut, and never
//! wait for the end of a head that is refused already.

use super::{Refused, RequestLimits};

/// Bytes of a first line beyond the target: the longest method, two spaces, the version, the end of the line.
const FIRST_LINE_EXTRA: usize = super::head::METHOD_BYTES_MAX + 2 + 8 + 2;

/// The empty line that may come before a request: old clients send one behind a body.
const EMPTY_LINE: &[u8] = b"\r\n";

/// How far a head was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct HeadScan {
    /// Bytes that were looked at.
    seen: u16,
    /// The first line is whole.
    first_line: bool,
}

impl HeadScan {
    pub(super) const fn new() -> Self {
        Self {
            seen: 0,
            first_line: false,
        }
    }

    /// Whether a head has begun, and its end has not come.
    pub(super) const fn has_begun(self) -> bool {
        self.seen > 0
    }

    /// Bytes of the head at the beginning of `src`, once all of it is there. `src` begins with what the call before saw.
    pub(super) fn end(&mut self, src: &[u8], limits: &RequestLimits) -> Result<Option<usize>, Refused> {
        let before = if src.starts_with(EMPTY_LINE) {
            EMPTY_LINE.len()
        } else {
            0
        };
        let first_line_max = before + usize::from(limits.target_bytes) + FIRST_LINE_EXTRA;
        let head_max = usize::from(limits.head_bytes);
        let window = src.get(..head_max).unwrap_or(src);
        let mut at = usize::from(self.seen);
        while let Some(rest) = window.get(at..) {
            // Only a byte below the space ends or spoils a line; the tab is one of the bytes of a value.
            let stretch = rest.iter().position(|byte| *byte < b' ' && *byte != b'\t');
            let line_goes_on_to = at + stretch.unwrap_or(rest.len());
            if !self.first_line && line_goes_on_to >= first_line_max {
                return Err(Refused::TargetTooLong);
            }
            let Some(byte) = stretch.and_then(|stretch| rest.get(stretch)) else {
                at = window.len();
                break;
            };
            at = line_goes_on_to;
            match (byte, rest.get(stretch.unwrap_or_default() + 1)) {
                (b'\r', Some(b'\n')) => {
                    at += 2;
                    if at > before {
                        let empty = window.get(..at).is_some_and(|head| head.ends_with(b"\r\n\r\n"));
                        if empty && self.first_line {
                            *self = Self::default();
                            return Ok(Some(at));
                        }
                        if empty {
                            return Err(Refused::Malformed);
                        }
                        self.first_line = true;
                    }
                }
                // The other half of the end of a line is still to come.
                (b'\r', None) => break,
                (b'\r' | b'\n' | 0, _) => return Err(Refused::LineEnd),
                _ => return Err(Refused::Malformed),
            }
        }
        if window.len() >= head_max {
            return Err(Refused::HeadTooLarge);
        }
        self.seen = at as u16;
        Ok(None)
    }
}
