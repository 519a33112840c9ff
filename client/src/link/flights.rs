//! Requests on their way: which number each one has on the wire, and which wait for a place.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use protocol::{Command, Request, v1};

/// A request that was not sent yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) request: Request,
    pub(super) deadline: Instant,
}

/// A request that was sent and not answered.
#[derive(Debug)]
pub(super) struct Flight {
    /// `None` for the link's own requests and for those whose caller has given up: the number stays
    /// taken until the answer or the end of the connection.
    pub(super) ticket: Option<u64>,
    pub(super) command: Command,
    pub(super) deadline: Option<Instant>,
    /// A message whose answer stands for its event. It is kept even when its caller has given up: the event comes in
    /// no other way.
    pub(super) message: Option<Box<v1::SendRequest>>,
}

/// Both kinds, and the next number to use.
#[derive(Debug, Default)]
pub(super) struct Flights {
    in_flight: BTreeMap<u16, Flight>,
    waiting: VecDeque<Waiting>,
    last_seq: u16,
}

impl Flights {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// The first waiting request that `allowed` lets pass.
    pub(super) fn take_waiting(&mut self, allowed: impl Fn(Command) -> bool) -> Option<Waiting> {
        let index = self
            .waiting
            .iter()
            .position(|waiting| allowed(waiting.request.command()))?;
        self.waiting.remove(index)
    }

    /// Gives the flight a number that no other one has. There are far more numbers than flights.
    pub(super) fn depart(&mut self, flight: Flight) -> u16 {
        loop {
            self.last_seq = self.last_seq.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_seq) {
                self.in_flight.insert(self.last_seq, flight);
                return self.last_seq;
            }
        }
    }

    pub(super) fn arrive(&mut self, seq: u16) -> Option<Flight> {
        self.in_flight.remove(&seq)
    }

    /// Whether a request of this command is unanswered.
    pub(super) fn is_flying(&self, command: Command) -> bool {
        self.in_flight.values().any(|flight| flight.command == command)
    }

    /// Everything in flight is lost with its connection; the tickets that were waiting for it.
    pub(super) fn lose_all(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.in_flight)
            .into_values()
            .filter_map(|flight| flight.ticket)
            .collect()
    }

    /// Everything that waits.
    pub(super) fn drop_waiting(&mut self) -> Vec<u64> {
        self.waiting.drain(..).map(|waiting| waiting.ticket).collect()
    }

    /// The tickets whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u64> {
        let mut expired = Vec::new();
        for flight in self.in_flight.values_mut() {
            if flight.deadline.is_some_and(|deadline| deadline <= now) {
                flight.deadline = None;
                expired.extend(flight.ticket.take());
            }
        }
        self.waiting.retain(|waiting| {
            let alive = waiting.deadline > now;
            if !alive {
                expired.push(waiting.ticket);
            }
            alive
        });
        expired
    }

    /// When the next request's time is over.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let flying = self.in_flight.values().filter_map(|flight| flight.deadline);
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline);
        flying.chain(waiting).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(ticket: u64) -> Flight {
        Flight {
            ticket: Some(ticket),
            command: Command::Send,
            deadline: None,
            message: None,
        }
    }

    #[test]
    fn numbers_skip_zero_and_whatever_is_still_in_flight() {
        let mut flights = Flights {
            last_seq: u16::MAX - 2,
            ..Flights::default()
        };
        assert_eq!(flights.depart(flight(1)), u16::MAX - 1);
        assert_eq!(flights.depart(flight(2)), u16::MAX);
        assert_eq!(flights.depart(flight(3)), 1);
        flights.last_seq = u16::MAX - 2;
        assert_eq!(
            flights.depart(flight(4)),
            2,
            "the first three are still in flight"
        );
        assert_eq!(flights.arrive(u16::MAX).and_then(|flight| flight.ticket), Some(2));
        flights.last_seq = u16::MAX - 2;
        assert_eq!(flights.depart(flight(5)), u16::MAX);
    }

    #[test]
    fn an_expired_flight_keeps_its_number() {
        let now = Instant::now();
        let mut flights = Flights::default();
        let seq = flights.depart(Flight {
            deadline: Some(now),
            ..flight(9)
        });
        assert_eq!(flights.expire(now), [9]);
        assert_eq!(flights.expire(now), [] as [u64; 0]);
        assert_eq!(flights.in_flight(), 1);
        assert!(flights.arrive(seq).is_some_and(|flight| flight.ticket.is_none()));
    }
}
