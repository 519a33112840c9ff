//! Owns work that must not run on a loop: threads, bounded queues, order among tasks of the same key, and the share of
//! each group of keys. Must never queue without a limit, and never run two tasks of one key at once.
//!
//! Tasks with the same key form a *strand*. A worker takes a strand, runs tasks of it for a short time, and puts it
//! back; so a slow key delays only itself, and any thread can serve any key. The time that was spent on each
//! [group](Task::group) decides which strand is next: the group that used least goes first.

mod queue;
mod schedule;
mod thread;

use crate::factory::FactoryResult;
use crate::limits::WORKER_THREADS_MAX;
use queue::Queue;
use schedule::Share;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A piece of work.
///
/// ```
/// # use netcore::Task;
/// # use std::{fs::File, io::Write};
/// /// A line about an account; those about the same one are written in order.
/// struct Note { account: u64, line: String }
///
/// impl Task for Note {
///     /// Every thread has opened the file for appending.
///     type Worker = File;
///
///     fn key(&self) -> u64 {
///         self.account
///     }
///
///     fn run(self, journal: &mut File) {
///         if let Err(error) = journal.write_all(self.line.as_bytes()) {
///             log::error!("a note of {} is lost: {error}", self.account);
///         }
///     }
/// }
/// # let mut journal = tempfile::tempfile()?;
/// # Note { account: 7, line: "opened\n".to_owned() }.run(&mut journal);
/// # assert_eq!(journal.metadata()?.len(), 7);
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait Task: Send + 'static {
    /// The state that every thread of the pool owns, such as a database connection. Created, used and dropped on its
    /// thread.
    type Worker: 'static;

    /// Tasks with equal keys run one at a time, in the order of their submission.
    fn key(&self) -> u64;

    /// The group that is charged for it: groups share the threads by the time that their tasks take, whatever the
    /// number of their tasks and keys. A key's tasks may belong to different groups. By default each key is a group.
    ///
    /// ```
    /// # use netcore::Task;
    /// /// Asked on a connection, by a user who may have many.
    /// struct Question { connection: u64, user: u64 }
    ///
    /// impl Task for Question {
    /// #     type Worker = ();
    ///     /// Answered in order.
    ///     fn key(&self) -> u64 {
    ///         self.connection
    ///     }
    ///
    ///     /// A user with ten connections gets no more than others.
    ///     fn group(&self) -> u64 {
    ///         self.user
    ///     }
    ///     // The rest as before.
    /// #     fn run(self, (): &mut ()) {}
    /// }
    /// # let question = Question { connection: 7, user: 3 };
    /// # assert_eq!((question.key(), question.group(), question.is_forgettable()), (7, 3, false));
    /// ```
    fn group(&self) -> u64 {
        self.key()
    }

    /// Whether it has no effect except an answer to its requester, so that [`WorkerPool::forget`] may take it out.
    fn is_forgettable(&self) -> bool {
        false
    }

    /// Does the work. A panic loses only this task.
    fn run(self, worker: &mut Self::Worker);
}

/// The task of a handler that never offloads anything.
///
/// ```
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
/// struct Quick;
///
/// impl Handler for Quick {
///     type Task = NoTask;
/// #     type Codec = LengthPrefixed;
/// #     type Conn = ();
/// #     type Msg = ();
/// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
/// #         Err(Refusal)
/// #     }
///
///     fn on_frame(&mut self, _cx: &mut ConnCx<'_, Self>, _frame: &[u8]) -> Flow<Self> {
///         // There is nothing that `Flow::Offload` could hold.
///         Flow::Continue
///     }
///     // The rest as before.
/// }
/// ```
#[derive(Debug)]
pub enum NoTask {}

impl Task for NoTask {
    type Worker = ();

    fn key(&self) -> u64 {
        match *self {}
    }

    fn run(self, (): &mut ()) {
        match self {}
    }
}

