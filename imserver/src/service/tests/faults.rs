//! A store that is away, one that lost its tail, and one that answers a write with another one's outcome.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{Call, Command, Kind, Reply, v1, v1::ErrorCode};
use storage::{Claim, MembersReader, Outcome, ReadError, Reader, TailReader, Testimony, UserId};

use super::{
    super::{Work, work::Failure},
    fixture::{Fixture, Group},
    matrix::one_request,
    refusals::refused,
    requests::{self, text},
};

/// What a reader that is no store answers.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing: it is away.
    Away,
    /// What the store answers, but a token is of a commit that the store does not have.
    LostTail,
}

/// A reader in the place of the store's.
struct Faulty {
    inner: Box<dyn Reader>,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Faulty {
    fn up(&mut self) -> Result<&mut dyn Reader, ReadError> {
        match *self.fault.lock() {
            Some(Fault::Away) => Err(ReadError::Failed {
                reason: storage::Cause::text("the test said so"),
                retry_after: None,
            }),
            Some(Fault::LostTail) | None => Ok(&mut *self.inner),
        }
    }
}

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&mut self, $($argument: $of),*) -> Result<$answer, ReadError> {
            self.up()?.$name($($argument),*)
        })*
    };
}

impl Reader for Faulty {
    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        let fault = *self.fault.lock();
        match fault {
            Some(Fault::LostTail) => Ok(Testimony::Witness),
            Some(Fault::Away) | None => self.up()?.testimony(claim),
        }
    }

    pass_on! {
        snapshot() -> storage::Snapshot;
        users(ids: &[UserId]) -> Vec<storage::User>;
        user_by_name(name: &str) -> Option<storage::User>;
        people(query: &storage::PeopleQuery, limit: usize) -> storage::FoundPeople;
        entries(of: UserId, prefix: &str, after: &str, limit: usize) -> storage::EntryPage;
        entry_classes(asked: &[(UserId, String)]) -> Vec<Option<storage::EntryClass>>;
        credentials(name: &str) -> Option<storage::Credentials>;
        session_by_token(token: &storage::TokenHash) -> Option<(storage::Session, storage::User)>;
        sessions(user: UserId) -> Vec<storage::Session>;
        conversation(viewer: UserId, id: storage::ConversationId) -> Option<storage::ConversationView>;
        conversations_of(viewer: UserId, ids: &[storage::ConversationId]) -> Vec<storage::ConversationView>;
        made_by(id: storage::ConversationId, sender: UserId, client_id: storage::ClientId)
            -> Option<(Arc<storage::Event>, storage::Fingerprint)>;
        conversations(viewer: UserId, before: Option<storage::Position>, limit: usize)
            -> Vec<storage::ConversationView>;
        changes(viewer: UserId, since: &storage::Snapshot, limit: usize) -> storage::Changes;
        events(viewer: UserId, id: storage::ConversationId, from: storage::Seq, direction: storage::Direction,
            limit: usize, bytes: usize) -> Option<storage::EventPage>;
        members(viewer: UserId, id: storage::ConversationId, after: UserId, limit: usize)
            -> Option<Vec<storage::MemberView>>;
    }
}

impl MembersReader for Faulty {
    pass_on! {
        intervals(id: storage::ConversationId, from: storage::Seq) -> Vec<storage::Interval>;
        members_at(id: storage::ConversationId, roster: storage::Seq) -> Arc<[UserId]>;
    }
}

impl TailReader for Faulty {
    pass_on! {
        tail(since: &storage::Snapshot, limit: usize) -> storage::Tail;
    }
}

fn with_faults(fixture: &mut Fixture) -> Arc<Mutex<Option<Fault>>> {
    let fault = Arc::new(Mutex::new(None));
    let inner = std::mem::replace(&mut fixture.reader, Fixture::new().reader);
    fixture.reader = Box::new(Faulty {
        inner,
        fault: Arc::clone(&fault),
    });
    fault
}

#[test]
fn no_question_is_answered_while_the_store_is_away() {
    let mut group = Group::new();
    let fault = with_faults(&mut group.fixture);
    *fault.lock() = Some(Fault::Away);
    let mut questions = 0;
    for command in Command::requests() {
        let mut wanted = vec![one_request(command, &group).unwrap()];
        if command == Command::Send {
            let send = requests::at_most_once(text(group.id, "text"));
            wanted.push(send.into_request());
        }
        if command == Command::WatchPresence {
            // Of others there is nothing to ask.
            let user_ids = vec![group.member.user.0];
            wanted = vec![v1::WatchPresenceRequest { user_ids }.into_request()];
        }
        for request in wanted {
            let is_question = matches!(
                group.fixture.plan(group.member, request.clone()),
                Ok(Work::Ask(_) | Work::Relay(_))
            );
            if !is_question {
                continue;
            }
            questions += 1;
            match group.fixture.ask(group.member, request) {
                Err(Failure::Store(_)) => {}
                other => panic!("{command:?}: {other:?}"),
            }
        }
        let asks = command.kind() == Some(Kind::Ask);
        assert!(!asks || questions > 0, "{command:?}");
    }
    let asking = Command::requests().filter(|command| command.kind() == Some(Kind::Ask));
    // Beside those of that kind, typing and what is sent at most once.
    assert_eq!(questions, asking.count() + 2);
}

#[test]
fn a_token_of_a_commit_that_the_store_does_not_have_ends_the_past() {
    let mut group = Group::new();
    let fault = with_faults(&mut group.fixture);
    let token = match group
        .fixture
        .answered(group.member, requests::sync(&Bytes::new()))
        .reply
    {
        Reply::Sync(sync) => sync.token,
        other => panic!("{other:?}"),
    };
    *fault.lock() = Some(Fault::LostTail);
    let found = group.fixture.ask(group.member, requests::sync(&token));
    assert!(matches!(found, Err(Failure::LostTail)), "{found:?}");
    // What is no token ends nothing.
    let junk = requests::sync(&Bytes::from_static(b"no token"));
    let (code, _) = refused(&mut group.fixture, group.member, junk);
    assert_eq!(code, ErrorCode::Invalid);
}

#[test]
fn an_outcome_of_another_write_answers_nobody() {
    let group = Group::new();
    let mut writes = Vec::new();
    for command in Command::requests() {
        let request = one_request(command, &group).unwrap();
        if let Ok(Work::Write(planned)) = group.fixture.plan(group.member, request) {
            let refusal = (planned.after)(Outcome::Done, &group.fixture.aftermath()).unwrap_err();
            assert_eq!(refusal.code(), ErrorCode::Internal, "{command:?}");
            writes.push(command);
        }
    }
    assert_eq!(
        writes,
        [Command::Logout, Command::LogoutOthers, Command::UpdateProfile]
    );
}
