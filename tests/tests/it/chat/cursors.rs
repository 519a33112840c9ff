//! Delivered, read, unread.

use protocol::v1;
use tests::harness::{Daemon, Setup, User};

fn read(conversation_id: u64, seq: u64) -> v1::ReadRequest {
    v1::ReadRequest { conversation_id, seq }
}

fn delivered(heads: &[(u64, u64)]) -> v1::DeliveredRequest {
    v1::DeliveredRequest {
        up_to: heads
            .iter()
            .map(|(conversation_id, seq)| v1::Head {
                conversation_id: *conversation_id,
                seq: *seq,
            })
            .collect(),
    }
}

/// Past the events, to the next cursor.
fn next_cursor(user: &mut User) -> v1::Cursor {
    loop {
        match user.conn.push() {
            protocol::Push::CursorsPush(mut push) => {
                assert_eq!(push.cursors.len(), 1);
                return push.cursors.remove(0);
            }
            protocol::Push::EventsPush(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn receipts_reach_the_sender_and_ones_own_devices() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut phone = daemon.login("bob", "phone");
    let conversation = ada.direct(bob.id);
    for number in 1..=3 {
        ada.text(conversation, &number.to_string());
    }
    let bob_id = bob.id;
    bob.get(delivered(&[(conversation, 2)]));
    for user in [&mut ada, &mut bob, &mut phone] {
        let cursor = next_cursor(user);
        assert_eq!((cursor.conversation_id, cursor.user_id), (conversation, bob_id));
        assert_eq!((cursor.delivered_seq, cursor.read_seq), (2, 0));
    }
    phone.get(read(conversation, 3));
    for user in [&mut ada, &mut bob, &mut phone] {
        let cursor = next_cursor(user);
        assert_eq!(
            (cursor.delivered_seq, cursor.read_seq),
            (3, 3),
            "who has read has it"
        );
    }
    let cursors = ada
        .get(v1::GetConversationRequest {
            conversation_id: conversation,
        })
        .cursors;
    let bobs = cursors.iter().find(|cursor| cursor.user_id == bob.id).unwrap();
    assert_eq!((bobs.delivered_seq, bobs.read_seq), (3, 3));
}

#[test]
fn no_answer_shows_a_cursor_beyond_the_head() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    let head = ada.text(group, "hello").seq;
    for read_seq in [0, head] {
        if read_seq == 0 {
            bob.get(delivered(&[(group, head + 1)]));
        } else {
            bob.get(read(group, head + 9));
        }
        let members = bob.get(v1::ListMembersRequest {
            conversation_id: group,
            after_user_id: 0,
            limit: 9,
        });
        let own = members
            .members
            .iter()
            .find(|member| member.user_id == bob.id)
            .unwrap();
        assert_eq!((own.delivered_seq, own.read_seq), (head, read_seq));
        let view = bob.view(group);
        assert_eq!((view.delivered_seq, view.read_seq), (head, read_seq));
    }
}

#[test]
fn cursors_only_go_forward() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    for number in 1..=5 {
        ada.text(conversation, &number.to_string());
    }
    bob.get(read(conversation, 4));
    assert_eq!(next_cursor(&mut bob).read_seq, 4);
    bob.get(read(conversation, 2));
    bob.get(delivered(&[(conversation, 1)]));
    bob.get(delivered(&[(conversation, 5)]));
    let cursor = next_cursor(&mut bob);
    assert_eq!((cursor.delivered_seq, cursor.read_seq), (5, 4));
}

#[test]
fn one_request_moves_several_conversations() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let (first, second) = (cyd.direct(ada.id), cyd.direct(bob.id));
    ada.text(first, "one");
    bob.text(second, "two");
    cyd.get(delivered(&[(first, 1), (second, 1)]));
    assert_eq!(next_cursor(&mut ada).conversation_id, first);
    assert_eq!(next_cursor(&mut bob).conversation_id, second);
}

