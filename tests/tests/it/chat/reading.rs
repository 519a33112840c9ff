//! History in both directions, and the list of conversations.

use protocol::v1::{self, Direction, ErrorCode};
use tests::harness::{Daemon, Setup, User};

fn read(user: &mut User, conversation_id: u64, from_seq: u64, limit: u32, direction: Direction) -> v1::Page {
    user.get(v1::HistoryRequest {
        conversation_id,
        from_seq,
        limit,
        direction: direction.into(),
        epoch: user.epoch,
    })
    .page
    .unwrap()
}

fn shape(page: &v1::Page) -> (u64, u64, Vec<u64>) {
    let seqs = page.events.iter().map(|event| event.seq).collect();
    (page.from_seq, page.to_seq, seqs)
}

#[test]
fn pages_speak_for_what_they_were_asked() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    for number in 1..=10 {
        ada.text(own, &number.to_string());
    }
    let forward = |ada: &mut User, from, limit| shape(&read(ada, own, from, limit, Direction::Forward));
    let backward = |ada: &mut User, from, limit| shape(&read(ada, own, from, limit, Direction::Backward));
    assert_eq!(forward(&mut ada, 1, 3), (1, 3, vec![1, 2, 3]));
    assert_eq!(forward(&mut ada, 0, 3), (1, 3, vec![1, 2, 3]));
    assert_eq!(forward(&mut ada, 9, 3), (9, 10, vec![9, 10]));
    assert_eq!(forward(&mut ada, 10, 1), (10, 10, vec![10]));
    let (from, to, events) = forward(&mut ada, 11, 3);
    assert!(events.is_empty() && to < from);
    assert_eq!(backward(&mut ada, 0, 3), (8, 10, vec![8, 9, 10]));
    assert_eq!(backward(&mut ada, 10, 3), (8, 10, vec![8, 9, 10]));
    assert_eq!(backward(&mut ada, 7, 3), (5, 7, vec![5, 6, 7]));
    assert_eq!(backward(&mut ada, 2, 3), (1, 2, vec![1, 2]));
    let page = read(&mut ada, own, 3, 2, Direction::Forward);
    assert_eq!(
        (page.conversation_id, page.epoch, page.head_seq),
        (own, ada.epoch, 10)
    );
}

#[test]
fn pages_have_limits_of_events_and_bytes() {
    let daemon = Setup::config("[limits]\npage_events = 5\npage_bytes = 4096\n").start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    for _ in 0..10 {
        ada.text(own, "short");
    }
    for _ in 0..10 {
        ada.text(own, &"x".repeat(1_500));
    }
    assert_eq!(read(&mut ada, own, 1, 100, Direction::Forward).events.len(), 5);
    let page = read(&mut ada, own, 11, 100, Direction::Forward);
    assert!(
        (2..=4).contains(&page.events.len()),
        "{} of 1,500 bytes",
        page.events.len()
    );
    assert_eq!(page.to_seq, page.events.last().unwrap().seq);
    assert_eq!(ada.history(own).len(), 20, "page by page, all of it");
    // One that is larger than a page by itself is a page.
    let large = v1::SendRequest {
        kind: v1::EventKind::Custom.into(),
        ..tests::harness::text(own, &"x".repeat(20_000))
    };
    let seq = ada.get(large).seq;
    assert_eq!(read(&mut ada, own, seq, 10, Direction::Forward).events.len(), 1);
    assert_eq!(read(&mut ada, own, 0, 10, Direction::Backward).events.len(), 1);
}

#[test]
fn an_epoch_that_is_not_the_stores_is_refused() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "x");
    let history = v1::HistoryRequest {
        conversation_id: own,
        epoch: ada.epoch ^ 1,
        from_seq: 1,
        limit: 1,
        ..v1::HistoryRequest::default()
    };
    assert_eq!(ada.refused(history), ErrorCode::EpochMismatch);
}

#[test]
fn conversations_are_listed_newest_first() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let with_bob = ada.direct(bob.id);
    let with_cyd = ada.direct(cyd.id);
    let group = ada.group("us", &[bob.id, cyd.id]);
    bob.text(with_bob, "one");
    cyd.text(with_cyd, "two");
    ada.text(ada.own(), "three");
    bob.text(group, "four");
    let list = ada.get(v1::ListConversationsRequest {
        limit: 100,
        ..v1::ListConversationsRequest::default()
    });
    assert!(!list.more);
    assert_eq!((list.epoch, list.sync_token.is_empty()), (ada.epoch, false));
    let ids: Vec<u64> = list
        .conversations
        .iter()
        .map(|view| view.conversation_id)
        .collect();
    assert_eq!(ids, [group, ada.own(), with_cyd, with_bob]);
    let own = &list.conversations[1];
    assert_eq!(
        (own.kind(), own.member_count, own.unread),
        (v1::ConversationKind::Own, 0, 0)
    );
    let direct = &list.conversations[2];
    assert_eq!(
        (direct.kind(), direct.peer_id, direct.unread),
        (v1::ConversationKind::Direct, cyd.id, 1)
    );
    assert!(direct.last_at_ms > 0);
    for view in &list.conversations {
        assert_eq!(
            *view,
            ada.view(view.conversation_id),
            "as each is shown by itself"
        );
    }
}

#[test]
fn a_long_list_comes_in_pages() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let groups: Vec<u64> = (0..23)
        .map(|number| ada.group(&number.to_string(), &[]))
        .collect();
    let mut listed = Vec::new();
    let mut before = bytes::Bytes::new();
    loop {
        let page = ada.get(v1::ListConversationsRequest {
            before: before.clone(),
            limit: 5,
        });
        assert_eq!(
            page.sync_token.is_empty(),
            !before.is_empty(),
            "with the first page only"
        );
        listed.extend(page.conversations.iter().map(|view| view.conversation_id));
        if !page.more {
            break;
        }
        before = page.before;
    }
    listed.reverse();
    assert_eq!(listed, groups);
}

#[test]
fn a_conversation_that_was_left_is_still_listed() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    bob.leave(group).unwrap();
    ada.text(group, "gone already");
    let list = bob.get(v1::ListConversationsRequest {
        limit: 10,
        ..v1::ListConversationsRequest::default()
    });
    assert_eq!(list.conversations.len(), 1);
    assert!(!list.conversations[0].member);
    assert_eq!(list.conversations[0].head_seq, 2);
}

#[test]
fn nobody_has_conversations_before_anything_was_said() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let list = ada.get(v1::ListConversationsRequest {
        limit: 10,
        ..v1::ListConversationsRequest::default()
    });
    assert!(list.conversations.is_empty() && !list.more);
    let get = v1::GetConversationRequest {
        conversation_id: ada.direct(bob.id),
    };
    assert_eq!(ada.refused(get), ErrorCode::NotFound);
}
