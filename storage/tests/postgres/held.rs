//! Conversations that somebody else keeps locked.

use std::time::Duration;

use postgres::{Client, NoTls};
use storage::{
    Action, CommitError, ConversationId, MessageKinds, Outcome, Refused, Seq, Store, UserId, Write,
    postgres::PostgresStore,
};

use crate::{append, database, group, message, pair, register};

const HELD: ConversationId = pair(1, 2);
const FREE: ConversationId = pair(1, 3);
const GROUP: ConversationId = group(1);

fn seqs(answers: Result<Vec<Result<Outcome, Refused>>, CommitError>) -> Vec<Result<u64, Refused>> {
    let seq = |outcome| match outcome {
        Outcome::Appended(appended) => appended.event.seq.0,
        _ => 0,
    };
    answers
        .unwrap()
        .into_iter()
        .map(|answer| answer.map(seq))
        .collect()
}

fn edit(conversation: ConversationId, request: u64) -> Write {
    let (target, body) = (Seq(1), "edited".into());
    Write::Append(append(
        conversation,
        1,
        request,
        Action::Edit {
            target,
            body,
            fits: MessageKinds::ALL,
        },
    ))
}

#[test]
fn what_is_not_held_is_committed_without_what_is() {
    let mut options = database::fresh();
    options.lock_timeout = Duration::from_millis(200);
    let url = options.url.clone();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 3);
    let (name, members) = ("group".to_owned(), vec![UserId(2)]);
    let create = Write::Append(append(GROUP, 1, 1, Action::CreateGroup { name, members }));
    let begin = [message(HELD, 1, 2, 0), message(FREE, 1, 3, 0), create];
    assert_eq!(seqs(writer.commit(&begin)), [Ok(1), Ok(1), Ok(1)]);

    let mut somebody = Client::connect(&url, NoTls).unwrap();
    let mut lock = somebody.transaction().unwrap();
    lock.execute(
        "SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE",
        &[&HELD.0.cast_signed()],
    )
    .unwrap();
    let busy = Err(Refused::Busy);
    let messages = |first: u64| {
        [
            message(HELD, 1, first, 0),
            message(FREE, 1, first + 1, 0),
            message(HELD, 1, first + 2, 0),
            message(GROUP, 1, first + 3, 0),
        ]
    };
    assert_eq!(seqs(writer.commit(&messages(10))), [busy, Ok(2), busy, Ok(2)]);
    // It is known by now, and waited for no more; nor by a batch of another kind.
    assert_eq!(seqs(writer.commit(&messages(20))), [busy, Ok(3), busy, Ok(3)]);
    let mixed = [edit(HELD, 30), edit(FREE, 31), message(GROUP, 1, 32, 0)];
    assert_eq!(seqs(writer.commit(&mixed)), [busy, Ok(4), Ok(4)]);
    assert_eq!(seqs(writer.commit(&[message(HELD, 1, 33, 0)])), [busy]);
    lock.commit().unwrap();
    // In order, and nothing of what was refused.
    assert_eq!(seqs(writer.commit(&messages(40))), [Ok(2), Ok(5), Ok(3), Ok(5)]);
    store.close().unwrap();
}

#[test]
fn a_batch_of_another_kind_finds_out_too() {
    let mut options = database::fresh();
    options.lock_timeout = Duration::from_millis(200);
    let url = options.url.clone();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 3);
    let begin = [message(HELD, 1, 2, 0), message(FREE, 1, 3, 0)];
    assert_eq!(seqs(writer.commit(&begin)), [Ok(1), Ok(1)]);
    let mut somebody = Client::connect(&url, NoTls).unwrap();
    let mut lock = somebody.transaction().unwrap();
    lock.execute(
        "UPDATE conversations SET settings = settings WHERE id = $1",
        &[&HELD.0.cast_signed()],
    )
    .unwrap();
    let edits = [edit(FREE, 10), edit(HELD, 11)];
    assert_eq!(seqs(writer.commit(&edits)), [Ok(2), Err(Refused::Busy)]);
    lock.rollback().unwrap();
    assert_eq!(seqs(writer.commit(&[edit(HELD, 12)])), [Ok(2)]);
    store.close().unwrap();
}