/// Why a task was refused; gives the task back.
///
/// ```
/// use netcore::{SubmitError, Task, WorkerPool};
///
/// /// The answer to the requester of the work.
/// fn submit<T: Task>(pool: &WorkerPool<T>, task: T) -> Result<(), &'static str> {
///     pool.try_submit(task).map_err(|error| match error {
///         SubmitError::Full(_) => "we are busy",
///         SubmitError::KeyFull(_) => "one thing after the other",
///         SubmitError::Stopped(_) => "we are closing",
///     })
/// }
/// # struct Nothing;
/// # impl Task for Nothing {
/// #     type Worker = ();
/// #     fn key(&self) -> u64 {
/// #         0
/// #     }
/// #     fn run(self, (): &mut ()) {}
/// # }
/// # let pool = WorkerPool::builder().start(|_thread| ())?;
/// pool.shutdown();
/// assert_eq!(submit(&pool, Nothing), Err("we are closing"));
/// # Ok::<_, netcore::PoolError>(())
/// ```
#[derive(Clone, Copy, Eq, PartialEq, thiserror::Error)]
pub enum SubmitError<T> {
    /// The pool holds as many tasks as it may.
    #[error("the worker pool is full")]
    Full(T),
    /// The pool holds as many tasks with this key, or of this group, as it may.
    #[error("the worker pool holds too many tasks with this key or of this group")]
    KeyFull(T),
    /// The pool is shutting down.
    #[error("the worker pool has stopped")]
    Stopped(T),
}

impl<T> SubmitError<T> {
    /// The task.
    ///
    /// ```
    /// use netcore::{Task, WorkerPool};
    ///
    /// /// Submits what can be submitted, in order; the rest stays.
    /// fn submit_some<T: Task>(pool: &WorkerPool<T>, tasks: &mut Vec<T>) {
    ///     let mut waiting = std::mem::take(tasks).into_iter();
    ///     while let Some(task) = waiting.next() {
    ///         if let Err(refused) = pool.try_submit(task) {
    ///             tasks.push(refused.into_task());
    ///             break;
    ///         }
    ///     }
    ///     tasks.extend(waiting);
    /// }
    /// # struct Nothing;
    /// # impl Task for Nothing {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 {
    /// #         0
    /// #     }
    /// #     fn run(self, (): &mut ()) {}
    /// # }
    /// # let pool = WorkerPool::builder().queue(10).start(|_thread| ())?;
    /// # let mut tasks = vec![Nothing, Nothing];
    /// # submit_some(&pool, &mut tasks);
    /// # assert!(tasks.is_empty());
    /// # pool.shutdown();
    /// # tasks.extend([Nothing, Nothing]);
    /// # submit_some(&pool, &mut tasks);
    /// # assert_eq!(tasks.len(), 2);
    /// # Ok::<_, netcore::PoolError>(())
    /// ```
    pub fn into_task(self) -> T {
        match self {
            Self::Full(task) | Self::KeyFull(task) | Self::Stopped(task) => task,
        }
    }
}

impl<T> fmt::Debug for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::KeyFull(_) => "KeyFull",
            Self::Stopped(_) => "Stopped",
        })
    }
}

/// Why a pool did not start.
///
/// ```
/// use netcore::{PoolError, WorkerPool};
/// # use netcore::Task;
/// # struct Nothing;
/// # impl Task for Nothing {
/// #     type Worker = ();
/// #     fn key(&self) -> u64 {
/// #         0
/// #     }
/// #     fn run(self, (): &mut ()) {}
/// # }
///
/// // The state of a thread cannot be created.
/// let pool = WorkerPool::<Nothing>::builder().threads(1).start(|_thread| Err::<(), _>("no such database"));
/// let Err(PoolError::Worker { index, source }) = pool else { panic!("it has started") };
/// assert_eq!((index, source.to_string()), (0, "no such database".to_owned()));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The operating system refused a thread.
    #[error("a worker thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The state of a thread could not be created.
    #[error("worker {index} could not be set up: {source}")]
    Worker {
        /// The thread, counted from 0.
        index: usize,
        /// The error of the factory.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Statistics of a pool.
///
/// ```
/// use netcore::PoolStats;
/// use std::time::Duration;
///
/// /// The average time that a task waited before it began.
/// fn mean_wait(stats: &PoolStats) -> Duration {
///     let begun = stats.completed + stats.panicked + stats.running as u64;
///     stats.waited.checked_div(u32::try_from(begun).unwrap_or(u32::MAX)).unwrap_or_default()
/// }
/// assert_eq!(mean_wait(&PoolStats::default()), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Tasks waiting.
    pub queued: usize,
    /// Tasks running.
    pub running: usize,
    /// Tasks that ran to their end.
    pub completed: u64,
    /// Tasks that panicked.
    pub panicked: u64,
    /// Submissions refused because of a limit.
    pub refused: u64,
    /// Tasks that did not run because the pool was abandoned, or no worker could be set up any more at shutdown.
    pub dropped: u64,
    /// Tasks that were taken out because their requester had gone.
    pub forgotten: u64,
    /// Sum of the times that tasks waited before they began.
    pub waited: Duration,
    /// The longest wait of a task.
    pub waited_longest: Duration,
}

