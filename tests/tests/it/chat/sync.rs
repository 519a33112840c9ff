//! What changed since a token.

use bytes::Bytes;
use protocol::{Push, v1};
use tests::harness::{Daemon, User, body};

/// Syncs from a token until there is no more, and returns everything with the last token.
fn sync_all(user: &mut User, token: &Bytes, limit: u32) -> v1::SyncResponse {
    let mut all = v1::SyncResponse {
        token: token.clone(),
        ..v1::SyncResponse::default()
    };
    loop {
        let part = user.get(v1::SyncRequest {
            token: all.token.clone(),
            limit,
        });
        assert_eq!(part.epoch, user.epoch);
        assert!(part.conversations.len() + part.cursors.len() <= limit as usize);
        all.token = part.token;
        all.restarted |= part.restarted;
        all.conversations.extend(part.conversations);
        all.pages.extend(part.pages);
        all.cursors.extend(part.cursors);
        if !part.more {
            return all;
        }
    }
}

fn ids(sync: &v1::SyncResponse) -> Vec<u64> {
    sync.conversations
        .iter()
        .map(|view| view.conversation_id)
        .collect()
}

#[test]
fn a_sync_brings_what_changed_and_only_that() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let with_bob = ada.direct(bob.id);
    let with_cyd = ada.direct(cyd.id);
    bob.text(with_bob, "one");
    cyd.text(with_cyd, "two");
    let first = sync_all(&mut ada, &Bytes::new(), 100);
    assert_eq!(ids(&first), [with_bob, with_cyd]);
    assert_eq!(first.pages.len(), 2, "few events come along");
    assert!(!first.restarted);
    let nothing = sync_all(&mut ada, &first.token, 100);
    assert!(nothing.conversations.is_empty() && nothing.pages.is_empty() && nothing.cursors.is_empty());
    bob.text(with_bob, "three");
    let second = sync_all(&mut ada, &nothing.token, 100);
    assert_eq!(ids(&second), [with_bob]);
    let page = &second.pages[0];
    assert_eq!((page.from_seq, page.to_seq, page.head_seq), (2, 2, 2));
    assert_eq!(page.events.iter().map(body).collect::<Vec<_>>(), ["three"]);
    assert_eq!(second.conversations[0], ada.view(with_bob));
}

#[test]
fn a_sync_of_many_changes_comes_in_parts() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let groups: Vec<u64> = (0..17)
        .map(|number| ada.group(&number.to_string(), &[]))
        .collect();
    let sync = sync_all(&mut ada, &Bytes::new(), 3);
    assert_eq!(ids(&sync), groups, "oldest change first");
}

#[test]
fn a_sync_carries_cursors_that_moved() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "one");
    let token = sync_all(&mut ada, &Bytes::new(), 100).token;
    bob.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 1,
    });
    loop {
        if let Push::CursorsPush(_) = ada.conn.push() {
            break;
        }
    }
    let sync = sync_all(&mut ada, &token, 100);
    assert_eq!(sync.cursors.len(), 1);
    assert_eq!((sync.cursors[0].user_id, sync.cursors[0].read_seq), (bob.id, 1));
    assert!(sync_all(&mut ada, &sync.token, 100).cursors.is_empty());
}

/// Waits for the push that tells the session to sync.
fn told_to_sync(user: &mut User) {
    loop {
        if let Push::HeadsPush(heads) = user.conn.push()
            && heads.resync
        {
            return assert_eq!(heads.epoch, user.epoch);
        }
    }
}

#[test]
fn a_device_that_has_more_than_there_is_starts_over_and_nobody_else_does() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "one");
    let mut tablet = daemon.login("bob", "tablet");
    let token = sync_all(&mut bob, &Bytes::new(), 100).token;
    let of_tablet = sync_all(&mut tablet, &Bytes::new(), 100).token;
    let delivered = |seq| v1::DeliveredRequest {
        up_to: vec![v1::Head {
            conversation_id: conversation,
            seq,
        }],
    };
    // The first report moves the cursor to the head, the second moves nothing.
    for _ in 0..2 {
        bob.get(delivered(2));
        told_to_sync(&mut bob);
        let again = sync_all(&mut bob, &token, 100);
        assert!(again.restarted, "a token that is right is not used");
        assert_eq!(ids(&again), [conversation]);
        assert!(!sync_all(&mut bob, &again.token, 100).restarted, "once");
    }
    bob.get(v1::ReadRequest {
        conversation_id: conversation,
        seq: 5,
    });
    told_to_sync(&mut bob);
    assert!(sync_all(&mut bob, &token, 100).restarted);
    // What follows the head may be asked for, and nothing beyond.
    assert_eq!(bob.page(conversation, 2, 10).unwrap().events, []);
    bob.get(delivered(1));
    assert!(!sync_all(&mut bob, &token, 100).restarted);
    let refusal = bob.page(conversation, 3, 10).unwrap_err();
    assert_eq!(refusal.code(), v1::ErrorCode::OutOfRange);
    told_to_sync(&mut bob);
    assert!(sync_all(&mut bob, &token, 100).restarted);
    // One that has nothing need not start over.
    bob.get(delivered(2));
    told_to_sync(&mut bob);
    assert!(!sync_all(&mut bob, &Bytes::new(), 100).restarted);
    assert!(!sync_all(&mut tablet, &of_tablet, 100).restarted);
    assert_eq!(daemon.login("ada", "phone").epoch, ada.epoch);
}

