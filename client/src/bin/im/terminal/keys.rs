//! What a terminal sends, understood: keys, pastes, focus. A state machine of bytes; any cut of them gives the same.
//!
//! It owns the difference between typed and pasted. It must never take a paste for keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Bytes of a paste that are kept; what is longer is refused as a whole.
pub(crate) const PASTE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a control sequence; what is longer is none.
const SEQUENCE_BYTES_MAX: usize = 64;
/// Keys at once with a line's end among them: nobody types so, it is a paste that the terminal did not mark.
const BURST_KEYS: usize = 16;

const PASTE_END: &[u8] = b"\x1b[201~";

/// One thing that happened at the terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Input {
    Key(KeyEvent),
    Paste(String),
    /// So many bytes were pasted, and none of them is kept.
    PasteTooLong(usize),
    Focus(bool),
    /// The terminal is gone.
    End,
}

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pending: Vec<u8>,
    paste: Option<Paste>,
    /// Input comes line by line: then many keys at once mean nothing.
    pub(super) lines: bool,
}

#[derive(Debug, Default)]
struct Paste {
    text: Vec<u8>,
    bytes: usize,
}

enum Step {
    Incomplete,
    Consumed(usize, Option<Input>),
}

impl Decoder {
    /// Takes what arrived at once, and says what it means.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Input> {
        self.pending.extend_from_slice(bytes);
        let mut inputs = Vec::new();
        while !self.pending.is_empty() {
            if self.paste.is_some() {
                match self.take_paste() {
                    Some(input) => inputs.push(input),
                    None => break,
                }
                continue;
            }
            match step(&self.pending) {
                Step::Incomplete => break,
                Step::Consumed(bytes, input) => {
                    let is_paste = self.pending.get(..bytes) == Some(b"\x1b[200~".as_slice());
                    self.pending.drain(..bytes);
                    if is_paste {
                        self.paste = Some(Paste::default());
                    }
                    inputs.extend(input);
                }
            }
        }
        if self.lines {
            inputs
        } else {
            unmarked_paste(inputs)
        }
    }

    /// Nothing followed for a while: what is left is what it is.
    pub(crate) fn settle(&mut self) -> Option<Input> {
        if self.paste.is_some() || self.pending.is_empty() {
            return None;
        }
        let escape = self.pending == [0x1b];
        self.pending.clear();
        escape.then(|| key(KeyCode::Esc, KeyModifiers::NONE))
    }

    fn take_paste(&mut self) -> Option<Input> {
        let end = self
            .pending
            .windows(PASTE_END.len())
            .position(|window| window == PASTE_END);
        let paste = self.paste.as_mut()?;
        // Short of the end, its first bytes may be here already.
        let until = end.unwrap_or_else(|| self.pending.len().saturating_sub(PASTE_END.len() - 1));
        let text = self.pending.drain(..until);
        paste.bytes += until;
        if paste.bytes <= PASTE_BYTES_MAX {
            paste.text.extend(text);
        } else {
            drop(text);
            paste.text = Vec::new();
        }
        end?;
        self.pending.drain(..PASTE_END.len());
        let paste = self.paste.take()?;
        Some(if paste.bytes > PASTE_BYTES_MAX {
            Input::PasteTooLong(paste.bytes)
        } else {
            Input::Paste(lines_of(&String::from_utf8_lossy(&paste.text)))
        })
    }
}

