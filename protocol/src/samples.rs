//! One value of every message with every field set, for tests and fuzzers. It owns no rule: the requests here are
//! valid, the replies and pushes merely full. It must never be used by product code.

use bytes::Bytes;

use crate::{
    MAGIC, Push, Refusal, Reply, Request, VERSION, direct_conversation,
    identity::ConversationId,
    limits,
    v1::{self, ErrorCode, EventKind},
};

/// The user that the samples' requests come from.
pub const ANNA: u64 = 7;
/// Another user.
pub const BERT: u64 = 300;
/// A client id as the samples use it.
pub const CLIENT_ID: Bytes = Bytes::from_static(&[
    0x01, 0x90, 0xA1, 0xB2, 0xC3, 0xD4, 0x7E, 0x5F, 0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
]);

const AT_MS: u64 = 1_767_225_600_000;
const EPOCH: u64 = 0xFEDC_BA98_7654_3210;

/// The 1:1 conversation of [`ANNA`] and [`BERT`].
pub fn direct() -> u64 {
    direct_conversation(ANNA, BERT).map_or(0, ConversationId::get)
}

/// A group's id.
pub const fn group() -> u64 {
    ConversationId::group_from_hash(0x0123_4567_89AB_CDEF).get()
}

/// A valid request of every command, full.
pub fn requests() -> Vec<Request> {
    let mut all = session_requests();
    all.extend(message_requests());
    all.extend(people_requests());
    all.extend(group_requests());
    all
}

/// An answer to every command, full.
pub fn replies() -> Vec<Reply> {
    let mut all = session_replies();
    all.extend(message_replies());
    all.extend(people_replies());
    all.extend(group_replies());
    all
}

/// Every push, full.
pub fn pushes() -> Vec<Push> {
    vec![
        Push::GoAway(v1::GoAway {
            reason: v1::GoAwayReason::Draining.into(),
            reconnect_in_ms: 1_500,
            message: "restarting".to_owned(),
            addresses: vec!["im-2.example:7400".to_owned()],
        }),
        Push::EventsPush(page()),
        Push::HeadsPush(v1::HeadsPush {
            epoch: EPOCH,
            heads: vec![head()],
            resync: true,
        }),
        Push::CursorsPush(v1::CursorsPush {
            cursors: vec![cursor()],
        }),
        Push::TransientPush(v1::TransientPush {
            conversation_id: direct(),
            sender_id: BERT,
            kind: EventKind::Custom.into(),
            content: Some(content()),
            client_msg_id: CLIENT_ID,
        }),
        Push::TypingPush(v1::TypingPush {
            conversation_id: direct(),
            user_id: BERT,
            typing: true,
        }),
        Push::PresencePush(presence()),
    ]
}

fn presence() -> v1::Presence {
    v1::Presence {
        user_id: BERT,
        state: v1::PresenceState::Offline.into(),
        last_seen_ms: 1_700_000_040_000,
    }
}

/// A refusal with every field set.
pub fn refusal() -> Refusal {
    let mut refusal = Refusal::new(ErrorCode::UnsupportedVersion, "speak version 1")
        .with_field("version_min")
        .with_retry_after_ms(1_000);
    refusal.0.version_min = VERSION;
    refusal.0.version_max = VERSION;
    refusal.0.request_id = "5e1f00c80000002a".to_owned();
    refusal
}

/// A send of every kind that can be sent.
pub fn sends() -> Vec<v1::SendRequest> {
    let send = |kind: EventKind, target_seq, content, reaction: &str| v1::SendRequest {
        conversation_id: direct(),
        client_msg_id: CLIENT_ID,
        kind: kind.into(),
        target_seq,
        content,
        reaction: reaction.to_owned(),
        quality: 0,
    };
    let messages = [
        EventKind::Text,
        EventKind::Image,
        EventKind::Voice,
        EventKind::Video,
        EventKind::File,
        EventKind::Location,
        EventKind::Card,
        EventKind::Custom,
    ];
    let mut all: Vec<_> = messages
        .into_iter()
        .map(|kind| send(kind, 0, Some(content()), ""))
        .collect();
    // Both stay the message's.
    let edited = v1::Content {
        reply_to: 0,
        expires_at_ms: 0,
        ..content()
    };
    all.push(send(EventKind::Edit, 41, Some(edited), ""));
    all.push(send(EventKind::Recall, 41, None, ""));
    all.push(send(EventKind::Reaction, 41, None, "\u{1F44D}"));
    all
}

