//! Devices that send and follow for as long as a test lets them, and the record of what they saw.
//!
//! Used where daemons, or what they stand on, are killed meanwhile.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client::{
    Client, Device, Options, Update,
    link::Identity,
    new_client_id,
    sync::{Snapshot, Start},
};
use protocol::v1;
use tests::{
    checker::{self, Ack, Entry, Key, Record, Sent},
    harness::User,
};

/// A send is repeated under its id for so long; far more than all restarts take.
const SEND_PATIENCE: Duration = Duration::from_secs(120);
/// How long devices may take to come to the end of the log.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Heads that a device must reach, by conversation.
type Heads = BTreeMap<u64, u64>;
type Applied = BTreeMap<u64, Vec<Entry>>;

struct Clock(Instant);

impl Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[derive(Default)]
struct Recorder {
    sent: Mutex<Vec<Sent>>,
    acked: Mutex<Vec<Ack>>,
    count: AtomicU64,
}

/// One device of the traffic: where it connects, as whom, and what it writes to.
pub(crate) struct Member {
    /// The node of its connection.
    pub(crate) server: SocketAddr,
    /// Its user's id.
    pub(crate) user: u64,
    /// Its session.
    pub(crate) identity: Identity,
    /// The conversations it writes to, and in which it must see everything in the end.
    pub(crate) conversations: Vec<u64>,
}

/// Traffic that is under way.
pub(crate) struct Traffic {
    members: Vec<(u64, Vec<u64>)>,
    recorder: Arc<Recorder>,
    senders: Vec<thread::JoinHandle<()>>,
    devices: Vec<(std::sync::mpsc::SyncSender<Heads>, thread::JoinHandle<Applied>)>,
}

impl Traffic {
    /// Starts all members. Each writes to each of its conversations, one message after the other, as long as `more`
    /// says so for the number of the next.
    pub(crate) fn start(members: Vec<Member>, more: impl Fn(u64) -> bool + Clone + Send + 'static) -> Self {
        let clock = Arc::new(Clock(Instant::now()));
        let mut traffic = Self {
            members: Vec::new(),
            recorder: Arc::default(),
            senders: Vec::new(),
            devices: Vec::new(),
        };
        for member in members {
            let (heads, wanted) = sync_channel(1);
            let (client, device) = follow(member.server, member.identity, wanted);
            traffic.devices.push((heads, device));
            for conversation in &member.conversations {
                let (client, recorder, clock, more) = (
                    client.clone(),
                    Arc::clone(&traffic.recorder),
                    Arc::clone(&clock),
                    more.clone(),
                );
                let (user, conversation) = (member.user, *conversation);
                traffic.senders.push(thread::spawn(move || {
                    send_all(&client, user, conversation, &recorder, &clock, more)
                }));
            }
            traffic.members.push((member.user, member.conversations));
        }
        traffic
    }

