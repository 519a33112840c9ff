//! A store with short methods for what the cases do most often.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Action, Append, Appended, Changes, ClientId, ConversationId, ConversationView, CursorMove, Direction,
    Event, EventPage, Fingerprint, GroupSetting, MessageKinds, NewUser, Outcome, Position, Reader, Refused,
    Role, Seq, Snapshot, Store, Timestamp, User, UserId, Write, Writer,
};

/// The users that most cases have.
pub(super) const ANN: UserId = UserId(1);
pub(super) const BOB: UserId = UserId(2);
pub(super) const CAT: UserId = UserId(3);
pub(super) const DAN: UserId = UserId(4);
/// No one.
pub(super) const NOBODY: UserId = UserId(99);
/// A group that cases make.
pub(super) const GROUP: ConversationId = group(1);
/// Ann's and Bob's.
pub(super) const PAIR: ConversationId = direct(1, 2);
/// Ann's own.
pub(super) const OWN: ConversationId = ConversationId(1);

pub(super) const fn direct(low: u64, high: u64) -> ConversationId {
    ConversationId(1 << 62 | low << 31 | high)
}

pub(super) const fn group(number: u64) -> ConversationId {
    ConversationId(1 << 61 | number)
}

pub(super) struct World {
    pub(super) store: Box<dyn Store>,
    pub(super) writer: Box<dyn Writer>,
    pub(super) reader: Box<dyn Reader>,
    requests: u64,
}

impl World {
    pub(super) fn new(store: Box<dyn Store>) -> Self {
        Self {
            writer: store.writer().expect("a writer"),
            reader: store.reader().expect("a reader"),
            store,
            requests: 0,
        }
    }

    /// Ann, Bob, Cat and Dan.
    pub(super) fn people(&mut self) {
        self.accounts(4);
    }

    pub(super) fn accounts(&mut self, count: u64) {
        for number in 1..=count {
            let user = self.create(&format!("user{number}")).expect("an account");
            assert_eq!(user.id, UserId(number));
        }
    }

