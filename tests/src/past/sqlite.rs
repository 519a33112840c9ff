//! One daemon, and perhaps a second one, over a SQLite file.
//!
//! A file is its rows and its inode; beside it stands the witness, which is written after each commit's flush and is
//! not flushed itself: a power cut may take it back to what it said before.
//!
//! | letter | what happens |
//! |---|---|
//! | `s` | the daemon appends a message, acknowledges it and pushes it |
//! | `t` | it answers a ping |
//! | `k` | a copy of the directory is made while nothing is written |
//! | `R` `P` `Q` | stopped; put back as a new file, over the old one, over the old one without the witness; started |
//! | `X` | the copy is put over the file while the daemon runs |
//! | `N` `c` | killed, started; the power fails, started |
//! | `f` | killed; a bit of the last commit in the WAL is flipped; started |
//! | `D` `W` `v` | a second daemon by another name; it appends; one with a WAL of its own appends |
//! | `E` `q` | the file is emptied beside its WAL; a restore is killed half-way; started |
//! | `Y` | both devices come back |

use super::{Broken, Device, Promise, Rule, Rules, Set, Verdict, World, judge_log, lost};

const GENERATION: usize = 0;
const TOKEN: usize = 1;
const EPOCH: usize = 2;
const INODE: usize = 3;
const LOCK: usize = 4;
const COMPARE: usize = 5;
const NEW: usize = 6;
const BEGINNING: usize = 7;
const WITNESS: usize = 8;
const WHOLE: usize = 9;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct File {
    past: u8,
    generations: Vec<(u8, Option<u8>)>,
    generation: u8,
    /// The ids of the log; their number is the position.
    log: Vec<u8>,
    /// The file that the newest generation began in.
    inode: u8,
}

impl File {
    fn position(&self) -> u8 {
        self.log.len() as u8
    }
}

/// What the file beside says: the log up to its position, as its hash would.
type Witness = Vec<u8>;

/// What a daemon remembers from one transaction to the next.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Memory {
    generation: u8,
    log: Vec<u8>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Token {
    past: u8,
    generation: u8,
    position: u8,
}

/// See the module.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Sqlite {
    rules: Rules,
    file: File,
    inode: u8,
    witness: Witness,
    /// What a power cut leaves of the witness.
    witness_flushed: Witness,
    copy: Option<(File, Witness)>,
    /// The file before each append whose frames are still in the WAL.
    wal: Vec<File>,
    daemon: Memory,
    epoch: u8,
    starts: u8,
    second: Option<Memory>,
    devices: [Device<Token>; 2],
    promised: Vec<Promise>,
    ids: u8,
    fresh: u8,
    disasters: u8,
    pasts: u8,
    /// Ghost: something was taken away together with what could have told of it.
    silent: bool,
}

