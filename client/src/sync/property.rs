//! The machine against a simulated log: whatever is lost, repeated, reordered or cut short, the device
//! ends up with exactly what it may see, each event once and in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use protocol::v1;

use super::{Action, Failure, Machine, RequestId, Snapshot, Start};

const CONVERSATIONS: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Appends; the hint about it is written as an event, as a head, twice, or not at all.
    Append {
        conversation: u64,
        hint: u8,
        place: u8,
    },
    /// The user joins or leaves: an event as well.
    Membership {
        conversation: u64,
        hint: u8,
    },
    /// Some older interval is pushed again.
    Repeat {
        conversation: u64,
        from: u8,
        length: u8,
    },
    /// The server forgets what it had to say and asks for a resync.
    Overflow,
    Pong,
    /// One message of the wire reaches the device.
    Deliver,
    /// The device takes one action.
    Act,
    /// The server answers one request, or refuses it for now.
    Answer {
        which: u8,
        fail: bool,
    },
    Retry,
    Disconnect,
    Connect,
    /// The device stores what it has.
    Persist,
    /// The device starts again from what it stored.
    Crash,
    /// The store comes back from a backup that lacks the newest events.
    Restore {
        lost: u8,
    },
}

/// Decoded from bytes rather than composed of strategies: many times faster, and it shrinks as well.
fn op() -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(|[what, one, two, three]| {
        let conversation = u64::from(one) % CONVERSATIONS + 1;
        match what % 70 {
            0..12 => Op::Append {
                conversation,
                hint: two,
                place: three,
            },
            12..15 => Op::Membership {
                conversation,
                hint: two,
            },
            15..17 => Op::Repeat {
                conversation,
                from: two,
                length: three % 6,
            },
            17 => Op::Overflow,
            18..21 => Op::Pong,
            21..35 => Op::Deliver,
            35..50 => Op::Act,
            50..60 => Op::Answer {
                which: one,
                fail: two % 10 == 0,
            },
            60 => Op::Retry,
            61 => Op::Disconnect,
            62..65 => Op::Connect,
            65..68 => Op::Persist,
            68 => Op::Crash,
            _ => Op::Restore { lost: one % 8 },
        }
    })
}

/// The log of one epoch as one user sees it.
#[derive(Clone, Debug, Default)]
struct Log {
    /// Commit order: conversation, seq, visible.
    commits: Vec<(u64, u64, bool)>,
    member: BTreeMap<u64, bool>,
}

impl Log {
    fn append(&mut self, conversation: u64, visible: bool) -> u64 {
        let seq = self.length(conversation) + 1;
        self.commits.push((conversation, seq, visible));
        seq
    }

    fn is_member(&self, conversation: u64) -> bool {
        self.member.get(&conversation).copied().unwrap_or(true)
    }

    fn length(&self, conversation: u64) -> u64 {
        self.commits
            .iter()
            .filter(|commit| commit.0 == conversation)
            .count() as u64
    }

    fn visible(&self, conversation: u64) -> Vec<u64> {
        let mine = self
            .commits
            .iter()
            .filter(|commit| commit.0 == conversation && commit.2);
        mine.map(|commit| commit.1).collect()
    }

    fn head(&self, conversation: u64) -> u64 {
        self.visible(conversation).last().copied().unwrap_or(0)
    }

    /// Where the newest run of visible events begins.
    fn newest_stretch(&self, conversation: u64) -> u64 {
        let mut start = 1;
        let mut last = 0;
        for seq in self.visible(conversation) {
            if seq > last + 1 {
                start = seq;
            }
            last = seq;
        }
        start
    }

    fn page(&self, epoch: u64, conversation: u64, from: u64, to: u64) -> v1::Page {
        let visible = self.visible(conversation).into_iter();
        v1::Page {
            conversation_id: conversation,
            epoch,
            from_seq: from,
            to_seq: to,
            events: visible
                .filter(|seq| (from..=to).contains(seq))
                .map(|seq| v1::Event {
                    conversation_id: conversation,
                    seq,
                    ..v1::Event::default()
                })
                .collect(),
            head_seq: 0,
        }
    }

    fn conversation(&self, conversation: u64) -> v1::Conversation {
        v1::Conversation {
            conversation_id: conversation,
            head_seq: self.head(conversation),
            first_seq: self.newest_stretch(conversation),
            ..v1::Conversation::default()
        }
    }
}

#[derive(Clone, Debug)]
enum Wire {
    Page(v1::Page),
    Heads(v1::HeadsPush),
    Pong(Bytes),
    List(RequestId, v1::ListConversationsResponse),
    Sync(RequestId, v1::SyncResponse),
    History(RequestId, v1::Page),
    Failure(RequestId, Failure),
}

