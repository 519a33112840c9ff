//! Who sees what: from joining to leaving, and not a seq more.

use protocol::{
    Push,
    v1::{self, ErrorCode, EventKind},
};
use tests::harness::{Daemon, Setup, User, message_id, refused, text};

fn seqs(user: &mut User, conversation: u64) -> Vec<u64> {
    user.history(conversation).iter().map(|event| event.seq).collect()
}

#[test]
fn a_newcomer_sees_nothing_of_before() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[]);
    for number in 0..3 {
        ada.text(group, &number.to_string());
    }
    let joined = ada.add(group, &[bob.id]).unwrap().seq;
    ada.text(group, "welcome");
    assert_eq!(bob.pushed().seq, joined);
    assert_eq!(bob.pushed().seq, joined + 1);
    assert!(bob.pushes_so_far().is_empty());
    assert_eq!(seqs(&mut bob, group), [5, 6]);
    let view = bob.view(group);
    assert_eq!((view.first_seq, view.head_seq, view.unread), (5, 6, 1));
    assert_eq!((view.joined_ordinal, view.head_ordinal), (3, 4));
    // A page speaks for what is not visible too, so that cursors get past it.
    let page = bob.page(group, 1, 100).unwrap();
    assert_eq!((page.from_seq, page.to_seq, page.head_seq), (1, 6, 6));
}

#[test]
fn a_removed_member_gets_the_removal_and_nothing_after() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut phone = daemon.login("bob", "phone");
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "with you");
    let removed = ada.remove(group, bob.id).unwrap().seq;
    ada.text(group, "without you");
    ada.rename(group, "better off").unwrap();
    ada.about(EventKind::Edit, group, 2, "edited after you had gone")
        .unwrap();
    ada.about(EventKind::Reaction, group, 2, "so relieved").unwrap();
    for device in [&mut bob, &mut phone] {
        let kinds: Vec<EventKind> = (0..3).map(|_| device.pushed().kind()).collect();
        assert_eq!(
            kinds,
            [EventKind::GroupCreated, EventKind::Text, EventKind::MemberRemoved]
        );
        assert!(device.pushes_so_far().is_empty());
        assert_eq!(seqs(device, group), [1, 2, 3]);
        let message = device.history(group).remove(1);
        assert_eq!(
            (message.revision, message.reactions_total),
            (None, 0),
            "nor what later became of it"
        );
        assert!(message.reactions.is_empty());
        let view = device.view(group);
        assert!(!view.member);
        assert_eq!((view.head_seq, view.role()), (removed, v1::Role::Unspecified));
    }
    // Beyond what is visible to him is beyond the head.
    assert_eq!(
        bob.page(group, removed + 2, 10).unwrap_err().code(),
        ErrorCode::OutOfRange
    );
    assert!(bob.page(group, removed + 1, 10).unwrap().events.is_empty());
    assert_eq!(refused(bob.ask(text(group, "wait"))), ErrorCode::Forbidden);
    let list = v1::ListMembersRequest {
        conversation_id: group,
        after_user_id: 0,
        limit: 10,
    };
    assert!(bob.ask(list).is_err(), "who is there now is none of his business");
}

#[test]
fn someone_who_came_back_sees_two_stretches() {
    let daemon = Setup::config("[groups]\nput_back_after_ms = 0\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "first time"); // 2
    bob.leave(group).unwrap(); // 3
    ada.text(group, "in between"); // 4
    ada.text(group, "still in between"); // 5
    ada.add(group, &[bob.id]).unwrap(); // 6
    ada.text(group, "second time"); // 7
    assert_eq!(seqs(&mut bob, group), [1, 2, 3, 6, 7]);
    let pushed: Vec<u64> = (0..5).map(|_| bob.pushed().seq).collect();
    assert_eq!(pushed, [1, 2, 3, 6, 7]);
    let view = bob.view(group);
    assert_eq!((view.first_seq, view.head_seq, view.member), (1, 7, true));
    assert_eq!(view.unread, 1, "what was never shown is not unread");
    assert_eq!((view.joined_ordinal, view.head_ordinal), (3, 4));
    // A copy of everything begins before the first seq, and is the same as what was pushed.
    let page = bob.page(group, view.first_seq, 100).unwrap();
    let mirror: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!(mirror, pushed);
    // Small pages get across the gap, forward and backward.
    let mut from = 1;
    let mut seen = Vec::new();
    loop {
        let page = bob.page(group, from, 1).unwrap();
        seen.extend(page.events.iter().map(|event| event.seq));
        if page.to_seq >= page.head_seq {
            break;
        }
        from = page.to_seq + 1;
    }
    assert_eq!(seen, [1, 2, 3, 6, 7]);
    let mut back = Vec::new();
    let mut from_seq = 0;
    loop {
        let page = bob
            .get(v1::HistoryRequest {
                conversation_id: group,
                from_seq,
                limit: 2,
                direction: v1::Direction::Backward.into(),
                epoch: 0,
            })
            .page
            .unwrap();
        back.extend(page.events.iter().rev().map(|event| event.seq));
        if page.from_seq <= 1 {
            break;
        }
        from_seq = page.from_seq - 1;
    }
    assert_eq!(back, [7, 6, 3, 2, 1]);
}

#[test]
fn everybody_is_told_of_changes_up_to_their_own_end() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id]);
    ada.add(group, &[cyd.id]).unwrap();
    ada.remove(group, bob.id).unwrap();
    ada.add(group, &[bob.id]).unwrap();
    ada.remove(group, cyd.id).unwrap();
    ada.text(group, "and then we were two");
    let all = |user: &mut User| -> Vec<u64> {
        user.pushes_so_far()
            .into_iter()
            .filter_map(|push| match push {
                Push::EventsPush(page) if page.conversation_id == group => Some(page.to_seq),
                _ => None,
            })
            .collect()
    };
    assert_eq!(all(&mut ada), [1, 2, 3, 4, 5, 6]);
    assert_eq!(all(&mut bob), [1, 2, 3, 4, 5, 6]);
    assert_eq!(all(&mut cyd), [2, 3, 4, 5]);
}

