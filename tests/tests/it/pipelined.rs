//! Devices of the simplest kind, each with many sends in flight, while the daemon is killed: what was in flight is
//! sent again under its ids, in order, and what was missed is pulled.
//!
//! It speaks the protocol by itself, so that it and the client's own torture cannot share a mistake.
//! `PIPELINE_SEED` repeats the choice of moments; it is printed when the test fails.

#![expect(
    clippy::unwrap_in_result,
    reason = "an empty result here says that the connection is lost; whatever else is wrong fails the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use protocol::{Push, Reply, v1};
use tests::{
    checker::{self, Ack, Entry, Key, Record, Sent},
    harness::{Call, Connection, Daemon, Incoming, PATIENCE, User, text},
    random::Random,
};

const USERS: usize = 12;
const GROUP: usize = 6;
const MESSAGES_PER_USER: usize = 1_000;
/// Sends unanswered at once: more than arrive with one read, less than the daemon takes.
const WINDOW: usize = 24;
const KILLS: u64 = 8;
/// A wait that looks after other things when it is over.
const LOOK: Duration = Duration::from_millis(5);

/// What devices and the one who kills tell each other.
struct World {
    started: Instant,
    /// Messages acknowledged so far, and restarts of the daemon.
    progress: Mutex<(u64, u64)>,
    changed: Condvar,
    finished: AtomicBool,
}

impl World {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn change(&self, change: impl FnOnce(&mut (u64, u64))) {
        change(&mut self.progress.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait_for(&self, acked: u64) {
        let progress = self.progress.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(progress, PATIENCE, |(count, _)| *count < acked);
        assert!(!waited.unwrap().1.timed_out(), "no progress to {acked} messages");
    }

    /// Waits for the next restart, for a moment.
    fn wait_for_restart(&self) {
        let progress = self.progress.lock().unwrap();
        let before = progress.1;
        drop(
            self.changed
                .wait_timeout_while(progress, LOOK * 10, |(_, restarts)| *restarts == before),
        );
    }
}

/// One device: what it has to say, and what it has heard.
struct Device {
    world: Arc<World>,
    address: SocketAddr,
    hello: v1::Hello,
    user: u64,
    conn: Option<Connection>,
    unsent: VecDeque<v1::SendRequest>,
    /// Sent and not acknowledged, in order, with the seq of this connection's frame.
    in_flight: VecDeque<(u16, v1::SendRequest)>,
    sent: Vec<Sent>,
    acked: Vec<Ack>,
    applied: BTreeMap<u64, Vec<Entry>>,
    cursors: BTreeMap<u64, u64>,
    heads: BTreeMap<u64, u64>,
    token: Bytes,
    /// The token of the sync that is being caught up with: kept once that is done.
    next_token: Option<Bytes>,
    syncing: Option<u16>,
    pulling: BTreeMap<u16, u64>,
    synced_after_the_end: bool,
    /// Sends that had to be repeated.
    repeated: usize,
}

impl Device {
    fn run(mut self) -> Self {
        let until = Instant::now() + 3 * PATIENCE;
        while !self.is_done() {
            assert!(
                Instant::now() < until,
                "a device is stuck: {:?} of {:?}",
                self.cursors,
                self.heads
            );
            if self.conn.is_none() {
                self.connect();
            } else if self.step().is_none() {
                self.lost();
            }
        }
        self
    }

    fn is_done(&self) -> bool {
        let asked = self.syncing.is_some() || self.next_token.is_some() || !self.pulling.is_empty();
        self.synced_after_the_end && !asked && self.behind().is_empty()
    }

    fn behind(&self) -> Vec<u64> {
        let short = |(id, head): &(&u64, &u64)| self.cursors.get(id).copied().unwrap_or(0) < **head;
        self.heads.iter().filter(short).map(|(id, _)| *id).collect()
    }

    fn connect(&mut self) {
        let Ok(conn) = Connection::try_to(self.address) else {
            return self.world.wait_for_restart();
        };
        self.conn = Some(conn);
        if self.submit(self.hello.clone()).is_none() {
            self.lost();
        }
    }

    fn lost(&mut self) {
        self.conn = None;
        self.syncing = None;
        self.next_token = None;
        self.pulling.clear();
        self.synced_after_the_end = false;
    }

    /// `None` when the connection is lost.
    fn submit(&mut self, call: impl Call) -> Option<u16> {
        let conn = self.conn.as_mut()?;
        let (seq, frame) = conn.frame(call);
        conn.try_write(&frame).ok()?;
        Some(seq)
    }

