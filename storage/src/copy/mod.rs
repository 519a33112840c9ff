//! Moving up: a whole embedded store into an empty PostgreSQL database.
//!
//! It owns the list of tables and columns, the batches, and the proof that nothing is missing or different. It must
//! never write to the source, and no daemon may use the database before the proof.
//!
//! Ids, seqs, ordinals, client ids, times and the epoch stay the same. Positions change, because they are the
//! transactions of the new database. So the log id is new, sync tokens start over, and devices compare their cursors.
//! Events keep the order of their positions; the cursors that users have moved come after all events. PostgreSQL
//! cannot store U+0000 in texts: it becomes U+FFFD.
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

/// The progress of a copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Rows done in this step; 0 at its beginning.
    pub rows: u64,
    /// Rows of this step in all.
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

/// The result of a copy.
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

/// The reason why a store was not copied, in one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The copy did not begin: the database is unchanged.
    #[error("{0}")]
    NotBegun(#[source] OpenError),
    /// The copy stopped half-way: no daemon opens the database.
    #[error("the copy was broken off: {0}; drop the database, create it again and copy again")]
    BrokenOff(#[source] OpenError),
    /// The database differs from the source: no daemon opens it.
    #[error(
        "the copy is not the same as its source: {what} {id} differs; drop the database, create it again and copy \
         again"
    )]
    Differs {
        /// The kind of the first row that differs, as in "an event of conversation".
        what: &'static str,
        /// Its owner: the id of a conversation, a user or a session.
        id: u64,
    },
}

/// Copies the store in the file `from` into the database of `to`, then reads both and compares them. No other process
/// may use the file meanwhile. The database must be empty: new, or made by a daemon that has had no account yet.
/// `progress` is called after every batch.
///
/// The statement timeout, the identity and the rules of `to` are ignored.
///
/// # Errors
/// See [`CopyError`]. The source stays unchanged in any case.
pub fn copy(
    from: &Path,
    to: PostgresOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CopyError> {
    let source = Whole::open(from).map_err(CopyError::NotBegun)?;
    let counts = source::count(&source).map_err(CopyError::NotBegun)?;
    let identity = Identity {
        epoch: source.epoch(),
        ..Identity::random().map_err(CopyError::NotBegun)?
    };
    let mut target = Filling::begin(to, identity).map_err(CopyError::NotBegun)?;
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
        target::fill(&mut target, &source, table, &mut copied).map_err(CopyError::BrokenOff)?;
    }
    target::analyze(&mut target).map_err(CopyError::BrokenOff)?;
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
    target.complete().map_err(CopyError::BrokenOff)?;
    Ok(Report {
        users: counts.of("users"),
        sessions: counts.of("sessions"),
        conversations: counts.of("conversations"),
        events: counts.of("events"),
        copying,
        comparing: began.elapsed() - copying,
    })
}
