//! A stream that breaks again and again: whoever resumes it by its ids has seen the log in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use protocol::{Decode, Encoding, Push, v1};
use tests::{
    harness::{Account, Daemon, Events, Setup, Web, message_id, text},
    random::Random,
};

use super::direct;

/// What a device knows that follows a stream and pulls what it is told of.
struct Device {
    address: SocketAddr,
    account: Account,
    web: Web,
    /// The newest id, from where it resumes.
    id: String,
    /// Seen of each conversation, by a push or by pulling.
    seen: BTreeMap<u64, BTreeSet<u64>>,
    /// Events that came on the stream.
    streamed: usize,
    pulled: usize,
}

impl Device {
    fn new(address: SocketAddr, account: Account) -> Self {
        let mut events = Events::open_at(address, &account.token, "/v1/events?since=", &[]);
        events.synced();
        let id = events.next_id();
        Self {
            address,
            account,
            web: Web::to(address),
            id,
            seen: BTreeMap::new(),
            streamed: 0,
            pulled: 0,
        }
    }

    /// Pulls what is missing of a conversation up to here.
    fn pull(&mut self, conversation: u64, head: u64) {
        let seen = self.seen.entry(conversation).or_default();
        let mut from = (1..=head).find(|seq| !seen.contains(seq)).unwrap_or(head + 1);
        while from <= head {
            let request = v1::HistoryRequest {
                conversation_id: conversation,
                from_seq: from,
                limit: 500,
                ..v1::HistoryRequest::default()
            };
            let page = self.web.granted(&self.account.token, request).page.unwrap();
            for event in &page.events {
                self.pulled += usize::from(seen.insert(event.seq));
            }
            from = page.to_seq + 1;
        }
    }

    /// Follows the stream until it has brought so many events, or has been silent for a while.
    fn follow(&mut self, most: usize, patience: Duration) {
        let mut events = Events::resume(self.address, &self.account.token, &self.id);
        for _ in 0..most {
            let Some(event) = events.poll(patience) else { break };
            // An id speaks for what was written before it, so it counts once that has been taken.
            self.take(&event.name, event.data);
            self.id.clone_from(&events.id);
        }
        // An id that came behind the last event counts, too.
        while let Some(event) = events.poll(Duration::from_millis(1)) {
            self.take(&event.name, event.data);
        }
        self.id.clone_from(&events.id);
    }

    fn take(&mut self, name: &str, data: String) {
        match name {
            "sync" => {
                let sync: v1::SyncResponse = Encoding::Json.decode(data.into()).unwrap();
                for view in &sync.conversations {
                    self.pull(view.conversation_id, view.head_seq);
                }
            }
            _ => {
                let command = protocol::Command::from_name(name).unwrap();
                match Push::decode(command, Encoding::Json, data.into()).unwrap() {
                    Push::EventsPush(page) => {
                        for event in page.events {
                            self.streamed += 1;
                            self.seen
                                .entry(event.conversation_id)
                                .or_default()
                                .insert(event.seq);
                        }
                    }
                    Push::HeadsPush(heads) => {
                        for head in heads.heads {
                            self.pull(head.conversation_id, head.seq);
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// By the ids alone: nothing that a broken stream brought is asked for again.
#[test]
fn a_stream_that_breaks_anywhere_is_resumed_without_loss() {
    const MESSAGES: u64 = 1_200;
    const KILLS_LEAST: u32 = 10;
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob, cyd] = ["ada", "bob", "cyd"].map(|name| web.register(name));
    let conversations = [direct(ada.id, bob.id), direct(cyd.id, bob.id)];
    let mut device = Device::new(daemon.address(), bob);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let address = daemon.address();
        for (sender, conversation) in [(&ada, conversations[0]), (&cyd, conversations[1])] {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut web = Web::to(address);
                for number in 1..=MESSAGES {
                    let stored = web.granted(&sender.token, text(conversation, &number.to_string()));
                    assert_eq!(stored.seq, number);
                }
                is_over.store(true, Ordering::Release);
            });
        }
        let mut random = Random::new(7);
        let mut kills = 0;
        while !is_over.load(Ordering::Acquire) || kills <= KILLS_LEAST {
            // Zero events: it broke before anything was read.
            device.follow(random.below(60) as usize, Duration::from_secs(1));
            kills += 1;
        }
    });
    let complete = |device: &Device| {
        conversations.iter().all(|conversation| {
            device
                .seen
                .get(conversation)
                .is_some_and(|seen| seen.len() as u64 == MESSAGES)
        })
    };
    for _ in 0..5 {
        if complete(&device) {
            break;
        }
        device.follow(usize::MAX, Duration::from_secs(1));
    }
    assert!(
        complete(&device),
        "{:?}",
        device.seen.values().map(BTreeSet::len).collect::<Vec<_>>()
    );
    assert!(
        device.streamed > 100,
        "{} on the stream, {} pulled",
        device.streamed,
        device.pulled
    );
}

/// Nobody who resumes has to pull everything: an id stays close behind what was written.
#[test]
fn an_id_speaks_for_what_was_written_before_it() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    let mut before = events.next_id();
    for number in 1..=10 {
        web.granted(&ada.token, text(conversation, "hello"));
        assert_eq!(events.pushed().seq, number);
        let id = events.next_id();
        assert_ne!(id, before);
        // From there nothing is new; from the one before, this is.
        let mut resumed = Events::resume(daemon.address(), &ada.token, &id);
        assert!(resumed.synced().conversations.is_empty());
        let mut resumed = Events::resume(daemon.address(), &ada.token, &before);
        assert_eq!(resumed.synced().conversations[0].head_seq, number);
        before = id;
    }
}

#[test]
fn a_stream_of_many_conversations_begins_with_page_after_page() {
    const GROUPS: usize = 450;
    let daemon = Setup::config("[groups]\n").start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let groups: BTreeSet<u64> = (0..GROUPS)
        .map(|number| {
            ada.get(v1::CreateGroupRequest {
                client_msg_id: message_id(),
                name: number.to_string(),
                user_ids: vec![bob.id],
            })
            .conversation_id
        })
        .collect();
    let mut events = Events::open_at(daemon.address(), &bob.token, "/v1/events?since=", &[]);
    let (mut told, mut pages) = (BTreeSet::new(), 0);
    loop {
        let sync = events.synced();
        pages += 1;
        told.extend(sync.conversations.iter().map(|view| view.conversation_id));
        if !sync.more {
            break;
        }
        assert_eq!(events.id, "", "before the last page no id speaks for all");
    }
    assert!(pages > 1, "{pages}");
    assert_eq!(told, groups);
    let id = events.next_id();
    let mut resumed = Events::resume(daemon.address(), &bob.token, &id);
    assert!(resumed.synced().conversations.is_empty());
    ada.text(*groups.first().unwrap(), "and on");
    assert_eq!(resumed.pushed().seq, 2);
}