impl World for Sqlite {
    const RULES: &'static [Rule] = &[
        rule("generation", "each start of the writer opens a generation"),
        rule(
            "token",
            "tokens name their generation; one that cannot be is a witness",
        ),
        rule(
            "epoch",
            "a witness makes a new past for all, not only for its device",
        ),
        rule(
            "inode",
            "a file of another identity than the last start noted is a copy",
        ),
        rule("lock", "the lock is on the database itself"),
        rule(
            "compare",
            "each transaction finds position and generation as remembered, or the process ends",
        ),
        rule(
            "new",
            "only nothing at all is a new store; what is empty, orphaned or partial is refused",
        ),
        rule(
            "beginning",
            "a device that starts over begins at 0, not at the heads",
        ),
        rule("witness", "a file beside the store says what was acknowledged"),
        rule("whole", "a restore names its file last, when it is whole"),
    ];
    const LETTERS: &'static [u8] = b"stkRPQXNcfDWvEqY";

    fn begin(rules: Rules) -> Self {
        let mut world = Self {
            rules,
            file: File {
                past: 1,
                generations: Vec::new(),
                generation: 0,
                log: Vec::new(),
                inode: 1,
            },
            inode: 1,
            witness: Witness::new(),
            witness_flushed: Witness::new(),
            copy: None,
            wal: Vec::new(),
            daemon: Memory {
                generation: 0,
                log: Vec::new(),
            },
            epoch: 1,
            starts: 0,
            second: None,
            devices: [Device::new(false), Device::new(true)],
            promised: Vec::new(),
            ids: 0,
            fresh: 1,
            disasters: 0,
            pasts: 0,
            silent: false,
        };
        world.start();
        world.come_back_all();
        world
    }

    fn step(&mut self, letter: u8) -> Result<(), Broken> {
        match letter {
            b's' => self.send(),
            b't' => self.pong(),
            b'k' => self.copy = Some((self.file.clone(), self.witness.clone())),
            b'R' | b'P' | b'Q' | b'X' => self.put_back(letter),
            b'N' => self.start(),
            b'c' => {
                self.witness.clone_from(&self.witness_flushed);
                let lost = lost(&self.promised, self.file.past, &self.file.log);
                self.silent |= !lost.is_empty() && self.file.log.starts_with(&self.witness);
                self.start();
            }
            b'f' => self.flip(),
            b'D' => self.start_second(),
            b'W' => self.send_second(),
            // A hard link's WAL has another name; it is lost with it.
            b'v' if !self.rules.hold(LOCK) => {
                let (id, seq) = (self.new_id(), self.file.position() + 1);
                self.promised.push(Promise {
                    epoch: self.file.past,
                    seq,
                    id,
                });
            }
            b'E' if !self.rules.hold(NEW) && !self.file.log.is_empty() => {
                return Err(Broken(
                    "G1: the only copy of what was acknowledged is overwritten",
                ));
            }
            b'q' if !self.rules.hold(WHOLE)
                && self.copy.as_ref().is_some_and(|(copy, _)| !copy.log.is_empty()) =>
            {
                return Err(Broken("G1: half a backup is served as if it were whole"));
            }
            b'Y' => self.come_back_all(),
            _ => {}
        }
        Ok(())
    }

    fn settle(mut self) -> Result<Verdict, Broken> {
        let nobody_remembers = self.nobody_remembers();
        for _ in 0..2 {
            self.send();
            self.pong();
            self.come_back_all();
        }
        if nobody_remembers {
            return Ok(Verdict::BeyondDetection);
        }
        if self.pasts > self.disasters {
            return Err(Broken("a new past although nothing was lost"));
        }
        judge_log(&self.promised, self.file.past, &self.file.log)?;
        self.devices
            .iter()
            .try_for_each(|device| device.judge(&self.file.log))?;
        Ok(Verdict::Kept)
    }
}

const fn rule(name: &'static str, says: &'static str) -> Rule {
    Rule { name, says }
}

impl Sqlite {
    const fn fresh(&mut self) -> u8 {
        self.fresh += 1;
        self.fresh
    }

    const fn new_id(&mut self) -> u8 {
        self.ids += 1;
        self.ids
    }

    // ---- disasters --------------------------------------------------------------------------------

    fn put_back(&mut self, how: u8) {
        let Some((file, witness)) = self.copy.clone() else {
            return;
        };
        self.disasters += 1;
        self.second = None;
        self.file = file;
        self.wal.clear();
        match how {
            b'R' => self.inode = self.fresh(),
            // The identity is the old file's: whoever noted one before notes it again.
            _ => self.file.inode = self.inode,
        }
        if matches!(how, b'R' | b'P') {
            self.witness.clone_from(&witness);
            self.witness_flushed = witness;
            self.silent |= how == b'P';
        } else {
            self.silent |= self.witness.len() <= self.file.log.len();
        }
        if how != b'X' {
            self.start();
        }
    }

    /// The last append fails its checksum, and recovery ends before it without a word: what was committed after it is
    /// gone with it.
    fn flip(&mut self) {
        let Some(before) = self.wal.pop() else {
            return;
        };
        self.disasters += 1;
        self.second = None;
        self.file = before;
        self.silent |= self.witness.len() <= self.file.log.len();
        self.start();
    }

    // ---- the daemon -------------------------------------------------------------------------------

    fn start(&mut self) {
        self.starts += 1;
        self.second = None;
        let holds = |rule| self.rules.hold(rule);
        let other_file = holds(INODE) && self.file.inode != self.inode;
        let lost_tail = holds(WITNESS) && !self.file.log.starts_with(&self.witness);
        if other_file || lost_tail {
            return self.new_past();
        }
        if holds(GENERATION) {
            let (ended, end) = (self.file.generation, self.file.position());
            for (generation, its_end) in &mut self.file.generations {
                if *generation == ended {
                    *its_end = Some(end);
                }
            }
            self.file.generation = self.fresh();
            self.file.generations.push((self.file.generation, None));
        }
        self.live();
    }

    fn live(&mut self) {
        self.epoch = self.file.past;
        self.daemon = self.remembered();
    }

    fn remembered(&self) -> Memory {
        Memory {
            generation: self.file.generation,
            log: self.file.log.clone(),
        }
    }

