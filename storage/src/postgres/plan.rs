//! The batch plan: which writes of a batch go together in one statement, and which rows the others lock first.
//! Decisions over the batch alone; it must never ask the database.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    numbers::sql,
    reach::Begins,
    rules::logs_of,
    shape::Shape,
    types::{ClientId, ConversationId, EventKind, Seq, UserId},
    write::{Action, Append, Revoke, Write},
};

/// A batch, sorted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The places of messages that no other write of the batch affects.
    pub(super) messages: Vec<usize>,
    /// The places of everything else.
    pub(super) others: Vec<usize>,
    /// For each write, where its first event stands among all that the batch may become: what is added to the
    /// transaction's first position. So positions ascend with the writes.
    pub(super) numbers: Vec<i64>,
}

/// What the batch does in one conversation.
#[derive(Default)]
struct Use {
    appends: usize,
    /// There is a write other than a message.
    other: bool,
    replies: bool,
    /// A client id comes twice, or cursors move here, too.
    entangled: bool,
}

impl Plan {
    /// See [`Plan::numbers`].
    pub(super) fn number(&self, place: usize) -> i64 {
        self.numbers.get(place).copied().unwrap_or_default()
    }

    pub(super) fn of(writes: &[Write]) -> Self {
        // A later write may use an account that registers here.
        let registers = writes.iter().any(|write| matches!(write, Write::CreateUser(_)));
        let uses = uses(writes);
        let together = |append: &Append| {
            let Some(here) = uses.get(&append.conversation) else {
                return false;
            };
            !registers && !here.other && !here.entangled && (here.appends == 1 || !here.replies)
        };
        let mut plan = Self {
            numbers: Vec::with_capacity(writes.len()),
            ..Self::default()
        };
        let mut number = 0;
        for (place, write) in writes.iter().enumerate() {
            plan.numbers.push(sql(number));
            number += events_max(write);
            match write {
                Write::Append(append) if together(append) => plan.messages.push(place),
                Write::Append(_)
                | Write::Cursors(_)
                | Write::CreateUser(_)
                | Write::UpdateProfile(_)
                | Write::CreateSession(_)
                | Write::RevokeSessions(_)
                | Write::TouchSessions(_)
                | Write::Erase(_) => plan.others.push(place),
            }
        }
        plan
    }
}

/// Positions that a write may need, at most.
fn events_max(write: &Write) -> u64 {
    match write {
        Write::Append(append) => append.action.reach().events_max(),
        Write::Cursors(_)
        | Write::CreateUser(_)
        | Write::UpdateProfile(_)
        | Write::CreateSession(_)
        | Write::RevokeSessions(_)
        | Write::TouchSessions(_)
        | Write::Erase(_) => 1,
    }
}

fn uses(writes: &[Write]) -> HashMap<ConversationId, Use> {
    let mut uses: HashMap<ConversationId, Use> = HashMap::new();
    let mut requests: HashSet<(ConversationId, UserId, ClientId)> = HashSet::new();
    for write in writes {
        match write {
            Write::Append(append) => {
                let here = uses.entry(append.conversation).or_default();
                here.appends += 1;
                // Nothing but messages can go together.
                if let Action::Message { kind, reply_to, .. } = &append.action
                    && EventKind::is_message(*kind)
                {
                    here.replies |= *reply_to != Seq(0);
                } else {
                    here.other = true;
                }
                here.entangled |= !requests.insert((append.conversation, append.sender, append.client_id));
                for other in logs_of(append).skip(1) {
                    uses.entry(other).or_default().other = true;
                }
            }
            Write::Cursors(moves) => {
                for one in moves {
                    uses.entry(one.conversation).or_default().entangled = true;
                }
            }
            Write::CreateUser(_)
            | Write::UpdateProfile(_)
            | Write::CreateSession(_)
            | Write::RevokeSessions(_)
            | Write::TouchSessions(_)
            | Write::Erase(_) => {}
        }
    }
    uses
}

