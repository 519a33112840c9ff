//! Two nodes over one PostgreSQL. D is a device of node A, O one of node B.
//!
//! The server is a list of commits in WAL order, a counter of transaction numbers and an incarnation. A transaction
//! that wrote nothing leaves no trace, and its number is given out again after a crash.
//!
//! | letter | what happens |
//! |---|---|
//! | `s` `S` | node A or B appends a message, acknowledges it and pushes it |
//! | `t` `T` | node A or B reads what others committed, pushes it, and answers a ping |
//! | `o` `p` | node B begins a transaction that takes a number; it commits, late |
//! | `e` `b` | a number is taken and leaves no trace; another program commits |
//! | `x` `X` | the server crashes at node A's COMMIT of an edit: it is not in the WAL, or it is |
//! | `i` | node A finds out what became of the edit, and repeats it where it may |
//! | `C` | the server crashes and starts at once |
//! | `k` `R` | a copy of the data directory is made; it is put back while the nodes run |
//! | `F` | a standby that lacks the last commit is promoted |
//! | `L` | the store is dumped and loaded into a younger server |
//! | `N` `M` | node A or B starts anew |
//! | `h` | both nodes leave their marks in Redis |
//! | `w` | from now on a pooler hides a change of servers from the sessions |
//! | `Y` | both devices come back |

mod ending;
mod nodes;
mod server;
mod traffic;

use std::rc::Rc;

use super::{Broken, Device, Promise, Rule, Rules, Set, Verdict, World, judge_log};

const PROOF: usize = 0;
const HORIZON: usize = 1;
const TIMELINE: usize = 2;
const START: usize = 3;
const TOLD: usize = 4;
const TOKEN: usize = 5;
const EPOCH: usize = 6;
const COPY: usize = 7;
const OFFSET: usize = 8;
const WITHIN: usize = 9;
const BEGINNING: usize = 10;
const MARK: usize = 11;
const FORMER: usize = 12;

const A: usize = 0;
const B: usize = 1;

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Incarnation {
    system: u8,
    timeline: u8,
    start: u8,
}

/// The row `store`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Store {
    /// Epoch and log id, which always change together.
    past: u8,
    /// The pasts before it, oldest first.
    before: Vec<u8>,
    /// With their ends.
    generations: Vec<(u8, Option<u8>)>,
    generation: u8,
    confirmed: Incarnation,
    offset: u8,
    written_by: u8,
}

/// Where a generation ended.
enum End {
    /// The store never had it.
    Unknown,
    /// It is the present one.
    Open,
    At(u8),
}

