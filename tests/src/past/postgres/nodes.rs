//! What nodes do about the past: what they compare, when, and what they conclude.

use std::rc::Rc;

use super::{
    A, B, COPY, End, FORMER, HORIZON, MARK, Memory, Node, OFFSET, Postgres, Row, START, Store, TIMELINE,
    TOLD, WITHIN,
};

impl Postgres {
    pub(super) fn write_store(&mut self, store: Store) {
        let written_by = self.next;
        self.commit(Row::Store(Rc::new(Store { written_by, ..store })));
    }

    pub(super) fn start(&mut self, node: usize) {
        if node == B {
            // Its transaction ends with it.
            self.open = None;
        }
        self.nodes[node].memory = None;
        self.nodes[node].starts += 1;
        self.connect(node);
    }

    /// What every new connection does before anything else.
    pub(super) fn connect(&mut self, node: usize) {
        let (xmin, store) = self.row();
        let holds = |rule| self.rules.hold(rule);
        let memory = self.nodes[node].memory.clone();
        let above_mark = memory.is_none()
            && self
                .mark
                .is_some_and(|(past, told)| past == store.past && told > self.horizon());
        self.marked |= above_mark;
        let contradicts = memory.as_ref().is_some_and(|memory| {
            if memory.past != store.past {
                return holds(FORMER) && memory.before.contains(&store.past);
            }
            let lacks = !memory.seen.minus(self.seen()).is_empty();
            // Another node may have ended the generation that this one lived in: what counts is where it ended.
            let told_more = match store.end_of(memory.generation) {
                End::Unknown => true,
                End::Open => memory.told > self.horizon(),
                End::At(end) => memory.told > end,
            };
            holds(START) && (lacks || holds(TOLD) && holds(HORIZON) && told_more)
        });
        let is_copy = xmin != store.written_by || store.confirmed.system != self.server.system;
        if holds(COPY) && is_copy
            || holds(TIMELINE) && store.confirmed.timeline != self.server.timeline
            || holds(MARK) && holds(HORIZON) && above_mark
            || contradicts
        {
            return self.new_past(node);
        }
        if holds(START) && store.confirmed != self.server {
            let mut store = Store::clone(&store);
            let (ended, end) = (store.generation, self.horizon());
            for (generation, its_end) in &mut store.generations {
                if *generation == ended {
                    *its_end = Some(end);
                }
            }
            store.generation = self.fresh();
            store.generations.push((store.generation, None));
            store.confirmed = self.server;
            self.write_store(store);
        }
        self.live(node);
    }

    pub(super) fn new_past(&mut self, node: usize) {
        // The lock on the tables waits for whoever writes.
        self.commit_open();
        self.pasts += 1;
        let before = self.store();
        let fresh = self.fresh();
        let mut offset = before.offset;
        let horizon = self.horizon();
        if self.rules.hold(OFFSET) && self.next + offset <= horizon {
            offset = horizon + 1 - self.next;
        }
        self.write_store(Store {
            past: fresh,
            before: before.before.iter().copied().chain([before.past]).collect(),
            generations: vec![(fresh, None)],
            generation: fresh,
            confirmed: self.server,
            offset,
            written_by: 0,
        });
        self.live(node);
    }

    /// A node lives in one past: in another one it starts anew, without a memory.
    pub(super) fn live(&mut self, node: usize) {
        let store = self.store();
        let (delivered, seen, server) = (self.snapshot(), self.seen(), self.server);
        let Node { starts, memory } = &mut self.nodes[node];
        match memory {
            Some(memory) if memory.past == store.past => {
                memory.generation = store.generation;
                memory.server = server;
            }
            _ => {
                *starts += 1;
                *memory = Some(Memory {
                    past: store.past,
                    before: store.before.clone(),
                    generation: store.generation,
                    server,
                    delivered,
                    seen,
                    told: 0,
                });
            }
        }
    }

    /// Sessions end with their server, unless a pooler hides that; then only the transaction can tell.
    pub(super) fn through_a_transaction(&mut self, node: usize) {
        let &mut Memory {
            server, generation, ..
        } = self.memory(node);
        let same_server = server == self.server;
        let same_store = generation == self.store().generation;
        let notices = if self.rules.hold(WITHIN) {
            !same_server || !same_store
        } else {
            !same_server && !self.pooled
        };
        if notices {
            self.connect(node);
        }
    }

    pub(super) fn memory(&mut self, node: usize) -> &mut Memory {
        match &mut self.nodes[node].memory {
            Some(memory) => memory,
            None => unreachable!("a node lives in a past after it has connected"),
        }
    }

    pub(super) fn leave_marks(&mut self) {
        for node in [A, B] {
            let &mut Memory { past, told, .. } = self.memory(node);
            self.mark = Some(match self.mark {
                Some((marked, before)) if marked == past => (past, told.max(before)),
                _ => (past, told),
            });
        }
    }
}