/// A page with one full event.
pub fn page() -> v1::Page {
    v1::Page {
        conversation_id: direct(),
        epoch: EPOCH,
        from_seq: 40,
        to_seq: 42,
        events: vec![event()],
        head_seq: 42,
    }
}

/// An event with every field set, also those that never come together.
pub fn event() -> v1::Event {
    v1::Event {
        conversation_id: direct(),
        seq: 42,
        ordinal: 40,
        roster: 1,
        sender_id: BERT,
        sent_at_ms: AT_MS,
        kind: EventKind::Text.into(),
        target_seq: 41,
        client_msg_id: CLIENT_ID,
        body: Some(v1::EventBody {
            content: Some(content()),
            group: Some(v1::GroupChange {
                user_ids: vec![ANNA, BERT],
                role: v1::Role::Admin.into(),
                name: "Choir".to_owned(),
            }),
            entry: Some(entry()),
            reaction: "\u{1F44D}".to_owned(),
        }),
        recalled: true,
        expired: true,
        revision: Some(v1::Revision {
            seq: 43,
            content: Some(content()),
        }),
        reactions: vec![v1::ReactionState {
            user_id: ANNA,
            reaction: "\u{2764}".to_owned(),
            seq: 44,
        }],
        reactions_total: 2,
    }
}

fn content() -> v1::Content {
    v1::Content {
        content_type: "text/plain".to_owned(),
        body: Bytes::from_static(b"Gr\xC3\xBC\xC3\x9Fe"),
        blob: Some(v1::BlobRef {
            blob_id: "sha256-2c26b46b".to_owned(),
            size: 1 << 33,
            content_type: "image/png".to_owned(),
            name: "cat.png".to_owned(),
            width: 640,
            height: 480,
            duration_ms: 1_200,
        }),
        reply_to: 39,
        mentions: vec![ANNA, BERT],
        fallback: "a picture".to_owned(),
        expires_at_ms: AT_MS + 60_000,
        priority: v1::Priority::High.into(),
    }
}

fn device() -> v1::Device {
    v1::Device {
        device_id: "laptop-01".to_owned(),
        class: v1::DeviceClass::Desktop.into(),
        name: "Anna's laptop".to_owned(),
    }
}

fn user() -> v1::User {
    v1::User {
        user_id: ANNA,
        name: "anna".to_owned(),
        display_name: "Anna".to_owned(),
        avatar: "blob:2c26b46b".to_owned(),
        status: "at sea".to_owned(),
        version: 3,
        created_at_ms: AT_MS,
    }
}

fn session() -> v1::Session {
    v1::Session {
        user: Some(user()),
        session_id: 77,
        token: "c2Vzc2lvbi10b2tlbg".to_owned(),
        epoch: EPOCH,
    }
}

fn head() -> v1::Head {
    v1::Head {
        conversation_id: direct(),
        seq: 42,
    }
}

fn cursor() -> v1::Cursor {
    v1::Cursor {
        conversation_id: direct(),
        user_id: BERT,
        delivered_seq: 42,
        read_seq: 41,
    }
}

fn conversation() -> v1::Conversation {
    v1::Conversation {
        conversation_id: group(),
        kind: v1::ConversationKind::Group.into(),
        head_seq: 42,
        head_ordinal: 40,
        last_at_ms: AT_MS,
        name: "Choir".to_owned(),
        role: v1::Role::Owner.into(),
        member_count: 12,
        disbanded: true,
        member: true,
        peer_id: BERT,
        first_seq: 3,
        delivered_seq: 42,
        read_seq: 41,
        unread: 1,
        roster: 30,
        joined_ordinal: 12,
        closed: true,
    }
}