/// The rows that a transaction locks first, in this order, each kind by key.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// Conversations appended to.
    pub(super) conversations: BTreeSet<ConversationId>,
    /// Conversations that an append of the batch may begin.
    pub(super) beginnings: BTreeMap<ConversationId, Beginning>,
    /// Users whose groups, profile or sessions may change.
    pub(super) users: BTreeSet<UserId>,
    /// Groups that may end: the number of groups changes for all their members.
    pub(super) endings: BTreeSet<ConversationId>,
    /// Whether there is a registration.
    pub(super) registrations: bool,
    pub(super) cursors: BTreeSet<(ConversationId, UserId)>,
}

/// A conversation that may begin with a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Beginning {
    /// The members from the beginning: one or two, none for a group.
    pub(super) fixed: [Option<UserId>; 2],
    /// Begin it only if these have accounts: nothing later in the transaction checks that.
    pub(super) checked: bool,
}

impl Locks {
    pub(super) fn of(writes: &[Write], plan: &Plan) -> Self {
        let mut locks = Self::default();
        for (places, checked) in [(&plan.messages, true), (&plan.others, false)] {
            for write in places.iter().filter_map(|place| writes.get(*place)) {
                locks.add(write, checked);
            }
        }
        locks
    }

    fn add(&mut self, write: &Write, checked: bool) {
        match write {
            Write::Append(append) => self.add_append(append, checked),
            Write::Cursors(moves) => {
                let keys = moves.iter().map(|one| (one.conversation, one.user));
                self.cursors.extend(keys);
            }
            Write::CreateUser(_) => self.registrations = true,
            Write::UpdateProfile(change) => {
                self.users.insert(change.user);
            }
            Write::CreateSession(new) => {
                self.users.insert(new.session.user);
            }
            Write::RevokeSessions(Revoke::One(user, _) | Revoke::Others(user, _)) => {
                self.users.insert(*user);
            }
            Write::TouchSessions(_) | Write::Erase(_) => {}
        }
    }

    fn add_append(&mut self, append: &Append, checked: bool) {
        if Shape::of(append.conversation).is_none() {
            return;
        }
        for log in logs_of(append) {
            self.conversations.insert(log);
            self.cursors.insert((log, append.sender));
        }
        let reach = append.action.reach();
        self.users.extend(reach.users);
        if reach.sender {
            self.users.insert(append.sender);
        }
        if reach.members {
            self.endings.insert(append.conversation);
        }
        match reach.begins {
            Begins::Nothing => {}
            Begins::Fixed => {
                self.begin(append.conversation, append.sender, checked);
                for log in logs_of(append).skip(1) {
                    self.begin_beside(log, checked);
                }
            }
            Begins::Group => self.begin_group(append.conversation, checked),
        }
    }

    /// A 1:1 conversation or a log that may begin with a message of this user.
    fn begin(&mut self, conversation: ConversationId, sender: UserId, checked: bool) {
        let Some(shape) = Shape::of(conversation) else {
            return;
        };
        if shape.fixed_members().any(|user| user == sender) {
            self.begin_beside(conversation, checked);
        }
    }

    /// The same by an append to another log: whether it may is for the rules to say.
    fn begin_beside(&mut self, conversation: ConversationId, checked: bool) {
        let members = Shape::of(conversation).map(|shape| {
            let mut members = shape.fixed_members();
            [members.next(), members.next()]
        });
        if let Some(fixed @ [Some(_), _]) = members {
            self.beginnings.insert(conversation, Beginning { fixed, checked });
        }
    }

    fn begin_group(&mut self, conversation: ConversationId, checked: bool) {
        if Shape::of(conversation) == Some(Shape::Group) {
            let fixed = [None; 2];
            self.beginnings.insert(conversation, Beginning { fixed, checked });
        }
    }
}
