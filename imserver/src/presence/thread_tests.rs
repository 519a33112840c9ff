//! The thread's turns over a real table of routes, with other nodes that a test plays.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use storage::{
    ClientId, ConversationId, Event, EventKind, Position, ReadError, Seq, SessionId, Store, Timestamp,
    model::ModelStore,
};

use super::*;
use crate::{
    delivery::{Route, connections},
    message::Entry,
    presence::Rights,
    publish::Consumer,
};

const ANNA: UserId = UserId(1);
const BEN: UserId = UserId(2);

/// Everybody sees everybody but those who were told off.
#[derive(Clone, Default)]
struct AllBut(Arc<Mutex<Vec<(UserId, UserId)>>>);

impl Rights for AllBut {
    fn may_see(
        &self,
        _: &mut dyn Reader,
        watcher: UserId,
        targets: &[UserId],
    ) -> Result<Vec<bool>, ReadError> {
        let off = self.0.lock();
        Ok(targets
            .iter()
            .map(|target| !off.contains(&(watcher, *target)))
            .collect())
    }

    fn changed_by(&self, event: &Event) -> Option<UserId> {
        Some(event.sender)
    }
}

/// Other nodes: what they were told, and where the shared routes have everybody.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<Others>>, bool);

#[derive(Default)]
struct Others {
    told: Vec<Told>,
    nodes: Option<Vec<Arc<str>>>,
}

impl super::super::Others for Played {
    fn nodes_with(&self, users: &[UserId]) -> Option<Vec<Vec<Arc<str>>>> {
        let nodes = self.0.lock().nodes.clone()?;
        Some(vec![nodes; users.len()])
    }

    fn nodes(&self) -> Option<Vec<Arc<str>>> {
        self.0.lock().nodes.clone()
    }

    fn tell(&self, told: Told) -> bool {
        self.0.lock().told.push(told);
        true
    }

    fn may_be(&self) -> bool {
        !self.1
    }
}

struct World {
    running: Running,
    handle: PresenceHandle,
    routes: Arc<Routes>,
    reader: Box<dyn Reader>,
    rights: AllBut,
    others: Played,
}

impl World {
    fn new() -> Self {
        Self::with(Played::default())
    }

    fn with(others: Played) -> Self {
        let store = ModelStore::new(1, 2, storage::Rules::default());
        let rights = AllBut::default();
        others.0.lock().nodes = Some(Vec::new());
        let handle = PresenceHandle::new("own", Box::new(rights.clone()), Box::new(others.clone()));
        let routes = Arc::new(Routes::new(1));
        let parts = PresenceParts {
            routes: Arc::clone(&routes),
            outboxes: Arc::new(Outboxes::new(1)),
            reader: store.reader().unwrap(),
            metrics: Arc::new(Metrics::new(1, 1)),
            grace_ms: 0,
            node_ttl_ms: 30_000,
            watches_max: 10_000,
        };
        Self {
            running: Running::new(handle.clone(), parts),
            handle,
            routes,
            reader: store.reader().unwrap(),
            rights,
            others,
        }
    }

    fn connect(&self, user: UserId, conn: ConnId) {
        let route = Route {
            conn,
            session: SessionId(conn.as_u64()),
            format: Format::Json,
            since: Timestamp(0),
            is_away: false,
        };
        self.routes
            .insert(user, route, self.routes.revocations())
            .unwrap();
        self.handle.changed(user);
    }

    fn watch(&mut self, user: UserId, conn: ConnId, whom: &[UserId]) -> Vec<v1::Presence> {
        let watching = self.handle.prepare(&mut *self.reader, user, whom).unwrap();
        self.running.begin(watching, conn, Format::Json).unwrap()
    }

    /// Everything that was said, and a turn.
    fn turn(&mut self) -> Vec<Change> {
        let said = self.handle.shared.said.clone();
        said.try_iter().for_each(|said| self.running.take(said));
        self.running.settle()
    }

    fn told(&mut self) -> Vec<Told> {
        self.running.tell();
        std::mem::take(&mut self.others.0.lock().told)
    }
}

fn states(changes: &[Change]) -> Vec<(UserId, State)> {
    changes
        .iter()
        .map(|change| (change.user, change.shown.state))
        .collect()
}

