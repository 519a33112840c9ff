//! The state of the chat and everything that changes it: keys, updates, answers. No terminal, no network.
//!
//! It owns which messages are reported as read: those on the screen while the terminal had the focus. It must never take a
//! text to another conversation than the one it was written in.

use std::collections::BTreeMap;

use client::{Update, unread::Unread};
use jiff::tz::TimeZone;
use protocol::{
    direct_conversation, self_conversation,
    v1::{self, EventKind},
};
use ratatui::style::{Color, Style};

use super::{
    assist::Assist,
    effect::{Answer, Effect},
    input::Line,
    layout::BOLD,
    presence::Presences,
    room::{Pending, Room},
};
use crate::{message, names::Directory};

/// A sign of typing lasts this long.
const TYPING_SHOWN_MS: u64 = 6_000;
/// And is sent no more often than this.
pub(super) const TYPING_SENT_MS: u64 = 3_000;
/// Conversations in the list.
const CONVERSATIONS_MAX: usize = 2_000;
/// Conversations whose typing users are remembered, at most.
const TYPISTS_MAX: usize = 256;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Connection {
    Connecting,
    Online,
    Offline(String),
    Ended(String),
}

/// A line of the list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) conversation: u64,
    pub(crate) last_at_ms: u64,
    pub(crate) unread: Unread,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) names: Directory,
    pub(crate) rows: Vec<Row>,
    pub(crate) rooms: BTreeMap<u64, Room>,
    pub(crate) selected: Option<u64>,
    /// What is being written, in each conversation; 0: in none.
    drafts: BTreeMap<u64, Line>,
    pub(crate) connection: Connection,
    pub(crate) note: Option<String>,
    pub(crate) help: bool,
    /// Which part of it, where the screen is too small for all.
    pub(super) help_page: usize,
    pub(crate) server: String,
    pub(crate) zone: TimeZone,
    /// Names have colours.
    pub(crate) colours: bool,
    /// Columns and lines of the screen.
    pub(super) size: (u16, u16),
    /// The terminal has the focus.
    pub(crate) focused: bool,
    /// Leaving would lose something, and the person was told.
    pub(super) warned: bool,
    /// Another conversation was asked for, from this one. Until it is there nothing is open, so that what is typed
    /// ahead goes to no one else.
    pub(super) opening: Option<Option<u64>>,
    /// The list of conversations has been here.
    pub(super) listed: bool,
    typing: BTreeMap<u64, (u64, u64)>,
    pub(super) presences: Presences,
    pub(super) typing_sent_ms: u64,
    pub(super) now_ms: u64,
    nothing_written: Line,
    pub(super) assist: Assist,
}

