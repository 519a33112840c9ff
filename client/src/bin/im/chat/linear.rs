//! The chat line by line: what is said is printed below what was said before, what is typed is a line of standard input.
//! For screen readers, for terminals that can do nothing else, and for pipes.
//!
//! It owns what is printed, once each. It must never move the cursor, and never print a line before the names in it are
//! known, unless they do not come.

use std::{collections::VecDeque, time::Instant};

use client::Update;
use protocol::v1::{self, EventKind};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{
    Chat, End, KEY_WAIT, Turn,
    command::HELP,
    effect::Answer,
    now_ms,
    state::{Connection, State},
};
use crate::{
    context::CALL_TIMEOUT,
    failure::Failure,
    message,
    terminal::{Input, Keyboard, Signal, Signals},
    text,
    time::{clock, day, day_title},
};

/// Messages said again when a conversation is opened.
const RECENT: usize = 5;
/// A name is waited for this long.
const NAME_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
/// Lines that wait for names.
const WAITING_MAX: usize = 1_024;

/// Lines that were typed and wait to be entered, with whether their beginning was pasted.
#[derive(Debug, Default)]
struct Typed {
    line: String,
    pasted: bool,
    entered: VecDeque<(String, bool)>,
    /// Since when there is no more to come.
    ended: Option<Instant>,
}

impl Typed {
    /// Takes input as lines. What a terminal marks as pasted is text, and all of it is one message.
    fn take(&mut self, input: Input) {
        match input {
            Input::Key(KeyEvent {
                code: KeyCode::Char(character),
                modifiers,
                ..
            }) if modifiers.is_empty() => self.line.push(character),
            Input::Key(KeyEvent {
                code: KeyCode::Tab, ..
            }) => self.line.push('\t'),
            Input::Key(KeyEvent {
                code: KeyCode::Enter, ..
            }) => self.enter(),
            Input::Paste(text) => {
                self.pasted |= self.line.trim().is_empty();
                self.line.push_str(&text);
            }
            Input::End => {
                if !self.line.is_empty() {
                    self.enter();
                }
                self.ended = Some(Instant::now());
            }
            Input::Key(_) | Input::PasteTooLong(_) | Input::Focus(_) => {}
        }
    }

    fn enter(&mut self) {
        self.entered
            .push_back((std::mem::take(&mut self.line), std::mem::take(&mut self.pasted)));
    }
}

/// What is to be printed, in order.
#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<(Box<v1::Event>, Instant)>,
    last_day: Option<jiff::civil::Date>,
    /// What was said last about the connection, the open conversation and whatever else there was to say.
    connection: Option<Connection>,
    selected: Option<u64>,
    /// Since when another one is open whose name is not known.
    opened: Option<Instant>,
    note: Option<String>,
    /// The conversation whose last messages are still to be said.
    recent: Option<u64>,
}