fn sent() -> v1::SendResponse {
    v1::SendResponse {
        conversation_id: direct(),
        epoch: EPOCH,
        seq: 42,
        ordinal: 40,
        sent_at_ms: AT_MS,
        duplicate: true,
        roster: 7,
    }
}

fn session_requests() -> Vec<Request> {
    vec![
        Request::Hello(v1::Hello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: 1 << 40,
            device: Some(device()),
            session_token: "c2Vzc2lvbi10b2tlbg".to_owned(),
            client: "sample 1.0".to_owned(),
        }),
        Request::Ping(v1::Ping {}),
        Request::Register(v1::RegisterRequest {
            name: "anna".to_owned(),
            password: "correct horse".to_owned(),
            display_name: "Anna".to_owned(),
        }),
        Request::Login(v1::LoginRequest {
            name: "anna".to_owned(),
            password: "correct horse".to_owned(),
        }),
        Request::Logout(v1::LogoutRequest {}),
        Request::LogoutOthers(v1::LogoutOthersRequest {}),
        Request::ListDevices(v1::ListDevicesRequest {}),
        Request::GetUsers(v1::GetUsersRequest {
            user_ids: vec![ANNA, BERT],
        }),
        Request::FindUser(v1::FindUserRequest {
            name: "bert".to_owned(),
        }),
        Request::SearchUsers(v1::SearchUsersRequest {
            query: "anna k".to_owned(),
            limit: 20,
        }),
        Request::UpdateProfile(v1::UpdateProfileRequest {
            display_name: Some("Anna".to_owned()),
            avatar: Some("blob:2c26b46b".to_owned()),
            status: Some(String::new()),
        }),
    ]
}

fn people_requests() -> Vec<Request> {
    vec![
        Request::SetEntry(v1::SetEntryRequest {
            client_msg_id: CLIENT_ID,
            key: "app/theme".to_owned(),
            value: Bytes::from_static(b"dark"),
        }),
        Request::RemoveEntry(v1::RemoveEntryRequest {
            client_msg_id: CLIENT_ID,
            key: "app/theme".to_owned(),
        }),
        Request::ListEntries(v1::ListEntriesRequest {
            prefix: "app/".to_owned(),
            after: "app/a".to_owned(),
            limit: 50,
        }),
        Request::RequestFriend(v1::RequestFriendRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
            greeting: "It is me, Anna.".to_owned(),
        }),
        Request::AnswerFriend(v1::AnswerFriendRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
            accept: true,
        }),
        Request::WithdrawFriend(v1::WithdrawFriendRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
        }),
        Request::RemoveFriend(v1::RemoveFriendRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
        }),
        Request::UpdateFriend(v1::UpdateFriendRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
            remark: "Bert from work".to_owned(),
            tags: vec!["work".to_owned()],
        }),
        Request::ListFriends(v1::ListFriendsRequest {
            after_user_id: BERT,
            limit: 50,
        }),
        Request::BlockUser(v1::BlockUserRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
        }),
        Request::UnblockUser(v1::UnblockUserRequest {
            client_msg_id: CLIENT_ID,
            user_id: BERT,
        }),
        Request::ListBlocked(v1::ListBlockedRequest {
            after_user_id: BERT,
            limit: 50,
        }),
    ]
}

