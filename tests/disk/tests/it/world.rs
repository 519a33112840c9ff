//! A store with accounts and sessions, a daemon on it, and traffic that survives the daemon's end: what was sent, what
//! was acknowledged, what devices applied, and the judgement of it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use client::{
    Client, Device, Options, Update,
    link::Identity,
    sync::{Snapshot, Start},
};
use disk::cache::{Cache, Image, put};
use protocol::{
    Reply,
    v1::{self, EventKind},
};
use tests::{
    checker::{self, Ack, Entry, Key, Record, Sent, Violation},
    harness::{Call, Connection, Daemon, Incoming, PATIENCE, Setup, User, hello, message_id, text},
};

/// Requests in flight at once.
const WINDOW: usize = 16;
/// How long devices may take to come to the end of the log.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Sends are many, and none may be refused for that.
const CONFIG: &str = "[limits]\nsends_per_second = 1000000\nsends_burst = 1000000\n";

/// A session that outlives its connections.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) device: String,
    pub(crate) token: String,
}

impl Account {
    fn of(user: User) -> Self {
        Self {
            id: user.id,
            device: user.device,
            token: user.token,
        }
    }

    fn hello(&self) -> v1::Hello {
        v1::Hello {
            session_token: self.token.clone(),
            ..hello(&self.device)
        }
    }

    /// The session on a new connection, if the daemon lives that long.
    pub(crate) fn try_resume(&self, address: SocketAddr) -> Option<User> {
        let mut conn = Connection::try_to(address).ok()?;
        let welcome = try_ask(&mut conn, self.hello())?.ok()?;
        let session = v1::Session {
            token: self.token.clone(),
            ..welcome.session?
        };
        Some(User::of(address, conn, &self.device, session))
    }

    /// The session on a new connection.
    pub(crate) fn resume(&self, address: SocketAddr) -> User {
        self.try_resume(address).expect("a session that is resumed")
    }
}

/// Asks a daemon that may end meanwhile: `None` then.
pub(crate) fn try_ask<C: Call>(conn: &mut Connection, call: C) -> Option<Result<C::Response, v1::Error>> {
    let (seq, bytes) = conn.frame(call);
    conn.try_write(&bytes).ok()?;
    loop {
        match conn.poll(PATIENCE)? {
            Incoming::Reply(answered, reply) if answered == seq => return C::response(*reply).ok().map(Ok),
            Incoming::Refused(answered, refusal) if answered == seq => return Some(Err(refusal)),
            Incoming::End => return None,
            _ => {}
        }
    }
}

/// A store with accounts and sessions in it, in a directory where it is put again and again.
pub(crate) struct World {
    directory: tempfile::TempDir,
    template: Image,
    /// Those who send.
    pub(crate) users: Vec<Account>,
    /// Their other devices.
    pub(crate) followers: Vec<Account>,
    pub(crate) pair: u64,
    pub(crate) group: u64,
}

/// How a daemon of these tests is started.
pub(crate) fn setup(place: &Path) -> Setup {
    Setup {
        data_dir: Some(place.to_owned()),
        ..Setup::config(CONFIG)
    }
    .allow_errors()
}

/// Ends a daemon in order.
pub(crate) fn end(daemon: &mut Daemon) -> std::process::ExitStatus {
    daemon.ask_to_end();
    daemon.ended()
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = disk::directory();
        let place = directory.path().join("data");
        let mut daemon = setup(&place).start();
        let mut users = vec![daemon.register("ada"), daemon.register("bob")];
        let followers = vec![daemon.login("ada", "follower"), daemon.login("bob", "follower")];
        let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
        let group = users[0].group("group", &ids[1..]);
        let pair = users[0].direct(ids[1]);
        let users = users.into_iter().map(Account::of).collect();
        let followers = followers.into_iter().map(Account::of).collect();
        assert!(end(&mut daemon).success());
        let template = Cache::of(&place).visible();
        Self {
            directory,
            template,
            users,
            followers,
            pair,
            group,
        }
    }

    /// The data directory.
    pub(crate) fn place(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A path beside it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The store as it was at the beginning, in the same files.
    pub(crate) fn reset(&self) {
        put(&self.template, &self.place());
    }

    /// Traffic between its users, of which nothing was sent yet.
    pub(crate) fn traffic(&self) -> Traffic<'_> {
        Traffic {
            world: self,
            began: Instant::now(),
            number: 0,
            record: Record::default(),
            waiting: Vec::new(),
            others: Vec::new(),
            devices: Vec::new(),
        }
    }
}

