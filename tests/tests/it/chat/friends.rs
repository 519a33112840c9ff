//! Friends, blocks and entries, through sockets: what each device of each of the two is told.

use protocol::{
    Push,
    v1::{self, ErrorCode, EventKind, FriendState, PresenceState},
};
use tests::harness::{Daemon, Setup, User, message_id, text};

fn request(user_id: u64) -> v1::RequestFriendRequest {
    v1::RequestFriendRequest {
        client_msg_id: message_id(),
        user_id,
        greeting: "hello".to_owned(),
    }
}

fn answer(user_id: u64, accept: bool) -> v1::AnswerFriendRequest {
    v1::AnswerFriendRequest {
        client_msg_id: message_id(),
        user_id,
        accept,
    }
}

fn remove(user_id: u64) -> v1::RemoveFriendRequest {
    v1::RemoveFriendRequest {
        client_msg_id: message_id(),
        user_id,
    }
}

fn block(user_id: u64) -> v1::BlockUserRequest {
    v1::BlockUserRequest {
        client_msg_id: message_id(),
        user_id,
    }
}

fn unblock(user_id: u64) -> v1::UnblockUserRequest {
    v1::UnblockUserRequest {
        client_msg_id: message_id(),
        user_id,
    }
}

fn set(key: &str, value: &str) -> v1::SetEntryRequest {
    v1::SetEntryRequest {
        client_msg_id: message_id(),
        key: key.to_owned(),
        value: value.to_owned().into(),
    }
}

/// Who is what to this user.
fn friends(user: &mut User) -> Vec<(u64, FriendState)> {
    let list = v1::ListFriendsRequest {
        after_user_id: 0,
        limit: 500,
    };
    let found = user.get(list).friends;
    let id = |friend: &v1::Friend| friend.user.as_ref().unwrap().user_id;
    found.iter().map(|friend| (id(friend), friend.state())).collect()
}

fn befriend(one: &mut User, other: &mut User) {
    one.get(request(other.id));
    other.get(answer(one.id, true));
}

/// The kinds of the events of a push, with what entries they name.
fn events(push: Push) -> Vec<(EventKind, u64, String)> {
    let Push::EventsPush(page) = push else {
        panic!("{push:?}")
    };
    page.events
        .into_iter()
        .map(|event| {
            let (kind, sender) = (event.kind(), event.sender_id);
            let entry = event.body.and_then(|body| body.entry).unwrap_or_default();
            (kind, sender, entry.key)
        })
        .collect()
}

#[test]
fn a_request_and_its_answer_reach_every_device_of_both() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut tablet = daemon.login("ada", "tablet");
    let (of_bob, of_ada) = (format!("friend/{}", bob.id), format!("friend/{}", ada.id));
    ada.get(request(bob.id));
    let own = vec![(EventKind::EntrySet, ada.id, of_bob.clone())];
    for device in [&mut tablet, &mut ada] {
        assert_eq!(events(device.conn.push()), own);
    }
    assert_eq!(events(bob.conn.push()), [(EventKind::EntrySet, 0, of_ada)]);
    assert_eq!(friends(&mut ada), [(bob.id, FriendState::Requested)]);
    assert_eq!(friends(&mut bob), [(ada.id, FriendState::Incoming)]);
    assert_eq!(ada.refused(request(bob.id)), ErrorCode::Conflict);
    bob.get(answer(ada.id, true));
    assert_eq!(events(ada.conn.push()), [(EventKind::EntrySet, 0, of_bob)]);
    assert_eq!(
        events(ada.conn.push()),
        [(EventKind::BecameFriends, 0, String::new())]
    );
    assert_eq!(friends(&mut ada), [(bob.id, FriendState::Friends)]);
    assert_eq!(friends(&mut bob), [(ada.id, FriendState::Friends)]);
    // Nothing of it counts as unread.
    let conversation_id = ada.direct(bob.id);
    let shown = ada.get(v1::GetConversationRequest { conversation_id });
    assert_eq!(shown.conversation.unwrap().unread, 0);
    // What was the state of the entry has no value any more; the newest has.
    let own = ada.own();
    let log = ada.history(own);
    let values: Vec<bool> = log
        .iter()
        .map(|event| {
            let entry = event.body.as_ref().and_then(|body| body.entry.as_ref());
            !entry.unwrap().value.is_empty()
        })
        .collect();
    assert_eq!(values, [false, true]);
    bob.get(remove(ada.id));
    assert_eq!((friends(&mut ada), friends(&mut bob)), (vec![], vec![]));
}

