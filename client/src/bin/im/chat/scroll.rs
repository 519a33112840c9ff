//! What of a conversation is in sight, and what follows from that: older messages are loaded, and what was seen is read.

use protocol::v1;
use ratatui::text::Line;

use super::{
    effect::Effect,
    layout,
    room::{Anchor, Room},
    state::{Connection, State},
    view,
};

/// Events loaded in search of the first one that was not read; beyond it the search ends where it is.
const SEEK_EVENTS_MAX: usize = 1_000;

/// What the layout of a room is made of, the newest first: an event's seq and how many lines it takes.
struct Heights {
    pending: usize,
    events: Vec<(u64, usize)>,
}

impl Heights {
    fn total(&self) -> usize {
        self.pending + self.events.iter().map(|(_, height)| height).sum::<usize>()
    }

    /// Lines below the view.
    fn offset(&self, anchor: Option<Anchor>) -> usize {
        let Some(anchor) = anchor else { return 0 };
        let mut below = self.pending;
        for (seq, height) in &self.events {
            if *seq <= anchor.seq {
                let hidden = if *seq == anchor.seq {
                    anchor.hidden.min(height.saturating_sub(1))
                } else {
                    0
                };
                return below + hidden;
            }
            below += height;
        }
        below
    }

    /// Where a view ends that has so many lines below it.
    fn anchor(&self, offset: usize) -> Option<Anchor> {
        if offset == 0 {
            return None;
        }
        let mut below = self.pending;
        for (seq, height) in &self.events {
            if offset < below + height {
                let hidden = offset.saturating_sub(below);
                return Some(Anchor { seq: *seq, hidden });
            }
            below += height;
        }
        None
    }
}

impl State {
    /// The screen has this size from here on.
    pub(crate) fn handle_size(&mut self, width: u16, height: u16) -> Vec<Effect> {
        self.size = (width, height);
        self.selected
            .map(|selected| self.fill(selected))
            .unwrap_or_default()
    }

    pub(crate) const fn handle_focus(&mut self, focused: bool) {
        self.focused = focused;
    }

