//! What a request must look like before anything acts on it: lengths, counts, character sets, identities.
//!
//! Rules that need the store (who is a member, what exists) are not here. Every limit has a name, and a
//! refusal names the field.

use crate::{
    entries,
    error::Refusal,
    identity::{ClientMessageId, ConversationClass, ConversationId, USER_ID_MAX},
    limits::named_limits,
    message::Request,
    names::{self, Unfit},
    v1::{self, ErrorCode, EventKind, QualityOfService, Role},
};

named_limits! {
    /// Characters of an account name, at most.
    pub const NAME_CHARS_MAX: usize = 32;
    /// Characters of a display name or a group's name, at most.
    pub const TITLE_CHARS_MAX: usize = 64;
    /// Characters of a password, at least.
    pub const PASSWORD_CHARS_MIN: usize = 8;
    /// Characters of a password, at most.
    pub const PASSWORD_CHARS_MAX: usize = 128;
    /// Bytes of a password, at most; checked before anything hashes it.
    pub const PASSWORD_BYTES_MAX: usize = 512;
    /// Characters of a device id, at most.
    pub const DEVICE_ID_CHARS_MAX: usize = 64;
    /// Bytes of an avatar reference, a blob id, a content type, a client or blob name, at most.
    pub const REFERENCE_BYTES_MAX: usize = 256;
    /// Bytes of a profile's status line, at most.
    pub const STATUS_BYTES_MAX: usize = 256;
    /// Bytes of a fallback text, at most.
    pub const FALLBACK_BYTES_MAX: usize = 1_024;
    /// Bytes of a reaction, at most: room for the longest emoji sequences.
    pub const REACTION_BYTES_MAX: usize = 64;
    /// Entries of any repeated field, at most, where no smaller limit is named.
    pub const REPEATED_MAX: usize = 1_000;
    /// Users whose profiles one request may ask for: the answer, in JSON and with everything at its longest, still
    /// fits the largest frame.
    pub const PROFILES_MAX: usize = 500;
    /// Characters of what is searched for, at most.
    pub const QUERY_CHARS_MAX: usize = 64;
    /// Users that one search finds, at most.
    pub const FOUND_USERS_MAX: usize = 20;
    /// Conversations that one `get_conversations` may ask for.
    pub const CONVERSATIONS_MAX: usize = 200;
    /// Users that one connection may watch.
    pub const PRESENCES_MAX: usize = 500;
    /// Bytes of an entry's key, at most.
    pub const ENTRY_KEY_BYTES_MAX: usize = 64;
    /// Bytes of an entry's value, at most.
    pub const ENTRY_VALUE_BYTES_MAX: usize = 4_096;
    /// Bytes of a draft, at most.
    pub const DRAFT_BYTES_MAX: usize = 8_192;
    /// Characters of the words of a request for friendship, at most.
    pub const GREETING_CHARS_MAX: usize = 256;
    /// Tags of a friend, at most.
    pub const FRIEND_TAGS_MAX: usize = 20;
    /// Mentions in one message, at most.
    pub const MENTIONS_MAX: usize = 100;
    /// Bytes of a session or sync token, at most.
    pub const TOKEN_BYTES_MAX: usize = 256;
    /// The largest seq and the largest time in milliseconds: stores keep both as signed numbers.
    pub const SIGNED_MAX: u64 = i64::MAX as u64;
}

/// Limits that a server's configuration sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a TEXT's body, at most.
    pub text_bytes_max: usize,
    /// Bytes of any other body, at most.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes_max: 4 * 1024,
            body_bytes_max: 60 * 1024,
        }
    }
}