impl Chat<'_> {
    pub(super) fn converse_in_lines(&mut self) -> Result<End, Failure> {
        let signals = Signals::take()?;
        let mut keyboard = Keyboard::of_lines()?;
        let mut lines = Lines::default();
        let effects = self.state.handle_size(80, 1_000);
        self.carry_out(effects)?;
        let mut typed = Typed::default();
        loop {
            match signals.next() {
                Some(Signal::End(signal)) => return Ok(End::Signal(signal)),
                Some(Signal::Stop) => crate::terminal::end_by(signal_hook::consts::SIGTSTP),
                _ => {}
            }
            let inputs = if typed.ended.is_some() {
                Vec::new()
            } else {
                keyboard.next(KEY_WAIT)
            };
            inputs.into_iter().for_each(|input| typed.take(input));
            if self.enter_lines(&mut typed, &mut lines)? == Turn::Leave {
                return Ok(End::Wanted);
            }
            let waited = typed.ended.is_some_and(|since| since.elapsed() >= CALL_TIMEOUT);
            let said = lines.selected == self.state.selected && lines.recent.is_none();
            if typed.ended.is_some() && (waited || (typed.entered.is_empty() && self.is_ready() && said)) {
                self.drain(&mut lines)?;
                return Ok(End::Wanted);
            }
            if typed.ended.is_some() {
                std::thread::park_timeout(KEY_WAIT);
            }
            let mut events = Vec::new();
            self.take_updates(|_, update| {
                if let Update::Event(event) = update {
                    events.push(event.clone());
                }
            })?;
            for event in events {
                if lines.waiting.len() >= WAITING_MAX
                    && let Some((event, _)) = lines.waiting.pop_front()
                {
                    self.print_event(&mut lines, &event)?;
                }
                lines.waiting.push_back((event, Instant::now()));
            }
            let mut loaded = Vec::new();
            self.take_answers(|_, answer| {
                if let Answer::Page { conversation, .. } | Answer::PageFailed { conversation, .. } = answer {
                    loaded.push(*conversation);
                }
            })?;
            self.state.handle_time(now_ms());
            self.print(&mut lines)?;
            self.print_recent(&mut lines, &loaded)?;
            let effects = self.state.handle_drawn();
            self.carry_out(effects)?;
        }
    }

    /// Enters what waits, as far as it can be known where it goes.
    fn enter_lines(&mut self, typed: &mut Typed, lines: &mut Lines) -> Result<Turn, Failure> {
        while self.is_ready()
            && let Some((line, pasted)) = typed.entered.pop_front()
        {
            if !pasted && matches!(line.trim(), "/quit" | "/q") {
                // What was said before it still goes out.
                typed.ended = Some(Instant::now());
                typed.entered.clear();
                break;
            }
            let effects = self.state.enter_line(&line, pasted);
            if std::mem::take(&mut self.state.help) {
                for (keys, meaning) in HELP.iter().filter(|(keys, _)| keys.starts_with('/')) {
                    self.print_line(&format!("{keys}: {meaning}"))?;
                }
            }
            if self.carry_out(effects)? == Turn::Leave {
                return Ok(Turn::Leave);
            }
            self.print(lines)?;
        }
        Ok(Turn::Nothing)
    }

    /// Nothing is looked for, and the list of conversations is there, if the server can be reached at all.
    fn is_ready(&self) -> bool {
        let unreachable = !matches!(self.state.connection, Connection::Connecting | Connection::Online);
        self.state.opening.is_none() && (self.state.listed || unreachable)
    }

    /// What was entered last is waited for, then everything is said.
    fn drain(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let until = Instant::now() + CALL_TIMEOUT;
        while Instant::now() < until {
            let busy = self.worker.is_busy();
            let mut events = Vec::new();
            self.take_updates(|_, update| {
                if let Update::Event(event) = update {
                    events.push(event.clone());
                }
            })?;
            lines
                .waiting
                .extend(events.into_iter().map(|event| (event, Instant::now())));
            self.take_answers(|_, _| {})?;
            self.print(lines)?;
            if !busy && !self.worker.is_busy() && self.state.unsaved().is_empty() {
                break;
            }
            std::thread::park_timeout(KEY_WAIT);
        }
        for (event, _) in std::mem::take(&mut lines.waiting) {
            self.print_event(lines, &event)?;
        }
        self.print(lines)
    }

    fn print(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        if lines.connection.as_ref() != Some(&self.state.connection) {
            let said = match &self.state.connection {
                Connection::Connecting => format!("connecting to {}", text::line(&self.state.server)),
                Connection::Online => format!("online, {}", text::line(&self.state.server)),
                Connection::Offline(reason) => format!("offline, trying again: {}", text::line(reason)),
                Connection::Ended(reason) => format!("ended: {}", text::line(reason)),
            };
            lines.connection = Some(self.state.connection.clone());
            self.print_line(&format!("* {said}"))?;
        }
        if lines.selected == self.state.selected {
            lines.opened = None;
        } else if self.is_named(self.state.selected.unwrap_or(0))
            || lines.opened.get_or_insert_with(Instant::now).elapsed() >= NAME_WAIT
        {
            lines.selected = self.state.selected;
            lines.recent = self.state.selected;
            if let Some(conversation) = self.state.selected {
                let name = text::line(&self.state.names.conversation(conversation));
                let (unread, others) = self.state.unread_elsewhere();
                let elsewhere = match unread {
                    0 => String::new(),
                    unread => format!(", {unread} unread in {others} others"),
                };
                self.print_line(&format!("* in {name}{elsewhere}"))?;
            }
        }
        if lines.note != self.state.note {
            lines.note.clone_from(&self.state.note);
            if let Some(note) = &self.state.note {
                self.print_line(&format!("* {}", text::line(note)))?;
            }
        }
        while let Some((event, since)) = lines.waiting.front() {
            let names = &self.state.names;
            let mut people = message::people(event).into_iter();
            let known = people.all(|user| names.knows_user(user)) && self.is_named(event.conversation_id);
            if !known && since.elapsed() < NAME_WAIT {
                break;
            }
            if let Some((event, _)) = lines.waiting.pop_front() {
                self.print_event(lines, &event)?;
            }
        }
        Ok(())
    }

    fn is_named(&self, conversation: u64) -> bool {
        let names = &self.state.names;
        !names.is_nameless_group(conversation) && names.knows_user(names.peer(conversation))
    }

    /// The last messages of a conversation that was opened, once they are there.
    fn print_recent(&mut self, lines: &mut Lines, loaded: &[u64]) -> Result<(), Failure> {
        let Some(conversation) = lines.recent else {
            return Ok(());
        };
        let Some(room) = self.state.rooms.get(&conversation) else {
            return Ok(());
        };
        if room.loading && !loaded.contains(&conversation) {
            return Ok(());
        }
        lines.recent = None;
        let mut recent: Vec<v1::Event> = room.shown().rev().take(RECENT).cloned().collect();
        recent.reverse();
        for event in recent {
            self.print_event(lines, &event)?;
        }
        Ok(())
    }

    fn print_event(&mut self, lines: &mut Lines, event: &v1::Event) -> Result<(), Failure> {
        let Some(said) = sentence(&self.state, event) else {
            return Ok(());
        };
        let today = day(event.sent_at_ms, &self.state.zone);
        if lines.last_day != Some(today) {
            lines.last_day = Some(today);
            self.print_line(&format!("* {}", day_title(event.sent_at_ms, &self.state.zone)))?;
        }
        self.print_line(&said)
    }

    fn print_line(&self, line: &str) -> Result<(), Failure> {
        use std::io::Write;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")?;
        Ok(stdout.flush()?)
    }
}

