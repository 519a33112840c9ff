//! The full-screen chat: a state, its view, and the loop that feeds one and draws the other.

mod command;
mod input;
mod keys;
mod room;
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
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    names::Directory,
};

use self::{
    state::{Effect, State},
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

pub(crate) fn run(context: &mut Context) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "the chat needs a terminal; see `im --help` for single commands".to_owned(),
        ));
    }
    context.me()?;
    let snapshot = context.profile.sync()?;
    let (client, events) = context.resume()?;
    let worker = Worker::start(client.clone())?;
    let device = Device::new(client, events, snapshot.unwrap_or_default(), Start::Heads);
    let state = State::new(Directory::open(&context.profile), context.server.clone());
    let mut chat = Chat {
        context,
        device,
        state,
        worker,
        dirty: true,
    };
    // Restores the terminal when this program panics as well.
    let mut terminal = ratatui::init();
    let outcome = chat.converse(&mut terminal);
    ratatui::restore();
    chat.finish();
    outcome
}

impl Chat<'_> {
    fn converse(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        loop {
            if std::mem::take(&mut self.dirty) {
                terminal.draw(|frame| view::draw(&self.state, frame))?;
            }
            if self.take_keys()? {
                return Ok(());
            }
            self.take_updates()?;
            while let Some(answer) = self.worker.next_answer() {
                let effects = self.state.handle_answer(answer);
                self.carry_out(effects)?;
                self.dirty = true;
            }
            self.dirty |= self.state.handle_time(now_ms());
        }
    }

    /// Waits a little for keys and takes all there are; whether the person leaves.
    fn take_keys(&mut self) -> Result<bool, Failure> {
        let mut wait = KEY_WAIT;
        while event::poll(wait)? {
            wait = Duration::ZERO;
            self.dirty = true;
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                let effects = self.state.handle_key(key);
                if self.carry_out(effects)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn take_updates(&mut self) -> Result<(), Failure> {
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
                _ => {}
            }
            let effects = self.state.handle_update(&update);
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<bool, Failure> {
        for effect in effects {
            match &effect {
                Effect::Quit => return Ok(true),
                Effect::Send(request) => self.note_sent(request)?,
                _ => {}
            }
            if let Some(answer) = self.worker.begin(effect) {
                let effects = self.state.handle_answer(answer);
                debug_assert!(effects.is_empty(), "a refused effect asks for nothing");
            }
        }
        Ok(false)
    }

    fn note_sent(&self, request: &v1::SendRequest) -> Result<(), Failure> {
        if let Some(id) = ClientMessageId::parse(&request.client_msg_id) {
            self.context.profile.note_sent(id)?;
        }
        Ok(())
    }

    /// What is left to keep; nothing is lost if it fails.
    fn finish(&mut self) {
        let stored = self.context.profile.save_sync(&self.device.snapshot());
        if let Err(error) = stored {
            self.context.output.note(&error.to_string());
        }
        self.state.names.save(&self.context.profile);
        if self.device.is_caught_up()
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
