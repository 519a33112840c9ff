//! Over random logs with random losses: a page that comes from a list is what the store would give.

use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use protocol::{RawPage, direct_conversation};
use storage::{
    Action, Append, Appended, ClientId, ConversationId, ConversationView, Direction, Event, EventKind,
    EventPage, Fingerprint, GroupChange, MessageKinds, NewUser, Outcome, Position, Reader, Role, Rules, Seq,
    SessionId, Snapshot, Store, Timestamp, UserId, Write, Writer,
    ephemeral::{Limits, Memory, Recent, RecentAddition, RecentEvent, RecentList},
    model::ModelStore,
};

use super::{Ends, List, Mark, Newest, Usage, WAITING_BYTES_MAX, WAITING_MAX, ends, entry, is_kept};
use crate::service::wire;

const EPOCH: u64 = 3;
const LOG_ID: u64 = 9;
const USERS: u64 = 4;
const GROUP: ConversationId = ConversationId(1 << 61 | 7);
/// As few as make pages that are too small likely.
const PAGE_EVENTS: usize = 6;
/// Between events that expire and events that do not.
const NOW: Timestamp = Timestamp(50);

#[derive(Clone, Debug)]
enum Step {
    /// By a user, in the group or with another; for each user whether an addition to their list gets there.
    Append(u64, Where, Doing, [bool; USERS as usize]),
    /// A user's last connection closes; the mark is as old as what the device had.
    Away(u64, Since),
    /// A list vanishes.
    Vanish(u64),
    /// A user's device asks for what is new since.
    Sync(u64, Since, bool),
}

#[derive(Clone, Copy, Debug)]
enum Where {
    Group,
    With(u64),
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Say(u64),
    Edit(u64),
    Recall(u64),
    React(u64),
    Add(u64),
    Remove(u64),
    Leave,
    Rename,
}

/// So many positions before the newest.
#[derive(Clone, Copy, Debug)]
struct Since(u64);

fn step() -> impl Strategy<Value = Step> {
    let user = || 1..=USERS;
    let place = prop_oneof![2 => Just(Where::Group), 1 => user().prop_map(Where::With)];
    let doing = prop_oneof![
        12 => prop_oneof![Just(0_u64), Just(NOW.0), Just(NOW.0 + 1)].prop_map(Doing::Say),
        1 => (1_u64..30).prop_map(Doing::Edit),
        1 => (1_u64..30).prop_map(Doing::Recall),
        1 => (1_u64..30).prop_map(Doing::React),
        2 => user().prop_map(Doing::Add),
        1 => user().prop_map(Doing::Remove),
        1 => Just(Doing::Leave),
        1 => Just(Doing::Rename),
    ];
    let since = || prop_oneof![3 => 0_u64..4, 2 => 0_u64..12, 1 => Just(1_000)].prop_map(Since);
    let kept = proptest::array::uniform4(proptest::bool::weighted(0.9));
    prop_oneof![
        12 => (user(), place, doing, kept).prop_map(|(user, place, doing, kept)| Step::Append(user, place, doing, kept)),
        3 => (user(), since()).prop_map(|(user, since)| Step::Away(user, since)),
        1 => user().prop_map(Step::Vanish),
        6 => (user(), since(), any::<bool>()).prop_map(|(user, since, own)| Step::Sync(user, since, own)),
    ]
}

struct World {
    writer: Box<dyn Writer>,
    reader: Box<dyn Reader>,
    lists: Memory,
    start: Instant,
    requests: u64,
    /// Pages that came from lists.
    pages: usize,
}

