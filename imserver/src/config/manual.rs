//! The configuration as a file for people: every key with its value and what it means. `docs/OPERATIONS.md` has the
//! default, and so does `imserver --print-config`.

use std::fmt::Write;

use super::{Config, Key, Section, Setting};

/// Characters in a line, at most.
const COLUMNS: usize = 120;
/// Where comments begin, unless a longer key pushes its section's further.
const COMMENT_COLUMN: usize = 28;

impl Config {
    /// A file that sets every key to what it is now. URLs are without their passwords.
    pub fn to_manual(&self) -> String {
        let mut parts: Vec<String> = self.sections().iter().map(Section::to_manual).collect();
        parts.push(self.listen.to_manual());
        parts.join("\n")
    }
}

impl Section {
    fn to_manual(&self) -> String {
        let longest = self.keys.iter().map(|key| key.assignment().len()).max();
        let column = longest.map_or(0, |longest| longest + 2).max(COMMENT_COLUMN);
        let mut manual = commented(&format!("[{}]", self.name), self.about, column);
        for key in &self.keys {
            if !key.above.is_empty() {
                let _ = writeln!(manual, "# {}", key.above);
            }
            manual += &commented(&key.assignment(), &key.comment(), column);
        }
        manual
    }
}

impl Key {
    fn assignment(&self) -> String {
        match &self.setting {
            Setting::Words(literal) => format!("{} = {literal}", self.name),
            Setting::Number(value, _) => format!("{} = {value}", self.name),
        }
    }

    fn comment(&self) -> String {
        match self.taken_by {
            Some(signal) => format!("{} ({signal})", self.about),
            None => self.about.to_owned(),
        }
    }
}

/// A line with a comment, which goes on below itself where it is long.
fn commented(line: &str, comment: &str, column: usize) -> String {
    let mut manual = format!("{line:column$}#");
    let mut used = column + 1;
    for word in comment.split(' ') {
        if used + 1 + word.len() > COLUMNS {
            let _ = write!(manual, "\n{:column$}#", "");
            used = column + 1;
        }
        let _ = write!(manual, " {word}");
        used += 1 + word.len();
    }
    manual.push('\n');
    manual
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block of the operator's manual.
    fn documented() -> &'static str {
        let manual = include_str!("../../../docs/OPERATIONS.md");
        let (_, rest) = manual.split_once("```toml\n").unwrap();
        rest.split_once("```").unwrap().0
    }

    #[test]
    fn the_manual_has_every_key_with_its_default() {
        let manual = Config::default().to_manual();
        assert!(
            documented() == manual,
            "the block in docs/OPERATIONS.md must be:\n\n{manual}"
        );
    }

    #[test]
    fn the_manual_is_a_file_that_sets_what_it_shows() {
        assert_eq!(Config::parse(documented()).unwrap(), Config::default());
        // Words, a number, a list and a path that are not the default.
        let other = Config::parse(
            "[log]\nlevel = \"trace\"\nformat = \"json\"\nfile = \"a \\\"b\\\"\"\n[redis]\nhints = \"streams\"\n\
             [store]\nurl = \"sqlite:/im.db\"\nfailover = \"lossless\"\n[groups]\nmembers = 7\n\
             [limits]\nexempt = [\"::/64\", \"10.0.0.0/8\"]\n",
        )
        .unwrap();
        assert_ne!(other, Config::default());
        assert_eq!(Config::parse(&other.to_manual()).unwrap(), other);
    }

    #[test]
    fn no_line_is_too_long_and_no_password_is_shown() {
        let mut config = Config::default();
        config.redis.url = "redis://:secret@cache:6379/2".into();
        config.store.url = "postgres://ann:secret@db/im?password=secret".parse().unwrap();
        let manual = config.to_manual();
        assert!(!manual.contains("secret"), "{manual}");
        assert!(manual.contains("redis://cache:6379/2") && manual.contains("postgres://db/im"));
        for line in manual.lines() {
            assert!(line.len() <= COLUMNS, "{line}");
        }
    }
}
