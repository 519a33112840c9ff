//! Who may see how present somebody is: the one place where that is decided.

use storage::{Event, ReadError, Reader, UserId};

/// Decides who may see whom.
pub(crate) trait Rights: Send + Sync {
    /// Whether a user may see how present each of these is, in their order.
    ///
    /// # Errors
    /// The store did not answer.
    fn may_see(
        &self,
        reader: &mut dyn Reader,
        watcher: UserId,
        targets: &[UserId],
    ) -> Result<Vec<bool>, ReadError>;

    /// The user with whom this committed event may change the answer; `None` if it changes nothing. Called for every
    /// event on the way to its receivers, so it must look at the event alone.
    fn changed_by(&self, event: &Event) -> Option<UserId>;
}

/// Everybody sees their own devices, and nobody else's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnDevices;

impl Rights for OwnDevices {
    fn may_see(
        &self,
        _: &mut dyn Reader,
        watcher: UserId,
        targets: &[UserId],
    ) -> Result<Vec<bool>, ReadError> {
        Ok(targets.iter().map(|target| *target == watcher).collect())
    }

    fn changed_by(&self, _: &Event) -> Option<UserId> {
        None
    }
}
