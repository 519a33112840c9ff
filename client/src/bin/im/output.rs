//! Printing: JSON lines for scripts, aligned text for people, remote text made harmless.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;

/// How this command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour }
    }

    /// Prints one of the two, and flushes it.
    pub(crate) fn print(
        self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            writeln!(stdout, "{}", json())?;
        } else {
            writeln!(stdout, "{}", text())?;
        }
        stdout.flush()
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if matches!(failure, Failure::OutputClosed) {
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
    pub(crate) fn note(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "im: {}", harmless(text));
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Remote text as it may reach a terminal: control characters and those that turn the direction of
/// writing are shown as what they are, instead of acting.
pub(crate) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => safe.push(character),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{FEFF}' => {
                safe.extend(character.escape_unicode());
            }
            character if character.is_control() => safe.extend(character.escape_unicode()),
            character => safe.push(character),
        }
    }
    safe
}

/// The same on one line.
pub(crate) fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', "\u{23CE}").replace('\t', " ")
}

/// `14:03` of a time in milliseconds since 1970, in UTC.
pub(crate) fn clock(at_ms: u64) -> String {
    let minutes = at_ms / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// `2026-11-21 14:03` of a time in milliseconds since 1970, in UTC.
pub(crate) fn date_and_clock(at_ms: u64) -> String {
    let (year, month, day) = civil(at_ms / 86_400_000);
    format!("{year:04}-{month:02}-{day:02} {}", clock(at_ms))
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar: counted in years that begin
/// in March, so that the leap day comes last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0 / 146_097;
    let day_of_era = since_march_of_year_0 % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\r\u{7}c"), "a\\u{1b}[31mb\\u{d}\\u{7}c");
        assert_eq!(harmless("\u{202e}abc\u{9b}"), "\\u{202e}abc\\u{9b}");
        assert_eq!(
            harmless("two\nlines\tand a \u{1F600}"),
            "two\nlines\tand a \u{1F600}"
        );
        assert_eq!(harmless_line("two\nlines"), "two\u{23CE}lines");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(date_and_clock(0), "1970-01-01 00:00");
        assert_eq!(date_and_clock(951_827_640_000), "2000-02-29 12:34");
        assert_eq!(date_and_clock(1_795_232_619_000), "2026-11-21 03:43");
        assert_eq!(date_and_clock(4_102_444_799_000), "2099-12-31 23:59");
    }
}