#[derive(Clone, Debug, Default)]
struct Applied(BTreeMap<u64, Vec<u64>>);

struct World {
    start: Start,
    epoch: u64,
    logs: BTreeMap<u64, Log>,
    connected: bool,
    synced: bool,
    unhinted: Vec<(u64, u64)>,
    wire: VecDeque<Wire>,
    requests: Vec<Action>,
    machine: Machine,
    applied: Applied,
    stored: (Snapshot, Applied),
}

fn token(epoch: u64, position: usize) -> Bytes {
    Bytes::from([epoch.to_be_bytes(), (position as u64).to_be_bytes()].concat())
}

fn parse(token: &[u8]) -> Option<(u64, usize)> {
    let (epoch, position) = token.split_first_chunk::<8>()?;
    let position = u64::from_be_bytes(position.try_into().ok()?);
    Some((u64::from_be_bytes(*epoch), position as usize))
}

impl World {
    fn new(start: Start) -> Self {
        Self {
            start,
            epoch: 1,
            logs: BTreeMap::from([(1, Log::default())]),
            connected: false,
            synced: false,
            unhinted: Vec::new(),
            wire: VecDeque::new(),
            requests: Vec::new(),
            machine: Machine::new(Snapshot::default(), start),
            applied: Applied::default(),
            stored: (Snapshot::default(), Applied::default()),
        }
    }

    fn log(&mut self) -> &mut Log {
        self.logs.entry(self.epoch).or_default()
    }

