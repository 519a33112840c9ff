//! What a page costs, by what lies around it: the length of the conversation, how often the reader came and went, how
//! many edits and reactions the messages have. And what the largest single changes take.
//!
//! `cargo run --release -p storage --example page_cost [directory [events of the long conversation]]` measures SQLite:
//! the directory decides which disk. With `postgresql://…` in the place of the directory it measures PostgreSQL in that
//! empty database. Each figure is the median of several calls, beside its ratio to a plain page of the same run.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage::{
    Action, Append, ClientId, ConversationId, Direction, Fingerprint, MessageKinds, NewUser, Outcome, Reader,
    Refused, Seq, Snapshot, Store, Timestamp, UserId, Write, Writer,
    postgres::{PostgresOptions, PostgresStore},
    sqlite::{SqliteOptions, SqliteStore},
};

type Failed = Box<dyn std::error::Error>;

const USERS: u64 = 2_000;
const SHORT_EVENTS: u64 = 10_000;
const LONG_EVENTS: u64 = 5_000_000;
const BATCH: u64 = 1_024;
const BODY_BYTES: usize = 128;
const PAGE_EVENTS: usize = 100;
const STAYS: u64 = 5_000;
/// Beside pages that have them, so that nobody waits for their making.
const MESSAGES: u64 = 100;
const REACTIONS: [u64; 2] = [50, 200];
const EDITS: u64 = 20;
const CALLS: usize = 25;
const LONG_ENOUGH: Duration = Duration::from_secs(2);

const OWNER: UserId = UserId(1);
const GUEST: UserId = UserId(2);
const SHORT: ConversationId = ConversationId(1 << 62 | 1 << 31 | 2);
const LONG: ConversationId = ConversationId(1 << 62 | 3 << 31 | 4);

const fn group(number: u64) -> ConversationId {
    ConversationId(1 << 61 | number)
}

const PLAIN: ConversationId = group(1);
const RESTLESS: ConversationId = group(2);
const EDITED: ConversationId = group(3);
const RECALLED: ConversationId = group(4);
const ENDED: ConversationId = group(5);
const REACTED: ConversationId = group(10);

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let long = arguments
        .next()
        .map_or(Ok(LONG_EVENTS), |number| number.parse())?;
    if let Some(url) = parent.to_str().filter(|text| text.starts_with("postgres")) {
        let mut options = PostgresOptions::new(url);
        // What is measured shall end, however long it takes.
        options.statement_timeout = Duration::from_secs(600);
        return measure(&PostgresStore::open(options)?, long);
    }
    let directory = tempfile::tempdir_in(parent)?;
    let store = SqliteStore::open(SqliteOptions::new(directory.path().join("pages.db")))?;
    measure(&store, long)
}

fn measure(store: &dyn Store, long: u64) -> Result<(), Failed> {
    let mut load = Load {
        writer: store.writer()?,
        reader: store.reader()?,
        made: 0,
        plain: Duration::ZERO,
    };
    load.accounts()?;
    load.lengths(long)?;
    load.stays()?;
    load.annotations()?;
    load.changes()?;
    drop(load);
    store.close()?;
    Ok(())
}

struct Load {
    writer: Box<dyn Writer>,
    reader: Box<dyn Reader>,
    made: u64,
    /// What a plain page takes.
    plain: Duration,
}

