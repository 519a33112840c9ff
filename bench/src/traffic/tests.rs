use std::sync::Arc;

use super::*;
use crate::dialect::Account;

const BODIES: Bodies = Bodies { run: 9, size: 40 };

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    connection: usize,
    id: u64,
    body: Vec<u8>,
}

fn target() -> Target {
    Target::User(Arc::new(Account::default()))
}

/// Connection 0 sends to 1 and 2, of which the second is slow if so asked.
fn trio(is_slow: bool) -> Traffic {
    let mut traffic = Traffic::new(BODIES).unwrap();
    traffic
        .add_sender(0, target(), 2, 2 - usize::from(is_slow))
        .unwrap();
    traffic.add_receiver(1, 0, 1, false);
    traffic.add_receiver(2, 0, 1, is_slow);
    traffic.measure(0, u64::MAX);
    traffic
}

fn send(traffic: &mut Traffic, now: u64) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some(Sending {
        connection, id, body, ..
    }) = traffic.next(now, |_| 3)
    {
        sent.push(Sent {
            connection,
            id,
            body: body.to_vec(),
        });
    }
    sent
}

fn ids(sent: &[Sent]) -> Vec<u64> {
    sent.iter().map(|sent| sent.id).collect()
}

#[test]
fn a_window_counts_what_is_not_both_acknowledged_and_delivered_to_all() {
    let mut traffic = trio(false);
    traffic.start(0, Amount::Window(2));
    let sent = send(&mut traffic, 5);
    assert_eq!(ids(&sent), [0, 1]);
    traffic.acked(0, 0, 6);
    traffic.delivered(1, &sent[0].body, 6);
    assert_eq!(ids(&send(&mut traffic, 6)), [0; 0]);
    traffic.delivered(2, &sent[0].body, 7);
    assert_eq!(ids(&send(&mut traffic, 7)), [2]);
    traffic.delivered(1, &sent[1].body, 8);
    traffic.delivered(2, &sent[1].body, 8);
    assert_eq!(ids(&send(&mut traffic, 8)), [0; 0]);
    traffic.acked(0, 1, 9);
    assert_eq!(ids(&send(&mut traffic, 9)), [3]);
}

#[test]
fn a_slow_receiver_is_not_waited_for_until_the_end() {
    let mut traffic = trio(true);
    traffic.start(0, Amount::Window(1));
    let sent = send(&mut traffic, 1);
    traffic.acked(0, 0, 2);
    traffic.delivered(1, &sent[0].body, 2);
    assert_eq!(ids(&send(&mut traffic, 2)), [1]);
    traffic.stop(3);
    traffic.acked(0, 1, 4);
    assert!(traffic.are_acked() && !traffic.is_complete());
}

#[test]
fn an_open_loop_keeps_its_times_whatever_becomes_of_the_messages() {
    let mut traffic = trio(false);
    traffic.start(1_000, Amount::Rate(1_000_000.0));
    assert_eq!(traffic.plan_until(1_000), 2_000);
    // The connection takes three at a time, and all of this is late.
    assert_eq!(traffic.plan_until(5_500), 6_000);
    let sent = send(&mut traffic, 5_500);
    assert_eq!(ids(&sent), [0, 1, 2]);
    let times: Vec<u64> = sent
        .iter()
        .map(|sent| Stamp::read(&sent.body).unwrap().intended_ns)
        .collect();
    assert_eq!(times, [1_000, 2_000, 3_000]);
    traffic.stop(5_999);
    traffic.acked(0, 0, 6_000);
    assert_eq!(ids(&send(&mut traffic, 6_000)), [3]);
    traffic.acked(0, 1, 6_100);
    assert_eq!(ids(&send(&mut traffic, 6_100)), [4]);
    let outcome = traffic.into_outcome(1.0);
    assert_eq!(
        (
            outcome.count("sent"),
            outcome.count("acked"),
            outcome.count("unsent")
        ),
        (5, 2, 0)
    );
    let slowest = outcome.latency("ack").unwrap().histogram().max();
    assert_eq!(slowest / 100, 50);
}

#[test]
fn each_violation_is_counted() {
    let mut traffic = trio(false);
    traffic.start(0, Amount::Window(9));
    let sent = send(&mut traffic, 1);
    assert_eq!(ids(&sent), [0, 1, 2]);
    for sent in &sent {
        traffic.delivered(1, &sent.body, 2);
    }
    // The other one: out of order, twice, damaged, never sent, and one is missing.
    traffic.delivered(2, &sent[1].body, 2);
    traffic.delivered(2, &sent[0].body, 2);
    traffic.delivered(2, &sent[0].body, 2);
    let mut damaged = sent[2].body.clone();
    damaged[39] ^= 1;
    traffic.delivered(2, &damaged, 2);
    traffic.delivered(2, b"no stamp", 2);
    let (mut body, never) = (
        Vec::new(),
        Stamp {
            run: 9,
            sender: 0,
            counter: 7,
            intended_ns: 0,
        },
    );
    never.write(40, &mut body);
    traffic.delivered(2, &body, 2);
    // What another load sent is none of these.
    Stamp { run: 8, ..never }.write(40, &mut body);
    traffic.delivered(2, &body, 2);
    let outcome = traffic.into_outcome(1.0);
    let counts = [
        "delivered",
        "lost",
        "duplicated",
        "misordered",
        "corrupted",
        "foreign",
    ]
    .map(|name| outcome.count(name));
    assert_eq!(counts, [5, 1, 1, 1, 3, 1]);
}

#[test]
fn what_is_for_somebody_else_is_no_delivery() {
    let mut traffic = Traffic::new(BODIES).unwrap();
    for pair in 0..2 {
        let stream = traffic.add_sender(pair * 2, target(), 1, 1).unwrap();
        traffic.add_receiver(pair * 2 + 1, stream, 1, false);
    }
    traffic.start(0, Amount::Window(1));
    let sent = send(&mut traffic, 1);
    traffic.delivered(3, &sent[0].body, 2);
    // One's own message comes back to its sender as well, and counts for nothing.
    traffic.delivered(0, &sent[0].body, 2);
    let outcome = traffic.into_outcome(1.0);
    assert_eq!(
        (
            outcome.count("lost"),
            outcome.count("corrupted"),
            outcome.count("delivered")
        ),
        (2, 1, 0)
    );
}

#[test]
fn what_was_not_acknowledged_is_sent_again_as_it_was() {
    let mut traffic = trio(false);
    traffic.start(0, Amount::Window(9));
    let sent = send(&mut traffic, 1);
    traffic.acked(0, 1, 2);
    traffic.disconnected(0);
    assert_eq!(send(&mut traffic, 3), []);
    traffic.reconnected(0);
    let again = send(&mut traffic, 4);
    assert_eq!(again[..2], [sent[0].clone(), sent[2].clone()]);
    assert_eq!(ids(&again[2..]), [3]);
}

#[test]
fn a_round_is_complete_when_everyone_has_everything() {
    let mut traffic = trio(false);
    assert!(traffic.is_complete());
    traffic.add_round(2, 1);
    for round in 0..2 {
        assert!(!traffic.is_complete());
        let sent = send(&mut traffic, 1);
        assert_eq!(ids(&sent), [round]);
        traffic.acked(0, round, 2);
        traffic.delivered(1, &sent[0].body, 2);
        traffic.delivered(2, &sent[0].body, 2);
    }
    assert_eq!(send(&mut traffic, 3), []);
    assert!(traffic.is_complete());
}

#[test]
fn a_body_must_have_room_for_its_stamp() {
    assert!(Traffic::new(Bodies { run: 1, size: 31 }).is_err());
}
