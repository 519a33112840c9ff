//! Several daemons over one PostgreSQL, with and without Redis, and what they do while those fail.

mod chaos;
mod commands;
mod moment;
mod nodes;
mod past;
mod postgres;
mod presence;
mod redis;
mod returning;
mod whereabouts;
mod wire;

use std::time::{Duration, Instant};

use protocol::v1::{self, ErrorCode};
use tests::harness::{PATIENCE, User};

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        // Each question goes to a daemon: this keeps it from being asked more than needed.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Sends a request under one client id until it is acknowledged, as a client does, over the same connection. The
/// refusals on the way must be of the kind that may be tried again.
#[track_caller]
fn send_until_stored(user: &mut User, request: &v1::SendRequest) -> (v1::SendResponse, usize) {
    let mut refusals = 0;
    let mut sent = None;
    until("stored", || match user.ask(request.clone()) {
        Ok(response) => {
            sent = Some(response);
            true
        }
        Err(refusal) => {
            assert!(
                matches!(
                    refusal.code(),
                    ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::ResourceExhausted
                ),
                "{refusal:?}"
            );
            assert!(refusal.retry_after_ms > 0, "{refusal:?}");
            refusals += 1;
            false
        }
    });
    (sent.unwrap(), refusals)
}

/// Waits until everything asked is answered again: after an outage questions are let through slowly at first.
#[track_caller]
pub(crate) fn reads_again(user: &mut User) {
    let list = v1::ListConversationsRequest {
        limit: 1,
        ..v1::ListConversationsRequest::default()
    };
    until("reads", || (0..20).all(|_| user.ask(list.clone()).is_ok()));
}
