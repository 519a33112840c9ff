use client::Update;
use jiff::tz::TimeZone;
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
use crate::{names::Directory, terminal::Input};

const ME: u64 = 1;
const BOB: u64 = 2;

fn with_bob() -> u64 {
    direct_conversation(ME, BOB).unwrap().get()
}

fn a_group() -> u64 {
    ConversationId::group_from_hash(9).get()
}

fn state() -> State {
    let mut names = Directory::of(ME, "anna");
    names.learn_user(BOB, "bob");
    let mut state = State::new(names, "localhost:7400".to_owned(), TimeZone::UTC);
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

fn about_group(kind: EventKind, seq: u64, ordinal: u64, change: v1::GroupChange) -> v1::Event {
    v1::Event {
        kind: kind.into(),
        ordinal,
        body: Some(v1::EventBody {
            group: Some(change),
            ..v1::EventBody::default()
        }),
        ..text(a_group(), seq, BOB, "")
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

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    state.handle_key(KeyEvent::from(code))
}

fn enter(state: &mut State, line: &str) -> Vec<Effect> {
    keys(state, line);
    press(state, KeyCode::Enter)
}

fn paste(state: &mut State, text: &str) {
    assert_eq!(state.handle_input(Input::Paste(text.to_owned())), []);
}

fn page(conversation: u64, history: Vec<v1::Event>) -> Answer {
    Answer::Page {
        conversation,
        page: v1::Page {
            conversation_id: conversation,
            from_seq: history.first().map_or(1, |event| event.seq),
            to_seq: history.last().map_or(0, |event| event.seq),
            events: history,
            ..v1::Page::default()
        },
    }
}

fn listed(conversation_id: u64, head: u64, read_seq: u64, unread: u64) -> v1::Conversation {
    v1::Conversation {
        conversation_id,
        head_seq: head,
        head_ordinal: head,
        read_seq,
        unread,
        last_at_ms: 43_200_000 + head * 60_000,
        ..v1::Conversation::default()
    }
}

fn load(conversation: u64, before: u64) -> Effect {
    Effect::LoadHistory { conversation, before }
}

fn read(conversation: u64, seq: u64) -> Effect {
    Effect::MarkRead { conversation, seq }
}

/// Opens the conversation with bob, which has this history.
fn open(state: &mut State, history: Vec<v1::Event>) {
    let conversation = v1::Conversation {
        conversation_id: with_bob(),
        ..v1::Conversation::default()
    };
    let effects = state.handle_update(&Update::Conversations(vec![conversation]));
    assert!(effects.contains(&load(with_bob(), 0)), "{effects:?}");
    state.handle_answer(page(with_bob(), history));
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

/// Whether a line of the conversation has this before its bar, and this behind it.
fn says(state: &State, before: &str, behind: &str) -> bool {
    screen(state, 80, 24).iter().any(|line| {
        let line = line.split_once('\u{2502}').map_or("", |(_, room)| room);
        line.split_once(['\u{2502}', '\u{2506}', '\u{b7}'])
            .is_some_and(|(head, text)| head.contains(before) && text.trim() == behind)
    })
}

fn unread(state: &State, conversation: u64) -> u64 {
    let row = state.rows.iter().find(|row| row.conversation == conversation);
    row.map_or(0, |row| row.unread.count())
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

    // Who is not found leaves everything as it was.
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
    event(&mut state, text(a_group(), 200, BOB, "."));
    state.rooms.remove(&a_group());
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