#[test]
fn unread_counts_messages_and_nothing_else() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    assert_eq!(bob.view(group).unread, 0, "that it was made is no message");
    for number in 0..3 {
        ada.text(group, &number.to_string()); // 2, 3, 4
    }
    ada.about(v1::EventKind::Edit, group, 2, "edited").unwrap(); // 5
    ada.about(v1::EventKind::Reaction, group, 2, "x").unwrap(); // 6
    ada.rename(group, "we").unwrap(); // 7
    let view = bob.view(group);
    assert_eq!(
        (view.unread, view.head_seq, view.head_ordinal, view.read_seq),
        (3, 7, 3, 0)
    );
    bob.get(read(group, 3));
    next_cursor(&mut bob);
    assert_eq!(bob.view(group).unread, 1);
    bob.get(read(group, 7));
    next_cursor(&mut bob);
    assert_eq!(bob.view(group).unread, 0);
    assert_eq!(ada.view(group).unread, 0, "nobody's own messages are unread");
}

#[test]
fn sending_is_having_read() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "question");
    ada.text(conversation, "another question");
    assert_eq!(bob.view(conversation).unread, 2);
    bob.text(conversation, "answer");
    assert_eq!(bob.view(conversation).unread, 0);
    assert_eq!(ada.view(conversation).unread, 1);
}

#[test]
fn large_groups_push_receipts_to_nobody_else() {
    let daemon = Setup::config("[groups]\nreceipts_up_to = 2\n").start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let mut phone = daemon.login("bob", "phone");
    let large = ada.group("three", &[bob.id, cyd.id]);
    let small = ada.group("two", &[bob.id]);
    ada.text(large, "large");
    ada.text(small, "small");
    bob.get(read(large, 2));
    assert_eq!(
        next_cursor(&mut phone).conversation_id,
        large,
        "one's own devices are told"
    );
    bob.get(read(small, 2));
    assert_eq!(
        next_cursor(&mut ada).conversation_id,
        small,
        "the first that ada is told of"
    );
    let get = v1::GetConversationRequest {
        conversation_id: large,
    };
    assert!(ada.get(get).cursors.is_empty());
}

#[test]
fn what_was_told_is_answered_at_once() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    let mut seqs = Vec::new();
    for number in 0..20 {
        seqs.push(ada.text(group, &number.to_string()).seq);
    }
    // Each is asked about long before it is written.
    for (number, seq) in seqs.iter().enumerate() {
        bob.get(read(group, *seq));
        let found = bob.get(v1::GetConversationRequest {
            conversation_id: group,
        });
        let view = found.conversation.unwrap();
        assert_eq!((view.read_seq, view.delivered_seq), (*seq, *seq));
        assert_eq!(view.unread, 19 - number as u64);
        let own = found
            .cursors
            .iter()
            .find(|cursor| cursor.user_id == bob.id)
            .unwrap();
        assert_eq!((own.read_seq, own.delivered_seq), (*seq, *seq));
        let members = bob.get(v1::ListMembersRequest {
            conversation_id: group,
            after_user_id: 0,
            limit: 10,
        });
        let own = members
            .members
            .iter()
            .find(|member| member.user_id == bob.id)
            .unwrap();
        assert_eq!(own.read_seq, *seq);
    }
}

#[test]
fn a_former_member_reads_for_themselves() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut phone = daemon.login("bob", "phone");
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "unread");
    ada.remove(group, bob.id).unwrap();
    assert_eq!(bob.view(group).unread, 1);
    bob.get(read(group, 2));
    for device in [&mut bob, &mut phone] {
        assert_eq!(next_cursor(device).read_seq, 2);
    }
    assert_eq!(phone.view(group).unread, 0);
    assert!(
        !ada.pushes_so_far()
            .iter()
            .any(|push| matches!(push, protocol::Push::CursorsPush(_))),
        "those who are members now are not told"
    );
    let synced = ada.get(v1::SyncRequest {
        limit: 10,
        ..v1::SyncRequest::default()
    });
    assert!(synced.cursors.iter().all(|cursor| cursor.user_id != bob.id));
    let synced = phone.get(v1::SyncRequest {
        limit: 10,
        ..v1::SyncRequest::default()
    });
    assert!(
        synced
            .cursors
            .iter()
            .any(|cursor| cursor.user_id == bob.id && cursor.read_seq == 2)
    );
}

#[test]
fn cursors_survive_a_restart() {
    let mut daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "one");
    ada.text(conversation, "two");
    bob.get(read(conversation, 1));
    // Pushed, so it is written.
    next_cursor(&mut bob);
    daemon.restart();
    let view = bob.resumed().view(conversation);
    assert_eq!((view.read_seq, view.delivered_seq, view.unread), (1, 1, 1));
}
