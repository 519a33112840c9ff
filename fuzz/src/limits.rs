//! The limits of requests, told a second time and as plainly as can be, to check the first.

use protocol::{
    ConversationClass, ConversationId, Request, USER_ID_MAX,
    v1::{Content, EventKind, SendRequest},
    validate::{Limits, *},
};

/// Whether a request keeps every limit that the protocol document names.
pub(crate) fn respects(request: &Request, limits: &Limits) -> bool {
    match request {
        Request::Hello(it) => {
            let device = it.device.clone().unwrap_or_default();
            it.magic == protocol::MAGIC
                && (1..=it.version_max).contains(&it.version_min)
                && (1..=DEVICE_ID_CHARS_MAX).contains(&device.device_id.len())
                && device.device_id.is_ascii()
                && (device.name.is_empty() || title(&device.name))
                && it.client.len() <= REFERENCE_BYTES_MAX
                && it.session_token.len() <= TOKEN_BYTES_MAX
        }
        Request::Ping(_) | Request::Logout(_) | Request::LogoutOthers(_) | Request::ListDevices(_) => true,
        Request::Register(it) => {
            let chars = it.password.chars().count();
            name(&it.name)
                && (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars)
                && it.password.len() <= PASSWORD_BYTES_MAX
                && (it.display_name.is_empty() || title(&it.display_name))
        }
        Request::Login(it) => name(&it.name) && it.password.len() <= PASSWORD_BYTES_MAX,
        Request::GetUsers(it) => users(&it.user_ids, 1, PROFILES_MAX),
        Request::FindUser(it) => name(&it.name),
        Request::SearchUsers(it) => {
            !it.query.is_empty() && it.query.chars().count() <= QUERY_CHARS_MAX && it.limit > 0
        }
        Request::UpdateProfile(it) => {
            it.display_name.as_ref().is_none_or(|text| title(text))
                && it
                    .avatar
                    .as_ref()
                    .is_none_or(|text| plain(text, REFERENCE_BYTES_MAX))
                && it
                    .status
                    .as_ref()
                    .is_none_or(|text| plain(text, STATUS_BYTES_MAX))
        }
        Request::Send(it) => send(it, limits),
        Request::History(it) => {
            conversation(it.conversation_id)
                && it.limit > 0
                && signed(it.from_seq)
                && (0..2).contains(&it.direction)
        }
        Request::Sync(it) => it.limit > 0 && it.token.len() <= TOKEN_BYTES_MAX,
        Request::ListConversations(it) => it.limit > 0 && it.before.len() <= TOKEN_BYTES_MAX,
        Request::GetConversation(it) => conversation(it.conversation_id),
        Request::GetConversations(it) => {
            let ids = &it.conversation_ids;
            (1..=CONVERSATIONS_MAX).contains(&ids.len()) && ids.iter().all(|id| conversation(*id))
        }
        Request::SetEntry(it) => it.client_msg_id.len() == 16 && entry(&it.key, &it.value),
        Request::RemoveEntry(it) => it.client_msg_id.len() == 16 && entry(&it.key, b""),
        Request::ListEntries(it) => {
            it.prefix.len() <= ENTRY_KEY_BYTES_MAX && it.after.len() <= ENTRY_KEY_BYTES_MAX && it.limit > 0
        }
        Request::RequestFriend(it) => {
            it.client_msg_id.len() == 16 && user(it.user_id) && words(&it.greeting, GREETING_CHARS_MAX)
        }
        Request::AnswerFriend(it) => it.client_msg_id.len() == 16 && user(it.user_id),
        Request::WithdrawFriend(it) => it.client_msg_id.len() == 16 && user(it.user_id),
        Request::RemoveFriend(it) => it.client_msg_id.len() == 16 && user(it.user_id),
        Request::UpdateFriend(it) => {
            it.client_msg_id.len() == 16
                && user(it.user_id)
                && words(&it.remark, TITLE_CHARS_MAX)
                && it.tags.len() <= FRIEND_TAGS_MAX
                && it.tags.iter().all(|tag| words(tag, TITLE_CHARS_MAX))
        }
        Request::BlockUser(it) => it.client_msg_id.len() == 16 && user(it.user_id),
        Request::UnblockUser(it) => it.client_msg_id.len() == 16 && user(it.user_id),
        Request::ListFriends(it) => it.after_user_id <= USER_ID_MAX && it.limit > 0,
        Request::ListBlocked(it) => it.after_user_id <= USER_ID_MAX && it.limit > 0,
        Request::Delivered(it) => {
            (1..=REPEATED_MAX).contains(&it.up_to.len())
                && it
                    .up_to
                    .iter()
                    .all(|head| conversation(head.conversation_id) && seq(head.seq))
        }
        Request::Read(it) => conversation(it.conversation_id) && seq(it.seq),
        Request::CreateGroup(it) => {
            it.client_msg_id.len() == 16 && title(&it.name) && users(&it.user_ids, 0, REPEATED_MAX)
        }
        Request::AddMembers(it) => {
            group(it.conversation_id, &it.client_msg_id) && users(&it.user_ids, 1, REPEATED_MAX)
        }
        Request::RemoveMember(it) => group(it.conversation_id, &it.client_msg_id) && user(it.user_id),
        Request::LeaveGroup(it) => group(it.conversation_id, &it.client_msg_id),
        Request::SetRole(it) => {
            group(it.conversation_id, &it.client_msg_id) && user(it.user_id) && (1..=3).contains(&it.role)
        }
        Request::RenameGroup(it) => group(it.conversation_id, &it.client_msg_id) && title(&it.name),
        Request::DisbandGroup(it) => group(it.conversation_id, &it.client_msg_id),
        Request::ListMembers(it) => conversation(it.conversation_id) && it.limit > 0,
        Request::Typing(it) => conversation(it.conversation_id),
        Request::WatchPresence(it) => users(&it.user_ids, 0, PRESENCES_MAX),
        Request::SetAway(_) => true,
    }
}

