//! How many rows the server touches for each question and each write, as it says itself: what is asked must not be
//! answered by looking through what users can grow, whatever statistics there are.

use bytes::Bytes;
use postgres::{Client, NoTls};
use services::{Postgres, PostgresSetup};
use storage::{
    Action, ConversationId, CursorMove, Direction, GroupSetting, MessageKinds, ProfileChange, Reader, Seq,
    Snapshot, Store, UserId, Write, Writer,
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{append, appended, group, message, pair, register};

/// Every statement is explained in the server's log, with the rows of each of its steps.
const EXPLAINED: &str = "
session_preload_libraries = 'auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_timing = off
auto_explain.log_nested_statements = on
autovacuum = off
";

const PEOPLE: u64 = 80;
/// How often one of them comes and goes.
const STAYS: u64 = 400;
const ANNOTATED: u64 = 12;
const EDITS: u64 = 40;
const PAIRS: u64 = 1_500;
const PAGE: usize = 10;
/// Rows that one step may touch for a page of ten: its events and one more, and 50 reactions of each …
const PAGE_ROWS: u64 = 11 * 50;
/// … and for anything else, members of the group included.
const ROWS: u64 = PEOPLE + 20;

const OWNER: u64 = 1;
const GUEST: u64 = 2;
const GROUP: ConversationId = group(1);
const LONG: ConversationId = pair(1, 2);

struct World {
    server: Postgres,
    store: PostgresStore,
    writer: Box<dyn Writer>,
    reader: Box<dyn Reader>,
    log: Client,
    read_up_to: i64,
    requests: u64,
}

impl World {
    fn new() -> Self {
        let setup = PostgresSetup {
            config: EXPLAINED.to_owned(),
            ..PostgresSetup::default()
        };
        let server = setup.start().unwrap();
        let url = server.database().unwrap();
        let mut options = PostgresOptions::new(&url);
        // One session: what it planned first, it goes on with.
        options.readers.max = 1;
        options.readers.min_idle = Some(1);
        let store = PostgresStore::open(options).unwrap();
        let mut log = Client::connect(&url, NoTls).unwrap();
        log.batch_execute("SET auto_explain.log_min_duration = -1")
            .unwrap();
        let mut world = Self {
            writer: store.writer().unwrap(),
            reader: store.reader().unwrap(),
            server,
            store,
            log,
            read_up_to: 0,
            requests: 0,
        };
        register(world.writer.as_mut(), PEOPLE);
        world
    }

    fn write(&mut self, conversation: ConversationId, sender: u64, action: Action) -> Write {
        self.requests += 1;
        Write::Append(append(conversation, sender, self.requests, action))
    }

    fn say(&mut self, conversation: ConversationId, sender: u64) -> Write {
        self.requests += 1;
        message(conversation, sender, self.requests, 0)
    }

    fn act(&mut self, conversation: ConversationId, sender: u64, action: Action) -> Seq {
        let write = self.write(conversation, sender, action);
        self.commit(&[write]).pop().unwrap()
    }

    fn commit(&mut self, writes: &[Write]) -> Vec<Seq> {
        let answers = self.writer.commit(writes).unwrap();
        let events = answers.into_iter().map(|answer| appended(answer.unwrap()).event);
        events.map(|event| event.seq).collect()
    }

    /// What was logged since the last call.
    fn logged(&mut self) -> String {
        let row = self.log.query_one(
            "SELECT pg_read_file(file, $1, length - $1), length
             FROM (SELECT current_setting('data_directory') || '/../server.log') AS f (file),
                LATERAL (SELECT size FROM pg_stat_file(file)) AS s (length)",
            &[&self.read_up_to],
        );
        let row = row.unwrap();
        self.read_up_to = row.get(1);
        row.get(0)
    }

    /// No step of a statement in this call touched more rows.
    fn within(&mut self, what: &str, most: u64, call: impl FnOnce(&mut Self)) {
        self.logged();
        call(self);
        let log = self.logged();
        assert!(log.contains("Query Text:"), "{what}: nothing was explained");
        let touched = most_rows(&log);
        assert!(
            touched <= most,
            "{what}: a step touched {touched} rows of at most {most}:\n{log}"
        );
        for table in [
            "events",
            "members",
            "reactions",
            "past_reactions",
            "edits",
            "erasures",
            "expirations",
            "message_counts",
            "cursors",
            "conversations",
        ] {
            let scan = format!("Seq Scan on {table}");
            assert!(!log.contains(&scan), "{what}: {log}");
        }
    }

    /// Few of everything.
    fn begin(&mut self) {
        let members = (2..=5).map(UserId).collect();
        let name = "group".to_owned();
        self.act(GROUP, OWNER, Action::CreateGroup { name, members });
        self.annotate(2, 1);
        let write = self.say(LONG, OWNER);
        self.commit(&[write]);
    }

    fn annotate(&mut self, edits: u64, people: u64) {
        let first = {
            let writes: Vec<Write> = (0..ANNOTATED).map(|_| self.say(GROUP, OWNER)).collect();
            self.commit(&writes)[0].0
        };
        let targets = || (first..first + ANNOTATED).map(Seq);
        for _ in 0..edits {
            let writes: Vec<Write> = targets()
                .map(|target| self.write(GROUP, OWNER, edit(target)))
                .collect();
            self.commit(&writes);
        }
        for user in 1..=people {
            let writes: Vec<Write> = targets()
                .map(|target| self.write(GROUP, user, react(target, "+")))
                .collect();
            self.commit(&writes);
        }
    }

    /// Much of everything.
    fn grow(&mut self) {
        for number in 0..PAIRS {
            let (low, high) = (number % (PEOPLE - 20) + 3, number / (PEOPLE - 20) + PEOPLE - 16);
            if low < high && high <= PEOPLE {
                let write = self.say(pair(low, high), low);
                self.commit(&[write]);
            }
        }
        for _ in 0..8 {
            let writes: Vec<Write> = (0..500).map(|_| self.say(LONG, OWNER)).collect();
            self.commit(&writes);
        }
        let users = (6..=PEOPLE).map(UserId).collect();
        self.act(GROUP, OWNER, Action::AddMembers { users });
        self.annotate(EDITS, PEOPLE);
        for number in 0..STAYS {
            let guest = UserId(GUEST);
            let mut writes = vec![
                self.write(GROUP, OWNER, Action::RemoveMember { user: guest }),
                self.say(GROUP, OWNER),
                self.write(GROUP, OWNER, Action::AddMembers { users: vec![guest] }),
            ];
            if number % 10 == 0 {
                writes.push(self.say(GROUP, GUEST));
            }
            self.commit(&writes);
        }
        self.annotate(EDITS, PEOPLE);
        for user in 3..=PEOPLE {
            let moved = CursorMove {
                conversation: GROUP,
                user: UserId(user),
                delivered: Seq(9),
                read: Seq(9),
            };
            self.writer.commit(&[Write::Cursors(vec![moved])]).unwrap();
        }
    }

    fn page(&mut self, what: &str, viewer: u64, of: ConversationId, from: u64, direction: Direction) {
        self.within(&format!("{what}, {direction:?}"), PAGE_ROWS, |world| {
            let (viewer, from) = (UserId(viewer), Seq(from));
            let page = world.reader.events(viewer, of, from, direction, PAGE, 1 << 20);
            assert!(!page.unwrap().unwrap().events.is_empty());
        });
    }

    fn ask_everything(&mut self, when: &str) {
        let head = |world: &mut Self, of| {
            let view = world.reader.conversation(UserId(OWNER), of).unwrap();
            view.unwrap().head.0
        };
        let (of_group, of_long) = (head(self, GROUP), head(self, LONG));
        for direction in [Direction::Forward, Direction::Backward] {
            for from in [1, of_long / 2, of_long] {
                self.page(
                    &format!("{when}: the long log from {from}"),
                    GUEST,
                    LONG,
                    from,
                    direction,
                );
            }
            for viewer in [OWNER, GUEST, 3] {
                for from in [
                    1,
                    14,
                    of_group / 3,
                    of_group / 2,
                    of_group.saturating_sub(900),
                    of_group,
                ] {
                    let what = format!("{when}: the group from {from} for {viewer}");
                    self.page(&what, viewer, GROUP, from, direction);
                }
            }
        }
        for viewer in [OWNER, GUEST] {
            let viewer = UserId(viewer);
            self.within(&format!("{when}: one conversation"), 4, |world| {
                world.reader.conversation(viewer, GROUP).unwrap().unwrap();
            });
            self.within(&format!("{when}: the list of conversations"), 10, |world| {
                assert_eq!(world.reader.conversations(viewer, None, 5).unwrap().len(), 2);
            });
            self.within(&format!("{when}: changes"), ROWS, |world| {
                let changes = world.reader.changes(viewer, &Snapshot::default(), 500).unwrap();
                assert_eq!(changes.conversations.len(), 2);
            });
        }
        for from in [of_group, i64::MAX as u64] {
            self.within(&format!("{when}: members for a push"), ROWS, |world| {
                world.reader.intervals(GROUP, Seq(from)).unwrap();
            });
        }
        self.within(&format!("{when}: a page of members"), PAGE as u64 + 1, |world| {
            let members = world.reader.members(UserId(OWNER), GROUP, UserId(0), PAGE);
            members.unwrap().unwrap();
        });
        let since = self.reader.snapshot().unwrap();
        let write = self.say(LONG, OWNER);
        self.commit(&[write]);
        self.within(&format!("{when}: the tail"), 10, |world| {
            assert_eq!(world.reader.tail(&since, 100).unwrap().events.len(), 1);
        });
    }

    fn write_everything(&mut self, when: &str) {
        let head = self
            .reader
            .conversation(UserId(GUEST), GROUP)
            .unwrap()
            .unwrap()
            .head;
        let target = self.act(GROUP, GUEST, say(Seq(0)));
        assert!(target > head);
        for (what, most, sender, action) in [
            ("a message", 10, GUEST, say(Seq(0))),
            ("a reply", 10, GUEST, say(target)),
            ("an edit", 10, GUEST, edit(target)),
            ("a reaction", 10, GUEST, react(target, "+")),
            ("another reaction", 10, GUEST, react(target, "-")),
            ("a reaction taken back", 10, GUEST, react(target, "")),
            ("a recall", 10, GUEST, Action::Recall { target }),
            (
                "a removal",
                ROWS,
                OWNER,
                Action::RemoveMember { user: UserId(GUEST) },
            ),
            (
                "an addition",
                ROWS,
                OWNER,
                Action::AddMembers {
                    users: vec![UserId(GUEST)],
                },
            ),
            (
                "a renaming",
                10,
                OWNER,
                Action::Set {
                    setting: GroupSetting::Name,
                    value: format!("the other {when}"),
                },
            ),
        ] {
            self.within(&format!("{when}: {what}"), most, |world| {
                world.act(GROUP, sender, action);
            });
        }
        self.within(&format!("{when}: a slice of what is to be erased"), 10, |world| {
            let now = storage::Timestamp(u64::MAX);
            let answer = world.writer.commit(&[Write::Erase(now)]).unwrap().remove(0);
            assert_eq!(answer, Ok(storage::Outcome::Erased(true)));
        });
        self.within(&format!("{when}: cursors"), 10, |world| {
            let moved = CursorMove {
                conversation: GROUP,
                user: UserId(GUEST),
                delivered: Seq(u64::MAX),
                read: Seq(u64::MAX),
            };
            world.writer.commit(&[Write::Cursors(vec![moved])]).unwrap();
        });
        let status = Some(when.to_owned());
        self.within(&format!("{when}: a profile"), 10, |world| {
            let change = ProfileChange {
                user: UserId(GUEST),
                display_name: None,
                avatar: None,
                status,
            };
            world.writer.commit(&[Write::UpdateProfile(change)]).unwrap();
        });
    }
}

fn say(reply_to: Seq) -> Action {
    Action::Message {
        kind: 1,
        body: Bytes::from_static(b"body"),
        expires_at: storage::Timestamp(0),
        reply_to,
    }
}

fn edit(target: Seq) -> Action {
    let body = Bytes::from_static(b"edited");
    Action::Edit {
        target,
        body,
        fits: MessageKinds::ALL,
    }
}

fn react(target: Seq, reaction: &str) -> Action {
    Action::React {
        target,
        reaction: reaction.to_owned(),
        body: Bytes::new(),
    }
}

/// The most rows that a step of any plan in a log returned or removed, in all its rounds.
fn most_rows(log: &str) -> u64 {
    let number_after = |line: &str, what: &str| -> Option<u64> {
        let (_, rest) = line.split_once(what)?;
        let end = rest.find(|one: char| !one.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    };
    let (mut most, mut rounds) = (0, 1);
    for line in log.lines() {
        if let Some(rows) = number_after(line, "(actual rows=") {
            rounds = number_after(line, " loops=").unwrap_or(1).max(1);
            most = most.max(rows * rounds);
        } else if line.trim_start().starts_with("Rows Removed by ") {
            most = most.max(number_after(line, ": ").unwrap_or(u64::MAX) * rounds);
        }
    }
    most
}

#[test]
fn every_question_and_write_touches_few_rows() {
    let mut world = World::new();
    world.begin();
    world.ask_everything("young");
    world.write_everything("young");
    world.grow();
    // With the plans of then.
    world.ask_everything("grown");
    world.write_everything("grown");
    // And with plans that know.
    world.log.batch_execute("ANALYZE").unwrap();
    world.ask_everything("analysed");
    world.write_everything("analysed");
    world.store.close().unwrap();
    drop(world.server);
}
