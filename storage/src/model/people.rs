//! Friends and blocks, case by case: for each, who gets which event, or why nobody does.

use super::{append::Draft, entries::entry_draft, state::State};
use crate::{
    entry::{EntryClass, EntryView, block_key, friend_key},
    error::Refused,
    friend::{Friend, FriendState, PersonAct, PersonAction, REQUEST_LASTS_MS},
    types::{ConversationId, EventKind, Timestamp, UserId},
    write::{Append, Appended, Outcome},
};

/// An event in somebody's log, or between two.
type Caused = (ConversationId, Draft);

impl State {
    pub(super) fn person(&mut self, append: &Append, action: &PersonAction) -> Result<Outcome, Refused> {
        let (first, others) = self.decide_about(append, action)?;
        let event = self.enter(append, first)?;
        let mut entered = Vec::new();
        for (conversation, draft) in others {
            let by_server = Append {
                conversation,
                sender: UserId::SERVER,
                ..append.clone()
            };
            entered.push(self.enter(&by_server, draft)?);
        }
        Ok(Outcome::Appended(Appended {
            event,
            others: entered,
            duplicate: false,
        }))
    }

    fn decide_about(&self, append: &Append, action: &PersonAction) -> Result<(Draft, Vec<Caused>), Refused> {
        self.own_log(append)?;
        let (user, person, now) = (append.sender, action.with, append.at);
        if person == user || !self.exists(person) {
            return Err(Refused::NotFound);
        }
        let (own_log, their_log) = (ConversationId::own(user), ConversationId::own(person));
        let (own_key, their_key) = (friend_key(person), friend_key(user));
        let own = self.entries(user).remove(&own_key);
        let theirs = self.entries(person).remove(&their_key);
        let gone = |key: &str| entry_draft(key.to_owned(), None);
        let set = |key: &str, friend: Friend| {
            entry_draft(key.to_owned(), Some((friend.state.class(), friend.to_value())))
        };
        // A new state of a side, with the private words that it has.
        let next = |side: &Option<EntryView>, state, greeting: &str| {
            let mut friend = Friend::new(state, greeting.to_owned(), now);
            if let Some(old) = side.as_ref().and_then(|side| Friend::of_value(&side.value)) {
                (friend.remark, friend.tags) = (old.remark, old.tags);
            }
            friend
        };
        let is = |side: &Option<EntryView>, class| side.as_ref().is_some_and(|side| side.class == class);
        let counts = |side: &Option<EntryView>, class| {
            is(side, class)
                && side
                    .as_ref()
                    .is_some_and(|side| side.at.0 > now.0.saturating_sub(REQUEST_LASTS_MS))
        };
        let befriend = || {
            let most = self.rules.friends_max as usize;
            let friends = |user| self.all_of(user, EntryClass::Friends, Timestamp(0)).len();
            if friends(user) >= most || friends(person) >= most {
                return Err(Refused::LimitReached);
            }
            let between = ConversationId::between(user, person).ok_or(Refused::NotFound)?;
            Ok((
                set(&own_key, next(&own, FriendState::Friends, "")),
                vec![
                    (
                        their_log,
                        set(&their_key, next(&theirs, FriendState::Friends, "")),
                    ),
                    (between, Draft::new(EventKind::BecameFriends)),
                ],
            ))
        };
        match &action.act {
            PersonAct::Request { greeting } => {
                if self.blocks(user, person) {
                    return Err(Refused::Forbidden);
                }
                if is(&own, EntryClass::Friends) || counts(&own, EntryClass::Requested) {
                    return Err(Refused::NothingToDo);
                }
                if self.blocks(person, user) {
                    self.room_for_request(user, now)?;
                    let requested = next(&own, FriendState::Requested, greeting);
                    return Ok((set(&own_key, requested), Vec::new()));
                }
                if counts(&theirs, EntryClass::Requested) {
                    return befriend();
                }
                self.room_for_request(user, now)?;
                let mut others = Vec::new();
                let incoming = self.all_of(person, EntryClass::Incoming, Timestamp(0));
                let is_full = incoming.len() >= self.rules.friend_requests_max as usize;
                if is_full && !is(&theirs, EntryClass::Incoming) {
                    let oldest = incoming.iter().min_by_key(|entry| (entry.at, entry.seq));
                    others.extend(oldest.map(|oldest| (their_log, gone(&oldest.key))));
                }
                let new = next(&theirs, FriendState::Incoming, greeting);
                others.push((their_log, set(&their_key, new)));
                let requested = next(&own, FriendState::Requested, greeting);
                Ok((set(&own_key, requested), others))
            }
            PersonAct::Answer { accept } => match (counts(&own, EntryClass::Incoming), accept) {
                (false, _) => Err(Refused::NotFound),
                (true, true) => befriend(),
                (true, false) => Ok((gone(&own_key), Vec::new())),
            },
            PersonAct::Withdraw if is(&own, EntryClass::Requested) => {
                let told = is(&theirs, EntryClass::Incoming).then(|| (their_log, gone(&their_key)));
                Ok((gone(&own_key), told.into_iter().collect()))
            }
            PersonAct::Remove if is(&own, EntryClass::Friends) => {
                let told = is(&theirs, EntryClass::Friends).then(|| (their_log, gone(&their_key)));
                Ok((gone(&own_key), told.into_iter().collect()))
            }
            PersonAct::Note { remark, tags } => {
                let own = own.filter(|own| own.class == EntryClass::Friends);
                let mut friend = own
                    .and_then(|own| Friend::of_value(&own.value))
                    .ok_or(Refused::NotFound)?;
                if friend.remark == *remark && friend.tags == *tags {
                    return Err(Refused::NothingToDo);
                }
                (friend.remark, friend.tags) = (remark.clone(), tags.clone());
                Ok((set(&own_key, friend), Vec::new()))
            }
            PersonAct::Block if !self.blocks(user, person) => {
                let blocked = self.all_of(user, EntryClass::Blocked, Timestamp(0));
                if blocked.len() >= self.rules.blocks_max as usize {
                    return Err(Refused::LimitReached);
                }
                let block = Some((EntryClass::Blocked, bytes::Bytes::new()));
                let mut others = Vec::new();
                if own.is_some() {
                    others.push((own_log, gone(&own_key)));
                }
                if is(&theirs, EntryClass::Friends) || is(&theirs, EntryClass::Incoming) {
                    others.push((their_log, gone(&their_key)));
                }
                Ok((entry_draft(block_key(person), block), others))
            }
            PersonAct::Unblock if self.blocks(user, person) => {
                Ok((entry_draft(block_key(person), None), Vec::new()))
            }
            PersonAct::Withdraw | PersonAct::Remove | PersonAct::Block | PersonAct::Unblock => {
                Err(Refused::NothingToDo)
            }
        }
    }

    fn room_for_request(&self, user: UserId, now: Timestamp) -> Result<(), Refused> {
        let expired = Timestamp(now.0.saturating_sub(REQUEST_LASTS_MS));
        let open = self.all_of(user, EntryClass::Requested, expired);
        if open.len() >= self.rules.friend_requests_max as usize {
            return Err(Refused::LimitReached);
        }
        Ok(())
    }

    /// The entries of a class that came to stand so after a time; 0 is before all.
    fn all_of(&self, user: UserId, class: EntryClass, since: Timestamp) -> Vec<EntryView> {
        let all = self.entries(user).into_values();
        all.filter(|entry| entry.class == class && (since.0 == 0 || entry.at > since))
            .collect()
    }
}
