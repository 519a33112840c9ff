//! What keys do, and what a line of input does when it is entered.

use protocol::{
    self_conversation,
    v1::{self, EventKind},
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    assist::Completion,
    command::{self, Command},
    effect::Effect,
    input::LINE_BYTES_MAX,
    state::{State, TYPING_SENT_MS},
    view,
};
use crate::{message, terminal::Input};

impl State {
    /// Whatever the terminal says.
    pub(crate) fn handle_input(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Key(key) => {
                self.presences.touch(self.now_ms);
                // Keys go to the terminal that has the focus.
                self.focused = true;
                self.handle_key(key)
            }
            Input::Paste(text) => {
                self.note = None;
                self.help = false;
                self.help_page = 0;
                if !self.input_mut().paste(&text) {
                    self.refuse_length(text.len());
                }
                Vec::new()
            }
            Input::PasteTooLong(bytes) => {
                self.refuse_length(bytes);
                Vec::new()
            }
            Input::Focus(focused) => {
                self.handle_focus(focused);
                Vec::new()
            }
            Input::End => vec![Effect::Quit],
        }
    }

    fn refuse_length(&mut self, bytes: usize) {
        self.note = Some(format!(
            "not pasted: {bytes} bytes are more than the {LINE_BYTES_MAX} that a message can have here"
        ));
    }

    pub(crate) fn handle_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.note = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        if !matches!(key.code, KeyCode::Char('c' | 'q') if control) {
            self.warned = false;
        }
        let completing = self.assist.completing.take();
        if self.help {
            let pages = view::help_pages(self.size.0, self.size.1);
            self.help_page += 1;
            if self.help_page >= pages {
                self.help = false;
                self.help_page = 0;
            }
            return Vec::new();
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a key that means nothing here does nothing"
        )]
        match key.code {
            KeyCode::Char('c' | 'q') if control => return self.leave(),
            KeyCode::Char('d') if control && self.input().is_empty() => return self.leave(),
            KeyCode::Char('w') if control => self.input_mut().delete_word(),
            KeyCode::Char('u') if control => self.input_mut().delete_to_start(),
            KeyCode::Char('a') if control => self.input_mut().home(),
            KeyCode::Char('e') if control => self.input_mut().end(),
            KeyCode::Char('n') if control => return self.step(1),
            KeyCode::Char('p') if control => return self.step(-1),
            KeyCode::Char('l') if control => return vec![Effect::Redraw],
            KeyCode::Char('z') if control => return vec![Effect::Stop],
            KeyCode::Char(digit @ '1'..='9') if alt => return self.jump(digit),
            KeyCode::Char('a' | 'A') if alt => return self.jump_to_unread(),
            KeyCode::Char(character) if !control && !alt => {
                if self.input_mut().insert(character) {
                    return self.sign_of_typing();
                }
                self.note = Some(format!("a message has at most {LINE_BYTES_MAX} bytes here"));
            }
            KeyCode::Backspace if alt => self.input_mut().delete_word(),
            KeyCode::Backspace => self.input_mut().backspace(),
            KeyCode::Delete => self.input_mut().delete(),
            KeyCode::Left => self.input_mut().left(),
            KeyCode::Right => self.input_mut().right(),
            KeyCode::End if control || alt => self.scroll_to_end(),
            KeyCode::Esc => self.scroll_to_end(),
            KeyCode::Home => self.input_mut().home(),
            KeyCode::End => self.input_mut().end(),
            KeyCode::Tab => return self.complete(completing),
            KeyCode::Up if alt => self.look_back(true),
            KeyCode::Down if alt => self.look_back(false),
            KeyCode::Down => return self.step(1),
            KeyCode::BackTab | KeyCode::Up => return self.step(-1),
            KeyCode::PageUp => return self.scroll(true),
            KeyCode::PageDown => return self.scroll(false),
            KeyCode::F(1) => self.help = true,
            KeyCode::Enter if alt => drop(self.input_mut().insert('\n')),
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        Vec::new()
    }

    /// Leaves at once, unless that would lose something: then at the second time.
    fn leave(&mut self) -> Vec<Effect> {
        let unsent: usize = self.rooms.values().map(|room| room.unsent().count()).sum();
        if unsent == 0 || std::mem::replace(&mut self.warned, true) {
            return vec![Effect::Quit];
        }
        self.note = Some(format!("{unsent} not stored yet: once more leaves all the same"));
        Vec::new()
    }

    /// The rest of the word before the cursor; the next conversation where there is nothing to complete.
    fn complete(&mut self, running: Option<Completion>) -> Vec<Effect> {
        let Some(mut completion) = running.or_else(|| Completion::of(self.input(), self.names.users()))
        else {
            return self.step(1);
        };
        let start = completion.start;
        match completion.next() {
            Some(word) => {
                self.input_mut().complete(start, word);
                self.assist.completing = Some(completion);
            }
            None => self.note = Some("nothing begins like that".to_owned()),
        }
        Vec::new()
    }

    fn look_back(&mut self, earlier: bool) {
        let conversation = self.selected.unwrap_or(0);
        let present = self.input().clone();
        if let Some(line) = self.assist.look_back(conversation, &present, earlier) {
            *self.input_mut() = line;
        }
    }

    /// A line, as if it was typed and entered.
    pub(crate) fn enter_line(&mut self, text: &str, pasted: bool) -> Vec<Effect> {
        self.note = None;
        self.input_mut().set(text, pasted);
        self.enter()
    }

    fn enter(&mut self) -> Vec<Effect> {
        let line = self.input_mut().take();
        self.assist.entered(self.selected.unwrap_or(0), &line);
        if line.is_literal() {
            let text = line.text().trim_matches('\n').trim_end();
            return match (self.selected, text) {
                (_, "") => Vec::new(),
                (Some(conversation), text) => self.say(conversation, text, 0),
                (None, _) => {
                    self.note = Some("no conversation is open: /msg @user begins one".to_owned());
                    *self.input_mut() = line;
                    Vec::new()
                }
            };
        }
        match command::parse(line.text()) {
            Ok(Command::Nothing) => Vec::new(),
            Ok(command) => match self.obey(command) {
                Some(effects) => effects,
                None => {
                    *self.input_mut() = line;
                    Vec::new()
                }
            },
            Err(usage) => {
                self.note = Some(usage);
                *self.input_mut() = line;
                Vec::new()
            }
        }
    }

    /// `None` when it cannot be done: then the line stays.
    fn obey(&mut self, command: Command) -> Option<Vec<Effect>> {
        let effects = match command {
            Command::Nothing => Vec::new(),
            Command::Message { name, text } if self.is_me(&name) => {
                let Some(own) = self_conversation(self.names.me()) else {
                    return Some(Vec::new());
                };
                let mut effects = self.open(own.get());
                effects.extend(self.say(own.get(), &text, 0));
                effects
            }
            Command::Message { name, text } => {
                self.look_for(format!("looking for @{name}\u{2026}"));
                vec![Effect::FindUser { name, text }]
            }
            Command::Group { name, members } => {
                self.look_for(format!("creating #{name}\u{2026}"));
                vec![Effect::CreateGroup { name, members }]
            }
            Command::Help => {
                self.help = true;
                Vec::new()
            }
            Command::Quit => self.leave(),
            Command::Say(text) => {
                let conversation = self.conversation()?;
                self.say(conversation, &text, 0)
            }
            Command::Reply { seq, text } => {
                let conversation = self.conversation()?;
                let target = self.target(seq, false)?;
                self.say(conversation, &text, target)
            }
            Command::Retry => {
                let conversation = self.conversation()?;
                let failed = self.rooms.get_mut(&conversation)?.take_failed();
                let again = failed
                    .iter()
                    .flat_map(|pending| self.say(conversation, &pending.text, pending.reply_to));
                again.collect()
            }
            Command::Add { members } => vec![Effect::AddMembers {
                conversation: self.conversation()?,
                members,
            }],
            Command::Leave => vec![Effect::Leave {
                conversation: self.conversation()?,
            }],
            Command::React { seq, reaction } => self.about(seq, false, |request| v1::SendRequest {
                kind: EventKind::Reaction.into(),
                reaction,
                ..request
            })?,
            Command::Recall { seq } => self.about(seq, true, |request| v1::SendRequest {
                kind: EventKind::Recall.into(),
                ..request
            })?,
            Command::Edit { text } => self.edit(&text)?,
        };
        Some(effects)
    }

    fn is_me(&self, name: &str) -> bool {
        let me = self.names.user(self.names.me());
        name.eq_ignore_ascii_case("self") || name.eq_ignore_ascii_case(&me)
    }

    /// Nothing is open until it is found.
    fn look_for(&mut self, note: String) {
        self.note = Some(note);
        let previous = self.opening.take().unwrap_or(self.selected);
        self.opening = Some(previous);
        self.selected = None;
    }

    fn conversation(&mut self) -> Option<u64> {
        if self.opening.is_some() && self.selected.is_none() {
            self.note = Some("the conversation is not open yet: once more when it is".to_owned());
            return None;
        }
        if self.selected.is_none() {
            self.note = Some("no conversation is open: /msg @user begins one".to_owned());
        }
        self.selected
    }

    /// The message that is named, or the last one of one's own or of others.
    fn target(&mut self, seq: Option<u64>, own: bool) -> Option<u64> {
        let me = self.names.me();
        let last = || self.room()?.last_message(me, own).map(|event| event.seq);
        let target = seq.or_else(last);
        if target.is_none() {
            self.note = Some("there is no such message".to_owned());
        }
        target
    }

    /// Something about a message.
    fn about(
        &mut self,
        seq: Option<u64>,
        own: bool,
        make: impl FnOnce(v1::SendRequest) -> v1::SendRequest,
    ) -> Option<Vec<Effect>> {
        let conversation_id = self.conversation()?;
        let target_seq = self.target(seq, own)?;
        let request = v1::SendRequest {
            conversation_id,
            target_seq,
            client_msg_id: client::new_client_id().0.to_vec().into(),
            ..v1::SendRequest::default()
        };
        Some(vec![Effect::Send(Box::new(make(request)))])
    }

    fn edit(&mut self, text: &str) -> Option<Vec<Effect>> {
        if text.is_empty() {
            let me = self.names.me();
            let last = self.room().and_then(|room| room.last_message(me, true));
            match last.map(message::words) {
                Some(last) => self.input_mut().set(&format!("/edit {last}"), false),
                None => self.note = Some("there is no such message".to_owned()),
            }
            return Some(Vec::new());
        }
        let content = v1::Content {
            body: text.to_owned().into_bytes().into(),
            ..v1::Content::default()
        };
        self.about(None, true, |request| v1::SendRequest {
            kind: EventKind::Edit.into(),
            content: Some(content),
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
        let next = match position.and_then(|position| isize::try_from(position).ok()) {
            Some(position) => (position + by).rem_euclid(count),
            None if by > 0 => 0,
            None => count - 1,
        };
        let row = usize::try_from(next).ok().and_then(|next| self.rows.get(next));
        match row.map(|row| row.conversation) {
            Some(conversation) => self.open(conversation),
            None => Vec::new(),
        }
    }

    fn jump(&mut self, digit: char) -> Vec<Effect> {
        let index = digit
            .to_digit(10)
            .and_then(|digit| usize::try_from(digit).ok()?.checked_sub(1));
        let row = index.and_then(|index| self.rows.get(index));
        match row.map(|row| row.conversation) {
            Some(conversation) => self.open(conversation),
            None => Vec::new(),
        }
    }

    fn jump_to_unread(&mut self) -> Vec<Effect> {
        let selected = self.selected;
        let waiting = |row: &&super::state::Row| row.unread.count() > 0 && Some(row.conversation) != selected;
        match self.rows.iter().find(waiting).map(|row| row.conversation) {
            Some(conversation) => self.open(conversation),
            None => {
                self.note = Some("nothing else is unread".to_owned());
                Vec::new()
            }
        }
    }

    fn sign_of_typing(&mut self) -> Vec<Effect> {
        let Some(conversation) = self.selected else {
            return Vec::new();
        };
        let is_text = self.input().is_literal() || !self.input().text().starts_with('/');
        if !is_text || self.now_ms < self.typing_sent_ms.saturating_add(TYPING_SENT_MS) {
            return Vec::new();
        }
        self.typing_sent_ms = self.now_ms;
        vec![Effect::Typing { conversation }]
    }
}
