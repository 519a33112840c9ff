//! Whether an append is allowed, and what it becomes. The rules of groups are in `group.rs`. It must never be asked
//! about a known client id: a repeated request gets its first answer, whatever the rules would decide now.

use bytes::Bytes;

use super::{Draft, Drafts, Lookup, Membership, Stop, Target};
use crate::{
    error::Refused,
    shape::Shape,
    types::{ConversationId, EventKind, Role, Seq},
    write::{Action, Append, Rules},
};

/// The conversations whose logs an append may write: its own first, then others. A store that locks rows locks these.
pub(crate) fn logs_of(append: &Append) -> impl Iterator<Item = ConversationId> + use<> {
    let reach = append.action.reach();
    let sender = append.sender;
    let person = reach.person.into_iter().flat_map(move |person| {
        let between = ConversationId::between(sender, person);
        between.into_iter().chain([ConversationId::own(person)])
    });
    std::iter::once(append.conversation)
        .chain(reach.other)
        .chain(person)
}

/// What an append becomes, or why it is refused. Its client id is new.
pub(crate) fn decide<'a, L: Lookup>(
    rules: &Rules,
    append: &'a Append,
    known: &mut L,
) -> Result<Drafts<'a>, Stop<L::Failure>> {
    Case { rules, append, known }.decide()
}

/// An append before it is decided.
pub(super) struct Case<'a, 'k, L> {
    pub(super) rules: &'k Rules,
    pub(super) append: &'a Append,
    pub(super) known: &'k mut L,
}

type Decided<T, L> = Result<T, Stop<<L as Lookup>::Failure>>;

