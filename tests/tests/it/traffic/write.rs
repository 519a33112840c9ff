//! What members write, and the record of it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use client::{Client, Options, Outcome, link::Identity, new_client_id};
use protocol::{
    Reply, Request,
    v1::{self, EventKind},
};
use tests::{
    checker::{Ack, Key, Record, Sent},
    harness::{Connection, User, hello, login},
};

use super::Mix;

/// A request is repeated for so long; far more than all restarts take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The device that logs in again and again.
const LOGIN_DEVICE: &str = "again";
/// No conversation here becomes so long.
const BEYOND: u64 = 1 << 40;

/// What was written, and what came of it.
pub(super) struct Recorder {
    begun: Instant,
    record: Mutex<Record>,
    acknowledged: AtomicU64,
    /// So many of the first acknowledgements hold whatever happens.
    kept: AtomicU64,
    others: Mutex<Others>,
}

/// Writes that are no events of the conversations.
#[derive(Default)]
struct Others {
    /// The newest display name of each user, and whether it was acknowledged.
    names: BTreeMap<u64, (String, bool)>,
    /// The session of the newest login of each user, where that was acknowledged.
    sessions: BTreeMap<u64, Option<(SocketAddr, String)>>,
    /// Groups that were made, by their maker.
    groups: Vec<(u64, u64)>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            record: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            others: Mutex::default(),
        }
    }
}

impl Recorder {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub(super) fn keep_so_far(&self) {
        let so_far = self.record.lock().unwrap().acked.len() as u64;
        self.kept.store(so_far, Ordering::SeqCst);
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.load(Ordering::SeqCst) as usize
    }

    pub(super) fn take(&self) -> Record {
        std::mem::take(&mut *self.record.lock().unwrap())
    }

    /// Whether what is no event of a conversation is as it was acknowledged.
    pub(super) fn judge_others(&self, reader: &mut User) -> Vec<String> {
        let others = self.others.lock().unwrap();
        let mut broken = Vec::new();
        if let Some((name, true)) = others.names.get(&reader.id) {
            let users = reader
                .get(v1::GetUsersRequest {
                    user_ids: vec![reader.id],
                })
                .users;
            if users.first().is_none_or(|user| user.display_name != *name) {
                broken.push(format!("the name {name:?} was acknowledged and is not {users:?}"));
            }
        }
        if let Some(Some((server, token))) = others.sessions.get(&reader.id) {
            let resumed = Connection::to(*server).ask(v1::Hello {
                session_token: token.clone(),
                ..hello(LOGIN_DEVICE)
            });
            if let Err(refusal) = resumed {
                broken.push(format!("a login of user {} is lost: {refusal:?}", reader.id));
            }
        }
        let id = reader.id;
        for (_, group) in others.groups.iter().filter(|(maker, _)| *maker == id) {
            match reader.page(*group, 1, 1) {
                Ok(page) if page.head_seq == 1 => {}
                other => broken.push(format!("a group is lost, or made twice: {other:?}")),
            }
        }
        broken
    }
}

/// One member's way of writing to one conversation: one event after the other, each until its answer, so that their
/// order is known.
pub(super) struct Writer {
    client: Client,
    /// Where and under which name this user logs in, for the one writer that does: so it is known which name and which
    /// login are the newest.
    account: Option<(SocketAddr, String)>,
    user: u64,
    conversation: u64,
    recorder: Arc<Recorder>,
    /// The last text, and the one before it.
    last: [u64; 2],
}

