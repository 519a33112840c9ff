//! What is loaded, counted and said to be read.

use super::*;

#[test]
fn unread_follows_the_protocol_wherever_it_was_read() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    state.names.learn_group(a_group(), "team", 1);
    state.handle_update(&Update::Conversations(vec![listed(a_group(), 4, 0, 4)]));
    event(&mut state, text(a_group(), 3, BOB, "of the backlog"));
    assert_eq!(
        unread(&state, a_group()),
        4,
        "what the server counts is not counted twice"
    );
    event(&mut state, text(a_group(), 5, BOB, "to all"));
    event(&mut state, text(a_group(), 6, BOB, "again"));
    assert!(shows(&state, "#team") && shows(&state, "(6)"));

    // Read on another device: up to a place that is known, and up to one that is not.
    let cursor = |read_seq| {
        Update::Cursors(vec![v1::Cursor {
            conversation_id: a_group(),
            user_id: ME,
            delivered_seq: read_seq,
            read_seq,
        }])
    };
    let asks = state.handle_update(&cursor(2));
    let ask = Effect::LoadConversation {
        conversation: a_group(),
    };
    assert_eq!(asks, [ask]);
    state.handle_answer(Answer::Conversation {
        conversation: Box::new(listed(a_group(), 6, 2, 4)),
        cursors: Vec::new(),
    });
    assert_eq!(unread(&state, a_group()), 4);
    state.handle_update(&cursor(5));
    assert_eq!(unread(&state, a_group()), 1);
    state.handle_update(&cursor(6));
    assert_eq!(unread(&state, a_group()), 0);

    // Removed, and added again after ten messages that were not for this user.
    let about_me = v1::GroupChange {
        user_ids: vec![ME],
        ..v1::GroupChange::default()
    };
    event(
        &mut state,
        about_group(EventKind::MemberRemoved, 7, 6, about_me.clone()),
    );
    event(&mut state, about_group(EventKind::MembersAdded, 18, 16, about_me));
    assert_eq!(unread(&state, a_group()), 0);
    event(
        &mut state,
        v1::Event {
            ordinal: 17,
            ..text(a_group(), 19, BOB, "welcome back")
        },
    );
    assert_eq!(unread(&state, a_group()), 1);
}

#[test]
fn a_group_one_was_added_to_shows_its_name_and_old_history_changes_no_name() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    let added = v1::GroupChange {
        user_ids: vec![ME],
        ..v1::GroupChange::default()
    };
    let effects = event(&mut state, about_group(EventKind::MembersAdded, 9, 5, added));
    let ask = Effect::LoadConversation {
        conversation: a_group(),
    };
    assert!(effects.contains(&ask), "{effects:?}");
    let mut conversation = listed(a_group(), 9, 0, 0);
    conversation.name = "team".to_owned();
    state.handle_answer(Answer::Conversation {
        conversation: Box::new(conversation),
        cursors: Vec::new(),
    });
    assert!(shows(&state, "#team"));

    press(&mut state, KeyCode::Tab);
    assert_eq!(state.selected, Some(a_group()));
    let renamed = v1::GroupChange {
        name: "as it once was".to_owned(),
        ..v1::GroupChange::default()
    };
    state.handle_answer(page(
        a_group(),
        vec![about_group(EventKind::GroupRenamed, 2, 0, renamed)],
    ));
    assert!(shows(&state, "#team"));
    assert!(!shows(&state, "#as it once was"));
}

#[test]
fn a_page_without_messages_leaves_no_blank_room() {
    let mut state = state();
    open(&mut state, vec![]);
    state.names.learn_group(a_group(), "team", 1);
    state.handle_update(&Update::Conversations(vec![listed(a_group(), 200, 200, 0)]));
    press(&mut state, KeyCode::Tab);
    let reaction = |seq| v1::Event {
        kind: EventKind::Reaction.into(),
        target_seq: 1,
        ..text(a_group(), seq, BOB, "")
    };
    let effects = state.handle_answer(page(a_group(), (141..200).map(reaction).collect()));
    assert_eq!(effects, [load(a_group(), 141)]);
    let effects = state.handle_answer(page(a_group(), (81..141).map(reaction).collect()));
    assert_eq!(effects, [load(a_group(), 81)]);
    let mut last: Vec<v1::Event> = (2..81).map(reaction).collect();
    last.insert(0, text(a_group(), 1, BOB, "liked by all"));
    assert_eq!(state.handle_answer(page(a_group(), last)), []);
    assert!(says(&state, "bob", "liked by all"));
}