/// Checks a request.
///
/// # Errors
/// The refusal to answer with, naming the field.
pub fn request(request: &Request, limits: &Limits) -> Result<(), Refusal> {
    match request {
        Request::Hello(hello) => check_hello(hello),
        Request::Ping(_) | Request::Logout(_) | Request::LogoutOthers(_) | Request::ListDevices(_) => Ok(()),
        Request::Register(register) => {
            new_account_name("name", &register.name)?;
            new_password(&register.password)?;
            if register.display_name.is_empty() {
                return Ok(());
            }
            title("display_name", &register.display_name)
        }
        Request::Login(login) => {
            account_name("name", &login.name)?;
            bytes_at_most("password", login.password.as_bytes(), PASSWORD_BYTES_MAX)
        }
        Request::GetUsers(get) => user_list("user_ids", &get.user_ids, 1, PROFILES_MAX),
        Request::FindUser(find) => account_name("name", &find.name),
        Request::UpdateProfile(update) => check_profile(update),
        Request::SearchUsers(search) => {
            let length = search.query.chars().take(QUERY_CHARS_MAX + 1).count();
            let fits = (1..=QUERY_CHARS_MAX).contains(&length);
            refuse_if(!fits, "query", "must have 1 to 64 characters")?;
            page_limit(search.limit)
        }
        Request::Send(send) => check_send(send, limits),
        Request::History(history) => {
            conversation(history.conversation_id)?;
            // 0 is an end of the conversation.
            refuse_if(history.from_seq > SIGNED_MAX, "from_seq", "is not a seq")?;
            page_limit(history.limit)?;
            let direction = v1::Direction::try_from(history.direction);
            refuse_if(direction.is_err(), "direction", "is not a direction")
        }
        Request::Sync(sync) => {
            bytes_at_most("token", &sync.token, TOKEN_BYTES_MAX)?;
            page_limit(sync.limit)
        }
        Request::ListConversations(list) => {
            bytes_at_most("before", &list.before, TOKEN_BYTES_MAX)?;
            page_limit(list.limit)
        }
        Request::GetConversation(get) => conversation(get.conversation_id),
        Request::GetConversations(get) => {
            let ids = &get.conversation_ids;
            if ids.len() > CONVERSATIONS_MAX {
                return Err(too_many("conversation_ids", ids.len(), CONVERSATIONS_MAX));
            }
            refuse_if(ids.is_empty(), "conversation_ids", "is empty")?;
            let impossible = ids.iter().any(|id| ConversationId::parse(*id).is_none());
            refuse_if(impossible, "conversation_ids", "is not a conversation id")
        }
        Request::SetEntry(set) => {
            client_id(&set.client_msg_id)?;
            entries::check(&set.key, Some(&set.value))
        }
        Request::RemoveEntry(remove) => {
            client_id(&remove.client_msg_id)?;
            entries::check(&remove.key, None)
        }
        Request::ListEntries(list) => {
            bytes_at_most("prefix", list.prefix.as_bytes(), ENTRY_KEY_BYTES_MAX)?;
            bytes_at_most("after", list.after.as_bytes(), ENTRY_KEY_BYTES_MAX)?;
            page_limit(list.limit)
        }
        Request::RequestFriend(request) => {
            person(&request.client_msg_id, request.user_id)?;
            text_at_most("greeting", &request.greeting, GREETING_CHARS_MAX)
        }
        Request::AnswerFriend(answer) => person(&answer.client_msg_id, answer.user_id),
        Request::WithdrawFriend(withdraw) => person(&withdraw.client_msg_id, withdraw.user_id),
        Request::RemoveFriend(remove) => person(&remove.client_msg_id, remove.user_id),
        Request::UpdateFriend(update) => {
            person(&update.client_msg_id, update.user_id)?;
            text_at_most("remark", &update.remark, TITLE_CHARS_MAX)?;
            if update.tags.len() > FRIEND_TAGS_MAX {
                return Err(too_many("tags", update.tags.len(), FRIEND_TAGS_MAX));
            }
            update
                .tags
                .iter()
                .try_for_each(|tag| text_at_most("tags", tag, TITLE_CHARS_MAX))
        }
        Request::BlockUser(block) => person(&block.client_msg_id, block.user_id),
        Request::UnblockUser(unblock) => person(&unblock.client_msg_id, unblock.user_id),
        Request::ListFriends(list) => behind(list.after_user_id, list.limit),
        Request::ListBlocked(list) => behind(list.after_user_id, list.limit),
        Request::Delivered(delivered) => check_delivered(delivered),
        Request::Read(read) => {
            conversation(read.conversation_id)?;
            seq("seq", read.seq)
        }
        Request::CreateGroup(create) => {
            client_id(&create.client_msg_id)?;
            group_name(&create.name)?;
            user_list("user_ids", &create.user_ids, 0, REPEATED_MAX)
        }
        Request::AddMembers(add) => {
            group(add.conversation_id, &add.client_msg_id)?;
            user_list("user_ids", &add.user_ids, 1, REPEATED_MAX)
        }
        Request::RemoveMember(remove) => {
            group(remove.conversation_id, &remove.client_msg_id)?;
            user("user_id", remove.user_id)
        }
        Request::LeaveGroup(leave) => group(leave.conversation_id, &leave.client_msg_id),
        Request::SetRole(set) => {
            group(set.conversation_id, &set.client_msg_id)?;
            user("user_id", set.user_id)?;
            match Role::try_from(set.role) {
                Ok(Role::Member | Role::Admin | Role::Owner) => Ok(()),
                Ok(Role::Unspecified) | Err(_) => {
                    Err(Refusal::invalid("role", "must be MEMBER, ADMIN or OWNER"))
                }
            }
        }
        Request::RenameGroup(rename) => {
            group(rename.conversation_id, &rename.client_msg_id)?;
            group_name(&rename.name)
        }
        Request::DisbandGroup(disband) => group(disband.conversation_id, &disband.client_msg_id),
        Request::ListMembers(list) => {
            conversation(list.conversation_id)?;
            page_limit(list.limit)
        }
        Request::Typing(typing) => conversation(typing.conversation_id),
        Request::WatchPresence(watch) => user_list("user_ids", &watch.user_ids, 0, PRESENCES_MAX),
        Request::SetAway(_) => Ok(()),
    }
}

