//! Who asks. A bottom module: it uses no other.

use storage::{SessionId, UserId};

/// Who a connection or a request is, once authenticated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Principal {
    /// The user.
    pub user: UserId,
    /// Their session on this device.
    pub session: SessionId,
}
