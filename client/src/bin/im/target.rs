//! What a TARGET or a MEMBER on the command line stands for.

use std::time::{Duration, Instant};

use client::{Client, Error};
use protocol::{
    Call, ConversationClass, ConversationId, direct_conversation, self_conversation,
    v1::{self, ConversationKind},
};

use crate::{
    context::{CALL_TIMEOUT, Context, expect},
    failure::Failure,
};

/// Conversations looked through for a group's name.
pub(crate) const CONVERSATIONS_MAX: usize = 20_000;
const PAGE: u32 = 200;

/// A TARGET as written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    User(String),
    Own,
    Group(String),
}

impl Target {
    pub(crate) fn parse(text: &str, my_name: &str) -> Result<Self, Failure> {
        let usage = || {
            Failure::Usage(format!(
                "'{text}' is no target: write @user or '#group' (quoted, the shell takes # for a comment)"
            ))
        };
        match text.split_at_checked(1) {
            Some(("@", name)) if name.eq_ignore_ascii_case("self") => Ok(Self::Own),
            Some(("@", name)) if name.eq_ignore_ascii_case(my_name) => Ok(Self::Own),
            Some(("@", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(("#", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            _ => Err(usage()),
        }
    }
}

/// Finds ids. With a deadline it repeats its questions until then, else it asks once.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    client: &'a Client,
    me: u64,
    my_name: String,
    deadline: Option<Instant>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        context: &Context,
        client: &'a Client,
        patience: Option<Duration>,
    ) -> Result<Self, Failure> {
        let (me, my_name) = context.me()?;
        Ok(Self {
            client,
            me,
            my_name,
            deadline: patience.map(|patience| Instant::now() + patience),
        })
    }

    /// The conversation a TARGET names. A 1:1 conversation need not exist yet.
    pub(crate) fn conversation(&self, text: &str) -> Result<u64, Failure> {
        let id = match Target::parse(text, &self.my_name)? {
            Target::Own => self_conversation(self.me).map(ConversationId::get),
            Target::User(name) => direct_conversation(self.me, self.user(&name)?).map(ConversationId::get),
            Target::Group(name) => Some(self.group_called(&name)?),
        };
        id.ok_or_else(|| Failure::Usage(format!("{text} names no conversation")))
    }

    /// The group a name or an id stands for, with or without `#`.
    pub(crate) fn group(&self, text: &str) -> Result<u64, Failure> {
        self.group_called(text.strip_prefix('#').unwrap_or(text))
    }

    /// The id wins: the name of a group must not stand for another group.
    fn group_called(&self, name: &str) -> Result<u64, Failure> {
        if let Some(id) = group_id(name) {
            return Ok(id);
        }
        let mut found = Vec::new();
        for conversation in self.conversations()? {
            let id = conversation.conversation_id;
            if conversation.kind() == ConversationKind::Group && conversation.name == name {
                found.push((id, conversation.member && !conversation.disbanded));
            }
        }
        // A group that is over does not stand in the way of one of the same name that is not.
        if found.iter().any(|(_, alive)| *alive) {
            found.retain(|(_, alive)| *alive);
        }
        match found.as_slice() {
            [(id, _)] => Ok(*id),
            [] => Err(no_such_group(name)),
            several => {
                let ids: Vec<String> = several.iter().map(|(id, _)| format!("'#{id}'")).collect();
                Err(Failure::Usage(format!(
                    "several groups are called #{name}: use one of {}",
                    ids.join(", ")
                )))
            }
        }
    }

    /// The user a MEMBER names.
    pub(crate) fn user(&self, text: &str) -> Result<u64, Failure> {
        let name = text.strip_prefix('@').unwrap_or(text);
        if name.eq_ignore_ascii_case(&self.my_name) {
            return Ok(self.me);
        }
        if let Some(id) = numbered(name) {
            return Ok(id);
        }
        let found = self.ask(v1::FindUserRequest {
            name: name.to_owned(),
        })?;
        Ok(expect::<v1::FindUserRequest, _>(found.user)?.user_id)
    }

    /// All conversations, newest first.
    pub(crate) fn conversations(&self) -> Result<Vec<v1::Conversation>, Failure> {
        let mut all = Vec::new();
        let mut before = bytes::Bytes::new();
        while all.len() < CONVERSATIONS_MAX {
            let page = self.ask(v1::ListConversationsRequest { before, limit: PAGE })?;
            let nothing = page.conversations.is_empty();
            all.extend(page.conversations);
            if !page.more || page.before.is_empty() || nothing {
                break;
            }
            before = page.before;
        }
        Ok(all)
    }

    fn ask<C: Call>(&self, request: C) -> Result<C::Response, Failure> {
        Ok(match self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.client.ask_until_definite(request, left)?
            }
            None => self.client.ask(request, CALL_TIMEOUT)?,
        })
    }
}

/// The account that `user-NUMBER` stands for, as those are shown whose names are not known. No account has such a name.
pub(crate) fn numbered(name: &str) -> Option<u64> {
    let (word, number) = name.split_once('-')?;
    if !word.eq_ignore_ascii_case("user") || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number
        .parse()
        .ok()
        .filter(|id| (1..=protocol::USER_ID_MAX).contains(id))
}

fn group_id(text: &str) -> Option<u64> {
    let id = ConversationId::parse(text.parse().ok()?)?;
    (id.class() == ConversationClass::Group).then(|| id.get())
}

fn no_such_group(name: &str) -> Failure {
    let refusal = protocol::Refusal::new(
        v1::ErrorCode::NotFound,
        format!("none of your groups is called #{name}"),
    );
    Error::Refused(refusal.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_by_their_first_character() {
        let parse = |text| Target::parse(text, "anna").ok();
        assert_eq!(parse("@bob"), Some(Target::User("bob".to_owned())));
        assert_eq!(parse("@self"), Some(Target::Own));
        assert_eq!(parse("@Anna"), Some(Target::Own));
        assert_eq!(parse("#team one"), Some(Target::Group("team one".to_owned())));
        for wrong in ["", "@", "#", "bob", "é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn accounts_without_a_known_name_are_named_by_number() {
        assert_eq!((numbered("user-17"), numbered("User-1")), (Some(17), Some(1)));
        for other in [
            "user-",
            "user-x",
            "user-0",
            "user--1",
            "user-+1",
            "user-99999999999999999999",
            "user17",
            "ann",
        ] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }

    #[test]
    fn only_ids_of_groups_count_as_such() {
        let group = ConversationId::group_from_hash(77).get();
        assert_eq!(group_id(&group.to_string()), Some(group));
        let direct = direct_conversation(1, 2).unwrap().get();
        for wrong in [
            direct.to_string(),
            "7".to_owned(),
            "team".to_owned(),
            u64::MAX.to_string(),
        ] {
            assert_eq!(group_id(&wrong), None, "{wrong}");
        }
    }
}
