//! Owns one received command: its bytes, and where its arguments are in them. Must never look at what the
//! arguments mean.

use smallvec::SmallVec;

/// Commands with more arguments than this need a second allocation for where they are.
const ARGUMENTS_INLINE: usize = 4;

/// Where the arguments of a command are, in bytes from its beginning.
pub(crate) type Spans = SmallVec<[Span; ARGUMENTS_INLINE]>;

/// Where one argument is. The limits of the codec keep positions below 4 GiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A command as it was received, the name being its first argument. Its bytes lie in the read buffer: what is kept
/// of them has to be copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Command<'a> {
    bytes: &'a [u8],
    spans: Spans,
}

impl<'a> Command<'a> {
    /// The command in `bytes` whose arguments are at `spans`.
    pub(crate) const fn new(bytes: &'a [u8], spans: Spans) -> Self {
        Self { bytes, spans }
    }

    /// How many arguments there are, the name included.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument at `index`; empty if there is none. The table of commands checks how many there are before
    /// a command runs.
    pub(crate) fn argument(&self, index: usize) -> &[u8] {
        self.spans.get(index).map_or(&[], |span| self.bytes_at(*span))
    }

    /// The arguments from `index` on.
    pub(crate) fn arguments_from(&self, index: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let spans = self.spans.get(index..).unwrap_or_default();
        spans.iter().map(|span| self.bytes_at(*span))
    }

    /// The arguments from `index` on in pairs; one that is left over is left out.
    pub(crate) fn pairs_from(&self, index: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (pairs, _) = self.spans.get(index..).unwrap_or_default().as_chunks::<2>();
        pairs
            .iter()
            .map(|[first, second]| (self.bytes_at(*first), self.bytes_at(*second)))
    }

    fn bytes_at(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}
