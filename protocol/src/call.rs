//! Which response answers which request, in types.

use crate::{
    command::Command,
    message::{Reply, Request},
    v1,
};

/// A request's message: which command it is of, and which message answers it.
///
/// Implemented by the message of every request of the table, and by nothing else.
pub trait Call: Sized {
    /// What answers it.
    type Response: Clone + std::fmt::Debug + PartialEq;

    /// The command.
    const COMMAND: Command;

    /// The request, to be sent.
    fn into_request(self) -> Request;

    /// The reply with this response, to be sent.
    fn reply(response: Self::Response) -> Reply;

    /// The response in a reply.
    ///
    /// # Errors
    /// The reply is of another command; it is given back.
    fn response(reply: Reply) -> Result<Self::Response, Box<Reply>>;
}

/// A command that appends an event: whichever it is, a [`v1::SendResponse`] answers it.
#[derive(Clone, Copy)]
pub struct AppendCommand {
    command: Command,
    reply: fn(v1::SendResponse) -> Reply,
}

impl AppendCommand {
    /// The command of a request.
    pub const fn of<C: Call<Response = v1::SendResponse>>() -> Self {
        Self {
            command: C::COMMAND,
            reply: C::reply,
        }
    }

    /// Which it is.
    pub const fn command(self) -> Command {
        self.command
    }

    /// The reply that says what was appended.
    pub fn reply(self, response: v1::SendResponse) -> Reply {
        (self.reply)(response)
    }
}

impl From<AppendCommand> for Command {
    fn from(append: AppendCommand) -> Self {
        append.command
    }
}

impl std::fmt::Debug for AppendCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl Eq for AppendCommand {}

impl PartialEq for AppendCommand {
    fn eq(&self, other: &Self) -> bool {
        self.command == other.command
    }
}
