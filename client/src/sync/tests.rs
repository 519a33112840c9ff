use bytes::Bytes;
use protocol::v1;

use super::{
    Action, Failure, HELD_MAX, Machine, Malformed, Mark, PULLS_MAX, READY_MAX, RequestId, Snapshot, Start,
};

const EPOCH: u64 = 7;

fn event(conversation_id: u64, seq: u64) -> v1::Event {
    v1::Event {
        conversation_id,
        seq,
        sent_at_ms: 1_000_u64.saturating_add(seq),
        client_msg_id: Bytes::copy_from_slice(&seq.to_be_bytes()),
        ..v1::Event::default()
    }
}

fn page(conversation: u64, from: u64, to: u64, seqs: impl IntoIterator<Item = u64>) -> v1::Page {
    v1::Page {
        conversation_id: conversation,
        epoch: EPOCH,
        from_seq: from,
        to_seq: to,
        events: seqs.into_iter().map(|seq| event(conversation, seq)).collect(),
        head_seq: 0,
    }
}

fn heads(conversation_id: u64, seq: u64) -> v1::HeadsPush {
    v1::HeadsPush {
        epoch: EPOCH,
        heads: vec![v1::Head { conversation_id, seq }],
        resync: false,
    }
}

/// A machine that has followed `conversation` up to `cursor`, whose sync was answered with nothing new.
fn live(conversation: u64, cursor: u64) -> Machine {
    let snapshot = Snapshot {
        epoch: EPOCH,
        token: Some(Bytes::from_static(b"t0")),
        cursors: [(conversation, cursor)].into(),
        ..Snapshot::default()
    };
    let mut machine = Machine::new(snapshot, Start::Heads);
    machine.handle_connected(10);
    answer_sync(&mut machine, sync("t0"));
    assert_eq!(machine.next_action(), None);
    machine
}

fn sync(token: &'static str) -> v1::SyncResponse {
    v1::SyncResponse {
        token: Bytes::from_static(token.as_bytes()),
        epoch: EPOCH,
        ..v1::SyncResponse::default()
    }
}

fn answer_sync(machine: &mut Machine, response: v1::SyncResponse) {
    let Some(Action::Sync { id, .. }) = machine.next_action() else {
        panic!("a sync must be asked for");
    };
    machine.handle_sync(id, response).unwrap();
}

fn next_pull(machine: &mut Machine) -> (RequestId, v1::HistoryRequest) {
    match machine.next_action() {
        Some(Action::Pull { id, request }) => (id, request),
        other => panic!("a pull was expected, not {other:?}"),
    }
}

/// Everything the machine says until it has nothing more to say, in short.
fn drain(machine: &mut Machine) -> Vec<String> {
    std::iter::from_fn(|| machine.next_action())
        .map(|action| match action {
            Action::Apply(event) => format!("{}/{}", event.conversation_id, event.seq),
            Action::StoreToken(token) => format!("store {}", String::from_utf8_lossy(&token)),
            Action::Acknowledge(delivered) => {
                let heads = delivered.up_to.iter();
                let heads: Vec<_> = heads
                    .map(|head| format!("{}:{}", head.conversation_id, head.seq))
                    .collect();
                format!("ack {}", heads.join(" "))
            }
            Action::Pull { request, .. } => format!("pull {}/{}", request.conversation_id, request.from_seq),
            Action::Sync { request, .. } => format!("sync {}", String::from_utf8_lossy(&request.token)),
            Action::List { .. } => "list".to_owned(),
            Action::Restart => "restart".to_owned(),
            Action::Rewind { conversation, to } => format!("rewind {conversation} to {to}"),
        })
        .collect()
}

#[test]
fn next_is_applied_old_is_dropped_and_a_gap_is_pulled() {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 6, [6])).unwrap();
    assert_eq!(drain(&mut machine), ["1/6", "ack 1:6"]);

    machine.handle_page(page(1, 4, 6, 4..=6)).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);

    machine.handle_page(page(1, 9, 9, [9])).unwrap();
    let (id, request) = next_pull(&mut machine);
    assert_eq!((request.from_seq, request.epoch, request.limit), (7, EPOCH, 10));
    let answer = v1::Page {
        head_seq: 9,
        ..page(1, 7, 8, [7, 8])
    };
    machine.handle_history(id, answer).unwrap();
    assert_eq!(drain(&mut machine), ["1/7", "1/8", "1/9", "ack 1:9"]);
}