impl<'a, L: Lookup> Case<'a, '_, L> {
    fn decide(&mut self) -> Decided<Drafts<'a>, L> {
        let append = self.append;
        let draft = match &append.action {
            Action::Message {
                kind,
                body,
                expires_at,
                reply_to,
            } => {
                self.may_write(append.conversation)?;
                let kind = EventKind::message(*kind).ok_or(Refused::Forbidden)?;
                if *reply_to != Seq(0) {
                    self.target(*reply_to)?;
                }
                Draft {
                    expires_at: *expires_at,
                    ..Draft::new(append, kind, Seq(0), body.clone())
                }
            }
            Action::Edit { target, body, fits } => {
                let role = self.member(append.conversation)?.role;
                self.open(append.conversation)?;
                let message = self.changeable(*target, role, false)?;
                if message.expires_at.is_past(append.at) {
                    return Err(Refused::Gone.into());
                }
                if !fits.has(message.kind) {
                    return Err(Refused::Unfit.into());
                }
                if self.known.edits_of(*target)? >= u64::from(self.rules.message_edits_max) {
                    return Err(Refused::LimitReached.into());
                }
                Draft {
                    expires_at: message.expires_at,
                    ..Draft::new(append, EventKind::Edit, *target, body.clone())
                }
            }
            Action::Recall { target } => {
                let role = self.member(append.conversation)?.role;
                self.changeable(*target, role, true)?;
                Draft::new(append, EventKind::Recall, *target, Bytes::new())
            }
            Action::React {
                target,
                reaction,
                body,
            } => {
                self.member(append.conversation)?;
                self.open(append.conversation)?;
                let message = self.target(*target)?;
                if message.recalled || message.expires_at.is_past(append.at) {
                    return Err(Refused::Gone.into());
                }
                self.new_reaction(*target, reaction)?;
                Draft {
                    reaction,
                    ..Draft::new(append, EventKind::Reaction, *target, body.clone())
                }
            }
            Action::CreateGroup { name, members } => self.create_group(name, members)?,
            Action::AddMembers { users } => self.add_members(users)?,
            Action::RemoveMember { user } => self.remove_member(*user)?,
            Action::Leave => self.leave()?,
            Action::SetRole { user, role } => self.set_role(*user, *role)?,
            Action::Set { setting, value } => self.set(*setting, value)?,
            Action::Disband => self.disband()?,
            Action::SetEntry { key, value } => self.set_entry(key, value)?,
            Action::RemoveEntry { key } => self.remove_entry(key)?,
            Action::Person(action) => return self.person(action),
            #[cfg(any(test, feature = "conformance"))]
            Action::Pair { other, body } => return self.pair(*other, body),
        };
        Ok(draft.into())
    }

    #[cfg(any(test, feature = "conformance"))]
    fn pair(&mut self, other: ConversationId, body: &Bytes) -> Decided<Drafts<'a>, L> {
        let append = self.append;
        self.may_write(append.conversation)?;
        self.may_write(other)?;
        let first = Draft::new(append, EventKind::Message(1), Seq(0), body.clone());
        let second = Draft {
            conversation: other,
            client_id: append.client_id.of_the_other(),
            ..first.clone()
        };
        Ok(Drafts {
            first,
            others: vec![second],
        })
    }

    /// Checks that the sender may write here now. 1:1 conversations and own logs need not exist yet.
    fn may_write(&mut self, conversation: ConversationId) -> Decided<(), L> {
        let shape = Shape::of(conversation).ok_or(Refused::NotFound)?;
        if shape == Shape::Group {
            self.member(conversation)?;
            return Ok(());
        }
        if !shape.fixed_members().any(|user| user == self.append.sender) {
            return Err(Refused::NotFound.into());
        }
        // Accounts are never deleted: a user who had one at the first event has one now.
        let Some(head) = self.known.head(conversation)? else {
            if !self.known.all_exist(shape.fixed_members())? {
                return Err(Refused::NotFound.into());
            }
            return match shape.peer_of(self.append.sender) {
                Some(peer) => self.may_begin_with(peer),
                None => Ok(()),
            };
        };
        if head.closed.is_closed() {
            return Err(Refused::Forbidden.into());
        }
        Ok(())
    }

    /// Checks that the conversation is not closed between its two.
    fn open(&mut self, conversation: ConversationId) -> Decided<(), L> {
        let head = self.known.head(conversation)?;
        if head.is_some_and(|head| head.closed.is_closed()) {
            return Err(Refused::Forbidden.into());
        }
        Ok(())
    }

    /// The sender's present membership of an existing conversation.
    pub(super) fn member(&mut self, conversation: ConversationId) -> Decided<Membership, L> {
        let head = self.known.head(conversation)?.ok_or(Refused::NotFound)?;
        let membership = self.known.membership(conversation)?.ok_or(Refused::NotFound)?;
        if membership.is_over {
            return Err(Refused::Forbidden.into());
        }
        if head.disbanded {
            return Err(Refused::Gone.into());
        }
        Ok(membership)
    }

    /// A displayable message that the sender can see.
    fn target(&mut self, target: Seq) -> Decided<Target, L> {
        Ok(self.known.target(target)?.ok_or(Refused::NotFound)?)
    }

    /// A message that the sender may change: their own, or, if moderators may, any.
    fn changeable(&mut self, target: Seq, role: Role, moderating: bool) -> Decided<Target, L> {
        let message = self.target(target)?;
        if message.sender != self.append.sender && !(moderating && role >= Role::Admin) {
            return Err(Refused::Forbidden.into());
        }
        if message.recalled {
            return Err(Refused::Gone.into());
        }
        Ok(message)
    }

    /// Checks that the sender's reaction differs from the present one, and that there is room for it: only a first one
    /// needs more room.
    fn new_reaction(&mut self, target: Seq, reaction: &str) -> Decided<(), L> {
        let present = self.known.reaction(target)?;
        if self
            .known
            .is_same(present.as_deref().unwrap_or_default(), reaction)
        {
            return Err(Refused::NothingToDo.into());
        }
        let most = u64::from(self.rules.message_reactions_max);
        if present.is_none() && self.known.reactions_to(target)? >= most {
            return Err(Refused::LimitReached.into());
        }
        Ok(())
    }
}
