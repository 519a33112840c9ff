//! Owns the bytes that are queued for one peer, in order. Must never look inside a frame, and never write.

use crate::codec::Codec;
use crate::limits::{
    COALESCE_BEHIND_BYTES_MAX, COALESCE_BYTES_MAX, TAIL_BYTES_COPIED_MAX, TAIL_BYTES_MAX, TAIL_BYTES_MIN,
    WRITE_SLICES_MAX,
};
use crate::time::Tick;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Frames waiting to be written: closed chunks, then one open chunk into which frames are encoded and small
/// ones are copied.
///
/// ```text
///   chunks:  | Bytes (shared or closed) | Bytes | ... |   tail: | BytesMut |
/// ```
#[derive(Debug)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    chunk_bytes: usize,
    /// Bytes of the newest encoded frame, as an estimate for the next.
    encoded: usize,
    /// Bytes of memory of the open chunk: the chunk itself does not count bytes written from its front.
    tail_bytes: usize,
    progress: Tick,
}

impl Outbox {
    /// An empty queue; `now` counts as its last write.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            chunk_bytes: 0,
            encoded: 0,
            tail_bytes: 0,
            progress: now,
        }
    }

    /// Bytes not yet written.
    pub(super) fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// When something was last written, or the queue was empty.
    pub(super) const fn progress(&self) -> Tick {
        self.progress
    }

    /// Queues `frame` without copying it, unless it is small.
    pub(super) fn push(&mut self, frame: Bytes) {
        let copied_up_to = if self.len() == 0 {
            COALESCE_BYTES_MAX
        } else {
            COALESCE_BEHIND_BYTES_MAX
        };
        if frame.len() <= copied_up_to {
            self.reserve(frame.len());
            self.tail.extend_from_slice(&frame);
            self.note_tail();
        } else {
            self.close_tail();
            self.chunk_bytes += frame.len();
            self.chunks.push_back(frame);
        }
    }

    /// Encodes `out` behind everything queued and returns the bytes it took; leaves nothing behind when the
    /// codec fails or the queue would pass `limit`.
    pub(super) fn encode<C: Codec>(
        &mut self,
        codec: &C,
        out: &C::Out,
        limit: usize,
    ) -> Result<(), EncodeError<C::Error>> {
        self.reserve(self.encoded.max(1));
        let before = self.tail.len();
        if let Err(error) = codec.encode(out, &mut self.tail) {
            self.tail.truncate(before);
            return Err(EncodeError::Codec(error));
        }
        if self.len() > limit {
            self.tail.truncate(before);
            return Err(EncodeError::Full);
        }
        self.encoded = self.tail.len() - before;
        self.note_tail();
        Ok(())
    }

    /// Lets `write` append to the open chunk; undoes it if the queue would pass `limit`. Returns the bytes that it
    /// wanted to append.
    pub(super) fn append_within(&mut self, limit: usize, write: impl FnOnce(&mut BytesMut)) -> usize {
        self.reserve(1);
        let before = self.tail.len();
        write(&mut self.tail);
        let appended = self.tail.len().saturating_sub(before);
        if self.len() > limit {
            self.tail.truncate(before);
        }
        self.note_tail();
        appended
    }

    /// All queued bytes, if they are in one piece.
    pub(super) fn slice(&self) -> Option<&[u8]> {
        match (self.chunks.front(), self.tail.is_empty()) {
            (None, _) => Some(&self.tail),
            (Some(chunk), true) if self.chunks.len() == 1 => Some(chunk),
            _ => None,
        }
    }

    /// Fills `slices` from the front of the queue; returns how many and their bytes.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; WRITE_SLICES_MAX]) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        let queued = self.chunks.iter().map(|chunk| &chunk[..]).chain([&self.tail[..]]);
        for (slice, chunk) in slices.iter_mut().zip(queued.filter(|chunk| !chunk.is_empty())) {
            *slice = IoSlice::new(chunk);
            count += 1;
            bytes += chunk.len();
        }
        (count, bytes)
    }

    /// Resets the queue, which must be empty.
    pub(super) fn recycle(&mut self) {
        self.tail.clear();
    }

    /// Gives up memory that is far more than the queued bytes need.
    pub(super) fn shrink(&mut self) {
        if self.tail_bytes > 4 * self.tail.len() + TAIL_BYTES_COPIED_MAX {
            self.tail = BytesMut::from(&self.tail[..]);
            self.tail_bytes = self.tail.capacity();
        }
    }

    /// Bytes of memory it holds, about.
    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.tail_bytes + self.chunks.capacity() * size_of::<Bytes>()
    }

    /// `now` counts as the last write.
    pub(super) const fn begin(&mut self, now: Tick) {
        self.progress = now;
    }

    /// Drops the first `written` bytes.
    pub(super) fn advance(&mut self, written: usize, now: Tick) {
        if written > 0 {
            self.progress = now;
        }
        let mut left = written;
        while left > 0 {
            let Some(chunk) = self.chunks.front_mut() else {
                if left >= self.tail.len() {
                    self.tail.clear();
                } else {
                    self.tail.advance(left);
                }
                return;
            };
            let part = left.min(chunk.len());
            self.chunk_bytes -= part;
            left -= part;
            if part == chunk.len() {
                self.chunks.pop_front();
            } else {
                chunk.advance(part);
            }
        }
    }

    /// Makes room in the open chunk, or in a new one. The steps are larger than usual, because most bytes are written
    /// and gone within the turn.
    #[inline]
    fn reserve(&mut self, bytes: usize) {
        let missing = self.tail.capacity() - self.tail.len() < bytes;
        // If the chunk holds much already, growing it would copy that.
        if self.tail.len() >= TAIL_BYTES_MAX || (missing && self.tail.len() >= TAIL_BYTES_COPIED_MAX) {
            self.close_tail();
        }
        if self.tail.capacity() - self.tail.len() < bytes {
            let step = if bytes >= TAIL_BYTES_COPIED_MAX {
                // For large frames: as many as a chunk may hold; unused memory is never touched.
                TAIL_BYTES_MAX + bytes
            } else if self.chunks.is_empty() {
                (3 * self.tail.len()).max(TAIL_BYTES_MIN)
            } else {
                TAIL_BYTES_COPIED_MAX
            };
            self.tail.reserve(bytes.max(step));
        }
    }

    fn note_tail(&mut self) {
        self.tail_bytes = self.tail_bytes.max(self.tail.capacity());
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.tail_bytes = 0;
            let closed = std::mem::take(&mut self.tail).freeze();
            self.chunk_bytes += closed.len();
            self.chunks.push_back(closed);
        }
    }
}