#[test]
fn the_cursor_moves_over_what_is_not_visible() {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 20, [8])).unwrap();
    assert_eq!(drain(&mut machine), ["1/8", "ack 1:8"]);
    assert_eq!(machine.cursor(1), 20);
    machine.handle_page(page(1, 21, 21, [21])).unwrap();
    assert_eq!(drain(&mut machine), ["1/21", "ack 1:21"]);
}

#[test]
fn one_pull_at_a_time_serves_all_that_is_heard_meanwhile() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 7)).unwrap();
    let (id, _) = next_pull(&mut machine);
    machine.handle_heads(&heads(1, 9)).unwrap();
    machine.handle_page(page(1, 9, 9, [9])).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0], "no second pull");
    // The answer was read before 8 and 9 were written.
    let answer = v1::Page {
        head_seq: 7,
        ..page(1, 6, 7, [6, 7])
    };
    machine.handle_history(id, answer).unwrap();
    assert_eq!(drain(&mut machine), ["pull 1/8", "1/6", "1/7", "ack 1:7"]);
}

#[test]
fn a_head_that_turns_out_not_to_be_visible_is_forgotten() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 9)).unwrap();
    let (id, _) = next_pull(&mut machine);
    let answer = v1::Page {
        head_seq: 5,
        ..page(1, 6, 5, [])
    };
    machine.handle_history(id, answer).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    assert!(machine.is_caught_up());
}

#[test]
fn a_token_waits_for_everything_it_covers() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 6)).unwrap();
    let (id, _) = next_pull(&mut machine);
    machine.handle_pong(Bytes::from_static(b"t1"));
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    assert_eq!(machine.snapshot().token, Some(Bytes::from_static(b"t0")));
    let answer = v1::Page {
        head_seq: 6,
        ..page(1, 6, 6, [6])
    };
    machine.handle_history(id, answer).unwrap();
    assert_eq!(drain(&mut machine), ["1/6", "store t1", "ack 1:6"]);
    assert_eq!(machine.snapshot().token, Some(Bytes::from_static(b"t1")));
}

#[test]
fn the_snapshot_holds_what_was_taken_and_nothing_more() {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 8, 6..=8)).unwrap();
    assert!(matches!(machine.next_action(), Some(Action::Apply(event)) if event.seq == 6));
    assert_eq!(machine.snapshot().cursors, [(1, 6)].into());
    let delivered = machine.take_acknowledgement().unwrap();
    assert_eq!(
        delivered.up_to[0].seq, 6,
        "what was not taken is not acknowledged"
    );
}

#[test]
fn a_pong_during_a_resync_does_not_count() {
    let mut machine = live(1, 5);
    let resync = v1::HeadsPush {
        epoch: EPOCH,
        heads: Vec::new(),
        resync: true,
    };
    machine.handle_heads(&resync).unwrap();
    machine.handle_pong(Bytes::from_static(b"t9"));
    assert_eq!(drain(&mut machine), ["sync t0"]);
    machine.handle_pong(Bytes::from_static(b"t9"));
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
}

