//! What keys do, and what a line of input does when it is entered.

use protocol::v1::{self, EventKind};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    command::{self, Command},
    room::Pending,
    state::{Effect, State, TYPING_SENT_MS},
};
use crate::message;

/// Lines that a page key scrolls.
const SCROLL_LINES: usize = 10;

impl State {
    pub(crate) fn handle_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.note = None;
        if std::mem::take(&mut self.help) {
            return Vec::new();
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'q') if control => return vec![Effect::Quit],
            KeyCode::Char('w') if control => self.input.delete_word(),
            KeyCode::Char('u') if control => self.input.delete_to_start(),
            KeyCode::Char('a') if control => self.input.home(),
            KeyCode::Char('e') if control => self.input.end(),
            KeyCode::Char(character) if !control => {
                self.input.insert(character);
                return self.sign_of_typing();
            }
            KeyCode::Backspace => self.input.backspace(),
            KeyCode::Delete => self.input.delete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Home => self.input.home(),
            KeyCode::End => self.input.end(),
            KeyCode::Tab | KeyCode::Down => return self.step(1),
            KeyCode::BackTab | KeyCode::Up => return self.step(-1),
            KeyCode::PageUp => return self.scroll_up(),
            KeyCode::PageDown => self.scroll_down(),
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        Vec::new()
    }

    fn enter(&mut self) -> Vec<Effect> {
        let line = self.input.take();
        match command::parse(&line) {
            Ok(Command::Nothing) => Vec::new(),
            Ok(command) => self.obey(command),
            Err(usage) => {
                self.note = Some(usage);
                self.input.set(&line);
                Vec::new()
            }
        }
    }

    fn obey(&mut self, command: Command) -> Vec<Effect> {
        let Some(conversation) = self.selected else {
            return match command {
                Command::Message { name, text } => vec![Effect::FindUser { name, text }],
                Command::Group { name, members } => vec![Effect::CreateGroup { name, members }],
                Command::Quit => vec![Effect::Quit],
                Command::Help => {
                    self.help = true;
                    Vec::new()
                }
                _ => {
                    self.note = Some("no conversation is open: /msg @user begins one".to_owned());
                    Vec::new()
                }
            };
        };
        match command {
            Command::Nothing => Vec::new(),
            Command::Say(text) => self.say(&text),
            Command::Message { name, text } => vec![Effect::FindUser { name, text }],
            Command::Group { name, members } => vec![Effect::CreateGroup { name, members }],
            Command::Add { members } => vec![Effect::AddMembers {
                conversation,
                members,
            }],
            Command::Leave => vec![Effect::Leave { conversation }],
            Command::React { seq, reaction } => self.about(seq, false, |request| v1::SendRequest {
                kind: EventKind::Reaction.into(),
                reaction,
                ..request
            }),
            Command::Recall { seq } => self.about(seq, true, |request| v1::SendRequest {
                kind: EventKind::Recall.into(),
                ..request
            }),
            Command::Edit { text } => self.edit(text),
            Command::Help => {
                self.help = true;
                Vec::new()
            }
            Command::Quit => vec![Effect::Quit],
        }
    }

    /// A message of one's own, shown at once.
    pub(super) fn say(&mut self, text: &str) -> Vec<Effect> {
        let Some(conversation) = self.selected.filter(|_| !text.is_empty()) else {
            return Vec::new();
        };
        let client_id = client::new_client_id().0.to_vec();
        let room = self.rooms.entry(conversation).or_default();
        room.scroll = 0;
        room.pending.push(Pending {
            client_id: client_id.clone(),
            text: text.to_owned(),
            failed: None,
        });
        vec![Effect::Send(Box::new(v1::SendRequest {
            conversation_id: conversation,
            client_msg_id: client_id.into(),
            kind: EventKind::Text.into(),
            content: Some(content(text)),
            ..v1::SendRequest::default()
        }))]
    }

    /// Something about a message: the one that is named, or the last one of one's own or of others.
    fn about(
        &mut self,
        seq: Option<u64>,
        own: bool,
        make: impl FnOnce(v1::SendRequest) -> v1::SendRequest,
    ) -> Vec<Effect> {
        let me = self.names.me();
        let last = || self.room()?.last_message(me, own).map(|event| event.seq);
        let (Some(conversation_id), Some(target_seq)) = (self.selected, seq.or_else(last)) else {
            self.note = Some("there is no such message".to_owned());
            return Vec::new();
        };
        let request = v1::SendRequest {
            conversation_id,
            target_seq,
            client_msg_id: client::new_client_id().0.to_vec().into(),
            ..v1::SendRequest::default()
        };
        vec![Effect::Send(Box::new(make(request)))]
    }

    fn edit(&mut self, text: String) -> Vec<Effect> {
        if text.is_empty() {
            let me = self.names.me();
            let last = self.room().and_then(|room| room.last_message(me, true));
            if let Some(last) = last.map(message::text) {
                self.input.set(&format!("/edit {last}"));
            }
            return Vec::new();
        }
        self.about(None, true, |request| v1::SendRequest {
            kind: EventKind::Edit.into(),
            content: Some(content(&text)),
            ..request
        })
    }

    fn step(&mut self, by: isize) -> Vec<Effect> {
        let position = self
            .rows
            .iter()
            .position(|row| Some(row.conversation) == self.selected);
        let count = isize::try_from(self.rows.len()).unwrap_or(isize::MAX);
        if count == 0 {
            return Vec::new();
        }
        let from = position
            .and_then(|position| isize::try_from(position).ok())
            .unwrap_or_else(|| -by.min(0));
        let next = (from + by).rem_euclid(count);
        let row = usize::try_from(next).ok().and_then(|next| self.rows.get(next));
        match row.map(|row| row.conversation) {
            Some(conversation) => self.open(conversation),
            None => Vec::new(),
        }
    }

    /// Half a screen up; at the top, what is older is asked for.
    fn scroll_up(&mut self) -> Vec<Effect> {
        let Some(conversation) = self.selected else {
            return Vec::new();
        };
        let room = self.rooms.entry(conversation).or_default();
        room.scroll += SCROLL_LINES;
        if room.loading || !room.has_more() {
            return Vec::new();
        }
        room.loading = true;
        vec![Effect::LoadHistory {
            conversation,
            before: room.loaded_from,
        }]
    }

    fn scroll_down(&mut self) {
        if let Some(room) = self.selected.and_then(|id| self.rooms.get_mut(&id)) {
            room.scroll = room.scroll.saturating_sub(SCROLL_LINES);
        }
    }

    fn sign_of_typing(&mut self) -> Vec<Effect> {
        let Some(conversation) = self.selected else {
            return Vec::new();
        };
        if self.input.text().starts_with('/') || self.now_ms < self.typing_sent_ms + TYPING_SENT_MS {
            return Vec::new();
        }
        self.typing_sent_ms = self.now_ms;
        vec![Effect::Typing { conversation }]
    }
}

fn content(text: &str) -> v1::Content {
    v1::Content {
        body: text.to_owned().into_bytes().into(),
        ..v1::Content::default()
    }
}
