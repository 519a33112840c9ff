//! The terminal: its modes, its keyboard, and the signals that concern them.
//!
//! It owns that the terminal is given back as it was found, however the program ends or stops. It must never leave it
//! raw, and never act on what is typed.

mod keys;

use std::{
    io::{IsTerminal, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use ratatui::crossterm::{
    cursor::Show,
    event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use signal_hook::{
    consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH},
    flag, low_level,
};

use crate::failure::Failure;

pub(crate) use self::keys::{Decoder, Input};

/// Pieces of input that wait to be understood.
const PIECES_MAX: usize = 64;
/// Bytes read at once.
const READ_BYTES: usize = 4_096;
/// How long a lone escape waits for what it may begin.
const ESCAPE_WAIT: Duration = Duration::from_millis(50);
/// How often a prompt looks for signals.
const PROMPT_WAIT: Duration = Duration::from_millis(30);

/// Standard input, read by a thread of its own: reading blocks, and nothing else may.
#[derive(Debug)]
pub(crate) struct Keyboard {
    pieces: Receiver<Vec<u8>>,
    decoder: Decoder,
    marks: Option<PasteMarks>,
}

/// The terminal marks what is pasted, until this is dropped.
#[derive(Debug)]
struct PasteMarks;

impl Drop for PasteMarks {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = execute!(std::io::stdout(), DisableBracketedPaste);
    }
}

impl Keyboard {
    pub(crate) fn open() -> Result<Self, Failure> {
        let (queue, pieces) = bounded(PIECES_MAX);
        let spawned = thread::Builder::new()
            .name("im-keyboard".to_owned())
            .spawn(move || {
                let mut buffer = [0; READ_BYTES];
                loop {
                    let piece = match std::io::stdin().read(&mut buffer) {
                        Ok(bytes @ 1..) => buffer.get(..bytes).unwrap_or_default().to_vec(),
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                        Ok(_) | Err(_) => return,
                    };
                    if queue.send(piece).is_err() {
                        return;
                    }
                }
            });
        spawned.map_err(|error| Failure::Profile(error.to_string()))?;
        Ok(Self {
            pieces,
            decoder: Decoder::default(),
            marks: None,
        })
    }

    /// Lines of standard input, whatever that is; where it is a terminal, that marks what is pasted.
    pub(crate) fn of_lines() -> Result<Self, Failure> {
        let mut keyboard = Self::open()?;
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            execute!(std::io::stdout(), EnableBracketedPaste)?;
            keyboard.marks = Some(PasteMarks);
        }
        keyboard.decoder.lines = true;
        Ok(keyboard)
    }

    /// What was typed, pasted or seen by `wait` at the latest.
    pub(crate) fn next(&mut self, wait: Duration) -> Vec<Input> {
        match self.pieces.recv_timeout(wait) {
            Ok(piece) => {
                let mut inputs = self.decoder.take(&piece);
                while let Ok(piece) = self.pieces.try_recv() {
                    inputs.extend(self.decoder.take(&piece));
                }
                inputs
            }
            Err(RecvTimeoutError::Timeout) if wait >= ESCAPE_WAIT.min(PROMPT_WAIT) => {
                self.decoder.settle().into_iter().collect()
            }
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => vec![Input::End],
        }
    }
}

/// Signals as flags that the program's own thread looks at.
#[derive(Debug)]
pub(crate) struct Signals {
    ending: Vec<(i32, Arc<AtomicBool>)>,
    stop: Arc<AtomicBool>,
    redraw: [Arc<AtomicBool>; 2],
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    End(i32),
    Stop,
    /// It went on after a stop that cannot be noticed.
    Continued,
    Resized,
}

impl Signals {
    pub(crate) fn take() -> Result<Self, Failure> {
        let watch = |signal| -> Result<Arc<AtomicBool>, Failure> {
            let raised = Arc::new(AtomicBool::new(false));
            flag::register(signal, Arc::clone(&raised))
                .map_err(|error| Failure::Profile(error.to_string()))?;
            Ok(raised)
        };
        let ending = [SIGTERM, SIGINT, SIGHUP, SIGQUIT];
        Ok(Self {
            ending: ending
                .into_iter()
                .map(|signal| Ok((signal, watch(signal)?)))
                .collect::<Result<_, Failure>>()?,
            stop: watch(SIGTSTP)?,
            redraw: [watch(SIGCONT)?, watch(SIGWINCH)?],
        })
    }

