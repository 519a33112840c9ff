//! How much goes into a batch, and the refusals of a batch that failed.

use std::collections::VecDeque;

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use storage::{NewUser, Outcome, Refused, Rules, Store, Timestamp, model::ModelStore};

use super::*;
use crate::{delivery::Planner, lane::Job, publish::Publisher};

const BATCH_MAX: usize = 8;
const JOBS: usize = 20;

/// A writer that takes as much as it is told to, and reports how much it was given.
struct Hesitant {
    sizes: Sender<usize>,
    /// The size of each batch, in turn; after the last of them the largest size.
    shares: VecDeque<usize>,
    /// Received from before each commit.
    go: Receiver<()>,
}

impl Writer for Hesitant {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        if matches!(writes, [Write::Erase(_)]) {
            return Ok(vec![Ok(Outcome::Erased(false))]);
        }
        let ended = |_| CommitError::Fatal(Cause::text("the test has ended"));
        self.go.recv().map_err(ended)?;
        self.shares.pop_front();
        if self.sizes.try_send(writes.len()).is_err() {
            return Err(CommitError::Fatal(Cause::text("there are too many batches")));
        }
        Ok(writes.iter().map(|_| Ok(Outcome::Done)).collect())
    }

    fn batch_size(&self, most: usize) -> usize {
        self.shares.front().copied().unwrap_or(most)
    }
}

fn parts(fatal: Sender<Fatal>) -> LaneParts {
    LaneParts {
        routes: Arc::new(Routes::new(1)),
        cache: Arc::new(ReadCache::default()),
        lazy: Arc::new(LazyWrites::default()),
        cluster: ClusterHandle::default(),
        outboxes: Arc::new(Outboxes::new(1)),
        policy: DevicePolicy {
            total: 1,
            mobile: 1,
            desktop: 1,
            web: 1,
            script: 1,
        },
        epoch: 1,
        metrics: Arc::new(Metrics::new(1, 1)),
        batch_max: BATCH_MAX,
        fatal,
    }
}

/// The lane of a store that has one writer.
fn alone(writer: impl Writer + 'static, planner: Planner) -> (Box<dyn Writer>, Publishing) {
    let publisher = Publisher::new(planner, Arc::new(Outboxes::new(1)), Vec::new());
    (Box::new(writer), Publishing::Here(Box::new(publisher)))
}

fn job(number: usize) -> Box<Job> {
    Box::new(Job {
        write: Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: String::new(),
            password_hash: String::new(),
            at: Timestamp(0),
        }),
        then: Completion::Nothing,
    })
}

#[test]
fn batches_are_as_small_as_the_writer_wants_them_and_nothing_is_left_out() {
    let (fatal, _fatal) = bounded(1);
    let (go_sender, go) = bounded(JOBS);
    let (sizes, committed) = bounded(JOBS);
    let writer = Hesitant {
        sizes,
        shares: [1, 1, 4].into(),
        go,
    };
    let store = ModelStore::new(1, 2, Rules::default());
    let parts = parts(fatal);
    let planner = Planner::new(1, Arc::clone(&parts.routes), store.reader().unwrap(), 1, 100);
    let lane = alone(writer, planner);
    let (lanes, handle) = Lanes::start(vec![lane], &parts, JOBS).unwrap();
    // The first is in the writer's hands, or on its way there, until all the others wait behind it.
    for number in 0..JOBS {
        handle.submit(job(number)).unwrap();
    }
    for _ in 0..JOBS {
        go_sender.send(()).unwrap();
    }
    drop(handle);
    lanes.join();
    let sizes: Vec<usize> = committed.try_iter().collect();
    assert_eq!(sizes, [1, 1, 4, 8, 6]);
}

/// Has this many slices to erase after each recall, and reports each slice.
struct Erasing {
    left: usize,
    slices: Sender<bool>,
}

impl Writer for Erasing {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        let mut answers = Vec::new();
        for write in writes {
            answers.push(Ok(match write {
                Write::Erase(_) => {
                    let any = self.left > 0;
                    self.left = self.left.saturating_sub(1);
                    let ended = |_| CommitError::Fatal(Cause::text("the test has ended"));
                    self.slices.send(any).map_err(ended)?;
                    Outcome::Erased(any)
                }
                _ => {
                    self.left = 3;
                    Outcome::Done
                }
            }));
        }
        Ok(answers)
    }
}

