//! Random histories of somebody who comes, goes and reconnects over three nodes, watched by several, against what a
//! watcher may be shown.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::delivery::connections;

const GRACE_MS: u64 = 30_000;
const PERSON: UserId = UserId(100);
const NODES: [&str; 3] = ["own", "b", "c"];
const WATCHERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// At this node they are so present from now on.
    Is(usize, State),
    /// This watcher (a connection and a user of its own) watches, or watches nobody.
    Watch(usize, bool),
    /// This watcher may see, or may not.
    Right(usize, bool),
    /// A node takes its leave.
    Leaves(usize),
    /// The shared routes are read, and are right.
    Read,
    /// So much time passes. Milliseconds.
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let state = prop_oneof![Just(State::Offline), Just(State::Away), Just(State::Online)];
    let act = prop_oneof![
        5 => (0..NODES.len(), state).prop_map(|(node, state)| Act::Is(node, state)),
        2 => (0..WATCHERS, any::<bool>()).prop_map(|(watcher, on)| Act::Watch(watcher, on)),
        1 => (0..WATCHERS, any::<bool>()).prop_map(|(watcher, may)| Act::Right(watcher, may)),
        1 => (1..NODES.len()).prop_map(Act::Leaves),
        1 => Just(Act::Read),
        5 => prop_oneof![1..200u64, 500..2_000u64, 10_000..40_000u64].prop_map(Act::Wait),
    ];
    vec(act, 1..40)
}

/// The history as it really is, and what every watcher has been told.
struct World {
    machine: Machine,
    conns: Vec<ConnId>,
    now: Now,
    at_node: [State; NODES.len()],
    may_see: [bool; WATCHERS],
    /// What each watcher has on the screen, while they watch.
    screens: [Option<Shown>; WATCHERS],
    /// Since when they are connected nowhere.
    gone_since: Option<u64>,
    /// When a change was told last.
    told_at: Option<u64>,
}

impl World {
    fn new(conns: &[ConnId]) -> Self {
        let limits = Limits {
            grace_ms: GRACE_MS,
            node_ttl_ms: 30_000,
            watches_max: 1_000,
        };
        let now = Now {
            at_ms: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        Self {
            machine: Machine::new(limits, Arc::from(NODES[0]), now),
            conns: conns.to_vec(),
            now,
            at_node: [State::Offline; NODES.len()],
            may_see: [true; WATCHERS],
            screens: [None; WATCHERS],
            gone_since: Some(0),
            told_at: None,
        }
    }

    fn is(&self) -> State {
        self.at_node.into_iter().max().unwrap()
    }

    fn set(&mut self, node: usize, state: State) {
        self.at_node[node] = state;
        match self.is() {
            State::Offline => {
                self.gone_since.get_or_insert(self.now.at_ms);
            }
            State::Away | State::Online => self.gone_since = None,
        }
    }

    fn elsewhere(&self) -> Vec<Arc<str>> {
        let there = NODES.iter().zip(self.at_node).skip(1);
        there
            .filter(|(_, state)| *state > State::Offline)
            .map(|(node, _)| Arc::from(*node))
            .collect()
    }

    fn user(watcher: usize) -> UserId {
        UserId(watcher as u64 + 1)
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Is(node, state) => {
                self.set(node, state);
                match node {
                    0 => self.machine.here(PERSON, state, &[], self.now),
                    _ => self
                        .machine
                        .told(&Arc::from(NODES[node]), [(PERSON, state)], self.now),
                }
            }
            Act::Leaves(node) => {
                self.set(node, State::Offline);
                self.machine.leaves(NODES[node], self.now);
            }
            Act::Watch(watcher, true) => {
                let target = Target {
                    user: PERSON,
                    may_see: self.may_see[watcher],
                    here: self.at_node[0],
                    elsewhere: Some(self.elsewhere()),
                    last_seen_ms: 0,
                };
                let new = NewWatch {
                    conn: self.conns[watcher],
                    user: Self::user(watcher),
                    format: Format::Protobuf,
                    targets: vec![target],
                    read_at: self.now,
                };
                let answer = self.machine.watch(new, self.now).unwrap();
                self.screens[watcher] = Some(answer[0]);
            }
            Act::Watch(watcher, false) => {
                self.machine
                    .here(Self::user(watcher), State::Offline, &[], self.now);
                self.screens[watcher] = None;
                if self.screens.iter().all(Option::is_none) {
                    // Nothing is known of whom nobody watches.
                    self.told_at = None;
                }
            }
            Act::Right(watcher, may_see) => {
                self.may_see[watcher] = may_see;
                self.machine.rights_changed(Self::user(watcher));
                for (user, targets) in self.machine.take_to_check(self.now) {
                    assert_eq!((user, &targets[..]), (Self::user(watcher), &[PERSON][..]));
                    self.machine.checked(user, PERSON, may_see, self.now);
                }
            }
            Act::Read => {
                let nodes = self.elsewhere();
                self.machine.read(PERSON, &nodes, self.now, self.now);
            }
            Act::Wait(ms) => {
                let until_ms = self.now.at_ms + ms;
                while let Some(due_ms) = self.machine.due_ms().filter(|due_ms| *due_ms <= until_ms) {
                    self.to(due_ms.max(self.now.at_ms));
                }
                self.to(until_ms);
            }
        }
        self.told();
    }