/// An account name as it is stored and compared: ASCII letters in lower case.
pub fn canonical_name(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// A password as it is hashed: spaces of all kinds are one, and letters with marks have one form (RFC 8265,
/// OpaqueString), so that it does not matter on which keyboard it is typed.
pub fn canonical_password(password: &str) -> std::borrow::Cow<'_, str> {
    if password.is_ascii() {
        return password.into();
    }
    let space = |letter: char| {
        if letter.is_whitespace() && !letter.is_control() {
            ' '
        } else {
            letter
        }
    };
    let spaced: String = password.chars().map(space).collect();
    let composed = icu_normalizer::ComposingNormalizerBorrowed::new_nfc();
    composed.normalize(&spaced).into_owned().into()
}

/// Whether events of this kind are messages that people see: they count in the ordinal.
pub const fn is_displayable(kind: EventKind) -> bool {
    let number = kind as i32;
    number >= 1 && number < 32
}

fn check_hello(hello: &v1::Hello) -> Result<(), Refusal> {
    if hello.magic != crate::MAGIC {
        return Err(Refusal::new(ErrorCode::Protocol, "not an imserver client").with_field("magic"));
    }
    if hello.version_min == 0 || hello.version_min > hello.version_max {
        return Err(Refusal::invalid(
            "version_min",
            "must be 1 or more and at most version_max",
        ));
    }
    let device = hello
        .device
        .as_ref()
        .ok_or_else(|| Refusal::invalid("device", "is missing"))?;
    let id = &device.device_id;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id.is_empty() || id.len() > DEVICE_ID_CHARS_MAX || !id.bytes().all(allowed) {
        return Err(Refusal::invalid(
            "device.device_id",
            "must be 1 to 64 of A-Z a-z 0-9 . _ -",
        ));
    }
    if !device.name.is_empty() {
        title("device.name", &device.name)?;
    }
    if v1::DeviceClass::try_from(device.class).is_err() {
        return Err(Refusal::invalid("device.class", "is not a device class"));
    }
    bytes_at_most("client", hello.client.as_bytes(), REFERENCE_BYTES_MAX)?;
    no_controls("client", &hello.client)?;
    bytes_at_most("session_token", hello.session_token.as_bytes(), TOKEN_BYTES_MAX)
}

fn check_profile(update: &v1::UpdateProfileRequest) -> Result<(), Refusal> {
    if let Some(name) = &update.display_name {
        title("display_name", name)?;
    }
    if let Some(avatar) = &update.avatar {
        bytes_at_most("avatar", avatar.as_bytes(), REFERENCE_BYTES_MAX)?;
        no_controls("avatar", avatar)?;
    }
    if let Some(status) = &update.status {
        bytes_at_most("status", status.as_bytes(), STATUS_BYTES_MAX)?;
        no_controls("status", status)?;
    }
    Ok(())
}

