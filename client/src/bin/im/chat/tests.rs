use client::Update;
use protocol::{
    ConversationId, direct_conversation,
    v1::{self, EventKind},
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    room::EVENTS_MAX,
    state::{Answer, Effect, State},
    view,
};
use crate::names::Directory;

const ME: u64 = 1;
const BOB: u64 = 2;

fn with_bob() -> u64 {
    direct_conversation(ME, BOB).unwrap().get()
}

fn state() -> State {
    let mut names = Directory::of(ME, "anna");
    names.learn_user(BOB, "bob");
    let mut state = State::new(names, "localhost:7400".to_owned());
    state.handle_update(&Update::Connected(Box::default()));
    state
}

fn text(conversation: u64, seq: u64, sender_id: u64, text: &str) -> v1::Event {
    v1::Event {
        conversation_id: conversation,
        seq,
        ordinal: seq,
        sender_id,
        sent_at_ms: 43_200_000 + seq * 60_000,
        kind: EventKind::Text.into(),
        client_msg_id: vec![u8::try_from(seq % 250).unwrap(); 16].into(),
        body: Some(v1::EventBody {
            content: Some(v1::Content {
                body: text.to_owned().into_bytes().into(),
                ..v1::Content::default()
            }),
            ..v1::EventBody::default()
        }),
        ..v1::Event::default()
    }
}

fn about(kind: EventKind, seq: u64, target_seq: u64, sender_id: u64, body: v1::EventBody) -> v1::Event {
    v1::Event {
        kind: kind.into(),
        target_seq,
        body: Some(body),
        ..text(with_bob(), seq, sender_id, "")
    }
}

fn event(state: &mut State, event: v1::Event) -> Vec<Effect> {
    state.handle_update(&Update::Event(Box::new(event)))
}

fn keys(state: &mut State, line: &str) -> Vec<Effect> {
    line.chars()
        .flat_map(|character| state.handle_key(KeyEvent::from(KeyCode::Char(character))))
        .filter(|effect| !matches!(effect, Effect::Typing { .. }))
        .collect()
}

fn enter(state: &mut State, line: &str) -> Vec<Effect> {
    keys(state, line);
    state.handle_key(KeyEvent::from(KeyCode::Enter))
}

/// Opens the conversation with bob, which has this history.
fn open(state: &mut State, history: Vec<v1::Event>) {
    let conversation = v1::Conversation {
        conversation_id: with_bob(),
        ..v1::Conversation::default()
    };
    let effects = state.handle_update(&Update::Conversations(vec![conversation]));
    let load = Effect::LoadHistory {
        conversation: with_bob(),
        before: 0,
    };
    assert!(effects.contains(&load), "{effects:?}");
    state.handle_answer(Answer::Page(v1::Page {
        conversation_id: with_bob(),
        from_seq: history.first().map_or(1, |event| event.seq),
        to_seq: history.last().map_or(0, |event| event.seq),
        events: history,
        ..v1::Page::default()
    }));
}

fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(state, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn shows(state: &State, wanted: &str) -> bool {
    screen(state, 80, 24).iter().any(|line| line.contains(wanted))
}

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
    assert!(screen[0].starts_with("@bob"), "{screen:#?}");
    assert!(screen[0].contains("\u{2502} @bob"), "{screen:#?}");
    assert!(screen[19].ends_with("12:01  bob: hello 1"), "{screen:#?}");
    assert!(screen[20].ends_with("12:02  me: hi bob \u{2713}"), "{screen:#?}");
    assert_eq!(screen[22], "> typing");
    assert!(
        screen[23].starts_with(" anna  online, localhost:7400"),
        "{screen:#?}"
    );
}

#[test]
fn it_can_be_drawn_at_any_size() {
    let mut state = state();
    open(
        &mut state,
        vec![text(with_bob(), 1, BOB, &"wide \u{4f60}\u{597d} ".repeat(40))],
    );
    keys(&mut state, &"long \u{4f60}".repeat(40));
    for (width, height) in [(1, 1), (3, 2), (10, 5), (80, 24), (200, 60)] {
        screen(&state, width, height);
        state.help = !state.help;
        screen(&state, width, height);
    }
}

