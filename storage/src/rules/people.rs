//! The rules of friends and blocks: what an act about a person becomes in both own logs. What it closes or opens between
//! the two follows from those events.

use super::{Draft, Drafts, Lookup, Stop, append::Case};
use crate::{
    entry::{EntryClass, EntryView, block_key, friend_key},
    error::Refused,
    friend::{Friend, FriendState, PersonAct, PersonAction, REQUEST_LASTS_MS},
    types::{ConversationId, EventKind, Seq, Timestamp, UserId},
};

/// The two sides of what is between a user and a person.
struct Sides {
    with: UserId,
    /// The user's, in their own log.
    own: Option<EntryView>,
    /// The person's.
    theirs: Option<EntryView>,
}

impl Sides {
    /// The words that a side keeps when its state changes.
    fn changed(side: Option<&EntryView>, state: FriendState, greeting: &str, since: Timestamp) -> Friend {
        let new = Friend::new(state, greeting.to_owned(), since);
        match side.and_then(|side| Friend::of_value(&side.value)) {
            Some(before) => Friend {
                remark: before.remark,
                tags: before.tags,
                ..new
            },
            None => new,
        }
    }
}

fn is(side: Option<&EntryView>, class: EntryClass) -> bool {
    side.is_some_and(|side| side.class == class)
}