    /// Messages acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.recorder.count.load(Ordering::SeqCst)
    }

    /// Every sender has come to its end.
    pub(crate) fn is_sent(&self) -> bool {
        self.senders.iter().all(thread::JoinHandle::is_finished)
    }

    /// Waits until everything is sent and applied, reads every log, and judges. `reader` gives a session of its own
    /// for the member of this number.
    pub(crate) fn judge(self, mut reader: impl FnMut(usize) -> User) -> (u64, Vec<checker::Violation>) {
        for sender in self.senders {
            sender
                .join()
                .expect("a sender that got every message acknowledged");
        }
        let mut record = Record {
            sent: std::mem::take(&mut *self.recorder.sent.lock().unwrap()),
            acked: std::mem::take(&mut *self.recorder.acked.lock().unwrap()),
            ..Record::default()
        };
        assert_eq!(record.acked.len(), record.sent.len());
        let acknowledged = record.acked.len() as u64;
        for (index, (user, conversations)) in self.members.iter().enumerate() {
            let mut reader = reader(index);
            for conversation in conversations {
                let log = reader.history(*conversation).iter().map(entry).collect();
                record.logs.insert((*conversation, *user), log);
            }
        }
        for (index, (heads, device)) in self.devices.into_iter().enumerate() {
            let (user, conversations) = &self.members[index];
            let wanted: Heads = conversations
                .iter()
                .map(|conversation| (*conversation, head(&record, *conversation, *user)))
                .collect();
            heads.send(wanted).unwrap();
            for (conversation, applied) in device.join().expect("a device that follows") {
                record
                    .applied
                    .insert((format!("member {index}"), conversation), applied);
            }
        }
        (acknowledged, checker::check(&record))
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

/// Sends one after the other, so that their order is known; each until it is acknowledged.
fn send_all(
    client: &Client,
    sender: u64,
    conversation: u64,
    recorder: &Recorder,
    clock: &Clock,
    more: impl Fn(u64) -> bool,
) {
    for number in (0..).take_while(|number| more(*number)) {
        let client_id = new_client_id().0;
        let key = Key {
            conversation,
            sender,
            client_id,
        };
        let body = format!("{sender} to {conversation}: {number}").into_bytes();
        let request = v1::SendRequest {
            conversation_id: conversation,
            client_msg_id: Bytes::copy_from_slice(&client_id),
            kind: v1::EventKind::Text.into(),
            content: Some(v1::Content {
                body: body.clone().into(),
                ..v1::Content::default()
            }),
            ..v1::SendRequest::default()
        };
        recorder.sent.lock().unwrap().push(Sent {
            key,
            body,
            invoked: clock.now(),
        });
        let sent = client
            .send(request, SEND_PATIENCE)
            .expect("an acknowledgement in the end");
        let ack = Ack {
            key,
            epoch: sent.epoch,
            seq: sent.seq,
            ordinal: sent.ordinal,
            at: clock.now(),
        };
        recorder.acked.lock().unwrap().push(ack);
        recorder.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// A device on a thread of its own, which applies until it has reached the heads it is told at the end.
fn follow(
    server: SocketAddr,
    identity: Identity,
    wanted: Receiver<Heads>,
) -> (Client, thread::JoinHandle<Applied>) {
    let options = Options {
        server: server.to_string(),
        identity,
    };
    let (client, events) = Client::connect(options).expect("a client");
    let mut device = Device::new(client.clone(), events, Snapshot::default(), Start::Beginning);
    let thread = thread::spawn(move || {
        let mut applied = Applied::new();
        let mut goal: Option<(Heads, Instant)> = None;
        loop {
            if goal.is_none() {
                goal = wanted
                    .try_recv()
                    .ok()
                    .map(|heads| (heads, Instant::now() + CATCH_UP));
            }
            if let Some((heads, deadline)) = &goal
                && (reached(&applied, heads) || Instant::now() > *deadline)
            {
                return applied;
            }
            if let Some(Update::Event(event)) = device.next(Instant::now() + Duration::from_millis(100)) {
                applied
                    .entry(event.conversation_id)
                    .or_default()
                    .push(entry(&event));
            }
        }
    });
    (client, thread)
}

fn reached(applied: &Applied, heads: &Heads) -> bool {
    heads.iter().all(|(conversation, head)| {
        applied
            .get(conversation)
            .and_then(|events| events.last())
            .map_or(0, |entry| entry.seq)
            >= *head
    })
}

fn entry(event: &v1::Event) -> Entry {
    let content = event.body.as_ref().and_then(|body| body.content.as_ref());
    Entry {
        seq: event.seq,
        ordinal: event.ordinal,
        sender: event.sender_id,
        client_id: event.client_msg_id.as_ref().try_into().unwrap_or_default(),
        message: event.kind == i32::from(v1::EventKind::Text),
        body: content.map(|content| content.body.to_vec()).unwrap_or_default(),
    }
}
