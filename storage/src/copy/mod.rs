//! Moving up: a whole embedded store into an empty PostgreSQL database.
//!
//! It owns what a copy is made of, the batches it comes in, and the proof that nothing is missing or different. It
//! must never write to the source, nor let anybody use the database before the proof.
//!
//! Everything stays as it is (ids, seqs, ordinals, client ids, times, the epoch) but the positions: those are the
//! transactions of the other database. So the log id is a new one, sync tokens start over, and devices compare their
//! cursors. The order of positions is kept among events; the cursors that users have moved come after all of them.
//! Texts lose what PostgreSQL cannot keep: U+0000 becomes U+FFFD.
//!
//! Rows are streamed: memory does not grow with the store. The source is locked against every other process, and the
//! database is marked until the end (`postgres/filling.rs`); a copy that ends early leaves the mark.

mod compare;
mod source;
mod tables;
mod target;
mod value;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    error::OpenError,
    postgres::{PostgresOptions, filling::Filling},
    sqlite::{Identity, whole::Whole},
};
use tables::TABLES;

/// How far a copy has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Rows done in this step. At the beginning of each it is told with 0.
    pub rows: u64,
    /// Rows to do in it.
    pub of: u64,
}

/// The parts of a copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Rows are written, in transactions of up to 1,000.
    Copying,
    /// Both sides are read and compared.
    Comparing,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Accounts.
    pub users: u64,
    /// Sessions.
    pub sessions: u64,
    /// Conversations.
    pub conversations: u64,
    /// Events in all of them.
    pub events: u64,
    /// How long writing took.
    pub copying: Duration,
    /// How long the comparison took.
    pub comparing: Duration,
}

/// Why a store was not copied, in one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It was not begun: the database is as it was.
    #[error("{0}")]
    NotBegun(String),
    /// The database is half filled, and opens for nobody.
    #[error("the copy was broken off: {0}; drop the database, create it again and copy again")]
    BrokenOff(String),
    /// The database is not what it was filled with, and opens for nobody.
    #[error(
        "the copy is not the same as its source: {what} {id} differs; drop the database, create it again and copy \
         again"
    )]
    Differs {
        /// What differs, as in "an event of conversation"; of several, the first.
        what: &'static str,
        /// Whose it is: the id of a conversation, a user or a session.
        id: u64,
    },
}

impl CopyError {
    fn broken_off(error: OpenError) -> Self {
        Self::BrokenOff(error.0)
    }
}

/// Copies the store in the file `from`, which nobody may use meanwhile, into the database of `to`, which must be empty:
/// new, or made by a daemon that has had no account yet. Then reads both and compares them. `progress` is told after
/// every batch.
///
/// The statement timeout of `to` does not count, nor do its identity and its rules.
///
/// # Errors
/// See [`CopyError`]. The source is as it was in any case.
pub fn copy(
    from: &Path,
    to: PostgresOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CopyError> {
    let not_begun = |error: OpenError| CopyError::NotBegun(error.0);
    let source = Whole::open(from).map_err(not_begun)?;
    let counts = source::count(&source).map_err(not_begun)?;
    let identity = Identity {
        epoch: source.epoch(),
        ..Identity::random().map_err(not_begun)?
    };
    let mut target = Filling::begin(to, identity).map_err(not_begun)?;
    let began = Instant::now();
    let of = counts.total();
    let mut rows = 0;
    let mut copied = |more: u64| {
        rows += more;
        progress(Progress {
            step: Step::Copying,
            rows,
            of,
        });
    };
    copied(0);
    for table in TABLES {
        target::fill(&mut target, &source, table, &mut copied).map_err(CopyError::broken_off)?;
    }
    target::analyze(&mut target).map_err(CopyError::broken_off)?;
    let copying = began.elapsed();
    // Before the snapshot that is compared.
    progress(Progress {
        step: Step::Comparing,
        rows: 0,
        of: counts.compared(),
    });
    compare::all(&source, &mut target, &mut |rows| {
        progress(Progress {
            step: Step::Comparing,
            rows,
            of: counts.compared(),
        });
    })?;
    target.complete().map_err(CopyError::broken_off)?;
    Ok(Report {
        users: counts.of("users"),
        sessions: counts.of("sessions"),
        conversations: counts.of("conversations"),
        events: counts.of("events"),
        copying,
        comparing: began.elapsed() - copying,
    })
}