/// Terminals send a carriage return for a line's end.
fn lines_of(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn unmarked_paste(inputs: Vec<Input>) -> Vec<Input> {
    let character = |input: &Input| match input {
        Input::Key(KeyEvent {
            code: KeyCode::Char(character),
            modifiers: KeyModifiers::NONE,
            ..
        }) => Some(*character),
        Input::Key(KeyEvent {
            code: KeyCode::Enter, ..
        }) => Some('\n'),
        Input::Key(KeyEvent {
            code: KeyCode::Tab, ..
        }) => Some('\t'),
        Input::Key(_) | Input::Paste(_) | Input::PasteTooLong(_) | Input::Focus(_) | Input::End => None,
    };
    let text: Option<String> = inputs.iter().map(character).collect();
    match text {
        Some(text) if inputs.len() >= BURST_KEYS && text.trim_end_matches('\n').contains('\n') => {
            vec![Input::Paste(text)]
        }
        _ => inputs,
    }
}

fn step(bytes: &[u8]) -> Step {
    let alt = |step| match step {
        Step::Consumed(length, input) => Step::Consumed(
            length + 1,
            input.map(|input| match input {
                Input::Key(event) => key(event.code, event.modifiers | KeyModifiers::ALT),
                other @ (Input::Paste(_) | Input::PasteTooLong(_) | Input::Focus(_) | Input::End) => other,
            }),
        ),
        Step::Incomplete => Step::Incomplete,
    };
    match bytes {
        [] | [0x1b] => Step::Incomplete,
        [0x1b, b'[', rest @ ..] => control_sequence(rest),
        [0x1b, b'O'] => Step::Incomplete,
        [0x1b, b'O', last, ..] => Step::Consumed(3, named(*last, KeyModifiers::NONE)),
        [0x1b, 0x1b, ..] => Step::Consumed(1, Some(key(KeyCode::Esc, KeyModifiers::NONE))),
        [0x1b, rest @ ..] => alt(character(rest)),
        bytes => character(bytes),
    }
}

fn control_sequence(rest: &[u8]) -> Step {
    let Some(length) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return if rest.len() > SEQUENCE_BYTES_MAX {
            Step::Consumed(rest.len() + 2, None)
        } else {
            Step::Incomplete
        };
    };
    let parameters = std::str::from_utf8(rest.get(..length).unwrap_or_default()).unwrap_or_default();
    let mut numbers = parameters
        .split(';')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let first = numbers.next().unwrap_or(0);
    let modifiers = match numbers.next() {
        Some(number @ 2..) => modifiers(number - 1),
        _ => KeyModifiers::NONE,
    };
    let input = match rest.get(length) {
        Some(b'I') => Some(Input::Focus(true)),
        Some(b'O') => Some(Input::Focus(false)),
        Some(b'Z') => Some(key(KeyCode::BackTab, modifiers)),
        Some(b'~') => match first {
            1 | 7 => Some(key(KeyCode::Home, modifiers)),
            3 => Some(key(KeyCode::Delete, modifiers)),
            4 | 8 => Some(key(KeyCode::End, modifiers)),
            5 => Some(key(KeyCode::PageUp, modifiers)),
            6 => Some(key(KeyCode::PageDown, modifiers)),
            11 => Some(key(KeyCode::F(1), modifiers)),
            _ => None,
        },
        Some(last) => named(*last, modifiers),
        None => None,
    };
    Step::Consumed(length + 3, input)
}

fn modifiers(bits: u32) -> KeyModifiers {
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
    ] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    modifiers
}

fn named(last: u8, modifiers: KeyModifiers) -> Option<Input> {
    let code = match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        b'P' => KeyCode::F(1),
        b'M' => KeyCode::Enter,
        _ => return None,
    };
    Some(key(code, modifiers))
}