    fn new_past(&mut self) {
        self.pasts += 1;
        self.starts += 1;
        let fresh = self.fresh();
        self.file.past = fresh;
        self.file.generations = vec![(fresh, None)];
        self.file.generation = fresh;
        self.file.inode = self.inode;
        self.witness_flushed.clone_from(&self.file.log);
        self.witness.clone_from(&self.file.log);
        self.live();
    }

    /// One transaction of a daemon that remembers `memory`; `None`: it finds something else, and ends.
    fn write(&mut self, mut memory: Memory) -> Option<(Memory, u8)> {
        let same = memory.generation == self.file.generation && memory.log.len() == self.file.log.len();
        if self.rules.hold(COMPARE) && !same {
            return None;
        }
        let id = self.new_id();
        self.wal.push(self.file.clone());
        memory.log.push(id);
        let seq = memory.log.len();
        // A row of this seq that is there is overwritten; a hole is one.
        self.file.log.resize(seq.max(self.file.log.len()), 0);
        self.file.log[seq - 1] = id;
        self.witness_flushed = std::mem::replace(&mut self.witness, self.file.log.clone());
        self.promised.push(Promise {
            epoch: self.file.past,
            seq: seq as u8,
            id,
        });
        Some((memory, id))
    }

    fn send(&mut self) {
        match self.write(self.daemon.clone()) {
            Some((memory, id)) => {
                let seq = memory.log.len() as u8;
                self.daemon = memory;
                for index in 0..self.devices.len() {
                    self.push(index, seq, id);
                }
            }
            None => self.start(),
        }
    }

    /// Without the lock it opens a generation of its own, while the first one goes on.
    fn start_second(&mut self) {
        if self.rules.hold(LOCK) || self.second.is_some() {
            return;
        }
        let first = self.daemon.clone();
        self.start();
        self.second = Some(std::mem::replace(&mut self.daemon, first));
    }

    fn send_second(&mut self) {
        if let Some(memory) = self.second.take() {
            self.second = self.write(memory).map(|(memory, _)| memory);
        }
    }

    // ---- devices ----------------------------------------------------------------------------------

    fn push(&mut self, index: usize, seq: u8, id: u8) {
        if self.devices[index].connection == self.starts {
            self.devices[index].push(seq, id, &self.file.log);
        } else {
            self.come_back(index);
        }
    }

    fn pong(&mut self) {
        if self.devices[0].connection != self.starts {
            self.come_back(0);
        }
        self.devices[0].token = Some(self.token());
    }

    fn token(&self) -> Token {
        Token {
            past: self.file.past,
            generation: self.file.generation,
            position: self.file.position(),
        }
    }

    fn come_back_all(&mut self) {
        (0..self.devices.len()).for_each(|index| self.come_back(index));
    }

    fn come_back(&mut self, index: usize) {
        match self.devices[index].token.clone() {
            None => self.devices[index].start_over(self.epoch, &self.file.log, true),
            Some(token) => {
                let mut known = token.past == self.file.past;
                if known && self.testifies(&token) {
                    known = false;
                    if self.rules.hold(EPOCH) {
                        self.new_past();
                    }
                }
                let device = &mut self.devices[index];
                if !known || device.epoch != self.epoch {
                    device.start_over(self.epoch, &self.file.log, self.rules.hold(BEGINNING));
                } else if self.file.position() > token.position {
                    device.pull(&self.file.log);
                }
            }
        }
        let device = &self.devices[index];
        let keeps = device.lags
            && device
                .token
                .as_ref()
                .is_some_and(|token| token.past == self.epoch);
        if !keeps {
            self.devices[index].token = Some(self.token());
        }
        self.devices[index].connection = self.starts;
    }

    /// As it was before generations, a position beyond the store's is all that can be told.
    fn testifies(&self, token: &Token) -> bool {
        let above = token.position > self.file.position();
        let named = self.rules.hold(TOKEN) && self.rules.hold(GENERATION);
        above || named && !self.has(token)
    }

    fn has(&self, token: &Token) -> bool {
        let mut generations = self.file.generations.iter();
        let known = generations.find(|(generation, _)| *generation == token.generation);
        known.is_some_and(|(_, end)| end.is_none_or(|end| token.position <= end))
    }

    /// Lost together with the witness, and no stored token has any of it.
    fn nobody_remembers(&self) -> bool {
        let lost: Set = lost(&self.promised, self.file.past, &self.file.log);
        if lost.is_empty() || !self.silent {
            return false;
        }
        let vouches = |device: &Device<Token>| {
            device.token.as_ref().is_some_and(|token| {
                token.past == self.file.past
                    && token.position > 0
                    && (!self.has(token) || token.position > self.file.position())
            })
        };
        !self.devices.iter().any(vouches)
    }
}
