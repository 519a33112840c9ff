//! A conversation as lines: what stands where, and how many lines each event takes. No terminal.
//!
//! It owns the bar that stands in front of every line of a text. It must never let remote text reach what is left of it.

use jiff::civil::Date;
use protocol::v1;
use ratatui::{
    style::{Modifier, Style},
    text::{Line, Span},
};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{
    room::{Mark, Pending, Room},
    state::State,
};
use crate::{message, text, time};

/// Below this many columns there is no room for seqs.
const SEQ_COLUMNS_FROM: usize = 60;
/// And below this none for times.
const TIME_COLUMNS_FROM: usize = 24;
const NAME_COLUMNS: std::ops::RangeInclusive<usize> = 4..=16;
/// Lines of one text; what is longer is cut with a mark that says so.
const TEXT_LINES_MAX: usize = 200;

pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// How many columns each part of a line has.
#[derive(Clone, Copy, Debug)]
struct Columns {
    seq: bool,
    time: bool,
    name: usize,
    text: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let seq = width >= SEQ_COLUMNS_FROM;
        let time = width >= TIME_COLUMNS_FROM;
        let name = (width / 6).clamp(*NAME_COLUMNS.start(), *NAME_COLUMNS.end());
        let before = if seq { 6 } else { 0 } + if time { 6 } else { 0 } + name + 6;
        Self {
            seq,
            time,
            name,
            text: width.saturating_sub(before).max(1),
        }
    }

    fn before(
        &self,
        seq: &str,
        time: &str,
        name: Span<'static>,
        mark: &str,
        bar: &'static str,
    ) -> Vec<Span<'static>> {
        let mut spans = Vec::with_capacity(6);
        if self.seq {
            spans.push(Span::styled(format!("{seq:>5} "), DIM));
        }
        if self.time {
            spans.push(Span::styled(format!("{time:5} "), DIM));
        }
        let name_text = fit(&name.content, self.name, '\u{2026}');
        let padding = self.name.saturating_sub(name_text.width());
        spans.push(Span::raw(" ".repeat(padding)));
        spans.push(Span::styled(name_text, name.style));
        spans.push(Span::styled(format!(" {}", message::pad(mark, 2)), DIM));
        spans.push(Span::styled(format!(" {bar} "), DIM));
        spans
    }
}

/// The lines of an event, with what stands before it: a new day, the beginning of what is new.
pub(super) fn event_lines(
    state: &State,
    room: &Room,
    event: &v1::Event,
    before: Option<&v1::Event>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let day = |event: &v1::Event| -> Date { time::day(event.sent_at_ms, &state.zone) };
    if before.is_none_or(|before| day(before) != day(event)) {
        let title = time::day_title(event.sent_at_ms, &state.zone);
        lines.push(rule(&title, width, DIM));
    }
    let is_first_new = room
        .new_after
        .is_some_and(|seq| event.seq > seq && before.is_none_or(|before| before.seq <= seq));
    if is_first_new {
        lines.push(rule("new", width, BOLD));
    }
    lines.extend(said(state, room, event, width));
    lines
}

fn said(state: &State, room: &Room, event: &v1::Event, width: usize) -> Vec<Line<'static>> {
    let columns = Columns::of(width);
    let clock = time::clock(event.sent_at_ms, &state.zone);
    let seq = event.seq.to_string();
    if let Some(notice) = message::notice(event, &state.names) {
        let first = columns.before(&seq, &clock, Span::raw("--"), "", "\u{2502}");
        return block(&columns, first, &[(text::line(&notice), DIM)], &[]);
    }
    let me = state.names.me();
    let own = event.sender_id == me;
    let sender = if own {
        Span::styled("me", BOLD)
    } else {
        let name = text::line(&state.names.user(event.sender_id));
        Span::styled(name, state.style_of(event.sender_id))
    };
    let mark = match (own, room.mark(me, event.seq)) {
        (false, _) => "",
        (true, Mark::Stored) => "\u{2713}",
        (true, Mark::Delivered) => "\u{2713}\u{2713}",
        (true, Mark::Read) => "\u{25cf}",
    };
    let texts: Vec<(String, Style)> = if event.recalled {
        vec![("(taken back)".to_owned(), DIM)]
    } else if event.expired {
        vec![("(expired)".to_owned(), DIM)]
    } else {
        let lines = text::lines(&message::words(event));
        lines.into_iter().map(|line| (line, Style::new())).collect()
    };
    let mut remarks = Vec::new();
    if let seq @ 1.. = message::reply_to(event) {
        remarks.push(room.said(seq).map_or_else(
            || format!("answers {seq}"),
            |answered| {
                let name = state.names.user(answered.sender_id);
                let words = text::line(&message::words(answered));
                format!("answers {}: {words}", text::line(&name))
            },
        ));
    }
    if event.revision.is_some() && !event.recalled {
        remarks.push("edited".to_owned());
    }
    for (reaction, people) in reactions(state, event) {
        remarks.push(format!("{reaction} {people}"));
    }
    let first = columns.before(&seq, &clock, sender, mark, bar(event));
    block(&columns, first, &texts, &remarks)
}