#[test]
fn requests_that_cross_make_friends_and_a_no_is_not_told() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    ada.get(request(bob.id));
    bob.get(request(ada.id));
    assert_eq!(friends(&mut ada), [(bob.id, FriendState::Friends)]);
    cyd.get(request(ada.id));
    assert_eq!(cyd.pushes_so_far().len(), 1);
    ada.get(answer(cyd.id, false));
    assert_eq!(cyd.pushes_so_far(), []);
    assert_eq!(friends(&mut cyd), [(ada.id, FriendState::Requested)]);
    assert_eq!(ada.refused(answer(cyd.id, true)), ErrorCode::NotFound);
    assert_eq!(ada.refused(request(ada.id)), ErrorCode::NotFound);
    assert_eq!(ada.refused(request(2_000_000)), ErrorCode::NotFound);
    cyd.get(v1::WithdrawFriendRequest {
        client_msg_id: message_id(),
        user_id: ada.id,
    });
    assert_eq!(friends(&mut cyd), []);
    // Private words are private.
    let note = v1::UpdateFriendRequest {
        client_msg_id: message_id(),
        user_id: bob.id,
        remark: "Bobby".to_owned(),
        tags: vec!["work".to_owned()],
    };
    ada.get(note.clone());
    assert!(ada.get(note).duplicate);
    let list = v1::ListFriendsRequest {
        after_user_id: 0,
        limit: 9,
    };
    let [of_ada, of_bob] = [ada.get(list), bob.get(list)].map(|page| page.friends[0].clone());
    assert_eq!((of_ada.remark.as_str(), of_ada.tags.len()), ("Bobby", 1));
    assert_eq!((of_bob.remark.as_str(), of_bob.tags.len()), ("", 0));
}

#[test]
fn who_blocks_and_who_is_blocked_write_to_each_other_no_more() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let pair = ada.direct(bob.id);
    befriend(&mut ada, &mut bob);
    let said = bob.text(pair, "hello");
    ada.get(block(bob.id));
    assert_eq!((friends(&mut ada), friends(&mut bob)), (vec![], vec![]));
    let refusals = [&mut ada, &mut bob].map(|user| {
        let typing = v1::TypingRequest {
            conversation_id: pair,
            typing: true,
        };
        assert_eq!(user.refused(typing), ErrorCode::Forbidden);
        let unstored = v1::SendRequest {
            quality: v1::QualityOfService::AtMostOnce.into(),
            ..text(pair, "passing")
        };
        assert_eq!(user.refused(unstored), ErrorCode::Forbidden);
        let reaction = user.about(EventKind::Reaction, pair, said.seq, "+1");
        assert_eq!(reaction.unwrap_err().code(), ErrorCode::Forbidden);
        let refusal = user.ask(text(pair, "again")).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Forbidden);
        tests::harness::unnamed(refusal)
    });
    assert_eq!(refusals[0], refusals[1], "the same for both");
    let shown = bob.get(v1::GetConversationRequest {
        conversation_id: pair,
    });
    assert!(shown.conversation.unwrap().closed);
    // Their own words can be taken back, and what was said can be read.
    bob.about(EventKind::Recall, pair, said.seq, "").unwrap();
    assert!(!ada.history(pair).is_empty());
    // A request of the blocked one comes nowhere, and they are not told.
    bob.get(request(ada.id));
    assert_eq!(friends(&mut ada), []);
    assert_eq!(ada.refused(request(bob.id)), ErrorCode::Forbidden);
    assert_eq!(ada.refused(block(bob.id)), ErrorCode::Conflict);
    let group = v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "both".to_owned(),
        user_ids: vec![ada.id],
    };
    assert_eq!(bob.refused(group), ErrorCode::Forbidden);
    ada.get(unblock(bob.id));
    bob.text(pair, "again");
    assert_eq!(ada.refused(unblock(bob.id)), ErrorCode::Conflict);
}

#[test]
fn a_user_says_who_may_begin_and_who_may_add() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let pair = ada.direct(bob.id);
    ada.get(set("setting/message_me", "friends"));
    ada.get(set("setting/add_to_groups", "friends"));
    assert_eq!(bob.refused(text(pair, "hello")), ErrorCode::Forbidden);
    let add = |of: &User| v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "group".to_owned(),
        user_ids: vec![of.id],
    };
    assert_eq!(bob.refused(add(&ada)), ErrorCode::Forbidden);
    befriend(&mut bob, &mut ada);
    bob.text(pair, "hello");
    let group = bob.get(add(&ada)).conversation_id;
    let members = v1::AddMembersRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        user_ids: vec![cyd.id],
    };
    cyd.get(set("setting/add_to_groups", "nobody"));
    assert_eq!(bob.refused(members), ErrorCode::Forbidden);
    // The end of the friendship closes what they had, because Ada wants messages of friends alone.
    ada.get(remove(bob.id));
    assert_eq!(bob.refused(text(pair, "why")), ErrorCode::Forbidden);
    assert_eq!(ada.refused(text(pair, "so")), ErrorCode::Forbidden);
    befriend(&mut bob, &mut ada);
    bob.text(pair, "friends again");
    // Who speaks first may be answered.
    let first = ada.direct(cyd.id);
    ada.text(first, "I begin");
    cyd.text(first, "so I may answer");
}

