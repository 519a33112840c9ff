//! The rates of the PostgreSQL store, beside those of a bare insert through the same driver.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls, Statement};
use storage::{
    Action, Store, Write, Writer,
    postgres::{PostgresOptions, PostgresStore},
};

use super::{CONVERSATIONS, Load, accounts, append, thread_cpu};

const BATCHES: [u64; 5] = [1, 16, 64, 128, 1_024];
const LANES: [u64; 2] = [1, 4];
/// Batches of one are a flush each: fewer of them say as much.
const SINGLE_MESSAGES_DIVISOR: u64 = 20;

/// What one lane took.
struct Taken {
    rows: u64,
    cpu: Option<Duration>,
}

pub(super) fn run(url: &str, messages: u64) -> Result<(), Box<dyn Error>> {
    let store = PostgresStore::open(PostgresOptions::new(url))?;
    let mut writers = (0..4).map(|_| store.writer()).collect::<Result<Vec<_>, _>>()?;
    let mut load = Load::new();
    let first = writers.first_mut().ok_or("no writer")?;
    for accounts in accounts().chunks(100) {
        append(first.as_mut(), accounts)?;
    }
    // Conversations begin before the clock does.
    for _ in 0..CONVERSATIONS / 256 + 1 {
        append(first.as_mut(), &load.batch(256))?;
    }
    Client::connect(url, NoTls)?.batch_execute("ANALYZE")?;
    println!(
        "{:>6} {:>6} {:>10} {:>10} {:>8} {:>12} {:>12}",
        "lanes", "batch", "rows/s", "bare", "of bare", "us/row", "bare us/row"
    );
    for lanes in LANES {
        for size in BATCHES {
            let divisor = if size == 1 { SINGLE_MESSAGES_DIVISOR } else { 1 };
            let count = messages / divisor / lanes / size;
            let work = batches(&mut load, lanes, count, size);
            let (rate, cpu) = timed(work, writers.iter_mut(), |writer: &mut Box<dyn Writer>, batch| {
                append(writer.as_mut(), batch)
            })?;
            let work = batches(&mut load, lanes, count, size);
            let mut bare = (0..4).map(|_| Bare::new(url)).collect::<Result<Vec<_>, _>>()?;
            let (bare_rate, bare_cpu) =
                timed(work, bare.iter_mut(), |bare: &mut Bare, batch| bare.insert(batch))?;
            println!(
                "{lanes:>6} {size:>6} {rate:>10.0} {bare_rate:>10.0} {:>8.2} {cpu:>12} {bare_cpu:>12}",
                rate / bare_rate
            );
        }
    }
    Ok(())
}

/// For each lane so many batches, of conversations that are its own.
fn batches(load: &mut Load, lanes: u64, count: u64, size: u64) -> Vec<Vec<Vec<Write>>> {
    let lane_of = |write: &Write| match write {
        Write::Append(append) => (append.conversation.0 ^ append.conversation.0 >> 31) % lanes,
        _ => 0,
    };
    let mut rows: Vec<Vec<Write>> = vec![Vec::new(); lanes as usize];
    while rows.iter().any(|row| (row.len() as u64) < count * size) {
        let write = load.message();
        if let Some(row) = rows.get_mut(lane_of(&write) as usize) {
            row.push(write);
        }
    }
    let split = |row: Vec<Write>| {
        row.chunks_exact(size as usize)
            .take(count as usize)
            .map(<[Write]>::to_vec)
            .collect()
    };
    rows.into_iter().map(split).collect()
}

/// Rows in a second by all lanes together, and this process's CPU for one.
fn timed<'a, L: Send + 'a>(
    batches: Vec<Vec<Vec<Write>>>,
    lanes: impl Iterator<Item = &'a mut L>,
    commit: impl Fn(&mut L, &[Write]) -> Result<(), Box<dyn Error>> + Sync,
) -> Result<(f64, String), Box<dyn Error>> {
    let begin = Instant::now();
    let taken: Vec<Result<Taken, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = batches
            .into_iter()
            .zip(lanes)
            .map(|(batches, lane)| {
                let commit = &commit;
                scope.spawn(move || {
                    let before = thread_cpu();
                    let mut rows = 0;
                    for batch in &batches {
                        commit(lane, batch).map_err(|error| error.to_string())?;
                        rows += batch.len() as u64;
                    }
                    let cpu = thread_cpu().zip(before).map(|(after, before)| after - before);
                    Ok(Taken { rows, cpu })
                })
            })
            .collect();
        let joined = threads.into_iter().map(|one| one.join());
        joined
            .map(|one| one.unwrap_or_else(|_| Err("a lane panicked".to_owned())))
            .collect()
    });
    let elapsed = begin.elapsed();
    let taken = taken.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows = taken.iter().map(|lane| lane.rows).sum::<u64>() as f64;
    let cpu: Option<Duration> = taken.iter().map(|lane| lane.cpu).sum();
    let cpu = cpu.map_or_else(
        || "?".to_owned(),
        |cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6 / rows),
    );
    Ok((rows / elapsed.as_secs_f64(), cpu))
}

/// The rows of a message, and nothing else: no lock, no look-up, no check. They go to conversations that the store
/// knows nothing of.
struct Bare {
    client: Client,
    statement: Statement,
    next: i64,
}

impl Bare {
    fn new(url: &str) -> Result<Self, Box<dyn Error>> {
        let mut client = Client::connect(url, NoTls)?;
        let statement = client.prepare(
            "WITH logged AS (
                INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at,
                                    kind, target, expires_at, body)
                SELECT i.conversation, i.seq, i.seq, i.seq, 0, i.sender, i.client_id, i.client_id, i.seq, 1, 0, 0, i.body
                FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])
                     AS i (conversation, seq, sender, client_id, body)
             )
             INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
             SELECT DISTINCT ON (1, 2) i.conversation, i.sender, i.seq, i.seq, i.seq, 0
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS i (conversation, seq, sender)
             ORDER BY 1, 2
             ON CONFLICT (conversation, user_id) DO UPDATE SET delivered = excluded.delivered, read = excluded.read",
        )?;
        let next = client
            .query_one("SELECT coalesce(max(position), 0) FROM events", &[])?
            .get::<_, i64>(0)
            << 4;
        let lane: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        Ok(Self {
            client,
            statement,
            next: next + (i64::from(lane) << 24),
        })
    }

    fn insert(&mut self, batch: &[Write]) -> Result<(), Box<dyn Error>> {
        let (mut conversations, mut seqs, mut senders) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ids, mut bodies): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for write in batch {
            let Write::Append(append) = write else { continue };
            let Action::Message { body, .. } = &append.action else {
                continue;
            };
            self.next += 1;
            conversations.push(append.conversation.0.cast_signed());
            seqs.push(self.next);
            senders.push(append.sender.0.cast_signed());
            ids.push(&append.client_id.0);
            bodies.push(body);
        }
        self.client
            .execute(&self.statement, &[&conversations, &seqs, &senders, &ids, &bodies])?;
        Ok(())
    }
}