#[test]
fn a_new_device_begins_at_the_heads_and_what_moved_meanwhile_is_found() {
    let mut machine = Machine::new(Snapshot::default(), Start::Heads);
    machine.handle_connected(0);
    let Some(Action::List { id, request }) = machine.next_action() else {
        panic!("a list must be asked for");
    };
    assert!(request.before.is_empty());
    // Pushed before the sync: it will be in the sync.
    machine.handle_page(page(2, 1, 1, [1])).unwrap();
    let list = v1::ListConversationsResponse {
        conversations: vec![v1::Conversation {
            conversation_id: 1,
            head_seq: 40,
            ..v1::Conversation::default()
        }],
        sync_token: Bytes::from_static(b"t1"),
        epoch: EPOCH,
        ..v1::ListConversationsResponse::default()
    };
    machine.handle_list(id, &list).unwrap();
    let Some(Action::Sync { id, request }) = machine.next_action() else {
        panic!("a sync must be asked for");
    };
    assert_eq!(request.token, "t1");
    assert_eq!(drain(&mut machine), ["store t1"]);
    let stored = Snapshot {
        epoch: EPOCH,
        token: Some(Bytes::from_static(b"t1")),
        cursors: [(1, 40)].into(),
        marks: [(1, Mark::unknown(40))].into(),
        ..Snapshot::default()
    };
    assert_eq!(machine.snapshot(), stored, "from here on nothing is missed");
    let moved = v1::SyncResponse {
        conversations: vec![
            v1::Conversation {
                conversation_id: 1,
                head_seq: 41,
                ..v1::Conversation::default()
            },
            v1::Conversation {
                conversation_id: 2,
                head_seq: 300,
                ..v1::Conversation::default()
            },
        ],
        pages: vec![page(2, 300, 300, [300])],
        ..sync("t2")
    };
    machine.handle_sync(id, moved).unwrap();
    assert_eq!(drain(&mut machine), ["pull 1/41", "2/300", "ack 2:300"]);
    assert_eq!(machine.cursor(1), 40);
}

#[test]
fn a_conversation_that_appears_later_is_pulled_from_its_beginning() {
    let mut machine = live(1, 5);
    machine.handle_disconnected();
    machine.handle_connected(0);
    // Joined, left and joined again while this device was away: first_seq is of the newest stretch only.
    let joined = v1::SyncResponse {
        conversations: vec![v1::Conversation {
            conversation_id: 2,
            head_seq: 52,
            first_seq: 50,
            ..v1::Conversation::default()
        }],
        ..sync("t1")
    };
    answer_sync(&mut machine, joined);
    let (id, request) = next_pull(&mut machine);
    assert_eq!(request.from_seq, 1);
    let answer = v1::Page {
        head_seq: 52,
        ..page(2, 1, 52, [8, 9, 50, 52])
    };
    machine.handle_history(id, answer).unwrap();
    let applied = ["2/8", "2/9", "2/50", "2/52", "store t1", "ack 2:52"];
    assert_eq!(drain(&mut machine), applied);
}

#[test]
fn coming_back_to_a_group_skips_nothing_of_the_time_before() {
    let mut machine = live(1, 5);
    let back = v1::SyncResponse {
        conversations: vec![v1::Conversation {
            conversation_id: 1,
            head_seq: 52,
            first_seq: 50,
            ..v1::Conversation::default()
        }],
        ..sync("t1")
    };
    machine.handle_disconnected();
    machine.handle_connected(0);
    answer_sync(&mut machine, back);
    let (_, request) = next_pull(&mut machine);
    assert_eq!(request.from_seq, 6, "6 to 10 may have been visible");
}

/// A machine that has applied events 6 and 7 of conversation 1, and met another past on its next connection.
fn restarted(other_epoch: bool) -> Machine {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 7, [6, 7])).unwrap();
    machine.handle_pong(Bytes::from_static(b"t1"));
    assert_eq!(drain(&mut machine), ["1/6", "1/7", "store t1", "ack 1:7"]);
    machine.handle_disconnected();
    machine.handle_connected(10);
    let other = v1::SyncResponse {
        restarted: !other_epoch,
        epoch: EPOCH + u64::from(other_epoch),
        ..sync("x")
    };
    answer_sync(&mut machine, other);
    assert_eq!(machine.next_action(), Some(Action::Restart));
    machine
}

fn listed(conversation_id: u64, head_seq: u64, token: &'static str) -> v1::SyncResponse {
    v1::SyncResponse {
        conversations: vec![v1::Conversation {
            conversation_id,
            head_seq,
            delivered_seq: head_seq,
            ..v1::Conversation::default()
        }],
        ..sync(token)
    }
}

