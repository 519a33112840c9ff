//! Randomness from the operating system, and the seeds and ids made from it. Only thin shells call this.

use protocol::ClientMessageId;

use crate::error::Error;

/// A seed for jitter.
pub(crate) fn seed() -> Result<u64, Error> {
    getrandom::u64().map_err(|error| Error::Unreachable(format!("no randomness: {error}")))
}

/// A client id for a new logical message: a UUID of version 7, so that a store's index over them grows at
/// one end.
pub fn new_client_id() -> ClientMessageId {
    ClientMessageId(uuid::Uuid::now_v7().into_bytes())
}
