//! How often a push is encoded: once for each format that somebody reads, however many read it.

use std::{cell::RefCell, collections::BTreeMap};

use super::{tests::Members, *};
use crate::{
    delivery::{Route, connections},
    message::Entry,
};

const MEMBERS: u64 = 1_000;
const GROUP: ConversationId = ConversationId(1 << 61 | 7);
/// What the members of a group with browsers speak.
const SOCKETS: [Format; 3] = [Format::SocketProtobuf, Format::SocketJson, Format::SocketText];

/// Connects each member with the next of these formats; the planner of their group.
fn connected(formats: &[Format]) -> (Planner, Vec<ConnId>) {
    let planner = Members::joined(1..=MEMBERS).planner(MEMBERS as usize);
    let ids = connections(MEMBERS as usize);
    for ((user, conn), format) in (1..).zip(&ids).zip(formats.iter().cycle()) {
        let route = Route {
            conn: *conn,
            session: storage::SessionId(user),
            format: *format,
            since: Timestamp(0),
            is_away: false,
        };
        let routes = &planner.routes;
        routes.insert(UserId(user), route, routes.revocations()).unwrap();
    }
    (planner, ids)
}

/// The receivers of each frame of a delivery, by where the frame's bytes are.
fn frames(delivery: &Delivery) -> Vec<(Bytes, usize)> {
    let mut frames = BTreeMap::new();
    for entry in &delivery.entries {
        let Entry::Push(item) = entry else {
            panic!("an answer")
        };
        let (_, receivers) = frames
            .entry(item.frame.as_ptr())
            .or_insert_with(|| (item.frame.clone(), 0));
        *receivers += item.receivers;
    }
    frames.into_values().collect()
}

fn message(seq: u64) -> Event {
    Event {
        kind: storage::EventKind::Message(1),
        body: Bytes::from_static(b"hello"),
        change: None,
        entry: None,
        ..tests::removal(1, seq)
    }
}

#[test]
fn a_message_to_a_thousand_sockets_is_encoded_once_in_each_way_of_writing() {
    for formats in [&SOCKETS[..], &SOCKETS[..1], &SOCKETS[2..], &Format::PUSHED] {
        let (mut planner, ids) = connected(formats);
        for except in [None, Some(ids[500])] {
            let mut out = planner.empty(None, 1);
            planner
                .event(&message(1), Timestamp(1), except, &mut out)
                .unwrap();
            let [delivery] = &out[..] else { panic!("one loop") };
            let frames = frames(delivery);
            assert_eq!(frames.len(), formats.len());
            let receivers: usize = frames.iter().map(|(_, receivers)| receivers).sum();
            assert_eq!(receivers, ids.len() - usize::from(except.is_some()));
            assert_eq!(delivery.to.len(), receivers);
            let mut bytes: Vec<&Bytes> = frames.iter().map(|(frame, _)| frame).collect();
            bytes.sort();
            bytes.dedup();
            assert_eq!(bytes.len(), formats.len(), "each is written in its own way");
        }
    }
}

/// Also what was encoded and not used would be seen here.
#[test]
fn nothing_is_encoded_for_nobody_and_nothing_twice() {
    let (planner, _) = connected(&SOCKETS);
    let mut targets = LoopTargets::new(4);
    targets.aim(&planner.routes, (1..=MEMBERS).map(UserId));
    let written = RefCell::new(Vec::new());
    let mut out: Vec<Delivery> = (0..4).map(|_| Delivery::default()).collect();
    targets.add(Owed::Nothing, &mut out, |format| {
        written.borrow_mut().push(format);
        Bytes::from_static(b"frame")
    });
    assert_eq!(written.into_inner(), SOCKETS);
    assert_eq!(out.iter().map(|delivery| delivery.to.len()).sum::<usize>(), 1_000);
}

#[test]
fn what_is_not_stored_and_cursors_are_encoded_as_often() {
    let (mut planner, ids) = connected(&SOCKETS);
    let typing = Push::TypingPush(v1::TypingPush {
        conversation_id: GROUP.0,
        user_id: 1,
        typing: true,
    });
    let users = (1..=MEMBERS).map(UserId);
    let out = transient(&planner.routes, 1, users, Some(ids[0]), &typing);
    assert_eq!((frames(&out[0]).len(), out[0].to.len()), (3, 999));
    let mut out = planner.empty(None, 1);
    planner.cursors(&[tests::moved(GROUP)], &mut out).unwrap();
    assert_eq!((frames(&out[0]).len(), out[0].to.len()), (3, 1_000));
}