#[test]
fn another_past_is_asked_for_from_its_beginning_and_what_it_has_too_stays() {
    for other_epoch in [true, false] {
        let mut machine = restarted(other_epoch);
        let before = Snapshot {
            token: Some(Bytes::new()),
            marks: [(1, Mark::of(&event(1, 7)))].into(),
            ..Snapshot::default()
        };
        assert_eq!(machine.snapshot(), before, "as such it is stored");
        answer_sync(&mut machine, listed(1, 9, "t2"));
        let (id, request) = next_pull(&mut machine);
        assert_eq!(request.from_seq, 7, "is it the same event?");
        let answer = v1::Page {
            head_seq: 9,
            ..page(1, 7, 9, 7..=9)
        };
        machine.handle_history(id, answer).unwrap();
        let rest = ["rewind 1 to 7", "1/8", "1/9", "store t2", "ack 1:9"];
        assert_eq!(drain(&mut machine), rest);
    }
}

#[test]
fn a_log_with_another_event_there_is_applied_from_its_beginning() {
    let mut machine = restarted(true);
    let other = v1::SyncResponse {
        epoch: EPOCH,
        ..listed(1, 8, "t2")
    };
    answer_sync(&mut machine, other);
    let (id, _) = next_pull(&mut machine);
    let mut answer = v1::Page {
        head_seq: 8,
        ..page(1, 7, 8, [7, 8])
    };
    answer.events[0].client_msg_id = Bytes::from_static(b"another");
    machine.handle_history(id, answer).unwrap();
    assert!(
        machine.snapshot().cursors.is_empty(),
        "not before the program knows"
    );
    assert_eq!(drain(&mut machine), ["pull 1/1", "rewind 1 to 0"]);
}

#[test]
fn a_log_that_ends_before_is_applied_from_its_beginning() {
    let mut machine = restarted(true);
    answer_sync(&mut machine, listed(1, 3, "t2"));
    assert_eq!(drain(&mut machine), ["pull 1/1", "rewind 1 to 0"]);
    // One that has nothing of the conversation says nothing of it.
    let mut machine = restarted(true);
    answer_sync(&mut machine, sync("t2"));
    assert_eq!(drain(&mut machine), ["rewind 1 to 0", "store t2"]);
    assert!(machine.is_caught_up());
}

#[test]
fn what_was_applied_beyond_the_stored_token_is_looked_for_on_the_next_connection() {
    let connected_again = || {
        let mut machine = live(1, 5);
        machine.handle_page(page(1, 6, 7, [6, 7])).unwrap();
        assert_eq!(drain(&mut machine), ["1/6", "1/7", "ack 1:7"]);
        assert_eq!(machine.snapshot().ahead, [(1, 5)].into());
        machine.handle_disconnected();
        machine.handle_connected(10);
        machine
    };
    // It is there.
    let mut machine = connected_again();
    let answer = v1::SyncResponse {
        pages: vec![page(1, 6, 8, 6..=8)],
        ..listed(1, 8, "t2")
    };
    answer_sync(&mut machine, answer);
    assert_eq!(drain(&mut machine), ["1/8", "store t2", "ack 1:8"]);
    // The store was put back and has something else.
    let mut machine = connected_again();
    let mut other = page(1, 6, 8, 6..=8);
    other.events[1].sent_at_ms += 1;
    let answer = v1::SyncResponse {
        pages: vec![other],
        ..listed(1, 8, "t2")
    };
    answer_sync(&mut machine, answer);
    let again = ["rewind 1 to 5", "1/6", "1/7", "1/8", "store t2", "ack 1:8"];
    assert_eq!(drain(&mut machine), again);
    // It has nothing beyond the token.
    let mut machine = connected_again();
    answer_sync(&mut machine, sync("t2"));
    let (id, request) = next_pull(&mut machine);
    assert_eq!(request.from_seq, 6, "what follows what is certain");
    let nothing = v1::Page {
        head_seq: 5,
        ..page(1, 6, 5, [])
    };
    machine.handle_history(id, nothing).unwrap();
    assert_eq!(drain(&mut machine), ["rewind 1 to 5", "store t2", "ack 1:5"]);
}

