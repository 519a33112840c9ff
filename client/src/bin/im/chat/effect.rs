//! What the state of the chat wants done, and what comes of it: the two things that pass between it and the threads that
//! wait for the server.

use protocol::v1;

/// What the state wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Events before this seq; 0: the newest.
    LoadHistory {
        conversation: u64,
        before: u64,
    },
    /// What the server knows about it: name, counts, how far its members are.
    LoadConversation {
        conversation: u64,
    },
    LoadNames(Vec<u64>),
    Send(Box<v1::SendRequest>),
    MarkRead {
        conversation: u64,
        seq: u64,
    },
    Typing {
        conversation: u64,
    },
    /// Whom this connection watches from now on.
    Watch(Vec<u64>),
    /// Whether nobody is at this terminal.
    SetAway(bool),
    /// Open the conversation with this user, and say this there.
    FindUser {
        name: String,
        text: String,
    },
    CreateGroup {
        name: String,
        members: Vec<String>,
    },
    AddMembers {
        conversation: u64,
        members: Vec<String>,
    },
    Leave {
        conversation: u64,
    },
    /// Draw all of it again.
    Redraw,
    Stop,
    Quit,
}

/// What an effect brought.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Conversations(Vec<v1::Conversation>),
    Conversation {
        conversation: Box<v1::Conversation>,
        cursors: Vec<v1::Cursor>,
    },
    Page {
        conversation: u64,
        page: v1::Page,
    },
    PageFailed {
        conversation: u64,
        reason: String,
    },
    Users(Vec<v1::User>),
    Presences(Vec<v1::Presence>),
    Found {
        user: v1::User,
        text: String,
    },
    NamesFailed,
    /// The server was not told.
    NotRead {
        conversation: u64,
    },
    Opened {
        conversation: u64,
        name: String,
    },
    Sent {
        request: Box<v1::SendRequest>,
        sent: v1::SendResponse,
    },
    NotSent {
        request: Box<v1::SendRequest>,
        reason: String,
    },
    Note(String),
}
