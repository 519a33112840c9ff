//! A sound record passes, and each way to spoil it is found.

use super::*;

const CONVERSATION: u64 = 9;

fn id(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn key(sender: u64, number: u64) -> Key {
    Key {
        conversation: CONVERSATION,
        sender,
        client_id: id(number),
    }
}

/// Users 1 and 2 send messages 1 to 6 in turn, each after the one before was acknowledged; seq 1 is the group.
fn sound() -> Record {
    let mut record = Record::default();
    let mut log = vec![Entry {
        seq: 1,
        ordinal: 0,
        sender: 1,
        client_id: id(100),
        message: false,
        body: Vec::new(),
    }];
    for number in 1..=6 {
        let sender = 1 + number % 2;
        record.sent.push(Sent {
            key: key(sender, number),
            body: vec![number as u8],
            invoked: number * 10,
        });
        record.acked.push(Ack {
            key: key(sender, number),
            epoch: 7,
            seq: number + 1,
            ordinal: number,
            at: number * 10 + 5,
        });
        log.push(Entry {
            seq: number + 1,
            ordinal: number,
            sender,
            client_id: id(number),
            message: true,
            body: vec![number as u8],
        });
    }
    for user in [1, 2] {
        record.logs.insert((CONVERSATION, user), log.clone());
        record
            .applied
            .insert((format!("device {user}"), CONVERSATION), log.clone());
    }
    record
}

fn in_logs(record: &mut Record, change: impl Fn(&mut Vec<Entry>)) {
    record.logs.values_mut().for_each(&change);
    record.applied.values_mut().for_each(&change);
}

fn in_a_device(record: &mut Record, change: impl FnOnce(&mut Vec<Entry>)) {
    change(record.applied.values_mut().next().unwrap());
}

#[track_caller]
fn found(record: &Record, expected: &[Violation]) {
    assert_eq!(check(record), expected);
}

#[test]
fn a_sound_record_has_nothing() {
    found(&sound(), &[]);
}

#[test]
fn what_was_tried_and_never_acknowledged_may_be_there_or_not() {
    let mut record = sound();
    record.sent.push(Sent {
        key: key(1, 99),
        body: vec![],
        invoked: 1_000,
    });
    record.acked.retain(|ack| ack.key != key(2, 3));
    found(&record, &[]);
}

#[test]
fn loss_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| {
        log.pop();
    });
    found(&record, &[Violation::Lost(key(1, 6))]);
}

#[test]
fn a_double_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| {
        let again = Entry {
            seq: 8,
            ordinal: 7,
            ..log[6].clone()
        };
        log.push(again);
    });
    // The acknowledgement is held against the newest place, so it is told as well.
    found(
        &record,
        &[
            Violation::Doubled(key(1, 6), 7, 8),
            Violation::Misplaced(key(1, 6), 7),
        ],
    );
}

#[test]
fn a_hole_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| log[6].seq = 8);
    let found = check(&record);
    assert!(found.contains(&Violation::Hole(CONVERSATION, 6, 8)), "{found:?}");
    assert!(found.contains(&Violation::Misplaced(key(1, 6), 7)), "{found:?}");
}

#[test]
fn a_wrong_ordinal_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| log[0].ordinal = 1);
    found(&record, &[Violation::Ordinal(CONVERSATION, 1)]);
}

#[test]
fn a_phantom_is_found() {
    let mut record = sound();
    record.sent.remove(5);
    found(&record, &[Violation::Phantom(key(1, 6), 7)]);
}

#[test]
fn another_senders_name_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| log[6].sender = 2);
    found(
        &record,
        &[Violation::Phantom(key(2, 6), 7), Violation::Lost(key(1, 6))],
    );
}

#[test]
fn a_changed_body_is_found() {
    let mut record = sound();
    in_logs(&mut record, |log| log[3].body.push(0));
    found(&record, &[Violation::Altered(key(2, 3), 4)]);
}

#[test]
fn a_senders_messages_out_of_order_are_found() {
    let mut record = sound();
    // Both at once, so that only the order in which one sender sent them is broken.
    for sent in &mut record.sent {
        sent.invoked = 0;
    }
    in_logs(&mut record, |log| {
        let (first, second) = (log[2].clone(), log[4].clone());
        log[2] = Entry {
            seq: first.seq,
            ordinal: first.ordinal,
            ..second.clone()
        };
        log[4] = Entry {
            seq: second.seq,
            ordinal: second.ordinal,
            ..first
        };
    });
    for ack in &mut record.acked {
        match ack.seq {
            3 => (ack.seq, ack.ordinal) = (5, 4),
            5 => (ack.seq, ack.ordinal) = (3, 2),
            _ => {}
        }
    }
    found(&record, &[Violation::Reordered(key(1, 4), 3)]);
}

