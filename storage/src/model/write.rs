//! The writes that are not appends.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::state::{Cursor, State};
use crate::{
    erasing::expires,
    error::Refused,
    types::{
        ConversationId, Credentials, DeviceClass, Position, Seq, Session, SessionId, Timestamp, User, UserId,
    },
    write::{CursorMove, NewSession, NewUser, Outcome, ProfileChange, Revoke, SessionCreated, Write},
};

/// Users' ids stay below this.
const USERS_END: u64 = 1 << 31;

impl State {
    pub(super) fn write(&mut self, write: &Write) -> Result<Outcome, Refused> {
        match write {
            Write::Append(append) => self.append(append),
            Write::Cursors(moves) => Ok(self.move_cursors(moves)),
            Write::CreateUser(new) => self.create_user(new),
            Write::UpdateProfile(change) => self.update_profile(change),
            Write::CreateSession(new) => self.create_session(new),
            Write::RevokeSessions(revoke) => Ok(self.revoke(*revoke)),
            Write::TouchSessions(touched) => {
                for (id, at) in touched {
                    if let Some((session, _)) = self.sessions.get_mut(id) {
                        session.last_seen_at = session.last_seen_at.max(*at);
                    }
                }
                Ok(Outcome::Done)
            }
            Write::Erase(now) => Ok(self.erase_expired(*now)),
        }
    }

    /// Erases all at once. Recalled bodies never wait here.
    fn erase_expired(&mut self, now: Timestamp) -> Outcome {
        let mut erased = false;
        let entries = self
            .conversations
            .values_mut()
            .flat_map(|conversation| &mut conversation.log);
        for entry in entries {
            let event = &entry.event;
            if !event.body.is_empty() && event.has_expired(now) && expires(event).is_some() {
                Arc::make_mut(&mut entry.event).body = Bytes::new();
                erased = true;
            }
        }
        Outcome::Erased(erased)
    }

    fn move_cursors(&mut self, moves: &[CursorMove]) -> Outcome {
        let mut moved: Vec<CursorMove> = Vec::new();
        let beyond = moves.iter().filter(|wanted| self.is_beyond(wanted));
        let beyond = beyond.map(|wanted| (wanted.conversation, wanted.user)).collect();
        for wanted in moves {
            let Some(new) = self.moved(wanted) else { continue };
            let same =
                |other: &&mut CursorMove| other.conversation == new.conversation && other.user == new.user;
            match moved.iter_mut().find(same) {
                Some(before) => *before = new,
                None => moved.push(new),
            }
            self.put_cursor(&new, Position(0));
        }
        if moved.is_empty() {
            return Outcome::Cursors(moved, Position(0), beyond);
        }
        let position = self.next_position();
        for new in &moved {
            self.put_cursor(new, position);
        }
        Outcome::Cursors(moved, position, beyond)
    }

    fn is_beyond(&self, wanted: &CursorMove) -> bool {
        let conversation = self.conversations.get(&wanted.conversation);
        let head = conversation.and_then(|conversation| conversation.visible_head(wanted.user));
        head.is_some_and(|head| wanted.delivered.max(wanted.read) > head)
    }

    /// The value of a cursor after a move, if it differs.
    fn moved(&self, wanted: &CursorMove) -> Option<CursorMove> {
        let conversation = self.conversations.get(&wanted.conversation)?;
        let head = conversation.visible_head(wanted.user)?;
        let old = conversation
            .cursors
            .get(&wanted.user)
            .copied()
            .unwrap_or_default();
        let read = old.read.max(wanted.read.min(head));
        let delivered = old.delivered.max(wanted.delivered.min(head)).max(read);
        let elsewhere = read != old.read || delivered != old.delivered;
        elsewhere.then_some(CursorMove {
            conversation: wanted.conversation,
            user: wanted.user,
            delivered,
            read,
        })
    }

    fn put_cursor(&mut self, new: &CursorMove, position: Position) {
        if let Some(conversation) = self.conversations.get_mut(&new.conversation) {
            let cursor = conversation.cursors.entry(new.user).or_default();
            *cursor = Cursor {
                delivered: new.delivered,
                read: new.read,
                moved: cursor.moved.max(position),
            };
        }
    }

