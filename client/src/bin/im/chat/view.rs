//! The state as it is drawn. Reads the state, changes nothing.

use protocol::v1;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::{
    command::HELP,
    room::{Mark, Room},
    state::{Connection, State},
};
use crate::{
    message,
    output::{clock, harmless, harmless_line},
};

/// Columns of the list; on a narrow terminal a third of it.
const LIST_COLUMNS: u16 = 24;

const DIM: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let [main, input, status] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    let list_columns = LIST_COLUMNS.min(frame.area().width / 3);
    let [list, room] = Layout::horizontal([Constraint::Length(list_columns), Constraint::Min(1)]).areas(main);
    draw_list(state, frame, list);
    draw_room(state, frame, room);
    draw_input(state, frame, input);
    draw_status(state, frame, status);
    if state.help {
        draw_help(frame);
    }
}

fn draw_list(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::RIGHT).border_style(DIM);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let height = usize::from(inner.height);
    let position = state
        .rows
        .iter()
        .position(|row| Some(row.conversation) == state.selected);
    // The selected one stays in sight.
    let first = position.unwrap_or(0).saturating_sub(height.saturating_sub(1));
    let lines = state.rows.iter().skip(first).take(height).map(|row| {
        let unread = match row.unread {
            0 => String::new(),
            unread => format!(" {unread}"),
        };
        let columns = usize::from(inner.width).saturating_sub(unread.len());
        let name = fit(
            &harmless_line(&state.names.conversation(row.conversation)),
            columns,
        );
        let style = match (Some(row.conversation) == state.selected, row.unread > 0) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, true) => BOLD,
            (false, false) => Style::new(),
        };
        Line::from(vec![
            Span::styled(name, style),
            Span::styled(unread, style.fg(Color::Yellow)),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

fn draw_room(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let [title, messages, typing] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    let Some((conversation, room)) = state.selected.zip(state.room()) else {
        let welcome =
            Paragraph::new("No conversation yet. /msg @user begins one, /help lists what else there is.");
        return frame.render_widget(
            welcome.wrap(ratatui::widgets::Wrap { trim: true }).style(DIM),
            messages,
        );
    };
    let name = harmless_line(&state.names.conversation(conversation));
    let loading = if room.loading { "  loading\u{2026}" } else { "" };
    let heading = Line::from(vec![
        Span::styled(format!(" {name}"), BOLD),
        Span::styled(loading, DIM),
    ]);
    frame.render_widget(Paragraph::new(heading), title);
    frame.render_widget(
        Paragraph::new(message_lines(state, room, messages.width, messages.height)),
        messages,
    );
    if let Some(typist) = state.typist() {
        let line = format!(" {} is typing\u{2026}", harmless_line(&typist));
        frame.render_widget(Paragraph::new(line).style(DIM), typing);
    }
}

/// The lines that fit, the newest at the bottom. Only what is in sight is laid out.
fn message_lines(state: &State, room: &Room, width: u16, height: u16) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(width), usize::from(height));
    let wanted = height + room.scroll;
    let mut upwards: Vec<Line<'static>> = Vec::new();
    for pending in room.pending.iter().rev() {
        let (mark, style) = match &pending.failed {
            Some(_) => ("\u{2717}", Style::new().fg(Color::Red)),
            None => ("\u{2026}", DIM),
        };
        let head = vec![Span::styled(" --:--  ", DIM), Span::styled("me: ", BOLD)];
        let tail = Span::styled(format!(" {mark}"), style);
        upwards.extend(
            wrap(head, &harmless(&pending.text), tail, width)
                .into_iter()
                .rev(),
        );
    }
    for event in room.shown().rev() {
        if upwards.len() >= wanted {
            break;
        }
        upwards.extend(event_lines(state, room, event, width).into_iter().rev());
    }
    let scroll = room.scroll.min(upwards.len().saturating_sub(height));
    let mut lines: Vec<Line<'static>> = upwards.into_iter().skip(scroll).take(height).collect();
    lines.resize_with(height, Line::default);
    lines.reverse();
    lines
}

fn event_lines(state: &State, room: &Room, event: &v1::Event, width: usize) -> Vec<Line<'static>> {
    let time = Span::styled(format!(" {}  ", clock(event.sent_at_ms)), DIM);
    if let Some(notice) = message::notice(event, &state.names) {
        return wrap(
            vec![time],
            &harmless(&format!("-- {notice}")),
            Span::raw(""),
            width,
        );
    }
    let me = state.names.me();
    let own = event.sender_id == me;
    let sender = if own {
        "me".to_owned()
    } else {
        harmless_line(&state.names.user(event.sender_id))
    };
    let colour = if own {
        Color::Green
    } else {
        colour_of(event.sender_id)
    };
    let head = vec![time, Span::styled(format!("{sender}: "), BOLD.fg(colour))];
    let mut text = match (event.recalled, event.expired) {
        (true, _) => "(taken back)".to_owned(),
        (_, true) => "(expired)".to_owned(),
        _ => harmless(&message::text(event)),
    };
    match message::reply_to(event) {
        0 => {}
        seq => text = format!("(to {seq}) {text}"),
    }
    if event.revision.is_some() && !event.recalled {
        text.push_str(" (edited)");
    }
    for reaction in &event.reactions {
        text.push_str(&format!(" [{}]", harmless_line(&reaction.reaction)));
    }
    let tail = match (own, room.mark(me, event.seq)) {
        (false, _) => Span::styled(format!(" {}", event.seq), DIM),
        (true, Mark::Stored) => Span::styled(" \u{2713}", DIM),
        (true, Mark::Delivered) => Span::styled(" \u{2713}\u{2713}", DIM),
        (true, Mark::Read) => Span::styled(" \u{2713}\u{2713}", Style::new().fg(Color::Cyan)),
    };
    wrap(head, &text, tail, width)
}

