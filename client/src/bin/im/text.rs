//! Remote text as it may reach a terminal or a script: one notation, which no text can imitate.
//!
//! It owns what is written in place of a character that acts, hides or leaves room. It must never let such a character
//! pass, and never change one that people can see.
//!
//! | in the text | what is written |
//! |---|---|
//! | newline, carriage return, tab | `\n`, `\r`, `\t` |
//! | a space at the beginning, at the end, or behind another one | `\s`; five and more of them `\S{12}` |
//! | any other blank, control, format or direction character | `\u{202e}` |
//! | a backslash that could be taken for one of these | `\\` |
//!
//! So two spaces side by side, a line's end and anything in front of a line are always this program's own.

use unicode_segmentation::UnicodeSegmentation;

/// Characters of what people see as one. The longest emoji have ten; what is longer is made to overflow its line.
const CLUSTER_CHARS_MAX: usize = 12;
/// Blanks in a row that are written one by one.
const BLANKS_SPELLED: usize = 4;

/// The whole text on one line.
pub(crate) fn line(text: &str) -> String {
    spell(text, Blanks::Counted)
}

/// A line each. Blanks inside are kept: for where something stands in front of every line that no text can reach.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    text.split('\n')
        .map(|line| spell(&line.replace('\t', "    "), Blanks::Kept))
        .collect()
}

