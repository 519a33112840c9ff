//! An append: the search for an earlier result, and its rows in the log once the rules allow it. It must never write
//! before everything is decided: a refusal leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    derive, entries,
    failure::{Failure, Stop},
    lookup, state,
    writer::Batch,
};
use crate::{
    entry::{EntryClass, EntryView},
    error::Refused,
    rules::{self, Draft, Head, Lookup, Membership, Target},
    setting::GroupSettings,
    types::{ConversationId, Event, EventKind, Role, Seq, Timestamp, UserId},
    write::{Append, Appended},
};

pub(super) fn append(batch: &mut Batch<'_>, append: &Append) -> Result<Appended, Stop> {
    if let Some(earlier) = batch.event_by_request(append)? {
        if earlier.fingerprint != append.fingerprint {
            return Err(Refused::Conflict.into());
        }
        return Ok(Appended {
            event: Arc::new(earlier.event),
            others: Vec::new(),
            duplicate: true,
        });
    }
    let head = batch.head(append.conversation)?;
    let rules = batch.rules;
    let drafts = rules::decide(&rules, append, &mut Known { batch, append, head })?;
    // From here on nothing is refused, and a failure ends the whole batch: all drafts or none.
    let event = enter(batch, append, head, drafts.first)?;
    let mut others = Vec::new();
    for draft in drafts.others {
        let head = batch.head(draft.conversation)?;
        others.push(enter(batch, append, head, draft)?);
    }
    Ok(Appended {
        event,
        others,
        duplicate: false,
    })
}

/// Takes the next seq and position, and writes the event and everything that follows from it.
fn enter(
    batch: &mut Batch<'_>,
    append: &Append,
    head: Option<Head>,
    draft: Draft<'_>,
) -> Result<Arc<Event>, Failure> {
    let reaction = draft.reaction;
    let event = Arc::new(draft.into_event(append.at, batch.next_position(), head));
    batch.log.enter(&event, append.fingerprint, reaction)?;
    derive::apply(&batch.read_view(), &event, reaction)?;
    batch.entered(&event, append.fingerprint, head);
    Ok(event)
}

/// The facts that the transaction supplies about an append.
struct Known<'a, 'b> {
    batch: &'a mut Batch<'b>,
    append: &'a Append,
    /// About the conversation of the append.
    head: Option<Head>,
}

impl Known<'_, '_> {
    const fn conversation(&self) -> ConversationId {
        self.append.conversation
    }
}

impl Lookup for Known<'_, '_> {
    type Failure = Failure;

    fn head(&mut self, of: ConversationId) -> Result<Option<Head>, Stop> {
        if of == self.conversation() {
            return Ok(self.head);
        }
        Ok(self.batch.head(of)?)
    }

    fn membership(&mut self, of: ConversationId) -> Result<Option<Membership>, Stop> {
        let stay = state::newest_stay(self.batch.connection, of, self.append.sender)?;
        Ok(stay.map(|stay| Membership {
            role: stay.role,
            is_over: stay.left.is_some(),
        }))
    }

    fn target(&mut self, seq: Seq) -> Result<Option<Target>, Stop> {
        let (conversation, sender) = (self.conversation(), self.append.sender);
        let Some(entry) = lookup::event_at(&self.batch.read_view(), conversation, seq)? else {
            let exists = self.head.is_some_and(|head| (1..=head.seq.0).contains(&seq.0));
            return if exists {
                Err(Failure::damaged("a seq below the head has no event").into())
            } else {
                Ok(None)
            };
        };
        let event = entry.event;
        if !event.kind.is_displayable() || !lookup::sees(self.batch.connection, conversation, sender, seq)? {
            return Ok(None);
        }
        Ok(Some(Target {
            sender: event.sender,
            kind: event.kind.number(),
            expires_at: event.expires_at,
            recalled: event.recalled,
        }))
    }

    fn edits_of(&mut self, message: Seq) -> Result<u64, Stop> {
        Ok(state::counts_of(self.batch.connection, self.conversation(), message)?.edits)
    }

    fn reactions_to(&mut self, message: Seq) -> Result<u64, Stop> {
        Ok(state::counts_of(self.batch.connection, self.conversation(), message)?.reactions)
    }

    fn reaction(&mut self, message: Seq) -> Result<Option<String>, Stop> {
        let (connection, sender) = (self.batch.connection, self.append.sender);
        Ok(lookup::reaction_of(
            connection,
            self.conversation(),
            message,
            sender,
        )?)
    }

    fn settings(&mut self) -> Result<GroupSettings, Stop> {
        Ok(lookup::settings(self.batch.connection, self.conversation())?)
    }

    fn all_exist(&mut self, users: impl Iterator<Item = UserId>) -> Result<bool, Stop> {
        for user in users {
            if !lookup::user_exists(self.batch.connection, user)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn role_of(&mut self, user: UserId) -> Result<Option<Role>, Stop> {
        let stay = lookup::member(self.batch.connection, self.conversation(), user)?;
        Ok(stay.map(|stay| stay.role))
    }

    fn members_among(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<UserId>, Stop> {
        let mut members = Vec::new();
        for user in users {
            if lookup::member(self.batch.connection, self.conversation(), *user)?.is_some() {
                members.push(*user);
            }
        }
        Ok(members)
    }

    fn left_at(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<Timestamp>, Stop> {
        let mut times = Vec::new();
        for user in users {
            let stay = state::newest_stay(self.batch.connection, self.conversation(), *user)?;
            let Some(left) = stay.and_then(|stay| stay.left) else {
                continue;
            };
            let entry = lookup::event_at(&self.batch.read_view(), self.conversation(), left.seq)?
                .ok_or_else(|| Failure::damaged("the event by which a member went is not in the log"))?;
            if entry.event.kind == EventKind::MemberLeft {
                times.push(entry.event.at);
            }
        }
        Ok(times)
    }

    fn owners(&mut self) -> Result<u64, Stop> {
        let members = state::members_of(self.batch.connection, self.conversation())?;
        let owners = members.iter().filter(|stay| stay.role == Role::Owner);
        Ok(owners.count() as u64)
    }

    fn entry(&mut self, of: UserId, key: &str) -> Result<Option<EntryView>, Stop> {
        Ok(entries::one(self.batch.connection, of, key)?)
    }

    fn classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, Stop> {
        Ok(entries::classes(self.batch.connection, asked)?)
    }

    fn entries_of(&mut self, user: UserId, class: EntryClass, since: Timestamp) -> Result<u64, Stop> {
        Ok(entries::count(self.batch.connection, user, class, since)?)
    }

    fn oldest_entry(&mut self, of: UserId, class: EntryClass) -> Result<Option<String>, Stop> {
        Ok(entries::oldest(self.batch.connection, of, class)?)
    }

    fn groups_of(&mut self, users: &BTreeSet<UserId>) -> Result<BTreeMap<UserId, u64>, Stop> {
        let mut groups = BTreeMap::new();
        for user in users {
            groups.insert(*user, state::memberships_of(self.batch.connection, *user)?.groups);
        }
        Ok(groups)
    }
}
