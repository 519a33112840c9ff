//! Events about messages: edits, recalls, reactions, replies.

use protocol::v1::{self, ErrorCode, EventKind};
use tests::harness::{Daemon, User, body, message_id, refused, text};

fn one(user: &mut User, conversation: u64, seq: u64) -> v1::Event {
    user.page(conversation, seq, 1).unwrap().events.remove(0)
}

#[test]
fn an_edit_shows_in_history_and_counts_as_no_message() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "frist");
    let edit = ada.about(EventKind::Edit, conversation, 1, "first").unwrap();
    assert_eq!((edit.seq, edit.ordinal), (2, 1));
    ada.about(EventKind::Edit, conversation, 1, "first!").unwrap();
    assert_eq!(body(&bob.pushed()), "frist");
    let pushed = bob.pushed();
    assert_eq!((pushed.kind(), pushed.target_seq), (EventKind::Edit, 1));
    assert_eq!(body(&pushed), "first");
    let event = one(&mut bob, conversation, 1);
    let revision = event.revision.clone().unwrap();
    assert_eq!(revision.seq, 3, "the newest one");
    assert_eq!(&revision.content.unwrap().body[..], b"first!");
    assert_eq!(body(&event), "frist", "what was first said stays");
    assert_eq!(bob.view(conversation).unread, 1);
}

#[test]
fn only_its_sender_edits_a_message() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "mine");
    assert_eq!(
        refused(bob.about(EventKind::Edit, conversation, 1, "yours")),
        ErrorCode::Forbidden
    );
    // Not even the owner of a group, who may recall it.
    let group = ada.group("us", &[bob.id]);
    bob.text(group, "bob's");
    assert_eq!(
        refused(ada.about(EventKind::Edit, group, 2, "ada's")),
        ErrorCode::Forbidden
    );
    ada.about(EventKind::Recall, group, 2, "").unwrap();
}

#[test]
fn a_recall_erases_the_body_and_keeps_the_place() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let send = text(conversation, "never mind");
    ada.get(send.clone());
    ada.about(EventKind::Edit, conversation, 1, "never ever mind")
        .unwrap();
    let recall = ada.about(EventKind::Recall, conversation, 1, "").unwrap();
    assert_eq!((recall.seq, recall.ordinal), (3, 1));
    for _ in 0..3 {
        bob.pushed();
    }
    for user in [&mut ada, &mut bob] {
        let events = user.history(conversation);
        assert_eq!(events.len(), 3);
        assert!(events[0].recalled && events[0].body.is_none() && events[0].revision.is_none());
        assert_eq!(events[0].ordinal, 1);
        assert!(
            events[1].body.is_none(),
            "its edits are erased as well: {:?}",
            events[1]
        );
    }
    // Nothing can be done about it any more, but its id is known.
    for kind in [EventKind::Edit, EventKind::Recall, EventKind::Reaction] {
        assert_eq!(
            refused(ada.about(kind, conversation, 1, "x")),
            ErrorCode::Gone,
            "{kind:?}"
        );
    }
    assert!(ada.get(send).duplicate);
}

#[test]
fn a_recall_is_for_the_sender_and_those_who_lead_the_group() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let direct = ada.direct(bob.id);
    ada.text(direct, "mine");
    assert_eq!(
        refused(bob.about(EventKind::Recall, direct, 1, "")),
        ErrorCode::Forbidden
    );
    let group = ada.group("us", &[bob.id, cyd.id]);
    ada.set_role(group, bob.id, v1::Role::Admin).unwrap();
    let by_owner = ada.text(group, "the owner's").seq;
    let by_member = cyd.text(group, "a member's").seq;
    assert_eq!(
        refused(cyd.about(EventKind::Recall, group, by_owner, "")),
        ErrorCode::Forbidden
    );
    bob.about(EventKind::Recall, group, by_member, "").unwrap();
    bob.about(EventKind::Recall, group, by_owner, "").unwrap();
    let own = cyd.text(group, "another").seq;
    cyd.about(EventKind::Recall, group, own, "").unwrap();
    let recalled = ada.history(group).iter().filter(|event| event.recalled).count();
    assert_eq!(recalled, 3);
}

