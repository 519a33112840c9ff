//! What goes into the next batch of a lane. A plain write waits for at most one batch's share of heavy writes, and the
//! writes of one conversation stay in order. It must never leave a job out for good.

use std::collections::{HashSet, VecDeque};

use storage::{ConversationId, Write};

use super::job::Job;

/// A write that adds this many people, or does as much otherwise, is heavy: it takes as long as many plain writes.
const HEAVY_LEAST: usize = 32;
/// The weight of all heavy writes in a batch; a single one may exceed it.
const HEAVY_PER_BATCH: usize = 512;
/// The weight of a write that may change a row of each member of a group.
const UNKNOWN: usize = HEAVY_PER_BATCH;
/// The weight of a recall, which erases a body of any length.
const BODY: usize = HEAVY_LEAST;

/// Jobs that a lane has taken out of its queue, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Turn {
    jobs: VecDeque<Job>,
    heavy: usize,
}

impl Turn {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn extend(&mut self, jobs: Vec<Job>) {
        self.heavy += jobs.iter().filter(|job| is_heavy(&job.write)).count();
        self.jobs.extend(jobs);
    }

    /// Puts a follow-up of the last batch first.
    pub(super) fn push_front(&mut self, job: Job) {
        self.heavy += usize::from(is_heavy(&job.write));
        self.jobs.push_front(job);
    }

    /// Takes the next jobs, at most `count`; at least one if `count` is not 0 and there are jobs.
    pub(super) fn take(&mut self, count: usize) -> Vec<Job> {
        let count = count.min(self.jobs.len());
        if self.heavy == 0 {
            return self.jobs.drain(..count).collect();
        }
        let mut taken = Vec::with_capacity(count);
        let mut left = VecDeque::new();
        let mut held_up: HashSet<ConversationId> = HashSet::new();
        let mut entered = 0;
        while taken.len() < count
            && let Some(job) = self.jobs.pop_front()
        {
            let weight = weight(&job.write);
            let is_heavy = weight >= HEAVY_LEAST;
            let waits = is_heavy && entered > 0 && entered + weight > HEAVY_PER_BATCH
                || conversation(&job.write).is_some_and(|id| held_up.contains(&id));
            if waits {
                held_up.extend(conversation(&job.write));
                left.push_back(job);
                continue;
            }
            if is_heavy {
                entered += weight;
                self.heavy -= 1;
            }
            taken.push(job);
        }
        while let Some(job) = left.pop_back() {
            self.jobs.push_front(job);
        }
        taken
    }

    /// Takes all jobs.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.heavy = 0;
        self.jobs.drain(..).collect()
    }
}

fn is_heavy(write: &Write) -> bool {
    weight(write) >= HEAVY_LEAST
}

/// Roughly how many rows a write changes beyond those that any write does.
fn weight(write: &Write) -> usize {
    match write {
        Write::Append(append) => {
            let reach = append.action.reach();
            match (reach.members, reach.erases) {
                (true, _) => UNKNOWN,
                (_, true) => BODY,
                (false, false) => reach.users.len(),
            }
        }
        Write::Cursors(_)
        | Write::CreateUser(_)
        | Write::UpdateProfile(_)
        | Write::CreateSession(_)
        | Write::RevokeSessions(_)
        | Write::TouchSessions(_)
        | Write::Erase(_) => 0,
    }
}

const fn conversation(write: &Write) -> Option<ConversationId> {
    match write {
        Write::Append(append) => Some(append.conversation),
        Write::Cursors(_)
        | Write::CreateUser(_)
        | Write::UpdateProfile(_)
        | Write::CreateSession(_)
        | Write::RevokeSessions(_)
        | Write::TouchSessions(_)
        | Write::Erase(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage::{Action, Append, ClientId, Fingerprint, Seq, Timestamp, UserId};

    use super::*;
    use crate::lane::job::Completion;

    fn job(conversation: u64, number: u64, action: Action) -> Job {
        Job {
            write: Write::Append(Append {
                conversation: ConversationId(conversation),
                sender: UserId(1),
                client_id: ClientId([0; 16]),
                fingerprint: Fingerprint([0; 16]),
                // The test's mark.
                at: Timestamp(number),
                action,
            }),
            then: Completion::Nothing,
        }
    }

    fn plain(conversation: u64, number: u64) -> Job {
        let action = Action::Message {
            kind: 1,
            body: Bytes::new(),
            expires_at: Timestamp(0),
            reply_to: Seq(0),
        };
        job(conversation, number, action)
    }

    fn group(conversation: u64, number: u64, people: u64) -> Job {
        let action = Action::CreateGroup {
            name: String::new(),
            members: (1..=people).map(UserId).collect(),
        };
        job(conversation, number, action)
    }

    fn numbers(jobs: Vec<Job>) -> Vec<u64> {
        let number = |job: Job| match job.write {
            Write::Append(append) => append.at.0,
            other => panic!("{other:?}"),
        };
        jobs.into_iter().map(number).collect()
    }

    #[test]
    fn plain_ones_go_before_more_heavy_ones_than_a_batch_has() {
        let mut turn = Turn::default();
        let mut jobs: Vec<Job> = (0..10).map(|number| group(number, number, 1_000)).collect();
        jobs.extend((10..20).map(|number| plain(number, number)));
        turn.extend(jobs);
        let first: Vec<u64> = [0].into_iter().chain(10..20).collect();
        assert_eq!(numbers(turn.take(512)), first);
        for number in 1..10 {
            assert_eq!(numbers(turn.take(512)), [number]);
        }
        assert!(turn.is_empty() && turn.heavy == 0);
    }

    #[test]
    fn small_groups_go_together() {
        let mut turn = Turn::default();
        turn.extend((0..20).map(|number| group(number, number, 100)).collect());
        assert_eq!(numbers(turn.take(512)), [0, 1, 2, 3, 4]);
        turn.extend((20..40).map(|number| group(number, number, 3)).collect());
        let second: Vec<u64> = (5..10).chain(20..40).collect();
        assert_eq!(numbers(turn.take(512)), second);
    }

    #[test]
    fn a_conversation_stays_in_its_order() {
        let mut turn = Turn::default();
        turn.extend(vec![
            group(1, 0, 600),
            group(2, 1, 600),
            plain(2, 2),
            plain(3, 3),
            plain(1, 4),
            group(3, 5, 600),
            plain(3, 6),
        ]);
        assert_eq!(numbers(turn.take(512)), [0, 3, 4]);
        assert_eq!(numbers(turn.take(1)), [1]);
        assert_eq!(numbers(turn.take(512)), [2, 5, 6]);
        turn.push_front(group(1, 7, 50));
        turn.push_front(plain(1, 8));
        assert_eq!(numbers(turn.take(512)), [8, 7]);
        assert!(turn.take(512).is_empty());
    }

    #[test]
    fn everything_is_taken_in_the_end() {
        let mut turn = Turn::default();
        let jobs = (0..500).map(|number| match number % 7 {
            0 => group(number % 13, number, 40 * (number % 31)),
            _ => plain(number % 13, number),
        });
        turn.extend(jobs.collect());
        let mut all = Vec::new();
        while !turn.is_empty() {
            let taken = numbers(turn.take(16));
            assert!(!taken.is_empty());
            all.extend(taken);
        }
        for conversation in 0..13 {
            let of: Vec<u64> = all
                .iter()
                .copied()
                .filter(|number| number % 13 == conversation)
                .collect();
            assert!(of.is_sorted(), "{of:?}");
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..500));
        assert_eq!(turn.heavy, 0);
    }
}
