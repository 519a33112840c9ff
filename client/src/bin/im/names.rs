//! Names of users and groups by their ids, asked for once and then remembered in the profile.

use std::collections::BTreeSet;

use client::{
    Client, Device, Error,
    store::{Names, Profile},
};
use protocol::{ConversationClass, ConversationId, Reply, Request, v1};

use crate::context::CALL_TIMEOUT;

/// Users asked for at once.
const USERS_PER_CALL: usize = 500;

/// Where names are asked for.
pub(crate) trait Ask {
    fn ask(&mut self, request: Request) -> Result<Reply, Error>;
}

impl Ask for Client {
    fn ask(&mut self, request: Request) -> Result<Reply, Error> {
        self.call(request, CALL_TIMEOUT)
    }
}

impl Ask for Device {
    fn ask(&mut self, request: Request) -> Result<Reply, Error> {
        self.call(request, CALL_TIMEOUT)
    }
}

/// The names known so far.
#[derive(Debug)]
pub(crate) struct Directory {
    me: u64,
    names: Names,
    asked: BTreeSet<u64>,
    changed: bool,
}

impl Directory {
    pub(crate) fn open(profile: &Profile) -> Self {
        let mut names = profile.names();
        let mut me = 0;
        if let Some(session) = &profile.account().session {
            me = session.user_id;
            names.users.insert(session.user_id, session.name.clone());
        }
        Self {
            me,
            names,
            asked: BTreeSet::new(),
            changed: false,
        }
    }

    /// A directory that knows one user.
    #[cfg(test)]
    pub(crate) fn of(me: u64, name: &str) -> Self {
        let mut names = Names::default();
        names.users.insert(me, name.to_owned());
        Self {
            me,
            names,
            asked: BTreeSet::new(),
            changed: false,
        }
    }

    /// Keeps what was learned. A cache: what cannot be kept is asked for again.
    pub(crate) fn save(&mut self, profile: &Profile) {
        if std::mem::take(&mut self.changed)
            && let Err(error) = profile.save_names(&self.names)
        {
            log::warn!("{error}");
        }
    }

    pub(crate) const fn me(&self) -> u64 {
        self.me
    }

    /// A group was called so at a seq of its log. What is older than what is known says nothing.
    pub(crate) fn learn_group(&mut self, conversation: u64, name: &str, at_seq: u64) {
        let known_at = self.names.group_seqs.get(&conversation).copied().unwrap_or(0);
        let known = self.names.groups.get(&conversation);
        if name.is_empty() || (known.is_some() && at_seq < known_at) {
            return;
        }
        if known.is_none_or(|known| known != name) || at_seq > known_at {
            self.names.groups.insert(conversation, name.to_owned());
            self.names.group_seqs.insert(conversation, at_seq);
            self.changed = true;
        }
    }

    pub(crate) fn learn_user(&mut self, id: u64, name: &str) {
        if !name.is_empty() && self.names.users.insert(id, name.to_owned()).is_none() {
            self.changed = true;
        }
    }

    pub(crate) fn learn_conversations(&mut self, conversations: &[v1::Conversation]) {
        for conversation in conversations {
            self.learn_group(
                conversation.conversation_id,
                &conversation.name,
                conversation.head_seq,
            );
        }
    }

    /// Learns the name of a group from an event that creates or renames it. An added user does not know the present
    /// name: then the client asks for it.
    pub(crate) fn learn_event(&mut self, event: &v1::Event) {
        let Some(change) = event.body.as_ref().and_then(|body| body.group.as_ref()) else {
            return;
        };
        let added = event.kind == v1::EventKind::MembersAdded as i32 && change.user_ids.contains(&self.me);
        let known_at = self.names.group_seqs.get(&event.conversation_id);
        if added && known_at.is_none_or(|seq| *seq < event.seq) {
            self.names.groups.remove(&event.conversation_id);
            self.asked.remove(&event.conversation_id);
            self.changed = true;
        }
        self.learn_group(event.conversation_id, &change.name, event.seq);
    }

    /// A group whose name is not known.
    pub(crate) fn is_nameless_group(&self, conversation: u64) -> bool {
        let class = ConversationId::parse(conversation).map(ConversationId::class);
        class == Some(ConversationClass::Group) && !self.names.groups.contains_key(&conversation)
    }

    pub(crate) fn knows_user(&self, id: u64) -> bool {
        id == 0 || self.names.users.contains_key(&id)
    }