    fn to(&mut self, at_ms: u64) {
        self.now.wall_ms += at_ms - self.now.at_ms;
        self.now.at_ms = at_ms;
        // What is to be read is read at once, as it is.
        for user in self.machine.take_to_read(9, self.now) {
            let nodes = self.elsewhere();
            self.machine.read(user, &nodes, self.now, self.now);
        }
        for user in self.machine.take_to_ask(9) {
            for (node, state) in NODES.iter().zip(self.at_node).skip(1) {
                self.machine.told(&Arc::from(*node), [(user, state)], self.now);
            }
        }
        self.told();
    }

    fn told(&mut self) {
        for change in self.machine.step(self.now) {
            assert_eq!(change.user, PERSON);
            let is_offline = change.shown.state == State::Offline;
            for (conn, _) in &change.to {
                let watcher = self.conns.iter().position(|other| other == conn).unwrap();
                let screen = self.screens[watcher].as_mut().expect("nobody is told unasked");
                assert_ne!(*screen, change.shown, "nobody is told what they know");
                if self.may_see[watcher] {
                    let gone_ms = self.gone_since.map(|since| self.now.at_ms - since);
                    let may = !is_offline || gone_ms.is_some_and(|gone_ms| gone_ms >= GRACE_MS);
                    assert!(may, "offline after {gone_ms:?} ms");
                } else {
                    assert_eq!(change.shown, Shown::default(), "a stranger is told nothing");
                }
                *screen = change.shown;
            }
            // What is told of all at once comes once a second. What a right changes goes to one watcher.
            let seeing = (0..WATCHERS).filter(|w| self.may_see[*w] && self.screens[*w].is_some());
            if change.to.len() > 1 && change.to.len() == seeing.count() {
                let since = self.told_at.map(|told_at| self.now.at_ms - told_at);
                assert!(since.is_none_or(|since| since >= COALESCE_MS), "{since:?}");
                self.told_at = Some(self.now.at_ms);
            }
        }
    }

    /// Nothing more happens: everybody is shown what is.
    fn ends(&mut self) {
        self.act(Act::Wait(2 * (GRACE_MS + REREAD_MS)));
        for (watcher, screen) in self.screens.iter().enumerate() {
            let Some(screen) = screen else { continue };
            if self.may_see[watcher] {
                assert_eq!(screen.state, self.is());
            } else {
                assert_eq!(*screen, Shown::default());
            }
        }
        let known: Vec<Shown> = (0..WATCHERS)
            .filter(|watcher| self.may_see[*watcher])
            .filter_map(|watcher| self.screens[watcher])
            .collect();
        assert!(known.windows(2).all(|two| two[0] == two[1]), "{known:?}");
    }
}

#[test]
fn nobody_sees_a_reconnect_and_all_converge() {
    let conns = connections(WATCHERS);
    let config = ProptestConfig {
        cases: 10_000,
        ..ProptestConfig::default()
    };
    proptest!(config, |(acts in acts())| {
        let mut world = World::new(&conns);
        for act in acts {
            world.act(act);
        }
        world.ends();
    });
}
