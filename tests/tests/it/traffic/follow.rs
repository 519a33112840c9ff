//! A device on a thread of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use client::{
    Client, Device, Options, Update,
    link::Identity,
    sync::{Snapshot, Start},
};
use tests::checker::Entry;

use super::entry;

/// How long devices may take to come to the end of the log.
const CATCH_UP: Duration = Duration::from_secs(120);

/// What a device has applied, by conversation.
pub(super) type Applied = BTreeMap<u64, Vec<Entry>>;

/// What a device must reach.
pub(super) struct Goal {
    /// The store's epoch.
    pub(super) epoch: u64,
    /// The last seq of each conversation.
    pub(super) heads: BTreeMap<u64, u64>,
}

/// It applies until it has reached the goal that it is told at the end.
pub(super) fn follow(
    server: SocketAddr,
    identity: Identity,
    wanted: Receiver<Goal>,
) -> (Client, thread::JoinHandle<Applied>) {
    let options = Options {
        server: server.to_string(),
        trust: client::Trust::default(),
        identity,
    };
    let (client, events) = Client::connect(options).expect("a client");
    let mut device = Device::new(client.clone(), events, Snapshot::default(), Start::Beginning);
    let thread = thread::spawn(move || {
        let mut book = Book::default();
        let mut goal: Option<(Goal, Instant)> = None;
        loop {
            if goal.is_none() {
                goal = wanted
                    .try_recv()
                    .ok()
                    .map(|goal| (goal, Instant::now() + CATCH_UP));
            }
            if let Some((goal, deadline)) = &goal
                && (book.has_reached(goal) && device.snapshot().epoch == goal.epoch
                    || Instant::now() > *deadline)
            {
                return book.applied;
            }
            match device.next(Instant::now() + Duration::from_millis(100)) {
                Some(Update::Event(event)) => book.apply(event.conversation_id, entry(&event)),
                Some(Update::Rewound { conversation, to }) => book.rewind(conversation, to),
                Some(Update::Ended(ending)) => eprintln!("a device ended: {ending}"),
                _ => {}
            }
        }
    });
    (client, thread)
}

/// What was applied and still stands.
#[derive(Default)]
struct Book {
    applied: Applied,
}

impl Book {
    fn rewind(&mut self, conversation: u64, to: u64) {
        if let Some(entries) = self.applied.get_mut(&conversation) {
            entries.retain(|entry| entry.seq <= to);
        }
    }

    fn apply(&mut self, conversation: u64, entry: Entry) {
        self.applied.entry(conversation).or_default().push(entry);
    }

    fn has_reached(&self, goal: &Goal) -> bool {
        goal.heads.iter().all(|(conversation, head)| {
            self.applied
                .get(conversation)
                .and_then(|events| events.last())
                .map_or(0, |entry| entry.seq)
                >= *head
        })
    }
}
