//! The state of the chat and everything that changes it: keys, updates, answers. No terminal, no network.

use std::collections::BTreeMap;

use client::Update;
use protocol::{
    direct_conversation, self_conversation,
    v1::{self, EventKind},
};

use super::{input::Line, room::Room};
use crate::{message, names::Directory};

/// A sign of typing lasts this long.
const TYPING_SHOWN_MS: u64 = 6_000;
/// And is sent no more often than this.
pub(super) const TYPING_SENT_MS: u64 = 3_000;
/// Conversations in the list.
const CONVERSATIONS_MAX: usize = 2_000;

/// What the state wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Events before this seq; 0: the newest.
    LoadHistory {
        conversation: u64,
        before: u64,
    },
    LoadMembers {
        conversation: u64,
    },
    LoadNames(Vec<u64>),
    Send(Box<v1::SendRequest>),
    MarkRead {
        conversation: u64,
        seq: u64,
    },
    Typing {
        conversation: u64,
    },
    /// Open the conversation with this user, and say this there.
    FindUser {
        name: String,
        text: String,
    },
    CreateGroup {
        name: String,
        members: Vec<String>,
    },
    AddMembers {
        conversation: u64,
        members: Vec<String>,
    },
    Leave {
        conversation: u64,
    },
    Quit,
}

/// What an effect brought.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Conversations(Vec<v1::Conversation>),
    Page(v1::Page),
    PageFailed {
        conversation: u64,
        reason: String,
    },
    Cursors(Vec<v1::Cursor>),
    Users(Vec<v1::User>),
    Found {
        user: v1::User,
        text: String,
    },
    NamesFailed,
    Opened {
        conversation: u64,
    },
    Sent {
        request: Box<v1::SendRequest>,
        sent: v1::SendResponse,
    },
    NotSent {
        request: Box<v1::SendRequest>,
        reason: String,
    },
    Note(String),
}

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
    pub(crate) unread: u64,
    /// The newest message that `unread` knows of.
    ordinal: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) names: Directory,
    pub(crate) rows: Vec<Row>,
    pub(crate) rooms: BTreeMap<u64, Room>,
    pub(crate) selected: Option<u64>,
    pub(crate) input: Line,
    pub(crate) connection: Connection,
    pub(crate) note: Option<String>,
    pub(crate) help: bool,
    pub(crate) server: String,
    typing: BTreeMap<u64, (u64, u64)>,
    pub(super) typing_sent_ms: u64,
    pub(super) now_ms: u64,
}