#[test]
fn membership_survives_a_restart() {
    let mut daemon = Daemon::start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id, cyd.id]);
    bob.leave(group).unwrap();
    daemon.restart();
    let [mut ada, mut bob, mut cyd] = [ada.resumed(), bob.resumed(), cyd.resumed()];
    ada.text(group, "who is left?");
    assert_eq!(cyd.pushed().seq, 3);
    assert_eq!(refused(bob.ask(text(group, "not me"))), ErrorCode::Forbidden);
    assert!(bob.pushes_so_far().is_empty());
    assert_eq!(seqs(&mut bob, group), [1, 2]);
}

/// The group as a former member is shown it, by every question that shows it.
fn shown(user: &mut User, group: u64) -> v1::Conversation {
    let view = user.view(group);
    let list = user.get(v1::ListConversationsRequest {
        limit: 10,
        ..v1::ListConversationsRequest::default()
    });
    assert_eq!(list.conversations, std::slice::from_ref(&view));
    let synced = user.get(v1::SyncRequest {
        limit: 10,
        ..v1::SyncRequest::default()
    });
    assert_eq!(synced.conversations, std::slice::from_ref(&view));
    let several = user.get(v1::GetConversationsRequest {
        conversation_ids: vec![group],
    });
    assert_eq!(several.conversations, std::slice::from_ref(&view));
    view
}

#[test]
fn a_removed_member_sees_the_group_as_it_was() {
    let mut daemon = Daemon::start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("friends", &[bob.id]);
    ada.text(group, "with you");
    let removed = ada.remove(group, bob.id).unwrap();
    let then = shown(&mut bob, group);
    assert_eq!(
        (then.name.as_str(), then.member_count, then.disbanded),
        ("friends", 1, false)
    );
    assert_eq!((then.roster, then.head_seq), (removed.seq, removed.seq));
    ada.rename(group, "plotters").unwrap();
    ada.add(group, &[cyd.id]).unwrap();
    ada.text(group, "without you");
    ada.disband(group).unwrap();
    assert_eq!(shown(&mut bob, group), then);
    let now = shown(&mut ada, group);
    assert_eq!(
        (now.name.as_str(), now.member_count, now.disbanded),
        ("plotters", 2, true)
    );
    daemon.restart();
    assert_eq!(shown(&mut bob.resumed(), group), then, "after a restart as well");
}

#[test]
fn conversations_are_asked_for_by_a_list() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let (pair, strange) = (ada.direct(bob.id), bob.direct(cyd.id));
    let group = ada.group("us", &[bob.id]);
    ada.text(pair, "hello");
    bob.text(strange, "psst");
    let asked = ada.get(v1::GetConversationsRequest {
        conversation_ids: vec![pair, strange, ada.own(), group, pair],
    });
    let ids: Vec<u64> = asked
        .conversations
        .iter()
        .map(|view| view.conversation_id)
        .collect();
    assert_eq!(
        ids,
        [pair, group],
        "in the order asked, each once, and only one's own"
    );
    assert_eq!(asked.conversations, [ada.view(pair), ada.view(group)]);
    let one = ada.get(v1::GetConversationRequest {
        conversation_id: pair,
    });
    assert_eq!((asked.epoch, asked.epoch != 0), (one.epoch, true));
    let nothing = v1::GetConversationsRequest {
        conversation_ids: vec![],
    };
    assert_eq!(ada.refused(nothing), ErrorCode::Invalid);
    let many = v1::GetConversationsRequest {
        conversation_ids: vec![pair; 201],
    };
    assert_eq!(ada.refused(many), ErrorCode::TooMany);
}

#[test]
fn who_left_is_not_put_back_at_once_but_who_was_removed_is() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, cyd, dan] = daemon.register_all(["ada", "bob", "cyd", "dan"]);
    let group = ada.group("us", &[bob.id, cyd.id]);
    bob.leave(group).unwrap();
    ada.remove(group, cyd.id).unwrap();
    assert_eq!(refused(ada.add(group, &[dan.id, bob.id])), ErrorCode::Forbidden);
    ada.add(group, &[dan.id, cyd.id]).unwrap();
    assert!(!bob.view(group).member);
}

#[test]
fn others_do_not_use_up_the_groups_that_one_can_make() {
    let daemon = Setup::config("[groups]\nper_user = 3\nput_into = 2\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    for _ in 0..2 {
        ada.group("for bob", &[bob.id]);
    }
    let more = v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "more".to_owned(),
        user_ids: vec![bob.id],
    };
    assert_eq!(refused(ada.ask(more)), ErrorCode::LimitReached);
    bob.group("my own", &[]);
}
