//! The chat: a state, its view, and the loop that feeds one and draws the other.

mod assist;
mod command;
mod effect;
mod input;
mod keys;
mod layout;
mod linear;
mod presence;
mod room;
mod scroll;
mod state;
mod view;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    io::IsTerminal,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use client::{Device, Update, sync::Start};
use protocol::{ClientMessageId, v1};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        execute,
        terminal::{Clear, ClearType},
    },
};

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    names::Directory,
    output::{is_dumb_terminal, styles_wanted},
    terminal::{Keyboard, Screen, Signal, Signals},
    text,
    time::local_zone,
};

use self::{
    effect::{Answer, Effect},
    state::State,
    worker::Worker,
};

/// How long the loop waits for a key before it looks at the network.
const KEY_WAIT: Duration = Duration::from_millis(30);
/// Updates taken between two drawings.
const UPDATES_PER_FRAME: usize = 256;

struct Chat<'a> {
    context: &'a mut Context,
    device: Device,
    state: State,
    worker: Worker,
    dirty: bool,
}

/// Why the conversation with the person is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Wanted,
    Signal(i32),
}

/// What the loop has to do with the terminal itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    Nothing,
    Redraw,
    Stop,
    Leave,
}

pub(crate) fn run(context: &mut Context, linear: bool) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !linear && !terminal {
        return Err(Failure::Usage(
            "the full screen needs a terminal: `im chat --linear` does without, and `im --help` has single commands"
                .to_owned(),
        ));
    }
    context.me()?;
    let snapshot = context.profile.sync()?;
    let (client, events) = context.resume()?;
    let worker = Worker::start(client.clone())?;
    let device = Device::new(client, events, snapshot.unwrap_or_default(), Start::Heads);
    let mut state = State::new(
        Directory::open(&context.profile),
        context.server.clone(),
        local_zone(),
    );
    state.colours = styles_wanted();
    let mut chat = Chat {
        context,
        device,
        state,
        worker,
        dirty: true,
    };
    let end = if linear || is_dumb_terminal() {
        chat.converse_in_lines()
    } else {
        chat.converse_on_screen()
    };
    chat.say_what_is_lost();
    match end? {
        End::Wanted => {
            chat.finish(true);
            Ok(())
        }
        End::Signal(signal) => {
            chat.finish(false);
            Err(Failure::Signal(signal))
        }
    }
}

/// What is on the screen, so that only what differs is written. It never asks the terminal anything: the answer would come
/// among the keys.
struct Canvas {
    terminal: Terminal<CrosstermBackend<std::io::Stdout>>,
    size: (u16, u16),
}

impl Canvas {
    fn new() -> std::io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(std::io::stdout()))?;
        let size = terminal.size()?;
        Ok(Self {
            terminal,
            size: (size.width, size.height),
        })
    }

    /// Nothing of what is on the screen counts any more.
    fn begin_again(&mut self) -> std::io::Result<()> {
        *self = Self::new()?;
        execute!(std::io::stdout(), Clear(ClearType::All))
    }

    /// Columns and lines of the terminal.
    fn fit(&mut self) -> std::io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        if (size.width, size.height) != self.size {
            self.begin_again()?;
        }
        Ok(self.size)
    }

    fn draw(&mut self, state: &State) -> std::io::Result<()> {
        self.terminal.draw(|frame| view::draw(state, frame)).map(drop)
    }
}