/// The reason for which encoding added nothing.
pub(super) enum EncodeError<E> {
    Codec(E),
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let (count, bytes) = outbox.slices(&mut slices);
        let pieces: Vec<&[u8]> = slices[..count].iter().map(|slice| &slice[..]).collect();
        match outbox.slice() {
            Some(slice) => assert_eq!(pieces.concat(), slice),
            None => assert!(count > 1, "one piece is offered as such"),
        }
        let mut content = Vec::new();
        slices[..count]
            .iter()
            .for_each(|slice| content.extend_from_slice(slice));
        assert_eq!(content.len(), bytes);
        content
    }

    #[test]
    fn small_frames_share_a_chunk_and_large_ones_are_not_copied() {
        let mut outbox = Outbox::new(Tick(0));
        let large = Bytes::from(vec![7; COALESCE_BEHIND_BYTES_MAX + 1]);
        outbox.push(Bytes::from("a"));
        outbox.push(Bytes::from("b"));
        outbox.push(large.clone());
        outbox.push(Bytes::from("c"));
        assert_eq!(content(&outbox), [&b"ab"[..], &large[..], &b"c"[..]].concat());
        assert_eq!(outbox.chunks.len(), 2);
        assert_eq!(outbox.chunks[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn any_sequence_of_short_writes_keeps_the_rest_in_order() {
        for step in if cfg!(miri) { 36..40 } else { 1..40 } {
            let mut outbox = Outbox::new(Tick(0));
            for index in 0..20_u8 {
                let size = if index % 3 == 0 { COALESCE_BYTES_MAX + 5 } else { 3 };
                outbox.push(Bytes::from(vec![index; size]));
            }
            let mut expected = content(&outbox);
            while !expected.is_empty() {
                let written = step.min(expected.len());
                outbox.advance(written, Tick(1));
                expected.drain(..written);
                assert_eq!(content(&outbox), expected);
                assert_eq!(outbox.len(), expected.len());
            }
        }
    }

    #[test]
    fn a_long_queue_is_made_of_few_chunks_and_grows_without_copying_them() {
        let mut outbox = Outbox::new(Tick(0));
        let frame = Bytes::from(vec![1; COALESCE_BYTES_MAX]);
        let mut first = None;
        for _ in 0..TAIL_BYTES_MAX / COALESCE_BYTES_MAX {
            outbox.push(frame.clone());
            first = first.or_else(|| outbox.chunks.front().map(|chunk| chunk.as_ptr()));
        }
        assert_eq!(outbox.len(), TAIL_BYTES_MAX);
        assert_eq!(first, outbox.chunks.front().map(|chunk| chunk.as_ptr()));
        assert!(
            outbox.chunks.len() <= TAIL_BYTES_MAX / TAIL_BYTES_COPIED_MAX,
            "{}",
            outbox.chunks.len()
        );
    }

    #[test]
    fn a_queue_that_has_to_wait_gives_up_memory_it_does_not_need() {
        let mut outbox = Outbox::new(Tick(0));
        let codec = crate::codec::LengthPrefixed::new(1 << 20);
        assert!(outbox.encode(&codec, &[7; 60_000], usize::MAX).is_ok());
        outbox.advance(60_000, Tick(1));
        assert!(outbox.held() > 50_000);
        outbox.shrink();
        assert!(outbox.held() < 1000, "{}", outbox.held());
        assert_eq!(content(&outbox), [7; 4]);
    }

    #[test]
    fn one_large_frame_is_not_moved_for_the_next() {
        let mut outbox = Outbox::new(Tick(0));
        let codec = crate::codec::LengthPrefixed::new(1 << 20);
        for _ in 0..3 {
            assert!(outbox.encode(&codec, &[7; 16 * 1024], usize::MAX).is_ok());
        }
        let frame = 4 + 16 * 1024;
        assert_eq!((outbox.chunks.len(), outbox.tail.len()), (1, 2 * frame));
        assert_eq!(outbox.chunks[0].len(), frame);
    }

    #[test]
    fn more_chunks_than_slices_are_offered_in_parts() {
        let mut outbox = Outbox::new(Tick(0));
        let size = COALESCE_BEHIND_BYTES_MAX + 1;
        for _ in 0..WRITE_SLICES_MAX + 3 {
            outbox.push(Bytes::from(vec![1; size]));
        }
        assert_eq!(content(&outbox).len(), WRITE_SLICES_MAX * size);
    }

    #[test]
    fn frames_of_middle_size_are_copied_only_behind_others() {
        let mut outbox = Outbox::new(Tick(0));
        let middle = Bytes::from(vec![7; COALESCE_BEHIND_BYTES_MAX]);
        outbox.push(middle.clone());
        outbox.push(middle.clone());
        outbox.push(middle.clone());
        assert_eq!(outbox.chunks.len(), 1);
        assert_eq!(outbox.chunks[0].as_ptr(), middle.as_ptr());
        assert_eq!(outbox.tail.len(), 2 * middle.len());
        assert_eq!(content(&outbox), [&middle[..]; 3].concat());
    }
}