/// Lays a text out behind `head`, further lines set in, `tail` at its end.
fn wrap(head: Vec<Span<'static>>, text: &str, tail: Span<'static>, width: usize) -> Vec<Line<'static>> {
    const INDENT: &str = "        ";
    let mut lines = Vec::new();
    let mut used: usize = head.iter().map(Span::width).sum();
    let mut spans = head;
    let mut current = String::new();
    let mut break_line = |spans: &mut Vec<Span<'static>>, current: &mut String| {
        spans.push(Span::raw(std::mem::take(current)));
        lines.push(Line::from(std::mem::replace(spans, vec![Span::raw(INDENT)])));
    };
    for (index, paragraph) in text.split('\n').enumerate() {
        if index > 0 {
            break_line(&mut spans, &mut current);
            used = INDENT.len();
        }
        for word in paragraph.split_inclusive(' ') {
            let word = word.replace('\t', " ");
            let columns = Span::raw(word.as_str()).width();
            if used + columns > width && used > INDENT.len() && INDENT.len() + columns <= width {
                break_line(&mut spans, &mut current);
                used = INDENT.len();
            }
            for character in word.chars() {
                let columns = Span::raw(character.to_string()).width();
                if used + columns > width {
                    break_line(&mut spans, &mut current);
                    used = INDENT.len();
                }
                current.push(character);
                used += columns;
            }
        }
    }
    if used + tail.width() > width {
        break_line(&mut spans, &mut current);
    }
    spans.push(Span::raw(current));
    spans.push(tail);
    lines.push(Line::from(spans));
    lines
}

fn draw_input(state: &State, frame: &mut Frame<'_>, area: Rect) {
    const PROMPT: &str = "> ";
    let columns = usize::from(area.width).saturating_sub(PROMPT.len() + 1);
    let before = harmless_line(&state.input.before_cursor());
    // The end of a long line stays in sight.
    let hidden = Span::raw(before.as_str()).width().saturating_sub(columns);
    let text = harmless_line(&state.input.text());
    let shown: String = skip_columns(&text, hidden);
    let line = Line::from(vec![Span::styled(PROMPT, BOLD), Span::raw(shown)]);
    frame.render_widget(Paragraph::new(line), area);
    let column = Span::raw(before.as_str()).width().saturating_sub(hidden) + PROMPT.len();
    let column = u16::try_from(column)
        .unwrap_or(u16::MAX)
        .min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y));
}

fn draw_status(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let (text, colour) = match &state.connection {
        Connection::Online => (format!("online, {}", state.server), Color::Green),
        Connection::Connecting => (format!("connecting to {}", state.server), Color::Yellow),
        Connection::Offline(reason) => (format!("offline, trying again: {reason}"), Color::Yellow),
        Connection::Ended(reason) => (format!("ended: {reason}"), Color::Red),
    };
    let me = harmless_line(&state.names.user(state.names.me()));
    let right = match &state.note {
        Some(note) => Span::styled(harmless_line(note), Style::new().fg(Color::Yellow)),
        None => Span::styled("/help", DIM),
    };
    let left = vec![
        Span::styled(format!(" {me} "), Style::new().add_modifier(Modifier::REVERSED)),
        Span::styled(format!(" {}  ", harmless_line(&text)), Style::new().fg(colour)),
        right,
    ];
    frame.render_widget(Paragraph::new(Line::from(left)), area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let height = u16::try_from(HELP.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2)
        .min(area.height);
    let width = 78.min(area.width);
    let window = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(keys, meaning)| {
            Line::from(vec![
                Span::styled(format!(" {keys:24} "), BOLD),
                Span::raw(*meaning),
            ])
        })
        .collect();
    frame.render_widget(Clear, window);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" help ")),
        window,
    );
}

/// Cut or filled to a number of columns.
fn fit(text: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut used = 0;
    for character in text.chars() {
        let width = Span::raw(character.to_string()).width();
        if used + width > columns {
            break;
        }
        fitted.push(character);
        used += width;
    }
    fitted.extend(std::iter::repeat_n(' ', columns - used));
    fitted
}

fn skip_columns(text: &str, columns: usize) -> String {
    let mut skipped = 0;
    let visible = text.chars().skip_while(|character| {
        let hidden = skipped < columns;
        skipped += Span::raw(character.to_string()).width();
        hidden
    });
    visible.collect()
}

/// The same colour for the same person.
const fn colour_of(user: u64) -> Color {
    const COLOURS: [Color; 5] = [
        Color::Cyan,
        Color::Magenta,
        Color::Yellow,
        Color::Blue,
        Color::Red,
    ];
    COLOURS[(user % COLOURS.len() as u64) as usize]
}
