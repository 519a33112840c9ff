//! The keys of entries: their families, what each may hold, and how a client makes one. It owns what a key looks like;
//! it must never know which entries there are.
//!
//! | family | value | set by |
//! |---|---|---|
//! | `friend/<user id>`, `block/<user id>` | see `docs/PROTOCOL.md` | the commands of friends and blocks |
//! | `conversation/<id>/<attribute>` | the attribute's | the client |
//! | `setting/<name>` | one of the setting's words | the client |
//! | `profile/mail`, `profile/phone` | an address, or a number | the client |
//! | `app/<name>` | opaque | the client |

use crate::{
    error::Refusal,
    identity::ConversationId,
    validate::{DRAFT_BYTES_MAX, ENTRY_KEY_BYTES_MAX, ENTRY_VALUE_BYTES_MAX},
};

/// Before a conversation's id and an attribute.
pub const CONVERSATION: &str = "conversation/";
/// Before a setting's name.
pub const SETTING: &str = "setting/";
/// Before `mail` and `phone`.
pub const PROFILE: &str = "profile/";
/// Before whatever a client wants.
pub const APP: &str = "app/";

/// What a user says about a conversation. What each value means is in `docs/PROTOCOL.md`.
pub const ATTRIBUTES: &[&str] = &[
    "pinned", "muted", "archived", "unread", "draft", "cleared", "tags", "hidden",
];

/// Every setting, with its words; the first one is what holds without an entry.
pub const SETTINGS: &[(&str, &[&str])] = &[
    ("message_me", &["everyone", "friends"]),
    ("add_to_groups", &["everyone", "friends", "nobody"]),
    ("find_by_mail", &["nobody", "everyone"]),
    ("find_by_phone", &["nobody", "everyone"]),
    ("presence", &["friends", "nobody"]),
    ("receipts", &["on", "off"]),
];

/// Bytes of a mail address, at most (RFC 5321, 4.5.3.1.3, without its brackets).
const MAIL_BYTES_MAX: usize = 254;

/// The key of an attribute of a conversation.
pub fn of_conversation(conversation: u64, attribute: &str) -> String {
    format!("{CONVERSATION}{conversation}/{attribute}")
}

/// The conversation and the attribute of a key, if it is that of one.
pub fn conversation_of(key: &str) -> Option<(ConversationId, &str)> {
    let (id, attribute) = key.strip_prefix(CONVERSATION)?.split_once('/')?;
    let id = ConversationId::parse(canonical_number(id)?)?;
    ATTRIBUTES.contains(&attribute).then_some((id, attribute))
}

/// A number as it is written: no sign, no zeros before it.
fn canonical_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Checks a key that a client sets or removes, and the value that it sets.
pub(crate) fn check(key: &str, value: Option<&[u8]>) -> Result<(), Refusal> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > ENTRY_KEY_BYTES_MAX || !is_plain {
        return Err(Refusal::invalid(
            "key",
            "must have 1 to 64 visible ASCII characters",
        ));
    }
    let most = match conversation_of(key) {
        Some((_, "draft")) => DRAFT_BYTES_MAX,
        _ => ENTRY_VALUE_BYTES_MAX,
    };
    let value = value.unwrap_or_default();
    if value.len() > most {
        let message = format!("{} bytes, limit {most}", value.len());
        return Err(Refusal::invalid("value", message));
    }
    if let Some(name) = key.strip_prefix(SETTING) {
        return check_setting(name, value);
    }
    if let Some(name) = key.strip_prefix(PROFILE) {
        return check_profile(name, value);
    }
    if conversation_of(key).is_some() || key.strip_prefix(APP).is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    Err(Refusal::invalid("key", "is not of a family that clients set"))
}

fn check_setting(name: &str, value: &[u8]) -> Result<(), Refusal> {
    let setting = SETTINGS.iter().find(|(known, _)| *known == name);
    let (_, words) = setting.ok_or_else(|| Refusal::invalid("key", "is not a setting"))?;
    if value.is_empty() || words.iter().any(|word| word.as_bytes() == value) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "value",
        format!("must be one of: {}", words.join(", ")),
    ))
}

fn check_profile(name: &str, value: &[u8]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(value).unwrap_or("\0");
    let is_right = match name {
        "mail" => text.is_empty() || is_mail(text),
        "phone" => text.is_empty() || is_phone(text),
        _ => return Err(Refusal::invalid("key", "is not a part of the profile")),
    };
    if is_right {
        return Ok(());
    }
    let message = match name {
        "mail" => "is not a mail address",
        _ => "must be a number as in +442079460000",
    };
    Err(Refusal::invalid("value", message))
}

/// Something before an @ and a name of a host after it: whether mail arrives there is found out by sending some.
fn is_mail(text: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    text.len() <= MAIL_BYTES_MAX
        && text
            .rsplit_once('@')
            .is_some_and(|(local, host)| is_plain(local) && is_plain(host) && !local.contains('@'))
}

/// A number as ITU-T E.164 has it: a plus and 7 to 15 digits, of which the first is not 0.
fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}
