//! A manager that does what a test tells it, and says what it was asked and where.

use super::super::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the database is down")]
    Down,
    #[error("the password is wrong")]
    Password,
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) opened: AtomicU32,
    pub(super) closed: AtomicU32,
    pub(super) checks: AtomicU32,
    pub(super) cleaned: AtomicU32,
    pub(super) invalid: AtomicBool,
    pub(super) check_panics: AtomicBool,
    pub(super) failure: Mutex<Option<Failure>>,
    /// Attempts to connect that panic.
    pub(super) panics: AtomicU32,
    /// Attempts to connect that may go on; all of them if there is no number.
    pub(super) admitted: Mutex<Option<u32>>,
    pub(super) admission: sync::Condvar,
    /// Names of the threads that connected, tested, closed.
    pub(super) threads: Mutex<Vec<(&'static str, String)>>,
    /// A pool to ask for its status in every call, which stops for ever if that holds its lock.
    pub(super) asked: OnceLock<Pool<Scripted>>,
}

pub(super) struct Scripted(pub(super) Arc<Script>);

pub(super) struct Connection {
    pub(super) number: u32,
    pub(super) broken: bool,
    pub(super) dirty: bool,
    pub(super) panics_when_asked: bool,
    script: Arc<Script>,
}

impl Script {
    fn note(&self, what: &'static str) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.threads.lock().push((what, thread));
        self.ask();
    }

    fn ask(&self) {
        if let Some(pool) = self.asked.get() {
            // The lock is free, or this never returns.
            let _ = pool.status();
        }
    }

    /// Stops attempts to connect from now on.
    pub(super) fn shut(&self) {
        *self.admitted.lock() = Some(0);
    }

    pub(super) fn admit(&self, count: u32) {
        *self.admitted.lock() = Some(count);
        self.admission.notify_all();
    }

    pub(super) fn admit_all(&self) {
        *self.admitted.lock() = None;
        self.admission.notify_all();
    }
}

impl ManageConnection for Scripted {
    type Connection = Connection;
    type Error = Failure;

    fn connect(&self) -> Result<Connection, Failure> {
        let script = &self.0;
        script.note("connect");
        let mut admitted = script.admitted.lock();
        while *admitted == Some(0) {
            script.admission.wait(&mut admitted);
        }
        if let Some(left) = admitted.as_mut() {
            *left -= 1;
        }
        drop(admitted);
        let less = |panics: u32| panics.checked_sub(1);
        if script
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
        {
            std::panic::resume_unwind(Box::new("as told"));
        }
        if let Some(failure) = *script.failure.lock() {
            return Err(failure);
        }
        Ok(Connection {
            number: script.opened.fetch_add(1, Ordering::SeqCst),
            broken: false,
            dirty: false,
            panics_when_asked: false,
            script: Arc::clone(script),
        })
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), Failure> {
        self.0.note("check");
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        if self.0.check_panics.swap(false, Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("as told"));
        }
        if self.0.invalid.load(Ordering::SeqCst) {
            Err(Failure::Down)
        } else {
            Ok(())
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.0.ask();
        if connection.panics_when_asked {
            std::panic::resume_unwind(Box::new("as told"));
        }
        connection.broken
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.script.note("close");
        self.script.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Knows dirty connections, and which failure lasts.
pub(super) struct Policy(pub(super) Arc<Script>);

impl PoolPolicy<Scripted> for Policy {
    fn reset(&self, connection: &mut Connection) -> Reset {
        self.0.ask();
        if connection.dirty {
            Reset::Clean
        } else {
            Reset::Keep
        }
    }

    fn clean(&self, connection: &mut Connection) -> Result<(), Failure> {
        self.0.note("clean");
        connection.dirty = false;
        self.0.cleaned.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn connect_error(&self, error: &Failure) -> ConnectError {
        self.0.ask();
        match error {
            Failure::Down => ConnectError::Transient,
            Failure::Password => ConnectError::Permanent,
        }
    }
}