    /// The names of all users that are known.
    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.names.users.values().map(String::as_str)
    }

    /// The user's name, if it is known.
    pub(crate) fn user(&self, id: u64) -> String {
        self.names
            .users
            .get(&id)
            .cloned()
            .unwrap_or_else(|| format!("user-{id}"))
    }

    /// Those of these users whose name is not known and was not asked for yet. They count as asked for
    /// from here on.
    pub(crate) fn unknown(&mut self, users: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut unknown: Vec<u64> = users
            .into_iter()
            .filter(|id| *id != 0 && !self.names.users.contains_key(id) && self.asked.insert(*id))
            .collect();
        unknown.sort_unstable();
        unknown
    }

    /// Whether to ask for a conversation: once in a while is enough for one that says nothing.
    pub(crate) fn ask_once(&mut self, conversation: u64) -> bool {
        self.asked.insert(conversation)
    }

    /// Asking for these has failed: they may be asked for again.
    pub(crate) fn forget_asked(&mut self) {
        self.asked.clear();
    }

    /// How a conversation is called on the command line.
    pub(crate) fn conversation(&self, id: u64) -> String {
        match ConversationId::parse(id).map(ConversationId::class) {
            Some(ConversationClass::Own { .. }) => "@self".to_owned(),
            Some(ConversationClass::Direct { .. }) => format!("@{}", self.user(self.peer(id))),
            _ => match self.names.groups.get(&id) {
                Some(name) => format!("#{name}"),
                None => format!("#{id}"),
            },
        }
    }

    /// The other one of a 1:1 conversation; 0 for any other.
    pub(crate) fn peer(&self, conversation: u64) -> u64 {
        match ConversationId::parse(conversation).map(ConversationId::class) {
            Some(ConversationClass::Direct { low, high }) if low == self.me => high,
            Some(ConversationClass::Direct { low, .. }) => low,
            _ => 0,
        }
    }

    /// Asks for whichever of these users and conversations have no name yet.
    pub(crate) fn look_up(
        &mut self,
        ask: &mut impl Ask,
        users: impl IntoIterator<Item = u64>,
        conversations: impl IntoIterator<Item = u64>,
    ) -> Result<(), Error> {
        let mut unknown: Vec<u64> = users.into_iter().collect();
        for conversation in conversations {
            unknown.push(self.peer(conversation));
            if self.is_nameless_group(conversation) {
                self.ask_group(ask, conversation)?;
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|id| *id != 0 && !self.names.users.contains_key(id));
        for chunk in unknown.chunks(USERS_PER_CALL) {
            let user_ids = chunk.to_vec();
            if let Reply::GetUsers(found) = ask.ask(Request::GetUsers(v1::GetUsersRequest { user_ids }))? {
                for user in found.users {
                    self.learn_user(user.user_id, &user.name);
                }
            }
        }
        Ok(())
    }

    fn ask_group(&mut self, ask: &mut impl Ask, conversation_id: u64) -> Result<(), Error> {
        let request = Request::GetConversation(v1::GetConversationRequest { conversation_id });
        match ask.ask(request) {
            Ok(Reply::GetConversation(found)) => {
                self.learn_conversations(found.conversation.as_slice());
                Ok(())
            }
            // Without a name its id has to do.
            Ok(_) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::EventKind;

    use super::*;

    fn renamed(conversation_id: u64, seq: u64, name: &str) -> v1::Event {
        v1::Event {
            conversation_id,
            seq,
            kind: EventKind::GroupRenamed.into(),
            body: Some(v1::EventBody {
                group: Some(v1::GroupChange {
                    name: name.to_owned(),
                    ..v1::GroupChange::default()
                }),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        }
    }

    #[test]
    fn an_older_name_does_not_take_the_place_of_a_newer_one() {
        let group = ConversationId::group_from_hash(9).get();
        let mut names = Directory::of(1, "anna");
        names.learn_conversations(&[v1::Conversation {
            conversation_id: group,
            name: "new".to_owned(),
            head_seq: 50,
            ..v1::Conversation::default()
        }]);
        names.learn_event(&renamed(group, 7, "old"));
        assert_eq!(names.conversation(group), "#new");
        names.learn_event(&renamed(group, 51, "newest"));
        assert_eq!(names.conversation(group), "#newest");
    }

    #[test]
    fn who_is_added_again_asks_for_the_name() {
        let group = ConversationId::group_from_hash(9).get();
        let mut names = Directory::of(1, "anna");
        names.learn_event(&renamed(group, 7, "before"));
        let mut added = renamed(group, 90, "");
        added.kind = EventKind::MembersAdded.into();
        if let Some(change) = added.body.as_mut().and_then(|body| body.group.as_mut()) {
            change.user_ids = vec![1];
        }
        names.learn_event(&added);
        assert!(names.is_nameless_group(group));
        // The same event again, after the answer, asks for nothing.
        names.learn_group(group, "after", 95);
        names.learn_event(&added);
        assert_eq!(names.conversation(group), "#after");
    }
}