#[test]
fn a_server_that_brings_nothing_is_not_asked_for_ever() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 50, BOB, "m50")]);
    for _ in 0..3 {
        state.handle_answer(page(with_bob(), vec![text(with_bob(), 50, BOB, "m50")]));
    }
    assert_eq!(press(&mut state, KeyCode::PageUp), []);
}

#[test]
fn only_what_was_shown_to_somebody_is_read() {
    let mut state = state();
    let history = (1..90)
        .map(|seq| text(with_bob(), seq, BOB, &format!("m{seq}")))
        .collect();
    open(&mut state, history);
    assert_eq!(state.handle_drawn(), [read(with_bob(), 89)]);
    assert_eq!(state.handle_drawn(), [], "once");

    // Without the focus nothing is seen.
    state.handle_input(Input::Focus(false));
    event(&mut state, text(with_bob(), 90, BOB, "m90"));
    assert_eq!(state.handle_drawn(), []);
    assert_eq!(unread(&state, with_bob()), 1);
    state.handle_input(Input::Focus(true));
    assert_eq!(state.handle_drawn(), [read(with_bob(), 90)]);

    // Scrolled up, the view stays where it is, and what comes below is not seen.
    press(&mut state, KeyCode::PageUp);
    press(&mut state, KeyCode::PageUp);
    let before = screen(&state, 80, 24);
    event(&mut state, text(with_bob(), 91, BOB, "m91"));
    event(&mut state, text(with_bob(), 92, BOB, "m92"));
    assert_eq!(state.handle_drawn(), []);
    let after = screen(&state, 80, 24);
    assert_eq!(before[1..20], after[1..20], "the text does not run away");
    assert!(after[0].contains("newer below"), "{after:#?}");
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.handle_drawn(), [read(with_bob(), 92)]);

    // With the help in front of it, either.
    press(&mut state, KeyCode::F(1));
    event(&mut state, text(with_bob(), 93, BOB, "m93"));
    assert_eq!(state.handle_drawn(), []);
    press(&mut state, KeyCode::F(1));
    assert_eq!(state.handle_drawn(), [read(with_bob(), 93)]);

    // What the server was not told it is told again.
    state.handle_answer(Answer::NotRead {
        conversation: with_bob(),
    });
    let effects = state.handle_update(&Update::Connected(Box::default()));
    assert_eq!(effects, [read(with_bob(), 93)]);
}

#[test]
fn a_room_opens_where_reading_ended() {
    let mut state = state();
    let conversation = listed(with_bob(), 200, 100, 100);
    state.handle_update(&Update::Conversations(vec![conversation]));
    let part = |from: u64, to: u64| {
        let history = (from..=to).map(|seq| text(with_bob(), seq, BOB, &format!("m{seq}")));
        page(with_bob(), history.collect())
    };
    assert_eq!(state.handle_answer(part(141, 200)), [load(with_bob(), 141)]);
    assert_eq!(state.handle_drawn(), [], "not before the place is found");
    assert_eq!(state.handle_answer(part(81, 140)), []);
    let screen = screen(&state, 80, 24);
    assert!(screen[1].contains("new"), "{screen:#?}");
    assert!(screen[2].ends_with("m101"), "{screen:#?}");
    let effects = state.handle_drawn();
    let [Effect::MarkRead { seq, .. }, Effect::LoadConversation { .. }] = effects[..] else {
        panic!("{effects:?}");
    };
    assert!((118..=121).contains(&seq), "{seq}");
    state.handle_answer(Answer::Conversation {
        conversation: Box::new(listed(with_bob(), 200, seq, 200 - seq)),
        cursors: Vec::new(),
    });
    assert_eq!(unread(&state, with_bob()), 200 - seq);
}

#[test]
fn scrolling_up_loads_what_is_older() {
    let mut state = state();
    let history = (50..90)
        .map(|seq| text(with_bob(), seq, BOB, &format!("m{seq}")))
        .collect();
    open(&mut state, history);
    assert!(shows(&state, "m89") && !shows(&state, "m60"));
    let mut effects = Vec::new();
    for _ in 0..3 {
        effects.extend(press(&mut state, KeyCode::PageUp));
    }
    assert_eq!(effects, [load(with_bob(), 50)], "one page at a time");
    assert!(shows(&state, "m52") && !shows(&state, "m89"));
    for _ in 0..5 {
        press(&mut state, KeyCode::PageDown);
    }
    assert!(shows(&state, "m89"));
}