/// An acknowledged event that is no message: where it is, and of which request.
struct Other {
    conversation: u64,
    seq: u64,
    client_id: Vec<u8>,
}

/// See [`World::traffic`].
pub(crate) struct Traffic<'a> {
    world: &'a World,
    began: Instant,
    number: usize,
    pub(crate) record: Record,
    /// Not acknowledged yet, in the order in which they were sent, with their senders.
    waiting: Vec<(usize, v1::SendRequest)>,
    others: Vec<Other>,
    devices: Vec<Follower>,
}

impl Traffic<'_> {
    /// Devices that follow from nothing on, whenever somebody listens there.
    pub(crate) fn follow(&mut self, address: SocketAddr) {
        for (index, account) in self.world.followers.iter().enumerate() {
            self.devices.push(Follower::start(index, account, address));
        }
    }

    /// Messages acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.record.acked.len()
    }

    /// Sends so many events, some of which are edits and reactions, to a daemon that may end meanwhile: false then.
    pub(crate) fn send(&mut self, address: SocketAddr, count: usize, padding: usize) -> bool {
        let first = self.waiting.len();
        for _ in 0..count {
            self.compose(padding);
        }
        self.submit(address, first)
    }

    /// Repeats what was not acknowledged, under its ids, until all of it is.
    pub(crate) fn finish(&mut self, address: SocketAddr) {
        assert!(self.submit(address, 0), "the daemon lives on");
        assert!(
            self.waiting.is_empty(),
            "all is acknowledged in the end: {:?}",
            self.waiting.first()
        );
    }

    fn compose(&mut self, padding: usize) {
        self.number += 1;
        let number = self.number;
        let sender = number % 2;
        let conversation = if number.is_multiple_of(3) {
            self.world.group
        } else {
            self.world.pair
        };
        let send = match self.record.acked.last() {
            Some(ack) if number.is_multiple_of(10) => v1::SendRequest {
                conversation_id: ack.key.conversation,
                client_msg_id: message_id(),
                kind: EventKind::Reaction.into(),
                target_seq: ack.seq,
                reaction: format!("{number}"),
                ..v1::SendRequest::default()
            },
            _ => text(conversation, &format!("message {number} {}", "x".repeat(padding))),
        };
        if send.kind() == EventKind::Text {
            self.record.sent.push(Sent {
                key: self.key(sender, &send),
                body: send.content.as_ref().unwrap().body.to_vec(),
                invoked: self.now(),
            });
        }
        self.waiting.push((sender, send));
    }

    fn key(&self, sender: usize, send: &v1::SendRequest) -> Key {
        Key {
            conversation: send.conversation_id,
            sender: self.world.users[sender].id,
            client_id: send.client_msg_id.as_ref().try_into().unwrap(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sends what waits from this index on; what is acknowledged waits no more. Each sender's requests stay in order:
    /// one window after the other.
    fn submit(&mut self, address: SocketAddr, from: usize) -> bool {
        let mut users = Vec::new();
        for account in &self.world.users {
            let Some(user) = account.try_resume(address) else {
                return false;
            };
            users.push(user);
        }
        let sends: Vec<(usize, v1::SendRequest)> = self.waiting[from..].to_vec();
        let mut acknowledged = BTreeSet::new();
        let mut lives = true;
        for window in sends.chunks(WINDOW) {
            lives = self.submit_window(&mut users, window, &mut acknowledged);
            if !lives {
                break;
            }
        }
        self.waiting
            .retain(|(_, send)| !acknowledged.contains(&send.client_msg_id));
        lives
    }

    fn submit_window(
        &mut self,
        users: &mut [User],
        window: &[(usize, v1::SendRequest)],
        acknowledged: &mut BTreeSet<bytes::Bytes>,
    ) -> bool {
        let mut open: BTreeMap<(usize, u16), &v1::SendRequest> = BTreeMap::new();
        let mut lives = true;
        for (sender, send) in window {
            let (seq, bytes) = users[*sender].conn.frame(send.clone());
            lives &= users[*sender].conn.try_write(&bytes).is_ok();
            open.insert((*sender, seq), send);
        }
        for (sender, user) in users.iter_mut().enumerate() {
            while open.keys().any(|(of, _)| *of == sender) {
                match user.conn.poll(PATIENCE).expect("an answer, or the end") {
                    Incoming::Reply(seq, reply) => {
                        let send = open.remove(&(sender, seq)).expect("answered once");
                        let Reply::Send(answer) = *reply else {
                            panic!("answered with {reply:?}");
                        };
                        acknowledged.insert(send.client_msg_id.clone());
                        self.note(sender, send, &answer);
                    }
                    Incoming::Refused(seq, _) => {
                        open.remove(&(sender, seq));
                    }
                    Incoming::Push(_) => {}
                    Incoming::End => {
                        open.retain(|(of, _), _| *of != sender);
                        lives = false;
                    }
                }
            }
        }
        lives
    }

    fn note(&mut self, sender: usize, send: &v1::SendRequest, answer: &v1::SendResponse) {
        if send.kind() != EventKind::Text {
            self.others.push(Other {
                conversation: send.conversation_id,
                seq: answer.seq,
                client_id: send.client_msg_id.to_vec(),
            });
            return;
        }
        self.record.acked.push(Ack {
            key: self.key(sender, send),
            epoch: answer.epoch,
            seq: answer.seq,
            ordinal: answer.ordinal,
            at: self.now(),
        });
    }

    /// Reads every log, and says which promises were broken. Devices are left aside, and what was not acknowledged may
    /// be there or not.
    pub(crate) fn judge_logs(&self, address: SocketAddr) -> Vec<String> {
        let mut record = self.record.clone();
        record.logs = self.read(address);
        self.broken(&record)
    }

    fn read(&self, address: SocketAddr) -> BTreeMap<(u64, u64), Vec<Entry>> {
        let mut logs = BTreeMap::new();
        for account in &self.world.users {
            let mut user = account.resume(address);
            for conversation in [self.world.pair, self.world.group] {
                let log = user.history(conversation).iter().map(entry).collect();
                logs.insert((conversation, account.id), log);
            }
        }
        logs
    }

    /// Reads every log and every device to its end, and says which promises were broken.
    pub(crate) fn judge(mut self, address: SocketAddr) -> Vec<String> {
        let conversations = [self.world.pair, self.world.group];
        self.record.logs = self.read(address);
        let heads: BTreeMap<u64, u64> = conversations
            .iter()
            .map(|conversation| {
                let logs = self.record.logs.iter().find(|((of, _), _)| of == conversation);
                let head = logs.and_then(|(_, log)| log.last()).map_or(0, |entry| entry.seq);
                (*conversation, head)
            })
            .collect();
        for device in std::mem::take(&mut self.devices) {
            let name = device.name.clone();
            for (conversation, applied) in device.finish(&heads) {
                self.record.applied.insert((name.clone(), conversation), applied);
            }
        }
        self.broken(&self.record)
    }

    fn broken(&self, record: &Record) -> Vec<String> {
        // Requests that are in flight together and are repeated may change places.
        let is_promised = |violation: &&Violation| !matches!(violation, Violation::Reordered(..));
        let mut broken: Vec<String> = checker::check(record)
            .iter()
            .filter(is_promised)
            .map(ToString::to_string)
            .collect();
        for other in &self.others {
            let log = record.logs.iter().find(|((of, _), _)| *of == other.conversation);
            let found = log.and_then(|(_, log)| log.iter().find(|entry| entry.seq == other.seq));
            if found.is_none_or(|entry| entry.client_id[..] != other.client_id[..]) {
                broken.push(format!(
                    "a reaction at {} of {} is lost",
                    other.seq, other.conversation
                ));
            }
        }
        broken
    }
}

type Applied = BTreeMap<u64, Vec<Entry>>;

/// A device that applies what there is, on a thread of its own, and drops what it is told does not stand.
struct Follower {
    name: String,
    stop: Arc<AtomicBool>,
    heads: std::sync::mpsc::SyncSender<BTreeMap<u64, u64>>,
    thread: JoinHandle<Applied>,
}

impl Follower {
    fn start(index: usize, account: &Account, address: SocketAddr) -> Self {
        let identity = Identity {
            device: account.hello().device.unwrap(),
            program: "disk".to_owned(),
            token: Some(account.token.clone()),
        };
        let options = Options {
            server: address.to_string(),
            trust: client::Trust::default(),
            identity,
        };
        let (client, events) = Client::connect(options).expect("a client");
        let mut device = Device::new(client, events, Snapshot::default(), Start::Beginning);
        let (heads, wanted) = std::sync::mpsc::sync_channel::<BTreeMap<u64, u64>>(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut applied = Applied::new();
            let mut goal: Option<(BTreeMap<u64, u64>, Instant)> = None;
            while !stopped.load(Ordering::Relaxed) {
                if goal.is_none() {
                    goal = wanted
                        .try_recv()
                        .ok()
                        .map(|heads| (heads, Instant::now() + CATCH_UP));
                }
                if let Some((heads, deadline)) = &goal
                    && (reached(&applied, heads) || Instant::now() > *deadline)
                {
                    break;
                }
                match device.next(Instant::now() + Duration::from_millis(20)) {
                    Some(Update::Event(event)) => {
                        applied
                            .entry(event.conversation_id)
                            .or_default()
                            .push(entry(&event));
                    }
                    Some(Update::Rewound { conversation, to }) => {
                        applied
                            .entry(conversation)
                            .or_default()
                            .retain(|entry| entry.seq <= to);
                    }
                    _ => {}
                }
            }
            applied
        });
        Self {
            name: format!("follower {index}"),
            stop,
            heads,
            thread,
        }
    }

    fn finish(self, heads: &BTreeMap<u64, u64>) -> Applied {
        self.heads.send(heads.clone()).expect("a device that follows");
        let applied = self.thread.join().expect("a device that follows");
        self.stop.store(true, Ordering::Relaxed);
        applied
            .into_iter()
            .filter(|(conversation, _)| heads.contains_key(conversation))
            .collect()
    }
}

fn reached(applied: &Applied, heads: &BTreeMap<u64, u64>) -> bool {
    heads.iter().all(|(conversation, head)| {
        let last = applied.get(conversation).and_then(|events| events.last());
        last.map_or(0, |entry| entry.seq) >= *head
    })
}

/// An event as the checker takes it.
pub(crate) fn entry(event: &v1::Event) -> Entry {
    let content = event.body.as_ref().and_then(|body| body.content.as_ref());
    Entry {
        seq: event.seq,
        ordinal: event.ordinal,
        sender: event.sender_id,
        client_id: event.client_msg_id.as_ref().try_into().unwrap_or_default(),
        message: event.kind() == EventKind::Text,
        body: content.map(|content| content.body.to_vec()).unwrap_or_default(),
    }
}
