//! Between the store's nouns and the protocol's.

use bytes::Bytes;
use prost::Message;
use protocol::{
    RawEvent, RawPage, Refusal,
    v1::{self, ErrorCode},
};
use storage::{
    ConversationKind, ConversationView, CursorView, DeviceClass, EntryName, Event, EventPage, EventView,
    GroupChange, GroupSetting, MemberView, Refused, Role, Timestamp, User,
};

/// A message and its newest edit go into one page together up to this size; clients take frames of 1 MiB.
const BODY_AND_REVISION_MAX: usize = 512 * 1024;

/// Bytes of the events of a page in protobuf. JSON takes up to five times as much, and a frame 1 MiB.
pub(crate) const PAGE_ENCODED_MAX: usize = 192 * 1024;

/// A profile.
pub(crate) fn user(user: &User) -> v1::User {
    v1::User {
        user_id: user.id.0,
        name: user.name.clone(),
        display_name: user.display_name.clone(),
        avatar: user.avatar.clone(),
        status: user.status.clone(),
        version: user.version,
        created_at_ms: user.created_at.0,
    }
}

/// A device's class.
pub(crate) const fn device_class(class: v1::DeviceClass) -> DeviceClass {
    match class {
        v1::DeviceClass::Unspecified => DeviceClass::Other,
        v1::DeviceClass::Mobile => DeviceClass::Mobile,
        v1::DeviceClass::Desktop => DeviceClass::Desktop,
        v1::DeviceClass::Web => DeviceClass::Web,
        v1::DeviceClass::Script => DeviceClass::Script,
    }
}

/// And back.
pub(crate) const fn wire_device_class(class: DeviceClass) -> v1::DeviceClass {
    match class {
        DeviceClass::Other => v1::DeviceClass::Unspecified,
        DeviceClass::Mobile => v1::DeviceClass::Mobile,
        DeviceClass::Desktop => v1::DeviceClass::Desktop,
        DeviceClass::Web => v1::DeviceClass::Web,
        DeviceClass::Script => v1::DeviceClass::Script,
    }
}

/// A role; `Unspecified` is none.
pub(crate) const fn role(role: v1::Role) -> Option<Role> {
    match role {
        v1::Role::Unspecified => None,
        v1::Role::Member => Some(Role::Member),
        v1::Role::Admin => Some(Role::Admin),
        v1::Role::Owner => Some(Role::Owner),
    }
}

/// And back.
pub(crate) const fn wire_role(role: Role) -> v1::Role {
    match role {
        Role::Member => v1::Role::Member,
        Role::Admin => v1::Role::Admin,
        Role::Owner => v1::Role::Owner,
    }
}

/// An event as it is pushed.
pub(crate) fn raw_event(event: &Event, now: Timestamp) -> RawEvent {
    // What expired and was erased stays so, whatever the clock does.
    let expired =
        event.has_expired(now) || (event.expires_at.0 != 0 && event.body.is_empty() && !event.recalled);
    let body = match &event.change {
        Some(change) => Some(group_body(change)),
        None if event.entry.is_some() => event.entry.as_deref().map(|name| entry_body(name, event)),
        None if expired || event.body.is_empty() => None,
        None => Some(event.body.clone()),
    };
    RawEvent {
        conversation_id: event.conversation.0,
        seq: event.seq.0,
        ordinal: event.ordinal,
        roster: event.roster.0,
        sender_id: event.sender.0,
        sent_at_ms: event.at.0,
        kind: i32::from(event.kind.number()),
        target_seq: event.target.0,
        client_msg_id: event.client_id.0.to_vec(),
        body,
        recalled: event.recalled,
        expired,
        revision: None,
        reactions: Vec::new(),
        reactions_total: 0,
    }
}

/// The key is not in the body that is stored: it is needed when that is erased.
fn entry_body(name: &EntryName, event: &Event) -> Bytes {
    let body = v1::EventBody {
        entry: Some(v1::Entry {
            key: name.key.clone(),
            value: event.body.clone(),
        }),
        ..v1::EventBody::default()
    };
    body.encode_to_vec().into()
}

fn group_body(change: &GroupChange) -> Bytes {
    let body = v1::EventBody {
        content: None,
        group: Some(v1::GroupChange {
            user_ids: change.users.iter().map(|user| user.0).collect(),
            role: change.role.map_or(v1::Role::Unspecified, wire_role).into(),
            name: change.settings.get(GroupSetting::Name).to_owned(),
        }),
        reaction: String::new(),
        entry: None,
    };
    body.encode_to_vec().into()
}

fn event_view(view: &EventView, now: Timestamp) -> RawEvent {
    let mut raw = raw_event(&view.event, now);
    if !raw.expired {
        raw.revision = view.revision.as_ref().map(|revision| v1::Revision {
            seq: revision.seq.0,
            // This server wrote it. If it is damaged, the seq still says that there is an edit to pull.
            content: v1::EventBody::decode(revision.body.clone())
                .ok()
                .and_then(|body| body.content),
        });
    }
    let both = raw.body.as_ref().map_or(0, Bytes::len)
        + raw.revision.as_ref().map_or(0, |revision| revision.encoded_len());
    if raw.revision.is_some() && both > BODY_AND_REVISION_MAX {
        // The newest edit is what counts.
        raw.body = None;
    }
    raw.reactions = view
        .reactions
        .iter()
        .map(|reaction| v1::ReactionState {
            user_id: reaction.user.0,
            reaction: reaction.reaction.clone(),
            seq: reaction.seq.0,
        })
        .collect();
    raw.reactions_total = view.reactions_total;
    raw
}

