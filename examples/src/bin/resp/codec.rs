//! Owns the wire format RESP2: arrays of bulk strings and inline commands in, replies out. Must never hold a
//! byte of its input, and must refuse what is too long as soon as it is announced.
//!
//! ```text
//!   *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n      an array: how many arguments, then each with its length
//!   GET key\r\n                           inline: words between spaces, without quoting
//! ```

use crate::command::{Command, Span, Spans};
use crate::reply::{Reply, ReplyTooLong, Version};
use bytes::BytesMut;
use netcore::codec::{Codec, Decoded};
use std::num::NonZeroUsize;

/// The longest argument.
pub(crate) const ARGUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Arguments of one command, its name included.
pub(crate) const ARGUMENTS_MAX: usize = 65_536;

/// The longest command, with all that surrounds its arguments.
pub(crate) const COMMAND_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The longest inline command, without the end of its line.
pub(crate) const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Digits of a length. All lengths that are allowed have fewer.
const LENGTH_DIGITS_MAX: usize = 10;

const _: () = assert!(COMMAND_BYTES_MAX < u32::MAX as usize);

/// Cuts a stream into commands. Between two commands it is empty.
#[derive(Debug, Default)]
pub(crate) struct Resp {
    /// How far the command at the head has been understood, so that no byte is looked at twice however small
    /// the pieces are in which it arrives.
    progress: Option<Box<Progress>>,
}

/// Why bytes are not a command. Worded as clients know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("invalid multibulk length")]
    Array,
    #[error("expected '$', got '{}'", char::from(*.0).escape_default())]
    NotBulk(u8),
    #[error("invalid bulk length")]
    Bulk,
    #[error("expected CRLF after a bulk string")]
    BulkEnd,
    #[error("too big command")]
    CommandTooLong,
    #[error("too big inline request")]
    InlineTooLong,
}

impl Codec for Resp {
    type In<'a> = Command<'a>;
    type Out = Answer;
    type Error = Failed;

    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<Command<'a>>, Failed> {
        let mut progress = self.progress.take().map_or_else(Progress::default, |held| *held);
        let step = if src.first() == Some(&b'*') {
            progress.array(src)?
        } else {
            progress.inline(src)?
        };
        match step {
            Step::Whole { used } => Ok(Decoded::Frame {
                frame: Command::new(src.get(..used.get()).unwrap_or_default(), progress.spans),
                used,
            }),
            Step::Need { total } => {
                self.progress = Some(Box::new(progress));
                Ok(Decoded::Need { total })
            }
        }
    }

    fn encode(&self, answer: &Answer, dst: &mut BytesMut) -> Result<(), Failed> {
        Ok(answer.reply.encode(answer.version, dst)?)
    }
}

/// A reply, and the version that its client speaks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) version: Version,
}

/// Why a connection cannot go on, or a reply cannot be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Reply(#[from] ReplyTooLong),
}

/// What has been understood of one command.
#[derive(Debug, Default)]
struct Progress {
    /// Where to go on in the input.
    at: usize,
    /// Arguments still to come; `None` before the array has said how many it has.
    missing: Option<usize>,
    spans: Spans,
}

enum Step {
    Whole { used: NonZeroUsize },
    Need { total: NonZeroUsize },
}

impl Step {
    /// A command ends at `end`, which is behind its first byte.
    fn whole(end: usize) -> Self {
        Self::Whole {
            used: NonZeroUsize::new(end).unwrap_or(NonZeroUsize::MIN),
        }
    }

    fn need(total: usize) -> Self {
        Self::Need {
            total: NonZeroUsize::new(total).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl Progress {
    fn array(&mut self, src: &[u8]) -> Result<Step, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => match length(src, 1).map_err(|Malformed| ProtocolError::Array)? {
                None => return Ok(Step::need(src.len() + 1)),
                Some((count, behind)) => {
                    // Nothing, or less than nothing, is a command that does nothing.
                    let count = usize::try_from(count).unwrap_or_default();
                    if count > ARGUMENTS_MAX {
                        return Err(ProtocolError::Array);
                    }
                    self.at = behind;
                    count
                }
            },
        };
        while missing > 0 {
            let Some(total) = self.argument(src)? else {
                missing -= 1;
                continue;
            };
            self.missing = Some(missing);
            return Ok(Step::need(total));
        }
        Ok(Step::whole(self.at))
    }

    /// Takes one argument; returns how many bytes are needed if it is not whole.
    fn argument(&mut self, src: &[u8]) -> Result<Option<usize>, ProtocolError> {
        match src.get(self.at) {
            None => return Ok(Some(src.len() + 1)),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NotBulk(*other)),
        }
        let Some((length, start)) = length(src, self.at + 1).map_err(|Malformed| ProtocolError::Bulk)? else {
            return Ok(Some(src.len() + 1));
        };
        let length = usize::try_from(length).map_err(|_| ProtocolError::Bulk)?;
        if length > ARGUMENT_BYTES_MAX {
            return Err(ProtocolError::Bulk);
        }
        let end = start + length;
        if end + 2 > COMMAND_BYTES_MAX {
            return Err(ProtocolError::CommandTooLong);
        }
        let Some(line_end) = src.get(end..end + 2) else {
            return Ok(Some(end + 2));
        };
        if line_end != b"\r\n" {
            return Err(ProtocolError::BulkEnd);
        }
        self.push(start, end);
        self.at = end + 2;
        Ok(None)
    }

    fn inline(&mut self, src: &[u8]) -> Result<Step, ProtocolError> {
        let unseen = src.get(self.at..).unwrap_or_default();
        let Some(line) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.at = src.len();
            if self.at > INLINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Step::need(src.len() + 1));
        };
        let end = self.at + line;
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        let mut start = 0;
        for word in src.get(..end).unwrap_or_default().split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.push(start, start + word.len());
            }
            start += word.len() + 1;
        }
        Ok(Step::whole(end + 1))
    }

    /// Notes an argument. The limit of a command keeps both positions within 32 bits.
    fn push(&mut self, start: usize, end: usize) {
        self.spans.push(Span {
            start: start as u32,
            end: end as u32,
        });
    }
}

struct Malformed;

/// The number in the line that begins at `start`, and where the next line begins; `None` if the line is not
/// whole.
fn length(src: &[u8], start: usize) -> Result<Option<(i64, usize)>, Malformed> {
    let line = src.get(start..).unwrap_or_default();
    let (sign, digits) = match line {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    let mut value = 0;
    for (count, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if count < LENGTH_DIGITS_MAX => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if count > 0 => {
                return match digits.get(count + 1) {
                    None => Ok(None),
                    Some(b'\n') => {
                        let behind = src.len() - digits.len() + count + 2;
                        Ok(Some((sign * value, behind)))
                    }
                    Some(_) => Err(Malformed),
                };
            }
            _ => return Err(Malformed),
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
