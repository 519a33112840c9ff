//! Fifty devices send twenty thousand messages while the daemon is killed and started again. Afterwards every
//! message that was acknowledged is in every recipient's log exactly once, in order, without a hole, and every
//! device has applied that log event by event.
//!
//! `TORTURE_SEED` repeats the choice of moments; it is printed when the test fails.

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
    harness::{Daemon, User},
    random::Random,
};

const USERS: usize = 50;
const GROUP: usize = 10;
/// Each user writes to their pair and to their group: 20,000 in all.
const MESSAGES_PER_SENDER: u64 = 200;
const MESSAGES: u64 = USERS as u64 * 2 * MESSAGES_PER_SENDER;
const KILLS: u64 = 6;
/// A send is repeated under its id for so long; far more than all restarts take.
const SEND_PATIENCE: Duration = Duration::from_secs(120);
/// How long devices may take to come to the end of the log.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Heads that a device must reach, by conversation.
type Heads = BTreeMap<u64, u64>;

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

#[test]
fn nothing_acknowledged_is_lost_while_the_daemon_is_killed() {
    let seed = Random::seed("TORTURE_SEED");
    let mut random = Random::new(seed);
    let mut daemon = Daemon::start();
    let mut users: Vec<User> = (0..USERS)
        .map(|index| daemon.register(&format!("user{index}")))
        .collect();
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let groups: Vec<u64> = (0..USERS / GROUP)
        .map(|group| {
            let others: Vec<u64> = ids[group * GROUP + 1..(group + 1) * GROUP].to_vec();
            users[group * GROUP].group(&format!("group{group}"), &others)
        })
        .collect();
    let conversations: Vec<[u64; 2]> = (0..USERS)
        .map(|index| [users[index].direct(ids[index ^ 1]), groups[index / GROUP]])
        .collect();
    let identities: Vec<Identity> = users.iter().map(identity).collect();
    // The raw connections go, so that each session has one connection: its device's.
    users.clear();

    let clock = Arc::new(Clock(Instant::now()));
    let recorder = Arc::new(Recorder::default());
    let (mut senders, mut devices) = (Vec::new(), Vec::new());
    for (index, identity) in identities.iter().enumerate() {
        let (heads, wanted) = sync_channel(1);
        let (client, device) = follow(daemon.address(), identity.clone(), wanted);
        devices.push((heads, device));
        for conversation in conversations[index] {
            let (client, recorder, clock, id) = (
                client.clone(),
                Arc::clone(&recorder),
                Arc::clone(&clock),
                ids[index],
            );
            senders.push(thread::spawn(move || {
                send_all(&client, id, conversation, &recorder, &clock)
            }));
        }
    }

    for kill in 1..=KILLS {
        // Somewhere in this seventh of the messages.
        let span = MESSAGES / (KILLS + 1);
        let at = (kill - 1) * span + random.below(span) + 1;
        while recorder.count.load(Ordering::SeqCst) < at && senders.iter().any(|it| !it.is_finished()) {
            thread::yield_now();
        }
        daemon.restart();
    }
    for sender in senders {
        sender
            .join()
            .expect("a sender that got every message acknowledged");
    }

    let mut record = Record {
        sent: std::mem::take(&mut *recorder.sent.lock().unwrap()),
        acked: std::mem::take(&mut *recorder.acked.lock().unwrap()),
        ..Record::default()
    };
    assert_eq!(record.acked.len() as u64, MESSAGES, "seed {seed}");
    // A session of its own for reading, so that the devices are not displaced.
    for (index, id) in ids.iter().enumerate() {
        let mut reader = daemon.login(&format!("user{index}"), "reader");
        for conversation in conversations[index] {
            let log = reader.history(conversation).iter().map(entry).collect();
            record.logs.insert((conversation, *id), log);
        }
    }
    for (index, (heads, device)) in devices.into_iter().enumerate() {
        let wanted: Heads = conversations[index]
            .iter()
            .map(|conversation| (*conversation, head(&record, *conversation, ids[index])))
            .collect();
        heads.send(wanted).unwrap();
        for (conversation, applied) in device.join().expect("a device that follows") {
            record
                .applied
                .insert((format!("user{index}"), conversation), applied);
        }
    }

    let violations = checker::check(&record);
    assert!(
        violations.is_empty(),
        "seed {seed}: {} broken promises, first {:?}",
        violations.len(),
        violations.first()
    );
}

fn identity(user: &User) -> Identity {
    let hello = user.hello_again();
    Identity {
        device: hello.device.unwrap(),
        program: "torture".to_owned(),
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
fn send_all(client: &Client, sender: u64, conversation: u64, recorder: &Recorder, clock: &Clock) {
    for number in 0..MESSAGES_PER_SENDER {
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

type Applied = BTreeMap<u64, Vec<Entry>>;

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