fn people_replies() -> Vec<Reply> {
    vec![
        Reply::SetEntry(sent()),
        Reply::RemoveEntry(sent()),
        Reply::ListEntries(v1::ListEntriesResponse {
            entries: vec![v1::EntryState {
                entry: Some(entry()),
                seq: 4,
                set_at_ms: AT_MS,
            }],
            more: true,
        }),
        Reply::RequestFriend(sent()),
        Reply::AnswerFriend(sent()),
        Reply::WithdrawFriend(sent()),
        Reply::RemoveFriend(sent()),
        Reply::UpdateFriend(sent()),
        Reply::ListFriends(v1::ListFriendsResponse {
            friends: vec![v1::Friend {
                user: Some(user()),
                state: v1::FriendState::Incoming.into(),
                greeting: "It is me, Bert.".to_owned(),
                remark: "Bert from work".to_owned(),
                tags: vec!["work".to_owned()],
                since_ms: AT_MS,
                expired: true,
            }],
            more: true,
        }),
        Reply::BlockUser(sent()),
        Reply::UnblockUser(sent()),
        Reply::ListBlocked(v1::ListBlockedResponse {
            users: vec![v1::Blocked {
                user: Some(user()),
                since_ms: AT_MS,
            }],
            more: true,
        }),
    ]
}

fn entry() -> v1::Entry {
    v1::Entry {
        key: "app/theme".to_owned(),
        value: Bytes::from_static(b"dark"),
    }
}

fn message_requests() -> Vec<Request> {
    vec![
        // No kind allows every field at once: `sends` has one of each.
        Request::Send(v1::SendRequest {
            conversation_id: direct(),
            client_msg_id: CLIENT_ID,
            kind: EventKind::Image.into(),
            target_seq: 0,
            content: Some(content()),
            reaction: String::new(),
            quality: v1::QualityOfService::AtMostOnce.into(),
        }),
        Request::History(v1::HistoryRequest {
            conversation_id: direct(),
            epoch: EPOCH,
            from_seq: 42,
            limit: 50,
            direction: v1::Direction::Backward.into(),
        }),
        Request::Sync(v1::SyncRequest {
            token: Bytes::from_static(b"sync token"),
            limit: 100,
        }),
        Request::ListConversations(v1::ListConversationsRequest {
            before: Bytes::from_static(b"page mark"),
            limit: 100,
        }),
        Request::GetConversation(v1::GetConversationRequest {
            conversation_id: direct(),
        }),
        Request::GetConversations(v1::GetConversationsRequest {
            conversation_ids: vec![direct(), group()],
        }),
        Request::Delivered(v1::DeliveredRequest { up_to: vec![head()] }),
        Request::Read(v1::ReadRequest {
            conversation_id: direct(),
            seq: 42,
        }),
        Request::Typing(v1::TypingRequest {
            conversation_id: direct(),
            typing: true,
        }),
        Request::WatchPresence(v1::WatchPresenceRequest {
            user_ids: vec![ANNA, BERT],
        }),
        Request::SetAway(v1::SetAwayRequest { away: true }),
    ]
}

fn group_requests() -> Vec<Request> {
    let conversation_id = group();
    let client_msg_id = CLIENT_ID;
    vec![
        Request::CreateGroup(v1::CreateGroupRequest {
            client_msg_id: client_msg_id.clone(),
            name: "Choir".to_owned(),
            user_ids: vec![BERT],
        }),
        Request::AddMembers(v1::AddMembersRequest {
            conversation_id,
            client_msg_id: client_msg_id.clone(),
            user_ids: vec![BERT],
        }),
        Request::RemoveMember(v1::RemoveMemberRequest {
            conversation_id,
            client_msg_id: client_msg_id.clone(),
            user_id: BERT,
        }),
        Request::LeaveGroup(v1::LeaveGroupRequest {
            conversation_id,
            client_msg_id: client_msg_id.clone(),
        }),
        Request::SetRole(v1::SetRoleRequest {
            conversation_id,
            client_msg_id: client_msg_id.clone(),
            user_id: BERT,
            role: v1::Role::Admin.into(),
        }),
        Request::RenameGroup(v1::RenameGroupRequest {
            conversation_id,
            client_msg_id: client_msg_id.clone(),
            name: "Choir of the north".to_owned(),
        }),
        Request::DisbandGroup(v1::DisbandGroupRequest {
            conversation_id,
            client_msg_id,
        }),
        Request::ListMembers(v1::ListMembersRequest {
            conversation_id,
            after_user_id: ANNA,
            limit: 100,
        }),
    ]
}