fn check_send(send: &v1::SendRequest, limits: &Limits) -> Result<(), Refusal> {
    conversation(send.conversation_id)?;
    client_id(&send.client_msg_id)?;
    let quality = QualityOfService::try_from(send.quality)
        .map_err(|_| Refusal::invalid("quality", "is not a quality of service"))?;
    let kind = EventKind::try_from(send.kind)
        .map_err(|_| Refusal::invalid("kind", "is not a kind this server knows"))?;
    match kind {
        EventKind::Text
        | EventKind::Image
        | EventKind::Voice
        | EventKind::Video
        | EventKind::File
        | EventKind::Location
        | EventKind::Card
        | EventKind::Custom => {
            refuse_if(
                send.target_seq != 0,
                "target_seq",
                "only for EDIT, RECALL and REACTION",
            )?;
            refuse_if(!send.reaction.is_empty(), "reaction", "only for REACTION")?;
            check_content(required(send)?, kind, limits)
        }
        EventKind::Edit => {
            seq("target_seq", send.target_seq)?;
            refuse_if(!send.reaction.is_empty(), "reaction", "only for REACTION")?;
            let content = required(send)?;
            // What a message replies to and how long it lasts stays what it was.
            refuse_if(
                content.reply_to != 0,
                "content.reply_to",
                "stays the message's in an edit",
            )?;
            refuse_if(
                content.expires_at_ms != 0,
                "content.expires_at_ms",
                "stays the message's in an edit",
            )?;
            check_content(content, kind, limits)
        }
        EventKind::Recall => {
            seq("target_seq", send.target_seq)?;
            refuse_if(send.content.is_some(), "content", "a recall has none")?;
            refuse_if(!send.reaction.is_empty(), "reaction", "only for REACTION")
        }
        EventKind::Reaction => {
            seq("target_seq", send.target_seq)?;
            refuse_if(send.content.is_some(), "content", "a reaction has none")?;
            bytes_at_most("reaction", send.reaction.as_bytes(), REACTION_BYTES_MAX)?;
            no_controls("reaction", &send.reaction)
        }
        EventKind::Unspecified
        | EventKind::GroupCreated
        | EventKind::MembersAdded
        | EventKind::MemberRemoved
        | EventKind::MemberLeft
        | EventKind::RoleChanged
        | EventKind::GroupRenamed
        | EventKind::GroupDisbanded
        | EventKind::BecameFriends
        | EventKind::EntrySet
        | EventKind::EntryRemoved => Err(Refusal::invalid("kind", "cannot be sent")),
    }?;
    refuse_if(
        quality == QualityOfService::AtMostOnce && !is_displayable(kind),
        "quality",
        "AT_MOST_ONCE is for messages only",
    )
}

fn required(send: &v1::SendRequest) -> Result<&v1::Content, Refusal> {
    send.content
        .as_ref()
        .ok_or_else(|| Refusal::invalid("content", "is missing"))
}

/// Whether a content that was checked may be that of a message of this kind: what an edit replaces is known only where
/// the message is.
pub fn fits_kind(content: &v1::Content, kind: EventKind, limits: &Limits) -> bool {
    check_for_kind(content, kind, limits).is_ok()
}

/// What the kind of the message asks of its content.
fn check_for_kind(content: &v1::Content, kind: EventKind, limits: &Limits) -> Result<(), Refusal> {
    let body_max = if kind == EventKind::Text {
        limits.text_bytes_max
    } else {
        limits.body_bytes_max
    };
    bytes_at_most("content.body", &content.body, body_max)?;
    match kind {
        EventKind::Image | EventKind::Voice | EventKind::Video | EventKind::File => refuse_if(
            content.blob.is_none(),
            "content.blob",
            "media is sent by reference",
        ),
        EventKind::Text => refuse_if(content.body.is_empty(), "content.body", "a text needs one"),
        EventKind::Location | EventKind::Card | EventKind::Custom | EventKind::Edit => Ok(()),
        EventKind::Unspecified
        | EventKind::Recall
        | EventKind::Reaction
        | EventKind::GroupCreated
        | EventKind::MembersAdded
        | EventKind::MemberRemoved
        | EventKind::MemberLeft
        | EventKind::RoleChanged
        | EventKind::GroupRenamed
        | EventKind::GroupDisbanded
        | EventKind::BecameFriends
        | EventKind::EntrySet
        | EventKind::EntryRemoved => Ok(()),
    }
}

