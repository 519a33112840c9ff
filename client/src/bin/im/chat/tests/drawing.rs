//! What stands on the screen.

use super::*;

#[test]
fn a_conversation_is_drawn_with_list_messages_input_and_status() {
    let mut state = state();
    open(
        &mut state,
        vec![
            text(with_bob(), 1, BOB, "hello"),
            text(with_bob(), 2, ME, "hi bob"),
        ],
    );
    keys(&mut state, "typing");
    let screen = screen(&state, 80, 24);
    assert!(screen[0].starts_with("1 @bob"), "{screen:#?}");
    assert!(screen[0].contains("\u{2502} @bob"), "{screen:#?}");
    assert!(
        screen[18].contains("Thursday 1970-01-01 (UTC+00:00)"),
        "{screen:#?}"
    );
    assert!(
        screen[19].ends_with("12:01       bob    \u{2502} hello"),
        "{screen:#?}"
    );
    assert!(
        screen[20].ends_with("12:02        me \u{2713}  \u{2502} hi bob"),
        "{screen:#?}"
    );
    assert_eq!(screen[22], "> typing");
    assert!(
        screen[23].starts_with(" anna  online localhost:7400"),
        "{screen:#?}"
    );
}

#[test]
fn it_can_be_drawn_at_any_size() {
    let mut state = state();
    open(
        &mut state,
        vec![
            text(with_bob(), 1, BOB, &"wide \u{4f60}\u{597d} ".repeat(40)),
            text(
                with_bob(),
                2,
                BOB,
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627}",
            ),
            text(
                with_bob(),
                3,
                ME,
                &"\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}".repeat(30),
            ),
        ],
    );
    keys(&mut state, &"long \u{4f60}".repeat(40));
    for (width, height) in [
        (0, 0),
        (1, 1),
        (3, 2),
        (10, 5),
        (40, 10),
        (80, 24),
        (200, 60),
        (u16::MAX, 1),
    ] {
        for _ in 0..4 {
            state.handle_size(width, height);
            screen(&state, width.clamp(1, 300), height.max(1));
            press(&mut state, KeyCode::PageUp);
            state.handle_drawn();
            state.help = !state.help;
            screen(&state, width.clamp(1, 300), height.max(1));
            press(&mut state, KeyCode::PageDown);
        }
    }
}

#[test]
fn the_help_is_whole_at_every_size() {
    for (width, height) in [(40, 12), (80, 24), (200, 50)] {
        let mut state = state();
        state.handle_size(width, height);
        press(&mut state, KeyCode::F(1));
        let mut shown = String::new();
        while state.help {
            shown.push_str(&screen(&state, width, height).join("\n"));
            press(&mut state, KeyCode::F(1));
        }
        for (keys, meaning) in super::super::command::HELP {
            assert!(
                shown.contains(keys) && shown.contains(&meaning[..20.min(meaning.len())]),
                "{keys}"
            );
        }
    }
}

#[test]
fn on_a_narrow_terminal_the_status_says_what_the_list_would() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    state.names.learn_group(a_group(), "team", 1);
    event(&mut state, text(a_group(), 1, BOB, "to all"));
    let screen = screen(&state, 40, 12);
    assert!(screen[0].starts_with(" @bob"), "{screen:#?}");
    let status = screen.last().unwrap();
    assert!(
        status.contains("online") && status.contains("1 unread in 1"),
        "{screen:#?}"
    );
}

#[test]
fn edits_recalls_and_reactions_change_what_is_shown() {
    let mut state = state();
    let history = vec![
        text(with_bob(), 1, BOB, "helo"),
        text(with_bob(), 2, BOB, "secret"),
    ];
    open(&mut state, history);
    let content = v1::Content {
        body: "hello".into(),
        ..v1::Content::default()
    };
    let edited = v1::EventBody {
        content: Some(content),
        ..v1::EventBody::default()
    };
    event(&mut state, about(EventKind::Edit, 3, 1, BOB, edited));
    event(
        &mut state,
        about(EventKind::Recall, 4, 2, BOB, v1::EventBody::default()),
    );
    let reaction = |text: &str| v1::EventBody {
        reaction: text.to_owned(),
        ..v1::EventBody::default()
    };
    event(&mut state, about(EventKind::Reaction, 5, 1, ME, reaction(":)")));
    assert!(says(&state, "bob", "hello"));
    assert!(says(&state, "", "edited"));
    assert!(says(&state, "", ":) anna"));
    assert!(says(&state, "bob", "(taken back)"));
    assert!(!shows(&state, "secret"));
    event(&mut state, about(EventKind::Reaction, 6, 1, ME, reaction("")));
    assert!(!shows(&state, ":)"));
}

#[test]
fn remote_text_cannot_control_the_terminal_or_reach_the_names() {
    let mut state = state();
    let forged = format!(
        "x{}12:05       eve    \u{2502} I resign\n12:06       eve    \u{2502} really",
        " ".repeat(60)
    );
    open(
        &mut state,
        vec![
            text(with_bob(), 1, BOB, "a\u{1b}[2Jb\u{202e}c"),
            text(with_bob(), 2, BOB, &forged),
        ],
    );
    assert!(shows(&state, "a\\u{1b}[2Jb\\u{202e}c"));
    for width in [40, 60, 80, 200] {
        for line in screen(&state, width, 24) {
            let room = if width < 60 {
                line.as_str()
            } else {
                line.split_once('\u{2502}').map_or("", |(_, room)| room)
            };
            let head = room.split('\u{2502}').next().unwrap_or_default();
            assert!(!head.contains("eve"), "{width}: {line}");
        }
    }
}

#[test]
fn days_are_told_apart_in_the_zone_of_the_reader() {
    let mut state = state();
    state.zone = TimeZone::posix("<+0545>-5:45").unwrap();
    let late = v1::Event {
        // Half past six in the evening in Greenwich is past midnight in Kathmandu.
        sent_at_ms: 18 * 3_600_000 + 30 * 60_000,
        ..text(with_bob(), 2, BOB, "late")
    };
    open(&mut state, vec![text(with_bob(), 1, BOB, "noon"), late]);
    assert!(shows(&state, "Thursday 1970-01-01 (UTC+05:45)"));
    assert!(shows(&state, "Friday 1970-01-02 (UTC+05:45)"));
    assert!(shows(&state, "17:46") && shows(&state, "00:15"));
}