/// Words that are shown.
fn words(text: &str, most: usize) -> bool {
    text.chars().count() <= most && plain(text, most * 4)
}

/// An entry that a client may set: key by key.
fn entry(key: &str, value: &[u8]) -> bool {
    let said = String::from_utf8_lossy(value);
    let of_a_conversation = |attribute: &str| {
        key.strip_prefix("conversation/")
            .and_then(|rest| rest.strip_suffix(attribute))
            .and_then(|id| id.strip_suffix('/'))
            .and_then(|id| Some((id, id.parse::<u64>().ok()?)))
            .is_some_and(|(text, id)| id.to_string() == text && conversation(id))
    };
    let known = match key {
        "setting/message_me" => ["", "everyone", "friends"].contains(&&*said),
        "setting/add_to_groups" => ["", "everyone", "friends", "nobody"].contains(&&*said),
        "setting/find_by_mail" | "setting/find_by_phone" => ["", "everyone", "nobody"].contains(&&*said),
        "setting/presence" => ["", "friends", "nobody"].contains(&&*said),
        "setting/receipts" => ["", "on", "off"].contains(&&*said),
        "profile/mail" => {
            let mut parts = said.split('@');
            let halves = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let visible = value.iter().all(|byte| (0x21..=0x7E).contains(byte));
            said.is_empty()
                || (visible
                    && said.len() <= 254
                    && !halves.0.is_empty()
                    && !halves.1.is_empty()
                    && parts.next().is_none())
        }
        "profile/phone" => {
            said.is_empty()
                || ((8..=16).contains(&said.len())
                    && said.starts_with('+')
                    && (b'1'..=b'9').contains(&value[1])
                    && value[1..].iter().all(u8::is_ascii_digit))
        }
        _ => {
            let attributes = [
                "pinned", "muted", "archived", "unread", "draft", "cleared", "tags", "hidden",
            ];
            (key.starts_with("app/") && key.len() > 4)
                || attributes.iter().any(|attribute| of_a_conversation(attribute))
        }
    };
    let most = if of_a_conversation("draft") { 8_192 } else { 4_096 };
    known && key.len() <= 64 && key.bytes().all(|byte| (0x21..=0x7E).contains(&byte)) && value.len() <= most
}

fn send(it: &SendRequest, limits: &Limits) -> bool {
    let kind = it.kind();
    let message = (1..=8).contains(&it.kind);
    let about_another = (32..=34).contains(&it.kind);
    let has_content = message || kind == EventKind::Edit;
    let most = if kind == EventKind::Text {
        limits.text_bytes_max
    } else {
        limits.body_bytes_max
    };
    conversation(it.conversation_id)
        && it.client_msg_id.len() == 16
        && (message || about_another)
        && if about_another {
            seq(it.target_seq)
        } else {
            it.target_seq == 0
        }
        && it.content.is_some() == has_content
        && it.content.as_ref().is_none_or(|it| content(it, most))
        && (kind != EventKind::Edit
            || it
                .content
                .as_ref()
                .is_some_and(|it| (it.reply_to, it.expires_at_ms) == (0, 0)))
        && (kind == EventKind::Reaction || it.reaction.is_empty())
        && plain(&it.reaction, REACTION_BYTES_MAX)
        && (0..=if message { 2 } else { 1 }).contains(&it.quality)
        && ((2..=5).contains(&it.kind) <= it.content.as_ref().is_some_and(|it| it.blob.is_some()))
}

fn content(it: &Content, body_bytes_max: usize) -> bool {
    it.body.len() <= body_bytes_max
        && plain(&it.content_type, REFERENCE_BYTES_MAX)
        && it.fallback.len() <= FALLBACK_BYTES_MAX
        && users(&it.mentions, 0, MENTIONS_MAX)
        && signed(it.reply_to)
        && signed(it.expires_at_ms)
        && (0..=2).contains(&it.priority)
        && it.blob.as_ref().is_none_or(|blob| {
            !blob.blob_id.is_empty()
                && plain(&blob.blob_id, REFERENCE_BYTES_MAX)
                && plain(&blob.content_type, REFERENCE_BYTES_MAX)
                && plain(&blob.name, REFERENCE_BYTES_MAX)
        })
}

fn name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !text.starts_with(['.', '_', '-'])
}

fn title(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= TITLE_CHARS_MAX && plain(text, usize::MAX)
}

fn plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(|c: char| c < ' ' || c == '\u{7F}' || c == '\u{202E}')
}

fn users(ids: &[u64], least: usize, most: usize) -> bool {
    (least..=most).contains(&ids.len()) && ids.iter().all(|id| user(*id))
}

fn user(id: u64) -> bool {
    (1..=USER_ID_MAX).contains(&id)
}

const fn signed(number: u64) -> bool {
    number <= i64::MAX as u64
}

const fn seq(number: u64) -> bool {
    number > 0 && signed(number)
}

fn conversation(id: u64) -> bool {
    match id >> 61 {
        0 => user(id),
        1 => true,
        2 | 3 => {
            let (low, high) = (id >> 31 & USER_ID_MAX, id & USER_ID_MAX);
            low > 0 && low < high
        }
        _ => false,
    }
}

fn group(id: u64, client_id: &[u8]) -> bool {
    let class = ConversationId::parse(id).map(ConversationId::class);
    class == Some(ConversationClass::Group) && conversation(id) && client_id.len() == 16
}
