//! `im list` and `im read`: conversations and what is unread in them.

use protocol::v1::{self, ConversationKind};
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context, expect},
    failure::Failure,
    names::Directory,
    target::Resolver,
    text,
    time::{date_and_clock, local_zone},
};

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let mut client = context.client()?;
    let conversations = Resolver::new(context, &client, None)?.conversations()?;
    let mut names = Directory::open(&context.profile);
    names.learn_conversations(&conversations);
    let ids = conversations
        .iter()
        .map(|conversation| conversation.conversation_id);
    names.look_up(&mut client, [], ids)?;
    for conversation in &conversations {
        print(context, conversation, &names)?;
    }
    names.save(&context.profile);
    Ok(())
}

fn print(context: &Context, conversation: &v1::Conversation, names: &Directory) -> Result<(), Failure> {
    let name = names.conversation(conversation.conversation_id);
    let kind = conversation.kind();
    let json = || {
        json!({
            "type": "conversation",
            "conversation": name,
            "conversation_id": conversation.conversation_id.to_string(),
            "kind": kind.as_str_name().trim_start_matches("CONVERSATION_KIND_").to_lowercase(),
            "unread": conversation.unread,
            "head_seq": conversation.head_seq,
            "head_ordinal": conversation.head_ordinal,
            "read_seq": conversation.read_seq,
            "delivered_seq": conversation.delivered_seq,
            "last_at_ms": conversation.last_at_ms,
            "member": conversation.member,
            "member_count": conversation.member_count,
            "role": conversation.role().as_str_name().trim_start_matches("ROLE_").to_lowercase(),
            "disbanded": conversation.disbanded,
        })
    };
    let plain = || {
        let unread = match conversation.unread {
            0 => "     ".to_owned(),
            unread => format!("{unread:>5}"),
        };
        let state = match (kind, conversation.disbanded, conversation.member) {
            (ConversationKind::Group, true, _) => "  (ended)".to_owned(),
            (ConversationKind::Group, _, false) => "  (not a member)".to_owned(),
            (ConversationKind::Group, ..) => format!("  {} members", conversation.member_count),
            _ => String::new(),
        };
        let at = date_and_clock(conversation.last_at_ms, &local_zone());
        let unread = context.output.bold(&unread);
        format!(
            "{unread}  {at}  {}{}",
            text::line(&name),
            context.output.dim(&state)
        )
    };
    Ok(context.output.print(json, plain)?)
}

pub(crate) fn mark_read(context: &Context, target: &str) -> Result<(), Failure> {
    let client = context.client()?;
    let conversation_id = Resolver::new(context, &client, None)?.conversation(target)?;
    let found = client.ask(v1::GetConversationRequest { conversation_id }, CALL_TIMEOUT)?;
    let seq = expect::<v1::GetConversationRequest, _>(found.conversation)?.head_seq;
    if seq > 0 {
        client.ask(v1::ReadRequest { conversation_id, seq }, CALL_TIMEOUT)?;
    }
    let json = || json!({ "type": "read", "conversation_id": conversation_id.to_string(), "seq": seq });
    Ok(context.output.print(json, || format!("read up to {seq}"))?)
}
