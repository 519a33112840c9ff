//! Sending, acknowledging, pushing, reading back.

use std::collections::BTreeMap;

use protocol::v1::{self, EventKind};
use tests::harness::{Daemon, User, body, message_id, text};

#[test]
fn two_people_talk() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    assert_eq!(conversation, bob.direct(ada.id));
    let ack = ada.text(conversation, "hello bob");
    assert_eq!(
        (ack.conversation_id, ack.seq, ack.ordinal, ack.duplicate),
        (conversation, 1, 1, false)
    );
    assert_eq!(ack.epoch, ada.epoch);
    for user in [&mut ada, &mut bob] {
        let event = user.pushed();
        assert_eq!((event.seq, event.ordinal, event.kind()), (1, 1, EventKind::Text));
        assert_eq!(event.sent_at_ms, ack.sent_at_ms);
        assert_eq!(body(&event), "hello bob");
    }
    assert_eq!(bob.text(conversation, "hello ada").seq, 2);
    assert_eq!(body(&ada.pushed()), "hello ada");
    assert_eq!(ada.texts(conversation), ["hello bob", "hello ada"]);
    assert_eq!(ada.history(conversation), bob.history(conversation));
    let senders: Vec<u64> = bob
        .history(conversation)
        .iter()
        .map(|event| event.sender_id)
        .collect();
    assert_eq!(senders, [ada.id, bob.id]);
}

#[test]
fn every_kind_of_message_arrives_as_it_was_sent() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let kinds = [
        EventKind::Text,
        EventKind::Image,
        EventKind::Voice,
        EventKind::Video,
        EventKind::File,
        EventKind::Location,
        EventKind::Card,
        EventKind::Custom,
    ];
    for (number, kind) in (1..).zip(kinds) {
        let content = v1::Content {
            content_type: "application/x-test".to_owned(),
            body: vec![number as u8; 300].into(),
            blob: Some(v1::BlobRef {
                blob_id: "blob".to_owned(),
                size: 1 << 40,
                content_type: "image/png".to_owned(),
                name: "picture of you.png".to_owned(),
                width: 640,
                height: 480,
                duration_ms: 1_500,
            }),
            mentions: vec![bob.id, 999],
            fallback: "a test".to_owned(),
            priority: v1::Priority::High.into(),
            reply_to: number - 1,
            expires_at_ms: 0,
        };
        let send = v1::SendRequest {
            conversation_id: conversation,
            client_msg_id: message_id(),
            kind: kind.into(),
            content: Some(content.clone()),
            ..v1::SendRequest::default()
        };
        let ack = ada.get(send.clone());
        assert_eq!((ack.seq, ack.ordinal), (number, number));
        let pushed = bob.pushed();
        assert_eq!(
            (pushed.kind(), &pushed.client_msg_id),
            (kind, &send.client_msg_id)
        );
        assert_eq!(pushed.body.as_ref().unwrap().content.as_ref(), Some(&content));
        let read = ada.page(conversation, number, 1).unwrap().events.remove(0);
        assert_eq!(read, pushed);
    }
}

#[test]
fn a_message_reaches_every_device_of_every_member_the_senders_others_included() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut ada_phone = daemon.login("ada", "phone");
    let mut bob_phone = daemon.login("bob", "phone");
    let mut bystander = daemon.register("eve");
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "everywhere");
    for device in [&mut ada, &mut ada_phone, &mut bob, &mut bob_phone] {
        assert_eq!(body(&device.pushed()), "everywhere");
    }
    assert!(bystander.pushes_so_far().is_empty());
}

