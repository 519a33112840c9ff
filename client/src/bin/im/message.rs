//! A message as it is printed: what later events made of it, in JSON and in text.

use protocol::{
    v1::{self, EventKind},
    validate,
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

use crate::{
    names::Directory,
    output::Output,
    text,
    time::{date_and_clock, local_zone},
};

/// Whether people see this event as a message. Kinds of a newer server count as well: they bring a
/// fallback text.
pub(crate) fn is_message(event: &v1::Event) -> bool {
    EventKind::try_from(event.kind).map_or_else(|_| (1..32).contains(&event.kind), validate::is_displayable)
}

/// The content as it stands now: the newest edit's, where there is one.
fn content(event: &v1::Event) -> Option<&v1::Content> {
    let revised = event
        .revision
        .as_ref()
        .and_then(|revision| revision.content.as_ref());
    revised.or_else(|| event.body.as_ref()?.content.as_ref())
}

/// Columns for the conversation in front of what arrives.
const CONVERSATION_COLUMNS: usize = 16;

/// What a person reads: the text, or the fallback or the blob's name of anything else.
pub(crate) fn words(event: &v1::Event) -> String {
    let Some(content) = content(event) else {
        return String::new();
    };
    if event.kind == EventKind::Text as i32 {
        return String::from_utf8_lossy(&content.body).into_owned();
    }
    if !content.fallback.is_empty() {
        return content.fallback.clone();
    }
    match &content.blob {
        Some(blob) => format!("[{}: {}]", kind(event), blob.name),
        None => format!("[{}]", kind(event)),
    }
}

/// The kind's name in lower case, or its number where this version does not know it.
pub(crate) fn kind(event: &v1::Event) -> String {
    EventKind::try_from(event.kind).map_or_else(
        |_| format!("kind-{}", event.kind),
        |kind| {
            kind.as_str_name()
                .trim_start_matches("EVENT_KIND_")
                .to_lowercase()
        },
    )
}

/// The seq of the message this one answers; 0 for none.
pub(crate) fn reply_to(event: &v1::Event) -> u64 {
    content(event).map_or(0, |content| content.reply_to)
}

/// For scripts.
pub(crate) fn to_json(event: &v1::Event, names: &Directory) -> Value {
    let client_id = Uuid::from_slice(&event.client_msg_id).map(|id| id.to_string());
    let reactions: Vec<Value> = event
        .reactions
        .iter()
        .map(|state| json!({ "user": names.user(state.user_id), "user_id": state.user_id, "reaction": state.reaction }))
        .collect();
    json!({
        "type": "message",
        "conversation": names.conversation(event.conversation_id),
        "conversation_id": event.conversation_id.to_string(),
        "seq": event.seq,
        "ordinal": event.ordinal,
        "sender": names.user(event.sender_id),
        "sender_id": event.sender_id,
        "kind": kind(event),
        "text": words(event),
        "at_ms": event.sent_at_ms,
        "client_id": client_id.ok(),
        "reply_to": reply_to(event),
        "edited": event.revision.is_some(),
        "recalled": event.recalled,
        "expired": event.expired,
        "reactions": reactions,
    })
}

/// For people, as it arrives.
pub(crate) fn to_line(event: &v1::Event, names: &Directory, output: Output) -> String {
    let conversation = names.conversation(event.conversation_id);
    format!(
        "{}  {}  {}",
        date_and_clock(event.sent_at_ms, &local_zone()),
        pad(&text::line(&conversation), CONVERSATION_COLUMNS),
        said(event, names, output)
    )
}

/// For people, in a history.
pub(crate) fn to_history_line(event: &v1::Event, names: &Directory, output: Output) -> String {
    let seq = output.dim(&format!("{:>6}", event.seq));
    format!(
        "{seq}  {}  {}",
        date_and_clock(event.sent_at_ms, &local_zone()),
        said(event, names, output)
    )
}

/// Everything behind the text stands behind two spaces: no text has two side by side.
fn said(event: &v1::Event, names: &Directory, output: Output) -> String {
    let sender = output.bold(&text::line(&names.user(event.sender_id)));
    let mut line = format!("{sender}: ");
    if event.recalled {
        line.push_str(&output.dim(" (taken back)"));
    } else if event.expired {
        line.push_str(&output.dim(" (expired)"));
    } else {
        line.push_str(&text::line(&words(event)));
    }
    if reply_to(event) != 0 {
        line.push_str(&output.dim(&format!("  (to {})", reply_to(event))));
    }
    if event.revision.is_some() && !event.recalled {
        line.push_str(&output.dim("  (edited)"));
    }
    for state in &event.reactions {
        let reaction = format!(
            "  [{} {}]",
            text::line(&state.reaction),
            text::line(&names.user(state.user_id))
        );
        line.push_str(&output.dim(&reaction));
    }
    line
}

/// Filled with spaces to a number of columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// What happened to a group or between two people, in a sentence; `None` for anything else.
pub(crate) fn notice(event: &v1::Event, names: &Directory) -> Option<String> {
    let actor = names.user(event.sender_id);
    let change = event
        .body
        .as_ref()
        .and_then(|body| body.group.clone())
        .unwrap_or_default();
    let about: Vec<String> = change.user_ids.iter().map(|id| names.user(*id)).collect();
    let about = about.join(", ");
    Some(match EventKind::try_from(event.kind).ok()? {
        EventKind::GroupCreated => format!("{actor} created {}", change.name),
        EventKind::MembersAdded => format!("{actor} added {about}"),
        EventKind::MemberRemoved => format!("{actor} removed {about}"),
        EventKind::MemberLeft => format!("{actor} left"),
        EventKind::RoleChanged => {
            let role = change
                .role()
                .as_str_name()
                .trim_start_matches("ROLE_")
                .to_lowercase();
            format!("{actor} made {about} {role}")
        }
        EventKind::GroupRenamed => format!("{actor} renamed the group to {}", change.name),
        EventKind::GroupDisbanded => format!("{actor} ended the group"),
        EventKind::BecameFriends => "you are friends now".to_owned(),
        EventKind::Unspecified
        | EventKind::Text
        | EventKind::Image
        | EventKind::Voice
        | EventKind::Video
        | EventKind::File
        | EventKind::Location
        | EventKind::Card
        | EventKind::Custom
        | EventKind::Edit
        | EventKind::Recall
        | EventKind::Reaction
        | EventKind::EntrySet
        | EventKind::EntryRemoved => return None,
    })
}

/// Everyone whose name a line about this event needs.
pub(crate) fn people(event: &v1::Event) -> Vec<u64> {
    // 0 is the server.
    let mut people: Vec<u64> = std::iter::once(event.sender_id).filter(|id| *id != 0).collect();
    people.extend(event.reactions.iter().map(|state| state.user_id));
    if let Some(change) = event.body.as_ref().and_then(|body| body.group.as_ref()) {
        people.extend(&change.user_ids);
    }
    people
}
