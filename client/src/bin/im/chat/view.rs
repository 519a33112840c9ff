//! The state as it is drawn. Reads the state, changes nothing.
//!
//! It owns the screen's parts. No meaning hangs on a colour, and no colour is one that a light or a dark ground hides.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{
    command::HELP,
    layout::{BOLD, DIM, fit},
    state::{Connection, State},
};
use crate::{message, text};

/// Columns of the list.
const LIST_COLUMNS: u16 = 24;
/// On a narrower terminal there is none; the title says what waits elsewhere.
const LIST_COLUMNS_FROM: u16 = 60;
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Where what stands on a screen of this size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas {
    pub(super) list: Rect,
    pub(super) title: Rect,
    pub(super) messages: Rect,
    remark: Rect,
    input: Rect,
    status: Rect,
}

pub(super) fn areas(width: u16, height: u16) -> Areas {
    let one = Constraint::Length(1);
    let [main, remark, input, status] =
        Layout::vertical([Constraint::Min(1), one, one, one]).areas(Rect::new(0, 0, width, height));
    let list_columns = if width < LIST_COLUMNS_FROM {
        0
    } else {
        LIST_COLUMNS
    };
    let [list, room] = Layout::horizontal([Constraint::Length(list_columns), Constraint::Min(1)]).areas(main);
    let [title, messages] = Layout::vertical([one, Constraint::Min(1)]).areas(room);
    Areas {
        list,
        title,
        messages,
        remark,
        input,
        status,
    }
}

pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let areas = areas(frame.area().width, frame.area().height);
    if areas.list.width > 0 {
        draw_list(state, frame, areas.list);
    }
    draw_room(state, frame, &areas);
    draw_remark(state, frame, areas.remark);
    draw_input(state, frame, areas.input);
    draw_status(state, frame, areas.status);
    if state.help {
        draw_help(state, frame);
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
    let rows = state.rows.iter().enumerate().skip(first).take(height);
    let lines = rows.map(|(index, row)| {
        let unread = row.unread.count();
        let badge = if unread == 0 {
            String::new()
        } else {
            format!(" ({unread})")
        };
        let number = if index < 9 {
            format!("{} ", index + 1)
        } else {
            "  ".to_owned()
        };
        let draft = if state.has_draft(row.conversation) {
            "\u{270e}"
        } else {
            ""
        };
        let present = state.presence_sign(row.conversation);
        let around = badge.width() + number.width() + draft.width() + present.width();
        let columns = usize::from(inner.width).saturating_sub(around);
        let name = text::line(&state.names.conversation(row.conversation));
        let name = message::pad(&fit(&name, columns, '\u{2026}'), columns);
        let style = match (Some(row.conversation) == state.selected, unread > 0) {
            (true, _) => REVERSED,
            (false, true) => BOLD,
            (false, false) => Style::new(),
        };
        Line::from(vec![
            Span::styled(number, DIM),
            Span::styled(name, style),
            Span::raw(draft),
            Span::raw(present),
            Span::styled(badge, BOLD),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

fn draw_room(state: &State, frame: &mut Frame<'_>, areas: &Areas) {
    let Some((conversation, room)) = state.selected.zip(state.room()) else {
        let welcome =
            Paragraph::new("No conversation yet. /msg @user begins one, /help lists what else there is.");
        return frame.render_widget(
            welcome.wrap(ratatui::widgets::Wrap { trim: true }).style(DIM),
            areas.messages,
        );
    };
    let columns = usize::from(areas.title.width);
    let loading = if room.loading { " loading\u{2026}" } else { "" };
    let below = if room.anchor.is_some() {
        " \u{2193} newer below: Esc"
    } else {
        ""
    };
    let present = match state.presence_words(conversation) {
        words if words.is_empty() => words,
        words => format!("  {words}"),
    };
    let rest = columns.saturating_sub(loading.width() + below.width() + present.width() + 1);
    let name = fit(
        &text::line(&state.names.conversation(conversation)),
        rest,
        '\u{2026}',
    );
    let heading = Line::from(vec![
        Span::styled(format!(" {name}"), BOLD),
        Span::styled(present, DIM),
        Span::styled(loading, DIM),
        Span::styled(below, BOLD),
    ]);
    frame.render_widget(Paragraph::new(heading), areas.title);
    let lines = state.message_lines(areas.messages.width, areas.messages.height);
    frame.render_widget(Paragraph::new(lines), areas.messages);
}

/// What there is to say, else who types.
fn draw_remark(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let (remark, style) = match (&state.note, state.typist()) {
        (Some(note), _) => (text::line(note), BOLD),
        (None, Some(typist)) => (format!("{} is typing\u{2026}", text::line(&typist)), DIM),
        (None, None) => return,
    };
    let remark = fit(&remark, usize::from(area.width).saturating_sub(1), '\u{2026}');
    frame.render_widget(Paragraph::new(format!(" {remark}")).style(style), area);
}

fn draw_input(state: &State, frame: &mut Frame<'_>, area: Rect) {
    const PROMPT: &str = "> ";
    let columns = usize::from(area.width).saturating_sub(PROMPT.len() + 1);
    let before = on_one_line(state.input().before_cursor());
    // The end of a long line stays in sight.
    let hidden = before.width().saturating_sub(columns);
    let text = on_one_line(state.input().text());
    let (shown, skipped) = skip_columns(&text, hidden);
    let line = Line::from(vec![Span::styled(PROMPT, BOLD), Span::raw(shown)]);
    frame.render_widget(Paragraph::new(line), area);
    let column = before.width().saturating_sub(skipped) + PROMPT.len();
    let column = u16::try_from(column)
        .unwrap_or(u16::MAX)
        .min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x.saturating_add(column), area.y));
}

/// One's own text: spaces as they are, lines joined by a sign.
fn on_one_line(text: &str) -> String {
    text::lines(text).join("\u{23ce}")
}

fn draw_status(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let (connection, style) = match &state.connection {
        Connection::Online => ("online".to_owned(), Style::new()),
        Connection::Connecting => ("connecting\u{2026}".to_owned(), BOLD),
        Connection::Offline(reason) => (format!("offline, trying again: {}", text::line(reason)), BOLD),
        Connection::Ended(reason) => (format!("ended: {}", text::line(reason)), BOLD),
    };
    let me = text::line(&state.names.user(state.names.me()));
    let (messages, conversations) = state.unread_elsewhere();
    let waiting = if messages == 0 {
        String::new()
    } else {
        format!(" \u{2502} {messages} unread in {conversations}")
    };
    let wide = usize::from(area.width);
    let server = match &state.connection {
        Connection::Online | Connection::Connecting => format!(" {}", text::line(&state.server)),
        Connection::Offline(_) | Connection::Ended(_) => String::new(),
    };
    let me = format!(" {} ", fit(&me, (wide / 4).max(4), '\u{2026}'));
    let rest = wide.saturating_sub(me.width() + waiting.width() + 1);
    let connection = fit(&connection, rest, '\u{2026}');
    let mut spans = vec![
        Span::styled(me, REVERSED),
        Span::raw(" "),
        Span::styled(connection, style),
        Span::styled(waiting, BOLD),
    ];
    let used: usize = spans.iter().map(|span| span.content.width()).sum();
    for extra in [server, " \u{2502} /help".to_owned()] {
        if used + extra.width() <= wide
            && spans.iter().map(|span| span.content.width()).sum::<usize>() + extra.width() <= wide
        {
            spans.push(Span::styled(extra, DIM));
        }
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// Below this many columns what a key does stands below the key.
const HELP_COLUMNS_FROM: u16 = 72;
const HELP_COLUMNS: u16 = 78;

fn help_lines(width: u16) -> Vec<Line<'static>> {
    let lines = HELP.iter().flat_map(|(keys, meaning)| {
        if width < HELP_COLUMNS_FROM {
            vec![
                Line::styled(format!(" {keys}"), BOLD),
                Line::raw(format!("   {meaning}")),
            ]
        } else {
            vec![Line::from(vec![
                Span::styled(format!(" {} ", message::pad(keys, 22)), BOLD),
                Span::raw(*meaning),
            ])]
        }
    });
    lines.collect()
}

/// Lines of the help that fit at once.
fn help_height(height: u16) -> usize {
    usize::from(height.saturating_sub(2)).max(1)
}

/// How many screens the help takes.
pub(super) fn help_pages(width: u16, height: u16) -> usize {
    help_lines(width).len().div_ceil(help_height(height))
}

fn draw_help(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let shown = help_height(area.height);
    let lines: Vec<Line<'_>> = help_lines(area.width)
        .into_iter()
        .skip(state.help_page.saturating_mul(shown))
        .take(shown)
        .collect();
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2)
        .min(area.height);
    let width = HELP_COLUMNS.min(area.width);
    let window = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, window);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" help ")),
        window,
    );
}

/// What is left behind a number of columns at least, and how many they were.
fn skip_columns(text: &str, columns: usize) -> (String, usize) {
    let mut skipped = 0;
    let mut rest = text.graphemes(true).peekable();
    while skipped < columns
        && let Some(character) = rest.next()
    {
        skipped += character.width();
    }
    (rest.collect(), skipped)
}
