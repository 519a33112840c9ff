//! The server: its WAL, its numbers, and what disasters do to it.

use std::rc::Rc;

use super::{Copy, Event, HORIZON, Incarnation, Postgres, Row, Store};
use crate::past::Set;

impl Postgres {
    pub(super) const fn take_number(&mut self) -> u8 {
        self.next += 1;
        self.next - 1
    }

    pub(super) const fn fresh(&mut self) -> u8 {
        self.fresh += 1;
        self.fresh
    }

    pub(super) fn commit(&mut self, row: Row) {
        let number = self.take_number();
        self.wal.push((number, row));
    }

    pub(super) fn store(&self) -> Rc<Store> {
        self.row().1
    }

    /// The row `store`, with its `xmin`.
    pub(super) fn row(&self) -> (u8, Rc<Store>) {
        let found = self.wal.iter().rev().find_map(|(number, row)| match row {
            Row::Store(store) => Some((*number, Rc::clone(store))),
            _ => None,
        });
        found.unwrap_or_else(|| unreachable!("a store has its row"))
    }

    pub(super) fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.wal.iter().filter_map(|(_, row)| match row {
            Row::Event(event) => Some(*event),
            _ => None,
        })
    }

    pub(super) fn log(&self) -> Vec<u8> {
        self.events().map(|event| event.id).collect()
    }

    pub(super) fn seen(&self) -> Set {
        self.events().map(|event| event.id).collect()
    }

    pub(super) fn horizon(&self) -> u8 {
        self.events().map(|event| event.position).max().unwrap_or(0)
    }

    pub(super) fn snapshot(&self) -> Set {
        let offset = self.store().offset;
        let open: Set = self.open.iter().map(|number| number + offset).collect();
        let all = Set::below(self.next + offset).minus(open);
        if self.rules.hold(HORIZON) {
            all.and(Set::up_to(self.horizon()))
        } else {
            all
        }
    }

    /// Replay passes every number that it meets; those that left nothing are given out again.
    pub(super) fn crash(&mut self) {
        self.next = self.wal.iter().map(|(number, _)| number + 1).max().unwrap_or(3);
        self.open = None;
        self.server.start = self.fresh();
    }

    pub(super) fn put_back(&mut self) {
        let Some(Copy { wal, next, server }) = self.copy.clone() else {
            return;
        };
        self.disasters += 1;
        (self.wal, self.next, self.server) = (wal, next, server);
        // Also what an earlier disaster took: the traces of that are gone.
        self.silent = self.silent.or(self.missing());
        self.floor = self.horizon();
        self.open = None;
        self.server.start = self.fresh();
    }

    pub(super) fn promote(&mut self) {
        if matches!(self.wal.last(), None | Some((_, Row::Store(_)))) {
            return;
        }
        self.disasters += 1;
        self.wal.pop();
        self.crash();
        self.server.timeline = self.fresh();
    }

    /// One transaction loads the row `store`, another one the events; each keeps what it says.
    pub(super) fn dump_and_load(&mut self) {
        self.disasters += 1;
        let (store, events) = (self.store(), self.events().collect::<Vec<_>>());
        self.server = Incarnation {
            system: self.fresh(),
            timeline: 1,
            start: self.fresh(),
        };
        self.next = 3;
        self.open = None;
        self.wal.clear();
        self.commit(Row::Store(store));
        let number = self.take_number();
        self.wal
            .extend(events.into_iter().map(|event| (number, Row::Event(event))));
    }
}
