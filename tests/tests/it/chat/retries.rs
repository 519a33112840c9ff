//! One client id, one message.

use protocol::v1::{self, ErrorClass, ErrorCode, EventKind};
use tests::harness::{Daemon, message_id, text};

#[test]
fn a_repeated_send_has_its_first_result() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "once");
    let first = ada.get(send.clone());
    ada.text(conversation, "something else meanwhile");
    for _ in 0..3 {
        let again = ada.get(send.clone());
        assert_eq!(
            again,
            v1::SendResponse {
                duplicate: true,
                ..first
            }
        );
    }
    assert_eq!(ada.texts(conversation), ["once", "something else meanwhile"]);
    // Nobody was told twice.
    assert_eq!(bob.pushed().seq, 1);
    assert_eq!(bob.pushed().seq, 2);
    assert!(bob.pushes_so_far().is_empty());
}

#[test]
fn repeats_on_one_connection_and_on_many_at_once_are_one_message() {
    let daemon = Daemon::start();
    let [ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "once");
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let mut device = daemon.login("ada", &format!("device-{number}"));
            let send = send.clone();
            std::thread::spawn(move || {
                let seqs: Vec<u16> = (0..20).map(|_| device.conn.submit(send.clone())).collect();
                let acks: Vec<v1::SendResponse> = seqs
                    .into_iter()
                    .map(|seq| device.conn.answer::<v1::SendRequest>(seq).unwrap())
                    .collect();
                acks
            })
        })
        .collect();
    let acks: Vec<v1::SendResponse> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(acks.len(), 160);
    assert_eq!(acks.iter().filter(|ack| !ack.duplicate).count(), 1);
    assert!(acks.iter().all(|ack| (ack.seq, ack.ordinal) == (1, 1)));
    let mut bob = bob;
    assert_eq!(bob.texts(conversation), ["once"]);
}

#[test]
fn another_body_under_the_same_id_is_a_conflict() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "this");
    ada.get(send.clone());
    let mut other_body = text(conversation, "that");
    other_body.client_msg_id = send.client_msg_id.clone();
    let other_kind = v1::SendRequest {
        kind: EventKind::Custom.into(),
        ..send.clone()
    };
    let recall = v1::SendRequest {
        kind: EventKind::Recall.into(),
        target_seq: 1,
        content: None,
        ..send.clone()
    };
    for other in [other_body, other_kind, recall] {
        let refusal = ada.ask(other).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.class()),
            (ErrorCode::Conflict, ErrorClass::NotApplied)
        );
    }
    assert_eq!(ada.texts(conversation), ["this"]);
    assert!(ada.get(send).duplicate, "the first one is still known");
}

#[test]
fn an_id_is_of_its_sender_and_its_conversation() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "first");
    assert!(!ada.get(send.clone()).duplicate);
    assert!(!bob.get(send.clone()).duplicate);
    let own = v1::SendRequest {
        conversation_id: ada.own(),
        ..send
    };
    assert!(!ada.get(own).duplicate);
}

#[test]
fn a_retry_is_known_after_a_restart() {
    let mut daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "once");
    let first = ada.get(send.clone());
    daemon.restart();
    let mut ada = ada.resumed();
    let again = ada.get(send);
    assert_eq!(
        (again.seq, again.epoch, again.duplicate),
        (first.seq, first.epoch, true)
    );
}

#[test]
fn a_retry_is_answered_even_if_it_would_be_refused_now() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    let send = text(group, "while I was here");
    let first = bob.get(send.clone());
    ada.remove(group, bob.id).unwrap();
    assert_eq!(bob.refused(text(group, "too late")), ErrorCode::Forbidden);
    let again = bob.get(send.clone());
    assert_eq!((again.seq, again.duplicate), (first.seq, true));
    ada.disband(group).unwrap();
    assert!(bob.get(send).duplicate);
}

#[test]
fn a_repeated_creation_meets_its_group() {
    let daemon = Daemon::start();
    let [mut ada, bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let create = v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "us".to_owned(),
        user_ids: vec![bob.id],
    };
    let first = ada.get(create.clone());
    let again = ada.get(create.clone());
    assert_eq!(
        (again.conversation_id, again.seq, again.duplicate),
        (first.conversation_id, 1, true)
    );
    let another = v1::CreateGroupRequest {
        user_ids: vec![cyd.id],
        ..create
    };
    assert_eq!(ada.refused(another), ErrorCode::Conflict);
    assert_eq!(
        ada.get(v1::ListConversationsRequest {
            limit: 10,
            ..Default::default()
        })
        .conversations
        .len(),
        1
    );
}

#[test]
fn repeated_changes_of_a_group_happen_once() {
    let daemon = Daemon::start();
    let [mut ada, bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id]);
    let add = v1::AddMembersRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        user_ids: vec![cyd.id],
    };
    let rename = v1::RenameGroupRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        name: "we".to_owned(),
    };
    let set_role = v1::SetRoleRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        user_id: bob.id,
        role: v1::Role::Admin.into(),
    };
    let remove = v1::RemoveMemberRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        user_id: cyd.id,
    };
    let first = [
        ada.get(add.clone()).seq,
        ada.get(rename.clone()).seq,
        ada.get(set_role.clone()).seq,
        ada.get(remove.clone()).seq,
    ];
    assert_eq!(first, [2, 3, 4, 5]);
    // Again, though nothing of it could be done any more.
    let again = [ada.get(add), ada.get(rename), ada.get(set_role), ada.get(remove)];
    assert!(again.iter().all(|ack| ack.duplicate));
    assert_eq!(again.map(|ack| ack.seq), first);
    assert_eq!(ada.view(group).head_seq, 5);
}
