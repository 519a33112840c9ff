//! The cache over the model: it answers as the store does once it was told of what changed, and asks it once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    Action, Append, ClientId, Fingerprint, NewUser, Outcome, ProfileChange, Rules, Store, Timestamp, Write,
    Writer, model::ModelStore,
};

/// Counts the questions that get through.
struct Counted {
    inner: Box<dyn Reader>,
    asked: Arc<AtomicUsize>,
}

macro_rules! counted {
    ($reader:ident: $($name:ident(&mut self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {
        impl $reader for Counted {
            $(fn $name(&mut self $(, $argument: $type)*) -> Result<$answer, ReadError> {
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.inner.$name($($argument),*)
            })*
        }
    };
}

counted! {
    Reader:
    snapshot(&mut self) -> Snapshot;
    testimony(&mut self, claim: Claim) -> Testimony;
    users(&mut self, ids: &[UserId]) -> Vec<User>;
    user_by_name(&mut self, name: &str) -> Option<User>;
    people(&mut self, query: &PeopleQuery, limit: usize) -> FoundPeople;
    entries(&mut self, of: UserId, prefix: &str, after: &str, limit: usize) -> EntryPage;
    entry_classes(&mut self, entries: &[(UserId, String)]) -> Vec<Option<EntryClass>>;
    credentials(&mut self, name: &str) -> Option<Credentials>;
    session_by_token(&mut self, token: &TokenHash) -> Option<(Session, User)>;
    sessions(&mut self, user: UserId) -> Vec<Session>;
    conversation(&mut self, viewer: UserId, conversation: ConversationId) -> Option<ConversationView>;
    conversations_of(&mut self, viewer: UserId, conversations: &[ConversationId]) -> Vec<ConversationView>;
    made_by(&mut self, conversation: ConversationId, sender: UserId, client_id: ClientId)
           -> Option<(Arc<Event>, Fingerprint)>;
    conversations(&mut self, viewer: UserId, before: Option<Position>, limit: usize) -> Vec<ConversationView>;
    changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Changes;
    events(&mut self, viewer: UserId, conversation: ConversationId, from: Seq, direction: Direction,
           limit: usize, bytes: usize) -> Option<EventPage>;
    members(&mut self, viewer: UserId, conversation: ConversationId, after: UserId, limit: usize)
           -> Option<Vec<MemberView>>;
}

counted! {
    MembersReader:
    intervals(&mut self, conversation: ConversationId, from: Seq) -> Vec<Interval>;
}

counted! {
    TailReader:
    tail(&mut self, since: &Snapshot, limit: usize) -> Tail;
}

const GROUP: ConversationId = ConversationId(1 << 61 | 7);

struct World {
    writer: Box<dyn Writer>,
    reader: CachedReader,
    cache: Arc<ReadCache>,
    asked: Arc<AtomicUsize>,
    requests: u8,
}

impl World {
    fn new() -> Self {
        let store = ModelStore::new(1, 2, Rules::default());
        let (asked, cache) = (Arc::new(AtomicUsize::new(0)), Arc::new(ReadCache::default()));
        let counted = Counted {
            inner: store.reader().unwrap(),
            asked: Arc::clone(&asked),
        };
        let mut world = Self {
            writer: store.writer().unwrap(),
            reader: CachedReader::new(Box::new(counted), Arc::clone(&cache)),
            cache,
            asked,
            requests: 0,
        };
        for name in ["ann", "bob", "cat"] {
            world.register(name);
        }
        world
    }

    fn register(&mut self, name: &str) {
        let new = NewUser {
            name: name.to_owned(),
            display_name: String::new(),
            password_hash: String::new(),
            at: Timestamp(1),
        };
        self.writer.commit(&[Write::CreateUser(new)]).unwrap();
    }

    fn act(&mut self, action: Action) -> Arc<Event> {
        self.requests += 1;
        let append = Append {
            conversation: GROUP,
            sender: UserId(1),
            client_id: ClientId([self.requests; 16]),
            fingerprint: Fingerprint([self.requests; 16]),
            at: Timestamp(1),
            action,
        };
        match self.writer.commit(&[Write::Append(append)]).unwrap().remove(0) {
            Ok(Outcome::Appended(appended)) => appended.event,
            other => panic!("{other:?}"),
        }
    }

    /// How often the store is asked by this.
    fn asks<T>(&mut self, question: impl FnOnce(&mut CachedReader) -> T) -> (T, usize) {
        let before = self.asked.load(Ordering::Relaxed);
        let answer = question(&mut self.reader);
        (answer, self.asked.load(Ordering::Relaxed) - before)
    }
}

#[test]
fn profiles_are_read_once_and_again_when_they_changed() {
    let mut world = World::new();
    let ids = [UserId(3), UserId(9), UserId(1)];
    let names = |users: Vec<User>| users.into_iter().map(|user| user.name).collect::<Vec<_>>();
    let (users, asked) = world.asks(|reader| reader.users(&ids).unwrap());
    assert_eq!(
        (names(users), asked),
        (vec!["cat".to_owned(), "ann".to_owned()], 1)
    );
    let (users, asked) = world.asks(|reader| reader.users(&ids).unwrap());
    assert_eq!(
        (names(users), asked),
        (vec!["cat".to_owned(), "ann".to_owned()], 0)
    );
    let [("users", numbers), ..] = world.cache.statistics() else {
        panic!("the caches have other names")
    };
    // The absent user was known to be absent the second time.
    assert_eq!((numbers.hits, numbers.misses, numbers.entries), (3, 3, 3));
    // In part from memory, in the order asked.
    let ids = [UserId(2), UserId(1)];
    let (users, asked) = world.asks(|reader| reader.users(&ids).unwrap());
    assert_eq!(
        (names(users), asked),
        (vec!["bob".to_owned(), "ann".to_owned()], 1)
    );
    let change = ProfileChange {
        user: UserId(1),
        display_name: Some("Ann!".to_owned()),
        avatar: None,
        status: None,
    };
    world.writer.commit(&[Write::UpdateProfile(change)]).unwrap();
    world.cache.noticed(&Notice::ProfileChanged(UserId(1)));
    let (users, asked) = world.asks(|reader| reader.users(&ids).unwrap());
    assert_eq!((users[1].display_name.as_str(), asked), ("Ann!", 1));
}

#[test]
fn names_are_looked_up_once() {
    let mut world = World::new();
    let (user, asked) = world.asks(|reader| reader.user_by_name("bob").unwrap());
    assert_eq!((user.map(|user| user.id), asked), (Some(UserId(2)), 1));
    let (user, asked) = world.asks(|reader| reader.user_by_name("bob").unwrap());
    assert_eq!((user.map(|user| user.id), asked), (Some(UserId(2)), 1), "by id");
    let (user, asked) = world.asks(|reader| reader.user_by_name("bob").unwrap());
    assert_eq!((user.map(|user| user.id), asked), (Some(UserId(2)), 0));
    assert_eq!(
        world.asks(|reader| reader.user_by_name("dan").unwrap()),
        (None, 1)
    );
    assert_eq!(
        world.asks(|reader| reader.user_by_name("dan").unwrap()),
        (None, 0)
    );
    world.register("dan");
    world.cache.account_made("dan");
    let (user, asked) = world.asks(|reader| reader.user_by_name("dan").unwrap());
    assert_eq!((user.map(|user| user.id), asked), (Some(UserId(4)), 1));
}

#[test]
fn members_are_read_once_for_each_roster() {
    let mut world = World::new();
    world.act(Action::CreateGroup {
        name: "g".to_owned(),
        members: vec![UserId(2)],
    });
    let members = |members: Arc<[UserId]>| members.iter().map(|user| user.0).collect::<Vec<_>>();
    let (first, asked) = world.asks(|reader| reader.members_at(GROUP, Seq(1)).unwrap());
    assert_eq!((members(first), asked), (vec![1, 2], 1));
    assert_eq!(
        world.asks(|reader| reader.members_at(GROUP, Seq(1)).unwrap()).1,
        0
    );
    // The cache was not told of it.
    let event = world.act(Action::RemoveMember { user: UserId(2) });
    let (second, asked) = world.asks(|reader| reader.members_at(GROUP, event.roster).unwrap());
    assert_eq!((members(second), asked), (vec![1], 1));
}

#[test]
fn after_something_was_missed_nothing_is_known() {
    let mut world = World::new();
    world.asks(|reader| reader.users(&[UserId(1)]).unwrap());
    world.cache.clear();
    assert_eq!(world.asks(|reader| reader.users(&[UserId(1)]).unwrap()).1, 1);
}