/// A page of history.
pub(crate) fn page(page: &EventPage, conversation_id: u64, epoch: u64, now: Timestamp) -> RawPage {
    RawPage {
        conversation_id,
        epoch,
        from_seq: page.from.0,
        to_seq: page.to.0,
        events: page.events.iter().map(|view| event_view(view, now)).collect(),
        head_seq: page.head.0,
    }
}

/// Cuts a page to what every client takes in one frame, in either encoding: what is left out lies at the end
/// that the next page begins with. The event that a page begins with stays, whatever its size.
pub(crate) fn fit(page: &mut RawPage, forward: bool) {
    let mut bytes = 0;
    let mut fits = |event: &RawEvent| {
        bytes += event.encoded_len();
        bytes <= PAGE_ENCODED_MAX
    };
    let kept = if forward {
        page.events.iter().take_while(|event| fits(event)).count()
    } else {
        page.events.iter().rev().take_while(|event| fits(event)).count()
    };
    let kept = kept.max(1);
    if kept >= page.events.len() {
        return;
    }
    if forward {
        page.events.truncate(kept);
        page.to_seq = page.events.last().map_or(page.to_seq, |event| event.seq);
    } else {
        page.events.drain(..page.events.len() - kept);
        page.from_seq = page.events.first().map_or(page.from_seq, |event| event.seq);
    }
}

/// A conversation as one user sees it.
pub(crate) fn conversation(view: &ConversationView) -> v1::Conversation {
    v1::Conversation {
        conversation_id: view.id.0,
        kind: match view.kind {
            ConversationKind::Own => v1::ConversationKind::Own,
            ConversationKind::Direct => v1::ConversationKind::Direct,
            ConversationKind::Group => v1::ConversationKind::Group,
        }
        .into(),
        head_seq: view.head.0,
        head_ordinal: view.head_ordinal,
        last_at_ms: view.last_at.0,
        name: view.settings.get(GroupSetting::Name).to_owned(),
        role: view.role.map_or(v1::Role::Unspecified, wire_role).into(),
        // Of two people or one it says nothing.
        member_count: if view.kind == ConversationKind::Group {
            view.member_count
        } else {
            0
        },
        disbanded: view.disbanded,
        closed: view.closed,
        member: view.member,
        peer_id: view.peer.map_or(0, |peer| peer.0),
        first_seq: view.first.0,
        delivered_seq: view.delivered.0,
        read_seq: view.read.0,
        unread: view.unread,
        roster: view.roster.0,
        joined_ordinal: view.joined_ordinal,
    }
}

/// The answer to the request that made an event.
pub(crate) fn sent(event: &Event, duplicate: bool, epoch: u64) -> v1::SendResponse {
    v1::SendResponse {
        conversation_id: event.conversation.0,
        epoch,
        seq: event.seq.0,
        ordinal: event.ordinal,
        sent_at_ms: event.at.0,
        duplicate,
        roster: event.roster.0,
    }
}

/// A member's cursor.
pub(crate) const fn cursor(view: &CursorView) -> v1::Cursor {
    v1::Cursor {
        conversation_id: view.conversation.0,
        user_id: view.user.0,
        delivered_seq: view.delivered.0,
        read_seq: view.read.0,
    }
}

/// A member.
pub(crate) fn member(view: &MemberView) -> v1::Member {
    v1::Member {
        user_id: view.user.id.0,
        name: view.user.name.clone(),
        display_name: view.user.display_name.clone(),
        role: wire_role(view.role).into(),
        joined_seq: view.joined.0,
        delivered_seq: view.delivered.0,
        read_seq: view.read.0,
    }
}

/// A rule of the store that a request broke. The client id was looked up before, so it is definite; but where the
/// conversation was busy nothing was looked up, and the request is to be tried again.
pub(crate) fn refused(refused: Refused) -> Refusal {
    let code = match refused {
        Refused::Unfit => return Refusal::invalid("content", refused.to_string()),
        Refused::NotFound => ErrorCode::NotFound,
        Refused::Forbidden => ErrorCode::Forbidden,
        Refused::Conflict | Refused::NothingToDo => ErrorCode::Conflict,
        Refused::Gone => ErrorCode::Gone,
        Refused::LimitReached => ErrorCode::LimitReached,
        Refused::NameTaken => ErrorCode::NameTaken,
        Refused::Busy => ErrorCode::Unavailable,
    };
    Refusal::new(code, refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_reads_every_kind_that_the_protocol_has() {
        for number in 1..=u8::MAX {
            if v1::EventKind::try_from(i32::from(number)).is_ok() {
                assert!(storage::EventKind::from_number(number).is_some(), "{number}");
            }
        }
    }

    fn page(events: u64, bytes: usize) -> RawPage {
        let event = |seq| RawEvent {
            seq,
            body: Some(vec![0; bytes].into()),
            ..RawEvent::default()
        };
        RawPage {
            from_seq: 1,
            to_seq: events,
            events: (1..=events).map(event).collect(),
            ..RawPage::default()
        }
    }

    #[test]
    fn a_page_is_cut_at_the_end_where_the_next_one_begins() {
        let mut forward = page(10, 50_000);
        fit(&mut forward, true);
        assert_eq!(
            (forward.from_seq, forward.to_seq, forward.events.len()),
            (1, 3, 3)
        );
        let mut backward = page(10, 50_000);
        fit(&mut backward, false);
        assert_eq!(
            (backward.from_seq, backward.to_seq, backward.events.len()),
            (8, 10, 3)
        );
    }

    #[test]
    fn a_page_that_fits_stays_and_so_does_one_large_event() {
        let mut small = page(10, 100);
        fit(&mut small, true);
        assert_eq!((small.to_seq, small.events.len()), (10, 10));
        let mut large = page(2, 500_000);
        fit(&mut large, true);
        assert_eq!((large.to_seq, large.events.len()), (1, 1));
    }
}