#[test]
fn nothing_is_applied_or_acknowledged_before_the_server_has_accepted_the_token() {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 6, [6])).unwrap();
    machine.handle_pong(Bytes::from_static(b"t1"));
    assert_eq!(drain(&mut machine), ["1/6", "store t1", "ack 1:6"]);
    machine.handle_disconnected();
    machine.handle_connected(10);
    let Some(Action::Sync { id, .. }) = machine.next_action() else {
        panic!("a sync must be asked for");
    };
    machine.handle_page(page(1, 7, 7, [7])).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    machine.handle_sync(id, sync("t1")).unwrap();
    assert_eq!(drain(&mut machine), ["1/7", "ack 1:7"]);
}

#[test]
fn a_refusal_to_sync_is_waited_out_and_takes_nothing() {
    let mut machine = live(1, 5);
    machine.handle_disconnected();
    machine.handle_connected(10);
    let Some(Action::Sync { id, .. }) = machine.next_action() else {
        panic!("a sync must be asked for");
    };
    machine.handle_failure(id, Failure::Later);
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    machine.retry();
    assert_eq!(drain(&mut machine), ["sync t0"]);
}

#[test]
fn an_event_of_another_epoch_is_not_believed_but_asked_about() {
    let mut machine = live(1, 5);
    let foreign = v1::Page {
        epoch: EPOCH + 1,
        ..page(1, 6, 6, [6])
    };
    machine.handle_page(foreign).unwrap();
    assert_eq!(drain(&mut machine), ["sync t0"]);
}

#[test]
fn what_failed_waits_for_a_retry() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 6)).unwrap();
    let (id, _) = next_pull(&mut machine);
    machine.handle_failure(id, Failure::Later);
    machine.handle_heads(&heads(1, 8)).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    machine.retry();
    assert_eq!(drain(&mut machine), ["pull 1/6"]);
}

/// Its retry would be over before anything is missing again.
#[test]
fn what_failed_and_was_pushed_waits_for_nothing() {
    for fails_first in [true, false] {
        let mut machine = live(1, 5);
        machine.handle_heads(&heads(1, 6)).unwrap();
        let (id, _) = next_pull(&mut machine);
        if fails_first {
            machine.handle_failure(id, Failure::Later);
        }
        machine.handle_page(page(1, 6, 6, [6])).unwrap();
        assert_eq!(drain(&mut machine), ["1/6", "ack 1:6"]);
        if !fails_first {
            machine.handle_failure(id, Failure::Later);
        }
        machine.retry();
        machine.handle_heads(&heads(1, 8)).unwrap();
        assert_eq!(drain(&mut machine), ["pull 1/7"], "fails first: {fails_first}");
    }
}

#[test]
fn what_is_gone_is_not_asked_for_again() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 6)).unwrap();
    let (id, _) = next_pull(&mut machine);
    machine.handle_failure(id, Failure::Gone);
    machine.retry();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
    assert!(machine.is_caught_up());
}

#[test]
fn a_late_answer_of_an_earlier_connection_is_ignored() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 6)).unwrap();
    let (old, _) = next_pull(&mut machine);
    machine.handle_disconnected();
    machine.handle_connected(0);
    answer_sync(&mut machine, listed(1, 6, "t1"));
    let (new, _) = next_pull(&mut machine);
    assert_ne!(old, new);
    machine.handle_history(old, page(1, 6, 6, [6])).unwrap();
    assert_eq!(drain(&mut machine), [] as [&str; 0]);
}

#[test]
fn acknowledgements_are_repeated_on_the_next_connection() {
    let mut machine = live(1, 5);
    machine.handle_page(page(1, 6, 6, [6])).unwrap();
    machine.handle_pong(Bytes::from_static(b"t1"));
    assert_eq!(drain(&mut machine), ["1/6", "store t1", "ack 1:6"]);
    machine.handle_disconnected();
    assert!(machine.take_acknowledgement().is_none());
    machine.handle_connected(0);
    answer_sync(&mut machine, sync("t1"));
    assert_eq!(drain(&mut machine), ["ack 1:6"]);
}

#[test]
fn pages_that_contradict_themselves_are_refused() {
    let mut other = page(1, 6, 6, [6]);
    other.events[0].conversation_id = 2;
    let cases = [
        page(1, 6, 6, [7]),
        page(1, 6, 8, [7, 7]),
        page(1, 6, 8, [8, 7]),
        page(1, 6, 8, [5]),
        page(0, 1, 1, []),
        page(1, 0, 1, []),
        page(1, 9, 7, []),
        other,
    ];
    for case in cases {
        let mut machine = live(1, 5);
        assert_eq!(
            machine.handle_page(case.clone()),
            Err(Malformed::Page),
            "{case:?}"
        );
        assert_eq!(drain(&mut machine), [] as [&str; 0]);
    }
}