#[test]
fn what_is_kept_for_showing_is_bounded() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "first")]);
    for seq in 2..=EVENTS_MAX as u64 + 10 {
        event(&mut state, text(with_bob(), seq, BOB, "m"));
    }
    let room = state.room().unwrap();
    assert_eq!(room.shown().count(), EVENTS_MAX);
    assert!(room.has_more(), "what was dropped can be loaded again");
}

#[test]
fn what_the_server_does_not_have_any_more_is_not_shown() {
    let mut state = state();
    open(
        &mut state,
        vec![text(with_bob(), 1, BOB, "kept"), text(with_bob(), 2, BOB, "lost")],
    );
    enter(&mut state, "on its way");
    let conversation = with_bob();
    let effects = state.handle_update(&Update::Rewound { conversation, to: 1 });
    assert!(effects.contains(&load(conversation, 0)), "{effects:?}");
    let shown = screen(&state, 80, 24).join("\n");
    assert!(!shown.contains("lost") && shown.contains("on its way"), "{shown}");
}

#[test]
fn whatever_a_server_says_nothing_breaks() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    for first in extremes {
        for second in extremes {
            for conversation in [with_bob(), a_group(), first] {
                let mut strange = text(conversation, 0, second, "\u{9b}\u{300}\u{300}");
                strange.seq = first;
                strange.ordinal = second;
                strange.sent_at_ms = second;
                strange.target_seq = first;
                for kind in [0, 1, 31, 32, 33, 34, 64, 65, 66, 99, i32::MAX, i32::MIN] {
                    strange.kind = kind;
                    event(&mut state, strange.clone());
                }
                state.handle_update(&Update::Conversations(vec![v1::Conversation {
                    head_ordinal: second,
                    last_at_ms: first,
                    ..listed(conversation, 0, first, second)
                }]));
                state.handle_update(&Update::Cursors(vec![v1::Cursor {
                    conversation_id: conversation,
                    user_id: ME,
                    delivered_seq: first,
                    read_seq: second,
                }]));
                let mut page = v1::Page {
                    conversation_id: conversation,
                    from_seq: first,
                    to_seq: second,
                    events: vec![strange],
                    ..v1::Page::default()
                };
                state.handle_answer(Answer::Page {
                    conversation,
                    page: page.clone(),
                });
                page.conversation_id = second;
                state.handle_answer(Answer::Page { conversation, page });
                screen(&state, 40, 10);
                press(&mut state, KeyCode::PageUp);
                state.handle_drawn();
                screen(&state, 80, 10);
                press(&mut state, KeyCode::Tab);
            }
        }
    }
}

#[test]
fn how_present_the_other_is_stands_in_the_list_and_above_the_conversation() {
    let mut state = state();
    open(&mut state, vec![]);
    let effects = state.handle_answer(Answer::Conversations(Vec::new()));
    assert!(effects.contains(&Effect::Watch(vec![BOB])), "{effects:?}");
    assert!(!shows(&state, "@bob  online") && !shows(&state, "\u{25cf}"));
    let is = |user_id, state: v1::PresenceState, last_seen_ms| v1::Presence {
        user_id,
        state: state.into(),
        last_seen_ms,
    };
    state.handle_answer(Answer::Presences(vec![
        is(BOB, v1::PresenceState::Online, 0),
        is(99, v1::PresenceState::Online, 0),
    ]));
    assert!(shows(&state, "@bob  online") && shows(&state, "\u{25cf}"));
    state.handle_update(&Update::Presence(is(BOB, v1::PresenceState::Away, 0)));
    assert!(shows(&state, "@bob  away") && shows(&state, "\u{25cb}"));
    state.handle_update(&Update::Presence(is(BOB, v1::PresenceState::Offline, 60_000)));
    assert!(shows(&state, "last seen 1970-01-01 00:01"));
    // A stranger: nothing is said.
    state.handle_update(&Update::Presence(is(BOB, v1::PresenceState::Offline, 0)));
    assert!(!shows(&state, "last seen") && !shows(&state, "@bob  off"));
    // The next connection watches nobody, until the list is there.
    state.handle_update(&Update::Presence(is(BOB, v1::PresenceState::Online, 0)));
    state.handle_update(&Update::Connected(Box::default()));
    assert!(!shows(&state, "@bob  online") && !shows(&state, "\u{25cf}"));
    let again = state.handle_answer(Answer::Conversations(Vec::new()));
    assert_eq!(again, [Effect::Watch(vec![BOB])]);
}
