//! Order, parallelism, limits, room, panics and the end of the pool. Nothing here waits for time to pass: tasks
//! meet the test at channels.

use super::*;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a task does on its thread.
type Work = Box<dyn FnOnce(&mut usize) + Send>;

struct Job {
    key: u64,
    group: u64,
    forgettable: bool,
    work: Work,
}

impl Task for Job {
    /// How many tasks this worker state has seen.
    type Worker = usize;

    fn key(&self) -> u64 {
        self.key
    }

    fn group(&self) -> u64 {
        self.group
    }

    fn is_forgettable(&self) -> bool {
        self.forgettable
    }

    fn run(self, worker: &mut usize) {
        *worker += 1;
        (self.work)(worker);
    }
}

fn job(key: u64, work: impl FnOnce(&mut usize) + Send + 'static) -> Job {
    Job {
        key,
        group: key,
        forgettable: false,
        work: Box::new(work),
    }
}

fn pool(threads: usize, queue: usize, per_key: usize) -> WorkerPool<Job> {
    let builder = WorkerPool::builder()
        .threads(threads)
        .queue(queue)
        .per_key(per_key)
        .name("test");
    builder.start(|_| Ok::<_, String>(0)).unwrap()
}

/// A task that says when it has begun and ends when it is allowed to.
struct Gate {
    began: Receiver<()>,
    end: Sender<()>,
}

fn gate(pool: &WorkerPool<Job>, key: u64) -> Gate {
    let (began_tx, began) = bounded(1);
    let (end, end_rx) = bounded::<()>(1);
    let work = move |_: &mut usize| {
        began_tx.send(()).unwrap();
        let _ = end_rx.recv();
    };
    pool.try_submit(job(key, work)).unwrap();
    Gate { began, end }
}

