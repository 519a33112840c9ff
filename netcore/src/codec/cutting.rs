//! Owns a stream that arrives in pieces, for the tests of codecs. Must never keep a state of its own between pieces but
//! the bytes that are left.

use super::{Codec, Decoded};

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut<F, E> {
    pub(crate) frames: Vec<F>,
    pub(crate) error: Option<E>,
    /// Bytes of a frame that is not whole; zero after an error.
    pub(crate) left: usize,
}

/// Decodes a stream that arrives in pieces, as a connection does: what is left of a piece is kept for the next.
#[track_caller]
pub(crate) fn cut<'a, F, C>(codec: &mut C, pieces: impl IntoIterator<Item = &'a [u8]>) -> Cut<F, C::Error>
where
    C: for<'f> Codec<In<'f> = F>,
{
    let (mut frames, mut held) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            match codec.decode(&held) {
                Ok(Decoded::Frame { frame, used }) => {
                    frames.push(frame);
                    assert!(used.get() <= held.len(), "{used} bytes of {} taken", held.len());
                    held.drain(..used.get());
                }
                Ok(Decoded::Need { total }) => {
                    assert!(
                        total.get() > held.len(),
                        "waits for {total} of {} bytes",
                        held.len()
                    );
                    break;
                }
                Err(error) => {
                    let error = Some(error);
                    return Cut {
                        frames,
                        error,
                        left: 0,
                    };
                }
            }
        }
    }
    Cut {
        frames,
        error: None,
        left: held.len(),
    }
}