impl World {
    fn new() -> Self {
        let store = ModelStore::new(EPOCH, LOG_ID, Rules::default());
        let start = Instant::now();
        let mut world = Self {
            writer: store.writer().unwrap(),
            reader: store.reader().unwrap(),
            lists: Memory::new(Limits::default(), start),
            start,
            requests: 0,
            pages: 0,
        };
        for user in 1..=USERS {
            let new = NewUser {
                name: format!("user{user}"),
                display_name: String::new(),
                password_hash: String::new(),
                at: Timestamp(1),
            };
            world.writer.commit(&[Write::CreateUser(new)]).unwrap()[0]
                .as_ref()
                .unwrap();
        }
        let members = vec![UserId(2), UserId(3)];
        let name = "us".to_owned();
        world.append(
            UserId(1),
            GROUP,
            Action::CreateGroup { name, members },
            [true; USERS as usize],
        );
        world
    }

    fn up_to(&mut self, since: Since) -> Snapshot {
        let newest = self.reader.snapshot().unwrap().ceiling().0;
        Snapshot::at(Position(newest.saturating_sub(since.0)))
    }

    /// Appends, and does to the lists what the node that commits does.
    fn append(&mut self, sender: UserId, id: ConversationId, action: Action, kept: [bool; USERS as usize]) {
        self.requests += 1;
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&self.requests.to_be_bytes());
        let write = Write::Append(Append {
            conversation: id,
            sender,
            client_id: ClientId(client_id),
            fingerprint: Fingerprint(client_id),
            at: Timestamp(1),
            action,
        });
        let Ok(Outcome::Appended(Appended { event, .. })) = &self.writer.commit(&[write]).unwrap()[0] else {
            return;
        };
        let intervals = self.reader.intervals(id, event.seq).unwrap();
        let viewers: Vec<UserId> = intervals
            .iter()
            .filter(|stay| stay.joined <= event.seq && stay.left.is_none_or(|left| event.seq <= left))
            .map(|stay| stay.user)
            .collect();
        if is_kept(event) {
            let reached = |user: &&UserId| **user != sender && kept[user.0 as usize - 1];
            let users = viewers.iter().filter(reached).copied().collect();
            let event = entry(event);
            self.lists.add(&[RecentAddition { event, users }], self.start);
        }
        match ends(event) {
            // Who reads is to be right without this as well: it gets lost, too.
            _ if !kept[0] => {}
            Ends::Nobodys => {}
            Ends::Of(users) => drop(self.lists.clear(users, self.start)),
            Ends::OfAllWhoSee => drop(self.lists.clear(&viewers, self.start)),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(user, place, doing, kept) => {
                let id = match place {
                    Where::Group => GROUP,
                    Where::With(other) => match direct_conversation(user, other) {
                        Some(pair) => ConversationId(pair.get()),
                        None => return,
                    },
                };
                self.append(UserId(user), id, action(doing, self.requests), kept);
            }
            Step::Away(user, since) => {
                let mark = Mark {
                    log_id: LOG_ID,
                    epoch: EPOCH,
                    session: SessionId(user),
                    snapshot: self.up_to(since),
                };
                self.lists.begin(UserId(user), &mark.to_bytes(), self.start);
            }
            Step::Vanish(user) => drop(self.lists.clear(&[UserId(user)], self.start)),
            Step::Sync(user, since, own) => {
                let since = self.up_to(since);
                let session = if own { SessionId(user) } else { SessionId(99) };
                self.sync(UserId(user), &since, session);
            }
        }
    }

    fn sync(&mut self, user: UserId, since: &Snapshot, session: SessionId) {
        let changes = self.reader.changes(user, since, 100).unwrap();
        let Some(list) = self.lists.recent(user, self.start) else {
            return;
        };
        let list = List::read(&list, LOG_ID, EPOCH).unwrap();
        for view in changes.conversations {
            match list.newest(&view, since, session, PAGE_EVENTS, (EPOCH, NOW)) {
                Newest::Unknown => {}
                Newest::TooMany => {
                    let page = self.stored(user, &view, view.joined).events;
                    let new = page
                        .iter()
                        .filter(|seen| !since.covers(seen.event.position))
                        .count();
                    assert!(new > PAGE_EVENTS);
                }
                Newest::Page(page) => {
                    assert!(page.from_seq >= view.joined.0 && page.events.len() <= PAGE_EVENTS);
                    let stored = self.stored(user, &view, Seq(page.from_seq));
                    assert!(
                        stored
                            .events
                            .iter()
                            .all(|seen| !since.covers(seen.event.position))
                    );
                    assert_eq!(&page, &shown(&stored, view.id));
                    self.pages += 1;
                }
            }
        }
    }

    /// What the store shows from a seq up to the head.
    fn stored(&mut self, user: UserId, view: &ConversationView, from: Seq) -> EventPage {
        let page = self
            .reader
            .events(user, view.id, from, Direction::Forward, 1_000, 1 << 20);
        page.unwrap().unwrap()
    }
}

