//! Printing: JSON lines for scripts, aligned text for people. Remote text goes through [`text`] first.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::{failure::Failure, text};

/// How this command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    styled: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            styled: std::io::stdout().is_terminal() && styles_wanted(),
        }
    }

    /// Prints one of the two, and flushes it.
    pub(crate) fn print(
        self,
        json: impl FnOnce() -> Value,
        plain: impl FnOnce() -> String,
    ) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            writeln!(stdout, "{}", text::json(&json().to_string()))?;
        } else {
            writeln!(stdout, "{}", plain())?;
        }
        stdout.flush()
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if matches!(failure, Failure::OutputClosed | Failure::Signal(_)) {
            return;
        }
        if self.json {
            // Nothing is left to tell if this fails as well: the exit code says it.
            let _ = self.print(|| failure.to_json(), String::new);
        } else {
            self.note(&failure.message());
        }
    }

    /// A remark that is no result: standard error, for people.
    pub(crate) fn note(self, remark: &str) {
        let _ = writeln!(std::io::stderr(), "im: {}", text::line(remark));
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.styled {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether output may be more than plain characters: not where the person said so (<https://no-color.org>), and not
/// where the terminal can do nothing else.
pub(crate) fn styles_wanted() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_colour && !is_dumb_terminal()
}

/// A terminal that only prints one line after the other.
pub(crate) fn is_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|terminal| terminal.is_empty() || terminal == "dumb")
}