impl Gate {
    fn wait_until_running(&self) {
        self.began.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn tasks_of_one_key_run_in_order_and_one_at_a_time() {
    const KEYS: u64 = 5;
    const EACH: usize = 400;
    let pool = pool(4, 10_000, EACH);
    let (done, results) = bounded(KEYS as usize * EACH);
    let running: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    for number in 0..EACH {
        for key in 0..KEYS {
            let (done, running) = (done.clone(), Arc::clone(&running));
            let work = move |_: &mut usize| {
                let at_once = running[key as usize].fetch_add(1, Ordering::SeqCst);
                done.send((key, number, at_once)).unwrap();
                running[key as usize].fetch_sub(1, Ordering::SeqCst);
            };
            pool.try_submit(job(key, work)).unwrap();
        }
    }
    pool.shutdown();
    let mut next = [0; KEYS as usize];
    for (key, number, at_once) in results.try_iter() {
        assert_eq!((number, at_once), (next[key as usize], 0), "key {key}");
        next[key as usize] += 1;
    }
    assert_eq!(next, [EACH; KEYS as usize]);
}

#[test]
fn different_keys_run_at_the_same_time_and_any_thread_serves_any_key() {
    let pool = pool(2, 100, 100);
    let slow = gate(&pool, 1);
    slow.wait_until_running();
    // The other thread serves every other key, while one key waits behind the slow task.
    let behind = gate(&pool, 1);
    for key in 2..20 {
        let other = gate(&pool, key);
        other.wait_until_running();
        other.end.send(()).unwrap();
    }
    assert!(behind.began.is_empty());
    slow.end.send(()).unwrap();
    behind.wait_until_running();
    behind.end.send(()).unwrap();
    pool.shutdown();
    assert_eq!(pool.stats().completed, 20);
}

#[test]
fn a_key_with_much_to_do_lets_others_in() {
    let pool = pool(1, 10_000, 10_000);
    let first = gate(&pool, 0);
    first.wait_until_running();
    let (done, results) = bounded(1000);
    for number in 0..10 * TASKS {
        let done = done.clone();
        pool.try_submit(job(1, move |_| done.send((1, number)).unwrap()))
            .unwrap();
    }
    let other = done;
    pool.try_submit(job(2, move |_| other.send((2, 0)).unwrap()))
        .unwrap();
    first.end.send(()).unwrap();
    pool.shutdown();
    let position = results.try_iter().position(|(key, _)| key == 2).unwrap();
    // On a machine that is busy the time is over before the number is reached.
    assert!(position <= TASKS, "{position}");
}

const TASKS: usize = crate::limits::TASKS_PER_TURN_MAX;

#[test]
fn limits_give_the_task_back_and_room_is_announced() {
    let pool = pool(1, 4, 2);
    let (room_tx, room) = bounded(10);
    pool.on_room(move || room_tx.try_send(()).unwrap());
    let running = gate(&pool, 9);
    running.wait_until_running();
    let mut waiting = vec![gate(&pool, 1), gate(&pool, 1)];
    let refused = pool.try_submit(job(1, |_| {})).unwrap_err();
    assert!(matches!(refused, SubmitError::KeyFull(_)));
    assert_eq!(refused.into_task().key, 1);
    waiting.extend([gate(&pool, 2), gate(&pool, 3)]);
    let refused = pool.try_submit(job(4, |_| {})).unwrap_err();
    assert!(matches!(refused, SubmitError::Full(_)));
    assert_eq!((pool.stats().queued, pool.stats().refused), (4, 2));
    assert!(room.is_empty());

    running.end.send(()).unwrap();
    waiting[0].wait_until_running();
    assert_eq!(room.try_iter().count(), 1, "the key has room");
    waiting[0].end.send(()).unwrap();
    // Whichever is next.
    room.recv_timeout(PATIENCE).unwrap();
    assert!(room.is_empty(), "the pool is down to half its limit, once");
    for gate in &waiting[1..] {
        gate.end.send(()).unwrap();
    }
    pool.shutdown();
    assert!(room.is_empty(), "nothing was refused any more");
}

#[test]
fn a_panic_costs_its_task_only_and_the_worker_is_made_anew() {
    let pool = pool(1, 100, 100);
    let first = gate(&pool, 1);
    let (seen_tx, seen) = bounded(10);
    let report = move |worker: &mut usize| seen_tx.send(*worker).unwrap();
    pool.try_submit(job(1, report.clone())).unwrap();
    pool.try_submit(job(1, |_| panic!("as told"))).unwrap();
    pool.try_submit(job(1, report.clone())).unwrap();
    // Of one key: which of several keys is next depends on the time that their tasks took.
    pool.try_submit(job(1, report)).unwrap();
    first.end.send(()).unwrap();
    pool.shutdown();
    assert_eq!(
        seen.try_iter().collect::<Vec<_>>(),
        [2, 1, 2],
        "counted by the worker state"
    );
    let stats = pool.stats();
    assert_eq!(
        (stats.completed, stats.panicked, stats.running, stats.queued),
        (4, 1, 0, 0)
    );
}

#[test]
fn a_worker_that_cannot_be_made_again_leaves_its_tasks_to_the_others() {
    let made = Arc::new(AtomicUsize::new(0));
    let pool: WorkerPool<Job> = WorkerPool::builder()
        .threads(2)
        .start(move |_| {
            if made.fetch_add(1, Ordering::SeqCst) < 2 {
                Ok(0)
            } else {
                Err("no more")
            }
        })
        .unwrap();
    let (done, results) = bounded(100);
    pool.try_submit(job(1, |_| panic!("as told"))).unwrap();
    for number in 0..50 {
        let done = done.clone();
        pool.try_submit(job(1, move |_| done.send(number).unwrap()))
            .unwrap();
    }
    for number in 0..50 {
        assert_eq!(results.recv_timeout(PATIENCE), Ok(number));
    }
    pool.shutdown();
}

#[test]
fn shutdown_runs_what_was_accepted_and_refuses_the_rest() {
    let pool = pool(2, 1000, 1000);
    let (done, results) = bounded(1000);
    let gates = [gate(&pool, 1), gate(&pool, 2)];
    for number in 0..500 {
        let done = done.clone();
        pool.try_submit(job(number % 7, move |_| done.send(()).unwrap()))
            .unwrap();
    }
    let late = pool.clone();
    let stopper = std::thread::spawn(move || late.shutdown());
    // Once something is refused the pool is stopping, with everything still waiting.
    while !matches!(pool.try_submit(job(1000, |_| {})), Err(SubmitError::Stopped(_))) {
        std::thread::yield_now();
    }
    for gate in gates {
        gate.end.send(()).unwrap();
    }
    stopper.join().unwrap();
    assert_eq!(results.len(), 500);
    pool.shutdown();
}

#[test]
fn a_group_with_long_tasks_leaves_threads_to_others() {
    let pool: WorkerPool<Job> = WorkerPool::builder()
        .threads(3)
        .threads_per_group(1)
        .start(|_| Ok::<_, String>(0))
        .unwrap();
    let (began_tx, began) = bounded(10);
    let (end, end_rx) = bounded::<()>(10);
    for key in 0..6 {
        let (began, end) = (began_tx.clone(), end_rx.clone());
        let work = move |_: &mut usize| {
            began.send(key).unwrap();
            let _ = end.recv();
        };
        pool.try_submit(Job {
            group: 100,
            ..job(key, work)
        })
        .unwrap();
    }
    began.recv_timeout(PATIENCE).unwrap();
    for key in 10..30 {
        let other = gate(&pool, key);
        other.wait_until_running();
        other.end.send(()).unwrap();
    }
    assert!(began.is_empty(), "one at a time");
    drop(end);
    pool.shutdown();
    assert_eq!(began.try_iter().count(), 5);
}

#[test]
fn what_changes_nothing_is_forgotten_with_who_asked() {
    let pool = pool(1, 100, 100);
    let running = gate(&pool, 1);
    running.wait_until_running();
    let (done, results) = bounded(100);
    for number in 0..10 {
        let done = done.clone();
        let work = move |_: &mut usize| done.send(number).unwrap();
        pool.try_submit(Job {
            forgettable: number % 3 != 0,
            ..job(7, work)
        })
        .unwrap();
    }
    assert_eq!(pool.forget(7).len(), 6);
    assert_eq!(pool.forget(8).len(), 0);
    running.end.send(()).unwrap();
    pool.shutdown();
    assert_eq!(results.try_iter().collect::<Vec<_>>(), [0, 3, 6, 9]);
    assert_eq!((pool.stats().forgotten, pool.stats().completed), (6, 5));
}

#[test]
fn an_abandoned_pool_gives_back_what_has_not_begun() {
    let pool = pool(1, 3, 100);
    let (room_tx, room) = bounded(10);
    pool.on_room(move || room_tx.try_send(()).unwrap());
    let running = gate(&pool, 1);
    running.wait_until_running();
    for key in [1, 1, 2] {
        pool.try_submit(job(key, |_| panic!("it was given back")))
            .unwrap();
    }
    assert!(pool.try_submit(job(4, |_| {})).is_err());
    let given_back = pool.abandon();
    assert_eq!(
        given_back.iter().map(|job| job.key).collect::<BTreeSet<_>>(),
        [1, 2].into()
    );
    assert_eq!(
        room.try_iter().count(),
        1,
        "whoever waits for room learns of the end"
    );
    assert!(matches!(
        pool.try_submit(job(4, |_| {})),
        Err(SubmitError::Stopped(_))
    ));
    running.end.send(()).unwrap();
    pool.shutdown();
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.dropped, stats.queued), (1, 3, 0));
}