fn session_replies() -> Vec<Reply> {
    vec![
        Reply::Hello(v1::Welcome {
            version: VERSION,
            capabilities: 1,
            limits: Some(v1::Limits {
                frame_bytes_max: limits::FRAME_BYTES_DEFAULT,
                text_bytes_max: 4_096,
                requests_in_flight_max: limits::REQUESTS_IN_FLIGHT_MAX.into(),
                page_events_max: 500,
                group_members_max: 2_000,
            }),
            heartbeat_ms: limits::HEARTBEAT_MS,
            idle_ms: limits::IDLE_MS,
            server_time_ms: AT_MS,
            server: "imserver 0.1.0".to_owned(),
            node: "node-1".to_owned(),
            session: Some(session()),
        }),
        Reply::Ping(v1::Pong {
            sync_token: Bytes::from_static(b"sync token"),
            server_time_ms: AT_MS,
        }),
        Reply::Register(session()),
        Reply::Login(session()),
        Reply::Logout(v1::Empty {}),
        Reply::LogoutOthers(v1::LogoutOthersResponse { sessions: 2 }),
        Reply::ListDevices(v1::ListDevicesResponse {
            sessions: vec![v1::DeviceSession {
                session_id: 77,
                device: Some(device()),
                created_at_ms: AT_MS,
                last_seen_at_ms: AT_MS,
                online: true,
                current: true,
            }],
        }),
        Reply::GetUsers(v1::GetUsersResponse { users: vec![user()] }),
        Reply::FindUser(v1::FindUserResponse { user: Some(user()) }),
        Reply::SearchUsers(v1::SearchUsersResponse {
            users: vec![user()],
            more: true,
        }),
        Reply::UpdateProfile(v1::UpdateProfileResponse { user: Some(user()) }),
    ]
}

fn message_replies() -> Vec<Reply> {
    vec![
        Reply::Send(sent()),
        Reply::History(v1::HistoryResponse { page: Some(page()) }),
        Reply::Sync(v1::SyncResponse {
            token: Bytes::from_static(b"sync token"),
            epoch: EPOCH,
            conversations: vec![conversation()],
            pages: vec![page()],
            cursors: vec![cursor()],
            more: true,
            restarted: true,
        }),
        Reply::ListConversations(v1::ListConversationsResponse {
            conversations: vec![conversation()],
            before: Bytes::from_static(b"page mark"),
            more: true,
            sync_token: Bytes::from_static(b"sync token"),
            epoch: EPOCH,
        }),
        Reply::GetConversation(v1::GetConversationResponse {
            conversation: Some(conversation()),
            cursors: vec![cursor()],
            epoch: EPOCH,
        }),
        Reply::GetConversations(v1::GetConversationsResponse {
            conversations: vec![conversation()],
            epoch: EPOCH,
        }),
        Reply::Delivered(v1::Empty {}),
        Reply::Read(v1::Empty {}),
        Reply::Typing(v1::Empty {}),
        Reply::WatchPresence(v1::WatchPresenceResponse {
            presences: vec![presence()],
        }),
        Reply::SetAway(v1::Empty {}),
    ]
}

fn group_replies() -> Vec<Reply> {
    vec![
        Reply::CreateGroup(sent()),
        Reply::AddMembers(sent()),
        Reply::RemoveMember(sent()),
        Reply::LeaveGroup(sent()),
        Reply::SetRole(sent()),
        Reply::RenameGroup(sent()),
        Reply::DisbandGroup(sent()),
        Reply::ListMembers(v1::ListMembersResponse {
            members: vec![v1::Member {
                user_id: BERT,
                name: "bert".to_owned(),
                display_name: "Bert".to_owned(),
                role: v1::Role::Member.into(),
                joined_seq: 1,
                delivered_seq: 42,
                read_seq: 41,
            }],
            more: true,
        }),
    ]
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
