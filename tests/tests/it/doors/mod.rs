//! HTTP calls, streams of events and WebSockets, as clients of theirs see them. What a command does is tested
//! elsewhere: here it is that it does the same through each door.

mod calls;
mod clients;
mod commands;
mod ends;
mod files;
mod fronts;
mod guard;
mod hostile;
mod http11;
mod kept;
mod limits;
mod resume;
mod sockets;
mod streams;
mod tokens;

use std::net::SocketAddr;

use protocol::{direct_conversation, v1};
use tests::harness::{Web, text};

/// The conversation of two users.
fn direct(one: u64, other: u64) -> u64 {
    direct_conversation(one, other).unwrap().get()
}

/// Sends a text by a call on a connection of its own.
#[track_caller]
fn sent(address: SocketAddr, token: &str, conversation: u64, body: &str) -> v1::SendResponse {
    Web::to(address).granted(token, text(conversation, body))
}

/// The request for a page of history from the beginning.
fn history(conversation_id: u64) -> v1::HistoryRequest {
    v1::HistoryRequest {
        conversation_id,
        from_seq: 1,
        limit: 100,
        ..v1::HistoryRequest::default()
    }
}
