//! What becomes of a node whose change feed fails.

use storage::{
    Changes, Claim, ClientId, ConversationId, ConversationView, Credentials, Direction, Event, EventPage,
    Fingerprint, Interval, MemberView, Seq, Session, Tail, Testimony, TokenHash, User, UserId,
};

use super::*;
use crate::delivery::{Outboxes, Planner};

/// A test that hangs here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that must not be asked.
struct Trap;

macro_rules! trap {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl Reader for Trap {
            $(fn $name(&mut self $(, _: $argument)*) -> Result<$answer, ReadError> {
                panic!("nobody asks for {}", stringify!($name))
            })*
        }
    };
}

trap! {
    snapshot() -> Snapshot;
    testimony(Claim) -> Testimony;
    users(&[UserId]) -> Vec<User>;
    user_by_name(&str) -> Option<User>;
    people(&storage::PeopleQuery, usize) -> storage::FoundPeople;
    credentials(&str) -> Option<Credentials>;
    session_by_token(&TokenHash) -> Option<(Session, User)>;
    sessions(UserId) -> Vec<Session>;
    conversation(UserId, ConversationId) -> Option<ConversationView>;
    conversations_of(UserId, &[ConversationId]) -> Vec<ConversationView>;
    made_by(ConversationId, UserId, ClientId) -> Option<(Arc<Event>, Fingerprint)>;
    conversations(UserId, Option<Position>, usize) -> Vec<ConversationView>;
    changes(UserId, &Snapshot, usize) -> Changes;
    events(UserId, ConversationId, Seq, Direction, usize, usize) -> Option<EventPage>;
    members(UserId, ConversationId, UserId, usize) -> Option<Vec<MemberView>>;
    intervals(ConversationId, Seq) -> Vec<Interval>;
    tail(&Snapshot, usize) -> Tail;
}

#[test]
fn a_change_feed_that_panics_ends_the_process() {
    let routes = Arc::new(Routes::new(1));
    let (fatal, reasons) = bounded(1);
    let parts = ChangeFeedParts {
        publisher: Publisher::new(
            Planner::new(1, Arc::clone(&routes), Box::new(Trap), 1, 100),
            Arc::new(Outboxes::new(1)),
            Vec::new(),
        ),
        routes,
        reader: Box::new(Trap),
        from: Snapshot::default(),
        interval: Duration::from_secs(3_600),
        cache: Arc::new(ReadCache::default()),
        fatal,
    };
    let (feed, handle) = ChangeFeed::start(parts).unwrap();
    handle.look();
    assert!(matches!(reasons.recv_timeout(PATIENCE), Ok(Fatal::FeedPanicked)));
    feed.join();
    // A commit after the end reports it, too.
    handle.committed(Vec::new());
    assert!(matches!(reasons.recv_timeout(PATIENCE), Ok(Fatal::NotDelivered)));
}