    pub(super) fn create(&mut self, name: &str) -> Result<User, Refused> {
        let new = NewUser {
            name: name.to_owned(),
            display_name: format!("{name}!"),
            password_hash: format!("hash of {name}"),
            at: Timestamp(5),
        };
        match self.write(Write::CreateUser(new))? {
            Outcome::User(user) => Ok(user),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn write(&mut self, write: Write) -> Result<Outcome, Refused> {
        let mut answers = self.commit(&[write]);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub(super) fn commit(&mut self, writes: &[Write]) -> Vec<Result<Outcome, Refused>> {
        self.writer.commit(writes).expect("a commit")
    }

    /// A request under a new client id.
    pub(super) fn request(&mut self, conversation: ConversationId, sender: UserId, action: Action) -> Append {
        self.requests += 1;
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&self.requests.to_be_bytes());
        Append {
            conversation,
            sender,
            client_id: ClientId(client_id),
            fingerprint: Fingerprint(client_id),
            at: Timestamp(1_000 + self.requests),
            action,
        }
    }

    pub(super) fn append(&mut self, append: Append) -> Result<Appended, Refused> {
        match self.write(Write::Append(append))? {
            Outcome::Appended(appended) => Ok(appended),
            other => panic!("{other:?}"),
        }
    }

    /// Appends; it must succeed, and not as a duplicate.
    pub(super) fn act(&mut self, conversation: ConversationId, sender: UserId, action: Action) -> Arc<Event> {
        let request = self.request(conversation, sender, action);
        let appended = self.append(request.clone());
        let appended = appended.unwrap_or_else(|refused| panic!("{request:?}: {refused}"));
        assert!(!appended.duplicate);
        appended.event
    }

    /// Appends; it must be refused with this reason and change nothing.
    pub(super) fn refuse(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        action: Action,
        refused: Refused,
    ) {
        let before = self.position();
        let request = self.request(conversation, sender, action);
        assert_eq!(self.append(request.clone()), Err(refused), "{request:?}");
        assert_eq!(self.position(), before, "it left something");
    }

    pub(super) fn say(&mut self, conversation: ConversationId, sender: UserId, body: &str) -> Seq {
        self.act(conversation, sender, message(body)).seq
    }

    /// Makes [`GROUP`]; Ann is its owner.
    pub(super) fn group_of(&mut self, others: &[UserId]) -> Arc<Event> {
        let members = others.to_vec();
        let name = "group".to_owned();
        self.act(GROUP, ANN, Action::CreateGroup { name, members })
    }

    pub(super) fn add(&mut self, adder: UserId, user: UserId) -> Seq {
        self.act(GROUP, adder, add(&[user])).seq
    }

    pub(super) fn remove(&mut self, remover: UserId, user: UserId) -> Seq {
        self.act(GROUP, remover, Action::RemoveMember { user }).seq
    }

    pub(super) fn promote(&mut self, user: UserId, role: Role) {
        self.act(GROUP, ANN, Action::SetRole { user, role });
    }

    /// The cursors that moved.
    pub(super) fn cursors(&mut self, moves: &[CursorMove]) -> (Vec<CursorMove>, Position) {
        match self.write(Write::Cursors(moves.to_vec())) {
            Ok(Outcome::Cursors(moved, position, _)) => (moved, position),
            other => panic!("{other:?}"),
        }
    }

    /// The users whose devices report more than there is.
    pub(super) fn beyond(&mut self, moves: &[CursorMove]) -> Vec<(ConversationId, UserId)> {
        match self.write(Write::Cursors(moves.to_vec())) {
            Ok(Outcome::Cursors(_, _, beyond)) => beyond,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn read_up_to(&mut self, conversation: ConversationId, user: UserId, seq: u64) {
        self.cursors(&[cursor(conversation, user, 0, seq)]);
    }

    pub(super) fn view_of(&mut self, viewer: UserId, id: ConversationId) -> Option<ConversationView> {
        self.reader.conversation(viewer, id).expect("an answer")
    }

    pub(super) fn view(&mut self, viewer: UserId, id: ConversationId) -> ConversationView {
        self.view_of(viewer, id).expect("a view")
    }

    pub(super) fn changes(&mut self, viewer: UserId, since: Position, limit: usize) -> Changes {
        self.reader
            .changes(viewer, &Snapshot::at(since), limit)
            .expect("changes")
    }

    /// Reads forward, without limits.
    pub(super) fn page_of(&mut self, viewer: UserId, id: ConversationId, from: u64) -> Option<EventPage> {
        let forward = Direction::Forward;
        let page = self
            .reader
            .events(viewer, id, Seq(from), forward, usize::MAX, usize::MAX);
        page.expect("an answer")
    }

    pub(super) fn page(&mut self, viewer: UserId, id: ConversationId) -> EventPage {
        self.page_of(viewer, id, 1).expect("a page")
    }

    /// The seqs that this user sees.
    pub(super) fn seqs(&mut self, viewer: UserId, id: ConversationId) -> Vec<u64> {
        listed(&self.page(viewer, id))
    }

    pub(super) fn position(&mut self) -> Position {
        self.reader.snapshot().expect("a snapshot").ceiling()
    }
}

pub(super) fn listed(page: &EventPage) -> Vec<u64> {
    page.events.iter().map(|view| view.event.seq.0).collect()
}

pub(super) fn message(body: &str) -> Action {
    Action::Message {
        kind: 1,
        body: Bytes::copy_from_slice(body.as_bytes()),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    }
}

pub(super) fn reply(to: Seq) -> Action {
    Action::Message {
        kind: 1,
        body: Bytes::new(),
        expires_at: Timestamp(0),
        reply_to: to,
    }
}

pub(super) fn edit(target: Seq, body: &str) -> Action {
    Action::Edit {
        target,
        body: Bytes::copy_from_slice(body.as_bytes()),
        fits: MessageKinds::ALL,
    }
}

pub(super) const fn recall(target: Seq) -> Action {
    Action::Recall { target }
}

pub(super) fn react(target: Seq, reaction: &str) -> Action {
    Action::React {
        target,
        reaction: reaction.to_owned(),
        body: Bytes::from_static(b"reaction"),
    }
}

pub(super) fn add(users: &[UserId]) -> Action {
    Action::AddMembers {
        users: users.to_vec(),
    }
}

pub(super) fn set(setting: GroupSetting, value: &str) -> Action {
    Action::Set {
        setting,
        value: value.to_owned(),
    }
}

pub(super) fn rename(name: &str) -> Action {
    set(GroupSetting::Name, name)
}

pub(super) const fn cursor(
    conversation: ConversationId,
    user: UserId,
    delivered: u64,
    read: u64,
) -> CursorMove {
    CursorMove {
        conversation,
        user,
        delivered: Seq(delivered),
        read: Seq(read),
    }
}
