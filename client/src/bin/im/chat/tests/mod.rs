//! The state of the chat, driven by keys, updates and answers, and drawn on a screen of characters.

mod drawing;
mod reading;
mod writing;

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
    effect::{Answer, Effect},
    room::EVENTS_MAX,
    state::State,
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
