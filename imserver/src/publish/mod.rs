//! What follows a commit: tells the loops and the [consumers](Consumer) of it, in the order of the commits.
//!
//! There is one publisher on a node. A single lane feeds it directly; with several lanes or nodes, the change feed
//! does. Delivery to the loops is part of it, because answers stand among pushes. Every other receiver of commits is a
//! [`Consumer`]. It must never publish anything that is not committed, and never block a lane.

pub(crate) mod change_feed;
pub(crate) mod published;

use std::sync::Arc;

use netcore::ConnId;
use storage::{Appended, CursorMove, Event, EventKind, Outcome, ReadError, Refused, Snapshot, Timestamp};

pub(crate) use change_feed::{ChangeFeed, ChangeFeedHandle, ChangeFeedParts};

use crate::{
    clock,
    delivery::{Outboxes, Planner},
    message::{Delivery, Entry, PlacedAnswer},
};

/// A receiver of commits beside the loops. It may be told of a commit twice, and it is not told of commits that are
/// missed here. A consumer that must not lose any reads the log, from a position of its own.
pub(crate) trait Consumer: Send {
    /// The lanes of this node committed a batch. Called once for a batch, before its pushes are posted; must not block.
    fn committed(&mut self);

    /// This event is published. Called for every event, in commit order; must look at it and no further.
    fn event(&mut self, _event: &Event) {}

    /// Commits are missed here: any event may have been among them.
    fn missed(&mut self) {}
}

/// Turns commits into deliveries. Its owner passes commits in their order.
pub(crate) struct Publisher {
    planner: Planner,
    outboxes: Arc<Outboxes>,
    consumers: Vec<Box<dyn Consumer>>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Publisher")
            .field("planner", &self.planner)
            .field("consumers", &self.consumers.len())
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher that posts to these loops and informs these consumers.
    pub(crate) fn new(planner: Planner, outboxes: Arc<Outboxes>, consumers: Vec<Box<dyn Consumer>>) -> Self {
        Self {
            planner,
            outboxes,
            consumers,
        }
    }

    /// This node committed a batch.
    fn committed(&mut self) {
        for consumer in &mut self.consumers {
            consumer.committed();
        }
    }

    /// A batch may be committed but will not be published: every session must pull.
    fn missed(&mut self) {
        self.planner.forget_all();
        self.outboxes.miss_all();
        for consumer in &mut self.consumers {
            consumer.missed();
        }
    }

    /// An empty delivery for each loop. After it, the loops have everything in `complete_to`.
    fn begin(&self, complete_to: Option<&Snapshot>, events: usize) -> Vec<Delivery> {
        self.planner.empty(complete_to, events)
    }

    fn event(&mut self, event: &Event, now: Timestamp, except: Option<ConnId>, deliveries: &mut [Delivery]) {
        for consumer in &mut self.consumers {
            consumer.event(event);
        }
        let planned = self.planner.event(event, now, except, deliveries);
        self.checked(planned);
    }

    fn cursors(&mut self, moves: &[CursorMove], deliveries: &mut [Delivery]) {
        let planned = self.planner.cursors(moves, deliveries);
        self.checked(planned);
    }

    fn checked(&self, planned: Result<(), ReadError>) {
        if let Err(error) = planned {
            log::error!("members could not be read, sessions will pull: {error}");
            self.outboxes.miss_all();
        }
    }

    fn post(&self, deliveries: Vec<Delivery>) {
        self.outboxes.post(deliveries);
    }
}

/// How a lane's commits are published.
#[derive(Debug)]
pub(crate) enum Publishing {
    /// By the lane itself: it is the only one, so its commits are all commits.
    Here(Box<Publisher>),
    /// By the change feed, which puts the commits of all lanes and nodes in order.
    Feed(ChangeFeedHandle),
}