/// What happened, to be read aloud: who and where first, then what.
fn sentence(state: &State, event: &v1::Event) -> Option<String> {
    let names = &state.names;
    let time = clock(event.sent_at_ms, &state.zone);
    let place = text::line(&names.conversation(event.conversation_id));
    let sender = if event.sender_id == names.me() {
        "me".to_owned()
    } else {
        text::line(&names.user(event.sender_id))
    };
    if let Some(notice) = message::notice(event, names) {
        return Some(format!("{time}  {place}  -- {}", text::line(&notice)));
    }
    let said = if event.recalled {
        " (taken back)".to_owned()
    } else if event.expired {
        " (expired)".to_owned()
    } else {
        text::line(&message::words(event))
    };
    let target = event.target_seq;
    Some(match EventKind::try_from(event.kind) {
        Ok(EventKind::Edit) => {
            let content = event.body.as_ref()?.content.as_ref()?;
            let words = text::line(&String::from_utf8_lossy(&content.body));
            format!("{time}  {place}  -- {sender} changed message {target} to:  {words}")
        }
        Ok(EventKind::Recall) => format!("{time}  {place}  -- {sender} took back message {target}"),
        Ok(EventKind::Reaction) => {
            let reaction = text::line(&event.body.as_ref()?.reaction);
            match reaction.as_str() {
                "" => format!("{time}  {place}  -- {sender} took a reaction to {target} back"),
                reaction => format!("{time}  {place}  -- {sender} reacted to {target}:  {reaction}"),
            }
        }
        _ if message::is_message(event) => {
            let answers = match message::reply_to(event) {
                0 => String::new(),
                seq => format!("  (to {seq})"),
            };
            format!("{time}  {place}  {sender}: {said}{answers}  ({})", event.seq)
        }
        _ => return None,
    })
}