/// Collects the options of a pool.
///
/// ```
/// use netcore::{PoolBuilder, Task, WorkerPool};
/// # use std::io;
/// # struct Nothing;
/// # impl Task for Nothing {
/// #     type Worker = ();
/// #     fn key(&self) -> u64 {
/// #         0
/// #     }
/// #     fn run(self, (): &mut ()) {}
/// # }
///
/// fn plan<T: Task>(name: &str, threads: usize) -> PoolBuilder<T> {
///     WorkerPool::builder().name(name).threads(threads).queue(threads * 256).per_key(16)
/// }
/// let pool = plan("query", 4).start(|_thread| io::Result::Ok(()))?;
/// pool.try_submit(Nothing)?;
/// pool.shutdown();
/// assert_eq!(pool.stats().completed, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolBuilder<T> {
    tasks: PhantomData<fn(T)>,
    threads: usize,
    queue: usize,
    per_key: usize,
    per_group: usize,
    threads_per_group: usize,
    name: String,
}

impl<T: Task> PoolBuilder<T> {
    /// The number of threads; 2 by default, at least 1, at most [`WORKER_THREADS_MAX`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, WORKER_THREADS_MAX);
        self
    }

    /// Tasks that may wait in all; 4096 by default, at least 1.
    #[must_use]
    pub fn queue(mut self, limit: usize) -> Self {
        self.queue = limit.max(1);
        self
    }

    /// Tasks of one key that may wait; 64 by default, at least 1.
    #[must_use]
    pub fn per_key(mut self, limit: usize) -> Self {
        self.per_key = limit.max(1);
        self
    }

    /// Tasks of one group that may wait; no limit of its own by default, at least 1. After a refusal the group has room
    /// again when half of them have begun.
    #[must_use]
    pub fn per_group(mut self, limit: usize) -> Self {
        self.per_group = limit.max(1);
        self
    }

    /// Threads that may run tasks of one group at the same time; all by default, at least 1. The other threads serve
    /// other groups while a group's tasks take long.
    ///
    /// ```
    /// # use netcore::{PoolBuilder, Task};
    /// /// Half of the threads never run tasks of the same group.
    /// fn fair<T: Task>(pool: PoolBuilder<T>, threads: usize) -> PoolBuilder<T> {
    ///     pool.threads(threads).threads_per_group(threads / 2)
    /// }
    /// ```
    #[must_use]
    pub fn threads_per_group(mut self, threads: usize) -> Self {
        self.threads_per_group = threads.max(1);
        self
    }

    /// The name of the threads, to which their number is added.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Starts the threads. `make_worker` is called on each of them with its number, and again after a task panicked,
    /// because the panic may have left the worker in any state.
    ///
    /// # Errors
    /// A thread or its state could not be created; the others are stopped again.
    pub fn start<F, R>(self, make_worker: F) -> Result<WorkerPool<T>, PoolError>
    where
        F: Fn(usize) -> R + Send + Sync + 'static,
        R: FactoryResult<T::Worker>,
    {
        let share = Share {
            per_key: self.per_key,
            per_group: self.per_group,
            threads_per_group: self.threads_per_group,
        };
        let queue = Arc::new(Queue::new(self.queue, share));
        let make_worker = move |index| make_worker(index).into_result();
        let threads = thread::start(&queue, self.threads, &self.name, Arc::new(make_worker))?;
        Ok(WorkerPool {
            queue,
            threads: Arc::new(threads),
        })
    }
}

