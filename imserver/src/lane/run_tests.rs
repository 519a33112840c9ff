//! How much goes into a batch, and what those hear whose batch was refused.

use std::collections::VecDeque;

use storage::{NewUser, Outcome, Refused, Rules, Store, Timestamp, model::ModelStore};

use super::*;
use crate::delivery::Planner;

const BATCH_MAX: usize = 8;
const JOBS: usize = 20;

/// Takes as much as it is told to, and says how much it was given.
struct Hesitant {
    sizes: Sender<usize>,
    /// How large each batch should be; then as large as may be.
    shares: VecDeque<usize>,
    /// Is waited for before each commit.
    go: Receiver<()>,
}

impl Writer for Hesitant {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        let ended = |_| CommitError::Fatal("the test has ended".to_owned());
        self.go.recv().map_err(ended)?;
        self.shares.pop_front();
        if self.sizes.try_send(writes.len()).is_err() {
            return Err(CommitError::Fatal("there are too many batches".to_owned()));
        }
        Ok(writes.iter().map(|_| Ok(Outcome::Done)).collect())
    }

    fn batch_size(&self, most: usize) -> usize {
        self.shares.front().copied().unwrap_or(most)
    }
}

fn parts(fatal: Sender<String>) -> LaneParts {
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
        },
        epoch: 1,
        batch_max: BATCH_MAX,
        fatal,
    }
}

fn job(number: usize) -> Box<Job> {
    Box::new(Job {
        write: Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: String::new(),
            password_hash: String::new(),
            at: Timestamp(0),
        }),
        then: Then::Nothing,
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
    let lane: (Box<dyn Writer>, Deliver) = (Box::new(writer), Deliver::Here(Box::new(planner)));
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
