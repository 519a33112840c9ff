//! Requests that are well-formed and must not work.

use bytes::Bytes;
use protocol::{
    Push, direct_conversation,
    v1::{self, ErrorClass, ErrorCode, EventKind},
};
use tests::harness::{message_id, text, unnamed};

use super::Stage;

#[test]
fn a_client_id_has_sixteen_bytes() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    for bytes in [0, 1, 15, 17, 1_024] {
        let send = v1::SendRequest {
            client_msg_id: Bytes::from(vec![1; bytes]),
            ..text(own, "x")
        };
        let refusal = ada.ask(send).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field.as_str()),
            (ErrorCode::Invalid, "client_msg_id")
        );
    }
    stage.still_serves();
}

#[test]
fn a_recorded_send_replayed_by_another_is_the_others_own() {
    let mut stage = Stage::new();
    let [mut ada, mut bob, mut eve] = stage.daemon.register_all(["ada", "bob", "eve"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "once");
    let first = ada.get(send.clone());
    assert!(!first.duplicate);
    // By the same: the first result. On a new connection as well.
    let again = ada.get(send.clone());
    assert_eq!(
        (again.seq, again.epoch, again.duplicate),
        (first.seq, first.epoch, true)
    );
    let mut ada = ada.resumed();
    assert_eq!(ada.get(send.clone()), again);
    // By the other member: a message of his own. By a stranger: nothing.
    let his = bob.get(send.clone());
    assert_eq!((his.seq, his.duplicate), (2, false));
    assert_eq!(eve.refused(send), ErrorCode::NotFound);
    let senders: Vec<u64> = ada
        .history(conversation)
        .iter()
        .map(|event| event.sender_id)
        .collect();
    assert_eq!(senders, [ada.id, bob.id]);
    stage.still_serves();
}

#[test]
fn a_foreign_conversation_looks_like_one_that_does_not_exist() {
    let mut stage = Stage::new();
    let [mut ada, bob, mut eve] = stage.daemon.register_all(["ada", "bob", "eve"]);
    let direct = ada.direct(bob.id);
    ada.text(direct, "between us");
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "among us");
    let nobody = direct_conversation(ada.id, 1_000_000).unwrap().get();
    let no_group = group ^ 1;
    for (foreign, missing) in [(direct, nobody), (group, no_group)] {
        let answers = |eve: &mut tests::harness::User, id: u64| {
            let cases: Vec<v1::Error> = vec![
                eve.ask(text(id, "hello?")).unwrap_err(),
                eve.page(id, 1, 10).unwrap_err(),
                eve.ask(v1::GetConversationRequest { conversation_id: id })
                    .unwrap_err(),
                eve.about(EventKind::Recall, id, 1, "").unwrap_err(),
                eve.about(EventKind::Reaction, id, 1, "x").unwrap_err(),
                eve.about(EventKind::Edit, id, 1, "x").unwrap_err(),
                eve.ask(v1::TypingRequest {
                    conversation_id: id,
                    typing: true,
                })
                .unwrap_err(),
                eve.ask(v1::ListMembersRequest {
                    conversation_id: id,
                    after_user_id: 0,
                    limit: 10,
                })
                .unwrap_err(),
                eve.ask(v1::SendRequest {
                    quality: v1::QualityOfService::AtMostOnce.into(),
                    ..text(id, "passing")
                })
                .unwrap_err(),
            ];
            cases.into_iter().map(unnamed).collect::<Vec<_>>()
        };
        let one = answers(&mut eve, foreign);
        assert_eq!(one, answers(&mut eve, missing), "nothing tells them apart");
        assert!(
            one.iter().all(|refusal| refusal.code() == ErrorCode::NotFound),
            "{one:?}"
        );
        assert!(
            one.iter()
                .all(|refusal| refusal.class() == ErrorClass::NotApplied)
        );
    }
    let id = ada.id;
    let group_requests = |eve: &mut tests::harness::User, group: u64| {
        [
            eve.add(group, &[eve.id]).unwrap_err(),
            eve.remove(group, id).unwrap_err(),
            eve.leave(group).unwrap_err(),
            eve.set_role(group, id, v1::Role::Member).unwrap_err(),
            eve.rename(group, "mine").unwrap_err(),
            eve.disband(group).unwrap_err(),
        ]
        .map(unnamed)
    };
    let one = group_requests(&mut eve, group);
    assert_eq!(one, group_requests(&mut eve, no_group));
    assert!(
        one.iter().all(|refusal| refusal.code() == ErrorCode::NotFound),
        "{one:?}"
    );
    assert_eq!(ada.history(group).len(), 2, "nothing happened");
    // Others' own logs, and conversations of two others.
    assert_eq!(eve.refused(text(ada.own(), "dear diary")), ErrorCode::NotFound);
    assert_eq!(eve.page(ada.own(), 1, 1).unwrap_err().code(), ErrorCode::NotFound);
    assert!(eve.pushes_so_far().is_empty());
    stage.still_serves();
}