#[test]
fn entries_are_the_same_on_every_device() {
    let daemon = Daemon::start();
    let mut phone = daemon.register("ada");
    let mut laptop = daemon.login("ada", "laptop");
    let own = phone.own();
    let pinned = format!("conversation/{own}/pinned");
    phone.get(set(&pinned, "1"));
    phone.get(set("app/theme", "dark"));
    for key in [&pinned, "app/theme"] {
        let told = events(laptop.conn.push());
        assert_eq!(told, [(EventKind::EntrySet, phone.id, key.to_owned())]);
    }
    assert_eq!(phone.refused(set("app/theme", "dark")), ErrorCode::Conflict);
    laptop.get(set("app/theme", "light"));
    let list = |prefix: &str, after: &str, limit| v1::ListEntriesRequest {
        prefix: prefix.to_owned(),
        after: after.to_owned(),
        limit,
    };
    let keys = |page: v1::ListEntriesResponse| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        page.entries
            .into_iter()
            .map(|state| state.entry.unwrap())
            .map(|entry| (entry.key, text(&entry.value)))
            .collect()
    };
    let theme = ("app/theme".to_owned(), "light".to_owned());
    let first = phone.get(list("", "", 1));
    assert!(first.more);
    assert_eq!(keys(first), std::slice::from_ref(&theme));
    assert_eq!(
        keys(phone.get(list("", "app/theme", 9))),
        [(pinned, "1".to_owned())]
    );
    assert_eq!(keys(phone.get(list("app/", "", 9))), [theme]);
    let remove = v1::RemoveEntryRequest {
        client_msg_id: message_id(),
        key: "app/theme".to_owned(),
    };
    phone.get(remove.clone());
    assert!(phone.get(remove).duplicate);
    assert_eq!(keys(phone.get(list("app/", "", 9))), []);
    for key in ["friend/7", "block/7", "other"] {
        assert_eq!(phone.refused(set(key, "x")), ErrorCode::Invalid);
    }
}

fn watch(user_ids: &[u64]) -> v1::WatchPresenceRequest {
    v1::WatchPresenceRequest {
        user_ids: user_ids.to_vec(),
    }
}

fn sees(user: &mut User, whom: u64) -> PresenceState {
    user.get(watch(&[whom])).presences[0].state()
}

/// The next push about presence. Between events and presence there is no order: each comes its own way.
#[track_caller]
fn told(user: &mut User, whom: u64) -> PresenceState {
    loop {
        match user.conn.push() {
            Push::PresencePush(presence) => {
                assert_eq!(presence.user_id, whom);
                return presence.state();
            }
            Push::EventsPush(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn friends_see_how_present_somebody_is_and_nobody_else_does() {
    let daemon = Setup::config("[timeouts]\npresence_grace_ms = 0\n").start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    for watcher in [&mut ada, &mut cyd] {
        assert_eq!(sees(watcher, bob.id), PresenceState::Offline);
    }
    befriend(&mut ada, &mut bob);
    // She watches still: what she may see from now on is told.
    assert_eq!(told(&mut ada, bob.id), PresenceState::Online);
    bob.get(v1::SetAwayRequest { away: true });
    assert_eq!(told(&mut ada, bob.id), PresenceState::Away);
    // Nobody sees him any more.
    bob.get(set("setting/presence", "nobody"));
    assert_eq!(told(&mut ada, bob.id), PresenceState::Offline);
    bob.get(v1::SetAwayRequest { away: false });
    bob.get(set("setting/presence", "friends"));
    assert_eq!(told(&mut ada, bob.id), PresenceState::Online);
    bob.get(block(ada.id));
    assert_eq!(told(&mut ada, bob.id), PresenceState::Offline);
    assert_eq!(sees(&mut ada, bob.id), PresenceState::Offline);
    assert_eq!(cyd.pushes_so_far(), []);
}

#[test]
fn a_reconnect_within_the_grace_is_not_shown() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    befriend(&mut ada, &mut bob);
    ada.pushes_so_far();
    assert_eq!(sees(&mut ada, bob.id), PresenceState::Online);
    // However long it takes, up to the grace of half a minute.
    let mut again = bob.resumed();
    drop(bob);
    again.pushes_so_far();
    let last = again.resumed();
    drop(again);
    drop(last);
    let own = ada.id;
    assert_eq!(sees(&mut ada, own), PresenceState::Online);
    assert_eq!(ada.pushes_so_far(), []);
}

#[test]
fn nobody_writes_to_anothers_log_without_end() {
    let daemon = Setup::config("[limits]\nexempt = []\npeople_per_minute = 1\npeople_burst = 100\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    for _ in 0..5 {
        ada.get(request(bob.id));
        ada.get(v1::WithdrawFriendRequest {
            client_msg_id: message_id(),
            user_id: bob.id,
        });
    }
    assert_eq!(ada.refused(request(bob.id)), ErrorCode::RateLimited);
    // Also on another device.
    let mut elsewhere = daemon.login("ada", "second");
    assert_eq!(elsewhere.refused(request(bob.id)), ErrorCode::RateLimited);
    assert_eq!(bob.pushes_so_far().len(), 10);
    bob.get(request(ada.id));
}