#[test]
fn twenty_people_talk_at_once_and_all_read_the_same() {
    const PEOPLE: usize = 20;
    const EACH: usize = 10;
    let daemon = Daemon::start();
    let mut people: Vec<User> = (0..PEOPLE)
        .map(|number| daemon.register(&format!("p{number}")))
        .collect();
    let ids: Vec<u64> = people.iter().map(|user| user.id).collect();
    let group = people[0].group("all of us", &ids);
    let total = PEOPLE * EACH;
    let threads: Vec<_> = people
        .into_iter()
        .map(|mut user| {
            std::thread::spawn(move || {
                assert_eq!(user.pushed().kind(), EventKind::GroupCreated);
                let mut acked = BTreeMap::new();
                for number in 0..EACH {
                    let said = format!("{} says {number}", user.name);
                    let ack = user.text(group, &said);
                    acked.insert(ack.seq, said);
                }
                let pushed: Vec<v1::Event> = (0..total).map(|_| user.pushed()).collect();
                (user, acked, pushed)
            })
        })
        .collect();
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let reference = &results[0].2;
    let seqs: Vec<u64> = reference.iter().map(|event| event.seq).collect();
    assert_eq!(
        seqs,
        (2..2 + total as u64).collect::<Vec<u64>>(),
        "pushed in order, without a hole"
    );
    for (_, acked, pushed) in &results {
        assert_eq!(pushed, reference, "everybody was pushed the same");
        for (seq, said) in acked {
            let event = &pushed[*seq as usize - 2];
            assert_eq!(
                (event.seq, &body(event)),
                (*seq, said),
                "the acknowledgement said where"
            );
        }
        let mut ordered: Vec<&String> = acked.values().collect();
        ordered.sort();
        assert!(acked.values().eq(ordered), "in the order in which they were sent");
    }
    for (mut user, _, pushed) in results {
        assert_eq!(
            user.history(group)[1..],
            pushed[..],
            "and everybody reads the same"
        );
    }
}

#[test]
fn sends_in_flight_together_are_numbered_in_order() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let seqs: Vec<u16> = (0..300)
        .map(|number| ada.conn.submit(text(conversation, &number.to_string())))
        .collect();
    for (expected, seq) in (1..).zip(seqs) {
        assert_eq!(ada.conn.answer::<v1::SendRequest>(seq).unwrap().seq, expected);
    }
    for expected in 0..300 {
        assert_eq!(body(&bob.pushed()), expected.to_string());
    }
}

#[test]
fn times_never_run_backwards_in_a_conversation() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    for round in 0..20 {
        let user = if round % 2 == 0 { &mut ada } else { &mut bob };
        user.text(conversation, "tick");
    }
    let times: Vec<u64> = ada
        .history(conversation)
        .iter()
        .map(|event| event.sent_at_ms)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_text_has_its_limit_and_other_bodies_theirs() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, &"x".repeat(4_096));
    assert_eq!(ada.refused(text(own, &"x".repeat(4_097))), v1::ErrorCode::Invalid);
    let custom = |bytes: usize| v1::SendRequest {
        kind: EventKind::Custom.into(),
        ..text(own, &"x".repeat(bytes))
    };
    ada.get(custom(60 * 1024));
    assert_eq!(ada.refused(custom(60 * 1024 + 1)), v1::ErrorCode::Invalid);
    let events = ada.history(own);
    assert_eq!(
        events.iter().map(|event| body(event).len()).collect::<Vec<_>>(),
        [4_096, 60 * 1024]
    );
}

#[test]
fn an_expired_message_keeps_its_place_and_loses_its_body() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let expiring = |at: u64| {
        let mut send = text(conversation, "this will pass");
        send.content.as_mut().unwrap().expires_at_ms = at;
        send
    };
    let now = ada.get(v1::Ping {}).server_time_ms;
    ada.get(expiring(now - 1_000));
    ada.get(expiring(now + 3_600_000));
    let first = bob.pushed();
    assert!(first.expired && first.body.is_none());
    let second = bob.pushed();
    assert!(!second.expired);
    assert_eq!(body(&second), "this will pass");
    let read = bob.history(conversation);
    assert_eq!(read, [first, second]);
    assert_eq!(bob.view(conversation).unread, 2, "it counted when it was sent");
    // One that runs out while it is stored is shown until then.
    let soon = ada.get(v1::Ping {}).server_time_ms + 700;
    let ack = ada.get(expiring(soon));
    loop {
        let event = bob.page(conversation, ack.seq, 1).unwrap().events.remove(0);
        if event.expired {
            assert!(event.body.is_none());
            assert!(bob.get(v1::Ping {}).server_time_ms >= soon);
            break;
        }
        assert_eq!(body(&event), "this will pass");
    }
}