    /// The next one that has come.
    pub(crate) fn next(&self) -> Option<Signal> {
        let raised = |flag: &AtomicBool| flag.swap(false, Ordering::Relaxed);
        let ending = self.ending.iter().find(|(_, flag)| raised(flag));
        if let Some((signal, _)) = ending {
            return Some(Signal::End(*signal));
        }
        let [continued, resized] = &self.redraw;
        [
            (&self.stop, Signal::Stop),
            (continued, Signal::Continued),
            (resized, Signal::Resized),
        ]
        .into_iter()
        .find(|(flag, _)| raised(flag))
        .map(|(_, signal)| signal)
    }
}

/// The full screen. Dropped, it gives the terminal back.
#[derive(Debug)]
pub(crate) struct Screen(());

impl Screen {
    pub(crate) fn enter() -> Result<Self, Failure> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
        let screen = Self(());
        take_over()?;
        Ok(screen)
    }

    /// Stops the program as a shell expects, and goes on when that lets it.
    pub(crate) fn stop(&self) -> Result<(), Failure> {
        give_back();
        low_level::emulate_default_handler(SIGTSTP)?;
        Ok(take_over()?)
    }

    /// Takes the terminal again from whoever had it meanwhile.
    pub(crate) fn take_again(&self) -> Result<(), Failure> {
        give_back();
        Ok(take_over()?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> std::io::Result<()> {
    enable_raw_mode()?;
    execute!(
        std::io::stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        EnableFocusChange
    )
}

/// As far as it can be done: the terminal may be gone.
fn give_back() {
    let _ = execute!(
        std::io::stdout(),
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

/// Ends the program as the signal would have by itself, so that whoever started it sees why.
pub(crate) fn end_by(signal: i32) {
    // Where that is not possible the program ends with its exit code.
    let _ = low_level::emulate_default_handler(signal);
}

/// Bytes of a password that are taken.
const PASSWORD_BYTES_MAX: usize = 4_096;

/// Asks for passwords, one after the other, without showing them.
///
/// # Errors
/// There is no terminal, or the person gave up.
pub(crate) fn passwords<const N: usize>(prompts: [&str; N]) -> Result<[String; N], Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "no password: standard input is no terminal; set IM_PASSWORD".to_owned(),
        ));
    }
    let signals = Signals::take()?;
    let mut keyboard = Keyboard::open()?;
    let mut passwords = std::array::from_fn(|_| String::new());
    // What was typed ahead.
    let mut inputs = std::collections::VecDeque::new();
    enable_raw_mode()?;
    let _raw = Raw;
    for (prompt, password) in prompts.iter().zip(&mut passwords) {
        write!(std::io::stderr(), "{prompt}")?;
        loop {
            match signals.next() {
                Some(Signal::End(signal)) => return Err(Failure::Signal(signal)),
                Some(Signal::Stop) => {
                    disable_raw_mode()?;
                    low_level::emulate_default_handler(SIGTSTP)?;
                    enable_raw_mode()?;
                    write!(std::io::stderr(), "\r\n{prompt}")?;
                }
                _ => {}
            }
            let Some(input) = inputs.pop_front() else {
                inputs.extend(keyboard.next(PROMPT_WAIT));
                continue;
            };
            if type_password(password, &input)? {
                break;
            }
        }
        write!(std::io::stderr(), "\r\n")?;
    }
    Ok(passwords)
}

/// Whether the password is complete.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a key that means nothing here does nothing"
)]
fn type_password(password: &mut String, input: &Input) -> Result<bool, Failure> {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    let given_up = || Failure::Usage("no password was given".to_owned());
    match input {
        Input::Key(event) if event.modifiers.contains(KeyModifiers::CONTROL) => match event.code {
            KeyCode::Char('c') => return Err(Failure::Signal(SIGINT)),
            KeyCode::Char('d') => return Err(given_up()),
            KeyCode::Char('u') => password.clear(),
            _ => {}
        },
        Input::Key(event) => match event.code {
            KeyCode::Enter => return Ok(true),
            KeyCode::Backspace => drop(password.pop()),
            KeyCode::Char(character) if password.len() < PASSWORD_BYTES_MAX => password.push(character),
            _ => {}
        },
        Input::Paste(text) => {
            let (first, ended) = text
                .split_once('\n')
                .map_or((text.as_str(), false), |(first, _)| (first, true));
            password.push_str(first);
            return Ok(ended);
        }
        Input::PasteTooLong(_) | Input::Focus(_) => {}
        Input::End => return Err(given_up()),
    }
    Ok(false)
}

struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = disable_raw_mode();
    }
}