    fn step(&mut self) -> Option<()> {
        match self.conn.as_mut()?.poll(LOOK) {
            None => {}
            Some(Incoming::End) => return None,
            Some(Incoming::Reply(seq, reply)) => self.answered(seq, *reply)?,
            Some(Incoming::Push(Push::EventsPush(page))) => self.apply(&page),
            Some(Incoming::Push(Push::HeadsPush(push))) => {
                for head in push.heads {
                    self.note_head(head.conversation_id, head.seq);
                }
            }
            Some(other) => panic!("{other:?}"),
        }
        // Welcomed: seq 1 was the hello.
        if self.syncing.is_some() || self.next_token.is_some() || !self.token.is_empty() {
            self.fill_window()?;
            self.pull()?;
        }
        if self.behind().is_empty()
            && let Some(token) = self.next_token.take()
        {
            self.token = token;
        }
        let end = self.world.finished.load(Ordering::SeqCst) && !self.synced_after_the_end;
        if end && self.syncing.is_none() && self.next_token.is_none() && self.in_flight.is_empty() {
            self.sync()?;
            self.synced_after_the_end = true;
        }
        Some(())
    }

    fn sync(&mut self) -> Option<()> {
        let request = v1::SyncRequest {
            token: self.token.clone(),
            limit: 3,
        };
        self.syncing = Some(self.submit(request)?);
        Some(())
    }

    fn fill_window(&mut self) -> Option<()> {
        while self.in_flight.len() < WINDOW
            && let Some(send) = self.unsent.pop_front()
        {
            self.sent.push(Sent {
                key: self.key(&send),
                body: send.content.as_ref().unwrap().body.to_vec(),
                invoked: self.world.now(),
            });
            let seq = self.submit(send.clone());
            self.in_flight.push_back((seq.unwrap_or(0), send));
            seq?;
        }
        Some(())
    }

    fn key(&self, send: &v1::SendRequest) -> Key {
        Key {
            conversation: send.conversation_id,
            sender: self.user,
            client_id: send.client_msg_id.as_ref().try_into().unwrap(),
        }
    }

    fn pull(&mut self) -> Option<()> {
        let pulled: BTreeSet<u64> = self.pulling.values().copied().collect();
        for conversation_id in self.behind() {
            if !pulled.contains(&conversation_id) {
                let seq = self.submit(v1::HistoryRequest {
                    conversation_id,
                    from_seq: self.cursors.get(&conversation_id).copied().unwrap_or(0) + 1,
                    limit: 50,
                    ..v1::HistoryRequest::default()
                })?;
                self.pulling.insert(seq, conversation_id);
            }
        }
        Some(())
    }

    fn answered(&mut self, seq: u16, reply: Reply) -> Option<()> {
        match reply {
            Reply::Hello(welcome) => {
                assert!(welcome.session.is_some());
                // First what is not acknowledged, in its old order, then anything new.
                self.repeated += self.in_flight.len();
                for (_, send) in std::mem::take(&mut self.in_flight) {
                    let seq = self.submit(send.clone());
                    self.in_flight.push_back((seq.unwrap_or(0), send));
                }
                self.sync()?;
            }
            Reply::Send(ack) => {
                let (first, send) = self.in_flight.pop_front().expect("something is in flight");
                assert!(
                    seq == first || self.other_conversation(&send, seq),
                    "one conversation is answered in order"
                );
                let answered = if seq == first {
                    send
                } else {
                    self.in_flight.push_front((first, send));
                    let index = self.in_flight.iter().position(|(other, _)| *other == seq)?;
                    self.in_flight.remove(index)?.1
                };
                self.acked.push(Ack {
                    key: self.key(&answered),
                    epoch: ack.epoch,
                    seq: ack.seq,
                    ordinal: ack.ordinal,
                    at: self.world.now(),
                });
                self.world.change(|(acked, _)| *acked += 1);
            }
            Reply::Sync(sync) => {
                assert_eq!(self.syncing.take(), Some(seq));
                assert!(!sync.restarted);
                sync.pages.iter().for_each(|page| self.apply(page));
                for view in &sync.conversations {
                    self.note_head(view.conversation_id, view.head_seq);
                }
                if sync.more {
                    let request = v1::SyncRequest {
                        token: sync.token,
                        limit: 3,
                    };
                    self.syncing = Some(self.submit(request)?);
                } else {
                    self.next_token = Some(sync.token);
                }
            }
            Reply::History(history) => {
                let conversation = self.pulling.remove(&seq).expect("it was asked");
                let page = history.page.unwrap();
                assert_eq!(page.conversation_id, conversation);
                self.apply(&page);
            }
            other => panic!("{other:?}"),
        }
        Some(())
    }

    /// Whether the send answered as `seq` is of another conversation than all before it.
    fn other_conversation(&self, first: &v1::SendRequest, seq: u16) -> bool {
        let Some(index) = self.in_flight.iter().position(|(other, _)| *other == seq) else {
            return false;
        };
        let conversation = self.in_flight[index].1.conversation_id;
        let before = self.in_flight.iter().take(index).map(|(_, send)| send);
        std::iter::once(first)
            .chain(before)
            .all(|send| send.conversation_id != conversation)
    }

