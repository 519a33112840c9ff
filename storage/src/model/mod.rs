//! The reference: the right answer of every store, in the simplest way. Everything is in memory behind one lock, and
//! everything that can be computed from the logs is computed from the logs, every time.
//!
//! It owns the meaning of the traits. It must never be clever: a rule that cannot be read off here at once is written
//! wrongly.

mod append;
mod entries;
mod entry;
mod people;
mod read;
mod state;
mod write;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    error::{CommitError, OpenError, Refused},
    fate::{Doom, Fate},
    past::{Generation, TokenKey},
    read::{Reader, Store},
    status::Status,
    types::Position,
    write::{Outcome, Rules, Write, Writer},
};
use state::State;

/// The only generation: the model never starts again.
const GENERATION: Generation = Generation(1);

/// A store in memory, which ends with the value. Shared between threads; its readers and its writer stay usable after
/// it is dropped.
pub struct ModelStore {
    epoch: u64,
    log_id: u64,
    fate: Arc<Fate>,
    state: Arc<Mutex<State>>,
    writer_taken: AtomicBool,
}

impl ModelStore {
    /// An empty store. `epoch` must not be 0.
    pub fn new(epoch: u64, log_id: u64, rules: Rules) -> Self {
        Self {
            epoch,
            log_id,
            fate: Arc::default(),
            state: Arc::new(Mutex::new(State::new(rules))),
            writer_taken: AtomicBool::new(false),
        }
    }
}

impl fmt::Debug for ModelStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelStore")
            .field("epoch", &self.epoch)
            .field("log_id", &self.log_id)
            .finish_non_exhaustive()
    }
}

impl Store for ModelStore {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn log_id(&self) -> u64 {
        self.log_id
    }

    fn token_key(&self) -> TokenKey {
        TokenKey([7; 32])
    }

    fn told(&self, _: Position) -> Generation {
        GENERATION
    }

    fn fate(&self) -> &Fate {
        &self.fate
    }

    /// The store forgets everything when it ends: there is no other past to begin.
    fn begin_past(&self, why: &str) -> Result<(), OpenError> {
        self.fate.doom(Doom::PastOver(why.to_owned()));
        Ok(())
    }

    fn writers_max(&self) -> usize {
        1
    }

    fn status(&self) -> Status {
        Status::Model
    }

    fn writer(&self) -> Result<Box<dyn Writer>, OpenError> {
        if self.writer_taken.swap(true, Ordering::Relaxed) {
            return Err(OpenError::Refused(
                "this store has one writer, and it was handed out before".to_owned(),
            ));
        }
        Ok(Box::new(ModelWriter {
            fate: Arc::clone(&self.fate),
            state: Arc::clone(&self.state),
        }))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, OpenError> {
        Ok(Box::new(ModelReader {
            state: Arc::clone(&self.state),
        }))
    }

    fn close(&self) -> Result<(), OpenError> {
        Ok(())
    }
}

struct ModelWriter {
    fate: Arc<Fate>,
    state: Arc<Mutex<State>>,
}

impl Writer for ModelWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        if let Some(doom) = self.fate.reason() {
            return Err(CommitError::Fatal(doom.clone().into()));
        }
        // One lock over the whole batch: readers see all of it or nothing.
        let mut state = self.state.lock();
        Ok(writes.iter().map(|write| state.write(write)).collect())
    }
}

struct ModelReader {
    state: Arc<Mutex<State>>,
}