    fn create_user(&mut self, new: &NewUser) -> Result<Outcome, Refused> {
        if self.names.contains_key(&new.name) {
            return Err(Refused::NameTaken);
        }
        let id = UserId(self.accounts.len() as u64 + 1);
        if id.0 >= USERS_END {
            return Err(Refused::LimitReached);
        }
        let user = User {
            id,
            name: new.name.clone(),
            display_name: new.display_name.clone(),
            avatar: String::new(),
            status: String::new(),
            version: 1,
            created_at: new.at,
        };
        self.names.insert(new.name.clone(), id);
        let credentials = Credentials {
            user: user.clone(),
            password_hash: new.password_hash.clone(),
        };
        self.accounts.insert(id, credentials);
        Ok(Outcome::User(user))
    }

    fn update_profile(&mut self, change: &ProfileChange) -> Result<Outcome, Refused> {
        let user = &mut self.accounts.get_mut(&change.user).ok_or(Refused::NotFound)?.user;
        let before = user.clone();
        for (field, new) in [
            (&mut user.display_name, &change.display_name),
            (&mut user.avatar, &change.avatar),
            (&mut user.status, &change.status),
        ] {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        if *user != before {
            user.version += 1;
        }
        Ok(Outcome::User(user.clone()))
    }

    fn create_session(&mut self, new: &NewSession) -> Result<Outcome, Refused> {
        let session = &new.session;
        if !self.accounts.contains_key(&session.user) {
            return Err(Refused::NotFound);
        }
        let taken = self.sessions.contains_key(&session.id)
            || self
                .sessions
                .values()
                .any(|(_, token_hash)| *token_hash == new.token_hash);
        if taken {
            return Err(Refused::Conflict);
        }
        let replaced = self
            .sessions_of(session.user)
            .find(|other| other.device_id == session.device_id)
            .map(|other| other.id);
        if let Some(id) = replaced {
            self.sessions.remove(&id);
        }
        self.sessions
            .insert(session.id, (session.clone(), new.token_hash));
        let mut displaced = self.displace(new, Some(session.class), new.policy.of(session.class));
        if session.class != DeviceClass::Script {
            displaced.extend(self.displace(new, None, new.policy.total));
        }
        Ok(Outcome::Session(SessionCreated { replaced, displaced }))
    }

    /// Ends the user's least recently seen sessions except `new`, connected ones last, until at most `limit` are left,
    /// of one class or of all but scripts.
    fn displace(&mut self, new: &NewSession, class: Option<DeviceClass>, limit: u32) -> Vec<SessionId> {
        let counted = self
            .sessions_of(new.session.user)
            .filter(|session| match class {
                Some(class) => session.class == class,
                None => session.class != DeviceClass::Script,
            })
            .map(|session| {
                let is_online = new.online.contains(&session.id);
                ((is_online, session.last_seen_at, session.id), session.id)
            })
            .collect::<BTreeMap<_, _>>();
        let excess = counted.len().saturating_sub(limit as usize);
        let displaced: Vec<SessionId> = counted
            .into_values()
            .filter(|id| *id != new.session.id)
            .take(excess)
            .collect();
        for id in &displaced {
            self.sessions.remove(id);
        }
        displaced
    }

    fn revoke(&mut self, revoke: Revoke) -> Outcome {
        let ended: Vec<SessionId> = match revoke {
            Revoke::One(user, id) => self
                .sessions_of(user)
                .map(|session| session.id)
                .filter(|other| *other == id)
                .collect(),
            Revoke::Others(user, id) => self
                .sessions_of(user)
                .map(|session| session.id)
                .filter(|other| *other != id)
                .collect(),
        };
        for id in &ended {
            self.sessions.remove(id);
        }
        Outcome::Revoked(ended)
    }

    pub(super) fn sessions_of(&self, user: UserId) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .map(|(session, _)| session)
            .filter(move |session| session.user == user)
    }

    /// For reads: the cursor of a user, which may never have moved.
    pub(super) fn cursor(&self, conversation: ConversationId, user: UserId) -> (Seq, Seq) {
        let cursor = self
            .conversations
            .get(&conversation)
            .and_then(|conversation| conversation.cursors.get(&user))
            .copied()
            .unwrap_or_default();
        (cursor.delivered, cursor.read)
    }
}