impl Chat<'_> {
    fn converse_on_screen(&mut self) -> Result<End, Failure> {
        let signals = Signals::take()?;
        let screen = Screen::enter()?;
        let mut keyboard = Keyboard::open()?;
        let mut terminal = Canvas::new()?;
        loop {
            match signals.next() {
                Some(Signal::End(signal)) => return Ok(End::Signal(signal)),
                Some(Signal::Stop) => {
                    screen.stop()?;
                    terminal.begin_again()?;
                    self.dirty = true;
                }
                Some(Signal::Continued) => {
                    screen.take_again()?;
                    terminal.begin_again()?;
                    self.dirty = true;
                }
                Some(Signal::Resized) => self.dirty = true,
                None => {}
            }
            if std::mem::take(&mut self.dirty) {
                let (width, height) = terminal.fit()?;
                let effects = self.state.handle_size(width, height);
                self.carry_out(effects)?;
                terminal.draw(&self.state)?;
                let effects = self.state.handle_drawn();
                self.dirty |= !effects.is_empty();
                self.carry_out(effects)?;
            }
            for input in keyboard.next(KEY_WAIT) {
                self.dirty = true;
                let effects = self.state.handle_input(input);
                match self.carry_out(effects)? {
                    Turn::Nothing => {}
                    Turn::Redraw => terminal.begin_again()?,
                    Turn::Stop => {
                        screen.stop()?;
                        terminal.begin_again()?;
                    }
                    Turn::Leave => return Ok(End::Wanted),
                }
            }
            self.take_updates(|_, _| {})?;
            self.take_answers(|_, _| {})?;
            self.dirty |= self.state.handle_time(now_ms());
            let effects = self.state.rest();
            self.carry_out(effects)?;
        }
    }

    fn take_updates(&mut self, mut see: impl FnMut(&State, &Update)) -> Result<(), Failure> {
        for _ in 0..UPDATES_PER_FRAME {
            let Some(update) = self.device.next(Instant::now()) else {
                break;
            };
            self.dirty = true;
            match &update {
                Update::Event(event) => {
                    let snapshot = || self.device.snapshot();
                    self.context.profile.note_applied(event, snapshot)?;
                }
                Update::Store => self.context.profile.save_sync(&self.device.snapshot())?,
                Update::Restarted => self.context.profile.save_sync(&self.device.snapshot())?,
                Update::Connected(_) => self.worker.list(),
                Update::Disconnected { .. }
                | Update::Ended(_)
                | Update::Synced
                | Update::Rewound { .. }
                | Update::Conversations(_)
                | Update::Cursors(_)
                | Update::Transient(_)
                | Update::Typing(_)
                | Update::Presence(_) => {}
            }
            let effects = self.state.handle_update(&update);
            see(&self.state, &update);
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn take_answers(&mut self, mut see: impl FnMut(&State, &Answer)) -> Result<(), Failure> {
        while let Some(answer) = self.worker.next_answer() {
            self.dirty = true;
            let effects = self.state.handle_answer(answer.clone());
            see(&self.state, &answer);
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Turn, Failure> {
        let mut turn = Turn::Nothing;
        for effect in effects {
            match &effect {
                Effect::Quit => return Ok(Turn::Leave),
                Effect::Stop => turn = Turn::Stop,
                Effect::Redraw => turn = Turn::Redraw,
                Effect::Send(request) => self.note_sent(request)?,
                Effect::LoadHistory { .. }
                | Effect::LoadConversation { .. }
                | Effect::LoadNames(_)
                | Effect::MarkRead { .. }
                | Effect::Typing { .. }
                | Effect::Watch(_)
                | Effect::SetAway(_)
                | Effect::FindUser { .. }
                | Effect::CreateGroup { .. }
                | Effect::AddMembers { .. }
                | Effect::Leave { .. } => {}
            }
            if let Some(answer) = self.worker.begin(effect) {
                let effects = self.state.handle_answer(answer);
                debug_assert!(effects.is_empty(), "a refused effect asks for nothing");
            }
        }
        Ok(turn)
    }

    fn note_sent(&self, request: &v1::SendRequest) -> Result<(), Failure> {
        if let Some(id) = ClientMessageId::parse(&request.client_msg_id) {
            self.context.profile.note_sent(id)?;
        }
        Ok(())
    }

    /// Nothing that was written vanishes without a word.
    fn say_what_is_lost(&self) {
        for (conversation, text) in self.state.unsaved() {
            let name = self.state.names.conversation(conversation);
            let text = text::line(&text);
            self.context
                .output
                .note(&format!("not known to be stored, to {name}: {text}"));
        }
    }

    /// What is left to keep; nothing is lost if it fails.
    fn finish(&mut self, tell: bool) {
        let stored = self.context.profile.save_sync(&self.device.snapshot());
        if let Err(error) = stored {
            self.context.output.note(&error.to_string());
        }
        self.state.names.save(&self.context.profile);
        if tell
            && self.device.is_caught_up()
            && let Err(error) = self.device.acknowledge(CALL_TIMEOUT)
        {
            log::info!("not acknowledged: {error}");
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