/// A handle to a pool of worker threads; clones are handles to the same pool. The pool stops when
/// [`shutdown`](Self::shutdown) is called or the last handle is dropped, in both cases after all accepted tasks
/// have run. Can be used from any thread.
///
/// ```
/// use netcore::{Task, WorkerPool};
/// use std::sync::mpsc;
///
/// /// Reports a number; those of the same account in order.
/// struct Tell { account: u64, number: u32, to: mpsc::Sender<u32> }
///
/// impl Task for Tell {
///     type Worker = ();
///
///     fn key(&self) -> u64 {
///         self.account
///     }
///
///     fn run(self, _worker: &mut ()) {
///         // The receiver may be gone by now.
///         let _ = self.to.send(self.number);
///     }
/// }
///
/// let pool = WorkerPool::builder().threads(2).queue(100).start(|_thread| ())?;
/// let (to, told) = mpsc::channel();
/// for number in 1..=3 {
///     // A full pool gives the task back.
///     if let Err(error) = pool.try_submit(Tell { account: 7, number, to: to.clone() }) {
///         eprintln!("not now: {error}");
///     }
/// }
/// pool.shutdown();
/// drop(to);
/// assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2, 3]);
/// # Ok::<_, netcore::PoolError>(())
/// ```
pub struct WorkerPool<T: Task> {
    queue: Arc<Queue<T>>,
    threads: Arc<thread::Threads<T>>,
}

impl<T: Task> Clone for WorkerPool<T> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            threads: Arc::clone(&self.threads),
        }
    }
}

impl<T: Task> fmt::Debug for WorkerPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<T: Task> WorkerPool<T> {
    /// Starts from the defaults.
    #[must_use]
    pub fn builder() -> PoolBuilder<T> {
        PoolBuilder {
            tasks: PhantomData,
            threads: 2,
            queue: 4096,
            per_key: 64,
            per_group: usize::MAX,
            threads_per_group: usize::MAX,
            name: "worker".to_owned(),
        }
    }

    /// Queues a task. Never blocks.
    ///
    /// # Errors
    /// The task, because a limit is reached or the pool is stopping. After a limit has refused a task, every callback
    /// registered with [`on_room`](Self::on_room) is called once there is room again.
    pub fn try_submit(&self, task: T) -> Result<(), SubmitError<T>> {
        self.queue.push(task)
    }