#[test]
fn a_group_of_people_who_are_not_there_is_not_made() {
    let mut stage = Stage::new();
    let [mut ada, bob] = stage.daemon.register_all(["ada", "bob"]);
    let create = |user_ids: Vec<u64>| v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "us".to_owned(),
        user_ids,
    };
    let some = ada.ask(create(vec![bob.id, 77_777])).unwrap_err();
    let all = ada.ask(create(vec![77_777, 88_888])).unwrap_err();
    assert_eq!(some.code(), ErrorCode::NotFound);
    assert_eq!(unnamed(some), unnamed(all), "it does not say which");
    // Duplicates and the creator are passed over.
    let ids = vec![bob.id, ada.id, bob.id, ada.id];
    let group = ada.get(create(ids)).conversation_id;
    assert_eq!(ada.view(group).member_count, 2);
    stage.still_serves();
}

#[test]
fn cursors_cannot_lie() {
    let mut stage = Stage::new();
    let [mut ada, mut bob, mut eve] = stage.daemon.register_all(["ada", "bob", "eve"]);
    let conversation = ada.direct(bob.id);
    for number in 1..=3 {
        ada.text(conversation, &number.to_string());
        bob.pushed();
    }
    // Beyond the head: cut to it.
    bob.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 1_000,
    });
    let (mut cursor, mut is_told) = (None, false);
    while cursor.is_none() || !is_told {
        match bob.conn.push() {
            Push::CursorsPush(mut push) => cursor = push.cursors.pop(),
            // Who has more than there is starts over, and hears of nothing before.
            Push::HeadsPush(heads) => is_told = heads.resync,
            other => panic!("a cursor and a word to sync were expected, not {other:?}"),
        }
    }
    assert!(cursor.is_some_and(|cursor| (cursor.read_seq, cursor.delivered_seq) == (3, 3)));
    bob.get(v1::SyncRequest {
        limit: 100,
        ..v1::SyncRequest::default()
    });
    // Backwards, and of somebody else's conversation: nothing.
    bob.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 1,
    });
    eve.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 3,
    });
    eve.get(v1::DeliveredRequest {
        up_to: vec![
            v1::Head {
                conversation_id: conversation,
                seq: 3,
            },
            v1::Head {
                conversation_id: eve.own(),
                seq: 5,
            },
        ],
    });
    // What moves next is seen next: nothing moved in between.
    ada.text(conversation, "4");
    bob.pushed();
    bob.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 4,
    });
    let cursor = bob.pushed_cursor();
    assert_eq!((cursor.user_id, cursor.read_seq), (bob.id, 4));
    let view = bob.view(conversation);
    assert_eq!((view.read_seq, view.delivered_seq, view.unread), (4, 4, 0));
    assert!(eve.pushes_so_far().is_empty());
    stage.still_serves();
}

#[test]
fn a_page_may_not_be_asked_of_nowhere() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let seqs: Vec<u16> = (1..=600)
        .map(|number| ada.conn.submit(text(own, &number.to_string())))
        .collect();
    for seq in seqs {
        ada.conn.answer::<v1::SendRequest>(seq).unwrap();
    }
    let head = ada.view(own).head_seq;
    assert_eq!(head, 600);
    assert_eq!(
        ada.page(own, head + 2, 10).unwrap_err().code(),
        ErrorCode::OutOfRange
    );
    let beyond = ada.page(own, head + 1, 10).unwrap();
    assert!(beyond.events.is_empty() && beyond.to_seq < beyond.from_seq && beyond.head_seq == head);
    assert_eq!(
        ada.page(own, 1, u32::MAX).unwrap().events.len(),
        500,
        "cut to the limit"
    );
    let other_epoch = v1::HistoryRequest {
        conversation_id: own,
        epoch: ada.epoch + 1,
        from_seq: 1,
        limit: 1,
        ..v1::HistoryRequest::default()
    };
    assert_eq!(ada.refused(other_epoch), ErrorCode::EpochMismatch);
    let first = v1::SyncRequest {
        limit: 10,
        ..v1::SyncRequest::default()
    };
    let mut forged = ada.get(first).token.to_vec();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    for token in [vec![1], vec![0xFF; 16], vec![1; 17], vec![0; 264], forged] {
        let sync = v1::SyncRequest {
            token: token.clone().into(),
            limit: 10,
        };
        assert_eq!(ada.refused(sync), ErrorCode::Invalid);
        let list = v1::ListConversationsRequest {
            before: token.into(),
            limit: 10,
        };
        assert_eq!(ada.refused(list), ErrorCode::Invalid);
    }
    stage.still_serves();
}
