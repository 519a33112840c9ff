//! What a question costs, in steps of SQLite's machine: no more for who came and went any number of times, nor for
//! messages that were edited and reacted to again and again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::{
    MembersReader, Snapshot,
    sqlite::{Use, profile, reader::SqliteReader},
};

const CAT: UserId = UserId(3);
const RESTLESS: ConversationId = ConversationId(1 << 61 | 8);
const STAYS: u64 = 400;
const PAGE: usize = 20;

struct World {
    writer: SqliteWriter,
    reader: SqliteReader,
    requests: u64,
    _store: SqliteStore,
    _place: Place,
}

impl World {
    /// Ann has two groups with Bob and Cat.
    fn new() -> Self {
        let place = Place::new();
        let mut options = SqliteOptions::new(place.path());
        // Most of it is in the index.
        options.index_events = 16;
        let store = SqliteStore::open(options).unwrap();
        let connection = profile::connect(&place.path(), Use::Read, 1_024).unwrap();
        let reader = SqliteReader::new(connection, Arc::clone(&store.unindexed), Arc::clone(&store.files));
        let mut writer = store.open_writer().unwrap();
        writer.commit(&accounts()).unwrap();
        let mut world = Self {
            writer,
            reader,
            requests: 0,
            _store: store,
            _place: place,
        };
        for group in [GROUP, RESTLESS] {
            let name = "group".to_owned();
            let members = vec![BOB, CAT];
            world.act(group, ANN, Action::CreateGroup { name, members });
        }
        world
    }

    fn act(&mut self, conversation: ConversationId, sender: UserId, action: Action) -> Seq {
        self.requests += 1;
        let write = request(self.requests, conversation, sender, action);
        appended(&mut self.writer, write).event.seq
    }

    /// Steps of a call on a connection whose statements are prepared.
    fn steps<T>(
        &mut self,
        connection: fn(&Self) -> &Connection,
        mut call: impl FnMut(&mut Self) -> T,
    ) -> u64 {
        call(self);
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection(self).progress_handler(1, Some(count)).unwrap();
        call(self);
        connection(self)
            .progress_handler(1, None::<fn() -> bool>)
            .unwrap();
        steps.load(Ordering::Relaxed)
    }

    fn asked<T>(&mut self, mut ask: impl FnMut(&mut SqliteReader) -> T) -> u64 {
        self.steps(|world| &world.reader.connection, |world| ask(&mut world.reader))
    }

    fn page(&mut self, viewer: UserId, group: ConversationId, from: u64, direction: Direction) -> u64 {
        self.asked(|reader| {
            let page = reader.events(viewer, group, Seq(from), direction, PAGE, usize::MAX);
            assert_eq!(page.unwrap().unwrap().events.len(), PAGE);
        })
    }

    fn written(&mut self, group: ConversationId, sender: UserId, action: &Action) -> u64 {
        self.steps(
            |world| &world.writer.connection,
            |world| world.act(group, sender, action.clone()),
        )
    }
}

fn say(reply_to: Seq) -> Action {
    Action::Message {
        kind: 1,
        body: Bytes::from_static(b"text"),
        expires_at: Timestamp(0),
        reply_to,
    }
}

fn react(target: Seq, reaction: &str) -> Action {
    Action::React {
        target,
        reaction: reaction.to_owned(),
        body: Bytes::new(),
    }
}

/// Not much more than that.
#[track_caller]
fn like(found: u64, plain: u64) {
    assert!(found <= plain * 3 / 2 + 64, "{found} steps instead of {plain}");
}

#[test]
fn coming_and_going_costs_nobody_anything() {
    let mut world = World::new();
    let bob = || vec![BOB];
    for _ in 0..STAYS {
        world.act(RESTLESS, ANN, Action::RemoveMember { user: BOB });
        world.act(RESTLESS, ANN, say(Seq(0)));
        world.act(RESTLESS, ANN, Action::AddMembers { users: bob() });
        world.act(RESTLESS, BOB, say(Seq(0)));
    }
    let mut last = Seq(0);
    for group in [GROUP, RESTLESS] {
        for _ in 0..2 * PAGE {
            last = world.act(group, ANN, say(Seq(0)));
        }
    }
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    let plain = world.page(BOB, GROUP, 0, backward);
    like(world.page(BOB, RESTLESS, 0, backward), plain);
    // A page that has a stay for every third event.
    for (from, direction) in [
        (1, forward),
        (2 * STAYS, forward),
        (2 * STAYS + 1, backward),
        (4 * STAYS, backward),
    ] {
        let found = world.page(BOB, RESTLESS, from, direction);
        assert!(found < 3 * plain, "{found} steps instead of {plain}");
    }
    let newest = Seq(i64::MAX as u64);
    let since = Snapshot::default();
    for (what, found, plain) in [
        (
            "the list",
            world.asked(|reader| reader.conversations(BOB, None, 9).unwrap()),
            world.asked(|reader| reader.conversations(CAT, None, 9).unwrap()),
        ),
        (
            "changes",
            world.asked(|reader| reader.changes(BOB, &since, 9).unwrap()),
            world.asked(|reader| reader.changes(CAT, &since, 9).unwrap()),
        ),
        (
            "one conversation",
            world.asked(|reader| reader.conversation(BOB, RESTLESS).unwrap()),
            world.asked(|reader| reader.conversation(BOB, GROUP).unwrap()),
        ),
        (
            "members for a push",
            world.asked(|reader| reader.intervals(RESTLESS, newest).unwrap()),
            world.asked(|reader| reader.intervals(GROUP, newest).unwrap()),
        ),
        (
            "members for an older push",
            world.asked(|reader| reader.intervals(RESTLESS, last).unwrap()),
            world.asked(|reader| reader.intervals(GROUP, last).unwrap()),
        ),
        (
            "members",
            world.asked(|reader| reader.members(ANN, RESTLESS, UserId(0), 9).unwrap()),
            world.asked(|reader| reader.members(ANN, GROUP, UserId(0), 9).unwrap()),
        ),
        (
            "a reply",
            world.written(RESTLESS, BOB, &say(last)),
            world.written(GROUP, BOB, &say(Seq(2 * PAGE as u64))),
        ),
    ] {
        println!("{what}");
        like(found, plain);
    }
}

#[test]
fn changing_a_message_again_and_again_costs_no_page_anything() {
    let mut world = World::new();
    for group in [GROUP, RESTLESS] {
        for _ in 0..PAGE {
            world.act(group, ANN, say(Seq(0)));
        }
    }
    let targets = || (2..2 + PAGE as u64).map(Seq);
    for (group, times) in [(GROUP, 1), (RESTLESS, 60)] {
        for target in targets() {
            for _ in 0..times {
                let body = Bytes::from_static(b"edited");
                world.act(
                    group,
                    ANN,
                    Action::Edit {
                        target,
                        body,
                        fits: crate::write::MessageKinds::ALL,
                    },
                );
                world.act(group, CAT, react(target, "+"));
                world.act(group, CAT, react(target, ""));
                world.act(group, CAT, react(target, "-"));
            }
        }
    }
    let plain = world.page(BOB, GROUP, 2, Direction::Forward);
    like(world.page(BOB, RESTLESS, 2, Direction::Forward), plain);
}