fn check_content(content: &v1::Content, kind: EventKind, limits: &Limits) -> Result<(), Refusal> {
    bytes_at_most(
        "content.content_type",
        content.content_type.as_bytes(),
        REFERENCE_BYTES_MAX,
    )?;
    no_controls("content.content_type", &content.content_type)?;
    bytes_at_most(
        "content.fallback",
        content.fallback.as_bytes(),
        FALLBACK_BYTES_MAX,
    )?;
    if content.mentions.len() > MENTIONS_MAX {
        return Err(too_many("content.mentions", content.mentions.len(), MENTIONS_MAX));
    }
    for mention in &content.mentions {
        user("content.mentions", *mention)?;
    }
    if v1::Priority::try_from(content.priority).is_err() {
        return Err(Refusal::invalid("content.priority", "is not a priority"));
    }
    refuse_if(content.reply_to > SIGNED_MAX, "content.reply_to", "is not a seq")?;
    refuse_if(
        content.expires_at_ms > SIGNED_MAX,
        "content.expires_at_ms",
        "is not a time",
    )?;
    if let Some(blob) = &content.blob {
        check_blob(blob)?;
    }
    check_for_kind(content, kind, limits)
}

fn check_blob(blob: &v1::BlobRef) -> Result<(), Refusal> {
    refuse_if(blob.blob_id.is_empty(), "content.blob.blob_id", "is missing")?;
    bytes_at_most(
        "content.blob.blob_id",
        blob.blob_id.as_bytes(),
        REFERENCE_BYTES_MAX,
    )?;
    no_controls("content.blob.blob_id", &blob.blob_id)?;
    bytes_at_most(
        "content.blob.content_type",
        blob.content_type.as_bytes(),
        REFERENCE_BYTES_MAX,
    )?;
    no_controls("content.blob.content_type", &blob.content_type)?;
    bytes_at_most("content.blob.name", blob.name.as_bytes(), REFERENCE_BYTES_MAX)?;
    no_controls("content.blob.name", &blob.name)
}

fn check_delivered(delivered: &v1::DeliveredRequest) -> Result<(), Refusal> {
    refuse_if(delivered.up_to.is_empty(), "up_to", "is empty")?;
    if delivered.up_to.len() > REPEATED_MAX {
        return Err(too_many("up_to", delivered.up_to.len(), REPEATED_MAX));
    }
    for head in &delivered.up_to {
        conversation_in("up_to.conversation_id", head.conversation_id)?;
        seq("up_to.seq", head.seq)?;
    }
    Ok(())
}

fn refuse_if(refused: bool, field: &str, message: &str) -> Result<(), Refusal> {
    if refused {
        Err(Refusal::invalid(field, message))
    } else {
        Ok(())
    }
}

fn too_many(field: &str, count: usize, limit: usize) -> Refusal {
    Refusal::new(ErrorCode::TooMany, format!("{count} entries, limit {limit}")).with_field(field)
}

fn bytes_at_most(field: &str, bytes: &[u8], limit: usize) -> Result<(), Refusal> {
    if bytes.len() > limit {
        return Err(Refusal::invalid(
            field,
            format!("{} bytes, limit {limit}", bytes.len()),
        ));
    }
    Ok(())
}

/// Checks an account's name.
///
/// # Errors
/// It has characters that names do not have, or too many; the refusal is about `field`.
pub fn account_name(field: &str, name: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !starts_well || name.len() > NAME_CHARS_MAX || !name.bytes().all(allowed) {
        return Err(Refusal::invalid(
            field,
            "must be 1 to 32 of A-Z a-z 0-9 . _ - and start with a letter or digit",
        ));
    }
    Ok(())
}

/// Checks the name of an account that is to be made.
///
/// # Errors
/// As of [`account_name`], and for names that are reserved.
pub fn new_account_name(field: &str, name: &str) -> Result<(), Refusal> {
    account_name(field, name)?;
    refuse_if(
        names::is_reserved(name),
        field,
        "is reserved, or looks like one that is: choose another name",
    )
}