    /// Registers `call` to be called whenever there is room again after a refusal: for the whole pool when the
    /// queue has fallen to half its limit, for a key when one of its tasks has begun. Also called when a stopping
    /// pool without workers throws tasks away: trying again then gives [`SubmitError::Stopped`]. Called on a worker
    /// thread without locks held; must not block. Stays registered as long as the pool lives.
    ///
    /// ```
    /// use netcore::{SubmitError, WorkerPool};
    /// # use netcore::Task;
    /// use std::sync::mpsc;
    /// # struct Tell(u64, mpsc::SyncSender<u64>);
    /// # impl Task for Tell {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 {
    /// #         self.0
    /// #     }
    /// #     fn run(self, (): &mut ()) {
    /// #         let _ = self.1.send(self.0);
    /// #     }
    /// # }
    ///
    /// let pool = WorkerPool::builder().threads(1).queue(2).start(|_thread| ())?;
    /// let (to, told) = mpsc::sync_channel(100);
    /// let (room, wait) = mpsc::sync_channel(1);
    /// // One notice that waits is as good as many.
    /// pool.on_room(move || _ = room.try_send(()));
    /// for number in 0..100 {
    ///     while let Err(SubmitError::Full(_)) = pool.try_submit(Tell(number, to.clone())) {
    ///         wait.recv()?;
    ///     }
    /// }
    /// pool.shutdown();
    /// assert_eq!(told.try_iter().count(), 100);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_room(&self, call: impl Fn() + Send + Sync + 'static) {
        self.queue.on_room(Arc::new(call));
    }

    /// Takes out the waiting tasks of a key that are [forgettable](Task::is_forgettable), and gives them back: their
    /// requester has gone. Other tasks, and one that runs, go on.
    ///
    /// ```
    /// # use netcore::{Task, WorkerPool};
    /// /// To be called when a connection is over; its number is the key of its questions.
    /// fn gone<T: Task>(pool: &WorkerPool<T>, connection: u64) {
    ///     let unanswered = pool.forget(connection);
    ///     log::debug!("{} questions were not worth an answer", unanswered.len());
    /// }
    /// # struct Nothing;
    /// # impl Task for Nothing {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 {
    /// #         0
    /// #     }
    /// #     fn run(self, (): &mut ()) {}
    /// # }
    /// # let pool = WorkerPool::<Nothing>::builder().start(|_thread| ())?;
    /// # gone(&pool, 7);
    /// # Ok::<_, netcore::PoolError>(())
    /// ```
    pub fn forget(&self, key: u64) -> Vec<T> {
        self.queue.forget(key)
    }

    /// Takes no further tasks, and gives back those that have not begun. Does not wait for the running ones:
    /// [`shutdown`](Self::shutdown) does.
    ///
    /// ```
    /// use netcore::{Task, WorkerPool};
    /// use std::time::{Duration, Instant};
    ///
    /// /// Ends in order if there is time for it; returns how many tasks were given up.
    /// fn end_within<T: Task>(pool: &WorkerPool<T>, within: Duration) -> usize {
    ///     let until = Instant::now() + within;
    ///     while pool.stats().queued > 0 && Instant::now() < until {
    ///         std::thread::sleep(Duration::from_millis(1));
    ///     }
    ///     let rest = pool.abandon();
    ///     pool.shutdown();
    ///     rest.len()
    /// }
    /// # struct Nothing;
    /// # impl Task for Nothing {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 {
    /// #         0
    /// #     }
    /// #     fn run(self, (): &mut ()) {}
    /// # }
    /// # let pool = WorkerPool::<Nothing>::builder().start(|_thread| ())?;
    /// # assert_eq!(end_within(&pool, Duration::from_secs(9)), 0);
    /// # Ok::<_, netcore::PoolError>(())
    /// ```
    pub fn abandon(&self) -> Vec<T> {
        self.queue.abandon()
    }

    /// The statistics of the pool.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.queue.stats()
    }

    /// Takes no further tasks, runs the accepted ones, and waits for the threads to end. Other handles may still be
    /// used: their submissions are refused. On one of the pool's own threads it does not wait.
    pub fn shutdown(&self) {
        self.threads.stop_and_join();
    }
}

/// A pool whose tasks the test runs, one at a time.
#[cfg(test)]
impl<T: Task> WorkerPool<T> {
    pub(crate) fn without_threads(queue: usize, per_key: usize) -> Self {
        let share = Share {
            per_key,
            per_group: usize::MAX,
            threads_per_group: usize::MAX,
        };
        let queue = Arc::new(Queue::new(queue, share));
        Self {
            threads: Arc::new(thread::Threads::none(&queue)),
            queue,
        }
    }

    /// Runs the next task; returns whether there was one.
    pub(crate) fn run_one(&self, worker: &mut T::Worker) -> bool {
        if self.stats().queued == 0 {
            return false;
        }
        let Some(mut turn) = self.queue.take_strand() else {
            return false;
        };
        let next = self.queue.next_task(&mut turn);
        let ran = match next {
            queue::Next::Run(task) => {
                task.run(worker);
                self.queue.finished(false);
                true
            }
            queue::Next::Yield => return false,
        };
        turn.end();
        self.queue.next_task(&mut turn);
        ran
    }
}

#[cfg(test)]
mod tests;