#[test]
fn an_idle_lane_erases_what_was_left_and_what_is_recalled() {
    let (fatal, _fatal) = bounded(1);
    let (slices, made) = bounded(JOBS);
    let store = ModelStore::new(1, 2, Rules::default());
    let parts = parts(fatal);
    let planner = Planner::new(1, Arc::clone(&parts.routes), store.reader().unwrap(), 1, 100);
    let writer = Erasing { left: 2, slices };
    let lane = alone(writer, planner);
    let (lanes, handle) = Lanes::start(vec![lane], &parts, JOBS).unwrap();
    let made = || made.recv_timeout(Duration::from_secs(60));
    // The first slice needs no recall: it is for what an earlier process left.
    assert_eq!([(); 3].map(|()| made()), [Ok(true), Ok(true), Ok(false)]);
    let recall = storage::Append {
        conversation: storage::ConversationId(1),
        sender: storage::UserId(1),
        client_id: storage::ClientId([0; 16]),
        fingerprint: storage::Fingerprint([0; 16]),
        at: Timestamp(0),
        action: storage::Action::Recall {
            target: storage::Seq(1),
        },
    };
    let job = Job {
        write: Write::Append(recall),
        then: Completion::Nothing,
    };
    handle.submit(Box::new(job)).unwrap();
    assert_eq!(
        [(); 4].map(|()| made()),
        [Ok(true), Ok(true), Ok(true), Ok(false)]
    );
    drop(handle);
    lanes.join();
}

/// Always has something to erase. While it erases, a user sends.
struct Endless {
    lane: Arc<Mutex<Option<LaneHandle>>>,
    /// Whether each commit was a slice.
    commits: Sender<bool>,
}

impl Writer for Endless {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        let is_slice = matches!(writes, [Write::Erase(_)]);
        if is_slice && let Some(lane) = &*self.lane.lock() {
            let refused = |_| CommitError::Fatal(Cause::text("the lane has no room"));
            lane.submit(job(0)).map_err(refused)?;
        }
        let ended = |_| CommitError::Fatal(Cause::text("the test has ended"));
        self.commits.send(is_slice).map_err(ended)?;
        let outcome = || {
            if is_slice {
                Outcome::Erased(true)
            } else {
                Outcome::Done
            }
        };
        Ok(writes.iter().map(|_| Ok(outcome())).collect())
    }
}

#[test]
fn whoever_comes_while_bodies_without_end_are_erased_waits_for_one_slice() {
    const COMMITS: usize = 200;
    let (fatal, _fatal) = bounded(1);
    let (commits, committed) = bounded(COMMITS);
    let store = ModelStore::new(1, 2, Rules::default());
    let parts = parts(fatal);
    let planner = Planner::new(1, Arc::clone(&parts.routes), store.reader().unwrap(), 1, 100);
    let place = Arc::new(Mutex::new(None));
    let writer = Endless {
        lane: Arc::clone(&place),
        commits,
    };
    let lane = alone(writer, planner);
    let (lanes, handle) = Lanes::start(vec![lane], &parts, JOBS).unwrap();
    *place.lock() = Some(handle);
    let made = || committed.recv_timeout(Duration::from_secs(60)).unwrap();
    while !made() {}
    let after: Vec<bool> = (0..COMMITS).map(|_| made()).collect();
    // Each slice is followed by what came meanwhile, and on an idle lane that by the next slice.
    assert!(after.chunks(2).all(|pair| pair == [false, true]), "{after:?}");
    place.lock().take();
    drop(committed);
    lanes.join();
}

#[test]
fn what_was_not_applied_is_to_be_tried_again_when_it_is_of_use() {
    let millis = |millis| Some(Duration::from_millis(millis));
    for (full, retry_after, code, retry_after_ms) in [
        (false, None, ErrorCode::Unavailable, 500),
        (false, millis(1_250), ErrorCode::Unavailable, 1_250),
        (false, millis(3), ErrorCode::Unavailable, 100),
        (false, Some(Duration::MAX), ErrorCode::Unavailable, u32::MAX),
        (true, None, ErrorCode::ResourceExhausted, 5_000),
    ] {
        let refusal = not_applied(full, retry_after);
        assert_eq!((refusal.0.code(), refusal.0.class()), (code, ErrorClass::Retry));
        assert_eq!(refusal.0.retry_after_ms, retry_after_ms, "{retry_after:?}");
    }
}
