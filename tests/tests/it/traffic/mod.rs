//! Devices that write and follow for as long as a test lets them, and the record of what they saw.
//!
//! Used where daemons, or what they stand on, are killed meanwhile.

mod follow;
mod write;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use client::link::Identity;
use protocol::v1::{self, EventKind};
use tests::{
    checker::{self, Entry, Record},
    harness::User,
};

use follow::{Applied, Goal, follow};
use write::{Recorder, Writer};

/// So many broken promises are shown.
const VIOLATIONS_SHOWN: usize = 10;

/// What a member writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mix {
    /// Texts.
    Messages,
    /// Also edits, recalls, reactions, groups, profiles and logins, and what is refused.
    Everything,
}

/// Whether the store may have got another past meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pasts {
    /// It may not.
    One,
    /// It may, as long as everybody is told.
    Any,
}

/// One device of the traffic: where it connects, as whom, and what it writes to.
pub(crate) struct Member {
    /// The node of its connection.
    pub(crate) server: SocketAddr,
    /// Its user's id.
    pub(crate) user: u64,
    /// Its user's name.
    pub(crate) name: String,
    /// Its session.
    pub(crate) identity: Identity,
    /// The conversations it writes to, and in which it must see everything in the end.
    pub(crate) conversations: Vec<u64>,
}

/// Traffic that is under way.
pub(crate) struct Traffic {
    members: Vec<(u64, Vec<u64>)>,
    recorder: Arc<Recorder>,
    writers: Vec<thread::JoinHandle<()>>,
    devices: Vec<(std::sync::mpsc::SyncSender<Goal>, thread::JoinHandle<Applied>)>,
}

/// How traffic was judged.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// Messages and other events that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Those of them that an epoch promised that is over.
    pub(crate) promised_before: u64,
    /// Broken promises.
    pub(crate) violations: Vec<String>,
}

impl Traffic {
    /// Starts all members. Each writes to each of its conversations, one event after the other, as long as `more`
    /// says so for the number of the next.
    pub(crate) fn start(
        members: Vec<Member>,
        mix: Mix,
        more: impl Fn(u64) -> bool + Clone + Send + 'static,
    ) -> Self {
        let mut traffic = Self {
            members: Vec::new(),
            recorder: Arc::default(),
            writers: Vec::new(),
            devices: Vec::new(),
        };
        for member in members {
            let (goal, wanted) = sync_channel(1);
            let (client, device) = follow(member.server, member.identity, wanted);
            traffic.devices.push((goal, device));
            let mut account = Some((member.server, member.name));
            for conversation in &member.conversations {
                let mut writer = Writer::new(
                    client.clone(),
                    account.take(),
                    member.user,
                    *conversation,
                    Arc::clone(&traffic.recorder),
                );
                let more = more.clone();
                traffic.writers.push(thread::spawn(move || {
                    for number in (0..).take_while(|number| more(*number)) {
                        writer.write(mix, number);
                    }
                }));
            }
            traffic.members.push((member.user, member.conversations));
        }
        traffic
    }

