//! What is handed to the lane: a write, and what to do once it is durable.

use protocol::{Command, v1::Device};
use storage::{SessionId, User, UserId, Write};

use crate::{reply::ReplyTo, token::SessionToken};

/// A write and its continuation.
#[derive(Debug)]
pub struct Job {
    /// What to commit.
    pub write: Write,
    /// What then.
    pub then: Then,
}

/// What happens after a commit.
#[derive(Debug)]
pub enum Then {
    /// An event was appended: acknowledge under this command.
    Sent(Command, ReplyTo),
    /// A profile was changed: answer with it.
    Profile(ReplyTo),
    /// An account was made: log its first device in.
    Registered(Box<NewLogin>),
    /// A session was made: tell the device its token.
    LoggedIn(Box<NewSessionMade>),
    /// The user's session that asks ended.
    LoggedOut(ReplyTo),
    /// The user's other sessions ended.
    OthersLoggedOut(UserId, ReplyTo),
    /// Nobody waits.
    Nothing,
}

impl Then {
    /// Nobody waits any more for what was not begun.
    pub fn forget(self) {
        match self {
            Self::Sent(_, reply)
            | Self::Profile(reply)
            | Self::LoggedOut(reply)
            | Self::OthersLoggedOut(_, reply) => reply.forget(),
            Self::Registered(login) => login.reply.forget(),
            Self::LoggedIn(made) => made.reply.forget(),
            Self::Nothing => {}
        }
    }
}

/// A device that logs in.
#[derive(Debug)]
pub struct NewLogin {
    /// Whom to answer.
    pub reply: ReplyTo,
    /// What it said of itself.
    pub device: Device,
}

/// A session that is being made.
#[derive(Debug)]
pub struct NewSessionMade {
    /// Whom to answer.
    pub reply: ReplyTo,
    /// Whose it is.
    pub user: User,
    /// Its id.
    pub session: SessionId,
    /// What the device will resume it with.
    pub token: SessionToken,
}
