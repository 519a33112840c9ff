//! The machine against a simulated log: whatever is lost, repeated, reordered or cut short, and whichever past the
//! store comes back with, the device ends up with exactly what it may see, each event once and in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use protocol::v1;

use super::{Action, Failure, Machine, Mark, RequestId, Snapshot, Start};

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
    /// The store comes back from a backup of some epoch, which lacks the newest events.
    Restore {
        of: u8,
        lost: u8,
    },
    /// The store comes back without its newest events, and does not notice.
    LoseTail {
        lost: u8,
    },
}

/// Decoded from bytes rather than composed of strategies: many times faster, and it shrinks as well.
fn op() -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(|[what, one, two, three]| {
        let conversation = u64::from(one) % CONVERSATIONS + 1;
        match what % 72 {
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
            69 => Op::Restore {
                of: two % 4,
                lost: one % 8,
            },
            _ => Op::LoseTail { lost: one % 8 },
        }
    })
}

/// One event as one user sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Commit {
    conversation: u64,
    seq: u64,
    visible: bool,
    /// No two events of any past have the same.
    id: u64,
}

impl Commit {
    fn event(&self) -> v1::Event {
        v1::Event {
            conversation_id: self.conversation,
            seq: self.seq,
            sent_at_ms: self.id,
            sender_id: self.id % 2,
            client_msg_id: Bytes::copy_from_slice(&self.id.to_be_bytes()),
            ..v1::Event::default()
        }
    }
}

/// The log of one past as one user sees it.
#[derive(Clone, Debug, Default)]
struct Log {
    /// In the order of their commits.
    commits: Vec<Commit>,
    member: BTreeMap<u64, bool>,
    /// Of each generation, the position where it began.
    generations: BTreeMap<u64, usize>,
}

impl Log {
    fn append(&mut self, conversation: u64, visible: bool, id: u64) -> u64 {
        let seq = self.length(conversation) + 1;
        self.commits.push(Commit {
            conversation,
            seq,
            visible,
            id,
        });
        seq
    }

    /// Without its newest events, started again.
    fn cut(&mut self, lost: u8, generation: u64) {
        let left = self.commits.len().saturating_sub(lost.into());
        self.commits.truncate(left);
        self.generations.retain(|_, began| *began <= left);
        self.generations.insert(generation, left);
    }

    /// Whether a claim of a generation reaches no further than that did.
    fn is_known(&self, generation: u64, position: usize) -> bool {
        let end = self.generations.range(generation + 1..).next();
        let end = end.map_or(self.commits.len(), |(_, began)| *began);
        self.generations.contains_key(&generation) && position <= end
    }

    fn is_member(&self, conversation: u64) -> bool {
        self.member.get(&conversation).copied().unwrap_or(true)
    }

    fn length(&self, conversation: u64) -> u64 {
        self.commits
            .iter()
            .filter(|commit| commit.conversation == conversation)
            .count() as u64
    }

    fn commits(&self, conversation: u64) -> impl Iterator<Item = &Commit> {
        let mine = move |commit: &&Commit| commit.conversation == conversation && commit.visible;
        self.commits.iter().filter(mine)
    }

    fn visible(&self, conversation: u64) -> Vec<u64> {
        self.commits(conversation).map(|commit| commit.seq).collect()
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
        let events = self
            .commits(conversation)
            .filter(|commit| (from..=to).contains(&commit.seq));
        v1::Page {
            conversation_id: conversation,
            epoch,
            from_seq: from,
            to_seq: to,
            events: events.map(Commit::event).collect(),
            head_seq: 0,
        }
    }

