//! Owns how other threads reach the loops. Must never block its caller.

use crate::id::LoopId;
use crate::mailbox::{Mailbox, Refused};
use std::fmt;
use std::sync::Arc;

/// Sends messages to the loops of a server, from any thread. Clones are handles to the same loops.
///
/// What one thread posts to one loop arrives in that order, whether through [`post`](Self::post) or
/// [`Permit::post`].
pub struct Remote<M> {
    mailboxes: Arc<[Arc<Mailbox<M>>]>,
}

/// Why a message was not taken; gives it back.
#[derive(Clone, Copy, Eq, PartialEq, thiserror::Error)]
pub enum PostError<M> {
    /// The mailbox of the loop is full.
    #[error("the mailbox is full")]
    Full(M),
    /// The loop has stopped, or does not exist.
    #[error("the loop has stopped")]
    Stopped(M),
}

impl<M> PostError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Stopped(message) => message,
        }
    }
}

impl<M> fmt::Debug for PostError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Stopped(_) => "Stopped",
        })
    }
}

/// Why no place was reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReserveError {
    /// All places of the loop are taken.
    #[error("all places are taken")]
    Full,
    /// The loop has stopped, or does not exist.
    #[error("the loop has stopped")]
    Stopped,
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Self {
        Self {
            mailboxes: Arc::clone(&self.mailboxes),
        }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("loops", &self.mailboxes.len())
            .finish()
    }
}

impl<M> Remote<M> {
    pub(crate) fn new(mailboxes: Vec<Arc<Mailbox<M>>>) -> Self {
        Self {
            mailboxes: mailboxes.into(),
        }
    }

    pub(crate) fn mailbox(&self, of: LoopId) -> Option<&Arc<Mailbox<M>>> {
        self.mailboxes.get(of.index())
    }

    pub(crate) fn mailboxes(&self) -> &[Arc<Mailbox<M>>] {
        &self.mailboxes
    }

    /// Posts a message to a loop, where `on_msg` gets it. Never blocks.
    ///
    /// # Errors
    /// The message: its mailbox holds as many posts as it may, or has stopped.
    pub fn post(&self, to: LoopId, message: M) -> Result<(), PostError<M>> {
        let Some(mailbox) = self.mailbox(to) else {
            return Err(PostError::Stopped(message));
        };
        mailbox.post(message).map_err(|(refused, message)| match refused {
            Refused::Full => PostError::Full(message),
            Refused::Stopped => PostError::Stopped(message),
        })
    }

    /// Reserves a place for one message, so that posting it later cannot fail for want of room. Reservations
    /// have a limit of their own, which posts do not use up. Never blocks.
    ///
    /// # Errors
    /// No place is free, or the loop has stopped.
    pub fn reserve(&self, to: LoopId) -> Result<Permit<M>, ReserveError> {
        let mailbox = self.mailbox(to).ok_or(ReserveError::Stopped)?;
        mailbox.reserve().map_err(|refused| match refused {
            Refused::Full => ReserveError::Full,
            Refused::Stopped => ReserveError::Stopped,
        })?;
        Ok(Permit {
            mailbox: Some(Arc::clone(mailbox)),
            loop_id: to,
        })
    }

    /// All loops.
    pub fn loops(&self) -> impl Iterator<Item = LoopId> + use<M> {
        (0..self.mailboxes.len()).map(|index| LoopId(index as u8))
    }

    /// How many loops there are.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.mailboxes.len()
    }
}

/// A place for one message in the mailbox of a loop. It is taken until the message has been received; dropping
/// the permit gives it back.
#[must_use = "dropping a permit gives its place back"]
pub struct Permit<M> {
    /// `None` once the place has been used.
    mailbox: Option<Arc<Mailbox<M>>>,
    loop_id: LoopId,
}

impl<M> Permit<M> {
    /// Posts the message. Never blocks and never finds the mailbox full.
    ///
    /// # Errors
    /// The message, because the loop has stopped.
    pub fn post(mut self, message: M) -> Result<(), M> {
        match self.mailbox.take() {
            Some(mailbox) => mailbox.redeem(message),
            None => Err(message),
        }
    }

    /// The loop whose place this is.
    #[must_use]
    pub const fn loop_id(&self) -> LoopId {
        self.loop_id
    }
}

impl<M> Drop for Permit<M> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.release();
        }
    }
}

impl<M> fmt::Debug for Permit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("loop_id", &self.loop_id)
            .finish_non_exhaustive()
    }
}