    /// Events acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.recorder.acknowledged()
    }

    /// What is acknowledged by now holds in every past that may come: it is in whatever copy that begins with.
    pub(crate) fn keep_so_far(&self) {
        self.recorder.keep_so_far();
    }

    /// Every writer has come to its end.
    pub(crate) fn is_sent(&self) -> bool {
        self.writers.iter().all(thread::JoinHandle::is_finished)
    }

    /// Waits until everything is written and applied, reads every log, and judges. `reader` gives a session of its own
    /// for the member of this number.
    pub(crate) fn judge(self, pasts: Pasts, mut reader: impl FnMut(usize) -> User) -> Judgement {
        for writer in self.writers {
            writer.join().expect("a writer that got every answer");
        }
        let mut record = self.recorder.take();
        let mut epoch = 0;
        let mut touched = BTreeSet::new();
        let mut violations = Vec::new();
        for (index, (user, conversations)) in self.members.iter().enumerate() {
            let mut reader = reader(index);
            epoch = reader.epoch;
            for conversation in conversations {
                let log = reader.history(*conversation);
                touched.extend(log.iter().filter_map(changed_by));
                let log = log.iter().map(entry).collect();
                record.logs.insert((*conversation, *user), log);
            }
            if pasts == Pasts::One {
                violations.extend(self.recorder.judge_others(&mut reader));
            }
        }
        for (index, (goal, device)) in self.devices.into_iter().enumerate() {
            let (user, conversations) = &self.members[index];
            let heads = conversations
                .iter()
                .map(|conversation| (*conversation, head(&record, *conversation, *user)))
                .collect();
            goal.send(Goal { epoch, heads }).unwrap();
            let applied = device.join().expect("a device that follows");
            let of_member = |(conversation, _): &(u64, Vec<Entry>)| conversations.contains(conversation);
            for (conversation, applied) in applied.into_iter().filter(of_member) {
                record
                    .applied
                    .insert((format!("member {index}"), conversation), applied);
            }
        }
        record.epoch = (pasts == Pasts::Any).then_some(epoch);
        forget_changed(&mut record, &touched);
        let promised_before = record.acked.iter().filter(|ack| ack.epoch != epoch).count() as u64;
        if pasts == Pasts::Any {
            for ack in record.acked.iter_mut().take(self.recorder.kept()) {
                ack.epoch = epoch;
            }
        }
        let broken = checker::check(&record);
        violations.extend(broken.iter().map(|violation| format!("{violation:?}")));
        Judgement {
            acknowledged: record.acked.len() as u64,
            promised_before,
            violations,
        }
    }
}

impl Judgement {
    /// Nothing was broken.
    #[track_caller]
    pub(crate) fn expect_kept(&self, seed: u64) {
        assert!(self.acknowledged > 0, "seed {seed}: nothing was acknowledged");
        assert!(
            self.violations.is_empty(),
            "seed {seed}: {} broken promises of {} acknowledgements, first {:#?}",
            self.violations.len(),
            self.acknowledged,
            self.violations.iter().take(VIOLATIONS_SHOWN).collect::<Vec<_>>()
        );
    }
}

/// The session of a user, for a device that takes it over.
pub(crate) fn identity(user: &User) -> Identity {
    let hello = user.hello_again();
    Identity {
        device: hello.device.unwrap(),
        program: "traffic".to_owned(),
        token: Some(hello.session_token),
    }
}

fn head(record: &Record, conversation: u64, reader: u64) -> u64 {
    record
        .logs
        .get(&(conversation, reader))
        .and_then(|log| log.last())
        .map_or(0, |entry| entry.seq)
}

/// The message that an event changes.
fn changed_by(event: &v1::Event) -> Option<(u64, u64)> {
    let changes = matches!(event.kind(), EventKind::Edit | EventKind::Recall);
    changes.then_some((event.conversation_id, event.target_seq))
}

/// What a changed message says depends on when it was read.
fn forget_changed(record: &mut Record, touched: &BTreeSet<(u64, u64)>) {
    let logs = record
        .logs
        .iter_mut()
        .map(|((conversation, _), log)| (conversation, log));
    let applied = record
        .applied
        .iter_mut()
        .map(|((_, conversation), applied)| (conversation, applied));
    let mut ids = BTreeSet::new();
    for (conversation, entries) in logs.chain(applied) {
        let is_touched = |entry: &&mut Entry| touched.contains(&(*conversation, entry.seq));
        for entry in entries.iter_mut().filter(is_touched) {
            entry.body.clear();
            ids.insert(entry.client_id);
        }
    }
    for sent in &mut record.sent {
        if ids.contains(&sent.key.client_id) {
            sent.body.clear();
        }
    }
}

fn entry(event: &v1::Event) -> Entry {
    let content = event.body.as_ref().and_then(|body| body.content.as_ref());
    let message = event.kind() == EventKind::Text;
    Entry {
        seq: event.seq,
        ordinal: event.ordinal,
        sender: event.sender_id,
        client_id: event.client_msg_id.as_ref().try_into().unwrap_or_default(),
        message,
        body: content
            .filter(|_| message)
            .map(|content| content.body.to_vec())
            .unwrap_or_default(),
    }
}