    fn note_head(&mut self, conversation: u64, seq: u64) {
        let head = self.heads.entry(conversation).or_default();
        *head = seq.max(*head);
    }

    /// The rule of every device: what is next is applied, what is old is dropped, what is later is pulled for.
    fn apply(&mut self, page: &v1::Page) {
        self.note_head(page.conversation_id, page.to_seq);
        let cursor = self.cursors.entry(page.conversation_id).or_default();
        if page.from_seq > *cursor + 1 || page.to_seq <= *cursor {
            return;
        }
        let applied = self.applied.entry(page.conversation_id).or_default();
        applied.extend(page.events.iter().filter(|event| event.seq > *cursor).map(entry));
        *cursor = page.to_seq;
    }
}

pub(crate) fn entry(event: &v1::Event) -> Entry {
    Entry {
        seq: event.seq,
        ordinal: event.ordinal,
        sender: event.sender_id,
        client_id: event.client_msg_id.as_ref().try_into().unwrap(),
        message: event.kind() == v1::EventKind::Text,
        body: event
            .body
            .as_ref()
            .and_then(|body| body.content.as_ref())
            .map(|content| content.body.to_vec())
            .unwrap_or_default(),
    }
}

#[test]
fn what_was_in_flight_is_neither_lost_nor_doubled_nor_reordered_by_a_kill() {
    let seed = Random::seed("PIPELINE_SEED");
    println!("PIPELINE_SEED={seed}");
    let mut random = Random::new(seed);
    let mut daemon = Daemon::start();
    let mut users: Vec<User> = (0..USERS)
        .map(|number| daemon.register(&format!("user{number}")))
        .collect();
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let groups: Vec<u64> = (0..USERS / GROUP)
        .map(|group| users[group * GROUP].group("us", &ids[group * GROUP..(group + 1) * GROUP]))
        .collect();
    let world = Arc::new(World {
        started: Instant::now(),
        progress: Mutex::default(),
        changed: Condvar::new(),
        finished: AtomicBool::new(false),
    });
    let conversations: Vec<[u64; 2]> = (0..USERS)
        .map(|index| [users[index].direct(ids[index ^ 1]), groups[index / GROUP]])
        .collect();
    let threads: Vec<_> = users
        .drain(..)
        .zip(&conversations)
        .map(|(user, to)| {
            let unsent = (0..MESSAGES_PER_USER)
                .map(|number| text(to[random.below(2) as usize], &format!("{} {number}", user.name)))
                .collect();
            let device = Device {
                world: Arc::clone(&world),
                address: daemon.address(),
                hello: user.hello_again(),
                user: user.id,
                conn: None,
                unsent,
                in_flight: VecDeque::new(),
                sent: Vec::new(),
                acked: Vec::new(),
                applied: BTreeMap::new(),
                cursors: BTreeMap::new(),
                heads: BTreeMap::new(),
                token: Bytes::new(),
                next_token: None,
                syncing: None,
                pulling: BTreeMap::new(),
                synced_after_the_end: false,
                repeated: 0,
            };
            thread::spawn(move || device.run())
        })
        .collect();
    let all = (USERS * MESSAGES_PER_USER) as u64;
    let span = all / (KILLS + 1);
    for kill in 0..KILLS {
        world.wait_for(kill * span + 1 + random.below(span));
        daemon.restart();
        world.change(|(_, restarts)| *restarts += 1);
    }
    world.wait_for(all);
    world.finished.store(true, Ordering::SeqCst);

    let mut record = Record::default();
    let mut repeated = 0;
    for (thread, number) in threads.into_iter().zip(0..) {
        let device = thread.join().expect("a device that got to the end");
        repeated += device.repeated;
        record.sent.extend(device.sent);
        record.acked.extend(device.acked);
        for (conversation, applied) in device.applied {
            record
                .applied
                .insert((format!("user{number}"), conversation), applied);
        }
    }
    for (index, to) in conversations.iter().enumerate() {
        let mut reader = daemon.login(&format!("user{index}"), "reader");
        for conversation in to {
            let log = reader.history(*conversation).iter().map(entry).collect();
            record.logs.insert((*conversation, ids[index]), log);
        }
    }
    assert_eq!(
        (record.sent.len(), record.acked.len()),
        (all as usize, all as usize)
    );
    assert_eq!(record.applied.len(), 2 * USERS);
    assert!(
        repeated > 0,
        "no kill met anything in flight: this proves nothing"
    );
    let violations = checker::check(&record);
    assert!(
        violations.is_empty(),
        "{} violations, first {:?}",
        violations.len(),
        violations.first()
    );
}