#[test]
fn reactions_are_one_for_each_person_and_can_be_taken_back() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id, cyd.id]);
    ada.text(group, "look");
    bob.about(EventKind::Reaction, group, 2, "👍").unwrap();
    cyd.about(EventKind::Reaction, group, 2, "🎉").unwrap();
    bob.about(EventKind::Reaction, group, 2, "❤️").unwrap();
    let mut states: Vec<(u64, String)> = one(&mut ada, group, 2)
        .reactions
        .into_iter()
        .map(|state| (state.user_id, state.reaction))
        .collect();
    states.sort();
    assert_eq!(states, [(bob.id, "❤️".to_owned()), (cyd.id, "🎉".to_owned())]);
    bob.about(EventKind::Reaction, group, 2, "").unwrap();
    let event = one(&mut ada, group, 2);
    assert_eq!((event.reactions.len(), event.reactions_total), (1, 1));
    assert_eq!(event.reactions[0].user_id, cyd.id);
    // As events they were pushed, each of them.
    let kinds: Vec<(EventKind, String)> = (0..6)
        .map(|_| ada.pushed())
        .map(|event| (event.kind(), event.body.unwrap_or_default().reaction))
        .collect();
    let reactions: Vec<&str> = kinds[2..].iter().map(|(_, reaction)| reaction.as_str()).collect();
    assert_eq!(reactions, ["👍", "🎉", "❤️", ""]);
    assert!(kinds[2..].iter().all(|(kind, _)| *kind == EventKind::Reaction));
}

#[test]
fn more_reactions_than_a_page_lists_are_counted() {
    const PEOPLE: usize = 52;
    let daemon = Daemon::start();
    let mut people: Vec<User> = (0..PEOPLE)
        .map(|number| daemon.register(&format!("p{number}")))
        .collect();
    let ids: Vec<u64> = people.iter().map(|user| user.id).collect();
    let group = people[0].group("many", &ids);
    people[0].text(group, "vote");
    for user in &mut people {
        user.about(EventKind::Reaction, group, 2, "+1").unwrap();
    }
    let event = one(&mut people[1], group, 2);
    assert_eq!(event.reactions_total as usize, PEOPLE);
    assert_eq!(event.reactions.len(), 50, "the newest");
    assert!(event.reactions.iter().all(|state| state.user_id != people[0].id));
}

#[test]
fn what_is_no_message_cannot_be_spoken_about() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "one");
    ada.about(EventKind::Edit, group, 2, "two").unwrap();
    for target in [1, 3, 4, 1_000] {
        for kind in [EventKind::Edit, EventKind::Recall, EventKind::Reaction] {
            let code = refused(ada.about(kind, group, target, "x"));
            assert_eq!(code, ErrorCode::NotFound, "{kind:?} of {target}");
        }
        let mut reply = text(group, "as for that");
        reply.content.as_mut().unwrap().reply_to = target;
        assert_eq!(ada.refused(reply), ErrorCode::NotFound, "a reply to {target}");
    }
    for kind in [EventKind::Edit, EventKind::Recall, EventKind::Reaction] {
        assert_eq!(
            refused(ada.about(kind, group, 0, "x")),
            ErrorCode::Invalid,
            "{kind:?} of nothing"
        );
    }
    assert_eq!(ada.view(group).head_seq, 3, "a refusal takes no seq");
}

#[test]
fn what_was_said_before_one_came_cannot_be_spoken_about() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[]);
    ada.text(group, "before you");
    ada.add(group, &[bob.id]).unwrap();
    ada.text(group, "welcome");
    assert_eq!(
        refused(bob.about(EventKind::Reaction, group, 2, "x")),
        ErrorCode::NotFound
    );
    let mut reply = text(group, "as I heard");
    reply.content.as_mut().unwrap().reply_to = 2;
    assert_eq!(bob.refused(reply), ErrorCode::NotFound);
    bob.about(EventKind::Reaction, group, 4, "x").unwrap();
}

/// Milliseconds of the server's clock.
fn server_time(user: &mut User) -> u64 {
    user.get(v1::Ping {}).server_time_ms
}

/// An edit with this content.
fn edit(conversation_id: u64, target_seq: u64, content: v1::Content) -> v1::SendRequest {
    v1::SendRequest {
        conversation_id,
        client_msg_id: message_id(),
        kind: EventKind::Edit.into(),
        target_seq,
        content: Some(content),
        ..v1::SendRequest::default()
    }
}

