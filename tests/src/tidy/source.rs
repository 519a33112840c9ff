//! Rust source without what is not code: comments, strings and characters become spaces, lines stay lines.
//!
//! This is a reader for rules of thumb, not a parser: it knows just enough of the lexical structure never to take
//! a comment or a string for code.

/// The code of `text`, everything else blanked. The result has the same lines.
pub(super) fn code(text: &str) -> String {
    let mut reader = Reader {
        rest: text,
        code: String::with_capacity(text.len()),
    };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.code
}

/// Whether `word` stands in `code` as a word of its own, and not as a part of a longer name.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

struct Reader<'a> {
    rest: &'a str,
    code: String,
}

impl Reader<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some(length) = raw_string(self.rest).filter(|_| !self.inside_word()) {
            self.blank(length);
        } else if self.rest.starts_with('"') {
            self.blank(quoted(self.rest, '"'));
        } else if self.rest.starts_with('\'') && is_character(self.rest) {
            self.blank(quoted(self.rest, '\''));
        } else {
            self.keep();
        }
    }

    /// Whether the last thing kept is a part of a name, as the `r` of `for"` cannot begin a raw string.
    fn inside_word(&self) -> bool {
        self.code
            .chars()
            .next_back()
            .is_some_and(|last| last.is_alphanumeric() || last == '_')
    }

    fn keep(&mut self) {
        let mut characters = self.rest.chars();
        self.code.extend(characters.next());
        self.rest = characters.as_str();
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.code.extend(
            gone.chars()
                .map(|character| if character == '\n' { '\n' } else { ' ' }),
        );
        self.rest = rest;
    }
}

/// The length of the block comment at the start; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the raw string at the start, if there is one: `r"…"`, `br#"…"#`, `cr##"…"##`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix("cr"))
        .or_else(|| text.strip_prefix('r'))?;
    let body = after.trim_start_matches('#');
    let fence = &after[..after.len() - body.len()];
    let body = body.strip_prefix('"')?;
    let end = format!("\"{fence}");
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// The length of the string or character at the start, which may contain escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Whether the quote at the start begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_code_is_blanked() {
        let table = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */\n d */ e", "a             \n      e"),
            (r#"a "b \" c" d"#, "a          d"),
            ("a r\"b\\\" c", "a       c"),
            ("a br##\"b\"# c\"## d", "a               d"),
            ("'x' 'a \\'", "    'a \\'"),
            ("'\\'' a", "     a"),
            ("for\"b\"", "for   "),
            ("r#type b", "r#type b"),
            ("\"unfinished", "           "),
        ];
        for (text, expected) in table {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert!(has_word("a ignore]", "ignore"));
        assert!(!has_word("ignored_unit ignore_me _ignore", "ignore"));
        assert!(!has_word("", "ignore"));
    }
}
