//! Owns the meaning of "frame": the trait an application implements, and two ready-made codecs.
//! Must never do I/O, read a clock, or keep bytes of its input: a codec looks at a slice of a buffer that is
//! reused for other connections as soon as it returns.

#[cfg(all(test, feature = "http"))]
pub(crate) mod cutting;
mod length_prefixed;
mod lines;
mod owned;

pub use length_prefixed::{FrameError, InvalidLayout, LengthPrefixed, LengthPrefixedBuilder};
pub use lines::{Delimited, DelimiterError};

pub use owned::Owned;

use bytes::BytesMut;
use std::num::NonZeroUsize;

/// The result of decoding the bytes received so far.
///
/// ```
/// use netcore::codec::{Codec, Decoded, Delimited, DelimiterError};
///
/// /// Takes the whole frames off the front of `received`.
/// fn frames(codec: &mut Delimited, received: &mut Vec<u8>) -> Result<Vec<String>, DelimiterError> {
///     let mut frames = Vec::new();
///     while let Decoded::Frame { frame, used } = codec.decode(received)? {
///         frames.push(String::from_utf8_lossy(frame).into_owned());
///         received.drain(..used.get());
///     }
///     Ok(frames)
/// }
/// let mut received = b"one\ntwo\nthr".to_vec();
/// assert_eq!(frames(&mut Delimited::lines(100), &mut received)?, ["one", "two"]);
/// assert_eq!(received, b"thr");
/// # Ok::<_, DelimiterError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decoded<F> {
    /// One whole frame.
    Frame {
        /// The frame.
        frame: F,
        /// How many bytes from the start of the input the frame took. At most the length of the input.
        used: NonZeroUsize,
    },
    /// The input ends within a frame.
    Need {
        /// How many bytes the frame needs, counted from its first byte. A hint: a codec that cannot know says
        /// one more than it has seen. Memory follows the bytes that arrive, never this number.
        total: NonZeroUsize,
    },
}

/// The meaning of a frame for the liveness of the connection.
///
/// ```
/// # use bytes::BytesMut;
/// # use netcore::codec::{Decoded, DelimiterError};
/// use netcore::codec::{Beat, Codec, Delimited};
///
/// /// Lines, of which "PING" and "PONG" are between the two ends of the connection alone.
/// struct Lines(Delimited);
///
/// impl Codec for Lines {
/// #     type In<'a> = &'a [u8];
/// #     type Out = [u8];
/// #     type Error = DelimiterError;
/// #     fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, DelimiterError> {
/// #         self.0.decode(src)
/// #     }
/// #     fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), DelimiterError> {
/// #         self.0.encode(out, dst)
/// #     }
///     fn beat(&self, line: &&[u8]) -> Beat {
///         match *line {
///             b"PING" => Beat::Ping,
///             b"PONG" => Beat::Pong,
///             _ => Beat::Data,
///         }
///     }
///
///     fn encode_beat(&self, beat: Beat, _answer_to: Option<&&[u8]>, dst: &mut BytesMut) {
///         dst.extend_from_slice(if beat == Beat::Ping { b"PING\r\n" } else { b"PONG\r\n" });
///     }
///     // decode and encode are those of the lines.
/// }
/// # let mut dst = BytesMut::new();
/// # let codec = Lines(Delimited::lines(9));
/// # assert_eq!(codec.beat(&&b"PING"[..]), Beat::Ping);
/// # codec.encode_beat(Beat::Pong, None, &mut dst);
/// # assert_eq!(&dst[..], b"PONG\r\n");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beat {
    /// Nothing: it goes to the handler.
    Data,
    /// The peer asks whether we are alive; the library answers and the handler never sees it.
    Ping,
    /// The peer's answer to our ping; the handler never sees it.
    Pong,
}

/// Cuts a byte stream into frames and writes frames as bytes. One value per connection, so it may hold state
/// such as the limits in force.
///
/// A received frame may borrow from the bytes it was decoded from, and then costs neither an allocation nor a copy: the
/// handler copies what it keeps. Or it owns its bytes, and can be moved to a worker as it is.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use bytes::BytesMut;
/// use std::convert::Infallible;
/// use std::num::NonZeroUsize;
///
/// /// Frames of one byte.
/// struct Single;
///
/// impl Codec for Single {
///     type In<'a> = u8;
///     type Out = u8;
///     type Error = Infallible;
///
///     fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<u8>, Infallible> {
///         Ok(match src.first() {
///             Some(byte) => Decoded::Frame { frame: *byte, used: NonZeroUsize::MIN },
///             None => Decoded::Need { total: NonZeroUsize::MIN },
///         })
///     }
///
///     fn encode(&self, out: &u8, dst: &mut BytesMut) -> Result<(), Infallible> {
///         dst.extend_from_slice(&[*out]);
///         Ok(())
///     }
/// }
/// ```
pub trait Codec: 'static {
    /// A received frame.
    type In<'a>;
    /// A frame to send.
    type Out: ?Sized;
    /// The error for bytes that are not a frame. It ends the connection.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Decodes the first frame of `src`, which has at least one byte and begins at the first byte of a frame.
    /// The library shows the same beginning again, with more behind it, until the frame is whole.
    ///
    /// # Errors
    /// The bytes can never become a frame. A frame above the allowed length must be refused here as soon as its
    /// length is known, not when it is complete.
    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<Self::In<'a>>, Self::Error>;

    /// Appends `out` to `dst`, which may already hold other frames.
    ///
    /// # Errors
    /// `out` has no representation. The library removes the bytes that were appended so far.
    fn encode(&self, out: &Self::Out, dst: &mut BytesMut) -> Result<(), Self::Error>;

    /// Bytes of the longest frame that is sent, its header included; `None` without a limit. A server whose
    /// [`Outbound`](crate::Outbound) has no room for one above high water warns when it accepts its first connection.
    fn frame_bytes_max(&self) -> Option<usize> {
        None
    }

    /// Classifies a received frame.
    fn beat(&self, _frame: &Self::In<'_>) -> Beat {
        Beat::Data
    }

    /// Appends a ping, or the pong that answers the ping `answer_to`, to `dst`. A protocol without heartbeats
    /// appends nothing and is never pinged.
    fn encode_beat(&self, _beat: Beat, _answer_to: Option<&Self::In<'_>>, _dst: &mut BytesMut) {}
}
