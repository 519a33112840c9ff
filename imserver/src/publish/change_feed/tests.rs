//! What becomes of a node whose change feed fails.

use storage::{ConversationId, Interval, MembersReader, Seq, Tail};

use super::*;
use crate::delivery::{Outboxes, Planner};

/// A test that hangs here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that must not be asked.
struct Trap;

impl MembersReader for Trap {
    fn intervals(&mut self, _: ConversationId, _: Seq) -> Result<Vec<Interval>, ReadError> {
        panic!("the planner asks nobody")
    }
}

impl TailReader for Trap {
    fn tail(&mut self, _: &Snapshot, _: usize) -> Result<Tail, ReadError> {
        panic!("the store must not be asked")
    }
}

#[test]
fn a_change_feed_that_panics_ends_the_process() {
    let routes = Arc::new(Routes::new(1));
    let (fatal, reasons) = bounded(1);
    let parts = ChangeFeedParts {
        publisher: Publisher::new(
            Planner::new(1, Arc::clone(&routes), Box::new(Trap), 1, 100),
            Arc::new(Outboxes::new(1)),
            Vec::new(),
        ),
        routes,
        reader: Box::new(Trap),
        from: Snapshot::default(),
        interval: Duration::from_secs(3_600),
        cache: Arc::new(ReadCache::default()),
        fatal,
    };
    let (feed, handle) = ChangeFeed::start(parts).unwrap();
    handle.look();
    assert!(matches!(reasons.recv_timeout(PATIENCE), Ok(Fatal::FeedPanicked)));
    feed.join();
    // A commit after the end reports it, too.
    handle.committed(Vec::new());
    assert!(matches!(reasons.recv_timeout(PATIENCE), Ok(Fatal::NotDelivered)));
}
