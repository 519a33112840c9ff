//! Owns the adapter that makes frames own their bytes.

use super::{Beat, Codec, Decoded};
use bytes::{Bytes, BytesMut};

/// A codec whose frames are slices, with frames that own a copy instead: for handlers that keep every frame or
/// give it to a worker.
///
/// ```
/// use netcore::codec::{Codec, Decoded, LengthPrefixed, Owned};
///
/// let mut codec = Owned(LengthPrefixed::new(100));
/// let Decoded::Frame { frame, .. } = codec.decode(b"\0\0\0\x02hi")? else {
///     panic!("the frame is whole");
/// };
/// let frame: bytes::Bytes = frame;
/// assert_eq!(&frame[..], b"hi");
/// # Ok::<_, netcore::codec::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owned<C>(pub C);

impl<C: for<'a> Codec<In<'a> = &'a [u8]>> Codec for Owned<C> {
    type In<'a> = Bytes;
    type Out = C::Out;
    type Error = C::Error;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Bytes>, C::Error> {
        Ok(match self.0.decode(src)? {
            Decoded::Frame { frame, used } => Decoded::Frame {
                frame: Bytes::copy_from_slice(frame),
                used,
            },
            Decoded::Need { total } => Decoded::Need { total },
        })
    }

    fn encode(&self, out: &C::Out, dst: &mut BytesMut) -> Result<(), C::Error> {
        self.0.encode(out, dst)
    }

    fn beat(&self, frame: &Bytes) -> Beat {
        self.0.beat(&&frame[..])
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Bytes>, dst: &mut BytesMut) {
        self.0
            .encode_beat(beat, answer_to.map(|frame| &frame[..]).as_ref(), dst);
    }
}
