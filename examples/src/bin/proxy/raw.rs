//! Owns the framing of a stream without frames: whatever has arrived. Must never hold anything back.

use bytes::BytesMut;
use netcore::codec::{Codec, Decoded};
use std::convert::Infallible;
use std::num::NonZeroUsize;

/// Every read is a frame.
pub(crate) struct Raw;

impl Codec for Raw {
    type In<'a> = &'a [u8];
    type Out = [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, Infallible> {
        Ok(match NonZeroUsize::new(src.len()) {
            Some(used) => Decoded::Frame { frame: src, used },
            None => Decoded::Need {
                total: NonZeroUsize::MIN,
            },
        })
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), Infallible> {
        dst.extend_from_slice(out);
        Ok(())
    }
}