#[test]
fn a_message_passes_from_being_sent_to_read() {
    let mut state = state();
    open(&mut state, vec![]);
    let effects = enter(&mut state, "good morning");
    let [Effect::Send(request)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert!(shows(&state, "me: good morning \u{2026}"));

    let sent = v1::SendResponse {
        conversation_id: with_bob(),
        seq: 1,
        ..v1::SendResponse::default()
    };
    state.handle_answer(Answer::Sent {
        request: request.clone(),
        sent,
    });
    assert!(shows(&state, "me: good morning \u{2713}"));
    assert!(!shows(&state, "\u{2713}\u{2713}"));
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

    let cursor = v1::Cursor {
        conversation_id: with_bob(),
        user_id: BOB,
        delivered_seq: 1,
        read_seq: 0,
    };
    state.handle_update(&Update::Cursors(vec![cursor]));
    assert!(shows(&state, "me: good morning \u{2713}\u{2713}"));
}

#[test]
fn a_message_that_failed_says_so() {
    let mut state = state();
    open(&mut state, vec![]);
    let effects = enter(&mut state, "good morning");
    let [Effect::Send(request)] = &effects[..] else {
        panic!("{effects:?}");
    };
    state.handle_answer(Answer::NotSent {
        request: request.clone(),
        reason: "FORBIDDEN".to_owned(),
    });
    assert!(shows(&state, "me: good morning \u{2717}"));
    assert!(shows(&state, "not sent: FORBIDDEN"));
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
    assert!(shows(&state, "bob: hello (edited) [:)] 1"));
    assert!(shows(&state, "bob: (taken back) 2"));
    assert!(!shows(&state, "secret"));
    event(&mut state, about(EventKind::Reaction, 6, 1, ME, reaction("")));
    assert!(!shows(&state, "[:)]"));
}

#[test]
fn remote_text_cannot_control_the_terminal() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "a\u{1b}[2Jb\u{202e}c")]);
    assert!(shows(&state, "a\\u{1b}[2Jb\\u{202e}c"));
}

#[test]
fn unread_counts_where_nobody_looks_and_reading_is_told() {
    let mut state = state();
    open(&mut state, vec![text(with_bob(), 1, BOB, "hello")]);
    let group = ConversationId::group_from_hash(9).get();
    state.names.learn_group(group, "team");
    event(&mut state, text(group, 1, BOB, "to all"));
    event(&mut state, text(group, 2, BOB, "again"));
    let first = &screen(&state, 80, 24)[..2];
    assert!(
        first
            .iter()
            .any(|line| line.starts_with("#team") && line.contains(" 2\u{2502}")),
        "{first:?}"
    );

    // What the server counts already is not counted twice.
    let counted = v1::Conversation {
        conversation_id: group,
        head_ordinal: 4,
        unread: 4,
        ..v1::Conversation::default()
    };
    state.handle_update(&Update::Conversations(vec![counted]));
    event(&mut state, text(group, 3, BOB, "of the backlog"));
    assert!(shows(&state, " 4\u{2502}"));

    let read = event(&mut state, text(with_bob(), 2, BOB, "here"));
    let seq_2 = Effect::MarkRead {
        conversation: with_bob(),
        seq: 2,
    };
    assert_eq!(read, [seq_2], "what is shown is read, once");

    let effects = state.handle_key(KeyEvent::from(KeyCode::Tab));
    assert_eq!(state.selected, Some(group));
    assert!(effects.contains(&Effect::LoadHistory {
        conversation: group,
        before: 0
    }));
    state.handle_key(KeyEvent::from(KeyCode::Tab));
    assert_eq!(state.selected, Some(with_bob()), "round the list");
}

#[test]
fn scrolling_up_loads_what_is_older() {
    let mut state = state();
    let history = (50..90)
        .map(|seq| text(with_bob(), seq, BOB, &format!("m{seq}")))
        .collect();
    open(&mut state, history);
    assert!(shows(&state, "m89") && !shows(&state, "m60"));
    let effects = state.handle_key(KeyEvent::from(KeyCode::PageUp));
    let load = Effect::LoadHistory {
        conversation: with_bob(),
        before: 50,
    };
    assert_eq!(effects, [load]);
    assert_eq!(
        state.handle_key(KeyEvent::from(KeyCode::PageUp)),
        [],
        "one page at a time"
    );
    assert!(shows(&state, "m60") && !shows(&state, "m89"));
    for _ in 0..4 {
        state.handle_key(KeyEvent::from(KeyCode::PageDown));
    }
    assert!(shows(&state, "m89"));
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
    assert_eq!(state.input.text(), "/edit hi");
    state.input.take();
    let found = Effect::FindUser {
        name: "carol".to_owned(),
        text: "hello".to_owned(),
    };
    assert_eq!(enter(&mut state, "/msg @carol hello"), [found]);
    assert_eq!(enter(&mut state, "/nonsense"), []);
    assert_eq!(
        state.input.text(),
        "/nonsense",
        "what was not understood stays to be corrected"
    );
    assert!(shows(&state, "/nonsense is no command"));
    state.input.take();
    assert_eq!(enter(&mut state, "/quit"), [Effect::Quit]);
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
    let load = Effect::LoadHistory {
        conversation,
        before: 0,
    };
    assert!(effects.contains(&load), "{effects:?}");
    let shown = screen(&state, 80, 24).join("\n");
    assert!(!shown.contains("lost") && shown.contains("on its way"), "{shown}");
}
