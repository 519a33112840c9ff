//! How many messages a store appends in a second, by the size of the batches, and what one costs in CPU.
//!
//! `cargo run --release -p storage --example append_rate [directory [messages per size]]` measures SQLite: the
//! directory decides which disk. With `postgresql://…` in the place of the directory it measures PostgreSQL in that
//! empty database, by one and by four writers, beside a bare insert of the same rows into the same tables. Bodies of
//! 128 bytes, 10,000 conversations, client ids ordered by time, every commit flushed.

#[path = "append_rate/postgresql.rs"]
mod postgresql;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage::{
    Action, Append, ClientId, ConversationId, Fingerprint, NewUser, Seq, Store, Timestamp, UserId, Write,
    Writer,
    sqlite::{SqliteOptions, SqliteStore},
};

const USERS: u64 = 2_000;
const CONVERSATIONS: u64 = 10_000;
const BODY_BYTES: usize = 128;
const BATCHES: [u64; 4] = [1, 8, 64, 256];
const MESSAGES: u64 = 200_000;
/// Batches of one are a flush each: fewer of them say as much.
const SINGLE_MESSAGES_DIVISOR: u64 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let messages = arguments.next().map_or(Ok(MESSAGES), |number| number.parse())?;
    if let Some(url) = parent.to_str().filter(|text| text.starts_with("postgres")) {
        return postgresql::run(url, messages);
    }
    let directory = tempfile::tempdir_in(parent)?;
    let store = SqliteStore::open(SqliteOptions::new(directory.path().join("rate.db")))?;
    let mut writer = store.writer()?;
    let mut load = Load::new();
    writer.commit(&accounts())?;
    // Conversations begin before the clock does.
    for _ in 0..CONVERSATIONS / 256 + 1 {
        append(writer.as_mut(), &load.batch(256))?;
    }
    println!(
        "{:>6} {:>10} {:>12} {:>12} {:>12}",
        "batch", "rows/s", "us/row", "p50 commit", "p99 commit"
    );
    for size in BATCHES {
        let count = if size == 1 {
            messages / SINGLE_MESSAGES_DIVISOR
        } else {
            messages
        };
        measure(writer.as_mut(), &mut load, size, count)?;
    }
    drop(writer);
    store.close()?;
    Ok(())
}

fn measure(
    writer: &mut dyn Writer,
    load: &mut Load,
    size: u64,
    messages: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut commits = Vec::new();
    let cpu_before = thread_cpu();
    let mut elapsed = Duration::ZERO;
    let mut making = Duration::ZERO;
    for _ in 0..messages / size {
        let begin = Instant::now();
        let batch = load.batch(size);
        let made = Instant::now();
        append(writer, &batch)?;
        let done = Instant::now();
        making += made - begin;
        commits.push(done - made);
        elapsed += done - made;
    }
    let rows = (messages / size * size) as f64;
    let cpu = thread_cpu().zip(cpu_before).map(|(after, before)| after - before);
    let cpu = cpu.map_or_else(
        || "?".to_owned(),
        |cpu| format!("{:.1}", cpu.saturating_sub(making).as_secs_f64() * 1e6 / rows),
    );
    commits.sort_unstable();
    let percentile = |percent: usize| {
        commits
            .get(commits.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{size:>6} {:>10.0} {cpu:>12} {:>12.1?} {:>12.1?}",
        rows / elapsed.as_secs_f64(),
        percentile(50),
        percentile(99)
    );
    Ok(())
}

fn append(writer: &mut dyn Writer, batch: &[Write]) -> Result<(), Box<dyn std::error::Error>> {
    for answer in writer.commit(batch)? {
        answer?;
    }
    Ok(())
}

fn accounts() -> Vec<Write> {
    let account = |number: u64| {
        Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: String::new(),
            password_hash: String::new(),
            at: Timestamp(0),
        })
    };
    (1..=USERS).map(account).collect()
}

/// Makes messages, each to the next of the conversations in a scattered order.
struct Load {
    made: u64,
    body: Bytes,
}

impl Load {
    fn new() -> Self {
        Self {
            made: 0,
            body: Bytes::from(vec![b'x'; BODY_BYTES]),
        }
    }

    fn batch(&mut self, size: u64) -> Vec<Write> {
        (0..size).map(|_| self.message()).collect()
    }

    fn message(&mut self) -> Write {
        self.made += 1;
        // A stride that shares no factor with the number of conversations visits them all.
        let pick = self.made * 7_919 % CONVERSATIONS;
        let low = pick % (USERS - 10) + 1;
        let high = low + 1 + pick / (USERS - 10);
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&self.made.to_be_bytes());
        Write::Append(Append {
            conversation: ConversationId(1 << 62 | low << 31 | high),
            sender: UserId(if self.made.is_multiple_of(2) { low } else { high }),
            client_id: ClientId(client_id),
            fingerprint: Fingerprint(client_id),
            at: Timestamp(self.made),
            action: Action::Message {
                kind: 1,
                body: self.body.clone(),
                expires_at: Timestamp(0),
                reply_to: Seq(0),
            },
        })
    }
}

/// What this thread has used so far, where the system says so.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
