//! What follows a commit: whoever is to hear of it is told here, in the order of the commits.
//!
//! There is one publisher on a node. Where one lane writes all there is, it feeds the publisher itself; where several
//! lanes and nodes write, the change feed does. Delivery to the loops is part of it, because answers stand among pushes;
//! whatever else wants to hear of commits is a [`Consumer`]. It must never tell anybody of anything that is not
//! committed, and never block a lane.

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

/// Whoever hears of commits beside the loops. It may be told of a commit twice and is not told of what is missed here:
/// what must not be lost is read from the log, from a position of one's own.
pub(crate) trait Consumer: Send {
    /// A batch of this node's own lanes was committed. Called once a batch, before its pushes are posted; must not block.
    fn committed(&mut self);
}

/// Turns commits into deliveries. Its owner gives it commits in their order.
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
    /// One that posts to these loops and tells these consumers.
    pub(crate) fn new(planner: Planner, outboxes: Arc<Outboxes>, consumers: Vec<Box<dyn Consumer>>) -> Self {
        Self {
            planner,
            outboxes,
            consumers,
        }
    }

    /// This node has committed something.
    fn committed(&mut self) {
        for consumer in &mut self.consumers {
            consumer.committed();
        }
    }

    /// Something may have been committed of which nobody is told: every session pulls.
    fn missed(&mut self) {
        self.planner.forget_all();
        self.outboxes.miss_all();
    }

    /// An empty delivery for each loop. With it the loops have all of this set.
    fn begin(&self, complete_to: Option<&Snapshot>, events: usize) -> Vec<Delivery> {
        self.planner.empty(complete_to, events)
    }

    fn event(&mut self, event: &Event, now: Timestamp, except: Option<ConnId>, deliveries: &mut [Delivery]) {
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
    /// By the lane itself: it is the only one, so its commits are all there are.
    Here(Box<Publisher>),
    /// By the change feed, which puts the commits of all lanes and nodes in order.
    Feed(ChangeFeedHandle),
}

impl Publishing {
    /// Something may have been committed of which nobody is told. The change feed finds it in the log.
    pub(crate) fn missed(&mut self) {
        match self {
            Self::Here(publisher) => publisher.missed(),
            Self::Feed(_) => {}
        }
    }

    /// Whether this lane's thread alone ends sessions.
    pub(crate) const fn is_alone(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Begins with a batch that was committed. Members that its events need are read here, while no loop's wake is held
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

/// A committed batch that is being published, with the answers to those who asked for it.
#[derive(Debug)]
pub(crate) enum Publication<'a> {
    /// For each loop, answers and pushes in commit order.
    Here {
        /// Plans them.
        publisher: &'a mut Publisher,
        /// As far as the batch was gone through.
        deliveries: Vec<Delivery>,
        /// The time.
        now: Timestamp,
    },
    /// The answers are given, and the change feed puts the rest in order.
    Feed {
        /// Does it.
        feed: &'a ChangeFeedHandle,
        /// As far as the batch was gone through.
        effects: Vec<Outcome>,
    },
}

impl Publication<'_> {
    /// An answer goes to its place.
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

    /// An event goes to all who see it. `sender` is the connection whose answer says it all, if it stands for the event
    /// of a message there; with several lanes the event is pushed to it, too.
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

    /// Cursors moved.
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

    /// All of the batch was gone through.
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