#[test]
fn an_edit_lives_no_longer_than_its_message() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    // The edit must come in time, however busy the machine is.
    let edited_in_time = [1_000, 8_000, 60_000].into_iter().find_map(|lifetime_ms| {
        let mut secret = text(conversation, "secret");
        let expires_at_ms = server_time(&mut ada) + lifetime_ms;
        secret.content.as_mut().unwrap().expires_at_ms = expires_at_ms;
        let seq = ada.get(secret).seq;
        let edited = ada.about(EventKind::Edit, conversation, seq, "worse secret");
        edited.ok().map(|_| (seq, expires_at_ms))
    });
    let (seq, expires_at_ms) = edited_in_time.unwrap();
    let deadline = std::time::Instant::now() + tests::harness::PATIENCE;
    while server_time(&mut bob) < expires_at_ms {
        assert!(std::time::Instant::now() < deadline);
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    for device in [&mut ada, &mut bob] {
        let events = device.history(conversation);
        assert!(
            events.iter().all(|event| event.expired && event.body.is_none()),
            "{events:?}"
        );
        assert!(events.iter().all(|event| event.revision.is_none()));
    }
    assert_eq!(
        refused(ada.about(EventKind::Edit, conversation, seq, "again")),
        ErrorCode::Gone
    );
    assert_eq!(
        refused(bob.about(EventKind::Reaction, conversation, seq, "x")),
        ErrorCode::Gone
    );
    ada.about(EventKind::Recall, conversation, seq, "").unwrap();
    let recalled = bob.history(conversation);
    let recalled = recalled
        .iter()
        .filter(|event| event.seq == seq || event.target_seq == seq);
    assert_eq!(
        recalled.filter(|event| event.recalled).count(),
        2,
        "the message and its edit"
    );
}

#[test]
fn an_edit_is_checked_as_what_it_replaces() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "text");
    let blob = || {
        Some(v1::BlobRef {
            blob_id: "picture".to_owned(),
            ..v1::BlobRef::default()
        })
    };
    let image = v1::Content {
        blob: blob(),
        ..v1::Content::default()
    };
    ada.get(v1::SendRequest {
        kind: EventKind::Image.into(),
        content: Some(image.clone()),
        ..text(conversation, "")
    });
    ada.get(v1::SendRequest {
        kind: EventKind::Custom.into(),
        ..text(conversation, "anything")
    });
    let with_body = |length: usize| v1::Content {
        body: vec![b'x'; length].into(),
        ..v1::Content::default()
    };
    let mut field = |target, content: v1::Content| {
        let refusal = ada.ask(edit(conversation, target, content)).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Invalid);
        refusal.field
    };
    // A text.
    assert_eq!(field(1, with_body(44_000)), "content");
    assert_eq!(field(1, with_body(4_097)), "content");
    assert_eq!(field(1, with_body(0)), "content");
    assert_eq!(field(1, image.clone()), "content");
    let reply = v1::Content {
        reply_to: 1,
        ..with_body(3)
    };
    assert_eq!(field(1, reply), "content.reply_to");
    let expiring = v1::Content {
        expires_at_ms: u64::MAX >> 1,
        ..with_body(3)
    };
    assert_eq!(field(1, expiring), "content.expires_at_ms");
    // An image.
    assert_eq!(field(2, with_body(3)), "content");
    assert_eq!(ada.view(conversation).head_seq, 3, "nothing was stored");
    ada.get(edit(conversation, 1, with_body(4_096)));
    let described = v1::Content {
        blob: blob(),
        ..with_body(44_000)
    };
    ada.get(edit(conversation, 2, described));
    ada.get(edit(conversation, 3, with_body(0)));
    ada.get(edit(conversation, 3, image));
}

#[test]
fn what_changes_nothing_is_a_conflict() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "look");
    let react = |user: &mut User, what: &str| user.about(EventKind::Reaction, group, 2, what);
    assert_eq!(refused(react(&mut bob, "")), ErrorCode::Conflict, "there is none");
    react(&mut bob, "x").unwrap();
    assert_eq!(refused(react(&mut bob, "x")), ErrorCode::Conflict);
    react(&mut bob, "y").unwrap();
    assert_eq!(refused(ada.rename(group, "us")), ErrorCode::Conflict);
    assert_eq!(refused(ada.add(group, &[bob.id])), ErrorCode::Conflict);
    let same = ada.set_role(group, bob.id, v1::Role::Member);
    assert_eq!(refused(same), ErrorCode::Conflict);
    // Oneself is removed by leaving, and the last owner stays one.
    assert_eq!(refused(ada.remove(group, ada.id)), ErrorCode::Forbidden);
    assert_eq!(
        refused(ada.set_role(group, ada.id, v1::Role::Member)),
        ErrorCode::Forbidden
    );
    assert_eq!(refused(ada.leave(group)), ErrorCode::Forbidden);
    assert_eq!(ada.view(group).head_seq, 4, "a refusal takes no seq");
    ada.remove(group, bob.id).unwrap();
    assert_eq!(refused(react(&mut bob, "z")), ErrorCode::Forbidden);
}