impl Writer {
    pub(super) const fn new(
        client: Client,
        account: Option<(SocketAddr, String)>,
        user: u64,
        conversation: u64,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            client,
            account,
            user,
            conversation,
            recorder,
            last: [0, 0],
        }
    }

    /// The write of this number.
    pub(super) fn write(&mut self, mix: Mix, number: u64) {
        if mix == Mix::Messages {
            return self.text(number);
        }
        match (number % 8, &self.account) {
            (2, _) => self.about(EventKind::Reaction, self.last[0]),
            (3, _) => self.about(EventKind::Edit, self.last[0]),
            (5, _) => self.about(EventKind::Recall, self.last[1]),
            (6, Some((server, name))) => match number / 8 % 4 {
                0 => self.rename(number),
                1 => self.log_in(*server, name),
                2 => self.make_group(number),
                // Refused, after a number was taken for it.
                _ => self.about(EventKind::Reaction, BEYOND),
            },
            _ => self.text(number),
        }
    }

    fn text(&mut self, number: u64) {
        let body = format!("{} to {}: {number}", self.user, self.conversation).into_bytes();
        let request = v1::SendRequest {
            kind: EventKind::Text.into(),
            content: Some(v1::Content {
                body: body.clone().into(),
                ..v1::Content::default()
            }),
            ..v1::SendRequest::default()
        };
        if let Some(seq) = self.send(request, body) {
            self.last = [seq, self.last[0]];
        }
    }

    /// Refused where the message went with its past, or was recalled.
    fn about(&self, kind: EventKind, target_seq: u64) {
        if target_seq == 0 {
            return;
        }
        let mut request = v1::SendRequest {
            kind: kind.into(),
            target_seq,
            ..v1::SendRequest::default()
        };
        match kind {
            EventKind::Edit => {
                request.content = Some(v1::Content {
                    body: Bytes::from_static(b"edited"),
                    ..v1::Content::default()
                });
            }
            EventKind::Reaction => "+1".clone_into(&mut request.reaction),
            _ => {}
        }
        self.send(request, Vec::new());
    }

    /// Its seq; `None` where it was refused for good.
    fn send(&self, request: v1::SendRequest, body: Vec<u8>) -> Option<u64> {
        let client_id = new_client_id().0;
        let key = Key {
            conversation: self.conversation,
            sender: self.user,
            client_id,
        };
        let is_text = request.kind == i32::from(EventKind::Text);
        let request = v1::SendRequest {
            conversation_id: self.conversation,
            client_msg_id: Bytes::copy_from_slice(&client_id),
            ..request
        };
        let invoked = self.recorder.now();
        self.recorder
            .record
            .lock()
            .unwrap()
            .sent
            .push(Sent { key, body, invoked });
        match self.client.send(request, PATIENCE) {
            Ok(sent) => {
                let ack = Ack {
                    key,
                    epoch: sent.epoch,
                    seq: sent.seq,
                    ordinal: sent.ordinal,
                    at: self.recorder.now(),
                };
                self.recorder.record.lock().unwrap().acked.push(ack);
                self.recorder.acknowledged.fetch_add(1, Ordering::SeqCst);
                Some(sent.seq)
            }
            Err(error) => {
                let definite = error.outcome() == Outcome::Definite;
                assert!(definite && !is_text, "no answer in the end: {error}");
                self.recorder.record.lock().unwrap().refused.push(key);
                None
            }
        }
    }

    // ---- what is no event of the conversation -------------------------------------------------------

    fn rename(&self, number: u64) {
        let name = format!("{} in {}", number, self.conversation);
        let note = |acknowledged| {
            let mut others = self.recorder.others.lock().unwrap();
            others.names.insert(self.user, (name.clone(), acknowledged));
        };
        note(false);
        let request = v1::UpdateProfileRequest {
            display_name: Some(name.clone()),
            ..v1::UpdateProfileRequest::default()
        };
        let answered = self
            .client
            .call_until_definite(Request::UpdateProfile(request), PATIENCE);
        assert!(answered.is_ok(), "{answered:?}");
        note(true);
    }

    fn log_in(&self, server: SocketAddr, name: &str) {
        let note = |session| {
            drop(
                self.recorder
                    .others
                    .lock()
                    .unwrap()
                    .sessions
                    .insert(self.user, session),
            )
        };
        note(None);
        let options = Options {
            server: server.to_string(),
            trust: client::Trust::default(),
            identity: Identity {
                device: hello(LOGIN_DEVICE).device.unwrap(),
                program: "traffic".to_owned(),
                token: None,
            },
        };
        let (client, _events) = Client::connect(options).expect("a client");
        let answered = client.call_until_definite(Request::Login(login(name)), PATIENCE);
        match answered {
            Ok(Reply::Login(session)) => note(Some((server, session.token))),
            other => panic!("{other:?}"),
        }
    }

    fn make_group(&self, number: u64) {
        let request = v1::CreateGroupRequest {
            client_msg_id: Bytes::copy_from_slice(&new_client_id().0),
            name: format!("{number} of {}", self.conversation),
            user_ids: Vec::new(),
        };
        let answered = self
            .client
            .call_until_definite(Request::CreateGroup(request), PATIENCE);
        match answered {
            Ok(Reply::CreateGroup(made)) => {
                let group = (self.user, made.conversation_id);
                self.recorder.others.lock().unwrap().groups.push(group);
            }
            other => panic!("{other:?}"),
        }
    }
}
