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

    pub(crate) fn learn_group(&mut self, conversation: u64, name: &str) {
        if !name.is_empty()
            && self
                .names
                .groups
                .get(&conversation)
                .is_none_or(|known| known != name)
        {
            self.names.groups.insert(conversation, name.to_owned());
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
            self.learn_group(conversation.conversation_id, &conversation.name);
        }
    }

    /// What an event says about names: a group was created or renamed.
    pub(crate) fn learn_event(&mut self, event: &v1::Event) {
        if let Some(change) = event.body.as_ref().and_then(|body| body.group.as_ref()) {
            self.learn_group(event.conversation_id, &change.name);
        }
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
            let is_group = ConversationId::parse(conversation).map(ConversationId::class)
                == Some(ConversationClass::Group);
            if is_group && !self.names.groups.contains_key(&conversation) {
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
                let name = found.conversation.map(|conversation| conversation.name);
                self.learn_group(conversation_id, &name.unwrap_or_default());
                Ok(())
            }
            // Without a name its id has to do.
            Ok(_) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
