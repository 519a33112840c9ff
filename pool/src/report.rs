//! Owns the pool's sentences in the log. Must never be called with the lock held.

use super::PoolSettings;
use super::borrower::Borrower;
use super::policy::DriverTimeouts;
use super::state::Event;
use std::fmt::Display;

pub(super) fn event(pool: &str, event: &Event, last_error: Option<&impl Display>) {
    match event {
        Event::Leak { borrower, held } => log::warn!(
            "{pool}: a connection taken at {} on thread {} has been held for {held:.1?}",
            borrower.location,
            borrower.thread()
        ),
        Event::LeakEnded { borrower, held } => log::warn!(
            "{pool}: the connection taken at {} on thread {} came back after {held:.1?}",
            borrower.location,
            borrower.thread()
        ),
        Event::ClockLeapt { monotonic, wall } => log::warn!(
            "{pool}: between two looks at the clocks passed {monotonic:.1?} by the one and {wall:.1?} by the \
             other; every connection is tested"
        ),
        Event::ChecksFail { failed, of } => log::warn!(
            "{pool}: {failed} of the last {of} tests of connections failed; the test itself may be wrong"
        ),
        // The pauses reach their maximum after ten failures; from then on it logs more and more rarely.
        Event::ConnectFailed { failures, pause } if failures.is_power_of_two() => {
            let cause = last_error.map_or_else(|| "a panic".to_owned(), ToString::to_string);
            log::warn!("{pool}: connecting failed {failures} times; next attempt in {pause:.1?}: {cause}");
        }
        Event::ConnectFailed { failures, pause } => {
            log::debug!("{pool}: connecting failed {failures} times; next attempt in {pause:.1?}");
        }
        Event::ConnectRecovered { failures } => {
            log::info!("{pool}: connected again after {failures} failures");
        }
    }
}

pub(super) fn second_lease(pool: &str, borrower: &Borrower) {
    log::warn!(
        "{pool}: thread {} takes a second connection at {} while it has one; enough threads doing so wait for \
         each other until their deadlines",
        borrower.thread(),
        borrower.location
    );
}

pub(super) fn driver_timeouts(settings: &PoolSettings, declared: Option<DriverTimeouts>) {
    let pool = &settings.name;
    match declared {
        None => log::warn!(
            "{pool}: the policy declares no time-outs of the driver; a silent database can hold the threads that \
             connect and test"
        ),
        // An attempt may outlive its caller: the connection is then there for the next one.
        Some(DriverTimeouts { connect, .. }) if connect > settings.acquire_timeout => log::debug!(
            "{pool}: the driver waits {connect:?} for a connection, callers only {:?}",
            settings.acquire_timeout
        ),
        Some(_) => {}
    }
}