    fn log_page(&mut self, conversation: u64, from: u64, to: u64) -> v1::Page {
        let epoch = self.epoch;
        self.log().page(epoch, conversation, from, to)
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Append {
                conversation,
                hint,
                place,
            } => {
                let visible = self.log().is_member(conversation);
                let seq = self.log().append(conversation, visible);
                if visible {
                    self.hint(conversation, seq, hint, place);
                }
            }
            Op::Membership { conversation, hint } => {
                // Joining and leaving are both seen by the one they are about.
                let member = self.log().is_member(conversation);
                self.log().member.insert(conversation, !member);
                let seq = self.log().append(conversation, true);
                self.hint(conversation, seq, hint, hint);
            }
            Op::Repeat {
                conversation,
                from,
                length,
            } => self.repeat(conversation, from, length),
            Op::Overflow if self.connected => {
                self.unhinted.clear();
                let heads = v1::HeadsPush {
                    epoch: self.epoch,
                    resync: true,
                    heads: Vec::new(),
                };
                self.wire.push_back(Wire::Heads(heads));
            }
            Op::Pong if self.connected => self.pong(),
            Op::Overflow | Op::Pong => {}
            Op::Deliver => self.deliver(),
            Op::Act => drop(self.act()),
            Op::Answer { which, fail } => self.answer(which, fail),
            Op::Retry => self.machine.retry(),
            Op::Disconnect => self.disconnect(),
            Op::Connect => self.connect(),
            Op::Persist => self.stored = (self.machine.snapshot(), self.applied.clone()),
            Op::Crash => {
                self.disconnect();
                let (snapshot, applied) = self.stored.clone();
                self.machine = Machine::new(snapshot, self.start);
                self.applied = applied;
            }
            Op::Restore { lost } => {
                self.disconnect();
                let mut log = self.log().clone();
                log.commits
                    .truncate(log.commits.len().saturating_sub(lost.into()));
                self.epoch += 1;
                self.logs.insert(self.epoch, log);
            }
        }
    }

    /// Hints may overtake each other, but nothing overtakes an answer or a pong.
    fn hint(&mut self, conversation: u64, seq: u64, hint: u8, place: u8) {
        if !self.connected {
            return;
        }
        let page = self.log_page(conversation, seq, seq);
        let head = v1::HeadsPush {
            epoch: self.epoch,
            heads: vec![v1::Head {
                conversation_id: conversation,
                seq,
            }],
            resync: false,
        };
        match hint % 8 {
            0..4 => self.write(Wire::Page(page), place),
            4 => {
                self.write(Wire::Page(page.clone()), place);
                self.write(Wire::Page(page), place / 2);
            }
            5 => self.write(Wire::Heads(head), place),
            _ => self.unhinted.push((conversation, seq)),
        }
    }

    fn write(&mut self, message: Wire, place: u8) {
        let is_hint = |message: &Wire| matches!(message, Wire::Page(_) | Wire::Heads(_));
        let free = self
            .wire
            .iter()
            .rev()
            .take_while(|message| is_hint(message))
            .count();
        let back = usize::from(place) % (free + 1);
        self.wire.insert(self.wire.len() - back, message);
    }

    fn repeat(&mut self, conversation: u64, from: u8, length: u8) {
        let head = self.log().head(conversation);
        if self.connected && head > 0 {
            let from = u64::from(from) % head + 1;
            let to = (from + u64::from(length)).min(head);
            let page = self.log_page(conversation, from, to);
            self.wire.push_back(Wire::Page(page));
        }
    }

    fn pong(&mut self) {
        let epoch = self.epoch;
        let heads = std::mem::take(&mut self.unhinted).into_iter();
        let heads: Vec<_> = heads
            .map(|(conversation_id, seq)| v1::Head { conversation_id, seq })
            .collect();
        if !heads.is_empty() {
            self.wire.push_back(Wire::Heads(v1::HeadsPush {
                epoch,
                heads,
                resync: false,
            }));
        }
        let position = self.log().commits.len();
        let token = if self.synced {
            token(epoch, position)
        } else {
            Bytes::new()
        };
        self.wire.push_back(Wire::Pong(token));
    }

    fn connect(&mut self) {
        if !self.connected {
            self.connected = true;
            self.machine.handle_connected(3);
        }
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.synced = false;
        self.wire.clear();
        self.requests.clear();
        self.unhinted.clear();
        self.machine.handle_disconnected();
    }

    fn deliver(&mut self) {
        let Some(message) = self.wire.pop_front() else {
            return;
        };
        let taken = match message {
            Wire::Page(page) => self.machine.handle_page(page),
            Wire::Heads(heads) => self.machine.handle_heads(&heads),
            Wire::Pong(token) => {
                self.machine.handle_pong(token);
                Ok(())
            }
            Wire::List(id, list) => self.machine.handle_list(id, &list),
            Wire::Sync(id, sync) => self.machine.handle_sync(id, sync),
            Wire::History(id, page) => self.machine.handle_history(id, page),
            Wire::Failure(id, failure) => {
                self.machine.handle_failure(id, failure);
                Ok(())
            }
        };
        taken.expect("the simulated server keeps to the protocol");
    }

    fn act(&mut self) -> bool {
        let Some(action) = self.machine.next_action() else {
            return false;
        };
        match action {
            Action::Apply(event) => self.apply(&event),
            Action::StoreToken(token) => self.check_token(&token),
            Action::Restart => self.applied = Applied::default(),
            Action::Acknowledge(_) => {}
            request => self.requests.push(request),
        }
        true
    }

    fn apply(&mut self, event: &v1::Event) {
        let epoch = self.machine.snapshot().epoch;
        let visible = self.logs[&epoch].visible(event.conversation_id);
        let applied = self.applied.0.entry(event.conversation_id).or_default();
        let next = match applied.last() {
            Some(last) => visible.into_iter().find(|seq| seq > last),
            None if self.start == Start::Beginning => visible.first().copied(),
            None => Some(event.seq),
        };
        assert_eq!(next, Some(event.seq), "the next visible event, once and in order");
        applied.push(event.seq);
    }

    /// A stored token covers nothing that was not applied.
    fn check_token(&self, token: &[u8]) {
        let (epoch, position) = parse(token).expect("a token of the simulated server");
        assert_eq!(epoch, self.machine.snapshot().epoch);
        for (conversation, seq, visible) in &self.logs[&epoch].commits[..position] {
            let cursor = self.machine.cursor(*conversation);
            assert!(
                !visible || cursor >= *seq,
                "{conversation}/{seq} is covered but not applied"
            );
        }
    }

    fn answer(&mut self, which: u8, fail: bool) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(usize::from(which) % self.requests.len());
        let answer = match request {
            Action::List { id, .. } | Action::Sync { id, .. } | Action::Pull { id, .. } if fail => {
                Wire::Failure(id, Failure::Later)
            }
            Action::List { id, request } => Wire::List(id, self.list(&request)),
            Action::Sync { id, request } => {
                self.synced = true;
                Wire::Sync(id, self.sync(&request))
            }
            Action::Pull { id, request } if request.epoch != self.epoch => Wire::Failure(id, Failure::Epoch),
            Action::Pull { id, request } => Wire::History(id, self.history(&request)),
            other => panic!("{other:?} is no request"),
        };
        self.wire.push_back(answer);
    }

    fn list(&mut self, request: &v1::ListConversationsRequest) -> v1::ListConversationsResponse {
        let epoch = self.epoch;
        let first = u64::from(request.before.first().copied().unwrap_or(0)) + 1;
        let position = self.log().commits.len();
        let log = self.log();
        v1::ListConversationsResponse {
            conversations: vec![log.conversation(first)],
            before: Bytes::from(vec![first as u8]),
            more: first < CONVERSATIONS,
            sync_token: if first == 1 {
                token(epoch, position)
            } else {
                Bytes::new()
            },
            epoch,
        }
    }

    fn sync(&mut self, request: &v1::SyncRequest) -> v1::SyncResponse {
        let epoch = self.epoch;
        let (known, from) = parse(&request.token).unwrap_or((epoch, 0));
        let restarted = known != epoch;
        let from = if restarted { 0 } else { from };
        let log = self.log();
        // Two conversations an answer: the token goes as far as they allow.
        let mut changed = Vec::new();
        let mut position = from;
        for (conversation, _, visible) in &log.commits[from..] {
            if *visible && !changed.contains(conversation) {
                if changed.len() == 2 {
                    break;
                }
                changed.push(*conversation);
            }
            position += 1;
        }
        let newest = |conversation: &u64| {
            let head = log.head(*conversation);
            log.page(epoch, *conversation, head, head)
        };
        v1::SyncResponse {
            token: token(epoch, position),
            epoch,
            conversations: changed.iter().map(|id| log.conversation(*id)).collect(),
            pages: changed.iter().filter(|id| *id % 2 == 0).map(newest).collect(),
            more: position < log.commits.len(),
            restarted,
            ..v1::SyncResponse::default()
        }
    }

    fn history(&mut self, request: &v1::HistoryRequest) -> v1::Page {
        let epoch = self.epoch;
        let (id, from) = (request.conversation_id, request.from_seq);
        let log = self.log();
        let seen: Vec<u64> = log.visible(id).into_iter().filter(|seq| *seq >= from).collect();
        let to = match seen.get(request.limit as usize - 1) {
            Some(last) => *last,
            // Sometimes the page reaches over what was said after the user had left.
            None if id % 2 == 0 => log.length(id).max(from - 1),
            None => log.head(id).max(from - 1),
        };
        v1::Page {
            head_seq: log.head(id),
            ..log.page(epoch, id, from, to)
        }
    }

    /// All faults over: everything that is visible arrives.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.connect();
            self.machine.retry();
            for round in 0.. {
                assert!(round < 20_000, "it never comes to rest");
                let acted = self.act();
                let idle = !acted && self.requests.is_empty() && self.wire.is_empty();
                self.answer(0, false);
                self.deliver();
                if idle {
                    break;
                }
            }
            self.pong();
        }
        assert!(self.machine.is_caught_up(), "{:#?}", self.machine);
    }
}