    fn conversation(&self, conversation: u64) -> v1::Conversation {
        v1::Conversation {
            conversation_id: conversation,
            head_seq: self.head(conversation),
            last_at_ms: self.commits(conversation).last().map_or(0, |commit| commit.id),
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

/// By conversation, seqs and ids.
#[derive(Clone, Debug, Default)]
struct Applied(BTreeMap<u64, Vec<(u64, u64)>>);

struct World {
    start: Start,
    epoch: u64,
    generation: u64,
    last_id: u64,
    /// What tokens were given out for.
    issued: BTreeMap<Vec<u8>, Vec<Commit>>,
    logs: BTreeMap<u64, Log>,
    connected: bool,
    synced: bool,
    unhinted: Vec<(u64, u64)>,
    wire: VecDeque<Wire>,
    requests: Vec<Action>,
    machine: Machine,
    applied: Applied,
    stored: (Snapshot, Applied),
    /// Whether each event is noted beside what is stored, as `im` does it.
    notes: bool,
}

fn token(epoch: u64, generation: u64, position: usize) -> Bytes {
    let numbers = [epoch, generation, position as u64];
    numbers.map(u64::to_be_bytes).concat().into()
}

fn parse(token: &[u8]) -> Option<(u64, u64, usize)> {
    let (numbers, []) = token.as_chunks::<8>() else {
        return None;
    };
    let [epoch, generation, position] = numbers.try_into().ok()?;
    let position = u64::from_be_bytes(position) as usize;
    Some((
        u64::from_be_bytes(epoch),
        u64::from_be_bytes(generation),
        position,
    ))
}

impl World {
    fn new(start: Start, notes: bool) -> Self {
        let mut log = Log::default();
        log.cut(0, 1);
        Self {
            start,
            epoch: 1,
            generation: 1,
            last_id: 0,
            issued: BTreeMap::new(),
            logs: BTreeMap::from([(1, log)]),
            connected: false,
            synced: false,
            unhinted: Vec::new(),
            wire: VecDeque::new(),
            requests: Vec::new(),
            machine: Machine::new(Snapshot::default(), start),
            applied: Applied::default(),
            stored: (Snapshot::default(), Applied::default()),
            notes,
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
                let seq = self.append(conversation, visible);
                if visible {
                    self.hint(conversation, seq, hint, place);
                }
            }
            Op::Membership { conversation, hint } => {
                // Joining and leaving are both seen by the one they are about.
                let member = self.log().is_member(conversation);
                self.log().member.insert(conversation, !member);
                let seq = self.append(conversation, true);
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
            Op::Restore { of, lost } => {
                let of = self.epoch.saturating_sub(of.into()).max(1);
                self.begin_past(of, lost);
            }
            Op::LoseTail { lost } => {
                self.disconnect();
                self.generation += 1;
                let generation = self.generation;
                self.log().cut(lost, generation);
            }
        }
    }

    fn append(&mut self, conversation: u64, visible: bool) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.log().append(conversation, visible, id)
    }

    /// A new epoch, with what `of` has but for its newest events.
    fn begin_past(&mut self, of: u64, lost: u8) {
        self.disconnect();
        self.generation += 1;
        let mut log = self.logs[&of].clone();
        log.cut(lost, self.generation);
        self.epoch += 1;
        self.logs.insert(self.epoch, log);
    }

    /// A token for the first commits.
    fn token(&mut self, position: usize) -> Bytes {
        let token = token(self.epoch, self.generation, position);
        // What lies behind as well is still to be told as a whole.
        let commits = &self.log().commits;
        let is_told = |commit: &&Commit| {
            let of_same = |later: &Commit| later.conversation == commit.conversation && later.visible;
            !commits[position..].iter().any(of_same)
        };
        let covers = commits[..position].iter().filter(is_told).copied().collect();
        self.issued.insert(token.to_vec(), covers);
        token
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
            self.token(position)
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
            Action::Restart => self.keep(),
            Action::Rewind { conversation, to } => {
                self.applied
                    .0
                    .entry(conversation)
                    .or_default()
                    .retain(|(seq, _)| *seq <= to);
                self.keep();
            }
            Action::Acknowledge(delivered) => self.check_acknowledged(&delivered),
            request => self.requests.push(request),
        }
        true
    }

    fn keep(&mut self) {
        if self.notes {
            self.stored = (self.machine.snapshot(), self.applied.clone());
        }
    }

    fn apply(&mut self, event: &v1::Event) {
        let applied = self.applied.0.entry(event.conversation_id).or_default();
        let last = applied.last().map_or(0, |(seq, _)| *seq);
        assert!(event.seq > last, "once and in order");
        applied.push((event.seq, event.sent_at_ms));
        if self.notes {
            self.stored.0.note(event.conversation_id, Mark::of(event));
            self.stored.1 = self.applied.clone();
        }
    }

    /// A stored token covers nothing that was not applied.
    fn check_token(&mut self, token: &[u8]) {
        for commit in &self.issued[token] {
            let cursor = self.machine.cursor(commit.conversation);
            assert!(
                !commit.visible || cursor >= commit.seq,
                "{commit:?} is covered but not applied"
            );
        }
        self.keep();
    }

    /// A device says of nothing that it has it, which this server does not have.
    fn check_acknowledged(&mut self, delivered: &v1::DeliveredRequest) {
        for head in &delivered.up_to {
            let length = self.log().length(head.conversation_id);
            assert!(head.seq <= length, "{head:?} is beyond {length}");
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
            Action::Sync { request, .. } if self.is_witness(&request.token) => {
                self.begin_past(self.epoch, 0);
                return;
            }
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

    /// A token about something that this log does not have.
    fn is_witness(&mut self, token: &[u8]) -> bool {
        let epoch = self.epoch;
        parse(token).is_some_and(|(known, generation, position)| {
            known == epoch && !self.log().is_known(generation, position)
        })
    }

    fn list(&mut self, request: &v1::ListConversationsRequest) -> v1::ListConversationsResponse {
        let epoch = self.epoch;
        let first = u64::from(request.before.first().copied().unwrap_or(0)) + 1;
        let position = self.log().commits.len();
        let sync_token = if first == 1 {
            self.token(position)
        } else {
            Bytes::new()
        };
        let log = self.log();
        v1::ListConversationsResponse {
            conversations: vec![log.conversation(first)],
            before: Bytes::from(vec![first as u8]),
            more: first < CONVERSATIONS,
            sync_token,
            epoch,
        }
    }

    fn sync(&mut self, request: &v1::SyncRequest) -> v1::SyncResponse {
        let epoch = self.epoch;
        let (known, _, from) = parse(&request.token).unwrap_or((epoch, 0, 0));
        let restarted = known != epoch;
        let from = if restarted { 0 } else { from };
        let log = self.log();
        // Two conversations an answer, those whose last event is oldest first: the token goes as far as they allow.
        let mut changed = Vec::new();
        let mut position = from;
        for commit in &log.commits[from..] {
            if commit.visible && commit.seq == log.head(commit.conversation) {
                if changed.len() == 2 {
                    break;
                }
                changed.push(commit.conversation);
            }
            position += 1;
        }
        let token = self.token(position);
        let log = self.log();
        let newest = |conversation: &u64| {
            let head = log.head(*conversation);
            log.page(epoch, *conversation, head, head)
        };
        v1::SyncResponse {
            token,
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
        assert!(from <= log.head(id) + 1, "asked beyond the head");
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
        for _ in 0..4 {
            self.machine.retry();
            for round in 0.. {
                assert!(round < 20_000, "it never comes to rest");
                self.connect();
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

fn run(start: Start, notes: bool, ops: Vec<Op>) -> World {
    let mut world = World::new(start, notes);
    for op in ops {
        world.step(op);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_device_ends_up_with_exactly_what_it_may_see(notes: bool, ops in vec(op(), 1..250)) {
        let mut world = run(Start::Beginning, notes, ops);
        for conversation in 1..=CONVERSATIONS {
            let visible: Vec<_> = world.log().commits(conversation).map(|commit| (commit.seq, commit.id)).collect();
            let applied = world.applied.0.get(&conversation).cloned().unwrap_or_default();
            prop_assert_eq!(applied, visible, "conversation {}", conversation);
        }
        let position = world.log().commits.len();
        prop_assert_eq!(world.machine.snapshot().token, Some(token(world.epoch, world.generation, position)));
    }

    /// Whatever is in the log in the end and was not history when the device began was applied, however often the
    /// store has come back with another past. What was history may come as well then.
    #[test]
    fn a_device_that_joins_misses_nothing_from_then_on(
        notes: bool,
        before in vec(op(), 0..80),
        after in vec(op(), 1..150),
    ) {
        let mut world = run(Start::Heads, notes, before);
        let history = world.last_id;
        // What happens before the stored state exists would be history again after a crash.
        world.step(Op::Persist);
        for op in after {
            world.step(op);
        }
        world.settle();
        for conversation in 1..=CONVERSATIONS {
            let is_new = |(_, id): &(u64, u64)| *id > history;
            let visible = world.log().commits(conversation).map(|commit| (commit.seq, commit.id));
            let visible: Vec<_> = visible.filter(is_new).collect();
            let applied = world.applied.0.get(&conversation).cloned().unwrap_or_default();
            let applied: Vec<_> = applied.into_iter().filter(is_new).collect();
            prop_assert_eq!(applied, visible, "conversation {}", conversation);
        }
    }
}