/// An erased message has a bar of its own, so that no text "(taken back)" looks like one.
const fn bar(event: &v1::Event) -> &'static str {
    if event.recalled || event.expired {
        "\u{2506}"
    } else {
        "\u{2502}"
    }
}

/// Each reaction once, with who it is from.
fn reactions(state: &State, event: &v1::Event) -> Vec<(String, String)> {
    let mut grouped: Vec<(String, String)> = Vec::new();
    for reaction in &event.reactions {
        let sign = text::line(&reaction.reaction);
        let name = text::line(&state.names.user(reaction.user_id));
        match grouped.iter_mut().find(|(known, _)| *known == sign) {
            Some((_, people)) => *people = format!("{people}, {name}"),
            None => grouped.push((sign, name)),
        }
    }
    grouped
}

pub(super) fn pending_lines(pending: &Pending, width: usize) -> Vec<Line<'static>> {
    let columns = Columns::of(width);
    let (mark, remark) = match &pending.failed {
        Some(reason) => ("\u{2717}", vec![format!("not sent: {}", text::line(reason))]),
        None => ("\u{2026}", Vec::new()),
    };
    let first = columns.before("", "--:--", Span::styled("me", BOLD), mark, "\u{2502}");
    let lines = text::lines(&pending.text);
    let texts: Vec<(String, Style)> = lines.into_iter().map(|line| (line, Style::new())).collect();
    block(&columns, first, &texts, &remark)
}

/// Texts behind the bar, remarks behind a dot in its place.
fn block(
    columns: &Columns,
    first: Vec<Span<'static>>,
    texts: &[(String, Style)],
    remarks: &[String],
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut first = Some(first);
    let mut add = |text: String, style: Style, bar: &'static str| {
        let mut spans = first
            .take()
            .unwrap_or_else(|| columns.before("", "", Span::raw(""), "", bar));
        spans.push(Span::styled(text, style));
        lines.push(Line::from(spans));
    };
    let wrapped = texts
        .iter()
        .flat_map(|(text, style)| wrap(text, columns.text).into_iter().map(|line| (line, *style)));
    for (index, (line, style)) in wrapped.enumerate() {
        if index >= TEXT_LINES_MAX {
            add("more: see `im history`".to_owned(), DIM, "\u{b7}");
            break;
        }
        add(line, style, "\u{2502}");
    }
    for remark in remarks {
        for line in wrap(remark, columns.text) {
            add(line, DIM, "\u{b7}");
        }
    }
    lines
}

fn rule(title: &str, width: usize, style: Style) -> Line<'static> {
    let title = fit(title, width.saturating_sub(6), '\u{2026}');
    let rest = width.saturating_sub(title.width() + 4);
    Line::styled(
        format!("\u{2500}\u{2500} {title} {}", "\u{2500}".repeat(rest)),
        style,
    )
}

/// Breaks a line between words where it can, else between characters as people see them.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for word in text.split_word_bounds() {
        let columns = word.width();
        if used + columns > width && used > 0 && columns <= width {
            lines.push(std::mem::take(&mut current));
            used = 0;
            if word.trim().is_empty() {
                continue;
            }
        }
        for character in word.graphemes(true) {
            let columns = character.width();
            if used + columns > width && used > 0 {
                lines.push(std::mem::take(&mut current));
                used = 0;
            }
            current.push_str(character);
            used += columns;
        }
    }
    lines.push(current);
    lines
}

/// Cut to a number of columns; what is cut ends with `mark`.
pub(super) fn fit(text: &str, columns: usize, mark: char) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for character in text.graphemes(true) {
        used += character.width();
        if used > columns {
            break;
        }
        fitted.push_str(character);
    }
    if columns > 0 {
        fitted.push(mark);
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_between_characters_as_people_see_them() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(wrap(&family.repeat(3), 4), [family.repeat(2), family.to_owned()]);
        assert_eq!(
            wrap("\u{4f60}\u{597d}\u{4f60}", 4),
            ["\u{4f60}\u{597d}", "\u{4f60}"]
        );
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        for line in wrap(&"wide \u{4f60}\u{597d} x\u{301} ".repeat(30), 9) {
            assert!(line.width() <= 9, "{line:?}");
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(fit("short", 5, '\u{2026}'), "short");
        assert_eq!(fit("longer", 5, '\u{2026}'), "long\u{2026}");
        assert_eq!(fit("\u{4f60}\u{597d}\u{4f60}", 4, '\u{2026}'), "\u{4f60}\u{2026}");
        assert_eq!(fit("x", 0, '\u{2026}'), "");
    }
}
