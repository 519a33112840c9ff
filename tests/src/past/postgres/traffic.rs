//! Writes, pushes, tokens and devices that come back.

use super::{B, BEGINNING, EPOCH, End, Event, HORIZON, Postgres, Promise, Row, START, TOKEN, Token};

impl Postgres {
    pub(super) const fn new_id(&mut self) -> u8 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn send(&mut self, node: usize) {
        let id = self.new_id();
        self.append(node, id);
    }

    pub(super) fn append(&mut self, node: usize, id: u8) {
        self.through_a_transaction(node);
        let number = self.take_number();
        let event = self.append_as(number, id, node);
        let memory = self.memory(node);
        memory.seen.add(id);
        if !memory.delivered.has(event.position) {
            memory.delivered.add(event.position);
            self.push(node, id);
        }
    }

    /// Stores it as the transaction of this number, and acknowledges it.
    pub(super) fn append_as(&mut self, number: u8, id: u8, node: usize) -> Event {
        let position = number + self.store().offset;
        let event = Event { position, id };
        self.wal.push((number, Row::Event(event)));
        let (epoch, seq) = (self.memory(node).past, self.events().count() as u8);
        self.promised.push(Promise { epoch, seq, id });
        event
    }

    pub(super) fn commit_open(&mut self) {
        if let Some(number) = self.open.take() {
            let id = self.new_id();
            self.append_as(number, id, B);
            self.memory(B).seen.add(id);
        }
    }

    pub(super) fn push(&mut self, node: usize, id: u8) {
        let log = self.log();
        if self.devices[node].connection != self.nodes[node].starts {
            return self.come_back(node);
        }
        if let Some(index) = log.iter().position(|logged| *logged == id) {
            self.devices[node].push(index as u8 + 1, id, &log);
        }
    }

    /// Reads what is new and pushes it. What was new is returned.
    pub(super) fn follow(&mut self, node: usize) -> Vec<Event> {
        self.through_a_transaction(node);
        let (snapshot, seen, events) = (self.snapshot(), self.seen(), self.events().collect::<Vec<_>>());
        let memory = self.memory(node);
        let before = memory.delivered;
        memory.delivered = before.or(snapshot);
        memory.seen = memory.seen.or(seen);
        let new = |event: &Event| !before.has(event.position);
        let new: Vec<Event> = events.into_iter().filter(new).collect();
        for event in &new {
            self.push(node, event.id);
        }
        new
    }

    pub(super) fn follow_and_pong(&mut self, node: usize) {
        self.follow(node);
        if self.devices[node].connection != self.nodes[node].starts {
            self.come_back(node);
        }
        let positions: Vec<Event> = self.events().collect();
        let lags = self.devices[node].lags;
        let memory = self.memory(node);
        let claims = memory.delivered;
        memory.told = memory.told.max(claims.max());
        let (past, generation, seen) = (memory.past, memory.generation, memory.seen);
        let vouched = positions
            .iter()
            .filter(|event| claims.has(event.position))
            .map(|event| event.id);
        let ids = seen.and(vouched.collect());
        if !lags {
            self.devices[node].token = Some(Token {
                past,
                generation,
                claims,
                ids,
            });
        }
    }

    /// A device comes back with its token; what that says about the past is heard by its node.
    pub(super) fn come_back(&mut self, node: usize) {
        self.through_a_transaction(node);
        let beginning = self.rules.hold(BEGINNING);
        let epoch = |world: &mut Self| world.memory(node).past;
        match self.devices[node].token.clone() {
            None => {
                let (epoch, log) = (epoch(self), self.log());
                self.devices[node].start_over(epoch, &log, true);
            }
            Some(token) => {
                let heard = self.judge(&token);
                if heard == Heard::Witness && self.rules.hold(EPOCH) {
                    self.new_past(node);
                }
                let (epoch, log) = (epoch(self), self.log());
                let device = &mut self.devices[node];
                if heard != Heard::Known || device.epoch != epoch {
                    device.start_over(epoch, &log, beginning);
                } else if self.events().any(|event| !token.claims.has(event.position)) {
                    self.devices[node].pull(&log);
                }
            }
        }
        let epoch = epoch(self);
        self.devices[node].connection = self.nodes[node].starts;
        // It is told in any case, also where it does not store the token.
        let token = self.token(node);
        let device = &mut self.devices[node];
        if !device.lags || device.token.as_ref().is_none_or(|token| token.past != epoch) {
            device.token = Some(token);
        }
    }

    pub(super) fn token(&mut self, node: usize) -> Token {
        let (store, claims) = (self.store(), self.snapshot());
        let vouched = self.events().filter(|event| claims.has(event.position));
        let ids = vouched.map(|event| event.id).collect();
        let memory = self.memory(node);
        memory.told = memory.told.max(claims.max());
        Token {
            past: store.past,
            generation: store.generation,
            claims,
            ids,
        }
    }

    pub(super) fn judge(&self, token: &Token) -> Heard {
        let store = self.store();
        if token.past != store.past {
            return Heard::Restarted;
        }
        let top = token.claims.max();
        if self.rules.hold(TOKEN) && self.rules.hold(START) && self.rules.hold(HORIZON) {
            let had = match store.end_of(token.generation) {
                End::Unknown => false,
                End::Open => top <= self.horizon(),
                End::At(end) => top <= end,
            };
            return if had { Heard::Known } else { Heard::Witness };
        }
        if top <= self.snapshot().max() {
            Heard::Known
        } else {
            Heard::Restarted
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    Known,
    Witness,
    Restarted,
}