impl Load {
    fn write(&mut self, conversation: ConversationId, sender: UserId, action: Action) -> Write {
        self.made += 1;
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&self.made.to_be_bytes());
        Write::Append(Append {
            conversation,
            sender,
            client_id: ClientId(client_id),
            fingerprint: Fingerprint(client_id),
            at: Timestamp(self.made),
            action,
        })
    }

    fn message(&mut self, conversation: ConversationId, sender: UserId) -> Write {
        self.write(conversation, sender, text())
    }

    /// Returns the seqs of the events.
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Seq>, Failed> {
        let mut seqs = Vec::with_capacity(writes.len());
        for answer in self.writer.commit(writes)? {
            if let Outcome::Appended(appended) = answer? {
                seqs.push(appended.event.seq);
            }
        }
        Ok(seqs)
    }

    fn act(&mut self, conversation: ConversationId, sender: UserId, action: Action) -> Result<Seq, Failed> {
        let write = self.write(conversation, sender, action);
        let seqs = self.commit(&[write])?;
        seqs.first().copied().ok_or_else(|| "nothing was appended".into())
    }

    fn accounts(&mut self) -> Result<(), Failed> {
        let account = |number: u64| {
            Write::CreateUser(NewUser {
                name: format!("user{number}"),
                display_name: String::new(),
                password_hash: String::new(),
                at: Timestamp(0),
            })
        };
        let accounts: Vec<Write> = (1..=USERS).map(account).collect();
        for accounts in accounts.chunks(100) {
            self.commit(accounts)?;
        }
        Ok(())
    }

    fn fill(&mut self, conversation: ConversationId, sender: UserId, events: u64) -> Result<(), Failed> {
        let mut left = events;
        while left > 0 {
            let count = left.min(BATCH);
            let batch: Vec<Write> = (0..count).map(|_| self.message(conversation, sender)).collect();
            self.commit(&batch)?;
            left -= count;
        }
        Ok(())
    }

    fn group(&mut self, id: ConversationId, members: u64) -> Result<(), Failed> {
        let users: Vec<UserId> = (2..=members).map(UserId).collect();
        let mut parts = users.chunks(500);
        let members = parts.next().unwrap_or_default().to_vec();
        let name = "group".to_owned();
        self.act(id, OWNER, Action::CreateGroup { name, members })?;
        for users in parts {
            let users = users.to_vec();
            self.act(id, OWNER, Action::AddMembers { users })?;
        }
        Ok(())
    }

    /// Pages of a conversation of ten thousand events and of the long one.
    fn lengths(&mut self, long: u64) -> Result<(), Failed> {
        self.fill(SHORT, OWNER, SHORT_EVENTS)?;
        let begin = Instant::now();
        self.fill(LONG, UserId(3), long)?;
        println!("{long} events were appended in {:.0?}", begin.elapsed());
        println!("\n{:<58} {:>10} {:>8}", "", "median", "ratio");
        for (what, from) in [("beginning", 1), ("middle", 2), ("end", 0)] {
            let at = |events: u64| match from {
                1 => Seq(1),
                2 => Seq(events / 2),
                _ => Seq(events - PAGE_EVENTS as u64),
            };
            let forward = Direction::Forward;
            let short = self.page(OWNER, SHORT, at(SHORT_EVENTS), forward)?;
            self.plain = short;
            report(
                &format!("page at the {what} of {SHORT_EVENTS} events"),
                short,
                short,
            );
            let found = self.page(UserId(3), LONG, at(long), forward)?;
            report(&format!("page at the {what} of {long} events"), found, short);
        }
        let backward = Direction::Backward;
        let short = self.page(OWNER, SHORT, Seq(0), backward)?;
        report(&format!("newest page of {SHORT_EVENTS} events"), short, short);
        let found = self.page(UserId(3), LONG, Seq(0), backward)?;
        report(&format!("newest page of {long} events"), found, short);
        Ok(())
    }

    /// What somebody's reads cost who came and went.
    fn stays(&mut self) -> Result<(), Failed> {
        self.group(PLAIN, 3)?;
        self.group(RESTLESS, 3)?;
        let users = vec![GUEST];
        for _ in 0..STAYS {
            let batch = [
                self.write(RESTLESS, OWNER, Action::RemoveMember { user: GUEST }),
                self.message(RESTLESS, OWNER),
                self.write(RESTLESS, OWNER, Action::AddMembers { users: users.clone() }),
                self.message(RESTLESS, OWNER),
            ];
            self.commit(&batch)?;
        }
        for group in [PLAIN, RESTLESS] {
            self.fill(group, OWNER, PAGE_EVENTS as u64)?;
        }
        let short = self.page(GUEST, PLAIN, Seq(0), Direction::Backward)?;
        report("newest page of a group, one stay", short, short);
        for (what, from, direction) in [
            ("newest", Seq(0), Direction::Backward),
            ("first", Seq(1), Direction::Forward),
            ("middle", Seq(STAYS * 2), Direction::Forward),
        ] {
            let found = self.page(GUEST, RESTLESS, from, direction)?;
            report(&format!("{what} page of a group, {STAYS} stays"), found, short);
        }
        let since = Snapshot::default();
        for (what, viewer) in [("none", OWNER), ("the viewer with 5000 stays", GUEST)] {
            let found = self.median(|load| load.reader.conversations(viewer, None, 50).map(|_| ()))?;
            report(&format!("list of conversations, {what}"), found, short);
            let found = self.median(|load| load.reader.changes(viewer, &since, 50).map(|_| ()))?;
            report(&format!("changes since the beginning, {what}"), found, short);
        }
        for group in [PLAIN, RESTLESS] {
            let what = if group == PLAIN { "one stay" } else { "5000 stays" };
            let newest = Seq(i64::MAX as u64);
            let found = self.median(|load| load.reader.intervals(group, newest).map(|_| ()))?;
            report(&format!("members for a push, {what}"), found, short);
            let found = self.median(|load| load.reader.members(OWNER, group, UserId(0), 50).map(|_| ()))?;
            report(&format!("page of members, {what}"), found, short);
            let found = self.median(|load| load.reader.conversation(GUEST, group).map(|_| ()))?;
            report(&format!("one conversation, {what}"), found, short);
        }
        let reply = Action::Message {
            kind: 1,
            body: Bytes::new(),
            expires_at: Timestamp(0),
            reply_to: Seq(STAYS * 4 + 50),
        };
        for group in [PLAIN, RESTLESS] {
            let what = if group == PLAIN { "one stay" } else { "5000 stays" };
            let mut reply = reply.clone();
            if let (PLAIN, Action::Message { reply_to, .. }) = (group, &mut reply) {
                *reply_to = Seq(50);
            }
            let found = self.median(|load| load.act(group, GUEST, reply.clone()).map(|_| ()))?;
            report(&format!("a reply, {what}"), found, short);
        }
        Ok(())
    }

    /// Pages of messages with reactions, and with edits.
    fn annotations(&mut self) -> Result<(), Failed> {
        for (number, reactions) in REACTIONS.into_iter().enumerate() {
            let id = ConversationId(REACTED.0 + number as u64);
            self.group(id, reactions + 1)?;
            self.fill(id, OWNER, MESSAGES)?;
            for user in 2..reactions + 2 {
                let react = |target| Action::React {
                    target,
                    reaction: "👍".to_owned(),
                    body: Bytes::from_static(b"reaction"),
                };
                let batch: Vec<Write> = (2..2 + MESSAGES)
                    .map(|seq| self.write(id, UserId(user), react(Seq(seq))))
                    .collect();
                self.commit(&batch)?;
            }
            let found = self.page(OWNER, id, Seq(2), Direction::Forward)?;
            report(
                &format!("page of messages with {reactions} reactions each"),
                found,
                self.plain,
            );
            let events = self.events_of_page(OWNER, id)?;
            println!("    ({events} events in it)");
            self.act(id, OWNER, Action::RemoveMember { user: GUEST })?;
            let found = self.page(GUEST, id, Seq(2), Direction::Forward)?;
            report("    the same for a former member", found, self.plain);
        }
        self.group(EDITED, 3)?;
        self.fill(EDITED, OWNER, MESSAGES)?;
        for _ in 0..EDITS {
            let batch: Vec<Write> = (2..2 + MESSAGES)
                .map(|seq| self.write(EDITED, OWNER, edit(Seq(seq), BODY_BYTES)))
                .collect();
            self.commit(&batch)?;
        }
        let found = self.page(GUEST, EDITED, Seq(2), Direction::Forward)?;
        report(
            &format!("page of messages with {EDITS} edits each"),
            found,
            self.plain,
        );
        Ok(())
    }

    /// The changes that touch most rows.
    fn changes(&mut self) -> Result<(), Failed> {
        self.group(RECALLED, 3)?;
        for bytes in [BODY_BYTES, 4_096, 61_440] {
            let target = self.act(RECALLED, OWNER, text())?;
            let mut edits = 0;
            'edits: loop {
                let batch: Vec<Write> = (0..100)
                    .map(|_| self.write(RECALLED, OWNER, edit(target, bytes)))
                    .collect();
                for answer in self.writer.commit(&batch)? {
                    match answer {
                        Ok(_) => edits += 1,
                        Err(Refused::LimitReached) => break 'edits,
                        Err(refused) => return Err(refused.into()),
                    }
                }
                if edits >= 1_000 {
                    break;
                }
            }
            let begin = Instant::now();
            self.act(RECALLED, OWNER, Action::Recall { target })?;
            let took = begin.elapsed();
            report(
                &format!("recall of a message with {edits} edits of {bytes} bytes"),
                took,
                self.plain,
            );
            let (mut slices, mut longest) = (0, Duration::ZERO);
            loop {
                let begin = Instant::now();
                let answers = self.writer.commit(&[Write::Erase(Timestamp(0))])?;
                if !answers.contains(&Ok(Outcome::Erased(true))) {
                    break;
                }
                slices += 1;
                longest = longest.max(begin.elapsed());
            }
            report(
                &format!("    the longest of {slices} slices of its edits"),
                longest,
                self.plain,
            );
        }
        self.group(ENDED, USERS)?;
        let begin = Instant::now();
        self.act(ENDED, OWNER, Action::Disband)?;
        report(
            &format!("end of a group with {USERS} members"),
            begin.elapsed(),
            self.plain,
        );
        let begin = Instant::now();
        let write = self.message(PLAIN, OWNER);
        self.commit(&[write])?;
        report("a message", begin.elapsed(), self.plain);
        Ok(())
    }

    fn events_of_page(&mut self, viewer: UserId, id: ConversationId) -> Result<usize, Failed> {
        let (limit, bytes) = (PAGE_EVENTS, 64 * 1024);
        let page = self
            .reader
            .events(viewer, id, Seq(2), Direction::Forward, limit, bytes)?;
        Ok(page.ok_or("no page")?.events.len())
    }

    fn page(
        &mut self,
        viewer: UserId,
        id: ConversationId,
        from: Seq,
        direction: Direction,
    ) -> Result<Duration, Failed> {
        self.median(|load| {
            let (limit, bytes) = (PAGE_EVENTS, 64 * 1024);
            let page = load.reader.events(viewer, id, from, direction, limit, bytes)?;
            page.map(|_| ()).ok_or_else(|| Failed::from("no page"))
        })
    }

    fn median<E: Into<Failed>>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<Duration, Failed> {
        let mut taken = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let begin = Instant::now();
            call(self).map_err(Into::into)?;
            taken.push(begin.elapsed());
            // A median of fewer says as much where one call takes long.
            if taken.iter().sum::<Duration>() > LONG_ENOUGH {
                break;
            }
        }
        taken.sort_unstable();
        Ok(taken.get(taken.len() / 2).copied().unwrap_or_default())
    }
}

fn text() -> Action {
    Action::Message {
        kind: 1,
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    }
}

fn edit(target: Seq, bytes: usize) -> Action {
    let body = Bytes::from(vec![b'y'; bytes]);
    Action::Edit {
        target,
        body,
        fits: MessageKinds::ALL,
    }
}

fn report(what: &str, found: Duration, beside: Duration) {
    let ratio = found.as_secs_f64() / beside.as_secs_f64();
    println!("{what:<58} {found:>10.2?} {ratio:>8.2}");
}