impl Store {
    fn end_of(&self, generation: u8) -> End {
        let found = self.generations.iter().find(|(known, _)| *known == generation);
        match found {
            None => End::Unknown,
            Some((_, None)) => End::Open,
            Some((_, Some(end))) => End::At(*end),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Event {
    position: u8,
    id: u8,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Row {
    Store(Rc<Store>),
    Event(Event),
    Foreign,
}

type Wal = Vec<(u8, Row)>;

/// A data directory: system and timeline are in it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Copy {
    wal: Wal,
    next: u8,
    server: Incarnation,
}

/// What a node remembers of the past that it lives in.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Memory {
    past: u8,
    /// Those that it replaced.
    before: Vec<u8>,
    generation: u8,
    server: Incarnation,
    delivered: Set,
    /// Ids of rows that it stored or read.
    seen: Set,
    /// The highest horizon of any token that it gave out.
    told: u8,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Node {
    starts: u8,
    memory: Option<Memory>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Token {
    past: u8,
    generation: u8,
    claims: Set,
    /// Ghost: the ids that it vouches for.
    ids: Set,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Doubt {
    number: u8,
    id: u8,
    past: u8,
}

/// See the module.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Postgres {
    rules: Rules,
    wal: Wal,
    next: u8,
    server: Incarnation,
    copy: Option<Copy>,
    open: Option<u8>,
    doubt: Option<Doubt>,
    pooled: bool,
    /// In Redis: a past and how far it was told of.
    mark: Option<(u8, u8)>,
    nodes: [Node; 2],
    devices: [Device<Token>; 2],
    promised: Vec<Promise>,
    ids: u8,
    fresh: u8,
    disasters: u8,
    pasts: u8,
    /// Ghost: ids that a directory put back has taken away, and its horizon then.
    silent: Set,
    floor: u8,
    /// Ghost: a mark was read that is above the horizon.
    marked: bool,
}

impl World for Postgres {
    const RULES: &'static [Rule] = &[
        rule(
            "proof",
            "a commit in doubt is proved by a row of its own transaction, not by its number",
        ),
        rule("horizon", "claims end at the newest own row that is visible"),
        rule("timeline", "another timeline is another past"),
        rule(
            "start",
            "each start of the server opens a generation, and running nodes check what they remember",
        ),
        rule(
            "told",
            "a node remembers the highest horizon of any token, not only what its follower read",
        ),
        rule(
            "token",
            "tokens name their generation; one that cannot be is a witness",
        ),
        rule(
            "epoch",
            "a witness makes a new past for all, not only for its device",
        ),
        rule(
            "copy",
            "a store that another transaction wrote, or that is on another system, is a copy",
        ),
        rule(
            "offset",
            "positions are numbers of transactions plus an offset of the store",
        ),
        rule(
            "within",
            "every transaction compares generation and start, not only every connection",
        ),
        rule(
            "beginning",
            "a device that starts over begins at 0, not at the heads",
        ),
        rule("mark", "a starting node takes the mark in Redis for its memory"),
        rule(
            "former",
            "a node that finds a past again which its own had replaced is a witness",
        ),
    ];
    const LETTERS: &'static [u8] = b"sStTopebxXiCkRFLNMhwY";

    fn begin(rules: Rules) -> Self {
        let server = Incarnation {
            system: 1,
            timeline: 1,
            start: 1,
        };
        let node = || Node {
            starts: 0,
            memory: None,
        };
        let mut world = Self {
            rules,
            wal: Wal::new(),
            next: 3,
            server,
            copy: None,
            open: None,
            doubt: None,
            pooled: false,
            mark: None,
            nodes: [node(), node()],
            devices: [Device::new(false), Device::new(true)],
            promised: Vec::new(),
            ids: 0,
            fresh: 1,
            disasters: 0,
            pasts: 0,
            silent: Set::default(),
            floor: 0,
            marked: false,
        };
        world.write_store(Store {
            past: 1,
            before: Vec::new(),
            generations: vec![(1, None)],
            generation: 1,
            confirmed: server,
            offset: 0,
            written_by: 0,
        });
        for node in [A, B] {
            world.start(node);
            world.come_back(node);
        }
        world
    }

    fn step(&mut self, letter: u8) -> Result<(), Broken> {
        match letter {
            b's' => self.send(A),
            b'S' => self.send(B),
            b't' => self.follow_and_pong(A),
            b'T' => self.follow_and_pong(B),
            b'o' if self.open.is_none() => {
                self.through_a_transaction(B);
                self.open = Some(self.take_number());
            }
            b'p' => self.commit_open(),
            b'e' => drop(self.take_number()),
            b'b' => self.commit(Row::Foreign),
            b'x' if self.doubt.is_none() => self.crash_at_commit(false),
            b'X' if self.doubt.is_none() => self.crash_at_commit(true),
            b'i' => self.inquire()?,
            b'C' => self.crash(),
            b'k' => {
                self.copy = Some(Copy {
                    wal: self.wal.clone(),
                    next: self.next,
                    server: self.server,
                });
            }
            b'R' => self.put_back(),
            b'F' => self.promote(),
            b'L' => self.dump_and_load(),
            b'N' => self.start(A),
            b'M' => self.start(B),
            b'h' => self.leave_marks(),
            b'w' => self.pooled = true,
            b'Y' => [A, B].into_iter().for_each(|node| self.come_back(node)),
            _ => {}
        }
        Ok(())
    }

    fn settle(mut self) -> Result<Verdict, Broken> {
        let nobody_remembers = self.nobody_remembers();
        for _ in 0..2 {
            self.heal()?;
            [A, B].into_iter().for_each(|node| self.come_back(node));
        }
        if nobody_remembers {
            return Ok(Verdict::BeyondDetection);
        }
        if self.pasts > self.disasters {
            return Err(Broken("a new past although nothing was lost"));
        }
        let log = self.log();
        judge_log(&self.promised, self.store().past, &log)?;
        self.devices.iter().try_for_each(|device| device.judge(&log))?;
        Ok(Verdict::Kept)
    }
}

const fn rule(name: &'static str, says: &'static str) -> Rule {
    Rule { name, says }
}