fn character(bytes: &[u8]) -> Step {
    let Some(first) = bytes.first().copied() else {
        return Step::Incomplete;
    };
    let length = match first {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return Step::Consumed(1, None),
    };
    let Some(bytes) = bytes.get(..length) else {
        return Step::Incomplete;
    };
    let Some(character) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.chars().next())
    else {
        return Step::Consumed(1, None);
    };
    let plain = |code| Some(key(code, KeyModifiers::NONE));
    let input = match character {
        '\r' => plain(KeyCode::Enter),
        // What Ctrl-J and some terminals' Shift-Enter send: another line.
        '\n' => Some(key(KeyCode::Enter, KeyModifiers::ALT)),
        '\t' => plain(KeyCode::Tab),
        '\u{7f}' | '\u{8}' => plain(KeyCode::Backspace),
        '\u{1}'..='\u{1a}' => {
            let letter = char::from(b'a' + (first - 1));
            Some(key(KeyCode::Char(letter), KeyModifiers::CONTROL))
        }
        character if character.is_control() => None,
        character => plain(KeyCode::Char(character)),
    };
    Step::Consumed(length, input)
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Key(KeyEvent::new(code, modifiers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(code: KeyCode) -> Input {
        key(code, KeyModifiers::NONE)
    }

    #[test]
    fn keys_are_what_terminals_send_for_them() {
        let ctrl = |letter| key(KeyCode::Char(letter), KeyModifiers::CONTROL);
        for (bytes, input) in [
            (&b"a"[..], plain(KeyCode::Char('a'))),
            ("\u{4f60}".as_bytes(), plain(KeyCode::Char('\u{4f60}'))),
            (b"\r", plain(KeyCode::Enter)),
            (b"\x1b\r", key(KeyCode::Enter, KeyModifiers::ALT)),
            (b"\x7f", plain(KeyCode::Backspace)),
            (b"\x03", ctrl('c')),
            (b"\x1a", ctrl('z')),
            (b"\x1b[A", plain(KeyCode::Up)),
            (b"\x1bOH", plain(KeyCode::Home)),
            (b"\x1b[1;5D", key(KeyCode::Left, KeyModifiers::CONTROL)),
            (b"\x1b[5~", plain(KeyCode::PageUp)),
            (b"\x1b[Z", plain(KeyCode::BackTab)),
            (b"\x1ba", key(KeyCode::Char('a'), KeyModifiers::ALT)),
            (b"\x1b[I", Input::Focus(true)),
            (b"\x1b[O", Input::Focus(false)),
        ] {
            assert_eq!(Decoder::default().take(bytes), [input], "{bytes:?}");
        }
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(b"\x1b"), []);
        assert_eq!(decoder.settle(), Some(plain(KeyCode::Esc)));
    }

    #[test]
    fn a_paste_is_one_thing_however_long_and_however_cut() {
        let text = format!("first\n/leave\n{}\u{4f60}", "x".repeat(5_000));
        let sent = format!("\x1b[200~{}\x1b[201~", text.replace('\n', "\r"));
        for size in [1, 3, 1_024, 100_000] {
            let mut decoder = Decoder::default();
            let inputs: Vec<Input> = sent
                .as_bytes()
                .chunks(size)
                .flat_map(|cut| decoder.take(cut))
                .collect();
            assert_eq!(inputs, [Input::Paste(text.clone())]);
        }
        let mut decoder = Decoder::default();
        decoder.take(b"\x1b[200~");
        for _ in 0..3 {
            decoder.take(&vec![b'x'; PASTE_BYTES_MAX / 2]);
        }
        let inputs = decoder.take(b"\x1b[201~a");
        assert_eq!(
            inputs,
            [
                Input::PasteTooLong(PASTE_BYTES_MAX / 2 * 3),
                plain(KeyCode::Char('a'))
            ]
        );
    }

    #[test]
    fn a_paste_that_the_terminal_does_not_mark_is_known_by_its_speed() {
        let inputs = Decoder::default().take(b"look at this:\r/leave\rbye");
        assert_eq!(inputs, [Input::Paste("look at this:\n/leave\nbye".to_owned())]);
        let typed = Decoder::default().take(b"a message that came at once\r");
        assert_eq!(typed.last(), Some(&plain(KeyCode::Enter)));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm_and_cuts_change_nothing_of_keys(
            bytes in proptest::collection::vec(
                prop_oneof![Just(0x1b), Just(b'['), Just(b'~'), Just(b'2'), Just(b'0'), Just(b';'), any::<u8>()], 0..64),
            cut in 0_usize..64,
        ) {
            let mut whole = Decoder::default();
            whole.take(&bytes);
            let mut decoder = Decoder::default();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            decoder.take(first);
            decoder.take(second);
            prop_assert_eq!(whole.pending, decoder.pending);
        }
    }
}
