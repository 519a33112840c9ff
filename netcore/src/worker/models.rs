//! The pool's threads under every interleaving that loom can find: the code that serves in production, on threads
//! of the model.

use super::*;
use crate::worker::SubmitError;
use crate::worker::schedule::Share;
use loom::sync::atomic::AtomicUsize as LoomAtomicUsize;
use loom::thread;

/// What the tasks of one model have done.
struct Log {
    /// Numbers per key, in the order in which they ran.
    ran: [std::sync::Mutex<Vec<usize>>; 2],
    /// Tasks of each key under way; loom lets others run between its changes.
    under_way: [LoomAtomicUsize; 2],
    count: loom::sync::Mutex<usize>,
    counted: loom::sync::Condvar,
}

struct Job {
    key: u64,
    group: u64,
    number: usize,
    log: Arc<Log>,
    panics: bool,
}

impl Task for Job {
    type Worker = ();

    fn key(&self) -> u64 {
        self.key
    }

    fn group(&self) -> u64 {
        self.group
    }

    fn is_forgettable(&self) -> bool {
        true
    }

    fn run(self, (): &mut ()) {
        let key = self.key as usize;
        let before = self.log.under_way[key].fetch_add(1, Ordering::SeqCst);
        self.log.ran[key].lock().unwrap().push(self.number);
        self.log.under_way[key].fetch_sub(1, Ordering::SeqCst);
        *self.log.count.lock().unwrap() += 1;
        self.log.counted.notify_one();
        assert_eq!(before, 0, "two tasks of one key at once");
        if self.panics {
            // Without the message that a panic prints in every interleaving.
            std::panic::resume_unwind(Box::new("as told"));
        }
    }
}

struct Model {
    queue: Arc<Queue<Job>>,
    log: Arc<Log>,
    alive: Arc<AtomicUsize>,
}

impl Model {
    fn new(limit: usize, per_key: usize) -> Self {
        let log = Log {
            ran: Default::default(),
            under_way: [LoomAtomicUsize::new(0), LoomAtomicUsize::new(0)],
            count: loom::sync::Mutex::new(0),
            counted: loom::sync::Condvar::new(),
        };
        Self {
            queue: Arc::new(Queue::new(
                limit,
                Share {
                    per_key,
                    per_group: 10,
                    threads_per_group: 1,
                },
            )),
            log: Arc::new(log),
            alive: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn push(&self, key: u64, number: usize) -> Result<(), SubmitError<Job>> {
        self.push_job(key, number, false)
    }

    fn push_job(&self, key: u64, number: usize, panics: bool) -> Result<(), SubmitError<Job>> {
        self.push_for(key, key, number, panics)
    }

    fn push_for(&self, group: u64, key: u64, number: usize, panics: bool) -> Result<(), SubmitError<Job>> {
        let log = Arc::clone(&self.log);
        self.queue.push(Job {
            key,
            group,
            number,
            log,
            panics,
        })
    }

    /// A thread that serves until the pool has stopped; its state can be made again if `lasting`.
    fn worker(&self, lasting: bool) -> thread::JoinHandle<()> {
        self.alive.fetch_add(1, Ordering::SeqCst);
        let made = std::sync::atomic::AtomicBool::new(false);
        let make = move |_| {
            let first = !made.swap(true, Ordering::SeqCst);
            if first || lasting {
                Ok(())
            } else {
                Err("no more".into())
            }
        };
        let worker = WorkerThread {
            index: 0,
            queue: Arc::clone(&self.queue),
            make_worker: Arc::new(make),
            alive: Arc::clone(&self.alive),
        };
        let (report, _reports) = crossbeam_channel::bounded(1);
        thread::spawn(move || worker.main(report))
    }

    fn ran(&self, key: usize) -> Vec<usize> {
        self.log.ran[key].lock().unwrap().clone()
    }

    /// Waits until so many tasks have run, for ever if they do not without being told of a stop.
    fn wait_for(&self, count: usize) {
        let mut ran = self.log.count.lock().unwrap();
        while *ran < count {
            ran = self.log.counted.wait(ran).unwrap();
        }
    }

    /// Stops, waits, and checks that nothing is left over.
    fn end(&self, workers: impl IntoIterator<Item = thread::JoinHandle<()>>) {
        self.queue.stop();
        for worker in workers {
            worker.join().unwrap();
        }
        let stats = self.queue.stats();
        assert_eq!((stats.queued, stats.running), (0, 0));
    }
}

#[test]
fn loom_tasks_of_a_key_run_one_at_a_time_and_in_order() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(true), model.worker(true)];
        // One more than a turn, so that the key changes hands.
        for number in 0..3 {
            model.push(0, number).unwrap();
        }
        model.end(workers);
        assert_eq!(model.ran(0), [0, 1, 2]);
        assert_eq!(model.queue.stats().panicked, 0);
    });
}