#[test]
fn a_message_that_overtook_an_acknowledged_one_is_found() {
    let mut record = sound();
    // Message 2 was sent after message 3 was acknowledged.
    record.sent[1].invoked = 36;
    found(&record, &[Violation::Overtaken(key(2, 3), 4)]);
}

#[test]
fn acknowledgements_that_disagree_are_found() {
    for spoil in [
        |ack: &mut Ack| ack.seq += 1,
        |ack: &mut Ack| ack.ordinal += 1,
        |ack: &mut Ack| ack.epoch += 1,
    ] {
        let mut record = sound();
        let mut again = record.acked[2];
        spoil(&mut again);
        record.acked.push(again);
        found(&record, &[Violation::Misplaced(key(2, 3), again.seq)]);
    }
}

#[test]
fn members_who_read_different_logs_are_found() {
    let mut record = sound();
    record.logs.get_mut(&(CONVERSATION, 2)).unwrap()[3].body.push(0);
    found(&record, &[Violation::Disagreement(CONVERSATION, 4, 4)]);
    let mut record = sound();
    record.logs.get_mut(&(CONVERSATION, 2)).unwrap().pop();
    found(&record, &[Violation::Disagreement(CONVERSATION, 7, 0)]);
}

#[test]
fn a_device_that_applied_twice_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| {
        let again = applied[3].clone();
        applied.insert(4, again);
    });
    found(
        &record,
        &[Violation::DeviceOrder("device 1".into(), CONVERSATION, 4, 4)],
    );
}

#[test]
fn a_device_that_skipped_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| {
        applied.remove(3);
    });
    found(
        &record,
        &[Violation::DeviceOrder("device 1".into(), CONVERSATION, 3, 5)],
    );
}

#[test]
fn a_device_that_applied_out_of_order_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| applied.swap(3, 4));
    assert_eq!(check(&record).len(), 3);
}

#[test]
fn a_device_that_is_behind_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| {
        applied.pop();
    });
    found(
        &record,
        &[Violation::DeviceIncomplete("device 1".into(), CONVERSATION, 6, 7)],
    );
    in_a_device(&mut record, Vec::clear);
    found(
        &record,
        &[Violation::DeviceIncomplete("device 1".into(), CONVERSATION, 0, 7)],
    );
}

#[test]
fn a_device_that_applied_what_is_not_in_the_log_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| {
        applied.push(Entry {
            seq: 8,
            ordinal: 7,
            sender: 1,
            client_id: id(50),
            message: true,
            body: vec![],
        });
    });
    found(
        &record,
        &[Violation::DevicePhantom("device 1".into(), CONVERSATION, 8)],
    );
}

#[test]
fn a_device_that_applied_another_body_is_found() {
    let mut record = sound();
    in_a_device(&mut record, |applied| applied[3].body.push(0));
    found(
        &record,
        &[Violation::DeviceAltered("device 1".into(), CONVERSATION, 4)],
    );
}

#[test]
fn a_record_without_the_log_proves_nothing() {
    let mut record = sound();
    record.logs.clear();
    let found = check(&record);
    assert_eq!(found.len(), 8);
    assert!(
        found
            .iter()
            .all(|violation| *violation == Violation::NoLog(CONVERSATION))
    );
}

#[test]
fn what_an_earlier_epoch_promised_may_be_gone_but_not_twice() {
    let mut record = sound();
    record.epoch = Some(8);
    // The tail was lost, and the epoch with it.
    in_logs(&mut record, |log| log.truncate(4));
    found(&record, &[]);
    record.acked[1].epoch = 8;
    record.acked[5].epoch = 8;
    found(&record, &[Violation::Lost(key(1, 6))]);
    record.acked[5].epoch = 7;
    in_logs(&mut record, |log| {
        let again = Entry {
            seq: 5,
            ordinal: 4,
            ..log[3].clone()
        };
        log.push(again);
    });
    assert!(check(&record).contains(&Violation::Doubled(key(2, 3), 4, 5)));
}

#[test]
fn what_was_refused_for_good_is_nowhere() {
    let mut record = sound();
    record.refused.push(key(1, 99));
    found(&record, &[]);
    record.refused.push(key(1, 4));
    found(&record, &[Violation::Refused(key(1, 4), 5)]);
}

#[test]
fn events_that_do_not_count_are_judged_where_they_were_recorded() {
    let mut record = sound();
    let change = |log: &mut Vec<Entry>| {
        log.push(Entry {
            seq: 8,
            ordinal: 6,
            sender: 1,
            client_id: id(7),
            message: false,
            body: Vec::new(),
        });
    };
    in_logs(&mut record, change);
    found(&record, &[]);
    record.sent.push(Sent {
        key: key(1, 7),
        body: vec![1],
        invoked: 70,
    });
    found(&record, &[Violation::Altered(key(1, 7), 8)]);
}
