//! What it costs to tell a device what changed: for someone in 50 conversations and for someone in 5,000, five of
//! which changed, while others' changed too.
//!
//! `cargo run --release -p storage --example changes_rate` measures SQLite in the directory of temporary files. The two
//! users take turns, so that what else the machine does concerns both.

use std::time::{Duration, Instant};

use storage::{
    Action, Append, ClientId, ConversationId, Fingerprint, NewUser, Reader, Seq, Snapshot, Store, Timestamp,
    UserId, Write, Writer,
    sqlite::{SqliteOptions, SqliteStore},
};

const FEW: u64 = 50;
const MANY: u64 = 5_000;
/// Of each of the two.
const CHANGED: u64 = 5;
const CHANGED_OF_OTHERS: [u64; 3] = [0, 100, 990];
const ROUNDS: usize = 2_001;
/// The first is in few conversations, the second in many.
const ONE: u64 = 1;
const OTHER: u64 = 2;
const USERS: u64 = MANY + 10;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!(
        "{:>18} {:>14} {:>14} {:>8}",
        "changed of others", "50: median us", "5000: median us", "ratio"
    );
    for others in CHANGED_OF_OTHERS {
        for indexed in [true, false] {
            let (few, many) = measure(others, indexed)?;
            let ratio = many.as_secs_f64() / few.as_secs_f64();
            println!(
                "{others:>18} {:>14.1} {:>14.1} {ratio:>8.2}{}",
                few.as_secs_f64() * 1e6,
                many.as_secs_f64() * 1e6,
                if indexed { "" } else { "  not indexed yet" }
            );
        }
    }
    Ok(())
}

/// Medians for the two. What changed is in the index, or only in memory.
fn measure(others: u64, indexed: bool) -> Outcome<(Duration, Duration)> {
    let directory = tempfile::tempdir()?;
    let options = SqliteOptions::new(directory.path().join("changes.db"));
    let store = SqliteStore::open(options.clone())?;
    let mut writer = store.writer()?;
    let mut number = 0;
    commit(writer.as_mut(), (0..USERS).map(account).collect())?;
    let pairs = |user: u64, count: u64| (0..count).map(move |other| (user, OTHER + 1 + other));
    let strangers = (0..others).map(|index| (OTHER + 1 + index, OTHER + 2 + index));
    let all = pairs(ONE, FEW).chain(pairs(OTHER, MANY)).chain(strangers.clone());
    commit(
        writer.as_mut(),
        all.map(|pair| message(pair, &mut number)).collect(),
    )?;
    // Opening it again makes the index of what there is.
    drop(writer);
    let store = open_again(store, &options)?;
    let since = store.reader()?.snapshot()?;
    let mut writer = store.writer()?;
    let changed = pairs(ONE, CHANGED).chain(pairs(OTHER, CHANGED)).chain(strangers);
    commit(
        writer.as_mut(),
        changed.map(|pair| message(pair, &mut number)).collect(),
    )?;
    drop(writer);
    let store = if indexed {
        open_again(store, &options)?
    } else {
        store
    };
    let mut reader = store.reader()?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        few.push(ask(reader.as_mut(), ONE, &since)?);
        many.push(ask(reader.as_mut(), OTHER, &since)?);
    }
    drop(reader);
    store.close()?;
    Ok((median(few), median(many)))
}

fn open_again(store: SqliteStore, options: &SqliteOptions) -> Outcome<SqliteStore> {
    store.close()?;
    drop(store);
    Ok(SqliteStore::open(options.clone())?)
}

fn ask(reader: &mut dyn Reader, user: u64, since: &Snapshot) -> Outcome<Duration> {
    let began = Instant::now();
    let changes = reader.changes(UserId(user), since, 100)?;
    let took = began.elapsed();
    if changes.conversations.len() as u64 != CHANGED {
        return Err(format!("{} changed for user {user}", changes.conversations.len()).into());
    }
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn commit(writer: &mut dyn Writer, writes: Vec<Write>) -> Outcome<()> {
    for part in writes.chunks(512) {
        for answer in writer.commit(part)? {
            answer.map_err(|refused| format!("{refused:?}"))?;
        }
    }
    Ok(())
}

fn account(index: u64) -> Write {
    Write::CreateUser(NewUser {
        name: format!("user{index}"),
        display_name: String::new(),
        password_hash: String::new(),
        at: Timestamp(1),
    })
}

fn message((low, high): (u64, u64), number: &mut u64) -> Write {
    *number += 1;
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Write::Append(Append {
        conversation: ConversationId(1 << 62 | low << 31 | high),
        sender: UserId(high),
        client_id: ClientId(id),
        fingerprint: Fingerprint(id),
        at: Timestamp(*number),
        action: Action::Message {
            kind: 1,
            body: vec![7; 128].into(),
            expires_at: Timestamp(0),
            reply_to: Seq(0),
        },
    })
}
