//! A person on a device: an account, a session and the connection that it was resumed on.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol::{
    Call, MAGIC, Push, VERSION, direct_conversation, self_conversation,
    v1::{self, DeviceClass, ErrorCode, EventKind},
};

use super::Connection;

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// What [`User::pushes_so_far`] writes to the user's own log.
const MARK: &str = "mark";

/// The events asked for by one page of history.
const PAGE: u32 = 500;

/// A hello of a device.
pub fn hello(device: &str) -> v1::Hello {
    v1::Hello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        device: Some(v1::Device {
            device_id: device.to_owned(),
            class: DeviceClass::Desktop.into(),
            name: String::new(),
        }),
        client: "tests".to_owned(),
        ..v1::Hello::default()
    }
}

/// A login with everybody's password.
pub fn login(name: &str) -> v1::LoginRequest {
    v1::LoginRequest {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

/// A refusal without its own name, which tells nothing but that it is another one.
pub fn unnamed(refusal: v1::Error) -> v1::Error {
    v1::Error {
        request_id: String::new(),
        ..refusal
    }
}

/// A new client message id.
pub fn message_id() -> Bytes {
    Bytes::copy_from_slice(uuid::Uuid::now_v7().as_bytes())
}

/// A text message under a new client id.
pub fn text(conversation_id: u64, text: &str) -> v1::SendRequest {
    v1::SendRequest {
        conversation_id,
        client_msg_id: message_id(),
        kind: EventKind::Text.into(),
        content: Some(v1::Content {
            body: Bytes::copy_from_slice(text.as_bytes()),
            ..v1::Content::default()
        }),
        ..v1::SendRequest::default()
    }
}

/// The code of a refusal.
///
/// # Panics
/// It was none.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, v1::Error>) -> ErrorCode {
    result.expect_err("refused").code()
}

/// See the module.
#[derive(Debug)]
pub struct User {
    /// Where the daemon listens.
    pub address: SocketAddr,
    /// The connection.
    pub conn: Connection,
    /// The account's name.
    pub name: String,
    /// The user's id.
    pub id: u64,
    /// The device's id.
    pub device: String,
    /// The session's id.
    pub session: u64,
    /// Resumes the session.
    pub token: String,
    /// The store's epoch.
    pub epoch: u64,
}

impl User {
    /// A new account on device `first`.
    ///
    /// # Panics
    /// It cannot be made, as every method here panics when what is asked for does not come about.
    pub fn register(address: SocketAddr, name: &str) -> Self {
        let request = v1::RegisterRequest {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            display_name: String::new(),
        };
        Self::begin(address, "first", request)
    }

    /// A device of an account.
    pub fn login(address: SocketAddr, name: &str, device: &str) -> Self {
        Self::begin(address, device, login(name))
    }

    fn begin<C: Call<Response = v1::Session>>(address: SocketAddr, device: &str, request: C) -> Self {
        let mut conn = Connection::to(address);
        conn.ask(hello(device)).expect("welcome");
        let session = conn.ask(request).expect("a session");
        Self::of(address, conn, device, session)
    }

    /// A session that was made on `conn`.
    pub fn of(address: SocketAddr, conn: Connection, device: &str, session: v1::Session) -> Self {
        let user = session.user.expect("whose it is");
        assert!(session.session_id != 0 && session.epoch != 0);
        Self {
            address,
            conn,
            name: user.name,
            id: user.user_id,
            device: device.to_owned(),
            session: session.session_id,
            token: session.token,
            epoch: session.epoch,
        }
    }

    /// A hello that resumes this session.
    pub fn hello_again(&self) -> v1::Hello {
        v1::Hello {
            session_token: self.token.clone(),
            ..hello(&self.device)
        }
    }

    /// Another connection of the same session.
    pub fn resumed(&self) -> Self {
        let mut conn = Connection::to(self.address);
        let welcome = conn.ask(self.hello_again()).expect("welcome back");
        let session = v1::Session {
            token: self.token.clone(),
            ..welcome.session.expect("the session")
        };
        assert_eq!(session.session_id, self.session, "the same session");
        Self::of(self.address, conn, &self.device, session)
    }

    /// The 1:1 conversation with somebody.
    pub fn direct(&self, other: u64) -> u64 {
        direct_conversation(self.id, other).expect("two users").get()
    }

    /// This user's own log.
    pub fn own(&self) -> u64 {
        self_conversation(self.id).expect("a user").get()
    }

    // ---- asking -----------------------------------------------------------------------------------

    /// See [`Connection::ask`].
    ///
    /// # Errors
    /// The refusal.
    pub fn ask<C: Call>(&mut self, call: C) -> Result<C::Response, v1::Error> {
        self.conn.ask(call)
    }

    /// Asks for what is granted.
    #[track_caller]
    pub fn get<C: Call>(&mut self, call: C) -> C::Response {
        match self.conn.ask(call) {
            Ok(reply) => reply,
            Err(refusal) => panic!("{} was refused: {refusal:?}", self.name),
        }
    }

    /// Asks for what is refused, and says why.
    #[track_caller]
    pub fn refused<C: Call>(&mut self, call: C) -> ErrorCode {
        refused(self.conn.ask(call))
    }

    /// Sends a text.
    #[track_caller]
    pub fn text(&mut self, conversation_id: u64, body: &str) -> v1::SendResponse {
        self.get(text(conversation_id, body))
    }

    /// Sends an event about an earlier one.
    ///
    /// # Errors
    /// The refusal.
    pub fn about(
        &mut self,
        kind: EventKind,
        conversation_id: u64,
        target_seq: u64,
        what: &str,
    ) -> Result<v1::SendResponse, v1::Error> {
        let mut send = v1::SendRequest {
            conversation_id,
            client_msg_id: message_id(),
            kind: kind.into(),
            target_seq,
            ..v1::SendRequest::default()
        };
        match kind {
            EventKind::Edit => {
                send.content = Some(v1::Content {
                    body: Bytes::copy_from_slice(what.as_bytes()),
                    ..v1::Content::default()
                });
            }
            EventKind::Reaction => what.clone_into(&mut send.reaction),
            _ => {}
        }
        self.ask(send)
    }

    /// A page of history, forward.
    ///
    /// # Errors
    /// The refusal.
    pub fn page(&mut self, conversation_id: u64, from_seq: u64, limit: u32) -> Result<v1::Page, v1::Error> {
        let request = v1::HistoryRequest {
            conversation_id,
            from_seq,
            limit,
            ..v1::HistoryRequest::default()
        };
        Ok(self.ask(request)?.page.expect("a page"))
    }

    /// Everything this user may see of a conversation, page by page.
    #[track_caller]
    pub fn history(&mut self, conversation_id: u64) -> Vec<v1::Event> {
        let mut events = Vec::new();
        let mut from = 1;
        loop {
            let page = self.page(conversation_id, from, PAGE).expect("history");
            assert_eq!(page.from_seq, from, "a page begins where it was asked to");
            events.extend(page.events);
            if page.to_seq >= page.head_seq {
                return events;
            }
            assert!(page.to_seq >= from, "a page gets on");
            from = page.to_seq + 1;
        }
    }

    /// The texts of a conversation, in order.
    pub fn texts(&mut self, conversation_id: u64) -> Vec<String> {
        self.history(conversation_id)
            .iter()
            .filter(|event| event.kind() == EventKind::Text)
            .map(body)
            .collect()
    }

    /// How the conversation looks to this user.
    #[track_caller]
    pub fn view(&mut self, conversation_id: u64) -> v1::Conversation {
        self.get(v1::GetConversationRequest { conversation_id })
            .conversation
            .expect("a conversation")
    }

    // ---- groups -----------------------------------------------------------------------------------

    /// Makes a group.
    #[track_caller]
    pub fn group(&mut self, name: &str, user_ids: &[u64]) -> u64 {
        self.get(v1::CreateGroupRequest {
            client_msg_id: message_id(),
            name: name.to_owned(),
            user_ids: user_ids.to_vec(),
        })
        .conversation_id
    }

    /// Adds members.
    ///
    /// # Errors
    /// The refusal.
    pub fn add(&mut self, conversation_id: u64, user_ids: &[u64]) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::AddMembersRequest {
            conversation_id,
            client_msg_id: message_id(),
            user_ids: user_ids.to_vec(),
        })
    }

    /// Removes a member.
    ///
    /// # Errors
    /// The refusal.
    pub fn remove(&mut self, conversation_id: u64, user_id: u64) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::RemoveMemberRequest {
            conversation_id,
            client_msg_id: message_id(),
            user_id,
        })
    }

    /// Leaves.
    ///
    /// # Errors
    /// The refusal.
    pub fn leave(&mut self, conversation_id: u64) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::LeaveGroupRequest {
            conversation_id,
            client_msg_id: message_id(),
        })
    }

    /// Gives a role.
    ///
    /// # Errors
    /// The refusal.
    pub fn set_role(
        &mut self,
        conversation_id: u64,
        user_id: u64,
        role: v1::Role,
    ) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::SetRoleRequest {
            conversation_id,
            client_msg_id: message_id(),
            user_id,
            role: role.into(),
        })
    }

    /// Renames.
    ///
    /// # Errors
    /// The refusal.
    pub fn rename(&mut self, conversation_id: u64, name: &str) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::RenameGroupRequest {
            conversation_id,
            client_msg_id: message_id(),
            name: name.to_owned(),
        })
    }

    /// Disbands.
    ///
    /// # Errors
    /// The refusal.
    pub fn disband(&mut self, conversation_id: u64) -> Result<v1::SendResponse, v1::Error> {
        self.ask(v1::DisbandGroupRequest {
            conversation_id,
            client_msg_id: message_id(),
        })
    }

    // ---- pushes -----------------------------------------------------------------------------------

    /// The next push, which is one event.
    #[track_caller]
    pub fn pushed(&mut self) -> v1::Event {
        match self.conn.push() {
            Push::EventsPush(mut page) => {
                assert_eq!(page.epoch, self.epoch, "a page says its epoch");
                assert_eq!(page.events.len(), 1, "{page:?}");
                let event = page.events.remove(0);
                assert_eq!((page.from_seq, page.to_seq), (event.seq, event.seq));
                assert_eq!(page.conversation_id, event.conversation_id);
                event
            }
            other => panic!("{}: an event was expected, not {other:?}", self.name),
        }
    }

    /// The next push, which is one cursor.
    #[track_caller]
    pub fn pushed_cursor(&mut self) -> v1::Cursor {
        match self.conn.push() {
            Push::CursorsPush(mut push) => {
                assert_eq!(push.cursors.len(), 1, "{push:?}");
                push.cursors.remove(0)
            }
            other => panic!("{}: a cursor was expected, not {other:?}", self.name),
        }
    }

    /// Everything that was pushed to this device for what was answered to anyone so far (cursors, which are
    /// written late, excepted).
    ///
    /// A text to the user's own log is the mark: pushes keep the order of commits.
    pub fn pushes_so_far(&mut self) -> Vec<Push> {
        let mark = self.text(self.own(), MARK);
        let is_mark = |page: &v1::Page| {
            page.conversation_id == mark.conversation_id
                && page.events.iter().all(|event| body(event) == MARK)
        };
        let mut pushes = Vec::new();
        loop {
            match self.conn.push() {
                Push::EventsPush(page) if is_mark(&page) => {
                    if page.to_seq >= mark.seq {
                        return pushes;
                    }
                    // Of another device.
                }
                push => pushes.push(push),
            }
        }
    }
}

/// An event's body as text.
pub fn body(event: &v1::Event) -> String {
    let content = event.body.as_ref().and_then(|body| body.content.as_ref());
    content.map_or_else(String::new, |content| {
        String::from_utf8_lossy(&content.body).into_owned()
    })
}
