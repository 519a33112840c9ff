//! Taking an input apart: the first bytes choose, the rest is what is read. It must accept any bytes.

/// The bytes that choose, and what they have left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The next byte; 0 when there is none.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// One of `choices` by the next byte.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = usize::from(self.byte()).checked_rem(choices.len())?;
        choices.get(index).copied()
    }

    /// The next bytes, up to `count`.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// What has not been taken.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }
}