    /// The lines of the conversation that fit, the newest at the bottom. Only what is in sight is laid out.
    pub(super) fn message_lines(&self, width: u16, height: u16) -> Vec<Line<'static>> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        let (width, height) = (usize::from(width), usize::from(height));
        let offset = match room.anchor {
            None => 0,
            anchor => self.heights(room, width).offset(anchor),
        };
        let wanted = height + offset;
        let mut upwards: Vec<Line<'static>> = Vec::new();
        for pending in room.pending.iter().rev() {
            upwards.extend(layout::pending_lines(pending, width).into_iter().rev());
        }
        let mut events = room.shown().rev().peekable();
        while upwards.len() < wanted
            && let Some(event) = events.next()
        {
            let before = events.peek().copied();
            upwards.extend(
                layout::event_lines(self, room, event, before, width)
                    .into_iter()
                    .rev(),
            );
        }
        let offset = offset.min(upwards.len().saturating_sub(height));
        let mut lines: Vec<Line<'static>> = upwards.into_iter().skip(offset).take(height).collect();
        lines.resize_with(height, Line::default);
        lines.reverse();
        lines
    }

    fn heights(&self, room: &Room, width: usize) -> Heights {
        let mut events = Vec::new();
        let mut shown = room.shown().rev().peekable();
        while let Some(event) = shown.next() {
            let before: Option<&v1::Event> = shown.peek().copied();
            events.push((
                event.seq,
                layout::event_lines(self, room, event, before, width).len(),
            ));
        }
        let pending = room
            .pending
            .iter()
            .map(|pending| layout::pending_lines(pending, width).len());
        Heights {
            pending: pending.sum(),
            events,
        }
    }

    /// Columns and lines for messages.
    fn message_area(&self) -> (usize, usize) {
        let area = view::areas(self.size.0, self.size.1).messages;
        (usize::from(area.width), usize::from(area.height))
    }

    /// Half a screen up, or down; at the top, what is older is asked for.
    pub(super) fn scroll(&mut self, up: bool) -> Vec<Effect> {
        let (width, height) = self.message_area();
        let Some((conversation, room)) = self.selected.zip(self.room()) else {
            return Vec::new();
        };
        let heights = self.heights(room, width);
        let offset = heights.offset(room.anchor);
        let by = (height / 2).max(1);
        let top = heights.total().saturating_sub(height);
        let offset = if up {
            (offset + by).min(top)
        } else {
            offset.saturating_sub(by)
        };
        let anchor = heights.anchor(offset);
        if let Some(room) = self.rooms.get_mut(&conversation) {
            room.anchor = anchor;
            room.seeks_unread = false;
            if up && offset >= top {
                return load_older(conversation, room).into_iter().collect();
            }
        }
        Vec::new()
    }

    pub(super) fn scroll_to_end(&mut self) {
        if let Some(room) = self.selected.and_then(|id| self.rooms.get_mut(&id)) {
            room.anchor = None;
            room.seeks_unread = false;
        }
    }

    /// Asks for older events while what is there does not fill the screen, or does not reach back to what was not read;
    /// goes to that once it is there.
    pub(super) fn fill(&mut self, conversation: u64) -> Vec<Effect> {
        let (width, height) = self.message_area();
        let Some(room) = self.rooms.get(&conversation) else {
            return Vec::new();
        };
        if room.loading || room.loaded_from == 0 || self.selected != Some(conversation) {
            return Vec::new();
        }
        // Every event takes a line at least.
        if !room.seeks_unread && (!room.has_more() || room.shown().take(height).count() >= height) {
            return Vec::new();
        }
        let heights = self.heights(room, width);
        let read = room.new_after.unwrap_or(0);
        let unread_is_here = room.loaded_from <= read.saturating_add(1);
        let seeks = room.seeks_unread && !unread_is_here && room.len() < SEEK_EVENTS_MAX;
        let wants_more = room.has_more() && (heights.total() < height || seeks);
        let new: usize = heights
            .events
            .iter()
            .take_while(|(seq, _)| *seq > read)
            .map(|(_, height)| height)
            .sum();
        let anchor = heights.anchor((new + heights.pending).saturating_sub(height));
        let Some(room) = self.rooms.get_mut(&conversation) else {
            return Vec::new();
        };
        if wants_more {
            return load_older(conversation, room).into_iter().collect();
        }
        if std::mem::take(&mut room.seeks_unread) {
            room.anchor = anchor;
        }
        Vec::new()
    }

    /// The screen was drawn. The messages on it are read if the terminal has the focus.
    pub(crate) fn handle_drawn(&mut self) -> Vec<Effect> {
        let (width, _) = self.message_area();
        let Some((conversation, room)) = self.selected.zip(self.room()) else {
            return Vec::new();
        };
        if !self.focused || self.help || room.seeks_unread || room.loaded_from == 0 {
            return Vec::new();
        }
        let seen = match room.anchor {
            None => room.head(),
            Some(anchor) => {
                let heights = self.heights(room, width);
                let hidden = heights.events.iter().find(|(seq, _)| *seq <= anchor.seq);
                match hidden {
                    Some((seq, _)) if *seq < anchor.seq || anchor.hidden == 0 => *seq,
                    _ => anchor.seq.saturating_sub(1),
                }
            }
        };
        if let Some(row) = self.row(conversation) {
            row.unread.take_read(seen);
        }
        if let Some(room) = self.rooms.get_mut(&conversation) {
            room.read = room.read.max(seen);
        }
        let mut effects = self.tell_read();
        if let Some(row) = self.row(conversation)
            && !row.unread.is_certain()
        {
            // What is left is the server's to say, after it was told.
            row.unread.settle();
            effects.push(Effect::LoadConversation { conversation });
        }
        effects
    }

    /// Tells the server what it does not know to be read.
    pub(super) fn tell_read(&mut self) -> Vec<Effect> {
        if self.connection != Connection::Online {
            return Vec::new();
        }
        let untold = self
            .rooms
            .iter_mut()
            .filter(|(_, room)| room.read > room.read_told);
        untold
            .map(|(conversation, room)| {
                room.read_told = room.read;
                Effect::MarkRead {
                    conversation: *conversation,
                    seq: room.read,
                }
            })
            .collect()
    }
}

fn load_older(conversation: u64, room: &mut Room) -> Option<Effect> {
    if room.loading || !room.has_more() {
        return None;
    }
    room.loading = true;
    Some(Effect::LoadHistory {
        conversation,
        before: room.loaded_from,
    })
}