impl<'a, L: Lookup> Case<'a, '_, L> {
    pub(super) fn person(&mut self, action: &PersonAction) -> Result<Drafts<'a>, Stop<L::Failure>> {
        let PersonAction { with, act } = action;
        self.own_log()?;
        let sender = self.append.sender;
        if *with == sender || !self.known.all_exist(std::iter::once(*with))? {
            return Err(Refused::NotFound.into());
        }
        let sides = Sides {
            with: *with,
            own: self.known.entry(sender, &friend_key(*with))?,
            theirs: self.known.entry(*with, &friend_key(sender))?,
        };
        match act {
            PersonAct::Request { greeting } => self.request(&sides, greeting),
            PersonAct::Answer { accept } => self.answer(&sides, *accept),
            PersonAct::Withdraw => self.withdraw(&sides),
            PersonAct::Remove => self.remove_friend(&sides),
            PersonAct::Note { remark, tags } => self.note(&sides, remark, tags),
            PersonAct::Block => self.block(&sides),
            PersonAct::Unblock => {
                if !self.blocks(sender, *with)? {
                    return Err(Refused::NothingToDo.into());
                }
                Ok(self.own_entry(block_key(*with), None).into())
            }
        }
    }

    /// Whether one user blocks another one.
    fn blocks(&mut self, one: UserId, other: UserId) -> Result<bool, Stop<L::Failure>> {
        let classes = self.known.classes(&[(one, block_key(other))])?;
        Ok(classes.first() == Some(&Some(EntryClass::Blocked)))
    }

    /// A request that counts still: it is in that state, and young enough.
    fn counts(&self, side: Option<&EntryView>, class: EntryClass) -> bool {
        is(side, class) && side.is_some_and(|side| side.at > self.expired())
    }

    /// What came to stand so then or before does not count any more.
    const fn expired(&self) -> Timestamp {
        Timestamp(self.append.at.0.saturating_sub(REQUEST_LASTS_MS))
    }

    fn own_entry(&self, key: String, state: Option<&Friend>) -> Draft<'a> {
        let state = state.map(|friend| (friend.state.class(), friend.to_value()));
        Draft::entry(self.append, key, state)
    }

    /// What the person's own log gets.
    fn their_entry(&self, sides: &Sides, state: Option<&Friend>) -> Draft<'a> {
        let key = friend_key(self.append.sender);
        self.own_entry(key, state).caused(ConversationId::own(sides.with))
    }

    fn request(&mut self, sides: &Sides, greeting: &str) -> Result<Drafts<'a>, Stop<L::Failure>> {
        let (sender, now) = (self.append.sender, self.append.at);
        let (own, theirs) = (sides.own.as_ref(), sides.theirs.as_ref());
        if self.blocks(sender, sides.with)? {
            return Err(Refused::Forbidden.into());
        }
        if is(own, EntryClass::Friends) || self.counts(own, EntryClass::Requested) {
            return Err(Refused::NothingToDo.into());
        }
        // Whoever blocks the sender has no request to them: the block ended it.
        if self.counts(theirs, EntryClass::Requested) {
            return self.become_friends(sides);
        }
        let is_blocked = self.blocks(sides.with, sender)?;
        let most = u64::from(self.rules.friend_requests_max);
        let expired = self.expired();
        if self.known.entries_of(sender, EntryClass::Requested, expired)? >= most {
            return Err(Refused::LimitReached.into());
        }
        let requested = Sides::changed(own, FriendState::Requested, greeting, now);
        let first = self.own_entry(friend_key(sides.with), Some(&requested));
        let mut others = Vec::new();
        if !is_blocked {
            let is_there = is(theirs, EntryClass::Incoming);
            let incoming = self
                .known
                .entries_of(sides.with, EntryClass::Incoming, Timestamp(0))?;
            if !is_there
                && incoming >= most
                && let Some(oldest) = self.known.oldest_entry(sides.with, EntryClass::Incoming)?
            {
                let gone = Draft::entry(self.append, oldest, None);
                others.push(gone.caused(ConversationId::own(sides.with)));
            }
            let incoming = Sides::changed(theirs, FriendState::Incoming, greeting, now);
            others.push(self.their_entry(sides, Some(&incoming)));
        }
        Ok(Drafts { first, others })
    }

    fn answer(&mut self, sides: &Sides, accept: bool) -> Result<Drafts<'a>, Stop<L::Failure>> {
        if !self.counts(sides.own.as_ref(), EntryClass::Incoming) {
            return Err(Refused::NotFound.into());
        }
        if accept {
            return self.become_friends(sides);
        }
        Ok(self.own_entry(friend_key(sides.with), None).into())
    }

    fn become_friends(&mut self, sides: &Sides) -> Result<Drafts<'a>, Stop<L::Failure>> {
        let (sender, now) = (self.append.sender, self.append.at);
        for user in [sender, sides.with] {
            let friends = self.known.entries_of(user, EntryClass::Friends, Timestamp(0))?;
            if friends >= u64::from(self.rules.friends_max) {
                return Err(Refused::LimitReached.into());
            }
        }
        let (own, theirs) = (sides.own.as_ref(), sides.theirs.as_ref());
        let friends = |side| Sides::changed(side, FriendState::Friends, "", now);
        let first = self.own_entry(friend_key(sides.with), Some(&friends(own)));
        let mut others = vec![self.their_entry(sides, Some(&friends(theirs)))];
        if let Some(between) = ConversationId::between(sender, sides.with) {
            let said = Draft::new(self.append, EventKind::BecameFriends, Seq(0), bytes::Bytes::new());
            others.push(said.caused(between));
        }
        Ok(Drafts { first, others })
    }

    fn withdraw(&self, sides: &Sides) -> Result<Drafts<'a>, Stop<L::Failure>> {
        if !is(sides.own.as_ref(), EntryClass::Requested) {
            return Err(Refused::NothingToDo.into());
        }
        Ok(self.over(sides, &[EntryClass::Incoming]))
    }

    fn remove_friend(&self, sides: &Sides) -> Result<Drafts<'a>, Stop<L::Failure>> {
        if !is(sides.own.as_ref(), EntryClass::Friends) {
            return Err(Refused::NothingToDo.into());
        }
        Ok(self.over(sides, &[EntryClass::Friends]))
    }

    /// The user's entry of the person goes, and the person's if it is one of these.
    fn over(&self, sides: &Sides, theirs: &[EntryClass]) -> Drafts<'a> {
        let first = self.own_entry(friend_key(sides.with), None);
        let others = self.their_end(sides, theirs).into_iter().collect();
        Drafts { first, others }
    }

    fn their_end(&self, sides: &Sides, classes: &[EntryClass]) -> Option<Draft<'a>> {
        let ends = classes.iter().any(|class| is(sides.theirs.as_ref(), *class));
        ends.then(|| self.their_entry(sides, None))
    }

    fn note(&self, sides: &Sides, remark: &str, tags: &[String]) -> Result<Drafts<'a>, Stop<L::Failure>> {
        let own = sides.own.as_ref().filter(|own| own.class == EntryClass::Friends);
        let own = own.and_then(|own| Friend::of_value(&own.value));
        let own = own.ok_or(Refused::NotFound)?;
        let noted = Friend {
            remark: remark.to_owned(),
            tags: tags.to_vec(),
            ..own.clone()
        };
        if noted == own {
            return Err(Refused::NothingToDo.into());
        }
        Ok(self.own_entry(friend_key(sides.with), Some(&noted)).into())
    }

    fn block(&mut self, sides: &Sides) -> Result<Drafts<'a>, Stop<L::Failure>> {
        let sender = self.append.sender;
        if self.blocks(sender, sides.with)? {
            return Err(Refused::NothingToDo.into());
        }
        let blocked = self.known.entries_of(sender, EntryClass::Blocked, Timestamp(0))?;
        if blocked >= u64::from(self.rules.blocks_max) {
            return Err(Refused::LimitReached.into());
        }
        let state = Some((EntryClass::Blocked, bytes::Bytes::new()));
        let first = Draft::entry(self.append, block_key(sides.with), state);
        let mut others = Vec::new();
        if sides.own.is_some() {
            let gone = self.own_entry(friend_key(sides.with), None);
            others.push(gone.caused(self.append.conversation));
        }
        // Their own request stays: that it was answered with a block is not told.
        others.extend(self.their_end(sides, &[EntryClass::Friends, EntryClass::Incoming]));
        Ok(Drafts { first, others })
    }
}
