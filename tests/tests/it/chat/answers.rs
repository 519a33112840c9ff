//! Answers that stand for events: where both sides have the capability, the sender's connection is told of its own message
//! once, by the answer, in the place that the event has among the pushes.

use std::{thread, time::Instant};

use client::{
    Client, Device, Options, Update,
    sync::{Snapshot, Start},
};
use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Push, Reply,
    v1::{self, ErrorCode, EventKind},
};
use tests::harness::{Connection, Daemon, Incoming, PATIENCE, User, body, message_id, text};

use crate::traffic::identity;

/// The user's session on a new connection that has the capability.
fn with_capability(user: &User) -> User {
    let mut conn = Connection::to(user.address);
    let hello = v1::Hello {
        capabilities: u64::MAX,
        ..user.hello_again()
    };
    let welcome = conn.ask(hello).expect("welcome back");
    assert_eq!(welcome.capabilities, CAPABILITY_ANSWER_IS_EVENT);
    let session = v1::Session {
        token: user.token.clone(),
        ..welcome.session.expect("the session")
    };
    User::of(user.address, conn, &user.device, session)
}

/// Whatever was pushed before now.
fn pushed_before_a_ping(user: &mut User) -> Vec<v1::Event> {
    user.get(v1::Ping {});
    let mut events = Vec::new();
    while user.conn.has_kept() {
        events.push(user.pushed());
    }
    events
}

#[test]
fn an_own_message_is_answered_and_not_pushed_besides() {
    let daemon = Daemon::start();
    let [ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut other_device = User::login(daemon.address(), "ada", "second");
    let mut ada = with_capability(&ada);
    let group = ada.group("both", &[bob.id]);
    // A group's events are the server's work, so they are pushed.
    assert_eq!(ada.pushed().kind(), EventKind::GroupCreated);
    let sent = ada.text(group, "once");
    assert_eq!((sent.seq, sent.roster), (2, 1));
    assert_eq!(pushed_before_a_ping(&mut ada), []);
    for user in [&mut bob, &mut other_device] {
        assert_eq!(user.pushed().kind(), EventKind::GroupCreated);
        assert_eq!(body(&user.pushed()), "once");
    }
    bob.text(group, "from bob");
    assert_eq!(body(&ada.pushed()), "from bob");
    for (kind, what) in [
        (EventKind::Edit, "twice"),
        (EventKind::Reaction, "+"),
        (EventKind::Recall, ""),
    ] {
        ada.about(kind, group, sent.seq, what).unwrap();
        assert_eq!(ada.pushed().kind(), kind);
    }
}

#[test]
fn who_does_not_ask_for_it_is_pushed_everything() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "note");
    assert_eq!(body(&ada.pushed()), "note");
}

#[test]
fn answers_come_where_the_events_would() {
    const MESSAGES: usize = 300;
    const WINDOW: usize = 16;
    let daemon = Daemon::start();
    let [ada, bob, cleo] = daemon.register_all(["ada", "bob", "cleo"]);
    let mut users = [&ada, &bob, &cleo].map(with_capability);
    let group = users[0].group("all", &[bob.id, cleo.id]);
    for user in &mut users {
        assert_eq!(user.pushed().seq, 1);
    }
    // All write at once. Whoever listens sees every seq exactly once, and in order: their own by the answer.
    let write = |user: &mut User| {
        let (mut submitted, mut answered, mut seqs) = (0, 0, Vec::new());
        while seqs.len() < 3 * MESSAGES {
            while submitted < MESSAGES && submitted - answered < WINDOW {
                user.conn.submit(text(group, "at once"));
                submitted += 1;
            }
            match user.conn.next() {
                Incoming::Reply(_, reply) => {
                    let Reply::Send(sent) = *reply else {
                        panic!("{reply:?}")
                    };
                    answered += 1;
                    seqs.push(sent.seq);
                }
                Incoming::Push(Push::EventsPush(page)) => {
                    seqs.extend(page.events.iter().map(|event| event.seq));
                }
                other => panic!("{other:?}"),
            }
        }
        seqs
    };
    let expected: Vec<u64> = (2..).take(3 * MESSAGES).collect();
    thread::scope(|scope| {
        for user in &mut users {
            scope.spawn(|| assert_eq!(write(user), expected));
        }
    });
}

#[test]
fn appends_of_one_conversation_are_answered_in_their_order() {
    let daemon = Daemon::start();
    let [ada, bob] = daemon.register_all(["ada", "bob"]);
    let mut ada = with_capability(&ada);
    let group = ada.group("both", &[bob.id]);
    ada.pushed();
    let first = text(group, "first");
    let mut reply_to_nothing = text(group, "reply");
    if let Some(content) = &mut reply_to_nothing.content {
        content.reply_to = 1_000;
    }
    let rename = v1::RenameGroupRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        name: "renamed".to_owned(),
    };
    let submitted = [
        ada.conn.submit(first.clone()),
        ada.conn.submit(reply_to_nothing),
        ada.conn.submit(first),
        ada.conn.submit(rename),
        ada.conn.submit(text(group, "last")),
    ];
    let mut answered = Vec::new();
    while answered.len() < submitted.len() {
        match ada.conn.next() {
            Incoming::Reply(seq, _) => answered.push(seq),
            Incoming::Refused(seq, refusal) => {
                assert_eq!(refusal.code(), ErrorCode::NotFound);
                answered.push(seq);
            }
            Incoming::Push(_) => {}
            Incoming::End => panic!("the connection ended"),
        }
    }
    assert_eq!(answered, submitted);
}

#[test]
fn a_client_makes_of_the_answer_the_event_that_others_are_pushed() {
    let daemon = Daemon::start();
    let [ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let options = Options {
        server: daemon.address().to_string(),
        trust: client::Trust::default(),
        identity: identity(&ada),
    };
    drop(ada);
    let (client, events) = Client::connect(options).unwrap();
    let mut device = Device::new(client, events, Snapshot::default(), Start::Beginning);
    let deadline = Instant::now() + PATIENCE;
    while device.next(deadline) != Some(Update::Synced) {
        assert!(Instant::now() < deadline, "no sync was answered");
    }
    let mut send = text(conversation, "whole");
    send.kind = EventKind::Image.into();
    if let Some(content) = &mut send.content {
        content.content_type = "image/png".to_owned();
        content.mentions = vec![bob.id];
        content.fallback = "an image".to_owned();
        content.blob = Some(v1::BlobRef {
            blob_id: "blob".to_owned(),
            size: 7,
            ..v1::BlobRef::default()
        });
    }
    let left = deadline.saturating_duration_since(Instant::now());
    device.call(protocol::Request::Send(send), left).unwrap();
    let own = loop {
        match device.next(deadline) {
            Some(Update::Event(event)) => break event,
            Some(_) => {}
            None => panic!("no event came"),
        }
    };
    assert_eq!(*own, bob.pushed());
    assert_eq!([*own], bob.history(conversation)[..]);
}
