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
    // A field that is added does not compile before it is shown here, or left out on purpose.
    let v1::Conversation {
        conversation_id,
        kind: _,
        head_seq,
        head_ordinal,
        last_at_ms,
        name: _,
        role: _,
        member_count,
        disbanded,
        member,
        peer_id: _,
        first_seq: _,
        delivered_seq,
        read_seq,
        unread,
        roster: _,
        joined_ordinal: _,
        closed,
    } = conversation;
    let (kind, role) = (conversation.kind(), conversation.role());
    let name = names.conversation(*conversation_id);
    let json = || {
        json!({
            "type": "conversation",
            "conversation": name,
            "conversation_id": conversation_id.to_string(),
            "kind": kind.as_str_name().trim_start_matches("CONVERSATION_KIND_").to_lowercase(),
            "unread": unread,
            "head_seq": head_seq,
            "head_ordinal": head_ordinal,
            "read_seq": read_seq,
            "delivered_seq": delivered_seq,
            "last_at_ms": last_at_ms,
            "member": member,
            "member_count": member_count,
            "role": role.as_str_name().trim_start_matches("ROLE_").to_lowercase(),
            "disbanded": disbanded,
            "closed": closed,
        })
    };
    let plain = || {
        let unread = match *unread {
            0 => "     ".to_owned(),
            unread => format!("{unread:>5}"),
        };
        let state = match (kind, *disbanded, *member) {
            (ConversationKind::Group, true, _) => "  (ended)".to_owned(),
            (ConversationKind::Group, _, false) => "  (not a member)".to_owned(),
            (ConversationKind::Group, ..) => format!("  {} members", member_count),
            _ if *closed => "  (closed)".to_owned(),
            _ => String::new(),
        };
        let at = date_and_clock(*last_at_ms, &local_zone());
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