#[test]
fn many_new_events_are_left_to_history() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let token = sync_all(&mut ada, &Bytes::new(), 100).token;
    for number in 0..100 {
        bob.text(conversation, &number.to_string());
    }
    let sync = sync_all(&mut ada, &token, 100);
    assert_eq!(ids(&sync), [conversation]);
    assert_eq!(sync.conversations[0].head_seq, 100);
    // Whatever pages come along speak for the newest part without a gap up to the head.
    for page in &sync.pages {
        assert_eq!(page.to_seq, 100);
        let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (page.from_seq..=100).collect::<Vec<u64>>());
    }
    assert_eq!(ada.history(conversation).len(), 100);
}

#[test]
fn the_list_of_conversations_gives_a_token_to_go_on_from() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    bob.text(conversation, "before");
    let list = ada.get(v1::ListConversationsRequest {
        limit: 10,
        ..v1::ListConversationsRequest::default()
    });
    assert!(sync_all(&mut ada, &list.sync_token, 10).conversations.is_empty());
    bob.text(conversation, "after");
    assert_eq!(ids(&sync_all(&mut ada, &list.sync_token, 10)), [conversation]);
}

#[test]
fn a_pong_carries_a_token_once_a_sync_was_answered() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    bob.text(conversation, "one");
    assert!(ada.get(v1::Ping {}).sync_token.is_empty());
    let token = sync_all(&mut ada, &Bytes::new(), 10).token;
    bob.text(conversation, "two");
    // Once the push is here, the next pong says so.
    loop {
        if let Push::EventsPush(page) = ada.conn.push()
            && page.to_seq == 2
        {
            break;
        }
    }
    let pong = ada.get(v1::Ping {}).sync_token;
    assert_ne!(pong, token);
    assert!(
        sync_all(&mut ada, &pong, 10).conversations.is_empty(),
        "everything up to it was here"
    );
    assert_eq!(ids(&sync_all(&mut ada, &token, 10)), [conversation]);
}

#[test]
fn a_token_stays_good_over_a_restart() {
    let mut daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    bob.text(conversation, "one");
    let token = sync_all(&mut ada, &Bytes::new(), 10).token;
    daemon.restart();
    let [mut ada, mut bob] = [ada.resumed(), bob.resumed()];
    let nothing = sync_all(&mut ada, &token, 10);
    assert!(nothing.conversations.is_empty() && !nothing.restarted);
    bob.text(conversation, "two");
    let sync = sync_all(&mut ada, &token, 10);
    assert_eq!((ids(&sync), sync.restarted), (vec![conversation], false));
}

#[test]
fn a_token_of_another_store_starts_over() {
    let [here, there] = [Daemon::start(), Daemon::start()];
    let mut foreign = there.register("ada");
    for number in 0..5 {
        foreign.text(foreign.own(), &number.to_string());
    }
    let foreign_token = sync_all(&mut foreign, &Bytes::new(), 10).token;
    let mut ada = here.register("ada");
    ada.text(ada.own(), "here");
    let own_token = sync_all(&mut ada, &Bytes::new(), 10).token;
    let sync = sync_all(&mut ada, &foreign_token, 10);
    assert!(sync.restarted);
    assert_eq!(ids(&sync), [ada.own()]);
    assert!(sync.pages.is_empty(), "cursors are to be dropped first");
    assert_eq!(sync.token, own_token);
    // One that says it is of this store, about a time that this store does not know, which it has not signed.
    let mut forged = own_token.to_vec();
    forged[8] = 0x7F;
    let request = v1::SyncRequest {
        token: forged.into(),
        limit: 10,
    };
    assert_eq!(ada.refused(request), v1::ErrorCode::Invalid);
    assert!(
        !sync_all(&mut ada, &own_token, 10).restarted,
        "nothing follows from it"
    );
}

#[test]
fn a_former_member_is_told_of_the_end_and_of_nothing_later() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    let token = sync_all(&mut bob, &Bytes::new(), 10).token;
    ada.remove(group, bob.id).unwrap();
    ada.text(group, "later");
    let sync = sync_all(&mut bob, &token, 10);
    assert_eq!(ids(&sync), [group]);
    assert!(!sync.conversations[0].member);
    assert_eq!(sync.conversations[0].head_seq, 2);
    let seqs: Vec<u64> = sync
        .pages
        .iter()
        .flat_map(|page| &page.events)
        .map(|event| event.seq)
        .collect();
    assert_eq!(seqs, [2]);
    ada.text(group, "much later");
    assert!(sync_all(&mut bob, &sync.token, 10).conversations.is_empty());
}

#[test]
fn events_and_syncs_together_miss_nothing_while_others_write() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let writer = std::thread::spawn(move || {
        for number in 0..500 {
            bob.text(conversation, &number.to_string());
        }
        bob
    });
    // Syncing all the while, each from where the one before ended.
    let mut token = Bytes::new();
    let mut head = 0;
    while head < 500 {
        let sync = sync_all(&mut ada, &token, 10);
        if let Some(view) = sync.conversations.last() {
            assert!(view.head_seq > head, "a change is news");
            // Exactly what is new to this token, or the head alone.
            assert!(
                sync.pages.iter().all(|page| page.from_seq == head + 1),
                "{:?}",
                sync.pages
            );
            head = view.head_seq;
        }
        token = sync.token;
    }
    writer.join().unwrap();
    assert_eq!(ada.history(conversation).len(), 500);
}
