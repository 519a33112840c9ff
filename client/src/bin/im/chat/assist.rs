//! What helps to write a line: the rest of a command or of a name, and the lines that were entered before.
//! It must never change a line unless a key asked for it, and never bring a line of one conversation into another.

use std::collections::{BTreeMap, VecDeque};

use super::{command::HELP, input::Line};

/// Lines of a conversation that are kept, at most.
const ENTERED_MAX: usize = 100;
/// Bytes of a line that is kept, at most.
const ENTERED_BYTES_MAX: usize = 4_096;

/// What helps, and how far it has got.
#[derive(Debug, Default)]
pub(super) struct Assist {
    /// Goes on with each Tab; any other key ends it.
    pub(super) completing: Option<Completion>,
    entered: BTreeMap<u64, Entered>,
}

impl Assist {
    /// A line of this conversation was entered.
    pub(super) fn entered(&mut self, conversation: u64, line: &Line) {
        let entered = self.entered.entry(conversation).or_default();
        entered.at = None;
        let is_kept = !line.is_empty() && line.text().len() <= ENTERED_BYTES_MAX;
        if !is_kept || entered.lines.back() == Some(line) {
            return;
        }
        if entered.lines.len() >= ENTERED_MAX {
            entered.lines.pop_front();
        }
        entered.lines.push_back(line.clone());
    }

    /// The line before or after the one that is shown, or back to what was being written. `None`: there is no other.
    pub(super) fn look_back(&mut self, conversation: u64, present: &Line, earlier: bool) -> Option<Line> {
        self.entered.get_mut(&conversation)?.look_back(present, earlier)
    }
}

/// The lines entered in one conversation.
#[derive(Debug, Default)]
struct Entered {
    lines: VecDeque<Line>,
    /// The one that is shown, and what was being written before.
    at: Option<(usize, Line)>,
}

impl Entered {
    fn look_back(&mut self, present: &Line, earlier: bool) -> Option<Line> {
        let (index, written) = match (self.at.take(), earlier) {
            (None, true) => (self.lines.len().checked_sub(1), present.clone()),
            (None, false) => return None,
            (Some((0, written)), true) => (Some(0), written),
            (Some((index, written)), true) => (index.checked_sub(1), written),
            (Some((index, written)), false) if index + 1 < self.lines.len() => (Some(index + 1), written),
            (Some((_, written)), false) => return Some(written),
        };
        let index = index?;
        let line = self.lines.get(index)?.clone();
        self.at = Some((index, written));
        Some(line)
    }
}

/// A word that is being completed.
#[derive(Debug)]
pub(super) struct Completion {
    /// Where the word begins.
    pub(super) start: usize,
    candidates: Vec<String>,
    next: usize,
}

impl Completion {
    /// Of the word before the cursor: a command at the beginning of the line, or a name after an `@`. `None` where it is
    /// neither; without candidates where none begins so.
    pub(super) fn of<'n>(line: &Line, names: impl Iterator<Item = &'n str>) -> Option<Self> {
        let before = line.before_cursor();
        let space = before.char_indices().rfind(|(_, letter)| letter.is_whitespace());
        let start = space.map_or(0, |(at, letter)| at + letter.len_utf8());
        let word = before.get(start..)?;
        let mut candidates: Vec<String> = if let Some(beginning) = word.strip_prefix('@') {
            let beginning = beginning.to_lowercase();
            let fitting = names.filter(|name| name.to_lowercase().starts_with(&beginning));
            fitting.map(|name| format!("@{name} ")).collect()
        } else if let Some(beginning) = word
            .strip_prefix('/')
            .filter(|_| start == 0 && !line.is_literal())
        {
            let fitting = commands().filter(|name| name.starts_with(beginning));
            fitting.map(|name| format!("/{name} ")).collect()
        } else {
            return None;
        };
        candidates.sort_unstable();
        candidates.dedup();
        Some(Self {
            start,
            candidates,
            next: 0,
        })
    }

    /// The next candidate, the first one after the last.
    pub(super) fn next(&mut self) -> Option<&str> {
        let candidate = self.candidates.get(self.next)?;
        self.next = (self.next + 1) % self.candidates.len();
        Some(candidate)
    }
}

/// The names of all commands.
fn commands() -> impl Iterator<Item = &'static str> {
    let listed = HELP.iter().filter_map(|(what, _)| what.strip_prefix('/'));
    let names = listed.filter_map(|what| what.split([' ', ',']).next());
    names.filter(|name| !name.starts_with('/')).chain(["help"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.set(text, false);
        line
    }

    fn all(text: &str) -> Option<Vec<String>> {
        let mut completion = Completion::of(&line(text), ["bob", "Bert", "anna"].into_iter())?;
        let count = completion.candidates.len();
        Some(
            (0..count)
                .filter_map(|_| completion.next().map(str::to_owned))
                .collect(),
        )
    }

    #[test]
    fn commands_and_names_are_completed_and_nothing_else() {
        let some = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(all("/re"), some(&["/react ", "/recall ", "/reply ", "/retry "]));
        assert_eq!(all("/h"), some(&["/help "]));
        assert_eq!(all("/msg @b"), some(&["@Bert ", "@bob "]));
        assert_eq!(all("hello @AN"), some(&["@anna "]));
        assert_eq!(all("/zzz"), some(&[]));
        for text in ["", "hello", "a/re", "say /re", "b@"] {
            assert_eq!(all(text), None, "{text}");
        }
        let mut pasted = Line::default();
        pasted.paste("/re");
        assert!(Completion::of(&pasted, std::iter::empty()).is_none());
    }

    #[test]
    fn entered_lines_come_back_in_their_own_conversation() {
        let mut assist = Assist::default();
        for text in ["one", "two", "two"] {
            assist.entered(7, &line(text));
        }
        assist.entered(8, &line("elsewhere"));
        let mut shown = line("three");
        let mut step = |earlier, expected: Option<&str>| {
            let found = assist.look_back(7, &shown, earlier);
            assert_eq!(found.as_ref().map(Line::text), expected);
            if let Some(found) = found {
                shown = found;
            }
        };
        step(false, None);
        step(true, Some("two"));
        step(true, Some("one"));
        step(true, Some("one"));
        step(false, Some("two"));
        step(false, Some("three"));
        step(false, None);
        for number in 0..2 * ENTERED_MAX {
            assist.entered(7, &line(&number.to_string()));
        }
        assert_eq!(assist.entered[&7].lines.len(), ENTERED_MAX);
        assert!(assist.look_back(9, &line(""), true).is_none());
    }
}
