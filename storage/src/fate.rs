//! The end of trust in a store: the first reason for which nothing of it may be acknowledged any more, known to every
//! part of the process at once.
//!
//! Code that finds such a reason (a reader that meets damage, a checkpoint that could not flush, a token that testifies
//! to a lost tail) [dooms](Fate::doom) the store. Code that acknowledges asks [`Fate::reason`] first. A reason is never
//! taken back: only a new process trusts the store again.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::error::Cause;

/// Why a process must stop using a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Doom {
    /// The store's content cannot be trusted, or what became of a write. The cause is the failure that showed it.
    #[error("the store failed: {0}")]
    Failed(#[source] Cause),
    /// The past that this process lives in is over: another epoch has begun, and a new process will live in that. The
    /// text is the reason that was given for it, as the store keeps it.
    #[error("the store has another past now: {0}")]
    PastOver(String),
}

impl Doom {
    /// The reason that a fatal answer of the store had: itself a reason, or a failure.
    pub fn of(cause: &Cause) -> Self {
        match cause.downcast_ref::<Self>() {
            Some(doom) => doom.clone(),
            None => Self::Failed(cause.clone()),
        }
    }
}

type Listener = Box<dyn Fn(&Doom) + Send + Sync>;

/// The fate of one store. Shared between threads.
#[derive(Default)]
pub struct Fate {
    /// The same as `reason.is_some()`, and cheaper: it is asked before every commit.
    sealed: AtomicBool,
    reason: OnceLock<Doom>,
    listener: Mutex<Option<Listener>>,
}

impl Fate {
    /// Ends the trust. Only the first reason counts; the [listener](Fate::on_doom) gets it once.
    pub fn doom(&self, doom: Doom) {
        let mut first = false;
        let reason = self.reason.get_or_init(|| {
            first = true;
            doom
        });
        self.sealed.store(true, Ordering::Release);
        if first && let Some(listener) = &*self.listener.lock() {
            listener(reason);
        }
    }

    /// The reason for which nothing may be acknowledged any more, if there is one.
    pub fn reason(&self) -> Option<&Doom> {
        if self.sealed.load(Ordering::Acquire) {
            self.reason.get()
        } else {
            None
        }
    }

    /// Calls `listener` with the reason, on the thread that finds it, or now if there is one already. It must not wait
    /// and must not use the store. A later listener takes the place of an earlier one.
    pub fn on_doom(&self, listener: impl Fn(&Doom) + Send + Sync + 'static) {
        let mut kept = self.listener.lock();
        if let Some(reason) = self.reason.get() {
            listener(reason);
        }
        *kept = Some(Box::new(listener));
    }
}

impl fmt::Debug for Fate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Fate").field(&self.reason.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, io, sync::Arc};

    use super::*;

    #[test]
    fn the_first_reason_counts_and_is_told_once() {
        let (fate, heard) = (Fate::default(), Arc::new(Mutex::new(Vec::new())));
        assert!(fate.reason().is_none());
        let ear = Arc::clone(&heard);
        fate.on_doom(move |doom| ear.lock().push(doom.clone()));
        fate.doom(Doom::Failed(io::Error::other("a flush").into()));
        fate.doom(Doom::PastOver("a token".to_owned()));
        assert_eq!(fate.reason().unwrap().to_string(), "the store failed: a flush");
        assert_eq!(heard.lock().len(), 1);
        // A late listener hears it, too.
        let ear = Arc::clone(&heard);
        fate.on_doom(move |doom| ear.lock().push(doom.clone()));
        let heard = heard.lock();
        assert_eq!(heard.len(), 2);
        assert!(heard.iter().all(|doom| matches!(doom, Doom::Failed(_))));
    }

    #[test]
    fn a_reason_keeps_the_failure_that_showed_it() {
        let failure: Cause = io::Error::from(io::ErrorKind::StorageFull).into();
        let doom = Doom::of(&failure);
        let kept = doom.source().unwrap().downcast_ref::<io::Error>();
        assert_eq!(kept.unwrap().kind(), io::ErrorKind::StorageFull);
        // A reason that comes back as a cause is the same reason, not the failure of one.
        let again = Doom::of(&Cause::from(doom.clone()));
        assert_eq!(again.to_string(), doom.to_string());
        let over = Cause::from(Doom::PastOver("by hand".to_owned()));
        assert!(matches!(Doom::of(&over), Doom::PastOver(why) if why == "by hand"));
    }
}
