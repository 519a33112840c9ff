//! Owns the names of loops and connections. Must never give two connections the same name.

use crate::limits::{CONNECTIONS_PER_LOOP_MAX, LOOPS_MAX};
use std::fmt;

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;

const _: () = assert!(CONNECTIONS_PER_LOOP_MAX < 1 << INDEX_BITS);
const _: () = assert!(LOOPS_MAX <= 1 << (64 - INDEX_BITS - GENERATION_BITS));
// The same bits are the token of the socket.
const _: () = assert!(usize::BITS == 64);

/// The name of an event loop of a server, counted from 0.
///
/// ```
/// # use netcore::Remote;
/// /// As many counters as loops.
/// fn counters<M>(remote: &Remote<M>) -> Vec<u64> {
///     let mut counters = vec![0; remote.loop_count()];
///     for loop_id in remote.loops() {
///         counters[loop_id.index()] += 1;
///     }
///     counters
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LoopId(pub(crate) u8);

impl LoopId {
    /// The position of the loop, below the number of loops.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The name of a connection, never given to another one while the server runs: 8 bits of loop, 32 bits of
/// generation, 24 bits of slot.
///
/// ```
/// # use netcore::{ConnId, ConnCx, Handler};
/// # use std::collections::HashMap;
/// /// Online users. The name of an ended connection may stay in the map: it never refers to another connection.
/// fn note<H: Handler>(online: &mut HashMap<u64, ConnId>, user: u64, cx: &ConnCx<'_, H>) {
///     online.insert(user, cx.id());
/// }
///
/// /// For systems that know numbers only.
/// fn label(id: ConnId) -> String {
///     format!("loop={} connection={:#x}", id.loop_id().index(), id.as_u64())
/// }
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(u64);

impl ConnId {
    pub(crate) const fn new(loop_id: LoopId, generation: u32, index: usize) -> Self {
        let index = index as u64 & ((1 << INDEX_BITS) - 1);
        Self(
            ((loop_id.0 as u64) << (INDEX_BITS + GENERATION_BITS))
                | ((generation as u64) << INDEX_BITS)
                | index,
        )
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The loop that owns the connection.
    #[must_use]
    pub const fn loop_id(self) -> LoopId {
        LoopId((self.0 >> (INDEX_BITS + GENERATION_BITS)) as u8)
    }

    /// The whole name as a number, for logs and maps.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ConnId({}.{}.{})",
            self.loop_id().0,
            self.index(),
            self.generation()
        )
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.loop_id().0, self.index(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_do_not_overlap() {
        for (loop_id, generation, index) in [
            (0, 0, 0),
            (255, 0, 0),
            (0, u32::MAX, 0),
            (0, 0, CONNECTIONS_PER_LOOP_MAX - 1),
            (7, 0x8000_0001, 0x80_0001),
        ] {
            let id = ConnId::new(LoopId(loop_id), generation, index);
            assert_eq!(
                (id.loop_id().0, id.generation(), id.index()),
                (loop_id, generation, index)
            );
        }
    }
}