#[test]
fn loom_no_task_is_lost_whoever_submits_and_however_it_ends() {
    loom::model(|| {
        let model = Arc::new(Model::new(10, 10));
        let worker = model.worker(true);
        let submitter = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.push(1, 0).is_ok())
        };
        model.push(0, 0).unwrap();
        model.queue.stop();
        let refused = model.push(0, 1).unwrap_err();
        assert!(matches!(refused, SubmitError::Stopped(_)));
        let accepted = submitter.join().unwrap();
        model.end([worker]);
        assert_eq!(model.ran(0), [0]);
        assert_eq!(model.ran(1).len(), usize::from(accepted), "accepted means run");
    });
}

#[test]
fn loom_a_task_is_enough_to_wake_a_worker() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(true), model.worker(true)];
        model.push(0, 0).unwrap();
        model.push(1, 0).unwrap();
        model.wait_for(2);
        model.end(workers);
        assert_eq!((model.ran(0), model.ran(1)), (vec![0], vec![0]));
    });
}

#[test]
fn loom_a_group_has_one_thread_and_none_of_its_tasks_is_left() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(true), model.worker(true)];
        // The second finds the group busy, and has to be woken for when the first is over.
        model.push_for(7, 0, 0, false).unwrap();
        model.push_for(7, 1, 0, false).unwrap();
        model.wait_for(2);
        model.end(workers);
        assert_eq!((model.ran(0), model.ran(1)), (vec![0], vec![0]));
    });
}

#[test]
fn loom_what_is_forgotten_does_not_run_and_what_runs_is_not_forgotten() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let worker = model.worker(true);
        model.push(0, 0).unwrap();
        model.push(0, 1).unwrap();
        let forgotten: Vec<usize> = model.queue.forget(0).iter().map(|job| job.number).collect();
        model.push(1, 0).unwrap();
        model.end([worker]);
        let mut all = model.ran(0);
        all.extend(forgotten);
        assert_eq!(all, [0, 1], "each has one end, in order");
        assert_eq!(model.ran(1), [0]);
    });
}

#[test]
fn loom_an_abandoned_pool_ends_and_gives_back_what_did_not_run() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let worker = model.worker(true);
        model.push(0, 0).unwrap();
        model.push(1, 0).unwrap();
        let given_back = model.queue.abandon();
        assert!(matches!(model.push(0, 1), Err(SubmitError::Stopped(_))));
        model.end([worker]);
        assert_eq!(model.ran(0).len() + model.ran(1).len() + given_back.len(), 2);
    });
}

/// A refused submitter is called later, and no other is.
fn refusals(limit: usize, per_key: usize, second_key: u64) {
    loom::model(move || {
        let model = Model::new(limit, per_key);
        let told = Arc::new(LoomAtomicUsize::new(0));
        let calls = Arc::clone(&told);
        model.queue.on_room(Arc::new(move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }));
        let worker = model.worker(true);
        model.push(0, 0).unwrap();
        // The worker can have been faster.
        let refused = model.push(second_key, 1).is_err();
        model.wait_for(2 - usize::from(refused));
        model.end([worker]);
        assert_eq!(told.load(Ordering::SeqCst), usize::from(refused));
    });
}

#[test]
fn loom_who_found_the_key_full_is_told_of_room() {
    refusals(10, 1, 0);
}

#[test]
fn loom_who_found_the_pool_full_is_told_of_room() {
    refusals(1, 10, 1);
}

#[test]
fn loom_a_worker_that_is_lost_leaves_its_key_to_another() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(false), model.worker(false)];
        model.push_job(0, 0, true).unwrap();
        model.push(0, 1).unwrap();
        model.wait_for(2);
        model.end(workers);
        assert_eq!(model.queue.stats().dropped, 0);
    });
}

#[test]
fn loom_a_worker_that_is_lost_during_the_stop_leaves_its_key_to_another() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(false), model.worker(false)];
        model.push_job(0, 0, true).unwrap();
        model.push(0, 1).unwrap();
        model.end(workers);
        assert_eq!(model.ran(0), [0, 1]);
        assert_eq!(model.queue.stats().dropped, 0);
    });
}

#[test]
fn loom_a_panic_costs_its_task_and_hands_the_key_on() {
    loom::model(|| {
        let model = Model::new(10, 10);
        let workers = [model.worker(true), model.worker(true)];
        model.push_job(0, 0, true).unwrap();
        model.push(0, 1).unwrap();
        model.end(workers);
        assert_eq!(model.ran(0), [0, 1]);
        let stats = model.queue.stats();
        assert_eq!((stats.panicked, stats.completed, stats.dropped), (1, 1, 0));
    });
}

#[test]
fn loom_a_pool_without_workers_left_still_ends() {
    loom::model(|| {
        let model = Model::new(10, 1);
        let told = Arc::new(LoomAtomicUsize::new(0));
        let calls = Arc::clone(&told);
        model.queue.on_room(Arc::new(move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }));
        let worker = model.worker(false);
        model.push_job(0, 0, true).unwrap();
        let accepted = model.push(0, 1).is_ok();
        let refused = accepted && model.push(0, 2).is_err();
        model.end([worker]);
        let stats = model.queue.stats();
        let all = stats.panicked + stats.completed + stats.dropped;
        assert_eq!(all, 1 + u64::from(accepted), "every task has an end");
        assert!(
            !refused || told.load(Ordering::SeqCst) > 0,
            "whoever was refused waits for ever"
        );
    });
}