#[test]
fn dropping_the_last_handle_is_a_shutdown() {
    let (done, results) = bounded(1);
    let pool = pool(1, 10, 10);
    let other = pool.clone();
    drop(pool);
    other.try_submit(job(1, move |_| done.send(()).unwrap())).unwrap();
    drop(other);
    assert_eq!(results.len(), 1);
}

#[test]
fn a_task_can_shut_its_own_pool_down() {
    let pool = pool(1, 10, 10);
    let own = pool.clone();
    let (done, results) = bounded(1);
    pool.try_submit(job(1, move |_| {
        own.shutdown();
        done.send(()).unwrap();
    }))
    .unwrap();
    results.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(
        pool.try_submit(job(1, |_| {})),
        Err(SubmitError::Stopped(_))
    ));
}

#[test]
fn a_factory_that_fails_fails_the_start() {
    let start = |fail: fn(usize) -> Result<usize, String>| {
        let started: Result<WorkerPool<Job>, _> = WorkerPool::builder().threads(3).start(fail);
        started.unwrap_err()
    };
    let error = start(|index| {
        if index == 1 {
            Err("no database".to_owned())
        } else {
            Ok(0)
        }
    });
    assert_eq!(error.to_string(), "worker 1 could not be set up: no database");
    let error = start(|_| panic!("as told"));
    assert!(error.to_string().ends_with("the factory panicked"));
}

#[test]
fn waiting_is_measured() {
    let pool = pool(1, 10, 10);
    let first = gate(&pool, 1);
    first.wait_until_running();
    let second = gate(&pool, 1);
    first.end.send(()).unwrap();
    second.wait_until_running();
    let stats = pool.stats();
    assert_eq!((stats.running, stats.queued), (1, 0));
    assert!(stats.waited >= stats.waited_longest);
    assert!(stats.waited_longest > Duration::ZERO);
    second.end.send(()).unwrap();
}