impl Publishing {
    /// A batch may be committed but will not be published. The change feed finds it in the log.
    pub(crate) fn missed(&mut self) {
        match self {
            Self::Here(publisher) => publisher.missed(),
            Self::Feed(_) => {}
        }
    }

    /// Whether all revocations come from this lane's thread.
    pub(crate) const fn is_alone(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Begins to publish a committed batch. Reads the members that its events need, before any loop's wake is held
    /// back.
    pub(crate) fn begin(&mut self, results: &[Result<Outcome, Refused>]) -> Publication<'_> {
        match self {
            Self::Here(publisher) => {
                let outcomes = results.iter().flatten();
                let events = outcomes.clone().flat_map(Outcome::new_events);
                publisher.planner.prepare(events.map(|event| &**event));
                let new = |outcome: &&Outcome| is_move(outcome) || outcome.new_events().next().is_some();
                let newest = outcomes.filter(new).map(Outcome::position).max();
                let newest = newest.filter(|newest| newest.0 > 0);
                let complete_to = newest.map(Snapshot::at);
                publisher.committed();
                Publication::Here {
                    deliveries: publisher.begin(complete_to.as_ref(), results.len()),
                    publisher,
                    now: clock::wall(),
                }
            }
            Self::Feed(feed) => Publication::Feed {
                feed,
                effects: Vec::with_capacity(results.len()),
            },
        }
    }
}

/// A committed batch while it is published, with the answers to its requesters.
#[derive(Debug)]
pub(crate) enum Publication<'a> {
    /// For each loop, answers and pushes in commit order.
    Here {
        /// Plans the pushes.
        publisher: &'a mut Publisher,
        /// From the results so far.
        deliveries: Vec<Delivery>,
        /// The wall clock's time.
        now: Timestamp,
    },
    /// Answers are posted alone; the change feed puts the pushes in order.
    Feed {
        /// Publishes the effects.
        feed: &'a ChangeFeedHandle,
        /// From the results so far.
        effects: Vec<Outcome>,
    },
}

impl Publication<'_> {
    /// Puts an answer into its place.
    pub(crate) fn answer(&mut self, answer: Option<PlacedAnswer>) {
        let Some(answer) = answer else { return };
        let place = match self {
            Self::Here { deliveries, .. } => deliveries.get_mut(answer.conn().loop_id().index()),
            Self::Feed { .. } => None,
        };
        match place {
            Some(delivery) => delivery.entries.push(Entry::Answer(answer)),
            None => answer.post(),
        }
    }

    /// Pushes an event to all users who see it. `sender` is the connection whose answer may stand for a message's
    /// event; the event is then not pushed to it. With several lanes it is pushed to it anyway.
    pub(crate) fn appended(&mut self, appended: Appended, sender: Option<ConnId>) {
        if appended.duplicate {
            return;
        }
        match self {
            Self::Here {
                publisher,
                deliveries,
                now,
            } => {
                let event = &*appended.event;
                let except = sender.filter(|_| matches!(event.kind, EventKind::Message(_)));
                publisher.event(event, *now, except, deliveries);
                for other in &appended.others {
                    publisher.event(other, *now, None, deliveries);
                }
            }
            Self::Feed { effects, .. } => effects.push(Outcome::Appended(appended)),
        }
    }

    /// Pushes cursors that moved.
    pub(crate) fn moved(&mut self, outcome: Outcome) {
        match self {
            Self::Here {
                publisher,
                deliveries,
                ..
            } => {
                if let Outcome::Cursors(moves, ..) = &outcome {
                    publisher.cursors(moves, deliveries);
                }
            }
            Self::Feed { effects, .. } => effects.push(outcome),
        }
    }

    /// The batch is complete: posts it, or hands it to the change feed.
    pub(crate) fn finish(self) {
        match self {
            Self::Here {
                publisher,
                deliveries,
                ..
            } => publisher.post(deliveries),
            Self::Feed { feed, effects } => feed.committed(effects),
        }
    }
}

const fn is_move(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Cursors(..))
}