fn run(start: Start, ops: Vec<Op>) -> World {
    let mut world = World::new(start);
    for op in ops {
        world.step(op);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_device_ends_up_with_exactly_what_it_may_see(ops in vec(op(), 1..250)) {
        let mut world = run(Start::Beginning, ops);
        for conversation in 1..=CONVERSATIONS {
            let visible = world.log().visible(conversation);
            let applied = world.applied.0.get(&conversation).cloned().unwrap_or_default();
            prop_assert_eq!(applied, visible, "conversation {}", conversation);
        }
        let position = world.log().commits.len();
        prop_assert_eq!(world.machine.snapshot().token, Some(token(world.epoch, position)));
    }

    #[test]
    fn a_device_that_joins_misses_nothing_from_then_on(before in vec(op(), 0..80), after in vec(op(), 1..150)) {
        let mut world = run(Start::Heads, before);
        let heads: Vec<u64> = (1..=CONVERSATIONS).map(|id| world.log().head(id)).collect();
        let epoch = world.epoch;
        let after: Vec<Op> = after.into_iter().filter(|op| !matches!(op, Op::Restore { .. })).collect();
        // What happens before the stored state exists would be history again after a crash.
        world.step(Op::Persist);
        for op in after {
            world.step(op);
        }
        world.settle();
        prop_assert_eq!(world.epoch, epoch);
        for (conversation, head) in (1..=CONVERSATIONS).zip(heads) {
            let is_new = |seq: &u64| *seq > head;
            let visible: Vec<u64> = world.log().visible(conversation).into_iter().filter(is_new).collect();
            let applied = world.applied.0.get(&conversation).cloned().unwrap_or_default();
            let applied: Vec<u64> = applied.into_iter().filter(is_new).collect();
            prop_assert_eq!(applied, visible, "conversation {}", conversation);
        }
    }
}