/// Checks a password that is to be an account's.
///
/// # Errors
/// It is too short or too long; the refusal is about `password`.
pub fn new_password(password: &str) -> Result<(), Refusal> {
    bytes_at_most("password", password.as_bytes(), PASSWORD_BYTES_MAX)?;
    let chars = canonical_password(password).chars().count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
        return Err(Refusal::invalid("password", "must have 8 to 128 characters"));
    }
    Ok(())
}

/// A name that people see: some character that leaves a mark, none that leaves none, see [`names`].
fn title(field: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > TITLE_CHARS_MAX * 4 || text.chars().count() > TITLE_CHARS_MAX {
        return Err(Refusal::invalid(field, "must have 1 to 64 characters"));
    }
    let unfit = |what: &str, letter: char| {
        let code = u32::from(letter);
        Refusal::invalid(field, format!("has {what} (U+{code:04X})"))
    };
    names::check_visible(text).map_err(|reason| match reason {
        Unfit::Blank => Refusal::invalid(field, "must have 1 to 64 characters, and not only spaces"),
        Unfit::Invisible(letter) => unfit("a character that cannot be seen", letter),
        Unfit::Lone(letter) => unfit("a combining mark with nothing to combine with", letter),
    })
}

/// A group is named by its id, too, and the two must not be taken for each other.
fn group_name(name: &str) -> Result<(), Refusal> {
    title("name", name)?;
    let digits = name.trim().trim_start_matches('#').trim_start();
    let is_id = digits
        .parse()
        .ok()
        .and_then(ConversationId::parse)
        .is_some_and(|id| id.class() == ConversationClass::Group);
    refuse_if(is_id, "name", "is the id of a group: choose another name")
}

/// Refuses C0 and C1 controls, the Unicode line and paragraph separators, the characters that embed, override or
/// isolate a direction of writing, and the byte order mark.
fn no_controls(field: &str, text: &str) -> Result<(), Refusal> {
    refuse_if(text.chars().any(is_control), field, "has a control character")
}

/// What changes how a terminal or a screen shows what stands around it.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn user(field: &str, id: u64) -> Result<(), Refusal> {
    refuse_if(id == 0 || id > USER_ID_MAX, field, "is not a user id")
}

fn user_list(field: &str, ids: &[u64], at_least: usize, at_most: usize) -> Result<(), Refusal> {
    if ids.len() > at_most {
        return Err(too_many(field, ids.len(), at_most));
    }
    refuse_if(ids.len() < at_least, field, "is empty")?;
    ids.iter().try_for_each(|id| user(field, *id))
}

fn conversation(id: u64) -> Result<(), Refusal> {
    conversation_in("conversation_id", id)
}

fn conversation_in(field: &str, id: u64) -> Result<(), Refusal> {
    refuse_if(
        ConversationId::parse(id).is_none(),
        field,
        "is not a conversation id",
    )
}

fn group(id: u64, client_msg_id: &[u8]) -> Result<(), Refusal> {
    let class = ConversationId::parse(id).map(ConversationId::class);
    refuse_if(
        class != Some(ConversationClass::Group),
        "conversation_id",
        "is not a group's id",
    )?;
    client_id(client_msg_id)
}

fn client_id(bytes: &[u8]) -> Result<(), Refusal> {
    refuse_if(
        ClientMessageId::parse(bytes).is_none(),
        "client_msg_id",
        "must have 16 bytes",
    )
}

/// A request about a person.
fn person(client_msg_id: &[u8], user_id: u64) -> Result<(), Refusal> {
    client_id(client_msg_id)?;
    user("user_id", user_id)
}

/// Words that people see; none are fine.
fn text_at_most(field: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    let chars = text.chars().take(chars_max + 1).count();
    refuse_if(
        chars > chars_max,
        field,
        &format!("more than {chars_max} characters"),
    )?;
    no_controls(field, text)
}

/// A page of people behind one.
fn behind(after_user_id: u64, limit: u32) -> Result<(), Refusal> {
    refuse_if(after_user_id > USER_ID_MAX, "after_user_id", "is not a user id")?;
    page_limit(limit)
}

fn seq(field: &str, seq: u64) -> Result<(), Refusal> {
    refuse_if(seq == 0 || seq > SIGNED_MAX, field, "is not a seq")
}

fn page_limit(limit: u32) -> Result<(), Refusal> {
    refuse_if(limit == 0, "limit", "must be 1 or more")
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
