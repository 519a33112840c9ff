//! The input line: text and a cursor in it.

/// Characters of a line; beyond it nothing is taken.
const CHARS_MAX: usize = 4_000;

/// Positions count characters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Line {
    characters: Vec<char>,
    cursor: usize,
}

impl Line {
    pub(crate) fn text(&self) -> String {
        self.characters.iter().collect()
    }

    /// What stands before the cursor.
    pub(crate) fn before_cursor(&self) -> String {
        self.characters.iter().take(self.cursor).collect()
    }

    pub(crate) fn set(&mut self, text: &str) {
        self.characters = text.chars().take(CHARS_MAX).collect();
        self.cursor = self.characters.len();
    }

    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.characters).into_iter().collect()
    }

    pub(crate) fn insert(&mut self, character: char) {
        if self.characters.len() < CHARS_MAX {
            self.characters.insert(self.cursor, character);
            self.cursor += 1;
        }
    }

    pub(crate) fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.characters.remove(self.cursor);
        }
    }

    pub(crate) fn delete(&mut self) {
        if self.cursor < self.characters.len() {
            self.characters.remove(self.cursor);
        }
    }

    pub(crate) const fn left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    pub(crate) fn right(&mut self) {
        self.cursor = (self.cursor + 1).min(self.characters.len());
    }

    pub(crate) const fn home(&mut self) {
        self.cursor = 0;
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.characters.len();
    }

    /// Removes the word before the cursor, with the space behind it.
    pub(crate) fn delete_word(&mut self) {
        let space_or_word = |line: &Self, wanted: bool| {
            let before = line.characters.get(..line.cursor).unwrap_or_default();
            before
                .last()
                .is_some_and(|character| character.is_whitespace() == wanted)
        };
        for wanted in [true, false] {
            while space_or_word(self, wanted) {
                self.backspace();
            }
        }
    }

    /// Removes everything before the cursor.
    pub(crate) fn delete_to_start(&mut self) {
        self.characters.drain(..self.cursor);
        self.cursor = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.set(text);
        line
    }

    #[test]
    fn characters_go_in_and_out_at_the_cursor() {
        let mut line = line("héllo");
        line.left();
        line.left();
        line.insert('x');
        assert_eq!(
            (line.text().as_str(), line.before_cursor().as_str()),
            ("hélxlo", "hélx")
        );
        line.backspace();
        line.delete();
        assert_eq!(line.text(), "hélo");
        line.home();
        line.backspace();
        line.left();
        line.delete();
        assert_eq!(line.text(), "élo");
        line.end();
        line.right();
        line.delete();
        line.insert('!');
        assert_eq!(line.take(), "élo!");
        assert_eq!(line, Line::default());
    }

    #[test]
    fn words_and_beginnings_are_removed_at_once() {
        let mut line = line("one two  ");
        line.delete_word();
        assert_eq!(line.text(), "one ");
        line.delete_word();
        line.delete_word();
        assert_eq!(line.text(), "");
        line.set("one two");
        for _ in 0..3 {
            line.left();
        }
        line.delete_to_start();
        assert_eq!((line.text().as_str(), line.before_cursor().as_str()), ("two", ""));
    }

    #[test]
    fn a_line_is_bounded() {
        let mut line = line(&"a".repeat(CHARS_MAX + 5));
        line.insert('b');
        assert_eq!(line.text().len(), CHARS_MAX);
    }
}
