//! What is typed, pasted and sent, and where it goes.

use super::*;

#[test]
fn a_message_passes_from_being_sent_to_read() {
    let mut state = state();
    open(&mut state, vec![]);
    let effects = enter(&mut state, "good morning");
    let [Effect::Send(request)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert!(says(&state, "me \u{2026} ", "good morning"));

    let sent = v1::SendResponse {
        conversation_id: with_bob(),
        seq: 1,
        ..v1::SendResponse::default()
    };
    state.handle_answer(Answer::Sent {
        request: request.clone(),
        sent,
    });
    assert!(says(&state, "me \u{2713} ", "good morning"));
    // The push of the same message changes nothing.
    let pushed = v1::Event {
        client_msg_id: request.client_msg_id.clone(),
        ..text(with_bob(), 1, ME, "good morning")
    };
    event(&mut state, pushed);
    let count = screen(&state, 80, 24)
        .iter()
        .filter(|line| line.contains("good morning"))
        .count();
    assert_eq!(count, 1);

    let mut cursor = v1::Cursor {
        conversation_id: with_bob(),
        user_id: BOB,
        delivered_seq: 1,
        read_seq: 0,
    };
    state.handle_update(&Update::Cursors(vec![cursor]));
    assert!(says(&state, "me \u{2713}\u{2713}", "good morning"));
    cursor.read_seq = 1;
    state.handle_update(&Update::Cursors(vec![cursor]));
    assert!(says(&state, "me \u{25cf}", "good morning"));
}

fn refuse(state: &mut State, effects: &[Effect]) {
    let [Effect::Send(request)] = effects else {
        panic!("{effects:?}");
    };
    state.handle_answer(Answer::NotSent {
        request: request.clone(),
        reason: "FORBIDDEN".to_owned(),
    });
}

#[test]
fn a_message_that_was_refused_is_back_in_the_line() {
    let mut state = state();
    open(&mut state, vec![]);
    paste(&mut state, "/leave\nis what I typed");
    let effects = press(&mut state, KeyCode::Enter);
    refuse(&mut state, &effects);
    assert_eq!(state.input().text(), "/leave\nis what I typed");
    assert!(shows(&state, "not sent: FORBIDDEN"));
    let again = press(&mut state, KeyCode::Enter);
    assert!(
        matches!(&again[..], [Effect::Send(_)]),
        "it is still no command: {again:?}"
    );

    // Where something else is written by then, it stays in sight.
    keys(&mut state, "something else");
    refuse(&mut state, &again);
    assert_eq!(state.input().text(), "something else");
    assert!(says(&state, "me \u{2717}", "/leave"));
    state.input_mut().take();
    let again = enter(&mut state, "/retry");
    assert!(matches!(&again[..], [Effect::Send(_)]));
}

#[test]
fn a_paste_is_text_whatever_is_in_it() {
    let mut state = state();
    open(&mut state, vec![]);
    paste(&mut state, "/leave");
    let effects = press(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send(_)]), "{effects:?}");
    keys(&mut state, " ");
    paste(&mut state, "/quit\nand more");
    let effects = press(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send(_)]), "{effects:?}");

    let long = "\u{4f60}".repeat(5_000);
    paste(&mut state, &long);
    assert_eq!(state.input().text(), long, "nothing is cut");
    paste(&mut state, &"x".repeat(70_000));
    assert_eq!(state.input().text(), long, "nothing is lost");
    assert!(shows(&state, "not pasted: 70000 bytes"));
    let [Effect::Send(request)] = &press(&mut state, KeyCode::Enter)[..] else {
        panic!("one message");
    };
    assert_eq!(request.content.as_ref().unwrap().body, long);
}

#[test]
fn a_draft_belongs_to_its_conversation() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    state.names.learn_group(a_group(), "team", 1);
    event(&mut state, text(a_group(), 1, BOB, "to all"));
    keys(&mut state, "for bob only");
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.selected, Some(a_group()));
    assert_eq!(state.input().text(), "");
    let effects = enter(&mut state, "for the team");
    assert!(matches!(&effects[..], [Effect::Send(send)] if send.conversation_id == a_group()));
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.input().text(), "for bob only");
    let effects = press(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send(send)] if send.conversation_id == with_bob()));
}

#[test]
fn what_is_typed_while_somebody_is_looked_for_goes_to_nobody_else() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    let found = Effect::FindUser {
        name: "carol".to_owned(),
        text: String::new(),
    };
    assert_eq!(enter(&mut state, "/msg @carol"), [found]);
    assert_eq!(enter(&mut state, "a secret"), [], "it is sent to nobody yet");
    assert_eq!(state.input().text(), "a secret");
    let user = v1::User {
        user_id: 7,
        name: "carol".to_owned(),
        ..v1::User::default()
    };
    state.handle_answer(Answer::Found {
        user,
        text: String::new(),
    });
    let carol = direct_conversation(ME, 7).unwrap().get();
    assert_eq!(state.selected, Some(carol));
    let effects = press(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send(send)] if send.conversation_id == carol));

    // A user who is not found changes nothing.
    enter(&mut state, "/msg @nobody");
    state.handle_answer(Answer::Note("NOT_FOUND".to_owned()));
    assert_eq!(state.selected, Some(carol));
}