#[test]
fn what_routes_say_is_shown_here_and_told_to_others() {
    let (mut world, conns) = (World::new(), connections(3));
    assert_eq!(world.told(), [Told::Nobody("own".to_owned())]);
    world.connect(ANNA, conns[0]);
    let answer = world.watch(ANNA, conns[0], &[BEN]);
    assert_eq!(answer[0].state(), v1::PresenceState::Offline);
    assert_eq!(states(&world.turn()), []);
    world.connect(BEN, conns[1]);
    assert_eq!(states(&world.turn()), [(BEN, State::Online)]);
    let both = vec![(ANNA, State::Online), (BEN, State::Online)];
    assert_eq!(world.told(), [Told::Are("own".to_owned(), both)]);
    assert!(world.routes.set_away(BEN, conns[1], true));
    assert!(!world.routes.set_away(BEN, conns[1], true), "said before");
    assert!(!world.routes.set_away(BEN, conns[2], true), "no such route");
    let answer = world.watch(ANNA, conns[0], &[BEN]);
    assert_eq!(answer[0].state(), v1::PresenceState::Online, "it comes as a push");
}

#[test]
fn changes_that_found_no_room_are_found_by_looking() {
    let (mut world, conns) = (World::new(), connections(2));
    world.connect(ANNA, conns[0]);
    world.watch(ANNA, conns[0], &[BEN]);
    world.turn();
    world.told();
    let said = world.handle.shared.said.clone();
    while !world.handle.shared.routes_missed.load(Ordering::Relaxed) {
        world.handle.changed(UserId(99));
    }
    world.connect(BEN, conns[1]);
    said.try_iter().for_each(drop);
    assert_eq!(states(&world.turn()), [(BEN, State::Online)]);
    world.running.telling = Telling::default();
    world.running.telling.all_changed();
    assert_eq!(world.told(), [Told::ReadAgain]);
}

#[test]
fn the_watches_of_a_connection_that_is_gone_end() {
    let (mut world, conns) = (World::new(), connections(2));
    world.connect(ANNA, conns[0]);
    world.watch(ANNA, conns[0], &[BEN]);
    world.routes.remove(ANNA, conns[0]);
    world.handle.changed(ANNA);
    world.turn();
    assert_eq!(world.running.machine.watches(), 0);
    // Asked before, and heard after.
    let watching = world.handle.prepare(&mut *world.reader, ANNA, &[BEN]).unwrap();
    let refused = world.running.begin(watching, conns[0], Format::Json);
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Unauthenticated);
}

#[test]
fn a_right_that_is_lost_counts_from_its_event_on() {
    let (mut world, conns) = (World::new(), connections(2));
    world.connect(ANNA, conns[0]);
    world.connect(BEN, conns[1]);
    world.turn();
    assert_eq!(
        world.watch(ANNA, conns[0], &[BEN])[0].state(),
        v1::PresenceState::Online
    );
    world.turn();
    world.rights.0.lock().push((ANNA, BEN));
    world.handle.event(&event_of(BEN));
    assert_eq!(states(&world.turn()), [(BEN, State::Offline)]);
    world.routes.set_away(BEN, conns[1], true);
    world.handle.changed(BEN);
    assert_eq!(states(&world.turn()), []);
    // It was not heard of, and may have been anything.
    world.rights.0.lock().clear();
    world.handle.missed();
    assert_eq!(world.turn().len(), 1);
}

/// The worker has asked, the right is lost, and only then the watch begins.
#[test]
fn a_right_that_is_lost_while_a_watch_begins_is_asked_for_again() {
    let (mut world, conns) = (World::new(), connections(2));
    world.connect(ANNA, conns[0]);
    world.connect(BEN, conns[1]);
    world.turn();
    let watching = world.handle.prepare(&mut *world.reader, ANNA, &[BEN]).unwrap();
    world.rights.0.lock().push((ANNA, BEN));
    world.handle.event(&event_of(BEN));
    world.turn();
    world.running.begin(watching, conns[0], Format::Json).unwrap();
    assert_eq!(states(&world.turn()), [(BEN, State::Offline)]);
}

#[test]
fn whoever_is_away_here_is_told_of_when_asked() {
    let (mut world, conns) = (World::new(), connections(2));
    world.connect(ANNA, conns[0]);
    world.connect(BEN, conns[1]);
    world.routes.set_away(BEN, conns[1], true);
    world.turn();
    world.told();
    world.running.telling = Telling::default();
    world.handle.told(Told::Ask(vec![ANNA, BEN, UserId(3)]));
    world.turn();
    let away = vec![(BEN, State::Away)];
    assert_eq!(world.told(), [Told::Are("own".to_owned(), away)]);
}

