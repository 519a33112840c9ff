//! Commits in doubt, and the end at which everything heals and is judged.

use super::{A, B, Doubt, Event, Node, PROOF, Postgres, Promise, Row, Token};
use crate::past::{Broken, Device, Set, lost};

impl Postgres {
    /// Whether it reached the WAL or not, node A was not told.
    pub(super) fn crash_at_commit(&mut self, reaches_the_wal: bool) {
        self.through_a_transaction(A);
        let (id, number) = (self.new_id(), self.take_number());
        if reaches_the_wal {
            let position = number + self.store().offset;
            self.wal.push((number, Row::Event(Event { position, id })));
        }
        let past = self.memory(A).past;
        self.doubt = Some(Doubt { number, id, past });
        self.crash();
    }

    /// What became of it. In another past than its own it stays in doubt for good.
    pub(super) fn inquire(&mut self) -> Result<(), Broken> {
        let Some(doubt) = self.doubt else {
            return Ok(());
        };
        self.through_a_transaction(A);
        if self.memory(A).past != doubt.past {
            self.doubt = None;
            return Ok(());
        }
        let place = self.log().iter().position(|id| *id == doubt.id);
        let applied = if self.rules.hold(PROOF) {
            place.is_some()
        } else if doubt.number >= self.next {
            // "In the future": it is asked about again.
            return Ok(());
        } else {
            self.wal.iter().any(|(number, _)| *number == doubt.number)
        };
        self.doubt = None;
        match (applied, place) {
            (true, Some(place)) => self.promised.push(Promise {
                epoch: doubt.past,
                seq: place as u8 + 1,
                id: doubt.id,
            }),
            (true, None) => return Err(Broken("G1: acknowledged, never stored")),
            (false, _) => self.append(A, doubt.id),
        }
        Ok(())
    }

    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.inquire()?;
        self.commit_open();
        for node in [A, B] {
            let first: Set = self.follow(node).iter().map(|event| event.id).collect();
            let second: Set = self.follow(node).iter().map(|event| event.id).collect();
            if !first.and(second).is_empty() {
                return Err(Broken("progress: a tail lists the same events for ever"));
            }
        }
        self.send(A);
        for node in [B, A] {
            self.follow_and_pong(node);
        }
        Ok(())
    }

    /// Acknowledged in this epoch or shown on a device, and not in the log.
    pub(super) fn missing(&self) -> Set {
        let (past, log) = (self.store().past, self.log());
        let here = |device: &&Device<Token>| device.epoch == past;
        let shown = self
            .devices
            .iter()
            .filter(here)
            .flat_map(|device| device.have.iter().copied());
        let shown: Set = shown.collect();
        lost(&self.promised, past, &log).or(shown.minus(self.seen()))
    }

    /// Lost by a directory that was put back, and no running node, no stored token and no mark has any of it.
    pub(super) fn nobody_remembers(&self) -> bool {
        let (store, lost) = (self.store(), self.missing());
        if lost.is_empty() || !lost.minus(self.silent).is_empty() || self.marked {
            return false;
        }
        let remembers = |node: &Node| {
            let memory = node.memory.as_ref();
            memory.is_some_and(|memory| !memory.seen.and(lost).is_empty())
        };
        let vouches = |device: &Device<Token>| {
            device.token.as_ref().is_some_and(|token| {
                let is_ahead = token.claims.max() > self.floor;
                token.past == store.past && is_ahead && !token.ids.and(lost).is_empty()
            })
        };
        !self.nodes.iter().any(remembers) && !self.devices.iter().any(vouches)
    }
}
