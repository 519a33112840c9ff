//! How a request becomes an event that is to be appended.

use bytes::Bytes;
use protocol::{AppendCommand, Call, ClientMessageId, Refusal, v1::SendResponse, validate::Limits};
use storage::{Action, Append, ClientId, ConversationId, Timestamp};

use super::work::Work;
use crate::{principal::Principal, token};

/// What planning needs beside the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planning<'a> {
    /// The time.
    pub at: Timestamp,
    /// What requests must look like.
    pub limits: &'a Limits,
}

impl Planning<'_> {
    /// The append of a request whose canonical bytes are these: two requests that mean the same have the same.
    pub(super) fn append(
        &self,
        command: AppendCommand,
        who: Principal,
        conversation: u64,
        client_id: &Bytes,
        canonical: &[u8],
        action: Action,
    ) -> Result<Append, Refusal> {
        let client_id = ClientMessageId::parse(client_id)
            .ok_or_else(|| Refusal::invalid("client_msg_id", "must have 16 bytes"))?;
        let client_id = ClientId(client_id.0);
        let conversation = if let Action::CreateGroup { .. } = &action {
            token::group_id(who.user, client_id)
        } else {
            ConversationId(conversation)
        };
        Ok(Append {
            conversation,
            sender: who.user,
            client_id,
            fingerprint: token::fingerprint(command.command().number(), canonical),
            at: self.at,
            action,
        })
    }

    /// The same as work, for a request of type `C`.
    pub(super) fn work<C: Call<Response = SendResponse>>(
        &self,
        who: Principal,
        conversation: u64,
        client_id: &Bytes,
        canonical: &[u8],
        action: Action,
    ) -> Result<Work, Refusal> {
        let command = AppendCommand::of::<C>();
        let append = self.append(command, who, conversation, client_id, canonical, action)?;
        Ok(Work::Append(command, append))
    }
}
