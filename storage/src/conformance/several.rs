//! Appends that write several logs: all of them or none.

use bytes::Bytes;

use super::{
    cases,
    world::{ANN, BOB, GROUP, NOBODY, OWN, PAIR, World, direct, message},
};
use crate::{Action, Append, ConversationId, Direction, Outcome, Refused, Seq, UserId, Write};

cases![
    both_logs_begin,
    both_logs_go_on,
    what_is_refused_in_one_is_in_neither,
    a_repetition_enters_nothing,
    positions_ascend_with_the_order_of_writes,
];

const fn pair(other: ConversationId) -> Action {
    Action::Pair {
        other,
        body: Bytes::from_static(b"both"),
    }
}

fn bodies(world: &mut World, viewer: UserId, conversation: ConversationId) -> Vec<String> {
    let page = world
        .reader
        .events(viewer, conversation, Seq(1), Direction::Forward, 100, usize::MAX);
    let events = page.expect("a page").map_or(Vec::new(), |page| page.events);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    events.iter().map(|view| text(&view.event.body)).collect()
}

fn both_logs_begin(world: &mut World) {
    world.people();
    let request = world.request(PAIR, ANN, pair(OWN));
    let appended = world.append(request).expect("both");
    let [other] = &appended.others[..] else {
        panic!("{appended:?}")
    };
    assert_eq!((appended.event.conversation, appended.event.seq), (PAIR, Seq(1)));
    assert_eq!((other.conversation, other.seq), (OWN, Seq(1)));
    assert!(appended.event.position < other.position);
    for (viewer, conversation) in [(ANN, PAIR), (BOB, PAIR), (ANN, OWN)] {
        assert_eq!(bodies(world, viewer, conversation), ["both"]);
    }
}

fn both_logs_go_on(world: &mut World) {
    world.people();
    world.say(PAIR, BOB, "1");
    world.say(OWN, ANN, "1");
    world.say(OWN, ANN, "2");
    let request = world.request(OWN, ANN, pair(PAIR));
    let appended = world.append(request).expect("both");
    let seqs: Vec<Seq> = appended.others.iter().map(|event| event.seq).collect();
    assert_eq!((appended.event.seq, seqs), (Seq(3), vec![Seq(2)]));
    assert_eq!(world.say(OWN, ANN, "4"), Seq(4));
    assert_eq!(world.say(PAIR, ANN, "3"), Seq(3));
    assert_eq!(bodies(world, ANN, OWN), ["1", "2", "both", "4"]);
    assert_eq!(bodies(world, BOB, PAIR), ["1", "both", "3"]);
    // The sender has read everything before the message, in both.
    for (conversation, head) in [(OWN, Seq(4)), (PAIR, Seq(3))] {
        let view = world.reader.conversation(ANN, conversation).expect("a view");
        let view = view.expect("a conversation of Ann's");
        assert_eq!((view.read, view.unread, view.head), (head, 0, head));
    }
}

fn what_is_refused_in_one_is_in_neither(world: &mut World) {
    world.people();
    let strangers = direct(3, 4);
    let nobodys = direct(1, NOBODY.0);
    for (conversation, other) in [
        (OWN, strangers),
        (strangers, OWN),
        (PAIR, nobodys),
        (nobodys, PAIR),
        (PAIR, GROUP),
    ] {
        world.refuse(conversation, ANN, pair(other), Refused::NotFound);
    }
    for conversation in [OWN, PAIR] {
        assert_eq!(bodies(world, ANN, conversation), [""; 0]);
        assert_eq!(world.say(conversation, ANN, "first"), Seq(1));
    }
}

fn a_repetition_enters_nothing(world: &mut World) {
    world.people();
    let request = world.request(PAIR, ANN, pair(OWN));
    let twice = [Write::Append(request.clone()), Write::Append(request.clone())];
    let first = match &world.commit(&twice)[..] {
        [Ok(Outcome::Appended(first)), Ok(Outcome::Appended(second))] => {
            assert!(!first.duplicate && second.duplicate);
            assert_eq!((&first.event, second.others.len()), (&second.event, 0));
            first.clone()
        }
        other => panic!("{other:?}"),
    };
    let again = world.append(request).expect("the first answer");
    assert_eq!(
        (again.duplicate, again.event, again.others),
        (true, first.event, vec![])
    );
    assert_eq!(bodies(world, ANN, PAIR), ["both"]);
    assert_eq!(bodies(world, ANN, OWN), ["both"]);
}

/// In a batch with writes before and after it that go to the same logs and to others.
fn positions_ascend_with_the_order_of_writes(world: &mut World) {
    world.people();
    let elsewhere = direct(2, 3);
    let mut say = |conversation, sender, body: &str| world.request(conversation, sender, message(body));
    let mut writes: Vec<Append> = vec![
        say(PAIR, ANN, "1"),
        say(elsewhere, BOB, "1"),
        say(OWN, ANN, "1"),
        say(PAIR, BOB, "3"),
        say(OWN, ANN, "3"),
        say(elsewhere, BOB, "2"),
    ];
    let both = world.request(PAIR, ANN, pair(OWN));
    writes.insert(3, both);
    let writes: Vec<Write> = writes.into_iter().map(Write::Append).collect();
    let before = world.reader.snapshot().expect("a snapshot");
    let answers = world.commit(&writes);
    let events: Vec<_> = answers
        .iter()
        .flat_map(|answer| answer.as_ref().expect("an outcome").new_events())
        .collect();
    assert_eq!(events.len(), writes.len() + 1);
    for log in [PAIR, OWN, elsewhere] {
        let of_log: Vec<_> = events.iter().filter(|event| event.conversation == log).collect();
        assert!(
            of_log
                .windows(2)
                .all(|two| two[0].position < two[1].position && two[0].seq < two[1].seq),
            "{of_log:?}"
        );
    }
    let mut positions: Vec<_> = events.iter().map(|event| event.position).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), events.len(), "an event shares its position");
    assert_eq!(bodies(world, ANN, PAIR), ["1", "both", "3"]);
    assert_eq!(bodies(world, ANN, OWN), ["1", "both", "3"]);
    let now = world.reader.snapshot().expect("a snapshot");
    assert!(
        events
            .iter()
            .all(|event| now.covers(event.position) && !before.covers(event.position))
    );
}
