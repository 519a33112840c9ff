//! The input line: text and a cursor in it, which moves by what people see as one character.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// Bytes of a line. What does not fit is refused as a whole.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// The cursor is a position in bytes, at a boundary of characters as people see them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Line {
    text: String,
    cursor: usize,
    /// Its beginning was pasted: it is text, whatever it looks like.
    literal: bool,
}

impl Line {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it is no command, whatever it begins with.
    pub(crate) const fn is_literal(&self) -> bool {
        self.literal
    }

    /// What stands before the cursor.
    pub(crate) fn before_cursor(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Replaces all of it.
    pub(crate) fn set(&mut self, text: &str, literal: bool) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
        self.literal = literal;
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Puts a word in place of what stands between `start` and the cursor; nothing happens where there is no room.
    pub(crate) fn complete(&mut self, start: usize, word: &str) {
        let Some(replaced) = self.cursor.checked_sub(start) else {
            return;
        };
        if self.text.len() - replaced + word.len() > LINE_BYTES_MAX || !self.text.is_char_boundary(start) {
            return;
        }
        self.text.replace_range(start..self.cursor, word);
        self.cursor = start + word.len();
        self.settle();
    }

    /// Whether there was room.
    pub(crate) fn insert(&mut self, character: char) -> bool {
        if self.text.len() + character.len_utf8() > LINE_BYTES_MAX {
            return false;
        }
        if self.cursor == 0 && character == '/' {
            self.literal = false;
        }
        self.text.insert(self.cursor, character);
        self.cursor += character.len_utf8();
        self.settle();
        true
    }

    /// Puts a paste in at the cursor; whether there was room. Nothing of it is ever obeyed.
    pub(crate) fn paste(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > LINE_BYTES_MAX {
            return false;
        }
        if self.before_cursor().trim().is_empty() {
            self.literal = true;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.settle();
        true
    }

    pub(crate) fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
        self.settle();
    }

    pub(crate) fn delete(&mut self) {
        let start = self.cursor;
        self.right();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
        self.settle();
    }

    pub(crate) fn left(&mut self) {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        self.cursor = cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0);
    }

    pub(crate) fn right(&mut self) {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        let next = cursor.next_boundary(&self.text, 0).ok().flatten();
        self.cursor = next.unwrap_or(self.text.len());
    }

    pub(crate) const fn home(&mut self) {
        self.cursor = 0;
    }

    pub(crate) const fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Removes the word before the cursor, with the space behind it.
    pub(crate) fn delete_word(&mut self) {
        for wanted in [true, false] {
            while self
                .before_cursor()
                .graphemes(true)
                .next_back()
                .is_some_and(|last| last.trim().is_empty() == wanted)
            {
                self.backspace();
            }
        }
    }

    /// Removes everything before the cursor.
    pub(crate) fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
        self.settle();
    }

    /// What was put in or left may have joined its neighbours.
    fn settle(&mut self) {
        if self.text.is_empty() {
            self.literal = false;
        }
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if cursor.is_boundary(&self.text, 0) == Ok(false) {
            self.right();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.set(text, false);
        line
    }

    #[test]
    fn characters_go_in_and_out_at_the_cursor() {
        let mut line = line("h\u{e9}llo");
        line.left();
        line.left();
        assert!(line.insert('x'));
        assert_eq!((line.text(), line.before_cursor()), ("h\u{e9}lxlo", "h\u{e9}lx"));
        line.backspace();
        line.delete();
        assert_eq!(line.text(), "h\u{e9}lo");
        line.home();
        line.backspace();
        line.left();
        line.delete();
        assert_eq!(line.text(), "\u{e9}lo");
        line.end();
        line.right();
        line.delete();
        line.insert('!');
        assert_eq!(line.take().text(), "\u{e9}lo!");
        assert_eq!(line, Line::default());
    }

    #[test]
    fn what_people_see_as_one_character_goes_as_one() {
        for one in [
            "\u{2764}\u{fe0f}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
            "\u{1f1e9}\u{1f1ea}",
            "e\u{301}",
            "\u{928}\u{93f}",
        ] {
            let mut line = line(&format!("a{one}b"));
            line.left();
            line.backspace();
            assert_eq!(line.text(), "ab", "{one:?}");
            line.insert_all(one);
            line.left();
            line.delete();
            assert_eq!(line.text(), "ab", "{one:?}");
        }
    }

    impl Line {
        fn insert_all(&mut self, text: &str) {
            for character in text.chars() {
                self.insert(character);
            }
        }
    }

    #[test]
    fn words_and_beginnings_are_removed_at_once() {
        let mut line = line("one two  ");
        line.delete_word();
        assert_eq!(line.text(), "one ");
        line.delete_word();
        line.delete_word();
        assert_eq!(line.text(), "");
        line.set("one two", false);
        for _ in 0..3 {
            line.left();
        }
        line.delete_to_start();
        assert_eq!((line.text(), line.before_cursor()), ("two", ""));
    }

    #[test]
    fn what_does_not_fit_is_refused_as_a_whole() {
        let mut line = line("kept");
        assert!(!line.paste(&"a".repeat(LINE_BYTES_MAX)));
        assert_eq!(line.text(), "kept");
        line.set(&"a".repeat(LINE_BYTES_MAX), false);
        assert!(!line.insert('b'));
    }

    #[test]
    fn a_paste_at_the_beginning_is_no_command_until_one_is_typed() {
        let mut line = Line::default();
        line.paste("/leave");
        assert!(line.is_literal());
        line.delete_to_start();
        assert!(!line.is_literal());
        line.insert(' ');
        line.paste("/leave");
        assert!(line.is_literal());
        line.home();
        line.insert('/');
        assert!(!line.is_literal());
        line.set("/msg @bob ", false);
        line.paste("/leave");
        assert!(!line.is_literal());
    }
}
