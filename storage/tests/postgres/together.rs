//! Messages that are appended together are answered, and leave behind, what they would one by one.

use std::{collections::BTreeSet, sync::Arc};

use storage::{
    Action, Append, ConversationId, ConversationView, Event, EventKind, Fingerprint, Outcome, Position,
    Reader, Refused, Store, Timestamp, UserId, Write, Writer, postgres::PostgresStore,
};

use crate::{USERS, append, crowd::Numbers, database, group, log, message, pair, register};

const ROUNDS: u64 = 80;
const MESSAGES_MAX: u64 = 20;
const GROUP: ConversationId = group(1);
const ENDED: ConversationId = group(2);

/// Those that can be written to, those that cannot, and one whose other member has no account.
fn conversations() -> Vec<ConversationId> {
    let mut conversations: Vec<_> = (2..=USERS).map(|user| pair(1, user)).collect();
    let others = [
        ConversationId(1),
        GROUP,
        GROUP,
        ENDED,
        group(3),
        pair(1, USERS + 1),
        pair(2, 3),
    ];
    conversations.extend(others);
    conversations
}

/// A group whose third member has gone, and one that has ended.
fn beginning() -> Vec<Write> {
    let create = |id, request| {
        let members = vec![UserId(2), UserId(3)];
        let name = "group".to_owned();
        Write::Append(append(id, 1, request, Action::CreateGroup { name, members }))
    };
    vec![
        create(GROUP, 1 << 40),
        create(ENDED, 1 << 41),
        Write::Append(append(GROUP, 3, 1 << 42, Action::Leave)),
        Write::Append(append(ENDED, 1, 1 << 43, Action::Disband)),
    ]
}

/// A new message that nothing speaks against.
fn plain(numbers: &mut Numbers, request: u64) -> Append {
    let conversation = [pair(1, 2), GROUP][numbers.below(2) as usize];
    let sender = 1 + numbers.below(2);
    new(numbers, conversation, sender, request, 0)
}

/// A new message, or one of before again, or another one under the name of one of before.
fn write(numbers: &mut Numbers, request: u64, before: &[Append]) -> Append {
    let known = before.get(numbers.below(6 * before.len() as u64 + 1) as usize);
    if let Some(known) = known {
        let mut again = known.clone();
        if numbers.below(3) == 0 {
            again.fingerprint = Fingerprint([0xff; 16]);
        }
        again.at = Timestamp(numbers.below(1 << 20));
        return again;
    }
    let conversations = conversations();
    let conversation = conversations[numbers.below(conversations.len() as u64) as usize];
    let reply_to = numbers.below(40).saturating_sub(30);
    let sender = 1 + numbers.below(3);
    new(numbers, conversation, sender, request, reply_to)
}

fn new(
    numbers: &mut Numbers,
    conversation: ConversationId,
    sender: u64,
    request: u64,
    reply_to: u64,
) -> Append {
    let Write::Append(mut append) = message(conversation, sender, request, reply_to) else {
        panic!("not an append");
    };
    append.at = Timestamp(numbers.below(1 << 20) + (request << 17));
    append
}

/// An answer, but for the position.
fn told(answer: Result<Outcome, Refused>) -> Result<(Event, bool), Refused> {
    answer.map(|outcome| {
        let appended = crate::appended(outcome);
        let mut event = Event::clone(&appended.event);
        event.position = Position(0);
        (event, appended.duplicate)
    })
}

fn view(reader: &mut dyn Reader, user: u64, conversation: ConversationId) -> Option<ConversationView> {
    let mut view = reader.conversation(UserId(user), conversation).unwrap()?;
    view.head_position = Position(0);
    Some(view)
}

#[test]
fn a_batch_does_what_its_messages_do_one_by_one() {
    let stores = [(); 2].map(|()| PostgresStore::open(database::fresh()).unwrap());
    let mut writers: Vec<Box<dyn Writer>> = stores.iter().map(|store| store.writer().unwrap()).collect();
    for writer in &mut writers {
        register(writer.as_mut(), USERS);
        for write in beginning() {
            writer.commit(&[write]).unwrap().remove(0).unwrap();
        }
    }
    let mut readers: Vec<_> = stores.iter().map(|store| store.reader().unwrap()).collect();
    let mut numbers = Numbers(7);
    let mut before: Vec<Append> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut stored: Vec<Arc<Event>> = Vec::new();
    for round in 0..ROUNDS {
        let count = 1 + numbers.below(MESSAGES_MAX);
        let first = round * MESSAGES_MAX + 1;
        let appends: Vec<Append> = (first..first + count)
            .map(|request| match round % 2 {
                0 => plain(&mut numbers, request),
                _ => write(&mut numbers, request, &before),
            })
            .collect();
        let writes: Vec<Write> = appends.iter().cloned().map(Write::Append).collect();
        let together = writers[0].commit(&writes).unwrap();
        for (one, answer) in writes.chunks(1).zip(together) {
            let alone = told(writers[1].commit(one).unwrap().remove(0));
            seen.insert(match &alone {
                Ok((_, duplicate)) => format!("duplicate: {duplicate}"),
                Err(refused) => refused.to_string(),
            });
            if let Ok(Outcome::Appended(appended)) = &answer
                && !appended.duplicate
            {
                stored.push(Arc::clone(&appended.event));
            }
            assert_eq!(told(answer), alone, "round {round}: {one:?}");
        }
        for append in &appends {
            let user = append.sender.0;
            let [one, other] = [0, 1].map(|store| view(readers[store].as_mut(), user, append.conversation));
            assert_eq!(one, other, "round {round}");
        }
        before.extend(appends);
    }
    assert_eq!(seen.len(), 6, "not every answer was given: {seen:?}");
    for conversation in conversations() {
        for user in 1..=USERS {
            let [one, other] = [0, 1].map(|store| view(readers[store].as_mut(), user, conversation));
            assert_eq!(one, other);
        }
        // What was answered is what is stored, position and all.
        let viewer = if conversation == pair(2, 3) { 2 } else { 1 };
        let events = log(readers[0].as_mut(), viewer, conversation);
        let answered = stored.iter().filter(|event| event.conversation == conversation);
        let begun = events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Message(_)));
        assert!(begun.eq(answered), "{conversation:?}");
    }
}