#[test]
fn a_message_to_oneself_opens_the_own_conversation() {
    let mut state = state();
    let own = protocol::self_conversation(ME).unwrap().get();
    for name in ["self", "Anna"] {
        let effects = enter(&mut state, &format!("/msg @{name} a note"));
        assert!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::Send(send) if send.conversation_id == own)),
            "{effects:?}"
        );
    }
}

#[test]
fn commands_become_requests() {
    let mut state = state();
    open(
        &mut state,
        vec![text(with_bob(), 1, BOB, "hello"), text(with_bob(), 2, ME, "hi")],
    );
    let request = |effects: Vec<Effect>| match effects.into_iter().next() {
        Some(Effect::Send(request)) => (request.kind(), request.target_seq),
        other => panic!("{other:?}"),
    };
    assert_eq!(request(enter(&mut state, "/react :)")), (EventKind::Reaction, 1));
    assert_eq!(request(enter(&mut state, "/edit better")), (EventKind::Edit, 2));
    assert_eq!(request(enter(&mut state, "/recall")), (EventKind::Recall, 2));
    enter(&mut state, "/edit");
    assert_eq!(state.input().text(), "/edit hi");
    state.input_mut().take();
    let found = Effect::FindUser {
        name: "carol".to_owned(),
        text: "hello".to_owned(),
    };
    assert_eq!(enter(&mut state, "/msg @carol hello"), [found]);
    press(&mut state, KeyCode::Tab);
    assert_eq!(enter(&mut state, "/nonsense"), []);
    assert_eq!(
        state.input().text(),
        "/nonsense",
        "what was not understood stays to be corrected"
    );
    assert!(shows(&state, "/nonsense is no command"));
    state.input_mut().take();
    assert_eq!(enter(&mut state, "/quit"), [Effect::Quit]);
    state.rooms.values_mut().for_each(|room| room.pending.clear());
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.handle_key(interrupt), [Effect::Quit]);
}

#[test]
fn a_found_user_is_written_to() {
    let mut state = state();
    let user = v1::User {
        user_id: 7,
        name: "carol".to_owned(),
        ..v1::User::default()
    };
    let effects = state.handle_answer(Answer::Found {
        user,
        text: "hello".to_owned(),
    });
    let carol = direct_conversation(ME, 7).unwrap().get();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Send(send) if send.conversation_id == carol))
    );
    assert!(shows(&state, "@carol"));
}

#[test]
fn typing_is_shown_for_a_while_and_told_now_and_then() {
    let mut state = state();
    open(&mut state, vec![]);
    state.handle_time(10_000);
    let typing = v1::TypingPush {
        conversation_id: with_bob(),
        user_id: BOB,
        typing: true,
    };
    state.handle_update(&Update::Typing(typing));
    assert!(shows(&state, "bob is typing"));
    assert!(state.handle_time(20_000));
    assert!(!shows(&state, "bob is typing"));

    let mut press = || state.handle_key(KeyEvent::from(KeyCode::Char('a')));
    assert_eq!(press().len(), 1);
    assert_eq!(press(), []);
}

#[test]
fn leaving_does_not_lose_what_is_on_its_way_without_a_word() {
    let mut state = state();
    open(&mut state, vec![]);
    enter(&mut state, "on its way");
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.handle_key(interrupt), []);
    assert!(shows(&state, "1 not stored yet"));
    assert_eq!(state.handle_key(interrupt), [Effect::Quit]);
    assert_eq!(state.unsaved(), [(with_bob(), "on its way".to_owned())]);
}

#[test]
fn keys_jump_to_numbers_and_to_what_is_unread() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    state.names.learn_group(a_group(), "team", 1);
    event(&mut state, text(a_group(), 1, BOB, "to all"));
    let alt = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::ALT);
    state.handle_key(alt('a'));
    assert_eq!(state.selected, Some(a_group()));
    let bob = state
        .rows
        .iter()
        .position(|row| row.conversation == with_bob())
        .unwrap();
    state.handle_key(alt(char::from_digit(u32::try_from(bob).unwrap() + 1, 10).unwrap()));
    assert_eq!(state.selected, Some(with_bob()));
}

#[test]
fn a_terminal_without_keys_for_a_while_is_away_until_the_next_one() {
    let mut state = state();
    let minute = 60_000;
    state.handle_time(minute);
    assert_eq!(state.rest(), []);
    state.handle_time(6 * minute - 1);
    assert_eq!(state.rest(), []);
    state.handle_time(6 * minute);
    assert_eq!(state.rest(), [Effect::SetAway(true)]);
    assert_eq!(state.rest(), []);
    state.handle_input(Input::Key(KeyEvent::from(KeyCode::Char('a'))));
    assert_eq!(state.rest(), [Effect::SetAway(false)]);
    // A new connection has not been told, and one that is not there cannot be.
    state.handle_time(20 * minute);
    assert_eq!(state.rest(), [Effect::SetAway(true)]);
    state.handle_update(&Update::Disconnected {
        reason: String::new(),
    });
    assert_eq!(state.rest(), []);
    state.handle_update(&Update::Connected(Box::default()));
    assert_eq!(state.rest(), [Effect::SetAway(true)]);
}