/// One line of JSON with everything escaped that could act on a terminal or hide: JSON says the same either way.
pub(crate) fn json(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for character in line.chars() {
        if character >= '\u{7f}' && (acts(character) || is_blank(character)) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Blanks {
    Counted,
    Kept,
}

fn spell(text: &str, blanks: Blanks) -> String {
    let mut written = Written::default();
    let mut clusters = text.graphemes(true).peekable();
    while let Some(cluster) = clusters.next() {
        let following = clusters.peek().and_then(|cluster| cluster.chars().next());
        let mut characters = cluster.chars();
        let Some(base) = characters.next() else { continue };
        let is_space = base == ' ' && blanks == Blanks::Counted;
        if is_space {
            written.blanks += 1;
        } else {
            written.settle_blanks(false);
            written.character(base, blanks);
        }
        let rest: Vec<char> = characters.collect();
        let whole = base != ' ' && !acts(base) && !is_blank(base) && rest.len() < CLUSTER_CHARS_MAX;
        if !rest.is_empty() {
            written.settle_blanks(false);
        }
        for (index, character) in rest.iter().enumerate() {
            if whole && joins(base, *character, rest.get(index + 1).copied().or(following)) {
                written.push(character.encode_utf8(&mut [0; 4]));
            } else {
                written.character(*character, blanks);
            }
        }
        if rest.len() >= CLUSTER_CHARS_MAX {
            // Whatever is left of it hangs on nothing.
            written.text.push('\u{fffd}');
        }
    }
    written.settle_blanks(true);
    written.finish()
}

#[derive(Default)]
struct Written {
    text: String,
    /// Spaces that were read and not written.
    blanks: usize,
    /// A backslash of the text that nothing follows yet.
    backslash: bool,
}

impl Written {
    fn settle_blanks(&mut self, at_end: bool) {
        let blanks = std::mem::take(&mut self.blanks);
        if blanks == 0 {
            return;
        }
        let plain = usize::from(!at_end && !self.text.is_empty());
        if plain == 1 {
            self.push(" ");
        }
        match blanks - plain {
            spelled @ 0..=BLANKS_SPELLED => {
                for _ in 0..spelled {
                    self.push("\\s");
                }
            }
            counted => self.push(&format!("\\S{{{counted}}}")),
        }
    }

    fn character(&mut self, character: char, blanks: Blanks) {
        match character {
            '\n' => self.push("\\n"),
            '\r' => self.push("\\r"),
            '\t' => self.push("\\t"),
            '\\' => {
                self.push("\\");
                self.backslash = true;
            }
            '\u{3000}' | '\u{a0}' if blanks == Blanks::Kept => self.push(&character.to_string()),
            character if acts(character) || is_blank(character) => {
                self.push(&character.escape_unicode().to_string());
            }
            character => self.push(character.encode_utf8(&mut [0; 4])),
        }
    }

    fn push(&mut self, text: &str) {
        if std::mem::take(&mut self.backslash) && text.starts_with(['\\', 'n', 'r', 't', 's', 'S', 'u']) {
            self.text.push('\\');
        }
        self.text.push_str(text);
    }

    fn finish(mut self) -> String {
        if self.text.is_empty() {
            // Nothing is written where nothing was said.
            return String::new();
        }
        self.text.shrink_to_fit();
        self.text
    }
}

/// Whether a character that shows nothing by itself belongs to the visible one before it: in emoji and in scripts that
/// need it.
fn joins(base: char, character: char, next: Option<char>) -> bool {
    match character {
        // Keycaps: a digit, this, and the frame.
        '\u{fe0f}' if base.is_ascii() => next == Some('\u{20e3}'),
        '\u{fe0e}' | '\u{fe0f}' => true,
        '\u{200c}' | '\u{200d}' => {
            let is_letter = |next: char| !next.is_ascii() && !acts(next) && !is_blank(next);
            !base.is_ascii() && next.is_some_and(is_letter)
        }
        // Flags of regions hang on the black flag.
        '\u{e0020}'..='\u{e007f}' => base == '\u{1f3f4}',
        character => !acts(character) && !is_blank(character),
    }
}

/// Characters that act on a terminal or on the direction of writing, and those that show nothing at all.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Blanks other than the space.
const fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_or_hides_is_spelled_out() {
        for (text, written) in [
            ("a\u{1b}[31mb\r\u{7}c", "a\\u{1b}[31mb\\r\\u{7}c"),
            ("\u{202e}abc\u{9b}", "\\u{202e}abc\\u{9b}"),
            ("two\nlines\tand a \u{1F600}", "two\\nlines\\tand a \u{1F600}"),
            ("a b  c", "a b \\sc"),
            (" (taken back)", "\\s(taken back)"),
            ("end ", "end\\s"),
            ("a            b", "a \\S{11}b"),
            (" {12}", "\\s{12}"),
            ("C:\\new \\_(\u{30c4})_/", "C:\\\\new \\_(\u{30c4})_/"),
            ("\\\n", "\\\\\\n"),
            ("\\\\", "\\\\\\"),
            ("\u{3164}\u{200b}x\u{2800}", "\\u{3164}\\u{200b}x\\u{2800}"),
            ("bob\u{200d}", "bob\\u{200d}"),
            ("1\u{fe0f}\u{20e3}", "1\u{fe0f}\u{20e3}"),
            ("a\u{fe0f}", "a\\u{fe0f}"),
        ] {
            assert_eq!(line(text), written, "{text:?}");
        }
    }

    #[test]
    fn what_people_write_is_left_alone() {
        for text in [
            "\u{2764}\u{fe0f} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
            "\u{1f1e9}\u{1f1ea} \u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "\u{5d0}\u{5d1}\u{5d2} \u{4f60}\u{597d} na\u{69}\u{308}ve",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        ] {
            assert_eq!(line(text), text);
            assert_eq!(lines(text), [text]);
        }
    }

    #[test]
    fn lines_keep_their_indentation() {
        assert_eq!(lines("a\r\n    b\n\tc"), ["a", "    b", "    c"]);
        assert_eq!(lines("\u{1b}[2J"), ["\\u{1b}[2J"]);
    }

    #[test]
    fn json_stays_the_same_value() {
        let text = "\u{7f}\u{85}\u{9b}\u{202e}\u{2066}\u{e0041}\u{1f600}\u{4f60}";
        let escaped = json(&serde_json::json!(text).to_string());
        assert_eq!(
            escaped,
            "\"\\u007f\\u0085\\u009b\\u202e\\u2066\\udb40\\udc41\u{1f600}\u{4f60}\""
        );
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }

    /// Reads the notation back.
    fn read(written: &str) -> String {
        let mut text = String::new();
        let mut rest = written;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            if character != '\\' {
                text.push(character);
                continue;
            }
            let (length, meaning) = match rest.chars().next() {
                Some('n') => (1, "\n".to_owned()),
                Some('r') => (1, "\r".to_owned()),
                Some('t') => (1, "\t".to_owned()),
                Some('\\') => (1, "\\".to_owned()),
                Some('S') => {
                    let end = rest.find('}').unwrap();
                    (end + 1, " ".repeat(rest[2..end].parse().unwrap()))
                }
                Some('s') => (1, " ".to_owned()),
                Some('u') => {
                    let end = rest.find('}').unwrap();
                    let number = u32::from_str_radix(&rest[2..end], 16).unwrap();
                    (end + 1, char::from_u32(number).unwrap().to_string())
                }
                _ => (0, "\\".to_owned()),
            };
            text.push_str(&meaning);
            rest = &rest[length..];
        }
        text
    }

    proptest! {
        #[test]
        fn the_notation_can_be_read_back_and_imitates_nothing(
            text in "([a-c\\\\nsStu{}0-9 \n\t\u{200d}\u{202e}\u{a0}\u{1f600}\u{300}]|\\\\u\\{202e\\}){0,24}",
        ) {
            let written = line(&text);
            prop_assert!(!written.contains("  ") && !written.contains('\n'), "{:?}", written);
            prop_assert!(!written.starts_with(' ') && !written.ends_with(' '));
            if !written.contains('\u{fffd}') {
                prop_assert_eq!(read(&written), text);
            }
        }
    }
}
