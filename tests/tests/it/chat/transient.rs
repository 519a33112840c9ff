//! What passes and is not stored.

use protocol::{
    Push,
    v1::{self, ErrorCode, EventKind, QualityOfService},
};
use tests::harness::{Daemon, Setup, body, message_id, text};

fn typing(conversation_id: u64, typing: bool) -> v1::TypingRequest {
    v1::TypingRequest {
        conversation_id,
        typing,
    }
}

#[test]
fn typing_reaches_the_others_and_is_not_stored() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut phone = daemon.login("ada", "phone");
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "wait");
    for user in [&mut ada, &mut bob, &mut phone] {
        user.pushed();
    }
    for state in [true, false] {
        ada.get(typing(conversation, state));
        for user in [&mut bob, &mut phone] {
            let expected = v1::TypingPush {
                conversation_id: conversation,
                user_id: ada.id,
                typing: state,
            };
            assert_eq!(user.conn.push(), Push::TypingPush(expected));
        }
    }
    assert!(ada.pushes_so_far().is_empty(), "not to the device that types");
    assert_eq!(ada.view(conversation).head_seq, 1);
}

#[test]
fn large_groups_show_no_typing() {
    let daemon = Setup::config("[groups]\nreceipts_up_to = 2\n").start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let small = ada.group("two", &[bob.id]);
    let large = ada.group("three", &[bob.id, cyd.id]);
    for _ in 0..2 {
        bob.pushed();
    }
    ada.get(typing(large, true));
    ada.get(typing(small, true));
    assert!(matches!(bob.conn.push(), Push::TypingPush(push) if push.conversation_id == small));
}

#[test]
fn a_message_of_at_most_once_is_passed_on_and_forgotten() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut phone = daemon.login("ada", "phone");
    let conversation = ada.direct(bob.id);
    let first = ada.text(conversation, "stored");
    for user in [&mut bob, &mut phone, &mut ada] {
        user.pushed();
    }
    let send = v1::SendRequest {
        quality: QualityOfService::AtMostOnce.into(),
        ..text(conversation, "now you see me")
    };
    let ack = ada.get(send.clone());
    assert_eq!(
        (ack.seq, ack.ordinal, ack.duplicate),
        (0, 0, false),
        "it has no place in the log"
    );
    for user in [&mut bob, &mut phone] {
        let Push::TransientPush(push) = user.conn.push() else {
            panic!("a transient push was expected")
        };
        assert_eq!((push.sender_id, push.kind()), (ada.id, EventKind::Text));
        assert_eq!(
            (push.conversation_id, &push.client_msg_id),
            (conversation, &send.client_msg_id)
        );
        assert_eq!(push.content, send.content);
    }
    assert_eq!(bob.texts(conversation), ["stored"]);
    assert_eq!(bob.view(conversation).head_seq, first.seq);
    assert!(ada.pushes_so_far().is_empty());
}

#[test]
fn at_least_once_is_stored_like_exactly_once() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = v1::SendRequest {
        quality: QualityOfService::AtLeastOnce.into(),
        ..text(conversation, "surely")
    };
    assert_eq!(ada.get(send.clone()).seq, 1);
    // A retry may ask for another quality; it is the same message.
    let again = v1::SendRequest {
        quality: QualityOfService::ExactlyOnce.into(),
        ..send
    };
    assert!(ada.get(again).duplicate);
    assert_eq!(body(&bob.pushed()), "surely");
    assert_eq!(bob.texts(conversation), ["surely"]);
}

#[test]
fn only_messages_can_be_at_most_once() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "one");
    let recall = v1::SendRequest {
        conversation_id: own,
        client_msg_id: message_id(),
        kind: EventKind::Recall.into(),
        target_seq: 1,
        quality: QualityOfService::AtMostOnce.into(),
        ..v1::SendRequest::default()
    };
    assert_eq!(ada.refused(recall), ErrorCode::Invalid);
}

#[test]
fn what_passes_is_for_members_only() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id, cyd.id]);
    bob.leave(group).unwrap();
    let passing = |group| v1::SendRequest {
        quality: QualityOfService::AtMostOnce.into(),
        ..text(group, "psst")
    };
    assert_eq!(bob.refused(typing(group, true)), ErrorCode::Forbidden);
    assert_eq!(bob.refused(passing(group)), ErrorCode::Forbidden);
    bob.pushes_so_far();
    ada.get(typing(group, true));
    ada.get(passing(group));
    // What passes is passed on after it is answered.
    let mut passed = 0;
    while passed < 2 {
        let push = cyd.conn.push();
        passed += usize::from(matches!(push, Push::TypingPush(_) | Push::TransientPush(_)));
    }
    assert!(cyd.pushes_so_far().is_empty(), "each is passed on once");
    assert!(bob.pushes_so_far().is_empty(), "a former member hears nothing");
    ada.disband(group).unwrap();
    assert_eq!(ada.refused(typing(group, true)), ErrorCode::Gone);
    assert_eq!(ada.refused(passing(group)), ErrorCode::Gone);
}

fn at_most_once(send: v1::SendRequest) -> v1::SendRequest {
    v1::SendRequest {
        quality: QualityOfService::AtMostOnce.into(),
        ..send
    }
}

#[test]
fn what_was_stored_is_not_passed_on_again() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "stored");
    let stored = ada.get(send.clone());
    let again = ada.get(at_most_once(send.clone()));
    assert_eq!((again.seq, again.duplicate), (stored.seq, true));
    assert_eq!(
        (again.ordinal, again.sent_at_ms),
        (stored.ordinal, stored.sent_at_ms)
    );
    let other = v1::SendRequest {
        client_msg_id: send.client_msg_id,
        ..text(conversation, "something else")
    };
    assert_eq!(ada.refused(at_most_once(other)), ErrorCode::Conflict);
    assert_eq!(body(&bob.pushed()), "stored");
    ada.get(at_most_once(text(conversation, "last")));
    // Nothing was pushed in between.
    assert!(
        matches!(bob.conn.push(), Push::TransientPush(push) if push.content.as_ref().unwrap().body == "last")
    );
}

#[test]
fn what_passes_may_be_the_first_thing_between_two() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let conversation = ada.direct(bob.id);
    ada.get(at_most_once(text(conversation, "psst")));
    assert!(matches!(bob.conn.push(), Push::TransientPush(push) if push.sender_id == ada.id));
    ada.get(typing(conversation, true));
    assert!(matches!(bob.conn.push(), Push::TypingPush(push) if push.user_id == ada.id));
    assert_eq!(
        cyd.refused(at_most_once(text(conversation, "me too"))),
        ErrorCode::NotFound
    );
    let nobody = ada.direct(9_999);
    assert_eq!(
        ada.refused(at_most_once(text(nobody, "hello?"))),
        ErrorCode::NotFound
    );
    assert_eq!(ada.refused(typing(nobody, true)), ErrorCode::NotFound);
    // It has begun nothing.
    let get = v1::GetConversationRequest {
        conversation_id: conversation,
    };
    assert_eq!(bob.refused(get), ErrorCode::NotFound);
}

#[test]
fn what_passes_replies_to_what_is_there() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[]);
    ada.text(group, "before bob");
    ada.add(group, &[bob.id]).unwrap();
    ada.text(group, "with bob");
    let reply = |to| {
        let mut send = at_most_once(text(group, "as for that"));
        send.content.as_mut().unwrap().reply_to = to;
        send
    };
    for nothing in [1, 2, 3, 5, 1_000] {
        assert_eq!(bob.refused(reply(nothing)), ErrorCode::NotFound, "{nothing}");
    }
    bob.get(reply(4));
}