#[test]
fn an_answer_that_brings_nothing_is_an_error_and_not_a_loop() {
    let mut machine = live(1, 5);
    machine.handle_heads(&heads(1, 9)).unwrap();
    let (id, _) = next_pull(&mut machine);
    let answer = v1::Page {
        head_seq: 9,
        ..page(1, 6, 5, [])
    };
    assert_eq!(machine.handle_history(id, answer), Err(Malformed::NoProgress));
}

#[test]
fn what_is_not_taken_is_bounded_and_comes_back_by_pull() {
    let mut machine = live(1, 0);
    let total = READY_MAX as u64 + 500;
    for seq in 1..=total {
        machine.handle_page(page(1, seq, seq, [seq])).unwrap();
    }
    let mut applied = 0;
    while let Some(action) = machine.next_action() {
        match action {
            Action::Apply(event) => {
                applied += 1;
                assert_eq!(event.seq, applied);
            }
            Action::Pull { id, request } => {
                assert!(request.from_seq > READY_MAX as u64);
                let from = request.from_seq;
                let to = (from + 9).min(total);
                let answer = v1::Page {
                    head_seq: total,
                    ..page(1, from, to, from..=to)
                };
                machine.handle_history(id, answer).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(applied, total);
}

#[test]
fn held_pages_and_pulls_in_flight_are_bounded() {
    let mut machine = live(1, 0);
    for conversation in 1..=100 {
        for seq in 0..20 {
            let seq = 10 + 2 * seq;
            machine.handle_page(page(conversation, seq, seq, [seq])).unwrap();
        }
    }
    assert!(machine.held_events() <= HELD_MAX);
    assert_eq!(drain(&mut machine).len(), PULLS_MAX);
}

#[test]
fn numbers_that_no_log_has_are_refused_and_do_no_harm() {
    let extremes = [0, 1, 6, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    for first in extremes {
        for second in extremes {
            for cursor in [0, 5, u64::MAX] {
                let mut machine = live(1, cursor);
                let mut answers = vec![
                    machine.handle_page(page(1, first, second, [second])),
                    machine.handle_page(page(1, first, second, [])),
                    machine.handle_page(v1::Page {
                        head_seq: second,
                        ..page(2, first, first, [])
                    }),
                    machine.handle_heads(&heads(1, first)),
                    machine.handle_heads(&heads(2, second)),
                ];
                while let Some(action) = machine.next_action() {
                    let Action::Pull { id, .. } = action else { continue };
                    answers.push(machine.handle_history(
                        id,
                        v1::Page {
                            head_seq: second,
                            ..page(1, first, second, [first])
                        },
                    ));
                    machine.handle_failure(id, Failure::Gone);
                }
                if first.max(second) > super::SEQ_MAX {
                    assert!(answers.contains(&Err(Malformed::Number)), "{first} {second}");
                }
                let named = v1::Conversation {
                    conversation_id: 1,
                    head_seq: first,
                    delivered_seq: second,
                    ..v1::Conversation::default()
                };
                machine.handle_connected(10);
                if let Some(Action::Sync { id, .. }) = machine.next_action() {
                    let answer = v1::SyncResponse {
                        conversations: vec![named.clone()],
                        ..sync("t1")
                    };
                    let _ = machine.handle_sync(id, answer);
                }
                drain(&mut machine);
                let mut fresh = Machine::new(Snapshot::default(), Start::Heads);
                fresh.handle_connected(u32::MAX);
                if let Some(Action::List { id, .. }) = fresh.next_action() {
                    let list = v1::ListConversationsResponse {
                        conversations: vec![named],
                        epoch: first,
                        ..v1::ListConversationsResponse::default()
                    };
                    let _ = fresh.handle_list(id, &list);
                }
                drain(&mut fresh);
            }
        }
    }
}
