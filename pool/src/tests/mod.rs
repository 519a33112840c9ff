//! The pool on real threads.

mod ending;
mod lending;
mod redis_client;
mod script;
mod sqlite;

use super::*;
use script::{Policy, Script, Scripted};
use std::sync::atomic::Ordering;
use std::thread;

/// For what must happen, at some time.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(max: u32) -> PoolSettings {
    PoolSettings {
        max,
        min_idle: Some(0),
        acquire_timeout: PATIENCE,
        validate_after_idle: PATIENCE,
        // A test that waits for a turn of the housekeeper waits too long.
        housekeeping: Duration::from_secs(3600),
        ..PoolSettings::default()
    }
}

fn script() -> Arc<Script> {
    Arc::default()
}

fn builder(script: &Arc<Script>, settings: PoolSettings) -> PoolBuilder<Scripted> {
    Pool::builder(Scripted(Arc::clone(script)))
        .settings(settings)
        .policy(Policy(Arc::clone(script)))
}

fn pool(script: &Arc<Script>, settings: PoolSettings) -> Pool<Scripted> {
    builder(script, settings).build().unwrap()
}

/// Looks again and again until it is so.
#[track_caller]
fn until(so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "it never was so");
        thread::yield_now();
    }
}

fn opened(script: &Script) -> u32 {
    script.opened.load(Ordering::SeqCst)
}

fn closed(script: &Script) -> u32 {
    script.closed.load(Ordering::SeqCst)
}

fn timed_out<T>(result: Result<T, GetError<script::Failure>>) -> (Status, Option<script::Failure>) {
    match result {
        Err(GetError::Timeout { at, last, .. }) => (at, last.map(|error| *error)),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a connection"),
    }
}