#[test]
fn a_node_that_is_alone_asks_nobody_and_rests() {
    let (mut world, conns) = (World::with(Played(Arc::default(), true)), connections(2));
    world.connect(ANNA, conns[0]);
    world.watch(ANNA, conns[0], &[BEN]);
    world.connect(BEN, conns[1]);
    world.running.machine.read_again(world.handle.shared.now());
    assert_eq!(world.turn().len(), 1);
    let due_ms = world.running.due_ms().unwrap();
    assert!(due_ms > world.handle.shared.now().at_ms + 10_000, "{due_ms}");
}

#[test]
fn who_is_on_another_node_is_read_and_asked_after() {
    let (mut world, conns) = (World::new(), connections(1));
    world.connect(ANNA, conns[0]);
    world.others.0.lock().nodes = None;
    let answer = world.watch(ANNA, conns[0], &[BEN]);
    assert_eq!(answer[0].state(), v1::PresenceState::Offline, "not known");
    world.others.0.lock().nodes = Some(vec![Arc::from("own"), Arc::from("b")]);
    assert_eq!(states(&world.turn()), [(BEN, State::Online)]);
    assert!(world.told().contains(&Told::Ask(vec![BEN])));
}

/// Both ways are told of strangers alike, byte for byte, in every format.
#[test]
fn answers_about_strangers_are_the_same_bytes() {
    let conns = connections(3);
    let mut answers: Vec<Bytes> = Vec::new();
    for (here, nodes) in [(false, vec![]), (true, vec![]), (false, vec![Arc::from("b")])] {
        let mut world = World::new();
        world.others.0.lock().nodes = Some(nodes);
        world.rights.0.lock().push((ANNA, BEN));
        world.connect(ANNA, conns[0]);
        if here {
            world.connect(BEN, conns[1]);
        }
        world.turn();
        let presences = world.watch(ANNA, conns[0], &[BEN]);
        let reply = Reply::WatchPresence(v1::WatchPresenceResponse { presences });
        for format in Format::PUSHED {
            answers.push(crate::wire::frame::reply(&reply, format, 7));
        }
        world.turn();
        assert_eq!(world.routes.set_away(BEN, conns[1], true), here);
        world.handle.changed(BEN);
        world
            .handle
            .told(Told::Are("b".to_owned(), vec![(BEN, State::Away)]));
        assert_eq!(world.turn(), []);
    }
    let (first, others) = answers.split_at(Format::PUSHED.len());
    assert!(others.chunks(first.len()).all(|other| other == first));
}

#[test]
fn a_thousand_watchers_of_one_person_cost_one_encoding_of_each_format() {
    let (mut world, conns) = (World::new(), connections(1_001));
    for (index, conn) in conns[1..].iter().enumerate() {
        let user = UserId(1_000 + index as u64);
        world.connect(user, *conn);
        let watching = world.handle.prepare(&mut *world.reader, user, &[BEN]).unwrap();
        let format = [Format::Protobuf, Format::SocketText][index % 2];
        world.running.begin(watching, *conn, format).unwrap();
    }
    world.turn();
    world.connect(BEN, conns[0]);
    let changes = world.turn();
    assert_eq!(states(&changes), [(BEN, State::Online)]);
    let push = Push::PresencePush(presence(BEN, changes[0].shown));
    let deliveries = planner::to_connections(1, std::iter::once((push, &changes[0].to[..])));
    let [delivery] = &deliveries[..] else {
        panic!("one loop")
    };
    let receivers = delivery.entries.iter().map(|entry| match entry {
        Entry::Push(item) => item.receivers,
        Entry::Answer(_) => panic!("an answer"),
    });
    assert_eq!(receivers.collect::<Vec<_>>(), [500, 500]);
    assert_eq!(delivery.to.len(), 1_000);
}

/// An event that a user made.
fn event_of(user: UserId) -> Event {
    Event {
        position: Position(1),
        conversation: ConversationId(user.0),
        seq: Seq(1),
        ordinal: 0,
        roster: Seq(1),
        sender: user,
        client_id: ClientId([1; 16]),
        at: Timestamp(1),
        kind: EventKind::Message(1),
        target: Seq(0),
        body: Bytes::new(),
        change: None,
        entry: None,
        expires_at: Timestamp(0),
        recalled: false,
    }
}
