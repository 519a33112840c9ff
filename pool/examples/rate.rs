//! The pool beside r2d2 itself, with the same manager, whose connections do nothing.
//!
//! `cargo run --release -p pool --example rate [rounds [seconds per contended run]]`. Both pools run in turn
//! within each round; the figures are medians of the rounds, and the ratio is ours to r2d2's in the same round. A
//! lease is held as a query to a database is: its thread sleeps.

use pool::{Init, Pool, PoolSettings};
use r2d2::ManageConnection;
use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const SECONDS: f64 = 1.0;
const UNCONTENDED: u32 = 1_000_000;
const WARM_UP: u32 = 100_000;
const HOLD: Duration = Duration::from_micros(50);
/// Threads and connections.
const CONTENDED: [(usize, u32); 2] = [(64, 8), (200, 5)];
const PATIENCE: Duration = Duration::from_secs(60);

struct Nothing;

/// About as large as a driver's handle.
struct Connection([u64; 8]);

impl ManageConnection for Nothing {
    type Connection = Connection;
    type Error = Infallible;

    fn connect(&self) -> Result<Connection, Infallible> {
        Ok(Connection([1; 8]))
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

/// What both pools can do.
trait Lends: Send + Sync {
    /// Takes a connection, uses it, and gives it back.
    fn lend(&self, used: impl FnOnce(&Connection));
}

struct Ours(Pool<Nothing>);
struct Theirs(r2d2::Pool<Nothing>);

impl Lends for Ours {
    fn lend(&self, used: impl FnOnce(&Connection)) {
        match self.0.get() {
            Ok(lease) => used(&lease),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Lends for Theirs {
    fn lend(&self, used: impl FnOnce(&Connection)) {
        match self.0.get() {
            Ok(lease) => used(&lease),
            Err(error) => panic!("{error}"),
        }
    }
}

fn ours(max: u32) -> Result<Ours, Box<dyn Error>> {
    let settings = PoolSettings {
        max,
        acquire_timeout: PATIENCE,
        ..PoolSettings::default()
    };
    let init = Init::Full { within: PATIENCE };
    Ok(Ours(
        Pool::builder(Nothing).settings(settings).init(init).build()?,
    ))
}

/// r2d2 as it comes (it tests at every check-out, which costs this manager nothing).
fn theirs(max: u32) -> Result<Theirs, Box<dyn Error>> {
    let builder = r2d2::Pool::builder().max_size(max).connection_timeout(PATIENCE);
    Ok(Theirs(builder.build(Nothing)?))
}

/// Nanoseconds for taking and giving back on one thread.
fn alone(pool: &impl Lends) -> f64 {
    let turns = |count: u32| {
        for _ in 0..count {
            pool.lend(|connection| {
                black_box(connection.0[0]);
            });
        }
    };
    turns(WARM_UP);
    let begun = Instant::now();
    turns(UNCONTENDED);
    begun.elapsed().as_nanos() as f64 / f64::from(UNCONTENDED)
}

/// Leases a second; then waits in microseconds: median, p99, p99.9, longest, longest to mean; then the most leases
/// that others were given during one wait, which does not depend on how busy the machine is.
fn together(pool: &impl Lends, threads: usize, length: Duration) -> [f64; 7] {
    let start = Barrier::new(threads);
    let given = AtomicU64::new(0);
    let mut waits: Vec<(f64, u64)> = thread::scope(|scope| {
        let one = || {
            let mut waits = Vec::new();
            start.wait();
            let begun = Instant::now();
            while begun.elapsed() < length {
                let asked = Instant::now();
                let before = given.load(Ordering::Relaxed);
                pool.lend(|_| {
                    let others = given.fetch_add(1, Ordering::Relaxed) - before;
                    waits.push((asked.elapsed().as_secs_f64() * 1e6, others));
                    thread::sleep(HOLD);
                });
            }
            waits
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    let others = waits.iter().map(|wait| wait.1).max().unwrap_or(0) as f64;
    let mut waits: Vec<f64> = waits.drain(..).map(|wait| wait.0).collect();
    waits.sort_unstable_by(f64::total_cmp);
    let at = |per_mille: usize| {
        waits
            .get(waits.len() * per_mille / 1000)
            .copied()
            .unwrap_or(f64::NAN)
    };
    let longest = waits.last().copied().unwrap_or(f64::NAN);
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let rate = waits.len() as f64 / length.as_secs_f64();
    [rate, at(500), at(990), at(999), longest, longest / mean, others]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(what: &str, pairs: &[(f64, f64)]) {
    let ours = median(pairs.iter().map(|pair| pair.0).collect());
    let theirs = median(pairs.iter().map(|pair| pair.1).collect());
    let ratio = median(pairs.iter().map(|pair| pair.0 / pair.1).collect());
    println!("{what:<60} {ours:>12.1} {theirs:>12.1} {ratio:>8.2}");
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(ROUNDS), |number| number.parse())?;
    let seconds = arguments.next().map_or(Ok(SECONDS), |number| number.parse())?;
    println!("{:<60} {:>12} {:>12} {:>8}", "", "ours", "r2d2", "ratio");
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push((alone(&ours(8)?), alone(&theirs(8)?)));
    }
    row("alone: get and give back, ns", &pairs);
    for (threads, connections) in CONTENDED {
        let length = Duration::from_secs_f64(seconds);
        let mut results = Vec::new();
        for _ in 0..rounds {
            let our = together(&ours(connections)?, threads, length);
            results.push((our, together(&theirs(connections)?, threads, length)));
        }
        let figures = [
            "leases a second",
            "wait p50, us",
            "p99, us",
            "p99.9, us",
            "longest, us",
            "longest / mean",
            "most served during a wait",
        ];
        for (index, figure) in figures.iter().enumerate() {
            let pairs: Vec<(f64, f64)> = results
                .iter()
                .map(|(our, their)| (our[index], their[index]))
                .collect();
            row(
                &format!("{threads} threads, {connections} connections: {figure}"),
                &pairs,
            );
        }
    }
    Ok(())
}
