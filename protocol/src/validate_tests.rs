//! Every field of every request: missing, at its bounds, beyond them.

use super::*;
use crate::{Command, limits::FRAME_BYTES_MAX, message::Encoding, samples, v1::Direction};

/// What changes a valid request, the field that is then refused, or `""` when it is still valid.
type Case<T> = (fn(&mut T), &'static str);

fn refused(request: &Request) -> Option<Refusal> {
    super::request(request, &Limits::default()).err()
}

fn sample<T>(take: impl Fn(Request) -> Option<T>) -> T {
    samples::requests().into_iter().find_map(take).unwrap()
}

macro_rules! check {
    ($command:ident, $cases:expr) => {
        let valid = sample(|request| match request {
            Request::$command(body) => Some(body),
            _ => None,
        });
        check_from!($command, valid, $cases);
    };
}

macro_rules! check_from {
    ($command:ident, $valid:expr, $cases:expr) => {
        let valid = $valid;
        assert_eq!(refused(&Request::$command(valid.clone())), None);
        for (index, (change, field)) in $cases.into_iter().enumerate() {
            let mut body = valid.clone();
            change(&mut body);
            let refusal = refused(&Request::$command(body));
            let found = refusal.as_ref().map_or("", |refusal| refusal.0.field.as_str());
            assert_eq!(
                found,
                field,
                "{}, case {index}: {refusal:?}",
                stringify!($command)
            );
        }
    };
}

fn device(hello: &mut v1::Hello) -> &mut v1::Device {
    hello.device.get_or_insert_default()
}

fn content(send: &mut v1::SendRequest) -> &mut v1::Content {
    send.content.get_or_insert_default()
}

fn blob(send: &mut v1::SendRequest) -> &mut v1::BlobRef {
    content(send).blob.get_or_insert_default()
}

fn send(kind: EventKind) -> v1::SendRequest {
    samples::sends()
        .into_iter()
        .find(|send| send.kind() == kind)
        .unwrap()
}

const BEYOND: u64 = SIGNED_MAX + 1;

#[test]
fn hello() {
    let cases: [Case<v1::Hello>; 27] = [
        (|it| it.magic = 0, "magic"),
        (|it| it.magic += 1, "magic"),
        (|it| it.version_min = 0, "version_min"),
        (|it| it.version_max = 0, "version_min"),
        (|it| (it.version_min, it.version_max) = (3, 2), "version_min"),
        (|it| (it.version_min, it.version_max) = (2, u32::MAX), ""),
        (|it| it.capabilities = u64::MAX, ""),
        (|it| it.device = None, "device"),
        (|it| device(it).device_id.clear(), "device.device_id"),
        (|it| device(it).device_id = "a".repeat(DEVICE_ID_CHARS_MAX), ""),
        (
            |it| device(it).device_id = "a".repeat(DEVICE_ID_CHARS_MAX + 1),
            "device.device_id",
        ),
        (|it| device(it).device_id = "A-z_0.9".to_owned(), ""),
        (|it| device(it).device_id = "a b".to_owned(), "device.device_id"),
        (|it| device(it).device_id = "ä".to_owned(), "device.device_id"),
        (|it| device(it).class = 0, ""),
        (|it| device(it).class = 5, "device.class"),
        (|it| device(it).class = -1, "device.class"),
        (|it| device(it).name.clear(), ""),
        (|it| device(it).name = "n".repeat(TITLE_CHARS_MAX), ""),
        (
            |it| device(it).name = "n".repeat(TITLE_CHARS_MAX + 1),
            "device.name",
        ),
        (|it| it.session_token.clear(), ""),
        (|it| it.session_token = "t".repeat(TOKEN_BYTES_MAX), ""),
        (
            |it| it.session_token = "t".repeat(TOKEN_BYTES_MAX + 1),
            "session_token",
        ),
        (|it| it.client.clear(), ""),
        (|it| it.client = "c".repeat(REFERENCE_BYTES_MAX), ""),
        (|it| it.client = "c".repeat(REFERENCE_BYTES_MAX + 1), "client"),
        (|it| it.client = "c\n".to_owned(), "client"),
    ];
    check!(Hello, cases);
    let refusal = refused(&Request::Hello(v1::Hello::default())).unwrap();
    assert_eq!(
        refusal.code(),
        ErrorCode::Protocol,
        "whoever sends no magic speaks something else"
    );
}

/// No request is forgotten: each is checked by one of the macros, or is one of those without fields.
#[test]
fn every_request_is_checked_here() {
    let source = concat!(
        include_str!("validate_tests.rs"),
        include_str!("validate_people_tests.rs")
    );
    for command in Command::requests() {
        let (checked, without_fields) = (format!("!({command:?}, "), format!("Command::{command:?},\n"));
        assert!(
            source.contains(&checked) || source.contains(&without_fields),
            "no test of {command:?}"
        );
    }
}

#[test]
fn what_has_no_fields_is_always_valid() {
    for command in [
        Command::Ping,
        Command::Logout,
        Command::LogoutOthers,
        Command::ListDevices,
    ] {
        let request = <Request as crate::Decode>::decode(command, Encoding::Protobuf, bytes::Bytes::new());
        assert_eq!(refused(&request.unwrap()), None);
    }
}

#[test]
fn register_and_login() {
    let cases: [Case<v1::RegisterRequest>; 24] = [
        (|it| it.name.clear(), "name"),
        (|it| it.name = "Self".to_owned(), "name"),
        (|it| it.name = "r0ot".to_owned(), "name"),
        (|it| it.name = "user-7".to_owned(), "name"),
        // Letters of another script or width are none of a name's.
        (|it| it.name = "\u{430}dmin".to_owned(), "name"),
        (|it| it.name = "\u{ff41}dmin".to_owned(), "name"),
        (|it| it.name = "ann\u{200b}".to_owned(), "name"),
        (|it| it.display_name = "An\u{200b}n".to_owned(), "display_name"),
        (|it| it.name = "a".to_owned(), ""),
        (|it| it.name = "A9._-".to_owned(), ""),
        (|it| it.name = ".a".to_owned(), "name"),
        (|it| it.name = "a b".to_owned(), "name"),
        (|it| it.name = "a\u{301}".to_owned(), "name"),
        (|it| it.name = "a".repeat(NAME_CHARS_MAX), ""),
        (|it| it.name = "a".repeat(NAME_CHARS_MAX + 1), "name"),
        (|it| it.password.clear(), "password"),
        (|it| it.password = "p".repeat(PASSWORD_CHARS_MIN), ""),
        (|it| it.password = "p".repeat(PASSWORD_CHARS_MIN - 1), "password"),
        (|it| it.password = "\u{1F511}".repeat(PASSWORD_CHARS_MAX), ""),
        (|it| it.password = "p".repeat(PASSWORD_CHARS_MAX + 1), "password"),
        (|it| it.display_name.clear(), ""),
        (|it| it.display_name = " ".to_owned(), "display_name"),
        (|it| it.display_name = "\u{1F511}".repeat(TITLE_CHARS_MAX), ""),
        (
            |it| it.display_name = "d".repeat(TITLE_CHARS_MAX + 1),
            "display_name",
        ),
    ];
    check!(Register, cases);
    let cases: [Case<v1::LoginRequest>; 5] = [
        (|it| it.name.clear(), "name"),
        // A password that registration would refuse is merely a wrong one.
        (|it| it.password.clear(), ""),
        (|it| it.password = "p".to_owned(), ""),
        (|it| it.password = "p".repeat(PASSWORD_BYTES_MAX), ""),
        (|it| it.password = "p".repeat(PASSWORD_BYTES_MAX + 1), "password"),
    ];
    check!(Login, cases);
}

#[test]
fn names_that_people_see_hold_no_controls() {
    for refused_character in [
        '\0', '\n', '\u{1B}', '\u{7F}', '\u{85}', '\u{2028}', '\u{2029}', '\u{202A}', '\u{202E}', '\u{2066}',
        '\u{2069}', '\u{FEFF}',
    ] {
        assert!(
            title("name", &format!("a{refused_character}b")).is_err(),
            "{refused_character:?}"
        );
    }
    for allowed in ['\u{2027}', '\u{202F}', 'ß', '\u{1F9D1}'] {
        assert_eq!(title("name", &format!("a{allowed}b")), Ok(()), "{allowed:?}");
    }
    for nothing in [
        " ",
        "\u{3000}",
        "\u{200B}\u{200D}",
        "\u{3164}",
        "\u{2800} \u{FE0F}",
        "\u{E0020}",
    ] {
        assert!(title("name", nothing).is_err(), "{nothing:?}");
    }
    // Many combining marks are many characters.
    assert!(title("name", &format!("a{}", "\u{301}".repeat(1_000_000))).is_err());
}

#[test]
fn people() {
    let cases: [Case<v1::GetUsersRequest>; 7] = [
        (|it| it.user_ids.clear(), "user_ids"),
        (|it| it.user_ids = vec![1; PROFILES_MAX], ""),
        (|it| it.user_ids = vec![1; PROFILES_MAX + 1], "user_ids"),
        (|it| it.user_ids = vec![1, 0], "user_ids"),
        (|it| it.user_ids = vec![USER_ID_MAX], ""),
        (|it| it.user_ids = vec![USER_ID_MAX + 1], "user_ids"),
        (|it| it.user_ids = vec![u64::MAX], "user_ids"),
    ];
    check!(GetUsers, cases);
    let cases: [Case<v1::FindUserRequest>; 2] = [
        (|it| it.name.clear(), "name"),
        (|it| it.name = "Bert".to_owned(), ""),
    ];
    check!(FindUser, cases);
    let cases: [Case<v1::SearchUsersRequest>; 6] = [
        (|it| it.query.clear(), "query"),
        (|it| it.query = "\u{1D504}".repeat(QUERY_CHARS_MAX), ""),
        (|it| it.query = "a".repeat(QUERY_CHARS_MAX + 1), "query"),
        (|it| it.query = "%_\0'\"".to_owned(), ""),
        (|it| it.limit = 0, "limit"),
        (|it| it.limit = u32::MAX, ""),
    ];
    check!(SearchUsers, cases);
    let cases: [Case<v1::UpdateProfileRequest>; 10] = [
        (|it| *it = v1::UpdateProfileRequest::default(), ""),
        (|it| it.display_name = Some(String::new()), "display_name"),
        (|it| it.avatar = Some(String::new()), ""),
        (|it| it.avatar = Some("a".repeat(REFERENCE_BYTES_MAX)), ""),
        (
            |it| it.avatar = Some("a".repeat(REFERENCE_BYTES_MAX + 1)),
            "avatar",
        ),
        (|it| it.avatar = Some("a\u{202E}".to_owned()), "avatar"),
        (|it| it.status = Some("s".repeat(STATUS_BYTES_MAX)), ""),
        (|it| it.status = Some("s".repeat(STATUS_BYTES_MAX + 1)), "status"),
        (|it| it.status = Some("s\r".to_owned()), "status"),
        (|it| (it.display_name, it.status) = (None, None), ""),
    ];
    check!(UpdateProfile, cases);
}

#[test]
fn as_many_profiles_as_can_be_asked_for_fit_one_frame() {
    let user = v1::User {
        user_id: USER_ID_MAX,
        name: "n".repeat(NAME_CHARS_MAX),
        display_name: "\u{1F511}".repeat(TITLE_CHARS_MAX),
        // The characters that JSON writes as two.
        avatar: "\"".repeat(REFERENCE_BYTES_MAX),
        status: "\\".repeat(STATUS_BYTES_MAX),
        version: u64::MAX,
        created_at_ms: u64::MAX,
    };
    let response = v1::GetUsersResponse {
        users: vec![user; PROFILES_MAX],
    };
    assert!(Encoding::Json.encode(&response).len() <= FRAME_BYTES_MAX as usize);
}

#[test]
fn what_every_send_needs() {
    let cases: [Case<v1::SendRequest>; 18] = [
        (|it| it.conversation_id = 0, "conversation_id"),
        (|it| it.conversation_id = u64::MAX, "conversation_id"),
        (|it| it.conversation_id = samples::ANNA, ""),
        (|it| it.conversation_id = samples::group(), ""),
        (|it| it.client_msg_id.clear(), "client_msg_id"),
        (|it| it.client_msg_id = vec![1; 15].into(), "client_msg_id"),
        (|it| it.client_msg_id = vec![1; 17].into(), "client_msg_id"),
        (|it| it.client_msg_id = vec![1; 1024].into(), "client_msg_id"),
        (|it| it.kind = 0, "kind"),
        (|it| it.kind = 9, "kind"),
        (|it| it.kind = 64, "kind"),
        (|it| it.kind = 70, "kind"),
        (|it| it.kind = -1, "kind"),
        (|it| it.target_seq = 1, "target_seq"),
        (|it| it.reaction = "x".to_owned(), "reaction"),
        (|it| it.content = None, "content"),
        (|it| it.quality = 3, "quality"),
        (|it| it.quality = 2, ""),
    ];
    check_from!(Send, send(EventKind::Text), cases);
}

#[test]
fn what_a_message_may_hold() {
    let cases: [Case<v1::SendRequest>; 22] = [
        (|it| content(it).body.clear(), "content.body"),
        (|it| content(it).body = vec![0xFF; 4_096].into(), ""),
        (|it| content(it).body = vec![0xFF; 4_097].into(), "content.body"),
        (
            |it| content(it).content_type = "t".repeat(REFERENCE_BYTES_MAX),
            "",
        ),
        (
            |it| content(it).content_type = "t".repeat(REFERENCE_BYTES_MAX + 1),
            "content.content_type",
        ),
        (
            |it| content(it).content_type = "t\n".to_owned(),
            "content.content_type",
        ),
        (
            |it| content(it).fallback = "f\n".repeat(FALLBACK_BYTES_MAX / 2),
            "",
        ),
        (
            |it| content(it).fallback = "f".repeat(FALLBACK_BYTES_MAX + 1),
            "content.fallback",
        ),
        (|it| content(it).mentions = vec![1; MENTIONS_MAX], ""),
        (
            |it| content(it).mentions = vec![1; MENTIONS_MAX + 1],
            "content.mentions",
        ),
        (|it| content(it).mentions = vec![0], "content.mentions"),
        (
            |it| content(it).mentions = vec![USER_ID_MAX + 1],
            "content.mentions",
        ),
        (|it| content(it).priority = 3, "content.priority"),
        (|it| content(it).reply_to = 0, ""),
        (|it| content(it).reply_to = SIGNED_MAX, ""),
        (|it| content(it).reply_to = BEYOND, "content.reply_to"),
        (|it| content(it).expires_at_ms = SIGNED_MAX, ""),
        (|it| content(it).expires_at_ms = BEYOND, "content.expires_at_ms"),
        (|it| content(it).blob = None, ""),
        (|it| blob(it).blob_id.clear(), "content.blob.blob_id"),
        (|it| blob(it).size = u64::MAX, ""),
        (|it| it.content = Some(v1::Content::default()), "content.body"),
    ];
    check_from!(Send, send(EventKind::Text), cases);
}

#[test]
fn media_is_sent_by_reference() {
    let cases: [Case<v1::SendRequest>; 12] = [
        (|it| content(it).blob = None, "content.blob"),
        (|it| content(it).body.clear(), ""),
        (|it| content(it).body = vec![0; 60 * 1024].into(), ""),
        (
            |it| content(it).body = vec![0; 60 * 1024 + 1].into(),
            "content.body",
        ),
        (|it| blob(it).blob_id = "b".repeat(REFERENCE_BYTES_MAX), ""),
        (
            |it| blob(it).blob_id = "b".repeat(REFERENCE_BYTES_MAX + 1),
            "content.blob.blob_id",
        ),
        (|it| blob(it).blob_id = "b\0".to_owned(), "content.blob.blob_id"),
        (
            |it| blob(it).content_type = "t".repeat(REFERENCE_BYTES_MAX + 1),
            "content.blob.content_type",
        ),
        (
            |it| blob(it).content_type = "t\u{1B}".to_owned(),
            "content.blob.content_type",
        ),
        (
            |it| blob(it).name = "n".repeat(REFERENCE_BYTES_MAX + 1),
            "content.blob.name",
        ),
        (
            |it| blob(it).name = "n\u{202E}gpj".to_owned(),
            "content.blob.name",
        ),
        (|it| blob(it).name.clear(), ""),
    ];
    for kind in [
        EventKind::Image,
        EventKind::Voice,
        EventKind::Video,
        EventKind::File,
    ] {
        check_from!(Send, send(kind), cases);
    }
    // The others may have one and need none, nor a body.
    let cases: [Case<v1::SendRequest>; 1] = [(|it| it.content = Some(v1::Content::default()), "")];
    for kind in [EventKind::Location, EventKind::Card, EventKind::Custom] {
        check_from!(Send, send(kind), cases);
    }
}

#[test]
fn sends_about_an_earlier_message() {
    let every: [Case<v1::SendRequest>; 4] = [
        (|it| it.target_seq = 0, "target_seq"),
        (|it| it.target_seq = SIGNED_MAX, ""),
        (|it| it.target_seq = BEYOND, "target_seq"),
        (|it| it.quality = 2, "quality"),
    ];
    for kind in [EventKind::Edit, EventKind::Recall, EventKind::Reaction] {
        check_from!(Send, send(kind), every);
    }
    let cases: [Case<v1::SendRequest>; 6] = [
        (|it| it.content = None, "content"),
        (|it| it.reaction = "x".to_owned(), "reaction"),
        (|it| content(it).reply_to = 1, "content.reply_to"),
        (|it| content(it).expires_at_ms = 1, "content.expires_at_ms"),
        (|it| content(it).body = vec![0; 60 * 1024].into(), ""),
        (
            |it| content(it).body = vec![0; 60 * 1024 + 1].into(),
            "content.body",
        ),
    ];
    check_from!(Send, send(EventKind::Edit), cases);
    let cases: [Case<v1::SendRequest>; 2] = [
        (|it| it.content = Some(v1::Content::default()), "content"),
        (|it| it.reaction = "x".to_owned(), "reaction"),
    ];
    check_from!(Send, send(EventKind::Recall), cases);
    let cases: [Case<v1::SendRequest>; 5] = [
        (|it| it.content = Some(v1::Content::default()), "content"),
        (|it| it.reaction.clear(), ""),
        (|it| it.reaction = "r".repeat(REACTION_BYTES_MAX), ""),
        (|it| it.reaction = "r".repeat(REACTION_BYTES_MAX + 1), "reaction"),
        (|it| it.reaction = "\u{7}".to_owned(), "reaction"),
    ];
    check_from!(Send, send(EventKind::Reaction), cases);
}

#[test]
fn the_largest_send_fits_the_default_frame() {
    let mut largest = send(EventKind::Custom);
    let text = || "x".repeat(REFERENCE_BYTES_MAX);
    *content(&mut largest) = v1::Content {
        content_type: text(),
        body: vec![0; Limits::default().body_bytes_max].into(),
        blob: Some(v1::BlobRef {
            blob_id: text(),
            size: u64::MAX,
            content_type: text(),
            name: text(),
            width: u32::MAX,
            height: u32::MAX,
            duration_ms: u32::MAX,
        }),
        reply_to: SIGNED_MAX,
        mentions: vec![USER_ID_MAX; MENTIONS_MAX],
        fallback: "x".repeat(FALLBACK_BYTES_MAX),
        expires_at_ms: SIGNED_MAX,
        priority: 2,
    };
    let largest = Request::Send(largest);
    assert_eq!(refused(&largest), None);
    let bytes = largest.encode(Encoding::Protobuf).len();
    assert!(bytes <= crate::limits::FRAME_BYTES_DEFAULT as usize, "{bytes}");
}

#[test]
fn reading_and_receipts() {
    let cases: [Case<v1::HistoryRequest>; 10] = [
        (|it| it.conversation_id = 0, "conversation_id"),
        (|it| it.epoch = 0, ""),
        (|it| it.epoch = u64::MAX, ""),
        // Where the conversation ends is not known here.
        (|it| it.from_seq = 0, ""),
        (|it| it.from_seq = SIGNED_MAX, ""),
        (|it| it.from_seq = BEYOND, "from_seq"),
        (|it| it.limit = 0, "limit"),
        (|it| it.limit = u32::MAX, ""),
        (|it| it.direction = 2, "direction"),
        (|it| it.direction = Direction::Forward.into(), ""),
    ];
    check!(History, cases);
    let cases: [Case<v1::SyncRequest>; 4] = [
        (|it| it.token.clear(), ""),
        (|it| it.token = vec![0; TOKEN_BYTES_MAX].into(), ""),
        (|it| it.token = vec![0; TOKEN_BYTES_MAX + 1].into(), "token"),
        (|it| it.limit = 0, "limit"),
    ];
    check!(Sync, cases);
    let cases: [Case<v1::ListConversationsRequest>; 4] = [
        (|it| it.before.clear(), ""),
        (|it| it.before = vec![0; TOKEN_BYTES_MAX].into(), ""),
        (|it| it.before = vec![0; TOKEN_BYTES_MAX + 1].into(), "before"),
        (|it| it.limit = 0, "limit"),
    ];
    check!(ListConversations, cases);
    let cases: [Case<v1::GetConversationRequest>; 1] = [(|it| it.conversation_id = 0, "conversation_id")];
    check!(GetConversation, cases);
    let cases: [Case<v1::GetConversationsRequest>; 4] = [
        (|it| it.conversation_ids.clear(), "conversation_ids"),
        (|it| it.conversation_ids = vec![1; CONVERSATIONS_MAX], ""),
        (
            |it| it.conversation_ids = vec![1; CONVERSATIONS_MAX + 1],
            "conversation_ids",
        ),
        (|it| it.conversation_ids.push(0), "conversation_ids"),
    ];
    check!(GetConversations, cases);
    let cases: [Case<v1::DeliveredRequest>; 7] = [
        (|it| it.up_to.clear(), "up_to"),
        (|it| it.up_to = vec![it.up_to[0]; REPEATED_MAX], ""),
        (|it| it.up_to = vec![it.up_to[0]; REPEATED_MAX + 1], "up_to"),
        (|it| it.up_to[0].conversation_id = 0, "up_to.conversation_id"),
        (|it| it.up_to[0].seq = 0, "up_to.seq"),
        (|it| it.up_to[0].seq = SIGNED_MAX, ""),
        (|it| it.up_to[0].seq = BEYOND, "up_to.seq"),
    ];
    check!(Delivered, cases);
    let cases: [Case<v1::ReadRequest>; 3] = [
        (|it| it.conversation_id = 0, "conversation_id"),
        (|it| it.seq = 0, "seq"),
        (|it| it.seq = BEYOND, "seq"),
    ];
    check!(Read, cases);
    let cases: [Case<v1::TypingRequest>; 2] = [
        (|it| it.conversation_id = 0, "conversation_id"),
        (|it| it.typing = false, ""),
    ];
    check!(Typing, cases);
    let cases: [Case<v1::WatchPresenceRequest>; 6] = [
        (|it| it.user_ids.clear(), ""),
        (|it| it.user_ids = vec![1; PRESENCES_MAX], ""),
        (|it| it.user_ids = vec![1; PRESENCES_MAX + 1], "user_ids"),
        (|it| it.user_ids = vec![1, 0], "user_ids"),
        (|it| it.user_ids = vec![USER_ID_MAX], ""),
        (|it| it.user_ids = vec![USER_ID_MAX + 1], "user_ids"),
    ];
    check!(WatchPresence, cases);
    let cases: [Case<v1::SetAwayRequest>; 1] = [(|it| it.away = false, "")];
    check!(SetAway, cases);
}

/// What every change of a group is refused for.
macro_rules! check_group {
    ($command:ident, $type:ty) => {
        let cases: [Case<$type>; 6] = [
            (|it| it.conversation_id = 0, "conversation_id"),
            (|it| it.conversation_id = samples::direct(), "conversation_id"),
            (|it| it.conversation_id = samples::ANNA, "conversation_id"),
            (|it| it.conversation_id |= 1 << 63, "conversation_id"),
            (|it| it.client_msg_id.clear(), "client_msg_id"),
            (|it| it.client_msg_id = vec![1; 17].into(), "client_msg_id"),
        ];
        check!($command, cases);
    };
}

#[test]
fn groups() {
    check_group!(AddMembers, v1::AddMembersRequest);
    check_group!(RemoveMember, v1::RemoveMemberRequest);
    check_group!(LeaveGroup, v1::LeaveGroupRequest);
    check_group!(SetRole, v1::SetRoleRequest);
    check_group!(RenameGroup, v1::RenameGroupRequest);
    check_group!(DisbandGroup, v1::DisbandGroupRequest);
    let cases: [Case<v1::CreateGroupRequest>; 7] = [
        (|it| it.client_msg_id.clear(), "client_msg_id"),
        (|it| it.name.clear(), "name"),
        (|it| it.name = "n".repeat(TITLE_CHARS_MAX + 1), "name"),
        (|it| it.user_ids.clear(), ""),
        (|it| it.user_ids = vec![1; REPEATED_MAX], ""),
        (|it| it.user_ids = vec![1; REPEATED_MAX + 1], "user_ids"),
        (|it| it.user_ids = vec![0], "user_ids"),
    ];
    check!(CreateGroup, cases);
    let cases: [Case<v1::AddMembersRequest>; 3] = [
        (|it| it.user_ids.clear(), "user_ids"),
        (|it| it.user_ids = vec![1; REPEATED_MAX], ""),
        (|it| it.user_ids = vec![1; REPEATED_MAX + 1], "user_ids"),
    ];
    check!(AddMembers, cases);
    let cases: [Case<v1::RemoveMemberRequest>; 1] = [(|it| it.user_id = 0, "user_id")];
    check!(RemoveMember, cases);
    let cases: [Case<v1::SetRoleRequest>; 6] = [
        (|it| it.user_id = 0, "user_id"),
        (|it| it.role = 0, "role"),
        (|it| it.role = 1, ""),
        (|it| it.role = 3, ""),
        (|it| it.role = 4, "role"),
        (|it| it.role = -1, "role"),
    ];
    check!(SetRole, cases);
    let cases: [Case<v1::RenameGroupRequest>; 2] = [
        (|it| it.name.clear(), "name"),
        (|it| it.name = "\u{200B}\n".to_owned(), "name"),
    ];
    check!(RenameGroup, cases);
    let cases: [Case<v1::ListMembersRequest>; 4] = [
        (|it| it.conversation_id = 0, "conversation_id"),
        (|it| it.conversation_id = samples::direct(), ""),
        (|it| it.after_user_id = u64::MAX, ""),
        (|it| it.limit = 0, "limit"),
    ];
    check!(ListMembers, cases);
}

#[test]
fn too_many_is_said_as_such() {
    let many = v1::GetUsersRequest {
        user_ids: vec![1; 100_000],
    };
    assert_eq!(
        refused(&Request::GetUsers(many)).map(|refusal| refusal.code()),
        Some(ErrorCode::TooMany)
    );
    let mut many = send(EventKind::Text);
    content(&mut many).mentions = vec![1; 100_000];
    assert_eq!(
        refused(&Request::Send(many)).map(|refusal| refusal.code()),
        Some(ErrorCode::TooMany)
    );
}

#[test]
fn the_servers_own_limits_count() {
    let limits = Limits {
        text_bytes_max: 3,
        body_bytes_max: 5,
    };
    let with = |kind, bytes| {
        let mut send = send(kind);
        content(&mut send).body = vec![b'x'; bytes].into();
        request(&Request::Send(send), &limits).is_ok()
    };
    assert!(with(EventKind::Text, 3) && !with(EventKind::Text, 4));
    assert!(with(EventKind::Custom, 5) && !with(EventKind::Custom, 6));
}

#[test]
fn names_are_compared_in_lower_case() {
    assert_eq!(canonical_name("Anna.B-9_"), "anna.b-9_");
    assert_eq!(canonical_name(&canonical_name("ANNA")), canonical_name("anna"));
}

#[test]
fn groups_are_not_called_by_an_id() {
    let id = samples::group();
    for name in [
        format!("{id}"),
        format!("#{id}"),
        format!(" ## {id} "),
        format!("+{id}"),
    ] {
        let refusal = group_name(&name).unwrap_err();
        assert_eq!(refusal.0.field, "name", "{name}");
    }
    for name in ["2026", "#1", "18446744073709551615", &format!("{id}a")] {
        assert_eq!(group_name(name), Ok(()), "{name}");
    }
}

#[test]
fn a_password_is_one_however_it_is_typed() {
    let composed = canonical_password("caf\u{e9} caf\u{e9}");
    for typed in [
        "cafe\u{301} cafe\u{301}",
        "caf\u{e9}\u{a0}cafe\u{301}",
        "caf\u{e9}\u{3000}caf\u{e9}",
    ] {
        assert_eq!(canonical_password(typed), composed, "{typed:?}");
    }
    for other in ["Caf\u{e9} caf\u{e9}", "cafe cafe", "caf\u{e9}  caf\u{e9}"] {
        assert_ne!(canonical_password(other), composed, "{other:?}");
    }
    // Width and compatibility stay, as RFC 8265 has it.
    assert_eq!(canonical_password("\u{ff41}\u{fb01}"), "\u{ff41}\u{fb01}");
    // Characters are counted as they are hashed.
    assert!(new_password(&"e\u{301}".repeat(PASSWORD_CHARS_MIN - 1)).is_err());
    assert_eq!(new_password(&"e\u{301}".repeat(PASSWORD_CHARS_MIN)), Ok(()));
}

#[test]
fn messages_below_32_are_displayable() {
    for number in -1..100 {
        if let Ok(kind) = EventKind::try_from(number) {
            assert_eq!(is_displayable(kind), (1..32).contains(&number), "{kind:?}");
        }
    }
}

#[test]
fn an_edit_fits_the_kinds_that_could_be_sent_with_it() {
    let limits = Limits::default();
    for kind in [
        EventKind::Text,
        EventKind::Image,
        EventKind::Voice,
        EventKind::Video,
        EventKind::File,
        EventKind::Location,
        EventKind::Card,
        EventKind::Custom,
    ] {
        let empty = v1::Content::default();
        let long = v1::Content {
            body: vec![b'x'; limits.text_bytes_max + 1].into(),
            ..v1::Content::default()
        };
        let media = v1::Content {
            blob: send(EventKind::Image).content.unwrap().blob,
            ..v1::Content::default()
        };
        for content in [empty, long, media] {
            let sent = v1::SendRequest {
                content: Some(content.clone()),
                ..send(kind)
            };
            let could_be_sent = request(&Request::Send(sent), &limits).is_ok();
            assert_eq!(
                fits_kind(&content, kind, &limits),
                could_be_sent,
                "{kind:?} {content:?}"
            );
        }
    }
}

#[path = "validate_people_tests.rs"]
mod people_and_entries;