impl State {
    pub(crate) fn new(names: Directory, server: String, zone: TimeZone) -> Self {
        Self {
            names,
            rows: Vec::new(),
            rooms: BTreeMap::new(),
            selected: None,
            drafts: BTreeMap::new(),
            connection: Connection::Connecting,
            note: None,
            help: false,
            help_page: 0,
            server,
            zone,
            colours: false,
            size: (80, 24),
            focused: true,
            warned: false,
            opening: None,
            listed: false,
            typing: BTreeMap::new(),
            presences: Presences::default(),
            typing_sent_ms: 0,
            now_ms: 0,
            nothing_written: Line::default(),
            assist: Assist::default(),
        }
    }

    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.get(&self.selected?)
    }

    /// What is being written in the conversation that is shown.
    pub(crate) fn input(&self) -> &Line {
        self.drafts
            .get(&self.selected.unwrap_or(0))
            .unwrap_or(&self.nothing_written)
    }

    pub(super) fn input_mut(&mut self) -> &mut Line {
        self.drafts.entry(self.selected.unwrap_or(0)).or_default()
    }

    pub(crate) fn has_draft(&self, conversation: u64) -> bool {
        self.drafts
            .get(&conversation)
            .is_some_and(|line| !line.is_empty())
    }

    /// What was written and is not known to be stored.
    pub(crate) fn unsaved(&self) -> Vec<(u64, String)> {
        let unsent = self.rooms.iter().flat_map(|(conversation, room)| {
            room.unsent().map(|pending| (*conversation, pending.text.clone()))
        });
        unsent.collect()
    }

    /// Unread messages in the conversations that are not shown, and how many those are.
    pub(crate) fn unread_elsewhere(&self) -> (u64, usize) {
        let others = self
            .rows
            .iter()
            .filter(|row| Some(row.conversation) != self.selected);
        let counts = others.map(|row| row.unread.count()).filter(|count| *count > 0);
        counts.fold((0, 0), |(sum, rows), count| (count.saturating_add(sum), rows + 1))
    }

    /// Who types in the conversation that is shown.
    pub(crate) fn typist(&self) -> Option<String> {
        let (user, until) = self.typing.get(&self.selected?)?;
        (*until > self.now_ms).then(|| self.names.user(*user))
    }

    /// The same style for the same person.
    pub(super) fn style_of(&self, user: u64) -> Style {
        // Those that can be read on a light and on a dark ground.
        match user % 3 {
            1 if self.colours => BOLD.fg(Color::Magenta),
            2 if self.colours => BOLD.fg(Color::Red),
            _ => BOLD,
        }
    }

    /// Time passes; whether something that is shown has changed by it.
    pub(crate) fn handle_time(&mut self, now_ms: u64) -> bool {
        self.now_ms = now_ms;
        let before = self.typing.len();
        self.typing.retain(|_, (_, until)| *until > now_ms);
        before != self.typing.len()
    }

    pub(crate) fn handle_update(&mut self, update: &Update) -> Vec<Effect> {
        match update {
            Update::Connected(_) => {
                self.connection = Connection::Online;
                self.presences.reset();
                // The server may have lost how far this user has read.
                self.rooms.values_mut().for_each(|room| room.read_told = 0);
                return self.tell_read();
            }
            Update::Disconnected { reason } => self.connection = Connection::Offline(reason.clone()),
            Update::Ended(ending) => self.connection = Connection::Ended(ending.to_string()),
            Update::Event(event) => return self.handle_event(event),
            Update::Restarted => {
                self.rooms.values_mut().for_each(Room::forget);
                self.rows.clear();
                self.note = Some("the server's store is another one than before".to_owned());
                if let Some(conversation) = self.selected {
                    return self.open(conversation);
                }
            }
            Update::Rewound { conversation, .. } => {
                // What is shown of it may not be what the server has.
                if let Some(room) = self.rooms.get_mut(conversation) {
                    room.forget();
                }
                let mut effects = vec![Effect::LoadConversation {
                    conversation: *conversation,
                }];
                self.rows.retain(|row| row.conversation != *conversation);
                if self.selected == Some(*conversation) {
                    effects.extend(self.open(*conversation));
                }
                return effects;
            }
            Update::Conversations(conversations) => return self.handle_conversations(conversations),
            Update::Cursors(cursors) => return self.handle_cursors(cursors),
            Update::Typing(typing) if typing.typing => {
                let until = self.now_ms.saturating_add(TYPING_SHOWN_MS);
                if self.typing.len() < TYPISTS_MAX {
                    self.typing
                        .insert(typing.conversation_id, (typing.user_id, until));
                }
                return self.names_of([typing.user_id]);
            }
            Update::Typing(typing) => drop(self.typing.remove(&typing.conversation_id)),
            Update::Store | Update::Synced | Update::Transient(_) => {}
            Update::Presence(presence) => self.presences.learn(*presence),
        }
        Vec::new()
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Vec<Effect> {
        match answer {
            Answer::Conversations(conversations) => {
                self.listed = true;
                return self.handle_conversations(&conversations);
            }
            Answer::Conversation {
                conversation,
                cursors,
            } => {
                let mut effects = self.handle_conversations(std::slice::from_ref(&conversation));
                effects.extend(self.handle_cursors(&cursors));
                return effects;
            }
            Answer::Page { conversation, page } => return self.handle_page(conversation, page),
            Answer::PageFailed { conversation, reason } => {
                if let Some(room) = self.rooms.get_mut(&conversation) {
                    room.loading = false;
                    room.seeks_unread = false;
                }
                if !reason.is_empty() {
                    self.note = Some(reason);
                }
            }
            Answer::Users(users) => {
                for user in users {
                    self.names.learn_user(user.user_id, &user.name);
                }
            }
            Answer::Presences(presences) => {
                presences
                    .into_iter()
                    .for_each(|presence| self.presences.learn(presence));
            }
            Answer::NamesFailed => self.names.forget_asked(),
            Answer::NotRead { conversation } => {
                // Told again when the connection stands again, or with what is read next.
                if let Some(room) = self.rooms.get_mut(&conversation) {
                    room.read_told = 0;
                }
            }
            Answer::Found { user, text } => {
                self.names.learn_user(user.user_id, &user.name);
                let me = self.names.me();
                let own = || self_conversation(me);
                let Some(conversation) = direct_conversation(me, user.user_id).or_else(own) else {
                    return Vec::new();
                };
                let mut effects = self.go(conversation.get());
                effects.extend(self.say(conversation.get(), &text, 0));
                return effects;
            }
            Answer::Opened { conversation, name } => {
                self.names.learn_group(conversation, &name, 1);
                return self.go(conversation);
            }
            Answer::Sent { request, sent } => self.confirm(&request, &sent),
            Answer::NotSent { request, reason } => self.give_back(&request, &reason),
            Answer::Note(note) => {
                self.note = Some(note);
                // What was asked for does not come: back to where that was, but for what was typed ahead.
                if let Some(Some(previous)) = self.opening.take()
                    && self.selected.is_none()
                    && !self.has_draft(0)
                {
                    return self.open(previous);
                }
            }
        }
        Vec::new()
    }

    /// What was refused goes back to where it was written, if nothing else is written there by now.
    fn give_back(&mut self, request: &v1::SendRequest, reason: &str) {
        let conversation = request.conversation_id;
        self.note = Some(format!("not sent: {reason}"));
        let body = request.content.as_ref().map(|content| &content.body);
        let text = body.map(|body| String::from_utf8_lossy(body).into_owned());
        let room = self.rooms.entry(conversation).or_default();
        let pending = room.take_pending(&request.client_msg_id);
        let draft = self.drafts.entry(conversation).or_default();
        match (pending, request.kind()) {
            (Some(pending), _) if draft.is_empty() && pending.reply_to == 0 => draft.set(&pending.text, true),
            (Some(pending), _) => {
                room.fail(pending, reason);
                self.note = Some(format!("not sent: {reason}; /retry sends it again"));
            }
            (None, EventKind::Edit) if draft.is_empty() => {
                draft.set(&format!("/edit {}", text.unwrap_or_default()), false);
            }
            (None, EventKind::Reaction) if draft.is_empty() => {
                draft.set(
                    &format!("/react {} {}", request.target_seq, request.reaction),
                    false,
                );
            }
            (None, _) => {}
        }
    }

    fn confirm(&mut self, request: &v1::SendRequest, sent: &v1::SendResponse) {
        let conversation = request.conversation_id;
        if request.kind != EventKind::Text as i32 {
            return;
        }
        let event = v1::Event {
            conversation_id: conversation,
            seq: sent.seq,
            ordinal: sent.ordinal,
            sender_id: self.names.me(),
            sent_at_ms: sent.sent_at_ms,
            kind: request.kind,
            client_msg_id: request.client_msg_id.clone(),
            body: Some(v1::EventBody {
                content: request.content.clone(),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        };
        let room = self.rooms.entry(conversation).or_default();
        room.confirm(&request.client_msg_id, event);
        self.touch(conversation, sent.sent_at_ms);
    }

    fn handle_page(&mut self, conversation: u64, page: v1::Page) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(&conversation) else {
            return Vec::new();
        };
        if page.conversation_id != conversation {
            room.loading = false;
            return Vec::new();
        }
        let people: Vec<u64> = page.events.iter().flat_map(message::people).collect();
        room.take_page(page);
        let mut effects = self.names_of(people);
        effects.extend(self.fill(conversation));
        effects
    }

    fn handle_event(&mut self, event: &v1::Event) -> Vec<Effect> {
        let conversation = event.conversation_id;
        self.names.learn_event(event);
        self.typing.remove(&conversation);
        // A room that was never opened is loaded when it is.
        if let Some(room) = self.rooms.get_mut(&conversation) {
            room.apply(event);
        }
        self.touch(conversation, event.sent_at_ms);
        let me = self.names.me();
        let mut effects = Vec::new();
        if let Some(row) = self.row(conversation) {
            row.unread.take_event(event, me);
        }
        if self.names.is_nameless_group(conversation) && self.names.ask_once(conversation) {
            effects.push(Effect::LoadConversation { conversation });
        }
        let mut people = message::people(event);
        people.push(self.names.peer(conversation));
        effects.extend(self.names_of(people));
        if self.listed {
            effects.extend(self.watch_peers());
        }
        effects
    }

    fn handle_conversations(&mut self, conversations: &[v1::Conversation]) -> Vec<Effect> {
        self.names.learn_conversations(conversations);
        let mut nameless = Vec::new();
        for conversation in conversations {
            let id = conversation.conversation_id;
            self.touch(id, conversation.last_at_ms);
            if let Some(row) = self.row(id) {
                row.unread.take_conversation(conversation);
            }
            if self.names.is_nameless_group(id) && conversation.name.is_empty() && self.names.ask_once(id) {
                nameless.push(Effect::LoadConversation { conversation: id });
            }
        }
        let peers: Vec<u64> = self
            .rows
            .iter()
            .map(|row| self.names.peer(row.conversation))
            .collect();
        let mut effects = self.names_of(peers);
        if self.listed {
            effects.extend(self.watch_peers());
        }
        effects.extend(nameless);
        if self.selected.is_none()
            && self.opening.is_none()
            && !self.has_draft(0)
            && let Some(first) = self.rows.first()
        {
            effects.extend(self.open(first.conversation));
        }
        effects
    }

    fn handle_cursors(&mut self, cursors: &[v1::Cursor]) -> Vec<Effect> {
        let me = self.names.me();
        let mut effects = Vec::new();
        for cursor in cursors {
            let conversation = cursor.conversation_id;
            if let Some(room) = self.rooms.get_mut(&conversation) {
                room.take_cursor(cursor);
                if cursor.user_id == me {
                    room.read = room.read.max(cursor.read_seq);
                    room.read_told = room.read_told.max(cursor.read_seq);
                }
            }
            if cursor.user_id == me
                && let Some(row) = self.row(conversation)
            {
                row.unread.take_read(cursor.read_seq);
                if !row.unread.is_certain() {
                    row.unread.settle();
                    effects.push(Effect::LoadConversation { conversation });
                }
            }
        }
        effects
    }

    pub(super) fn row(&mut self, conversation: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.conversation == conversation)
    }

    /// Something happened in a conversation: it moves to the top of the list.
    fn touch(&mut self, conversation: u64, at_ms: u64) {
        match self.row(conversation) {
            Some(row) => row.last_at_ms = row.last_at_ms.max(at_ms),
            None => self.rows.push(Row {
                conversation,
                last_at_ms: at_ms,
                unread: Unread::default(),
            }),
        }
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.last_at_ms));
        self.rows.truncate(CONVERSATIONS_MAX);
    }

    /// Opens what was asked for, with what was typed ahead, unless the person went elsewhere meanwhile.
    fn go(&mut self, conversation: u64) -> Vec<Effect> {
        self.opening = None;
        if self.selected.is_none() {
            let ahead = self.drafts.remove(&0).filter(|line| !line.is_empty());
            if let Some(ahead) = ahead {
                let draft = self.drafts.entry(conversation).or_default();
                if draft.is_empty() {
                    *draft = ahead;
                }
            }
            self.note = None;
            return self.open(conversation);
        }
        self.touch(conversation, self.now_ms);
        let name = self.names.conversation(conversation);
        self.note = Some(format!("{name} is there: Tab goes to it"));
        Vec::new()
    }

    pub(super) fn open(&mut self, conversation: u64) -> Vec<Effect> {
        self.selected = Some(conversation);
        if !self.rows.iter().any(|row| row.conversation == conversation) {
            self.touch(conversation, self.now_ms);
        }
        let (unread, read_seq) = self
            .row(conversation)
            .map_or((0, 0), |row| (row.unread.count(), row.unread.read_seq()));
        let room = self.rooms.entry(conversation).or_default();
        room.new_after = (unread > 0).then_some(read_seq);
        room.seeks_unread = unread > 0 && room.anchor.is_none();
        let mut effects = Vec::new();
        if room.loaded_from == 0 && !room.loading {
            room.loading = true;
            effects.push(Effect::LoadHistory {
                conversation,
                before: 0,
            });
            effects.push(Effect::LoadConversation { conversation });
        }
        effects.extend(self.fill(conversation));
        effects
    }

    /// A message of one's own, shown at once.
    pub(super) fn say(&mut self, conversation: u64, text: &str, reply_to: u64) -> Vec<Effect> {
        if text.is_empty() {
            return Vec::new();
        }
        let client_id = client::new_client_id().0.to_vec();
        let room = self.rooms.entry(conversation).or_default();
        room.anchor = None;
        room.seeks_unread = false;
        room.pending.push(Pending {
            client_id: client_id.clone(),
            text: text.to_owned(),
            reply_to,
            failed: None,
        });
        vec![Effect::Send(Box::new(v1::SendRequest {
            conversation_id: conversation,
            client_msg_id: client_id.into(),
            kind: EventKind::Text.into(),
            content: Some(v1::Content {
                body: text.to_owned().into_bytes().into(),
                reply_to,
                ..v1::Content::default()
            }),
            ..v1::SendRequest::default()
        }))]
    }

    pub(super) fn names_of(&mut self, users: impl IntoIterator<Item = u64>) -> Vec<Effect> {
        match self.names.unknown(users) {
            unknown if unknown.is_empty() => Vec::new(),
            unknown => vec![Effect::LoadNames(unknown)],
        }
    }
}
