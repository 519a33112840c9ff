//! Owns the identity of borrowers, that is the place in the code and the thread, for the report of a lease that is not
//! given back and for the warning about a second one on the same thread. Must never cost a caller more than a few
//! nanoseconds.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;
use std::thread;

/// Pools that a thread remembers to have used. Beyond that the oldest is forgotten, and with it the thread's lease of
/// it.
const REMEMBERED_MAX: usize = 16;

/// A thread as one pool knows it. Every lease taken on the thread, and every wait for one, keeps a reference; a thread
/// with more references than its own holds a lease.
#[derive(Debug)]
pub(super) struct Holder {
    name: Box<str>,
}

/// The borrower of a lease.
#[derive(Clone, Debug)]
pub(super) struct Borrower {
    pub(super) location: &'static Location<'static>,
    pub(super) holder: Arc<Holder>,
}

thread_local! {
    static HOLDERS: RefCell<Vec<(u64, Arc<Holder>)>> = const { RefCell::new(Vec::new()) };
}

impl Borrower {
    /// The calling thread, and whether it holds a lease of this pool already.
    #[inline]
    pub(super) fn current(pool: u64, location: &'static Location<'static>) -> (Self, bool) {
        let found = HOLDERS.try_with(|holders| {
            let mut holders = holders.borrow_mut();
            if let Some((_, holder)) = holders.iter().find(|(known, _)| *known == pool) {
                return (Arc::clone(holder), Arc::strong_count(holder) > 2);
            }
            if holders.len() >= REMEMBERED_MAX {
                holders.remove(0);
            }
            let holder = Holder::current();
            holders.push((pool, Arc::clone(&holder)));
            (holder, false)
        });
        // A thread that is ending has lost its memory of pools.
        let (holder, again) = found.unwrap_or_else(|_| (Holder::current(), false));
        (Self { location, holder }, again)
    }

    pub(super) fn thread(&self) -> &str {
        &self.holder.name
    }
}

impl Holder {
    fn current() -> Arc<Self> {
        let thread = thread::current();
        let name = thread
            .name()
            .map_or_else(|| format!("{:?}", thread.id()), str::to_owned);
        Arc::new(Self { name: name.into() })
    }
}