fn shown(page: &EventPage, id: ConversationId) -> RawPage {
    wire::page(page, id.0, EPOCH, NOW)
}

fn action(doing: Doing, number: u64) -> Action {
    let body = Bytes::from(number.to_string());
    match doing {
        Doing::Say(expires_at) => Action::Message {
            kind: 1,
            body,
            expires_at: Timestamp(expires_at),
            reply_to: Seq(0),
        },
        Doing::Edit(target) => Action::Edit {
            target: Seq(target),
            body,
            fits: MessageKinds::ALL,
        },
        Doing::Recall(target) => Action::Recall { target: Seq(target) },
        Doing::React(target) => Action::React {
            target: Seq(target),
            reaction: "+1".to_owned(),
            body,
        },
        Doing::Add(user) => Action::AddMembers {
            users: vec![UserId(user)],
        },
        Doing::Remove(user) => Action::RemoveMember { user: UserId(user) },
        Doing::Leave => Action::Leave,
        Doing::Rename => Action::Rename {
            name: number.to_string(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_page_from_a_list_is_what_the_store_would_give(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(since: Vec<u8>, bytes: Vec<u8>, version in 0_u8..3) {
        let with = |bytes: &[u8]| [&[version], bytes].concat();
        let _ = Mark::parse(&since);
        let events = vec![RecentEvent {
            conversation: GROUP,
            seq: Seq(1),
            bytes: with(&bytes).into(),
        }];
        let _ = List::read(&RecentList { since: with(&since), events: events.clone() }, LOG_ID, EPOCH);
        let _ = List::read(&RecentList { since: mark(1).to_bytes(), events }, LOG_ID, EPOCH);
    }
}

fn mark(newest: u64) -> Mark {
    Mark {
        log_id: LOG_ID,
        epoch: EPOCH,
        session: SessionId(2),
        snapshot: Snapshot::at(Position(newest)),
    }
}

/// The group with so many messages after its creation, all of which the second user's list has.
fn chatted(messages: u64) -> World {
    let mut world = World::new();
    let at = world.reader.snapshot().unwrap().ceiling().0;
    world.lists.begin(UserId(2), &mark(at).to_bytes(), world.start);
    for number in 0..messages {
        world.append(
            UserId(1),
            GROUP,
            action(Doing::Say(0), number),
            [true; USERS as usize],
        );
    }
    world
}

fn newest(world: &mut World, since: u64, session: u64) -> Newest {
    newest_of(world, GROUP, since, session)
}

fn newest_of(world: &mut World, id: ConversationId, since: u64, session: u64) -> Newest {
    let view = world.reader.conversation(UserId(2), id).unwrap().unwrap();
    let list = world.lists.recent(UserId(2), world.start).unwrap();
    let since = Snapshot::at(Position(since));
    List::read(&list, LOG_ID, EPOCH).unwrap().newest(
        &view,
        &since,
        SessionId(session),
        PAGE_EVENTS,
        (EPOCH, NOW),
    )
}

fn seqs(newest: Newest) -> Vec<u64> {
    match newest {
        Newest::Page(page) => page.events.iter().map(|event| event.seq).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_page_begins_after_what_the_device_had() {
    let mut world = chatted(4);
    let created = world
        .reader
        .conversation(UserId(2), GROUP)
        .unwrap()
        .unwrap()
        .head_position
        .0
        - 4;
    // In step with more than the mark, which the list shows.
    assert_eq!(seqs(newest(&mut world, created + 2, 99)), [4, 5]);
    // The device whose connection closed was told of what its token does not have; another was not.
    for since in [created, created - 1] {
        assert_eq!(seqs(newest(&mut world, since, 2)), [2, 3, 4, 5]);
        assert_eq!(newest(&mut world, since, 99), Newest::Unknown);
    }
    // A token that is newer than the mark is of a device that began anew.
    world
        .lists
        .begin(UserId(2), &mark(created).to_bytes(), world.start);
    for number in 0..2 {
        world.append(
            UserId(1),
            GROUP,
            action(Doing::Say(0), number),
            [true; USERS as usize],
        );
    }
    assert_eq!(seqs(newest(&mut world, created, 2)), [6, 7]);
    assert_eq!(newest(&mut world, created + 4, 2), Newest::Unknown);
    assert_eq!(seqs(newest(&mut world, created + 5, 2)), [7]);
}

#[test]
fn a_conversation_that_began_meanwhile_is_whole() {
    let mut world = chatted(2);
    let pair = ConversationId(direct_conversation(1, 2).unwrap().get());
    for _ in 0..2 {
        world.append(UserId(1), pair, action(Doing::Say(0), 0), [true; USERS as usize]);
    }
    assert_eq!(seqs(newest_of(&mut world, pair, 0, 99)), [1, 2]);
    assert_eq!(newest_of(&mut world, GROUP, 0, 99), Newest::Unknown);
}

#[test]
fn the_page_stays_within_the_newest_membership() {
    let mut world = chatted(1);
    // The list is told of everything, but not that it ends.
    let kept = [false, true, true, true];
    let users = vec![UserId(2)];
    for action in [
        Action::RemoveMember { user: users[0] },
        Action::AddMembers { users },
        action(Doing::Say(0), 9),
    ] {
        world.append(UserId(1), GROUP, action, kept);
    }
    assert_eq!(seqs(newest(&mut world, 0, 2)), [4, 5]);
}

#[test]
fn a_hole_sends_to_the_store() {
    let mut world = chatted(3);
    assert_eq!(seqs(newest(&mut world, 1, 2)), [2, 3, 4]);
    let mut kept = [true; USERS as usize];
    kept[1] = false;
    world.append(UserId(1), GROUP, action(Doing::Say(0), 0), kept);
    assert_eq!(newest(&mut world, 1, 2), Newest::Unknown, "at the head");
    world.append(UserId(1), GROUP, action(Doing::Say(0), 0), [true; USERS as usize]);
    assert_eq!(newest(&mut world, 1, 2), Newest::Unknown, "within");
    world.lists.begin(UserId(2), &mark(2).to_bytes(), world.start);
    world.append(UserId(1), GROUP, action(Doing::Say(0), 0), [true; USERS as usize]);
    // What is missing may have been pushed, for all the list knows; else the device pulls.
    assert_eq!(seqs(newest(&mut world, 1, 2)), [7]);
    assert_eq!(newest(&mut world, 1, 99), Newest::Unknown);
}

#[test]
fn more_than_a_page_takes_is_not_read_from_the_store_either() {
    let mut world = chatted(PAGE_EVENTS as u64 + 1);
    assert_eq!(newest(&mut world, 1, 2), Newest::TooMany);
}

#[test]
fn who_was_removed_has_no_page_and_no_list() {
    let mut world = chatted(2);
    world.append(
        UserId(1),
        GROUP,
        Action::RemoveMember { user: UserId(2) },
        [true; USERS as usize],
    );
    assert_eq!(world.lists.recent(UserId(2), world.start), None);
    world.lists.begin(UserId(2), &mark(1).to_bytes(), world.start);
    let events = world
        .reader
        .events(UserId(2), GROUP, Seq(0), Direction::Backward, 9, 999);
    for seen in events.unwrap().unwrap().events {
        let addition = RecentAddition {
            event: entry(&seen.event),
            users: vec![UserId(2)],
        };
        world.lists.add(&[addition], world.start);
    }
    assert_eq!(newest(&mut world, 1, 2), Newest::Unknown);
}

#[test]
fn a_list_of_another_store_or_past_is_none() {
    let mut world = chatted(2);
    let list = world.lists.recent(UserId(2), world.start).unwrap();
    assert!(List::read(&list, LOG_ID, EPOCH).is_some());
    assert!(List::read(&list, LOG_ID + 1, EPOCH).is_none());
    assert!(List::read(&list, LOG_ID, EPOCH + 1).is_none());
    let mut twice = list.clone();
    twice.events.extend_from_slice(&list.events);
    assert!(
        List::read(&twice, LOG_ID, EPOCH).is_some(),
        "the same again says nothing"
    );
    let other = world
        .reader
        .events(UserId(2), GROUP, Seq(2), Direction::Forward, 1, 999);
    let mut other = Event::clone(&other.unwrap().unwrap().events[0].event);
    other.position.0 += 100;
    twice.events.push(entry(&other));
    assert!(
        List::read(&twice, LOG_ID, EPOCH).is_none(),
        "two events at one place"
    );
    let mut misplaced = list.clone();
    misplaced.events[0].seq.0 += 10;
    assert!(List::read(&misplaced, LOG_ID, EPOCH).is_none());
    let mut newer = list;
    newer.since[0] += 1;
    assert!(List::read(&newer, LOG_ID, EPOCH).is_none());
}

#[test]
fn what_changes_another_event_is_not_kept() {
    let event = |kind| Event {
        position: Position(1),
        conversation: GROUP,
        seq: Seq(1),
        ordinal: 1,
        roster: Seq(1),
        sender: UserId(1),
        client_id: ClientId([0; 16]),
        at: Timestamp(1),
        kind,
        target: Seq(0),
        body: Bytes::new(),
        change: Some(GroupChange {
            users: vec![UserId(5)],
            role: Some(Role::Admin),
            name: None,
        }),
        expires_at: Timestamp(0),
        recalled: false,
    };
    for kind in (0..=255).filter_map(EventKind::from_number) {
        let event = event(kind);
        let changes = matches!(kind, EventKind::Edit | EventKind::Recall | EventKind::Reaction);
        assert_eq!(is_kept(&event), !changes, "{kind:?}");
        let expected = match kind {
            EventKind::Recall => Ends::OfAllWhoSee,
            EventKind::MemberRemoved | EventKind::MemberLeft => Ends::Of(&[UserId(5)]),
            _ => Ends::Nobodys,
        };
        assert_eq!(ends(&event), expected, "{kind:?}");
    }
    let message = event(EventKind::Message(1));
    assert!(!is_kept(&Event {
        target: Seq(1),
        ..message.clone()
    }));
    assert!(!is_kept(&Event {
        recalled: true,
        ..message.clone()
    }));
    let large = vec![0; super::BODY_BYTES_MAX + 1].into();
    assert!(!is_kept(&Event {
        body: large,
        ..message
    }));
}

#[test]
fn the_random_logs_do_use_their_lists() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let steps = proptest::collection::vec(step(), 60);
    let mut pages = 0;
    for _ in 0..50 {
        let mut world = World::new();
        for step in steps.new_tree(&mut runner).unwrap().current() {
            world.take(step);
        }
        pages += world.pages;
    }
    assert!(pages > 50, "{pages}");
}

#[test]
fn so_many_additions_wait() {
    let usage = Usage::default();
    for _ in 0..WAITING_MAX {
        assert!(usage.may_wait(1));
    }
    assert!(!usage.may_wait(1) && !usage.may_wait(1));
    usage.taken(1);
    assert!(usage.may_wait(1) && !usage.may_wait(1));
    let usage = Usage::default();
    assert!(usage.may_wait(WAITING_BYTES_MAX - 1) && !usage.may_wait(2) && usage.may_wait(1));
}