impl State {
    pub(crate) fn new(names: Directory, server: String) -> Self {
        Self {
            names,
            rows: Vec::new(),
            rooms: BTreeMap::new(),
            selected: None,
            input: Line::default(),
            connection: Connection::Connecting,
            note: None,
            help: false,
            server,
            typing: BTreeMap::new(),
            typing_sent_ms: 0,
            now_ms: 0,
        }
    }

    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.get(&self.selected?)
    }

    /// Who types in the conversation that is shown.
    pub(crate) fn typist(&self) -> Option<String> {
        let (user, until) = self.typing.get(&self.selected?)?;
        (*until > self.now_ms).then(|| self.names.user(*user))
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
            Update::Connected(_) => self.connection = Connection::Online,
            Update::Disconnected { reason } => self.connection = Connection::Offline(reason.clone()),
            Update::Ended(ending) => self.connection = Connection::Ended(ending.to_string()),
            Update::Event(event) => return self.handle_event(event),
            Update::Restarted => {
                self.rooms.values_mut().for_each(Room::forget);
                self.rows.clear();
                self.note = Some("the server's store is another one than before".to_owned());
            }
            Update::Rewound { conversation, .. } => {
                // What is shown of it may not be what the server has.
                if let Some(room) = self.rooms.get_mut(conversation) {
                    room.forget();
                }
                if self.selected == Some(*conversation) {
                    return self.open(*conversation);
                }
            }
            Update::Conversations(conversations) => return self.handle_conversations(conversations),
            Update::Cursors(cursors) => self.handle_cursors(cursors),
            Update::Typing(typing) if typing.typing => {
                let until = self.now_ms + TYPING_SHOWN_MS;
                self.typing
                    .insert(typing.conversation_id, (typing.user_id, until));
                return self.names_of([typing.user_id]);
            }
            Update::Typing(typing) => drop(self.typing.remove(&typing.conversation_id)),
            _ => {}
        }
        Vec::new()
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Vec<Effect> {
        match answer {
            Answer::Conversations(conversations) => return self.handle_conversations(&conversations),
            Answer::Page(page) => {
                let conversation = page.conversation_id;
                let people: Vec<u64> = page.events.iter().flat_map(message::people).collect();
                page.events.iter().for_each(|event| self.names.learn_event(event));
                self.rooms.entry(conversation).or_default().take_page(page);
                let mut effects = self.names_of(people);
                effects.extend(self.mark_read());
                return effects;
            }
            Answer::PageFailed { conversation, reason } => {
                let room = self.rooms.entry(conversation).or_default();
                room.loading = false;
                if !reason.is_empty() {
                    self.note = Some(reason);
                }
            }
            Answer::Cursors(cursors) => self.handle_cursors(&cursors),
            Answer::Users(users) => {
                for user in users {
                    self.names.learn_user(user.user_id, &user.name);
                }
            }
            Answer::NamesFailed => self.names.forget_asked(),
            Answer::Found { user, text } => {
                self.names.learn_user(user.user_id, &user.name);
                let me = self.names.me();
                let own = || self_conversation(me);
                let Some(conversation) = direct_conversation(me, user.user_id).or_else(own) else {
                    return Vec::new();
                };
                let mut effects = self.open(conversation.get());
                effects.extend(self.say(&text));
                return effects;
            }
            Answer::Opened { conversation } => return self.open(conversation),
            Answer::Sent { request, sent } => self.confirm(&request, &sent),
            Answer::NotSent { request, reason } => {
                let room = self.rooms.entry(request.conversation_id).or_default();
                room.fail(&request.client_msg_id, &reason);
                self.note = Some(format!("not sent: {reason}"));
            }
            Answer::Note(note) => self.note = Some(note),
        }
        Vec::new()
    }

    fn confirm(&mut self, request: &v1::SendRequest, sent: &v1::SendResponse) {
        if request.kind != EventKind::Text as i32 {
            return;
        }
        let event = v1::Event {
            conversation_id: sent.conversation_id,
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
        let room = self.rooms.entry(sent.conversation_id).or_default();
        room.confirm(&request.client_msg_id, event);
        self.touch(sent.conversation_id, sent.sent_at_ms);
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
        let mine = event.sender_id == self.names.me();
        let row = self.rows.iter_mut().find(|row| row.conversation == conversation);
        if let Some(row) = row.filter(|row| event.ordinal > row.ordinal) {
            row.ordinal = event.ordinal;
            row.unread = if mine { 0 } else { row.unread + 1 };
        }
        let mut people = message::people(event);
        people.push(self.names.peer(conversation));
        let mut effects = self.names_of(people);
        effects.extend(self.mark_read());
        effects
    }

    fn handle_conversations(&mut self, conversations: &[v1::Conversation]) -> Vec<Effect> {
        self.names.learn_conversations(conversations);
        for conversation in conversations {
            self.touch(conversation.conversation_id, conversation.last_at_ms);
            let row = self
                .rows
                .iter_mut()
                .find(|row| row.conversation == conversation.conversation_id);
            if let Some(row) = row.filter(|row| conversation.head_ordinal >= row.ordinal) {
                row.ordinal = conversation.head_ordinal;
                row.unread = conversation.unread;
            }
        }
        let peers: Vec<u64> = self
            .rows
            .iter()
            .map(|row| self.names.peer(row.conversation))
            .collect();
        let mut effects = self.names_of(peers);
        if self.selected.is_none()
            && let Some(first) = self.rows.first()
        {
            effects.extend(self.open(first.conversation));
        }
        effects.extend(self.mark_read());
        effects
    }

    fn handle_cursors(&mut self, cursors: &[v1::Cursor]) {
        for cursor in cursors {
            if let Some(room) = self.rooms.get_mut(&cursor.conversation_id) {
                room.take_cursor(cursor);
            }
            if cursor.user_id == self.names.me()
                && let Some(room) = self.rooms.get_mut(&cursor.conversation_id)
            {
                room.read = room.read.max(cursor.read_seq);
            }
        }
    }

    /// Something happened in a conversation: it moves to the top of the list.
    fn touch(&mut self, conversation: u64, at_ms: u64) {
        match self.rows.iter_mut().find(|row| row.conversation == conversation) {
            Some(row) => row.last_at_ms = row.last_at_ms.max(at_ms),
            None => self.rows.push(Row {
                conversation,
                last_at_ms: at_ms,
                unread: 0,
                ordinal: 0,
            }),
        }
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.last_at_ms));
        self.rows.truncate(CONVERSATIONS_MAX);
    }

    pub(super) fn open(&mut self, conversation: u64) -> Vec<Effect> {
        self.selected = Some(conversation);
        if !self.rows.iter().any(|row| row.conversation == conversation) {
            self.touch(conversation, self.now_ms);
        }
        let room = self.rooms.entry(conversation).or_default();
        let mut effects = Vec::new();
        if room.loaded_from == 0 && !room.loading {
            room.loading = true;
            effects.push(Effect::LoadHistory {
                conversation,
                before: 0,
            });
            effects.push(Effect::LoadMembers { conversation });
        }
        effects.extend(self.mark_read());
        effects
    }

    /// What is shown is read.
    fn mark_read(&mut self) -> Option<Effect> {
        let conversation = self.selected?;
        let room = self.rooms.get_mut(&conversation)?;
        if let Some(row) = self.rows.iter_mut().find(|row| row.conversation == conversation) {
            row.unread = 0;
        }
        let seq = room.head();
        if seq <= room.read {
            return None;
        }
        room.read = seq;
        Some(Effect::MarkRead { conversation, seq })
    }

    fn names_of(&mut self, users: impl IntoIterator<Item = u64>) -> Vec<Effect> {
        match self.names.unknown(users) {
            unknown if unknown.is_empty() => Vec::new(),
            unknown => vec![Effect::LoadNames(unknown)],
        }
    }
}
