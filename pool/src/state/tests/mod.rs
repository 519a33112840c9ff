//! The state machine in virtual time, without a thread.

mod ages;
mod growth;
mod model;
mod turns;

use super::super::settings::PoolSettings;
use super::connect::Attempt;
use super::*;
use std::collections::VecDeque;
use std::panic::Location;

/// Connections and callers are numbers, errors words.
pub(super) struct Numbers;

impl Parts for Numbers {
    type Connection = u32;
    type Error = &'static str;
    type Waiter = u32;
}

pub(super) fn settings() -> PoolSettings {
    PoolSettings {
        max: 3,
        min_idle: Some(0),
        ..PoolSettings::default()
    }
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A machine with everything that is under way.
pub(super) struct World {
    pub(super) state: State<Numbers>,
    pub(super) now: Instant,
    pub(super) wall: Duration,
    pub(super) attempts: VecDeque<Attempt>,
    pub(super) checks: VecDeque<Check<u32>>,
    pub(super) leases: Vec<Conn<u32>>,
    /// Callers that wait, with their tickets.
    pub(super) waiting: VecDeque<(u32, u64)>,
    pub(super) opened: u32,
    pub(super) closed: Vec<u32>,
    pub(super) callers: u32,
    pub(super) events: Vec<String>,
    /// Callers that were told something else than a connection.
    pub(super) refused: Vec<(u32, String)>,
}

impl World {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        assert_eq!(settings.check(), Ok(()));
        Self {
            state: State::new(settings),
            now: Instant::now(),
            wall: Duration::from_secs(1_000_000),
            attempts: VecDeque::new(),
            checks: VecDeque::new(),
            leases: Vec::new(),
            waiting: VecDeque::new(),
            opened: 0,
            closed: Vec::new(),
            callers: 0,
            events: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.wall += time;
    }

    /// A caller comes: the connection it got at once, or nothing because it waits.
    pub(super) fn get(&mut self) -> Option<u32> {
        let caller = self.callers;
        self.callers += 1;
        let (borrower, _) = Borrower::current(0, Location::caller());
        let got = match self.state.acquire(self.now, borrower) {
            Ok(conn) => {
                let number = conn.inner;
                self.leases.push(conn);
                Some(number)
            }
            Err(borrower) => {
                match self.state.wait(self.now, borrower, caller) {
                    Ok(ticket) => self.waiting.push_back((caller, ticket)),
                    Err(refusal) => self.refused.push((caller, format!("{refusal:?}"))),
                }
                None
            }
        };
        self.collect();
        got
    }

    pub(super) fn give_back(&mut self, place: usize, verdict: Verdict) {
        let conn = self.leases.remove(place);
        self.state.give_back(conn, verdict, self.now);
        self.collect();
    }

    pub(super) fn give_back_all(&mut self) {
        while !self.leases.is_empty() {
            self.give_back(0, Verdict::Good);
        }
    }

    /// A connecting thread asks; what it is told to wait for.
    pub(super) fn ask_connect(&mut self) -> Option<NextConnect> {
        let next = match self.state.next_connect(self.now) {
            NextConnect::Start(attempt) => {
                self.attempts.push_back(attempt);
                None
            }
            other => Some(other),
        };
        self.collect();
        next
    }

    pub(super) fn connect_ends(&mut self, result: Result<(), (&'static str, bool)>) {
        let attempt = self.attempts.pop_front().expect("an attempt");
        match result {
            Ok(()) => {
                let number = self.opened;
                self.opened += 1;
                self.state.connected(attempt, number, 0, ms(1), self.now);
            }
            Err((error, permanent)) => {
                self.state
                    .connect_failed(Some((Arc::new(error), permanent)), 0, self.now);
            }
        }
        self.collect();
    }

    /// Opens what is wanted, with one connecting thread; how many that was.
    pub(super) fn open_wanted(&mut self) -> u32 {
        let before = self.opened;
        while self.ask_connect().is_none() {
            self.connect_ends(Ok(()));
        }
        self.opened - before
    }

    /// The testing thread asks; which connection it is to test.
    pub(super) fn ask_check(&mut self) -> Option<u32> {
        let check = self.state.next_check(self.now)?;
        let number = check.conn.inner;
        self.checks.push_back(check);
        self.collect();
        Some(number)
    }

    pub(super) fn check_ends(&mut self, passed: bool) {
        let check = self.checks.pop_front().expect("a check");
        self.state.checked(check, passed, ms(1), self.now);
        self.collect();
    }

    pub(super) fn tick(&mut self) {
        self.state.tick(self.now, self.wall);
        self.collect();
    }

    /// Has `count` connections opened and given back, in their order.
    pub(super) fn with_idle(mut self, count: u32) -> Self {
        for _ in 0..count {
            self.get();
        }
        self.open_wanted();
        self.give_back_all();
        assert_eq!(self.state.status().idle, count);
        self
    }

    pub(super) fn idle(&self) -> Vec<u32> {
        self.state.idle.iter().map(|idle| idle.conn.inner).collect()
    }

    pub(super) fn closed_for(&self, reason: CloseReason) -> u64 {
        self.state.statistics.closed(reason)
    }

    /// Takes over what the machine puts out.
    pub(super) fn collect(&mut self) {
        let out = self.state.out();
        let answers: Vec<_> = out.answers.drain(..).collect();
        self.closed.append(&mut out.dropped);
        let events = out.events.drain(..).map(|event| match event {
            Event::Leak { borrower, held } => {
                assert_eq!(borrower.location.file(), file!());
                assert_eq!(Some(borrower.thread()), std::thread::current().name());
                format!("leak {held:?}")
            }
            Event::LeakEnded { held, .. } => format!("leak ended {held:?}"),
            Event::ClockLeapt { .. } => "leap".to_owned(),
            Event::ChecksFail { failed, of } => format!("{failed} of {of} failed"),
            Event::ConnectFailed { failures, pause } => format!("failed {failures}, {pause:?}"),
            Event::ConnectRecovered { failures } => format!("recovered {failures}"),
        });
        self.events.extend(events);
        while let Ok(Some(number)) = self.state.next_close() {
            self.closed.push(number);
        }
        for (caller, answer) in answers {
            let (expected, _) = self.waiting.pop_front().expect("a caller that waits");
            assert_eq!(
                caller, expected,
                "callers are answered in the order of their coming"
            );
            match answer {
                Answer::Conn(conn) => self.leases.push(conn),
                Answer::Failed(error) => self.refused.push((caller, (*error).to_owned())),
                Answer::Closed => self.refused.push((caller, "Closed".to_owned())),
            }
        }
    }
}
